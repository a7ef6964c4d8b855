"""`evo run` and `evo resume` as a user runs them: real Ray, real sandboxes, the catalogue as it is served."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from evo.catalogue import CatalogueServer
from evo.status import Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CANARY = "sk-canary-4e1f"
SMALL_VERDICT = {"EVO_FINAL__VERDICT_SEEDS": "2"}


@pytest.fixture
def home(tmp_path, small_evaluator):
    return tmp_path


def start(home, *args, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "EVO_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "evo", *args],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean | SMALL_VERDICT | env,
    )


def finish(process, code=0):
    out, err = process.communicate(timeout=400)
    assert process.returncode == code, out + err
    return out, err


def run_args(small_evaluator, *more):
    return [
        "run",
        "--evaluator",
        str(small_evaluator),
        "--personas",
        "newton",
        "--population",
        "2",
        "--name",
        "r",
        *more,
    ]


def rows(home, query="SELECT * FROM candidates ORDER BY id"):
    out, _ = finish(start(home, "sql", query, "--json"))
    return json.loads(out)


def wait_for_rows(home, count):
    folder, end = home / "population" / "r" / "lineage" / "candidates", time.monotonic() + 120
    while len(list(folder.glob("[0-9]*.parquet"))) < count:
        assert time.monotonic() < end, "no rows came"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_run_cleanly_and_resume_ends_it(home, small_evaluator, number):
    process = start(home, *run_args(small_evaluator, "--generations", "2"))
    wait_for_rows(home, 1)
    held = start(home, "resume", "r")
    _, err = finish(held, code=1)
    assert f"run r is in use by process {process.pid}" in err
    process.send_signal(number)
    _, err = finish(process, code=130)
    assert "resume r" in err
    assert "Traceback" not in err
    out, _ = finish(start(home, "resume"))
    assert "leader" in out
    assert "Verdict on candidate" in out
    assert "a small verdict" in out
    assert [row["id"] for row in rows(home)] == list(range(6))
    assert [(row["after"], row["look"]) for row in rows(home, "SELECT * FROM verdicts")] == [(6, 1)]
    query = "SELECT id, attempts - count(*) AS missing FROM candidates JOIN calls USING (run, id) GROUP BY id, attempts"
    assert {row["missing"] for row in rows(home, query)} == {0}


def test_a_run_in_which_every_candidate_failed_exits_1_and_names_each_failure(home, small_evaluator):
    process = start(
        home, *run_args(small_evaluator, "--generations", "1"), EVO_MODEL__FAULTS="prose=1", EVO_REPAIRS="0"
    )
    out, _ = finish(process, code=1)
    assert "No candidate was scored" in out
    assert [row["status"] for row in rows(home)] == ["ok", "no_code", "no_code", "no_code"]
    assert [row["verdict"] for row in rows(home, "SELECT * FROM verdicts")] == ["nothing to judge"]
    _, err = finish(start(home, "resume"), code=1)
    assert "there is no unfinished run" in err


def environments(process):
    """Return the command line and the environment of every process below `process`."""
    found = []
    driver = psutil.Process(process.pid)
    for child in driver.children(recursive=True):
        try:
            if child.cmdline() == driver.cmdline():
                time.sleep(0.2)  # a child between fork and exec still shows the memory of the driver
            found.append((" ".join(child.cmdline()), child.environ()))
        except psutil.Error:
            continue
    return found


def test_a_key_is_in_no_environment_of_a_process_that_trains_and_in_no_file_of_the_run(home, small_evaluator):
    with CatalogueServer(token=CANARY, faults="429=0.3,500=0.2") as server:
        options = [
            "--generations",
            "1",
            "--model",
            "catalogue",
            "--base-url",
            server.base_url,
            "--isolation",
            "process",
        ]
        process = start(home, *run_args(small_evaluator, *options), OPENAI_API_KEY=CANARY)
        seen = {}
        while process.poll() is None:
            for command, environment in environments(process):
                seen[command] = seen.get(command, False) or CANARY in " ".join(environment.values())
            time.sleep(0.2)
        finish(process)
        assert server.requests >= 3
    assert any("ray" in command for command in seen)
    assert [command for command, holds_key in seen.items() if holds_key] == []
    for path in (home / "population").rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
    assert {row["status"] for row in rows(home)} <= {"ok", "duplicate"}


def test_a_badly_answering_endpoint_gives_a_row_with_a_name_for_every_candidate(home, small_evaluator):
    faults = "truncated=0.15,prose=0.1,syntax=0.15,protected=0.15,empty=0.1,429=0.1,500=0.1,reset=0.05"
    process = start(home, *run_args(small_evaluator, "--generations", "6"), EVO_MODEL__FAULTS=faults, EVO_REPAIRS="0")
    finish(process)
    found = rows(home)
    assert [row["id"] for row in found] == list(range(14))
    assert {row["status"] for row in found} <= set(Status)
    assert all(row["reason"] for row in found if row["status"] != "ok")
    assert len({row["status"] for row in found}) >= 3


def test_an_endpoint_that_goes_away_ends_the_session_with_how_to_resume(home, small_evaluator):
    server = CatalogueServer(token="t")
    options = ["--generations", "3", "--model", "catalogue", "--base-url", server.base_url, "--isolation", "process"]
    impatient = {"EVO_MODEL__RETRIES": "0", "EVO_PATIENCE_MINUTES": "0", "EVO_LAG": "2"}
    process = start(home, *run_args(small_evaluator, *options), OPENAI_API_KEY="t", **impatient)
    wait_for_rows(home, 2)
    server.close()
    _, err = finish(process, code=1)
    assert "no answer from" in err
    assert "evo resume r" in err
    kept = len(rows(home))
    port = int(server.base_url.rsplit(":", 1)[1].split("/")[0])
    with CatalogueServer(port=port, token="t"):
        finish(start(home, "resume", OPENAI_API_KEY="t"))
    assert len(rows(home)) == 8 > kept


def test_a_run_works_on_a_folder_of_ones_own_text(home, small_evaluator):
    text = Path(small_evaluator) / "text"
    finish(start(home, *run_args(small_evaluator, "--generations", "1", "--data", str(text))))
    assert "folder" in (home / "population" / "r" / "config.toml").read_text()


def test_what_a_run_found_is_reproduced_to_the_last_bit_and_another_candidate_is_judged(home, small_evaluator):
    finish(start(home, *run_args(small_evaluator, "--generations", "1")))
    scored = [row["id"] for row in rows(home) if row["status"] == "ok" and row["id"]]
    (verdict,) = rows(home, "SELECT * FROM verdicts")
    assert verdict["id"] in scored
    for number, replicate in ((0, 0), (scored[-1], 0), (verdict["id"], 1000001)):
        out, _ = finish(start(home, "reproduce", "r", str(number), "--replicate", str(replicate), "--json"))
        told = json.loads(out)
        assert told["says"] == "the same to the last bit"
        assert told["recorded"]["test_loss"] == told["again"]["test_loss"]
        assert (told["again"]["test_loss"] is not None) == (replicate > 0)
    out, _ = finish(start(home, "best", "r", "--verdict"))
    assert rows(home, "SELECT * FROM verdicts") == [verdict]
    other = next(number for number in scored if number != verdict["id"])
    out, err = finish(start(home, "best", "r", "--verdict", "--candidate", str(other), "--json"))
    assert [(row["id"], row["look"]) for row in json.loads(out)["verdicts"]] == [(other, 2)]
    assert "on test" in err
    losses = rows(home, "SELECT id, replicate, val_loss, test_loss FROM trainings WHERE replicate >= 1000000")
    assert {(row["id"], row["replicate"]) for row in losses} == {
        (number, replicate) for number in (0, verdict["id"], other) for replicate in (1000000, 1000001)
    }
    assert all(row["test_loss"] != row["val_loss"] for row in losses)
