"""History part of a prompt (last result, lessons, second parent), built from lineage rows. No I/O.

The text depends on rows of the base, its ancestors, the parents and the baseline. A plan may read all of these rows, so
equal plans give equal text.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evo import persona
from evo.model_selection import gain
from evo.proposer.prompt import LESSON_CHARACTERS, Lesson, Outcome, Second, one_line, trained
from evo.selection import BASELINE

Rows = Callable[[int], Mapping[str, Any]]
"""Function that returns the row of a candidate by its number."""
WORKED = 5
"""Default number of improved candidates that are listed for a model that writes a gene."""


def lessons_of(row: Rows, base: int, count: int) -> tuple[Lesson, ...]:
    """Return the last `count` changes between the baseline and the files of `base`, oldest first."""
    found: list[Lesson] = []
    while base != BASELINE and len(found) < count:
        one = row(base)
        found.append(Lesson(base, one["summary"] or "", one["val_loss"], one["status"], one["reason"] or ""))
        base = one["base"] or BASELINE
    return tuple(reversed(found))


def second_parent(row: Rows, parents: Sequence[int], base: int) -> Second | None:
    """Return the second parent with its files that differ from those of `base`, or None if there are no such files."""
    if len(parents) < 2:
        return None
    here, there = files_of(row(base)), files_of(row(parents[1]))
    other = {name: text for name, text in there.items() if here.get(name) != text}
    if not other:
        return None
    return Second(parents[1], other, trained(outcome_of(row, parents[1], holds_clock=False), "its"))


def worked(rows: Sequence[Mapping[str, Any]], count: int = WORKED) -> tuple[str, ...]:
    """Return one line for each of the `count` candidates that improved most on their base, best first."""
    gains = [(gain(row, rows), row) for row in rows if row["id"] != BASELINE]
    best = sorted((found for found in gains if found[0] > 0), key=lambda found: (-found[0], found[1]["id"]))
    return tuple(_line(row, by) for by, row in best[:count])


def outcome_of(row: Rows, base: int, *, holds_clock: bool) -> Outcome:
    """Return the result of the files of `base`. It includes the relative cost only if `holds_clock` is true."""
    baseline, one = row(BASELINE), row(base)
    cost = one["relative_cost"] if holds_clock else None
    return Outcome(baseline["val_loss"], one["val_loss"], cost, is_baseline=base == BASELINE)


def files_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of a candidate, or an empty dict if it has none."""
    files: dict[str, str] = json.loads(row["files"] or "{}")
    return files


def _line(row: Mapping[str, Any], by: float) -> str:
    """Return one line about a candidate: loss, improvement, persona and summary."""
    who = persona.from_json(row["persona"])
    weighed = ", ".join(item.label for section in who.sections for item in section.items if item.emphasis > 0)
    told = f"{row['mind']}{f', weighing {weighed}' if weighed else ''}: {row['summary'] or 'nothing said'}"
    return one_line(f"candidate {row['id']}: loss {row['val_loss']:.4f}, {by:.4f} lower: {told}", LESSON_CHARACTERS)
