import io
import json
import math

import pytest
from rich.console import Console

from evo import persona, report
from evo.cli import output, screen
from evo.config import Config, Final, Selection
from evo.verify import statistics

LONG = Config(final=Final(least=3, finalists=2, seeds=2))


@pytest.fixture
def row(seeds):
    def made(number, loss=None, status="ok", base=0, cost=1.0):
        return {
            "id": number,
            "generation": math.ceil(number / 2),
            "status": status,
            "reason": "" if status == "ok" else "why",
            "val_loss": loss,
            "relative_cost": cost,
            "seconds": 6.0,
            "base": base,
            "mind": seeds[0].name if number else None,
            "persona": persona.to_json(seeds[0]) if number else None,
            "summary": f"Edits: edit{number}",
            "asked": "m" if number else None,
            "attempts": 1 if number else None,
        }

    return made


def fresh(losses):
    """Trainings of finalists: number → losses of their fresh seeds, None for one that failed."""
    return [
        {"id": number, "replicate": k, "status": "ok" if loss is not None else "crashed", "val_loss": loss}
        for number, all_ in losses.items()
        for k, loss in enumerate(all_, start=1)
    ]


def verdict(candidate, baseline, look=1, p_holm=None):
    """A row on candidate 2 as the driver writes it."""
    found = statistics.compare(candidate, baseline)
    return {
        "id": 2,
        "after": 9,
        "look": look,
        "verdict": "better" if statistics.is_better(p_holm or found.p) else "not shown to be better",
        "seeds": len(candidate),
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p_welch": found.p,
        "p_permutation": found.p_permutation,
        "p_holm": p_holm or found.p,
        "details": json.dumps({"replicates": [], "candidate": candidate, "baseline": baseline}),
    }


NOTHING = {"id": None, "after": 9, "look": 1, "verdict": "nothing to judge", "details": "{}"}
LOW, HIGH = [2.0 + k / 100 for k in range(8)], [2.5 + k / 100 for k in range(8)]


def ending(rows, trainings=(), verdicts=(), config=None, calls=()):
    lines = report.ending("night", rows, trainings, verdicts, calls, config or Config(), "population/night", "evo")
    return "\n".join(lines)


def call(number, **changes):
    return {
        "id": number,
        "input_tokens": 100,
        "output_tokens": 20,
        "cost_usd": 0.25,
        "lost_tokens": 0,
        "lost_usd": 0.0,
    } | changes


def test_what_was_spent_is_told_by_model(row):
    rows = [row(0, 2.5), row(1, 2.0), row(2, 2.1) | {"asked": "other"}]
    text = ending(rows, calls=[call(1), call(1, lost_tokens=7), call(2, output_tokens=None, cost_usd=None)])
    assert "asked m: 1 candidate, 2 answers, 240 tokens, $0.5000, at most 7 more in failed requests" in text
    assert "asked other: 1 candidate, 1 answer, 0 tokens (1 answer not counted)" in text


def test_what_mending_made_of_failed_answers_is_told(row):
    rows = [row(0, 2.5), row(1, 2.0) | {"attempts": 2}, row(2, None, "crashed") | {"attempts": 3}]
    assert "repaired: 1 of 2 candidates with a failed first answer trained in the end" in ending(rows)


def test_the_leader_is_the_fittest_by_the_runs_own_rule(row):
    rows = [row(0, 2.5), row(1, 2.0, cost=2.0), row(2, 2.3), row(3, 2.4)]
    assert report.standing(rows, [], Config()).leader["id"] == 2
    free = Config(selection=Selection(max_cost=math.inf))
    assert report.standing(rows, [], free).leader["id"] == 1
    assert report.standing(rows, [], Config()).gain == pytest.approx(0.2)
    assert report.standing(rows, [], Config()).fresh == []


def test_the_leader_of_a_long_run_that_is_done_leads_on_its_fresh_seeds(row):
    rows = [row(0, 2.5), row(1, 2.0), row(2, 2.1)]
    now = report.standing(rows, fresh({1: [2.6, 2.4], 2: [2.2, 2.3]}), LONG)
    assert (now.leader["id"], now.fresh) == (2, [2.2, 2.3])
    now = report.standing(rows, fresh({1: [2.6, None], 2: [None, None]}), LONG)
    assert (now.leader["id"], now.fresh) == (1, [2.6])


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_loss_that_is_not_a_number_never_leads(row, bad):
    assert report.standing([row(0, 2.5), row(1, bad), row(2, 2.6)], [], Config()).leader["id"] == 2


def test_the_baseline_is_never_its_own_leader(row):
    assert report.standing([row(0, 2.5)], [], Config()).leader is None


