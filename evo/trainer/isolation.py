"""Isolation: how strongly a sandbox's processes are kept apart from the rest of the machine.

Level *process* stops: a candidate's files, environment and output from mixing with ours (own scratch folder, clean
environment with no credential, own session), endless loops (CPU and wall limit), memory, open files, printed and
written bytes, many processes, and what it leaves running (descendants are killed, also those that left their session).
It does not stop: reading what the user can read, the network, signals to the user's other processes, a process that was
started with an empty environment by code that then killed the sandbox's first process, writing outside the scratch
folder, or handing something over in memory that outlives a process (System V). Code from a
language model is therefore trained at this level only where the user asks for it by name.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from evo.errors import EvoError

LEVELS = ("process",)
"""From weakest to strongest, as far as they are built."""


def require(level: str, *, trusted: bool) -> str:
    """The level to use: *process* for trusted code, or where it is asked for by name.

    Raises:
        EvoError: the code is not trusted and *process* was not asked for.
    """
    if level == "process" or trusted:
        return "process"
    raise EvoError(
        "code from a model would be trained with no stronger isolation than a process of your own user",
        hint="--isolation process says that you accept that",
        kind="isolation",
    )


def launch(
    script: Sequence[str], *, scratch: Path, environment: Mapping[str, str], output: int, fds: Sequence[int]
) -> "subprocess.Popen[bytes]":
    """Start a sandbox's first process, a Python script with its arguments.

    Args:
        script: the script's path and arguments.
        scratch: its working directory, home and place for temporary files.
        environment: variables beside the few that every sandbox has; nothing of ours comes along.
        output: file descriptor for what it prints.
        fds: file descriptors that it inherits under their own numbers.
    """
    clean = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
        "PYTHONHASHSEED": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-s", "-P", "-B", "-u", *script],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**clean, **environment},
        cwd=scratch,
        pass_fds=tuple(fds),
        start_new_session=True,
    )
