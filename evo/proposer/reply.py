"""Result of one request: an answer, or why there is none and who caused that. Opens no connection."""

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from evo.status import Status

_CONTEXT = re.compile(
    r"context[ _](length|size|window|the overflow)|context overflow|too many tokens|maximum prompt length"
    r"|\b(prompt|input)\b.{0,40}\btoo (long|large)|exceed\w*.{0,30}\bcontext",
    re.IGNORECASE,
)
"""How servers say that a prompt does not fit."""
_NO_CREDIT = re.compile(
    r"insufficient_quota|insufficient[ _](credits?|balance|funds)|exceeded your current quota|budget_exceeded"
    r"|budget has been exceeded|credit balance is too low|billing[ _](not_active|hard[ _]limit)",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"not a valid model|invalid model|no such model|model\b.{0,80}\b(not found|does not exist)", re.IGNORECASE
)
_LIMIT = re.compile(
    r"max(_completion)?_tokens\b.{0,60}\b(too large|at most|exceed\w*|greater|less than)", re.IGNORECASE
)
_FLAGGED = re.compile(r"flagged|moderation", re.IGNORECASE)
_PASSING = re.compile(r"rate.?limit|retry in|per.?minute|per.?day", re.IGNORECASE)
"""Words of a 429 that passes, though it speaks of a quota."""
_BUSY = re.compile(r"rate.?limit|too many requests|overloaded", re.IGNORECASE)
_LONGEST_WAIT = 600.0
"""Seconds that a Retry-After is believed."""


@dataclass(frozen=True)
class Reply:
    """One answer, or why there is none.

    Attributes:
        status: OK, or NO_ANSWER.
        reason: one line; empty when OK.
        text: the answer.
        reasoning: what the model thought before it, where the endpoint tells that apart.
        finish_reason: as the endpoint gives it.
        model: as the endpoint gives it.
        latency_s: seconds from the request to the whole answer.
        first_token_s: seconds from the request to the answer's beginning.
        input_tokens: as the endpoint counts them; None where it does not.
        output_tokens: the same.
        outage: not empty where the endpoint itself failed, so that asking again may help and the candidate is not to blame.
        refused: not empty where asking again cannot help: the key, the credit or the model's name.
        retry_after: seconds that the endpoint asks to be left alone for.
        worked: whether the endpoint may have worked for the request, and count it, though no answer came.
        busy: whether an outage is that too much was asked at a time, which is no fault of the request.
        rejected: whether the endpoint refuses the request itself, for another reason than its length or its content.
    """

    status: Status
    reason: str = ""
    text: str = ""
    reasoning: str = ""
    finish_reason: str = ""
    model: str = ""
    latency_s: float = 0.0
    first_token_s: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    outage: str = ""
    refused: str = ""
    retry_after: float | None = None
    worked: bool = False
    busy: bool = False
    rejected: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that Ray can carry."""
        return asdict(self) | {"status": str(self.status)}


@dataclass
class Pieces:
    """Answer under construction from stream chunks or one completion."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish_reason: str = ""
    model: str = ""
    usage: Any = None
    chunks: int = 0

    def take(self, chunk: Any, part: str = "delta") -> bool:
        """Add a chunk, or with `part="message"` a whole completion. Return whether it held part of the answer.

        Raises:
            AttributeError, KeyError, IndexError, TypeError, ValueError: It is not a chat completion.
        """
        self.chunks += 1
        self.model = writable(chunk.model) or self.model
        self.usage = chunk.usage or self.usage
        if not chunk.choices:
            if part == "message" and not hasattr(chunk, "choices"):
                raise ValueError("expected choices")
            return False
        choice = chunk.choices[0]
        self.finish_reason = writable(choice.finish_reason) or self.finish_reason
        said = getattr(choice, part, None)
        if said is None:
            return False
        thought = getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None)
        thought = writable(thought) if isinstance(thought, str) else ""
        told = writable(said.content)
        self.text.append(told)
        self.reasoning.append(thought)
        return bool(told or thought)

    def reply(self, latency: float, first: float) -> Reply:
        """Return the reply."""
        text = "".join(self.text)
        usage = self.usage
        whole = Reply(
            Status.OK,
            text=text,
            reasoning="".join(self.reasoning),
            finish_reason=self.finish_reason,
            model=self.model,
            latency_s=latency,
            first_token_s=first,
            input_tokens=_count(getattr(usage, "prompt_tokens", None)),
            output_tokens=_count(getattr(usage, "completion_tokens", None)),
            worked=True,
        )
        if text.strip():
            return whole
        why = "the answer is empty"
        if self.finish_reason == "length":
            used = "reasoning used the whole output limit"
            why += f": {used if whole.reasoning else 'the output limit was reached before it began'}"
        elif self.finish_reason == "content_filter":
            why += ": the endpoint's content filter withheld it"
        elif whole.reasoning:
            why += " except for its reasoning"
        return Reply(**(asdict(whole) | {"status": Status.NO_ANSWER, "reason": why, "text": ""}))


