"""Resource metering, limits and termination of the processes of one sandbox.

All measurements come from the kernel, mostly through psutil. Nothing that the processes report about themselves is used.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from evo.evaluator import Limits
from evo.status import Status

MARKER = "EVO_SANDBOX"
"""Environment variable that holds the name of the sandbox in every process started in it."""


class LimitReached(Exception):
    """Violation of a resource limit, with a status and a reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass
class Usage:
    """Resources that a sandbox has used since `Meter.start`."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int = 0


class Meter:
    """Meter that samples the processes of one sandbox and enforces its limits.

    Args:
        launcher: process id of the sandbox's first process, which is not counted.
        used: returns the bytes written by the sandbox. It stops counting above its argument.
        limits: limits until `start` sets those of a job.
        count_cpu: whether to limit CPU seconds.
    """

    def __init__(self, launcher: int, used: Callable[[int], int], limits: Limits, *, count_cpu: bool) -> None:
        self._launcher = psutil.Process(launcher)
        self._used, self._limits, self._count_cpu = used, limits, count_cpu
        self.cpu_before = 0.0
        self.began = time.perf_counter()
        self._disk_looked = 0.0
        self.usage = Usage()

    def start(self, cpu_before: float, limits: Limits) -> None:
        """Start to measure a job.

        Args:
            cpu_before: CPU seconds used before the job read a candidate's file. They are not counted.
            limits: limits of the job.
        """
        self.cpu_before, self._limits = cpu_before, limits
        self.began = time.perf_counter()
        self.usage = Usage()

    def check(self) -> None:
        """Sample the processes once.

        Raises:
            LimitReached: if CPU seconds, wall seconds, memory, processes or bytes written exceed the limit.
        """
        limits, tree = self._limits, descendants(self._launcher)
        cpu, memory = 0.0, 0
        for process in tree:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                cpu += (
                    times.user
                    + times.system
                    + getattr(times, "children_user", 0)
                    + getattr(times, "children_system", 0)
                )
                memory += process.memory_info().rss
        with contextlib.suppress(psutil.Error):
            times = self._launcher.cpu_times()
            cpu += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
        usage = self.usage
        usage.cpu_seconds = max(usage.cpu_seconds, cpu - self.cpu_before)
        usage.wall_seconds = time.perf_counter() - self.began
        usage.peak_memory_bytes = max(usage.peak_memory_bytes, memory, *map(_high_water, tree))
        if len(tree) > limits.processes:
            raise LimitReached(Status.TOO_MANY_PROCESSES, f"over the limit of {limits.processes} processes")
        if self._count_cpu and usage.cpu_seconds > limits.cpu_seconds:
            raise LimitReached(Status.TIMEOUT, f"over the limit of {limits.cpu_seconds:g} CPU seconds")
        if usage.wall_seconds > limits.wall_seconds:
            raise LimitReached(Status.TIMEOUT, f"over the limit of {limits.wall_seconds:g} seconds")
        if memory > limits.memory_mb * 1_000_000 and _shared_once(tree) > limits.memory_mb * 1_000_000:
            raise LimitReached(Status.MEMORY, f"over the limit of {limits.memory_mb} MB of memory")
        if time.perf_counter() - self._disk_looked > 1.0:
            self.check_disk()

    def check_disk(self) -> None:
        """Check the bytes allocated in the sandbox's writable folders.

        Raises:
            LimitReached: if they exceed the limit.
        """
        self._disk_looked = time.perf_counter()
        allowed = self._limits.scratch_mb * 1_000_000
        if self._used(allowed) > allowed:
            raise LimitReached(Status.WROTE_TOO_MUCH, f"over the limit of {self._limits.scratch_mb} MB written")


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return all live descendants of `process`, or an empty list if `process` has ended."""
    try:
        return [child for child in process.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.Error:
        return []


def kill_descendants(pid: int, seconds: float = 2.0) -> None:
    """Kill all descendants of `pid` within `seconds`. Each is suspended first, to prevent it from starting another process."""
    with contextlib.suppress(psutil.Error):
        root, end = psutil.Process(pid), time.monotonic() + seconds
        while (tree := descendants(root)) and time.monotonic() < end:
            for process in tree:
                with contextlib.suppress(psutil.Error):
                    process.suspend()
            for process in descendants(root):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(tree, timeout=0.1)


def kill_marked(name: str) -> int:
    """Kill every process started in sandbox `name`, whatever its current parent, and return the number killed."""
    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARKER) == name:
                process.kill()
                count += 1
    return count


def disk_bytes(folder: Path, enough: int) -> int:
    """Return the bytes allocated below `folder`. Counting stops above `enough`.

    Each entry counts as at least 4096 bytes. A tree too deep for a path, or an unreadable folder, counts as more than
    `enough`.
    """
    total, waiting = 0, [os.fspath(folder)]
    while waiting and total <= enough:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        total += max(4096, entry.stat(follow_symlinks=False).st_blocks * 512)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                    if total > enough:
                        break
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EACCES):
                return enough + 1
    return total


def _shared_once(tree: list[psutil.Process]) -> int:
    """Return the memory of all processes in bytes. Shared memory counts once where the kernel reports it (Linux)."""
    total = 0
    for process in tree:
        with contextlib.suppress(psutil.Error):
            told = process.memory_full_info()
            total += getattr(told, "pss", 0) or told.rss
    return total


def _high_water(process: psutil.Process) -> int:
    """Return the peak resident memory in bytes if the kernel reports it (Linux), else 0."""
    try:
        with open(f"/proc/{process.pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
