"""Main loop of a run: request, parse, check, train and record every planned candidate, and report its row to the search.

Answers are durable before their training starts, trainings before the candidate's row, and rows before a plan depends on
them. Durable work is never repeated. A failed candidate does not stop the loop.
"""

import asyncio
import functools
import json
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from evo import model_selection, persona
from evo.config import Model
from evo.driver import prompt_history
from evo.driver.budget import Budget, BudgetSpent
from evo.driver.conversation import Conversations, spent_on
from evo.driver.dispatch import Dispatcher, Proposers
from evo.driver.prompt_history import files_of
from evo.driver.run_folder import RunFolder
from evo.driver.training import Trainings, ranking_seconds
from evo.driver.verdict import FinalStage
from evo.driver.workers import Pool
from evo.errors import EvoError
from evo.evaluator import code_hash, files_hash
from evo.finalists import TIMING, VERDICT
from evo.lineage.runs import lost
from evo.lineage.store import Lineage, Row, now
from evo.proposer import prompt
from evo.proposer.repair import Failure
from evo.search import Plan, Search
from evo.selection import BASELINE
from evo.status import Status
from evo.trainer.job import EarlyStop
from evo.verify import static

Works = Sequence[Coroutine[Any, Any, Row | None]]

_SHARED = (
    *(
        "status",
        "reason",
        "val_loss",
        "relative_cost",
        "reported_vloss",
        "reported_elapsed_min",
        "n_params",
        "early_stop_loss",
    ),
    "output_tail",
)
"""Columns that a candidate copies from its first training."""


class Watcher(Protocol):
    """Receiver of progress: a screen, a log or a test."""

    def row(self, row: Mapping[str, Any]) -> None:
        """Report a candidate whose row is durable."""

    def tick(self, asking: int, training: int, slots: int) -> None:
        """Report the numbers of open requests, running trainings and slots."""

    def stage(self, said: str, trainings: int) -> None:
        """Report the start of work after the search: its purpose and the number of its trainings."""

    def training(self, row: Mapping[str, Any]) -> None:
        """Report a durable training of the stage."""

    def note(self, said: str) -> None:
        """Report one line."""


