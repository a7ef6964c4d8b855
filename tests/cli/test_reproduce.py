"""`evo best --verdict` and `evo reproduce`, called as the program calls them, with stand-ins for what trains."""

import asyncio
import dataclasses
import json
import re
import shutil
import sys

import pytest
from standins import Proposer, Trainers, drive, make_run, with_rung

from evo import cli, rng
from evo.driver import session
from evo.driver.loop import Driver
from evo.finalists import TIMING
from evo.lineage import schema, store
from evo.lineage.store import Lineage
from evo.status import Status
from evo.trainer import device
from evo.trainer.job import Judgement
from evo.trainer.trainer import Trainer

STOPPED, NO_CODE, TWIN, CRASHED, PROTECTED = 3, 4, 5, 6, 7


class Answers(Proposer):
    """Each candidate's answer is of one kind, known by its number."""

    def __init__(self, baseline):
        super().__init__()
        model, train = baseline["model.py"], baseline["train_mps.py"]
        texts = {
            STOPPED: f"```python\nmodel.py\n{model}\nLOSING = 1\n```",
            NO_CODE: "I would rather not.",
            TWIN: "```python\nmodel.py\n# unchanged\n```",
            CRASHED: f"```python\nmodel.py\n{model}\nCRASHES = 1\n```",
            PROTECTED: f"```python\ntrain_mps.py\n{train.replace('max_iters = 4', 'max_iters = 400')}\n```",
        }
        self.texts = {rng.derived(1, number, "answer") % 2**31: text for number, text in texts.items()}

    async def ask(self, model, messages, seed, max_tokens=None):
        reply = await super().ask(model, messages, seed, max_tokens)
        return reply | {"text": self.texts.get(seed, reply["text"])}


class Odd(Trainers):
    """One code is losing at its early-stopping step and one crashes; all else is never stopped."""

    def __init__(self, **options):
        super().__init__(lambda job: "crashed" if "CRASHES" in job.files["model.py"] else None, **options)

    async def judge(self, job):
        losing = "LOSING" in job.files["model.py"]
        judged = await super().judge(dataclasses.replace(job, early_stop=None))
        judged["early_stop_loss"] = 9.0 if losing else judged["early_stop_loss"]
        if losing and job.early_stop:
            judged |= {"status": "stopped_early", "reason": "losing", "val_loss": None}
        return judged


@pytest.fixture(scope="module")
def template(tmp_path_factory, small_evaluator):
    """A run that is done, with a candidate of every kind."""
    folder = tmp_path_factory.mktemp("template")
    judged = with_rung(small_evaluator, folder / "small")
    run = make_run(folder / "population", judged, name="night", **{"early.least": 2, "early.control": 0.0})
    drive(run, Answers(run.evaluator.baseline), Odd())
    statuses = {row["id"]: row["status"] for row in Lineage(run.path).read("candidates")}
    kinds = {STOPPED: "stopped_early", NO_CODE: "no_code", TWIN: "duplicate", CRASHED: "crashed"}
    assert statuses == dict.fromkeys((0, 1, 2, 8), "ok") | kinds | {PROTECTED: "protected_setting"}
    return folder


