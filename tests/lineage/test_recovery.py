"""What a killed process or a failing disk left: cleared, set aside, and said."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from standins import drive, make_run

from evo.errors import EvoError
from evo.lineage import query, recovery, schema, store
from evo.lineage.runs import lost, summary
from evo.lineage.store import DamagedFile, Lineage


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(b"\x00\xff" * 400)


def one_flipped_bit(path):
    """Near the end of the prompt's, the answer's or the interval's page."""
    column = {"candidates": "prompt", "calls": "response", "verdicts": "low"}[path.parent.name]
    table = pq.ParquetFile(path).metadata.row_group(0)
    (chunk,) = [c for c in map(table.column, range(table.num_columns)) if c.path_in_schema == column]
    data = bytearray(path.read_bytes())
    data[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 2] ^= 1
    path.write_bytes(data)


def other_columns(path):
    pq.write_table(pa.table({"id": [1], "shoes": ["brown"]}), path)


def columns_of_this_schema_with_one_less(path):
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.drop_columns(["reason"] if "reason" in table.column_names else ["run"]), path)


def no_row(path):
    pq.write_table(pq.read_table(path, partitioning=None).slice(0, 0), path)


def another_record(path):
    table = pq.read_table(path, partitioning=None)
    column = "after" if path.parent.name == "verdicts" else "id"
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, table.schema.field(column), pa.array([77] * table.num_rows)), path)


DAMAGES = [truncated, empty, garbage, one_flipped_bit, columns_of_this_schema_with_one_less, no_row, another_record]


@pytest.fixture
def run(tmp_path, small_evaluator):
    run = make_run(tmp_path / "population", small_evaluator)
    drive(run)
    return run


def records(run, table):
    return sorted((run.path / "lineage" / table).glob("[0-9]*.parquet"))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_named_by_readers_and_set_aside_as_it_is(run, damage):
    for table in ("candidates", "calls", "verdicts"):
        path = records(run, table)[-1]
        damage(path)
        found = path.read_bytes()
        with pytest.raises(DamagedFile, match=rf"{path} is damaged: ") as caught:
            Lineage(run.path).read(table)
        assert caught.value.hint == "`evo resume run` moves it to damaged/ and recreates it"
        (said,) = recovery.recover(run.path)
        assert said.startswith(caught.value.message)
        assert f"; moved to damaged/{table}/{path.name}.1: " in said
        assert not path.exists()
        assert (run.path / "damaged" / table / f"{path.name}.1").read_bytes() == found
        assert recovery.recover(run.path) == []


def test_a_flipped_bit_anywhere_is_found_or_changes_no_value(run):
    path = records(run, "trainings")[1]
    whole, good = store.read_file(path, "trainings"), path.read_bytes()
    found, places = 0, range(4, len(good), 23)
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        try:
            assert store.read_file(path, "trainings") == whole, place
        except EvoError:
            found += 1
    assert found > len(places) / 4


def test_other_columns_and_a_name_that_is_no_records_are_damage_too(run):
    path = records(run, "candidates")[1]
    other_columns(path)
    stray = path.with_name("000001 copy.parquet")
    stray.write_bytes(records(run, "candidates")[2].read_bytes())
    with pytest.raises(DamagedFile):
        Lineage(run.path).read("candidates")
    said = recovery.recover(run.path)
    assert len(said) == 2
    assert "expected a name like 000001.parquet" in said[0]
    assert "expected the columns of candidates, found id, shoes" in said[1]


def test_a_second_damage_of_a_record_has_a_name_of_its_own(run):
    path = records(run, "candidates")[3]
    for expected in (1, 2):
        empty(path)
        recovery.recover(run.path)
        assert (run.path / "damaged" / "candidates" / f"{path.name}.{expected}").exists()
        drive(run)


def test_a_damaged_file_of_no_row_is_made_again_and_readers_find_every_table(run):
    path = run.path / "lineage" / "curves" / store.EMPTY
    garbage(path)
    (said,) = recovery.recover(run.path)
    assert said.endswith("moved to damaged/curves/schema.parquet.1: an empty file replaces it")
    Lineage(run.path)
    assert pq.read_schema(path).names == [column.name for column in schema.TABLES["curves"]]
    assert summary(run.path).state == "finished"


def test_a_curve_is_set_aside_with_its_training(run):
    curve = records(run, "curves")[2]
    truncated(curve)
    (said,) = recovery.recover(run.path)
    assert said.endswith("its training is moved too and repeated")
    assert not (run.path / "lineage" / "trainings" / curve.name).exists()
    number, replicate = map(int, curve.stem.split("-"))
    assert lost(run.path, 9) == [("trainings", number, replicate)]
    assert summary(run.path).state == "stopped"


def test_a_record_of_a_newer_schema_is_refused_and_stays_where_it_is(run):
    path = records(run, "candidates")[1]
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.replace_schema_metadata({schema.METADATA_KEY: b"99"}), path)
    with pytest.raises(EvoError, match="schema 99"):
        recovery.recover(run.path)
    assert path.exists()


def test_half_written_files_anywhere_in_a_run_are_cleared_and_others_are_not(run):
    left = [run.path / ".config.toml.4711", *(run.path / "lineage" / t / ".000004-1.parquet.99" for t in schema.TABLES)]
    kept = [run.path / ".lock", run.path / ".DS_Store", run.path / "lineage" / ".notes"]
    for path in left + kept:
        path.write_bytes(b"half")
    (said,) = recovery.recover(run.path)
    assert said.startswith("removed 6 incomplete files that killed processes left: .config.toml.4711, lineage/")
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_a_population_is_cleared_of_half_made_runs_and_of_nothing_else(tmp_path):
    assert recovery.clear_population(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    names = [".night.x1y2_ab8.4711", ".git", ".venv-3.11", "night"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    assert recovery.clear_population(tmp_path) == [
        f"removed {tmp_path / '.night.x1y2_ab8.4711'}, an incomplete run that a killed `evo run` left"
    ]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == sorted(names[1:])


@pytest.mark.parametrize("damage", [truncated, empty, garbage], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    "command", [["sql", "SELECT count(summary) FROM candidates"], ["show", "run"], ["best", "run"]]
)
def test_commands_that_read_name_the_damaged_file_and_what_to_do(run, damage, command):
    path = records(run, "candidates")[4]
    damage(path)
    asked = [sys.executable, "-m", "evo", *command, "--json"]
    done = subprocess.run(asked, cwd=run.path.parents[1], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout
    assert f"{path} is damaged: " in done.stderr
    assert "`evo resume run` moves it to damaged/ and recreates it" in done.stderr
    assert json.loads(done.stdout)["error"]["kind"] == "lineage"


def test_sql_names_a_damaged_file_among_many_runs(run, small_evaluator):
    drive(make_run(run.path.parent, small_evaluator, name="other"))
    truncated(run.path.parent / "other" / "lineage" / "trainings" / "000000-0.parquet")
    with pytest.raises(DamagedFile, match=r"other/lineage/trainings/000000-0\.parquet is damaged"):
        query.sql(run.path.parent, "SELECT * FROM scores")
    assert query.sql(run.path.parent, "SELECT count(*) FROM candidates").rows == [(18,)]
