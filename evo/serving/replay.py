"""OpenAI-compatible endpoint that serves the recorded answers of a run, to repeat the run without a model.

It reads the `calls` of the run once and writes nothing.
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
"""Start of the reason that `evo.proposer.reply` gives for an empty answer."""
_Key = tuple[int, int]  # candidate and attempt


class ReplayServer(ChatServer):
    """Server of recorded answers. It serves from construction until `close`; also a context manager.

    A request is matched by its messages. If several recorded calls have the same messages, the call with the seed of the
    request answers, else the first call that has not answered yet. The same messages and seed always get the same answer. If
    no call has the messages, the call with the seed answers, so a run can be replayed although the wording of its prompts has
    changed. Else the request is refused with 400.

    Text, reasoning, model name, tokens and finish reason are the recorded ones; a missing finish reason becomes "stop". An empty
    answer stays empty. A failed call is refused with 400 and the recorded reason. Other parameters of the request are ignored.

    Args:
        run_path: Folder of the run.
        port: Port. 0 for any free port.
        token: Key that clients must send. None for a random one.

    Raises:
        EvoError: There is no run, it holds no calls, or a call cannot be read.
        OSError: The port is taken.
    """

    def __init__(self, run_path: Path, port: int = 0, token: str | None = None) -> None:
        super().__init__(_Recorded(run_path), port, token)


class _Recorded:
    """Responder that returns the recorded answers."""

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
        """Return the recorded answer to a question."""
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
        """Return the call that answers. Of several with these messages, the least used one answers."""
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
    """Return a text that is equal for messages that are equal as JSON."""
    return json.dumps(messages, sort_keys=True)


def _search_seed(run_path: Path) -> int:
    """Return the seed of the recorded search.

    Raises:
        EvoError: The frozen configuration cannot be read.
    """
    try:
        config = tomllib.loads((run_path / "config.toml").read_text(encoding="utf-8"))
        return int(config["seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvoError(f"the frozen configuration of {run_path} cannot be read: {error}", kind="run") from None


def _calls(run_path: Path) -> Iterable[Mapping[str, Any]]:
    """Return the recorded calls, ordered by candidate and attempt.

    Raises:
        EvoError: There is no call, or a call cannot be read.
    """
    from evo.lineage import store

    files = (run_path / "lineage" / "calls").glob("[0-9]*.parquet")
    rows = [row for path in files for row in store.read_file(path, "calls")]
    if not rows:
        raise EvoError(f"run {run_path.name} holds no recorded answers", hint="evo runs", kind="run")
    return sorted(rows, key=lambda row: (row["id"], row["attempt"]))
