"""Conformance checks of an evaluator: it measures what it claims, repeats its results and refuses cheats.

    for check in evo.testing.conformance(evaluator, trainer):
        print(check.name, check.passed, check.says)

`evo check` runs these checks. Every check trains real files in real sandboxes. A standard cheat is the baseline with a
few lines appended; most cheats are detected in the short run before a full training.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evo import rng
from evo.evaluator import Evaluator
from evo.status import Status
from evo.trainer.job import Job, Judgement
from evo.verify import static

if TYPE_CHECKING:
    from evo.trainer.trainer import Trainer


@dataclass(frozen=True)
class Check:
    """One requirement on an evaluator: name, whether it holds, and what was found."""

    name: str
    passed: bool
    says: str


@dataclass(frozen=True)
class Cheat:
    """Baseline with code that tries to get an unearned score.

    Attributes:
        forward: Lines that run after the baseline's forward. They see `idx`, `logits` and `torch`, and may change `logits`.
        status: Status with which the cheat must end.
    """

    name: str
    forward: str
    status: Status


CHEATS = (
    Cheat(
        "a model that looks at the next token",
        "logits = logits + 8.0 * torch.nn.functional.one_hot(idx.roll(-1, 1), logits.shape[-1]).to(logits)",
        Status.LEAKS_FUTURE,
    ),
    Cheat(
        "a model that looks at the other rows of its batch",
        "logits = logits + logits.mean(dim=0, keepdim=True)",
        Status.NOT_INDEPENDENT,
    ),
    Cheat("a model that throws dice", "logits = logits + torch.rand_like(logits)", Status.NOT_REPEATABLE),
    Cheat("a model whose logits are no numbers", "logits = logits * float('nan')", Status.NOT_FINITE),
    Cheat("a model that answers for the last token alone", "logits = logits[:, -1:]", Status.BAD_SHAPE),
)
_CHEATING = """

import torch

_honest = GPT.forward


def _cheating(self, idx, targets=None):
    logits, loss = _honest(self, idx, targets)
    if not self.training:
        {line}
    return logits, loss


GPT.forward = _cheating
"""
_BOASTING = """

_honest_train = train


def train():
    _honest_train()
    return 0.0, 0.0
"""


def conformance(evaluator: Evaluator, trainer: "Trainer", first: Judgement, seed: int = 1) -> Iterator[Check]:
    """Yield the checks of an evaluator one by one.

    Args:
        evaluator: Evaluator to check.
        trainer: Trainer of the evaluator.
        first: Judgement of the baseline at replicate 0 of `seed`.
        seed: Random seed of the trainings.
    """
    yield _is_judged(first)
    if first.status != Status.OK:
        return
    yield _learns(evaluator, first)
    job = Job(dict(evaluator.baseline), *rng.replicate_seeds(seed, 0))
    yield _is_the_same_twice(first, trainer.judge(job))
    yield _is_not_told(first, trainer.judge(Job(_with(evaluator, 0, _BOASTING), job.seed, job.data_seed)))
    for cheat in CHEATS:
        files = _with(evaluator, 1, _CHEATING.format(line=cheat.forward))
        yield _is_refused(cheat.name, cheat.status, trainer.judge(Job(files, job.seed, job.data_seed)))
    yield from _settings_are_protected(evaluator)


def _is_judged(first: Judgement) -> Check:
    return Check("the baseline trains, is rebuilt and scored", first.status == Status.OK, first.reason or "ok")


def _learns(evaluator: Evaluator, first: Judgement) -> Check:
    """Check that the baseline's loss is below that of the unigram distribution of `train` on `heldout`."""
    text, tokeniser = evaluator.load_data(), evaluator.spec.data.tokens
    counts = np.bincount(text.tokens("train", tokeniser), minlength=evaluator.vocab_size) + 1.0
    frequencies = counts / counts.sum()
    unigram = float(-np.log(frequencies[text.tokens("heldout", tokeniser)[1:]]).mean())
    loss = first.val_loss if first.val_loss is not None else math.inf
    return Check(
        "the baseline learns", loss < unigram, f"{loss:.4f} nats a token; token frequencies give {unigram:.4f}"
    )


def _is_the_same_twice(first: Judgement, second: Judgement) -> Check:
    same = first.val_loss == second.val_loss and first.reported_vloss == second.reported_vloss
    found = "to the last bit" if same else f"{first.val_loss} then {second.val_loss}"
    return Check("the same seeds give the same loss", same, found)


def _is_not_told(first: Judgement, boasting: Judgement) -> Check:
    found = f"reported {boasting.reported_vloss}, scored {boasting.val_loss}"
    return Check("a false score is not believed", boasting.val_loss == first.val_loss, found)


def _is_refused(name: str, expected: Status, judged: Judgement) -> Check:
    return Check(f"{name} is refused", judged.status == expected, f"{judged.status}: {judged.reason}")


def _settings_are_protected(evaluator: Evaluator) -> Iterator[Check]:
    """Yield one check per protected setting: setting it a second time must be refused before anything runs."""
    train = evaluator.spec.files[0]
    for name in evaluator.spec.settings:
        files = dict(evaluator.baseline) | {train: f"{evaluator.baseline[train]}\n{name} = None\n"}
        failure = static.check(files, evaluator)
        passed = failure is not None and failure.status == Status.PROTECTED_SETTING
        yield Check(f"{name} cannot be changed", passed, failure.reason if failure else "it was accepted")


def _with(evaluator: Evaluator, which: int, code: str) -> dict[str, str]:
    """Return the baseline with `code` appended to its first or second file."""
    name = evaluator.spec.files[which]
    return dict(evaluator.baseline) | {name: evaluator.baseline[name] + code}
