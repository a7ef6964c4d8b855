"""Ray for a run: start or join a cluster, watch it, and clean up after it. No other module starts Ray.

Read-only commands never import Ray, because the import takes seconds.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from evo.config import Workers
from evo.errors import EvoError
from evo.proposer import key
from evo.trainer.device import Device

_PREFIX = "evo-ray-"
_OWNER = "owner"
"""File in the session folder that the driver keeps locked. The lock is released when the driver ends, even if it is killed."""
_MISSES = 3
"""Consecutive failed checks, about one second apart, after which Ray counts as dead."""
_ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Environment variable. With value 0, Ray on Linux takes 127.0.0.1 as the address of this machine, as on macOS.

Ray then listens only on that address.
"""


@dataclass(frozen=True)
class Cluster:
    """Ray cluster that was started or joined.

    Attributes:
        ray: The `ray` module.
        addresses: (host, port) of the two Ray servers that the driver needs.
    """

    ray: Any
    addresses: tuple[tuple[str, int], ...]

    async def check(self) -> None:
        """Check that Ray answers within a few seconds.

        Raises:
            EvoError: Ray does not answer.
        """
        for _ in range(_MISSES):
            if await self._answers():
                return
            await asyncio.sleep(1.0)
        raise EvoError(
            "Ray died: one of its servers no longer answers", hint="continue with `evo resume`", kind="device"
        )

    async def watch(self) -> None:
        """Check Ray every second until cancelled. Without these checks, a dead Ray would end this process after a minute.

        Raises:
            EvoError: Ray does not answer.
        """
        while True:
            await asyncio.sleep(1.0)
            await self.check()

    async def _answers(self) -> bool:
        for host, port in self.addresses:
            try:
                async with asyncio.timeout(5.0):  # wait_for may swallow a cancellation
                    _, writer = await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                return False
            writer.close()
        return True


@contextlib.contextmanager
def ray_started(settings: Workers, device: Device, key_variables: Collection[str] = ()) -> Iterator[Cluster]:
    """Start Ray on this machine, or join the cluster at `settings.address`, while the block runs.

    Raises:
        EvoError: Ray does not start or cannot be joined.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not settings.address:
        os.environ[_ON_LOOPBACK] = "0"
    with key.without_secrets(key_variables), _session_folder(settings) as own:
        import ray

        # Ray prints its errors to stdout; evo reports errors itself.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
        if own:
            own |= {
                "num_cpus": device.slots * device.threads,
                "num_gpus": device.slots if device.kind == "cuda" else 0,
                "resources": {"mps": 1} if device.kind == "mps" else {},
            }
        else:
            own = {"address": settings.address}
        try:
            ray.init(**own, logging_level=logging.CRITICAL, log_to_driver=False, namespace="evo")
        except Exception as error:  # Ray raises many types, including ConnectionError and ValueError
            raise EvoError(
                f"Ray did not start: {str(error).splitlines()[0]}", hint="run `evo doctor`", kind="device"
            ) from None
        try:
            yield Cluster(ray, _addresses(ray))
        finally:
            ray.shutdown()


def slots(ray: Any, settings: Workers, device: Device) -> int:
    """Return the number of trainers to start: the slots of this machine, or those that a joined cluster has room for."""
    if not settings.address:
        return device.slots
    total = ray.cluster_resources()
    room = {"cuda": total.get("GPU", 0), "mps": total.get("mps", 0), "cpu": total.get("CPU", 0) // device.threads}
    return max(1, min(int(room[device.kind]), settings.slots or 10**6))


def clear_leftovers() -> int:
    """Kill the Ray processes that killed drivers of this user left behind, and remove their session folders.

    A driver holds a lock in its session folder, so an unlocked folder has no driver. Other Ray instances and live runs are
    not touched.

    Returns:
        Number of processes killed.
    """
    count = 0
    for owner in Path(key.short_folder()).glob(f"{_PREFIX}*/{_OWNER}"):
        with contextlib.suppress(OSError), owner.open() as file:
            if owner.parent.lstat().st_uid == os.getuid():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises BlockingIOError while the driver lives
                count += _end(owner.parent)
    return count


def listening(ray: Any, settings: Workers) -> list[tuple[str, str, int]]:
    """Return (process, address, port) for every port that this process or Ray listens on, sorted by port.

    Without a joined cluster, only the children of this process are searched for Ray processes.
    """
    me = psutil.Process()
    processes = psutil.process_iter() if settings.address else [me, *me.children(recursive=True)]
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            if process == me or _is_rays(process.cmdline()):
                found |= {
                    (process.name(), connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
                    for connection in process.net_connections("inet")
                    if connection.status == psutil.CONN_LISTEN
                }
    return sorted(found, key=lambda where: where[2])


@contextlib.contextmanager
def _session_folder(settings: Workers) -> Iterator[dict[str, Any]]:
    """Create a locked session folder and yield the `ray.init` arguments for it. Yield no arguments if a cluster is joined.

    When the block ends, the Ray processes of the folder are killed and the folder is removed. If the block failed, the
    folder with Ray's logs is kept until the next run.
    """
    if settings.address:
        yield {}
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=key.short_folder()))
        lock = (folder / f".{_OWNER}").open("w")
    except OSError as error:
        raise EvoError(
            f"cannot create Ray's session folder: {error}",
            hint="free disk space or make that folder writable",
            kind="disk",
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(folder / f".{_OWNER}", folder / _OWNER)  # other processes see the file only once it is locked
        try:
            yield {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": 128 * 1024 * 1024,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": str(folder),
            }
        except BaseException:
            _end(folder, remove=False)
            raise
        _end(folder)


def _end(folder: Path, *, remove: bool = True) -> int:
    """Kill the Ray processes of a session folder and return their number. Remove the folder if `remove` is set."""
    killed: set[int] = set()
    for _ in range(3):  # a raylet restarts killed workers until it is dead itself
        here = [process for process in psutil.process_iter() if _belongs(process, folder)]
        for process in here:
            with contextlib.suppress(psutil.Error):
                process.kill()
        killed |= {process.pid for process in here}
        psutil.wait_procs(here, timeout=2.0)
        if not here:
            break
    if remove:
        shutil.rmtree(folder, ignore_errors=True)
    return len(killed)


def _belongs(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process is a Ray process of this user that names or has open a file in the session folder."""
    inside = f"{folder}{os.sep}"
    with contextlib.suppress(psutil.Error, OSError):
        words = process.cmdline()
        return (
            process.pid != os.getpid()
            and process.uids().real == os.getuid()
            and _is_rays(words)
            and (any(inside in word for word in words) or any(f.path.startswith(inside) for f in process.open_files()))
        )
    return False


def _is_rays(words: list[str]) -> bool:
    """Return whether a command line belongs to Ray: the title of a worker, or a program of the Ray package."""
    return bool(words) and (words[0].startswith("ray::") or any("/ray/" in word for word in words[:4]))


def _addresses(ray: Any) -> tuple[tuple[str, int], ...]:
    """Return the addresses of the cluster's control server and of this node's raylet."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    raylets = [
        (node["NodeManagerAddress"], int(node["NodeManagerPort"]))
        for node in ray.nodes()
        if node["NodeID"] == context.get_node_id()
    ]
    return ((host.strip("[]"), int(port)), *raylets)
