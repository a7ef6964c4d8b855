"""Answers of the catalogue: one to three edits, determined by the messages and the random seed alone."""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evo.catalogue.edits import EDITS, FILES, Edit
from evo.catalogue.prompt_reader import Reading, read

COUNTS = {1: 0.55, 2: 0.30, 3: 0.15}
"""Probability of each number of edits in an answer."""
NO_FILES = f"The prompt holds no files to edit: expected a Python block for each of {' and '.join(FILES)}."
NOTHING = "None of the edits that the catalogue knows applies to this code, so both files stay as they are."


@dataclass(frozen=True)
class Reply:
    """Answer before it is rendered as text."""

    prose: str
    given: dict[str, str] = field(default_factory=dict)
    """Files of the prompt."""
    files: dict[str, str] = field(default_factory=dict)
    """The same files after the edits."""


def answer(messages: Sequence[Mapping[str, Any]], seed: int = 0) -> str:
    """Answer chat messages with prose and one Python block per file. Equal arguments give equal answers on every machine."""
    return render(compose(messages, seed))


def compose(messages: Sequence[Mapping[str, Any]], seed: int = 0) -> Reply:
    """Draw edits and apply them to the files of the prompt."""
    reading = read(messages)
    if not reading.files:
        return Reply(NO_FILES)
    digest = hashlib.sha256(reading.text.encode("utf-8", "surrogatepass")).hexdigest()
    edits, files = _draw(reading, random.Random(f"catalogue {seed} {digest}"))
    if not edits:
        return Reply(NOTHING, reading.files, reading.files)
    names = ", ".join(edit.name for edit in edits)
    return Reply(f"Edits: {names}\n\n" + " ".join(edit.description for edit in edits), reading.files, files)


def render(reply: Reply) -> str:
    """Return the answer as text. The block of an unchanged file contains only its name and a comment."""
    blocks = []
    for name, text in reply.files.items():
        body = "# unchanged\n" if text == reply.given.get(name) else text
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
        blocks.append(f"{fence}python\n{name}\n{body}{fence}")
    return "\n\n".join([reply.prose, *blocks]) + "\n"


def _draw(reading: Reading, draws: random.Random) -> tuple[list[Edit], dict[str, str]]:
    """Draw edits that apply one after another, and return them with the edited files.

    Edits are drawn by weight, without replacement. Edits that this conversation has already tried are drawn only if no other
    edit applies.
    """
    count = draws.choices(list(COUNTS), list(COUNTS.values()))[0]
    fresh = [edit for edit in EDITS if edit.name not in reading.tried]
    edits, files = _drawn(fresh, count, reading, draws)
    return (edits, files) if edits or not reading.tried else _drawn(list(EDITS), count, reading, draws)


def _drawn(
    waiting: list[Edit], count: int, reading: Reading, draws: random.Random
) -> tuple[list[Edit], dict[str, str]]:
    """Draw at most `count` of the waiting edits and apply them."""
    edits, files = list[Edit](), reading.files
    while waiting and len(edits) < count:
        edit = draws.choices(waiting, [reading.weights[edit.name] for edit in waiting])[0]
        waiting.remove(edit)
        made = edit.apply(files)
        if made is not None:
            edits.append(edit)
            files = made
    return edits, files
