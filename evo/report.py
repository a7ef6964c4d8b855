"""Text report of a run: leader, failures, line of descent, spending, verdict. Rows in, lines out; no I/O."""

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evo import finalists, persona
from evo.config import Config, Final
from evo.selection import BASELINE, Row
from evo.status import Status

_NO_FAILURE = (Status.OK, Status.DUPLICATE, Status.STOPPED_EARLY)
USUAL_SEEDS = Final().verdict_seeds
"""Default number of verdict seeds per side. A verdict on fewer seeds is reported as small."""


@dataclass(frozen=True)
class Standing:
    """State of a run.

    Attributes:
        baseline: Row of the baseline, or None before it exists.
        leader: Row of the leader, or None. See `evo.finalists.leader`.
        fresh: Held-out losses of the leader's fresh seeds in a finished long run. Without them the leader's score is
        optimistic.
        done: Number of rows so far.
        failures: Number of failed candidates by status.
        stopped: Number of candidates stopped early, which is not a failure.
    """

    baseline: Row | None
    leader: Row | None
    fresh: list[float]
    done: int
    failures: dict[str, int]
    stopped: int

    @property
    def gain(self) -> float | None:
        """Return by how many nats per token the leader's held-out loss is below the baseline's, one training each."""
        if self.baseline is None or self.leader is None or self.baseline["val_loss"] is None:
            return None
        return float(self.baseline["val_loss"] - self.leader["val_loss"])


def standing(rows: Sequence[Row], trainings: Sequence[Row], config: Config) -> Standing:
    """Return the state of a run."""
    by_id = {row["id"]: row for row in rows}
    statuses = Counter(str(row["status"]) for row in rows)
    failures = {name: n for name, n in statuses.most_common() if name not in _NO_FAILURE}
    leader = finalists.leader(rows, trainings, config)
    fresh = finalists.fresh_losses(trainings, leader["id"], config.final) if leader is not None else []
    losses = [loss for loss in fresh if loss is not None]
    return Standing(by_id.get(BASELINE), leader, losses, len(rows), failures, statuses[Status.STOPPED_EARLY])


def descent(rows: Sequence[Row], number: int) -> list[Row]:
    """Return the candidates whose answers produced the files of `number`, oldest first, without the baseline."""
    by_id = {row["id"]: row for row in rows}
    line: list[Row] = []
    while number != BASELINE and number in by_id:
        line.insert(0, by_id[number])
        number = by_id[number]["base"]
    return line


def persona_lines(who: persona.Persona) -> list[str]:
    """Return lines with the breakthroughs of a persona and what it emphasises."""
    told = [("breakthroughs", [item.label for s in who.sections if s.kind == "breakthroughs" for item in s.items])]
    told.append(("emphasised", [item.label for s in who.sections for item in s.items if item.emphasis > 0]))
    return [f"  {name}: {', '.join(labels)}" for name, labels in told if labels]


def failures_text(failures: Mapping[str, int]) -> str:
    """Return a text such as `3 failed (2 crashed, 1 timeout)`."""
    if not failures:
        return "none failed"
    return f"{sum(failures.values())} failed ({', '.join(f'{n} {name}' for name, n in failures.items())})"


def spending_lines(rows: Sequence[Row], calls: Sequence[Row]) -> list[str]:
    """Return a line per model: candidates, answers, tokens, and US dollars where prices are known."""
    asked = {row["id"]: row["asked"] for row in rows}
    lines = []
    for name in dict.fromkeys(name for name in asked.values() if name):
        own = [call for call in calls if asked.get(call["id"]) == name]
        known = [call for call in own if call["input_tokens"] is not None and call["output_tokens"] is not None]
        tokens = sum(call["input_tokens"] + call["output_tokens"] for call in known)
        more = "" if len(known) == len(own) else f" ({_counted(len(own) - len(known), 'answer')} not counted)"
        usd = sum((call["cost_usd"] or 0.0) + (call["lost_usd"] or 0.0) for call in own)
        sure = all(call["cost_usd"] is not None for call in own)
        cost = f", {'' if sure else 'about '}${usd:.4f}" if usd else ", free" if sure else ""
        lost = sum(call["lost_tokens"] or 0 for call in own)
        broken = f", at most {lost} more in failed requests" if lost else ""
        candidates = sum(other == name for other in asked.values())
        asked_for = f"{_counted(candidates, 'candidate')}, {_counted(len(own), 'answer')}"
        lines.append(f"asked {name}: {asked_for}, {tokens} tokens{more}{cost}{broken}")
    return lines


def repair_line(rows: Sequence[Row]) -> list[str]:
    """Return a line on how many candidates were repaired and trained in the end."""
    again = [row for row in rows if (row["attempts"] or 1) > 1]
    mended = sum(row["status"] == Status.OK for row in again)
    return (
        [f"repaired: {mended} of {_counted(len(again), 'candidate')} with a failed first answer trained in the end"]
        if again
        else []
    )


