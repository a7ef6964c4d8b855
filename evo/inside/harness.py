"""The way of a candidate to its device, its data and its curve. It lies beside the candidate's files in a sandbox.

    harness.device                          "cpu", "mps" or "cuda", as a string
    harness.vocab_size                      number of tokens
    harness.batches(part)                   (x, y) without end, int64 of shape (batch_size, block_size)
    harness.report(step, train, val)        one point of the curve
    harness.keep(model)                     this model is the result

It imports nothing of `evo`, holds no held-out token, and never decides what a score is.
"""

import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import numpy
import torch

_HERE = pathlib.Path(__file__).resolve().parent
_JOB = json.loads((_HERE / "job.json").read_text(encoding="utf-8"))
_START = time.perf_counter()
_PARTS = ("train", "val")

device: str = _JOB["device"]
vocab_size: int = _JOB["vocab_size"]
drawn: dict[str, int] = dict.fromkeys(_PARTS, 0)
"""Batches drawn so far, by part."""
kept: list[Any] = []
"""The last model handed to `keep`, if any."""


def batches(part: str, batch_size: int | None = None, block_size: int | None = None) -> Iterator[Any]:
    """Yield (x, y) without end: two int64 tensors of shape (batch_size, block_size) on `device`, y one token on.

    Args:
        part: "train" or "val".
        batch_size: sequences in a batch; the evaluator's, and only that.
        block_size: tokens in a sequence; the evaluator's, and only that.

    Raises:
        ValueError: for another part, or for sizes that are not the evaluator's.
    """
    if part not in _PARTS:
        raise ValueError(f"expected part 'train' or 'val', found {part!r}")
    for name, given in (("batch_size", batch_size), ("block_size", block_size)):
        if given is not None and given != _JOB[name]:
            raise ValueError(f"{name} is protected: expected {_JOB[name]}, found {given!r}")
    return _draw(part, _JOB["batch_size"], _JOB["block_size"])


def _draw(part: str, batch_size: int, block_size: int) -> Iterator[Any]:
    tokens = torch.from_numpy(numpy.memmap(_HERE / "data" / f"{part}.bin", dtype=numpy.uint16, mode="c"))
    generator = torch.Generator().manual_seed(_JOB["data_seed"] + _PARTS.index(part))
    offsets = torch.arange(block_size + 1)
    while True:
        starts = torch.randint(len(tokens) - block_size, (batch_size, 1), generator=generator)
        rows = tokens[starts + offsets].to(torch.int64).to(device)  # (batch_size, block_size + 1)
        drawn[part] += 1
        yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def report(step: int, train_loss: float | None = None, val_loss: float | None = None) -> None:
    """Write one point of the curve: optimiser steps done, loss of a training batch, loss of validation batches (nats)."""
    point = {
        "step": int(step),
        "seconds": time.perf_counter() - _START,
        "train_loss": None if train_loss is None else float(train_loss),
        "val_loss": None if val_loss is None else float(val_loss),
    }
    with open(_HERE / "out" / "curve.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(point) + "\n")


def keep(model: Any) -> None:
    """Say that `model` is the result: a GPT, or a wrapper of one that has it as `.module` or `._orig_mod`."""
    kept[:] = [model]
