"""The prompt: the persona's text first, then files that can be read back, and no clock."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import evaluator as evaluators
from evo import persona as personas
from evo.proposer import prompt
from evo.proposer.answer import name_block, parse, read_blocks

ROOT = Path(__file__).resolve().parents[2]
EULER = personas.parse((ROOT / "seeds" / "leonhard_euler.txt").read_text(encoding="utf-8"))
FILES = {"train_mps.py": "import torch\n", "model.py": "class GPT: pass\n"}
BASELINE = prompt.Outcome(2.5)
CHANGED = prompt.Outcome(2.5, loss=2.25, cost=1.5, is_baseline=False)


def files_in(text):
    """The files that a prompt holds, read as an answer is read."""
    blocks, _ = read_blocks(text[text.index(prompt.FILES_HEADING) :])
    return dict(name_block(block, list(FILES)) for block in blocks)


@pytest.mark.parametrize("seed", sorted(path.name for path in (ROOT / "seeds").glob("*.txt")))
def test_a_prompt_starts_with_the_personas_text_and_with_nothing_else(seed):
    text = (ROOT / "seeds" / seed).read_text(encoding="utf-8")
    before, heading, _ = prompt.text(personas.parse(text), FILES, BASELINE).partition(prompt.FILES_HEADING)
    assert heading
    assert before.rstrip() == text.rstrip()


def test_a_prompt_holds_the_baselines_files_so_that_they_read_back_exactly():
    baseline = evaluators.load(ROOT / "evaluators" / "tiny_gpt").baseline
    assert files_in(prompt.text(EULER, baseline, BASELINE)) == baseline


LINES = st.lists(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=20), max_size=6)


@settings(deadline=None)
@given(LINES, LINES)
def test_any_files_read_back_but_for_white_space_at_their_end(train, model):
    files = {"train_mps.py": "\n".join([*train, "x"]), "model.py": "\n".join([*model, "```y", "````"])}
    found = files_in(prompt.text(EULER, files, BASELINE))
    assert {name: text.rstrip() for name, text in found.items()} == {n: t.rstrip() for n, t in files.items()}


def test_an_answer_that_sends_the_files_back_as_they_stood_changes_nothing():
    text = prompt.text(EULER, FILES, BASELINE)
    sent_back = text[text.index(prompt.FILES_HEADING) : text.index(prompt.RESULT_HEADING)]
    assert parse(sent_back, FILES).files == FILES


def test_equal_questions_give_equal_prompts_and_other_losses_give_others():
    assert prompt.text(EULER, FILES, CHANGED) == prompt.text(EULER, FILES, CHANGED)
    assert prompt.text(EULER, FILES, CHANGED) != prompt.text(EULER, FILES, prompt.Outcome(2.5, 2.24, 1.5, False))


def result_of(outcome):
    return prompt.text(EULER, FILES, outcome).partition(prompt.RESULT_HEADING)[2]


def test_a_prompt_tells_no_seconds_minutes_or_dates():
    told = result_of(CHANGED).lower()
    for word in ("second", "minute", "elapsed", " 20"):
        assert word not in told


def test_the_cost_is_told_where_the_search_looks_at_the_clock():
    assert "1.50 times what the baseline costs" in result_of(CHANGED)


def test_the_cost_is_absent_where_it_is_none():
    told = result_of(prompt.Outcome(2.5, loss=2.25, cost=None, is_baseline=False))
    assert "cost" not in told
    assert "2.2500" in told


def test_the_baselines_own_files_are_called_the_baselines():
    told = result_of(BASELINE)
    assert "baseline's files" in told
    assert "2.5000" in told
    assert "lower" not in told


@pytest.mark.parametrize(("loss", "words"), [(2.25, "0.2500 lower than"), (2.75, "0.2500 higher than")])
def test_a_difference_is_told_with_its_direction(loss, words):
    assert f"{words} the baseline's 2.5000" in result_of(prompt.Outcome(2.5, loss=loss, is_baseline=False))


def test_changed_files_without_a_loss_are_refused():
    with pytest.raises(ValueError, match="expected a loss"):
        prompt.text(EULER, FILES, prompt.Outcome(2.5, is_baseline=False))


def test_one_request_is_one_user_message():
    messages = prompt.messages(EULER, FILES, BASELINE)
    assert messages == [{"role": "user", "content": prompt.text(EULER, FILES, BASELINE)}]
