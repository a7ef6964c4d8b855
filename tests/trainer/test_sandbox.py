"""The sandbox by itself: what it reads and leaves, and how it names the end of a job."""

import json
import os
import platform
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from evo.evaluator import Batches, Limits
from evo.status import Status
from evo.trainer.batch_feed import BatchFeed
from evo.trainer.failure import crash
from evo.trainer.isolation import clear_leftovers
from evo.trainer.isolation.process import Process
from evo.trainer.sandbox import Sandbox
from evo.trainer.scratch import Scratch


@pytest.fixture
def cleared(tmp_path):
    """A sandbox in which nothing runs, cleared once; and the far end of its replies."""
    sandbox = Sandbox.__new__(Sandbox)
    sandbox._scratch = Scratch([os.open(tmp_path, os.O_RDONLY)])
    sandbox._replies, into = os.pipe()
    os.set_blocking(sandbox._replies, False)
    idle = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    sandbox._running, sandbox._pid = False, idle.pid
    yield sandbox, into
    idle.communicate()
    sandbox._scratch.close()
    os.close(sandbox._replies)
    os.close(into)


def test_what_a_job_had_said_and_nobody_read_is_gone(cleared):
    sandbox, into = cleared
    os.write(into, b"tt" * 1000)
    sandbox.clear()
    os.write(into, b"new")
    assert os.read(sandbox._replies, 100) == b"new"


def test_a_sandbox_that_does_not_start_leaves_nothing_open_and_no_folder(tiny, device, tmp_path, monkeypatch):
    class Broken(Process):
        def start(self, order):
            super().start(order).close()
            raise OSError("no more processes")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    with pytest.raises(OSError, match="no more processes"):
        Sandbox(device, tiny.spec.limits, Broken())
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd") if before else []) == len(before)


LARGE = """
import harness

def train():
    batches = harness.batches("train")
    for _ in range(20):
        x, y = next(batches)
        assert x.shape == (64, 1024) and (y == x + 1).all()
        print("drawn", flush=True)
"""
MODEL = "import torch\n\n\nclass GPT(torch.nn.Module):\n    pass\n"


@pytest.mark.slow
def test_a_batch_larger_than_a_pipe_reaches_a_training_whole(device):
    tokens = {part: np.arange(60_000, dtype=np.uint16) for part in ("train", "val")}
    job = {
        "device": "cpu",
        "vocab_size": 256,
        "batch_size": 64,
        "block_size": 1024,
        "seed": 1,
        "files": ["t.py", "m.py"],
    }
    files = {
        "t.py": LARGE,
        "m.py": MODEL,
        "job.json": json.dumps(job),
        "harness.py": (Sandbox.inside() / "harness.py").read_text(),
    }
    feed = BatchFeed(tokens, 64, 1024, 1, Batches(), lambda: tokens["val"][None, :1])
    with Sandbox(device, Limits()) as sandbox:
        for name, text in files.items():
            sandbox.scratch.write(name, text)
        assert sandbox.train(feed) == 3  # it returns nothing
        assert sandbox.output_tail() == "drawn\n" * 20
    assert feed.drawn == {"train": 20, "val": 0}


@pytest.mark.parametrize(
    ("tail", "status"),
    [
        ("Traceback\nMemoryError\n", Status.MEMORY),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 1 TiB\n", Status.MEMORY),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried\n", Status.MEMORY),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried\n", Status.MEMORY),
        ("RuntimeError: MPS backend out of memory (MPS allocated\n", Status.MEMORY),
        ("OSError: [Errno 27] File too large\n", Status.WROTE_TOO_MUCH),
        ("OSError: [Errno 28] No space left on device: 'x'\n", Status.WROTE_TOO_MUCH),
        ("MemoryError\nValueError: later\n", Status.CRASHED),
        ("NameError: name 'nn' is not defined\n\n  \n", Status.CRASHED),
        ("", Status.CRASHED),
    ],
)
def test_the_last_line_tells_how_a_training_crashed(tail, status):
    failure = crash(tail)
    assert failure.status == status
    assert failure.reason
    assert failure.reason in tail or not tail


def test_a_very_long_last_line_is_cut():
    assert len(crash("x" * 5000).reason) == 300


def test_scratch_folders_of_killed_trainers_are_cleared_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f"evo-{platform.node()}-{ended.pid}-abc"
    kept = [
        tmp_path / f"evo-{platform.node()}-{os.getpid()}-abc",
        tmp_path / f"evo-elsewhere-{ended.pid}-abc",
        tmp_path / f"evo-{platform.node()}-mine-abc",
        tmp_path / f"other-{platform.node()}-{ended.pid}-abc",
    ]
    for folder in (dead, *kept):
        (folder / "out").mkdir(parents=True)
    assert clear_leftovers() == 1
    assert sorted(tmp_path.iterdir()) == sorted(kept)
