"""The hostile candidates as a collection: enough of them, each of them valid code that says what must come of it."""

import re

import pytest
from hostile.hostile import LEVELS, candidates

from evo.status import Status
from evo.trainer import isolation

ALL = candidates()
KNOWS = {"tag": "evo-hostile-0"}


def test_there_are_at_least_forty():
    assert len(ALL) >= 40


@pytest.mark.parametrize("candidate", ALL, ids=str)
def test_a_candidate_says_what_must_come_of_it(candidate):
    assert set(candidate.statuses) == set(candidate.prints) == set(LEVELS)
    for level in LEVELS:
        assert candidate.statuses[level]
        assert set(candidate.statuses[level]) <= set(Status)
        assert candidate.prints[level], "nobody could tell that it was tried"
    for pattern in (candidate.reason, *candidate.hides, *candidate.works, *sum(candidate.prints.values(), ())):
        re.compile(pattern)


@pytest.mark.parametrize("candidate", ALL, ids=str)
def test_a_candidate_is_valid_code(candidate):
    for name, text in candidate.files(KNOWS).items():
        compile(text, f"{candidate}/{name}", "exec")
    compile(candidate.plainly(KNOWS), str(candidate), "exec")


def test_level_process_says_why_it_does_not_claim_to_stop_a_candidate():
    beyond = [candidate for candidate in ALL if candidate.beyond]
    assert 20 <= len(beyond) <= len(ALL) - 20


def test_what_each_level_stops_is_told_with_the_candidate_that_tries_it():
    both, stronger = isolation.__doc__.split("*bubblewrap* also stops")
    told = [set(re.findall(r"\w+", " ".join(re.findall(r"\[([^]]*)\]", text)))) for text in (both, stronger)]
    stopped = [{c.name for c in candidates() if not c.beyond}, {c.name for c in candidates() if c.beyond}]
    assert told == stopped
