"""Commands that only read, run as a user runs them."""

import json
import subprocess
import sys

import pytest
from standins import drive, make_run


@pytest.fixture(scope="module")
def home(tmp_path_factory, small_evaluator):
    """A workspace with one finished run and one that was stopped."""
    folder = tmp_path_factory.mktemp("home")
    drive(make_run(folder / "population", small_evaluator, name="night"))
    make_run(folder / "population", small_evaluator, name="stopped")
    return folder


def evo(home, *args, code=0, env=None):
    done = subprocess.run(
        [sys.executable, "-m", "evo", *args], cwd=home, capture_output=True, text=True, timeout=60, env=env
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def evo_json(home, *args, **options):
    return json.loads(evo(home, *args, "--json", **options).stdout)


READING = [
    ["--help"],
    ["--version"],
    ["runs"],
    ["show", "night"],
    ["show", "night", "3"],
    ["best", "night"],
    ["diff", "night:0", "night:3"],
    ["sql", "SELECT count(*) FROM candidates"],
    ["seeds"],
]


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_a_reading_command_imports_neither_torch_nor_ray_nor_what_only_a_search_needs(home, args):
    code = (
        "import sys, atexit\n"
        "heavy = ('torch', 'ray', 'scipy', 'openai', 'deap', 'pyarrow')\n"
        "atexit.register(lambda: print('LOADED', [m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['evo', *{args!r}]\n"
        "from evo.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "LOADED []"


def test_runs_are_listed_with_their_state(home):
    listed = {run["name"]: run for run in evo_json(home, "runs")}
    assert (listed["night"]["state"], listed["night"]["done"]) == ("finished", 9)
    assert (listed["stopped"]["state"], listed["stopped"]["done"]) == ("stopped", 0)


def test_show_tells_the_baseline_the_leader_and_commands_to_try(home):
    text = evo(home, "show", "night").stdout
    for word in ("baseline", "leader", "lineage: population/night/lineage", "evo show night", "evo diff", "evo sql"):
        assert word in text


def test_the_leader_has_the_lowest_loss(home):
    losses = evo_json(
        home, "sql", "SELECT id, val_loss FROM candidates WHERE status = 'ok' AND id > 0", "--run", "night"
    )
    assert evo_json(home, "best", "night")["id"] == min(losses, key=lambda row: row["val_loss"])["id"]


def test_a_candidate_is_shown_with_its_files_and_what_variation_did(home):
    row = evo_json(home, "show", "night", "4")
    assert set(row["files"]) == {"train_mps.py", "model.py"}
    assert row["operators"][0]["operator"]
    assert row["persona"]["name"] == row["mind"]
    text = evo(home, "show", "night", "4").stdout
    assert "--- model.py ---" in text
    assert row["operators"][0]["operator"] in text


def test_the_leader_is_exported_as_files_that_can_be_judged_again(home, tmp_path):
    evo(home, "best", "night", "--export", str(tmp_path / "out"))
    leader = evo_json(home, "best", "night")
    assert (tmp_path / "out" / "model.py").read_text() == leader["files"]["model.py"]
    assert (tmp_path / "out" / "persona.txt").read_text().startswith("You are ")
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["id"] == leader["id"]


def test_a_difference_names_genes_and_lines(home):
    told = evo_json(home, "diff", "night:1", "night:2")
    assert any(line.startswith("- breakthroughs: Laws of Motion") for line in told["genes"])
    assert any(line.startswith("+ breakthroughs: Graph Theory") for line in told["genes"])
    assert evo_json(home, "diff", "night:3", "night:3") | {"a": 0, "b": 0} == {"a": 0, "b": 0, "genes": [], "files": ""}


def test_the_schema_lists_every_column(home):
    from evo.lineage.schema import TABLES

    listed = {(row["table"], row["column"]) for row in evo_json(home, "sql", "--schema")}
    assert listed == {(table, column.name) for table, columns in TABLES.items() for column in columns}


def test_what_is_no_number_is_null_in_json(home):
    answer = evo(home, "sql", "SELECT 'nan'::DOUBLE AS a, ['-inf'::DOUBLE, 1.5] AS b", "--json").stdout
    assert json.loads(answer, parse_constant=pytest.fail) == [{"a": None, "b": [None, 1.5]}]


@pytest.mark.parametrize(
    ("args", "code", "kind", "says"),
    [
        (["show", "nothing"], 2, "usage", "no run has the name 'nothing'"),
        (["show", "night", "99"], 2, "usage", "its candidates are 0 to 8"),
        (["sql", "SELEC 1"], 2, "usage", "SQL:"),
        (["sql", "SELECT * FROM candidates", "--run", "nihgt"], 2, "usage", "no run has the name 'nihgt'"),
        (["diff", "night", "1"], 2, "usage", "expected RUN:ID or ID, found 'night'"),
        (["best", "stopped"], 1, "run", "no candidate of run stopped was scored"),
    ],
)
def test_a_failure_is_told_in_two_lines_and_as_an_envelope(home, args, code, kind, says):
    done = evo(home, *args, "--json", code=code)
    assert json.loads(done.stdout)["error"]["kind"] == kind
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in done.stderr


def test_an_unknown_command_or_option_is_a_usage_error_with_a_suggestion(home):
    assert "runs" in evo(home, "rums", code=2).stderr
    assert "--export" in evo(home, "best", "--exprot", "x", code=2).stderr


def test_a_pipe_gets_tab_separated_results_and_nothing_else(home):
    done = evo(home, "sql", "SELECT id, generation FROM candidates WHERE run = 'night' ORDER BY id LIMIT 2")
    assert done.stdout == "id\tgeneration\n0\t0\n1\t0\n"
    assert done.stderr == ""


def test_a_traceback_is_shown_with_debug_alone(home):
    assert "Traceback" in evo(home, "--debug", "show", "nothing", code=2).stderr
    assert "Traceback" in evo(home, "show", "nothing", "--debug", code=2).stderr
