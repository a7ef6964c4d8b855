"""Start or join Ray, watch it while it runs, and remove what it leaves behind. No other module starts Ray.

Reading commands never import Ray, because the import takes seconds.
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
"""File in our session folder that the driver holds locked for as long as it lives, however it dies."""
_MISSES = 3
"""Seconds in a row without Ray, after which it is dead."""
_ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0, Ray takes 127.0.0.1 for this machine's address on Linux too, as it does on macOS, and listens there alone."""


@dataclass(frozen=True)
class Cluster:
    """Ray, started or joined.

    Attributes:
        ray: The module.
        addresses: (host, port) of the two Ray servers that the driver needs.
    """

    ray: Any
    addresses: tuple[tuple[str, int], ...]

    async def check(self) -> None:
        """Return if Ray answers within a few seconds.

        Raises:
            EvoError: Ray died.
        """
        for _ in range(_MISSES):
            if await self._answers():
                return
            await asyncio.sleep(1.0)
        raise EvoError("Ray died: one of its servers no longer answers", hint="`evo resume` goes on", kind="device")

    async def watch(self) -> None:
        """Watch Ray and never return.

        Raises:
            EvoError: Ray died. Without this check Ray ends the process after a minute.
        """
        while True:
            await asyncio.sleep(1.0)
            await self.check()

    async def _answers(self) -> bool:
        for host, port in self.addresses:
            try:
                async with asyncio.timeout(5.0):  # not wait_for, which may swallow what cancels it
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

        ray._private.worker.print_to_stdstream = lambda *_, **__: None  # Ray's troubles, on our stdout; we tell our own
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
        except Exception as error:  # Ray raises many kinds, ConnectionError and ValueError among them
            raise EvoError(
                f"Ray did not start: {str(error).splitlines()[0]}", hint="evo doctor", kind="device"
            ) from None
        try:
            yield Cluster(ray, _addresses(ray))
        finally:
            ray.shutdown()


def slots(ray: Any, settings: Workers, device: Device) -> int:
    """Return the number of trainers to start: this machine's slots, or as many as a joined cluster has room for."""
    if not settings.address:
        return device.slots
    total = ray.cluster_resources()
    room = {"cuda": total.get("GPU", 0), "mps": total.get("mps", 0), "cpu": total.get("CPU", 0) // device.threads}
    return max(1, min(int(room[device.kind]), settings.slots or 10**6))


def clear_leftovers() -> int:
    """End the Ray processes of killed drivers of this user and remove their session folders.

    A lock that ends with its driver identifies the owner of a folder. Other Ray instances and live runs are not touched.

    Returns:
        Number of processes ended.
    """
    count = 0
    for owner in Path(key.short_folder()).glob(f"{_PREFIX}*/{_OWNER}"):
        with contextlib.suppress(OSError), owner.open() as file:
            if owner.parent.lstat().st_uid == os.getuid():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError, an OSError: its driver lives
                count += _end(owner.parent)
    return count


def listening(ray: Any, settings: Workers) -> list[tuple[str, str, int]]:
    """Return (process, address, port) for every port that Ray processes on this machine listen on."""
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
    """Yield the arguments that make `ray.init` start in a session folder of ours; none when a cluster is joined.

    The folder is removed with all processes in it. If the block failed, the logs of Ray are kept until the next run.
    """
    if settings.address:
        yield {}
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=key.short_folder()))
        lock = (folder / f".{_OWNER}").open("w")
    except OSError as error:
        raise EvoError(f"Ray's session folder cannot be made: {error}", hint="make room there", kind="disk") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(folder / f".{_OWNER}", folder / _OWNER)  # whoever finds it, finds it locked
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
    """Kill the Ray processes of a session folder, remove the folder, and return the number of processes."""
    killed: set[int] = set()
    for _ in range(3):  # a raylet starts workers again until it is dead itself
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
    """Return whether a process is Ray's and has a file of the session open."""
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
    """Return whether a command line is one of Ray's own processes: a worker title or a program of its package."""
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
