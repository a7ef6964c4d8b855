"""One client for every endpoint: the catalogue, a local model, a hosted model. It asks, and reads no code.

The key is handed over in memory. It is never written, logged or put into an environment.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from evo.config import Model
from evo.errors import EvoError
from evo.status import Status

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and with which key."""

    base_url: str
    key: str

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r}, key=…)"


@dataclass(frozen=True)
class Reply:
    """One answer, or why there is none.

    `outage` is not empty where the endpoint itself failed, so that the search must pause rather than count it against
    the candidate.
    """

    status: Status
    reason: str = ""
    text: str = ""
    finish_reason: str = ""
    model: str = ""
    latency_s: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    outage: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as Ray carries them."""
        return asdict(self) | {"status": str(self.status)}


def endpoint(settings: Model, environ: Mapping[str, str] | None = None) -> Endpoint:
    """The endpoint of `settings` with its key from the environment.

    Raises:
        EvoError: no key, and the endpoint is not on this machine.
    """
    environ = os.environ if environ is None else environ
    base_url = settings.base_url or environ.get("OPENAI_BASE_URL") or OPENAI_URL
    key = environ.get(settings.key_variable, "")
    if not key and not _is_here(base_url):
        raise EvoError(
            f"no key for {base_url}: the environment variable {settings.key_variable} is not set",
            hint=f"export {settings.key_variable}=…, or leave out --model for the built-in catalogue",
            kind="endpoint",
        )
    return Endpoint(base_url, key or "none")


def _is_here(base_url: str) -> bool:
    """Whether an endpoint is on this machine, where no proxy and no key is needed.

    Raises:
        EvoError: it is not a URL.
    """
    try:
        return urlsplit(base_url).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        raise EvoError(f"expected a URL as base_url, found {base_url!r}", kind="endpoint") from None


class Proposer:
    """Asks one endpoint.

    Args:
        endpoint: where, with which key.
        settings: `[model]` of the configuration.
    """

    def __init__(self, endpoint: Endpoint, settings: Model) -> None:
        import openai

        self._settings, self._url = settings, endpoint.base_url
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.key,
            timeout=settings.timeout_seconds,
            max_retries=settings.retries,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not _is_here(endpoint.base_url)),
        )
        self._key = endpoint.key
        self._options: dict[str, Any] = {
            "seed": 0,
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        }

    async def preflight(self) -> str:
        """Ask for the list of models, once and briefly; return "" or what is wrong with the endpoint.

        An endpoint without such a list passes: the first question will tell.
        """
        import openai

        try:
            await self._client.with_options(timeout=15.0, max_retries=1).models.list()
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            return f"{self._url} refuses the key of {self._settings.key_variable} ({error.status_code})"
        except openai.APIConnectionError:
            return f"{self._url} cannot be reached"
        except openai.OpenAIError:
            return ""
        except (AttributeError, TypeError, ValueError):  # what is no JSON ends as one of these in the SDK
            return f"{self._url} does not answer as an OpenAI-compatible endpoint; is its path right (often /v1)?"
        return ""

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> Reply:
        """One request, retried by the SDK on 429, 5xx and lost connections. Never raises for what an endpoint does."""
        import openai

        began = time.perf_counter()
        try:
            completion = await self._create(messages, seed)
            reply = _reply(completion, time.perf_counter() - began)
        except (openai.BadRequestError, openai.UnprocessableEntityError, openai.ConflictError) as error:
            reply = Reply(Status.NO_ANSWER, f"the endpoint refused the request: {self._short(error)}")
        except openai.APIStatusError as error:
            outage = "" if error.status_code == 413 else f"{self._url}: {self._short(error)}"
            reply = Reply(Status.NO_ANSWER, self._short(error), outage=outage)
        except openai.OpenAIError as error:
            reply = Reply(Status.NO_ANSWER, self._short(error), outage=f"{self._url}: {self._short(error)}")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reply = Reply(Status.NO_ANSWER, f"the endpoint's answer cannot be read: {type(error).__name__}")
        return reply

    async def _create(self, messages: Sequence[Mapping[str, str]], seed: int) -> Any:
        """The request; a parameter that the endpoint says it does not know is left out, or renamed, from then on."""
        import openai

        while True:
            sent = {name: value for name, value in self._options.items() if value is not None}
            if "seed" in sent:
                sent["seed"] = seed
            try:
                return await self._client.chat.completions.create(
                    model=self._settings.name,
                    messages=list(messages),  # type: ignore[arg-type]
                    **sent,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                refused = _refused_parameter(error, sent)
                if refused is None:
                    raise
                if refused == "max_tokens" and self._options["max_tokens"] is not None:
                    self._options["max_completion_tokens"] = self._options["max_tokens"]
                self._options[refused] = None

    def _short(self, error: Exception) -> str:
        """An error in one line, without the key that an endpoint may have repeated."""
        text = " ".join(str(error).split()).replace(self._key, "…")
        text = _writable(text)
        return (text if text.startswith("Error code") else f"{type(error).__name__}: {text}")[:200]


def price(settings: Model, reply: Mapping[str, Any]) -> float | None:
    """US dollars of one answer by the configured prices; None where the endpoint counted no tokens."""
    if reply["input_tokens"] is None or reply["output_tokens"] is None:
        return None
    return float(reply["input_tokens"] * settings.price_in + reply["output_tokens"] * settings.price_out) / 1e6


def _reply(completion: Any, latency: float) -> Reply:
    usage = completion.usage
    counted: dict[str, Any] = {
        "model": _writable(completion.model),
        "latency_s": latency,
        "input_tokens": _count(usage.prompt_tokens) if usage else None,
        "output_tokens": _count(usage.completion_tokens) if usage else None,
    }
    choice = completion.choices[0] if completion.choices else None
    text = _writable(choice.message.content) if choice else ""
    if choice is None or not text.strip():
        return Reply(Status.NO_ANSWER, "the answer is empty", **counted)
    return Reply(Status.OK, text=text, finish_reason=_writable(choice.finish_reason), **counted)


def _writable(text: str | None) -> str:
    """Text that can be stored: half of a surrogate pair can be written nowhere."""
    if not isinstance(text or "", str):
        raise TypeError(f"expected text, found {type(text).__name__}")
    return (text or "").encode("utf-8", errors="replace").decode()


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and 0 <= tokens < 2**62 else None


def _refused_parameter(error: Exception, sent: Mapping[str, Any]) -> str | None:
    """A parameter of ours that a 400 or a 422 names as unsupported."""
    words = f"{error} {getattr(error, 'body', '')}".lower()
    refusals = ("unsupported", "not supported", "unknown", "unrecognized", "not permitted", "not allowed", "extra")
    if not any(word in words for word in refusals):
        return None
    return next((name for name in sent if re.search(rf"\b{name}\b", words)), None)
