import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import selection
from evo.config import Selection
from evo.genetics import Individual
from evo.rng import generator
from evo.selection import Selector, fitness, is_scored, relative_cost

pairs = st.lists(st.tuples(st.floats(1.0, 6.0), st.integers(4, 20).map(lambda n: n / 4)), min_size=1, max_size=20)


def row(val_loss, cost=1.0, seconds=6.0, status="ok"):
    return {"val_loss": val_loss, "relative_cost": cost, "seconds": seconds, "status": status}


def individuals(config, values):
    return [Individual(i + 1, None, fitness(config, row(loss, c))) for i, (loss, c) in enumerate(values)]


def rng(number=1):
    return generator(number, 0, "test")


@given(st.floats(0.01, 1000), st.lists(st.floats(0.1, 100), min_size=1, max_size=12))
def test_a_cost_is_a_step_of_a_quarter_and_never_below_one(seconds, baseline):
    found = relative_cost(seconds, baseline)
    assert found >= 1.0
    assert found * 4 == int(found * 4)


@given(st.floats(0.2, 50), st.floats(0.9, 1.1))
def test_a_cost_does_not_move_with_the_noise_of_a_tenth(baseline, noise):
    assert relative_cost(baseline * noise, [baseline] * 5) == 1.0


def test_a_cost_counts_the_recent_baselines_alone():
    assert relative_cost(10.0, [1.0] * 20 + [10.0] * 5) == 1.0


def test_without_a_baseline_there_is_no_cost():
    assert relative_cost(3.0, []) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_never_reaches_a_selection(bad):
    assert not is_scored(row(bad))
    with pytest.raises(ValueError, match="finite"):
        Individual(1, None, (0.0, bad))


@pytest.mark.parametrize("status", ["crashed", "duplicate", "timeout"])
def test_a_candidate_that_is_not_ok_is_not_scored(status):
    assert not is_scored(row(2.0, status=status))


@given(pairs, st.integers(1, 8))
@settings(deadline=None)
def test_by_loss_the_survivors_are_the_lowest_within_the_cost(values, k):
    config = Selection(rule="loss", max_cost=1.25)
    chosen = Selector(config).survivors(individuals(config, values), k, rng())
    ranked = sorted(range(len(values)), key=lambda i: (max(0.0, values[i][1] - 1.25), values[i][0], i))
    assert [c.id - 1 for c in chosen] == ranked[:k]


def test_by_loss_without_a_limit_the_clock_is_out():
    config = Selection(max_cost=math.inf)
    assert fitness(config, row(2.0, 9.0)) == (0.0, 2.0)
    assert not Selector(config).holds_clock
    assert Selector(Selection()).holds_clock


@given(pairs)
@settings(deadline=None)
def test_nsga2_keeps_the_whole_first_front_where_there_is_room(values):
    config = Selection(rule="nsga2")
    everyone = individuals(config, values)
    chosen = Selector(config).survivors(everyone, len(everyone), rng())

    def dominated(i):
        return any(o.values != i.values and o.values[0] <= i.values[0] and o.values[1] <= i.values[1] for o in everyone)

    front = {i.id for i in everyone if not dominated(i)}
    assert front <= {c.id for c in chosen}
    best_half = Selector(config).survivors(everyone, max(1, len(front)), rng())
    assert {c.id for c in best_half} <= front


def test_the_score_of_the_seeds_is_loss_and_a_hundredth_of_a_minute():
    config = Selection(rule="score", weight=0.01)
    assert fitness(config, row(2.0, 1.0, seconds=90.0)) == (pytest.approx(2.015), 0.0)


@given(pairs, st.integers(0, 1000), st.sampled_from(["loss", "nsga2", "score"]))
@settings(deadline=None)
def test_a_parent_is_drawn_from_the_survivors_and_the_global_generator_is_left_alone(values, number, rule):
    config = Selection(rule=rule)
    selector = Selector(config)
    survivors = selector.survivors(individuals(config, values), 8, rng(number))
    state = random.getstate()
    first = selector.choose(survivors, rng(number))
    assert first in survivors
    assert random.getstate() == state
    random.seed(3)
    assert selector.choose(survivors, rng(number)) is first


def test_a_tournament_prefers_the_fitter():
    config = Selection()
    selector, everyone = Selector(config), individuals(config, [(2.0 + i / 10, 1.0) for i in range(8)])
    survivors = selector.survivors(everyone, 8, rng())
    drawn = [selector.choose(survivors, rng(n)).id for n in range(400)]
    assert drawn.count(1) > 400 * 0.25
    assert drawn.count(8) < 400 * 0.05


def test_the_fitter_of_two_parents_comes_first():
    config = Selection()
    worse, better = individuals(config, [(3.0, 1.0), (2.0, 1.0)])
    assert Selector(config).order(worse, better) == (better, worse)
    assert Selector(config).order(better, worse) == (better, worse)


def test_the_step_of_cost_is_the_designs():
    assert selection.COST_STEP == 0.25
