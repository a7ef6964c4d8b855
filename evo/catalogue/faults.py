"""Simulated faults of the catalogue, for tests and rehearsals of error handling.

The fault of a request is drawn from its random seed and prompt alone. Faults that a retry can fix (429, 500, reset) affect
only the first attempt of a request. The other faults affect every attempt.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evo.catalogue.answers import Reply, render
from evo.catalogue.edits import TRAIN
from evo.errors import EvoError

KINDS = ("truncated", "prose", "syntax", "protected", "empty", "429", "500", "reset", "slow")
"""All faults: answers that are cut, lack code, do not parse, change max_iters or are empty, failed requests, and delays."""
ONCE = frozenset({"429", "500", "reset"})
"""Faults that affect only the first attempt of a request."""


@dataclass(frozen=True)
class Faults:
    """Probability of each fault, and delay of a slow answer in seconds."""

    shares: Mapping[str, float] = field(default_factory=dict)
    slow_seconds: float = 2.0

    def draw(self, key: str) -> str | None:
        """Return the fault of the request `key`, or None. Equal keys give equal faults."""
        place = random.Random(f"fault {key}").random()
        for kind in KINDS:
            place -= self.shares.get(kind, 0.0)
            if place < 0:
                return kind
        return None


def parse(spec: str) -> Faults:
    """Parse a list of faults and their probabilities, such as "truncated=0.1,429=0.05,slow=0.1,slow_seconds=2". "" for none.

    Raises:
        EvoError: A name is unknown, a number is invalid, or probabilities are negative or sum to more than 1.
    """
    shares: dict[str, float] = {}
    seconds = 2.0
    for part in filter(None, map(str.strip, spec.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in (*KINDS, "slow_seconds"):
            known = ", ".join((*KINDS, "slow_seconds"))
            raise EvoError(
                f"expected one of the faults {known}, found {name!r}",
                hint="example: truncated=0.1,429=0.05",
                kind="config",
            )
        value = _number(name, number)
        if name == "slow_seconds":
            seconds = value
        else:
            shares[name] = value
    if sum(shares.values()) > 1.0 + 1e-9:
        raise EvoError(
            f"expected fault probabilities that sum to at most 1, found {sum(shares.values()):g}", kind="config"
        )
    return Faults(shares, seconds)


def spoil(kind: str | None, reply: Reply) -> tuple[str, str]:
    """Apply a fault to a reply and return its text and finish reason."""
    text = render(reply)
    if kind == "truncated":
        return text[: len(text) * 3 // 5], "length"
    if kind == "prose":
        return reply.prose + "\n\nThe idea is sound, and the code that follows from it is left to the reader.\n", "stop"
    if kind == "syntax":
        head, fence, tail = text.rpartition("\n```")
        return (f"{head}\ndef broken(:{fence}{tail}" if fence else f"```python\n{TRAIN}\ndef broken(:\n```\n"), "stop"
    if kind == "protected":
        return render(_longer(reply)), "stop"
    return ("" if kind == "empty" else text), "stop"


def _longer(reply: Reply) -> Reply:
    """Return the reply with `max_iters` doubled, or set to 1 if the training file does not define it."""
    code = reply.files.get(TRAIN, "")
    longer, count = re.subn(r"^max_iters = (\d+)", r"max_iters = 2 * \1", code, flags=re.MULTILINE)
    return replace(reply, files={**reply.files, TRAIN: longer if count else code + "max_iters = 1\n"})


def _number(name: str, text: str) -> float:
    """Parse a probability of 0 to 1, or `slow_seconds` of 0 to 3600."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    most = 3600.0 if name == "slow_seconds" else 1.0
    if not 0.0 <= value <= most:
        raise EvoError(f"expected {name}=NUMBER with a number from 0 to {most:g}, found {name}={text}", kind="config")
    return value
