"""Batches of one training, drawn and counted outside the sandbox.

A sandbox holds no text. The harness requests each batch over a pipe, so the number, part and shape of the batches are
measured rather than reported by the candidate. Batches never contain held-out tokens.
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
"""Reply that ends a short run. A reply with a batch starts with a different byte."""


class BatchFeed:
    """Source of the batches of one training.

    Args:
        tokens: parts of the text by name, uint16, shape (n,) each. Batches come from `PARTS` only, which candidates may see.
        batch_size: sequences in a batch.
        block_size: tokens in a sequence. A batch holds one more token per sequence, for the targets.
        data_seed: random seed of the data order, the same for every candidate of a replicate. Each part has its own
            generator.
        batches: number of batches that a training may draw.
        probe: callback for the moment the training reports that its weights are saved. Returns the windows that the
            trained model must answer. They are not chosen before that moment.
        stop_after: training batches after which a short run ends; None for a full training.
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
        """Return the reply to a one-byte request of the harness.

        Returns:
            A zero byte followed by uint16 tokens: a batch (batch_size, block_size + 1) or the probe (rows, block_size).
            `OVER` once a short run has ended or the weights are saved.

        Raises:
            LimitReached: if the training requests too many batches, requests the probe twice, or sends an unknown byte.
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
        """Return why a finished training drew too few batches, or an empty string if it drew enough."""
        expected = self._expected.train
        if expected is None or self._stop_after is not None or self.drawn["train"] >= expected:
            return ""
        return self._wrong("train", f"{self.drawn['train']} drawn")

    def _wrong(self, part: str, found: str) -> str:
        expected = f"expected {self._expected.train}" if part == "train" else f"expected at most {self._expected.val}"
        return f"batches of {part}: {expected} drawn in a training, found {found}"
