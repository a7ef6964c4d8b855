"""Repair of text that was decoded with the wrong encoding, word by word.

White space, quotes, ASCII and correct words never change.
"""

import codecs
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mend:
    """Repaired word: line number from 1, word before, word after."""

    line: int
    before: str
    after: str


# UTF-8 that was read as Mac OS Roman: two bytes that begin with C3, C4 or C5 (letters with marks), or E2 80 and a third
# (dashes, quotes). Other pairs are left alone: in "l’été" the apostrophe and the é would make a letter of Armenian.
_CONTINUATION = bytes(range(0x80, 0xC0)).decode("mac_roman")
_MAC_ROMAN = re.compile(f"[√ƒ≈][{re.escape(_CONTINUATION)}]|‚Ä[{re.escape(_CONTINUATION)}]")
_MATHEMATICS = frozenset("∞±≤≥≠µ∂∑∏π∫Ω")
_FEWEST_LETTERS = 4
"""Letters in a row that make "√π" a damaged ù and not the root of pi."""
_MOST_REGISTRATIONS = 8


def mend(text: str) -> tuple[str, list[Mend]]:
    """Repair every damaged word. Return the text and the repairs in order.

    Words are separated by ASCII white space. Each word goes through ftfy's `fix_encoding`; a word that ftfy leaves
    alone is searched for UTF-8 that was read as Mac OS Roman.
    """
    mends: list[Mend] = []
    if text.isascii():
        return text, mends
    fix_encoding = _fix_encoding()
    words = re.split(r"([ \t\n\r\f\v]+)", text)
    line = 1
    for at, word in enumerate(words):
        if not word.isascii():
            fixed = fix_encoding(word)
            words[at] = fixed if fixed != word else _MAC_ROMAN.sub(_from_mac_roman, word)
            if words[at] != word:
                mends.append(Mend(line, word, words[at]))
        line += word.count("\n")
    return "".join(words), mends


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
    """Call `ftfy.fix_encoding`, imported lazily."""
    # A dependency of a dependency, future_typing, starts with every interpreter through a .pth file (once for each time
    # that the file is found) and registers a codec search function that answers for every name Python itself does not
    # know. It hides the codecs that ftfy registers for its own use, and importing ftfy fails. Nothing here needs
    # future_typing's source encoding, so it goes.
    if "future_typing" in sys.modules:
        import future_typing.codec

        for _ in range(_MOST_REGISTRATIONS):
            codecs.unregister(future_typing.codec.search_function)
    from ftfy import fix_encoding

    return fix_encoding  # type: ignore[no-any-return,unused-ignore]
