"""What stopping clearly losing trainings would have lost and saved. `python -m benchmarks.early_stopping RUN…`

Reads finished runs that were made without early stopping, every candidate trained in full, and replays the rule on them:
at the rung, a candidate whose reported validation loss is above the median of what earlier candidates reported there is
stopped, all but a seeded control of one in ten. RUN is the name of a run in `population/`, or a run's folder.

What it cannot tell: a stopped candidate's children are in the replay as they were in the run. Losses in nats a token.
"""

import argparse
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.machine import save
from evo import rng
from evo.lineage import query, runs
from evo.verify import statistics

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Figures = dict[str, Any]

LEAST = 8
"""Earlier candidates with a loss at the rung, below which nobody is stopped."""
CONTROL = 0.1
"""Share of losing candidates that are trained in full all the same."""
TOP = 4
SEED = 1
ORDERS = 2000


@dataclass(frozen=True)
class Rule:
    """A candidate is stopped above the `quantile` of earlier candidates' losses at the rung.

    Attributes:
        window: the last so many of them; None for all.
        survivors: of those alone that were not stopped themselves, as if a stopped training were no candidate.
    """

    name: str
    quantile: float = 0.5
    window: int | None = None
    survivors: bool = False


RULES = (
    Rule("median"),
    Rule("median of the last 40", window=40),
    Rule("60th percentile", quantile=0.6),
    Rule("median of those not stopped", survivors=True),
)
FRACTIONS = {"1/3": 1 / 3, "1/2": 1 / 2, "2/3": 2 / 3}
"""Rungs as fractions of the baseline's last step; the first step of its curve that is not below."""


@dataclass(frozen=True)
class Recorded:
    """The candidates of a run that trained in full and are no other's twin; arrays of length n, the baseline first.

    Attributes:
        steps: of the baseline's curve.
        numbers: of the candidates, rising.
        final: held-out loss.
        seconds: of the whole training.
        at: step → reported validation loss there; NaN where a curve has none.
        spent: step → share of the training's seconds gone by then; 1 where a curve has none.
    """

    name: str
    lag: int
    state: str
    left_out: dict[str, int]
    steps: list[int]
    numbers: npt.NDArray[np.int64]
    final: Floats
    seconds: Floats
    at: dict[int, Floats]
    spent: dict[int, Floats]

    def rung(self, fraction: float) -> int:
        """The first step of the baseline's curve at or after a fraction of its last one."""
        return next(step for step in self.steps if step >= fraction * self.steps[-1] - 1e-9)


def read(run: str, lag: int | None) -> Recorded:
    """Read a run's lineage; `lag` is the population of its configuration where None."""
    path = Path(run).resolve() if (Path(run) / "run.json").is_file() else runs.find(Path("population"), run)
    population = int(tomllib.loads((path / "config.toml").read_text(encoding="utf-8"))["population"])

    def rows(text: str) -> list[dict[str, Any]]:
        return query.sql(path.parent, text, path.name).as_dicts()

    statuses = {row["status"]: row["n"] for row in rows("SELECT status, count(*) AS n FROM candidates GROUP BY 1")}
    if "stopped_early" in statuses:
        sys.exit(f"{path.name}: expected a run without early stopping, found {statuses['stopped_early']} stopped")
    full = rows(
        "SELECT id, val_loss, seconds FROM candidates "
        "WHERE status = 'ok' AND duplicate_of IS NULL AND val_loss IS NOT NULL ORDER BY id"
    )
    curves: dict[int, dict[int, tuple[float, float]]] = {row["id"]: {} for row in full}
    for row in rows("SELECT id, step, seconds, reported_val_loss FROM curves WHERE replicate = 0 ORDER BY id, seconds"):
        if row["id"] in curves:
            loss = row["reported_val_loss"]
            curves[row["id"]].setdefault(row["step"], (row["seconds"], np.nan if loss is None else loss))
    if not full or full[0]["id"] != 0 or not curves[0]:
        sys.exit(f"{path.name}: expected a baseline with a curve, found none")
    steps = sorted(curves[0])
    ends = [max((seconds for seconds, _ in curve.values()), default=0.0) or 1.0 for curve in curves.values()]
    return Recorded(
        name=path.name,
        lag=population if lag is None else lag,
        state=runs.summary(path).state,
        left_out={status: count for status, count in statuses.items() if status != "ok"},
        steps=steps,
        numbers=np.array([row["id"] for row in full]),
        final=np.array([row["val_loss"] for row in full]),
        seconds=np.array([row["seconds"] or 0.0 for row in full]),
        at={step: np.array([curve.get(step, (0.0, np.nan))[1] for curve in curves.values()]) for step in steps},
        spent={
            step: np.array(
                [c[step][0] / end if step in c else 1.0 for c, end in zip(curves.values(), ends, strict=True)]
            )
            for step in steps
        },
    )


# ---- the rule ----


