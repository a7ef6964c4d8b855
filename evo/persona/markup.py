"""Markup of persona texts: headings, list markers, fences, bold titles, field names and emphasis.

Each function works on a single line, item or field list.
"""

import re
from collections.abc import Mapping

WHITESPACE = " \t\r\n"
"""Characters that separate words and lines. Other Unicode spaces are part of the wording and are kept."""

ITEM_EMPHASIS: Mapping[int, str] = {
    1: " **Give this particular weight.**",
    2: " **Put this before everything else.**",
    -1: " **Touch on this only in passing.**",
    0: " **Give this its ordinary weight.**",
}
"""Text appended to an item for each emphasis. The text for 0 is an escape, used only if the item would be misread without it."""

FIELD_EMPHASIS: Mapping[int, str] = {
    1: " (of particular weight)",
    2: " (before everything else)",
    -1: " (only in passing)",
    0: " (of ordinary weight)",
}
"""Text appended to a field name for each emphasis. The text for 0 is the same escape as in `ITEM_EMPHASIS`."""

LONGEST_FIELD = 80
"""Maximum length of a field name in characters."""
SHORT_FIELD_WORDS = 4
"""Maximum number of words in a field name if the field list was recognised by form alone."""

# A bare marker and bare hashes also match. Otherwise, an emphasis appended to such a line would turn it into an item or
# a heading.
MARKER = re.compile(
    r"(?:(?P<number>[0-9]{1,9})(?P<delimiter>[.)])|(?P<bullet>[-*+•]))(?:[ \t]+(?=[^ \t\r\n])|(?=[ \t\r\n]*\Z))"
)
_HASHES = re.compile(r"#{1,6}(?:[ \t]+(?P<text>.*))?")
_BOLD_LINE = re.compile(r"\*\*(?P<text>(?:(?!\*\*).)+?)(?P<end>:\*\*|\*\*:?)")
_FENCE = re.compile(r"[ \t]*(?P<ticks>`{3,})[^`]*\Z|[ \t]*(?P<tildes>~{3,})")

_TITLE_END = re.compile(r"[ \t]*(?::\*\*|\*\*:|\*\*[ \t]?[-–—])(?=[ \t\r\n]|\Z)")
_TITLE_ALONE = re.compile(r"\*\*(?P<title>(?:(?!\*\*).)+)\*\*(?=[ \t\r]*(?:\n|\Z))")

_NOT_A_FIELD = re.compile(r"\*\*|```|~~~|[.!?][ \t\r\n]|:[ \t\r]*\n|[,.:;]\Z|\A(?:[,.;、，]|and[ \t])")


def heading(line: str) -> str | None:
    """Return the text of a heading (`**Text:**` alone on its line, or `## Text`), or None."""
    line = line.rstrip(WHITESPACE)
    if hashes := _HASHES.fullmatch(line):
        return (hashes["text"] or "").strip("* :")
    bold = _BOLD_LINE.fullmatch(line)
    if bold is None or (bold["end"] == "**" and bold["text"].endswith((".", "!", "?"))):
        return None
    return str(bold["text"]).strip()


def style(line: str) -> str:
    """Return the kind of list marker at the start of a line: `.` or `)` after a number, the bullet, or ""."""
    marker = MARKER.match(line)
    return (marker["delimiter"] or marker["bullet"]) if marker else ""


def opened_fence(line: str) -> str:
    """Return the backticks or tildes that open a fence, with or without a list marker before them, or ""."""
    marker = MARKER.match(line)
    fence = _FENCE.match(line[marker.end() :] if marker else line)
    return (fence["ticks"] or fence["tildes"]) if fence else ""


def split(body: str) -> tuple[str, str, str]:
    """Split the body of an item into (title, joint, text). Title and joint are "" if there is no bold title.

    The title ends at the first closing marker, such as ":**" or "**:". Other asterisks and colons are part of the title.
    """
    if not body.startswith("**"):
        return "", "", body
    end = _TITLE_END.search(body, 3, len(body.split("\n", 1)[0]))
    if end is not None:
        title, after = body[2 : end.start()], end.end()
    elif alone := _TITLE_ALONE.match(body):
        title, after = alone["title"], alone.end()
    else:
        return "", "", body
    if title != title.strip(WHITESPACE):
        return "", "", body
    text = body[after:].lstrip(WHITESPACE)
    return title, body[2 + len(title) : len(body) - len(text)], text


