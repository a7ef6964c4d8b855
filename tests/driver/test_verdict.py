"""The end of a run: finalists on fresh seeds, the verdict on the test part, and later looks at it."""

import json

import pytest
from standins import Proposer, Trainers, drive, look, make_run, without_clocks

from evo import finalists, rng
from evo.driver import run_folder as folders
from evo.errors import EvoError
from evo.lineage.runs import summary
from evo.lineage.store import Lineage
from evo.verify import statistics

LONG = {"final.least": 5, "final.finalists": 3, "final.seeds": 2}
EIGHT = {"final.verdict_seeds": 8}


@pytest.fixture
def run(tmp_path, small_evaluator):
    def made(**flags):
        return make_run(tmp_path, small_evaluator, **flags)

    return made


def rows_of(run, table="candidates"):
    return Lineage(run.path).read(table)


def trainings_of(run):
    return {(row["id"], row["replicate"]): row for row in rows_of(run, "trainings")}


def by_code(run, nats):
    """A shift of the losses of every code but the baseline's."""
    return lambda job: 0.0 if job.files == run.evaluator.baseline else nats


# ---- the verdict ----


def test_a_run_ends_with_one_verdict_on_its_leader_and_the_baseline(run):
    made = run(**EIGHT)
    _, _, watcher = drive(made)
    (verdict,) = rows_of(made, "verdicts")
    scored = [row for row in rows_of(made)[1:] if row["status"] == "ok"]
    leader = min(scored, key=lambda row: row["val_loss"])["id"]
    assert (verdict["id"], verdict["after"], verdict["look"], verdict["seeds"]) == (leader, 9, 1, 8)
    trained = trainings_of(made)
    of_verdicts = {key for key in trained if key[1] >= finalists.VERDICT}
    assert of_verdicts == {(number, 1000000 + k) for number in (0, leader) for k in range(8)}
    assert all((row["test_loss"] is not None) == (key in of_verdicts) for key, row in trained.items())
    ((said, count),) = watcher.stages
    assert f"verdict on candidate {leader}" in said
    assert count == 16 == len(watcher.trainings)


def test_a_verdict_holds_the_comparison_of_the_losses_on_test(run):
    made = run(**EIGHT)
    drive(made)
    (verdict,) = rows_of(made, "verdicts")
    trained, told = trainings_of(made), json.loads(verdict["details"])
    assert told["replicates"] == list(range(1000000, 1000008))
    assert told["baseline"] == [trained[0, k]["test_loss"] for k in told["replicates"]]
    assert told["candidate"] == [trained[verdict["id"], k]["test_loss"] for k in told["replicates"]]
    found = statistics.compare(told["candidate"], told["baseline"])
    assert (verdict["difference"], verdict["low"], verdict["high"]) == (found.difference, found.low, found.high)
    assert (verdict["p_welch"], verdict["p_holm"], verdict["p_permutation"]) == (found.p, found.p, found.p_permutation)


def test_both_sides_of_a_verdict_are_trained_in_turn_on_the_same_fresh_seeds(run):
    made = run(**EIGHT)
    _, trainers, _ = drive(made)
    jobs = [job for job in trainers.jobs if job.test]
    assert [job.files == made.evaluator.baseline for job in jobs] == [True, False] * 8
    seeds = [(job.seed, job.data_seed) for job in jobs]
    assert seeds[::2] == seeds[1::2] == [rng.replicate_seeds(1, 1000000 + k) for k in range(8)]
    assert not {*seeds} & {(job.seed, job.data_seed) for job in trainers.jobs if not job.test}


def test_a_candidate_that_is_better_on_fresh_seeds_is_called_better(run):
    made = run(**EIGHT)
    drive(made, trainers=Trainers(shift=by_code(made, -1.0)))
    (verdict,) = rows_of(made, "verdicts")
    assert verdict["verdict"] == "better"
    assert verdict["difference"] < -0.5
    assert verdict["p_holm"] < statistics.ALPHA


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_candidates_equal_to_the_baseline_are_not_shown_to_be_better(run, seed):
    made = run(seed=seed, **EIGHT)
    drive(made)  # every loss is drawn alike, whatever the code: the leader leads by luck
    (verdict,) = rows_of(made, "verdicts")
    assert verdict["verdict"] == "not shown to be better"
    assert verdict["p_welch"] >= statistics.ALPHA


