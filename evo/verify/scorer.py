"""The scorer: computes the held-out loss of a trained model from logits alone. No line of a candidate's runs here.

It holds the targets; the model server, in a sandbox, gets windows of tokens and never a target.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evo.status import Status

Tokens = npt.NDArray[np.uint16]
Ask = Callable[[Tokens], npt.NDArray[np.float32]]
"""Windows (rows, columns) → logits (rows, columns, vocab)."""

_LOGIT_BYTES = 16_000_000
"""The most that one answer of the model server may hold."""
PROBE_TOLERANCE = 1e-4
"""Between logits of the trained and of the rebuilt model, absolute, on logits below 10; relative above."""


@dataclass(frozen=True)
class Score:
    """What the scorer found.

    Attributes:
        status: OK, NOT_FINITE or NOT_REBUILDABLE.
        val_loss: mean cross-entropy in nats a token over the whole held-out part, None where status is not OK.
        bits_per_byte: the same in bits a byte of the text.
    """

    status: Status
    reason: str = ""
    val_loss: float | None = None
    bits_per_byte: float | None = None


def probe_windows(tokens: Tokens, block_size: int, rows: int = 4) -> Tokens:
    """The windows on which the trained and the rebuilt model must agree: the first of a part that candidates see."""
    return tokens[: rows * block_size].reshape(rows, block_size)


def same_logits(trained: npt.NDArray[np.float32], rebuilt: npt.NDArray[np.float32]) -> bool:
    """Whether two sets of logits agree within `PROBE_TOLERANCE`."""
    return trained.shape == rebuilt.shape and bool(
        np.allclose(rebuilt, trained, rtol=PROBE_TOLERANCE / 10, atol=PROBE_TOLERANCE, equal_nan=False)
    )


def rows_a_request(block_size: int, vocab_size: int) -> int:
    """Windows in one request, the same for every request of an evaluator: shapes are kept fixed."""
    return max(1, min(64, _LOGIT_BYTES // (4 * block_size * vocab_size)))


def score(tokens: Tokens, n_bytes: int, block_size: int, vocab_size: int, ask: Ask) -> Score:
    """The mean loss of `tokens[1:]`, each predicted once from its window of at most `block_size` tokens before it.

    Args:
        tokens: the held-out part, uint16, shape (n,), n > block_size.
        n_bytes: bytes of its text.
        ask: the model server.
    """
    inputs, targets, counted = windows_of(tokens, block_size)
    rows = rows_a_request(block_size, vocab_size)
    total = 0.0
    for first in range(0, len(inputs), rows):
        chunk = slice(first, first + rows)
        asked = inputs[chunk]
        short = rows - len(asked)
        if short:
            asked = np.concatenate([asked, np.repeat(asked[-1:], short, axis=0)])
        logits = ask(asked)[: rows - short]
        if not np.isfinite(logits).all():
            return Score(Status.NOT_FINITE, "the trained model's logits are not finite")
        total += float(losses(logits, targets[chunk])[counted[chunk]].sum())
    n = len(tokens) - 1
    return Score(Status.OK, val_loss=total / n, bits_per_byte=total / math.log(2) / n_bytes)


def windows_of(tokens: Tokens, block_size: int) -> tuple[Tokens, Tokens, npt.NDArray[np.bool_]]:
    """Inputs, targets and which targets count, each (windows, block_size).

    Windows follow each other without overlap, but for the last, which ends with the part; targets that stood in the
    window before are not counted twice.
    """
    n = len(tokens) - 1
    starts = np.arange(0, n - block_size + 1, block_size)
    rest = n - (int(starts[-1]) + block_size)
    if rest:
        starts = np.append(starts, n - block_size)
    offsets = starts[:, None] + np.arange(block_size)
    counted = np.ones(offsets.shape, dtype=np.bool_)
    if rest:
        counted[-1, : block_size - rest] = False
    return tokens[offsets], tokens[offsets + 1], counted


def losses(logits: npt.NDArray[np.float32], targets: Tokens) -> npt.NDArray[np.float64]:
    """Cross-entropy of each target in nats, in float64: log(sum(exp(logits))) - logit of the target."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=-1, keepdims=True)
    normaliser = np.log(np.exp(wide - top).sum(axis=-1)) + top[..., 0]
    chosen: npt.NDArray[np.float64] = np.take_along_axis(wide, targets[..., None].astype(np.int64), axis=-1)[..., 0]
    per_token: npt.NDArray[np.float64] = normaliser - chosen
    return per_token
