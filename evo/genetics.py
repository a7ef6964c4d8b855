"""DEAP behind types: the individual with its fitness, the toolbox, and DEAP's draws contained.

No other module imports DEAP. A fitness here always holds finite numbers; a failure has none.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from deap import base, tools

from evo.persona import Persona
from evo.rng import contained


class Fitness(base.Fitness):  # type: ignore[misc]
    """Two values, both to be lowered. Compared in order, or by dominance, as the selection wants."""

    weights = (-1.0, -1.0)


@dataclass(eq=False)
class Individual:
    """A candidate that can be a parent, with its two fitness values, both to be lowered.

    Raises:
        ValueError: a value is not finite: such a candidate must not reach a selection.
    """

    id: int
    persona: Persona
    values: tuple[float, float]
    fitness: Fitness = field(init=False)

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.values)):
            raise ValueError(f"candidate {self.id}: expected a finite fitness, found {self.values}")
        self.fitness = Fitness(self.values)


Operator = Callable[..., Any]


class Toolbox:
    """DEAP's toolbox, with every call's draws taken from a given generator."""

    def __init__(self) -> None:
        self._toolbox = base.Toolbox()

    def register(self, name: str, function: Operator, **fixed: Any) -> None:
        """Give `function` a name, with some of its arguments fixed."""
        self._toolbox.register(name, function, **fixed)

    def call(self, name: str, rng: random.Random, *args: Any, **kwargs: Any) -> Any:
        """Call the operator `name`; what it draws from the global `random` comes from `rng`."""
        with contained(rng):
            return getattr(self._toolbox, name)(*args, **kwargs)


def select_best(individuals: Sequence[Individual], k: int) -> list[Individual]:
    """The k with the best fitness, in order of their values; equal ones by their number."""
    return cast(list[Individual], tools.selBest(sorted(individuals, key=lambda i: i.id), k))


def select_nsga2(individuals: Sequence[Individual], k: int) -> list[Individual]:
    """The k of the first fronts, the last front thinned by crowding distance (Deb et al. 2002)."""
    return cast(list[Individual], tools.selNSGA2(sorted(individuals, key=lambda i: i.id), min(k, len(individuals))))


def select_tournament(individuals: Sequence[Individual], size: int) -> Individual:
    """The best of `size` drawn with replacement."""
    return cast(Individual, tools.selTournament(list(individuals), 1, size)[0])


def select_crowded(individuals: Sequence[Individual]) -> Individual:
    """A binary tournament on dominance, then on crowding distance; the individuals come from `select_nsga2`."""
    if len(individuals) < 4:
        return cast(Individual, tools.selRandom(list(individuals), 1)[0])
    return cast(Individual, tools.selTournamentDCD(list(individuals), 4)[0])
