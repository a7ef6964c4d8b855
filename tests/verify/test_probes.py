"""The probes, against models that are functions: the honest pass with their score, and every other one has its name."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.status import Status
from evo.verify import probes, scorer

VOCAB, BLOCK = 12, 10
TABLE = np.random.default_rng(0).normal(scale=2.0, size=(VOCAB, VOCAB)).astype(np.float32)
REFUSED = {Status.LEAKS_FUTURE, Status.NOT_INDEPENDENT, Status.NOT_REPEATABLE, Status.NOT_FINITE}


def text_of(table, n, seed=1):
    """A text that the table tells well: each token is drawn from the row of the one before."""
    rng, vocab = np.random.default_rng(seed), len(table)
    chances = np.exp(table - table.max(axis=1, keepdims=True)).cumsum(axis=1)
    tokens, draws = [0], rng.random(n)
    for draw in draws[1:]:
        row = chances[tokens[-1]]
        tokens.append(min(int(np.searchsorted(row, draw * row[-1])), vocab - 1))
    return np.array(tokens, dtype=np.uint16)


TEXT = text_of(TABLE, 4000)
KNOWN = {window.tobytes() for window in scorer.windows_of(TEXT, BLOCK)[0]}


class Servers:
    """Model servers: each has an `answer` of its own from `make()`. It notes what each was asked."""

    def __init__(self, make):
        self.make, self.asked = make, []

    def __call__(self):
        answer, asked = self.make(), []
        self.asked.append(asked)

        def ask(windows):
            asked.append(windows.copy())
            return answer(windows).astype(np.float32)

        return ask


def model_of(make, *, vocab=VOCAB, block=BLOCK, half=False, salt=b"salt", text=TEXT, trained=None):
    """The model whose servers are made by `make`, trained as it answers unless it is said how."""
    probe = probes.chosen(text, block, vocab, salt)
    asked = scorer.windows_of(text, block)[0][probe]
    trained = make()(asked).astype(np.float32) if trained is None else trained
    return probes.Model(Servers(make), vocab, block, half, salt, probe, trained)


def stateless(answer):
    """`make` of a server that is a function of its windows."""
    return lambda: answer


def honest(windows):
    return TABLE[windows]


def verified(make, text=TEXT, least_windows=probes.LEAST_WINDOWS, **changes):
    return probes.verify(model_of(make, text=text, **changes), text, len(text), least_windows)


def bumped(logits, positions, tokens, strength):
    """Logits with those of `tokens` (rows, positions) made larger at `positions`."""
    logits = logits.copy()
    rows = np.arange(len(logits))[:, None]
    logits[rows, positions, tokens] += strength
    return logits


def leaking(lag=1, strength=8.0, positions=range(BLOCK), chosen=lambda windows: np.ones(len(windows), bool)):
    """A server whose answer at some positions, of some windows, tells the token `lag` places on."""
    at = np.array([p for p in positions if p + lag < BLOCK])

    def answer(windows):
        logits, told = TABLE[windows], bumped(TABLE[windows], at, windows[:, at + lag], strength)
        return np.where(chosen(windows)[:, None, None], told, logits)

    return stateless(answer)


# ---- honest models ----


def test_an_honest_model_is_ok_with_the_score_of_the_scorer_alone():
    found = verified(stateless(honest))
    assert found == scorer.score(TEXT, len(TEXT), BLOCK, VOCAB, honest)
    assert found.status == Status.OK
    assert found.val_loss < np.log(VOCAB) - 0.3


def causal(seed, vocab, block):
    """A server whose logits depend on place and on all of the window up to it, and on nothing else."""
    rng = np.random.default_rng(seed)
    table, places = rng.normal(scale=3.0, size=(vocab, vocab)), rng.normal(size=(block, vocab))
    memory = rng.normal(size=(vocab, vocab))

    def answer(windows):
        past = np.cumsum(memory[windows], axis=1) / np.arange(1, block + 1)[:, None]
        return table[windows] + places + np.sin(5.0 * past)

    return answer


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    vocab=st.integers(2, 15),
    block=st.integers(1, 20),
    more=st.integers(1, 400),
    salt=st.binary(min_size=1, max_size=32),
    half=st.booleans(),
)
def test_every_causal_model_is_ok_on_every_text(seed, vocab, block, more, salt, half):
    text = np.random.default_rng(seed).integers(0, vocab, 2 * block + more).astype(np.uint16)
    answer = causal(seed, vocab, block)
    model = model_of(stateless(answer), vocab=vocab, block=block, half=half, salt=salt, text=text)
    found = probes.verify(model, text, len(text), least_windows=200)
    assert found == scorer.score(text, len(text), block, vocab, lambda windows: answer(windows).astype(np.float32))


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e3, 1e30])
def test_the_size_of_an_honest_models_logits_does_not_matter(scale):
    assert verified(stateless(lambda windows: TABLE[windows] * np.float32(scale))).status == Status.OK


def test_rounding_that_changes_with_the_company_is_no_finding():
    def answer(windows):
        return TABLE[windows] * (1.0 + 1e-7 * np.sin(windows.sum()))

    assert verified(stateless(answer)).status == Status.OK


def test_an_honest_model_is_asked_by_two_servers_and_the_same_each_time():
    one, other = model_of(stateless(honest)), model_of(stateless(honest))
    assert probes.verify(one, TEXT, len(TEXT)) == probes.verify(other, TEXT, len(TEXT))
    assert len(one.fresh.asked) == 2
    for first, second in zip(one.fresh.asked, other.fresh.asked, strict=True):
        np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))


def test_what_is_asked_in_the_second_pass_is_known_to_nobody_before_the_weights_are():
    asked = []
    for salt in (b"one", b"two"):
        model = model_of(stateless(honest), salt=salt)
        probes.verify(model, TEXT, len(TEXT))
        asked.append(np.concatenate(model.fresh.asked[1]))
    assert not np.array_equal(*asked)


# ---- the second pass ----


def asked_in(text, block=BLOCK, vocab=VOCAB, least_windows=probes.LEAST_WINDOWS):
    """The windows of a part, and what the second pass asked about them."""
    table = np.zeros((vocab, vocab), dtype=np.float32)
    model = model_of(stateless(lambda windows: table[windows]), text=text, block=block, vocab=vocab)
    probes.verify(model, text, len(text), least_windows)
    return scorer.windows_of(text, block)[0], model.fresh.asked[1]


# In this text a window is known by any of its tokens: each stands in it once.
TOLD_APART = np.arange(3001, dtype=np.uint16)


def cuts_of(asked, block):
    """Each asked window's number, its cut, and the number of the window behind the cut."""
    assert (np.concatenate(asked) % block == np.arange(block)).all(), "every token keeps its place"
    numbers = np.concatenate(asked) // block
    cuts = (numbers == numbers[:, :1]).cumprod(axis=1).sum(axis=1)
    assert all((row[cut:] == row[cut:][:1]).all() for row, cut in zip(numbers, cuts, strict=True)), "one other window"
    return numbers[:, 0], cuts, numbers[:, -1]


