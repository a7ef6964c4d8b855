import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import persona
from evo.config import Config, load
from evo.search import Search


def config(**flags) -> Config:
    return load(None, {"generations": 3, "population": 4, **flags}, {})


def row_for(plan, loss=None, status="ok", cost=1.0):
    """A row as the driver would write it: the loss is a function of the plan alone."""
    rng = random.Random(f"{plan.id}/{plan.base}/{plan.parents}")
    return {
        "id": plan.id,
        "status": status,
        "val_loss": (2.6 - rng.random() / 2 if loss is None else loss) if status == "ok" else None,
        "cost": cost,
        "seconds": 6.0 * cost,
        "persona": persona.to_json(plan.persona) if plan.persona else None,
        "code_hash": f"hash{plan.id % 7}",
        "twin": None,
    }


def run_through(search, order, row=row_for):
    """Every plan and row of a search whose candidates finish in the order that `order` draws."""
    plans, rows, waiting = {}, {}, []
    while not search.finished:
        for plan in search.ask():
            plans[plan.id] = plan
            waiting.append(plan)
        plan = waiting.pop(order.randrange(len(waiting)))
        rows[plan.id] = row(plan)
        search.tell(rows[plan.id])
    return plans, rows


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["loss", "nsga2", "score"]))
@settings(max_examples=25, deadline=None)
def test_the_order_of_completion_never_changes_a_plan(seeds, first, second, rule):
    flags = {"selection.rule": rule}
    a = run_through(Search(config(**flags), seeds), random.Random(first))
    b = run_through(Search(config(**flags), seeds), random.Random(second))
    assert a == b


@given(st.integers(0, 10**6), st.integers(0, 18))
@settings(max_examples=25, deadline=None)
def test_a_search_that_is_told_some_rows_plans_the_rest_as_it_would_have(seeds, order, known):
    plans, rows = run_through(Search(config(), seeds), random.Random(order))
    resumed = Search(config(), seeds)
    for number in random.Random(order).sample(sorted(rows), known):
        resumed.tell(rows[number])
    again, _ = run_through(resumed, random.Random(order + 1), lambda plan: rows[plan.id])
    assert all(plans[number] == plan for number, plan in again.items())


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_more_generations_do_not_change_the_past(seeds, order):
    short, _ = run_through(Search(config(generations=2), seeds), random.Random(order))
    long, _ = run_through(Search(config(generations=4), seeds), random.Random(order))
    assert all(long[number] == plan for number, plan in short.items())


def test_another_seed_plans_another_search(seeds):
    one, _ = run_through(Search(config(seed=1), seeds), random.Random(0))
    two, _ = run_through(Search(config(seed=2), seeds), random.Random(0))
    assert one != two


def test_a_plan_reads_no_row_above_its_horizon(seeds):
    plans, rows = run_through(Search(config(), seeds), random.Random(0))
    search = Search(config(), seeds)
    for number in range(search.last + 1):
        search.tell(rows[number] if number <= search.horizon(search.last - 2) else row_for(plans[number], loss=0.1))
    assert search.plan(search.last - 2) == plans[search.last - 2]


def test_a_plan_that_needs_rows_it_was_not_told_is_refused(seeds):
    with pytest.raises(ValueError, match="needs the rows"):
        Search(config(), seeds).plan(9)


def test_the_baseline_comes_first_then_the_seeds_then_generations_of_the_population(seeds):
    search = Search(config(), seeds)
    (baseline,) = search.ask()
    assert (baseline.id, baseline.persona, baseline.generation) == (0, None, 0)
    search.tell(row_for(baseline))
    first = search.ask()
    assert [plan.persona for plan in first] == seeds
    assert {plan.generation for plan in first} == {0}
    for plan in first:
        search.tell(row_for(plan))
    assert [plan.generation for plan in search.ask()] == [1] * 4
    assert search.last == 5 + 12
    assert [search.generation_of(n) for n in (0, 5, 6, 9, 10, 17)] == [0, 0, 1, 1, 2, 3]


def test_no_more_than_lag_candidates_are_in_work(seeds):
    search = Search(config(lag=3), seeds)
    plans, _ = run_through(search, random.Random(0))
    assert len(plans) == search.last + 1
    fresh = Search(config(lag=3), seeds)
    for number in range(6):
        fresh.tell(row_for(plans[number]))
    assert [plan.id for plan in fresh.ask()] == [6, 7, 8]


@pytest.mark.parametrize("status", ["crashed", "timeout", "no_answer", "duplicate"])
def test_where_every_candidate_failed_the_seeds_are_asked_afresh(seeds, status):
    def failed(plan):
        return row_for(plan, status="ok" if plan.id == 0 else status)

    plans, _ = run_through(Search(config(), seeds), random.Random(0), failed)
    assert all(
        plan.operators[0]["operator"] == "immigrate" and plan.parents == () for n, plan in plans.items() if n > 5
    )


def test_a_nan_is_never_a_parent(seeds):
    def poisoned(plan):
        return row_for(plan, loss=math.nan if plan.id % 2 else 2.0 + plan.id / 100)

    plans, _ = run_through(Search(config(), seeds), random.Random(0), poisoned)
    assert all(parent % 2 == 0 for plan in plans.values() for parent in plan.parents)


def test_a_parent_worse_than_the_baseline_hands_on_its_persona_and_not_its_files(seeds):
    def worse(plan):
        return row_for(plan, loss=2.0 if plan.id == 0 else 3.0)

    plans, _ = run_through(Search(config(), seeds), random.Random(0), worse)
    assert {plan.base for plan in plans.values()} == {0}
    assert any(plan.parents for plan in plans.values())


def test_the_fitter_parents_files_are_inherited(seeds):
    plans, rows = run_through(Search(config(**{"variation.restart": 0.0}), seeds), random.Random(0))
    children = [plan for plan in plans.values() if plan.parents]
    assert children
    for plan in children:
        assert plan.base == plan.parents[0]
        assert rows[plan.parents[0]]["val_loss"] == min(rows[p]["val_loss"] for p in plan.parents)


def test_a_twin_is_the_first_trained_row_of_that_code_below_the_horizon(seeds):
    search = Search(config(), seeds)
    run_through(search, random.Random(0))
    assert search.twin(16, "hash3")["id"] == 3
    assert search.twin(4, "hash3") is None
    assert search.twin(16, "another") is None


def test_the_baseline_is_planned_again_before_every_eighth_candidate(seeds):
    search = Search(config(generations=4, population=8), seeds)
    assert search.calibrations() == {6: 1, 14: 2, 22: 3, 30: 4}


def test_operators_are_plain_json(seeds):
    plans, _ = run_through(Search(config(generations=6), seeds), random.Random(0))
    names = {record["operator"] for plan in plans.values() for record in json.loads(json.dumps(plan.operators))}
    assert {"cross", "emphasise", "swap_breakthrough", "immigrate", "restart"} <= names


def test_a_search_needs_a_seed():
    with pytest.raises(ValueError, match="at least one seed"):
        Search(config(), [])
