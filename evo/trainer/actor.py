"""Ray actor around `Trainer`: owns one device slot and runs one training at a time."""

import platform
from typing import Any

from evo.evaluator import Evaluator
from evo.trainer import isolation
from evo.trainer.device import Device
from evo.trainer.job import Job
from evo.trainer.trainer import Trainer


class TrainerActor:
    """Actor class that `evo.driver.workers` makes remote. Its methods return plain values.

    Args:
        evaluator: evaluator of the run.
        device: device to train on.
        data_sha256: SHA-256 digests of the run's data.
        level: name of the run's isolation backend.

    Raises:
        ValueError: if this node's data differs from the run's, or the isolation backend does not work on this node.
    """

    def __init__(self, evaluator: Evaluator, device: Device, data_sha256: dict[str, str], level: str) -> None:
        chosen = isolation.level(level)
        if why := chosen.missing():
            raise ValueError(f"isolation {level}, which the run uses, does not work on {platform.node()}: {why}")
        self._trainer = Trainer(evaluator, device, chosen)
        if self._trainer.data_sha256 != data_sha256:
            raise ValueError(f"the data on {platform.node()} differs from the run's")

    def ready(self) -> str:
        """Return the host name once the data is loaded."""
        return platform.node()

    def judge(self, job: Job) -> dict[str, Any]:
        """Train and score one candidate."""
        return self._trainer.judge(job).as_dict()
