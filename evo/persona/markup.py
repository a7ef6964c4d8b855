"""The forms of a line and the wording of one item.

It owns what counts as a heading, a marker, a fence, a bold title, a field's name and an emphasis; it never looks at
more than one item at a time, and knows no section and no persona.
"""

import re
from collections.abc import Mapping

WHITESPACE = " \t\r\n"
"""What may stand between words and lines. Other Unicode spaces are part of the wording and stay where they are."""

ITEM_EMPHASIS: Mapping[int, str] = {
    1: " **Give this particular weight.**",
    2: " **Put this before everything else.**",
    -1: " **Touch on this only in passing.**",
    0: " **Give this its ordinary weight.**",
}
"""What an item's emphasis adds to it. The sentence of 0 is written only where the item would else be misread."""

FIELD_EMPHASIS: Mapping[int, str] = {
    1: " (of particular weight)",
    2: " (before everything else)",
    -1: " (only in passing)",
    0: " (of ordinary weight)",
}
"""What a field's emphasis adds to its name; the same rule for 0."""

LONGEST_FIELD = 80
"""Most characters of a field's name."""
SHORT_FIELD_WORDS = 4
"""Most words of a name in a list that is recognised as fields by nothing but its form."""

# A marker with nothing after it, and hashes with nothing after them, count too: an emphasis appended to such a line
# would else turn it into an item or a heading.
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
    """The text of a heading (`**Text:**` alone on its line, or `## Text`), or None where the line is none."""
    line = line.rstrip(WHITESPACE)
    if hashes := _HASHES.fullmatch(line):
        return (hashes["text"] or "").strip("* :")
    bold = _BOLD_LINE.fullmatch(line)
    if bold is None or (bold["end"] == "**" and bold["text"].endswith((".", "!", "?"))):
        return None
    return str(bold["text"]).strip()


def style(line: str) -> str:
    """The kind of marker the line opens with: `.` or `)` after a number, the bullet itself, or "" for no marker."""
    marker = MARKER.match(line)
    return (marker["delimiter"] or marker["bullet"]) if marker else ""


def opened_fence(line: str) -> str:
    """The backticks or tildes with which the line opens a fence, behind a marker or not, or "" where it opens none."""
    marker = MARKER.match(line)
    fence = _FENCE.match(line[marker.end() :] if marker else line)
    return (fence["ticks"] or fence["tildes"]) if fence else ""


def split(body: str) -> tuple[str, str, str]:
    """Cuts an item's body into (title, joint, text); title and joint are "" where it opens with no bold title.

    The first place where a title can end ends it, so asterisks and colons inside a title stay inside.
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
    """The body that `split` cuts into these three."""
    return f"**{title}{joint}{text}" if title else text


def dress(body: str, emphasis: int, words: Mapping[int, str]) -> str:
    """The body with its emphasis written out; `undress` takes it back exactly, whatever the body itself ends in."""
    if emphasis or _ends_emphasised(body, words):
        return body + words[emphasis]
    return body


def undress(body: str, words: Mapping[int, str]) -> tuple[str, int]:
    """Takes the written emphasis off: (body, emphasis)."""
    for emphasis in (1, 2, -1):
        rest = _without(body, words[emphasis])
        if rest is not None:
            return rest, emphasis
    rest = _without(body, words[0])
    if rest is not None and _ends_emphasised(rest, words):
        return rest, 0
    return body, 0


def is_item(body: str) -> bool:
    """Whether the body, written behind a marker, is read back as one item: no line of it begins anything else."""
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
    """Whether the name can stand anywhere in a comma list and be read back as one name."""
    if not name or len(name) > LONGEST_FIELD or name != name.strip(WHITESPACE) or _NOT_A_FIELD.search(name):
        return False
    if any(
        not line.strip(WHITESPACE) or style(line) or line.lstrip(WHITESPACE).startswith("#")
        for line in name.split("\n")
    ):
        return False
    return cut_fields(name) == [(name, "")]


def is_short_field(name: str) -> bool:
    """Whether the name is short enough to be taken for a field with no heading that says so."""
    return is_field(name) and len(name.split()) <= SHORT_FIELD_WORDS


_SEPARATOR = re.compile(r"[ \t]*(?:,(?:[ \t]*\r?\n[ \t]*|[ \t]+)|[、，][ \t]*(?:\r?\n[ \t]*)?)(?:and[ \t]+)?")


def cut_fields(text: str) -> list[tuple[str, str]] | None:
    """Cuts a comma list into (name, what separates it from the next); commas in brackets cut nothing.

    None where brackets do not pair: then no name could be moved without moving the meaning of the commas too.
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
    """The body without these last words, or None where it does not end in them or could not stand without them."""
    rest = body[: -len(words)]
    if not body.endswith(words) or not rest or rest[-1] in WHITESPACE:
        return None
    return None if "\n" in rest and heading(rest.rsplit("\n", 1)[1]) is not None else rest


def _ends_emphasised(body: str, words: Mapping[int, str]) -> bool:
    """Whether the body would be misread as emphasised, or as the escape of such a body, if written as it is."""
    while (rest := _without(body, words[0])) is not None:
        body = rest
    return any(_without(body, words[emphasis]) is not None for emphasis in (1, 2, -1))
