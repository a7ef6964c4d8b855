"""Loss curve that a training reports, and early stopping of trainings that are clearly losing.

The candidate writes the curve, so its values are not trusted: they may stop a training early but never become a score.
"""

import json
import math
from collections.abc import Mapping, Sequence

from evo.status import Status
from evo.trainer.failure import SandboxFailure
from evo.trainer.job import EarlyStop
from evo.trainer.processes import LimitReached
from evo.trainer.scratch import Scratch

_POINTS = 10_000


class EarlyStopWatch:
    """Early-stopping check of one training, based on its reported curve.

    The decision depends on the curve alone. A losing training that ended before the first check is also stopped.

    Args:
        scratch: folders of the sandbox, from which the curve is read.
        early_stop: early-stopping step and its threshold; None disables early stopping.
    """

    def __init__(self, scratch: Scratch, early_stop: EarlyStop | None) -> None:
        self._scratch, self._early_stop = scratch, early_stop
        self._passed, self._stopped = early_stop is None, False

    def __call__(self) -> None:
        """Check the curve once.

        Raises:
            LimitReached: if the training is clearly losing.
        """
        if self._early_stop is None or self._passed:
            return
        loss = loss_at(read(self._scratch), self._early_stop.step)
        if loss is None:
            return
        self._passed = loss <= self._early_stop.loss
        if not self._passed:
            self._stopped = True
            raise LimitReached(
                Status.STOPPED_EARLY,
                f"reported {loss:.4f} at step {self._early_stop.step}, above {self._early_stop.loss:.4f}, the median of "
                f"{self._early_stop.of} earlier candidates there",
            )

    def ended(self) -> None:
        """Check the curve of a training that has ended, with or without an error.

        Raises:
            SandboxFailure: if the training is clearly losing.
        """
        try:
            self()
        except LimitReached as limit:
            raise SandboxFailure(limit.status, limit.reason) from None

    def curve(self) -> list[dict[str, float | None]]:
        """Return the curve. The curve of a stopped training ends at the early-stopping step."""
        points = read(self._scratch)
        if self._early_stop is None or not self._stopped:
            return points
        stopped_at = next(place for place, point in enumerate(points) if _is_early_stop(point, self._early_stop.step))
        return points[: stopped_at + 1]


def loss_at(curve: Sequence[Mapping[str, float | None]], step: int) -> float | None:
    """Return the validation loss that a curve reports at `step`, or None if `step` is 0 or has no such loss."""
    return next((point["reported_val_loss"] for point in curve if _is_early_stop(point, step)), None) if step else None


def _is_early_stop(point: Mapping[str, float | None], step: int) -> bool:
    return point["step"] == step and point["reported_val_loss"] is not None


def read(scratch: Scratch) -> list[dict[str, float | None]]:
    """Return the points that `harness.report` wrote, without malformed lines."""
    points: list[dict[str, float | None]] = []
    for line in scratch.read("out/curve.jsonl", 4_000_000).splitlines()[:_POINTS]:
        try:
            point = json.loads(line)
            step, seconds = int(point["step"]), number(point["seconds"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
        if abs(step) >= 2**62:
            continue
        points.append(
            {
                "step": step,
                "seconds": seconds,
                "train_loss": number(point.get("train_loss")),
                "reported_val_loss": number(point.get("val_loss")),
            }
        )
    return points


def number(value: object) -> float | None:
    """Return `value` as a float if it is a finite number, else None."""
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None
