"""The proposer as a Ray actor: asks asynchronously, beside the trainers. The key reaches it as an argument, in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from evo.config import Model
from evo.proposer.client import Endpoint, Proposer


class ProposerActor:
    """Made remote by `evo.driver.workers`; its methods are those of `Proposer`, with plain values."""

    def __init__(self, base_url: str, key: str, settings: Model) -> None:
        self._proposer = Proposer(Endpoint(base_url, key), settings)

    async def ask(self, messages: Sequence[Mapping[str, str]], seed: int) -> dict[str, Any]:
        """One answer."""
        return (await self._proposer.ask(messages, seed)).as_dict()
