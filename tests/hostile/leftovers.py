"""What a candidate may leave: processes, files outside its scratch folder, places in the kernel. Seen from outside."""

import contextlib
import os
import platform
import time
from pathlib import Path

import psutil
from hostile.hostile import TAG

from evo.trainer import isolation
from evo.trainer.processes import MARKER

_OUTSIDE = (
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/dev",
    "/etc",
    "/",
    "/opt",
    "/usr/lib",
    "/usr/local",
    "/run",
    "/sys/fs/cgroup",
)
SHARED_KEY = 0x0E70A77B
"""Of System V shared memory."""


class Seen:
    """The marks by which the processes of our sandboxes can be told from those of others on this machine."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.owners: set[int] = set()
        self.namespaces: dict[str, int] = {}

    def forget(self) -> None:
        """Before the next candidate: a namespace's name is given to another once nobody holds it open."""
        for held in self.namespaces.values():
            os.close(held)
        self.namespaces.clear()

    def ours(self, process: psutil.Process, tag: str, folder: Path) -> bool:
        """Whether a process began in one of our sandboxes."""
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARKER) in self.names:
                return True
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real in self.owners or tag in " ".join(process.cmdline()):
                return True
        with contextlib.suppress(psutil.Error, OSError):
            if os.readlink(f"/proc/{process.pid}/ns/pid") in self.namespaces:
                return True
        with contextlib.suppress(psutil.Error, OSError):
            return Path(process.cwd()).is_relative_to(folder)
        return False


class WatchedLevel:
    """A level that notes what it starts."""

    def __init__(self, level: isolation.Level, seen: Seen) -> None:
        self.name, self._level, self._seen = level.name, level, seen

    def missing(self) -> str:
        return self._level.missing()

    def start(self, order: isolation.Order) -> "WatchedCell":
        self._seen.names.add(order.environment[MARKER])
        return WatchedCell(self._level.start(order), self._seen)


class WatchedCell:
    """A cell whose namespace of processes is noted."""

    def __init__(self, cell: isolation.Cell, seen: Seen) -> None:
        self._cell, self._seen = cell, seen
        if cell.owner is not None:
            seen.owners.add(cell.owner)

    def __getattr__(self, name: str) -> object:
        return getattr(self._cell, name)

    def launcher(self) -> int:
        pid = self._cell.launcher()
        with contextlib.suppress(OSError):
            held = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
            space = os.readlink(f"/proc/self/fd/{held}")
            if space == os.readlink("/proc/self/ns/pid") or space in self._seen.namespaces:
                os.close(held)
            else:
                self._seen.namespaces[space] = held
        return pid


def processes(seen: Seen, tag: str, folder: Path, seconds: float = 2.0) -> list[str]:
    """The processes that are still there after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and seen.ours(process, tag, folder):
                    left.append(f"{process.pid} {process.cmdline()}")
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def kill(tag: str) -> None:
    """End what was started with `tag` among its arguments."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if tag in " ".join(process.cmdline()):
                process.kill()


def files(folder: Path, site: str) -> list[str]:
    """What lies outside: `folder` is where scratch folders come and go, `site` the installed packages' folder."""
    inside = Path(isolation.__file__).parents[2] / "sandboxed"
    found = [*folder.iterdir()]
    for outside in (*_OUTSIDE, site, str(inside), str(Path(site).parents[2] / "bin")):
        found += Path(outside).glob(f"{TAG}*")
    return [str(path) for path in found] + _shared_memory()


def remove(site: str) -> None:
    """Remove what an earlier candidate left outside, should one have been able to."""
    inside = Path(isolation.__file__).parents[2] / "sandboxed"
    for outside in (*_OUTSIDE, site, str(inside), str(Path(site).parents[2] / "bin")):
        for path in Path(outside).glob(f"{TAG}*"):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


def groups() -> set[Path]:
    """Control groups of this process's sandboxes; other tests keep one open."""
    return set(Path("/sys/fs/cgroup").glob(f"**/evo-{platform.node()}-{os.getpid()}-*"))


def _shared_memory() -> list[str]:
    with contextlib.suppress(OSError):
        lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        return [line for line in lines if int(line.split()[0]) == SHARED_KEY]
    return []
