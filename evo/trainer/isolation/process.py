"""Level *process*: an own process group with a clean environment and a scratch folder on disk."""

import glob
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from evo.trainer.isolation.backend import Order
from evo.trainer.processes import disk_bytes

_PREFIX = f"evo-{platform.node()}-"


class Process:
    """The level *process*."""

    name = "process"

    def missing(self) -> str:
        """Return an empty string: the level works everywhere."""
        return ""

    def start(self, order: Order) -> "FolderCell":
        """Start the first process of a sandbox."""
        return FolderCell(order, lambda scratch: [])


class FolderCell:
    """A cell whose scratch folder is in the temporary folder of this machine.

    Args:
        order: The process to start.
        before: Function from the scratch folder to a command-line prefix.
    """

    def __init__(self, order: Order, before: Callable[[Path], list[str]]) -> None:
        self.owner: int | None = None
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.home = str(self._scratch)
        try:
            self.process = subprocess.Popen(
                [*before(self._scratch), *order.command()],
                stdin=subprocess.DEVNULL,
                stdout=order.output,
                stderr=order.output,
                env=order.variables(self.home),
                cwd=self._scratch,
                pass_fds=tuple(order.fds),
                start_new_session=True,
            )
        except BaseException:
            self.close()
            raise

    def launcher(self) -> int:
        """Return the process id of the started process."""
        return self.process.pid

    def folders(self) -> list[int]:
        """Return a descriptor of the scratch folder."""
        return [os.open(self._scratch, os.O_RDONLY | os.O_DIRECTORY)]

    def used(self, enough: int) -> int:
        """Return the bytes allocated in the scratch folder. Deleted files that are still open are not counted."""
        return disk_bytes(self._scratch, enough)

    def ran_out_of_memory(self) -> bool:
        """Return False: this level cannot tell."""
        return False

    def close(self) -> None:
        """Remove the scratch folder."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def clear_leftovers() -> int:
    """Remove scratch folders of killed owners on this machine. Return their number."""
    left = []
    for path in Path(tempfile.gettempdir()).glob(f"{glob.escape(_PREFIX)}*-*"):
        owner = path.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            left.append(path)
            shutil.rmtree(path, ignore_errors=True)
    return len(left)
