"""The sandbox: one candidate's scratch folder and processes, in which its training runs and its trained model answers.

It speaks with the launcher (`evo/sandboxed/launcher.py`), keeps the limits and cleans up; how strongly the sandbox is kept
apart is `evo.trainer.isolation`'s.
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
from evo.trainer.batch_feed import Feed
from evo.trainer.device import Device
from evo.trainer.failure import SandboxFailure, last_line, named
from evo.trainer.output import Output
from evo.trainer.processes import MARKER, LimitReached, Meter, Usage, kill_descendants, kill_marked
from evo.trainer.scratch import Scratch

_INSIDE = Path(__file__).resolve().parents[1] / "sandboxed"
_LOOK_SECONDS = 0.2
_START_SECONDS = 120.0
_THREADS = 256
"""Threads that a sandbox's processes may have beside their number: for the kernel both are tasks."""


class Sandbox:
    """One candidate's sandbox. Use it as a context manager: leaving it kills and removes all.

    Args:
        device: what trains.
        limits: of every job in it.
        level: how strongly it is kept apart; the strongest that works here where it is not said.
        masked: files and folders of which it may see nothing.
    """

    def __init__(
        self, device: Device, limits: Limits, level: isolation.Level | None = None, masked: Sequence[Path] = ()
    ) -> None:
        self.device, self.limits, self.level = device, limits, level or isolation.strongest()
        self.name = uuid.uuid4().hex
        self._buffer, self._looked, self._running = b"", 0.0, False
        self._printed = 0
        self._feed: Feed | None = None
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
        """What the current or last job used."""
        return self._meter.usage

    @property
    def cell(self) -> isolation.Cell:
        """What it was started in."""
        assert self._cell is not None
        return self._cell

    @property
    def scratch(self) -> Scratch:
        """Where it may write."""
        assert self._scratch is not None
        return self._scratch

    @staticmethod
    def inside() -> Path:
        """The folder of our files that run in a sandbox."""
        return _INSIDE

    def output_tail(self) -> str:
        """The last 16 kB that it printed."""
        return self._output.text()

    def train(self, feed: Feed, limits: Limits | None = None, watch: Callable[[], None] = lambda: None) -> int:
        """Run the training job to its end and return its exit code.

        Args:
            feed: answers the harness.
            limits: of this job; default the sandbox's.
            watch: called a few times a second; it ends the training by raising `LimitReached`.

        Raises:
            SandboxFailure: a limit was reached, or it was ended by a signal.
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
        """Start the model server; `logits` asks it."""
        self._begin("serve", self.limits)

    def clear(self) -> None:
        """End whatever runs here, and empty the scratch folder: what comes next finds nothing of what was before."""
        kill_descendants(self._pid)
        if self._running:
            self._await("exit", checked=False)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._replies, 1 << 16):
                pass
        self.scratch.empty()

    def logits(self, windows: npt.NDArray[np.uint16], vocab_size: int) -> npt.NDArray[np.float32]:
        """Logits of `windows` (rows, columns), as float32 (rows, columns, vocab_size).

        Raises:
            SandboxFailure: the server refused, ended, or reached a limit.
        """
        rows, columns = windows.shape
        self._send(struct.pack("<II", rows, columns) + windows.astype("<u2").tobytes())
        if self._receive(1) == b"\0":
            data = self._receive(4 * rows * columns * vocab_size)
            return np.frombuffer(data, dtype="<f4").reshape(rows, columns, vocab_size)
        length = min(struct.unpack("<I", self._receive(4))[0], 4096)
        raise named(self._receive(length), Status.CRASHED)

    def close(self) -> None:
        """Kill everything that was started here and remove what it wrote."""
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
            kernel["tasks"] = limits.processes + _THREADS  # counted by uid, and this one is the sandbox's own
        if self.device.ranks_by_cpu:
            kernel["cpu_seconds"] = int(limits.cpu_seconds) + 60  # a backstop: the meter's limit covers the whole tree
        before = self._reap()
        self._running, self._looked, self._printed = True, 0.0, self._output.total
        self._command({"job": job, "scratch": self.cell.home, "limits": kernel})
        begun = self._await("begin", checked=False)
        self._meter.start(before + float(begun["cpu_seconds"]), limits)

    def _settle(self) -> None:
        """A job has ended: take its clock, kill what it left running, and count the seconds of all of it."""
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
        """CPU seconds of every job of this sandbox that has ended."""
        self._command({"job": "reap"})
        return float(self._await("reaped", checked=False)["cpu_seconds"])

    def _command(self, command: dict[str, Any]) -> None:
        try:
            os.write(self._commands, (json.dumps(command) + "\n").encode())
        except OSError:
            raise self._lost() from None

    def _await(self, key: str, *, checked: bool = True) -> dict[str, Any]:
        """The launcher's next message that has `key`."""
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
            self._look(checked)
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
        """Hand out the batches that were asked for."""
        assert self._feed is not None
        try:
            for asked in os.read(self._replies, 64):
                view = memoryview(self._feed.answer(bytes([asked])))
                while view:
                    if select.select([], [self._requests], [], _LOOK_SECONDS)[1]:
                        with contextlib.suppress(BlockingIOError):
                            view = view[os.write(self._requests, view) :]
                    elif self._has_ended():
                        return  # without taking what it asked for
                    self._look()
        except LimitReached as limit:
            self._end_for(limit)

    def _has_ended(self) -> bool:
        """Whether the launcher has said that the job ended; what it said stays to be awaited."""
        if select.select([self._status], [], [], 0)[0]:
            self._buffer += os.read(self._status, 65536)
        return b'"exit"' in self._buffer

    def _look(self, checked: bool = True) -> None:
        """Check the limits, five times a second at most; a broken one kills everything below the launcher."""
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
                self._look()
            else:
                self._watch_server()
        return bytes(data)

    def _watch_server(self) -> None:
        """Limits, and whether the model server still lives."""
        self._look()
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
