"""Scorer: computes the held-out loss of a trained model from its logits. Runs no candidate code.

The scorer holds the targets; the model server in the sandbox gets windows of tokens only. This is the first of two passes;
`evo.verify.probes` is the second.
"""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evo.status import Status

Tokens = npt.NDArray[np.uint16]
Ask = Callable[[Tokens], npt.NDArray[np.float32]]
"""Windows (rows, columns) → logits (rows, columns, vocab)."""
Seen = Callable[[int, npt.NDArray[np.float32], npt.NDArray[np.float64]], None]

_LOGIT_BYTES = 16_000_000
"""The most that one answer of the model server may hold."""
_BLOCK_BYTES = 4096
"""Of text, whose mean losses tell how much the choice of text matters."""


@dataclass(frozen=True)
class Score:
    """Result of the scorer.

    Attributes:
        status: OK, NOT_FINITE, or the finding of the probes.
        val_loss: Mean cross-entropy in nats per token over the whole part, None unless the status is OK.
        bits_per_byte: The same in bits per byte of text.
        text_se: Standard error of `val_loss` from the choice of text, over blocks of 4 kB; None with fewer than two blocks.
    """

    status: Status
    reason: str = ""
    val_loss: float | None = None
    bits_per_byte: float | None = None
    text_se: float | None = None


def rows_a_request(block_size: int, vocab_size: int) -> int:
    """Return the number of windows per request. It is fixed for an evaluator, so shapes do not vary."""
    return max(1, min(64, _LOGIT_BYTES // (4 * block_size * vocab_size)))


def score(
    tokens: Tokens, n_bytes: int, block_size: int, vocab_size: int, ask: Ask, seen: Seen = lambda *_: None
) -> Score:
    """Return the mean loss of `tokens[1:]`, each predicted once from at most `block_size` tokens before it.

    Args:
        tokens: The part, uint16, shape (n,), n > block_size.
        n_bytes: Bytes of its text.
        ask: Model server.
        seen: Receives the index of the first window of each request, its logits, and their losses (float64, nats).
    """
    inputs, targets, counted = windows_of(tokens, block_size)
    by_token = np.zeros(inputs.shape)
    for first, asked in requests(inputs, rows_a_request(block_size, vocab_size)):
        rows = slice(first, min(first + len(asked), len(inputs)))
        logits = ask(asked)[: rows.stop - first]
        if not np.isfinite(logits).all():
            return Score(Status.NOT_FINITE, "the trained model's logits are not finite")
        by_token[rows] = losses(logits, targets[rows])
        seen(first, logits, by_token[rows])
    flat = by_token[counted]
    total = float(flat.sum())
    return Score(
        Status.OK,
        val_loss=total / len(flat),
        bits_per_byte=total / math.log(2) / n_bytes,
        text_se=_text_se(flat, n_bytes),
    )


def requests(windows: Tokens, rows: int) -> Iterator[tuple[int, Tokens]]:
    """Yield (index of the first window, windows), `rows` windows each. The last request is padded with copies."""
    for first in range(0, len(windows), rows):
        asked = windows[first : first + rows]
        short = rows - len(asked)
        yield first, np.concatenate([asked, np.repeat(asked[-1:], short, axis=0)]) if short else asked


def _text_se(losses_by_token: npt.NDArray[np.float64], n_bytes: int) -> float | None:
    """Return the standard error of the mean over blocks of `_BLOCK_BYTES` of text: standard deviation / sqrt(blocks)."""
    blocks = round(n_bytes / _BLOCK_BYTES)
    if blocks < 2:
        return None
    means = [float(block.mean()) for block in np.array_split(losses_by_token, blocks)]
    return statistics.stdev(means) / math.sqrt(blocks)


def windows_of(tokens: Tokens, block_size: int) -> tuple[Tokens, Tokens, npt.NDArray[np.bool_]]:
    """Return inputs, targets and the mask of counted targets, each of shape (windows, block_size).

    Windows do not overlap, except the last one, which ends with the part; its repeated targets do not count.
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
    """Return the cross-entropy of each target in nats, float64: log(sum(exp(logits))) - logit of the target."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=-1, keepdims=True)
    normaliser = np.log(np.exp(wide - top).sum(axis=-1)) + top[..., 0]
    chosen: npt.NDArray[np.float64] = np.take_along_axis(wide, targets[..., None].astype(np.int64), axis=-1)[..., 0]
    per_token: npt.NDArray[np.float64] = normaliser - chosen
    return per_token
