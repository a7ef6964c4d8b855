"""A run that is killed at one moment: `python killing.py RUN_FOLDER MARKER MOMENT NTH HOW`.

MOMENT is what is about to happen, or has just happened, for the NTH time; HOW is "standins" or "ray". At that moment the
marker file is written and the whole process tree gets SIGKILL. With MOMENT "none" the run goes on to its end. A moment may
say which file or which training it means: "before rename verdicts", "after rename final trainings", "after judge verdict".
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil


def run_killing(folder, marker, moment, nth, how="standins"):
    """Run this file in a process of its own."""
    command = [sys.executable, __file__, str(folder), str(marker), moment, str(nth), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


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


def main():
    folder, marker, moment, nth, how = sys.argv[1:]
    import standins

    from evo.driver import folder as folders
    from evo.driver import session, workers

    fault = Fault(Path(marker), moment, int(nth))
    run = folders.open_run(Path(folder))
    plant(fault)
    if how == "standins":
        plant_around(standins.Proposer, "ask", "ask", fault)
        plant_around(standins.Trainers, "judge", "judge", fault)
        proposer, trainers, _ = standins.drive(run)
        print(len(proposer.asked), len(trainers.trained))
    else:
        from evo.lineage import lock

        plant_around(workers.RemoteProposer, "ask", "ask", fault)
        plant_around(workers.Trainers, "judge", "judge", fault)
        with lock.writer(run.path):
            session.carry_on(run, standins.Watcher())


if __name__ == "__main__":
    main()