@pytest.fixture
def home(template, tmp_path, monkeypatch):
    """A workspace of its own with that run."""
    shutil.copytree(template / "population", tmp_path / "population")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(home, monkeypatch, capsys):
    """Call the program in this process, which ends with `code`: its standard output and standard error."""

    def called(*args, code):
        monkeypatch.setattr(sys, "argv", ["evo", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert (ended.value.code or 0) == code, out + err
        assert "Traceback" not in err
        return out, err

    return called


@pytest.fixture
def evo(call):
    """What the program prints."""
    return lambda *args, code=0: call(*args, code=code)[0]


@pytest.fixture
def refusal(call):
    """What the program says when it refuses, in one or two lines."""

    def refused(*args, code):
        out, err = call(*args, code=code)
        assert out == ""
        assert 1 <= len(err.strip().splitlines()) <= 2
        return err

    return refused


@pytest.fixture
def looks(monkeypatch):
    """Stand-ins carry a run on, instead of Ray: the trainings of every look."""
    trained = []

    def run_session(run, watcher, look_at=None):
        trainers = Odd()
        asyncio.run(Driver(run, Proposer(), trainers, watcher).finish(look_at))
        trained.append(len(trainers.jobs))

    monkeypatch.setattr(session, "run_session", run_session)
    return trained


@pytest.fixture
def again(monkeypatch):
    """What `evo reproduce` trains: the jobs, and changes to what comes of them."""
    jobs, changes = [], {}

    def judge(self, job):
        jobs.append(job)
        judged = asyncio.run(Odd().judge(job))
        names = {field.name for field in dataclasses.fields(Judgement)}
        values = {name: value for name, value in judged.items() if name in names} | changes
        return Judgement(**values | {"status": Status(values["status"])})

    monkeypatch.setattr(device, "find", lambda *args, **options: device.Device("cpu", 1, 1))
    monkeypatch.setattr(Trainer, "judge", judge)
    return jobs, changes


def rows_of(home, table="candidates"):
    return Lineage(home / "population" / "night").read(table)


def judged(home):
    return [row["id"] for row in rows_of(home, "verdicts")]


def another(home):
    """A scored candidate that was not judged."""
    return next(row["id"] for row in rows_of(home)[1:] if row["status"] == "ok" and row["id"] not in judged(home))


# ---- evo best, and its verdicts ----


def test_best_shows_the_leader_after_the_verdict_on_it(home, evo):
    (leader,) = judged(home)
    text = evo("best", "night")
    assert text.startswith(
        f"Verdict on candidate {leader}, on the test part, 2 fresh seeds each: not shown to be better"
    )
    assert "a small verdict" in text
    assert re.search(rf"^id: +{leader}$", text, re.MULTILINE)


def test_best_as_json_is_the_candidate_with_its_verdicts(home, evo):
    told = json.loads(evo("best", "night", "--json"))
    assert set(told) == {column.name for column in schema.TABLES["candidates"]} | {"verdicts"}
    assert set(told["files"]) == {"train_mps.py", "model.py"}
    (verdict,) = told["verdicts"]
    assert set(verdict) == {column.name for column in schema.TABLES["verdicts"]}
    assert (verdict["id"], verdict["look"], verdict["after"]) == (told["id"], 1, 9)
    assert set(json.loads(verdict["details"])) == {"replicates", "candidate", "baseline"}


def test_show_as_json_has_the_verdicts_and_what_was_stopped(home, evo):
    told = json.loads(evo("show", "night", "--json"))
    assert set(told) == {"run", "done", "failures", "stopped", "gain", "baseline", "leader", "fresh", "verdicts"}
    assert told["failures"] == {"no_code": 1, "crashed": 1, "protected_setting": 1}
    assert (told["stopped"], told["fresh"], len(told["verdicts"])) == (1, [], 1)
    assert told["verdicts"][0]["id"] == told["leader"]["id"]


def test_a_verdict_on_the_leader_that_was_judged_looks_no_second_time(home, evo, looks):
    before = rows_of(home, "verdicts")
    assert evo("best", "night", "--verdict").startswith("Verdict on candidate")
    assert looks == [0]
    assert rows_of(home, "verdicts") == before
    evo("best", "night", "--verdict", "--candidate", str(before[0]["id"]))
    assert rows_of(home, "verdicts") == before


def test_a_verdict_on_another_candidate_is_the_second_look_and_says_so(home, evo, looks):
    other = another(home)
    text = evo("best", "night", "--verdict", "--candidate", str(other))
    assert text.startswith(f"Verdict on candidate {other}, on the test part")
    assert "verdict number 2 of this run: p = " in text
    assert "after Holm's correction" in text
    assert re.search(rf"^id: +{other}$", text, re.MULTILINE)
    assert looks == [2]
    assert [row["look"] for row in rows_of(home, "verdicts")] == [1, 2]
    evo("best", "night", "--verdict", "--candidate", str(other))
    assert looks == [2, 0]
    assert len(rows_of(home, "verdicts")) == 2


def test_a_look_leaves_the_leader_and_its_verdict_as_they_were(home, evo, looks):
    before = json.loads(evo("best", "night", "--json"))
    evo("best", "night", "--verdict", "--candidate", str(another(home)))
    assert json.loads(evo("best", "night", "--json")) == before
    assert len(json.loads(evo("show", "night", "--json"))["verdicts"]) == 2


def test_a_verdict_as_json_is_of_the_candidate_that_was_asked_for(home, evo, looks):
    other = another(home)
    told = json.loads(evo("best", "night", "--verdict", "--candidate", str(other), "--json"))
    assert told["id"] == other
    assert [(row["id"], row["look"]) for row in told["verdicts"]] == [(other, 2)]


def test_the_candidate_that_was_judged_is_the_one_exported(home, evo, looks):
    other = another(home)
    evo("best", "night", "--verdict", "--candidate", str(other), "--export", "out")
    assert json.loads((home / "out" / "scores.json").read_text())["id"] == other


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--candidate", "1"], 2, "expected --verdict with --candidate"),
        (["--verdict", "--candidate", "99"], 2, "run night has no candidate 99; its candidates are 0 to 8"),
        (["--verdict", "--candidate", "0"], 2, "expected a scored candidate, found candidate 0"),
        (["--verdict", "--candidate", str(NO_CODE)], 2, "expected a scored candidate"),
    ],
)
def test_a_look_that_makes_no_sense_is_refused_before_anything_is_trained(home, refusal, looks, args, code, says):
    before = judged(home)
    assert says in refusal("best", "night", *args, code=code)
    assert (looks, judged(home)) == ([], before)


