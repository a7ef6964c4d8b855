"""What is said of a run: its leader, its failures, a candidate's line of descent. Pure: rows in, lines out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evo import persona
from evo.config import Selection
from evo.selection import BASELINE, Row, fitness, is_scored


@dataclass(frozen=True)
class Standing:
    """A run as its rows have it.

    `leader` is the fittest candidate by the run's own rule, None while there is none; it leads on one training, so its
    score is optimistic.
    """

    baseline: Row | None
    leader: Row | None
    done: int
    failures: dict[str, int]

    @property
    def gain(self) -> float | None:
        """How much lower the leader's held-out loss is than the baseline's, nats a token."""
        if self.baseline is None or self.leader is None or self.baseline["val_loss"] is None:
            return None
        return float(self.baseline["val_loss"] - self.leader["val_loss"])


def standing(rows: Sequence[Row], selection: Selection) -> Standing:
    """Where a run stands."""
    by_id = {row["id"]: row for row in rows}
    scored = [row for row in rows if row["id"] != BASELINE and is_scored(row)]

    failed = Counter(str(row["status"]) for row in rows if row["status"] not in ("ok", "duplicate"))
    leader = min(scored, key=lambda row: (fitness(selection, row), row["id"]), default=None)
    return Standing(by_id.get(BASELINE), leader, len(rows), dict(failed.most_common()))


def descent(rows: Sequence[Row], number: int) -> list[Row]:
    """The candidates whose answers made the files of `number`, the oldest first, without the baseline."""
    by_id = {row["id"]: row for row in rows}
    line: list[Row] = []
    while number != BASELINE and number in by_id:
        line.insert(0, by_id[number])
        number = by_id[number]["base"]
    return line


def persona_lines(who: persona.Persona) -> list[str]:
    """What sets a persona apart: its breakthroughs, and what it is told to give weight to."""
    told = [("breakthroughs", [item.label for s in who.sections if s.kind == "breakthroughs" for item in s.items])]
    told.append(("emphasised", [item.label for s in who.sections for item in s.items if item.emphasis > 0]))
    return [f"  {name}: {', '.join(labels)}" for name, labels in told if labels]


def failures_text(failures: Mapping[str, int]) -> str:
    """`3 failed (2 crashed, 1 timeout)`."""
    if not failures:
        return "none failed"
    return f"{sum(failures.values())} failed ({', '.join(f'{n} {name}' for name, n in failures.items())})"


def ending(name: str, rows: Sequence[Row], selection: Selection, folder: str, program: str = "evo") -> list[str]:
    """The lines that a finished run prints; `program` is how the command is called here."""
    now = standing(rows, selection)
    twins = sum(row["status"] == "duplicate" for row in rows)
    lines = [f"run {name}: {now.done} candidates, {failures_text(now.failures)}, {twins} twins of earlier code", ""]
    if now.baseline is not None:
        lines += ["                 held-out loss   seconds   cost", _score_line("baseline", now.baseline)]
    if now.leader is None or now.gain is None:
        return [*lines, "", "No candidate was scored.", f"lineage: {folder}/lineage"]
    lines += [f"{_score_line('leader', now.leader)}   {-now.gain:+.4f}", ""]
    if now.gain <= 0:
        lines += ["No candidate's loss is lower than the baseline's.", ""]
    number = now.leader["id"]
    lines += [f"The leader's persona: {now.leader['mind']}", *persona_lines(persona.from_json(now.leader["persona"]))]
    lines.append("Its changes, from the baseline on:")
    for row in descent(rows, number):
        lines.append(f"  {row['id']:>5}  {row['mind']}: {row['summary'] or '(no words)'}")
    return [
        *lines,
        "",
        "The leader leads on one training; scores seen during a search are optimistic.",
        f"lineage: {folder}/lineage",
        "Try:",
        f"  {program} show {name} {number}",
        f"  {program} diff {name}:0 {name}:{number}",
        f"  {program} sql --run {name} 'SELECT id, mind, val_loss, cost, summary FROM candidates ORDER BY val_loss LIMIT 5'",
    ]


def _score_line(what: str, row: Row) -> str:
    loss = "-" if row["val_loss"] is None else f"{row['val_loss']:.4f}"
    seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
    cost = "-" if row["cost"] is None else f"{row['cost']:.2f}"
    return f"{what:<9}{row['id']:>5}{loss:>16}{seconds:>10}{cost:>7}"
