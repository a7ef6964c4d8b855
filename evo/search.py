"""The search: `ask` for plans, `tell` it rows. Pure: what it plans is a function of (config, seeds, rows) alone.

It never evaluates, writes or looks at a clock. A plan for candidate n reads only the rows up to `horizon(n)`, all of
which are told first, so that the order in which candidates finish never changes a plan.
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

_REACHED_RUNG = (Status.OK, Status.STOPPED_EARLY)


@dataclass(frozen=True)
class Plan:
    """What one candidate is to be, before anyone is asked.

    Attributes:
        persona: who is asked; None for the baseline.
        parents: whose persona it has, the one whose files it has first.
        base: the candidate whose files it is asked to improve.
        operators: what variation did, in order.
    """

    id: int
    generation: int
    persona: Persona | None
    parents: tuple[int, ...] = ()
    base: int = BASELINE
    operators: tuple[Record, ...] = ()


class Search:
    """One search over `generations` × `population` candidates, after the baseline and one candidate a seed.

    Args:
        config: the frozen configuration.
        seeds: the seed personas, at least one.

    Raises:
        ValueError: no seed.
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
        self._complete = -1  # rows up to this one are all told

    @property
    def last(self) -> int:
        """The number of the last candidate."""
        return len(self._seeds) + self._config.generations * self._config.population

    @property
    def finished(self) -> bool:
        """Whether every candidate's row was told."""
        return self._complete >= self.last

    def generation_of(self, number: int) -> int:
        """0 for the baseline and the seeds, then from 1."""
        return max(0, math.ceil((number - len(self._seeds)) / self._config.population))

    def horizon(self, number: int) -> int:
        """The last candidate whose row a plan for `number` may read; -1 for none."""
        if number == BASELINE:
            return -1
        if number <= len(self._seeds):
            return BASELINE
        return max(len(self._seeds), number - self._config.horizon_lag)

    def calibrations(self) -> dict[int, int]:
        """Candidate number → replicate of the baseline that is trained before it."""
        first = len(self._seeds) + 1
        starts = range(first, self.last + 1, self._config.baseline_every)
        return {number: replicate for replicate, number in enumerate(starts, start=1)}

    def tell(self, row: Row) -> None:
        """Take one candidate's row; a row that was told already changes nothing."""
        self._rows.setdefault(int(row["id"]), row)
        while self._complete + 1 in self._rows:
            self._complete += 1

    def ask(self) -> list[Plan]:
        """Plans, in order, for every candidate that can be planned now and has neither a row nor been asked for."""
        plans = []
        for number in range(self.last + 1):
            if self.horizon(number) > self._complete:
                break
            if number not in self._asked and number not in self._rows:
                self._asked.add(number)
                plans.append(self.plan(number))
        return plans

    def plan(self, number: int) -> Plan:
        """The plan of one candidate; it reads rows up to `horizon(number)` and nothing else.

        Raises:
            ValueError: a row that it reads was not told yet.
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
        """Candidates up to the horizon that can be parents: scored, finite, with a persona; by number."""
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
        """The visible ones that are not clearly worse than the baseline, however fast; all of them where none is."""
        visible, baseline = self.visible(number), self._rows[BASELINE]
        if not is_scored(baseline):
            return visible
        most = baseline["val_loss"] + self._config.selection.clearly_worse
        return [other for other in visible if self._rows[other.id]["val_loss"] <= most] or visible

    def rung(self, number: int) -> tuple[float, int] | None:
        """Above what reported loss at the evaluator's rung candidate `number` is stopped: the median of the last ones up to
        the horizon that reached it, and how many they are. None where it is never stopped: a seed, the control, too few.
        """
        early = self._config.early
        chance = generator(self._config.seed, number, "control").random()
        if not early.stop or number <= len(self._seeds) or chance < early.control:
            return None
        rows = self.known(number)
        seen = [row["rung_loss"] for row in rows if row["status"] in _REACHED_RUNG and row["rung_loss"] is not None]
        seen = seen[-early.window :]
        return (statistics.median(seen), len(seen)) if len(seen) >= early.least else None

    def twin(self, number: int, code_hash: str) -> Row | None:
        """The first candidate up to the horizon with the same code that was trained itself."""
        for row in self.known(number):
            if row["code_hash"] == code_hash and row["twin"] is None:
                return row
        return None

    def would_lead(self, number: int, val_loss: float | None) -> bool:
        """Whether a loss is below those of all that candidate `number` may know of, the baseline's too."""
        known = self.known(number)
        return val_loss is not None and all(val_loss < row["val_loss"] for row in known if is_scored(row))

    def known(self, number: int) -> list[Row]:
        """The rows that a plan for `number` may read, by number."""
        return [self._rows[other] for other in range(self.horizon(number) + 1)]

    def row(self, number: int) -> Row:
        """A row that was told."""
        return self._rows[number]

    def _immigrant(self, number: int, generation: int) -> Plan:
        chosen = generator(self._config.seed, number, "immigrant").choice(self._seeds)
        return Plan(number, generation, chosen, operators=({"operator": "immigrate", "from": chosen.name},))

    def _beats_baseline(self, individual: Individual) -> bool:
        row = self._rows[BASELINE]
        return not is_scored(row) or individual.values < fitness(self._config.selection, row)
