"""Level *sandbox-exec* on macOS: a profile for the system's own sandbox. It has not been run on a Mac.

In a profile a later rule wins, and anything not allowed is refused. A process and its children keep the profile until they exit.
"""

import functools
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from evo.trainer.isolation.backend import Order
from evo.trainer.isolation.process import FolderCell

_SYSTEM = ("/usr/lib", "/usr/share", "/System", "/Library/Apple", "/private/var/db/dyld", "/private/etc/localtime")
_OF_PYTHON = ("bin", "lib", "include", "Frameworks", "Python", "Resources", "pyvenv.cfg")
_SERVICES = ("com.apple.MTLCompilerService", "com.apple.system.opendirectoryd.libinfo")


class SandboxExec:
    """The level *sandbox-exec*."""

    name = "sandbox-exec"

    def missing(self) -> str:
        """Return why sandbox-exec does not work on this machine, or an empty string. The trial runs once a process."""
        if platform.system() != "Darwin":
            return "sandbox-exec is macOS's"
        return _tried()

    def start(self, order: Order) -> FolderCell:
        """Start the first process of a sandbox."""
        return FolderCell(order, lambda scratch: _before(scratch, order))


@functools.cache
def _tried() -> str:
    if shutil.which("sandbox-exec") is None:
        return "sandbox-exec, which macOS brings in /usr/bin, is not there"
    with tempfile.TemporaryDirectory() as folder:
        order = Order(["-c", "import ctypes; print('works')"], {}, -1, ())
        done = subprocess.run(
            [*_before(Path(folder), order), *order.command()],
            env=order.variables(folder),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return "" if done.stdout.strip() == "works" else f"sandbox-exec does not work here: {done.stderr.strip()[-300:]}"


def _before(scratch: Path, order: Order) -> list[str]:
    scripts = [Path(word).parent for word in order.script[:1] if Path(word).is_file()]
    prefixes = [Path(folder) for folder in dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix))]
    shown = [prefix / part for prefix in prefixes for part in _OF_PYTHON]
    return ["sandbox-exec", "-p", profile(scratch, [*shown, *scripts], order.masked)]


def profile(scratch: Path, readable: Sequence[Path], masked: Sequence[Path]) -> str:
    """Return a profile without network, other processes or the user's files, and with one writable folder.

    Args:
        scratch: The writable folder.
        readable: Readable paths beside the system libraries.
        masked: Paths below `readable` that are not readable.
    """
    paths: list[Path | str] = [*_SYSTEM, *readable, scratch]
    reads = " ".join(f"(subpath {_quoted(name)})" for name in paths)
    services = " ".join(f"(global-name {_quoted(name)})" for name in _SERVICES)
    hidden = "".join(f"(deny file-read* (subpath {_quoted(name)}))\n" for name in masked)
    return (
        "(version 1)\n"
        "(deny default)\n"
        "(allow process-fork)\n"
        "(allow process-exec*)\n"
        "(allow signal (target same-sandbox))\n"
        "(allow process-info* (target same-sandbox))\n"
        "(allow sysctl-read)\n"
        "(allow file-read-metadata)\n"
        f'(allow file-read* {reads} (literal "/dev/null") (literal "/dev/urandom") (literal "/"))\n'
        f'(allow file-write* (subpath {_quoted(scratch)}) (literal "/dev/null"))\n'
        "(allow iokit-open)\n"  # the GPU
        f"(allow mach-lookup {services})\n"
        f"{hidden}"
        "(deny network*)\n"
    )


def _quoted(name: Path | str) -> str:
    """Return a path as a string of a profile. Resolve links: on macOS /tmp and /var are links, and rules match the targets."""
    real = Path(name).resolve() if isinstance(name, Path) else name
    return '"' + str(real).replace("\\", "\\\\").replace('"', '\\"') + '"'
