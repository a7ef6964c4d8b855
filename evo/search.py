"""Search core: `ask` returns plans, `tell` takes rows. Plans are a pure function of (config, seeds, rows).

The search never evaluates, writes or reads a clock. A plan for candidate n reads only rows up to `horizon(n)`, and all of them
must be told first. So the order in which candidates finish never changes a plan.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from evo import persona
from evo.config import Config
from evo.genetics import Individual
from evo.persona import Persona
from evo.rng import generator
from evo.selection import BASELINE, Row, Selector, fitness, is_scored
from evo.status import Status
from evo.variation import Record, Variator

_REACHED_EARLY_STOP = (Status.OK, Status.STOPPED_EARLY)


@dataclass(frozen=True)
class Plan:
    """Plan of one candidate, made before any request.

    Attributes:
        persona: Persona that is asked. None for the baseline.
        parents: Numbers of the parents. The first one provides persona and files.
        base: Number of the candidate whose files the prompt asks to improve.
        operators: Records of the variation operators, in order.
    """

    id: int
    generation: int
    persona: Persona | None
    parents: tuple[int, ...] = ()
    base: int = BASELINE
    operators: tuple[Record, ...] = ()


class Search:
    """Search over `generations` × `population` candidates, after the baseline and one candidate per seed persona.

    Args:
        config: Frozen configuration.
        seeds: Seed personas, at least one.

    Raises:
        ValueError: `seeds` is empty.
    """

    def __init__(self, config: Config, seeds: Sequence[Persona]) -> None:
        if not seeds:
            raise ValueError("expected at least one seed persona, found none")
        self._config, self._seeds = config, tuple(seeds)
        self.selector = Selector(config.selection)
        self._variator = Variator(config.variation, self._seeds)
        self._rows: dict[int, Row] = {}
        self._individuals: dict[int, Individual] = {}
        self._asked: set[int] = set()
        self._complete = -1  # all rows up to this number were told

    @property
    def last(self) -> int:
        """Return the number of the last candidate."""
        return len(self._seeds) + self._config.generations * self._config.population

    @property
    def finished(self) -> bool:
        """Return whether the rows of all candidates have been told."""
        return self._complete >= self.last

    def generation_of(self, number: int) -> int:
        """Return the generation of a candidate: 0 for the baseline and the seed personas, else from 1."""
        return max(0, math.ceil((number - len(self._seeds)) / self._config.population))

    def horizon(self, number: int) -> int:
        """Return the last candidate whose row the plan for `number` may read, or -1 for none."""
        if number == BASELINE:
            return -1
        if number <= len(self._seeds):
            return BASELINE
        return max(len(self._seeds), number - self._config.horizon_lag)

    def calibrations(self) -> dict[int, int]:
        """Return a map from candidate number to the baseline replicate that is trained before that candidate."""
        first = len(self._seeds) + 1
        starts = range(first, self.last + 1, self._config.baseline_every)
        return {number: replicate for replicate, number in enumerate(starts, start=1)}

    def tell(self, row: Row) -> None:
        """Take the row of one candidate. A row that was told before changes nothing."""
        self._rows.setdefault(int(row["id"]), row)
        while self._complete + 1 in self._rows:
            self._complete += 1

    def ask(self) -> list[Plan]:
        """Return, in order, a plan for every candidate that can be planned now and was not planned before."""
        plans = []
        for number in range(self.last + 1):
            if self.horizon(number) > self._complete:
                break
            if number not in self._asked and number not in self._rows:
                self._asked.add(number)
                plans.append(self.plan(number))
        return plans

    def plan(self, number: int) -> Plan:
        """Return the plan of one candidate. The plan depends only on rows up to `horizon(number)`.

        Raises:
            ValueError: A row that the plan needs has not been told.
        """
        if self.horizon(number) > self._complete:
            raise ValueError(f"candidate {number} needs the rows up to {self.horizon(number)}, has {self._complete}")
        generation = self.generation_of(number)
        if number == BASELINE:
            return Plan(number, generation, None)
        if number <= len(self._seeds):
            return Plan(number, generation, self._seeds[number - 1])
        rng = generator(self._config.seed, number, "plan")
        odds = self._config.variation
        survivors = self.selector.survivors(self._parents(number), self._config.population, rng)
        if not survivors or rng.random() < odds.immigrate:
            return self._immigrant(number, generation)
        first = self.selector.choose(survivors, rng)
        parents, operators, child = [first], [], first.persona
        if len(survivors) > 1 and rng.random() < odds.crossover:
            second = self.selector.choose([s for s in survivors if s is not first], rng)
            first, second = self.selector.order(first, second)
            parents = [first, second]
            child, record = self._variator.cross(first.persona, second.persona, second.id, rng)
            operators.append(record)
        child, records = self._variator.mutate(child, rng)
        base = first.id if self._beats_baseline(first) else BASELINE
        if rng.random() < odds.restart:
            base = BASELINE
            records.append({"operator": "restart"})
        return Plan(number, generation, child, tuple(p.id for p in parents), base, (*operators, *records))

    def visible(self, number: int) -> list[Individual]:
        """Return the candidates up to the horizon that can be parents: scored, finite, with a persona. Ordered by number."""
        found = []
        for other in range(1, self.horizon(number) + 1):
            if other not in self._individuals and is_scored(self._rows[other]):
                row = self._rows[other]
                values = fitness(self._config.selection, row)
                self._individuals[other] = Individual(other, persona.from_json(row["persona"]), values)
            if other in self._individuals:
                found.append(self._individuals[other])
        return found

    def _parents(self, number: int) -> list[Individual]:
        """Return the visible candidates whose loss is not clearly worse than the baseline's, at any relative cost.

        Fall back to all visible candidates if none qualifies.
        """
        visible, baseline = self.visible(number), self._rows[BASELINE]
        if not is_scored(baseline):
            return visible
        most = baseline["val_loss"] + self._config.selection.clearly_worse
        return [other for other in visible if self._rows[other.id]["val_loss"] <= most] or visible

    def early_stop(self, number: int) -> tuple[float, int] | None:
        """Return the reported loss above which candidate `number` is stopped early, and the number of losses behind it.

        The threshold is the median of the last candidates up to the horizon that reached the early-stopping step. Return
        None if the candidate is never stopped: a seed persona, a member of the control group, or too few losses.
        """
        early = self._config.early
        chance = generator(self._config.seed, number, "control").random()
        if not early.stop or number <= len(self._seeds) or chance < early.control:
            return None
        rows = self.readable_rows(number)
        seen = [
            row["early_stop_loss"]
            for row in rows
            if row["status"] in _REACHED_EARLY_STOP and row["early_stop_loss"] is not None
        ]
        seen = seen[-early.window :]
        return (statistics.median(seen), len(seen)) if len(seen) >= early.least else None

    def duplicate_of(self, number: int, code_hash: str) -> Row | None:
        """Return the first candidate up to the horizon that has the same code and was trained itself, or None."""
        for row in self.readable_rows(number):
            if row["code_hash"] == code_hash and row["duplicate_of"] is None:
                return row
        return None

    def would_lead(self, number: int, val_loss: float | None) -> bool:
        """Return whether a loss is below all losses, the baseline's included, that candidate `number` may read."""
        known = self.readable_rows(number)
        return val_loss is not None and all(val_loss < row["val_loss"] for row in known if is_scored(row))

    def readable_rows(self, number: int) -> list[Row]:
        """Return the rows that the plan for `number` may read, ordered by number."""
        return [self._rows[other] for other in range(self.horizon(number) + 1)]

    def row(self, number: int) -> Row:
        """Return a row that was told."""
        return self._rows[number]

    def _immigrant(self, number: int, generation: int) -> Plan:
        chosen = generator(self._config.seed, number, "immigrant").choice(self._seeds)
        return Plan(number, generation, chosen, operators=({"operator": "immigrate", "from": chosen.name},))

    def _beats_baseline(self, individual: Individual) -> bool:
        row = self._rows[BASELINE]
        return not is_scored(row) or individual.values < fitness(self._config.selection, row)
