"""Failures of sandboxed jobs, and helpers that make candidate-written error text safe to display."""

import json

from evo.status import Status

NAMED_INSIDE = ("contract", "protected_setting", "not_finite", "not_rebuildable", "bad_shape")
"""Statuses that a job may report about itself. Only the trainer assigns the others."""


class SandboxFailure(Exception):
    """Failure of a sandboxed job, with a status and a one-line reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, one_line(reason)


def crash(tail: str) -> SandboxFailure:
    """Classify the traceback at the end of `tail` as out of memory, too much written, or a plain crash."""
    last = last_line(tail)
    if "MemoryError" in last or "allocate memory" in last or "out of memory" in last:
        return SandboxFailure(Status.MEMORY, last)
    if "File too large" in last or "No space left" in last:
        return SandboxFailure(Status.WROTE_TOO_MUCH, last)
    return SandboxFailure(Status.CRASHED, last)


def one_line(text: str) -> str:
    """Return candidate-written text as one printable line of at most 300 characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))[:300]


def last_line(tail: str) -> str:
    """Return the last non-blank line of the output, cleaned by `one_line`, or a fixed text if there is none."""
    lines = [line for line in tail.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else "it ended without a word"


def parse_failure(body: bytes, otherwise: Status) -> SandboxFailure:
    """Parse a failure reported by the model server. Return status `otherwise` if `body` cannot be parsed."""
    try:
        said = json.loads(body)
        return SandboxFailure(Status(NAMED_INSIDE[NAMED_INSIDE.index(said["status"])]), str(said["reason"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return SandboxFailure(otherwise, "the model server's answer cannot be read")
