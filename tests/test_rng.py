"""Draws: from (seed, number, purpose) alone, the same on every machine and in every version."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from evo import rng

SEEDS = st.integers(0, 2**31)
NUMBERS = st.integers(0, 10_000)
PURPOSES = st.text(max_size=12)


@settings(deadline=None)
@given(SEEDS, NUMBERS, PURPOSES)
def test_a_draw_is_determined_and_in_range(seed, number, purpose):
    found = rng.derived(seed, number, purpose)
    assert found == rng.derived(seed, number, purpose)
    assert 0 <= found < 2**48


def test_the_draws_of_a_written_run_never_change():
    assert rng.derived(1, 0, "answer") == 5964134182204
    assert rng.replicate_seeds(1, 0) == (530190984, 824846036)


def test_another_seed_number_or_purpose_gives_another_draw():
    triples = [(s, n, p) for s in range(20) for n in range(20) for p in ("answer", "persona", "")]
    assert len({rng.derived(*triple) for triple in triples}) == len(triples)


def test_numbers_do_not_run_into_each_other():
    assert rng.derived(1, 11, "x") != rng.derived(11, 1, "x")
    assert rng.derived(1, 1, "1/x") != rng.derived(1, 11, "/x")


@settings(deadline=None)
@given(SEEDS, NUMBERS)
def test_a_generator_draws_the_same_each_time_and_leaves_the_global_one_alone(seed, number):
    before = random.getstate()
    first = [rng.generator(seed, number, "a").random() for _ in range(2)]
    assert first[0] == first[1]
    assert rng.generator(seed, number, "b").random() != first[0]
    assert random.getstate() == before


@settings(deadline=None)
@given(SEEDS, st.integers(0, 100))
def test_a_replicate_has_two_seeds_of_its_own(seed, replicate):
    found = rng.replicate_seeds(seed, replicate)
    assert found == rng.replicate_seeds(seed, replicate)
    assert all(0 <= value < 2**31 for value in found)
    assert found[0] != found[1]
    assert set(found).isdisjoint(rng.replicate_seeds(seed, replicate + 1))


def test_code_that_draws_from_the_global_generator_is_contained():
    random.seed(5)
    before = random.getstate()
    own, twin = random.Random(7), random.Random(7)
    with rng.contained(own):
        inside = [random.random(), random.randint(0, 100)]
    assert inside == [twin.random(), twin.randint(0, 100)]
    assert random.getstate() == before
    assert own.random() == twin.random()  # it went on where the contained code had left it


def test_an_exception_inside_leaves_the_global_generator_as_it_was():
    before = random.getstate()
    try:
        with rng.contained(random.Random(7)):
            random.random()
            raise KeyError
    except KeyError:
        pass
    assert random.getstate() == before