def test_failures_are_counted_by_name_and_twins_and_stopped_ones_are_none(row):
    rows = [
        row(0, 2.5),
        row(1, status="crashed"),
        row(2, status="crashed"),
        row(3, status="timeout"),
        row(4, 2.5, "duplicate"),
        row(5, status="stopped_early"),
        row(6, status="duplicate"),
    ]
    now = report.standing(rows, [], Config())
    assert report.failures_text(now.failures) == "3 failed (2 crashed, 1 timeout)"
    assert now.stopped == 1
    assert "3 failed (2 crashed, 1 timeout), 1 stopped early, 2 duplicates" in ending(rows)


def test_a_line_of_descent_follows_the_files_back_to_the_baseline(row):
    rows = [row(0, 2.5), row(1, 2.4), row(2, 2.3, base=1), row(3, 2.2), row(4, 2.1, base=2)]
    assert [r["id"] for r in report.descent(rows, 4)] == [1, 2, 4]


def test_the_ending_tells_losses_persona_changes_and_three_commands(row):
    text = ending([row(0, 2.5), row(1, 2.4), row(2, 2.3, base=1)])
    for words in (
        "2.5000",
        "2.3000",
        "-0.2000",
        "edit1",
        "edit2",
        "breakthroughs: ",
        "evo show night 2",
        "evo diff",
        "evo sql",
    ):
        assert words in text
    assert "The leader was chosen by one training each, so its score is optimistic." in text


def test_the_ending_of_a_long_run_tells_the_mean_on_fresh_seeds(row):
    rows = [row(0, 2.5), row(1, 2.0), row(2, 2.1)]
    text = ending(rows, fresh({1: [2.6, 2.4], 2: [2.2, 2.3]}), config=LONG)
    assert "Mean loss of the leader over 2 fresh seeds: 2.2500. Its score in the search is optimistic." in text
    assert "chosen by one training" not in text


def test_where_nothing_beat_the_baseline_the_ending_says_so(row):
    assert "No candidate's loss is lower than the baseline's." in ending([row(0, 2.5), row(1, 2.6)])


@pytest.mark.parametrize("verdicts", [[], [NOTHING]])
def test_where_nothing_was_scored_the_ending_says_so(row, verdicts):
    text = ending([row(0, 2.5), row(1, status="crashed"), row(2, status="stopped_early")], verdicts=verdicts)
    assert "No candidate was scored." in text
    assert "1 failed (1 crashed), 1 stopped early" in text
    assert "better" not in text


def test_another_seed_of_the_baseline_says_how_much_noise_there_is(row):
    rows = [row(0, 2.5), row(1, 2.4)]
    trained = fresh({0: [2.4, 2.5, 2.6], 1: [9.0, 1.0, 5.0]})
    assert "seed noise of the baseline: 0.1000 (standard deviation of 3 trainings on different seeds)" in ending(
        rows, trained
    )
    assert "seed noise" not in ending(rows, trained[:2])
    assert report.noise_lines(fresh({0: [2.4, None, 2.6]})) == []


# ---- the verdict in words ----


def test_a_verdict_of_better_is_told_with_every_loss_it_rests_on(row):
    text = ending([row(0, 2.5), row(1, 2.4), row(2, 2.3, base=1)], verdicts=[verdict(LOW, HIGH)])
    for words in (
        "Verdict on candidate 2, on the test part, 8 fresh seeds each: better than the baseline",
        "difference -0.5000 nats a token, 95 % interval -0.5263 to -0.4737",
        "(level 0.01), exact permutation p = 7.8e-05",
        "candidate: 2.0000 2.0100 2.0200 2.0300 2.0400 2.0500 2.0600 2.0700",
        "baseline:  2.5000 2.5100 2.5200 2.5300 2.5400 2.5500 2.5600 2.5700",
    ):
        assert words in text
    assert "small verdict" not in text
    assert "look" not in text
    assert "optimistic" in text


def test_a_candidate_that_is_not_better_is_said_not_to_be_shown_so():
    lines = report.verdict_lines([verdict(HIGH, LOW)])
    assert lines[0] == "Verdict on candidate 2, on the test part, 8 fresh seeds each: not shown to be better"
    assert "one-sided Welch p = 1 (level 0.01)" in "\n".join(lines)


@pytest.mark.parametrize(("seeds", "small"), [(2, True), (3, True), (7, True), (8, False)])
def test_a_verdict_on_fewer_seeds_than_usual_is_said_to_be_small(seeds, small):
    text = "\n".join(report.verdict_lines([verdict(LOW[:seeds], HIGH[:seeds])]))
    assert ("a small verdict: the default is 8 seeds per side; fewer detect only large differences" in text) is small
    assert f"{seeds} fresh seeds each" in text


def test_failed_seeds_of_a_verdict_are_printed():
    text = "\n".join(report.verdict_lines([verdict([2.0, None, 2.1, None], [2.5, 2.6, None, 2.4])]))
    assert "candidate: 2.0000 failed 2.1000 failed" in text
    assert "baseline:  2.5000 2.6000 failed 2.4000" in text


def test_a_verdict_of_which_one_side_failed_altogether_is_printed_without_a_difference():
    text = "\n".join(report.verdict_lines([verdict([2.0, 2.1], [None, None])]))
    assert "difference" not in text.replace("fewer detect only large differences", "")
    assert "baseline:  failed failed" in text
    assert "one-sided Welch p = 1" in text