def test_every_window_is_cut_once_and_continued_with_another_ones_text_in_another_order():
    inputs, asked = asked_in(TOLD_APART, vocab=3001, least_windows=1)
    windows, cuts, _ = cuts_of(asked, BLOCK)
    assert set(windows) == set(range(len(inputs)))
    rows = scorer.rows_a_request(BLOCK, 3001)
    assert len(windows) == -(-len(inputs) // rows) * rows
    assert windows.tolist() != sorted(windows)
    assert (cuts >= 1).all()


def test_cuts_reach_every_place_of_a_window():
    _, asked = asked_in(TOLD_APART, vocab=3001)
    _, cuts, _ = cuts_of(asked, BLOCK)
    counts = np.bincount(cuts, minlength=BLOCK + 1)
    assert counts[0] == 0
    assert (counts[1:] > len(cuts) / BLOCK / 2).all()


@pytest.mark.parametrize("windows", [3, 40, 65, 300])
def test_fewer_windows_than_are_wanted_are_cut_again_and_elsewhere(windows):
    inputs, asked = asked_in(TOLD_APART[: windows * BLOCK + 1], vocab=3001)
    numbers, cuts, _ = cuts_of(asked, BLOCK)
    assert len(inputs) == windows
    assert probes.LEAST_WINDOWS <= len(numbers) < probes.LEAST_WINDOWS + windows + 64
    times = np.bincount(numbers)
    assert times.min() >= probes.LEAST_WINDOWS // windows
    assert times.max() <= times.min() + 1 + -(-64 // windows)  # the last request is filled with some again
    assert all(len(set(cuts[numbers == number])) > 1 for number in range(windows))


def test_more_windows_than_are_wanted_are_all_cut():
    inputs, asked = asked_in(np.resize(TOLD_APART[:500], 20_001), vocab=500)
    assert len(inputs) == 2000
    assert sum(map(len, asked)) == -(-2000 // 64) * 64


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2 * BLOCK + 1, 2000), least=st.integers(1, 300))
def test_every_request_of_both_passes_has_the_same_shape(n, least):
    model = model_of(stateless(honest), text=TEXT[:n])
    probes.verify(model, TEXT[:n], n, least)
    shapes = {windows.shape for asked in model.fresh.asked for windows in asked}
    assert shapes == {(scorer.rows_a_request(BLOCK, VOCAB), BLOCK)}


# ---- models that look ahead ----


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("lag", [1, 2, 3, BLOCK - 1])
def test_a_model_that_tells_a_later_token_leaks(lag, half):
    found = verified(leaking(lag), half=half)
    assert (found.status, found.val_loss) == (Status.LEAKS_FUTURE, None)


def test_a_leak_would_pay():
    assert scorer.score(TEXT, len(TEXT), BLOCK, VOCAB, leaking()()).val_loss < 0.5


@pytest.mark.parametrize("half", [False, True])
def test_a_model_that_sees_its_whole_window_leaks_from_the_first_position_on(half):
    def whole(windows):
        counts = (windows[:, :, None] == np.arange(VOCAB)).sum(axis=1)
        return TABLE[windows] + 2.0 * counts[:, None, :]

    found = verified(stateless(whole), half=half)
    assert found.status == Status.LEAKS_FUTURE
    assert "position 0 is the first" in found.reason


@pytest.mark.parametrize("first", [0, 1, 4, BLOCK - 2])
def test_the_first_position_that_leaks_is_named(first):
    def answer(windows):
        late = (windows[:, :, None] == np.arange(VOCAB)).sum(axis=1)[:, None, :]
        return np.where((np.arange(BLOCK) >= first)[:, None], TABLE[windows] + late, TABLE[windows])

    found = verified(stateless(answer))
    assert found.status == Status.LEAKS_FUTURE
    assert f"(position {first} is the first)" in found.reason


@settings(deadline=None, max_examples=40)
@given(
    place=st.integers(0, BLOCK - 2),
    lag=st.integers(1, BLOCK - 1),
    strength=st.sampled_from([-8.0, -1.0, 0.01, 1.0, 8.0]),
    salt=st.binary(min_size=1, max_size=32),
)
def test_no_leak_at_a_single_position_is_missed(place, lag, strength, salt):
    found = verified(leaking(min(lag, BLOCK - 1 - place), strength, positions=[place]), salt=salt)
    assert found.status == Status.LEAKS_FUTURE


def test_a_model_that_leaks_at_the_last_position_that_has_a_token_behind_it_leaks():
    assert verified(leaking(positions=[BLOCK - 2])).status == Status.LEAKS_FUTURE
    assert verified(leaking(positions=[BLOCK - 2]), half=True).status == Status.LEAKS_FUTURE


def test_a_model_that_looks_ahead_only_in_windows_that_it_knows_leaks():
    found = verified(leaking(chosen=lambda windows: np.array([w.tobytes() in KNOWN for w in windows])))
    assert found.status in REFUSED


def test_a_model_that_looks_ahead_only_where_the_text_goes_on_as_text_does_leaks():
    """It takes a cut for one where a token surprises it, and is honest then."""
    chances = TABLE - np.log(np.exp(TABLE).sum(axis=1, keepdims=True))

    def goes_on(windows):
        return (chances[windows[:, :-1], windows[:, 1:]] > -3.0).all(axis=1)

    assert 0.1 < np.mean(goes_on(scorer.windows_of(TEXT, BLOCK)[0])) < 0.9
    assert verified(leaking(chosen=goes_on)).status in REFUSED


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_a_model_that_looks_ahead_in_few_windows_leaks(share):
    def some(windows):
        return np.array([hash(w[0].tobytes() + w[1].tobytes() + w[2].tobytes()) % 1000 < 1000 * share for w in windows])

    long = text_of(TABLE, 20_000)
    assert verified(leaking(chosen=some), text=long).status in REFUSED


# ---- models that look at their company, or at what was asked before ----


def looking_at_the_batch(windows):
    return TABLE[windows] + 0.1 * TABLE[windows].mean(axis=0, keepdims=True)


def looking_at_the_row_before(windows):
    return TABLE[windows] + 0.5 * TABLE[np.roll(windows, 1, axis=0)]


def counting():
    count = 0

    def answer(windows):
        nonlocal count
        count += 1
        return TABLE[windows] * (1.0 + 0.01 * count)

    return answer


def learning():
    """It adapts to what it is asked: each token is told by what stood behind it in the windows before."""
    seen = np.ones((VOCAB, VOCAB))

    def answer(windows):
        logits = np.log(seen / seen.sum(axis=1, keepdims=True))[windows]
        np.add.at(seen, (windows[:, :-1], windows[:, 1:]), 1.0)
        return logits

    return answer


@pytest.mark.parametrize(
    ("answer", "half"),
    [(looking_at_the_batch, False), (looking_at_the_row_before, False), (looking_at_the_row_before, True)],
)
def test_a_model_that_looks_at_the_other_rows_of_its_batch_is_not_independent(answer, half):
    found = verified(stateless(answer), half=half)
    assert (found.status, found.val_loss) == (Status.NOT_INDEPENDENT, None)
    assert "other rows of the batch" in found.reason


def test_in_16_bits_a_look_at_the_batch_that_does_not_pay_is_no_finding():
    def hardly_looking(windows):
        return TABLE[windows] + 0.02 * TABLE[windows].mean(axis=0, keepdims=True)

    assert verified(stateless(hardly_looking)).status == Status.NOT_INDEPENDENT
    found = verified(stateless(hardly_looking), half=True)
    assert found.status == Status.OK
    assert abs(found.val_loss - verified(stateless(honest)).val_loss) < 0.01


@pytest.mark.parametrize("make", [counting, learning])
def test_a_model_whose_answer_changes_with_what_was_asked_before_is_not_repeatable(make):
    found = verified(make)
    assert (found.status, found.val_loss) == (Status.NOT_REPEATABLE, None)
    assert "asked the same again" in found.reason
    assert verified(make, half=True).status in REFUSED


def last_of_the_batch(windows):
    """Windows follow each other in the text: the first token of the next row is the last one's target."""
    return bumped(TABLE[windows], np.array([BLOCK - 1]), np.roll(windows, -1, axis=0)[:, :1], 8.0)


def test_a_model_that_takes_the_last_target_from_the_next_row_would_gain():
    gained = scorer.score(TEXT, len(TEXT), BLOCK, VOCAB, last_of_the_batch).val_loss
    assert gained < scorer.score(TEXT, len(TEXT), BLOCK, VOCAB, honest).val_loss - 0.1


@pytest.mark.parametrize("half", [False, True])
def test_a_model_that_looks_at_its_company_at_the_last_position_alone_is_not_independent(half):
    assert verified(stateless(last_of_the_batch), half=half).status == Status.NOT_INDEPENDENT


def honest_for(calls, then):
    """Honest for its first calls, whoever asks."""

    def make():
        count, late = 0, then()

        def answer(windows):
            nonlocal count
            count += 1
            return honest(windows) if count <= calls else late(windows)

        return answer

    return make


@pytest.mark.parametrize("calls", [1, 3, 6, 7, 10, 24])
def test_a_model_that_is_honest_for_its_first_calls_is_found(calls):
    assert verified(honest_for(calls, leaking())).status in REFUSED


def test_a_model_that_is_honest_for_all_of_its_calls_is_honest():
    assert verified(honest_for(1000, leaking())) == verified(stateless(honest))


# ---- models that throw dice ----


def noisy(scale, seed=11):
    """Each server throws its own."""
    dice = np.random.default_rng(seed)

    def make():
        mine = np.random.default_rng(dice.integers(2**60))
        return lambda windows: TABLE[windows] + mine.uniform(-scale, scale, size=(*windows.shape, VOCAB))

    return make


def test_a_model_that_throws_dice_is_not_repeatable():
    found = verified(noisy(0.01))
    assert (found.status, found.val_loss) == (Status.NOT_REPEATABLE, None)


@pytest.mark.parametrize("half", [False, True])
def test_a_model_that_is_another_one_each_time_it_starts_is_not_repeatable(half):
    starts = []

    def make():
        starts.append(1)
        scale = 1.0 + 0.1 * len(starts)
        return lambda windows: TABLE[windows] * scale

    assert verified(make, half=half).status == Status.NOT_REPEATABLE


# ---- numbers of 16 bits ----


@pytest.mark.parametrize("rounding", [0.01, 0.03])
def test_honest_rounding_to_16_bits_is_not_refused(rounding):
    """Another place in the batch gives other roundings: bfloat16 tells logits from 4 to 8 to within 0.03."""
    long = text_of(TABLE, probes.LEAST_WINDOWS * BLOCK + 1)
    for seed in range(40):
        assert verified(noisy(rounding, seed), text=long, half=True, salt=bytes([seed])).status == Status.OK


def test_the_same_rounding_is_refused_where_numbers_have_32_bits():
    assert verified(noisy(0.03)).status == Status.NOT_REPEATABLE


@pytest.mark.parametrize(
    ("strength", "found_by"),
    [(0.02, "nats on average"), (0.1, "nats on average"), (1.0, "position"), (8.0, "position")],
)
def test_a_leak_among_the_rounding_of_16_bits_is_found(strength, found_by):
    leak = leaking(strength=strength)

    def make():
        blur, answer = noisy(0.03)(), leak()
        return lambda windows: answer(windows) + blur(windows) - TABLE[windows]

    long = text_of(TABLE, probes.LEAST_WINDOWS * BLOCK + 1)
    for seed in range(5):
        found = verified(make, text=long, half=True, salt=bytes([seed]))
        assert found.status == Status.LEAKS_FUTURE
        assert found_by in found.reason


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_a_leak_in_few_windows_that_pays_is_found_in_16_bits(share):
    """0.2 nats a token in some windows, each logit within the rounding that 16 bits may have."""
    firsts = np.random.default_rng(5).permutation(VOCAB**2)[: round(share * VOCAB**2)]

    def some(windows):
        return np.isin(windows[:, 0].astype(int) * VOCAB + windows[:, 1], firsts)

    long = text_of(TABLE, 40_000)
    leak = leaking(strength=0.24, chosen=some)
    paid = verified(stateless(honest), text=long).val_loss
    paid -= scorer.score(long, len(long), BLOCK, VOCAB, lambda windows: leak()(windows).astype(np.float32)).val_loss
    found = verified(leak, text=long, half=True)
    assert (found.status in REFUSED) or paid < 0.004
    assert (found.status in REFUSED) or share < 0.1


# ---- a vocabulary of which not all is remembered ----


@pytest.fixture
def forgetful(monkeypatch):
    """There is room for 8 of 300 tokens."""
    monkeypatch.setattr(probes, "_REMEMBERED_BYTES", 1)
    table = np.random.default_rng(3).normal(scale=2.0, size=(300, 300)).astype(np.float32)
    return table, text_of(table, 3000)


def test_an_honest_model_of_a_large_vocabulary_is_ok(forgetful):
    table, text = forgetful
    found = verified(stateless(lambda windows: table[windows]), text=text, vocab=300)
    assert found == scorer.score(text, len(text), BLOCK, 300, lambda windows: table[windows])


@pytest.mark.parametrize("strength", [0.2, 8.0])
def test_a_model_of_a_large_vocabulary_that_tells_the_next_token_leaks(forgetful, strength):
    """Of what it tells, one logit in three hundred, hardly any is remembered; the loss before the cut shows it."""
    table, text = forgetful
    at = np.arange(BLOCK - 1)
    found = verified(
        stateless(lambda windows: bumped(table[windows], at, windows[:, 1:], strength)), text=text, vocab=300
    )
    assert found.status in REFUSED


def test_no_more_logits_are_remembered_than_there_is_room_for(monkeypatch):
    kept = []
    remember = probes._Memory.__init__

    def noting(self, *args):
        remember(self, *args)
        kept.append(self.logits)

    monkeypatch.setattr(probes._Memory, "__init__", noting)
    for room in (1, 10_000, 100_000, 10**9):
        monkeypatch.setattr(probes, "_REMEMBERED_BYTES", room)
        assert verified(stateless(honest)).status == Status.OK
    least = 4 * kept[0].shape[0] * BLOCK * 8  # eight tokens at the least
    assert all(logits.nbytes <= max(room, least) for logits, room in zip(kept, (1, 10_000, 100_000), strict=False))
    assert kept[-1].shape[-1] == VOCAB


# ---- what is not finite ----


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("servers", [1, 2])
def test_logits_that_are_not_finite_are_named_in_either_pass(bad, servers):
    starts = []

    def make():
        starts.append(1)
        number = len(starts) - 1  # the first gave the trained logits

        def answer(windows):
            logits = TABLE[windows]
            if number == servers:
                logits[-1, -1, -1] = bad
            return logits

        return answer

    found = verified(make)
    assert (found.status, found.val_loss) == (Status.NOT_FINITE, None)
    assert len(starts) == servers + 1


def test_a_model_that_breaks_on_text_that_does_not_go_on_is_not_finite():
    def answer(windows):
        whole = np.array([window.tobytes() in KNOWN for window in windows])
        return np.where(whole[:, None, None], TABLE[windows], np.nan)

    assert verified(stateless(answer)).status == Status.NOT_FINITE


# ---- small windows ----


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("half", [False, True])
def test_windows_of_one_or_two_tokens_are_scored(block, half):
    found = verified(stateless(honest), block=block, half=half)
    assert found == scorer.score(TEXT, len(TEXT), block, VOCAB, honest)


@pytest.mark.parametrize("half", [False, True])
def test_a_leak_in_windows_of_two_tokens_is_found(half):
    found = verified(
        stateless(lambda windows: bumped(TABLE[windows], np.array([0]), windows[:, 1:], 8.0)), block=2, half=half
    )
    assert found.status == Status.LEAKS_FUTURE


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("half", [False, True])
def test_a_look_at_the_next_row_in_windows_of_one_or_two_tokens_is_found(block, half):
    def answer(windows):
        return bumped(TABLE[windows], np.array([block - 1]), np.roll(windows, -1, axis=0)[:, :1], 8.0)

    assert verified(stateless(answer), block=block, half=half).status == Status.NOT_INDEPENDENT


@pytest.mark.parametrize("seed", range(10))
def test_two_windows_are_enough_where_a_request_holds_a_single_one(monkeypatch, seed):
    """As in a short run of a large vocabulary."""
    monkeypatch.setattr(scorer, "_LOGIT_BYTES", 1)
    vocab = 2 * BLOCK + 1
    assert scorer.rows_a_request(BLOCK, vocab) == 1
    table, text = np.zeros((vocab, vocab), dtype=np.float32), np.arange(vocab, dtype=np.uint16)

    def telling(windows):
        return bumped(table[windows], np.arange(BLOCK - 1), windows[:, 1:], 8.0)

    for answer, status in ((telling, Status.LEAKS_FUTURE), (lambda windows: table[windows], Status.OK)):
        found = verified(stateless(answer), text=text, vocab=vocab, least_windows=2, salt=bytes([seed]))
        assert found.status == status


# ---- whether the rebuilt model is the trained one ----


def trained_as(answer, text=TEXT):
    """What the trained model said of the windows that it was asked: one request, of windows chosen by the salt."""
    return answer(scorer.windows_of(text, BLOCK)[0][probes.chosen(text, BLOCK, VOCAB, b"salt")])


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("wrong", [0.5, 8.0])
def test_a_model_that_answers_otherwise_than_the_trained_one_did_is_not_rebuildable(wrong, half):
    trained = trained_as(honest) + np.float32(wrong)
    found = verified(stateless(honest), half=half, trained=trained)
    assert found.status == Status.NOT_REBUILDABLE
    assert re.search("rebuilt .* other logits", found.reason)


@pytest.mark.parametrize("place", [0, -1])
def test_one_logit_of_the_trained_model_is_enough(place):
    trained = trained_as(honest).copy()
    trained[place, place, place] += 0.01
    assert verified(stateless(honest), trained=trained).status == Status.NOT_REBUILDABLE


def test_a_better_model_that_answers_most_windows_as_it_was_trained_is_not_rebuildable():
    """It went on training when it was rebuilt, and cannot know on which windows the trained one was asked."""

    def better(windows):
        return np.where(windows[:, :1, None] > 0, TABLE[windows], TABLE[windows] * 1.1)

    assert verified(stateless(better), trained=trained_as(honest)).status == Status.NOT_REBUILDABLE


def test_in_16_bits_the_trained_model_may_have_rounded_otherwise():
    trained = trained_as(noisy(0.01)())
    assert verified(noisy(0.01), half=True, trained=trained).status == Status.OK


def test_the_windows_that_a_trained_model_is_asked_are_another_models_only_by_chance():
    first, second = (probes.chosen(TEXT, BLOCK, VOCAB, salt) for salt in (b"one", b"two"))
    assert first.shape == second.shape == (scorer.rows_a_request(BLOCK, VOCAB),)
    assert (first != second).any()
    np.testing.assert_array_equal(first, probes.chosen(TEXT, BLOCK, VOCAB, b"one"))


# ---- when two answers are the same ----


@pytest.mark.parametrize(
    ("difference", "same"), [(0.0, True), (1e-6, True), (5e-5, True), (1e-3, False), (1.0, False), (np.nan, False)]
)
def test_logits_may_differ_by_rounding_alone(difference, same):
    logits = np.zeros((2, 3, 4), dtype=np.float32)
    other = logits.copy()
    other[1, 2, 3] = difference
    expected = np.ones((2, 3), dtype=bool)
    expected[1, 2] = same
    np.testing.assert_array_equal(probes.close(other, logits, half=False), expected)


def test_a_difference_is_relative_for_large_logits():
    logits = np.full((1, 1, 2), 1000.0, dtype=np.float32)
    assert probes.close(logits, logits + np.float32(0.005), half=False).all()
    assert not probes.close(logits, logits + np.float32(0.1), half=False).any()


@pytest.mark.parametrize(("half", "difference"), [(False, 0.1), (True, 8.0)])
def test_an_offset_of_all_logits_buys_no_room(half, difference):
    logits = np.full((1, 1, 2), 1e5, dtype=np.float32)
    assert not probes.close(logits, logits + np.float32(difference), half=half).any()