def test_a_candidate_with_the_very_losses_of_the_baseline_is_not_shown_to_be_better(run):
    class Alike(Trainers):
        async def judge(self, job):
            judged = await super().judge(job)
            return judged | {"test_loss": 2.0 + job.seed % 97 / 100 if job.test else None}

    made = run(**EIGHT)
    drive(made, trainers=Alike())
    (verdict,) = rows_of(made, "verdicts")
    assert (verdict["verdict"], verdict["difference"]) == ("not shown to be better", 0.0)
    assert verdict["p_welch"] == pytest.approx(0.5)


def test_lower_held_out_losses_alone_make_no_verdict(run):
    class Overfitted(Trainers):
        async def judge(self, job):
            judged = await super().judge(job)
            return judged | {"val_loss": judged["val_loss"] - 1.0 * (job.files != made.evaluator.baseline)}

    made = run(**EIGHT)
    drive(made, trainers=Overfitted())
    assert rows_of(made, "verdicts")[0]["verdict"] == "not shown to be better"


def test_failed_seeds_of_the_candidate_count_against_it(run):
    made = run(**EIGHT)
    failing = {rng.replicate_seeds(1, 1000000 + k)[0] for k in (2, 5)}

    def fails(job):
        return "crashed" if job.seed in failing and job.files != made.evaluator.baseline else None

    drive(made, trainers=Trainers(fails, by_code(made, -1.0)))
    (verdict,) = rows_of(made, "verdicts")
    losses = json.loads(verdict["details"])["candidate"]
    assert [k for k, loss in enumerate(losses) if loss is None] == [2, 5]
    assert verdict["verdict"] == "not shown to be better"
    assert verdict["seeds"] == 8


def test_failed_seeds_of_the_baseline_do_not_help_the_candidate(run):
    made = run(**EIGHT)
    drive(
        made,
        trainers=Trainers(lambda job: "worker_lost" if job.test and job.files == made.evaluator.baseline else None),
    )
    (verdict,) = rows_of(made, "verdicts")
    assert json.loads(verdict["details"])["baseline"] == [None] * 8
    assert (verdict["verdict"], verdict["p_welch"], verdict["difference"]) == ("not shown to be better", 1.0, None)


def test_a_run_in_which_all_failed_has_nothing_to_judge_and_is_finished(run):
    made = run()
    baseline = made.evaluator.baseline
    _, trainers, watcher = drive(made, trainers=Trainers(lambda job: None if job.files == baseline else "crashed"))
    (verdict,) = rows_of(made, "verdicts")
    assert (verdict["id"], verdict["verdict"], verdict["after"], verdict["look"]) == (None, "nothing to judge", 9, 0)
    assert {verdict[name] for name in ("seeds", "difference", "p_welch", "p_permutation", "p_holm")} == {None}
    assert not any(job.test for job in trainers.jobs)
    assert watcher.stages == []
    assert summary(made.path).state == "finished"
    drive(made)
    assert rows_of(made, "verdicts") == [verdict]


def test_a_run_that_wants_no_verdict_says_so_where_it_ends_and_is_finished(run):
    made = run(**{"final.verdict_seeds": 0})
    _, trainers, _ = drive(made)
    (end,) = rows_of(made, "verdicts")
    assert (end["id"], end["verdict"], end["after"], end["look"]) == (None, "not requested", 9, 0)
    assert not any(job.test for job in trainers.jobs)
    assert summary(made.path).state == "finished"


def test_a_run_without_its_verdict_is_unfinished_and_gets_it_without_a_training(run):
    made = run()
    drive(made)
    whole = without_clocks(Lineage(made.path))
    Lineage(made.path).path("verdicts", 9, 1).unlink()
    assert summary(made.path).state == "stopped"
    proposer, trainers, watcher = drive(made)
    assert (proposer.asked, trainers.trained, watcher.stages) == ([], [], [])
    assert without_clocks(Lineage(made.path)) == whole
    assert summary(made.path).state == "finished"


def test_what_a_lost_session_trained_for_the_verdict_is_not_trained_again(run):
    class Ending(Trainers):
        async def judge(self, job):
            judged = await super().judge(job)
            if job.test and sum(job.test for job in self.jobs) > 5:
                raise EvoError("the trainer went away", kind="device")
            return judged

    made = run(**EIGHT)
    with pytest.raises(EvoError, match="went away"):
        drive(made, trainers=Ending())
    kept = {key for key in trainings_of(made) if key[1] >= finalists.VERDICT}
    assert len(kept) == 5
    assert rows_of(made, "verdicts") == []
    assert summary(made.path).state == "stopped"
    proposer, trainers, watcher = drive(made)
    assert proposer.asked == []
    assert len(trainers.trained) == len(watcher.trainings) == 16 - len(kept)
    assert rows_of(made, "verdicts")[0]["seeds"] == 8


# ---- the finals of a long run ----


