"""Budget of a run. A request reserves its highest possible price before it is sent, and is settled when it ends.

Concurrent requests therefore cannot exceed a budget. Earlier spending is read from the `calls` table of the lineage. No
other state is kept.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo import config
from evo.config import Model
from evo.proposer.client import price
from evo.proposer.prompt import most_tokens


class BudgetSpent(Exception):
    """Raised when a budget has no room for another request. The message names the budget."""


@dataclass
class Spent:
    """Tokens and US dollars spent."""

    tokens: int = 0
    usd: float = 0.0


@dataclass(eq=False)
class Reservation:
    """Reservation for one request. It holds the highest possible price until the request is settled."""

    tokens: int
    usd: float


class Budget:
    """Limits of a run on tokens, US dollars, hours and candidates.

    Args:
        settings: The `[budget]` table of the configuration.
        calls: Rows of the `calls` table so far.
    """

    def __init__(self, settings: config.Budget, calls: Iterable[Mapping[str, Any]]) -> None:
        self._settings, self._began = settings, time.monotonic()
        self.spent = Spent()
        self._candidates: set[int] = set()
        for call in calls:
            self._candidates.add(call["id"])
            self.spent.tokens += counted(call) + (call["lost_tokens"] or 0)
            self.spent.usd += (call["cost_usd"] or 0.0) + (call["lost_usd"] or 0.0)
        self._flying: list[Reservation] = []
        self._landed = asyncio.Condition()

    @property
    def stop_reason(self) -> str:
        """Return the reason if the limit on hours or candidates stops the run, else an empty string."""
        hours, candidates = self._settings.hours, self._settings.candidates
        if hours is not None and time.monotonic() - self._began >= hours * 3600:
            return f"the budget of {hours:g} hours is over"
        if candidates is not None and len(self._candidates) >= candidates:
            return f"the budget of {candidates} candidates is spent"
        return ""

    def admit(self, number: int) -> None:
        """Count a candidate whose request is about to be sent. A counted candidate is never refused later.

        Raises:
            BudgetSpent: The limit on candidates or hours is reached.
        """
        if number not in self._candidates and (said := self.stop_reason):
            raise BudgetSpent(said)
        self._candidates.add(number)

    @contextlib.asynccontextmanager
    async def reserve(
        self, model: Model, messages: Iterable[Mapping[str, str]], max_tokens: int
    ) -> AsyncIterator[Reservation]:
        """Reserve the highest possible price of one request while the block runs. Wait for room if other requests are in flight.

        The block sets the actual price in the yielded reservation.

        Raises:
            BudgetSpent: There is no room, and no request in flight could free any.
        """
        asked = most_tokens(list(messages))
        reservation = Reservation(asked + max_tokens, price(model, asked, max_tokens) or 0.0)
        async with self._landed:
            while said := self._too_much(reservation):
                if not self._flying:
                    raise BudgetSpent(said)
                await self._landed.wait()
            self._flying.append(reservation)
        try:
            yield reservation
        finally:
            self._flying.remove(reservation)
            self.spent.tokens += reservation.tokens
            self.spent.usd += reservation.usd
            async with self._landed:
                self._landed.notify_all()

    def _too_much(self, reservation: Reservation) -> str:
        """Return the reason if the reservation has no room in the budget, else an empty string."""
        usd, tokens = self._settings.usd, self._settings.tokens
        reservations = [*self._flying, reservation]
        if usd is not None and self.spent.usd + sum(one.usd for one in reservations) > usd + 1e-12:
            return (
                f"the budget of ${usd:g} has no room for another request of up to ${reservation.usd:.4f}: "
                f"${self.spent.usd:.4f} spent"
            )
        if tokens is not None and self.spent.tokens + sum(one.tokens for one in reservations) > tokens:
            return (
                f"the budget of {tokens} tokens has no room for another request of up to {reservation.tokens}: "
                f"{self.spent.tokens} spent"
            )
        return ""


def counted(call: Mapping[str, Any]) -> int:
    """Return the tokens of a call as reported by the endpoint, or an upper bound if it reports none."""
    if call["input_tokens"] is not None and call["output_tokens"] is not None:
        return int(call["input_tokens"]) + int(call["output_tokens"])
    return sum(most_counted(json.loads(call["messages"]), call["response"] or "", call["reasoning"] or ""))


def most_counted(messages: Sequence[Mapping[str, str]], text: str, reasoning: str) -> tuple[int, int]:
    """Return upper bounds of the input and output tokens, for an endpoint that reports no counts."""
    return most_tokens(messages), len(text.encode()) + len(reasoning.encode())
