"""How the catalogue answers badly when told to: for tests and rehearsals of everything that can go wrong.

Which fault a request meets is drawn from its seed and prompt alone. What a retry mends (429, 500, reset) strikes only
the first try of a request; what spoils the answer strikes every try.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evo.catalogue.answers import Reply, render
from evo.catalogue.edits import TRAIN
from evo.errors import EvoError

KINDS = ("truncated", "prose", "syntax", "protected", "empty", "429", "500", "reset", "slow")
"""Every fault: answers that are cut, lack code, do not parse, change max_iters or are empty; refusals; delays."""
ONCE = frozenset({"429", "500", "reset"})
"""Faults that strike only the first try of a request."""


@dataclass(frozen=True)
class Faults:
    """The share of requests that meets each fault, and how long a slow one waits."""

    shares: Mapping[str, float] = field(default_factory=dict)
    slow_seconds: float = 2.0

    def draw(self, key: str) -> str | None:
        """The fault of the request `key`, or None; equal for equal keys."""
        place = random.Random(f"fault {key}").random()
        for kind in KINDS:
            place -= self.shares.get(kind, 0.0)
            if place < 0:
                return kind
        return None


def parse(spec: str) -> Faults:
    """Read "truncated=0.1,429=0.05,slow=0.1,slow_seconds=2": probabilities by name; "" is none.

    Raises:
        EvoError: an unknown name, a number that is none, or probabilities that are negative or sum to more than one.

    """
    shares: dict[str, float] = {}
    seconds = 2.0
    for part in filter(None, map(str.strip, spec.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in (*KINDS, "slow_seconds"):
            known = ", ".join((*KINDS, "slow_seconds"))
            raise EvoError(
                f"expected a fault of {known}; found {name!r}", hint="e.g. truncated=0.1,429=0.05", kind="config"
            )
        value = _number(name, number)
        if name == "slow_seconds":
            seconds = value
        else:
            shares[name] = value
    if sum(shares.values()) > 1.0 + 1e-9:
        raise EvoError(f"expected faults that sum to at most 1, found {sum(shares.values()):g}", kind="config")
    return Faults(shares, seconds)


def spoil(kind: str | None, reply: Reply) -> tuple[str, str]:
    """The text of `reply` as the fault leaves it, and its finish reason."""
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
    """The same with twice the iterations."""
    code = reply.files.get(TRAIN, "")
    longer, count = re.subn(r"^max_iters = (\d+)", r"max_iters = 2 * \1", code, flags=re.MULTILINE)
    return replace(reply, files={**reply.files, TRAIN: longer if count else code + "max_iters = 1\n"})


def _number(name: str, text: str) -> float:
    """A finite number, not negative; a probability is at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= (1.0 if name != "slow_seconds" else 3600.0):
        raise EvoError(f"expected {name}=NUMBER, a probability (or seconds), found {name}={text}", kind="config")
    return value