def test_a_verdict_without_spread_is_printed_without_an_interval():
    text = "\n".join(report.verdict_lines([verdict([2.0] * 8, [2.5] * 8)]))
    assert "difference -0.5000 nats a token\n" in text
    assert "interval" not in text


def test_too_many_seeds_for_a_permutation_are_printed_without_its_p():
    text = "\n".join(report.verdict_lines([verdict(LOW * 3, HIGH * 3)]))
    assert "permutation" not in text
    assert "one-sided Welch p" in text


def test_a_later_look_is_told_with_holms_correction():
    first, second = verdict(LOW, HIGH), verdict(LOW, HIGH, look=2, p_holm=0.02)
    text = "\n".join(report.verdict_lines([first, second]))
    assert "not shown to be better" in text
    assert "verdict number 2 of this run: p = 0.02 after Holm's correction" in text
    assert "Holm" not in "\n".join(report.verdict_lines([first]))


@pytest.mark.parametrize("verdicts", [[], [NOTHING]])
def test_where_there_is_no_verdict_the_ending_says_so(row, verdicts):
    assert report.verdict_lines(verdicts) == ["No verdict was given."]
    assert "No verdict was given." in ending([row(0, 2.5), row(1, 2.4)], verdicts=verdicts)


# ---- the screen ----


def watched(monkeypatch, rows, *, terminal, trainings=()):
    text = io.StringIO()
    monkeypatch.setattr(output, "progress", Console(file=text, force_terminal=terminal, width=200))
    with screen.Screen(Config(generations=2, population=2), 8) as shown:
        shown.tick(0, 0, 2)
        for one in rows:
            shown.row(one)
            shown.tick(1, 2, 2)
        if trainings:
            shown.stage("verdict on candidate 1", len(trainings))
        for one in trainings:
            shown.training(one)
            shown.tick(0, 2, 2)
    return text.getvalue()


def test_piped_progress_is_a_plain_line_a_candidate_with_the_best_marked(row, monkeypatch):
    rows = [row(0, 2.5), row(1, 2.4), row(2, 2.6), row(3, status="crashed")]
    lines = watched(monkeypatch, rows, terminal=False).splitlines()
    assert len(lines) == 4
    assert [line.endswith("*") for line in lines] == [True, True, False, False]
    assert "crashed" in lines[3]
    assert "why" in lines[3]


def test_live_progress_tells_generation_best_workers_failures_and_time_left(row, monkeypatch):
    text = watched(monkeypatch, [row(0, 2.5), row(1, 2.4), row(2, status="crashed")], terminal=True)
    for words in ("generation 1/2", "best 2.4000 (#1)", "workers 2/2 busy", "1 failed", "left"):
        assert words in text


def test_a_candidates_escape_sequences_do_not_reach_the_terminal(row, monkeypatch):
    poisoned = row(1, 2.4) | {"summary": "\x1b[2J\x1b]0;title\x07 Edits"}
    assert "\x1b" not in watched(monkeypatch, [poisoned], terminal=False)


def test_a_candidate_that_was_stopped_is_a_line_and_no_failure(row, monkeypatch):
    rows = [row(0, 2.5), row(1, status="stopped_early"), row(2, status="crashed")]
    lines = watched(monkeypatch, rows, terminal=False).splitlines()
    assert "stopped_early" in lines[1]
    assert "loss" not in lines[1]
    assert "1 failed" in watched(monkeypatch, rows, terminal=True)
    assert "2 failed" not in watched(monkeypatch, rows, terminal=True)


def trained(number, replicate, test=None, status="ok"):
    loss = 2.25 if status == "ok" else None
    return {"id": number, "replicate": replicate, "status": status, "val_loss": loss, "test_loss": test}


def test_each_training_after_the_search_is_a_line_with_its_loss_or_its_failure(row, monkeypatch):
    trainings = [trained(1, 1), trained(0, 1000000, test=2.6), trained(1, 1000000, status="crashed")]
    lines = watched(monkeypatch, [row(0, 2.5)], terminal=False, trainings=trainings).splitlines()
    assert lines[1] == "verdict on candidate 1"
    assert lines[2].split() == ["#1", "replicate", "1", "loss", "2.2500"]
    assert lines[3].split() == ["#0", "replicate", "1000000", "test", "loss", "2.6000"]
    assert lines[4].split() == ["#1", "replicate", "1000000", "crashed"]


def test_a_stage_tells_how_many_trainings_are_left(row, monkeypatch):
    trainings = [trained(0, 1000000, test=2.6), trained(1, 1000000, test=2.5), trained(0, 1000001, test=2.4)]
    text = watched(monkeypatch, [row(0, 2.5), row(1, 2.4)], terminal=True, trainings=trainings)
    assert "verdict on candidate 1; 0 trainings left" in text
