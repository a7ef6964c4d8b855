"""Linux control groups, one a sandbox, through which the kernel limits memory and tasks of the sandbox as a whole.

Where this process may not create control groups, RLIMIT_DATA, RLIMIT_NPROC and our own counting still apply.
"""

import contextlib
import glob
import os
import platform
import time
import uuid
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = f"evo-{platform.node()}-"
_JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'


class Group:
    """Control groups of one sandbox: none, one of cgroup v2, or two of cgroup v1 (memory and tasks)."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def before(self) -> list[str]:
        """Return a command-line prefix that joins the groups and then executes the command after it."""
        return ["/bin/sh", "-c", _JOIN, "sh", *map(str, self._folders), "--"] if self._folders else []

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel killed a process of the groups because of the memory limit."""
        for folder in self._folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    told = dict(line.split() for line in (folder / name).read_text().splitlines())
                    return int(told.get("oom_kill", 0)) > 0
        return False

    def close(self) -> None:
        """Remove the groups. Retry for a while, because the last process may take a moment to exit."""
        for folder in self._folders:
            for _ in range(100):
                with contextlib.suppress(FileNotFoundError):
                    try:
                        folder.rmdir()
                    except OSError:
                        time.sleep(0.02)
                        continue
                break


def make(memory_bytes: int, tasks: int) -> Group:
    """Return a group that limits all its processes together, or an empty group if none can be created."""
    name = f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    for above, limits in _places(memory_bytes, tasks):
        folders = [folder / name for folder in above]
        try:
            for folder, values in zip(folders, limits, strict=True):
                folder.mkdir()
                for file, value in values.items():
                    if (folder / file).exists():
                        (folder / file).write_text(str(value))
        except OSError:
            Group(folders).close()
        else:
            return Group(folders)
    return Group([])


def clear_leftovers() -> None:
    """Remove groups of killed owners on this machine."""
    for above, _ in _places(0, 0):
        for folder in above:
            for left in folder.glob(f"{glob.escape(_PREFIX)}*-*"):
                owner = left.name.removeprefix(_PREFIX).split("-")[0]
                if owner.isdecimal() and not psutil.pid_exists(int(owner)):
                    with contextlib.suppress(OSError):
                        left.rmdir()


def _places(memory: int, tasks: int) -> list[tuple[list[Path], list[dict[str, int]]]]:
    """Return candidate parent folders for new groups with the limits to write: below our own group, or beside it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = {kinds: _ROOT / kinds / path.lstrip("/") for _, kinds, path in (line.split(":", 2) for line in lines)}
    found: list[tuple[list[Path], list[dict[str, int]]]] = []
    if {"memory", "pids"} <= set(own):
        in_memory = {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}
        found.append(([own["memory"], own["pids"]], [in_memory, {"pids.max": tasks}]))
    if "" in own and (_ROOT / "cgroup.controllers").exists():
        limits = {"memory.max": memory, "memory.swap.max": 0, "pids.max": tasks}
        for folder in (parent for parent in own[""].parents if parent.is_relative_to(_ROOT)):
            with contextlib.suppress(OSError):
                if {"memory", "pids"} <= set((folder / "cgroup.subtree_control").read_text().split()):
                    found.append(([folder], [limits]))
    return found
