"""API that candidate code uses to get its device, batches and loss curve.

In a sandbox, this file is in the same folder as the candidate's files.

    harness.device                          "cpu", "mps" or "cuda", as a string
    harness.vocab_size                      number of tokens
    harness.batches(part)                   endless (x, y) pairs, int64 of shape (batch_size, block_size)
    harness.report(step, train, val)        record one point of the curve
    harness.keep(model)                     choose the model that is the result

Batches come over a pipe from the trainer process, which draws and counts them. The harness imports nothing from `evo`,
contains no held-out tokens, and never computes a score.
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
"""The last model passed to `keep`, if any."""


class ProtectedSetting(ValueError):
    """Request for a batch size or block size other than the evaluator's."""


class ShortRunEnd(BaseException):
    """End of the short run that precedes a full training, raised when its batches are used up."""


def batches(part: str, batch_size: int | None = None, block_size: int | None = None) -> Iterator[Any]:
    """Return an endless iterator of (x, y): int64 tensors of shape (batch_size, block_size) on `device`.

    `y` is `x` shifted by one token.

    Args:
        part: "train" or "val".
        batch_size: sequences in a batch. Only the evaluator's value, the default, is accepted.
        block_size: tokens in a sequence. Only the evaluator's value, the default, is accepted.

    Raises:
        ValueError: if `part` is neither "train" nor "val".
        ProtectedSetting: if a size differs from the evaluator's.
    """
    if part not in _PARTS:
        raise ValueError(f"expected part 'train' or 'val', found {part!r}")
    for name, given in (("batch_size", batch_size), ("block_size", block_size)):
        if given is not None and given != _JOB[name]:
            raise ProtectedSetting(f"{name}: expected {_JOB[name]}, found {given!r}")
    return _draw(part, _JOB["batch_size"], _JOB["block_size"])


def _draw(part: str, batch_size: int, block_size: int) -> Iterator[Any]:
    while True:
        rows = ask(part[:1].encode(), batch_size, block_size + 1)
        yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def ask(question: bytes, rows: int, columns: int) -> Any:
    """Request tokens from the trainer process. Return int64 of shape (rows, columns) on `device`.

    Raises:
        ShortRunEnd: if no more batches are available.
    """
    with _LOCK:
        os.write(_QUESTIONS, question)
        if _receive(1) != b"\0":
            raise ShortRunEnd
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
    """Append one point to the curve.

    Args:
        step: optimiser steps completed.
        train_loss: loss of a training batch, in nats.
        val_loss: loss of validation batches, in nats.
    """
    point = {
        "step": int(step),
        "seconds": time.perf_counter() - _START,
        "train_loss": None if train_loss is None else float(train_loss),
        "val_loss": None if val_loss is None else float(val_loss),
    }
    with open(_HERE / "out" / "curve.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(point) + "\n")


def keep(model: Any) -> None:
    """Set the result: a GPT, or a wrapper that holds one as `.module` or `._orig_mod`."""
    kept[:] = [model]
