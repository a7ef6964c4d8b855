"""Refusals before anything is asked or trained: one or two lines, exit 2 for bad arguments or configuration, else 1."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]


def evo(folder, *args, code, **env):
    import os

    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "EVO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "evo", *args], cwd=folder, capture_output=True, text=True, timeout=120, env=clean | env
    )
    assert done.returncode == code, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2, done.stderr
    assert not list(folder.glob("population/*"))
    return " ".join(lines)


@pytest.fixture
def refusing():
    """An endpoint that refuses every key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()


def test_a_missing_key_is_named(tmp_path):
    told = evo(tmp_path, "run", "--model", "gpt-5", "--isolation", "process", code=1)
    assert "OPENAI_API_KEY is not set" in told


def test_a_models_code_without_isolation_is_refused(tmp_path):
    told = evo(tmp_path, "run", "--model", "gpt-5", code=1, OPENAI_API_KEY="sk-canary", PATH="/nowhere")
    assert "--isolation process" in told
    assert "canary" not in told


def test_an_endpoint_that_is_down_is_named(tmp_path):
    told = evo(tmp_path, "run", "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--isolation", "process", code=1)
    assert "http://127.0.0.1:9/v1 cannot be reached" in told


def test_a_key_that_is_refused_is_said_without_the_key(tmp_path, refusing):
    told = evo(
        tmp_path,
        "run",
        "--model",
        "m",
        "--base-url",
        refusing,
        "--isolation",
        "process",
        code=1,
        OPENAI_API_KEY="sk-canary",
    )
    assert "refuses the key of OPENAI_API_KEY" in told
    assert "canary" not in told


def test_a_typo_in_a_config_is_answered_with_a_suggestion(tmp_path):
    (tmp_path / "mine.toml").write_text("generatons = 3\n")
    told = evo(tmp_path, "run", "--config", "mine.toml", code=2)
    assert "unknown key 'generatons'" in told
    assert "did you mean 'generations'?" in told


def test_a_typo_in_the_environment_is_answered_with_a_suggestion(tmp_path):
    assert "did you mean 'population'?" in evo(tmp_path, "run", code=2, EVO_POPULATON="4")


def test_a_config_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "mine.toml").write_text("generations = = 3\n")
    assert "mine.toml is not valid TOML" in evo(tmp_path, "run", "--config", "mine.toml", code=2)


def test_a_broken_evaluator_is_refused_before_a_run_is_made(tmp_path):
    broken = tmp_path / "mine"
    broken.mkdir()
    for name in ("evaluator.toml", "model.py", "train_mps.py"):
        (broken / name).write_text((ROOT / "evaluators" / "tiny_gpt" / name).read_text())
    train = broken / "train_mps.py"
    train.write_text(train.read_text().replace("max_iters = 180", "max_iters = 5"))
    told = evo(tmp_path, "run", "--evaluator", "mine", code=1)
    assert "max_iters: expected 180, found 5" in told


def test_an_unknown_evaluator_seed_or_config_is_answered_with_what_there_is(tmp_path):
    assert "tiny_gpt" in evo(tmp_path, "run", "--evaluator", "tiny", code=1)
    assert "isaac_newton" in evo(tmp_path, "run", "--personas", "newtonn", code=1)
    assert "demo" in evo(tmp_path, "run", "--config", "nightly", code=2)
    assert "there is no file or folder /none/x.toml" in evo(tmp_path, "run", "--config", "/none/x.toml", code=2)


def test_the_number_of_a_candidate_in_place_of_a_run_is_answered_with_both(tmp_path):
    assert "`evo show RUN 13`" in evo(tmp_path, "show", "13", code=2)


def test_a_folder_with_too_little_text_is_refused(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("short")
    assert "expected at least 4 files" in evo(tmp_path, "run", "--data", "text", code=1)


def test_nothing_to_resume_is_said(tmp_path):
    assert "there is no unfinished run" in evo(tmp_path, "resume", code=1)


def test_a_wrong_value_is_named_with_what_was_found(tmp_path):
    assert "population" in evo(tmp_path, "run", "--population", "1", code=2)


def test_an_init_folder_that_cannot_be_written_is_refused_without_a_traceback(tmp_path):
    (tmp_path / "afile").write_text("text")
    assert "cannot write to afile" in evo(tmp_path, "init", "afile", code=2)


def test_a_file_as_data_is_refused_with_what_is_expected(tmp_path):
    (tmp_path / "text.txt").write_text("text")
    told = evo(tmp_path, "run", "--data", "text.txt", code=2)
    assert "path of a folder of text files, found 'text.txt' (a file)" in told


def test_a_data_path_that_the_source_does_not_take_is_refused(tmp_path):
    assert "expected no data.path with the data source plays" in evo(tmp_path, "run", "--data-path", "x.txt", code=2)


def test_the_old_name_of_the_personas_option_still_works(tmp_path):
    assert "isaac_newton" in evo(tmp_path, "run", "--seeds", "newtonn", code=1)
