"""A run on a small file system of its own: it fills, the run pauses with a clear error, and goes on when there is room."""

import shutil

import pytest
from killing import LONG, mounted, not_killed
from standins import Proposer, Trainers, drive, make_run, with_rung, without_clocks

from evo import rng
from evo.errors import EvoError
from evo.lineage import schema
from evo.lineage.store import Lineage


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory, small_evaluator):
    return with_rung(small_evaluator, tmp_path_factory.mktemp("early_stop") / "small")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, evaluator):
    return not_killed(make_run(tmp_path_factory.mktemp("whole"), evaluator, **LONG))


def test_a_run_on_a_disk_that_fills_loses_and_repeats_nothing_however_often_it_fills(tmp_path, evaluator, whole):
    with mounted(tmp_path / "population", "20m") as resize:
        resize("300k")
        run = make_run(tmp_path / "population", evaluator, **LONG)
        full = 0
        for size in range(350, 3000, 50):
            proposer, trainers, before, durable = Proposer(), Trainers(), count(run), answered(run)
            paused = None
            try:
                drive(run, proposer, trainers)
            except EvoError as error:
                paused = error
            after = count(run)
            assert all(after[table] >= rows for table, rows in before.items())
            assert not durable.intersection(proposer.asked)
            if paused is None:
                break
            full += 1
            assert paused.message.startswith("the disk is full ("), paused.message
            assert paused.hint == "finished work is saved: free disk space, then `evo resume`"
            assert not list(run.path.rglob(".*.parquet.*"))
            resize(f"{size}k")
        assert without_clocks(Lineage(run.path)) == whole.lineage
        assert len(trainers.trained) == after["trainings"] - before["trainings"]
    assert full >= 3


def answered(run):
    """The seeds of the answers that are durable."""
    return {rng.derived(run.config.seed, row["id"], "answer") % 2**31 for row in Lineage(run.path).read("calls")}


def count(run):
    """Records of each table, all of which can be read."""
    lineage = Lineage(run.path)
    return {table: len(lineage.read(table)) for table in schema.TABLES}


def test_a_run_that_cannot_be_made_on_a_full_disk_leaves_nothing(tmp_path, evaluator):
    with mounted(tmp_path / "population", "20m") as resize:
        resize("24k")
        with pytest.raises(EvoError, match="the disk is full"):
            make_run(tmp_path / "population", evaluator)
        assert [path.name for path in (tmp_path / "population").iterdir()] == [".lock"]
        assert shutil.disk_usage(tmp_path / "population").free
