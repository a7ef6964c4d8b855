"""The files that an answer holds, found with a Markdown parser, or the name of what is wrong with it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evo.status import Status


@dataclass(frozen=True)
class Answer:
    """What became of a response.

    `files` holds every file of the evaluator, unchanged ones as given; it is None where `status` is not OK.
    """

    status: Status
    reason: str = ""
    files: dict[str, str] | None = None
    prose: str = ""
    """The text outside the blocks."""


@dataclass(frozen=True)
class Block:
    """One fenced block: its info string, its body, the last line of text above it."""

    info: str
    body: str
    above: str
    closed: bool


def parse(response: str, base: Mapping[str, str], finish_reason: str | None = "stop") -> Answer:
    """Read `response` as new texts of the files in `base`.

    A file's name may stand as the block's first line, in a comment there, in the fence's info string or in the line
    above. A block that is empty or holds only comments, and a file without a block, mean unchanged.
    """
    if not response.strip():
        return Answer(Status.NO_ANSWER, "the answer is empty")
    blocks, prose = read_blocks(response)
    if finish_reason == "length" or any(not block.closed for block in blocks):
        return Answer(Status.TRUNCATED, "the answer was cut before its end", prose=prose)
    found: dict[str, str] = {}
    unnamed = 0
    for block in blocks:
        name, body = name_block(block, list(base))
        if name is None:
            unnamed += bool(block.body.strip())
        elif name in found and found[name].strip() != body.strip():
            return Answer(Status.BAD_ANSWER, f"two different blocks for {name}", prose=prose)
        else:
            found[name] = body
    if not found:
        why = f"{unnamed} code block(s) without a file name" if unnamed else "no code block"
        return Answer(Status.NO_CODE, f"{why}; expected {' and '.join(base)}", prose=prose)
    files = {name: text if _is_unchanged(found.get(name, "")) else found[name] for name, text in base.items()}
    return Answer(Status.OK, files=files, prose=prose)


def read_blocks(text: str) -> tuple[list[Block], str]:
    """The fenced blocks of `text` in order, and the text outside them."""
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
    """The file that a block is for, or None, and its body without a line that only names it."""
    first, _, rest = block.body.lstrip("\n").partition("\n")
    bare = re.sub(r"^(?:#+|//|--)?\s*(?:file(?:name)?\s*:)?\s*", "", first.strip(), flags=re.IGNORECASE)
    bare = bare.strip("`*\"' :").removeprefix("./")
    for name in names:
        if bare.rsplit("/", 1)[-1] == name:
            return name, rest
    language = (block.info.split() or [""])[0].lower()
    above = block.above if language in ("", "python", "python3", "py") else ""
    for place in (block.info, above):
        mentioned = [name for name in names if re.search(rf"(?<![\w.-]){re.escape(name)}(?!\w)", place)]
        if len(mentioned) == 1:
            return mentioned[0], block.body
    return None, block.body


def _is_unchanged(body: str) -> bool:
    return all(not line.strip() or line.strip().startswith("#") for line in body.splitlines())
