"""Parser of answers: find the files in a Markdown answer, or name what is wrong with it. No I/O."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evo.proposer import edits, fences
from evo.status import Status
from evo.verify import static

if TYPE_CHECKING:
    from evo.proposer.prompt import Form

_THINKS = r"(?:think|thinking|thought|reasoning)>"
_THINKING = re.compile(rf"\s*<{_THINKS}", re.IGNORECASE)
_THOUGHT = re.compile(rf"(?<!`)</{_THINKS}(?!`(?!`))", re.IGNORECASE)
_THOUGHT_ALONE = re.compile(rf"^[ \t]*</{_THINKS}[ \t]*$", re.IGNORECASE | re.MULTILINE)
_PYTHON = ("", "python", "python3", "py")
"""Languages of a block that may be a file."""
_DEFINITION = re.compile(r"(?:class|def|async[ \t]+def)[ \t]+(\w+)")
_STOPPED_CHARACTERS = 200
_LONE_TAGS = 3
"""Maximum number of closing tags without an opening tag that are examined, which limits the work."""

_LEAST_OVERLAP, _LEAST_WITHIN_A_LINE, _LONGEST_OVERLAP = 4, 12, 4000
"""Characters of a repetition: minimum, minimum if it begins within a line, and maximum."""
_GREETING, _GREETING_LINES = re.compile(r"[^\W\d_a-z]|[*_>]"), 3
"""Beginning of a line of prose before a reopened fence, and the maximum number of such lines."""
_NAMING = re.compile(r"\s*(?:#+|//)?\s*(?:file(?:name)?\s*:)?[\s`*]*[\w./-]+\.py\b.{0,20}$", re.IGNORECASE)
"""Line that names a file, such as "model.py (continued)"."""
_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class Answer:
    """Parsed answer.

    `files` holds every file of the evaluator, unchanged ones included. It is None if `status` is not OK.
    """

    status: Status
    reason: str = ""
    files: dict[str, str] | None = None
    prose: str = ""
    """Text outside the blocks."""
    detail: str = ""
    """Text to quote in a repair request: an edit that does not apply, or the end of a cut answer if it holds anything."""


@dataclass(frozen=True)
class Block:
    """One fenced block: info string, body, and the last line of text above it."""

    info: str
    body: str
    above: str
    closed: bool


def parse(response: str, base: Mapping[str, str], finish_reason: str | None = "stop", form: "Form" = "files") -> Answer:
    """Parse an answer into new texts of the files in `base`.

    The name of a file may be the first line of its block, a comment there, part of the info string, or the line above
    the block. A block without a name belongs to the only file with which it shares top-level definitions. An empty
    block, a block of comments only, and a missing block mean that the file is unchanged. Reasoning is not part of the answer.

    Args:
        response: The answer.
        base: Files that the prompt showed, by name.
        finish_reason: As the endpoint returned it.
        form: "edits" accepts SEARCH/REPLACE blocks and diffs against `base` besides whole files.
    """
    if finish_reason == "content_filter":
        return Answer(Status.NO_ANSWER, "the endpoint withheld the answer: content_filter")
    if not response.strip():
        early = ": the output limit was reached before it began" if finish_reason == "length" else ""
        return Answer(Status.NO_ANSWER, f"the answer is empty{early}")
    text = without_reasoning(re.sub(r"\r\n?", "\n", response), list(base))
    expected = f"expected {' and '.join(base)}"
    if not text.strip() and finish_reason == "length":
        return Answer(Status.TRUNCATED, "the output limit was reached before the reasoning ended")
    if not text.strip():
        return Answer(Status.NO_CODE, f"the answer holds only reasoning; {expected}")
    told = edits.read(text, list(base))
    blocks, prose = read_blocks(told.rest)
    if _ends_in_a_spare_fence(blocks, base):
        blocks = blocks[:-1]
    if finish_reason == "length" or told.is_cut or any(not block.closed for block in blocks):
        holds = prose or told.edits or told.is_cut or any(block.body.strip() for block in blocks)
        end = text.rstrip()[-_STOPPED_CHARACTERS:] if holds else ""
        return Answer(Status.TRUNCATED, "the answer was cut before its end", prose=prose, detail=end)
    if form == "edits" and told.edits:
        return _edited(told.edits, blocks, prose, base)
    found, unnamed, twice = _files_of(blocks, base)
    if twice:
        return Answer(Status.BAD_ANSWER, f"two different blocks for {twice}", prose=prose)
    if not found:
        why = f"{unnamed} code block(s) without a file name" if unnamed else "no code block"
        why = "the answer holds edits, but whole files were requested" if told.edits else why
        return Answer(Status.NO_CODE, f"{why}; {expected}", prose=prose)
    files = {name: text if _is_unchanged(found.get(name, "")) else found[name] for name, text in base.items()}
    return Answer(Status.OK, files=files, prose=prose)


def _ends_in_a_spare_fence(blocks: Sequence[Block], base: Mapping[str, str]) -> bool:
    """Return whether every file has a closed block and the answer ends in an empty open one."""
    if not blocks or blocks[-1].closed or not _is_unchanged(blocks[-1].body):
        return False
    return _files_of([block for block in blocks if block.closed], base)[0].keys() == base.keys()


def _edited(told: Sequence[edits.Edit], blocks: Sequence[Block], prose: str, base: Mapping[str, str]) -> Answer:
    """Return the answer that consists of edits, with whole files beside them.

    Unnamed blocks below the name of an edited file quote its current text and are ignored.
    """
    names, edited = list(base), {edit.name for edit in told}
    own = [block for block in blocks if name_block(replace(block, above=""), names)[0] is not None]
    below = [block for block in blocks if name_block(block, names)[0] not in {None, *edited}]
    found, _, twice = _files_of([block for block in blocks if block in own or block in below], base)
    whole = {name: text for name, text in found.items() if not _is_unchanged(text)}
    twice = twice or next((name for name in whole if name in edited), None)
    if twice:
        return Answer(Status.BAD_ANSWER, f"two different blocks for {twice}", prose=prose)
    try:
        files = edits.apply(told, {**base, **whole})
    except edits.Misfit as misfit:
        return Answer(Status.BAD_ANSWER, misfit.reason, prose=prose, detail=misfit.quoted)
    return Answer(Status.OK, files=files, prose=prose)


def _files_of(blocks: Sequence[Block], base: Mapping[str, str]) -> tuple[dict[str, str], int, str | None]:
    """Return the files in the blocks, the number of other blocks, and a file that two blocks define differently, if any."""
    found: dict[str, str] = {}
    unnamed: list[Block] = []
    for block in blocks:
        name, body = name_block(block, list(base))
        if name is None:
            unnamed += [block] if block.body.strip() else []
        elif name in found and found[name].strip() != body.strip():
            return found, len(unnamed), name
        else:
            found[name] = body
    recognised: dict[str, str] = {}
    for block in unnamed:
        name = _recognised(block, base, alone=len(unnamed) == 1, whole=bool(found))
        if name is None or name in found:
            continue
        if name in recognised and recognised[name].strip() != block.body.strip():
            return found, len(unnamed), name
        recognised[name] = block.body
    return {**found, **recognised}, len(unnamed), None


def _recognised(block: Block, base: Mapping[str, str], *, alone: bool, whole: bool) -> str | None:
    """Return the file that an unnamed block defines, or None.

    Args:
        block: The block.
        base: The files.
        alone: Whether it is the only unnamed block.
        whole: Whether it must define everything that the file defined, because other blocks have names.
    """
    if (block.info.split() or [""])[0].lower() not in _PYTHON or _is_unchanged(block.body):
        return None
    mine = _definitions(block.body)
    theirs = {name: _definitions(text) for name, text in base.items()}
    kin = [name for name in base if mine & theirs[name]]
    if len(kin) == 1:
        return kin[0] if not whole or mine >= theirs[kin[0]] else None
    return next(iter(base)) if len(base) == 1 and alone else None


def _definitions(text: str) -> set[str]:
    """Return the names of the top-level classes and functions of a file."""
    tree = _tree(text)
    if tree is None:
        return set(filter(None, (m[1] for line in text.split("\n") if (m := _DEFINITION.match(line)))))
    return {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}


def _tree(text: str) -> ast.Module | None:
    try:
        return static.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def read_blocks(text: str) -> tuple[list[Block], str]:
    """Return the fenced blocks of `text` in order, and the text outside them."""
    from markdown_it import MarkdownIt

    lines = re.split(r"\r\n?|\n", text)  # the lines that the parser counts
    blocks, prose, after = [], [], 0
    for token in MarkdownIt("commonmark").parse(text):
        if token.type != "fence" or token.map is None:
            continue
        start, end = token.map
        prose += lines[after:start]
        above = next((line for line in reversed(lines[after:start]) if line.strip()), "")
        last = lines[end - 1].strip(" \t>") if end <= len(lines) else ""
        closed = end - start >= 2 and set(last) == {token.markup[0]} and len(last) >= len(token.markup)
        blocks.append(Block(token.info.strip(), token.content, above, bool(closed)))
        after = end
    prose += lines[after:]
    return blocks, "\n".join(prose).strip()


def name_block(block: Block, names: Sequence[str]) -> tuple[str | None, str]:
    """Return the file that a block is for, or None, and its body without a line that only names the file."""
    first, _, rest = block.body.lstrip("\n").partition("\n")
    bare = re.sub(r"^(?:#+|//|--)?\s*(?:file(?:name)?\s*:)?\s*", "", first.strip(), flags=re.IGNORECASE)
    bare = bare.strip("`*\"' :").removeprefix("./")
    for name in names:
        if bare.rsplit("/", 1)[-1] == name:
            return name, rest
    language = (block.info.split() or [""])[0].lower()
    above = block.above if language in _PYTHON else ""
    for place in (block.info, above):
        if told := edits.mentioned(place, names):
            return told, block.body
    return None, block.body


def _is_unchanged(body: str) -> bool:
    return all(not line.strip() or line.strip().startswith("#") for line in body.splitlines())


# ---- reasoning ----


def without_reasoning(text: str, names: Sequence[str] = ()) -> str:
    """Return `text` without the text between `<think>` and `</think>` where the tags stand outside a fence.

    If only `</think>` is present, the text before it is reasoning, unless it holds a file of `names` that the text after it
    does not hold, or blocks while the text after it has no block. If only `<think>` is present, everything after it is
    reasoning.
    """
    kept, start, at, fence, tries = "", 0, 0, fences.Fence(), _LONE_TAGS
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        opened = None if fence.mark else _THINKING.match(text, at, end)
        closed = None if fence.mark else _THOUGHT.search(text, at, end)
        if opened:
            kept += text[start:at]
            closed = _THOUGHT.search(text, opened.end())
            at = start = closed.end() if closed else len(text)
            continue
        tries -= bool(closed)
        if closed and tries >= 0 and _is_reasoning(kept + text[start : closed.start()], text[closed.end() :], names):
            kept, at, start = "", closed.end(), closed.end()
        else:
            fence.follow(text[at:end])
            at = end + 1
    return kept + text[start:]


def _is_reasoning(before: str, after: str, names: Sequence[str]) -> bool:
    drafted = {name_block(b, names)[0] for b in read_blocks(before)[0] if b.closed and b.body.strip()}
    given = {name_block(b, names)[0] for b in read_blocks(after)[0] if b.body.strip()}
    return (drafted - {None}) <= given and (bool(given) or not drafted)


# ---- an answer in two parts ----


def parse_continued(
    cut: str, rest: str, base: Mapping[str, str], finish_reason: str | None = "stop", form: "Form" = "files"
) -> Answer:
    """Parse an answer that was cut at the output limit, and its continuation.

    Join both in several ways, and try `rest` alone if it holds everything that `cut` began. Return the first result whose files
    are valid Python, else the first with files, else the failure of the plain join.
    """
    # A model may repeat a line of which only whitespace arrived, and may omit the newline before its continuation.
    end = cut.rstrip(" \t")
    ways = (joined(cut, rest), joined(end, rest) if end.endswith("\n") else "", joined(f"{cut}\n", rest))
    answers = [parse(text, base, finish_reason, form) for text in ways if text]
    if _holds_all_of(cut, rest, base):
        answers.append(parse(rest, base, finish_reason, form))
    whole = [answer for answer in answers if answer.files is not None]
    valid = [answer for answer in whole if all(_tree(text) is not None for text in (answer.files or {}).values())]
    return [*valid, *whole, *answers][0]


def _holds_all_of(cut: str, rest: str, base: Mapping[str, str]) -> bool:
    """Return whether everything that `cut` began is present in `rest`."""
    begun, anew = (edits.read(without_reasoning(part, list(base)), list(base)) for part in (cut, rest))
    files, found = (_files_of(read_blocks(told.rest)[0], base)[0] for told in (begun, anew))
    return files.keys() <= found.keys() and {e.search for e in begun.edits} <= {e.search for e in anew.edits}


def joined(cut: str, rest: str) -> str:
    """Join a cut answer and its continuation without the repeated part.

    The repetition may be the last lines of `cut`, the end of its last line, a reopened fence with a greeting or file
    name, or the cut block from its beginning, which then replaces the cut one.
    """
    cut, rest = (re.sub(r"\r\n?", "\n", part) for part in (cut, rest))
    cut, rest = without_reasoning(cut), _without_first_thoughts(rest)
    cut = cut[: edits.unfinished(cut, rest)]
    fence = fences.after(cut)
    opened = _opened_again(rest, fence) if fence.mark else None
    if opened is not None:
        at, body = opened
        start = fences.begin(cut)
        if _begins_again(cut[start:].partition("\n")[2], body):
            return cut[:start] + rest[at:]
        first, _, other = body.partition("\n")
        rest = other if len(first) < _NAME_CHARACTERS and _NAMING.match(first) else body
    return cut + rest[_overlap(cut, rest) :]


def _without_first_thoughts(rest: str) -> str:
    """Return a continuation without leading reasoning. Tags inside a file belong to the file."""
    while opened := _THINKING.match(rest):
        closed = _THOUGHT.search(rest, opened.end())
        rest = rest[closed.end() :].lstrip("\n") if closed else ""
    lone = _THOUGHT_ALONE.search(rest)
    return rest[lone.end() :].lstrip("\n") if lone else rest


def _opened_again(rest: str, fence: fences.Fence) -> tuple[int, str] | None:
    """Return the start of a reopened fence and the text after it, or None."""
    at, before = 0, 0
    for line in rest.split("\n"):
        opener = fences.opening(line)
        if opener is not None and opener.mark.startswith(fence.mark):
            follows = rest[at + len(line) + 1 :]
            again = not fence.is_closed_by(line) or (not before and _opens_a_block(follows, fence))
            return (at, follows) if again else None
        before += bool(line.strip())
        if before > _GREETING_LINES or (line.strip() and not _GREETING.match(line)):
            return None
        at += len(line) + 1
    return None


def _opens_a_block(follows: str, fence: fences.Fence) -> bool:
    """Return whether a bare fence opens a block: another bare fence closes it and all others form pairs."""
    marks = [line for line in follows.split("\n") if (found := fences.opening(line)) and found.mark[0] == fence.mark[0]]
    bare = [fence.is_closed_by(line) for line in marks]
    return bool(bare) and bare[0] and (2 * sum(bare) - len(bare)) % 2 == 1


def _begins_again(held: str, body: str) -> bool:
    """Return whether a reopened block is the cut block from its beginning."""
    old, new = ([line.strip("# `*:") for line in text.split("\n") if line.strip()][:2] for text in (held, body))
    return not old or (old == new[: len(old)] and not any(map(edits.is_marker, old)))


def _overlap(cut: str, rest: str) -> int:
    """Return how many characters at the end of `cut` are repeated by `rest`."""
    for n in range(min(len(cut), len(rest), _LONGEST_OVERLAP), _LEAST_OVERLAP - 1, -1):
        if cut.endswith(rest[:n]) and rest[:n].strip():
            is_line = n == len(cut) or cut[-n - 1] == "\n"
            if is_line or len(rest[:n].strip()) >= _LEAST_WITHIN_A_LINE:
                return n
    return 0
