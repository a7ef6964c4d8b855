"""What the catalogue answers: one to three edits, drawn by rule from (messages, seed) and nothing else."""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evo.catalogue.edits import EDITS, FILES, Edit
from evo.catalogue.prompt_reader import Reading, read

COUNTS = {1: 0.55, 2: 0.30, 3: 0.15}
"""How often an answer holds so many edits."""
NO_FILES = f"The prompt holds no files to edit: expected a Python block for each of {' and '.join(FILES)}."
NOTHING = "None of the edits that the catalogue knows applies to this code, so both files stay as they are."


@dataclass(frozen=True)
class Reply:
    """An answer before it is written out."""

    prose: str
    given: dict[str, str] = field(default_factory=dict)
    """The files of the prompt."""
    files: dict[str, str] = field(default_factory=dict)
    """The same after the edits."""


def answer(messages: Sequence[Mapping[str, Any]], seed: int = 0) -> str:
    """The answer to chat messages: prose, then one Python block a file. Equal for equal arguments, on every machine."""
    return render(compose(messages, seed))


def compose(messages: Sequence[Mapping[str, Any]], seed: int = 0) -> Reply:
    """Draw the edits and make them."""
    reading = read(messages)
    if not reading.files:
        return Reply(NO_FILES)
    digest = hashlib.sha256(reading.text.encode("utf-8", "surrogatepass")).hexdigest()
    edits, files = _draw(reading, random.Random(f"catalogue {seed} {digest}"))
    if not edits:
        return Reply(NOTHING, reading.files, reading.files)
    names = ", ".join(edit.name for edit in edits)
    return Reply(f"Edits: {names}\n\n" + " ".join(edit.says for edit in edits), reading.files, files)


def render(reply: Reply) -> str:
    """The answer as text; an unchanged file gets a block that holds its name and a comment."""
    blocks = []
    for name, text in reply.files.items():
        body = "# unchanged\n" if text == reply.given.get(name) else text
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
        blocks.append(f"{fence}python\n{name}\n{body}{fence}")
    return "\n\n".join([reply.prose, *blocks]) + "\n"


def _draw(reading: Reading, draws: random.Random) -> tuple[list[Edit], dict[str, str]]:
    """Edits that apply one after another, drawn by weight without putting back, and what they make of the files.

    What was tried in this conversation is drawn again only where nothing else applies.
    """
    count = draws.choices(list(COUNTS), list(COUNTS.values()))[0]
    fresh = [edit for edit in EDITS if edit.name not in reading.tried]
    edits, files = _drawn(fresh, count, reading, draws)
    return (edits, files) if edits or not reading.tried else _drawn(list(EDITS), count, reading, draws)


def _drawn(
    waiting: list[Edit], count: int, reading: Reading, draws: random.Random
) -> tuple[list[Edit], dict[str, str]]:
    """At most `count` of those that wait."""
    edits, files = list[Edit](), reading.files
    while waiting and len(edits) < count:
        edit = draws.choices(waiting, [reading.weights[edit.name] for edit in waiting])[0]
        waiting.remove(edit)
        made = edit.apply(files)
        if made is not None:
            edits.append(edit)
            files = made
    return edits, files
