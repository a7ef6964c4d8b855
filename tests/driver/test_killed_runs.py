"""kill -9 at chosen moments, with stand-ins for the actors; `test_killed_ray_runs.py` does it to a real one."""

from collections import Counter

import pytest
from killing import run_killing
from standins import drive, make_run, with_rung, without_clocks

from evo.finals import VERDICT
from evo.lineage.runs import summary
from evo.lineage.store import Lineage

MOMENTS = [
    ("before aside", 1),
    ("before aside", 8),
    ("before fsync", 2),
    ("before fsync", 25),
    ("before rename", 1),
    ("before rename", 5),
    ("before rename", 14),
    ("after rename", 1),
    ("after rename", 6),
    ("after rename", 13),
    ("before ask", 3),
    ("after ask", 4),
    ("before judge", 1),
    ("after judge", 3),
]
LATE_MOMENTS = [
    ("before aside final curves", 1),
    ("before rename final trainings", 4),
    ("after rename final trainings", 4),
    ("before judge verdict", 1),
    ("after judge verdict", 2),
    ("before rename verdict trainings", 4),
    ("after rename verdict curves", 2),
    ("after rename verdict trainings", 6),
    ("before aside verdicts", 1),
    ("before rename verdicts", 1),
    ("after rename verdicts", 1),
]
LONG = {"final.least": 5, "final.finalists": 2, "final.seeds": 2, "final.verdict_seeds": 3}
EARLY = {"early.least": 2, "early.control": 0.0, "seed": 3}


@pytest.fixture(scope="module")
def rung_evaluator(tmp_path_factory, small_evaluator):
    return with_rung(small_evaluator, tmp_path_factory.mktemp("rung") / "small")


@pytest.fixture
def new_run(tmp_path, rung_evaluator):
    return make_run(tmp_path, rung_evaluator, **LONG, **EARLY)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, rung_evaluator):
    """The lineage of the run that was not killed."""
    run = make_run(tmp_path_factory.mktemp("whole"), rung_evaluator, **LONG, **EARLY)
    proposer, trainers, _ = drive(run)
    return without_clocks(Lineage(run.path)), len(proposer.asked), len(trainers.trained)


def test_the_run_that_is_killed_has_all_that_a_run_can_have(whole):
    lineage, _, _ = whole
    replicates = Counter(row["replicate"] for row in lineage["trainings"])
    assert (replicates[2], replicates[VERDICT], replicates[VERDICT + 2]) == (2, 2, 2)
    assert {"ok", "stopped_early"} <= {row["status"] for row in lineage["candidates"]}
    assert len(lineage["verdicts"]) == 1


@pytest.mark.parametrize(("moment", "nth"), MOMENTS + LATE_MOMENTS)
def test_a_killed_run_resumes_to_the_same_lineage_without_paying_twice(tmp_path, new_run, whole, moment, nth):
    lineage, asks, trainings = whole
    marker = tmp_path / "hit"
    killed = run_killing(new_run.path, marker, moment, nth)
    assert killed.returncode == -9, killed.stderr
    assert marker.read_text().startswith(moment)
    kept = Lineage(new_run.path)
    calls, trained = len(kept.read("calls")), kept.read("trainings")
    ended = (moment, nth) == ("after rename verdicts", 1)
    assert summary(new_run.path).state == ("finished" if ended else "stopped")
    asked_again, trained_again, _ = drive(new_run)
    assert (len(asked_again.asked), len(trained_again.trained)) == (asks - calls, trainings - len(trained))
    assert without_clocks(Lineage(new_run.path)) == lineage
    assert [row for row in kept.read("trainings") if row in trained] == trained
    assert not list((new_run.path / "lineage").glob("*/.*"))
    assert summary(new_run.path).state == "finished"


@pytest.mark.parametrize(("first", "second"), [("after rename final trainings", "before rename verdicts")])
def test_a_run_killed_twice_at_its_end_resumes_as_one_that_was_not(tmp_path, new_run, whole, first, second):
    for moment in (first, second):
        assert run_killing(new_run.path, tmp_path / "hit", moment, 1).returncode == -9
    assert Lineage(new_run.path).read("verdicts") == []
    proposer, trainers, _ = drive(new_run)
    assert (proposer.asked, trainers.trained) == ([], [])
    assert without_clocks(Lineage(new_run.path)) == whole[0]


def test_a_file_left_half_written_is_never_seen(tmp_path, new_run):
    assert run_killing(new_run.path, tmp_path / "hit", "before fsync", 9).returncode == -9
    left = [path for path in (new_run.path / "lineage").rglob("*") if path.is_file()]
    assert any(path.name.startswith(".") for path in left)
    lineage = Lineage(new_run.path)
    for table in ("calls", "trainings", "candidates", "curves", "verdicts"):
        lineage.read(table)
