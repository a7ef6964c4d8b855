"""The way of a candidate to its device, its data and its curve. It lies beside the candidate's files in a sandbox.

    harness.device                          "cpu", "mps" or "cuda", as a string
    harness.vocab_size                      number of tokens
    harness.batches(part)                   (x, y) without end, int64 of shape (batch_size, block_size)
    harness.report(step, train, val)        one point of the curve
    harness.keep(model)                     this model is the result

Batches come over a pipe from the process that judges, which draws and counts them. It imports nothing of `evo`, holds no
held-out token, and never decides what a score is.
"""

import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy
import torch

_HERE = pathlib.Path(__file__).resolve().parent
_JOB = json.loads((_HERE / "job.json").read_text(encoding="utf-8"))
_START = time.perf_counter()
_PARTS = ("train", "val")
_ANSWERS, _QUESTIONS = (int(fd) for fd in os.environ["EVO_FDS"].split(",")[2:4])
_LOCK = threading.Lock()

device: str = _JOB["device"]
vocab_size: int = _JOB["vocab_size"]
kept: list[Any] = []
"""The last model handed to `keep`, if any."""


class Protected(ValueError):
    """A size that may not be changed was asked for."""


class Over(BaseException):
    """The short run that goes before a full training has drawn all that it gets."""


def batches(part: str, batch_size: int | None = None, block_size: int | None = None) -> Iterator[Any]:
    """Yield (x, y) without end: two int64 tensors of shape (batch_size, block_size) on `device`, y one token on.

    Args:
        part: "train" or "val".
        batch_size: sequences in a batch; the evaluator's, and only that.
        block_size: tokens in a sequence; the evaluator's, and only that.

    Raises:
        ValueError: for another part.
        Protected: for sizes that are not the evaluator's.
    """
    if part not in _PARTS:
        raise ValueError(f"expected part 'train' or 'val', found {part!r}")
    for name, given in (("batch_size", batch_size), ("block_size", block_size)):
        if given is not None and given != _JOB[name]:
            raise Protected(f"{name}: expected {_JOB[name]}, found {given!r}")
    return _draw(part, _JOB["batch_size"], _JOB["block_size"])


def _draw(part: str, batch_size: int, block_size: int) -> Iterator[Any]:
    while True:
        rows = ask(part[:1].encode(), batch_size, block_size + 1)
        yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def ask(question: bytes, rows: int, columns: int) -> Any:
    """Tokens from the process that judges, int64 of shape (rows, columns) on `device`.

    Raises:
        Over: there are no more.
    """
    with _LOCK:
        os.write(_QUESTIONS, question)
        if _receive(1) != b"\0":
            raise Over
        data = _receive(2 * rows * columns)
    tokens = numpy.frombuffer(data, dtype="<u2").astype(numpy.int64).reshape(rows, columns)
    return torch.from_numpy(tokens).to(device)


def _receive(count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(_ANSWERS, count - len(data))
        if not piece:
            raise RuntimeError("the process that judges this training is gone")
        data += piece
    return data


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
