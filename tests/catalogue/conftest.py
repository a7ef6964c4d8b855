import shutil
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
    return prompt.messages(prompt.parts(euler, baseline, prompt.Outcome(2.5)))


@pytest.fixture(scope="session")
def half(tmp_path_factory):
    """The evaluator with half of its iterations."""
    folder = shutil.copytree(ROOT / "evaluators" / "tiny_gpt", tmp_path_factory.mktemp("half") / "tiny_gpt")
    for name, changes in {
        "evaluator.toml": ("max_iters = 180", "eval_interval = 30", "train = 180", "rung_step = 90"),
        "train_mps.py": ("max_iters = 180", "eval_interval = 30"),
    }.items():
        text = (folder / name).read_text(encoding="utf-8")
        for change in changes:
            assert text.count(change) == 1
            key, value = change.split(" = ")
            text = text.replace(change, f"{key} = {int(value) // 2}")
        (folder / name).write_text(text, encoding="utf-8")
    return evaluators.load(folder)


@pytest.fixture(scope="session")
def leaves_the_curve(half):
    """Judge the baseline with one edit, against the baseline's own curve."""
    from warm import warm_trainer

    from evo.evaluator import code_hash
    from evo.status import Status
    from evo.trainer.device import Device
    from evo.trainer.job import Job

    def curve_of(files):
        judged = trainer.judge(Job(files, 0, 1))
        assert (judged.status, judged.reason) == (Status.OK, ""), judged.output_tail
        return judged, [(p["step"], p["train_loss"], p["reported_val_loss"]) for p in judged.curve]

    def check(edit):
        files = edit.apply(half.baseline)
        assert code_hash(files) != code_hash(half.baseline)
        judged, curve = curve_of(files)
        assert [step for step, *_ in curve] == [step for step, *_ in expected]
        assert None not in [loss for _, *losses in curve for loss in losses]
        assert curve != expected
        assert judged.val_loss < 5.6  # better than guessing among 256 bytes

    with warm_trainer() as kept:
        trainer = kept(half, Device("cpu", slots=1, threads=1))
        _, expected = curve_of(dict(half.baseline))
        yield check
