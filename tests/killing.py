"""A run that is killed at one moment: `python killing.py RUN_FOLDER MARKER MOMENT NTH HOW`.

MOMENT is what is about to happen, or has just happened, for the NTH time; HOW is "standins", "ray" (as `evo resume` does it),
or the folder of an evaluator, of which RUN_FOLDER is then made. At that moment the marker file is written and the whole
process tree gets SIGKILL. With MOMENT "none" the run goes on to its end. A moment may say which file or which training it
means: "before rename verdicts", "after rename final trainings", "after judge verdict".
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

LONG = {"final.least": 5, "final.finalists": 2, "final.seeds": 2, "final.verdict_seeds": 3}
LONG |= {"early.least": 2, "early.control": 0.0, "seed": 3}
"""Of a small run that has all that a run can have."""

EVERY = [
    *[("before aside", n) for n in range(1, 58, 4)],
    *[("before fsync", n) for n in range(1, 116, 5)],
    *[("before rename", n) for n in range(2, 58, 4)],
    *[("after rename", n) for n in range(3, 58, 4)],
    *[("before ask", n) for n in (1, 3, 5, 7)],
    *[("after ask", n) for n in (2, 4, 6, 8)],
    *[("before judge", n) for n in range(1, 20, 2)],
    *[("after judge", n) for n in range(2, 21, 2)],
    *[("before aside verdicts", 1), ("before rename verdicts", 1), ("after rename verdicts", 1)],
    *[("after rename final trainings", 4), ("before judge verdict", 1), ("before rename verdict trainings", 4)],
]
"""A hundred moments over the whole of that run."""


def run_killing(folder, marker, moment, nth, how="standins"):
    """Run this file in a process of its own."""
    command = [sys.executable, __file__, str(folder), str(marker), moment, str(nth), str(how)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def kill_tree(process):
    """SIGKILL to a process and all below it; it is halted first, so that none is born meanwhile."""
    process.suspend()
    for child in process.children(recursive=True):
        child.kill()
    process.kill()


@contextlib.contextmanager
def mounted(where, size):
    """A file system in memory at `where` while the block runs; gives what changes its size. Only root can mount one: for
    others the block runs in a plain folder, and a test that wants another size is skipped.
    """
    where.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", where]
    refused = (
        subprocess.run(command, capture_output=True, text=True).stderr.strip() if shutil.which("mount") else "no mount"
    )

    def resize(other):
        if refused:
            import pytest

            pytest.skip(f"a small file system cannot be made here: {refused}")
        subprocess.run(["mount", "-o", f"remount,size={other}", where], check=True)

    try:
        yield resize
    finally:
        if not refused:
            subprocess.run(["umount", "--lazy", where], check=True)


class Fault:
    """Kills everything when its moment has come."""

    def __init__(self, marker, moment, nth):
        self.marker, self.moment, self.left = marker, moment, nth

    def __call__(self, moment, what=""):
        if self.moment not in (moment, f"{moment} {what}"):
            return
        self.left -= 1
        if self.left:
            return
        self.marker.write_text(f"{moment} {what}", encoding="utf-8")
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os.kill(os.getpid(), signal.SIGKILL)


def said(path):
    """Of a file of the lineage, written aside or not: its table, and of a training what it is for."""
    path = Path(os.fsdecode(path))
    table, *key = path.parent.name, *re.findall(r"\d+", path.name.split(".parquet")[0])
    if table not in ("trainings", "curves") or len(key) < 2:
        return table
    number, replicate = map(int, key[:2])
    return ("verdict " if replicate >= 1_000_000 else "final " if number and replicate else "") + table


def plant(fault):
    """Put the fault around every write of the lineage."""
    from evo.lineage import store

    replace, fsync, write_table = os.replace, os.fsync, store.pq.write_table

    def faulty_write_table(table, file, **options):
        fault("before aside", said(file.name))
        write_table(table, file, **options)

    def faulty_fsync(fd):
        fault("before fsync", fd)
        fsync(fd)

    def faulty_replace(source, target):
        fault("before rename", said(target))
        replace(source, target)
        fault("after rename", said(target))

    store.pq.write_table, os.fsync, os.replace = faulty_write_table, faulty_fsync, faulty_replace


def plant_around(kind, method, name, fault):
    """Put the fault before and after an asynchronous method."""
    inner = getattr(kind, method)

    async def faulty(self, *args):
        what = "verdict" if getattr(args[0], "test", False) else ""
        fault(f"before {name}", what)
        result = await inner(self, *args)
        fault(f"after {name}", what)
        return result

    setattr(kind, method, faulty)


@dataclass(frozen=True)
class Outcome:
    """What one kill cost: rows that were durable and are not, or not the same, after it was resumed; candidates that the
    finished run has not; answers and trainings that were durable and were asked for, or trained, again.
    """

    candidates: int
    lost: int
    repeated: int


def kill_and_resume(run, marker, whole, moment, nth):
    """Kill a run of stand-ins at a moment, resume it, and compare it with `whole`, its `Whole` that was not killed."""
    import standins

    from evo import rng
    from evo.lineage import schema
    from evo.lineage.store import Lineage

    killed = run_killing(run.path, marker, moment, nth)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert marker.read_text(encoding="utf-8").startswith(moment)
    lineage = Lineage(run.path)
    before = {table: lineage.read(table) for table in schema.TABLES}
    proposer, trainers, _ = standins.drive(run)
    after = {table: lineage.read(table) for table in schema.TABLES}
    answered = {rng.derived(run.config.seed, row["id"], "answer") % 2**31 for row in before["calls"]}
    to_train = len(after["trainings"]) - len(before["trainings"])
    assert standins.without_clocks(lineage) == whole.lineage
    assert len(before["calls"]) + len(proposer.asked) == whole.asked
    assert not list(run.path.rglob(".*.parquet.*"))
    missing = len(whole.lineage["candidates"]) - len(after["candidates"])
    return Outcome(
        candidates=len(after["candidates"]),
        lost=missing + sum(row not in after[table] for table in before for row in before[table]),
        repeated=len(answered.intersection(proposer.asked)) + len(trainers.trained) - to_train,
    )


@dataclass(frozen=True)
class Whole:
    """A run that was not killed: its rows without clocks, and how much was asked for and trained."""

    lineage: dict
    asked: int
    trained: int


def not_killed(run):
    """Carry a run of stand-ins to its end."""
    import standins

    from evo.lineage.store import Lineage

    proposer, trainers, _ = standins.drive(run)
    return Whole(standins.without_clocks(Lineage(run.path)), len(proposer.asked), len(trainers.trained))


def main():
    folder, marker, moment, nth, how = sys.argv[1:]
    import standins

    from evo.driver import run_folder as folders

    fault = Fault(Path(marker), moment, int(nth))
    plant(fault)
    if how == "standins":
        plant_around(standins.Proposer, "ask", "ask", fault)
        plant_around(standins.Trainers, "judge", "judge", fault)
        standins.drive(folders.open_run(Path(folder)))
        print(*sorted({"torch", "ray"} & set(sys.modules)))
    elif how == "ray":
        from evo.cli import run
        from evo.driver import workers

        plant_around(workers.RemoteProposer, "ask", "ask", fault)
        plant_around(workers.Trainers, "judge", "judge", fault)
        os.chdir(Path(folder).parent.parent)
        run.resume(Path(folder).name)
    else:
        standins.make_run(Path(folder).parent, Path(how), name=Path(folder).name)


if __name__ == "__main__":
    main()
