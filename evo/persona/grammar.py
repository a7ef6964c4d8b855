"""Parser and renderer of persona texts. `render(parse(text)) == text` holds for every text that `parse` accepts.

This module defines how sections are recognised. It never changes the wording and reads no files.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from evo.persona import markup
from evo.persona.model import Item, Kind, Persona, PersonaError, Section
from evo.persona.sentences import name_of, split_stance

_HEADINGS: Mapping[Kind, re.Pattern[str]] = {
    "breakthroughs": re.compile(r"\bbreakthrough", re.IGNORECASE),
    "topics": re.compile(r"\bmodern\b|\bnovel techniques?\b|\bconnections?\b", re.IGNORECASE),
    "directions": re.compile(r"\bfuture\b", re.IGNORECASE),
    "fields": re.compile(r"\bfields\b", re.IGNORECASE),
}
"""Pattern by which a heading names a section kind. The first match wins."""
_HINT = (
    "A persona is a paragraph that says who it is, then sections under headings such as **Breakthrough Connections:**"
)


@dataclass(frozen=True)
class Note:
    """Deviation from the grammar: line number (from 1), what was found and what was expected."""

    line: int
    found: str
    expected: str

    def __str__(self) -> str:
        return f"line {self.line}: found {self.found}, expected {self.expected}"


class _Misfit(Exception):
    """Internal error: a section does not have the form that its heading requires."""

    def __init__(self, line: int, found: str, expected: str) -> None:
        super().__init__(line)
        self.note = Note(line, found, expected)


@dataclass(frozen=True)
class _Line:
    number: int
    raw: str
    fenced: bool

    @property
    def blank(self) -> bool:
        return not self.fenced and not self.raw.strip(markup.WHITESPACE)

    @property
    def heading(self) -> str | None:
        return None if self.fenced else markup.heading(self.raw)

    @property
    def style(self) -> str:
        return "" if self.fenced else markup.style(self.raw)

    @property
    def shown(self) -> str:
        words = self.raw.strip()
        return repr(words if len(words) <= 60 else words[:57] + "...")


def parse(text: str) -> Persona:
    """Parse a persona text without loss.

    A section whose content does not match its heading becomes fixed. `check` reports the line and the reason.

    Raises:
        PersonaError: No prose paragraph precedes the first section, or there is no section.
    """
    persona, notes = _read(text)
    if persona is None:
        raise PersonaError(str(notes[0]), hint=_HINT)
    return persona


def check(text: str) -> list[Note]:
    """Return all deviations from the grammar, in order. For a text that `parse` rejects, return only the reason."""
    return _read(text)[1]


def render(persona: Persona) -> str:
    """Return the text of a persona, the inverse of `parse`. An emphasis is written after the text of its item."""
    opening = persona.identity + persona.task + persona.stance + persona.gap
    return opening + "".join(_written(section) for section in persona.sections)


def _written(section: Section) -> str:
    words = markup.FIELD_EMPHASIS if section.kind == "fields" else markup.ITEM_EMPHASIS
    items = (item.marker + markup.add_emphasis(item.body, item.emphasis, words) + item.gap for item in section.items)
    return section.heading + section.lead + "".join(items) + section.tail


def _read(text: str) -> tuple[Persona | None, list[Note]]:
    lines = list(_lines(text))
    first = next((at for at, line in enumerate(lines) if not line.blank and not _is_top_title(line)), None)
    if first is None or lines[first].fenced or lines[first].heading is not None or lines[first].style:
        at = lines[first] if first is not None else _Line(1, "", False)
        return None, [
            Note(at.number, at.shown if at.raw else "nothing", "a prose paragraph that says who the persona is")
        ]
    starts = [at for at, line in enumerate(lines) if at > first and line.heading is not None]
    if not starts:
        found = f"the end of the text after {lines[-1].shown}"
        return None, [Note(lines[-1].number, found, "a section under a heading, such as **Breakthrough Connections:**")]
    blocks = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    sections, notes = _sections(blocks)
    identity, task, stance, gap = _opening(lines[first : starts[0]])
    before = _joined(lines[:first])
    return Persona(name_of(identity), before + identity, task, stance, gap, tuple(sections)), notes


def _lines(text: str) -> Iterator[_Line]:
    fence = ""
    for number, raw in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        if fence:
            yield _Line(number, raw, True)
            mark = raw.strip(markup.WHITESPACE)
            if len(mark) >= len(fence) and set(mark) == {fence[0]}:
                fence = ""
        else:
            fence = markup.opened_fence(raw)
            yield _Line(number, raw, bool(fence))


def _is_top_title(line: _Line) -> bool:
    return not line.fenced and line.raw.startswith("# ")


def _joined(lines: list[_Line]) -> str:
    return "".join(line.raw for line in lines)


def _opening(lines: list[_Line]) -> tuple[str, str, str, str]:
    """Split the prose before the first section into (identity, task, stance, gap). The task is its last paragraph."""
    end = len(lines)
    while lines[end - 1].blank:
        end -= 1
    start = end
    while start > 0 and not lines[start - 1].blank:
        start -= 1
    paragraph, rest = _joined(lines[start:end]), _joined(lines[end:])
    words = paragraph.rstrip(markup.WHITESPACE)
    gap = paragraph[len(words) :] + rest
    if start == 0:
        return words, "", "", gap
    prose = not any(line.fenced or line.style for line in lines[start:end])
    task, stance = split_stance(words) if prose else (words, "")
    return _joined(lines[:start]), task, stance, gap


def _sections(blocks: list[list[_Line]]) -> tuple[list[Section], list[Note]]:
    """Parse the sections: first the kinds named by a heading, then the remaining kinds by form."""
    sections = [Section("fixed", block[0].raw, tail=_joined(block[1:])) for block in blocks]
    named = [_named(block[0].heading or "") for block in blocks]
    taken: set[Kind] = set()
    notes: list[Note] = []
    for at, (block, kind) in enumerate(zip(blocks, named, strict=True)):
        if kind is None or kind in taken:
            continue
        try:
            sections[at] = _read_fields(block) if kind == "fields" else _read_list(kind, block)
            taken.add(kind)
        except _Misfit as misfit:
            notes.append(misfit.note)
    for at, (block, kind) in enumerate(zip(blocks, named, strict=True)):
        section = _by_form(block) if kind is None else None
        if section is not None and section.kind not in taken:
            sections[at] = section
            taken.add(section.kind)
    return sections, notes


def _named(heading: str) -> Kind | None:
    return next((kind for kind, words in _HEADINGS.items() if words.search(heading)), None)


def _by_form(block: list[_Line]) -> Section | None:
    """Recognise a section by its form alone. Return None if the form fits no kind."""
    try:
        section = _read_list("directions", block)
        if not all(item.title for item in section.items):
            return None
        if section.items[0].marker[0].isdigit():
            section = replace(section, kind="topics" if section.lead.strip() else "breakthroughs")
        return replace(section, by_form=True)
    except _Misfit:
        pass
    try:
        section = replace(_read_fields(block), by_form=True)
    except _Misfit:
        return None
    alone = not section.lead.strip() and not section.tail and len(section.items) >= section.least
    return section if alone and all(markup.is_short_field(item.text) for item in section.items) else None


def _read_list(kind: Kind, block: list[_Line]) -> Section:
    """Parse a block into heading, lead, list and tail.

    Raises:
        _Misfit: The block has no list, or a line of the list belongs to no item.
    """
    lines = block[1:]
    first = next((at for at, line in enumerate(lines) if line.style), None)
    fence = next((line for line in lines[:first] if line.fenced), None)
    if first is None:
        raise _Misfit(block[0].number, f"no list under {block[0].shown}", 'items that begin with "1. " or "- "')
    if fence is not None:
        raise _Misfit(fence.number, f"a code fence {fence.shown}", "the section's list before any code")
    starts, end = _item_lines(lines, first)
    items = tuple(_item(lines[start:stop]) for start, stop in zip(starts, [*starts[1:], end], strict=True))
    return Section(kind, block[0].raw, _joined(lines[:first]), items, _joined(lines[end:]))


def _item_lines(lines: list[_Line], first: int) -> tuple[list[int], int]:
    """Return the index of each item's first line, and the index of the tail's first line."""
    style = lines[first].style
    starts: list[int] = []
    end, after_blank = len(lines), False
    for at, line in enumerate(lines[first:], first):
        if line.blank:
            after_blank = True
            continue
        if line.fenced and line.raw[0] not in "`~":
            raise _Misfit(line.number, f"a code fence inside an item, {line.shown}", "an item without code")
        if line.fenced or (after_blank and not line.style and line.raw[0] not in " \t"):
            end = at
            break
        if line.style and line.style != style:
            raise _Misfit(
                line.number, line.shown, f"an item with the same marker as the first one, {lines[first].shown}"
            )
        if line.style:
            starts.append(at)
        after_blank = False
    for line in lines[end:]:
        if line.style == style:
            raise _Misfit(line.number, f"the item {line.shown} after other text", "all items of a section in one list")
    return starts, end


def _item(lines: list[_Line]) -> Item:
    chunk = _joined(lines)
    marker = markup.MARKER.match(lines[0].raw)
    assert marker is not None
    written = chunk[marker.end() :].rstrip(markup.WHITESPACE)
    if not written.split("\n", 1)[0].strip(markup.WHITESPACE):
        raise _Misfit(lines[0].number, f"an empty item, {lines[0].shown}", "a title or a text after the marker")
    body, emphasis = markup.strip_emphasis(written, markup.ITEM_EMPHASIS)
    title, joint, text = markup.split(body)
    return Item(title, text, emphasis, marker[0], joint, chunk[marker.end() + len(written) :])


def _read_fields(block: list[_Line]) -> Section:
    """Parse a block into heading, lead (the lines up to one that ends in a colon), one comma list and tail.

    Raises:
        _Misfit: The block has no such list, or a name in the list cannot be moved.
    """
    lines = block[1:]
    start = _list_start(lines)
    end = next((at for at, line in enumerate(lines[start:], start) if line.blank or line.fenced), len(lines))
    if start == end:
        raise _Misfit(block[0].number, f"no list under {block[0].shown}", "names separated by commas")
    indented = _joined(lines[start:end])
    chunk = indented.lstrip(markup.WHITESPACE)
    lead = _joined(lines[:start]) + indented[: len(indented) - len(chunk)]
    written = chunk.rstrip(markup.WHITESPACE).removesuffix(".")
    while end < len(lines) and lines[end].blank:
        chunk += lines[end].raw
        end += 1
    names = markup.cut_fields(written)
    if names is None:
        raise _Misfit(lines[start].number, lines[start].shown, "balanced brackets within each name")
    items = []
    for name, separator in [*names[:-1], (names[-1][0], chunk[len(written) :])]:
        text, emphasis = markup.strip_emphasis(name, markup.FIELD_EMPHASIS)
        if not markup.is_field(text):
            at = lines[start].number + written[: written.find(name)].count("\n")
            raise _Misfit(
                at, repr(name[:60]), f"a field name of at most {markup.LONGEST_FIELD} characters, not a sentence"
            )
        items.append(Item("", text, emphasis, "", "", separator))
    return Section("fields", block[0].raw, lead, tuple(items), _joined(lines[end:]))


def _list_start(lines: list[_Line]) -> int:
    """Return the index of the first line of the comma list, after blank lines and a lead that ends in a colon."""
    first = next((at for at, line in enumerate(lines) if not line.blank), len(lines))
    end = next((at for at, line in enumerate(lines[first:], first) if line.blank or line.fenced), len(lines))
    colons = [at for at in range(first, end) if lines[at].raw.rstrip(markup.WHITESPACE).endswith(":")]
    start = colons[-1] + 1 if colons else first
    return next((at for at, line in enumerate(lines[start:], start) if not line.blank), len(lines))
