"""Exclusive locks: one writer per run, and one process at a time that creates runs in a population.

The operating system holds the lock, so it ends with its process. A note in the lock file names the process for users.
"""

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from evo.errors import EvoError


@contextlib.contextmanager
def writer(folder: Path) -> Iterator[list[str]]:
    """Hold the lock of the run in `folder` and yield messages about a previous holder that was killed.

    Raises:
        EvoError: Another process holds the lock.
    """
    note = folder / ".holder.json"
    # `is_held` in a reader acquires the lock for a moment, so wait for up to two seconds.
    with _held(folder, 2, f"run {folder.name} is in use by", note):
        left = []
        if note.exists():
            left.append(f"{_holder(note)} was killed while it wrote run {folder.name}; removed its lock note")
        try:
            held = {"pid": os.getpid(), "host": platform.node(), "since": time.time()}
            note.write_text(json.dumps(held), encoding="utf-8")
        except OSError as error:
            raise _cannot_write(folder, error) from None
        try:
            yield left
        finally:
            note.unlink(missing_ok=True)


@contextlib.contextmanager
def making(population: Path) -> Iterator[None]:
    """Hold the lock for creating runs in `population` and for removing incomplete ones.

    Raises:
        EvoError: Another process has held the lock for a minute.
    """
    with _held(population, 60, f"a run is being created in {population} by"):
        yield


@contextlib.contextmanager
def _held(folder: Path, seconds: float, what: str, note: Path | None = None) -> Iterator[None]:
    lock = FileLock(folder / ".lock", timeout=seconds)
    try:
        lock.acquire()
    except OSError as error:
        if not isinstance(error, Timeout):
            raise _cannot_write(folder, error) from None
        raise EvoError(f"{what} {_holder(note)}", hint="wait until it ends, or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _cannot_write(folder: Path, error: OSError) -> EvoError:
    return EvoError(
        f"cannot write in {folder}: {error.strerror}", hint="free disk space or make the folder writable", kind="disk"
    )


def is_held(folder: Path) -> bool:
    """Return whether a process is writing the run in `folder`."""
    if not (folder / ".lock").exists():
        return False
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _holder(note: Path | None) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if note is None:
            return "another process"
        held = json.loads(note.read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(held["since"]))
        return f"process {held['pid']} on {held['host']} since {since}"
    return "another process"
