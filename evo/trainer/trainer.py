"""Trainer: trains a candidate's files in a sandbox and scores the trained model.

The Ray actor (`evo.trainer.actor`), `evo check` and `evo evaluate` all use this class. Use a trainer from one thread only:
a sandbox ends with the thread that started it.
"""

import errno
import hashlib
import itertools
import json
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evo import corpus
from evo.evaluator import Evaluator, Limits
from evo.status import Status
from evo.trainer import isolation
from evo.trainer.batch_feed import BatchFeed
from evo.trainer.curve import EarlyStopWatch, loss_at, number
from evo.trainer.device import Device
from evo.trainer.failure import NAMED_INSIDE, SandboxFailure, crash, one_line
from evo.trainer.job import DONE, SHORT_RUN, TRAINING, VERIFICATION, Job, Judgement
from evo.trainer.sandbox import Sandbox
from evo.trainer.scratch import Scratch
from evo.verify import probes, scorer, weights

_RESULT_BYTES = 1_000_000
_SHORT_SECONDS = 20.0
"""Maximum CPU seconds of a short run. A longer short run is inconclusive."""
_CERTAIN = (
    *(Status.LEAKS_FUTURE, Status.NOT_INDEPENDENT, Status.NOT_REPEATABLE, Status.NOT_FINITE, Status.BAD_SHAPE),
    *(Status.PROTECTED_SETTING, Status.MEMORY, Status.WROTE_TOO_MUCH, Status.TOO_MANY_PROCESSES),
)
"""Failures that count even if the short run was cut off. A crash, for example, may be caused by the cut-off itself."""


