import json
import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import persona
from evo.config import Config, load
from evo.rng import generator
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
        "relative_cost": cost,
        "seconds": 6.0 * cost,
        "persona": persona.to_json(plan.persona) if plan.persona else None,
        "code_hash": f"hash{plan.id % 7}",
        "duplicate_of": None,
        "early_stop_loss": 2.9 - rng.random() / 2 if status in ("ok", "stopped_early") else None,
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


@pytest.mark.parametrize("status", ["crashed", "timeout", "no_answer", "duplicate", "stopped_early"])
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


# ---- clearly worse than the baseline ----


@pytest.mark.parametrize("rule", ["loss", "nsga2", "score"])
@given(order=st.integers(0, 10**6), bad=st.sets(st.integers(1, 5), max_size=4))
@settings(max_examples=15, deadline=None)
def test_no_parent_is_clearly_worse_than_the_baseline_while_others_are_there(seeds, rule, order, bad):
    def row(plan):
        worse = plan.id in bad or (plan.id > 5 and plan.id % 3 == 0)
        return row_for(plan, loss=2.5 if plan.id == 0 else 5.5 if worse else 2.54, cost=1.0 if worse else 4.0)

    plans, rows = run_through(Search(config(**{"selection.rule": rule}), seeds), random.Random(order), row)
    parents = {parent for plan in plans.values() for parent in plan.parents}
    assert parents
    assert {rows[parent]["val_loss"] for parent in parents} == {2.54}


def test_by_nsga2_the_fastest_candidate_with_a_loss_of_5_5_is_never_a_survivor(seeds):
    def row(plan):
        return row_for(plan, loss=5.5, cost=1.0) if plan.id == 3 else row_for(plan, loss=2.3, cost=2.0)

    search = Search(config(**{"selection.rule": "nsga2"}), seeds)
    met = []
    survivors = search.selector.survivors
    search.selector.survivors = lambda found, k, rng: met.append(survivors(found, k, rng)) or met[-1]
    run_through(search, random.Random(0), row)
    assert len(met) == 12
    assert all(chosen and 3 not in {individual.id for individual in chosen} for chosen in met)
    assert 3 in {individual.id for individual in search.visible(search.last)}


@pytest.mark.parametrize(("loss", "is_parent"), [(2.55, True), (2.5501, False)])
def test_from_five_hundredths_of_a_nat_over_the_baseline_on_a_candidate_is_clearly_worse(seeds, loss, is_parent):
    def row(plan):
        return row_for(plan, loss=2.5 if plan.id == 0 else loss if plan.id == 2 else 2.4)

    plans, _ = run_through(Search(config(population=8, **{"selection.tournament": 1}), seeds), random.Random(0), row)
    assert any(2 in plan.parents for plan in plans.values()) is is_parent


def test_how_much_is_clearly_worse_can_be_said(seeds):
    def row(plan):
        return row_for(plan, loss=2.5 if plan.id == 0 else 5.5 if plan.id == 2 else 2.4, cost=1.0)

    wide = {"selection.clearly_worse": math.inf, "selection.tournament": 1}
    plans, _ = run_through(Search(config(population=8, **wide), seeds), random.Random(0), row)
    assert any(2 in plan.parents for plan in plans.values())


def test_where_all_are_clearly_worse_they_are_parents_all_the_same(seeds):
    def row(plan):
        return row_for(plan, loss=2.0 if plan.id == 0 else 5.5 + plan.id / 100)

    plans, _ = run_through(Search(config(), seeds), random.Random(0), row)
    assert any(plan.parents for plan in plans.values())


# ---- the early-stopping step ----

EARLY = {"early.control": 0.0, "early.least": 3, "early.window": 5}


def told(search, losses, status="ok"):
    """A search that was told rows with these reported losses at the early-stopping step, None where it was not reached."""
    for number, loss in enumerate(losses):
        row = {
            "id": number,
            "status": status if loss is not None else "crashed",
            "early_stop_loss": loss,
            "val_loss": None,
        }
        search.tell(row | {"code_hash": str(number), "duplicate_of": None})
    return search


def test_a_rung_is_the_median_of_the_last_so_many_that_reached_it(seeds):
    losses = [2.9, 2.8, None, 2.7, 2.6, 2.5, None, 2.2, None, 2.4]
    search = told(Search(config(**EARLY), seeds), losses)
    assert search.horizon(13) == 9
    assert search.early_stop(13) == (2.5, 5)  # of 2.7, 2.6, 2.5, 2.2 and 2.4
    assert search.early_stop(12) == (2.6, 5)  # of 2.8, 2.7, 2.6, 2.5 and 2.2


