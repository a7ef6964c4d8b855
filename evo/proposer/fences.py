"""Markdown fences: put a text into a fence that it cannot close, and follow fences line by line. No I/O.

Following lines shows which fence is open where a cut answer ends. `evo.proposer.answer` finds the blocks of an answer with a
Markdown parser instead.
"""

import re
from dataclasses import dataclass

_OPENS = re.compile(r"(?P<before>[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
_CLOSES = re.compile(r"(?P<before>[ \t>]*)(?P<mark>`{3,}|~{3,})[ \t]*$")


def around(text: str, info: str = "") -> str:
    """Return `text` in a fence that is longer than any run of backticks in it."""
    fence = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence}{info}\n{text.rstrip()}\n{fence}"


@dataclass
class Fence:
    """Fence that is open after the followed lines.

    Attributes:
        mark: Backticks or tildes that opened the fence. "" if no fence is open.
        info: Text after the mark.
        before: Text before the mark: whitespace, quote marks and list markers.
    """

    mark: str = ""
    info: str = ""
    before: str = ""

    def follow(self, line: str) -> bool:
        """Follow one line, given without its line ending. Return whether it opens or closes a fence."""
        if self.mark:
            if not self.is_closed_by(line):
                return False
            self.mark = self.info = self.before = ""
            return True
        found = opening(line)
        if found is None:
            return False
        self.mark, self.info, self.before = found.mark, found.info, found.before
        return True

    def is_closed_by(self, line: str) -> bool:
        """Return whether a line closes the fence: at least as many of the same marks, alone, at most 3 columns further right."""
        found = _CLOSES.match(line)
        return (
            found is not None
            and found["mark"].startswith(self.mark)
            and len(found["before"].expandtabs(4)) <= len(self.before.expandtabs(4)) + 3
        )


def opening(line: str) -> Fence | None:
    """Return the fence that a line opens, or None."""
    found = _OPENS.match(line)
    if found is None or (found["mark"].startswith("`") and "`" in found["info"]):
        return None
    return Fence(found["mark"], found["info"].strip(), found["before"])


def after(text: str) -> Fence:
    """Return the fence that is open at the end of `text`. Its `mark` is "" if none is open."""
    fence = Fence()
    for line in text.split("\n"):
        fence.follow(line)
    return fence


def begin(text: str) -> int:
    """Return the offset of the line that opens the fence left open at the end of `text`, or the length of `text`."""
    fence, at, opened = Fence(), 0, len(text)
    for line in text.split("\n"):
        if fence.follow(line) and fence.mark:
            opened = at
        at += len(line) + 1
    return opened if fence.mark else len(text)
