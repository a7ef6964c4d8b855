"""Probes that decide whether the logits of a trained model can be scored. No candidate code runs in this process.

The first pass scores a part and stores the logits. The second pass asks a fresh copy of the model for the same windows in
another order and other batches. It cuts each window at a random position and continues it with the text of another window. Up to
the cut the logits must be the same. A model cannot give the same logits if it uses later tokens, other rows of the batch, earlier
requests or random numbers: just before a cut, the tokens that follow are those of another window.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evo.status import Status
from evo.verify import scorer
from evo.verify.scorer import Ask, Score, Tokens

Logits = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Tolerance between logits for the same window in float32: absolute for logits below 10, relative above."""
HALF_TOLERANCE = 0.25
"""The same for 16-bit models. It is coarse because rounding reaches 0.03 and more; there the loss before the cut decides."""
LOSS_TOLERANCE = 1e-3
"""Tolerance between mean losses just before the cut, in nats a token."""
LEAST_WINDOWS = 1600
_REMEMBERED_BYTES = 256_000_000


@dataclass(frozen=True)
class Model:
    """A trained model behind a model server.

    Attributes:
        fresh: Function that starts a model server without state of earlier ones and returns a function that asks it.
        vocab_size: Number of tokens with a logit.
        block_size: Tokens in a window.
        half: Whether the weights have 16 bits. Then the loss just before the cut decides, not each logit.
        salt: Seed of the random choices. It is the same for the same model and unknown in every sandbox: a model that knew the
            cuts could use later tokens where no cut is.
        probe: Indices of the windows that the model answered in its training process, in one request.
        trained: Logits of those windows from the training process.
    """

    fresh: Callable[[], Ask]
    vocab_size: int
    block_size: int
    half: bool
    salt: bytes
    probe: npt.NDArray[np.int64]
    trained: Logits


