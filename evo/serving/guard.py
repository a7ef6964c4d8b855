"""Guard process that kills the process groups of a server after the server was killed.

Run as a script, it imports nothing of evo. Each line on standard input is `+` or `-` followed by the number of a process
group that started or ended. Standard input ends when the server closes it or dies. The guard then kills the remaining groups.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen


class Guard:
    """The guard process, from construction until `close`."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", str(Path(__file__).resolve())]
        self._process = Popen(command, stdin=PIPE, env={}, start_new_session=True)

    def began(self, group: int) -> None:
        """Add a process group that the guard kills if this process dies."""
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        """Remove an ended process group, because the system may reuse its number."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guard process. Safe to call twice."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # the guard has ended or is closed
                os.write(self._process.stdin.fileno(), line.encode())


def main() -> None:
    """Read standard input until it ends, then kill the remaining groups."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
