"""The closed list of outcomes of a candidate. The code that detects a failure writes its one-line reason."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of a candidate or a training."""

    OK = "ok"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    NO_CODE = "no_code"
    BAD_ANSWER = "bad_answer"
    SYNTAX_ERROR = "syntax_error"
    PROTECTED_SETTING = "protected_setting"
    CONTRACT = "contract"
    DUPLICATE = "duplicate"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    KILLED = "killed"
    WROTE_TOO_MUCH = "wrote_too_much"
    TOO_MANY_PROCESSES = "too_many_processes"
    NOT_FINITE = "not_finite"
    NOT_REBUILDABLE = "not_rebuildable"
    BAD_SHAPE = "bad_shape"
    LEAKS_FUTURE = "leaks_future"
    NOT_INDEPENDENT = "not_independent"
    NOT_REPEATABLE = "not_repeatable"
    STOPPED_EARLY = "stopped_early"
    WORKER_LOST = "worker_lost"

    @property
    def meaning(self) -> str:
        """Return the meaning of the status in one sentence."""
        return _MEANINGS[self]


_MEANINGS = {
    Status.OK: "trained, rebuilt, scored on the held-out part, and it passed the probes",
    Status.NO_ANSWER: "the endpoint gave no answer, or an empty one",
    Status.TRUNCATED: "the answer was cut at the output limit",
    Status.NO_CODE: "the answer holds no block for a file that may be rewritten",
    Status.BAD_ANSWER: "the answer's blocks cannot be told apart, or one file stands in two",
    Status.SYNTAX_ERROR: "a file is not valid Python",
    Status.PROTECTED_SETTING: "a setting that may not be changed was, or the batches drawn say so",
    Status.CONTRACT: "train() or GPT is missing, or does not keep the training contract",
    Status.DUPLICATE: "the same code as an earlier candidate, whose scores it takes",
    Status.CRASHED: "the training or the trained model raised an exception",
    Status.TIMEOUT: "the limit of CPU or wall seconds was reached",
    Status.MEMORY: "the memory limit was reached",
    Status.KILLED: "ended by a signal that was not ours",
    Status.WROTE_TOO_MUCH: "printed or wrote more bytes than allowed",
    Status.TOO_MANY_PROCESSES: "started more processes than allowed",
    Status.NOT_FINITE: "weights, logits or loss are not finite",
    Status.NOT_REBUILDABLE: "the trained model could not be rebuilt from its arguments and weights",
    Status.BAD_SHAPE: "forward did not give logits of shape (batch, time, vocab)",
    Status.LEAKS_FUTURE: "a prediction changes with tokens that come after it",
    Status.NOT_INDEPENDENT: "a prediction changes with the other rows of the batch",
    Status.NOT_REPEATABLE: "the trained model, or a fresh copy of it, answers the same question otherwise the next time",
    Status.STOPPED_EARLY: "clearly losing at the rung, and stopped there; it has a curve and no score",
    Status.WORKER_LOST: "the worker that trained it was lost, more than once",
}
