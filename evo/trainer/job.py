"""Input and output of a trainer, as plain values that Ray can serialize."""

from dataclasses import asdict, dataclass, field
from typing import Any

from evo.status import Status


@dataclass(frozen=True)
class EarlyStop:
    """Early-stopping step and the loss above which a training is stopped there.

    Attributes:
        step: step of the curve.
        loss: median reported validation loss of earlier candidates at `step`, in nats. A training above it is stopped.
        of: number of earlier candidates in that median.
    """

    step: int
    loss: float
    of: int


@dataclass(frozen=True)
class Job:
    """Request to train and score one candidate.

    Attributes:
        files: files of the candidate, by name.
        seed: random seed of the initialisation.
        data_seed: random seed of the data order.
        cpu_seconds: CPU limit, used if it is below the evaluator's.
        early_stop: early-stopping step; None disables early stopping.
        test: whether to compute the loss on the `test` part too, for a verdict.
    """

    files: dict[str, str]
    seed: int
    data_seed: int
    cpu_seconds: float | None = None
    early_stop: EarlyStop | None = None
    test: bool = False


START, SHORT_RUN, TRAINING, VERIFICATION, DONE = "start", "short run", "training", "verification", "done"
"""Stages of a judgement, in order."""


@dataclass
class Judgement:
    """Result of a job.

    Losses are in nats per token. The trainer's clock measures the seconds. A value that defaults to None stays None if
    the job did not reach the stage that sets it.
    """

    status: Status = Status.OK
    reason: str = ""
    stage: str = START
    val_loss: float | None = None
    text_se: float | None = None
    bits_per_byte: float | None = None
    test_loss: float | None = None
    reported_vloss: float | None = None
    reported_elapsed_min: float | None = None
    n_params: int | None = None
    early_stop_loss: float | None = None
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    verify_seconds: float = 0.0
    peak_memory_bytes: int = 0
    started_at: float = 0.0
    curve: list[dict[str, float | None]] = field(default_factory=list)
    output_tail: str = ""
    device: str = ""
    host: str = ""
    isolation: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that Ray can serialize."""
        return asdict(self) | {"status": str(self.status)}
