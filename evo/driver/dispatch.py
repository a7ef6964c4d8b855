"""Dispatch of requests to the models of a run, with rate limits, budget, retries and patience during an outage."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import tenacity

from evo.config import Config, Model
from evo.driver.budget import Budget, Reservation, most_counted
from evo.driver.endpoints import at_once
from evo.errors import EvoError
from evo.proposer.client import price
from evo.proposer.prompt import estimate, most_tokens

_LEAST_ANSWER = 256
"""Minimum room for an answer in tokens."""
_REJECTIONS = 3
"""Refused requests after which an endpoint that has answered none ends the run."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""First and longest delay before a retry in seconds. The delay doubles each time and has random jitter."""


class Proposers(Protocol):
    """Interface of the proposer, as the driver uses it."""

    async def ask(
        self, model: str, messages: Sequence[Mapping[str, str]], seed: int, max_tokens: int | None = None
    ) -> dict[str, Any]:
        """Send one request to the named model. See `evo.proposer.reply.Reply`."""


class Rate:
    """Limit on requests and tokens per minute.

    Args:
        requests: Requests per minute. None for no limit.
        tokens: Tokens per minute. None for no limit. A larger request waits until no other was sent in the last minute.
        clock: Function that returns the time in seconds.
    """

    def __init__(
        self, requests: float | None, tokens: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._requests, self._tokens, self._clock = requests, tokens, clock
        self._sent: deque[tuple[float, int]] = deque()
        self._turn = asyncio.Lock()

    async def wait(self, tokens: int) -> None:
        """Wait until a request of `tokens` tokens may be sent, and count it."""
        async with self._turn:
            while (seconds := self._seconds(tokens)) > 0:
                await asyncio.sleep(seconds)
            self._sent.append((self._clock(), tokens))

    def _seconds(self, tokens: int) -> float:
        """Return the seconds until a request of `tokens` tokens may be sent."""
        now = self._clock()
        while self._sent and self._sent[0][0] <= now - 60.0:
            self._sent.popleft()
        waits = [0.0]
        if self._requests is not None and self._sent:
            if self._requests < 1:
                waits.append(self._sent[-1][0] + 60.0 / self._requests - now)
            elif len(self._sent) >= int(self._requests):
                waits.append(self._sent[-int(self._requests)][0] + 60.0 - now)
        if self._tokens is not None and self._sent and sum(t for _, t in self._sent) + tokens > self._tokens:
            waits.append(self._sent[0][0] + 60.0 - now)
        return max(waits)


class _ModelState:
    """State of one model: concurrency limit, rate limit, start of an outage, and refused requests."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.gate = asyncio.Semaphore(at_once(model))
        self.rate = Rate(model.requests_per_minute, model.tokens_per_minute)
        self.down_since: float | None = None
        self.answered_at = float("-inf")
        self.rejections, self.has_answered = 0, False


class Dispatcher:
    """Sender of requests to the models of a run.

    Args:
        config: Configuration of the run.
        proposer: Proposer that sends a request.
        budget: Budget of the run.
        run: Name of the run, for the commands in error messages.
        say: Called with one line when an endpoint goes down or comes back.
    """

    def __init__(
        self, config: Config, proposer: Proposers, budget: Budget, run: str, say: Callable[[str], None]
    ) -> None:
        self._proposer, self._budget, self._say = proposer, budget, say
        self._resume = f"evo resume {run}"
        self._remedy = f"run `evo doctor --config population/{run}/config.toml`, then `{self._resume}`"
        self._patience = config.patience_minutes * 60.0
        self._lines = {model.display_name: _ModelState(model) for model in config.model}
        self.waiting = 0

    async def ask(
        self,
        called: str,
        messages: Sequence[Mapping[str, str]],
        seed: int,
        admit: Callable[[], None] = lambda: None,
        most: int | None = None,
    ) -> dict[str, Any]:
        """Send a request, retry it during an outage, and return the reply.

        A failure that the request itself causes is returned as a reply too.

        Args:
            called: Name of the model.
            messages: Messages of the conversation.
            seed: Sampling seed.
            admit: Called before the first request is sent. It may raise BudgetSpent.
            most: Limit of the answer in tokens, if lower than the model's.

        Returns:
            The fields of the reply, with `requests`, `lost_tokens`, `lost_usd` and `cost_usd`.

        Raises:
            EvoError: The endpoint was down longer than `patience_minutes`, or it refuses the key or every request.
            BudgetSpent: There is no room for the request.
        """
        line, failed = self._lines[called], list[float]()
        spent: dict[str, Any] = {"requests": 0, "lost_tokens": 0, "lost_usd": 0.0}
        self.waiting += 1
        try:
            async with line.gate:
                again = tenacity.AsyncRetrying(
                    retry=lambda state: _may_help(line, failed, state),
                    wait=_seconds_to_wait,
                    before_sleep=lambda state: self._note_outage(line, state),
                )
                reply: dict[str, Any] = await again(self._once, line, messages, seed, spent, admit, most)
        finally:
            self.waiting -= 1
        if reply["refused"]:
            raise EvoError(reply["refused"], hint=self._remedy, kind="endpoint")
        if reply["outage"]:
            return (
                reply
                | spent
                | {
                    "reason": f"this request keeps failing while others succeed: {reply['reason']}"[:300],
                    "cost_usd": None,
                }
            )
        _check_rejections(line, reply, self._remedy)
        line.answered_at = time.monotonic()
        if line.down_since is not None:
            self._say(f"{called} answers again; the search continues")
            line.down_since = None
        cost = price(line.model, reply["input_tokens"], reply["output_tokens"])
        return reply | spent | {"cost_usd": cost}

    def fits(self, called: str, messages: Sequence[Mapping[str, str]]) -> bool:
        """Return whether the context of a model has room for the messages and an answer."""
        return _room(self._lines[called].model, messages) >= _LEAST_ANSWER

    async def _once(
        self,
        line: _ModelState,
        messages: Sequence[Mapping[str, str]],
        seed: int,
        spent: dict[str, Any],
        admit: Callable[[], None],
        limit: int | None,
    ) -> dict[str, Any]:
        """Send one request, with its price reserved in the budget, and add lost answers to `spent`."""
        model, room = line.model, max(_LEAST_ANSWER, _room(line.model, messages))
        most = room if limit is None else min(limit, room)
        async with self._budget.reserve(model, messages, most) as reservation:
            await line.rate.wait(most_tokens(messages) + most)
            if not spent["requests"]:
                admit()
            spent["requests"] += 1
            reply = await self._proposer.ask(model.display_name, messages, seed, most)
            _settle(reservation, model, messages, reply)
        if reply["outage"]:
            spent["lost_tokens"] += reservation.tokens
        if reply["outage"] or None in (reply["input_tokens"], reply["output_tokens"]):
            spent["lost_usd"] += reservation.usd
        return reply

    def _note_outage(self, line: _ModelState, state: tenacity.RetryCallState) -> None:
        """Report once that an endpoint is down. The first retries of a request are not reported.

        Raises:
            EvoError: The endpoint was down longer than `patience_minutes`.
        """
        if state.attempt_number <= line.model.retries or state.outcome is None:
            return
        outage = state.outcome.result()["outage"]
        now = time.monotonic()
        if line.down_since is None:
            line.down_since = now
            if self._patience:
                self._say(
                    f"{line.model.display_name} is down: {outage}; evo retries about every minute, for at most "
                    f"{self._patience / 60:g} minutes"
                )
        if now - line.down_since >= self._patience:
            raise EvoError(f"no answer from {outage}", hint=f"continue with `{self._resume}`", kind="endpoint")


def _may_help(line: _ModelState, failed: list[float], state: tenacity.RetryCallState) -> bool:
    """Return whether to retry a request. A request that keeps failing while others are answered is not retried."""
    if state.outcome is None or state.outcome.failed:
        return False
    reply = state.outcome.result()
    failed.append(time.monotonic())
    its_own = state.attempt_number > line.model.retries and line.answered_at > failed[0] and not reply["busy"]
    return bool(reply["outage"]) and not its_own


def _check_rejections(line: _ModelState, reply: Mapping[str, Any], remedy: str) -> None:
    """Count refused requests and raise an error if an endpoint refuses every request.

    Raises:
        EvoError: The endpoint refused several requests and has answered none.
    """
    line.rejections += reply["rejected"]
    line.has_answered = line.has_answered or not reply["rejected"]
    if line.rejections >= _REJECTIONS and not line.has_answered:
        said = f"{line.model.display_name} refused each of {_REJECTIONS} requests: {reply['reason']}"
        hint = f"{remedy}, or start a run with another [[model]] table"
        raise EvoError(said, hint=hint, kind="endpoint")


def _room(model: Model, messages: Sequence[Mapping[str, str]]) -> int:
    """Return the tokens available for an answer: the model's limit, or the rest of its context if that is smaller."""
    left = model.max_tokens if model.context_length is None else model.context_length - estimate(messages)
    return min(model.max_tokens, left)


def _settle(
    reservation: Reservation, model: Model, messages: Sequence[Mapping[str, str]], reply: Mapping[str, Any]
) -> None:
    """Set the reservation to the actual price: zero if the endpoint did no work, an upper bound if the price is unknown."""
    if not reply["worked"]:
        reservation.tokens, reservation.usd = 0, 0.0
        return
    if reply["outage"]:
        return  # no endpoint reports the tokens of an answer that broke off: keep the reserved price
    if reply["input_tokens"] is not None and reply["output_tokens"] is not None:
        reservation.tokens = reply["input_tokens"] + reply["output_tokens"]
        reservation.usd = price(model, reply["input_tokens"], reply["output_tokens"]) or 0.0
        return
    asked, said = most_counted(messages, reply["text"], reply["reasoning"])
    reservation.tokens, reservation.usd = asked + said, price(model, asked, said) or 0.0


def _seconds_to_wait(state: tenacity.RetryCallState) -> float:
    """Return the delay that the endpoint asks for, or else a delay that doubles each time, up to about a minute."""
    grown = _FIRST_WAIT * 2 ** min(state.attempt_number - 1, 10)
    own = min(_LONGEST_WAIT, grown) * random.uniform(0.75, 1.25)
    told: float | None = state.outcome.result()["retry_after"] if state.outcome is not None else None
    return float(own if told is None else max(told, own / 10))
