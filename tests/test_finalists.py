"""What comes after a search: who is trained again, and who leads."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo import finalists
from evo.config import Config, Final, Selection
from evo.status import Status

LONG = Config(final=Final(least=4, finalists=3, seeds=2))
SHORT = Config(final=Final(least=100))


def row(number, loss, status="ok", cost=1.0, seconds=6.0):
    return {"id": number, "status": status, "val_loss": loss, "relative_cost": cost, "seconds": seconds}


def training(number, replicate, loss, status="ok"):
    return {"id": number, "replicate": replicate, "status": status, "val_loss": loss if status == "ok" else None}


def fresh(losses):
    """Trainings of finalists: number → losses of replicates from 1, None for one that failed."""
    return [
        training(number, k, loss, "ok" if loss is not None else "crashed")
        for number, all_ in losses.items()
        for k, loss in enumerate(all_, start=1)
    ]


ROWS = [row(0, 2.5), row(1, 2.0), row(2, 2.1), row(3, 2.2), row(4, 2.3), row(5, None, "crashed")]


def test_only_a_long_run_has_finalists_and_they_are_the_fittest_first():
    assert finalists.finalists(ROWS, LONG) == [1, 2, 3]
    assert finalists.finalists(ROWS, SHORT) == []
    assert finalists.finalists(ROWS[:3], LONG) == []


@pytest.mark.parametrize(("candidates", "long"), [(3, False), (4, True), (5, True)])
def test_a_run_is_long_from_so_many_candidates_on(candidates, long):
    assert finalists.is_long(LONG.final, candidates) is long


def test_a_run_that_wants_no_finalists_has_none():
    none = Config(final=Final(least=0, finalists=0))
    assert finalists.finalists(ROWS, none) == []
    assert finalists.leader(ROWS, fresh({1: [9.0] * 5}), none)["id"] == 1


def test_usual_values_make_four_finalists_on_five_seeds_from_160_candidates_on():
    rows = [row(number, 2.0 + number / 1000) for number in range(160)]
    assert finalists.finalists(rows, Config()) == [1, 2, 3, 4]
    assert finalists.finalists(rows[:159], Config()) == []
    assert list(finalists.final_replicates(Final())) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("status", [s for s in Status if s != Status.OK])
def test_who_was_not_scored_is_no_finalist_and_never_leads(status):
    rows = [row(0, 2.5), row(1, 1.0, str(status)), row(2, 2.4), row(3, 2.3), row(4, 2.2)]
    assert finalists.finalists(rows, LONG) == [4, 3, 2]
    assert finalists.leader(rows, [], SHORT)["id"] == 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_makes_no_finalist(bad):
    assert finalists.finalists([row(0, 2.5), row(1, bad), row(2, 2.4), row(3, 2.3)], LONG) == [3, 2]


def test_the_baseline_is_no_finalist_however_low_its_loss():
    rows = [row(0, 0.1), row(1, 2.0), row(2, 2.1), row(3, 2.2)]
    assert 0 not in finalists.finalists(rows, LONG)
    assert finalists.leader(rows, [], LONG)["id"] == 1
    assert finalists.leader(rows[:1], [], LONG) is None


def test_fewer_scored_candidates_than_places_are_all_finalists():
    assert finalists.finalists([row(0, 2.5), row(1, 2.0), *(row(n, None, "crashed") for n in range(2, 9))], LONG) == [1]


def test_finalists_are_chosen_by_the_runs_own_rule():
    rows = [row(0, 2.5), row(1, 2.0, cost=3.0), row(2, 2.2), row(3, 2.3), row(4, 2.4)]
    assert finalists.finalists(rows, LONG) == [2, 3, 4]
    free = LONG.model_copy(update={"selection": Selection(max_cost=math.inf)})
    assert finalists.finalists(rows, free) == [1, 2, 3]


def test_the_leader_of_a_long_run_that_is_done_is_the_finalist_with_the_lowest_mean_on_fresh_seeds():
    losses = {1: [2.4, 2.6], 2: [2.3, 2.5], 3: [2.2, 2.7]}
    assert finalists.leader(ROWS, fresh(losses), LONG)["id"] == 2


def test_neither_the_first_training_nor_those_of_a_verdict_count_for_the_leader():
    told = fresh({1: [2.4, 2.6], 2: [2.3, 2.5], 3: [2.2, 2.7]})
    optimistic = [training(1, 0, 0.5), *(training(1, finalists.VERDICT + k, 0.5) for k in range(8))]
    assert finalists.leader(ROWS, told + optimistic, LONG)["id"] == 2
    assert finalists.fresh_losses(told + optimistic, 1, LONG.final) == [2.4, 2.6]


def test_a_finalist_with_a_failed_seed_comes_after_those_with_none():
    assert finalists.leader(ROWS, fresh({1: [1.0, None], 2: [2.9, 2.9], 3: [3.0, 3.0]}), LONG)["id"] == 2
    assert finalists.leader(ROWS, fresh({1: [None, None], 2: [2.9, None], 3: [2.8, None]}), LONG)["id"] == 3
    assert finalists.leader(ROWS, fresh({1: [None, None], 2: [None, None], 3: [None, None]}), LONG)["id"] == 1


@pytest.mark.parametrize("missing", [(1, 1), (2, 2), (3, 1)])
def test_before_the_finals_are_complete_the_fittest_on_one_training_leads(missing):
    whole = fresh({1: [2.9, 2.9], 2: [2.1, 2.1], 3: [2.8, 2.8]})
    assert finalists.leader(ROWS, whole, LONG)["id"] == 2
    assert finalists.leader(ROWS, [t for t in whole if (t["id"], t["replicate"]) != missing], LONG)["id"] == 1
    assert finalists.leader(ROWS, [], LONG)["id"] == 1


def test_trainings_of_one_that_is_no_finalist_make_no_leader():
    told = fresh({1: [2.4, 2.6], 2: [2.3, 2.5], 3: [2.2, 2.7], 4: [0.1, 0.1]})
    assert finalists.leader(ROWS, told, LONG)["id"] == 2


def test_a_cost_over_the_limit_counts_among_finalists_too():
    costly = LONG.model_copy(update={"final": Final(least=2, finalists=2, seeds=2)})
    rows = [row(0, 2.5), row(1, 2.4), row(2, 2.0, cost=3.0)]
    assert finalists.finalists(rows, costly) == [1, 2]
    assert finalists.leader(rows, fresh({1: [2.5, 2.5], 2: [2.0, 2.0]}), costly)["id"] == 1


def test_the_replicates_of_finals_and_verdicts_never_meet():
    final = Final(seeds=50, verdict_seeds=50)
    assert not {*finalists.final_replicates(final)} & {*finalists.verdict_replicates(final)}
    assert list(finalists.verdict_replicates(Final())) == list(range(1_000_000, 1_000_008))
    assert 0 not in finalists.final_replicates(final)


scores = st.lists(
    st.tuples(
        st.sampled_from(["ok", "ok", "ok", "crashed", "stopped_early"]), st.floats(1.0, 3.0), st.floats(1.0, 4.0)
    ),
    min_size=1,
    max_size=12,
)
seeds_of_finalists = st.lists(st.lists(st.none() | st.floats(1.0, 3.0), max_size=2), min_size=3, max_size=3)


@given(scores, seeds_of_finalists, st.sampled_from(["loss", "nsga2", "score"]), st.randoms())
@settings(deadline=None)
def test_the_leader_is_a_scored_row_whatever_the_order_of_the_rows(told, losses, rule, order):
    config = LONG.model_copy(update={"selection": Selection(rule=rule)})
    rows = [row(n, loss if status == "ok" else None, status, cost) for n, (status, loss, cost) in enumerate(told)]
    chosen = finalists.finalists(rows, config)
    trainings = fresh(dict(zip(chosen, losses, strict=False)))
    leader = finalists.leader(rows, trainings, config)
    scored = [r["id"] for r in rows if r["id"] and r["status"] == "ok"]
    assert (leader["id"] in scored) if scored else leader is None
    assert set(chosen) <= set(scored)
    if chosen and all(len(losses[i]) == 2 for i in range(len(chosen))):
        assert leader["id"] in chosen
    order.shuffle(rows)
    order.shuffle(trainings)
    assert finalists.finalists(rows, config) == chosen
    assert finalists.leader(rows, trainings, config) == leader


@given(st.lists(st.lists(st.floats(1.0, 3.0), min_size=2, max_size=2), min_size=3, max_size=3))
@settings(deadline=None)
def test_no_finalist_has_a_lower_mean_than_the_leader(losses):
    means = {number: statistics.mean(both) for number, both in zip([1, 2, 3], losses, strict=True)}
    leader = finalists.leader(ROWS, fresh(dict(zip(means, losses, strict=True))), LONG)
    assert means[leader["id"]] == min(means.values())
