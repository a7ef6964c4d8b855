"""Recovery of a run after a killed process or a failing disk.

Incomplete files are removed. A damaged record is moved unchanged to `damaged/<table>/<name>.<n>` of its run, and the
resumed run creates it again. Callers must hold the lock of the run.
"""

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from evo.lineage import lock, schema, store
from evo.lineage.runs import DAMAGED

_FILE_ASIDE = re.compile(r"\..+\.\d+")
"""Name of a file while it is written: a dot, the final name and the process id of the writer."""
_RUN_ASIDE = re.compile(r"\..+\.[a-z0-9_]{8}\.\d+")
"""Name of a run folder while it is created: the same, with eight characters from `tempfile` before the process id."""

_WHAT_FOLLOWS = {
    "candidates": "the row is rebuilt from its answer and its training",
    "trainings": "the training is repeated",
    "curves": "its training is moved too and repeated",
    "calls": "the answer is lost and requested again",
    "gene": "the row of its candidate holds the gene; without that row the gene is requested again",
    "verdicts": "the verdict is given again; repeat an earlier one with `evo best RUN --verdict --candidate ID`",
    "schema": "an empty file replaces it",
}


def recover(folder: Path) -> list[str]:
    """Remove incomplete files of the run in `folder`, set damaged records aside, and return one line per action.

    Every record is read once, which takes about a millisecond each.

    Raises:
        EvoError: The disk is full, a file may not be read, or a file has a newer schema.
    """
    return [
        *_clear_unfinished(folder),
        *(said for table in schema.TABLES for said in _set_damaged_aside(folder, table)),
    ]


def clear_population(population: Path) -> list[str]:
    """Remove folders of runs whose creation was killed and return one line per action."""
    if not _asides(population):
        return []
    with lock.making(population):  # the creator of a run holds this lock, so these folders have no owner
        left = _asides(population)
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
    return [f"removed {path}, an incomplete run that a killed `evo run` left" for path in left]


def _asides(population: Path) -> list[Path]:
    return sorted(path for path in population.glob(".*") if _RUN_ASIDE.fullmatch(path.name) and path.is_dir())


def _clear_unfinished(folder: Path) -> list[str]:
    left = sorted(path for path in folder.rglob(".*") if _FILE_ASIDE.fullmatch(path.name) and path.is_file())
    for path in left:
        path.unlink(missing_ok=True)
    if not left:
        return []
    named = ", ".join(str(path.relative_to(folder)) for path in left[:3]) + (", …" if len(left) > 3 else "")
    files = "file" if len(left) == 1 else "files"
    return [f"removed {len(left)} incomplete {files} that killed processes left: {named}"]


def _set_damaged_aside(folder: Path, table: str) -> Iterator[str]:
    """Set aside the unreadable records of one table. A training and its curve are set aside together."""
    for path in sorted((folder / "lineage" / table).glob("*.parquet")):
        try:
            store.read_file(path, table)
        except store.DamagedFile as error:
            if table == "curves" and (training := folder / "lineage" / "trainings" / path.name).exists():
                _set_aside(training, folder / DAMAGED / "trainings")
            moved = _set_aside(path, folder / DAMAGED / table).relative_to(folder)
            gene = table == "calls" and path.stem.endswith(f"-{schema.GENE}")
            follows = _WHAT_FOLLOWS["schema" if path.name == store.EMPTY else "gene" if gene else table]
            yield f"{error.message}; moved to {moved}: {follows}"


def _set_aside(path: Path, where: Path) -> Path:
    """Move a file durably to the first free name in `where`."""
    try:
        where.mkdir(parents=True, exist_ok=True)
        target = next(free for n in itertools.count(1) if not (free := where / f"{path.name}.{n}").exists())
        os.replace(path, target)
        for changed in (where, path.parent, where.parent, where.parent.parent):
            store.sync_folder(changed)
    except OSError as error:
        raise store.disk_error(error, path) from None
    return target
