"""Word-by-word repair of text that was decoded with the wrong encoding.

Whitespace, quotes, ASCII and correct words never change.
"""

import codecs
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Repair:
    """Repaired word, with its line number (from 1) and the word before and after the repair."""

    line: int
    before: str
    after: str


# UTF-8 decoded as Mac OS Roman: two bytes that begin with C3, C4 or C5 (letters with diacritics), or three bytes that
# begin with E2 80 (dashes, quotes). Other pairs are ambiguous: "’é" in "l’été" would decode to an Armenian letter.
_CONTINUATION = bytes(range(0x80, 0xC0)).decode("mac_roman")
_MAC_ROMAN = re.compile(f"[√ƒ≈][{re.escape(_CONTINUATION)}]|‚Ä[{re.escape(_CONTINUATION)}]")
_MATHEMATICS = frozenset("∞±≤≥≠µ∂∑∏π∫Ω")
_FEWEST_LETTERS = 4
"""Minimum number of letters in a row at which "√π" counts as a damaged ù and not as the root of pi."""
_MOST_REGISTRATIONS = 8


def repair(text: str) -> tuple[str, list[Repair]]:
    """Repair every damaged word. Return the text and the repairs in order.

    Words are separated by ASCII whitespace. Each word is passed to ftfy's `fix_encoding`. If ftfy does not change the
    word, UTF-8 that was decoded as Mac OS Roman is repaired.
    """
    repairs: list[Repair] = []
    if text.isascii():
        return text, repairs
    fix_encoding = _fix_encoding()
    words = re.split(r"([ \t\n\r\f\v]+)", text)
    line = 1
    for at, word in enumerate(words):
        if not word.isascii():
            fixed = fix_encoding(word)
            words[at] = fixed if fixed != word else _MAC_ROMAN.sub(_from_mac_roman, word)
            if words[at] != word:
                repairs.append(Repair(line, word, words[at]))
        line += word.count("\n")
    return "".join(words), repairs


def _from_mac_roman(found: re.Match[str]) -> str:
    try:
        mended = found[0].encode("mac_roman").decode("utf-8")
    except UnicodeDecodeError:
        return found[0]
    if found[0][-1] in _MATHEMATICS and found[0][0] != "‚":
        before = re.search(r"[^\W\d_]*\Z", found.string[: found.start()])
        after = re.match(r"[^\W\d_]*", found.string[found.end() :])
        if len((before[0] if before else "") + mended + (after[0] if after else "")) < _FEWEST_LETTERS:
            return found[0]
    return mended


def _fix_encoding() -> Callable[[str], str]:
    """Import and return `ftfy.fix_encoding`."""
    # A .pth file loads the transitive dependency future_typing at interpreter startup, once for each copy of the file.
    # future_typing registers a codec search function that claims every name unknown to Python. The function hides the
    # codecs that ftfy registers, and importing ftfy fails. Nothing here uses future_typing's source encoding, so
    # unregister it.
    if "future_typing" in sys.modules:
        import future_typing.codec

        for _ in range(_MOST_REGISTRATIONS):
            codecs.unregister(future_typing.codec.search_function)
    from ftfy import fix_encoding

    return fix_encoding  # type: ignore[no-any-return,unused-ignore]
