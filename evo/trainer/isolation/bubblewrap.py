"""Level *bubblewrap* on Linux: own namespaces, and a read-only view of only those files that Python and torch need.

If started as root, bwrap keeps the capabilities that it needs to switch to an unused uid with an empty bounding set. Dropping
capabilities alone is not enough: code could still write the host's /proc/sys and fork beyond RLIMIT_NPROC.
"""

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from evo.trainer.isolation import cgroups, seccomp
from evo.trainer.isolation.backend import Order

SCRATCH, TEMPORARY = "/sandbox", ("/tmp", "/dev/shm")
"""Writable folders as the sandbox sees them. Each is a tmpfs with its own size limit."""
_TEMPORARY_BYTES = 64_000_000
_SLACK_BYTES = 16_000_000
"""Size of the scratch tmpfs beyond its limit, so that a full tmpfs always exceeds the limit."""
_LAUNCHER_BYTES = 1_000_000_000
"""Memory of torch in the launcher, which is in the same control group as the jobs."""
_THREADS = 256
"""Tasks allowed beyond the process limit. The kernel counts threads and processes alike as tasks."""
_ENTRY_BYTES = 4096

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_PARTS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/sys/devices/system/cpu")
_GPU = ("/sys/bus/pci", "/sys/devices", "/sys/class/drm", "/sys/module/nvidia")
_OF_GPUS = ("memfd_create",)
"""System calls that are allowed only where a GPU is used, because GPU libraries need them."""
_OF_PYTHON = ("bin", "lib", "lib64", "include", "libexec", "pyvenv.cfg")
"""Visible parts of a Python installation. Anything else in its folder, such as a run, stays hidden."""
_UIDS = (range(2_000_000_000, 2_000_100_000), range(64_000, 65_000))
"""Ranges from which a sandbox takes an unused uid if we are root. The first lies above the uids of users and containers. The
second is for containers that have only the lowest 65,536 uids; distributions do not assign it.
"""


class Bubblewrap:
    """The level *bubblewrap*."""

    name = "bubblewrap"

    def missing(self) -> str:
        """Return why bubblewrap does not work on this machine, or an empty string. The trial runs once a process."""
        if platform.system() != "Linux":
            return "bubblewrap is Linux's"
        return _tried()

    def start(self, order: Order) -> "BubbleCell":
        """Start the first process of a sandbox."""
        return BubbleCell(order)


class BubbleCell:
    """A cell in its own namespaces. Its writable folders are in-memory file systems that vanish with it."""

    def __init__(self, order: Order) -> None:
        self.home, self.owner = SCRATCH, unused_uid(os.getpid())
        self._descriptors: list[int] = []
        room = order.scratch_bytes + _SLACK_BYTES + len(TEMPORARY) * _TEMPORARY_BYTES
        self._group = cgroups.make(order.memory_bytes + room + _LAUNCHER_BYTES, order.processes + _THREADS)
        told, info = os.pipe()
        laws = _descriptor_of(seccomp.program(allowed=_OF_GPUS if order.nodes else ()))
        try:
            self.process = subprocess.Popen(
                [*self._group.before(), *arguments(order, uid=self.owner, laws=laws, info=info)],
                stdin=subprocess.DEVNULL,
                stdout=order.output,
                stderr=order.output,
                env=order.variables(self.home),
                pass_fds=(*order.fds, info, *([laws] if laws is not None else [])),
                start_new_session=True,
            )
        except BaseException:
            os.close(told)
            self._group.close()
            raise
        finally:
            os.close(info)
            if laws is not None:
                os.close(laws)
        self._told = told

    @functools.cached_property
    def _first(self) -> int:
        """Return the process id, outside the sandbox, of the first process in its PID namespace."""
        with open(self._told, "rb", closefd=False) as file:
            return int(json.load(file)["child-pid"])

    def launcher(self) -> int:
        """Return the process id of the sandbox's Python: a child of the first process if we are root, else that process."""
        return self._first if self.owner is None else int(psutil.Process(self._first).children()[0].pid)

    def folders(self) -> list[int]:
        """Return descriptors of the scratch folder and the two temporary folders, opened before any candidate code runs."""
        names = [f"/proc/{self._first}/root{folder}" for folder in (SCRATCH, *TEMPORARY)]
        self._descriptors = [os.open(name, os.O_RDONLY | os.O_DIRECTORY) for name in names]
        return [os.dup(fd) for fd in self._descriptors]

    def used(self, enough: int) -> int:
        """Return the bytes used in the sandbox's file systems, deleted but open files included."""
        total = 0
        for fd in self._descriptors:
            state = os.fstatvfs(fd)
            total += (state.f_blocks - state.f_bfree) * state.f_frsize + (state.f_files - state.f_ffree) * _ENTRY_BYTES
        return total

    def ran_out_of_memory(self) -> bool:
        """Return whether the control group reports a kill for lack of memory."""
        return self._group.ran_out_of_memory()

    def close(self) -> None:
        """Close the descriptors and remove the control group."""
        for fd in (self._told, *self._descriptors):
            os.close(fd)
        self._group.close()


