"""What every level of isolation gives: a cell, which is a sandbox's first process and the places where it may write."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Order:
    """What is to be started.

    Attributes:
        script: a Python script's path and arguments.
        environment: variables beside the few that every sandbox has; nothing of ours comes along.
        output: file descriptor for what it prints.
        fds: file descriptors that it inherits under their own numbers.
        masked: files and folders of which it may see nothing, even where a sandbox sees what is round them.
        nodes: the machine's devices that it may use.
        memory_bytes, scratch_bytes, processes: limits, for a level that can have the kernel keep them.
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
        """The command line of the script."""
        return [sys.executable, "-s", "-P", "-B", "-u", *self.script]

    def variables(self, home: str) -> dict[str, str]:
        """The whole environment, where the scratch folder is called `home`."""
        clean = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": home, "TMPDIR": f"{home}/tmp", "PYTHONHASHSEED": "0"}
        return {**clean, **self.environment}


class Cell(Protocol):
    """A started sandbox. All but `process` and `close` may be used once its first process has spoken."""

    process: "subprocess.Popen[bytes]"
    """What ends it all, when it is killed."""
    home: str
    """The scratch folder, as it is called inside."""
    owner: int | None
    """The uid that all in it runs under; None where that is ours."""

    def launcher(self) -> int:
        """The sandbox's first Python process, by its number out here."""

    def folders(self) -> list[int]:
        """Descriptors of the folders in which it may write; the scratch folder first. The caller closes them."""

    def used(self, enough: int) -> int:
        """Bytes that lie there, counted no further than `enough`; an entry counts at least 4096."""

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed something in it for want of memory."""

    def close(self) -> None:
        """Remove what was made for it; everything in it has been killed."""


class Level(Protocol):
    """One strength of isolation."""

    name: str

    def missing(self) -> str:
        """Why it does not work here, in a line with the command that mends it; empty where it does."""

    def start(self, order: Order) -> Cell:
        """Start a sandbox's first process."""
