"""What a prompt tells of the past: the changes that made its files, and a second parent's files where they differ."""

import json

import pytest

from evo import persona
from evo.driver import prompt_history

FILES = {"train_mps.py": "import torch\n", "model.py": "class GPT: pass\n"}
WIDE, DEEP = FILES | {"model.py": "class GPT: wide = True\n"}, FILES | {"model.py": "class GPT: deep = True\n"}


def row(number, base, files, val_loss, **more):
    told = {"id": number, "base": base, "val_loss": val_loss, "relative_cost": 1.25, "status": "ok", "reason": ""}
    return told | {"summary": f"change {number}", "files": json.dumps(files) if files else None} | more


ROWS = {
    0: row(0, 0, FILES, 2.5, summary=None),
    1: row(1, 0, WIDE, 2.4),
    2: row(2, 0, WIDE, 2.45),
    4: row(4, 1, DEEP, 2.35),
    7: row(7, 4, DEEP | {"train_mps.py": "import math\n"}, 2.3, summary=None),
    8: row(8, 4, None, None, status="no_code", reason="no code block"),
}


@pytest.fixture
def read():
    """The numbers of the rows that were read."""
    return []


@pytest.fixture
def rows(read):
    def of(number):
        read.append(number)
        return ROWS[number]

    return of


def test_lessons_are_the_changes_that_made_the_files_the_oldest_first_and_the_baseline_is_none(rows):
    lessons = prompt_history.lessons_of(rows, 7, 10)
    assert [(one.number, one.summary, one.loss, one.status) for one in lessons] == [
        (1, "change 1", 2.4, "ok"),
        (4, "change 4", 2.35, "ok"),
        (7, "", 2.3, "ok"),
    ]


@pytest.mark.parametrize(("count", "numbers"), [(0, []), (1, [7]), (2, [4, 7]), (3, [1, 4, 7]), (9, [1, 4, 7])])
def test_the_last_changes_are_told_where_there_are_more_than_wanted(rows, read, count, numbers):
    assert [one.number for one in prompt_history.lessons_of(rows, 7, count)] == numbers
    assert sorted(read) == numbers


def test_the_baselines_files_have_no_lessons(rows, read):
    assert prompt_history.lessons_of(rows, 0, 5) == ()
    assert read == []


def test_a_second_parent_shows_the_files_that_differ_and_what_came_of_them(rows, read):
    second = prompt_history.second_parent(rows, (7, 4), 7)
    assert (second.number, second.files) == (4, {"train_mps.py": "import torch\n"})
    assert second.outcome == (
        "Trained, its held-out loss is 2.3500 nats a token, 0.1500 lower than the baseline's 2.5000."
    )
    assert set(read) == {0, 4, 7}


@pytest.mark.parametrize(
    ("parents", "base"), [((), 0), ((7,), 7), ((1, 2), 1), ((7, 4), 4)], ids=["none", "one", "twins", "the base itself"]
)
def test_there_is_no_second_parent_where_nothing_differs(rows, parents, base):
    assert prompt_history.second_parent(rows, parents, base) is None


def test_a_child_that_starts_over_from_the_baseline_still_sees_its_second_parent(rows):
    assert prompt_history.second_parent(rows, (7, 4), 0).files == {"model.py": DEEP["model.py"]}


def test_the_outcome_holds_a_cost_only_where_the_search_looks_at_the_clock(rows):
    assert prompt_history.outcome_of(rows, 4, holds_clock=True).cost == 1.25
    assert prompt_history.outcome_of(rows, 4, holds_clock=False).cost is None
    assert prompt_history.outcome_of(rows, 0, holds_clock=False).is_baseline


def test_a_candidate_whose_answer_held_no_files_has_none(rows):
    assert prompt_history.files_of(rows(8)) == {}


def test_what_has_worked_are_the_largest_gains_on_the_files_that_were_given_the_best_first(seeds):
    who = persona.to_json(seeds[0])
    told = {"mind": "Euler", "persona": who, "duplicate_of": None}
    known = [
        row(0, 0, FILES, 2.5) | told,
        row(1, 0, WIDE, 2.4) | told,
        row(2, 1, WIDE, 2.45) | told,
        row(3, 0, DEEP, 2.2) | told | {"summary": "I ```broke``` out\nof it"},
        row(4, 0, None, None) | told,
        row(5, 3, DEEP, 1.9) | told | {"duplicate_of": 3},
    ]
    assert prompt_history.worked(known) == (
        "candidate 3: loss 2.2000, 0.3000 lower: Euler: I broke out of it",
        "candidate 1: loss 2.4000, 0.1000 lower: Euler: change 1",
    )
    assert prompt_history.worked(known, 1) == prompt_history.worked(known)[:1]
    assert prompt_history.worked(known[:1]) == ()
