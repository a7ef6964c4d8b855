"""A run that was written with lineage schema 1 is read by everything that reads, and gone on with by nothing."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from standins import drive, make_run

from evo import persona
from evo.driver import run_folder as folders
from evo.errors import EvoError
from evo.lineage import query, runs, schema
from evo.lineage.store import Lineage

ROOT = Path(__file__).resolve().parents[2]
WHEN = datetime.datetime(2026, 1, 2, 12)
INTEGER, REAL, TEXT, TIME = pa.int64(), pa.float64(), pa.string(), pa.timestamp("us")
COLUMNS = {  # of schema 1, as it was written
    "candidates": {
        **{"run": TEXT, "id": INTEGER, "generation": INTEGER, "status": TEXT, "reason": TEXT},
        **{"parents": pa.list_(INTEGER), "base": INTEGER, "twin": INTEGER, "operators": TEXT, "mind": TEXT},
        **{"persona": TEXT, "prompt": TEXT, "files": TEXT, "base_files": TEXT, "code_hash": TEXT, "summary": TEXT},
        **{"val_loss": REAL, "cost": REAL, "seconds": REAL, "reported_vloss": REAL, "reported_elapsed_min": REAL},
        **{"n_params": INTEGER, "output_tail": TEXT, "model": TEXT, "tokens": INTEGER, "cost_usd": REAL},
        **{"created_at": TIME},
    },
    "trainings": {
        **{"run": TEXT, "id": INTEGER, "replicate": INTEGER, "seed": INTEGER, "cost": REAL, "status": TEXT},
        **{"reason": TEXT, "val_loss": REAL, "bits_per_byte": REAL, "reported_vloss": REAL},
        **{"reported_elapsed_min": REAL, "n_params": INTEGER, "cpu_seconds": REAL, "wall_seconds": REAL},
        **{"peak_memory_bytes": INTEGER, "device": TEXT, "host": TEXT, "isolation": TEXT, "output_tail": TEXT},
        **{"started_at": TIME},
    },
    "curves": {
        **{"run": TEXT, "id": INTEGER, "replicate": INTEGER, "step": INTEGER, "seconds": REAL, "train_loss": REAL},
        **{"reported_val_loss": REAL},
    },
    "calls": {
        **{"run": TEXT, "id": INTEGER, "attempt": INTEGER, "model": TEXT, "messages": TEXT, "response": TEXT},
        **{"finish_reason": TEXT, "status": TEXT, "reason": TEXT, "latency_s": REAL, "input_tokens": INTEGER},
        **{"output_tokens": INTEGER, "cost_usd": REAL, "created_at": TIME},
    },
    "verdicts": {"run": TEXT, "id": INTEGER, "created_at": TIME, "verdict": TEXT, "details": TEXT},
}
CONFIG = """\
evaluator = "small"
seeds = ["isaac_newton"]
generations = 1
population = 2
lag = 0
seed = 1
isolation = "auto"
baseline_every = 8

[selection]
rule = "loss"
max_cost = 1.25
weight = 0.01
tournament = 3

[variation]
crossover = 0.3
immigrate = 0.1
restart = 0.1
mutations = 2
swap_breakthrough = 2.0
emphasise = 3.0
deemphasise = 1.0
drop = 1.0
narrow_fields = 1.0
widen_fields = 1.0

[model]
name = "catalogue"
key_variable = "OPENAI_API_KEY"
temperature = 1.0
max_tokens = 16384
timeout_seconds = 600.0
retries = 5
concurrency = 8
price_in = 0.0
price_out = 0.0
faults = ""

[workers]
device = "auto"
slots = 0
threads = 1

