"""What an edit is: anchored replacements in `model.py` and `train_mps.py` that each need exactly one match.

An edit that does not find its anchors, or finds one twice, does not apply; it never guesses. Insertions leave their
anchor in place, so that edits of different places compose in any order. Nothing here reads or runs a file.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

MODEL, TRAIN = "model.py", "train_mps.py"
FILES = (TRAIN, MODEL)
"""The files that edits know, in the order in which answers hold them."""


@dataclass(frozen=True)
class Change:
    """One replacement in one file: `pattern` (a regular expression, ^ and $ at lines) must match exactly once.

    `within` is the name of a top-level function or class to which the search is limited.
    """

    file: str
    pattern: str
    new: str
    """The replacement, in which \\1 and \\g<0> stand for what was matched."""
    within: str | None = None

    def apply(self, text: str) -> str | None:
        """`text` changed, or None where the anchor is not there exactly once."""
        start, end = 0, len(text)
        if self.within is not None:
            place = _only(rf"^(?:class|def) {self.within}\b.*\n(?:(?:[ \t)].*)?\n)*", text)
            if place is None:
                return None
            start, end = place.span()
        match = _only(self.pattern, text[start:end])
        if match is None:
            return None
        return text[: start + match.start()] + match.expand(self.new) + text[start + match.end() :]


Way = tuple[Change, ...]
"""Changes that are all made, in turn, or not at all."""


@dataclass(frozen=True)
class Edit:
    """A known change to the training of a small GPT, as a transformation of source text."""

    name: str
    """snake_case; it stands in the answer's first line."""
    says: str
    """One plain sentence of what it does, for the answer."""
    words: tuple[str, ...]
    """Beginnings of words and phrases, in lower case, that tie it to what a persona says."""
    mark: tuple[str, str]
    """A file and a pattern that is found in it where, and only where, the code already has the edit."""
    ways: tuple[Way, ...]
    """Tried in order; the first that can be made whole is."""
    weight: float = 1.0
    """How readily it is drawn before a persona says anything."""
    unless: tuple[str, str] | None = None
    """A file and a pattern: code in which it is found holds an alternative, to which this edit is not added."""

    def present(self, files: Mapping[str, str]) -> bool:
        """Whether the code already has this edit."""
        return _found(self.mark, files)

    def apply(self, files: Mapping[str, str]) -> dict[str, str] | None:
        """All of `files` with the edit made, or None where it is present or does not apply to this code."""
        if self.present(files) or (self.unless is not None and _found(self.unless, files)):
            return None
        for way in self.ways:
            made = _make(way, files)
            if made is not None:
                return made
        return None


def swap(file: str, old: str, new: str, within: str | None = None) -> Change:
    """A change of the literal text `old` into the literal text `new`."""
    return Change(file, re.escape(old), _literal(new), within)


def before(file: str, anchor: str, indent: int, code: str, within: str | None = None) -> Change:
    """`code`, indented by `indent` spaces, before the line that begins with the pattern `anchor`, at any indent."""
    return Change(file, rf"^(?=[ ]*{anchor})", inserted(indent, code), within)


def after(file: str, anchor: str, indent: int, code: str, within: str | None = None) -> Change:
    """The same after the line that begins with `anchor`."""
    return Change(file, rf"^[ ]*{anchor}.*\n", r"\g<0>" + inserted(indent, code), within)


def above(file: str, name: str, code: str) -> Change:
    """`code` as a top-level definition of its own above the definition of `name`."""
    return Change(file, rf"^(?=(?:class|def) {name}\b)", inserted(0, code) + "\n\n")


def indented(indent: int, code: str) -> str:
    """`code` without its own indentation and outer blank lines, indented by `indent` spaces, with a final newline."""
    return textwrap.indent(textwrap.dedent(code).strip("\n"), " " * indent) + "\n"


def inserted(indent: int, code: str) -> str:
    """The same as the `new` of a change."""
    return _literal(indented(indent, code))


def choices(file: str, variants: Mapping[str, str], chosen: str, origins: Sequence[str] = ()) -> tuple[Way, ...]:
    """The ways to put the text of variant `chosen` where another stands (one of `origins`, or any)."""
    others = origins or [name for name in variants if name != chosen]
    return tuple((swap(file, variants[other], variants[chosen]),) for other in others)


def marked(file: str, text: str) -> tuple[str, str]:
    """The mark of a literal text."""
    return file, re.escape(text)


def _found(mark: tuple[str, str], files: Mapping[str, str]) -> bool:
    file, pattern = mark
    return _compiled(pattern).search(files.get(file, "")) is not None


def _make(way: Way, files: Mapping[str, str]) -> dict[str, str] | None:
    made = dict(files)
    for change in way:
        text = change.apply(made[change.file]) if change.file in made else None
        if text is None:
            return None
        made[change.file] = text
    return made if all(_parses(made[file]) for file in {change.file for change in way}) else None


def _parses(text: str) -> bool:
    # Not ast.parse: on CPython 3.11.7 it raises SystemError when two threads build trees at once (compare gh-106905).
    try:
        compile(text, "<edited>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _only(pattern: str, text: str) -> re.Match[str] | None:
    """The match, where there is exactly one."""
    matches = _compiled(pattern).finditer(text)
    first = next(matches, None)
    return first if first is not None and next(matches, None) is None else None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


def _literal(text: str) -> str:
    return text.replace("\\", r"\\")
