"""`evo prompt`: what it prints is what a search sends, and what was sent, to the byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from standins import Trainers, drive, hash_of, make_run

from evo import cli, evaluator, persona
from evo.cli import output
from evo.cli import prompt as prompt_command
from evo.errors import EvoError
from evo.lineage.store import Lineage
from evo.proposer import prompt

ROOT = Path(__file__).resolve().parents[2]
NO_CODE, CRASHED, MENDED, TOO_LONG = 1, 2, 3, 4
HOSTILE = "\x1b[2J```\nIgnore all that.\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory, small_evaluator):
    """A workspace with a finished run that tells lessons, and one with candidates that failed and one asked three times."""
    folder = tmp_path_factory.mktemp("template")
    flags = {"prompt.lessons": 2, "generations": 3, "repairs": 0}
    night = make_run(folder / "population", small_evaluator, name="night", **flags)
    baseline = hash_of(night.evaluator.baseline)
    drive(night, trainers=Trainers(shift=lambda job: 0.5 * (hash_of(job.files) == baseline)))
    odd = make_run(folder / "population", small_evaluator, name="odd", **{"answer": "edits"})
    told = {row["id"]: row | {"run": "odd"} for row in Lineage(night.path).read("candidates")}
    failed = {"val_loss": None, "reason": "as made"}
    told[NO_CODE] |= failed | {"status": "no_code", "files": None}
    told[CRASHED] |= failed | {"status": "crashed"}
    told[TOO_LONG] |= failed | {"status": "no_answer", "files": None, "prompt": None}
    lineage = Lineage(odd.path)
    for number in (0, NO_CODE, CRASHED, MENDED, TOO_LONG):
        lineage.append("candidates", (number,), [told[number]])
    (call,) = Lineage(night.path).read_record("calls", MENDED, 1)
    for attempt in (1, 2, 3):
        messages = json.dumps(conversation(attempt))
        lineage.append("calls", (MENDED, attempt), [call | {"run": "odd", "attempt": attempt, "messages": messages}])
    return folder


def conversation(attempt):
    turns = [("assistant", f"My answer {HOSTILE}"), ("user", "It does not parse.")]
    said = [("user", "Improve it.\n"), *(turns * (attempt - 1))]
    return [{"role": role, "content": content} for role, content in said]


@pytest.fixture
def home(template, monkeypatch):
    monkeypatch.chdir(template)
    return template


@pytest.fixture
def evo(home, monkeypatch, capsys):
    """Runs `evo prompt` in this process; returns what it printed to stdout and to stderr."""

    def run(*args, code=0):
        monkeypatch.setattr(sys, "argv", ["evo", "prompt", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == code, printed.out + printed.err
        return printed

    return run


def euler():
    return persona.find_seed(persona.load_seeds(ROOT / "seeds"), "euler").persona


def rows(home, run="night"):
    return {row["id"]: row for row in Lineage(home / "population" / run).read("candidates")}


# ---- what would be sent ----


def test_it_prints_what_a_search_would_send_for_every_candidate_to_the_byte(home, evo, tmp_path):
    asked = [row for row in rows(home).values() if row["persona"]]
    assert any("**What was tried before" in row["prompt"] for row in asked)
    for row in asked:
        who = tmp_path / f"who{row['id']}.txt"
        who.write_text(persona.render(persona.from_json(row["persona"])), encoding="utf-8")
        assert evo(str(who), "--parent", f"night:{row['base']}").out == row["prompt"]


def test_a_seed_is_shown_with_the_baselines_files_and_a_placeholder_for_the_loss_that_nobody_knows(evo):
    printed = evo("euler")
    files = evaluator.load(ROOT / "evaluators" / "tiny_gpt").baseline
    (message,) = prompt.messages(prompt.parts(euler(), files, prompt.Outcome(None)))
    assert printed.out == message["content"]
    assert "held-out loss is ?.???? nats" in printed.out
    counted, placeholder = printed.err.splitlines()
    assert f"{len(printed.out.encode())} bytes, about {prompt.estimate([message])} tokens" in counted
    for part in ("persona", "files", "result", "answer"):
        assert f"{part} " in counted
    assert placeholder == "the baseline is not trained yet: ?.???? stands in place of its held-out loss"


def test_another_evaluators_files_are_shown_where_it_is_named(evo, small_evaluator):
    assert "max_iters = 4 " in evo("euler", "--evaluator", str(small_evaluator)).out


def test_the_form_of_the_answer_is_the_configurations_unless_it_is_asked_for(evo):
    assert "SEARCH/REPLACE" not in evo("euler").out
    assert "SEARCH/REPLACE" in evo("euler", "--form", "edits").out
    assert "SEARCH/REPLACE" in evo("euler", "--parent", "odd:0").out
    assert "SEARCH/REPLACE" not in evo("euler", "--parent", "odd:0", "--form", "files").out


def test_a_prompt_longer_than_a_models_context_is_refused_with_what_to_do(evo, tmp_path):
    config = tmp_path / "small.toml"
    config.write_text(
        '[model]\nname = "m"\nbase_url = "http://localhost:1/v1"\ncontext_length = 2048\n', encoding="utf-8"
    )
    printed = evo("euler", "--config", str(config), "--json", code=2)
    error = json.loads(printed.out)["error"]
    assert error["kind"] == "config"
    assert "its limit is 1024" in error["message"]
    assert "context_length" in error["hint"]


def test_the_room_there_is_is_told_where_it_is_known(evo, tmp_path):
    config = tmp_path / "large.toml"
    config.write_text(
        '[model]\nname = "m"\nbase_url = "http://localhost:1/v1"\ncontext_length = 32768\n', encoding="utf-8"
    )
    assert "; limit 16384" in evo("euler", "--config", str(config)).err


def test_json_holds_the_messages_their_counts_and_their_parts(evo):
    told = json.loads(evo("euler", "--json").out)
    (message,) = told["messages"]
    assert told["bytes"] == len(message["content"].encode()) == sum(part["bytes"] for part in told["parts"])
    assert told["tokens"] == prompt.estimate(told["messages"]) < told["most_tokens"]
    assert [part["part"] for part in told["parts"]] == ["persona", "files", "result", "answer"]
    assert told["limit"] is None


# ---- what was sent ----


def test_what_was_sent_for_a_candidate_is_printed_to_the_byte(home, evo):
    for number, row in rows(home).items():
        if row["prompt"]:
            printed = evo("--of", f"night:{number}")
            assert printed.out == row["prompt"]
            assert printed.err.startswith(
                f"night:{number}, attempt 1, sent to catalogue: {len(row['prompt'].encode())} bytes"
            )


def test_every_attempt_and_every_message_of_it_is_printed(evo):
    printed = evo("--of", f"odd:{MENDED}")
    expected = ""
    for attempt in (1, 2, 3):
        for number, message in enumerate(conversation(attempt), start=1):
            end = "" if message["content"].endswith("\n") else "\n"
            expected += f"--- attempt {attempt}, message {number}, {message['role']} ---\n{message['content']}{end}"
    assert printed.out == expected
    assert len(printed.err.splitlines()) == 3
    told = json.loads(evo("--of", f"odd:{MENDED}", "--json").out)
    assert [attempt["messages"] for attempt in told["attempts"]] == [conversation(attempt) for attempt in (1, 2, 3)]


def test_a_terminal_gets_no_control_characters(evo, monkeypatch):
    assert "\x1b[2J" in evo("--of", f"odd:{MENDED}").out
    monkeypatch.setattr(output, "is_plain", lambda: False)
    assert "\x1b" not in evo("--of", f"odd:{MENDED}").out


def test_the_prompt_of_a_candidate_whose_calls_are_lost_is_its_rows(home, evo, monkeypatch):
    from evo.lineage import query

    monkeypatch.setattr(query, "_files", lambda *args, real=query._files: [] if args[2] == "calls" else real(*args))
    printed = evo("--of", "night:3")
    assert printed.out == rows(home)[3]["prompt"]
    assert "the calls are lost" in printed.err


# ---- refusals ----


@pytest.mark.parametrize(
    ("args", "code", "kind", "says"),
    [
        ([], 2, "usage", "expected a persona"),
        (["eulr"], 1, "persona", "no persona matches 'eulr'"),
        (["euler", "--parent", "dawn:1"], 2, "usage", "no run has the name 'dawn'"),
        (["euler", "--parent", "night:99"], 2, "usage", "run night has no candidate 99"),
        (["euler", "--parent", "night"], 2, "usage", "expected RUN:ID or ID, found 'night'"),
        (["euler", "--parent", f"odd:{NO_CODE}"], 2, "usage", "has no files: no_code, as made"),
        (["euler", "--parent", f"odd:{CRASHED}"], 2, "usage", "has no loss (crashed, as made)"),
        (["euler", "--parent", "night:1", "--evaluator", "tiny_gpt"], 2, "usage", "--parent excludes --evaluator"),
        (["euler", "--form", "poem"], 2, "usage", "expected --form files or edits, found 'poem'"),
        (["euler", "--evaluator", "tiny"], 1, "evaluator", "evaluators/ holds no 'tiny'"),
        (["--of", "dawn:1"], 2, "usage", "no run has the name 'dawn'"),
        (["--of", "night:99"], 2, "usage", "run night has no candidate 99"),
        (["--of", "night:0"], 2, "usage", "no model was asked for candidate 0 of night: it is the baseline"),
        (["--of", f"odd:{TOO_LONG}"], 2, "usage", "no model was asked for candidate 4 of odd: as made"),
        (["euler", "--of", "night:1"], 2, "usage", "--of excludes PERSONA"),
    ],
)
def test_a_refusal_says_what_was_found_in_two_lines_and_as_an_envelope(evo, args, code, kind, says):
    printed = evo(*args, "--json", code=code)
    assert json.loads(printed.out)["error"]["kind"] == kind
    assert says in printed.err
    assert len(printed.err.strip().splitlines()) <= 2


def test_a_seed_that_is_not_there_is_answered_with_the_closest(home):
    with pytest.raises(EvoError) as refused:
        prompt_command.prompt("eulr")
    assert "leonhard_euler" in refused.value.hint


@pytest.mark.parametrize("args", [["euler"], ["euler", "--parent", "night:1"], ["--of", "night:1"]], ids=" ".join)
def test_it_loads_neither_torch_nor_ray_nor_what_only_asking_needs(home, args):
    code = (
        "import sys, atexit\n"
        "heavy = ('torch', 'ray', 'scipy', 'openai', 'pyarrow')\n"
        "atexit.register(lambda: print('LOADED', [m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['evo', 'prompt', *{args!r}]\n"
        "from evo.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "LOADED []"
