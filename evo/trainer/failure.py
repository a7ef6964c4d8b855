"""How a job in a sandbox can fail, and what its last words say of it: text that a candidate wrote, made safe to show."""

import json

from evo.status import Status

NAMED_INSIDE = ("contract", "protected_setting", "not_finite", "not_rebuildable", "bad_shape")
"""What a job may say of itself; every other status is ours to give."""


class SandboxFailure(Exception):
    """A job that did not end well: its status and one-line reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, one_line(reason)


def crash(tail: str) -> SandboxFailure:
    """What a traceback at the end of `tail` says: out of memory, too much written, or the exception itself."""
    last = last_line(tail)
    if "MemoryError" in last or "allocate memory" in last or "out of memory" in last:
        return SandboxFailure(Status.MEMORY, last)
    if "File too large" in last or "No space left" in last:
        return SandboxFailure(Status.WROTE_TOO_MUCH, last)
    return SandboxFailure(Status.CRASHED, last)


def one_line(text: str) -> str:
    """Words of a candidate's as one printable line of at most 300 characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))[:300]


def last_line(tail: str) -> str:
    """The last line of what was printed that says anything, as `one_line`."""
    lines = [line for line in tail.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else "it ended without a word"


def named(body: bytes, otherwise: Status) -> SandboxFailure:
    """A failure as the model server named it."""
    try:
        said = json.loads(body)
        return SandboxFailure(Status(NAMED_INSIDE[NAMED_INSIDE.index(said["status"])]), str(said["reason"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return SandboxFailure(otherwise, "the model server's answer cannot be read")