def losing(rung: Floats, numbers: npt.NDArray[np.int64], lag: int, rule: Rule, control: Bools) -> tuple[Bools, Bools]:
    """Who is above the threshold at the rung, and who could be judged at all.

    Args:
        rung: losses at the rung of shape (orders, n), candidates in the order of each; NaN where there is none.
        numbers: of the n places, rising; the first is the baseline, which is never judged.
        lag: a candidate sees those numbered at most its own − lag.
        rule: what the threshold is.
        control: shape (orders, n), who is not stopped whatever the rule says; it matters to `Rule.survivors` alone.

    Returns:
        Two of shape (orders, n).
    """
    seen = rung.copy()
    above, judged = np.zeros(rung.shape, bool), np.zeros(rung.shape, bool)
    for place in range(1, rung.shape[1]):
        earlier = int(np.searchsorted(numbers, numbers[place] - lag, side="right"))
        history = seen[:, max(0, earlier - rule.window) if rule.window else 0 : earlier]
        known = (~np.isnan(history)).sum(axis=1)
        judged[:, place] = (known >= LEAST) & ~np.isnan(rung[:, place])
        if not judged[:, place].any():
            continue
        above[:, place] = judged[:, place] & (rung[:, place] > _quantiles(history, known, rule.quantile))
        if rule.survivors:
            seen[above[:, place] & ~control[:, place], place] = np.nan
    return above, judged


def _quantiles(values: Floats, known: npt.NDArray[np.intp], quantile: float) -> Floats:
    """Quantile of each row's numbers, interpolated; `known` of them are not NaN, and NaN sorts last."""
    ordered, every = np.sort(values, axis=1), np.arange(len(values))
    position = quantile * np.maximum(known - 1, 0)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, np.maximum(known - 1, 0))
    low, high = ordered[every, below], ordered[every, above]
    return low + (position - below) * (high - low)


def leading(final: Floats, top: int) -> Bools:
    """Whose final loss, trained in full, is among the best `top` so far; shape (orders, n), the baseline never."""
    found = np.ones(final.shape, bool)
    found[:, 0] = False
    for place in range(top, final.shape[1]):
        found[:, place] = final[:, place] < np.partition(final[:, :place], top - 1, axis=1)[:, top - 1]
    return found


# ---- what it loses and saves ----


@dataclass(frozen=True)
class Replay:
    """One rule on one run, in one or many orders of its candidates; arrays of shape (orders, n) or (orders,)."""

    judged: Bools
    above: Bools
    stopped: Bools
    leaders: Bools
    top: Bools
    regret: Floats
    lost_best: Bools
    seconds: Floats
    saved: Floats


def replay(run: Recorded, step: int, rule: Rule, order: npt.NDArray[np.intp], control: Bools) -> Replay:
    """Replay `rule` at `step`, candidates taken in each row of `order` (orders, n); column 0 is the baseline."""
    final, seconds, rung = run.final[order], run.seconds[order], run.at[step][order]
    above, judged = losing(rung, run.numbers, run.lag, rule, control)
    stopped = above & ~control
    saved = np.where(stopped, seconds * (1 - run.spent[step][order]), 0.0)
    regret = np.where(stopped, np.inf, final).min(axis=1) - final.min(axis=1)
    return Replay(
        judged=judged,
        above=above,
        stopped=stopped,
        leaders=leading(final, 1),
        top=leading(final, TOP),
        regret=regret,
        lost_best=regret > 0,
        seconds=seconds[:, 1:].sum(axis=1),
        saved=saved.sum(axis=1),
    )


def in_recorded_order(replays: Sequence[Replay]) -> Figures:
    """Figures of one run, or of several pooled. Bounds are on what the rule says, as if there were no control."""

    def count(*masks: Bools) -> int:
        return sum(int(mask.sum()) for mask in masks)

    def lost(kind: str) -> Figures:
        judged = count(*(getattr(r, kind) & r.judged for r in replays))
        above = count(*(getattr(r, kind) & r.above for r in replays))
        bound = statistics.upper_bound(above, judged)
        return {
            "all": count(*(getattr(r, kind) for r in replays)),
            "judged": judged,
            "losing_at_rung": above,
            "upper_95": round(bound, 4),
        }

    candidates = sum(r.judged.shape[1] - 1 for r in replays)
    judged = count(*(r.judged for r in replays))
    return {
        "candidates": candidates,
        "judged": judged,
        "losing_share_of_judged": _share(count(*(r.above for r in replays)), judged),
        "stopped_share": _share(count(*(r.stopped for r in replays)), candidates),
        "would_be_leaders": lost("leaders"),
        f"would_enter_top_{TOP}": lost("top"),
        "regret_nats": [float(r.regret[0]) for r in replays],
        "saved_share_of_seconds": _share(sum(r.saved.sum() for r in replays), sum(r.seconds.sum() for r in replays)),
    }


def in_random_orders(r: Replay) -> Figures:
    """Averages over orders of the same candidates: a resampling, so no bound is given."""

    def lost(kind: Bools) -> Figures:
        judged = int((kind & r.judged).sum())
        return {
            "judged_an_order": judged / len(kind),
            "losing_share": _share(int((kind & r.above).sum()), judged),
        }

    return {
        "orders": len(r.regret),
        "stopped_share": float(r.stopped[:, 1:].mean()),
        "would_be_leaders": lost(r.leaders),
        f"would_enter_top_{TOP}": lost(r.top),
        "best_lost_share_of_orders": float(r.lost_best.mean()),
        "regret_nats_mean": float(r.regret.mean()),
        "regret_nats_95th_percentile": float(np.quantile(r.regret, 0.95)),
        "saved_share_of_seconds": float((r.saved / r.seconds).mean()),
    }


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if whole else None