def test_a_short_run_has_no_finals(run):
    made = run(**LONG | {"final.least": 10})
    drive(made)
    assert {t["replicate"] for t in rows_of(made, "trainings") if t["id"]} == {0, 1000000, 1000001}


def test_a_long_run_trains_its_finalists_before_the_verdict_and_judges_their_leader(run):
    made = run(**LONG, **EIGHT)
    _, trainers, watcher = drive(made)
    rows = rows_of(made)
    scored = sorted((r for r in rows[1:] if r["status"] == "ok"), key=lambda r: r["val_loss"])
    chosen = [row["id"] for row in scored[:3]]
    (said, count), (_, of_verdict) = watcher.stages
    assert said == f"finalists {', '.join(map(str, chosen))}: 2 fresh seeds each"
    assert (count, of_verdict) == (6, 16)
    assert sorted(watcher.trainings[:6]) == sorted((number, k) for number in chosen for k in (1, 2))
    assert all(replicate >= finalists.VERDICT for _, replicate in watcher.trainings[6:])
    assert not any(job.test for job in trainers.jobs[:-16])
    trained = trainings_of(made)
    means = {n: (trained[n, 1]["val_loss"] + trained[n, 2]["val_loss"]) / 2 for n in chosen}
    (verdict,) = rows_of(made, "verdicts")
    assert verdict["id"] == min(means, key=means.get)


def test_fresh_seeds_alone_decide_who_leads_a_long_run(run):
    made = run(**LONG)

    class Lucky(Trainers):
        """The fittest on its first training is the worst on every other."""

        async def judge(self, job):
            judged = await super().judge(job)
            if job.files != made.evaluator.baseline and job.seed != rng.replicate_seeds(1, 0)[0]:
                judged["val_loss"] = 5.0 - judged["val_loss"] + 3.0 * (job.files == fittest())
            return judged

    def fittest():
        scored = [row for row in rows_of(made)[1:] if row["status"] == "ok"]
        return json.loads(min(scored, key=lambda row: row["val_loss"])["files"])

    drive(made, trainers=Lucky())
    rows, trainings = rows_of(made), rows_of(made, "trainings")
    first, *others = finalists.finalists(rows, made.config)
    leader = finalists.leader(rows, trainings, made.config)["id"]
    assert leader in others
    assert rows_of(made, "verdicts")[0]["id"] == leader != first


def test_a_finalist_with_a_failed_seed_is_not_judged_while_another_has_none(run):
    made = run(**LONG)
    drive(run(**LONG | {"name": "other"}))
    other = folders.open_run(made.path.parent / "other")
    favourite = finalists.leader(rows_of(other), rows_of(other, "trainings"), other.config)
    files, second = json.loads(favourite["files"]), rng.replicate_seeds(1, 2)[0]
    drive(made, trainers=Trainers(lambda job: "timeout" if job.files == files and job.seed == second else None))
    assert finalists.fresh_losses(rows_of(made, "trainings"), favourite["id"], made.config.final)[1] is None
    assert rows_of(made, "verdicts")[0]["id"] != favourite["id"]


def test_the_finals_change_no_plan_and_no_row_of_the_search(run):
    with_finals, without = run(**LONG, name="with"), run(name="without")
    drive(with_finals)
    drive(without)
    for table in ("candidates", "calls"):
        assert without_clocks(Lineage(with_finals.path))[table] == without_clocks(Lineage(without.path))[table]


def test_equal_long_runs_have_equal_lineages(run):
    one, two = run(**LONG, name="one"), run(**LONG, name="two")
    drive(one)
    drive(two)
    assert without_clocks(Lineage(one.path)) == without_clocks(Lineage(two.path))


# ---- later looks ----


def test_a_leader_that_still_leads_after_more_generations_keeps_its_verdict(run):
    """`test` is not looked at again: its trainings are the same."""
    made = run(**EIGHT)
    drive(made)
    drive(folders.extend(made, {"generations": 3}))
    first, second = rows_of(made, "verdicts")
    assert first["id"] == second["id"]
    assert [(row["after"], row["look"]) for row in (first, second)] == [(9, 1), (12, 1)]
    assert first["p_holm"] == second["p_holm"] == first["p_welch"]
    assert summary(made.path).state == "finished"


