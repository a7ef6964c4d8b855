"""Data model of a persona: immutable values, and operations that keep them well formed.

This module decides the layout of a section whose items change. It parses no persona text, does no I/O and uses no randomness.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from evo.errors import EvoError
from evo.persona import markup

Kind = Literal["breakthroughs", "topics", "directions", "fields", "fixed"]
"""Kind of a section. Variation changes every kind but "fixed". A persona has at most one section of each varied kind."""
VARIED: tuple[Kind, ...] = ("breakthroughs", "topics", "directions", "fields")
"""Kinds that variation may change, in the order of the built-in seed personas."""


class PersonaError(EvoError):
    """Error for an invalid persona text, file or name."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, kind="persona")


@dataclass(frozen=True)
class Item:
    """One gene of a section, with its exact layout.

    Args:
        title: Bold title without asterisks and closing colon. "" for a field, and for an item without a title.
        text: Text after the title, without surrounding whitespace. For a field, its name. May span several lines.
        emphasis: -1 (in passing), 0, 1 (weighty) or 2 (before everything else).
        marker: List marker, such as "1. ", "2) ", "- " or "* ". "" for a field.
        joint: Characters between title and text, such as ":** ". "" without a title.
        gap: Text after the item, up to the next item, the tail or the end of the section: whitespace, or the separator
            after a field.

    Raises:
        ValueError: The emphasis is not -1, 0, 1 or 2.
    """

    title: str
    text: str
    emphasis: int = 0
    marker: str = "- "
    joint: str = ":** "
    gap: str = "\n"

    def __post_init__(self) -> None:
        if self.emphasis not in (-1, 0, 1, 2):
            raise ValueError(f"expected an emphasis of -1, 0, 1 or 2, found {self.emphasis!r}")

    @property
    def label(self) -> str:
        """Return the title, or the text if there is no title."""
        return self.title or self.text

    @property
    def body(self) -> str:
        """Return title, joint and text as one string, without marker and emphasis."""
        return markup.join(self.title, self.joint, self.text)


@dataclass(frozen=True)
class Section:
    """One section of a persona, with its heading.

    Args:
        kind: Kind of the section.
        heading: Line of the heading with its line ending.
        lead: Exact text between the heading and the first item.
        items: Genes of the section. () if the kind is "fixed".
        tail: Exact text after the last item's gap. In a fixed section, everything below the heading.
        by_form: Whether the kind was recognised by form instead of by heading. Such a section must keep its form. See
            `least` and `takes`.
    """

    kind: Kind
    heading: str
    lead: str = ""
    items: tuple[Item, ...] = ()
    tail: str = ""
    by_form: bool = False

    @property
    def least(self) -> int:
        """Return the minimum number of items: 4 in a field list recognised by form, else 1."""
        return 4 if self.by_form and self.kind == "fields" else 1

    def takes(self, item: Item) -> bool:
        """Return whether an item, from any persona, can be written into this section and parsed back.

        A field list accepts only names. A section recognised by form accepts only titled items, or short names if it is a
        field list.
        """
        if self.kind == "fixed":
            return False
        laid = self._in_style(item)
        if self.kind == "fields":
            return markup.is_short_field(laid.body) if self.by_form else markup.is_field(laid.body)
        fits = markup.is_item(laid.body) and markup.split(laid.body) == (laid.title, laid.joint, laid.text)
        return fits and bool(laid.title or not self.by_form)

    def with_items(self, items: Iterable[Item]) -> "Section":
        """Return the section with the given items, in order, and the layout of this section.

        Numbering continues from the current first number. Items are separated by the most common gap, and the last gap is
        kept. New items get the marker, joint and line endings of this section.

        Raises:
            ValueError: The section is fixed, there are fewer than `least` items, or an item cannot be written into the section.
        """
        items = tuple(items)
        if self.kind == "fixed":
            raise ValueError("expected a section of a varied kind, found a fixed one")
        if len(items) < self.least:
            raise ValueError(f"expected at least {self.least} item(s) in {self.kind}, found {len(items)}")
        for item in items:
            if not self.takes(item):
                raise ValueError(f"expected an item that can be written in {self.kind}, found {item.label[:60]!r}")
        gaps = [self._separator()] * (len(items) - 1) + [self.items[-1].gap]
        laid = (self._in_style(item) for item in items)
        return replace(
            self,
            items=tuple(
                replace(item, marker=marker, gap=gap)
                for item, marker, gap in zip(laid, self._markers(len(items)), gaps, strict=True)
            ),
        )

    @property
    def _line_ending(self) -> str:
        return "\r\n" if self.heading.endswith("\r\n") else "\n"

    def _separator(self) -> str:
        return _most_common([item.gap for item in self.items[:-1]]) or (
            ", " if self.kind == "fields" else self._line_ending
        )

    def _markers(self, count: int) -> list[str]:
        first = self.items[0].marker
        digits = len(first) - len(first.lstrip("0123456789"))
        if not digits:
            return [_most_common([item.marker for item in self.items])] * count
        after = _most_common([item.marker.lstrip("0123456789") for item in self.items])
        start = int(first[:digits]) if digits < 6 else 1
        return [f"{start + place}{after}" for place in range(count)]

    def _in_style(self, item: Item) -> Item:
        """Return the item with the joint and line endings of this section. Items already in the section are not changed."""
        if any((item.title, item.joint, item.text) == (own.title, own.joint, own.text) for own in self.items):
            return item
        text = item.text.replace("\r\n", "\n").replace("\n", self._line_ending)
        if not item.title:
            return replace(item, text=text, joint="")
        # With a joint that contains a line break, text from the middle of a line could land at a line start.
        joint = _most_common([own.joint for own in self.items if own.title and own.text and "\n" not in own.joint])
        for choice in filter(None, (joint, item.joint)):
            choice = choice if text else choice.rstrip(markup.WHITESPACE)
            if markup.split(markup.join(item.title, choice, text)) == (item.title, choice, text):
                return replace(item, text=text, joint=choice)
        return replace(item, text=text)