@functools.cache
def _tried() -> str:
    if shutil.which("bwrap") is None:
        return f"bubblewrap is not installed: {_install('bubblewrap')}"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return f"setpriv is not installed: {_install('util-linux')}"
    said, output = os.pipe()
    try:
        cell = BubbleCell(Order(["-c", "import ctypes; print('works')"], {}, output, ()))
        code = cell.process.wait(timeout=60)
        cell.close()
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start: {error}"
    finally:
        os.close(output)
        with open(said, encoding="utf-8", errors="replace") as file:
            words = file.read().strip()
    if code == 0 and words == "works":
        return ""
    last = words.splitlines()[-1] if words else f"exit {code}"
    mend = ""
    if os.geteuid() != 0 and ("namespace" in last or "uid map" in last or "Permission" in last):
        mend = "; allow user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return f"bubblewrap does not work here: {last}{mend}"


def _install(package: str) -> str:
    """Return the command that installs a system package."""
    commands = {
        "apt-get": f"sudo apt-get install {package}",
        "dnf": f"sudo dnf install {package}",
        "pacman": f"sudo pacman -S {package}",
        "zypper": f"sudo zypper install {package}",
        "apk": f"sudo apk add {package}",
    }
    return next((command for program, command in commands.items() if shutil.which(program)), f"install {package}")


def _interpreter() -> list[Path]:
    """Return the paths that Python needs to start: parts of this environment and of its base installation."""
    prefixes = [Path(folder) for folder in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)]
    found = [prefix / part for prefix in dict.fromkeys(prefixes) for part in _OF_PYTHON]
    real = Path(os.path.realpath(sys.executable))
    if not any(real.is_relative_to(folder) for folder in found):
        found.append(real)
    return found


def arguments(order: Order, *, uid: int | None, laws: int | None, info: int) -> list[str]:
    """The whole command line.

    Args:
        order: what is started.
        uid: to drop to, where we are root; None keeps our own in a user namespace.
        laws: file descriptor of a filter of system calls.
        info: file descriptor to which bwrap writes which process it started.
    """
    line = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session", "--info-fd", str(info)]
    line += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    line += ["--hostname", "sandbox", "--cap-drop", "ALL"]
    drop: list[str] = []
    if uid is None:
        # bwrap's own first process there would be of the same user, and could be changed
        line += ["--unshare-user", "--as-pid-1"]
    else:
        line += [word for cap in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP") for word in ("--cap-add", cap)]
        drop = [shutil.which("setpriv") or "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        drop += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    if laws is not None:
        line += ["--seccomp", str(laws)]
    scripts = [Path(word) for word in order.script[:1] if os.path.isfile(word)]
    parts = [Path(name) for name in (*_PARTS, *(_GPU if order.nodes else ()))]
    line += [*_system(), "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
    for node in order.nodes:
        line += ["--dev-bind", str(node), str(node)]
    line += ["--remount-ro", "/dev"]
    sizes = {SCRATCH: order.scratch_bytes + _SLACK_BYTES, **dict.fromkeys(TEMPORARY, _TEMPORARY_BYTES)}
    for folder, size in sizes.items():
        line += ["--perms", "1777", "--size", str(size), "--tmpfs", folder]
    line += [*_shown([*_interpreter(), *(script.parent for script in scripts), *parts]), *_masks(order.masked)]
    return [*line, "--remount-ro", "/", "--chdir", SCRATCH, "--", *drop, *order.command()]


def unused_uid(number: int) -> int | None:
    """Return an unused uid for `number`, a process id. Return None if we are not root and cannot change our uid."""
    if os.geteuid() != 0:
        return None
    first, _, count = (int(word) for word in Path("/proc/self/uid_map").read_text().splitlines()[0].split())
    uids = next((uids for uids in _UIDS if first + count > uids[-1]), _UIDS[-1])
    return uids[number % len(uids)]


def _system() -> list[str]:
    """Return read-only binds of the system's libraries and programs. Symbolic links stay links."""
    line: list[str] = []
    for name in _SYSTEM:
        if os.path.islink(name):
            line += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            line += ["--ro-bind", name, name]
    return line


def _shown(paths: Iterable[Path]) -> list[str]:
    """Read-only binds, shortest names first, so that one below another stays; folders above them can be walked through.

    One in a folder that a sandbox may write is a file system of its own there, so that nothing can be written into it.
    """
    line, made, closed = list[str](), {Path("/"), Path("/usr"), Path("/dev"), *map(Path, TEMPORARY)}, list[str]()
    for path in sorted(set(paths), key=lambda p: len(p.parts)):
        if not path.exists() or any(path.is_relative_to(system) for system in _SYSTEM):
            continue
        for parent in reversed(path.parents):
            if parent not in made:
                is_apart = str(parent.parent) in TEMPORARY
                line += ["--perms", "0755", "--tmpfs" if is_apart else "--dir", str(parent)]
                closed += ["--remount-ro", str(parent)] if is_apart else []
                made.add(parent)
        line += ["--ro-bind", str(path), str(path)]
    return [*line, *closed]


def _masks(paths: Sequence[Path]) -> list[str]:
    """Folders that are there and empty, files that are there and empty; only where a sandbox would see them."""
    seen = [*map(Path, _SYSTEM), *_interpreter()]
    line: list[str] = []
    for path in paths:
        real = path.resolve()
        if not any(real.is_relative_to(folder) for folder in seen):
            continue
        if real.is_dir():
            line += ["--perms", "0755", "--tmpfs", str(real), "--remount-ro", str(real)]
        elif real.exists():
            line += ["--ro-bind", "/dev/null", str(real)]
    return line


def _descriptor_of(data: bytes | None) -> int | None:
    """Return a file descriptor from which `data` can be read, or None for None."""
    if data is None:
        return None
    fd = os.memfd_create("laws")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
