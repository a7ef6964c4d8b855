"""What seeds alone do to a loss, and how often a search of nothing finds a champion. `python -m benchmarks.noise`

Records the baseline of `evaluators/tiny_gpt` on many seeds, two trainings at a time, and appends each to
`results/noise.json` as it ends: started again it trains only what is missing, as long as the code that makes the losses is
the same. From these losses, all in nats a token:

- the noise floor: their standard deviation, and the smallest true difference that a number of seeds shows;
- the false-champion rate: searches of 160 candidates that are all the baseline in disguise, drawn from the recorded
  losses with replacement. Whatever a search reports as better there is false.
"""

import argparse
import functools
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.machine import RESULTS, describe, save
from evo import evaluator, rng, workspace
from evo.trainer import device
from evo.trainer.trainer import Job, Trainer
from evo.verify import statistics

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]

EVALUATOR = "tiny_gpt"
SEED = 1
"""Of the replicates' seeds: those of a search with seed 1."""
WORKERS = 2
ENOUGH = 40
"""Seeds that a noise floor is stated for; fewer are reported with a warning."""
SOURCES = ("sandboxed/*.py", "trainer/batch_feed.py", "verify/scorer.py", "corpus.py")
"""In `evo/`: what makes a loss, beside the evaluator's own files and text."""

CANDIDATES, FINALISTS, FRESH, VERDICT = 160, 4, 5, 8
SPREADS = {"equal_variances": (1.0,), "unequal_variances": (0.5, 1.0, 2.0)}
"""A candidate's standard deviation over the baseline's: one of these, drawn for each candidate."""


# ---- recording ----


@functools.cache
def _trainer() -> tuple[evaluator.Evaluator, Trainer]:
    found = evaluator.load(workspace.locate("evaluators", EVALUATOR))
    return found, Trainer(found, device.find("cpu", slots=1))


def train(replicate: int) -> Row:
    """Train the baseline on one replicate's seeds, in this process's own trainer."""
    found, trainer = _trainer()
    seed, data_seed = rng.replicate_seeds(SEED, replicate)
    judged = trainer.judge(Job(files=found.baseline, seed=seed, data_seed=data_seed))
    return {
        "replicate": replicate,
        "status": str(judged.status),
        "reason": judged.reason,
        "val_loss": judged.val_loss,
        "cpu_seconds": round(judged.cpu_seconds, 2),
    }


def fingerprint() -> dict[str, Any]:
    """Hashes of what a loss of the baseline comes from. Comments and layout change none of them."""
    found = evaluator.load(workspace.locate("evaluators", EVALUATOR))
    package = Path(evaluator.__file__).parent
    code = {str(p.relative_to(package)): p.read_text(encoding="utf-8") for s in SOURCES for p in package.glob(s)}
    settings = json.dumps([found.spec.settings, found.spec.data.model_dump()], sort_keys=True)
    return {
        "baseline": evaluator.code_hash(found.baseline),
        "settings": evaluator.files_hash({"settings": settings}),
        "evo": evaluator.code_hash(code),
        "data_sha256": found.load_data().sha256(),
    }


def recorded(path: Path, made_by: dict[str, Any]) -> list[Row]:
    """The trainings that `path` holds of this very code; none where it holds others or cannot be read."""
    try:
        recording = json.loads(path.read_text(encoding="utf-8"))["figures"]["recording"]
        rows: list[Row] = recording["trainings"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return rows if recording["made_by"] == made_by else []


def record(path: Path, seeds: int, made_by: dict[str, Any], job: Callable[[int], Row] = train) -> list[Row]:
    """Have replicates 0 to `seeds` − 1 trained and written to `path`, each as it ends; a failed one is tried again.

    Args:
        path: the JSON file, read first and rewritten after every training.
        seeds: how many replicates there shall be; more that are recorded are kept.
        made_by: as `fingerprint` gives it.
        job: trains one replicate; it is sent to other processes, so it must be importable.

    Returns:
        Rows by replicate.
    """
    rows = {row["replicate"]: row for row in recorded(path, made_by) if row["status"] == "ok"}
    missing = [replicate for replicate in range(seeds) if replicate not in rows]
    print(f"{len(rows)} trainings are recorded, {len(missing)} are missing", file=sys.stderr)
    machine = describe()
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(job, replicate) for replicate in missing]):
                row = done.result()
                rows[row["replicate"]] = row
                _write(path, {"recording": {"made_by": made_by, "trainings": _ordered(rows)}}, machine)
                print(f"replicate {row['replicate']}: {row['status']}, {row['val_loss']}", file=sys.stderr)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _ordered(rows)


def _ordered(rows: dict[int, Row]) -> list[Row]:
    return [rows[replicate] for replicate in sorted(rows)]


def _write(path: Path, figures: Row, machine: Row) -> None:
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps({"figures": figures, "machine": machine}, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, path)


# ---- the noise floor ----


def floor(losses: Floats) -> dict[str, Any]:
    """Mean, standard deviation with its 95 % interval by χ² ((n − 1) s² / σ² ~ χ²(n − 1)), and what seeds can show."""
    n, sd = len(losses), float(losses.std(ddof=1))
    low, high = (sd * float(np.sqrt((n - 1) / stats.chi2.ppf(q, n - 1))) for q in (0.975, 0.025))
    return {
        "seeds": n,
        "mean": float(losses.mean()),
        "sd": sd,
        "sd_95": [low, high],
        "least": float(losses.min()),
        "most": float(losses.max()),
        "skewness": float(stats.skew(losses)),
        "detectable_at_0.01_with_power_0.9": {
            str(count): None if count < 2 else statistics.detectable_difference(sd, count)
            for count in (1, 2, 3, 5, VERDICT)
        },
        "power_of_the_verdict": {f"{d} sd": round(statistics.power(d, VERDICT), 3) for d in (0.5, 1.0, 1.5, 2.0, 3.0)},
    }


