"""Selection: fitness of a candidate, survivors, and choice of parents. No I/O."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evo.config import Selection
from evo.status import Status

if TYPE_CHECKING:
    from evo.genetics import Individual

Row = Mapping[str, Any]
"""Row of a candidate. This module reads status, val_loss, cost and seconds."""

BASELINE = 0
"""Number of the baseline, the candidate with the evaluator's own files."""

COST_STEP = 0.25
"""Step of the relative cost. Seconds of equal trainings differ by 10 to 40 %, so finer steps would rank noise."""
RECENT = 5
"""Number of latest baseline trainings whose median is the unit of relative cost."""


def relative_cost(seconds: float, baseline_seconds: Sequence[float]) -> float | None:
    """Return the relative cost of a training, in steps of 0.25 and at least 1.

    The relative cost is `seconds` over the median of the last `RECENT` positive values of `baseline_seconds`. Return None if
    there is no such value.

    Args:
        seconds: CPU seconds of the training on the CPU, wall seconds on MPS and CUDA.
        baseline_seconds: The same for the baseline trainings to compare with, oldest first.
    """
    recent = [s for s in baseline_seconds if s > 0][-RECENT:]
    if not recent:
        return None
    ratio = seconds / statistics.median(recent)
    return max(1.0, math.floor(ratio / COST_STEP + 0.5) * COST_STEP)


def is_scored(row: Row) -> bool:
    """Return whether a row has a score of its own: status ok and a finite loss."""
    loss = row["val_loss"]
    return row["status"] == Status.OK and loss is not None and math.isfinite(loss)


def fitness(config: Selection, row: Row) -> tuple[float, float]:
    """Return the fitness values of a scored candidate. All are minimised.

    `loss`: excess of the relative cost over `max_cost`, then the loss. `nsga2`: loss and relative cost. `score`: loss +
    weight × minutes, alone. An unknown relative cost counts as 1.
    """
    val_loss, cost = float(row["val_loss"]), float(row["relative_cost"] or 1.0)
    if config.rule == "nsga2":
        return val_loss, cost
    if config.rule == "score":
        return val_loss + config.weight * float(row["seconds"] or 0.0) / 60.0, 0.0
    return (max(0.0, cost - config.max_cost) if math.isfinite(config.max_cost) else 0.0), val_loss


class Selector:
    """Selection by one rule.

    Args:
        config: Rule and its parameters.
    """

    def __init__(self, config: Selection) -> None:
        from evo import genetics

        self._config = config
        self._toolbox = genetics.Toolbox()
        survive = genetics.select_nsga2 if config.rule == "nsga2" else genetics.select_best
        self._toolbox.register("survive", survive)
        if config.rule == "nsga2":
            self._toolbox.register("choose", genetics.select_crowded)
        else:
            self._toolbox.register("choose", genetics.select_tournament, size=config.tournament)

    @property
    def holds_clock(self) -> bool:
        """Return whether plans depend on measured seconds."""
        return self._config.rule != "loss" or math.isfinite(self._config.max_cost)

    def survivors(self, individuals: "Sequence[Individual]", k: int, rng: random.Random) -> "list[Individual]":
        """Return at most k survivors."""
        chosen: list[Individual] = self._toolbox.call("survive", rng, list(individuals), k) if individuals else []
        return chosen

    def choose(self, survivors: "Sequence[Individual]", rng: random.Random) -> "Individual":
        """Return one parent. `survivors` must not be empty."""
        chosen: Individual = self._toolbox.call("choose", rng, survivors)
        return chosen

    def order(self, first: "Individual", second: "Individual") -> "tuple[Individual, Individual]":
        """Return two individuals, fitter first. Ties are ordered by number."""
        if second.fitness > first.fitness or (second.fitness == first.fitness and second.id < first.id):
            return second, first
        return first, second
