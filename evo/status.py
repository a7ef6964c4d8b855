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
    Status.OK: "trained, rebuilt, passed the probes, and scored on the held-out part",
    Status.NO_ANSWER: "the endpoint gave no answer, or an empty one",
    Status.TRUNCATED: "the answer was cut at the output limit",
    Status.NO_CODE: "the answer holds no block for a file that may be rewritten",
    Status.BAD_ANSWER: "the blocks of the answer are ambiguous, or two blocks hold one file",
    Status.SYNTAX_ERROR: "a file is not valid Python",
    Status.PROTECTED_SETTING: "a protected setting was changed, in the code or in the batches drawn",
    Status.CONTRACT: "train() or GPT is missing or breaks the training contract",
    Status.DUPLICATE: "same code as an earlier candidate, whose scores are copied",
    Status.CRASHED: "the training or the trained model raised an exception",
    Status.TIMEOUT: "the limit of CPU or wall seconds was reached",
    Status.MEMORY: "the memory limit was reached",
    Status.KILLED: "ended by a signal that evo did not send",
    Status.WROTE_TOO_MUCH: "printed or wrote more bytes than allowed",
    Status.TOO_MANY_PROCESSES: "started more processes than allowed",
    Status.NOT_FINITE: "weights, logits or loss are not finite",
    Status.NOT_REBUILDABLE: "the trained model could not be rebuilt from its arguments and weights",
    Status.BAD_SHAPE: "forward did not give logits of shape (batch, time, vocab)",
    Status.LEAKS_FUTURE: "a prediction changes with tokens that come after it",
    Status.NOT_INDEPENDENT: "a prediction changes with the other rows of the batch",
    Status.NOT_REPEATABLE: "the trained model, or a fresh copy of it, gives different logits for the same tokens",
    Status.STOPPED_EARLY: "clearly losing at the early-stopping step and stopped there; has a curve and no score",
    Status.WORKER_LOST: "the worker was lost during the training, more than once",
}
