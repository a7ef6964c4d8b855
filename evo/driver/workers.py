"""Ray: started or joined here, and nowhere else; trainers and the proposer as actors behind two small classes.

Nothing that only reads imports this module: Ray takes seconds to start.
"""

import asyncio
import logging
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from evo.config import Model, Workers
from evo.errors import EvoError
from evo.evaluator import Evaluator
from evo.lineage.store import disk_error
from evo.proposer.actor import ProposerActor
from evo.proposer.client import Endpoint
from evo.status import Status
from evo.trainer.actor import TrainerActor
from evo.trainer.device import Device
from evo.trainer.job import Job

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH", re.IGNORECASE)
_ATTEMPTS = 3
"""Workers that one training may be given before it is named worker_lost."""


class Pool(Protocol):
    """What the driver needs of trainers."""

    busy: int
    slots: int

    async def judge(self, job: Job) -> dict[str, Any]:
        """One training, when a slot is free; see `evo.trainer.job.Judgement`."""


class Asker(Protocol):
    """What the driver needs of a proposer."""

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> dict[str, Any]:
        """One answer; see `evo.proposer.client.Reply`."""


@contextmanager
def without_secrets(key_variable: str = "") -> Iterator[None]:
    """Take the key's variable, and every one that looks like a credential, out of our environment, which Ray's processes
    inherit. Ray's own stay, so that a cluster that wants a token can be joined.
    """
    names = [
        name for name in os.environ if name == key_variable or (_SECRET.search(name) and not name.startswith("RAY_"))
    ]
    taken = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def ray_started(settings: Workers, device: Device, key_variable: str = "") -> Iterator[Any]:
    """Ray, on this machine or joined at `settings.address`, for as long as the block runs.

    Raises:
        EvoError: it does not start, or cannot be joined.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with without_secrets(key_variable):
        import ray

        own: dict[str, Any] = {
            "num_cpus": device.slots * device.threads,
            "num_gpus": device.slots if device.kind == "cuda" else 0,
            "resources": {"mps": 1} if device.kind == "mps" else {},
            "include_dashboard": False,
            "object_store_memory": 128 * 1024 * 1024,
            "_node_ip_address": "127.0.0.1",
        }
        try:
            where = {"address": settings.address} if settings.address else {"address": "local", **own}
            ray.init(**where, logging_level=logging.ERROR, log_to_driver=False, namespace="evo")
        except Exception as error:  # Ray raises many kinds, ConnectionError and ValueError among them
            raise EvoError(
                f"Ray did not start: {str(error).splitlines()[0]}", hint="evo doctor", kind="device"
            ) from None
        try:
            yield ray
        finally:
            ray.shutdown()


class Trainers:
    """A pool of trainer actors, one a slot; a lost one is replaced.

    Args:
        ray: the module, started.
        evaluator: what is judged.
        device: what a slot is; on a cluster, as many slots as its resources hold.
        data_sha256: of the run's data, which each worker's must equal.
    """

    def __init__(self, ray: Any, evaluator: Evaluator, device: Device, data_sha256: dict[str, str], slots: int) -> None:
        self._ray = ray
        resources = {"max_restarts": 0, **device.ray_resources}
        remote = ray.remote(TrainerActor).options(**resources)
        self._start: Callable[[], Any] = lambda: remote.remote(evaluator, device, data_sha256)
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        self.slots, self.busy = slots, 0

    async def start(self) -> list[str]:
        """Start every trainer and wait until its data is loaded; return their hosts.

        Raises:
            EvoError: a worker's data is not the run's, or it cannot start.
        """
        actors = [self._start() for _ in range(self.slots)]
        try:
            hosts = await asyncio.gather(*(actor.ready.remote() for actor in actors))
        except self._ray.exceptions.RayError as error:
            raise EvoError(f"a trainer did not start: {str(error).strip().splitlines()[-1]}", kind="device") from None
        for actor in actors:
            self._free.put_nowait(actor)
        return list(hosts)

    async def judge(self, job: Job) -> dict[str, Any]:
        """One training on the next free trainer. A trainer that is lost is replaced and the training tried again."""
        for _ in range(_ATTEMPTS):
            actor = await self._free.get()
            self.busy += 1
            try:
                judged: dict[str, Any] = await _ref(actor.judge.remote(job))
                return judged
            except self._ray.exceptions.RayActorError:
                actor = self._start()
            except self._ray.exceptions.RayTaskError as error:
                raise _trainer_error(error) from None
            finally:
                self.busy -= 1
                self._free.put_nowait(actor)
        return {"status": Status.WORKER_LOST, "reason": f"{_ATTEMPTS} workers were lost while training it"}


class RemoteProposer:
    """The proposer actor, on the driver's own node: the catalogue listens on its loopback."""

    def __init__(self, ray: Any, endpoint: Endpoint, settings: Model) -> None:
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node_id=ray.get_runtime_context().get_node_id(), soft=False
        )
        remote = ray.remote(ProposerActor).options(
            num_cpus=0, max_concurrency=max(1, settings.concurrency), scheduling_strategy=here
        )
        self._ray = ray
        self._actor = remote.remote(endpoint.base_url, endpoint.key, settings)
        self._gate = asyncio.Semaphore(settings.concurrency)

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> dict[str, Any]:
        """One answer, with at most `concurrency` requests in flight."""
        async with self._gate:
            try:
                answered: dict[str, Any] = await _ref(self._actor.ask.remote(list(messages), seed))
            except self._ray.exceptions.RayError as error:
                last = str(error).strip().splitlines()[-1]
                raise EvoError(f"the proposer was lost: {last}", hint="`evo resume` goes on", kind="endpoint") from None
            return answered


def _trainer_error(error: Any) -> EvoError:
    """What a trainer could not do, which is never a candidate's doing: a full disk, most likely."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, OSError):
        return disk_error(cause, Path(cause.filename or tempfile.gettempdir()))
    last = str(error).strip().splitlines()[-1]
    return EvoError(
        f"a trainer failed: {last}", hint="`evo resume` goes on; evo doctor looks at what it needs", kind="device"
    )


def cluster_slots(ray: Any, settings: Workers, device: Device) -> int:
    """Trainers to start: this machine's, or as many as a joined cluster has room for."""
    if not settings.address:
        return device.slots
    total = ray.cluster_resources()
    room = {"cuda": total.get("GPU", 0), "mps": total.get("mps", 0), "cpu": total.get("CPU", 0) // device.threads}
    return max(1, min(int(room[device.kind]), settings.slots or 10**6))


def _ref(reference: Any) -> Awaitable[Any]:
    """A Ray reference as what it is in asyncio."""
    awaited: Awaitable[Any] = reference
    return awaited