def test_files_that_the_static_checks_refused_are_not_trained_for_a_look(home, refusal, looks):
    assert str(PROTECTED) in refusal("best", "night", "--verdict", "--candidate", str(PROTECTED), code=2)
    assert looks == []


def test_a_run_that_is_not_done_gets_no_look(home, refusal, looks):
    Lineage(home / "population" / "night").path("candidates", 8).unlink()
    told = refusal("best", "night", "--verdict", code=1)
    assert "run night is not finished" in told
    assert "evo resume night" in told
    assert looks == []


def test_a_run_that_wants_no_verdict_gets_no_look(home, refusal, looks):
    frozen = home / "population" / "night" / "config.toml"
    frozen.write_text(frozen.read_text().replace("verdict_seeds = 2", "verdict_seeds = 0"))
    assert "configuration sets final.verdict_seeds = 0" in refusal("best", "night", "--verdict", code=2)
    assert looks == []


def test_a_look_that_is_interrupted_ends_with_130_and_says_that_nothing_is_lost(home, evo, monkeypatch):
    def interrupted(run, watcher, look_at=None):
        raise session.Interrupted(2)

    monkeypatch.setattr(session, "run_session", interrupted)
    evo("best", "night", "--verdict", "--candidate", str(another(home)), code=130)
    assert len(judged(home)) == 1


def test_a_run_whose_own_verdict_is_missing_gets_no_other_look_before_it(home, refusal, looks):
    path = home / "population" / "night"
    Lineage(path).path("verdicts", 9, 1).unlink()  # as a session leaves it that was killed just before
    told = refusal("best", "night", "--verdict", "--candidate", str(another(home)), code=1)
    assert "run night is not finished" in told
    assert looks == []


# ---- evo reproduce ----


@pytest.mark.parametrize("number", [0, 1, 2, 8])
def test_a_training_is_reproduced_to_the_last_bit_from_the_lineage_alone(home, evo, again, number):
    text = evo("reproduce", "night", str(number))
    assert text.splitlines()[-1] == "the same to the last bit"
    header, recorded, now = (line.split("\t") for line in text.splitlines()[:3])
    assert header == ["", "status", "val_loss", "test_loss", "reported_vloss", "n_params", "cpu_seconds"]
    assert (recorded[0], now[0]) == ("recorded", "again")
    assert recorded[1:6] == now[1:6]
    ((job,), _) = again
    assert job.files == json.loads(rows_of(home)[number]["files"])
    assert (job.seed, job.data_seed) == rng.replicate_seeds(1, 0)
    assert (job.test, job.early_stop) == (False, None)


def test_a_reproduction_writes_nothing(home, evo, again):
    before = {path: path.read_bytes() for path in (home / "population").rglob("*") if path.is_file()}
    evo("reproduce", "night", "1")
    assert {path: path.read_bytes() for path in (home / "population").rglob("*") if path.is_file()} == before


def test_a_training_of_a_verdict_is_reproduced_with_its_loss_on_test(home, evo, again):
    told = json.loads(evo("reproduce", "night", "0", "--replicate", "1000001", "--json"))
    ((job,), _) = again
    assert job.test
    assert (job.seed, job.data_seed) == rng.replicate_seeds(1, 1000001)
    assert told["recorded"]["test_loss"] == told["again"]["test_loss"] is not None


def test_a_second_clock_is_reproduced_on_the_seeds_of_the_first_training(home, evo, again):
    lineage = Lineage(home / "population" / "night")
    (first,) = lineage.read_record("trainings", 1, 0)
    lineage.append("trainings", (1, TIMING), [first | {"replicate": TIMING, "relative_cost": 1.0}])
    assert evo("reproduce", "night", "1", "--replicate", str(TIMING)).splitlines()[-1] == "the same to the last bit"