class _Memory:
    """Losses of the first pass, and logits of as many tokens as there is memory for."""

    def __init__(self, model: Model, inputs: Tokens, targets: Tokens, rng: np.random.Generator) -> None:
        vocab_size, self._half = model.vocab_size, model.half
        room = max(8, _REMEMBERED_BYTES // (4 * inputs.size))
        tokens = np.arange(vocab_size) if vocab_size <= room else np.sort(rng.choice(vocab_size, room, replace=False))
        self.inputs, self.targets, self._tokens = inputs, targets, tokens
        self._all = len(tokens) == vocab_size
        self.logits = np.empty((*inputs.shape, len(tokens)), dtype=np.float32)
        self.losses = np.empty(inputs.shape)

    def seen(self, first: int, logits: Logits, losses: npt.NDArray[np.float64]) -> None:
        """Store the logits and losses of one request."""
        rows = slice(first, first + len(logits))
        self.logits[rows], self.losses[rows] = self._kept(logits), losses

    def differ(self, windows: npt.NDArray[np.int64], logits: Logits) -> npt.NDArray[np.bool_]:
        """Return where logits of these windows differ from the stored ones, shape (windows, block_size)."""
        return ~close(self._kept(logits), self.logits[windows], half=self._half)

    def _kept(self, logits: Logits) -> Logits:
        return logits if self._all else logits[..., self._tokens]


def close(found: Logits, expected: Logits, *, half: bool) -> npt.NDArray[np.bool_]:
    """Return at which positions all logits agree within the tolerance."""
    tolerance, largest = (HALF_TOLERANCE, 30.0) if half else (TOLERANCE, 1000.0)  # no offset of all logits buys room
    allowed = tolerance + tolerance / 10 * np.minimum(np.abs(expected), largest)
    close: npt.NDArray[np.bool_] = (np.abs(found - expected) <= allowed).all(axis=-1)
    return close


def chosen(tokens: Tokens, block_size: int, vocab_size: int, salt: bytes) -> npt.NDArray[np.int64]:
    """Return indices of the windows for the training process: one request, unpredictable without the salt."""
    n = len(scorer.windows_of(tokens, block_size)[0])
    return np.random.default_rng(list(salt)).choice(n, scorer.rows_a_request(block_size, vocab_size), replace=True)


def _rebuilt_as_trained(model: Model, memory: _Memory) -> Score | None:
    """Return a failed score if the rebuilt model and the trained one gave different logits for the probe windows."""
    if not memory.differ(model.probe, model.trained).any():
        return None
    return Score(Status.NOT_REBUILDABLE, "rebuilt from its arguments and weights, the model gives other logits")


def verify(model: Model, tokens: Tokens, n_bytes: int, least_windows: int = LEAST_WINDOWS) -> Score:
    """Score a part in a first pass, then compare the second pass and the trained model's logits with it.

    Args:
        model: The model.
        tokens: Tokens of the part, uint16, shape (n,), n > 2 × block_size.
        n_bytes: Bytes of the text of the part.
        least_windows: Least number of cut windows in the second pass, which cuts each window at least once.
    """
    rng = np.random.default_rng(list(model.salt))
    inputs, targets, _ = scorer.windows_of(tokens, model.block_size)
    memory = _Memory(model, inputs, targets, rng)
    first = scorer.score(tokens, n_bytes, model.block_size, model.vocab_size, model.fresh(), memory.seen)
    if first.status != Status.OK:
        return first
    return _second_pass(model, memory, rng, least_windows) or _rebuilt_as_trained(model, memory) or first


def _second_pass(model: Model, memory: _Memory, rng: np.random.Generator, least: int) -> Score | None:
    """Ask a fresh model server for cut windows. Return a failed score if its logits differ, else None."""
    rows, n = scorer.rows_a_request(model.block_size, model.vocab_size), len(memory.inputs)
    repeats = max(1, -(-max(least, rows) // n))
    order = np.concatenate([rng.permutation(n) for _ in range(repeats)])
    order = np.concatenate([order, order[: -len(order) % rows]])
    ask, position, gaps = model.fresh(), np.arange(model.block_size), []
    leaked = np.zeros(model.block_size, dtype=np.bool_)
    for begin in range(0, len(order), rows):
        windows = order[begin : begin + rows]
        cuts = rng.integers(
            1, model.block_size, size=len(windows), endpoint=True
        )  # a cut at the end tests the last position
        asked = _continued(memory.inputs, windows, cuts, rng)
        logits = ask(asked)
        if not np.isfinite(logits).all():
            return Score(Status.NOT_FINITE, "the trained model's logits are not finite")
        leaked |= (memory.differ(windows, logits) & (position < cuts[:, None])).any(axis=0)
        at = (np.arange(len(windows)), cuts - 1)
        losses = scorer.losses(logits[at], memory.targets[windows][at])
        gaps.append(losses - memory.losses[windows][at])
    if leaked.any():
        return _name(model, memory, order, rows, int(leaked.argmax()))
    if _gap_is_real(model, np.concatenate(gaps)):
        return _name(model, memory, order, rows, None, float(np.concatenate(gaps).mean()))
    return None


def _gap_is_real(model: Model, gaps: npt.NDArray[np.float64]) -> bool:
    """Return whether the mean difference of losses exceeds `LOSS_TOLERANCE`, for 16 bits by two standard errors more."""
    noise = 2.0 * float(gaps.std()) / len(gaps) ** 0.5 if model.half else 0.0
    return bool(abs(gaps.mean()) > LOSS_TOLERANCE + noise)


def _continued(
    inputs: Tokens, windows: npt.NDArray[np.int64], cuts: npt.NDArray[np.int64], rng: np.random.Generator
) -> Tokens:
    """Return the windows, each replaced from position `cuts` on by the tokens of another window.

    The first replaced token differs from the original one if such a window is found in eight tries.
    """
    others = rng.integers(len(inputs), size=len(windows))
    at = np.minimum(cuts, inputs.shape[1] - 1)
    for _ in range(8):
        same = inputs[others, at] == inputs[windows, at]
        if not same.any():
            break
        others = np.where(same, rng.integers(len(inputs), size=len(windows)), others)
    after = np.arange(inputs.shape[1]) >= cuts[:, None]
    return np.where(after, inputs[others], inputs[windows])


def _name(
    model: Model, memory: _Memory, order: npt.NDArray[np.int64], rows: int, position: int | None, gap: float = 0.0
) -> Score:
    """Return the failed score of a model whose second pass differs. Ask again to tell the cause."""
    where = f"at position {position}" if position is not None else f"by {gap:.4f} nats on average"
    if _differs(model, memory, np.arange(len(memory.inputs)), rows, times=2):
        return Score(Status.NOT_REPEATABLE, f"asked the same again, it gives other logits ({where})")
    if _differs(model, memory, order, rows, times=1):
        return Score(Status.NOT_INDEPENDENT, f"its prediction changes with the other rows of the batch ({where})")
    first = f"position {position} is the first" if position is not None else where
    return Score(Status.LEAKS_FUTURE, f"its prediction changes with tokens that come later ({first})")


def _differs(model: Model, memory: _Memory, order: npt.NDArray[np.int64], rows: int, times: int) -> bool:
    """Return whether a fresh copy gives other logits than stored for the uncut windows in this order.

    Each request is sent `times` times.
    """
    ask, gaps = model.fresh(), []
    for first, asked in scorer.requests(memory.inputs[order], rows):
        windows = order[first : first + rows]
        for _ in range(times):
            logits = ask(asked)[: len(windows)]
            if memory.differ(windows, logits).any():
                return True
            gaps.append((scorer.losses(logits, memory.targets[windows]) - memory.losses[windows]).ravel())
    return _gap_is_real(model, np.concatenate(gaps))
