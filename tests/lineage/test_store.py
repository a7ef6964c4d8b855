import datetime
import errno
import multiprocessing
import os
import threading

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.errors import EvoError
from evo.lineage import lock, query, runs, schema, store
from evo.lineage.store import Lineage
from evo.verify import statistics


def a_row(table, number, **values):
    blank = {column.name: None for column in schema.TABLES[table]}
    del blank["run"]
    return blank | {"id": number} | values


@pytest.fixture
def lineage(tmp_path):
    return Lineage(tmp_path / "population" / "night")


@pytest.mark.parametrize("table", schema.TABLES)
def test_what_is_appended_is_read_back(lineage, table):
    samples = {
        "BIGINT": 7,
        "BIGINT[]": [1, 2],
        "DOUBLE": 0.5,
        "VARCHAR": "Königsberg",
        "TIMESTAMP": datetime.datetime(2026, 1, 2),
    }
    row = {c.name: samples[c.kind] for c in schema.TABLES[table]} | {"run": "night", "id": 3}
    key = (7, 1) if table == "verdicts" else (3, 7)  # a verdict's is how many candidates there were
    lineage.append(table, key, [row])
    assert lineage.read(table) == [row] == lineage.read_record(table, *key)
    assert lineage.has(table, *key)


@pytest.mark.parametrize("table", schema.TABLES)
def test_every_file_has_every_column_and_the_schema_version(lineage, table):
    lineage.append(table, (1,), [a_row(table, 1)])
    read = pq.read_schema(lineage.path(table, 1))
    assert read.names == [column.name for column in schema.TABLES[table]]
    assert read.metadata[schema.METADATA_KEY] == str(schema.VERSION).encode() == b"4"


def test_a_published_file_never_changes(lineage):
    lineage.append("candidates", (1,), [a_row("candidates", 1, status="ok")])
    before = lineage.path("candidates", 1).read_bytes()
    lineage.append("candidates", (1,), [a_row("candidates", 1, status="crashed")])
    assert lineage.path("candidates", 1).read_bytes() == before


@pytest.mark.parametrize("change", [{"unknown": 1}, {"status": ...}])
def test_a_row_with_other_columns_is_refused(lineage, change):
    row = a_row("candidates", 1)
    row |= {k: v for k, v in change.items() if v is not ...}
    for name in [k for k, v in change.items() if v is ...]:
        del row[name]
    with pytest.raises(ValueError, match="missing or unknown"):
        lineage.append("candidates", (1,), [row])
    assert lineage.read("candidates") == []


