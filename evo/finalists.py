"""What is trained again when a search is done: finalists, and the leader and the baseline for the verdict. Pure.

During a search there is a leader, never a champion: the best of many equal candidates looks better than it is by luck
alone. Finalists are judged on fresh seeds alone, and a verdict on fresh seeds and a part that nothing has touched.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from evo import rng
from evo.config import Config, Final, Selection
from evo.selection import BASELINE, Row, fitness, is_scored
from evo.status import Status

MENDED = 800_000
"""Replicate of the first iterations of attempt n, less n: they failed, and the answer went back to its model."""
SECOND_CLOCK = 900_000
"""Replicate of a training that repeats the first one, same seeds, for its seconds alone."""
VERDICT = 1_000_000
"""The first replicate of the trainings of verdicts."""


def seeds_of(seed: int, replicate: int) -> tuple[int, int]:
    """Seeds of initialisation and of data order of one training of a search with `seed`."""
    return rng.replicate_seeds(seed, 0 if MENDED <= replicate <= SECOND_CLOCK else replicate)


def is_long(final: Final, candidates: int) -> bool:
    """Whether a run of so many candidates has finalists."""
    return final.finalists > 0 and candidates >= final.least


def finalists(rows: Sequence[Row], config: Config) -> list[int]:
    """The fittest candidates of a long run by its own rule, fittest first; empty for a short one.

    Args:
        rows: of every candidate.
    """
    if not is_long(config.final, len(rows)):
        return []
    return [row["id"] for row in by_fitness(rows, config.selection)[: config.final.finalists]]


def by_fitness(rows: Sequence[Row], selection: Selection) -> list[Row]:
    """The scored candidates without the baseline, the fittest on its first training first."""
    scored = [row for row in rows if row["id"] != BASELINE and is_scored(row)]
    return sorted(scored, key=lambda row: (fitness(selection, row), row["id"]))


def final_replicates(final: Final) -> range:
    """Replicates of a finalist's fresh seeds."""
    return range(1, 1 + final.seeds)


def verdict_replicates(final: Final) -> range:
    """Replicates of a verdict's trainings, of either side."""
    return range(VERDICT, VERDICT + final.verdict_seeds)


def fresh_losses(trainings: Sequence[Row], number: int, final: Final) -> list[float | None]:
    """Held-out losses of a finalist's fresh seeds as far as they are trained, None for one that failed."""
    mine = {row["replicate"]: row for row in trainings if row["id"] == number}
    found = [mine[k] for k in final_replicates(final) if k in mine]
    return [row["val_loss"] if row["status"] == Status.OK else None for row in found]


def leader(rows: Sequence[Row], trainings: Sequence[Row], config: Config) -> Row | None:
    """The leader: of a long run that is done the finalist with the lowest mean on its fresh seeds, else the fittest on
    one training. A finalist with a seed that failed comes after those with none; None where no candidate was scored.
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