def test_of_an_even_number_the_rung_is_between_the_middle_two(seeds):
    search = told(Search(config(**EARLY), seeds), [2.9, 2.7, 2.6, 2.4, None, None])
    assert search.early_stop(6) == (pytest.approx(2.65), 4)


@pytest.mark.parametrize("status", ["ok", "stopped_early"])
def test_who_was_stopped_at_the_rung_reached_it_too(seeds, status):
    assert told(Search(config(**EARLY), seeds), [2.9] * 6, status).early_stop(6) == (2.9, 5)


@pytest.mark.parametrize("status", ["crashed", "timeout", "duplicate", "not_finite"])
def test_who_failed_makes_no_rung(seeds, status):
    assert told(Search(config(**EARLY), seeds), [2.9] * 6, status).early_stop(6) is None


def test_too_few_that_reached_it_make_no_rung(seeds):
    search = told(Search(config(**EARLY), seeds), [2.9, 2.8, None, None, None, None, 2.7, None, None])
    assert (search.horizon(9), search.early_stop(9)) == (5, None)
    assert (search.horizon(10), search.early_stop(10)) == (6, (2.8, 3))
    assert told(Search(config(), seeds), [2.9] * 7).early_stop(10) is None
    assert told(Search(config(**{"early.control": 0.0}), seeds), [2.9] * 8).early_stop(11) == (2.9, 8)


def test_the_baseline_and_the_seeds_are_never_stopped(seeds):
    search = told(Search(config(**EARLY, lag=1), seeds), [2.9] * 12)
    assert [search.early_stop(number) for number in range(6)] == [None] * 6
    assert search.early_stop(6) is not None


def test_where_early_stopping_is_off_nobody_is_stopped(seeds):
    search = told(Search(config(**EARLY, **{"early.stop": False}), seeds), [2.9] * 18)
    assert {search.early_stop(number) for number in range(18)} == {None}


def controls(seeds, share, seed=1, candidates=2000):
    """Numbers of the candidates that are never stopped."""
    flags = {"early.control": share, "seed": seed, "generations": candidates // 4}
    search = told(Search(config(**EARLY | flags), seeds), [2.9] * 12)
    search.horizon = lambda number: 11
    return [number for number in range(6, candidates) if search.early_stop(number) is None]


def test_about_a_tenth_is_the_control_and_the_seed_says_who(seeds):
    assert Config().early.control == 0.1
    found = controls(seeds, 0.1)
    assert 0.08 < len(found) / 2000 < 0.12
    assert controls(seeds, 0.1) == found
    other = controls(seeds, 0.1, seed=2)
    assert other != found
    assert 0.08 < len(other) / 2000 < 0.12


def test_the_control_is_none_all_or_a_part_that_grows(seeds):
    assert controls(seeds, 0.0, candidates=400) == []
    assert controls(seeds, 1.0, candidates=400) == list(range(6, 400))
    assert set(controls(seeds, 0.1, candidates=400)) < set(controls(seeds, 0.3, candidates=400))


def test_who_is_in_the_control_is_drawn_before_anything_is_known_of_it(seeds):
    one = told(Search(config(), seeds), [2.9] * 18)
    two = told(Search(config(), seeds), [2.1 + n / 100 for n in range(18)])
    numbers = [n for n in range(18) if one.horizon(n) >= 7]
    assert [one.early_stop(n) is None for n in numbers] == [two.early_stop(n) is None for n in numbers]


@given(st.integers(0, 10**6), st.integers(6, 17), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_rung_depends_on_rows_up_to_the_horizon_alone(seeds, order, number, other):
    _, rows = run_through(Search(config(**EARLY), seeds), random.Random(order))
    whole, part, changed = (Search(config(**EARLY), seeds) for _ in range(3))
    rng, below = generator(other, number, "rows"), whole.horizon(number)
    for row in rng.sample(list(rows.values()), len(rows)):
        whole.tell(row)
        changed.tell(row if row["id"] <= below else row | {"early_stop_loss": rng.random(), "status": "crashed"})
        if row["id"] <= below:
            part.tell(row)
    assert whole.early_stop(number) == part.early_stop(number) == changed.early_stop(number)
    seen = [rows[n]["early_stop_loss"] for n in range(below + 1)][-5:]
    assert whole.early_stop(number) == (statistics.median(seen), len(seen))


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
    assert search.duplicate_of(16, "hash3")["id"] == 3
    assert search.duplicate_of(4, "hash3") is None
    assert search.duplicate_of(16, "another") is None


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
