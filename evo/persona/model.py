"""What a persona is: frozen values and the moves that keep them well formed.

It owns the layout of a section whose items have changed; it never reads a text (that is `grammar`) or a file
(`library`), and leaves nothing to chance (that is variation).
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from evo.errors import EvoError
from evo.persona import markup

Kind = Literal["breakthroughs", "topics", "directions", "fields", "fixed"]
"""The part a section plays. All but "fixed" are varied, and a persona has at most one section of each of those."""
VARIED: tuple[Kind, ...] = ("breakthroughs", "topics", "directions", "fields")
"""The kinds that variation may touch, in the order of the seeds."""


class PersonaError(EvoError):
    """A text, a file or a name that is no persona: says where, what was found there and what was expected."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, kind="persona")


@dataclass(frozen=True)
class Item:
    """One gene in a section, with its layout verbatim.

    Args:
        title: the bold title, without asterisks and closing colon; "" where the item has none, and for a field.
        text: what follows the title, without white space around it; of a field, its name. May hold several lines.
        emphasis: -1 (touch on in passing), 0, 1 (weighty) or 2 (before everything else).
        marker: "1. ", "2) ", "- ", "* "; "" for a field.
        joint: what stands between title and text, such as ":** "; "" without a title.
        gap: what follows up to the next item, the section's tail or its end.

    Raises:
        ValueError: when the emphasis is another number.

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
        """What names this gene to a reader: its title, or its text where it has none."""
        return self.title or self.text

    @property
    def body(self) -> str:
        """Title, joint and text as they are written, without marker and emphasis."""
        return markup.join(self.title, self.joint, self.text)


@dataclass(frozen=True)
class Section:
    """One part of a persona under its heading.

    Args:
        kind: the part it plays.
        heading: the heading's line, with its line ending.
        lead: what stands between the heading and the first item, verbatim.
        items: the genes; () when the kind is "fixed".
        tail: what stands behind the last item's gap, verbatim; of a fixed section, everything under the heading.
        by_form: whether the kind was told by the section's form, not by its heading. Such a section has to keep that
            form, or it would not be recognised again: see `least` and `takes`.

    """

    kind: Kind
    heading: str
    lead: str = ""
    items: tuple[Item, ...] = ()
    tail: str = ""
    by_form: bool = False

    @property
    def least(self) -> int:
        """The fewest items it may have: 4 in a comma list recognised by its form, else 1."""
        return 4 if self.by_form and self.kind == "fields" else 1

    def takes(self, item: Item) -> bool:
        """Whether the item, from here or from another persona, can be written into this section and be read back.

        A list of fields takes names only; a list recognised by its form takes titled items, or short names, only.
        """
        if self.kind == "fixed":
            return False
        laid = self._in_style(item)
        if self.kind == "fields":
            return markup.is_short_field(laid.body) if self.by_form else markup.is_field(laid.body)
        fits = markup.is_item(laid.body) and markup.split(laid.body) == (laid.title, laid.joint, laid.text)
        return fits and bool(laid.title or not self.by_form)

    def with_items(self, items: Iterable[Item]) -> "Section":
        """The same section with these items, in this order, in its own layout.

        Numbers count on from the first one found; items are set apart by the most common gap found; the last gap stays
        what it was; an item that was not here before takes this section's marker, joint and line endings.

        Raises:
            ValueError: when the section is fixed, when there are fewer than `least` items, or when it does not `takes`
                one of them.

        """
        items = tuple(items)
        if self.kind == "fixed":
            raise ValueError("expected a varied section, found a fixed one: its text is never varied")
        if len(items) < self.least:
            raise ValueError(f"expected at least {self.least} in {self.kind}, found {len(items)}")
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
        """The item with this section's joint and line endings, unless it is one of its own."""
        if any((item.title, item.joint, item.text) == (own.title, own.joint, own.text) for own in self.items):
            return item
        text = item.text.replace("\r\n", "\n").replace("\n", self._line_ending)
        if not item.title:
            return replace(item, text=text, joint="")
        # A joint that breaks the line could put what was the middle of a line at the start of one.
        joint = _most_common([own.joint for own in self.items if own.title and own.text and "\n" not in own.joint])
        for choice in filter(None, (joint, item.joint)):
            choice = choice if text else choice.rstrip(markup.WHITESPACE)
            if markup.split(markup.join(item.title, choice, text)) == (item.title, choice, text):
                return replace(item, text=text, joint=choice)
        return replace(item, text=text)


@dataclass(frozen=True)
class Persona:
    """A prompt's structured form; `grammar.render` writes its parts, but the name, one after another.

    Args:
        name: who it is, read from the identity.
        identity: the prose up to the task's paragraph, verbatim, white space included.
        task: the last paragraph before the first section up to its last sentence, verbatim; "" where there is none.
        stance: that last sentence; "" where the task has a single sentence.
        gap: what stands between the stance and the first section, verbatim.
        sections: in the order of the text.

    """

    name: str
    identity: str
    task: str
    stance: str
    gap: str
    sections: tuple[Section, ...]

    def section(self, kind: Kind) -> Section | None:
        """The section of a varied kind, or None where there is none (always for "fixed": that names no single one)."""
        return next((section for section in self.sections if section.kind == kind != "fixed"), None)

    def with_section(self, section: Section) -> "Persona":
        """The same persona with the section of that kind replaced.

        Raises:
            ValueError: when the persona has no varied section of that kind.

        """
        if self.section(section.kind) is None:
            raise ValueError(f"expected a section of one of {sorted(self.genes())}, found one of {section.kind!r}")
        return replace(self, sections=tuple(section if old.kind == section.kind else old for old in self.sections))

    def genes(self) -> dict[Kind, list[str]]:
        """For each varied kind that the persona has, in order: the titles, or names, of its genes."""
        return {s.kind: [item.label for item in s.items] for s in self.sections if s.kind != "fixed"}


def to_json(persona: Persona) -> str:
    """The persona as one line of JSON, nothing lost; `from_json` is its inverse."""
    return json.dumps(asdict(persona), ensure_ascii=False)


def from_json(text: str) -> Persona:
    """The persona that `to_json` wrote.

    Raises:
        PersonaError: when the text is not JSON or not of that shape.

    """
    try:
        fields = json.loads(text)
        sections = tuple(_section(section) for section in fields.pop("sections"))
        return Persona(**fields, sections=sections)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PersonaError(f"expected the JSON of a persona, found something else: {error}") from error


def _section(fields: Mapping[str, Any]) -> Section:
    if fields["kind"] not in get_args(Kind):
        raise ValueError(f"a section's kind is one of {get_args(Kind)}, not {fields['kind']!r}")
    return Section(**{**fields, "items": tuple(Item(**item) for item in fields["items"])})


def _most_common(found: Sequence[str]) -> str:
    return Counter(found).most_common(1)[0][0] if found else ""