class Trainer:
    """Trainer of one device slot.

    Args:
        evaluator: evaluator with the settings, limits and data. Its text is loaded once, here.
        device: device to train on.
        level: isolation backend of the sandboxes; default the strongest that works on this machine.
    """

    def __init__(self, evaluator: Evaluator, device: Device, level: isolation.Level | None = None) -> None:
        self.evaluator, self._device, self._level = evaluator, device, level or isolation.strongest()
        isolation.clear_leftovers()
        text = evaluator.load_data()
        self._masked = text.origins
        self.data_sha256 = text.sha256()
        tokeniser = evaluator.spec.data.tokens
        self._tokens = {part: text.tokens(part, tokeniser) for part in corpus.PARTS}
        self._n_bytes = {part: len(body) for part, body in text.parts.items()}
        self._rows = scorer.rows_a_request(evaluator.block_size, evaluator.vocab_size)
        self._known = self._tokens["val"][
            : 2 * self._rows * evaluator.block_size + 1
        ]  # two requests, so the second pass can regroup the rows
        self._secret = hashlib.sha256(self._tokens["test"].tobytes()).digest()  # no sandbox sees the test part

    def judge(self, job: Job) -> Judgement:
        """Train `job.files` in a sandbox, rebuild the trained model in separate processes, then score and probe the model.

        A candidate's failure is never raised: the judgement reports it.

        Raises:
            OSError: if this machine's disk is full or over quota.
        """
        judgement = Judgement(
            started_at=time.time(), device=self._device.kind, host=platform.node(), isolation=self._level.name
        )
        try:
            opened = self._sandbox()
        except SandboxFailure as failure:
            judgement.status, judgement.reason = failure.status, failure.reason
            return judgement
        with opened as sandbox:
            try:
                judgement.stage = SHORT_RUN
                self._short_run(sandbox, job)
                judgement.stage = TRAINING
                self._train_and_score(sandbox, job, judgement)
                judgement.stage = DONE
            except SandboxFailure as failure:
                judgement.status, judgement.reason = failure.status, failure.reason
            except Exception as error:  # nothing that a candidate leaves behind may end a search
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                judgement.status = Status.CRASHED
                judgement.reason = one_line(f"what it left could not be judged: {type(error).__name__}: {error}")
            judgement.output_tail = sandbox.output_tail()
        return judgement

    def _sandbox(self) -> Sandbox:
        """Open a sandbox. Retry once, in case the machine had a transient problem."""
        try:
            return self._opened()
        except SandboxFailure:
            return self._opened()

    def _opened(self) -> Sandbox:
        return Sandbox(self._device, self.evaluator.spec.limits, self._level, self._masked)

    def _short_run(self, sandbox: Sandbox, job: Job) -> None:
        """Train for a few iterations and probe the model on text that candidates know.

        A candidate that fails here is not trained in full.

        Raises:
            SandboxFailure: if the short run failed, unless it timed out or the cut-off may have caused the failure.
        """
        few = self.evaluator.spec.batches.short_run
        if not few:
            return
        limits = self.evaluator.spec.limits
        short = limits.model_copy(
            update={
                "cpu_seconds": min(limits.cpu_seconds, _SHORT_SECONDS),
                "wall_seconds": min(limits.wall_seconds, 2 * _SHORT_SECONDS),
            }
        )
        snapshot = self._snapshot(sandbox, self._known)
        feed = self._feed(job, snapshot, few)
        try:
            result = self._train(sandbox, job, feed, snapshot, short)
            if feed.cut_off and not result.get("certain"):
                return
            model = self._model(sandbox, job, result, snapshot)
            _raise_unless_ok(probes.verify(model, self._known, len(self._known), least_windows=2 * self._rows))
        except SandboxFailure as failure:
            if failure.status == Status.TIMEOUT or (feed.cut_off and failure.status not in _CERTAIN):
                return
            raise

    def _train_and_score(self, sandbox: Sandbox, job: Job, judgement: Judgement) -> None:
        limits = self.evaluator.spec.limits
        if job.cpu_seconds is not None:
            limits = limits.model_copy(update={"cpu_seconds": min(limits.cpu_seconds, job.cpu_seconds)})
        snapshot = self._snapshot(sandbox, self._tokens["heldout"])
        feed, early_stop, failed = self._feed(job, snapshot), EarlyStopWatch(sandbox.scratch, job.early_stop), None
        try:
            result = self._train(sandbox, job, feed, snapshot, limits, early_stop)
        except SandboxFailure as failure:
            failed = failure
        usage = sandbox.usage
        judgement.cpu_seconds, judgement.wall_seconds = usage.cpu_seconds, usage.wall_seconds
        judgement.peak_memory_bytes = usage.peak_memory_bytes
        try:
            early_stop.ended()
        finally:
            judgement.curve = early_stop.curve()
            judgement.early_stop_loss = loss_at(judgement.curve, self.evaluator.spec.rung_step)
        if failed is not None:
            raise failed
        if wrong := feed.shortfall():
            raise SandboxFailure(Status.PROTECTED_SETTING, wrong)
        judgement.reported_vloss = number(result.get("reported_vloss"))
        judgement.reported_elapsed_min = number(result.get("reported_elapsed_min"))
        n_params = result.get("n_params")
        judgement.n_params = n_params if isinstance(n_params, int) and 0 <= n_params < 2**62 else None
        began = time.perf_counter()
        judgement.stage = VERIFICATION
        try:
            self._verify(self._model(sandbox, job, result, snapshot), judgement, test=job.test)
        finally:
            judgement.verify_seconds = time.perf_counter() - began

    def _train(
        self,
        sandbox: Sandbox,
        job: Job,
        feed: BatchFeed,
        snapshot: "_Snapshot",
        limits: Limits,
        watch: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Run one training in an empty scratch folder and return its result."""
        sandbox.clear()
        inside = (Sandbox.inside() / "harness.py").read_text(encoding="utf-8")
        files: dict[str, str | bytes] = {**job.files, "harness.py": inside, "job.json": self._job_json(job)}
        for name, content in files.items():
            sandbox.scratch.write(name, content)
        code = sandbox.train(feed, limits, watch)
        written = (
            sandbox.scratch.read("out/result.json", _RESULT_BYTES) if snapshot.windows is None else snapshot.result
        )
        return _result(written, code, sandbox.output_tail())

    def _model(self, sandbox: Sandbox, job: Job, result: dict[str, Any], snapshot: "_Snapshot") -> probes.Model:
        """Return the trained model in the form that the probes query.

        Raises:
            SandboxFailure: if the weights or probe logits are missing or invalid.
        """
        vocab_size, block_size = self.evaluator.vocab_size, self.evaluator.block_size
        if snapshot.windows is None:
            raise SandboxFailure(Status.CRASHED, "the training ended without saying that its weights were saved")
        count = 4 * self._rows * block_size * vocab_size
        data = sandbox.scratch.read("out/probe.bin", count)
        if len(data) != count:
            raise SandboxFailure(Status.BAD_SHAPE, "the trained model's logits are not of shape (batch, time, vocab)")
        trained = np.frombuffer(data, dtype="<f4").reshape(self._rows, block_size, vocab_size)
        if not np.isfinite(trained).all():
            raise SandboxFailure(Status.NOT_FINITE, "the trained model's logits are not finite")
        try:
            half = bool(weights.number_types(snapshot.weights) & {"F16", "BF16"})
        except weights.BadWeights as wrong:
            raise SandboxFailure(Status.NOT_REBUILDABLE, f"weights.safetensors: {wrong}") from None
        files: dict[str, str | bytes] = {**job.files, "out/weights.safetensors": snapshot.weights}
        servers = itertools.count(1)

        def fresh() -> scorer.Ask:
            sandbox.clear()
            for name, content in files.items():
                sandbox.scratch.write(name, content)
            sandbox.scratch.write("job.json", self._job_json(job, result.get("arguments"), dice=next(servers)))
            sandbox.serve()
            return lambda windows: sandbox.logits(windows, vocab_size)

        return probes.Model(fresh, vocab_size, block_size, half, snapshot.salt, snapshot.windows, trained)

    def _verify(self, model: probes.Model, judgement: Judgement, *, test: bool) -> None:
        """Score and probe the trained model.

        Args:
            model: trained model.
            judgement: receives the losses.
            test: whether to score the model on the `test` part too, for a verdict.

        Raises:
            SandboxFailure: if scoring or a probe fails, with the status that it found.
        """
        score = probes.verify(model, self._tokens["heldout"], self._n_bytes["heldout"])
        _raise_unless_ok(score)
        if test:
            part = self._tokens["test"], self._n_bytes["test"]
            judged = scorer.score(*part, model.block_size, model.vocab_size, model.fresh())
            _raise_unless_ok(judged)
            judgement.test_loss = judged.val_loss
        judgement.val_loss, judgement.bits_per_byte, judgement.text_se = (
            score.val_loss,
            score.bits_per_byte,
            score.text_se,
        )

    def _snapshot(self, sandbox: Sandbox, tokens: scorer.Tokens) -> "_Snapshot":
        return _Snapshot(sandbox.scratch, tokens, self.evaluator, self._secret)

    def _feed(self, job: Job, snapshot: "_Snapshot", stop_after: int | None = None) -> BatchFeed:
        evaluator = self.evaluator
        sizes = evaluator.batch_size, evaluator.block_size
        return BatchFeed(self._tokens, *sizes, job.data_seed, evaluator.spec.batches, snapshot.take, stop_after)

    def _job_json(self, job: Job, arguments: Any = None, dice: int = 0) -> str:
        """Return the content of job.json.

        `dice` offsets the random seed of each model server, to expose a model whose output is random.
        """
        evaluator = self.evaluator
        return json.dumps(
            {
                "device": self._device.kind,
                "vocab_size": evaluator.vocab_size,
                "batch_size": evaluator.batch_size,
                "block_size": evaluator.block_size,
                "probe_rows": self._rows,
                "files": evaluator.spec.files,
                "seed": job.seed + dice,
                "arguments": arguments,
            }
        )


class _Snapshot:
    """Snapshot of a training's files, taken when the training reports that its weights are saved.

    The snapshot holds everything that the model server gets from the training: the weights and the constructor's arguments.
    Only after the snapshot does the training learn which windows the trained model must answer. The rebuilt model gets
    these windows among all others. It therefore cannot answer them as the trained model and the rest as a different model.
    """

    def __init__(self, scratch: Scratch, tokens: scorer.Tokens, evaluator: Evaluator, secret: bytes) -> None:
        self._scratch, self._tokens, self._evaluator, self._secret = scratch, tokens, evaluator, secret
        self.weights, self.result, self.salt = b"", b"", b""
        self.windows: npt.NDArray[np.int64] | None = None

    def take(self) -> scorer.Tokens:
        """Take the snapshot and return the probe windows, (rows, block_size)."""
        evaluator = self._evaluator
        self.weights = self._scratch.read("out/weights.safetensors", evaluator.spec.limits.scratch_mb * 1_000_000)
        self.result = self._scratch.read("out/result.json", _RESULT_BYTES)
        self.salt = hashlib.sha256(self._secret + self.weights).digest()
        self.windows = probes.chosen(self._tokens, evaluator.block_size, evaluator.vocab_size, self.salt)
        return scorer.windows_of(self._tokens, evaluator.block_size)[0][self.windows]


def _raise_unless_ok(score: scorer.Score) -> None:
    if score.status != Status.OK:
        raise SandboxFailure(score.status, score.reason)


def _result(written: bytes, code: int, tail: str) -> dict[str, Any]:
    """Return the parsed result of a training job.

    Args:
        written: content of result.json.
        code: exit code of the job.
        tail: end of its output.

    Raises:
        SandboxFailure: if the job reported a failure, crashed, or left no result.
    """
    try:
        result = json.loads(written)
    except (ValueError, RecursionError):
        result = None
    if not isinstance(result, dict):
        if code:
            raise crash(tail)
        raise SandboxFailure(Status.CRASHED, "the training ended without leaving a result")
    if code == 3 and result.get("status") in NAMED_INSIDE:
        raise SandboxFailure(Status(result["status"]), str(result.get("reason", "")))
    if code:
        raise crash(tail)
    return result