def test_a_reproduction_as_json_has_both_trainings_and_what_is_said_of_them(home, evo, again):
    told = json.loads(evo("reproduce", "night", "1", "--json"))
    assert set(told) == {"run", "id", "replicate", "recorded", "again", "says"}
    assert (told["run"], told["id"], told["replicate"]) == ("night", 1, 0)
    assert told["says"] == "the same to the last bit"
    shown = {"status", "val_loss", "test_loss", "reported_vloss", "n_params", "cpu_seconds"}
    assert set(told["recorded"]) == set(told["again"]) == shown


def test_another_loss_differs_and_exits_1(home, evo, again):
    row = rows_of(home)[1]
    again[1]["val_loss"] = row["val_loss"] + 0.125
    assert evo("reproduce", "night", "1", code=1).splitlines()[-1] == "DIFFERS: +0.125 nats a token"
    assert json.loads(evo("reproduce", "night", "1", "--json", code=1))["says"].startswith("DIFFERS")


def test_a_difference_of_rounding_is_the_same(home, evo, again):
    again[1]["val_loss"] = rows_of(home)[1]["val_loss"] - 1e-8
    assert evo("reproduce", "night", "1").splitlines()[-1].startswith("the same within rounding: -1e-08")


def test_a_training_that_fails_now_differs_and_says_why(home, evo, again):
    again[1].update(status="memory", reason="3000 MB", val_loss=None)
    assert evo("reproduce", "night", "1", code=1).splitlines()[-1] == "DIFFERS: recorded ok, now memory (3000 MB)"


def test_a_failure_is_reproduced_as_the_same_failure(home, evo, again):
    assert evo("reproduce", "night", str(CRASHED)).splitlines()[-1] == "the same failure: crashed"


def test_a_failure_that_trains_now_differs(home, evo, again):
    again[1].update(status="ok", val_loss=2.2)
    assert "DIFFERS: recorded crashed, now ok" in evo("reproduce", "night", str(CRASHED), code=1)


def test_a_twin_is_compared_with_the_training_whose_scores_it_took(home, evo, again):
    told = json.loads(evo("reproduce", "night", str(TWIN), "--json"))
    twin = rows_of(home)[TWIN]
    assert told["says"] == "the same to the last bit"
    assert told["recorded"]["val_loss"] == twin["val_loss"] == rows_of(home)[twin["duplicate_of"]]["val_loss"]


def test_a_stopped_candidate_is_trained_in_full_and_compared_at_its_rung(home, evo, again):
    text = evo("reproduce", "night", str(STOPPED)).splitlines()[-1]
    assert text.startswith("stopped early when recorded; trained in full now: ok, loss 2.")
    assert again[0][0].early_stop is None
    again[1]["early_stop_loss"] = 2.0
    evo("reproduce", "night", str(STOPPED), code=1)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["night", "99"], 2, "run night has no candidate 99"),
        (["nothing", "1"], 2, "no run has the name 'nothing'"),
        (["night", str(NO_CODE)], 2, f"candidate {NO_CODE} (no_code) has no training 0"),
        (["night", str(PROTECTED)], 2, f"candidate {PROTECTED} (protected_setting) has no training 0"),
        (["night", "1", "--replicate", "7"], 2, "candidate 1 (ok) has no training 7"),
    ],
)
def test_what_cannot_be_reproduced_is_said_and_not_trained(home, evo, refusal, again, args, code, says):
    assert says in refusal("reproduce", *args, code=code)
    envelope = json.loads(evo("reproduce", *args, "--json", code=code))
    assert says in envelope["error"]["message"]
    assert again[0] == []


def test_an_answer_that_no_longer_gives_the_recorded_files_is_said(home, refusal, again):
    lineage = Lineage(home / "population" / "night")
    (row,) = lineage.read_record("candidates", 1)
    lineage.path("candidates", 1).unlink()
    lineage.append("candidates", (1,), [row | {"files": row["files"].replace("GPT", "GPT2")}])
    assert "does not yield its recorded files" in refusal("reproduce", "night", "1", code=1)
    assert again[0] == []


def test_other_data_than_the_runs_is_refused(home, refusal, again):
    about = home / "population" / "night" / "run.json"
    store.write_text(about, about.read_text().replace('"test": "', '"test": "0'))
    assert "data differs from the data of the run" in refusal("reproduce", "night", "1", code=1)
    assert again[0] == []
