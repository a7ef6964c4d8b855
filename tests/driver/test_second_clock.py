"""A candidate that would lead were it cheap enough, and of whose cost two clocks disagree, is clocked once more."""

import pytest
from standins import Trainers, drive, hash_of, make_run

from evo import finalists
from evo.driver import run_folder as folders
from evo.lineage import query
from evo.lineage.store import Lineage

CLOCK = {"selection.max_cost": 1.25}


class Clocked(Trainers):
    """Trainings of 6 CPU seconds and 6.5 of the wall, but for candidates: CPU and wall seconds of their first and later ones.

    Args:
        baseline: the files that are always clocked well.
        first, later: CPU and wall seconds.
    """

    def __init__(self, baseline, first, later=(6.0, 6.5)):
        super().__init__()
        self.baseline, self.first, self.later = baseline, first, later

    async def judge(self, job):
        judged = await super().judge(job)
        clocked = self.first if self.trained.count(hash_of(job.files)) == 1 else self.later
        judged["cpu_seconds"], judged["wall_seconds"] = (6.0, 6.5) if job.files == self.baseline else clocked
        return judged


@pytest.fixture
def clocked(tmp_path, small_evaluator):
    """Drive a run whose candidates take these seconds; its rows, and those of its trainings by number and replicate."""

    def driven(first, later=(6.0, 6.5), **flags):
        run = make_run(tmp_path, small_evaluator, **CLOCK | flags)
        drive(run, trainers=Clocked(run.evaluator.baseline, first, later))
        lineage = Lineage(run.path)
        trainings = {(row["id"], row["replicate"]): row for row in lineage.read("trainings")}
        return lineage.read("candidates"), trainings

    return driven


def second(trainings):
    return {number for number, replicate in trainings if replicate == finalists.TIMING}


def leading(rows, lag=3):
    """Numbers of the candidates whose loss was below all that they knew of, two seeds and then a fixed lag behind."""
    found = set()
    for row in rows[1:]:
        known = rows[: 1 + (0 if row["id"] <= 2 else max(2, row["id"] - lag))]
        found |= {row["id"]} if all(row["val_loss"] < other["val_loss"] for other in known) else set()
    return found


def test_only_those_that_would_lead_are_clocked_again_and_on_the_same_seeds(clocked):
    rows, trainings = clocked(first=(10.0, 6.5))
    assert second(trainings) == leading(rows)
    assert second(trainings)
    for number in second(trainings):
        one, two = trainings[number, 0], trainings[number, finalists.TIMING]
        assert (one["seed"], one["val_loss"]) == (two["seed"], two["val_loss"])


def test_the_lower_of_two_costs_counts(clocked):
    rows, trainings = clocked(first=(10.0, 6.5))
    for row in rows[1:]:
        assert row["relative_cost"] == (1.0 if row["id"] in second(trainings) else 1.75)
        assert row["seconds"] == (6.0 if row["id"] in second(trainings) else 10.0)
        assert trainings[row["id"], 0]["relative_cost"] == 1.75


def test_a_second_clock_that_takes_longer_changes_nothing(clocked):
    rows, trainings = clocked(first=(10.0, 6.5), later=(20.0, 6.5))
    assert second(trainings)
    assert {row["relative_cost"] for row in rows[1:]} == {1.75}


@pytest.mark.parametrize("seconds", [(6.0, 6.5), (10.0, 12.0)])
def test_where_the_clocks_agree_nobody_is_clocked_again(clocked, seconds):
    assert second(clocked(first=seconds)[1]) == set()


def test_where_no_clock_counts_nobody_is_clocked_again(clocked):
    assert second(clocked(first=(10.0, 6.5), **{"selection.max_cost": float("inf")})[1]) == set()


def test_a_second_clock_is_no_second_seed(clocked, tmp_path):
    _, trainings = clocked(first=(10.0, 6.5))
    rows = query.sql(tmp_path, "SELECT id, trainings FROM scores").as_dicts()
    counted = {row["id"]: row["trainings"] for row in rows}
    for number in second(trainings):
        replicates = {k for other, k in trainings if other == number} - {finalists.TIMING}
        assert counted[number] == len(replicates)


def test_a_run_whose_candidates_were_clocked_again_is_not_trained_again(clocked, tmp_path):
    clocked(first=(10.0, 6.5))
    proposer, trainers, _ = drive(folders.open_run(tmp_path / "run"))
    assert (proposer.asked, trainers.trained) == ([], [])
