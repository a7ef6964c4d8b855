"""A tiny evaluator as a real folder, and a judge that leaves nothing behind or says so."""

import random
import tempfile
import textwrap
from pathlib import Path

import psutil
import pytest

from evo import evaluator as evaluators
from evo.trainer.device import Device
from evo.trainer.trainer import Job, Trainer

EVALUATOR_TOML = """\
name = "tiny"
files = ["train_mps.py", "model.py"]

[settings]
batch_size = 4
block_size = 16
max_iters = 3

[data]
source = "folder"
path = "texts"

[limits]
cpu_seconds = 10
wall_seconds = 30
memory_mb = 1500
scratch_mb = 64
"""

TRAIN = """\
import torch

import harness
from model import GPT, GPTConfig

batch_size = 4
block_size = 16
max_iters = 3


def train():
    batches = harness.batches("train", batch_size, block_size)
    model = GPT(GPTConfig(vocab_size=harness.vocab_size, block_size=block_size)).to(harness.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for step in range(max_iters):
        x, y = next(batches)
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        harness.report(step + 1, loss.item(), loss.item() / 2)
    # the end
    return loss.item(), 0.25
"""

MODEL = """\
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F


@dataclass
class GPTConfig:
    vocab_size: int = 256
    block_size: int = 16
    width: int = 8


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.width)
        self.wpe = nn.Embedding(config.block_size, config.width)
        self.head = nn.Linear(config.width, config.vocab_size)

    def forward(self, idx, targets=None):
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1], device=idx.device))
        logits = self.head(x)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss
"""


def edited(text, *changes):
    """`text` with each (old, new) replaced; an old part that is not there fails the test."""
    for old, new in changes:
        assert old in text, f"{old!r} is not in the file"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The evaluator: bytes, 4 x 16, three steps, about 4,500 parameters, eight texts of made-up words."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "texts").mkdir()
    for number in range(8):
        rng = random.Random(number)
        words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(1, 8))) for _ in range(3000)]
        (folder / "texts" / f"{number}.txt").write_text(" ".join(words), encoding="utf-8")
    (folder / "evaluator.toml").write_text(EVALUATOR_TOML, encoding="utf-8")
    (folder / "train_mps.py").write_text(TRAIN, encoding="utf-8")
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    return evaluators.load(folder)


@pytest.fixture(scope="session")
def device():
    return Device("cpu", slots=1, threads=1)


@pytest.fixture(scope="session")
def judge(tiny, device, tmp_path_factory):
    """Judge the tiny baseline with changes: `judge(train=[(old, new)], model=[(old, new)], cpu_seconds=2)`.

    `end` is code that is put where train() has trained. After every judgement nothing may be left: no scratch folder,
    no process of a sandbox.
    """
    temporary = tmp_path_factory.mktemp("temporary")

    def judged(train=(), model=(), end="", seed=1, data_seed=2, **limits):
        spec = tiny.spec.model_copy(update={"limits": tiny.spec.limits.model_copy(update=limits)})
        files = {"train_mps.py": edited(TRAIN, *train, *at_the_end(end)), "model.py": edited(MODEL, *model)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(temporary))
            result = Trainer(tiny.model_copy(update={"spec": spec}), device).judge(Job(files, seed, data_seed))
        assert list(temporary.iterdir()) == [], "a scratch folder was left behind"
        assert processes_at_home_in(temporary) == [], "a process of a sandbox was left behind"
        return result

    return judged


def at_the_end(code):
    """The change that puts `code` after the training of TRAIN."""
    return [("    # the end\n", textwrap.indent(textwrap.dedent(code).strip("\n") + "\n", "    "))] if code else []


def processes_at_home_in(folder):
    """Every living process whose home is in `folder`, as that of a sandboxed one is. Others may judge on this machine."""
    found = []
    for process in psutil.process_iter():
        try:
            home = process.environ().get("HOME", "")
            if process.status() != psutil.STATUS_ZOMBIE and Path(home).is_relative_to(folder):
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found
