"""The feed: the same batches for every candidate of a replicate, counted where no candidate can."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.evaluator import Batches
from evo.status import Status
from evo.trainer.batch_feed import OVER, BatchFeed
from evo.trainer.processes import LimitReached

# A token's value tells its place, and its part: train counts from 0, val from 30,000.
TOKENS = {"train": np.arange(500, dtype=np.uint16), "val": np.arange(30_000, 30_200, dtype=np.uint16)}
BATCH, BLOCK = 3, 8
PROBE = np.arange(60, dtype=np.uint16).reshape(5, 12)

SEEDS = st.integers(0, 2**32)
REQUESTS = st.lists(st.sampled_from([b"t", b"v"]), max_size=30)


def feed_of(data_seed=7, stop_after=None, batch_size=BATCH, block_size=BLOCK, tokens=TOKENS, **batches):
    return BatchFeed(tokens, batch_size, block_size, data_seed, Batches(**batches), lambda: PROBE, stop_after)


def tokens_in(answer, batch_size=BATCH, block_size=BLOCK):
    """The batch of an answer: (batch_size, block_size + 1)."""
    assert answer[:1] == b"\0"
    return np.frombuffer(answer[1:], dtype="<u2").reshape(batch_size, block_size + 1)


def refused(feed, request):
    with pytest.raises(LimitReached) as reached:
        feed.answer(request)
    return reached.value


# ---- what a batch is ----


@settings(deadline=None)
@given(SEEDS, st.integers(1, 9), st.integers(1, 40), st.sampled_from(["train", "val"]))
def test_a_batch_holds_stretches_of_its_part_one_token_longer_than_a_block(seed, batch_size, block_size, part):
    answer = feed_of(seed, batch_size=batch_size, block_size=block_size).answer(part[:1].encode())
    found = tokens_in(answer, batch_size, block_size).astype(int)
    assert (np.diff(found, axis=1) == 1).all()
    assert TOKENS[part][0] <= found.min()
    assert found.max() <= TOKENS[part][-1]


@pytest.mark.parametrize("part", ["train", "val"])
def test_batches_reach_both_ends_of_a_part_and_all_between(part):
    feed = feed_of()
    found = np.concatenate([tokens_in(feed.answer(part[:1].encode())) for _ in range(2000)]).astype(int)
    assert set(found.ravel()) == set(TOKENS[part].astype(int))
    assert set(found[:, 0]) == set(TOKENS[part][:-BLOCK].astype(int))


def test_a_part_as_long_as_one_sequence_gives_that_one():
    tokens = {"train": np.arange(BLOCK + 1, dtype=np.uint16), "val": TOKENS["val"]}
    assert (tokens_in(feed_of(tokens=tokens).answer(b"t")) == np.arange(BLOCK + 1)).all()


# ---- in which order ----


@settings(deadline=None)
@given(SEEDS, st.integers(1, 20))
def test_equal_data_seeds_give_equal_batches(seed, count):
    one, other = feed_of(seed), feed_of(seed)
    assert [one.answer(b"t") for _ in range(count)] == [other.answer(b"t") for _ in range(count)]


def test_other_data_seeds_give_other_batches():
    assert len({feed_of(seed).answer(b"t") for seed in range(100)}) == 100


@settings(deadline=None)
@given(SEEDS, REQUESTS)
def test_the_order_of_a_part_does_not_depend_on_what_is_drawn_of_the_other(seed, requests):
    mixed, alone = feed_of(seed), {b"t": feed_of(seed), b"v": feed_of(seed)}
    for request in requests:
        assert mixed.answer(request) == alone[request].answer(request)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.none() | st.integers(1, 20))
def test_the_order_does_not_depend_on_how_many_batches_may_be_drawn(seed, count, train, val, stop_after):
    feed, free = feed_of(seed, stop_after, train=train, val=val), feed_of(seed)
    for _ in range(min(count, train, stop_after or count)):
        assert feed.answer(b"t") == free.answer(b"t")


def test_both_parts_have_an_order_of_their_own():
    feed = feed_of(tokens={"train": TOKENS["train"], "val": TOKENS["train"]})
    assert feed.answer(b"t") != feed.answer(b"v")


def test_the_global_generators_neither_move_the_order_nor_are_moved_by_it():
    expected = [feed_of().answer(b"t")]
    np.random.seed(3)
    before = np.random.get_state()[1].tolist()
    assert [feed_of().answer(b"t")] == expected
    assert np.random.get_state()[1].tolist() == before


# ---- how many ----


@settings(deadline=None)
@given(st.integers(1, 20))
def test_so_many_training_batches_are_drawn_as_expected_or_one_more_that_was_fetched_ahead(expected):
    feed = feed_of(train=expected)
    for drawn in range(expected):
        shortfall = feed.shortfall()
        assert shortfall == f"batches of train: expected {expected} drawn in a training, found {drawn} drawn"
        feed.answer(b"t")
    assert feed.shortfall() == ""
    feed.answer(b"t")
    assert feed.shortfall() == ""
    limit = refused(feed, b"t")
    assert limit.status == Status.PROTECTED_SETTING
    assert str(limit).startswith(f"batches of train: expected {expected} drawn in a training, found more than ")
    assert feed.drawn == {"train": expected + 1, "val": 0}


@settings(deadline=None)
@given(st.integers(0, 20))
def test_validation_batches_are_drawn_so_often_at_most(most):
    feed = feed_of(val=most)
    assert feed.shortfall() == ""
    for _ in range(most):
        feed.answer(b"v")
    limit = refused(feed, b"v")
    assert limit.status == Status.PROTECTED_SETTING
    assert str(limit).startswith(f"batches of val: expected at most {most} drawn in a training, found more than {most}")
    feed.answer(b"t")  # of the other part there are still some


def test_where_no_number_is_said_as_many_are_drawn_as_are_asked_for():
    feed = feed_of()
    for _ in range(1000):
        feed.answer(b"t")
        feed.answer(b"v")
    assert (feed.drawn, feed.shortfall()) == ({"train": 1000, "val": 1000}, "")


@settings(deadline=None)
@given(REQUESTS)
def test_what_is_counted_is_what_was_given(requests):
    feed = feed_of()
    for request in requests:
        feed.answer(request)
    assert feed.drawn == {"train": requests.count(b"t"), "val": requests.count(b"v")}


# ---- a short run ----


@settings(deadline=None)
@given(st.integers(0, 8), REQUESTS)
def test_a_short_run_is_over_with_the_first_training_batch_too_many_and_stays_over(stop_after, requests):
    feed, free, over = feed_of(stop_after=stop_after, train=100, val=100), feed_of(), False
    for request in requests:
        over = over or (request == b"t" and feed.drawn["train"] == stop_after)
        assert feed.answer(request) == (OVER if over else free.answer(request))
        assert feed.cut_off == over
    assert feed.drawn == free.drawn
    assert feed.shortfall() == ""  # it is not a full training


def test_a_batch_and_the_end_of_a_short_run_are_told_apart_by_their_first_byte():
    answer = feed_of(stop_after=1).answer(b"t")
    assert len(answer) == 1 + 2 * BATCH * (BLOCK + 1)
    assert answer[:1] != OVER[:1]
    assert len(OVER) == 1


def test_a_training_shorter_than_a_short_run_is_never_over():
    feed = feed_of(stop_after=4, train=2)
    feed.answer(b"t")
    feed.answer(b"t")
    assert not feed.cut_off


# ---- what asks for nothing ----


@settings(deadline=None)
@given(st.binary(max_size=3).filter(lambda asked: asked not in (b"t", b"v", b"p")), st.booleans())
def test_a_byte_that_asks_for_nothing_breaks_the_contract_also_when_a_short_run_is_over(asked, over):
    feed = feed_of(stop_after=0)
    if over:
        feed.answer(b"t")
    limit = refused(feed, asked)
    assert (limit.status, str(limit)) == (Status.CONTRACT, "wrote into the pipe of the harness")
    assert feed.drawn == {"train": 0, "val": 0}


@given(before=REQUESTS, stop_after=st.none() | st.integers(0, 5))
def test_who_says_that_its_weights_are_saved_gets_the_probe_and_no_batch_after_it(before, stop_after):
    asked = []
    feed = BatchFeed(TOKENS, BATCH, BLOCK, 7, Batches(), lambda: asked.append(1) or PROBE, stop_after)
    for request in before:
        feed.answer(request)
    cut_off = feed.cut_off
    assert asked == []
    assert feed.answer(b"p") == b"\0" + PROBE.tobytes()
    assert feed.answer(b"t") == feed.answer(b"v") == OVER
    assert feed.cut_off == cut_off
    with pytest.raises(LimitReached, match="twice"):
        feed.answer(b"p")
    assert asked == [1]
