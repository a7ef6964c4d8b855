"""Records that a disk spoiled, of every kind and in the midst of a run: set aside, told, made again."""

import pytest
from killing import LONG, not_killed, run_killing
from standins import Proposer, drive, make_run, with_rung, without_clocks

from evo.finalists import VERDICT
from evo.lineage.runs import lost, summary
from evo.lineage.store import Lineage


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory, small_evaluator):
    return with_rung(small_evaluator, tmp_path_factory.mktemp("early_stop") / "small")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, evaluator):
    return not_killed(make_run(tmp_path_factory.mktemp("whole"), evaluator, **LONG))


@pytest.fixture
def run(tmp_path, evaluator):
    """One that is done."""
    run = make_run(tmp_path, evaluator, **LONG)
    drive(run)
    return run


def spoil(run, table, *key):
    path = Lineage(run.path).path(table, *key)
    path.write_bytes(path.read_bytes()[:-9])
    return path


def keys(run, table):
    return [
        tuple(map(int, path.stem.split("-"))) for path in sorted((run.path / "lineage" / table).glob("[0-9]*.parquet"))
    ]


def test_any_damaged_candidate_is_made_again_with_no_question_and_no_training(run, whole):
    for (number,) in keys(run, "candidates"):
        spoil(run, "candidates", number)
        assert summary(run.path).state == "finished"  # by its names: nothing was read
        proposer, trainers, watcher = drive(run)
        assert (proposer.asked, trainers.trained) == ([], [])
        assert len(watcher.notes) == 1
        assert f"{number:06d}.parquet is damaged: " in watcher.notes[0]
        assert without_clocks(Lineage(run.path)) == whole.lineage


@pytest.mark.parametrize("table", ["trainings", "curves"])
def test_any_damaged_training_or_curve_is_trained_again_once(run, whole, table):
    for key in keys(run, table):
        spoil(run, table, *key)
        proposer, trainers, watcher = drive(run)
        assert (proposer.asked, len(trainers.trained), len(watcher.notes)) == ([], 1, 1), key
        assert trainers.jobs[0].test == (key[1] >= VERDICT)
        assert without_clocks(Lineage(run.path)) == whole.lineage, key
    assert summary(run.path).state == "finished"


def test_any_damaged_answer_is_asked_for_again_once_and_that_is_said(run, whole):
    for key in keys(run, "calls"):
        spoil(run, "calls", *key)
        proposer, trainers, watcher = drive(run)
        assert (len(proposer.asked), trainers.trained) == (1, [])
        assert watcher.notes[0].endswith("the answer is lost and requested again")
        assert without_clocks(Lineage(run.path)) == whole.lineage


def test_a_damaged_verdict_is_given_again_from_its_trainings(run, whole):
    spoil(run, "verdicts", 9, 1)
    proposer, trainers, watcher = drive(run)
    assert (proposer.asked, trainers.trained, len(watcher.notes)) == ([], [], 1)
    assert without_clocks(Lineage(run.path)) == whole.lineage


def test_many_kinds_of_damage_at_once_are_made_good(run, whole):
    told = [("candidates", 0), ("candidates", 4), ("trainings", 0, 0), ("trainings", 4, 0), ("trainings", 0, VERDICT)]
    told += [("calls", 4, 1), ("calls", 5, 1), ("curves", 5, 0), ("verdicts", 9, 1)]
    for table, *key in told:
        if tuple(key) in keys(run, table):
            spoil(run, table, *key)
    _, _, watcher = drive(run)
    assert len(watcher.notes) >= 8
    assert without_clocks(Lineage(run.path)) == whole.lineage
    assert summary(run.path).state == "finished"


def test_a_damaged_record_of_a_run_that_was_killed_costs_that_record_alone(tmp_path, evaluator, whole):
    run = make_run(tmp_path / "killed", evaluator, **LONG)
    assert run_killing(run.path, tmp_path / "hit", "after rename candidates", 6).returncode == -9
    spoil(run, "candidates", 2)
    spoil(run, "calls", 3, 1)
    kept = {table: len(keys(run, table)) for table in ("calls", "trainings")}
    proposer, trainers, watcher = drive(run)
    assert len(watcher.notes) >= 2
    assert len(proposer.asked) == whole.asked - kept["calls"] + 1
    assert len(trainers.trained) == whole.trained - kept["trainings"]
    assert without_clocks(Lineage(run.path)) == whole.lineage


def test_what_was_set_aside_is_made_again_even_if_the_resumed_run_is_killed_first(tmp_path, run, whole):
    spoil(run, "trainings", 3, 0)
    killed = run_killing(run.path, tmp_path / "hit", "before judge", 1)
    assert killed.returncode == -9, killed.stderr
    assert lost(run.path, 9) == [("trainings", 3, 0)]
    assert summary(run.path).state == "stopped"
    drive(run)
    assert without_clocks(Lineage(run.path)) == whole.lineage


def test_an_answer_that_is_another_one_the_second_time_is_kept_as_a_second_attempt(run, whole):
    (files,) = [row["files"] for row in Lineage(run.path).read("candidates") if row["id"] == 4]
    spoil(run, "calls", 4, 1)
    drive(run, Proposer(lambda reply: reply | {"text": "I would not know."}))
    lineage = Lineage(run.path)
    assert (lineage.has("calls", 4, 1), lineage.read_record("calls", 4, 2)[0]["attempt"]) == (False, 2)
    assert lineage.read_record("candidates", 4)[0]["files"] == files
    assert summary(run.path).state == "finished"
    proposer, _, _ = drive(run)
    assert proposer.asked == []


def test_a_damaged_record_between_two_clocks_is_made_again(tmp_path, small_evaluator):
    """The training that repeats the first one for its seconds is made again too."""
    run = make_run(tmp_path / "clocks", small_evaluator)
    drive(run)
    lineage = Lineage(run.path)
    (row,) = lineage.read_record("trainings", 3, 0)
    lineage.append("trainings", (3, 900_000), [row | {"replicate": 900_000}])
    spoil(run, "trainings", 3, 900_000)
    _, trainers, _ = drive(run)
    assert [job.seed for job in trainers.jobs] == [row["seed"]]
    assert lineage.has("trainings", 3, 900_000)
