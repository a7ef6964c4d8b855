"""Overview of the runs in a population, from file names alone. Reads no Parquet."""

import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo.errors import EvoError
from evo.finalists import REPAIR, TIMING
from evo.lineage import lock
from evo.lineage.schema import GENE

DAMAGED = "damaged"
"""Folder of a run with the damaged records, each at `<table>/<name>.parquet.<n>`."""
_SET_ASIDE = re.compile(r"(?P<number>\d{6,})-(?P<key>\d+)\.parquet\.\d+")


@dataclass(frozen=True)
class RunSummary:
    """Run as `evo runs` lists it. `state` is finished, running or stopped."""

    name: str
    state: str
    done: int
    candidates: int
    generations: int
    evaluator: str
    model: str


def summaries(population: Path) -> list[RunSummary]:
    """Return all runs of a population, oldest first."""
    found = sorted(population.glob("*/run.json"), key=lambda p: (p.stat().st_mtime_ns, p.parent.name))
    return [summary(path.parent) for path in found if not path.parent.name.startswith(".")]


def summary(path: Path) -> RunSummary:
    """Return the summary of one run.

    Raises:
        EvoError: The frozen configuration cannot be read.
    """
    try:
        config = tomllib.loads((path / "config.toml").read_text(encoding="utf-8"))
        generations, population = int(config["generations"]), int(config["population"])
        evaluator, model = str(config["evaluator"]), _models(config["model"])
        has_end = "final" in config  # older runs have no verdict and end with their last candidate
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvoError(f"the frozen configuration of {path} cannot be read: {error}", kind="run") from None
    total = 1 + len(list((path / "seeds").glob("*.txt"))) + generations * population
    done = len(list((path / "lineage" / "candidates").glob("[0-9]*.parquet")))
    every = int(config.get("baseline_every", population))
    trained = [tuple(map(int, p.stem.split("-"))) for p in (path / "lineage" / "trainings").glob("[0-9]*-*.parquet")]
    baselines = sum(number == 0 and replicate < TIMING for number, replicate in trained)
    whole = done >= total and baselines > math.ceil(generations * population / every)
    if has_end:
        whole = whole and any((path / "lineage" / "verdicts").glob(f"{total:06d}-*.parquet"))
    whole = whole and not lost(path, total)
    state = "finished" if whole else "running" if lock.is_held(path) else "stopped"
    return RunSummary(path.name, state, done, total, generations, evaluator, model)


def lost(path: Path, candidates: int) -> list[tuple[str, int, int]]:
    """Return the answers and trainings that were set aside as damaged and not created again.

    Each entry is (table, number, attempt or replicate). Missing candidates and verdicts are noticed elsewhere.
    """
    found = set()
    for aside in (path / DAMAGED).glob("*/*"):
        table, name = aside.parent.name, _SET_ASIDE.fullmatch(aside.name)
        if table not in ("trainings", "calls") or name is None or int(name["number"]) >= candidates:
            continue
        if table == "trainings" and REPAIR <= int(name["key"]) < TIMING:
            continue  # failed first iterations of code that was sent back for repair
        if table == "calls" and int(name["key"]) == GENE:
            continue  # the candidate's row holds the gene; without a row it is requested again
        # A repeated request with another answer is stored as attempt 2.
        again = "[1-9]*" if table == "calls" else name["key"]
        if not any((path / "lineage" / table).glob(f"{name['number']}-{again}.parquet")):
            found.add((table, int(name["number"]), int(name["key"])))
    return sorted(found)


def _models(tables: Any) -> str:
    """Return the model names of a frozen configuration: one table in older runs, a list in newer ones."""
    names = [str(table.get("label") or table["name"]) for table in (tables if isinstance(tables, list) else [tables])]
    return ", ".join(names)


def find(population: Path, name: str | None, *, unfinished: bool = False) -> Path:
    """Return the folder of the run called `name`, or of the latest run, or of the latest unfinished one.

    Raises:
        EvoError: There is no such run.
    """
    if name is not None:
        path = population / name
        if not (path / "run.json").is_file():
            known = ", ".join(run.name for run in summaries(population)[-5:]) or "none"
            number = f"candidate {name} of a run: `evo show RUN {name}`; " if name.isdecimal() else ""
            raise EvoError(f"no run has the name {name!r}", hint=f"{number}latest runs: {known}", kind="usage")
        return path
    runs = [run for run in summaries(population) if not (unfinished and run.state == "finished")]
    if not runs:
        what = "unfinished run" if unfinished else "run"
        raise EvoError(f"there is no {what} in {population}", hint="start one: evo run", kind="run")
    return population / runs[-1].name
