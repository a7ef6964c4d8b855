"""One writer a run: an exclusive lock on its folder, with a note of who holds it.

The lock is the operating system's, so that it ends with its holder however that ended; the note is only for people.
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
def writer(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` while the block runs.

    Raises:
        EvoError: another process holds it, and which.
    """
    note = folder / ".holder.json"
    lock = FileLock(folder / ".lock", timeout=2)  # a reader that asks `is_held` holds it for a moment
    try:
        lock.acquire()
    except OSError as error:
        if not isinstance(error, Timeout):
            raise EvoError(
                f"cannot write in {folder}: {error.strerror}", hint="make room, then resume", kind="disk"
            ) from None
        raise EvoError(f"run {folder.name} is held by {_holder(note)}", hint="wait for it, or stop it first") from None
    try:
        note.write_text(
            json.dumps({"pid": os.getpid(), "host": platform.node(), "since": time.time()}), encoding="utf-8"
        )
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process is writing the run in `folder` now."""
    if not (folder / ".lock").exists():
        return False
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _holder(note: Path) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        held = json.loads(note.read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(held["since"]))
        return f"process {held['pid']} on {held['host']} since {since}"
    return "another process"
