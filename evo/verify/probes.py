"""The probes: whether a trained model's answers are what a score may rest on. No line of a candidate's runs here.

A first pass scores a part and remembers what was answered. A second asks a fresh copy of the model again: in another
order and other company, each window cut at a random place and continued with another window's text. Up to the cut the
answers must be the same. A model that looks ahead, at its batch, at what it was asked before, or at dice, cannot give
them, whatever it does to look honest: a position just before a cut has nothing behind it but other text.
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
"""Between two answers to the same question in float32, absolute, on logits below 10; relative above."""
HALF_TOLERANCE = 0.25
"""The same in 16 bits, whose rounding reaches 0.03 and more: there the loss before the cut decides, and this is coarse."""
LOSS_TOLERANCE = 1e-3
"""Nats a token, between the mean losses just before the cut."""
LEAST_WINDOWS = 1600
_REMEMBERED_BYTES = 256_000_000


@dataclass(frozen=True)
class Model:
    """A trained model as it can be asked.

    Attributes:
        fresh: starts a model server with nothing left of an earlier one, and returns the way to ask it.
        vocab_size: tokens that it gives logits for.
        block_size: tokens in a window.
        half: whether its numbers are of 16 bits; then the loss just before the cut decides, and not every logit.
        salt: of the random choices: the same again for the same model, and unknown in any sandbox. A model that foresaw where it
            is cut could look ahead behind the cuts.
        probe: numbers of the part's windows that the model answered in the process that trained it, in one request.
        trained: its logits there.
    """

    fresh: Callable[[], Ask]
    vocab_size: int
    block_size: int
    half: bool
    salt: bytes
    probe: npt.NDArray[np.int64]
    trained: Logits


class _Memory:
    """What the first pass was answered: losses, and logits of as many tokens as there is room for."""

    def __init__(self, model: Model, inputs: Tokens, targets: Tokens, rng: np.random.Generator) -> None:
        vocab_size, self._half = model.vocab_size, model.half
        room = max(8, _REMEMBERED_BYTES // (4 * inputs.size))
        tokens = np.arange(vocab_size) if vocab_size <= room else np.sort(rng.choice(vocab_size, room, replace=False))
        self.inputs, self.targets, self._tokens = inputs, targets, tokens
        self._all = len(tokens) == vocab_size
        self.logits = np.empty((*inputs.shape, len(tokens)), dtype=np.float32)
        self.losses = np.empty(inputs.shape)

    def seen(self, first: int, logits: Logits, losses: npt.NDArray[np.float64]) -> None:
        """Take one answer."""
        rows = slice(first, first + len(logits))
        self.logits[rows], self.losses[rows] = self._kept(logits), losses

    def differ(self, windows: npt.NDArray[np.int64], logits: Logits) -> npt.NDArray[np.bool_]:
        """Where an answer about these windows differs from the remembered one: (windows, block_size)."""
        return ~close(self._kept(logits), self.logits[windows], half=self._half)

    def _kept(self, logits: Logits) -> Logits:
        return logits if self._all else logits[..., self._tokens]


def close(found: Logits, expected: Logits, *, half: bool) -> npt.NDArray[np.bool_]:
    """Which positions agree, over all their logits."""
    tolerance, largest = (HALF_TOLERANCE, 30.0) if half else (TOLERANCE, 1000.0)  # no offset of all logits buys room
    allowed = tolerance + tolerance / 10 * np.minimum(np.abs(expected), largest)
    close: npt.NDArray[np.bool_] = (np.abs(found - expected) <= allowed).all(axis=-1)
    return close


def chosen(tokens: Tokens, block_size: int, vocab_size: int, salt: bytes) -> npt.NDArray[np.int64]:
    """Numbers of the windows of a part that a trained model is to answer: one request, that nobody can foresee."""
    n = len(scorer.windows_of(tokens, block_size)[0])
    return np.random.default_rng(list(salt)).choice(n, scorer.rows_a_request(block_size, vocab_size), replace=True)


def _rebuilt_as_trained(model: Model, memory: _Memory) -> Score | None:
    """What is wrong where the rebuilt model, when it was scored, answered the probe's windows otherwise than the trained one."""
    if not memory.differ(model.probe, model.trained).any():
        return None
    return Score(Status.NOT_REBUILDABLE, "rebuilt from its arguments and weights, the model gives other logits")


def verify(model: Model, tokens: Tokens, n_bytes: int, least_windows: int = LEAST_WINDOWS) -> Score:
    """Score a part in a first pass, and hold a second pass and what the trained model said against it.

    Args:
        model: who is asked.
        tokens: the part, uint16, shape (n,), n > 2 × block_size.
        n_bytes: bytes of its text.
        least_windows: the second pass cuts every window once, and again until it has cut so many.
    """
    rng = np.random.default_rng(list(model.salt))
    inputs, targets, _ = scorer.windows_of(tokens, model.block_size)
    memory = _Memory(model, inputs, targets, rng)
    first = scorer.score(tokens, n_bytes, model.block_size, model.vocab_size, model.fresh(), memory.seen)
    if first.status != Status.OK:
        return first
    return _second_pass(model, memory, rng, least_windows) or _rebuilt_as_trained(model, memory) or first


def _second_pass(model: Model, memory: _Memory, rng: np.random.Generator, least: int) -> Score | None:
    """A fresh model server asked about cut windows; what is wrong with its answers, or None."""
    rows, n = scorer.rows_a_request(model.block_size, model.vocab_size), len(memory.inputs)
    repeats = max(1, -(-max(least, rows) // n))
    order = np.concatenate([rng.permutation(n) for _ in range(repeats)])
    order = np.concatenate([order, order[: -len(order) % rows]])
    ask, position, gaps = model.fresh(), np.arange(model.block_size), []
    leaked = np.zeros(model.block_size, dtype=np.bool_)
    for begin in range(0, len(order), rows):
        windows = order[begin : begin + rows]
        cuts = rng.integers(1, model.block_size, size=len(windows), endpoint=True)  # at its end: the last answer counts
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
    """Whether losses of the same answers differ by more than `LOSS_TOLERANCE` on average; in 16 bits, where rounding moves
    them, by two of the mean's standard errors more.
    """
    noise = 2.0 * float(gaps.std()) / len(gaps) ** 0.5 if model.half else 0.0
    return bool(abs(gaps.mean()) > LOSS_TOLERANCE + noise)


def _continued(
    inputs: Tokens, windows: npt.NDArray[np.int64], cuts: npt.NDArray[np.int64], rng: np.random.Generator
) -> Tokens:
    """The windows, each cut before position `cuts` and continued with the same positions of another window, one whose
    first token after the cut differs, where a few tries find one.
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
    """What a model does whose second answers differ: its first ones are asked for again, each twice, and in other company."""
    where = f"at position {position}" if position is not None else f"by {gap:.4f} nats on average"
    if _differs(model, memory, np.arange(len(memory.inputs)), rows, times=2):
        return Score(Status.NOT_REPEATABLE, f"asked the same again, it gives other logits ({where})")
    if _differs(model, memory, order, rows, times=1):
        return Score(Status.NOT_INDEPENDENT, f"its prediction changes with the other rows of the batch ({where})")
    first = f"position {position} is the first" if position is not None else where
    return Score(Status.LEAKS_FUTURE, f"its prediction changes with tokens that come later ({first})")


def _differs(model: Model, memory: _Memory, order: npt.NDArray[np.int64], rows: int, times: int) -> bool:
    """Whether a fresh copy that is asked the windows uncut in this order, each request so often, answers otherwise than
    was remembered.
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
