"""Workers of a run: trainers and the proposer as Ray actors. A lost trainer is replaced.

Read-only commands never import this module, because Ray takes seconds to start.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evo.config import Model
from evo.driver.cluster import Cluster
from evo.errors import EvoError
from evo.evaluator import Evaluator
from evo.lineage.store import disk_error
from evo.proposer import key
from evo.proposer.actor import ProposerActor
from evo.proposer.client import Endpoint
from evo.status import Status
from evo.trainer.actor import TrainerActor
from evo.trainer.device import Device
from evo.trainer.job import Job

_LOST = 2
"""Lost workers after which a training is given up."""
_STARTS = 3
"""Attempts to start a trainer that is lost before it is ready."""
_START_SECONDS = 180.0
"""Seconds that an actor has to be placed on a node and load its data."""


class Pool(Protocol):
    """Interface of the trainers, as the driver uses it."""

    busy: int
    slots: int

    async def judge(self, job: Job) -> dict[str, Any]:
        """Run one training when a slot is free. See `evo.trainer.job.Judgement`."""


class Trainers:
    """Pool of trainer actors, one per slot.

    Args:
        cluster: Started Ray.
        evaluator: Evaluator to train on.
        device: Kind of device of each slot. A joined cluster has as many slots as its resources allow.
        data_sha256: Hashes of the run's data. The data of each worker must match.
        level: Name of the isolation level. It must work on the node of each worker.
        slots: Number of trainers.
        say: Called with one line when a worker is lost or replaced.
    """

    def __init__(
        self,
        cluster: Cluster,
        evaluator: Evaluator,
        device: Device,
        data_sha256: dict[str, str],
        level: str,
        slots: int,
        say: Callable[[str], None],
    ) -> None:
        self._cluster, self._ray, self._level, self._say = cluster, cluster.ray, level, say
        errors = self._ray.exceptions
        self._losses = errors.RayActorError, errors.OutOfMemoryError, errors.ObjectLostError
        resources = {"max_restarts": 0, **device.ray_resources}
        remote = self._ray.remote(TrainerActor).options(**resources)
        self._make: Callable[[], Any] = lambda: remote.remote(evaluator, device, data_sha256, level)
        self._free: asyncio.Queue[Any] = asyncio.Queue()  # actors; None once no slot is left
        self._replacing: set[asyncio.Task[None]] = set()
        self.slots, self.busy = slots, 0

    async def start(self) -> None:
        """Start all trainers and wait until their data is loaded. Leave out trainers that the cluster has no room for.

        Raises:
            EvoError: The data or isolation of a worker does not match, or no trainer started.
        """
        started = await asyncio.gather(*(self._started() for _ in range(self.slots)), return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, TimeoutError):
                self._give_up(f"a trainer did not start: {outcome}")
            elif isinstance(outcome, BaseException):
                raise _not_started(outcome) from None
            else:
                self._free.put_nowait(outcome)

    async def judge(self, job: Job) -> dict[str, Any]:
        """Run one training on the next free trainer. If that trainer is lost, try once more on another.

        If both trainers are lost, the result has the status `WORKER_LOST`.

        Raises:
            EvoError: No slot is left, Ray died, or the disk of a trainer is full.
        """
        began, seconds = time.time(), 0.0
        for _ in range(_LOST):
            actor = await self._take()
            tried = time.perf_counter()
            self.busy += 1
            try:
                judged: dict[str, Any] = await _ref(actor.judge.remote(job))
            except self._ray.exceptions.RayTaskError as error:
                raise _trainer_error(error) from None
            except self._losses:
                await self._cluster.check()
                self._replace(actor)
            else:
                self._free.put_nowait(actor)
                return judged
            finally:
                self.busy -= 1
                seconds += time.perf_counter() - tried
        reason = f"{_LOST} workers were lost while training this candidate"
        lost = {"status": Status.WORKER_LOST, "reason": reason, "isolation": self._level}
        return lost | {"wall_seconds": seconds, "started_at": began}

    async def _take(self) -> Any:
        """Return a free, live trainer. A trainer that is lost while idle does not count against a candidate."""
        while actor := await self._free.get():
            try:
                await _ref(actor.ready.remote())
                return actor
            except self._losses:
                await self._cluster.check()
                self._replace(actor)
        self._free.put_nowait(None)
        raise EvoError(
            "no trainer is left: all were lost, and no replacement started",
            hint="run `evo doctor`, then `evo resume`",
            kind="device",
        )

    def _replace(self, lost: Any) -> None:
        """Kill a lost trainer and start a replacement in the background."""
        self._ray.kill(lost)  # it may only be unreachable
        task = asyncio.ensure_future(self._put_another())
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _put_another(self) -> None:
        try:
            self._free.put_nowait(await self._started())
        except (TimeoutError, self._ray.exceptions.RayError) as error:
            self._give_up(f"a trainer was lost, and its replacement did not start: {_last_line(error)}")
        else:
            self._say("a trainer was lost and replaced")

    def _give_up(self, said: str) -> None:
        """Remove one slot and report it."""
        self.slots -= 1
        self._say(f"{said}; {self.slots} slot(s) left")
        if not self.slots:
            self._free.put_nowait(None)

    async def _started(self) -> Any:
        """Start a trainer and return it when it is ready. Start another if it is lost, up to `_STARTS` in all.

        Raises:
            TimeoutError: The cluster has no room for the trainer.
            RayError: The trainer failed to start.
        """
        for left in reversed(range(_STARTS)):
            actor = self._make()
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await _ref(actor.ready.remote())
                break
            except TimeoutError:
                self._ray.kill(actor)
                raise TimeoutError(f"the cluster had no free resources for it in {_START_SECONDS:g} s") from None
            except self._ray.exceptions.RayActorError as error:
                if error.actor_init_failed or not left:
                    raise
        return actor


class RemoteProposer:
    """Proposer actor on the driver's node, where the keys and the local servers are.

    Args:
        cluster: Started Ray.
        models: Every model of the run with its endpoint.
    """

    def __init__(self, cluster: Cluster, models: Sequence[tuple[Model, Endpoint]]) -> None:
        ray = self._ray = cluster.ray
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node_id=ray.get_runtime_context().get_node_id(), soft=False
        )
        flying = sum(model.concurrency for model, _ in models)
        remote = ray.remote(ProposerActor).options(num_cpus=0, max_concurrency=flying + 1, scheduling_strategy=here)
        asked = [(model, endpoint.base_url) for model, endpoint in models]
        self._make: Callable[[key.Errand], Any] = lambda errand: remote.remote(asked, errand)
        self._keys = {model.display_name: endpoint.key for model, endpoint in models}

    async def start(self) -> None:
        """Start the actor and hand it the keys.

        Raises:
            EvoError: The actor does not start.
        """
        with key.handed_over(json.dumps(self._keys)) as errand:
            self._actor = self._make(errand)
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await _ref(self._actor.ready.remote())
            except (TimeoutError, self._ray.exceptions.RayError) as error:
                raise EvoError(f"the proposer did not start: {_last_line(error)}", kind="device") from None

    async def ask(
        self, model: str, messages: Sequence[Mapping[str, str]], seed: int, max_tokens: int | None = None
    ) -> dict[str, Any]:
        """Send one request to one of the models and return the reply.

        Raises:
            EvoError: The actor was lost.
        """
        try:
            answered: dict[str, Any] = await _ref(self._actor.ask.remote(model, list(messages), seed, max_tokens))
        except self._ray.exceptions.RayError as error:
            said = f"the proposer was lost: {_last_line(error)}"
            raise EvoError(said, hint="continue with `evo resume`", kind="endpoint") from None
        return answered


def _not_started(error: BaseException) -> BaseException:
    """Return the error for a trainer that cannot start, for example because its data or isolation does not match."""
    if not isinstance(error, Exception):
        return error
    return EvoError(f"a trainer did not start: {_last_line(error)}", hint="run `evo doctor`", kind="device")


def _trainer_error(error: Any) -> EvoError:
    """Return the error for a trainer failure that no candidate caused, usually a full disk."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, OSError):
        return disk_error(cause, Path(cause.filename or tempfile.gettempdir()))
    return EvoError(
        f"a trainer failed: {_last_line(error)}",
        hint="run `evo doctor`, then `evo resume`",
        kind="device",
    )


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[-1].strip()


def _ref(reference: Any) -> Awaitable[Any]:
    """Return a Ray reference as an asyncio awaitable."""
    awaited: Awaitable[Any] = reference
    return awaited