def test_a_later_look_has_to_show_more(run):
    made = run(**EIGHT)
    drive(made, trainers=Trainers(shift=by_code(made, -0.18)))
    (first,) = rows_of(made, "verdicts")
    others = [row["id"] for row in rows_of(made)[1:] if row["status"] == "ok" and row["id"] != first["id"]]
    for number in others:
        look(made, number, Trainers(shift=by_code(made, -0.18)))
    looks = rows_of(made, "verdicts")
    assert [row["look"] for row in looks] == list(range(1, len(others) + 2))
    for k, row in enumerate(looks):
        assert row["p_holm"] == statistics.holm([other["p_welch"] for other in looks[: k + 1]])[-1] >= row["p_welch"]
        assert (row["verdict"] == "better") == (row["p_holm"] < statistics.ALPHA)
    assert any(row["p_holm"] > row["p_welch"] for row in looks)


def test_a_look_at_the_candidate_that_was_judged_is_no_second_look(run):
    made = run()
    drive(made)
    (verdict,) = rows_of(made, "verdicts")
    trainers, watcher = look(made, verdict["id"])
    assert (trainers.trained, watcher.stages) == ([], [])
    assert rows_of(made, "verdicts") == [verdict]


def test_a_look_at_another_candidate_trains_it_alone_and_is_the_second(run):
    made = run(**EIGHT)
    drive(made)
    (verdict,) = rows_of(made, "verdicts")
    other = next(row["id"] for row in rows_of(made)[1:] if row["status"] == "ok" and row["id"] != verdict["id"])
    trainers, watcher = look(made, other)
    assert watcher.trainings == [(other, 1000000 + k) for k in range(8)]
    assert all(job.test for job in trainers.jobs)
    first, second = rows_of(made, "verdicts")
    assert (first, second["id"], second["look"], second["after"]) == (verdict, other, 2, 9)
    assert json.loads(second["details"])["baseline"] == json.loads(first["details"])["baseline"]
    assert look(made, other)[0].trained == []
    assert len(rows_of(made, "verdicts")) == 2


def test_a_look_asks_nobody_for_an_answer(run):
    made = run()
    drive(made)
    calls = rows_of(made, "calls")
    other = next(row["id"] for row in rows_of(made)[1:] if row["status"] == "ok")
    look(made, other)
    assert rows_of(made, "calls") == calls


def test_a_look_at_a_candidate_without_files_is_refused(run):
    made = run()
    texts = iter(["no code", *[None] * 9])

    def spoil(reply):
        return reply | {"text": next(texts) or reply["text"]}

    drive(made, Proposer(spoil))
    missing = next(row["id"] for row in rows_of(made) if row["status"] == "no_code")
    with pytest.raises(EvoError, match=f"candidate {missing} has no files: no_code"):
        look(made, missing)
    assert len(rows_of(made, "verdicts")) == 1


def test_a_long_run_without_a_verdict_is_unfinished_until_its_finals_are_there(run):
    made = run(**LONG | {"final.verdict_seeds": 0})
    drive(made)
    assert summary(made.path).state == "finished"
    first, *_ = finalists.finalists(rows_of(made), made.config)
    lineage = Lineage(made.path)
    lineage.path("trainings", first, 2).unlink()
    lineage.path("verdicts", 9, 1).unlink()
    assert summary(made.path).state == "stopped"
    drive(made)
    assert lineage.has("trainings", first, 2)
    assert summary(made.path).state == "finished"


def test_a_run_that_had_nothing_to_judge_has_its_first_look_later(run):
    made = run()
    drive(made, trainers=Trainers(lambda job: None if job.files == made.evaluator.baseline else "crashed"))
    drive(folders.extend(made, {"generations": 4}))
    nothing, first = rows_of(made, "verdicts")
    assert (nothing["verdict"], first["verdict"]) == ("nothing to judge", "not shown to be better")
    assert first["look"] == 1


def test_a_long_run_without_a_verdict_in_which_all_failed_is_finished(run):
    made = run(**LONG | {"final.verdict_seeds": 0})
    drive(made, trainers=Trainers(lambda job: None if job.files == made.evaluator.baseline else "crashed"))
    assert summary(made.path).state == "finished"


def test_a_longer_run_without_a_verdict_is_unfinished_until_its_own_finals_are_there(run):
    made = run(**LONG | {"final.verdict_seeds": 0})
    drive(made)
    grown = folders.extend(made, {"generations": 6})
    fresh = {rng.replicate_seeds(1, k)[0] for k in finalists.final_replicates(made.config.final)}

    class Ending(Trainers):
        async def judge(self, job):
            if job.seed in fresh and job.files != made.evaluator.baseline:
                raise EvoError("the trainer went away", kind="device")
            return await super().judge(job)

    before = finalists.finalists(rows_of(made), made.config)
    with pytest.raises(EvoError, match="went away"):
        drive(grown, trainers=Ending())
    assert finalists.finalists(rows_of(grown), grown.config) != before
    assert summary(grown.path).state == "stopped"
