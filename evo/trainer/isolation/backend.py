"""Interface of an isolation level. A level starts a cell: the first process of a sandbox, with its writable folders."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Order:
    """Description of the process to start.

    Attributes:
        script: Path of a Python script and its arguments.
        environment: Variables added to the fixed set of every sandbox. Our own environment is not inherited.
        output: File descriptor for stdout and stderr.
        fds: File descriptors that the process inherits under the same numbers.
        masked: Files and folders that the process must not see, even if their parent folder is visible.
        nodes: Device nodes that the process may use.
        memory_bytes, scratch_bytes, processes: Limits, for levels that can have the kernel enforce them.
    """

    script: Sequence[str]
    environment: Mapping[str, str]
    output: int
    fds: Sequence[int]
    masked: Sequence[Path] = ()
    nodes: Sequence[Path] = ()
    memory_bytes: int = 4_000_000_000
    scratch_bytes: int = 512_000_000
    processes: int = 32

    def command(self) -> list[str]:
        """Return the command line of the script."""
        return [sys.executable, "-s", "-P", "-B", "-u", *self.script]

    def variables(self, home: str) -> dict[str, str]:
        """Return the whole environment. `home` is the path of the scratch folder inside the sandbox."""
        clean = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": home, "TMPDIR": f"{home}/tmp", "PYTHONHASHSEED": "0"}
        return {**clean, **self.environment}


class Cell(Protocol):
    """A started sandbox. Except `process` and `close`, use its members only after its first process has sent a message."""

    process: "subprocess.Popen[bytes]"
    """Process whose death ends the whole sandbox."""
    home: str
    """Path of the scratch folder inside the sandbox."""
    owner: int | None
    """User id of every process in the sandbox. None if it is our own."""

    def launcher(self) -> int:
        """Return the process id, outside the sandbox, of the first Python process in it."""

    def folders(self) -> list[int]:
        """Return descriptors of the writable folders, the scratch folder first. The caller closes them."""

    def used(self, enough: int) -> int:
        """Return the bytes in the writable folders. Each entry counts at least 4096. Counting may stop at `enough`."""

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel killed a process of the sandbox because of its memory limit."""

    def close(self) -> None:
        """Remove the resources of the sandbox. Its processes must have been killed before."""


class Level(Protocol):
    """One isolation level."""

    name: str

    def missing(self) -> str:
        """Return why the level does not work on this machine, with the command that fixes it. Empty if it works."""

    def start(self, order: Order) -> Cell:
        """Start the first process of a sandbox."""
