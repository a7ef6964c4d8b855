"""What a run may spend: a request is paid for in advance, at the most that it can cost, and settled when its answer is there.

So no budget is exceeded, whatever is in flight. What is spent is read from the lineage's `calls`; nothing else is kept.
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
    """A budget has no room for another request: which, in words."""


@dataclass
class Spent:
    """Tokens and US dollars."""

    tokens: int = 0
    usd: float = 0.0


@dataclass(eq=False)
class Bill:
    """One request: what it may cost at most, until it is told what it came to."""

    tokens: int
    usd: float


class Budget:
    """A run's budget.

    Args:
        settings: `[budget]`.
        calls: the run's answers so far.
    """

    def __init__(self, settings: config.Budget, calls: Iterable[Mapping[str, Any]]) -> None:
        self._settings, self._began = settings, time.monotonic()
        self.spent = Spent()
        self._candidates: set[int] = set()
        for call in calls:
            self._candidates.add(call["id"])
            self.spent.tokens += counted(call) + (call["lost_tokens"] or 0)
            self.spent.usd += (call["cost_usd"] or 0.0) + (call["lost_usd"] or 0.0)
        self._flying: list[Bill] = []
        self._landed = asyncio.Condition()

    @property
    def left_said(self) -> str:
        """Why nothing more is asked, where that can be told before a prompt is there; else empty."""
        hours, candidates = self._settings.hours, self._settings.candidates
        if hours is not None and time.monotonic() - self._began >= hours * 3600:
            return f"the budget of {hours:g} hours is over"
        if candidates is not None and len(self._candidates) >= candidates:
            return f"the budget of {candidates} candidates is spent"
        return ""

    def admit(self, number: int) -> None:
        """Count a candidate that is going to be asked for.

        Raises:
            BudgetSpent: it is one too many, or too late. One that was admitted stays so.
        """
        if number not in self._candidates and (said := self.left_said):
            raise BudgetSpent(said)
        self._candidates.add(number)

    @contextlib.asynccontextmanager
    async def paying(self, model: Model, messages: Iterable[Mapping[str, str]], max_tokens: int) -> AsyncIterator[Bill]:
        """Room for one request at its dearest, for as long as the block runs, which changes the bill to what it came to.

        Raises:
            BudgetSpent: there is no room, and nothing in flight whose end could make some.
        """
        asked = most_tokens(list(messages))
        bill = Bill(asked + max_tokens, price(model, asked, max_tokens) or 0.0)
        async with self._landed:
            while said := self._too_much(bill):
                if not self._flying:
                    raise BudgetSpent(said)
                await self._landed.wait()
            self._flying.append(bill)
        try:
            yield bill
        finally:
            self._flying.remove(bill)
            self.spent.tokens += bill.tokens
            self.spent.usd += bill.usd
            async with self._landed:
                self._landed.notify_all()

    def _too_much(self, bill: Bill) -> str:
        usd, tokens = self._settings.usd, self._settings.tokens
        bills = [*self._flying, bill]
        if usd is not None and self.spent.usd + sum(one.usd for one in bills) > usd + 1e-12:
            return f"the budget of ${usd:g} has no room for another request of up to ${bill.usd:.4f}: ${self.spent.usd:.4f} spent"
        if tokens is not None and self.spent.tokens + sum(one.tokens for one in bills) > tokens:
            return (
                f"the budget of {tokens} tokens has no room for another request of up to {bill.tokens}: "
                f"{self.spent.tokens} spent"
            )
        return ""


def counted(call: Mapping[str, Any]) -> int:
    """Tokens of an answer: as the endpoint counts them, else the most that they can be."""
    if call["input_tokens"] is not None and call["output_tokens"] is not None:
        return int(call["input_tokens"]) + int(call["output_tokens"])
    return sum(most_counted(json.loads(call["messages"]), call["response"] or "", call["reasoning"] or ""))


def most_counted(messages: Sequence[Mapping[str, str]], text: str, reasoning: str) -> tuple[int, int]:
    """The most input and output tokens that a request and its answer can have been, where the endpoint counts none."""
    return most_tokens(messages), len(text.encode()) + len(reasoning.encode())
