"""What several test folders share: seed personas, rows, a small evaluator, and a run with stand-ins for its actors."""

import os
import random
import re
import signal
import sys
from pathlib import Path

import pytest

from evo import persona

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _clean_environment():
    """No EVO_* or OPENAI_* of the developer's reaches a test, and no signal that whoever started the tests ignores."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in [n for n in os.environ if n.startswith(("EVO_", "OPENAI_"))]:
        del os.environ[name]


@pytest.fixture(scope="session")
def seeds() -> list[persona.Persona]:
    return [seed.persona for seed in persona.load_seeds(ROOT / "seeds")]


def write_small_evaluator(folder: Path, **settings: int) -> Path:
    """Write a tiny_gpt that trains in a fraction of a second on a small text of its own. `settings` replace its own."""
    words = [chr(97 + a) + chr(97 + b) * 2 for a in range(26) for b in range(0, 26, 5)]
    rng = random.Random(7)
    text = folder / "text"
    text.mkdir(parents=True)
    for number in range(8):
        lines = [" ".join(rng.choices(words, k=9)) for _ in range(250)]
        (text / f"part{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    source = ROOT / "evaluators" / "tiny_gpt"
    sizes = {"batch_size": 4, "block_size": 16, "max_iters": 4, "eval_interval": 2, "eval_batches": 1} | settings
    train = (source / "train_mps.py").read_text(encoding="utf-8")
    for name, value in sizes.items():
        train = re.sub(rf"^{name} = \d+", f"{name} = {value}", train, flags=re.MULTILINE)
    model = (source / "model.py").read_text(encoding="utf-8")
    for name, value in {"n_layer": 2, "n_head": 2, "n_embd": 16}.items():
        model = model.replace(f"{name}: int = 4" if name != "n_embd" else "n_embd: int = 64", f"{name}: int = {value}")
    (folder / "train_mps.py").write_text(train, encoding="utf-8")
    (folder / "model.py").write_text(model, encoding="utf-8")
    settings = "\n".join(f"{name} = {value}" for name, value in sizes.items())
    (folder / "evaluator.toml").write_text(
        f'name = "small"\n[settings]\n{settings}\n[data]\nsource = "folder"\npath = "text"\n'
        "[limits]\ncpu_seconds = 30\nwall_seconds = 60\nmemory_mb = 2000\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="session")
def small_evaluator(tmp_path_factory) -> Path:
    return write_small_evaluator(tmp_path_factory.mktemp("small") / "small")


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def evo_command() -> list[str]:
    return [sys.executable, "-m", "evo"]
