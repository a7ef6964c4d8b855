"""The catalogue behind an OpenAI-compatible HTTP endpoint on this machine's loopback address.

It is rule-based and offline: it reads prompts and answers with known edits. It opens no connection and writes no file.
"""

import threading
import time

from evo.catalogue import faults
from evo.catalogue.answers import compose
from evo.catalogue.edits import VERSION
from evo.serving.http import ChatServer
from evo.serving.wire import Answer, Question, Refusal, Reset, Usage, count

MODEL_ID = "catalogue"
FINGERPRINT = f"catalogue-{VERSION}"


class CatalogueServer(ChatServer):
    """A catalogue that serves from construction until `close`; also a context manager.

    Args:
        port: 0 for any free one.
        token: what clients must send as their key; None for a random one.
        faults: a specification as in `evo.catalogue.faults.parse`.

    Raises:
        EvoError: faults that cannot be read.
        OSError: the port is taken.

    """

    def __init__(self, port: int = 0, token: str | None = None, faults: str = "") -> None:
        super().__init__(_Catalogue(faults), port, token)


class _Catalogue:
    """Who answers: the catalogue, with the faults that it was told to have."""

    model_id = MODEL_ID
    fingerprint = FINGERPRINT

    def __init__(self, spec: str) -> None:
        self._faults = faults.parse(spec)
        self._lock = threading.Lock()
        self._tried: set[str] = set()

    def answer(self, question: Question) -> Answer:
        """The catalogue's answer, as the fault that the request meets leaves it."""
        kind = self._fault(question.key)
        if kind == "429":
            raise Refusal(429, "told to refuse this request once", "rate_limit_exceeded", {"Retry-After": "0"})
        if kind == "500":
            raise Refusal(500, "told to fail this request once", "told_to")
        if kind == "reset":
            raise Reset
        if kind == "slow":
            time.sleep(self._faults.slow_seconds)
        text, finish = faults.spoil(kind, compose(question.messages, question.seed))
        if question.max_tokens is not None and count(text) > question.max_tokens:
            cut = text.encode("utf-8", "surrogatepass")[: 4 * question.max_tokens]
            text, finish = cut.decode(errors="ignore"), "length"
        return Answer(text, finish, Usage.counted(question, text))

    def _fault(self, key: str) -> str | None:
        """The fault that the request `key` meets at this try."""
        with self._lock:
            first = key not in self._tried
            self._tried.add(key)
        kind = self._faults.draw(key)
        return None if kind in faults.ONCE and not first else kind
