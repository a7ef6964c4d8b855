"""kill -9 at chosen moments, with stand-ins for the actors; `test_killed_ray_runs.py` does it to a real one."""

from collections import Counter

import pytest
from killing import EVERY, LONG, Outcome, kill_and_resume, not_killed, run_killing
from standins import drive, make_run, with_rung, without_clocks

from evo.finalists import VERDICT
from evo.lineage import recovery, schema
from evo.lineage.runs import summary
from evo.lineage.store import Lineage

SOME = [
    ("before aside", 1),
    ("before fsync", 2),
    ("before fsync", 25),
    ("before rename", 14),
    ("after rename", 6),
    ("before ask", 3),
    ("after ask", 4),
    ("before judge", 1),
    ("after judge", 3),
    ("before aside final curves", 1),
    ("before rename final trainings", 4),
    ("after judge verdict", 2),
    ("after rename verdict curves", 2),
    ("after rename verdicts", 1),
]


@pytest.fixture(scope="module")
def early_stop_evaluator(tmp_path_factory, small_evaluator):
    return with_rung(small_evaluator, tmp_path_factory.mktemp("early_stop") / "small")


@pytest.fixture
def new_run(tmp_path, early_stop_evaluator):
    return make_run(tmp_path, early_stop_evaluator, **LONG)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, early_stop_evaluator):
    return not_killed(make_run(tmp_path_factory.mktemp("whole"), early_stop_evaluator, **LONG))


@pytest.fixture(scope="module")
def outcomes():
    """Of every kill among the hundred."""
    return []


def test_the_run_that_is_killed_has_all_that_a_run_can_have(whole):
    lineage = whole.lineage
    replicates = Counter(row["replicate"] for row in lineage["trainings"])
    assert (replicates[2], replicates[VERDICT], replicates[VERDICT + 2]) == (2, 2, 2)
    assert {"ok", "stopped_early"} <= {row["status"] for row in lineage["candidates"]}
    assert len(lineage["verdicts"]) == 1


@pytest.mark.parametrize(("moment", "nth"), SOME)
def test_a_killed_run_resumes_to_the_same_lineage_without_paying_twice(tmp_path, new_run, whole, moment, nth):
    assert kill_and_resume(new_run, tmp_path / "hit", whole, moment, nth) == Outcome(9, lost=0, repeated=0)
    assert summary(new_run.path).state == "finished"


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "nth"), EVERY)
def test_a_run_killed_at_any_of_a_hundred_moments_loses_and_repeats_nothing(
    tmp_path, new_run, whole, outcomes, moment, nth
):
    outcome = kill_and_resume(new_run, tmp_path / "hit", whole, moment, nth)
    outcomes.append(outcome)
    assert outcome == Outcome(9, lost=0, repeated=0)


@pytest.mark.slow
def test_the_figures_of_the_hundred_kills(outcomes, capsys):
    lost, repeated = sum(o.lost for o in outcomes), sum(o.repeated for o in outcomes)
    with capsys.disabled():
        candidates = sum(o.candidates for o in outcomes)
        print(f"\nkills {len(outcomes)}, candidates {candidates}, lost {lost}, repeated {repeated}")
    assert (len(outcomes), lost, repeated) == (len(EVERY), 0, 0)
    assert len(set(EVERY)) == 100


@pytest.mark.parametrize(("first", "second"), [("after rename final trainings", "before rename verdicts")])
def test_a_run_killed_twice_at_its_end_resumes_as_one_that_was_not(tmp_path, new_run, whole, first, second):
    for moment in (first, second):
        assert run_killing(new_run.path, tmp_path / "hit", moment, 1).returncode == -9
    assert Lineage(new_run.path).read("verdicts") == []
    assert summary(new_run.path).state == "stopped"
    proposer, trainers, _ = drive(new_run)
    assert (proposer.asked, trainers.trained) == ([], [])
    assert without_clocks(Lineage(new_run.path)) == whole.lineage


def test_a_file_left_half_written_is_never_seen_and_is_cleared_and_told_when_the_run_is_resumed(tmp_path, new_run):
    assert run_killing(new_run.path, tmp_path / "hit", "before fsync", 9).returncode == -9
    left = [path for path in (new_run.path / "lineage").rglob(".*") if path.is_file()]
    assert len(left) == 1
    lineage = Lineage(new_run.path)
    for table in schema.TABLES:
        lineage.read(table)
    _, _, watcher = drive(new_run)
    name = left[0].relative_to(new_run.path)
    assert watcher.notes == [f"removed 1 incomplete file that killed processes left: {name}"]
    assert not left[0].exists()


def test_the_stand_ins_process_needs_neither_torch_nor_ray(tmp_path, new_run):
    done = run_killing(new_run.path, tmp_path / "hit", "none", 1)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(("moment", "nth"), [("before fsync", 1), ("before aside", 3), ("before rename", 4)])
def test_a_run_whose_making_was_killed_is_cleared_told_and_made_anew(tmp_path, small_evaluator, moment, nth):
    path = tmp_path / "population" / "night"
    killed = run_killing(path, tmp_path / "hit", moment, nth, small_evaluator)
    assert killed.returncode == -9, killed.stderr
    (left,) = [entry for entry in path.parent.iterdir() if entry.is_dir()]
    assert left.name.startswith(".night.")
    assert recovery.clear_population(path.parent) == [f"removed {left}, an incomplete run that a killed `evo run` left"]
    assert not left.exists()
    make_run(path.parent, small_evaluator, name="night")
    assert recovery.clear_population(path.parent) == []


def test_a_run_that_was_made_and_then_killed_is_whole(tmp_path, small_evaluator):
    path = tmp_path / "population" / "night"
    files = 1 + 3 + 2 + 1 + len(schema.TABLES)  # config, evaluator, seeds, run.json, an empty file a table
    killed = run_killing(path, tmp_path / "hit", "after rename", files + 1, small_evaluator)
    assert killed.returncode == -9, killed.stderr
    assert (tmp_path / "hit").read_text() == "after rename population"
    assert [entry.name for entry in path.parent.iterdir() if entry.is_dir()] == ["night"]
    assert summary(path).done == 0