class Driver:
    """Main loop of one run.

    Args:
        folder: The run.
        proposer: Sends requests to models.
        trainers: Train files.
        watcher: Receives progress.
    """

    def __init__(self, folder: RunFolder, proposer: Proposers, trainers: Pool, watcher: Watcher) -> None:
        self._folder, self._config, self._evaluator = folder, folder.config, folder.evaluator
        self._trainers, self._watcher = trainers, watcher
        self.lineage = Lineage(folder.path)
        self.budget = Budget(folder.config.budget, self.lineage.read("calls"))
        self._dispatcher = Dispatcher(folder.config, proposer, self.budget, folder.name, watcher.note)
        self._conversations = Conversations(folder.config, self.lineage, self._dispatcher, self.budget)
        self.stopped = ""
        self.search = Search(folder.config, folder.seeds)
        self._clock = self.search.selector.holds_clock
        self._calibrated: set[int] = set()
        self._trainings = Trainings(folder, self.lineage, trainers)

    async def run(self) -> None:
        """Continue from the lineage until every candidate has a row and the run has its verdict.

        If a budget is spent earlier, `stopped` holds the reason, and the verdict judges the existing candidates.

        Raises:
            EvoError: An endpoint stayed down, the disk is full, or the baseline does not train.
        """
        self._trainings.read()
        rows = self.lineage.read("candidates")
        for row in rows:
            self.search.tell(row)
            self._watcher.row(row)
        # Relative cost needs this training, whose record may have been damaged and set aside.
        if rows and not self.lineage.has("trainings", BASELINE, 0):
            await self._run_tasks([self._calibrate(0)])
        await self._run_tasks(self._due(), self._due)
        await self._make_again()
        if self.stopped:
            self._watcher.note(f"the search stops: {self.stopped}")
        await self.finish()

    async def _make_again(self) -> None:
        """Repeat trainings and requests whose records were damaged and set aside, unless an evaluation repeated them."""
        if missing := lost(self._folder.path, self._folder.candidates):
            self._watcher.stage(
                f"repeating {len(missing)} request(s) and training(s) whose records were damaged", len(missing)
            )
            again = {"trainings": self._train_again, "calls": self._ask_again}
            once = {(table, number, 1 if table == "calls" else key) for table, number, key in missing}
            await self._run_tasks([again[table](number, key) for table, number, key in sorted(once)])

    async def _train_again(self, number: int, replicate: int) -> None:
        if files := files_of(self.search.row(number)):
            early_stop, test = self._early_stop(number) if replicate == 0 else None, replicate >= VERDICT
            self._watcher.training(
                await self._trainings.train(number, replicate, files, early_stop=early_stop, test=test)
            )

    async def _ask_again(self, number: int, attempt: int) -> None:
        row, model = self.search.row(number), self._model(number)
        plan = replace(self.search.plan(number), persona=persona.from_json(row["persona"]))
        messages, base = self._messages(plan, model), self._base_files(plan)
        try:
            await self._conversations.ask_again(number, model.display_name, messages, base, files_of(row) or None)
        except BudgetSpent as spent:
            self.stopped = self.stopped or str(spent)

    async def finish(self, look_at: int | None = None) -> None:
        """Train the finalists of a long run and give the verdict on the leader.

        Args:
            look_at: Candidate to judge instead of the leader. The search must be finished.
        """
        self._trainings.read()
        rows = self.lineage.read("candidates")
        final_stage = FinalStage(self._folder, self.lineage, self._trainings)
        await self._stage(*final_stage.finals(rows))
        await self._stage(*final_stage.verdict_trainings(rows, look_at))
        final_stage.give_verdict(rows, look_at)

    async def _stage(self, said: str, works: Sequence[Coroutine[Any, Any, Row]]) -> None:
        if works:
            self._watcher.stage(said, len(works))
            await self._run_tasks([self._trained(work) for work in works])

    async def _trained(self, work: Coroutine[Any, Any, Row]) -> None:
        self._watcher.training(await work)

    async def _run_tasks(self, first: Works, due: Callable[[], Works] = list) -> None:
        """Do all work, including work that becomes due meanwhile, and report its rows. An error cancels all tasks."""
        tasks = {asyncio.ensure_future(work) for work in first}
        done: set[asyncio.Task[Row | None]] = set()
        self._watcher.tick(0, 0, self._trainers.slots)
        try:
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=1.0)
                for task in done:
                    if finished := task.result():
                        self.search.tell(finished)
                        self._watcher.row(finished)
                tasks |= {asyncio.ensure_future(work) for work in due()}
                self._watcher.tick(self._dispatcher.waiting, self._trainers.busy, self._trainers.slots)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*done, *tasks, return_exceptions=True)

    def _due(self) -> Works:
        """Return the work that can start now: candidates, and the baseline trainings that precede them."""
        work: list[Coroutine[Any, Any, Row | None]] = []
        plans = self.search.ask()
        reached = plans[-1].id if plans else self.search.last if self.search.finished else -1
        for number, replicate in self.search.calibrations().items():
            if number <= reached and replicate not in self._calibrated:
                self._calibrated.add(replicate)
                if not self.lineage.has("trainings", BASELINE, replicate):
                    work.append(self._calibrate(replicate))
        return [*work, *(self._evaluate(plan) for plan in plans)]

    async def _calibrate(self, replicate: int) -> None:
        await self._trainings.train(BASELINE, replicate, self._evaluator.baseline)

    async def _evaluate(self, plan: Plan) -> Row | None:
        """Evaluate one candidate from plan to durable row. Return None if a budget has no room for it."""
        if plan.persona is None:
            row = self._empty_row(plan) | (await self._judge(plan, self._evaluator.baseline, 0, False))[0]
        else:
            try:
                row = await self._propose(plan, self._model(plan.id))
            except BudgetSpent as spent:
                self.stopped = str(spent)
                return None
        if plan.id == BASELINE and row["status"] != Status.OK:
            raise EvoError(
                f"the baseline of {self._evaluator.spec.name} does not train: {row['status']}, {row['reason']}",
                hint=f"evo check {self._evaluator.spec.name}",
                kind="evaluator",
            )
        row["created_at"] = now()
        self.lineage.append("candidates", (plan.id,), [row])
        return row

    async def _propose(self, plan: Plan, model: Model) -> Row:
        """Request files for one candidate, judge them, and return the candidate's row."""
        calls: list[Row] = []
        try:
            self._messages(plan, model)  # raises if the prompt is too long, before a gene is paid for
            plan, calls = await self._written(plan, model)
            messages = self._messages(plan, model)
        except prompt.PromptTooLong as error:
            row = self._empty_row(plan) | {"status": str(Status.NO_ANSWER), "reason": error.message}
            return row | {"asked": model.display_name} | (spent_on(calls) if calls else {})
        judge = functools.partial(self._judge, plan)
        made = await self._conversations.propose(
            plan.id, model.display_name, messages, self._base_files(plan), judge, calls
        )
        return self._empty_row(plan) | {"asked": model.display_name} | made

    async def _written(self, plan: Plan, model: Model) -> tuple[Plan, list[Row]]:
        """Request the text of a gene if the plan needs one. Return the plan with the text, and the calls made."""
        place = next((n for n, record in enumerate(plan.operators) if "words" in record), None)
        if place is None:
            return plan, []
        assert plan.persona is not None
        worked = prompt_history.worked(self.search.readable_rows(plan.id))
        who, record, calls = await self._conversations.write(
            plan.id, model, plan.persona, plan.operators[place], worked
        )
        operators = (*plan.operators[:place], record, *plan.operators[place + 1 :])
        return replace(plan, persona=who, operators=operators), calls

    async def _judge(
        self, plan: Plan, files: dict[str, str], attempt: int, may_mend: bool
    ) -> tuple[Row, Failure | None]:
        """Check and train `files`, or copy the scores of a duplicate. Return the columns and a failure that may be repaired."""
        row: Row = {"files": json.dumps(files, ensure_ascii=False)}
        if refused := static.check(files, self._evaluator):
            row |= {"status": str(refused.status), "reason": refused.reason}
            return row, Failure(refused.status, refused.reason)
        row["code_hash"] = code_hash(files)
        original = self.search.duplicate_of(plan.id, row["code_hash"])
        if original is not None:
            for column in ("val_loss", "relative_cost", "seconds", "n_params"):
                row[column] = original[column]
            same = f"the same code as candidate {original['id']}" + ("" if original["id"] else ", the baseline")
            row |= {"status": str(Status.DUPLICATE), "reason": same, "duplicate_of": original["id"]}
            return row, Failure(Status.DUPLICATE, same)
        tried = attempt if may_mend else None
        training = await self._trainings.train(plan.id, 0, files, early_stop=self._early_stop(plan.id), attempt=tried)
        for column in _SHARED:
            row[column] = training[column]
        row["seconds"] = ranking_seconds(training)
        if training["replicate"]:
            return row, Failure(Status(row["status"]), row["reason"], row["output_tail"])
        if self._clock and self._is_in_doubt(plan.id, training):
            again = await self._trainings.train(plan.id, TIMING, files)
            if again["relative_cost"] is not None and again["relative_cost"] < (row["relative_cost"] or math.inf):
                row["relative_cost"], row["seconds"] = (
                    again["relative_cost"],
                    ranking_seconds(again),
                )  # disturbances only add time
        return row, None

    def _early_stop(self, number: int) -> EarlyStop | None:
        """Return the early-stopping step and threshold of a candidate's first training, or None if it is never stopped."""
        median = self.search.early_stop(number) if number != BASELINE and self._evaluator.spec.rung_step else None
        return EarlyStop(self._evaluator.spec.rung_step, *median) if median else None

    def _is_in_doubt(self, number: int, training: Row) -> bool:
        """Return whether CPU and wall clock disagree on `max_cost` for a candidate whose loss would lead."""
        most = self._config.selection.max_cost
        leads = self.search.would_lead(number, training["val_loss"])
        return number != BASELINE and leads and self._trainings.clocks_disagree(training, most)

    def _model(self, number: int) -> Model:
        return model_selection.choose(self._config, number, self.search.readable_rows(number))

    def _messages(self, plan: Plan, model: Model) -> list[dict[str, str]]:
        assert plan.persona is not None
        told = self._config.prompt
        lessons = prompt_history.lessons_of(self.search.row, plan.base, told.lessons) if told.lessons else ()
        second = None
        if told.second_parent:
            second = prompt_history.second_parent(self.search.row, plan.parents, plan.base)
        parts = prompt.parts(
            plan.persona,
            self._base_files(plan),
            prompt_history.outcome_of(self.search.row, plan.base, holds_clock=self._clock),
            form=self._config.answer,
            second=second,
            lessons=lessons,
            limit=model.prompt_limit,
        )
        return prompt.messages(parts)

    def _base_files(self, plan: Plan) -> dict[str, str]:
        return dict(self._evaluator.baseline) if plan.base == BASELINE else files_of(self.search.row(plan.base))

    def _empty_row(self, plan: Plan) -> Row:
        from evo.lineage.schema import TABLES

        row: Row = dict.fromkeys(column.name for column in TABLES["candidates"])
        row |= {
            "run": self.lineage.run,
            "id": plan.id,
            "generation": plan.generation,
            "status": str(Status.OK),
            "reason": "",
            "parents": list(plan.parents),
            "base": plan.base,
            "operators": json.dumps(plan.operators, ensure_ascii=False),
            "base_files": files_hash(self._base_files(plan)),
        }
        if plan.persona is not None:
            row["mind"], row["persona"] = plan.persona.name, persona.to_json(plan.persona)
        return row
