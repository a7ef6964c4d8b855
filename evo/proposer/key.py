"""Transfer of API keys from the user's environment to the proposer, in memory only.

Ray would carry an argument through the memory of its processes. So the driver hands the key to the proposer over a
short-lived socket. The key is in no file, environment or argument of a process that evo starts.
"""

import contextlib
import ctypes
import os
import re
import secrets
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from pathlib import Path

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH", re.IGNORECASE)
_PR_SET_DUMPABLE = 4


def hide_memory() -> None:
    """Keep other processes of this user from reading our environment and memory, and disable core files.

    On Linux only root can still read them. macOS lets only root read another process's memory, but shows environments to
    the user.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@contextlib.contextmanager
def without_secrets(key_variables: Collection[str] = ()) -> Iterator[None]:
    """Remove key variables and everything that looks like a credential from our environment while the block runs.

    Ray's processes inherit the environment. Ray's own variables stay, so that a cluster with a token can be joined.
    """
    names = [
        name for name in os.environ if name in key_variables or (_SECRET.search(name) and not name.startswith("RAY_"))
    ]
    taken = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(taken)


@dataclass(frozen=True)
class Errand:
    """Address and password with which a process on this machine fetches a key once."""

    address: str
    word: bytes

    def fetch(self) -> str:
        """Return the key."""
        with Client(self.address, "AF_UNIX", authkey=self.word) as connection:
            return connection.recv_bytes().decode()

    def __repr__(self) -> str:
        return f"Errand({self.address!r}, word=…)"


@contextlib.contextmanager
def handed_over(key: str) -> Iterator[Errand]:
    """Serve `key` to one fetch while the block runs. The socket lies in a folder of this user and is removed."""
    with tempfile.TemporaryDirectory(prefix="evo-", dir=short_folder()) as folder:
        errand = Errand(str(Path(folder) / "key"), secrets.token_bytes(32))
        with Listener(errand.address, "AF_UNIX", authkey=errand.word) as listener:
            threading.Thread(target=_hand_over, args=(listener, key), name="key", daemon=True).start()
            yield errand


def short_folder() -> str:
    """Return the folder of temporary files if a socket path in it fits the limit of 100 bytes, else /tmp."""
    usual = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    return usual if len(usual) <= 25 else "/tmp"


def _hand_over(listener: Listener, key: str) -> None:
    while True:
        try:
            with listener.accept() as connection:
                connection.send_bytes(key.encode())
                return
        except (AuthenticationError, EOFError, ConnectionError):
            continue  # somebody else's
        except OSError:
            return
