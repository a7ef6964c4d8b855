"""Safe access to the folders in which a sandbox may write.

Files are reached through folder descriptors, never through a path that a candidate could redirect. Names are resolved one
component at a time without following symbolic links. A read therefore returns only the candidate's own file, and a removal
never leaves the folder.
"""

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator, Sequence

from evo.status import Status
from evo.trainer.failure import SandboxFailure

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Scratch:
    """Folders in which a sandbox may write.

    Args:
        folders: folder descriptors. The first is the working directory, which contains `out` and `tmp`.
        owner: uid that gets ownership of all files and folders created here; None keeps the current user.
    """

    def __init__(self, folders: Sequence[int], owner: int | None = None) -> None:
        self._folders, self._owner = list(folders), owner
        self._ours = [set(os.listdir(folder)) for folder in folders]  # initial entries, the same in every sandbox
        self._modes = [stat.S_IMODE(os.fstat(folder).st_mode) for folder in folders]
        self._make_folders()

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file to the working directory, replacing any entry that a candidate left under that name."""
        with _parent(self._folders[0], name) as (folder, last):
            with contextlib.suppress(FileNotFoundError):
                _remove(folder, last)
            fd = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            with open(fd, "wb") as file:
                self._give(fd)
                file.write(content.encode() if isinstance(content, str) else content)

    def read(self, name: str, limit: int) -> bytes:
        """Return at most `limit` bytes of a regular file, or b"" if there is no such file."""
        try:
            with _parent(self._folders[0], name) as (folder, last):
                fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            return b""
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return b""
        with open(fd, "rb") as file:
            return file.read(limit)

    def names(self) -> list[str]:
        """Return the sorted names of the top-level entries of all folders."""
        return sorted(name for folder in self._folders for name in os.listdir(folder))

    def empty(self) -> None:
        """Remove everything that was written and recreate `out` and `tmp`.

        Works even if a candidate removed its own permissions on an entry.

        Raises:
            SandboxFailure: if an entry cannot be removed.
        """
        for folder, ours, mode in zip(self._folders, self._ours, self._modes, strict=True):
            os.fchmod(folder, mode)
            for name in set(os.listdir(folder)) - ours:
                with contextlib.suppress(OSError):
                    _remove(folder, name)
            if set(os.listdir(folder)) - ours:
                raise SandboxFailure(Status.KILLED, "what it left in its scratch folder cannot be removed")
        self._make_folders()
        for folder in self._folders:
            _forget(folder)

    def close(self) -> None:
        """Close the folder descriptors."""
        for folder in self._folders:
            os.close(folder)
        self._folders = []

    def _make_folders(self) -> None:
        for name in ("out", "tmp"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self._folders[0])
            fd = os.open(name, _OPEN_FOLDER, dir_fd=self._folders[0])
            self._give(fd)
            os.close(fd)

    def _give(self, fd: int) -> None:
        if self._owner is not None:
            os.fchown(fd, self._owner, self._owner)


@contextlib.contextmanager
def _parent(folder: int, name: str) -> Iterator[tuple[int, str]]:
    """Open the folder that contains `name`, and yield its descriptor and the last component of `name`."""
    *above, last = name.split("/")
    opened = os.dup(folder)
    try:
        for part in above:
            below = os.open(part, _OPEN_FOLDER, dir_fd=opened)
            os.close(opened)
            opened = below
        yield opened, last
    finally:
        os.close(opened)


def _forget(folder: int) -> None:
    """Reset the extended attributes and timestamps of a folder, which could carry data between jobs."""
    if hasattr(os, "listxattr"):
        for name in os.listxattr(folder):
            with contextlib.suppress(OSError):  # attributes set by the system cannot be removed
                os.removexattr(folder, name)
    os.utime(folder, (0, 0))


def _remove(folder: int, name: str) -> None:
    """Remove one entry of an open folder, recursively.

    Subfolders are moved up into `folder` before they are opened, so only two folders are open at a time at any depth.
    """
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            continue
        os.chmod(name, 0o700, dir_fd=folder)
        opened = os.open(name, _OPEN_FOLDER, dir_fd=folder)
        try:
            for entry in list(os.scandir(opened)):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.name, 0o700, dir_fd=opened)
                    waiting.append(uuid.uuid4().hex)
                    os.rename(entry.name, waiting[-1], src_dir_fd=opened, dst_dir_fd=folder)
                else:
                    os.unlink(entry.name, dir_fd=opened)
        finally:
            os.close(opened)
        os.rmdir(name, dir_fd=folder)
