"""OpenAI-compatible HTTP server for the catalogue, on the loopback address.

The catalogue is rule-based and offline: it answers prompts with known edits, opens no connections and writes no files.
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
    """Server for the catalogue. It serves from construction until `close`, and is a context manager.

    Args:
        port: Port to listen on. 0 for any free port.
        token: API key that clients must send. None for a random key.
        faults: Faults to simulate, in the format of `evo.catalogue.faults.parse`.

    Raises:
        EvoError: The faults cannot be parsed.
        OSError: The port is in use.
    """

    def __init__(self, port: int = 0, token: str | None = None, faults: str = "") -> None:
        super().__init__(_Catalogue(faults), port, token)


class _Catalogue:
    """Catalogue with simulated faults, as the backend of the server."""

    model_id = MODEL_ID
    fingerprint = FINGERPRINT

    def __init__(self, spec: str) -> None:
        self._faults = faults.parse(spec)
        self._lock = threading.Lock()
        self._tried: set[str] = set()

    def answer(self, question: Question) -> Answer:
        """Answer a question, with the fault drawn for the request applied."""
        kind = self._fault(question.key)
        if kind == "429":
            raise Refusal(
                429, "simulated fault: this request is refused once", "rate_limit_exceeded", {"Retry-After": "0"}
            )
        if kind == "500":
            raise Refusal(500, "simulated fault: this request fails once", "simulated_fault")
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
        """Return the fault of this attempt of the request `key`, or None."""
        with self._lock:
            first = key not in self._tried
            self._tried.add(key)
        kind = self._faults.draw(key)
        return None if kind in faults.ONCE and not first else kind
