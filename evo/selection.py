"""Selection: what a candidate's loss and cost are worth, who survives, who becomes a parent. Pure."""

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
"""Of a candidate: status, val_loss, cost and seconds are read."""

BASELINE = 0
"""The number of the candidate that is the evaluator's own files."""

COST_STEP = 0.25
"""Costs are stepped: raw seconds of equal trainings differ by 10 to 40 %."""
RECENT = 5
"""Baseline trainings whose median is the unit of cost."""


def cost(seconds: float, baseline_seconds: Sequence[float]) -> float | None:
    """Seconds over the median of the last `RECENT` baseline trainings on that worker, in steps of 0.25, at least 1.

    None where there is no baseline to compare with. CPU seconds on the CPU, wall seconds on MPS and CUDA.
    """
    recent = [s for s in baseline_seconds if s > 0][-RECENT:]
    if not recent:
        return None
    ratio = seconds / statistics.median(recent)
    return max(1.0, math.floor(ratio / COST_STEP + 0.5) * COST_STEP)


def is_scored(row: Row) -> bool:
    """Whether a row has a score of its own: ok, with a finite loss."""
    loss = row["val_loss"]
    return row["status"] == Status.OK and loss is not None and math.isfinite(loss)


def fitness(config: Selection, row: Row) -> tuple[float, float]:
    """The two fitness values of a scored candidate, both to be lowered.

    `loss`: how far its cost is over `max_cost`, then its loss. `nsga2`: loss and cost. `score`: loss + weight × minutes,
    alone. A cost that is not known counts as 1.
    """
    val_loss, cost = float(row["val_loss"]), float(row["cost"] or 1.0)
    if config.rule == "nsga2":
        return val_loss, cost
    if config.rule == "score":
        return val_loss + config.weight * float(row["seconds"] or 0.0) / 60.0, 0.0
    return (max(0.0, cost - config.max_cost) if math.isfinite(config.max_cost) else 0.0), val_loss


class Selector:
    """One rule of selection.

    Args:
        config: the rule and its numbers.
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
        """Whether a plan depends on seconds."""
        return self._config.rule != "loss" or math.isfinite(self._config.max_cost)

    def survivors(self, individuals: "Sequence[Individual]", k: int, rng: random.Random) -> "list[Individual]":
        """At most k of them; all are rated already."""
        chosen: list[Individual] = self._toolbox.call("survive", rng, list(individuals), k) if individuals else []
        return chosen

    def choose(self, survivors: "Sequence[Individual]", rng: random.Random) -> "Individual":
        """One parent out of `survivors`, which are rated and not empty."""
        chosen: Individual = self._toolbox.call("choose", rng, survivors)
        return chosen

    def order(self, first: "Individual", second: "Individual") -> "tuple[Individual, Individual]":
        """The two with the fitter one first; equal ones by their number."""
        if second.fitness > first.fitness or (second.fitness == first.fitness and second.id < first.id):
            return second, first
        return first, second