def correlation(run: Recorded, step: int) -> Figures:
    """Spearman's rank correlation of the loss at `step` with the final one: of all, and of the better half by the latter."""
    known = ~np.isnan(run.at[step])
    rung, final = run.at[step][known], run.final[known]
    better = final <= np.median(final)
    pairs = {"all": (rung, final), "better_half": (rung[better], final[better])}
    found = {
        name: float(stats.spearmanr(*pair).statistic) if len(pair[0]) > 2 else np.nan for name, pair in pairs.items()
    }
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in found.items()}


def orders_of(run: Recorded, count: int) -> tuple[npt.NDArray[np.intp], Bools]:
    """`count` random orders of a run's candidates, the baseline first, and who is control in each."""
    rng = np.random.default_rng([SEED, len(run.numbers)])
    others = np.tile(np.arange(1, len(run.numbers)), (count, 1))
    order = np.concatenate([np.zeros((count, 1), np.intp), rng.permuted(others, axis=1)], axis=1)
    return order, rng.random(order.shape) < CONTROL


def table(found: Sequence[Recorded], rungs: dict[str, list[int]], count: int) -> list[Figures]:
    """One row a rung and rule: every run by itself, all of them pooled, and random orders of each."""
    recorded = [np.arange(len(run.numbers))[None, :] for run in found]
    controls = [
        np.array([[rng.generator(SEED, int(n), "early stopping control").random() < CONTROL for n in run.numbers]])
        for run in found
    ]
    shuffled = [orders_of(run, count) for run in found]
    rows = []
    for rung, steps in rungs.items():
        for rule in RULES:
            cases = zip(found, steps, recorded, controls, strict=True)
            replays = [replay(run, step, rule, order, control) for run, step, order, control in cases]
            again = [replay(run, s, rule, *drawn) for run, s, drawn in zip(found, steps, shuffled, strict=True)]
            rows.append(
                {
                    "rung": rung,
                    "rule": rule.name,
                    "pooled": in_recorded_order(replays),
                    "runs": {run.name: in_recorded_order([r]) for run, r in zip(found, replays, strict=True)},
                    "random_orders": {run.name: in_random_orders(r) for run, r in zip(found, again, strict=True)},
                }
            )
    return rows


def show(rows: Sequence[Figures]) -> None:
    """Print the pooled figures, one line a rung and rule."""
    print(f"\n{'rung':>5}  {'rule':28}stopped  saved  leaders lost (≤ 95 %)  top {TOP} lost (≤ 95 %)  regret, nats")
    for row in rows:
        p = row["pooled"]
        lost = [
            f"{k['losing_at_rung']} of {k['judged']} ({k['upper_95']:.3f})"
            for k in (p["would_be_leaders"], p[f"would_enter_top_{TOP}"])
        ]
        saved = p["saved_share_of_seconds"] or 0.0
        print(
            f"{row['rung']:>5}  {row['rule']:28}{p['stopped_share']:7.1%} {saved:6.1%}  {lost[0]:21}  {lost[1]:20}"
            f"  {max(p['regret_nats']):.4f}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.early_stopping", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run in population/, or a run's folder")
    parser.add_argument("--rung", type=int, help="a step, in place of a third, a half and two thirds of the last one")
    parser.add_argument("--lag", type=int, help="default: the population of the run's configuration")
    parser.add_argument("--orders", type=int, default=ORDERS, help="random orders of each run's candidates")
    asked = parser.parse_args(arguments)
    found = [read(run, asked.lag) for run in asked.runs]
    if len({run.name for run in found}) < len(found):
        sys.exit("expected runs of different names, found one name twice")
    rungs = {name: [run.rung(fraction) for run in found] for name, fraction in FRACTIONS.items()}
    if asked.rung is not None:
        if any(asked.rung not in run.steps for run in found):
            sys.exit(f"--rung: expected a step of every baseline's curve {found[0].steps}, found {asked.rung}")
        rungs = {str(asked.rung): [asked.rung] * len(found)}
    rows = table(found, rungs, asked.orders)
    save(
        "early_stopping",
        {
            "note": "the runs' candidates are not independent of one another, and random orders of them even less so; "
            "an upper bound is Clopper and Pearson's, as if they were",
            "runs": {
                run.name: {
                    "state": run.state,
                    "lag": run.lag,
                    "trained_in_full": len(run.numbers),
                    "left_out": run.left_out,
                    "steps": {name: steps[place] for name, steps in rungs.items()},
                    "spearman": {name: correlation(run, steps[place]) for name, steps in rungs.items()},
                }
                for place, run in enumerate(found)
            },
            "replay": rows,
        },
    )
    show(rows)


if __name__ == "__main__":
    main()
