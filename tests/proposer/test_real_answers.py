"""What real models wrote, when asked for one change to a model.py, gets its right name; it is read from where it lies."""

import functools
import random
from pathlib import Path

import pytest
from warm import warm_trainer

from evo import evaluator as evaluators
from evo.evaluator import code_hash
from evo.proposer import repair
from evo.proposer.answer import parse, parse_continued
from evo.status import Status
from evo.trainer.device import Device
from evo.trainer.job import Job
from evo.verify import static

REPLIES = Path(__file__).resolve().parents[3] / "shared" / "replies"
pytestmark = pytest.mark.skipif(not REPLIES.is_dir(), reason=f"there are no real answers in {REPLIES}")

EVALUATOR_TOML = """\
name = "replies"

[settings]
batch_size = 4
block_size = 32
max_iters = 6

[batches]
train = 6
val = 1
short_run = 3

[data]
source = "folder"
path = "texts"

[limits]
cpu_seconds = 60
wall_seconds = 120
memory_mb = 2000
scratch_mb = 64
"""

TRAIN = """\
import torch

import harness
from model import GPT, GPTConfig

batch_size = 4
block_size = 32
max_iters = 6


def train():
    batches = harness.batches("train", batch_size, block_size)
    model = GPT(GPTConfig(vocab_size=harness.vocab_size, block_size=block_size)).to(harness.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for step in range(max_iters):
        x, y = next(batches)
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        best_vloss = model(*next(harness.batches("val", batch_size, block_size)))[1].item()
    harness.report(max_iters, loss.item(), best_vloss)
    return best_vloss, 0.1
"""

COMPLETE = ("q05_act_2", "q05_rms_0", "q15_act_0", "q15_depth_0", "q15_rms_0", "q15_rms_3", "q15_tie_2")
"""Answers with one whole model.py, which none of them names."""
CUT = ("smol_rms_0", "smol_rms_2", "smol_rms_3")
"""Answers that ran to the output limit."""


def reply(name):
    return (REPLIES / f"{name}.txt").read_text(encoding="utf-8")


@functools.cache
def given():
    return {"train_mps.py": TRAIN, "model.py": (REPLIES / "given-model.py").read_text(encoding="utf-8")}


def files_of(name):
    answer = parse(reply(name), given())
    assert answer.status == Status.OK, answer.reason
    return answer.files


@pytest.fixture(scope="session")
def replies_evaluator(tmp_path_factory):
    """The evaluator that the answers fit: their given model.py, trained for a moment on made-up words."""
    folder = tmp_path_factory.mktemp("replies")
    (folder / "texts").mkdir()
    for number in range(8):
        rng = random.Random(number)
        words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(1, 8))) for _ in range(1500)]
        (folder / "texts" / f"{number}.txt").write_text(" ".join(words), encoding="utf-8")
    (folder / "evaluator.toml").write_text(EVALUATOR_TOML, encoding="utf-8")
    for name, text in given().items():
        (folder / name).write_text(text, encoding="utf-8")
    return evaluators.load(folder)


@pytest.fixture(scope="session")
def judged(replies_evaluator):
    """What the trainer finds of an answer's files; each is trained once."""
    with warm_trainer() as trainer:
        judge = trainer(replies_evaluator, Device("cpu", slots=1, threads=1))
        yield functools.cache(lambda name: judge.judge(Job(files_of(name), 1, 2)))


def test_every_answer_that_lies_there_is_looked_at():
    assert {path.stem for path in REPLIES.glob("*.txt")} == {*COMPLETE, *CUT, "smol_rms_4"}


@pytest.mark.parametrize("name", COMPLETE)
def test_a_file_that_is_not_named_is_known_by_what_it_defines(name, replies_evaluator):
    files = files_of(name)
    assert files["train_mps.py"] == TRAIN
    assert files["model.py"].strip() == reply(name).removeprefix("```python\n").removesuffix("```").strip()
    assert static.check(files, replies_evaluator) is None


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("finish_reason", ["length", "stop", None])
def test_an_answer_that_ran_to_the_limit_is_truncated_whatever_the_endpoint_says(name, finish_reason):
    answer = parse(reply(name), given(), finish_reason)
    assert (answer.status, answer.files) == (Status.TRUNCATED, None)
    assert answer.detail == reply(name).rstrip()[-200:]


def test_hundreds_of_empty_fences_are_no_code_and_nothing_to_go_on_from():
    assert parse(reply("smol_rms_4"), given()).status == Status.NO_CODE
    cut = parse(reply("smol_rms_4"), given(), "length")
    assert (cut.status, cut.detail) == (Status.TRUNCATED, "")
    assert parse_continued(reply("smol_rms_4"), reply("q15_tie_2"), given()).files == files_of("q15_tie_2")


@pytest.mark.parametrize("name", COMPLETE)
def test_only_the_twin_is_the_same_code_as_what_was_given(name):
    assert (code_hash(files_of(name)) == code_hash(given())) == (name == "q05_rms_0")


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_an_answer_cut_anywhere_and_continued_is_the_answer(name, share):
    text = reply(name)
    at = int(len(text) * share)
    assert parse(text[:at], given(), "length").status == Status.TRUNCATED
    assert parse_continued(text[:at], text[at:], given()).files == files_of(name)


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize(
    "again",
    [
        "```python\n{line}{rest}",
        "{line}{rest}",
        "Sure, continuing where I stopped:\n\n```python\n{line}{rest}",
        "```python\nmodel.py\n{line}{rest}",
        "```\n{line}{rest}",
        "Here is the whole file:\n\n{whole}",
        "{whole}",
    ],
)
def test_an_answer_cut_anywhere_and_continued_in_the_ways_of_models_is_the_answer(name, share, again):
    text = reply(name)
    at = int(len(text) * share)
    line = text[text.rfind("\n", 0, at) + 1 : at]
    rest = again.format(line=line, rest=text[at:], whole=text)
    assert parse_continued(text[:at], rest, given()).files == files_of(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["q15_depth_0", "q15_tie_2", "q15_act_0"])
def test_a_right_answer_trains_and_is_scored(name, judged):
    found = judged(name)
    assert found.status == Status.OK, f"{found.reason}\n{found.output_tail}"
    assert found.val_loss > 0


@pytest.mark.slow
def test_a_norm_over_time_is_caught_by_the_probes(judged):
    found = judged("q15_rms_3")
    assert (found.status, found.val_loss) == (Status.LEAKS_FUTURE, None), found.reason
    assert "normalise over the channels" in said_of(found)


@pytest.mark.slow
def test_an_invented_module_is_a_crash_that_names_it(judged):
    found = judged("q15_rms_0")
    assert found.status == Status.CRASHED
    assert "ImportError" in found.reason
    assert "from .rmsnorm import RMSNorm" in found.output_tail
    said = said_of(found)
    assert "imports something that does not exist" in said
    assert "from .rmsnorm import RMSNorm" in said


@pytest.mark.slow
def test_a_lost_import_is_a_crash_that_names_what_is_missing(judged):
    found = judged("q05_act_2")
    assert found.status == Status.CRASHED
    assert found.reason == "NameError: name 'dataclass' is not defined"
    assert "It uses `dataclass`, which is neither imported nor defined" in said_of(found)


def said_of(found):
    return repair.message(repair.Failure(found.status, found.reason, found.output_tail))
