import json

import pytest
from standins import Proposer, Trainers, drive, look, make_run, without_clocks

from evo.driver import run_folder as folders
from evo.errors import EvoError
from evo.finalists import VERDICT
from evo.lineage import schema
from evo.lineage.runs import summary
from evo.lineage.store import Lineage


@pytest.fixture
def population(tmp_path):
    return tmp_path / "population"


def rows_of(run, table="candidates"):
    return Lineage(run.path).read(table)


def baselines_of_the_search(run):
    return [t for t in rows_of(run, "trainings") if t["id"] == 0 and t["replicate"] < VERDICT]


def test_a_run_has_a_row_for_the_baseline_the_seeds_and_every_candidate(population, small_evaluator):
    run = make_run(population, small_evaluator)
    proposer, _, watcher = drive(run)
    rows = rows_of(run)
    assert [row["id"] for row in rows] == list(range(9))
    assert sorted(watcher.rows) == list(range(9))
    assert [row["generation"] for row in rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(proposer.asked) == len(set(proposer.asked)) == 8
    assert len(rows_of(run, "calls")) == 8


def test_equal_searches_have_equal_lineages(population, small_evaluator):
    one, two = (make_run(population, small_evaluator, name) for name in ("one", "two"))
    drive(one)
    drive(two)
    assert without_clocks(Lineage(one.path)) == without_clocks(Lineage(two.path))


def test_a_finished_run_does_nothing_when_carried_on(population, small_evaluator):
    run = make_run(population, small_evaluator)
    drive(run)
    before = without_clocks(Lineage(run.path))
    proposer, trainers, _ = drive(run)
    assert (proposer.asked, trainers.trained) == ([], [])
    assert without_clocks(Lineage(run.path)) == before


def test_more_generations_go_on_where_the_run_ended(population, small_evaluator):
    run = make_run(population, small_evaluator, name="grown")
    drive(run)
    proposer, _, _ = drive(folders.extend(run, {"generations": 3}))
    assert len(proposer.asked) == 3
    whole = make_run(population, small_evaluator, name="whole", generations=3)
    drive(whole)
    grown = folders.open_run(run.path)
    assert grown.config.generations == 3
    assert searched(grown) == searched(whole)


def searched(run):
    """A run's lineage without what came after its ends."""
    told = without_clocks(Lineage(run.path))
    del told["verdicts"]
    return {table: [row for row in rows if row.get("replicate", 0) < VERDICT] for table, rows in told.items()}


def test_fewer_generations_are_refused(population, small_evaluator):
    run = make_run(population, small_evaluator)
    with pytest.raises(EvoError, match="expected at least the 2 generations"):
        folders.extend(run, {"generations": 1})


@pytest.mark.parametrize(
    ("before", "after"),
    [("seed = 1", "seed = 2"), ("control = 0.1", "control = 0.2"), ("clearly_worse = 0.05", "clearly_worse = 0.5")],
)
def test_a_changed_frozen_configuration_is_refused(population, small_evaluator, before, after):
    run = make_run(population, small_evaluator)
    frozen = run.path / "config.toml"
    assert before in frozen.read_text()
    frozen.write_text(frozen.read_text().replace(before, after))
    with pytest.raises(EvoError, match="was changed after the run began"):
        folders.open_run(run.path)


def test_what_comes_after_the_search_can_be_changed(population, small_evaluator):
    run = make_run(population, small_evaluator, **{"final.verdict_seeds": 0})
    drive(run)
    frozen = run.path / "config.toml"
    frozen.write_text(frozen.read_text().replace("verdict_seeds = 0", "verdict_seeds = 3"))
    opened = folders.open_run(run.path)
    number = next(row["id"] for row in rows_of(run)[1:] if row["status"] == "ok")
    trainers, _ = look(opened, number)
    assert len(trainers.jobs) == 6
    assert [(row["id"], row["seeds"]) for row in rows_of(run, "verdicts")] == [(None, None), (number, 3)]


def test_a_run_says_with_which_lineage_schema_it_was_begun(population, small_evaluator):
    run = make_run(population, small_evaluator)
    assert json.loads((run.path / "run.json").read_text())["schema"] == schema.VERSION


def test_the_baseline_is_trained_again_before_every_so_many_candidates(population, small_evaluator):
    run = make_run(population, small_evaluator, baseline_every=3)
    drive(run)
    baselines = baselines_of_the_search(run)
    assert [row["replicate"] for row in baselines] == [0, 1, 2]
    assert len({row["seed"] for row in baselines}) == 3
    assert {row["test_loss"] for row in baselines} == {None}


def test_a_cost_is_counted_in_baselines(population, small_evaluator):
    run = make_run(population, small_evaluator)
    drive(run)
    scored = [row for row in rows_of(run) if row["status"] == "ok"]
    assert {row["relative_cost"] for row in scored} == {1.0}


def test_every_failed_candidate_has_a_row_with_its_name_and_reason(population, small_evaluator):
    run = make_run(population, small_evaluator)
    kinds = iter(["", "no code here", "```python\nmodel.py\nclass GPT(\n```", "```python\nmodel.py\nx = 1\n```"] * 3)

    def spoil(reply):
        return reply | {"text": next(kinds)}

    drive(run, Proposer(spoil))
    statuses = [row["status"] for row in rows_of(run)]
    assert statuses == ["ok"] + ["no_answer", "no_code", "syntax_error", "contract"] * 2
    assert all(row["reason"] for row in rows_of(run)[1:])


def test_a_training_that_fails_is_named_and_never_a_parent(population, small_evaluator):
    run = make_run(population, small_evaluator)
    baseline = run.evaluator.baseline
    drive(run, trainers=Trainers(fails=lambda job: None if job.files == baseline else "timeout"))
    rows = rows_of(run)
    assert {row["status"] for row in rows[1:]} <= {"timeout", "duplicate"}
    assert all(row["parents"] == [] and row["val_loss"] is None for row in rows[1:] if row["status"] == "timeout")


def test_a_baseline_that_fails_ends_the_run_and_says_which_evaluator(population, small_evaluator):
    run = make_run(population, small_evaluator)
    proposer = Proposer()
    with pytest.raises(EvoError, match="baseline of small does not train: crashed"):
        drive(run, proposer, Trainers(fails=lambda job: "crashed"))
    assert proposer.asked == []
    assert rows_of(run) == []


def test_an_endpoint_that_is_out_ends_the_session_and_loses_nothing(population, small_evaluator):
    run = make_run(population, small_evaluator)
    answered = []

    def spoil(reply):
        answered.append(reply)
        return reply | {"outage": "http://here: connection refused"} if len(answered) > 3 else reply

    with pytest.raises(EvoError, match="connection refused") as caught:
        drive(run, Proposer(spoil))
    assert caught.value.hint == "continue with `evo resume run`"
    kept = len(rows_of(run, "calls"))
    assert 1 <= kept <= 3
    proposer, _, _ = drive(run)
    assert len(proposer.asked) == 8 - kept


def test_code_that_was_trained_before_takes_its_twins_scores(population, small_evaluator):
    run = make_run(population, small_evaluator)
    same = "```python\nmodel.py\n# unchanged\n```"
    _, trainers, _ = drive(run, Proposer(lambda reply: reply | {"text": same}))
    rows = rows_of(run)
    assert {row["status"] for row in rows[1:]} == {"duplicate"}
    assert {row["duplicate_of"] for row in rows[1:]} == {0}
    assert all(row["val_loss"] == rows[0]["val_loss"] and "baseline" in row["reason"] for row in rows[1:])
    assert len(set(trainers.trained)) == 1


def test_a_row_tells_who_was_asked_what_and_with_which_files(population, small_evaluator):
    run = make_run(population, small_evaluator)
    drive(run)
    rows = rows_of(run)
    for row in rows[1:]:
        assert row["prompt"].startswith("You are ")
        assert json.loads(row["persona"])["name"] == row["mind"]
        assert row["summary"].startswith("Edits:")
        assert (row["model"], row["tokens"], row["cost_usd"]) == ("catalogue", 150, 0.0)
    assert rows[0]["persona"] is None
    assert json.loads(rows[0]["files"]) == run.evaluator.baseline


def test_no_prompt_holds_a_clock_where_the_search_holds_none(population, small_evaluator):
    run = make_run(population, small_evaluator, generations=4)
    drive(run)
    assert not [row["id"] for row in rows_of(run) if "costs" in (row["prompt"] or "").partition("What happened")[2]]


def test_a_run_of_that_name_is_not_overwritten(population, small_evaluator):
    make_run(population, small_evaluator)
    with pytest.raises(EvoError, match="already exists"):
        make_run(population, small_evaluator)


@pytest.mark.parametrize("name", ["../out", ".hidden", "a b", ""])
def test_a_name_that_is_no_folders_name_is_refused(population, small_evaluator, name):
    with pytest.raises(EvoError, match="expected a run name"):
        make_run(population, small_evaluator, name=name)


def test_a_run_whose_rows_are_there_but_a_baseline_is_not_is_unfinished_and_resume_trains_it(
    population, small_evaluator
):
    run = make_run(population, small_evaluator, baseline_every=3)
    drive(run)
    assert summary(run.path).state == "finished"
    whole = without_clocks(Lineage(run.path))
    Lineage(run.path).path("trainings", 0, 2).unlink()
    Lineage(run.path).path("curves", 0, 2).unlink()
    assert summary(run.path).state == "stopped"
    drive(run)
    assert without_clocks(Lineage(run.path)) == whole


def test_many_baselines_are_read_back_in_the_order_of_their_numbers(population, small_evaluator):
    run = make_run(population, small_evaluator, generations=5, baseline_every=1)
    drive(run)
    assert [row["replicate"] for row in baselines_of_the_search(run)] == list(range(16))


@pytest.mark.parametrize("file", ["evaluator/train_mps.py", "seeds/isaac_newton.txt"])
def test_a_changed_frozen_file_is_refused(population, small_evaluator, file):
    run = make_run(population, small_evaluator)
    with open(run.path / file, "a") as changed:
        changed.write("\n# changed\n")
    with pytest.raises(EvoError, match="was changed after the run began"):
        folders.open_run(run.path)


def test_code_that_cannot_be_written_out_is_judged_all_the_same(population, small_evaluator):
    run = make_run(population, small_evaluator)
    model = run.evaluator.baseline["model.py"] + "X = 0x" + "f" * 5000
    drive(run, Proposer(lambda reply: reply | {"text": f"```python\nmodel.py\n{model}\n```"}))
    assert [row["status"] for row in rows_of(run)][:2] == ["ok", "ok"]
