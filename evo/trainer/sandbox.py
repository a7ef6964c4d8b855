"""Sandbox of one candidate: its scratch folder, its training process and its model server.

This module sends commands to the launcher (`evo/sandboxed/launcher.py`), enforces the limits and cleans up. The isolation
itself is implemented in `evo.trainer.isolation`.
"""

import contextlib
import json
import os
import select
import signal
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from evo.evaluator import Limits
from evo.status import Status
from evo.trainer import isolation
from evo.trainer.batch_feed import BatchFeed
from evo.trainer.device import Device
from evo.trainer.failure import SandboxFailure, last_line, parse_failure
from evo.trainer.output import Output
from evo.trainer.processes import MARKER, LimitReached, Meter, Usage, kill_descendants, kill_marked
from evo.trainer.scratch import Scratch

_INSIDE = Path(__file__).resolve().parents[1] / "sandboxed"
_LOOK_SECONDS = 0.2
_START_SECONDS = 120.0
_THREADS = 256
"""Threads allowed in addition to the process limit. The kernel counts both as tasks."""


class Sandbox:
    """Sandbox of one candidate.

    Use it as a context manager. On exit it kills all its processes and removes all its files.

    Args:
        device: device to train on.
        limits: limits of every job in the sandbox.
        level: isolation backend; default the strongest that works on this machine.
        masked: files and folders hidden from the sandbox.
    """

    def __init__(
        self, device: Device, limits: Limits, level: isolation.Level | None = None, masked: Sequence[Path] = ()
    ) -> None:
        self.device, self.limits, self.level = device, limits, level or isolation.strongest()
        self.name = uuid.uuid4().hex
        self._buffer, self._looked, self._running = b"", 0.0, False
        self._printed = 0
        self._feed: BatchFeed | None = None
        self._watch: Callable[[], None] = lambda: None
        self._cell: isolation.Cell | None = None
        self._scratch: Scratch | None = None
        self._pid = 0
        self._reader: threading.Thread | None = None
        self._fds: list[int] = []
        self._output = Output(limits.output_mb * 1_000_000)
        try:
            self._launch(masked)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def usage(self) -> Usage:
        """Resources used by the current or last job."""
        return self._meter.usage

    @property
    def cell(self) -> isolation.Cell:
        """Sandbox cell: the isolated environment that the isolation backend started."""
        assert self._cell is not None
        return self._cell

    @property
    def scratch(self) -> Scratch:
        """Folders in which the sandbox may write."""
        assert self._scratch is not None
        return self._scratch

    @staticmethod
    def inside() -> Path:
        """Return the folder of evo's own files that run inside a sandbox."""
        return _INSIDE

    def output_tail(self) -> str:
        """Return the last 16 kB of the sandbox's output."""
        return self._output.text()

    def train(self, feed: BatchFeed, limits: Limits | None = None, watch: Callable[[], None] = lambda: None) -> int:
        """Run the training job to its end and return its exit code.

        Args:
            feed: source of batches for the harness.
            limits: limits of this job; default the sandbox's.
            watch: callback, called a few times a second. It ends the training by raising `LimitReached`.

        Raises:
            SandboxFailure: if a limit was exceeded or a signal ended the training.
        """
        self._feed, self._watch = feed, watch
        try:
            self._begin("train", limits or self.limits)
            ended = self._await("exit")
        finally:
            self._feed, self._watch = None, lambda: None
        self._settle()
        self._raise_for_signal(ended)
        return int(ended["exit"])

    def serve(self) -> None:
        """Start the model server that `logits` queries."""
        self._begin("serve", self.limits)

    def clear(self) -> None:
        """End all jobs and empty the scratch folder. The next job finds no trace of earlier ones."""
        kill_descendants(self._pid)
        if self._running:
            self._await("exit", checked=False)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._replies, 1 << 16):
                pass
        self.scratch.empty()

    def logits(self, windows: npt.NDArray[np.uint16], vocab_size: int) -> npt.NDArray[np.float32]:
        """Return the logits of `windows` (rows, columns), as float32 (rows, columns, vocab_size).

        Raises:
            SandboxFailure: if the server refused the request, ended, or exceeded a limit.
        """
        rows, columns = windows.shape
        self._send(struct.pack("<II", rows, columns) + windows.astype("<u2").tobytes())
        if self._receive(1) == b"\0":
            data = self._receive(4 * rows * columns * vocab_size)
            return np.frombuffer(data, dtype="<f4").reshape(rows, columns, vocab_size)
        length = min(struct.unpack("<I", self._receive(4))[0], 4096)
        raise parse_failure(self._receive(length), Status.CRASHED)

    def close(self) -> None:
        """Kill all processes of the sandbox and remove the files they wrote."""
        if self._cell is not None:
            kill_descendants(self._cell.process.pid)
            self._cell.process.kill()
            self._cell.process.wait()
            kill_marked(self.name)
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        if self._reader is not None:
            self._reader.join(timeout=2.0)
        if self._scratch is not None:
            with contextlib.suppress(OSError, SandboxFailure):
                self._scratch.empty()
            self._scratch.close()
        if self._cell is not None:
            self._cell.close()

    def _launch(self, masked: Sequence[Path]) -> None:
        pairs = [os.pipe() for _ in range(5)]  # commands, status, requests, replies, output
        theirs = [pairs[0][0], pairs[1][1], pairs[2][0], pairs[3][1]]
        self._commands, self._status, self._requests, self._replies = pairs[0][1], pairs[1][0], pairs[2][1], pairs[3][0]
        self._fds = [self._commands, self._status, self._requests, self._replies]
        for fd in (self._requests, self._replies):
            os.set_blocking(fd, False)
        order = isolation.Order(
            [str(_INSIDE / "launcher.py"), self.device.start, str(self.device.threads)],
            {"EVO_FDS": ",".join(map(str, theirs)), MARKER: self.name, **self.device.environment()},
            output=pairs[4][1],
            fds=theirs,
            masked=masked,
            nodes=self.device.nodes,
            memory_bytes=self.limits.memory_mb * 1_000_000,
            scratch_bytes=self.limits.scratch_mb * 1_000_000,
            processes=self.limits.processes,
        )
        try:
            self._cell = self.level.start(order)
        finally:
            for fd in (*theirs, pairs[4][1]):
                os.close(fd)
            self._reader = threading.Thread(target=self._output.read, args=(pairs[4][0],), daemon=True)
            self._reader.start()
        self._await("ready", checked=False)
        self._scratch = Scratch(self._cell.folders(), self._cell.owner)
        self._pid = self._cell.launcher()
        self._meter = Meter(self._pid, self._cell.used, self.limits, count_cpu=self.device.ranks_by_cpu)

    def _begin(self, job: str, limits: Limits) -> None:
        kernel = {
            "memory_bytes": limits.memory_mb * 1_000_000,
            "file_bytes": limits.scratch_mb * 1_000_000,
            "open_files": limits.open_files,
        }
        if self.cell.owner is not None:
            kernel["tasks"] = limits.processes + _THREADS  # the kernel counts per uid, and the sandbox has its own uid
        if self.device.ranks_by_cpu:
            kernel["cpu_seconds"] = int(limits.cpu_seconds) + 60  # a backstop: the meter limits the whole tree
        before = self._reap()
        self._running, self._looked, self._printed = True, 0.0, self._output.total
        self._command({"job": job, "scratch": self.cell.home, "limits": kernel})
        begun = self._await("begin", checked=False)
        self._meter.start(before + float(begun["cpu_seconds"]), limits)

    def _settle(self) -> None:
        """Stop the clock of a job that has ended, kill its remaining processes and count the CPU seconds of all of them."""
        usage = self.usage
        usage.wall_seconds = time.perf_counter() - self._meter.began
        kill_descendants(self._pid)
        self._output.drain()
        usage.cpu_seconds = max(usage.cpu_seconds, self._reap() - self._meter.cpu_before)
        try:
            self._check_output()
            self._meter.check_disk()
        except LimitReached as limit:
            raise SandboxFailure(limit.status, limit.reason) from None

    def _check_output(self) -> None:
        if self._output.total - self._printed > self._output.limit:
            raise LimitReached(Status.WROTE_TOO_MUCH, f"printed over {self.limits.output_mb} MB")

    def _reap(self) -> float:
        """Return the CPU seconds of all jobs of this sandbox that have ended."""
        self._command({"job": "reap"})
        return float(self._await("reaped", checked=False)["cpu_seconds"])

    def _command(self, command: dict[str, Any]) -> None:
        try:
            os.write(self._commands, (json.dumps(command) + "\n").encode())
        except OSError:
            raise self._lost() from None

    def _await(self, key: str, *, checked: bool = True) -> dict[str, Any]:
        """Return the launcher's next message that has `key`. Limits are checked meanwhile if `checked`."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                message: dict[str, Any] = json.loads(line)
                if "exit" in message:
                    self._running = False
                if key in message:
                    return message
                if "exit" in message:
                    self._raise_for_signal(message)
                    raise SandboxFailure(Status.CRASHED, last_line(self.output_tail()))
            self._check_limits(checked)
            if not checked and time.monotonic() > deadline:
                raise SandboxFailure(Status.KILLED, f"the sandbox did not answer in {_START_SECONDS:g} seconds")
            ready = select.select([self._status, *([self._replies] if self._feed else [])], [], [], _LOOK_SECONDS)[0]
            if self._replies in ready:
                self._answer_harness()
            if self._status in ready:
                piece = os.read(self._status, 65536)
                if not piece:
                    raise self._lost()
                self._buffer += piece

    def _answer_harness(self) -> None:
        """Send the batches that the harness has requested."""
        assert self._feed is not None
        try:
            for asked in os.read(self._replies, 64):
                view = memoryview(self._feed.answer(bytes([asked])))
                while view:
                    if select.select([], [self._requests], [], _LOOK_SECONDS)[1]:
                        with contextlib.suppress(BlockingIOError):
                            view = view[os.write(self._requests, view) :]
                    elif self._has_ended():
                        return  # the job ended before it read its batch
                    self._check_limits()
        except LimitReached as limit:
            self._end_for(limit)

    def _has_ended(self) -> bool:
        """Return whether the launcher has reported the end of the job. The message stays buffered for `_await`."""
        if select.select([self._status], [], [], 0)[0]:
            self._buffer += os.read(self._status, 65536)
        return b'"exit"' in self._buffer

    def _check_limits(self, checked: bool = True) -> None:
        """Check the limits, at most ten times a second. A violation kills all descendants of the launcher."""
        if not checked or time.monotonic() - self._looked < _LOOK_SECONDS / 2:
            return
        self._looked = time.monotonic()
        try:
            self._check_output()
            self._meter.check()
            self._watch()
        except LimitReached as limit:
            self._end_for(limit)

    def _end_for(self, limit: LimitReached) -> NoReturn:
        kill_descendants(self._pid)
        raise SandboxFailure(limit.status, limit.reason) from None

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._watch_server()
            if select.select([], [self._requests], [], _LOOK_SECONDS)[1]:
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._requests, view) :]

    def _receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            ready = select.select([self._replies, self._status], [], [], _LOOK_SECONDS)[0]
            if self._replies in ready:
                with contextlib.suppress(BlockingIOError):
                    piece = os.read(self._replies, min(1 << 20, count - len(data)))
                    if not piece:
                        raise self._lost()
                    data += piece
                self._check_limits()
            else:
                self._watch_server()
        return bytes(data)

    def _watch_server(self) -> None:
        """Check the limits, and fail if the model server has ended."""
        self._check_limits()
        if select.select([self._status], [], [], 0)[0]:
            ended = self._await("exit")
            self._raise_for_signal(ended)
            raise SandboxFailure(Status.CRASHED, f"the model server ended: {last_line(self.output_tail())}")

    def _lost(self) -> SandboxFailure:
        if self.cell.ran_out_of_memory():
            return SandboxFailure(Status.MEMORY, f"over the limit of {self.limits.memory_mb} MB of memory")
        return SandboxFailure(Status.KILLED, "the sandbox's first process was killed")

    def _raise_for_signal(self, ended: Mapping[str, Any]) -> None:
        number = int(ended.get("signal", 0))
        if number == signal.SIGKILL and self.cell.ran_out_of_memory():
            raise self._lost()
        if number == signal.SIGXCPU:
            raise SandboxFailure(Status.TIMEOUT, f"over the limit of {self.limits.cpu_seconds:g} CPU seconds")
        if number:
            raise SandboxFailure(Status.KILLED, f"ended by signal {signal.Signals(number).name}")
