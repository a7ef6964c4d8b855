"""Read the current files and the weight of each edit from a prompt. No I/O and no randomness.

The persona is the text before the heading of the files. Without that heading, the persona is sought in the whole text. Text that
is not a persona is only searched for words. Files and persona come from the messages before the catalogue's first answer. Later
messages only show which edits have been tried and that another answer is wanted.
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
"""Factor on the weight of an edit, by the emphasis of the item that names the edit."""
SHARES: dict[personas.Kind, float] = {"topics": 1.0, "directions": 0.7, "breakthroughs": 1.2, "fields": 0.15}
"""Share of each section in the weight of an edit."""
UNSPOKEN = 0.15
"""Base interest in every edit, which remains if the persona does not mention the edit."""
_IN_TEXT = 0.2
_FIRST, _LAST = 1.3, 0.7
_EDITS = re.compile(r"^Edits: (\w+(?:, \w+)*)$", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """Parsed prompt."""

    text: str
    """Text of all messages."""
    files: dict[str, str]
    """Current files by name, in the order of `FILES`. Files that are not in the prompt are left out."""
    weights: dict[str, float]
    """Positive drawing weight of each edit, by name."""
    tried: frozenset[str] = frozenset()
    """Names of the edits in the catalogue's earlier answers in this conversation."""


def read(messages: Sequence[Mapping[str, Any]]) -> Reading:
    """Read chat messages, whose content is a string or a list of text parts."""
    asked = list(takewhile(lambda message: message.get("role") != "assistant", messages)) or messages
    said, heading, _ = (opening := _joined(asked)).partition(FILES_HEADING)
    files = read_files(files_part(opening) if heading else opening)
    answers = (content(message) for message in messages if message.get("role") == "assistant")
    tried = (name for text in answers for line in _EDITS.findall(text) for name in line.split(", "))
    return Reading(_joined(messages), files, weigh(said), frozenset(tried))


def _joined(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(map(content, messages))


def read_files(text: str) -> dict[str, str]:
    """Return the last block of each file. Blocks that hold only comments are examples and are skipped."""
    found = {}
    for block in read_blocks(text)[0]:
        name, body = name_block(block, FILES)
        if name is not None and any(line.strip() and not line.strip().startswith("#") for line in body.splitlines()):
            found[name] = body.rstrip() + "\n"
    return {name: found[name] for name in FILES if name in found}


def weigh(said: str) -> dict[str, float]:
    """Return the weight of every edit for the text of a persona."""
    sections = _sections(said)
    return {edit.name: edit.weight * _interest(edit, sections) * _stress(edit, sections) for edit in EDITS}


@dataclass(frozen=True)
class _PersonaItem:
    """Item of a persona in lower case, or the whole text if it is not a persona."""

    title: str
    text: str
    place: float
    """Factor for the position in the section. Earlier items have larger factors."""
    emphasis: int = 0


_Sections = list[tuple[float, list[_PersonaItem]]]
"""Pairs of a section's share and its items."""


def _sections(said: str) -> _Sections:
    try:
        persona = personas.parse(said)
    except EvoError:
        persona = None
    sections = [(SHARES[kind], persona.section(kind)) for kind in SHARES] if persona else []
    found = [(share, _said(section.items)) for share, section in sections if section is not None]
    return found or [(1.0, [_PersonaItem(said.lower(), "", 1.0)])]


def _said(items: Sequence[personas.Item]) -> list[_PersonaItem]:
    step = (_FIRST - _LAST) / max(1, len(items) - 1)
    return [
        _PersonaItem(item.label.lower(), item.text.lower(), _FIRST - step * number, item.emphasis)
        for number, item in enumerate(items)
    ]


def _interest(edit: Edit, sections: _Sections) -> float:
    """Return `UNSPOKEN` plus the share-weighted best match of the edit in each section. Titles count more than texts."""
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
    """Return the emphasis factor from the items whose titles name the edit.

    The highest emphasis counts if it is above 0, else the lowest.
    """
    pattern = _pattern(edit.words)
    found = [item.emphasis for _, items in sections for item in items if pattern.search(item.title)] or [0]
    return EMPHASIS[max(found) if max(found) > 0 else min(found)]


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + ")")