def join(title: str, joint: str, text: str) -> str:
    """Join title, joint and text into a body. Inverse of `split`."""
    return f"**{title}{joint}{text}" if title else text


def add_emphasis(body: str, emphasis: int, words: Mapping[int, str]) -> str:
    """Return the body with its emphasis as text. `strip_emphasis` is the exact inverse."""
    if emphasis or _ends_emphasised(body, words):
        return body + words[emphasis]
    return body


def strip_emphasis(body: str, words: Mapping[int, str]) -> tuple[str, int]:
    """Remove the emphasis text from a body and return (body, emphasis)."""
    for emphasis in (1, 2, -1):
        rest = _without(body, words[emphasis])
        if rest is not None:
            return rest, emphasis
    rest = _without(body, words[0])
    if rest is not None and _ends_emphasised(rest, words):
        return rest, 0
    return body, 0


def is_item(body: str) -> bool:
    """Return whether the body, written after a marker, parses as one item."""
    if not body or body != body.strip(WHITESPACE) or _FENCE.match(body.split("\n", 1)[0]):
        return False
    after_blank = False
    for line in body.split("\n")[1:]:
        if not line.strip(WHITESPACE):
            after_blank = True
        elif heading(line) is not None or style(line) or opened_fence(line) or (after_blank and line[0] not in " \t"):
            return False
        else:
            after_blank = False
    return True


def is_field(name: str) -> bool:
    """Return whether the name parses as one name anywhere in a comma list."""
    if not name or len(name) > LONGEST_FIELD or name != name.strip(WHITESPACE) or _NOT_A_FIELD.search(name):
        return False
    if any(
        not line.strip(WHITESPACE) or style(line) or line.lstrip(WHITESPACE).startswith("#")
        for line in name.split("\n")
    ):
        return False
    return cut_fields(name) == [(name, "")]


def is_short_field(name: str) -> bool:
    """Return whether the name is short enough for a field list that was recognised by form."""
    return is_field(name) and len(name.split()) <= SHORT_FIELD_WORDS


_SEPARATOR = re.compile(r"[ \t]*(?:,(?:[ \t]*\r?\n[ \t]*|[ \t]+)|[、，][ \t]*(?:\r?\n[ \t]*)?)(?:and[ \t]+)?")


def cut_fields(text: str) -> list[tuple[str, str]] | None:
    """Split a comma list into pairs (name, separator after it). Commas inside brackets do not split.

    Return None if brackets are unbalanced: moving a name could then change which commas are inside brackets.
    """
    names: list[tuple[str, str]] = []
    open_brackets: list[str] = []
    start = at = 0
    while at < len(text):
        separator = None if open_brackets else _SEPARATOR.match(text, at)
        if separator:
            names.append((text[start:at], separator[0]))
            start = at = separator.end()
            continue
        if text[at] in "([{":
            open_brackets.append(")]}"["([{".index(text[at])])
        elif text[at] in ")]}" and (not open_brackets or open_brackets.pop() != text[at]):
            return None
        at += 1
    return None if open_brackets else [*names, (text[start:], "")]


def _without(body: str, words: str) -> str | None:
    """Return the body without the suffix `words`.

    Return None if the body does not end in `words`, or if the rest is empty, ends in whitespace or ends in a heading line.
    """
    rest = body[: -len(words)]
    if not body.endswith(words) or not rest or rest[-1] in WHITESPACE:
        return None
    return None if "\n" in rest and heading(rest.rsplit("\n", 1)[1]) is not None else rest


def _ends_emphasised(body: str, words: Mapping[int, str]) -> bool:
    """Return whether the unchanged body would be parsed as an emphasised body or as an escaped one."""
    while (rest := _without(body, words[0])) is not None:
        body = rest
    return any(_without(body, words[emphasis]) is not None for emphasis in (1, 2, -1))
