"""Rare bindings of a protected setting, and code nested too deep to be walked."""

from pathlib import Path

import pytest

from evo.evaluator import Evaluator, Spec, code_hash
from evo.status import Status
from evo.verify import static

TRAIN = "batch_size = 16\nblock_size = 64\n\n\ndef train():\n    return 1.0, 2.0\n"
MODEL = "class GPT:\n    pass\n"
EVALUATOR = Evaluator(
    spec=Spec(name="made-up", settings={"batch_size": 16, "block_size": 64}), folder=Path("/nowhere"), baseline={}
)


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    1 / 0\nexcept ZeroDivisionError as batch_size:\n    pass",
        "match 400:\n    case batch_size:\n        pass",
        "match 400:\n    case int() as batch_size:\n        pass",
        "match [400]:\n    case [*batch_size]:\n        pass",
        "match {}:\n    case {**batch_size}:\n        pass",
        "from model import *",
    ],
)
def test_a_setting_bound_by_except_match_or_a_star_import_is_refused(code):
    failure = static.check({"train_mps.py": f"{TRAIN}\n{code}\n", "model.py": MODEL}, EVALUATOR)
    assert failure is not None
    assert failure.status == Status.PROTECTED_SETTING


@pytest.mark.parametrize("value", ["+".join(["1"] * 900), "0x" + "f" * 5000], ids=["a long sum", "many digits"])
def test_a_value_that_cannot_be_written_down_is_refused_and_nothing_raised(value):
    train = TRAIN.replace("batch_size = 16", f"batch_size = {value}")
    failure = static.check({"train_mps.py": train, "model.py": MODEL}, EVALUATOR)
    assert failure is not None
    assert failure.status == Status.PROTECTED_SETTING


@pytest.mark.parametrize(
    "code",
    ["if 0: pass\n" + "".join(f"elif {n}: pass\n" for n in range(400)), "x = " + "+".join(["1"] * 2000) + "\n"],
    ids=["elif", "sum"],
)
def test_code_that_passes_the_check_has_a_hash(code):
    files = {"train_mps.py": TRAIN, "model.py": MODEL + code}
    assert static.check(files, EVALUATOR) is None
    assert len(code_hash(files)) == 16
