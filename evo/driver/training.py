"""Trainings of a run: send them to workers, compute their relative cost, and store them with their loss curves."""

import datetime
import statistics
from collections.abc import Callable

from evo import finalists
from evo.driver.run_folder import RunFolder
from evo.driver.workers import Pool
from evo.lineage.store import Lineage, Row
from evo.proposer.repair import REPAIRABLE
from evo.selection import BASELINE, RECENT, relative_cost
from evo.status import Status
from evo.trainer.job import SHORT_RUN, EarlyStop, Job

_EPOCH = datetime.datetime(1970, 1, 1)
_TAKEN = (
    *(
        "status",
        "reason",
        "stage",
        "val_loss",
        "text_se",
        "bits_per_byte",
        "test_loss",
        "reported_vloss",
        "reported_elapsed_min",
    ),
    *("n_params", "early_stop_loss", "cpu_seconds", "wall_seconds", "verify_seconds", "peak_memory_bytes"),
    *("device", "host", "isolation", "output_tail"),
)
"""Columns of a training that are copied from its judgement."""


class Trainings:
    """Trainings of one run.

    Args:
        folder: The run.
        lineage: Lineage that holds the trainings.
        trainers: Train files.
    """

    def __init__(self, folder: RunFolder, lineage: Lineage, trainers: Pool) -> None:
        self._folder, self._lineage, self._trainers = folder, lineage, trainers
        self._baselines: dict[tuple[str, str], list[Row]] = {}

    def read(self) -> list[Row]:
        """Return all recorded trainings. Those of the baseline become the unit of relative cost."""
        rows = self._lineage.read("trainings")
        self._baselines.clear()
        for row in sorted(rows, key=lambda row: (row["started_at"] or _EPOCH, row["replicate"])):
            self._note_baseline(row)
        return rows

    async def train(
        self,
        number: int,
        replicate: int,
        files: dict[str, str],
        *,
        early_stop: EarlyStop | None = None,
        test: bool = False,
        attempt: int | None = None,
    ) -> Row:
        """Train files and return the training as a durable row. A recorded training is not repeated.

        Args:
            number: Number of the candidate.
            replicate: Replicate number.
            files: Files to train.
            early_stop: Early-stopping step and threshold.
            test: Whether to score on `test` as well.
            attempt: Number of the attempt if a repair may follow. If its first iterations fail, the replicate number of the
                row is `finalists.REPAIR` + attempt.
        """
        went_back = attempt is not None and self._lineage.has("calls", number, attempt + 1)
        for known in ([] if attempt is None else [finalists.REPAIR + attempt]) + ([] if went_back else [replicate]):
            if recorded := self._lineage.read_record("trainings", number, known):
                return recorded[0]
        seeds = finalists.seeds_of(self._folder.config.seed, replicate)
        limit = None if number == BASELINE else self._cpu_limit()
        judged = await self._trainers.judge(Job(files, *seeds, cpu_seconds=limit, early_stop=early_stop, test=test))
        if attempt is not None and judged.get("stage") == SHORT_RUN and judged["status"] in REPAIRABLE:
            replicate = finalists.REPAIR + attempt
        row: Row = {"run": self._lineage.run, "id": number, "replicate": replicate, "seed": seeds[0]}
        row["purpose"] = finalists.purpose(number, replicate)
        row |= {column: judged.get(column) for column in _TAKEN}
        row["status"] = str(row["status"])
        row["started_at"] = _when(judged.get("started_at"))
        row["reported_gap"] = _difference(row["reported_vloss"], row["val_loss"])
        self._note_baseline(row)
        row["relative_cost"] = self._cost(row, ranking_seconds) if row["status"] == Status.OK else None
        points = [{"run": row["run"], "id": number, "replicate": replicate, **p} for p in judged.get("curve", ())]
        self._lineage.append("curves", (number, replicate), points)
        self._lineage.append("trainings", (number, replicate), [row])
        return row

    def clocks_disagree(self, training: Row, max_cost: float) -> bool:
        """Return whether CPU time and wall time place the relative cost on different sides of `max_cost`."""
        costs = self._cost(training, ranking_seconds), self._cost(training, _other_seconds)
        return None not in costs and len({cost > max_cost for cost in costs if cost is not None}) == 2

    def _note_baseline(self, training: Row) -> None:
        if training["id"] == BASELINE and training["status"] == Status.OK:
            self._baselines.setdefault(_worker(training), []).append(training)

    def _cost(self, training: Row, seconds: Callable[[Row], float]) -> float | None:
        """Return the relative cost of a training by the clock `seconds`, or None without a baseline to compare with.

        The baseline trainings are those on the same worker. If there are none, use all workers with the same kind of device.
        """
        there = self._baselines.get(_worker(training)) or [
            row for worker, rows in self._baselines.items() if worker[1] == training["device"] for row in rows
        ]
        return relative_cost(seconds(training), [seconds(row) for row in there])

    def _cpu_limit(self) -> float | None:
        """Return the limit on CPU seconds of a candidate: a multiple of the baseline's seconds on the slowest CPU worker."""
        seen = [
            statistics.median([ranking_seconds(row) for row in rows[-RECENT:]])
            for (_, kind), rows in self._baselines.items()
            if kind == "cpu"
        ]
        return self._folder.evaluator.spec.limits.baseline_multiple * max(seen) if seen else None


def ranking_seconds(training: Row) -> float:
    """Return the seconds that rank a training: CPU seconds on a CPU, wall seconds on other devices."""
    return float((training["cpu_seconds"] if training["device"] == "cpu" else training["wall_seconds"]) or 0.0)


def _other_seconds(training: Row) -> float:
    """Return the seconds by the clock that `ranking_seconds` does not use."""
    return float((training["wall_seconds"] if training["device"] == "cpu" else training["cpu_seconds"]) or 0.0)


def _worker(training: Row) -> tuple[str, str]:
    """Return the host and kind of device, which identify workers that share baseline trainings."""
    return str(training["host"]), str(training["device"])


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _when(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)
