"""What a prompt says: the current files, and how much the persona cares for each edit. Pure; it draws nothing.

The persona is the text before the heading of the files. Where there is no such heading, or no persona, the whole text
is read for words alone. Of a conversation all that is read before the catalogue's first answer; later turns tell only
which edits were tried, and that another answer is wanted.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

from evo import persona as personas
from evo.catalogue.edits import EDITS, FILES, Edit
from evo.errors import EvoError
from evo.proposer.answer import name_block, read_blocks
from evo.proposer.prompt import FILES_HEADING, files_part
from evo.serving.wire import content

EMPHASIS = {-1: 0.3, 0: 1.0, 1: 3.0, 2: 8.0}
"""The factor of an edit's weight, by the emphasis on what names it."""
SHARES: dict[personas.Kind, float] = {"topics": 1.0, "directions": 0.7, "breakthroughs": 1.2, "fields": 0.15}
"""What a section counts for."""
UNSPOKEN = 0.15
"""What an edit counts for of which the persona says nothing."""
_IN_TEXT = 0.2
_FIRST, _LAST = 1.3, 0.7
_EDITS = re.compile(r"^Edits: (\w+(?:, \w+)*)$", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """A prompt, read."""

    text: str
    """All of it, every turn."""
    files: dict[str, str]
    """The current files by name, in the order of `FILES`; those that the prompt does not hold are missing."""
    weights: dict[str, float]
    """How readily each edit is drawn, by its name; all are positive."""
    tried: frozenset[str] = frozenset()
    """Names of the edits that its own earlier answers in this conversation made."""


def read(messages: Sequence[Mapping[str, Any]]) -> Reading:
    """Read chat messages; a message's content is a text or a list of text parts."""
    asked = list(takewhile(lambda message: message.get("role") != "assistant", messages)) or messages
    said, heading, _ = (opening := _joined(asked)).partition(FILES_HEADING)
    files = read_files(files_part(opening) if heading else opening)
    answers = (content(message) for message in messages if message.get("role") == "assistant")
    tried = (name for text in answers for line in _EDITS.findall(text) for name in line.split(", "))
    return Reading(_joined(messages), files, weigh(said), frozenset(tried))


def _joined(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(map(content, messages))


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
    sections = _sections(said)
    return {edit.name: edit.weight * _interest(edit, sections) * _stress(edit, sections) for edit in EDITS}


@dataclass(frozen=True)
class _Said:
    """One thing said, in lower case."""

    title: str
    text: str
    place: float
    """What it counts for by its place in its section: earlier items count for more."""
    emphasis: int = 0


_Sections = list[tuple[float, list[_Said]]]
"""Sections by what each counts for."""


def _sections(said: str) -> _Sections:
    try:
        persona = personas.parse(said)
    except EvoError:
        persona = None
    sections = [(SHARES[kind], persona.section(kind)) for kind in SHARES] if persona else []
    found = [(share, _said(section.items)) for share, section in sections if section is not None]
    return found or [(1.0, [_Said(said.lower(), "", 1.0)])]


def _said(items: Sequence[personas.Item]) -> list[_Said]:
    step = (_FIRST - _LAST) / max(1, len(items) - 1)
    return [
        _Said(item.label.lower(), item.text.lower(), _FIRST - step * number, item.emphasis)
        for number, item in enumerate(items)
    ]


def _interest(edit: Edit, sections: _Sections) -> float:
    """The sum over sections of the most that any one item says for the edit; a title counts for more than a text."""
    pattern = _pattern(edit.words)
    return UNSPOKEN + sum(
        share
        * max(
            item.place * (1.0 if pattern.search(item.title) else _IN_TEXT if pattern.search(item.text) else 0.0)
            for item in items
        )
        for share, items in sections
    )


def _stress(edit: Edit, sections: _Sections) -> float:
    """The factor of the strongest emphasis on an item whose title names the edit, or of the weakest if all are weak."""
    pattern = _pattern(edit.words)
    found = [item.emphasis for _, items in sections for item in items if pattern.search(item.title)] or [0]
    return EMPHASIS[max(found) if max(found) > 0 else min(found)]


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + ")")
