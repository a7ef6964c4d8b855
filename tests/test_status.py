"""The closed list of statuses."""

import json

import pytest

from evo.status import Status

NAMES = {
    "ok", "no_answer", "truncated", "no_code", "bad_answer", "syntax_error", "protected_setting", "contract", "duplicate",
    "crashed", "timeout", "memory", "killed", "wrote_too_much", "too_many_processes", "not_finite", "not_rebuildable",
    "bad_shape", "leaks_future", "not_independent", "not_repeatable", "stopped_early", "worker_lost",
}  # fmt: skip


def test_no_status_of_a_written_lineage_is_ever_taken_away():
    assert {str(status) for status in Status} >= NAMES


@pytest.mark.parametrize("status", Status)
def test_every_status_says_what_it_means_in_one_line(status):
    assert status.meaning
    assert "\n" not in status.meaning
    assert len(status.meaning) < 100


def test_no_two_statuses_mean_the_same():
    assert len({status.meaning for status in Status}) == len(Status)


@pytest.mark.parametrize("status", Status)
def test_a_status_is_its_name_in_a_row_and_is_read_back_from_it(status):
    assert Status(json.loads(json.dumps(status))) is status
    assert status == str(status) == f"{status}" == status.name.lower()


def test_another_name_is_no_status():
    with pytest.raises(ValueError, match="lost"):
        Status("lost")
