"""The scorer: the loss it computes is the loss, each target once, from logits alone."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evo.status import Status
from evo.verify import scorer

VOCAB = 7


def table_of(vocab, seed=0):
    """A fixed table of logits: row i is what follows token i."""
    return np.random.default_rng(seed).normal(scale=3.0, size=(vocab, vocab)).astype(np.float32)


class Server:
    """A model server that answers with rows of a table, shifted by position, and notes what it was asked."""

    def __init__(self, table, positions=None):
        self.table, self.positions, self.asked = table, positions, []

    def __call__(self, windows):
        self.asked.append(windows.copy())
        logits = self.table[windows]
        return logits if self.positions is None else logits + self.positions[: windows.shape[1]]


# ---- the loss of single targets ----


def test_a_loss_equals_one_written_by_hand():
    # Probabilities 1/2, 1/4 and 1/4.
    logits = np.log(np.array([[[2.0, 1.0, 1.0]]])).astype(np.float64)
    for target, expected in ((0, math.log(2)), (1, math.log(4)), (2, math.log(4))):
        found = scorer.losses(logits, np.array([[target]], dtype=np.uint16))
        assert found.shape == (1, 1)
        assert found[0, 0] == pytest.approx(expected, abs=1e-12)


def test_equal_logits_cost_the_logarithm_of_the_vocabulary():
    found = scorer.losses(np.full((2, 3, 256), -7.5, dtype=np.float32), np.zeros((2, 3), dtype=np.uint16))
    np.testing.assert_allclose(found, math.log(256), atol=1e-12)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, (2, 3, VOCAB), elements=st.floats(-1e4, 1e4, width=32)),
    hnp.arrays(np.uint16, (2, 3), elements=st.integers(0, VOCAB - 1)),
)
def test_losses_equal_torchs_cross_entropy_in_double_precision(logits, targets):
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).double().flatten(0, 1),
        torch.from_numpy(targets.astype(np.int64)).flatten(),
        reduction="none",
    )
    found = scorer.losses(logits, targets)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.ravel(), expected.numpy(), rtol=1e-12, atol=1e-9)


def test_very_large_logits_do_not_overflow():
    logits = np.array([[[3e38, -3e38, 0.0]]], dtype=np.float32)
    assert scorer.losses(logits, np.array([[0]], dtype=np.uint16))[0, 0] == 0.0


def test_a_token_of_the_last_number_is_found():
    logits = np.zeros((1, 1, 50304), dtype=np.float32)
    logits[0, 0, 50303] = 100.0
    assert scorer.losses(logits, np.array([[50303]], dtype=np.uint16))[0, 0] == pytest.approx(0.0, abs=1e-9)


# ---- windows ----


@settings(deadline=None)
@given(block_size=st.integers(1, 40), more=st.integers(0, 200))
def test_each_target_is_counted_exactly_once_and_follows_its_input(block_size, more):
    tokens = np.arange(block_size + 1 + more, dtype=np.uint16)  # a token's value is its place
    inputs, targets, counted = scorer.windows_of(tokens, block_size)
    assert inputs.shape == targets.shape == counted.shape
    assert inputs.shape[1] == block_size
    np.testing.assert_array_equal(targets, inputs + 1)
    np.testing.assert_array_equal(np.diff(inputs, axis=1), 1)  # a window is one stretch of the text
    np.testing.assert_array_equal(np.sort(targets[counted]), tokens[1:])


@settings(deadline=None)
@given(block_size=st.integers(1, 40), more=st.integers(0, 200))
def test_no_more_windows_are_asked_than_needed(block_size, more):
    inputs, _, _ = scorer.windows_of(np.zeros(block_size + 1 + more, dtype=np.uint16), block_size)
    assert len(inputs) == math.ceil((block_size + more) / block_size)


def test_the_last_window_ends_with_the_part_and_counts_only_what_is_new():
    inputs, targets, counted = scorer.windows_of(np.arange(11, dtype=np.uint16), 4)
    assert inputs.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert targets[counted].tolist() == list(range(1, 11))
    assert counted.tolist() == [[True] * 4, [True] * 4, [False, False, True, True]]


# ---- the score ----


def plain_loss(tokens, table):
    """The mean loss of a bigram table, one target after another in plain Python."""
    total = 0.0
    for before, target in itertools.pairwise(tokens):
        row = [float(value) for value in table[before]]
        total += math.log(math.fsum(math.exp(value) for value in row)) - row[target]
    return total / (len(tokens) - 1)


@settings(deadline=None)
@given(
    tokens=hnp.arrays(np.uint16, st.integers(6, 300), elements=st.integers(0, VOCAB - 1)),
    n_bytes=st.integers(1, 1000),
)
def test_the_score_of_a_table_equals_a_plain_evaluation(tokens, n_bytes):
    table = table_of(VOCAB)
    found = scorer.score(tokens, n_bytes, 5, VOCAB, Server(table))
    expected = plain_loss(tokens, table)
    assert found.status == Status.OK
    assert found.val_loss == pytest.approx(expected, abs=1e-9)
    assert found.bits_per_byte == pytest.approx(expected * (len(tokens) - 1) / math.log(2) / n_bytes, abs=1e-9)


def test_the_score_of_a_model_with_positions_gives_each_target_its_place_in_its_window():
    block_size, tokens = 4, np.random.default_rng(1).integers(0, VOCAB, 31).astype(np.uint16)
    table, positions = table_of(VOCAB), table_of(VOCAB, seed=2)[:block_size]
    n, total = len(tokens) - 1, 0.0
    for target in range(1, n + 1):
        full = (n // block_size) * block_size
        place = (target - 1) % block_size if target <= full else target - 1 - (n - block_size)
        row = (table[tokens[target - 1]] + positions[place]).astype(np.float64)
        total += math.log(np.exp(row).sum()) - row[tokens[target]]
    found = scorer.score(tokens, 31, block_size, VOCAB, Server(table, positions))
    assert found.val_loss == pytest.approx(total / n, abs=1e-9)


def test_a_uniform_model_scores_eight_bits_a_byte():
    tokens = np.random.default_rng(0).integers(0, 256, 1001).astype(np.uint16)
    found = scorer.score(tokens, 1000, 16, 256, lambda windows: np.zeros((*windows.shape, 256), dtype=np.float32))
    assert found.val_loss == pytest.approx(math.log(256), abs=1e-9)
    assert found.bits_per_byte == pytest.approx(8.0, abs=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0, 0), (-1, -1, -1)])
def test_logits_that_are_not_finite_are_named_and_never_a_loss(bad, where):
    tokens = np.zeros(1000, dtype=np.uint16)

    def ask(windows):
        logits = np.zeros((*windows.shape, VOCAB), dtype=np.float32)
        logits[where] = bad
        return logits

    assert scorer.score(tokens, 1000, 4, VOCAB, ask) == scorer.Score(
        Status.NOT_FINITE, "the trained model's logits are not finite"
    )


def test_a_rare_infinity_late_in_the_part_is_found():
    tokens = np.zeros(10_000, dtype=np.uint16)
    tokens[-2] = 3
    table = table_of(VOCAB)
    table[3, 0] = np.inf
    assert scorer.score(tokens, 1, 8, VOCAB, Server(table)).status == Status.NOT_FINITE


@pytest.mark.parametrize("n", [17, 18, 16 * 64 + 1, 16 * 64 + 2, 5000])
def test_every_request_has_the_same_shape(n):
    server = Server(table_of(256))
    tokens = np.random.default_rng(n).integers(0, 256, n).astype(np.uint16)
    scorer.score(tokens, n, 16, 256, server)
    assert {windows.shape for windows in server.asked} == {(scorer.rows_a_request(16, 256), 16)}
    assert all(windows.dtype == np.uint16 for windows in server.asked)


def test_the_rows_that_fill_the_last_request_up_do_not_count():
    tokens = np.random.default_rng(0).integers(0, VOCAB, 38).astype(np.uint16)
    server = Server(table_of(VOCAB))
    found = scorer.score(tokens, 38, 4, VOCAB, server)
    assert len(server.asked[-1]) > len(scorer.windows_of(tokens, 4)[0])
    assert found.val_loss == pytest.approx(plain_loss(tokens, server.table), abs=1e-9)


@settings(deadline=None)
@given(block_size=st.integers(1, 2048), vocab_size=st.sampled_from([256, 50304]))
def test_a_request_is_bounded_and_holds_at_least_one_window(block_size, vocab_size):
    rows = scorer.rows_a_request(block_size, vocab_size)
    assert 1 <= rows <= 64
    assert rows == 1 or 4 * rows * block_size * vocab_size <= 16_000_000


# ---- requests, and who sees the answers ----


@settings(deadline=None)
@given(n=st.integers(1, 200), rows=st.integers(1, 64))
def test_requests_hold_every_window_once_in_order_and_copies_of_the_last_one(n, rows):
    windows = np.arange(n, dtype=np.uint16)[:, None].repeat(3, axis=1)
    found = list(scorer.requests(windows, rows))
    assert [first for first, _ in found] == list(range(0, n, rows))
    assert all(asked.shape == (rows, 3) for _, asked in found)
    flat = np.concatenate([asked for _, asked in found])
    np.testing.assert_array_equal(flat[:n], windows)
    assert (flat[n:] == windows[-1]).all()


@settings(deadline=None)
@given(tokens=hnp.arrays(np.uint16, st.integers(6, 600), elements=st.integers(0, VOCAB - 1)))
def test_every_answer_is_seen_once_with_the_losses_that_it_means(tokens):
    table, seen = table_of(VOCAB), []
    found = scorer.score(tokens, 10, 5, VOCAB, Server(table), lambda *answer: seen.append(answer))
    inputs, targets, counted = scorer.windows_of(tokens, 5)
    assert [first for first, _, _ in seen] == list(range(0, len(inputs), 64))
    logits = np.concatenate([logits for _, logits, _ in seen])
    losses = np.concatenate([losses for _, _, losses in seen])
    np.testing.assert_array_equal(logits, table[inputs])
    np.testing.assert_array_equal(losses, scorer.losses(table[inputs], targets))
    assert found.val_loss == pytest.approx(losses[counted].mean(), abs=1e-12)


def test_who_looks_on_does_not_change_the_score():
    tokens = np.random.default_rng(5).integers(0, VOCAB, 999).astype(np.uint16)
    plain = scorer.score(tokens, 999, 5, VOCAB, Server(table_of(VOCAB)))
    assert scorer.score(tokens, 999, 5, VOCAB, Server(table_of(VOCAB)), lambda *_: None) == plain


# ---- how much the choice of text matters ----


def test_a_part_of_fewer_than_two_blocks_of_text_tells_nothing_of_itself():
    tokens = np.random.default_rng(0).integers(0, VOCAB, 2001).astype(np.uint16)
    for n_bytes, told in ((1, False), (4096, False), (6000, False), (6300, True), (8192, True)):
        found = scorer.score(tokens, n_bytes, 16, VOCAB, Server(table_of(VOCAB)))
        assert (found.text_se is not None) is told


def test_a_model_that_is_as_good_everywhere_has_no_error_of_the_text():
    tokens = np.zeros(20_001, dtype=np.uint16)
    assert scorer.score(tokens, 20_001, 16, VOCAB, Server(table_of(VOCAB))).text_se == pytest.approx(0.0, abs=1e-12)


def test_the_error_of_the_text_is_that_of_the_means_of_its_blocks():
    """A table that costs 1 nat more after token 1: four blocks of text, of which two hold nothing else."""
    table = np.zeros((2, 2), dtype=np.float32)
    table[1] = [3.0, -3.0]
    tokens = np.concatenate([np.zeros(8192), np.ones(8193)]).astype(np.uint16)
    cheap, dear = (float(scorer.losses(table[[[t]]], np.array([[t]], dtype=np.uint16))[0, 0]) for t in (0, 1))
    found = scorer.score(tokens, 16_384, 16, 2, Server(table))
    means = [cheap, cheap, dear, dear]
    assert found.text_se == pytest.approx(np.std(means, ddof=1) / 2, rel=0.01)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_the_error_of_the_text_covers_what_another_text_of_the_same_kind_gives(seed):
    rng = np.random.default_rng(seed)
    table = table_of(VOCAB)
    means = [scorer.score(rng.integers(0, VOCAB, 40_001).astype(np.uint16), 40_001, 16, VOCAB, Server(table))
             for _ in range(2)]  # fmt: skip
    assert abs(means[0].val_loss - means[1].val_loss) < 6 * math.hypot(means[0].text_se, means[1].text_se)
