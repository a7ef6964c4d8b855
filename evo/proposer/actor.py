"""Proposer as a Ray actor. It sends requests asynchronously, fetches the keys itself and keeps them in memory."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evo.config import Model
from evo.proposer import key
from evo.proposer.client import Endpoint, Proposer

_REAL_KEY = 12
"""Characters of a key that hides something; a local server's "none" or "t" may stand in any code."""


class ProposerActor:
    """Every model of a run, by label. Made remote by `evo.driver.workers`.

    Args:
        models: Models, each with its base URL.
        errand: Where to fetch the keys, as a JSON object from label to key.
    """

    def __init__(self, models: Sequence[tuple[Model, str]], errand: key.Errand) -> None:
        key.hide_memory()
        keys = json.loads(errand.fetch())
        self._proposers = {m.display_name: Proposer(Endpoint(url, keys[m.display_name]), m) for m, url in models}
        self._secrets = [known for known in keys.values() if len(known) >= _REAL_KEY]

    async def ready(self) -> None:
        """Return when the keys have arrived."""

    async def ask(
        self, called: str, messages: Sequence[Mapping[str, str]], seed: int, max_tokens: int | None = None
    ) -> dict[str, Any]:
        """Return one reply as plain values. Any repetition of a key is removed, because replies are stored."""
        answered = (await self._proposers[called].ask(messages, seed, max_tokens)).as_dict()
        return {name: self._without_keys(value) for name, value in answered.items()}

    def _without_keys(self, value: Any) -> Any:
        if isinstance(value, str):
            for known in self._secrets:
                value = value.replace(known, "…")
        return value
