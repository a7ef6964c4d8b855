"""The sandbox by itself: what it reads and leaves, and how it names the end of a job."""

import os
import platform
import subprocess
import sys
import tempfile

import pytest

from evo.status import Status
from evo.trainer.sandbox import Sandbox, clear_leftovers, crash


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


def test_a_sandbox_that_cannot_be_filled_leaves_no_folder(tiny, device, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Sandbox(device, tiny.spec.limits, {"no/such/folder": "text"})
    assert list(tmp_path.iterdir()) == []


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