# ---- searches of nothing ----


def searches_of_nothing(draw: Callable[..., Floats], spreads: Sequence[float], searches: int, seed: int) -> Row:
    """Run searches whose candidates all have the baseline's true loss, and count the champions.

    Args:
        draw: `draw(rng, *shape)`, deviations from the baseline's mean, nats.
        spreads: a candidate's deviations are these times one of `spreads`, drawn for it.
        searches: how many.
        seed: of everything drawn.

    Returns:
        `verdicts`: how often 8 fresh seeds against 8 of the baseline say "better", for the leader of first seeds and
        for the best of `FINALISTS` finalists by fresh seeds; `naive`: how often other practice would claim it;
        `overstated`: by how many nats each score is better than the truth, on average.
    """
    rng, every = np.random.default_rng(seed), np.arange(searches)
    spread = rng.choice(spreads, (searches, CANDIDATES))
    first = draw(rng, searches, CANDIDATES) * spread
    leader = first.argmin(axis=1)
    finalists = np.argpartition(first, FINALISTS, axis=1)[:, :FINALISTS]
    theirs = spread[every[:, None], finalists]
    fresh = draw(rng, searches, FINALISTS, FRESH) * theirs[:, :, None]
    winner = fresh.mean(axis=2).argmin(axis=1)
    with_first = np.concatenate([first[every[:, None], finalists][:, :, None], fresh], axis=2)
    lucky = with_first.mean(axis=2).argmin(axis=1)

    leader_last = draw(rng, searches, VERDICT) * spread[every, leader][:, None]
    winner_last = draw(rng, searches, VERDICT) * theirs[every, winner][:, None]
    against_leader, against_winner = draw(rng, searches, VERDICT), draw(rng, searches, VERDICT)
    baseline = draw(rng, searches, 1 + FRESH)
    leader_first, winner_fresh, lucky_all = first[every, leader], fresh[every, winner], with_first[every, lucky]
    return {
        "verdicts": {
            "leader_of_first_seeds": _rate(_better(leader_last, against_leader)),
            "best_finalist": _rate(_better(winner_last, against_winner)),
        },
        "naive": {
            "leader's first score below the baseline's": _rate(leader_first < baseline[:, 0]),
            "finalists' means with their first score, below the baseline's": _rate(
                lucky_all.mean(axis=1) < baseline.mean(axis=1)
            ),
            "Welch at 0.01 on those seeds, the first included": _rate(_better(lucky_all, baseline)),
            "Welch at 0.01 on the fresh seeds that chose the finalist": _rate(_better(winner_fresh, baseline[:, 1:])),
        },
        "overstated": {
            "leader's first score": -float(leader_first.mean()),
            "finalist's mean with its first score": -float(lucky_all.mean()),
            "finalist's mean of the fresh seeds that chose it": -float(winner_fresh.mean()),
            "leader's verdict": float((against_leader - leader_last).mean()),
            "finalist's verdict": float((against_winner - winner_last).mean()),
        },
    }


def _better(candidate: Floats, baseline: Floats) -> npt.NDArray[np.bool_]:
    """`statistics.is_better` of `statistics.compare`, for losses of shape (searches, seeds)."""
    p = stats.ttest_ind(candidate, baseline, axis=1, equal_var=False, alternative="less").pvalue
    return np.nan_to_num(p, nan=1.0) < statistics.ALPHA


def _rate(claimed: npt.NDArray[np.bool_]) -> Row:
    events, trials = int(claimed.sum()), len(claimed)
    bound = statistics.upper_bound(events, trials)
    return {"claimed": events, "of": trials, "share": events / trials, "upper_95": round(bound, 4)}


def champions(losses: Floats, searches: int, seed: int = SEED) -> Row:
    """`searches_of_nothing` with deviations drawn from the recorded ones, and from a normal distribution of their sd.

    What is drawn from the recorded ones is never below the least of them, so overstatement is bounded there.
    """
    deviations, sd = losses - losses.mean(), losses.std(ddof=1)
    sources: dict[str, Callable[..., Floats]] = {
        "recorded": lambda rng, *shape: rng.choice(deviations, shape),
        "normal": lambda rng, *shape: rng.normal(0.0, sd, shape),
    }
    return {
        source: {name: searches_of_nothing(draw, spreads, searches, seed) for name, spreads in SPREADS.items()}
        for source, draw in sources.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=48, help="replicates of the baseline")
    parser.add_argument("--searches", type=int, default=2000, help="simulated searches of each kind")
    asked = parser.parse_args(arguments)
    made_by = fingerprint()
    rows = record(RESULTS / "noise.json", asked.seeds, made_by)
    losses = np.array([row["val_loss"] for row in rows if row["val_loss"] is not None])
    if len(losses) < 2:
        sys.exit(f"two losses are needed, found {len(losses)}; the trainings' reasons are in results/noise.json")
    if len(losses) < ENOUGH:
        print(f"a noise floor is stated for {ENOUGH} seeds or more, found {len(losses)}", file=sys.stderr)
    save(
        "noise",
        {
            "noise": floor(losses),
            "searches": {"candidates": CANDIDATES, "finalists": FINALISTS, "fresh": FRESH, "verdict": VERDICT},
            "false_champions": champions(losses, asked.searches),
            "failed": len(rows) - len(losses),
            "recording": {"made_by": made_by, "trainings": rows},
        },
    )


if __name__ == "__main__":
    main()