[data]
source = "plays"
"""
NEW = {
    "candidates": {"early_stop_loss", "asked", "attempts", "first_status"},
    "trainings": {"text_se", "test_loss", "reported_gap", "early_stop_loss", "verify_seconds", "stage", "purpose"},
    "calls": {"reasoning", "requests", "lost_tokens", "lost_usd"},
}


def current(names):
    """The names of columns as schema 4 calls them."""
    return {{"twin": "duplicate_of", "cost": "relative_cost", "rung_loss": "early_stop_loss"}.get(n, n) for n in names}


def write(folder, table, key, **values):
    """One file as schema 1 had it."""
    columns = COLUMNS[table]
    row = dict.fromkeys(columns) | {"run": folder.name} | values
    kinds = pa.schema(list(columns.items()), metadata={b"evo_schema": b"1"})
    path = folder / "lineage" / table / f"{key}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row] if values else []
    pq.write_table(pa.Table.from_pylist(rows, schema=kinds), path, compression="zstd")


def write_old_run(folder):
    """A run of schema 1 that was done: the baseline, a seed, and two candidates, of which one failed."""
    seed = persona.read_seed(ROOT / "seeds" / "isaac_newton.txt").persona
    files = json.dumps({"train_mps.py": "x = 1\n", "model.py": "y = 2\n"})
    for table in COLUMNS:
        write(folder, table, "schema")
    common = {"operators": "[]", "base": 0, "parents": [], "reason": "", "created_at": WHEN}
    asked = common | {"persona": persona.to_json(seed), "mind": seed.name, "summary": "Edits: warmup", "model": "m"}
    done = {"status": "ok", "files": files, "cost": 1.0, "seconds": 6.0}
    write(folder, "candidates", "000000", id=0, generation=0, val_loss=2.5, **common, **done)
    write(folder, "candidates", "000001", id=1, generation=0, val_loss=2.4, **asked, **done)
    write(folder, "candidates", "000002", id=2, generation=1, val_loss=2.3, **asked, **done)
    failed = asked | {"status": "crashed", "reason": "it fell"}
    write(folder, "candidates", "000003", id=3, generation=1, files=files, **failed)
    trained = {"status": "ok", "reason": "", "cost": 1.0, "cpu_seconds": 6.0, "device": "cpu", "started_at": WHEN}
    for number, replicate, loss in ((0, 0, 2.5), (0, 1, 2.7), (1, 0, 2.4), (2, 0, 2.3)):
        values = {"id": number, "replicate": replicate, "seed": 7, "val_loss": loss, "bits_per_byte": 3.5}
        write(folder, "trainings", f"{number:06d}-{replicate}", **values, **trained)
        point = {"step": 30, "seconds": 1.0, "train_loss": 2.7, "reported_val_loss": 2.8}
        write(folder, "curves", f"{number:06d}-{replicate}", id=number, replicate=replicate, **point)
    for number in (1, 2, 3):
        answered = {"status": "ok", "response": "text", "finish_reason": "stop", "messages": "[]"}
        write(folder, "calls", f"{number:06d}-1", id=number, attempt=1, **answered)
    (folder / "config.toml").write_text(CONFIG)
    (folder / "seeds").mkdir()
    (folder / "seeds" / "isaac_newton.txt").write_text(persona.render(seed))
    (folder / "evaluator").mkdir()
    (folder / "run.json").write_text(json.dumps({"evo": "0.1.0", "data_sha256": {}, "past_sha256": "0" * 64}))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory, small_evaluator):
    """A workspace with a run of schema 1 and one of today."""
    folder = tmp_path_factory.mktemp("home")
    drive(make_run(folder / "population", small_evaluator, name="today"))
    write_old_run(folder / "population" / "old")
    return folder


@pytest.fixture(scope="module")
def population(home):
    return home / "population"


def evo(home, *args, code=0):
    done = subprocess.run([sys.executable, "-m", "evo", *args], cwd=home, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_todays_schema_has_every_column_that_the_old_one_had():
    assert schema.VERSION == 4
    for table, columns in COLUMNS.items():
        assert current(columns) <= {column.name for column in schema.TABLES[table]}
    for table, names in NEW.items():
        assert {column.name for column in schema.TABLES[table]} - current(COLUMNS[table]) == names


@pytest.mark.parametrize("table", COLUMNS)
def test_rows_are_read_with_the_columns_that_were_not_there_empty(population, table):
    rows = Lineage(population / "old").read(table)
    assert len(rows) == {"candidates": 4, "trainings": 4, "curves": 4, "calls": 3, "verdicts": 0}[table]
    for row in rows:
        assert list(row) == [column.name for column in schema.TABLES[table]]
        assert {row[name] for name in NEW.get(table, set()) - {"purpose"}} <= {None}
        assert row["run"] == "old"


@pytest.mark.parametrize("table", COLUMNS)
def test_sql_sees_every_column_of_today(population, table):
    old = query.sql(population, f"SELECT * FROM {table}", "old")
    assert old.columns == [column.name for column in schema.TABLES[table]]
    both = query.sql(population, f"SELECT run, count(*) FROM {table} GROUP BY run ORDER BY run").rows
    assert [name for name, _ in both] == (["today"] if table == "verdicts" else ["old", "today"])


def test_sql_reads_old_and_new_values_side_by_side(population):
    text = "SELECT run, id, replicate, val_loss, text_se, test_loss, started_at FROM trainings WHERE id = 0"
    old, *new = query.sql(population, text + " AND replicate IN (0, 1000000) ORDER BY run, replicate").rows
    assert old == ("old", 0, 0, 2.5, None, None, WHEN)
    assert [row[4] for row in new] == [0.01, 0.01]
    assert [row[5] is None for row in new] == [True, False]
    parents = query.sql(population, "SELECT DISTINCT typeof(parents), typeof(early_stop_loss) FROM candidates").rows
    assert parents == [("BIGINT[]", "DOUBLE")]


def test_scores_of_an_old_run_have_a_deviation_and_no_part_that_the_text_gives(population):
    rows = query.sql(population, "SELECT * FROM scores ORDER BY id", "old").as_dicts()
    assert [(row["id"], row["trainings"]) for row in rows] == [(0, 2), (1, 1), (2, 1)]
    assert [row["pooled_sd"] for row in rows] == [pytest.approx(0.2 / 2**0.5)] * 3
    assert {row["text_se"] for row in rows} == {row["val_loss_se"] for row in rows} == {None}


def test_an_old_run_that_was_done_is_listed_as_finished(population, home):
    assert runs.summary(population / "old").state == "finished"
    listed = {run["name"]: run for run in json.loads(evo(home, "runs", "--json").stdout)}
    assert (listed["old"]["state"], listed["old"]["done"], listed["old"]["candidates"]) == ("finished", 4, 4)


def test_an_old_run_is_shown_with_its_leader_and_without_a_verdict(home):
    text = evo(home, "show", "old").stdout
    for words in ("1 failed (1 crashed)", "leader", "2.3000", "-0.2000", "No verdict was given."):
        assert words in text
    told = json.loads(evo(home, "show", "old", "--json").stdout)
    assert (told["leader"]["id"], told["verdicts"], told["fresh"]) == (2, [], [])


def test_a_candidate_of_an_old_run_is_shown_and_exported(home, tmp_path):
    row = json.loads(evo(home, "best", "old", "--json").stdout)
    assert (row["id"], row["val_loss"], row["early_stop_loss"], row["verdicts"]) == (2, 2.3, None, [])
    assert "No verdict was given." in evo(home, "best", "old", "--export", str(tmp_path / "out")).stdout
    assert (tmp_path / "out" / "model.py").read_text() == "y = 2\n"
    assert "reason:" in evo(home, "show", "old", "3").stdout


@pytest.mark.parametrize(
    "args",
    [
        ["resume", "old"],
        ["resume", "old", "--generations", "3"],
        ["best", "old", "--verdict"],
        ["reproduce", "old", "1"],
    ],
    ids=" ".join,
)
def test_nothing_goes_on_with_an_old_run_and_the_reason_is_said(home, population, args):
    before = {path: path.read_bytes() for path in (population / "old").rglob("*") if path.suffix}
    done = evo(home, *args, code=1)
    assert "run old was started by evo 0.1.0 with lineage schema 1; this evo uses schema 4" in done.stderr
    assert "read it with `evo show`, `evo sql` or `evo best`" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    after = {path: path.read_bytes() for path in (population / "old").rglob("*") if path.suffix}
    assert after == before


@pytest.mark.parametrize("version", [None, 1, 2, 3, 5])
def test_a_run_of_another_schema_is_refused_whether_older_or_newer(tmp_path, small_evaluator, version):
    run = make_run(tmp_path, small_evaluator)
    about = json.loads((run.path / "run.json").read_text())
    assert about.pop("schema") == schema.VERSION
    (run.path / "run.json").write_text(json.dumps(about if version is None else about | {"schema": version}))
    with pytest.raises(EvoError, match=f"with lineage schema {version or 1}; this evo uses schema 4"):
        folders.open_run(run.path)


def test_a_renamed_column_holds_the_old_values_and_the_purpose_follows_from_the_number(population):
    rows = Lineage(population / "old").read("trainings")
    assert [(row["id"], row["purpose"], row["relative_cost"]) for row in rows] == [
        (0, "search", 1.0),
        (0, "calibration", 1.0),
        (1, "search", 1.0),
        (2, "search", 1.0),
    ]
    seen = query.sql(population, "SELECT id, purpose, relative_cost FROM trainings ORDER BY id, replicate", "old").rows
    assert seen == [(row["id"], row["purpose"], row["relative_cost"]) for row in rows]


def test_sql_and_rows_agree_on_the_purpose_of_every_training(population):
    for run in ("old", "today"):
        told = {(row["id"], row["replicate"]): row["purpose"] for row in Lineage(population / run).read("trainings")}
        derived = query.sql(population, f"SELECT id, replicate, {query._PURPOSE} FROM trainings", run).rows
        assert {(number, replicate): purpose for number, replicate, purpose in derived} == told
