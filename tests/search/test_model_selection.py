"""Which model a candidate asks."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.config import Config, Model
from evo.model_selection import FIRST, choose, gain

BASELINE = {"id": 0, "asked": None, "base": 0, "val_loss": 2.5, "duplicate_of": None, "tokens": None, "cost_usd": None}


def models(*weights, **changes):
    return tuple(Model(name=f"m{n}", weight=weight, **changes) for n, weight in enumerate(weights))


def rows(*told):
    """The baseline, and a candidate for each (model, loss, tokens)."""
    found = [
        {
            "id": n,
            "asked": asked,
            "base": 0,
            "val_loss": loss,
            "duplicate_of": None,
            "tokens": tokens,
            "cost_usd": tokens / 1e6,
        }
        for n, (asked, loss, tokens) in enumerate(told, 1)
    ]
    return [BASELINE, *found]


def drawn(config, known, count=400):
    return Counter(choose(config, number, known).display_name for number in range(len(known), len(known) + count))


def test_one_model_is_always_asked():
    assert choose(Config(), 3, [BASELINE]).is_catalogue


def test_models_are_drawn_by_their_weights_and_one_of_none_never():
    found = drawn(Config(model=models(1, 3, 0)), [BASELINE])
    assert set(found) == {"m0", "m1"}
    assert found["m1"] == pytest.approx(300, abs=40)


def test_a_bandit_gives_every_model_its_first_chances():
    known = rows(*[("m0", 2.0, 1000)] * 10, *[("m1", 2.5, 1000)] * (FIRST - 1))
    assert set(drawn(Config(model=models(1, 1), choice="bandit"), known)) == {"m1"}


def test_a_bandit_prefers_what_improves_most_for_its_cost():
    known = rows(*[("m0", 2.4, 1000)] * 12, *[("m1", 2.4, 10_000)] * 12)
    found = drawn(Config(model=models(1, 1), choice="bandit"), known)
    assert found["m0"] > 350


def test_a_bandit_counts_dollars_where_every_price_is_known():
    known = rows(*[("m0", 2.4, 1000), ("m0", 2.6, 1000)] * 6, *[("m1", 2.4, 1000), ("m1", 2.6, 1000)] * 6)
    for row in known[13:]:
        row["cost_usd"] = 1.0
    cheap = drawn(Config(model=models(1, 1, price_in=1.0, price_out=1.0), choice="bandit"), known)
    assert cheap["m0"] > 350
    even = drawn(Config(model=models(1, 1), choice="bandit"), known)
    assert even["m0"] == pytest.approx(200, abs=60)


def test_a_bandit_keeps_trying_one_of_which_little_is_known():
    known = rows(*[("m0", 2.45, 1000)] * 10, *[("m0", 2.6, 1000)] * 20, *[("m1", None, 1000)] * FIRST)
    found = drawn(Config(model=models(1, 1), choice="bandit"), known)
    assert 0 < found["m1"] < found["m0"]


def test_a_gain_is_on_the_files_that_were_asked_about_and_none_for_a_twin():
    known = rows(("m0", 2.0, 1), ("m0", 1.9, 1), ("m0", 2.2, 1))
    known[2] |= {"base": 1}
    known[3] |= {"duplicate_of": 1}
    assert [gain(row, known) for row in known] == pytest.approx([0.0, 0.5, 0.1, 0.0])


@given(
    st.lists(st.tuples(st.sampled_from(["m0", "m1"]), st.none() | st.floats(1, 4), st.integers(0, 10**6)), max_size=20)
)
def test_the_choice_depends_on_nothing_but_seed_number_and_rows(told):
    config = Config(model=models(1, 2), choice="bandit")
    known = rows(*told)
    assert choose(config, 50, known) == choose(config, 50, [dict(row) for row in known])
