"""OpenAI's chat format for a server: parse requests, write answers and refusals. Pure; opens no socket."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

_PIECE = 400  # characters in a streamed chunk


class Refusal(Exception):
    """An error envelope in place of an answer.

    Args:
        status: of HTTP.
        message: what was expected and what was found.
        code: OpenAI's code for it.
        headers: that the answer has besides.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}

    def body(self) -> dict[str, Any]:
        """The envelope."""
        kinds = {401: "authentication_error", 429: "rate_limit_error", 501: "invalid_request_error"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.code}}


class Reset(Exception):
    """Raised by a responder to reset the client's connection."""


@dataclass(frozen=True)
class Question:
    """A parsed chat request."""

    messages: list[dict[str, Any]]
    seed: int
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    gone: threading.Event = field(default_factory=threading.Event, compare=False)
    """Set when the client has hung up."""

    @property
    def key(self) -> str:
        """Return a hash that identifies seed and messages."""
        return hashlib.sha256(json.dumps([self.seed, self.messages]).encode()).hexdigest()


@dataclass(frozen=True)
class Usage:
    """Tokens of a request and its answer. None if not known."""

    asked: int | None = None
    said: int | None = None

    @classmethod
    def counted(cls, question: Question, text: str) -> "Usage":
        """Return an estimate of the token counts."""
        return cls(count(json.dumps(question.messages, ensure_ascii=False)), count(text))

    def as_dict(self) -> dict[str, int | None] | None:
        """Return the usage in OpenAI's format. None if nothing is known."""
        if self.asked is None and self.said is None:
            return None
        total = None if self.asked is None or self.said is None else self.asked + self.said
        return {"prompt_tokens": self.asked, "completion_tokens": self.said, "total_tokens": total}


@dataclass(frozen=True)
class Answer:
    """Answer of a responder."""

    text: str
    finish_reason: str | None = "stop"
    usage: Usage = Usage()
    model: str = ""
    """Name of the model, if it differs from the responder's `model_id`."""
    reasoning: str = ""
    """Reasoning before the answer, if it is separate."""


class Responder(Protocol):
    """Source of the answers of a server."""

    @property
    def model_id(self) -> str:
        """Name of the served model."""

    @property
    def fingerprint(self) -> str:
        """Identifier that changes if equal questions may get other answers."""

    def answer(self, question: Question) -> Answer:
        """Return the answer. Runs on its own thread and may stop early once `question.gone` is set.

        Raises:
            Refusal: An error envelope is sent instead of an answer.
            Reset: The connection is reset instead.
        """


def count(text: str) -> int:
    """Return an estimate of the number of tokens: a quarter of the bytes, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def understand(body: bytes, model_id: str) -> Question:
    """Return the request in `body`.

    Raises:
        Refusal: Status 400. The message names the error.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "expected a JSON body", "bad_request") from None
    if not isinstance(asked, dict):
        raise Refusal(400, "expected a JSON object", "bad_request")
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise Refusal(400, "expected messages: a list of at least one object", "bad_request")
    if not isinstance(asked.get("model"), str):
        raise Refusal(400, f"expected a model, such as {model_id}", "bad_request")
    if asked.get("n") not in (None, 1):
        raise Refusal(400, f"expected n = 1, found {asked['n']!r}", "bad_request")
    options = asked.get("stream_options")
    limits = [_whole(asked, name, 1) for name in ("max_completion_tokens", "max_tokens")]
    return Question(
        messages=messages,
        seed=_whole(asked, "seed") or 0,
        stream=asked.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_tokens=min((limit for limit in limits if limit is not None), default=None),
    )


def _whole(asked: dict[str, Any], name: str, least: int | None = None) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        raise Refusal(400, f"expected {name}: a whole number, found {value!r}", "bad_request")
    return value


def content(message: Mapping[str, Any]) -> str:
    """Return the text of a message. Its content is a string or a list of text parts."""
    found = message.get("content")
    if isinstance(found, str):
        return found
    parts = found if isinstance(found, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def completion(head: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """Return the whole answer as one completion object."""
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    message |= {"reasoning_content": answer.reasoning} if answer.reasoning else {}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return {**head, "object": "chat.completion", "choices": [choice], **_present("usage", answer.usage.as_dict())}


def chunks(head: dict[str, Any], answer: Answer, *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """Yield the answer in chunks: role, reasoning, text, finish reason and, if requested and known, usage."""
    usage = answer.usage.as_dict() if include_usage else None
    said = [("reasoning_content", piece) for piece in _pieces(answer.reasoning)]
    said += [("content", piece) for piece in _pieces(answer.text)]
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({name: piece} for name, piece in said), {}]
    extra = {"usage": None} if usage else {}
    for number, delta in enumerate(deltas, 1):
        reason = answer.finish_reason if number == len(deltas) else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        yield {**head, "object": "chat.completion.chunk", "choices": [choice], **extra}
    if usage:
        yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _present(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}
