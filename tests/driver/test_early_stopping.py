"""Candidates that are clearly losing at the evaluator's early_stop, through the whole driver."""

import asyncio
import json
import random

import pytest
from standins import Proposer, Trainers, drive, hash_of, make_run, with_rung, without_clocks

from evo import report
from evo.lineage.store import Lineage
from evo.search import Search

EARLY = {"early.least": 2, "early.control": 0.2, "generations": 4}


@pytest.fixture(scope="module")
def early_stop_evaluator(tmp_path_factory, small_evaluator):
    return with_rung(small_evaluator, tmp_path_factory.mktemp("early_stop") / "small")


@pytest.fixture(scope="module")
def done(tmp_path_factory, early_stop_evaluator):
    """A run in which some were stopped, and its trainers."""
    run = make_run(tmp_path_factory.mktemp("done"), early_stop_evaluator, **EARLY)
    _, trainers, _ = drive(run)
    return run, trainers


def rows_of(run, table="candidates"):
    return Lineage(run.path).read(table)


def first_jobs(run, trainers):
    """Number of each candidate that was trained → the job of its first training."""
    first_seed = trainers.jobs[0].seed
    jobs = {hash_of(job.files): job for job in trainers.jobs if job.seed == first_seed}
    return {row["id"]: jobs[row["code_hash"]] for row in rows_of(run) if row["status"] != "duplicate"}


def test_a_training_is_given_the_rung_that_the_search_says(done):
    run, trainers = done
    search = Search(run.config, run.seeds)
    for row in rows_of(run):
        search.tell(row)
    rungs = {
        n: job.early_stop and (job.early_stop.loss, job.early_stop.of)
        for n, job in first_jobs(run, trainers).items()
        if n
    }
    assert rungs == {n: search.early_stop(n) for n in rungs}
    assert {job.early_stop.step for job in trainers.jobs if job.early_stop} == {2}
    assert 0 < sum(early_stop is None for n, early_stop in rungs.items() if n > 2) < len(rungs) - 2


def test_the_baseline_the_seeds_finals_and_verdicts_are_never_stopped(tmp_path, early_stop_evaluator):
    flags = {"final.least": 5, "final.finalists": 2, "final.seeds": 2}
    run = make_run(tmp_path, early_stop_evaluator, **EARLY | flags | {"early.control": 0.0})
    _, trainers, watcher = drive(run)
    assert len(watcher.trainings) == 2 * 2 + 2 * 2
    with_one = [job for job in trainers.jobs if job.early_stop]
    assert {job.seed for job in with_one} == {trainers.jobs[0].seed}
    assert not any(job.files == run.evaluator.baseline or job.test for job in with_one)
    assert len(with_one) == sum(row["id"] > 2 and row["status"] != "duplicate" for row in rows_of(run))


def test_a_stopped_candidate_has_a_curve_and_a_reason_and_no_score(done):
    run, _ = done
    stopped = [row for row in rows_of(run) if row["status"] == "stopped_early"]
    assert stopped
    curves = {row["id"] for row in rows_of(run, "curves") if row["replicate"] == 0}
    trained = {row["id"]: row for row in rows_of(run, "trainings") if row["replicate"] == 0}
    for row in stopped:
        assert (row["val_loss"], row["relative_cost"]) == (None, None)
        assert row["reason"]
        assert row["early_stop_loss"] == trained[row["id"]]["early_stop_loss"] is not None
        assert trained[row["id"]]["status"] == "stopped_early"
        assert row["id"] in curves
        assert set(json.loads(row["files"])) == {"train_mps.py", "model.py"}


def test_a_stopped_candidate_is_no_failure_no_parent_and_no_leader(done):
    run, _ = done
    rows = rows_of(run)
    stopped = {row["id"] for row in rows if row["status"] == "stopped_early"}
    now = report.standing(rows, rows_of(run, "trainings"), run.config)
    assert now.stopped == len(stopped)
    assert "stopped_early" not in now.failures
    assert now.leader["id"] not in stopped
    assert not any(stopped & {*row["parents"], row["base"]} for row in rows)
    text = "\n".join(report.ending("r", rows, rows_of(run, "trainings"), rows_of(run, "verdicts"), [], run.config, "f"))
    assert f"none failed, {len(stopped)} stopped early" in text


def test_equal_searches_stop_the_same_candidates(tmp_path, early_stop_evaluator, done):
    again = make_run(tmp_path, early_stop_evaluator, **EARLY)
    drive(again)
    assert without_clocks(Lineage(again.path)) == without_clocks(Lineage(done[0].path))


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_in_which_trainings_end_changes_neither_who_is_stopped_nor_the_verdict(
    tmp_path, early_stop_evaluator, order
):
    rng = random.Random(order)

    class Shuffled(Trainers):
        async def judge(self, job):
            await asyncio.sleep(rng.random() / 50)
            return await super().judge(job)

    flags = EARLY | {"final.least": 5, "final.finalists": 2, "final.seeds": 2}
    one, two = (make_run(tmp_path, early_stop_evaluator, name=name, **flags) for name in ("one", "two"))
    drive(one)
    drive(two, trainers=Shuffled())
    assert without_clocks(Lineage(one.path)) == without_clocks(Lineage(two.path))


def test_an_evaluator_without_a_rung_stops_nobody(tmp_path, small_evaluator):
    run = make_run(tmp_path, small_evaluator, **EARLY)
    _, trainers, _ = drive(run)
    assert not any(job.early_stop for job in trainers.jobs)
    assert "stopped_early" not in {row["status"] for row in rows_of(run)}


def test_a_search_without_early_stopping_stops_nobody(tmp_path, early_stop_evaluator):
    run = make_run(tmp_path, early_stop_evaluator, **EARLY, **{"early.stop": False})
    _, trainers, _ = drive(run)
    assert not any(job.early_stop for job in trainers.jobs)


def test_a_twin_of_a_stopped_candidate_takes_its_missing_score_and_is_no_failure(tmp_path, early_stop_evaluator):
    class Losing(Trainers):
        async def judge(self, job):
            judged = await super().judge(job)
            return (
                {**judged, "status": "stopped_early", "reason": "losing", "val_loss": None}
                if job.early_stop
                else judged
            )

    run = make_run(tmp_path, early_stop_evaluator, **{"early.least": 2, "early.control": 0.0, "lag": 1})
    endings = iter(["FIRST = 1", "SECOND = 1", *["SAME = 1"] * 6])

    def spoil(reply):
        model = f"{run.evaluator.baseline['model.py']}\n{next(endings)}\n"
        return reply | {"text": f"```python\nmodel.py\n{model}```"}

    _, trainers, _ = drive(run, Proposer(spoil), Losing())
    rows = rows_of(run)
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "stopped_early", *["duplicate"] * 5]
    assert {
        (row["duplicate_of"], row["val_loss"], row["relative_cost"], row["early_stop_loss"]) for row in rows[4:]
    } == {(3, None, None, None)}
    assert trainers.trained.count(rows[3]["code_hash"]) == 1
    now = report.standing(rows, rows_of(run, "trainings"), run.config)
    assert (now.failures, now.stopped) == ({}, 1)
