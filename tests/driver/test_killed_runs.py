"""kill -9 at chosen moments, with stand-ins for the actors; `test_killed_ray_runs.py` does it to a real one."""

import pytest
from killing import run_killing
from standins import drive, make_run, without_clocks

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_evaluator):
    run = make_run(tmp_path_factory.mktemp("whole"), small_evaluator)
    proposer, trainers, _ = drive(run)
    return without_clocks(Lineage(run.path)), len(proposer.asked), len(trainers.trained)


@pytest.mark.parametrize(("moment", "nth"), MOMENTS)
def test_a_killed_run_resumes_to_the_same_lineage_without_paying_twice(tmp_path, small_evaluator, whole, moment, nth):
    lineage, asks, trainings = whole
    run = make_run(tmp_path, small_evaluator)
    marker = tmp_path / "hit"
    killed = run_killing(run.path, marker, moment, nth)
    assert killed.returncode == -9, killed.stderr
    assert marker.read_text().startswith(moment)
    kept = Lineage(run.path)
    calls, trained = len(kept.read("calls")), len(kept.read("trainings"))
    ended = run_killing(run.path, tmp_path / "none", "none", 1)
    assert ended.returncode == 0, ended.stderr
    asked_again, trained_again = map(int, ended.stdout.split())
    assert (asked_again, trained_again) == (asks - calls, trainings - trained)
    assert without_clocks(Lineage(run.path)) == lineage
    assert not list((run.path / "lineage").glob("*/.*"))


def test_a_file_left_half_written_is_never_seen(tmp_path, small_evaluator):
    run = make_run(tmp_path, small_evaluator)
    assert run_killing(run.path, tmp_path / "hit", "before fsync", 9).returncode == -9
    left = [path for path in (run.path / "lineage").rglob("*") if path.is_file()]
    assert any(path.name.startswith(".") for path in left)
    lineage = Lineage(run.path)
    for table in ("calls", "trainings", "candidates", "curves"):
        lineage.read(table)
