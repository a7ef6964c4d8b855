"""What a prompt says: the current files, and how much the persona cares for each edit. Pure; it draws nothing.

The persona is the text before the heading of the files. Where there is no such heading, or no persona, the whole text
is read for words alone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from evo import persona as personas
from evo.catalogue.edits import EDITS, FILES, Edit
from evo.errors import EvoError
from evo.proposer.answer import name_block, read_blocks
from evo.proposer.prompt import FILES_HEADING

EMPHASIS = {-1: 0.3, 0: 1.0, 1: 3.0, 2: 8.0}
"""What an item counts for, by its emphasis."""
SHARES: dict[personas.Kind, float] = {"topics": 1.0, "directions": 0.7, "breakthroughs": 1.2, "fields": 0.15}
"""What a section counts for."""
UNSPOKEN = 0.15
"""What an edit counts for of which the persona says nothing."""
_TITLE, _TEXT = 1.0, 0.2
_FIRST, _LAST = 1.3, 0.7


@dataclass(frozen=True)
class Reading:
    """A prompt, read."""

    text: str
    """All of it."""
    files: dict[str, str]
    """The current files by name, in the order of `FILES`; those that the prompt does not hold are missing."""
    weights: dict[str, float]
    """How readily each edit is drawn, by its name; all are positive."""


def read(messages: Sequence[Mapping[str, Any]]) -> Reading:
    """Read chat messages; a message's content is a text or a list of text parts."""
    text = "\n\n".join(_content(message) for message in messages)
    said, heading, rest = text.partition(FILES_HEADING)
    files = read_files(rest if heading else text)
    return Reading(text, files, weigh(said))


def read_files(text: str) -> dict[str, str]:
    """The last block of each file; blocks that hold nothing but comments are examples, not files."""
    found = {}
    for block in read_blocks(text)[0]:
        name, body = name_block(block, FILES)
        if name is not None and any(line.strip() and not line.strip().startswith("#") for line in body.splitlines()):
            found[name] = body.rstrip() + "\n"
    return {name: found[name] for name in FILES if name in found}


def weigh(said: str) -> dict[str, float]:
    """The weight of every edit for a persona's text."""
    interests = _interests(said)
    return {
        edit.name: edit.weight * (UNSPOKEN + sum(share * _interest(edit, items) for share, items in interests))
        for edit in EDITS
    }


@dataclass(frozen=True)
class _Said:
    """One thing said, in lower case, and what it counts for."""

    title: str
    text: str
    factor: float


def _interests(said: str) -> list[tuple[float, list[_Said]]]:
    """Each section's share and what it says."""
    try:
        persona = personas.parse(said)
    except EvoError:
        persona = None
    sections = [(SHARES[kind], persona.section(kind)) for kind in SHARES] if persona else []
    found = [(share, _ordered(section.items)) for share, section in sections if section is not None]
    return found or [(1.0, [_Said("", said.lower(), 1.0 / _TEXT)])]


def _ordered(items: Sequence[personas.Item]) -> list[_Said]:
    """Earlier items count for more."""
    step = (_FIRST - _LAST) / max(1, len(items) - 1)
    return [
        _Said((item.title or item.text).lower(), item.text.lower(), EMPHASIS[item.emphasis] * (_FIRST - step * place))
        for place, item in enumerate(items)
    ]


def _interest(edit: Edit, items: Iterable[_Said]) -> float:
    """The most that any one item says for the edit: a title that names it says more than a text that does."""
    pattern = _pattern(edit.words)
    return max(
        (
            item.factor * (_TITLE if pattern.search(item.title) else _TEXT if pattern.search(item.text) else 0.0)
            for item in items
        ),
        default=0.0,
    )


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + ")")


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