@dataclass(frozen=True)
class Persona:
    """Structured form of a prompt. `grammar.render` writes all parts except the name, in order.

    Args:
        name: Name found in the identity.
        identity: Exact prose before the task paragraph.
        task: Exact text of the last paragraph before the first section, without the stance. "" if there is no such paragraph.
        stance: Last sentence of the task paragraph. "" if the paragraph is a single sentence.
        gap: Exact text between the stance and the first section.
        sections: Sections in the order of the text.
    """

    name: str
    identity: str
    task: str
    stance: str
    gap: str
    sections: tuple[Section, ...]

    def section(self, kind: Kind) -> Section | None:
        """Return the section of a varied kind, or None if there is none. Always return None for "fixed"."""
        return next((section for section in self.sections if section.kind == kind != "fixed"), None)

    def with_section(self, section: Section) -> "Persona":
        """Return the persona with `section` in place of its section of the same kind.

        Raises:
            ValueError: The persona has no varied section of the same kind.
        """
        if self.section(section.kind) is None:
            raise ValueError(f"expected a section of kind {sorted(self.genes())}, found {section.kind!r}")
        return replace(self, sections=tuple(section if old.kind == section.kind else old for old in self.sections))

    def genes(self) -> dict[Kind, list[str]]:
        """Return the gene labels (titles or texts) of each varied kind, in order."""
        return {s.kind: [item.label for item in s.items] for s in self.sections if s.kind != "fixed"}


def to_json(persona: Persona) -> str:
    """Return a lossless, one-line JSON form of the persona."""
    return json.dumps(asdict(persona), ensure_ascii=False)


def from_json(text: str) -> Persona:
    """Parse the output of `to_json`.

    Raises:
        PersonaError: The text is not JSON, or not the JSON of a persona.
    """
    try:
        fields = json.loads(text)
        sections = tuple(_section(section) for section in fields.pop("sections"))
        return Persona(**fields, sections=sections)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PersonaError(f"expected the JSON of a persona, found something else: {error}") from error


def _section(fields: Mapping[str, Any]) -> Section:
    if fields["kind"] not in get_args(Kind):
        raise ValueError(f"expected a section kind of {get_args(Kind)}, found {fields['kind']!r}")
    return Section(**{**fields, "items": tuple(Item(**item) for item in fields["items"])})


def _most_common(found: Sequence[str]) -> str:
    return Counter(found).most_common(1)[0][0] if found else ""