def of_status(where: str, said: str, error: Any) -> Reply:
    """Return the reply for an error with an HTTP status. `said` is the error in one line."""
    code = error.status_code
    if code == 402 or (400 <= code < 500 and _NO_CREDIT.search(said) and not (code == 429 and _PASSING.search(said))):
        return _refused(f"{where} has no credit left for this key: {said}")
    if code == 403 and _FLAGGED.search(said):
        return Reply(Status.NO_ANSWER, f"the endpoint refused the request: {said}"[:300])
    if code in (401, 403):
        return _refused(f"{where} refuses the key: {said}")
    if code == 404 or (code == 400 and _NO_MODEL.search(said)):
        return _refused(f"{where} does not know this model or path: {said}")
    if code == 413 or (code in (400, 422, 500) and _CONTEXT.search(said)):
        return Reply(Status.NO_ANSWER, f"the prompt does not fit the model's context: {said}"[:300])
    if code in (400, 422) and _LIMIT.search(said):
        return _refused(f"{where} refuses this max_tokens, set a lower one in the [[model]] table: {said}")
    if code in (400, 409, 422):
        return Reply(Status.NO_ANSWER, f"the endpoint refused the request: {said}"[:300], rejected=True)
    wait = retry_after(error.response.headers)
    return Reply(Status.NO_ANSWER, said, outage=f"{where}: {said}", retry_after=wait, busy=code in (429, 503))


def of_chunk(where: str, said: str, kind: object = None) -> Reply:
    """Return the reply for an error inside a stream or with status 200, judged by the type of the error."""
    if kind == "invalid_request_error" and not _CONTEXT.search(said):
        return Reply(Status.NO_ANSWER, f"the endpoint refused the request: {said}"[:300], worked=True)
    if _CONTEXT.search(said) and not _BUSY.search(said):
        return Reply(Status.NO_ANSWER, f"the prompt does not fit the model's context: {said}"[:300], worked=True)
    if _NO_CREDIT.search(said):
        return _refused(f"{where} has no credit left for this key: {said}", worked=True)
    return Reply(Status.NO_ANSWER, said, outage=f"{where}: {said}", worked=True)


def _refused(said: str, *, worked: bool = False) -> Reply:
    return Reply(Status.NO_ANSWER, said[:300], refused=said, worked=worked)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header: a number, milliseconds, or a date (RFC 9110, 10.2.3)."""
    told = None
    try:
        if (text := headers.get("retry-after-ms")) is not None:
            told = float(text) / 1000
        elif (text := headers.get("retry-after")) is not None:
            told = float(text) if re.fullmatch(r"\s*[\d.]+\s*", text) else _until(text)
    except (TypeError, ValueError):
        return None
    return None if told is None or not 0 <= told < 86_400 else min(told, _LONGEST_WAIT)


def writable(text: object) -> str:
    """Return text without lone surrogates, which cannot be stored."""
    if not isinstance(text or "", str):
        raise TypeError(f"expected text, found {type(text).__name__}")
    return str(text or "").encode("utf-8", errors="replace").decode()


def _until(date: str) -> float:
    return max(0.0, email.utils.parsedate_to_datetime(date).timestamp() - time.time())


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and 0 <= tokens < 2**62 else None
