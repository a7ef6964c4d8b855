"""Typed wrapper of DEAP: individuals with fitness, the toolbox, and selection operators.

No other module imports DEAP. A fitness holds finite numbers only; a failed candidate has no fitness.
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
    """Two minimised values, compared in order or by dominance."""

    weights = (-1.0, -1.0)


@dataclass(eq=False)
class Individual:
    """Candidate that can be a parent, with two minimised fitness values.

    Raises:
        ValueError: A value is not finite.
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
    """DEAP toolbox whose calls draw from a given generator."""

    def __init__(self) -> None:
        self._toolbox = base.Toolbox()

    def register(self, name: str, function: Operator, **fixed: Any) -> None:
        """Register `function` under a name with some arguments bound."""
        self._toolbox.register(name, function, **fixed)

    def call(self, name: str, rng: random.Random, *args: Any, **kwargs: Any) -> Any:
        """Call the operator `name`. Its draws from the global `random` come from `rng`."""
        with contained(rng):
            return getattr(self._toolbox, name)(*args, **kwargs)


def select_best(individuals: Sequence[Individual], k: int) -> list[Individual]:
    """Return the k individuals with the lowest fitness values. Ties are ordered by number."""
    return cast(list[Individual], tools.selBest(sorted(individuals, key=lambda i: i.id), k))


def select_nsga2(individuals: Sequence[Individual], k: int) -> list[Individual]:
    """Return at most k individuals, front by front. The last front is thinned by crowding distance (Deb et al. 2002)."""
    return cast(list[Individual], tools.selNSGA2(sorted(individuals, key=lambda i: i.id), min(k, len(individuals))))


def select_tournament(individuals: Sequence[Individual], size: int) -> Individual:
    """Return the best of `size` individuals drawn with replacement."""
    return cast(Individual, tools.selTournament(list(individuals), 1, size)[0])


def select_crowded(individuals: Sequence[Individual]) -> Individual:
    """Return the winner of a binary tournament on dominance, then crowding distance.

    `select_nsga2`, which sets the crowding distances, must run first. Fewer than four individuals are drawn uniformly.
    """
    if len(individuals) < 4:
        return cast(Individual, tools.selRandom(list(individuals), 1)[0])
    return cast(Individual, tools.selTournamentDCD(list(individuals), 4)[0])
