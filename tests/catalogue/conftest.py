from pathlib import Path

import pytest

from evo import evaluator as evaluators
from evo import persona as personas
from evo.proposer import prompt

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def evaluator():
    return evaluators.load(ROOT / "evaluators" / "tiny_gpt")


@pytest.fixture(scope="session")
def shakespeare():
    return evaluators.load(ROOT / "evaluators" / "shakespeare_mps")


@pytest.fixture(scope="session")
def baseline(evaluator):
    return evaluator.baseline


@pytest.fixture(scope="session")
def euler():
    return personas.parse((ROOT / "seeds" / "leonhard_euler.txt").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def seed_texts():
    return {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "seeds").glob("*.txt")}


@pytest.fixture(scope="session")
def messages(euler, baseline):
    return prompt.messages(euler, baseline, prompt.Outcome(2.5))
