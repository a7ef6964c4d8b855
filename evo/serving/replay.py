"""A run's recorded answers behind an OpenAI-compatible endpoint: the run again, or a test of real answers, with no model.

It reads the run's `calls` once and writes nothing.
"""

import json
import threading
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evo import rng
from evo.errors import EvoError
from evo.serving.http import ChatServer
from evo.serving.wire import Answer, Question, Refusal, Usage
from evo.status import Status

_EMPTY = "the answer is empty"
"""How `evo.proposer.reply` begins the reason of a call that was answered, with nothing."""
_Key = tuple[int, int]  # candidate and attempt


class ReplayServer(ChatServer):
    """Serves from construction until `close`; also a context manager.

    A request is matched by its messages. Where several recorded calls have them, the one that was asked with the request's
    seed answers, else the first that answered none yet; the same messages and seed get the same answer ever after. Where
    no call has the messages, the one that was asked with the seed answers: a run whose prompts are worded otherwise today
    can be replayed still. Else the request is refused with 400.

    The text, the reasoning, the model's name and the tokens are those that were recorded, and tokens that were not are left
    out; the finish reason too, or "stop" where there was none. A call whose answer was empty is repeated as such, and
    one that was refused is refused again, with 400 and the recorded reason. What a request asks for besides is ignored.

    Args:
        run_path: the run's folder.
        port: 0 for any free one.
        token: what clients must send as their key; None for a random one.

    Raises:
        EvoError: no run is there, it holds no calls, or one of them cannot be read.
        OSError: the port is taken.
    """

    def __init__(self, run_path: Path, port: int = 0, token: str | None = None) -> None:
        super().__init__(_Recorded(run_path), port, token)


class _Recorded:
    """Who answers: the recorded calls."""

    model_id = fingerprint = "recorded"

    def __init__(self, run_path: Path) -> None:
        self._run = run_path.name
        seed = _search_seed(run_path)
        self._rows = {(row["id"], row["attempt"]): row for row in _calls(run_path)}
        self._seeds = {key: rng.answer_seed(seed, *key) for key in self._rows}
        self._by_seed = {number: key for key, number in reversed(self._seeds.items())}
        self._by_messages: dict[str, list[_Key]] = {}
        for key, row in self._rows.items():
            self._by_messages.setdefault(_canonical(json.loads(row["messages"])), []).append(key)
        self._lock = threading.Lock()
        self._given: dict[str, dict[int, _Key]] = {}  # by messages and seed

    def answer(self, question: Question) -> Answer:
        """What was answered then."""
        key = self._find(_canonical(question.messages), question.seed)
        if key is None:
            raise Refusal(400, f"run {self._run} holds no answer to this prompt", "no_recorded_answer")
        row = self._rows[key]
        failed = row["status"] != Status.OK
        if failed and not (row["reason"] or _EMPTY).startswith(_EMPTY):
            raise Refusal(400, row["reason"], "recorded")
        return Answer(
            "" if failed else row["response"] or "",
            row["finish_reason"] or "stop",
            Usage(row["input_tokens"], row["output_tokens"]),
            row["model"] or "",
            row.get("reasoning") or "",
        )

    def _find(self, messages: str, seed: int) -> _Key | None:
        """The call that answers; of several with these messages none answers twice before each has answered once."""
        if messages not in self._by_messages:
            return self._by_seed.get(seed)
        with self._lock:
            given = self._given.setdefault(messages, {})
            if seed not in given:
                keys, used = self._by_messages[messages], list(given.values())
                with_seed = [key for key in keys if self._seeds[key] == seed]
                given[seed] = with_seed[0] if with_seed else min(keys, key=used.count)
            return given[seed]


def _canonical(messages: Any) -> str:
    """Equal for messages that are equal as JSON."""
    return json.dumps(messages, sort_keys=True)


def _search_seed(run_path: Path) -> int:
    """The seed of the recorded search.

    Raises:
        EvoError: its frozen configuration cannot be read.
    """
    try:
        config = tomllib.loads((run_path / "config.toml").read_text(encoding="utf-8"))
        return int(config["seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvoError(f"the frozen configuration of {run_path} cannot be read: {error}", kind="run") from None


def _calls(run_path: Path) -> Iterable[Mapping[str, Any]]:
    """The recorded calls in the order of candidates and attempts.

    Raises:
        EvoError: there is none, or one cannot be read.
    """
    from evo.lineage import store

    files = (run_path / "lineage" / "calls").glob("[0-9]*.parquet")
    rows = [row for path in files for row in store.read_file(path, "calls")]
    if not rows:
        raise EvoError(f"run {run_path.name} holds no recorded answers", hint="evo runs", kind="run")
    return sorted(rows, key=lambda row: (row["id"], row["attempt"]))