def ending(
    name: str,
    rows: Sequence[Row],
    trainings: Sequence[Row],
    verdicts: Sequence[Row],
    calls: Sequence[Row],
    config: Config,
    folder: str,
    program: str = "evo",
) -> list[str]:
    """Return the lines that a finished run prints. `program` is how the user calls the command."""
    now = standing(rows, trainings, config)
    twins = sum(row["status"] == Status.DUPLICATE for row in rows)
    counts = f"{failures_text(now.failures)}, {now.stopped} stopped early, {_counted(twins, 'duplicate')}"
    done = _counted(now.done - (now.baseline is not None), "candidate")
    lines = [f"run {name}: the baseline and {done}, {counts}", *repair_line(rows), *spending_lines(rows, calls), ""]
    if now.baseline is not None:
        lines += ["                 held-out loss   seconds   cost", _score_line("baseline", now.baseline)]
    if now.leader is None or now.gain is None:
        return [*lines, "", "No candidate was scored.", f"lineage: {folder}/lineage"]
    lines += [f"{_score_line('leader', now.leader)}   {-now.gain:+.4f}", *noise_lines(trainings), ""]
    if now.gain <= 0:
        lines += ["No candidate's loss is lower than the baseline's.", ""]
    number = now.leader["id"]
    lines += [f"The leader's persona: {now.leader['mind']}", *persona_lines(persona.from_json(now.leader["persona"]))]
    lines.append("Its changes, from the baseline on:")
    for row in descent(rows, number):
        lines.append(f"  {row['id']:>5}  {row['mind']}: {row['summary'] or '(no summary)'}")
    return [
        *lines,
        "",
        _how_it_leads(now),
        *verdict_lines(verdicts),
        f"lineage: {folder}/lineage",
        "Try:",
        f"  {program} show {name} {number}",
        f"  {program} diff {name}:0 {name}:{number}",
        f"  {program} sql --run {name} "
        "'SELECT id, mind, val_loss, relative_cost, summary FROM candidates ORDER BY val_loss LIMIT 5'",
    ]


def noise_lines(trainings: Sequence[Row]) -> list[str]:
    """Return a line on the spread of the baseline's loss over seeds, if it was trained more than once."""
    losses = [t["val_loss"] for t in trainings if t["id"] == BASELINE and t["status"] == Status.OK]
    if len(losses) < 3:
        return []
    sd = statistics.stdev(losses)
    return [f"seed noise of the baseline: {sd:.4f} (standard deviation of {len(losses)} trainings on different seeds)"]


def _how_it_leads(now: Standing) -> str:
    if not now.fresh:
        return "The leader was chosen by one training each, so its score is optimistic."
    mean = statistics.mean(now.fresh)
    return (
        f"Mean loss of the leader over {len(now.fresh)} fresh seeds: {mean:.4f}. Its score in the search is optimistic."
    )


def verdict_lines(verdicts: Sequence[Row]) -> list[str]:
    """Return the last verdict of the run in words, with every loss it rests on."""
    if not verdicts or verdicts[-1]["id"] is None:
        return ["No verdict was given."]
    row = verdicts[-1]
    told = json.loads(row["details"])
    lines = [
        f"Verdict on candidate {row['id']}, on the test part, {row['seeds']} fresh seeds each: {row['verdict']}"
        + (" than the baseline" if row["verdict"] == "better" else "")
    ]
    if row["seeds"] < USUAL_SEEDS:
        lines.append(
            f"  a small verdict: the default is {USUAL_SEEDS} seeds per side; fewer detect only large differences"
        )
    failed = sum(loss is None for loss in told["candidate"])
    if failed:
        lines.append(f"  {failed} of the candidate's seeds failed and count as worse than every loss")
    if row["difference"] is not None:
        interval = f", 95 % interval {row['low']:+.4f} to {row['high']:+.4f}" if row["low"] is not None else ""
        lines.append(f"  difference {row['difference']:+.4f} nats a token{interval}")
    exact = f", exact permutation p = {row['p_permutation']:.2g}" if row["p_permutation"] is not None else ""
    lines.append(f"  one-sided Welch p = {row['p_welch']:.2g} (level 0.01){exact}")
    if row["look"] > 1:
        lines.append(f"  verdict number {row['look']} of this run: p = {row['p_holm']:.2g} after Holm's correction")
    for side in ("candidate", "baseline"):
        losses = " ".join("failed" if loss is None else f"{loss:.4f}" for loss in told[side])
        lines.append(f"  {side + ':':<11}{losses}")
    return lines


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _score_line(what: str, row: Row) -> str:
    loss = "-" if row["val_loss"] is None else f"{row['val_loss']:.4f}"
    seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
    cost = "-" if row["relative_cost"] is None else f"{row['relative_cost']:.2f}"
    return f"{what:<9}{row['id']:>5}{loss:>16}{seconds:>10}{cost:>7}"
