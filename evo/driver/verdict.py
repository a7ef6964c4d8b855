"""Final stage of a run: train the finalists, train both sides of the verdict, and record one row per verdict."""

import itertools
import json
from collections.abc import Coroutine, Sequence
from typing import Any

from evo import finalists
from evo.driver.prompt_history import files_of
from evo.driver.run_folder import RunFolder
from evo.driver.training import Trainings
from evo.errors import EvoError
from evo.lineage.store import Lineage, Row, now
from evo.selection import BASELINE
from evo.verify import statistics

Works = tuple[str, list[Coroutine[Any, Any, Row]]]
"""Description of trainings for the user, and the trainings."""

BETTER, NOT_SHOWN = "better", "not shown to be better"
NOTHING, NOT_WANTED = "nothing to judge", "not requested"


class FinalStage:
    """Final stage of a run.

    Args:
        folder: The run.
        lineage: Lineage of the run.
        trainings: Trainings of the run. Recorded trainings are not repeated.
    """

    def __init__(self, folder: RunFolder, lineage: Lineage, trainings: Trainings) -> None:
        self._folder, self._lineage, self._trainings = folder, lineage, trainings
        self._final = folder.config.final

    def finals(self, rows: Sequence[Row]) -> Works:
        """Return the missing trainings of the finalists."""
        chosen = finalists.finalists(rows, self._folder.config)
        said = f"finalists {', '.join(map(str, chosen))}: {self._final.seeds} fresh seeds each"
        return said, self._missing(rows, chosen, finalists.final_replicates(self._final), test=False)

    def verdict_trainings(self, rows: Sequence[Row], look_at: int | None) -> Works:
        """Return the missing trainings of the verdict. There are none if it is recorded or nothing can be judged."""
        chosen = self._chosen(rows, look_at)
        if chosen is None or self._is_given(len(rows), chosen, look_at):
            return "", []
        said = f"verdict on candidate {chosen} and the baseline: {self._final.verdict_seeds} fresh seeds each, on test"
        return said, self._missing(rows, [BASELINE, chosen], finalists.verdict_replicates(self._final), test=True)

    def give_verdict(self, rows: Sequence[Row], look_at: int | None) -> None:
        """Record the verdict unless it is recorded. If there is nothing to judge, record a row that marks the end of the run.

        A candidate that was judged before on the same trainings keeps its verdict, and `test` is not read again.
        """
        chosen = self._chosen(rows, look_at)
        if self._is_given(len(rows), chosen, look_at):
            return
        earlier = self._lineage.read("verdicts")
        looks = max((row["look"] for row in earlier), default=0)
        row = dict.fromkeys(("seeds", "difference", "low", "high", "p_welch", "p_permutation", "p_holm"))
        row |= {"run": self._lineage.run, "id": chosen, "look": looks + (chosen is not None), "details": "{}"}
        if chosen is None:
            row["verdict"] = NOTHING if self._final.verdict_seeds else NOT_WANTED
        elif before := next((row for row in earlier if row["id"] == chosen), None):
            row = before
        else:
            row |= self._compare(chosen, earlier)
        row |= {"after": len(rows), "created_at": now()}
        ours = itertools.count(len(earlier) + 1)  # a record set aside as damaged leaves a gap or a used key
        key = next((len(rows), n) for n in ours if not self._lineage.has("verdicts", len(rows), n))
        self._lineage.append("verdicts", key, [row])

    def _compare(self, chosen: int, earlier: Sequence[Row]) -> Row:
        """Compare test losses with the baseline and return verdict columns. Holm-correct p for the earlier verdicts."""
        sides = {"candidate": self._test_losses(chosen), "baseline": self._test_losses(BASELINE)}
        found = statistics.compare(sides["candidate"], sides["baseline"])
        others = [row["p_welch"] for row in earlier if row["p_welch"] is not None]
        corrected = statistics.holm([*others, found.p])[-1]
        return {
            "verdict": BETTER if statistics.is_better(corrected) else NOT_SHOWN,
            "seeds": self._final.verdict_seeds,
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "p_welch": found.p,
            "p_permutation": found.p_permutation,
            "p_holm": corrected,
            "details": json.dumps({"replicates": list(finalists.verdict_replicates(self._final)), **sides}),
        }

    def _test_losses(self, number: int) -> list[float | None]:
        """Return the test loss for each seed, with None for a failed training."""
        records = [self._lineage.read_record("trainings", number, k) for k in finalists.verdict_replicates(self._final)]
        return [record[0]["test_loss"] for record in records]

    def _chosen(self, rows: Sequence[Row], look_at: int | None) -> int | None:
        """Return the candidate to judge: `look_at`, else the leader. The leader is chosen before `test` is read."""
        if not self._final.verdict_seeds:
            return None
        if look_at is not None:
            return look_at
        leader = finalists.leader(rows, self._lineage.read("trainings"), self._folder.config)
        return None if leader is None else int(leader["id"])

    def _is_given(self, after: int, chosen: int | None, look_at: int | None) -> bool:
        """Return whether a verdict on `look_at` is recorded or, without `look_at`, a verdict after `after` candidates."""
        given = self._lineage.read("verdicts")
        return any(row["id"] == chosen if look_at is not None else row["after"] == after for row in given)

    def _missing(
        self, rows: Sequence[Row], numbers: Sequence[int], replicates: Sequence[int], *, test: bool
    ) -> list[Coroutine[Any, Any, Row]]:
        """Return missing trainings. Candidates alternate so that they train under the same machine conditions."""
        by_id = {row["id"]: row for row in rows}
        wanted = [(number, replicate) for replicate in replicates for number in numbers]
        return [
            self._trainings.train(number, replicate, _files(by_id[number]), test=test)
            for number, replicate in wanted
            if not self._lineage.has("trainings", number, replicate)
        ]


def _files(row: Row) -> dict[str, str]:
    """Return the files of a candidate.

    Raises:
        EvoError: The candidate has no files.
    """
    if not row["files"]:
        raise EvoError(f"candidate {row['id']} has no files: {row['status']}, {row['reason']}", kind="usage")
    return files_of(row)
