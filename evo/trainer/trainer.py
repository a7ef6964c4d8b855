"""The trainer itself: judges one candidate's files by training them in a sandbox and scoring the trained model.

It is the same class in a Ray actor (`evo.trainer.actor`), in `evo check` and in `evo evaluate`. Use it from one thread:
a sandbox ends with the thread that started it.
"""

import errno
import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from evo.evaluator import Evaluator
from evo.status import Status
from evo.trainer.device import Device
from evo.trainer.sandbox import NAMED_INSIDE, Sandbox, SandboxFailure, clear_leftovers, crash, one_line
from evo.verify import scorer

_RESULT_BYTES = 1_000_000
_CURVE_POINTS = 10_000


@dataclass(frozen=True)
class Job:
    """One training: files to judge, and the seeds of its initialisation and of its data order."""

    files: dict[str, str]
    seed: int
    data_seed: int


@dataclass
class Judgement:
    """What came of a job. Losses in nats a token, seconds by our clock; None where it did not come that far."""

    status: Status = Status.OK
    reason: str = ""
    val_loss: float | None = None
    bits_per_byte: float | None = None
    reported_vloss: float | None = None
    reported_elapsed_min: float | None = None
    n_params: int | None = None
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int = 0
    started_at: float = 0.0
    curve: list[dict[str, float | None]] = field(default_factory=list)
    output_tail: str = ""
    device: str = ""
    host: str = ""
    isolation: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as Ray carries them."""
        return asdict(self) | {"status": str(self.status)}


class Trainer:
    """One device slot.

    Args:
        evaluator: what is judged, and against which data; its text is loaded here, once.
        device: what trains.
    """

    def __init__(self, evaluator: Evaluator, device: Device) -> None:
        self._evaluator, self._device = evaluator, device
        clear_leftovers()
        text = evaluator.load_data()
        self.data_sha256 = text.sha256()
        tokens = {part: text.tokens(part, evaluator.spec.data.tokens) for part in ("train", "val", "heldout")}
        self._heldout, self._heldout_bytes = tokens["heldout"], len(text.parts["heldout"])
        probe = scorer.probe_windows(tokens["val"], evaluator.block_size)
        self._data = {f"data/{part}.bin": tokens[part].astype("<u2").tobytes() for part in ("train", "val")}
        self._data["data/probe.bin"] = probe.astype("<u2").tobytes()
        self._probe = probe

    def judge(self, job: Job) -> Judgement:
        """Train `job.files` in a sandbox, rebuild the trained model in a process of its own, and score it.

        Never raises for a candidate's failure: the judgement names it.
        """
        judgement = Judgement(
            started_at=time.time(), device=self._device.kind, host=platform.node(), isolation=Sandbox.level
        )
        inside = (Sandbox.inside() / "harness.py").read_text(encoding="utf-8")
        files: dict[str, str | bytes] = {
            **job.files,
            **self._data,
            "harness.py": inside,
            "job.json": self._job_json(job),
        }
        try:
            opened = Sandbox(self._device, self._evaluator.spec.limits, files)
        except SandboxFailure:  # a machine in trouble: once more, and then it is named
            try:
                opened = Sandbox(self._device, self._evaluator.spec.limits, files)
            except SandboxFailure as failure:
                judgement.status, judgement.reason = failure.status, failure.reason
                return judgement
        with opened as sandbox:
            try:
                self._train_and_score(sandbox, job, judgement)
            except SandboxFailure as failure:
                judgement.status, judgement.reason = failure.status, failure.reason
            except Exception as error:  # whatever a candidate left behind, it must not end a search
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                judgement.status = Status.CRASHED
                judgement.reason = one_line(f"what it left could not be judged: {type(error).__name__}: {error}")
            judgement.output_tail = sandbox.output_tail()
        return judgement

    def _train_and_score(self, sandbox: Sandbox, job: Job, judgement: Judgement) -> None:
        try:
            code = sandbox.train()
        finally:
            usage = sandbox.usage
            judgement.cpu_seconds, judgement.wall_seconds = usage.cpu_seconds, usage.wall_seconds
            judgement.peak_memory_bytes = usage.peak_memory_bytes
            judgement.curve = _curve(sandbox)
        result = _result(sandbox, code)
        judgement.reported_vloss = _number(result.get("reported_vloss"))
        judgement.reported_elapsed_min = _number(result.get("reported_elapsed_min"))
        n_params = result.get("n_params")
        judgement.n_params = n_params if isinstance(n_params, int) and 0 <= n_params < 2**62 else None
        for name, text in {**job.files, "job.json": self._job_json(job, result.get("arguments"))}.items():
            sandbox.write(name, text)  # as they were, whatever the training made of them
        score = self._score(sandbox)
        judgement.status, judgement.reason = score.status, score.reason
        judgement.val_loss, judgement.bits_per_byte = score.val_loss, score.bits_per_byte

    def _score(self, sandbox: Sandbox) -> scorer.Score:
        block_size, vocab_size = self._evaluator.block_size, self._evaluator.vocab_size
        data = sandbox.read("out/probe.bin", 4 * self._probe.size * vocab_size)
        if len(data) != 4 * self._probe.size * vocab_size:
            return scorer.Score(Status.BAD_SHAPE, "the trained model's logits are not of shape (batch, time, vocab)")
        trained = np.frombuffer(data, dtype="<f4").reshape(*self._probe.shape, vocab_size)
        if not np.isfinite(trained).all():
            return scorer.Score(Status.NOT_FINITE, "the trained model's logits are not finite")
        sandbox.serve()
        if not scorer.same_logits(trained, sandbox.logits(self._probe, vocab_size)):
            return scorer.Score(
                Status.NOT_REBUILDABLE, "rebuilt from its arguments and weights, the model gives other logits"
            )
        return scorer.score(
            self._heldout, self._heldout_bytes, block_size, vocab_size, lambda w: sandbox.logits(w, vocab_size)
        )

    def _job_json(self, job: Job, arguments: Any = None) -> str:
        evaluator = self._evaluator
        return json.dumps(
            {
                "device": self._device.kind,
                "vocab_size": evaluator.vocab_size,
                "batch_size": evaluator.batch_size,
                "block_size": evaluator.block_size,
                "files": evaluator.spec.files,
                "seed": job.seed,
                "data_seed": job.data_seed,
                "arguments": arguments,
            }
        )


def _result(sandbox: Sandbox, code: int) -> dict[str, Any]:
    """What the training job left behind.

    Raises:
        SandboxFailure: the failure that it named, or a crash.
    """
    try:
        result = json.loads(sandbox.read("out/result.json", _RESULT_BYTES))
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict):
        if code:
            raise crash(sandbox.output_tail())
        raise SandboxFailure(Status.CRASHED, "the training ended without leaving a result")
    if code == 3 and result.get("status") in NAMED_INSIDE:
        raise SandboxFailure(Status(result["status"]), str(result.get("reason", "")))
    if code:
        raise crash(sandbox.output_tail())
    return result


def _curve(sandbox: Sandbox) -> list[dict[str, float | None]]:
    """The points that `harness.report` wrote; what is not a point is left out."""
    points: list[dict[str, float | None]] = []
    for line in sandbox.read("out/curve.jsonl", 4_000_000).splitlines()[:_CURVE_POINTS]:
        try:
            point = json.loads(line)
            step, seconds = int(point["step"]), _number(point["seconds"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
        if abs(step) >= 2**62:
            continue
        points.append(
            {
                "step": step,
                "seconds": seconds,
                "train_loss": _number(point.get("train_loss")),
                "reported_val_loss": _number(point.get("val_loss")),
            }
        )
    return points


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None
