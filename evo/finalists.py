"""Choice of candidates to retrain after a search: finalists, and leader and baseline for the verdict. No I/O.

The best of many equal candidates looks better than it is. So finalists are compared on fresh random seeds only, and a
verdict uses fresh seeds and the test part, which the search never reads.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from evo import rng
from evo.config import Config, Final, Selection
from evo.selection import BASELINE, Row, fitness, is_scored
from evo.status import Status

REPAIR = 800_000
"""Attempt n whose first iterations failed, and whose answer was sent back for repair, has the replicate REPAIR + n."""
TIMING = 900_000
"""Replicate of a training that repeats the first one on the same seeds to measure its seconds again."""
VERDICT = 1_000_000
"""First replicate of the trainings of a verdict."""
CODED = ((VERDICT, "verdict"), (TIMING, "timing"), (REPAIR, "repair"))
"""First replicate of each coded purpose, highest first."""


def seeds_of(seed: int, replicate: int) -> tuple[int, int]:
    """Return the seeds of initialisation and data order of one training. Repeats of the first training use its seeds."""
    return rng.replicate_seeds(seed, 0 if REPAIR <= replicate <= TIMING else replicate)


def purpose(number: int, replicate: int) -> str:
    """Return what a training was for: search, calibration, finalist, repair, timing or verdict.

    Args:
        number: Number of the candidate. Only the baseline, 0, is trained for calibration.
        replicate: Replicate number of the training.
    """
    for first, name in CODED:
        if replicate >= first:
            return name
    if replicate == 0:
        return "search"
    return "calibration" if number == BASELINE else "finalist"


def is_long(final: Final, candidates: int) -> bool:
    """Return whether a run with that many candidates has finalists."""
    return final.finalists > 0 and candidates >= final.least


def finalists(rows: Sequence[Row], config: Config) -> list[int]:
    """Return the finalists of a long run, fittest first. Return an empty list for a short run.

    Args:
        rows: Rows of all candidates.
    """
    if not is_long(config.final, len(rows)):
        return []
    return [row["id"] for row in by_fitness(rows, config.selection)[: config.final.finalists]]


def by_fitness(rows: Sequence[Row], selection: Selection) -> list[Row]:
    """Return the scored candidates without the baseline, fittest first by their first training."""
    scored = [row for row in rows if row["id"] != BASELINE and is_scored(row)]
    return sorted(scored, key=lambda row: (fitness(selection, row), row["id"]))


def final_replicates(final: Final) -> range:
    """Return the replicate numbers of a finalist's fresh seeds."""
    return range(1, 1 + final.seeds)


def verdict_replicates(final: Final) -> range:
    """Return the replicate numbers of the trainings of a verdict. Both sides use the same numbers."""
    return range(VERDICT, VERDICT + final.verdict_seeds)


def fresh_losses(trainings: Sequence[Row], number: int, final: Final) -> list[float | None]:
    """Return the held-out losses of a finalist's fresh seeds that are trained, None for each failed one."""
    mine = {row["replicate"]: row for row in trainings if row["id"] == number}
    found = [mine[k] for k in final_replicates(final) if k in mine]
    return [row["val_loss"] if row["status"] == Status.OK else None for row in found]


def leader(rows: Sequence[Row], trainings: Sequence[Row], config: Config) -> Row | None:
    """Return the leader, or None if no candidate was scored.

    In a finished long run the leader is the fittest finalist by its mean loss over the fresh seeds. A finalist with more failed
    seeds ranks below one with fewer. In every other run the leader is the fittest candidate by its first training.
    """
    ranked = by_fitness(rows, config.selection)
    fresh = {number: fresh_losses(trainings, number, config.final) for number in finalists(rows, config)}
    if not fresh or any(len(losses) < config.final.seeds for losses in fresh.values()):
        return ranked[0] if ranked else None
    return min((row for row in ranked if row["id"] in fresh), key=lambda row: _worth(row, fresh, config.selection))


def _worth(row: Row, fresh: Mapping[int, Sequence[float | None]], selection: Selection) -> tuple[object, ...]:
    losses = [loss for loss in fresh[row["id"]] if loss is not None]
    mean = statistics.mean(losses) if losses else math.inf
    failed = len(fresh[row["id"]]) - len(losses)
    return failed, fitness(selection, {**row, "val_loss": mean}), row["id"]
