import io
import math

import pytest
from rich.console import Console

from evo import persona, report
from evo.cli import output, screen
from evo.config import Config, Selection


@pytest.fixture
def row(seeds):
    def made(number, loss=None, status="ok", base=0, cost=1.0):
        return {
            "id": number,
            "generation": math.ceil(number / 2),
            "status": status,
            "reason": "" if status == "ok" else "why",
            "val_loss": loss,
            "cost": cost,
            "seconds": 6.0,
            "base": base,
            "mind": seeds[0].name if number else None,
            "persona": persona.to_json(seeds[0]) if number else None,
            "summary": f"Edits: edit{number}",
        }

    return made


def test_the_leader_is_the_fittest_by_the_runs_own_rule(row):
    rows = [row(0, 2.5), row(1, 2.0, cost=2.0), row(2, 2.3), row(3, 2.4)]
    assert report.standing(rows, Selection()).leader["id"] == 2
    assert report.standing(rows, Selection(max_cost=math.inf)).leader["id"] == 1
    assert report.standing(rows, Selection()).gain == pytest.approx(0.2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_loss_that_is_not_a_number_never_leads(row, bad):
    assert report.standing([row(0, 2.5), row(1, bad), row(2, 2.6)], Selection()).leader["id"] == 2


def test_the_baseline_is_never_its_own_leader(row):
    assert report.standing([row(0, 2.5)], Selection()).leader is None


def test_failures_are_counted_by_name_and_twins_are_none(row):
    rows = [
        row(0, 2.5),
        row(1, status="crashed"),
        row(2, status="crashed"),
        row(3, status="timeout"),
        row(4, 2.5, "duplicate"),
    ]
    now = report.standing(rows, Selection())
    assert report.failures_text(now.failures) == "3 failed (2 crashed, 1 timeout)"


def test_a_line_of_descent_follows_the_files_back_to_the_baseline(row):
    rows = [row(0, 2.5), row(1, 2.4), row(2, 2.3, base=1), row(3, 2.2), row(4, 2.1, base=2)]
    assert [r["id"] for r in report.descent(rows, 4)] == [1, 2, 4]


def test_the_ending_tells_losses_persona_changes_and_three_commands(row):
    rows = [row(0, 2.5), row(1, 2.4), row(2, 2.3, base=1)]
    text = "\n".join(report.ending("night", rows, Selection(), "population/night", "evo"))
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
    assert "optimistic" in text


def test_where_nothing_beat_the_baseline_the_ending_says_so(row):
    text = "\n".join(report.ending("night", [row(0, 2.5), row(1, 2.6)], Selection(), "f"))
    assert "No candidate's loss is lower than the baseline's." in text


def test_where_nothing_was_scored_the_ending_says_so(row):
    text = "\n".join(report.ending("night", [row(0, 2.5), row(1, status="crashed")], Selection(), "f"))
    assert "No candidate was scored." in text


def watched(monkeypatch, rows, *, terminal):
    text = io.StringIO()
    monkeypatch.setattr(output, "progress", Console(file=text, force_terminal=terminal, width=200))
    with screen.Screen(Config(generations=2, population=2), 8) as shown:
        shown.tick(0, 0, 2)
        for one in rows:
            shown.row(one)
            shown.tick(1, 2, 2)
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
