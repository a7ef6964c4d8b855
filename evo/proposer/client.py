"""Client of OpenAI-compatible endpoints: catalogue, local model or hosted model. Sends each request once.

Answers are streamed, so that a stalled one is noticed within seconds. The driver retries, because it keeps the budget;
the retries of the SDK are off. The key stays in memory and is never written, logged or put into an environment.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from evo.config import OPENAI_URL, Model
from evo.errors import EvoError
from evo.proposer import reply as replies
from evo.proposer.reply import Pieces, Reply
from evo.status import Status

_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class Endpoint:
    """Base URL and key."""

    base_url: str
    key: str

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r}, key=…)"


class _Silent(Exception):
    """Raised when nothing arrived for too long. Says what was awaited."""


class _ErrorInStream(Exception):
    """Raised for an error that came with status 200."""


def endpoint(settings: Model, environ: Mapping[str, str] | None = None) -> Endpoint:
    """Return the endpoint of `settings` with its key from the environment.

    Raises:
        EvoError: The address is not an HTTP URL, or there is no key and the endpoint is not on this machine.
    """
    environ = os.environ if environ is None else environ
    base_url = settings.base_url or settings.server_preset.base_url or environ.get("OPENAI_BASE_URL") or OPENAI_URL
    if not base_url.startswith(("http://", "https://")):
        raise EvoError(
            f"expected a base_url that begins with http:// or https://, found {base_url!r}",
            hint="for a server on this machine, for example http://localhost:8000/v1",
            kind="endpoint",
        )
    key = environ.get(settings.key_variable, "")
    if not key and not is_here(base_url):
        raise EvoError(
            f"no key for {base_url}: the environment variable {settings.key_variable} is not set",
            hint=f"export {settings.key_variable}=…, or leave out --model for the built-in catalogue",
            kind="endpoint",
        )
    return Endpoint(base_url, key or "none")


def is_here(base_url: str) -> bool:
    """Return whether an endpoint is on this machine, where it needs neither proxy nor key.

    Raises:
        EvoError: It is not a URL.
    """
    try:
        return urlsplit(base_url).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        raise EvoError(f"expected a URL as base_url, found {base_url!r}", kind="endpoint") from None


class Proposer:
    """Client of one endpoint.

    Args:
        endpoint: Base URL and key.
        settings: Its `[[model]]` table.
    """

    def __init__(self, endpoint: Endpoint, settings: Model) -> None:
        import openai

        self._settings, self._url, self._key = settings, endpoint.base_url, endpoint.key
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.key,
            timeout=openai.Timeout(None, connect=settings.connect_seconds),
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not is_here(endpoint.base_url)),
        )
        self._options: dict[str, Any] = {
            "seed": 0,
            settings.server_preset.limit: settings.max_tokens,
            "temperature": settings.temperature,
            "stream_options": {"include_usage": True},
            **({"extra_body": settings.extra_body} if settings.extra_body else {}),
        }

    async def preflight(self) -> str:
        """Request the list of models once and return an empty string, or what is wrong with the endpoint.

        An endpoint without such a list passes.
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

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int, max_tokens: int | None = None) -> Reply:
        """Send one request and return its reply. Never raises for a failure of the endpoint.

        Args:
            messages: Messages of the conversation.
            seed: Sampling seed, if the endpoint takes one.
            max_tokens: Limit of the answer, if lower than the model's.
        """
        import openai

        began, pieces = time.perf_counter(), Pieces()
        first = 0.0
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                async for held in self._chunks(messages, seed, max_tokens, pieces):
                    if held and not first:
                        first = time.perf_counter() - began
            answered = self._whole(pieces, time.perf_counter() - began, first)
        except _Silent as silence:
            answered = self._outage(str(silence))
        except _ErrorInStream as said:
            answered = replies.of_chunk(self._url, self._short(said))
        except TimeoutError:
            late = f"the answer was incomplete after {self._settings.timeout_seconds:g} s"
            answered = Reply(Status.NO_ANSWER, late, worked=True) if pieces.chunks else self._outage(late)
        except openai.APIStatusError as error:
            answered = replies.of_status(self._url, self._short(error), error)
        except openai.APIConnectionError as error:
            began_work = pieces.chunks > 0 or not _is_connecting(error)
            answered = self._outage(self._short(error), worked=began_work)
        except openai.OpenAIError as error:
            answered = replies.of_chunk(self._url, self._short(error), getattr(error, "type", None))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            answered = self._outage(f"the response is not a chat completion ({type(error).__name__})")
        except Exception as error:  # of the HTTP library, where the SDK does not wrap it
            answered = self._outage(self._short(error))
        return answered if answered.latency_s else replace(answered, latency_s=time.perf_counter() - began)

    async def _chunks(
        self, messages: Sequence[Mapping[str, str]], seed: int, max_tokens: int | None, pieces: Pieces
    ) -> AsyncIterator[bool]:
        """Collect the answer in `pieces`. Yield for each chunk whether it held part of the answer."""
        settings = self._settings
        patience, what = settings.first_token_seconds, "no answer began"
        began = time.perf_counter()
        async with _within(patience, what):
            raw = await self._create(messages, seed, max_tokens)
        if "event-stream" not in raw.headers.get("content-type", "text/event-stream"):
            async with _within(patience, what):
                await raw.http_response.aread()
            yield pieces.take(_completion(raw.http_response.json()), "message")
            return
        stream = raw.parse()
        async with stream:
            while True:
                async with _within(patience, what):
                    try:
                        chunk = await anext(stream)
                    except StopAsyncIteration:
                        return
                held = pieces.take(chunk)
                if held:
                    patience, what = settings.stall_seconds, "the answer stalled: no data"
                elif what.startswith("no"):
                    patience = max(0.001, settings.first_token_seconds - (time.perf_counter() - began))
                yield held

    def _whole(self, pieces: Pieces, latency: float, first: float) -> Reply:
        """Return the answer if it is complete."""
        if not pieces.chunks:
            return self._outage("the response has status 200 and no content")
        if not pieces.finish_reason:
            return self._outage("the connection closed before the answer was complete")
        if pieces.finish_reason == "error":
            return self._outage("the endpoint aborted the answer: finish_reason error")
        return pieces.reply(latency, first)

    async def _create(self, messages: Sequence[Mapping[str, str]], seed: int, max_tokens: int | None) -> Any:
        """Send the request. A parameter that the endpoint rejects is left out, or renamed, from then on."""
        import openai

        while True:
            sent = {name: value for name, value in self._options.items() if value is not None}
            if "seed" in sent:
                sent["seed"] = seed
            for name in _LIMITS:
                if name in sent and max_tokens is not None:
                    sent[name] = max_tokens
            try:
                return await self._client.chat.completions.with_raw_response.create(
                    model=self._settings.name,
                    messages=list(messages),  # type: ignore[arg-type]
                    stream=True,
                    **sent,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                refused = _refused_parameter(error, sent)
                if refused is None:
                    raise
                if refused in _LIMITS:
                    other = next(name for name in _LIMITS if name != refused)
                    if self._options.setdefault(other, self._options[refused]) is None:
                        raise  # neither is taken: no answer without a limit
                self._options[refused] = None

    def _outage(self, said: str, *, worked: bool = True) -> Reply:
        return Reply(Status.NO_ANSWER, said[:300], outage=f"{self._url}: {said}", worked=worked)

    def _short(self, error: Exception) -> str:
        """Return an error in one line, without the key."""
        cause = error.__cause__
        why = f" ({type(cause).__name__})" if cause is not None and not str(error).startswith("Error code") else ""
        body = getattr(error, "body", None)
        told = f"{error} - {body}" if isinstance(body, str) and body not in str(error) else str(error)
        text = replies.writable(" ".join(told.split()).replace(self._key, "…"))
        named = isinstance(error, _ErrorInStream) or text.startswith("Error code")
        return (text if named else f"{type(error).__name__}: {text}{why}")[:300]


def price(settings: Model, input_tokens: int | None, output_tokens: int | None) -> float | None:
    """Return the price of the tokens in US dollars, or None if tokens or a price are unknown."""
    if settings.is_free:
        return 0.0
    if None in (input_tokens, output_tokens, settings.price_in, settings.price_out):
        return None
    return float(input_tokens * settings.price_in + output_tokens * settings.price_out) / 1e6  # type: ignore[operator]


class _within:
    """Limit the duration of a block in seconds.

    Raises:
        _Silent: The block took longer.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._said, self._timeout = f"{what} in {seconds:g} s", asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise _Silent(self._said) from None


def _completion(body: Any) -> Any:
    """Return a completion that was not streamed.

    Raises:
        _Said: It is an error.
        ValueError: It is something else.
    """
    from openai.types.chat import ChatCompletion

    if isinstance(body, dict) and body.get("error"):
        error = body["error"]
        raise _ErrorInStream(str(error.get("message") or error) if isinstance(error, dict) else str(error))
    if not isinstance(body, dict) or not ("choices" in body or "object" in body):
        raise ValueError("expected a chat completion")
    return ChatCompletion.construct(**{"usage": None, "model": "", **body})


def _is_connecting(error: Exception) -> bool:
    """Return whether the failure came before a connection, so that no work was done."""
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol")


def _refused_parameter(error: Exception, sent: Mapping[str, Any]) -> str | None:
    """Return the parameter of ours that a 400 or 422 response names as unsupported, or None."""
    words = f"{error} {getattr(error, 'body', '')}".lower()
    refusals = ("unsupported", "not supported", "unknown", "unrecognized", "not permitted", "not allowed", "extra")
    if not any(word in words for word in refusals):
        return None
    return next((name for name in sent if name != "extra_body" and re.search(rf"\b{name}\b", words)), None)
