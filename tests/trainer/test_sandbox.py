"""The sandbox by itself: what it reads and leaves, and how it names the end of a job."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from evo.evaluator import Batches, Limits
from evo.status import Status
from evo.trainer.failure import crash
from evo.trainer.feed import Feed
from evo.trainer.sandbox import Sandbox, clear_leftovers


@pytest.fixture
def unlaunched(tmp_path):
    """A sandbox with a scratch folder and no process."""
    sandbox = Sandbox.__new__(Sandbox)
    sandbox.scratch = tmp_path / "scratch"
    (sandbox.scratch / "out").mkdir(parents=True)
    return sandbox


def test_only_regular_files_of_the_scratch_folder_are_read_and_no_further_than_asked(unlaunched, tmp_path):
    (tmp_path / "ours").write_text("secret")
    os.symlink(tmp_path / "ours", unlaunched.scratch / "out" / "link")
    os.mkfifo(unlaunched.scratch / "out" / "pipe")
    unlaunched.write("given", "text")
    unlaunched.write("bytes", b"\0\1")
    assert unlaunched.read("given", 100) == b"text"
    assert unlaunched.read("bytes", 100) == b"\0\1"
    assert unlaunched.read("given", 2) == b"te"
    for name in ("out/link", "out/pipe", "out/none"):
        assert unlaunched.read(name, 100) == b""


# ---- between two jobs ----


@pytest.fixture
def emptied(unlaunched):
    """Call `clear` on a sandbox in which nothing runs, and tell what is left in its scratch folder."""
    replies, into = os.pipe()
    os.set_blocking(replies, False)
    unlaunched._running, unlaunched._replies = False, replies
    unlaunched._process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def cleared():
        unlaunched.clear()
        return sorted(str(path.relative_to(unlaunched.scratch)) for path in unlaunched.scratch.rglob("*"))

    cleared.sandbox, cleared.scratch, cleared.replies = unlaunched, unlaunched.scratch, into
    yield cleared
    unlaunched._process.communicate()
    os.close(replies)
    os.close(into)


FRESH = ["out", "tmp"]


def test_clearing_leaves_three_empty_folders_whatever_was_there(emptied, tmp_path):
    scratch, ours = emptied.scratch, tmp_path / "ours"
    ours.mkdir()
    (ours / "file").write_text("kept")
    (scratch / "deep" / "er").mkdir(parents=True)
    (scratch / "deep" / "er" / "file").write_text("x")
    (scratch / ".hidden").write_text("x")
    (scratch / "out" / "weights.safetensors").write_text("x")
    (scratch / "out" / "link").symlink_to(ours)
    (scratch / "link").symlink_to(ours)
    (scratch / "tmp").symlink_to(ours)
    (scratch / "data").write_text("a file where a folder was")
    (scratch / "dangling").symlink_to(tmp_path / "none")
    os.mkfifo(scratch / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(scratch / "socket"))
    assert emptied() == FRESH
    assert (ours / "file").read_text() == "kept"


def test_clearing_an_emptied_folder_changes_nothing(emptied):
    assert emptied() == FRESH
    assert emptied() == FRESH


def test_what_a_job_had_said_and_nobody_read_is_gone(emptied):
    os.write(emptied.replies, b"tt" * 1000)
    emptied()
    os.write(emptied.replies, b"new")
    assert os.read(emptied.sandbox._replies, 100) == b"new"


def as_nobody(do):
    """Whether `do()` does well in a process that has no privilege."""
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os._exit(0 if do() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("mode", [0o700, 0o500, 0o000])
def test_a_folder_that_may_not_be_entered_is_cleared_too(mode):
    """Where a search is not run by root: the next job could open it again and read what the last one kept there."""

    def clear():
        sandbox = Sandbox.__new__(Sandbox)
        sandbox.scratch = Path(tempfile.mkdtemp())
        replies, _ = os.pipe()
        os.set_blocking(replies, False)
        sandbox._running, sandbox._replies = False, replies
        sandbox._process = subprocess.Popen(["true"])
        kept = sandbox.scratch / "kept"
        kept.mkdir()
        (kept / "answers").write_text("x")
        kept.chmod(mode)
        try:
            sandbox.clear()
            return sorted(path.name for path in sandbox.scratch.iterdir()) == FRESH
        finally:
            if kept.exists():
                kept.chmod(0o700)
            sandbox._process.wait()
            shutil.rmtree(sandbox.scratch)

    assert as_nobody(clear)


def test_a_sandbox_that_cannot_be_filled_leaves_no_folder(tiny, device, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Sandbox(device, tiny.spec.limits, {"no/such/folder": "text"})
    assert list(tmp_path.iterdir()) == []


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
    feed = Feed(tokens, 64, 1024, 1, Batches(), lambda: tokens["val"][None, :1])
    with Sandbox(device, Limits(), files) as sandbox:
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
