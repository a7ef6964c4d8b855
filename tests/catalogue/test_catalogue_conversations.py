"""The catalogue when it is told what was wrong with its answer."""

import re

import openai
import pytest

from evo.catalogue import EDITS, CatalogueServer, answer
from evo.catalogue.edits.core import MODEL, TRAIN
from evo.catalogue.prompt_reader import read
from evo.proposer.answer import parse
from evo.status import Status
from evo.verify import static

COMPLAINT = "Your model.py does not train: it raises ValueError in line 12. Answer again, with both files whole."


def edits_of(text):
    return set(re.fullmatch(r"Edits: (.*)", text.splitlines()[0])[1].split(", "))


def turns(messages, *later):
    roles = ("assistant", "user")
    return [*messages, *({"role": roles[n % 2], "content": text} for n, text in enumerate(later))]


def test_a_complaint_is_answered_with_other_edits(messages, baseline, evaluator):
    for seed in range(25):
        first = answer(messages, seed)
        second = answer(turns(messages, first, COMPLAINT), seed + 1)
        third = answer(turns(messages, first, COMPLAINT, second, COMPLAINT), seed + 2)
        tried = [edits_of(text) for text in (first, second, third)]
        assert sum(map(len, tried)) == len(set.union(*tried))
        for text in (second, third):
            parsed = parse(text, baseline)
            assert parsed.status is Status.OK
            assert static.check(parsed.files, evaluator) is None


def test_one_conversation_has_one_answer_and_another_complaint_or_seed_another(messages):
    first = answer(messages, 1)
    told = turns(messages, first, COMPLAINT)
    assert answer(told, 1) == answer(told, 1)
    assert len({answer(told, seed) for seed in range(20)}) > 12
    assert len({answer(turns(messages, first, f"{COMPLAINT} {n}"), 1) for n in range(20)}) > 12


def test_persona_and_files_are_those_of_the_first_question(messages, baseline):
    complaint = f"**The files as they stand:**\n\n```python\n{MODEL}\na = 1\n```\n\nMuon, Muon, Muon. {COMPLAINT}"
    reading = read(turns(messages, answer(messages, 1), complaint))
    assert reading.files == baseline == read(messages).files
    assert reading.weights == read(messages).weights


def test_only_what_it_said_itself_counts_as_tried(messages):
    reading = read(turns(messages, "Edits: muon, rotary\n\nSome words.", "Edits: swiglu\n\nThese words are yours."))
    assert reading.tried == {"muon", "rotary"}
    assert read(messages).tried == frozenset()


def test_where_everything_was_tried_it_is_tried_again(messages):
    everything = f"Edits: {', '.join(edit.name for edit in EDITS)}\n"
    assert edits_of(answer(turns(messages, everything, COMPLAINT), 1))


def test_an_answer_that_was_cut_is_given_anew_and_whole(messages, baseline):
    first = answer(messages, 2)
    text = answer(turns(messages, first[: len(first) // 2], "Your answer was cut at its limit. Go on."), 3)
    assert parse(text, baseline).status is Status.OK
    assert {TRAIN, MODEL} == set(parse(text, baseline).files)


def test_a_second_parent_s_files_are_not_taken_for_the_files_to_change(messages, baseline):
    other = "**Another candidate's files, to take ideas from:**\n\n```python\nmodel.py\nb = 2\n```\n\n"
    asked = [{"role": "user", "content": messages[0]["content"] + "\n" + other}]
    assert read(asked).files == baseline


def test_each_turn_of_a_conversation_meets_faults_of_its_own(messages):
    with CatalogueServer(faults="empty=0.5") as server:
        client = openai.OpenAI(base_url=server.base_url, api_key=server.token, max_retries=0)

        def empty(asked, seed):
            completion = client.chat.completions.create(model="catalogue", messages=asked, seed=seed)
            return not completion.choices[0].message.content

        told = turns(messages, "", COMPLAINT)
        first, second = ([empty(asked, seed) for seed in range(16)] for asked in (messages, told))
        client.close()
    assert {True, False} == set(first) == set(second)
    assert first != second


@pytest.mark.parametrize("role", ["system", "developer"])
def test_what_is_said_before_the_first_question_is_read_with_it(messages, role):
    split = [{"role": role, "content": "Please try Muon."}, *messages]
    assert read(split).files == read(messages).files
