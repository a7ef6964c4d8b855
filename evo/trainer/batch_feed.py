"""The feed: a training's batches, drawn and counted on our side of the sandbox.

No text lies in a sandbox: the harness asks for a batch and gets it over a pipe, so that how many were drawn, of which
part and of which shape is known and not believed. It never sees a held-out token.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from evo.evaluator import Batches
from evo.status import Status
from evo.trainer.processes import LimitReached

Tokens = npt.NDArray[np.uint16]
PARTS = ("train", "val")
OVER = b"\1"
"""The answer that ends a short run; a batch begins with another byte."""


class Feed:
    """The batches of one training.

    Args:
        tokens: the parts that candidates see, uint16, shape (n,) each.
        batch_size: sequences in a batch.
        block_size: tokens in a sequence; a batch holds one more a sequence, for the targets.
        data_seed: of the order, on generators of their own: the same for every candidate of a replicate.
        batches: how many may be drawn.
        probe: called when the training says that its weights are saved: windows that the trained model is to answer, chosen
            then and only then.
        stop_after: ends a short run when so many training batches were drawn; None for a full training.
    """

    def __init__(
        self,
        tokens: Mapping[str, Tokens],
        batch_size: int,
        block_size: int,
        data_seed: int,
        batches: Batches,
        probe: Callable[[], Tokens],
        stop_after: int | None = None,
    ) -> None:
        self._tokens, self._shape, self._stop_after = tokens, (batch_size, block_size), stop_after
        self._generators = {part: np.random.default_rng([data_seed, place]) for place, part in enumerate(PARTS)}
        self._expected, self._probe = batches, probe
        self._most = {"train": None if batches.train is None else batches.train + 1, "val": batches.val}
        self.drawn = dict.fromkeys(PARTS, 0)
        self.cut_off = self._saved = False

    def answer(self, request: bytes) -> bytes:
        """What the harness gets for one byte: a zero byte and a batch (batch_size, block_size + 1) of uint16, or the probe
        (rows, block_size), or `OVER`.

        Raises:
            LimitReached: more batches than a training may draw, or a byte that asks for nothing.
        """
        if request == b"p":
            if self._saved:
                raise LimitReached(Status.CONTRACT, "said twice that its weights are saved")
            self._saved = True
            return b"\0" + self._probe().astype("<u2").tobytes()
        part = {b"t": "train", b"v": "val"}.get(request)
        if part is None:
            raise LimitReached(Status.CONTRACT, "wrote into the pipe of the harness")
        if self.cut_off or self._saved or (part == "train" and self.drawn[part] == self._stop_after):
            self.cut_off = self.cut_off or not self._saved
            return OVER
        if self.drawn[part] == self._most[part]:
            raise LimitReached(Status.PROTECTED_SETTING, self._wrong(part, f"more than {self._most[part]} asked for"))
        self.drawn[part] += 1
        batch_size, block_size = self._shape
        tokens = self._tokens[part]
        starts = self._generators[part].integers(len(tokens) - block_size, size=(batch_size, 1))
        batch: bytes = tokens[starts + np.arange(block_size + 1)].astype("<u2").tobytes()
        return b"\0" + batch

    def shortfall(self) -> str:
        """What is wrong with the number of batches of a training that has ended; empty where nothing is."""
        expected = self._expected.train
        if expected is None or self._stop_after is not None or self.drawn["train"] >= expected:
            return ""
        return self._wrong("train", f"{self.drawn['train']} drawn")

    def _wrong(self, part: str, found: str) -> str:
        expected = f"expected {self._expected.train}" if part == "train" else f"expected at most {self._expected.val}"
        return f"batches of {part}: {expected} drawn in a training, found {found}"