def test_a_full_disk_is_said_and_leaves_no_file(lineage, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(EvoError, match="the disk is full") as caught:
        lineage.append("candidates", (1,), [a_row("candidates", 1)])
    assert "evo resume" in caught.value.hint
    assert [path.name for path in lineage.path("candidates", 1).parent.iterdir()] == ["schema.parquet"]


def test_a_newer_schema_is_refused(lineage):
    table = pa.Table.from_pylist([{"run": "night", **a_row("candidates", 1)}], schema=schema.arrow_schema("candidates"))
    store.publish(lineage.path("candidates", 1), table.replace_schema_metadata({schema.METADATA_KEY: b"99"}))
    with pytest.raises(EvoError, match="schema 99"):
        lineage.read("candidates")


def test_a_file_of_an_older_schema_opens_with_its_missing_columns_empty(lineage):
    table = pa.Table.from_pylist([{"run": "night", **a_row("candidates", 1)}], schema=schema.arrow_schema("candidates"))
    store.publish(
        lineage.path("candidates", 1),
        table.drop_columns(["duplicate_of"]).replace_schema_metadata({schema.METADATA_KEY: b"0"}),
    )
    assert lineage.read("candidates")[0]["duplicate_of"] is None


def test_a_file_that_may_not_be_read_is_not_called_damaged(lineage, monkeypatch):
    lineage.append("candidates", (1,), [a_row("candidates", 1)])

    def refused(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(store.pq, "read_table", refused)
    with pytest.raises(EvoError, match=r"cannot read .*000001\.parquet: Permission denied") as caught:
        lineage.read("candidates")
    assert not isinstance(caught.value, store.DamagedFile)


def write_many(folder, count):
    lineage = Lineage(folder)
    for number in range(count):
        lineage.append("candidates", (number,), [a_row("candidates", number, status="ok", val_loss=2.0)])


def test_readers_with_no_option_never_fail_and_never_see_a_row_twice_while_a_run_writes(tmp_path):
    folder = tmp_path / "population" / "night"
    Lineage(folder)
    writer = multiprocessing.get_context("spawn").Process(target=write_many, args=(folder, 250))
    files, directory = str(tmp_path / "population/*/lineage/candidates/*.parquet"), folder / "lineage" / "candidates"
    readers = {
        "duckdb": lambda: [r[0] for r in duckdb.connect().execute(f"SELECT id FROM '{files}'").fetchall()],
        "polars": lambda: pl.read_parquet(files)["id"].to_list(),
        "pandas": lambda: pd.read_parquet(directory)["id"].tolist(),
        "pyarrow": lambda: ds.dataset(directory, format="parquet").to_table()["id"].to_pylist(),
    }
    writer.start()
    seen, rounds = dict.fromkeys(readers, 0), 0
    while writer.is_alive() or rounds < 2:
        rounds += 1
        for name, read in readers.items():
            ids = read()
            assert len(ids) == len(set(ids)) >= seen[name], name
            seen[name] = len(ids)
    writer.join()
    assert writer.exitcode == 0
    assert {name: len(read()) for name, read in readers.items()} == dict.fromkeys(readers, 250)


def test_one_run_has_one_writer_and_a_second_is_told_who_it_is(tmp_path):
    with lock.writer(tmp_path):
        assert lock.is_held(tmp_path)
        told = []

        def second():
            with pytest.raises(EvoError) as caught, lock.writer(tmp_path):
                pass
            told.append(caught.value.message)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert f"process {os.getpid()} on" in told[0]
    assert not lock.is_held(tmp_path)


def test_the_note_of_a_holder_that_was_killed_is_cleared_and_told(tmp_path):
    note = tmp_path / ".holder.json"
    note.write_text('{"pid": 99, "host": "there", "since": 0}')
    with lock.writer(tmp_path) as left:
        assert len(left) == 1
        assert "process 99 on there since 19" in left[0]
        assert "was killed while it wrote run" in left[0]
        assert str(os.getpid()) in note.read_text()
    note.write_text('{"pid": 9')
    with lock.writer(tmp_path) as left:
        assert left[0].startswith("another process was killed while it wrote run")
    with lock.writer(tmp_path) as left:
        assert left == []
    assert not note.exists()


def test_sql_sees_every_table_of_every_run_and_empty_ones_too(tmp_path):
    for name in ("one", "two's"):
        run = Lineage(tmp_path / name)
        run.append("candidates", (0,), [a_row("candidates", 0, status="ok", val_loss=2.5)])
        for replicate, loss in enumerate((2.4, 2.6)):
            run.append(
                "trainings",
                (0, replicate),
                [a_row("trainings", 0, replicate=replicate, status="ok", val_loss=loss, relative_cost=1.0)],
            )
    assert query.sql(tmp_path, "SELECT run, val_loss FROM candidates ORDER BY run").rows == [
        ("one", 2.5),
        ("two's", 2.5),
    ]
    (score,) = query.sql(tmp_path, "SELECT * FROM scores", "two's").as_dicts()
    assert (score["run"], score["trainings"]) == ("two's", 2)
    assert score["mean_loss"] == pytest.approx(2.5)
    assert query.sql(tmp_path, "SELECT * FROM curves").rows == []
    assert query.sql(tmp_path, "SELECT * FROM verdicts").columns == [c.name for c in schema.TABLES["verdicts"]]


def write_trainings(folder, losses, text_se=0.02):
    """Trainings of one run: number → losses, None for one that failed."""
    lineage = Lineage(folder)
    for number, all_ in losses.items():
        for replicate, loss in enumerate(all_):
            status, text = ("crashed", None) if loss is None else ("ok", text_se)
            row = a_row("trainings", number, replicate=replicate, status=status, val_loss=loss, text_se=text)
            lineage.append("trainings", (number, replicate), [row | {"relative_cost": 1.0, "cpu_seconds": 5.0}])


def scores(population, run=None):
    found = query.sql(population, "SELECT * FROM scores ORDER BY run, id", run).as_dicts()
    return {(row["run"], row["id"]): row for row in found}


losses_by_candidate = st.dictionaries(
    st.integers(0, 5), st.lists(st.none() | st.floats(1.0, 6.0), min_size=1, max_size=5), min_size=1, max_size=5
)


@given(losses_by_candidate)
@settings(max_examples=12, deadline=None)
def test_scores_have_the_pooled_deviation_and_the_errors_that_numpy_gives(tmp_path_factory, losses):
    population = tmp_path_factory.mktemp("population")
    write_trainings(population / "night", losses)
    found = scores(population)
    good = {n: np.array([x for x in all_ if x is not None]) for n, all_ in losses.items()}
    good = {n: values for n, values in good.items() if len(values)}
    assert {number for _, number in found} == set(good)
    several = [values for values in good.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    pooled = np.sqrt(sum((len(v) - 1) * v.var(ddof=1) for v in several) / freedom) if freedom else None
    for number, values in good.items():
        row = found["night", number]
        assert row["trainings"] == len(values)
        assert row["mean_loss"] == pytest.approx(values.mean())
        assert row["sd"] == (pytest.approx(values.std(ddof=1), abs=1e-7) if len(values) > 1 else None)
        assert row["text_se"] == pytest.approx(0.02)
        if pooled is None:
            assert (row["pooled_sd"], row["seed_se"], row["val_loss_se"]) == (None, None, None)
            continue
        seed_se = pooled / np.sqrt(len(values))
        assert row["pooled_sd"] == pytest.approx(pooled, abs=1e-7)
        assert row["seed_se"] == pytest.approx(seed_se, abs=1e-7)
        assert row["val_loss_se"] == pytest.approx(np.hypot(seed_se, 0.02), abs=1e-7)


def test_a_deviation_is_pooled_over_one_run_and_not_over_others(tmp_path):
    write_trainings(tmp_path / "calm", {0: [2.0, 2.0], 1: [2.5]})
    write_trainings(tmp_path / "wild", {0: [1.0, 3.0], 1: [2.5]})
    found = scores(tmp_path)
    assert found["calm", 1]["pooled_sd"] == 0
    assert found["calm", 1]["val_loss_se"] == pytest.approx(0.02)
    assert found["wild", 1]["pooled_sd"] == pytest.approx(np.std([1.0, 3.0], ddof=1))
    assert scores(tmp_path, "wild") == {key: row for key, row in found.items() if key[0] == "wild"}


def test_failed_and_stopped_trainings_are_no_scores(tmp_path):
    write_trainings(tmp_path / "night", {0: [2.0, None, 2.2], 1: [None, None]})
    stopped = a_row("trainings", 2, replicate=0, status="stopped_early", early_stop_loss=2.9)
    Lineage(tmp_path / "night").append("trainings", (2, 0), [stopped])
    assert {key: row["trainings"] for key, row in scores(tmp_path).items()} == {("night", 0): 2}


def test_the_same_deviation_comes_from_our_statistics(tmp_path):
    losses = {0: [2.1, 2.4, 2.2], 1: [2.0, 2.3], 2: [2.5]}
    write_trainings(tmp_path / "night", losses)
    assert scores(tmp_path)["night", 2]["pooled_sd"] == pytest.approx(statistics.pooled_sd(list(losses.values())))


def test_a_wrong_query_is_refused_in_a_line(tmp_path):
    with pytest.raises(EvoError, match="SQL: ") as caught:
        query.sql(tmp_path, "SELECT nothing FROM candidates")
    assert "\n" not in caught.value.message
    assert "--schema" in caught.value.hint


def test_runs_are_listed_from_their_files_oldest_first(tmp_path, small_evaluator):
    from standins import drive, make_run

    first = make_run(tmp_path, small_evaluator, name="first")
    drive(first)
    make_run(tmp_path, small_evaluator, name="second")
    assert [(run.name, run.state, run.done, run.candidates) for run in runs.summaries(tmp_path)] == [
        ("first", "finished", 9, 9),
        ("second", "stopped", 0, 9),
    ]
    assert runs.find(tmp_path, None, unfinished=True).name == "second"
    with pytest.raises(EvoError, match="no run has the name 'third'"):
        runs.find(tmp_path, "third")
