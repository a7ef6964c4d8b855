"""Conversation with a model about one candidate: request, parse, judge, and ask for repairs a few times.

Every answer is a durable `calls` row before it is used, and a recorded answer is never requested again. Messages depend
only on those rows and on the judgements, so an interrupted conversation continues where it stopped.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evo import rng
from evo.config import Config, Model
from evo.driver.budget import Budget, BudgetSpent
from evo.driver.dispatch import Dispatcher
from evo.lineage.schema import GENE
from evo.lineage.store import Lineage, Row, now
from evo.persona import Persona
from evo.proposer import gene_writing, repair
from evo.proposer.conversation import Conversation
from evo.proposer.repair import Failure
from evo.status import Status

Files = dict[str, str]
Judge = Callable[[Files, int, bool], Awaitable[tuple[Row, Failure | None]]]
"""Function that judges an attempt from its files, its number and whether a repair may follow.

It returns columns of the candidate's row, and a failure that may be repaired.
"""


class Conversations:
    """Conversations with the models about the candidates of a run.

    Args:
        config: Configuration of the run.
        lineage: Lineage that the answers are written to.
        dispatcher: Sender of requests.
        budget: Budget that admits candidates.
    """

    def __init__(self, config: Config, lineage: Lineage, dispatcher: Dispatcher, budget: Budget) -> None:
        self._config, self._lineage, self._dispatcher, self._budget = config, lineage, dispatcher, budget

    async def write(
        self, number: int, model: Model, who: Persona, wanted: Mapping[str, Any], worked: Sequence[str]
    ) -> tuple[Persona, Row, list[Row]]:
        """Request the text of a gene before the persona is asked for code.

        Args:
            number: Number of the candidate.
            model: Model that writes the text.
            who: Persona that gets the gene.
            wanted: Record of the operator that requests the gene.
            worked: One line per earlier candidate that improved.

        Returns:
            The persona (unchanged if the text is unusable), the record with the text or the reason, and the calls made.

        Raises:
            EvoError: The endpoint is down for good.
            BudgetSpent: There is no room for the request.
        """
        if not gene_writing.is_there(who, wanted):
            return who, gene_writing.refused(wanted, "another operator removed the gene"), []
        messages = gene_writing.question(who, wanted, worked)
        if not self._lineage.has("calls", number, GENE) and (why := self._cannot_write(number, model, messages)):
            return who, gene_writing.refused(wanted, why), []
        call = await self._answer(number, GENE, model.display_name, messages, {}, gene_writing.MOST_TOKENS)
        assert call is not None
        if call["status"] != Status.OK:
            return who, gene_writing.refused(wanted, call["reason"]), [call]
        return *gene_writing.take(who, wanted, call), [call]

    def _cannot_write(self, number: int, model: Model, messages: list[dict[str, str]]) -> str:
        """Return the reason if the text of a gene cannot be requested, else an empty string."""
        if self._lineage.has("calls", number, 1):
            return "the gene's text is not recorded, and the code was already requested"
        if model.is_catalogue:
            return "the catalogue cannot write genes"
        return (
            ""
            if self._dispatcher.fits(model.display_name, messages)
            else "the request does not fit the model's context"
        )

    async def propose(
        self,
        number: int,
        called: str,
        messages: list[dict[str, str]],
        base: Files,
        judge: Judge,
        before: Sequence[Row] = (),
    ) -> Row:
        """Converse about one candidate until an answer is accepted or no attempt is left. Return the columns of its row.

        Args:
            number: Number of the candidate.
            called: Name of the model.
            messages: First request.
            base: Files that the prompt asks to improve.
            judge: Checks and trains the files of an attempt.
            before: Earlier calls for the persona. They are added to the tokens and cost.

        Raises:
            EvoError: The endpoint is down for good.
            BudgetSpent: There is no room for the first request. If a later request has no room, the answers so far stand.
        """
        talk, attempts = Conversation(messages, base, self._config.answer), self._config.repairs + 1
        best: Row = {}
        spent = spent_on(before) | {"first_status": None}
        for attempt in range(1, attempts + 1):
            call = await self._answer(number, attempt, called, talk.messages, best)
            if call is None:
                break
            _add(spent, call)
            spent.setdefault("prompt", json.loads(call["messages"])[0]["content"])
            if best and call["status"] != Status.OK and call["reason"][:19] != "the answer is empty":
                best |= {"attempts": attempt}  # the repair request failed: keep the last answer
                break
            heard = talk.hear(call)
            found: Row = {"status": str(heard.status), "reason": heard.reason, "model": call["model"]}
            failure: Failure | None = Failure(heard.status, heard.reason, detail=heard.detail)
            if heard.files is not None:
                made, failure = await judge(heard.files, attempt, attempt < attempts)
                found |= made
            if failure is not None:
                failure = replace(failure, finish_reason=call["finish_reason"], files=tuple(base))
            if call["status"] == Status.OK:
                found["summary"] = _first_line(heard.prose)
            found["attempts"] = attempt
            spent["first_status"] = spent["first_status"] or found["status"]
            is_duplicate = best.get("status") == Status.DUPLICATE  # kept unless its repair succeeds
            best = found if not is_duplicate or failure is None else best | {"attempts": attempt}
            if failure is None or (is_duplicate and failure.status == Status.DUPLICATE) or not _is_repairable(failure):
                break
            talk.reply(call, failure)
        return best | spent

    async def ask_again(
        self, number: int, called: str, messages: list[dict[str, str]], base: Files, files: Files | None
    ) -> None:
        """Repeat the first request of a candidate whose answers were lost.

        An answer with the recorded files is stored as attempt 1, any other answer as attempt 2.
        """
        call = await self._request(number, 1, called, messages)
        same = Conversation(messages, base, self._config.answer).hear(call).files == files
        self._lineage.append("calls", (number, 1 if same else 2), [call | {"attempt": 1 if same else 2}])

    async def _answer(
        self,
        number: int,
        attempt: int,
        called: str,
        messages: list[dict[str, str]],
        best: Row,
        most: int | None = None,
    ) -> Row | None:
        """Return the recorded answer, or request and record it. Return None if there is no room for a repair request."""
        if recorded := self._lineage.read_record("calls", number, attempt):
            return recorded[0]
        if best and not self._dispatcher.fits(called, messages):
            return None
        try:
            call = await self._request(number, attempt, called, messages, most)
        except BudgetSpent:
            if not best:
                raise
            return None
        self._lineage.append("calls", (number, attempt), [call])
        return call

    async def _request(
        self, number: int, attempt: int, called: str, messages: list[dict[str, str]], most: int | None = None
    ) -> Row:
        """Request one answer and return it as a row."""
        seed = rng.answer_seed(self._config.seed, number, attempt)
        reply = await self._dispatcher.ask(called, messages, seed, lambda: self._budget.admit(number), most)
        taken = ("finish_reason", "status", "reason", "reasoning", "latency_s", "input_tokens", "output_tokens")
        counted = ("cost_usd", "requests", "lost_tokens", "lost_usd")
        return {
            "run": self._lineage.run,
            "id": number,
            "attempt": attempt,
            "model": reply["model"] or called,
            "messages": json.dumps(messages, ensure_ascii=False),
            "response": reply["text"],
            **{name: reply[name] for name in (*taken, *counted)},
            "created_at": now(),
        }


def _is_repairable(failure: Failure) -> bool:
    """Return whether a repair request can help. It cannot if the endpoint refused the request."""
    if failure.status == Status.NO_ANSWER:
        return failure.reason.startswith("the answer is empty")
    return failure.status in repair.REPAIRABLE


def spent_on(calls: Sequence[Row]) -> Row:
    """Return the total tokens and US dollars of calls."""
    spent: Row = {"tokens": 0, "cost_usd": 0.0}
    for call in calls:
        _add(spent, call)
    return spent


def _add(spent: Row, call: Row) -> None:
    """Add a call to the totals. An unknown value makes its total unknown (None)."""
    counted = call["input_tokens"], call["output_tokens"]
    spent["tokens"] = None if None in (*counted, spent["tokens"]) else spent["tokens"] + sum(counted)
    spent["cost_usd"] = None if None in (call["cost_usd"], spent["cost_usd"]) else spent["cost_usd"] + call["cost_usd"]


def _first_line(prose: str) -> str:
    return next((line.strip()[:300] for line in prose.splitlines() if line.strip()), "")
