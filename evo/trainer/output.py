"""Output of a sandbox: a byte count and a bounded tail."""

import contextlib
import os
import select
import threading
from collections import deque

_TAIL_BYTES = 16_384


class Output:
    """Byte count and bounded tail of the output of a sandbox. A separate thread calls `read`.

    Args:
        limit: maximum number of bytes that a job may print.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.total = limit, 0
        self._tail, self._kept = deque[bytes](), 0
        self._fd, self._open, self._lock = -1, False, threading.Lock()

    def read(self, fd: int) -> None:
        """Read `fd` until end of file, then close it."""
        os.set_blocking(fd, False)
        self._fd, self._open = fd, True
        with contextlib.suppress(OSError):
            while self._open:
                select.select([self._fd], [], [])
                self.drain()
        os.close(self._fd)

    def drain(self) -> None:
        """Read the available output, at most 4 MiB, without blocking."""
        with self._lock, contextlib.suppress(BlockingIOError):
            for _ in range(64 if self._open else 0):
                piece = os.read(self._fd, 65536)
                if not piece:
                    self._open = False
                    return
                self.total += len(piece)
                self._tail.append(piece[-_TAIL_BYTES:])
                self._kept += len(self._tail[-1])
                while self._kept - len(self._tail[0]) >= _TAIL_BYTES:
                    self._kept -= len(self._tail.popleft())

    def forget(self) -> None:
        """Discard the output so far and reset the byte count."""
        self.drain()
        self._tail.clear()
        self.total = self._kept = 0

    def text(self) -> str:
        """Return the tail as text, at most 16 kB."""
        self.drain()
        return b"".join(tuple(self._tail))[-_TAIL_BYTES:].decode("utf-8", errors="replace")
