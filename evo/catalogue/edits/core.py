"""Edits as anchored replacements in `model.py` and `train_mps.py`, each of which needs exactly one match.

An edit applies only if each of its anchors matches exactly once. Insertions keep their anchor, so edits at different places
compose in any order. This module neither reads nor runs files.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

MODEL, TRAIN = "model.py", "train_mps.py"
FILES = (TRAIN, MODEL)
"""Files that edits can change, in the order of an answer."""


@dataclass(frozen=True)
class Change:
    """Replacement in one file. `pattern`, a regular expression with ^ and $ at line boundaries, must match exactly once.

    `within` names a top-level function or class that limits the search.
    """

    file: str
    pattern: str
    new: str
    """Replacement, in which \\1 and \\g<0> refer to the match."""
    within: str | None = None

    def apply(self, text: str) -> str | None:
        """Return the changed text, or None if `pattern` or `within` does not match exactly once."""
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
"""Changes that apply in order, all or none."""


@dataclass(frozen=True)
class Edit:
    """Known change to the model or training of a small GPT, as a transformation of source text."""

    name: str
    """Name in snake_case, shown in the first line of an answer."""
    description: str
    """Sentence in the answer that describes the edit."""
    words: tuple[str, ...]
    """Prefixes of words and phrases, in lower case, that match the edit to the text of a persona."""
    mark: tuple[str, str]
    """File and pattern. The pattern matches if and only if the code already has the edit."""
    ways: tuple[Way, ...]
    """Alternative ways to make the edit. The first that applies completely is used."""
    weight: float = 1.0
    """Weight in the draw of edits, before the persona is taken into account."""
    unless: tuple[str, str] | None = None
    """File and pattern. The edit does not apply to code that matches, because it already has an alternative."""

    def present(self, files: Mapping[str, str]) -> bool:
        """Return whether the code already has this edit."""
        return _found(self.mark, files)

    def apply(self, files: Mapping[str, str]) -> dict[str, str] | None:
        """Return all files with the edit applied, or None if the edit is already present or does not apply."""
        if self.present(files) or (self.unless is not None and _found(self.unless, files)):
            return None
        for way in self.ways:
            made = _make(way, files)
            if made is not None:
                return made
        return None


def swap(file: str, old: str, new: str, within: str | None = None) -> Change:
    """Replace the literal text `old` with the literal text `new`."""
    return Change(file, re.escape(old), _literal(new), within)


def before(file: str, anchor: str, indent: int, code: str, within: str | None = None) -> Change:
    """Insert `code`, indented by `indent` spaces, before the line that starts with the pattern `anchor` at any indentation."""
    return Change(file, rf"^(?=[ ]*{anchor})", inserted(indent, code), within)


def after(file: str, anchor: str, indent: int, code: str, within: str | None = None) -> Change:
    """Insert `code`, indented by `indent` spaces, after the line that starts with the pattern `anchor` at any indentation."""
    return Change(file, rf"^[ ]*{anchor}.*\n", r"\g<0>" + inserted(indent, code), within)


def above(file: str, name: str, code: str) -> Change:
    """Insert `code` as a top-level definition above the definition of `name`."""
    return Change(file, rf"^(?=(?:class|def) {name}\b)", inserted(0, code) + "\n\n")


def indented(indent: int, code: str) -> str:
    """Dedent `code`, strip outer blank lines, indent it by `indent` spaces and end it with a newline."""
    return textwrap.indent(textwrap.dedent(code).strip("\n"), " " * indent) + "\n"


def inserted(indent: int, code: str) -> str:
    """Return the result of `indented`, escaped for use as the `new` of a change."""
    return _literal(indented(indent, code))


def choices(file: str, variants: Mapping[str, str], chosen: str, origins: Sequence[str] = ()) -> tuple[Way, ...]:
    """Return the ways to replace another variant (one of `origins`, or any) with the variant `chosen`."""
    others = origins or [name for name in variants if name != chosen]
    return tuple((swap(file, variants[other], variants[chosen]),) for other in others)


def marked(file: str, text: str) -> tuple[str, str]:
    """Return a mark that matches a literal text."""
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
    # ast.parse raises SystemError on CPython 3.11.7 if two threads build trees at the same time (compare gh-106905).
    try:
        compile(text, "<edited>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _only(pattern: str, text: str) -> re.Match[str] | None:
    """Return the match if there is exactly one, else None."""
    matches = _compiled(pattern).finditer(text)
    first = next(matches, None)
    return first if first is not None and next(matches, None) is None else None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


def _literal(text: str) -> str:
    return text.replace("\\", r"\\")
