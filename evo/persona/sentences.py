"""Sentence splitting of the prose before the first section, to find the persona's name and stance.

This module defines where a sentence ends. It never changes the text.
"""

import re
from collections.abc import Iterator

_LONGEST_NAME = 60  # characters; a longer "name" is a description, and only its first words are used
_FIRST_WORDS = 4
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)\]*]*(?=[ \t\r\n]+[^ \t\r\n])|[。！？]+(?=[^ \t\r\n])")
_ABBREVIATIONS = {"dr", "mr", "mrs", "ms", "st", "prof", "sr", "jr", "e.g", "i.e", "vs", "cf", "etc", "no"}
_OPENING = re.compile(r"(?:you are|you're|imagine you are|act as|your name is)\s+(?:an?\s+|the\s+)?", re.IGNORECASE)
_NAME_END = re.compile(r"[,;:(，、。]|\s[-–—]\s|—|\s(?:who|whom|whose|known|that|which|and you)\b|[.!?]+\Z")


def sentence_ends(text: str) -> Iterator[int]:
    """Yield the end offset of each sentence except the last."""
    for end in _SENTENCE_END.finditer(text):
        word = text[: end.start()].rsplit(None, 1)[-1:] or [""]
        bare = word[0].lstrip("(\"'“‘")
        initial = len(bare) == 1 and bare.isupper()
        follows = text[end.end() :].lstrip()[:1]
        if not (initial or bare.lower() in _ABBREVIATIONS or follows.islower()):
            yield end.end()


def split_stance(paragraph: str) -> tuple[str, str]:
    """Split a paragraph into (task, stance) before its last sentence. Return (paragraph, "") if it has only one sentence."""
    ends = list(sentence_ends(paragraph))
    if not ends:
        return paragraph, ""
    stance = paragraph[ends[-1] :].lstrip()
    return paragraph[: len(paragraph) - len(stance)], stance


def name_of(identity: str) -> str:
    """Return the persona's name: NAME in "You are NAME, ..." and similar openings, else the first words of the identity."""
    words = " ".join(identity.split())
    said = _OPENING.sub("", words, count=1) if _OPENING.match(words) else words
    first = next(sentence_ends(said), len(said))
    name = said[:first].rstrip(".!?。！？ ")
    if end := _NAME_END.search(name):
        name = name[: end.start()]
    name = name.strip(" *_\"'“”")
    if name and len(name) <= _LONGEST_NAME:
        return name
    return " ".join((name or words).split()[:_FIRST_WORDS])[:_LONGEST_NAME]
