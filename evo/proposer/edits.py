"""Parser of edits in an answer (SEARCH/REPLACE blocks and unified diffs), and their application to files. No I/O.

An edit applies where the text that it quotes occurs. If the text occurs nowhere or more than once, `apply` raises `Misfit`.
Line numbers of a diff, which models often get wrong, only choose among several occurrences.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evo.proposer.fences import Fence

_SEARCH = re.compile(r"\s*<{5,} ?SEARCH\b")
_DIVIDER = re.compile(r"\s*={5,}\s*$")
_REPLACE = re.compile(r"\s*>{5,} ?(?:REPLACE\b.*)?$")
_HUNK = re.compile(r"@@(?: -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@)?")
_BETWEEN_FILES = ("diff --git ", "index ", "new file mode", "deleted file mode", "old mode", "new mode", "similarity ")
_IN_DIFF = (" ", "+", "-", "@", "\\", *_BETWEEN_FILES)
"""Prefixes of the lines of a diff."""
_DIFF = ("diff", "patch", "udiff")
_QUOTED_CHARACTERS = 2000
_FIRST_CHARACTERS = 80
_LINES_ABOVE = 4
"""Non-blank lines of a continuation that are searched for a block: greeting, fence, file name, first line of the block."""


class Misfit(ValueError):
    """Raised for an edit that does not apply.

    Args:
        reason: Reason in one line.
        quoted: The block as in the answer. It is cut to `_QUOTED_CHARACTERS`.
    """

    def __init__(self, reason: str, quoted: str) -> None:
        super().__init__(reason)
        self.reason, self.quoted = reason, quoted[:_QUOTED_CHARACTERS]


@dataclass(frozen=True)
class Edit:
    """Replacement of consecutive lines of a file.

    Attributes:
        search: Current lines.
        replacement: New lines.
        quoted: The block as in the answer.
        name: File that the edit names, known or not. None if it names none; the file is then found by `search`.
        likely: File that the previous SEARCH/REPLACE block or hunk names. Used if `search` does not occur in exactly one file.
        line: First line according to the diff, from 1 in the given file. None if the edit has no line number.
        wrong: Reason why the block is malformed, or "".
    """

    search: tuple[str, ...]
    replacement: tuple[str, ...]
    quoted: str
    name: str | None = None
    likely: str | None = None
    line: int | None = None
    wrong: str = ""


@dataclass(frozen=True)
class Found:
    """Edits of a text.

    Attributes:
        edits: Edits in order.
        rest: The text without the edits and without closed fences that hold edits.
        is_cut: Whether the text ends inside a SEARCH/REPLACE block.
    """

    edits: tuple[Edit, ...]
    rest: str
    is_cut: bool = False


def mentioned(place: str, names: Sequence[str]) -> str | None:
    """Return the file of `names` that a line or an info string mentions. Return None if it mentions none or several."""
    found = [name for name in names if re.search(rf"(?<![\w.-]){re.escape(name)}(?!\w)", place)]
    return found[0] if len(found) == 1 else None


def read(text: str, names: Sequence[str]) -> Found:
    """Return all edits in `text`, inside and outside fences.

    The file of a SEARCH/REPLACE block is named in its first line, in the line above it, in the info string of the fence around
    it, or in the line above that fence. The file of a diff is named in its header, else in the same places.
    """
    return _Reader(text, names).read()


def is_marker(line: str) -> bool:
    """Return whether a line begins a SEARCH/REPLACE block."""
    return _SEARCH.match(line) is not None


def unfinished(cut: str, rest: str) -> int | None:
    """Return the offset of the SEARCH/REPLACE block in which `cut` ends, if `rest` starts with a block from its beginning.

    Return None if `cut` does not end inside a block, or if `rest` does not start a block again.
    """
    lines = cut.split("\n")
    if not read(cut, ()).is_cut or _REPLACE.match(lines[-1] + rest.partition("\n")[0]):
        return None
    last = max(at for at, line in enumerate(lines) if is_marker(line))
    first = [line for line in rest.split("\n") if line.strip()][:_LINES_ABOVE]
    mark = next((line for line in first if is_marker(line) or _REPLACE.match(line)), "")
    return len("\n".join([*lines[:last], ""])) if is_marker(mark) else None


class _Reader:
    def __init__(self, text: str, names: Sequence[str]) -> None:
        self._lines, self._names = text.split("\n"), names
        self._edits: list[Edit] = []
        self._rest: list[str] = []
        self._fence, self._is_cut = Fence(), False
        self._opened = -1
        """Index of the line that opened the fence."""
        self._kept = 0
        """Number of lines in `_rest` before the fence."""
        self._edited = False
        """Whether the open fence holds an edit."""
        self._after = 0
        """Index of the first line after the last edit."""

    def read(self) -> Found:
        at = 0
        while at < len(self._lines):
            if _SEARCH.match(self._lines[at]):
                at = self._after = self._block(at)
            elif self._is_diff(at):
                at = self._after = self._diff(at)
            else:
                self._keep(at)
                at += 1
        return Found(tuple(self._edits), "\n".join(self._rest), self._is_cut)

    def _keep(self, at: int) -> None:
        line, was_open = self._lines[at], bool(self._fence.mark)
        is_fence = self._fence.follow(line)
        if is_fence and not was_open:
            self._opened, self._kept, self._edited = at, len(self._rest), False
        self._rest.append(line)
        if is_fence and was_open and self._edited:
            del self._rest[self._kept :]

    # ---- SEARCH/REPLACE ----

    def _block(self, start: int) -> int:
        """Read the block that begins at line `start` and return the index of the line after it."""
        self._edited, divider, end = True, None, start + 1
        while end < len(self._lines) and not _SEARCH.match(self._lines[end]) and not _REPLACE.match(self._lines[end]):
            if divider is None and _DIVIDER.match(self._lines[end]):
                divider = end
            end += 1
        quoted = "\n".join(self._lines[start : end + 1])
        name = self._named(start)
        edit = Edit((), (), quoted, name, likely=self._edits[-1].name if self._edits else None)
        if end == len(self._lines):
            self._is_cut = True
        elif _SEARCH.match(self._lines[end]):
            quoted = "\n".join(self._lines[start:end])
            self._edits.append(replace(edit, quoted=quoted, wrong="a SEARCH block has no closing >>>>>>> REPLACE"))
            return end
        elif divider is None:
            self._edits.append(replace(edit, wrong="a SEARCH block has no ======= before >>>>>>> REPLACE"))
        else:
            search, new = self._lines[start + 1 : divider], self._lines[divider + 1 : end]
            self._edits.append(replace(edit, search=tuple(search), replacement=tuple(new)))
        return end + 1

    def _named(self, start: int) -> str | None:
        """Return the file named in line `start`, in the line above it, or by the open fence. Return None if there is none."""
        places = [self._lines[start]]
        if self._fence.mark:
            places.append(self._above(start, max(self._opened + 1, self._after)))
            places += [self._fence.info, self._above(self._opened, 0)]
        else:
            places.append(self._above(start, self._after))
        return next((name for place in places if (name := mentioned(place, self._names))), None)

    def _above(self, at: int, least: int) -> str:
        """Return the nearest non-blank line from `least` up to `at`, exclusive, or an empty string."""
        return next((line for line in reversed(self._lines[least:at]) if line.strip()), "")

    # ---- diffs ----

    def _is_diff(self, at: int) -> bool:
        line, following = self._lines[at], self._lines[at + 1 : at + 3]
        begins = line.startswith("--- ") and len(following) == 2 and following[0].startswith("+++ ")
        begins = (begins and following[1].startswith("@@")) or line.startswith("diff --git ")
        if not self._fence.mark:
            return begins
        is_first = at == self._opened + 1 or (at == self._opened + 2 and self._is_name(at - 1))
        if not is_first or self._fence.is_closed_by(line):
            return False
        language = (self._fence.info.split() or [""])[0].lower()
        if language in _DIFF:
            return not self._is_name(at)
        return language.removesuffix("3") in ("", "python", "py") and (begins or line.startswith("@@ "))

    def _is_name(self, at: int) -> bool:
        line = self._lines[at]
        return not line.startswith(_IN_DIFF) and mentioned(line, self._names) is not None

    def _diff(self, start: int) -> int:
        """Read the diff that begins at line `start` and return the index of the line after it."""
        end, closing = start, self._fence.before + self._fence.mark
        while end < len(self._lines):
            line = self._lines[end]
            if self._fence.mark:
                if line.startswith(closing) and self._fence.is_closed_by(line):
                    break
            elif line.strip() and not line.startswith(_IN_DIFF):
                break
            end += 1
        hunks = _hunks(self._lines[start:end], self._names, self._named(start))
        self._edited = bool(hunks)
        self._edits += hunks
        return end


def _hunks(lines: Sequence[str], names: Sequence[str], name: str | None) -> list[Edit]:
    """Return the edits of a diff. A file header in the diff overrides `name`."""
    found: list[Edit] = []
    hunk: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        is_header = line.startswith("--- ") and lines[at + 1 : at + 2] and lines[at + 1].startswith("+++ ")
        if is_header or line.startswith(("@@", *_BETWEEN_FILES)):
            found += _edit(hunk, name)
            hunk = [line] if line.startswith("@@") else []
        else:
            hunk.append(line)
        if is_header:
            new, old = (_path(lines[at + 1]), _path(line))
            path = old if new == "/dev/null" else new
            name = mentioned(path, names) or path
            at += 1
        at += 1
    return found + _edit(hunk, name)


def _path(header: str) -> str:
    path = header[4:].partition("\t")[0].strip().strip('"')
    return re.sub(r"^[ab]/", "", path)


def _edit(hunk: Sequence[str], name: str | None) -> list[Edit]:
    """Return one hunk as a list of one edit. Return an empty list if the hunk adds and removes no line."""
    header = _HUNK.match(hunk[0]) if hunk else None
    body = list(hunk[1:] if header else hunk)
    while body and not body[-1]:
        body.pop()
    if not any(line.startswith(("+", "-")) for line in body):
        return []
    search, new = [], []
    for line in body:
        if line.startswith("\\"):
            continue
        bare = line[1:] if line.startswith((" ", "+", "-")) else line  # models omit the leading space of context lines
        if not line.startswith("+"):
            search.append(bare)
        if not line.startswith("-"):
            new.append(bare)
    where = int(header[1]) if header and header[1] and len(header[1]) < 9 else None
    return [Edit(tuple(search), tuple(new), "\n".join(hunk), name, line=where)]


# ---- applying ----


def apply(edits: Sequence[Edit], files: Mapping[str, str]) -> dict[str, str]:
    """Return `files` with all edits applied in order. An edited file ends with a newline.

    Raises:
        Misfit: An edit is malformed, names an unknown file, or its text does not determine exactly one place.
    """
    changed, moved = dict(files), dict.fromkeys(files, 0)
    for edit in edits:
        if edit.wrong:
            raise Misfit(edit.wrong, edit.quoted)
        name = _file_of(edit, changed)
        lines = _lines(changed[name])
        at, new = _place(edit, name, lines, moved[name])
        lines[at : at + len(edit.search)] = new
        moved[name] += len(new) - len(edit.search)
        changed[name] = "".join(f"{line}\n" for line in lines)
    return changed


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _file_of(edit: Edit, files: Mapping[str, str]) -> str:
    """Return the name of the file that an edit changes."""
    if edit.name is not None:
        if edit.name in files:
            return edit.name
        raise Misfit(f"an edit names the file {_quoted(edit.name)}; expected {' or '.join(files)}", edit.quoted)
    found = [name for name, text in files.items() if edit.search and _places(edit, _lines(text))]
    if len(found) == 1:
        return found[0]
    if edit.likely in files and edit.likely is not None:
        return edit.likely
    where = "no file" if not found else "more than one file"
    raise Misfit(f"an edit names no file, and its text occurs in {where}: {_first(edit)}", edit.quoted)


def _place(edit: Edit, name: str, lines: Sequence[str], moved: int) -> tuple[int, Sequence[str]]:
    """Return the index of the first line that an edit replaces, and the new lines.

    Args:
        edit: The edit.
        name: Name of the file, for error messages.
        lines: Lines of the file after the earlier edits.
        moved: Number of lines that the earlier edits added.
    """
    found = _places(edit, lines) if edit.search else {}
    if not found and not any(line.strip() for line in (*lines, *edit.search)):
        return 0, edit.replacement
    if not edit.search:
        raise Misfit(f"an edit of {name} has an empty SEARCH, which is valid only for an empty file", edit.quoted)
    if len(found) > 1 and edit.line is not None:
        for expected in (edit.line - 1 + moved, edit.line - 1):
            if expected in found:
                return expected, found[expected]
    if len(found) == 1:
        return next(iter(found.items()))
    where = f"occurs {len(found)} times" if found else "does not occur in the file"
    raise Misfit(f"the text of an edit of {name} {where}: {_first(edit)}", edit.quoted)


def _first(edit: Edit) -> str:
    return _quoted(next((line for line in edit.search if line.strip()), "a blank line"))


def _quoted(line: str) -> str:
    return repr("".join(c if c.isprintable() else "?" for c in " ".join(line.split()))[:_FIRST_CHARACTERS])


def _places(edit: Edit, lines: Sequence[str]) -> dict[int, Sequence[str]]:
    """Return a map from the line index of each occurrence of an edit's text to its new lines.

    Lines are compared exactly, then without trailing whitespace, then with the indentation of all lines shifted equally. The
    first comparison with an occurrence is used.
    """
    n, exact = len(edit.search), list(edit.search)
    starts = range(len(lines) - n + 1)
    if places := [at for at in starts if lines[at] == exact[0] and list(lines[at : at + n]) == exact]:
        return dict.fromkeys(places, edit.replacement)
    loose, stripped = [line.rstrip() for line in exact], [line.rstrip() for line in lines]
    if places := [at for at in starts if stripped[at] == loose[0] and stripped[at : at + n] == loose]:
        return dict.fromkeys(places, edit.replacement)
    bare, told = [line.strip() for line in exact], [line.strip() for line in lines]
    found = {}
    for at in starts:
        if told[at] == bare[0] and told[at : at + n] == bare:
            shifted = _shifted(edit.replacement, loose, stripped[at : at + n])
            if shifted is not None:
                found[at] = shifted
    return found


def _shifted(replacement: Sequence[str], search: Sequence[str], lines: Sequence[str]) -> Sequence[str] | None:
    """Return `replacement` with the indentation changed as from `search` to `lines`.

    Return None if the indentation of the lines does not change equally.
    """
    pairs = [(_indent(old), _indent(new)) for old, new in zip(search, lines, strict=True) if old]
    if not pairs:
        return None
    old, new = pairs[0]
    more, less = new.removesuffix(old), old.removesuffix(new)
    if new.endswith(old) and all(after == more + before for before, after in pairs):
        return [more + line if line.strip() else line for line in replacement]
    if old.endswith(new) and all(before == less + after for before, after in pairs):
        kept = [line.removeprefix(less) for line in replacement]
        return kept if all(line.startswith(less) or not line.strip() for line in replacement) else None
    return None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
