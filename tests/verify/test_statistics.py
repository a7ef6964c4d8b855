"""What losses on several seeds say: against scipy, by hand, by simulation, and whatever failed."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from evo.verify import statistics
from evo.verify.statistics import compare, detectable_difference, holm, is_better, pooled_sd, power, upper_bound

LOSSES = st.integers(1000, 4000).map(lambda thousandths: thousandths / 1000)
GROUP = st.lists(LOSSES, min_size=1, max_size=6)
ANYTHING = st.none() | st.floats() | LOSSES


def drawn(seed, n, m, shift=-0.02, scale=2.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(2.5 + shift, 0.02 * scale, n)).tolist(), rng.normal(2.5, 0.02, m).tolist()


# ---- against scipy ----


@pytest.mark.parametrize(("n", "m"), [(8, 8), (2, 8), (8, 3), (5, 5), (48, 48)])
def test_welch_p_interval_and_degrees_of_freedom_are_scipys(n, m):
    for seed in range(5):
        candidate, baseline = drawn(seed, n, m)
        found = compare(candidate, baseline)
        less = stats.ttest_ind(candidate, baseline, equal_var=False, alternative="less")
        both = stats.ttest_ind(candidate, baseline, equal_var=False).confidence_interval(0.95)
        assert found.p == pytest.approx(less.pvalue, rel=1e-9)
        assert found.df == pytest.approx(less.df, rel=1e-9)
        assert (found.low, found.high) == pytest.approx((both.low, both.high), rel=1e-9)
        assert found.difference == pytest.approx(np.mean(candidate) - np.mean(baseline))
        assert found.sd_candidate == pytest.approx(np.std(candidate, ddof=1))
        assert found.sd_baseline == pytest.approx(np.std(baseline, ddof=1))


@pytest.mark.parametrize("values", [drawn(1, 8, 8), drawn(2, 3, 6, shift=0.1), ([2.5, 2.5, 2.4], [2.5, 2.4, 2.6, 2.5])])
def test_permutation_p_is_scipys_exact_one(values):
    expected = stats.permutation_test(
        values,
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True,
        n_resamples=np.inf,
        alternative="less",
    )
    assert compare(*values).p_permutation == pytest.approx(expected.pvalue, rel=1e-12)


def test_more_splits_than_are_enumerated_leave_no_permutation_p():
    assert compare(*drawn(1, 10, 10)).p_permutation is not None
    assert compare(*drawn(1, 11, 11)).p_permutation is None


# ---- by hand ----


def test_two_and_two_by_hand():
    # Means 1.5 and 3.5, variances 1/2: standard error √(1/4 + 1/4), t = −2 √2 with 2 degrees of freedom, of which the
    # distribution function is 1/2 + t / (2 √(2 + t²)) = 1/2 − √0.2.
    found = compare([1.0, 2.0], [3.0, 4.0])
    assert found.difference == -2
    assert found.df == pytest.approx(2)
    assert found.p == pytest.approx(0.5 - math.sqrt(0.2))
    assert found.p_permutation == pytest.approx(1 / 6)
    assert (found.low, found.high) == pytest.approx((-2 - 4.302653 * math.sqrt(0.5), -2 + 4.302653 * math.sqrt(0.5)))


def test_the_lowest_eight_of_sixteen_are_one_split_in_12870():
    candidate, baseline = [1 + i / 100 for i in range(8)], [2 + i / 100 for i in range(8)]
    assert compare(candidate, baseline).p_permutation == pytest.approx(1 / 12870)
    assert compare(baseline, candidate).p_permutation == 1.0


def test_ties_count_against_the_candidate():
    # Splits of 1, 1, 2, 2 in two: one sum of 2, four of 3, one of 4; the observed sum is 3.
    assert compare([1.0, 2.0], [1.0, 2.0]).p_permutation == pytest.approx(5 / 6)
    # 0.1 + 0.2 is not 0.3 in floating point; added in any order, it is the same sum.
    assert compare([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]).p_permutation == pytest.approx(14 / 20)


# ---- little or nothing to compare ----


@pytest.mark.parametrize(("n", "m"), [(0, 8), (8, 0), (1, 8), (8, 1), (1, 1), (0, 0)])
def test_fewer_than_two_losses_a_side_are_never_better(n, m):
    found = compare([1.0] * n, [2.0 + i / 10 for i in range(m)])
    assert found.p == 1.0
    assert not is_better(found.p)
    assert found.low is found.high is found.df is None
    assert (found.difference is None) == (n == 0 or m == 0)


def test_one_group_without_spread_is_compared_by_the_others():
    candidate, baseline = [2.4] * 4, [2.5, 2.52, 2.48, 2.51]
    expected = stats.ttest_1samp(baseline, 2.4, alternative="greater")
    found = compare(candidate, baseline)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.df == pytest.approx(3)


def test_no_spread_at_all_falls_back_on_the_permutation():
    found = compare([2.4] * 8, [2.5] * 8)
    assert found.p == found.p_permutation == pytest.approx(1 / 12870)
    assert found.low is found.df is None
    assert compare([2.5] * 8, [2.4] * 8).p == 1.0
    assert compare([2.5] * 8, [2.5] * 8).p == 1.0
    assert compare([2.5] * 8, [2.5] * 8).p_permutation == 1.0
    assert not is_better(compare([2.4] * 2, [2.5] * 2).p)


# ---- failures ----


def test_a_failed_candidate_seed_is_the_worst_loss_plus_the_range():
    found = compare([1.0, 2.0, None], [2.0, 4.0])
    assert found.mean_candidate == pytest.approx((1 + 2 + 7) / 3)
    assert (found.n_candidate, found.failed_candidate) == (3, 1)
    assert compare([2.0, None], [2.0, 2.0]).mean_candidate == pytest.approx(2.5)


def test_a_failed_baseline_seed_is_left_out():
    found = compare([1.0, 2.0], [3.0, None, 4.0])
    assert found.failed_baseline == 1
    assert dataclasses.replace(found, failed_baseline=0) == compare([1.0, 2.0], [3.0, 4.0])


@pytest.mark.parametrize("failure", [None, math.nan, math.inf, -math.inf, -1e200])
def test_what_is_no_loss_is_a_failure(failure):
    assert compare([1.0, 2.0, failure], [3.0, 4.0]) == compare([1.0, None, 2.0], [3.0, 4.0])
    assert compare([1.0, 2.0], [3.0, failure, 4.0]) == compare([1.0, 2.0], [3.0, 4.0, None])


def test_a_candidate_that_always_failed_has_no_difference():
    found = compare([None] * 8, [2.5, 2.6])
    assert (found.difference, found.mean_candidate, found.p, found.p_permutation) == (None, None, 1.0, 1.0)
    assert (found.n_candidate, found.failed_candidate) == (8, 8)


def test_one_failure_in_eight_undoes_a_clear_difference():
    candidate, baseline = drawn(3, 8, 8, shift=-0.1, scale=1)
    assert is_better(compare(candidate, baseline).p)
    assert not is_better(compare([*candidate[:7], None], baseline).p)


@settings(deadline=None)
@given(GROUP, GROUP, st.integers(0, 2))
def test_one_more_failed_candidate_seed_never_lowers_p(candidate, baseline, failed):
    before, after = (compare(candidate + [None] * count, baseline) for count in (failed, failed + 1))
    assert after.p >= before.p
    assert after.p_permutation >= before.p_permutation - 1e-12
    assert after.difference >= before.difference


@given(st.lists(st.none() | LOSSES, max_size=6), st.lists(st.none() | LOSSES, max_size=6))
def test_one_more_failed_baseline_seed_changes_no_figure(candidate, baseline):
    before, after = compare(candidate, baseline), compare(candidate, [*baseline, None])
    assert after == dataclasses.replace(before, failed_baseline=before.failed_baseline + 1)


# ---- whatever the losses ----


@settings(deadline=None)
@given(st.lists(ANYTHING, max_size=6), st.lists(ANYTHING, max_size=6))
def test_nothing_that_comes_out_is_nan_or_infinite(candidate, baseline):
    found = dataclasses.asdict(compare(candidate, baseline))
    assert all(value is None or math.isfinite(value) for value in found.values())
    assert 0 <= found["p"] <= 1


@settings(deadline=None)
@given(GROUP, GROUP)
def test_a_permutation_p_lies_between_one_split_and_all(candidate, baseline):
    splits = math.comb(len(candidate) + len(baseline), len(candidate))
    assert 1 / splits - 1e-12 <= compare(candidate, baseline).p_permutation <= 1


@settings(deadline=None)
@given(GROUP, GROUP, st.integers(-3, 3), st.integers(0, 2))
def test_adding_a_constant_to_every_loss_changes_no_p(candidate, baseline, shift, failed):
    here = compare(candidate + [None] * failed, baseline)
    there = compare([x + shift for x in candidate] + [None] * failed, [x + shift for x in baseline])
    if here.df is None or there.df is None or min(here.p, there.p) < 1e-9:
        return  # a spread of rounding errors alone
    assert there.p_permutation == pytest.approx(here.p_permutation)
    assert there.difference == pytest.approx(here.difference, abs=1e-9)
    assert there.p == pytest.approx(here.p, abs=1e-6)


@settings(deadline=None)
@given(st.lists(LOSSES, min_size=2, max_size=6))
def test_a_group_against_itself_is_at_best_a_half(losses):
    found = compare(losses, losses)
    assert found.p >= 0.5 - 1e-9
    assert found.p_permutation >= 0.5


@settings(deadline=None)
@given(st.lists(LOSSES, min_size=2, max_size=6), st.lists(LOSSES, min_size=2, max_size=6))
def test_one_of_two_directions_is_never_better(first, second):
    assert compare(first, second).p + compare(second, first).p >= 1 - 1e-9
    assert compare(first, second).p_permutation + compare(second, first).p_permutation >= 1


def test_under_equal_means_and_unequal_spreads_p_is_below_alpha_as_often_as_it_says():
    rng = np.random.default_rng(7)
    trials = 1500
    better = sum(is_better(compare(rng.normal(0, 3, 8), rng.normal(0, 1, 8)).p, 0.05) for _ in range(trials))
    assert better / trials == pytest.approx(0.05, abs=0.02)


# ---- several tests, power, bounds ----


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([math.nan, 0.001]) == pytest.approx([1.0, 0.002])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_raises_every_p_and_stays_at_most_one(values):
    adjusted = holm(values)
    assert all(raw <= p <= 1 for raw, p in zip(values, adjusted, strict=True))
    pairs = sorted(zip(values, adjusted, strict=True))
    assert [p for _, p in pairs] == sorted(adjusted)


def test_is_better_below_the_level_only():
    assert is_better(0.0099)
    assert not is_better(0.01)
    assert not is_better(None)
    assert not is_better(math.nan)
    assert is_better(0.04, level=0.05)


def test_power_of_eight_seeds_at_two_standard_deviations_is_what_is_simulated():
    rng = np.random.default_rng(11)
    candidate, baseline = rng.normal(-2, 1, (20_000, 8)), rng.normal(0, 1, (20_000, 8))
    p = stats.ttest_ind(candidate, baseline, axis=1, equal_var=False, alternative="less").pvalue
    assert power(2.0, 8, 0.01) == pytest.approx(0.89, abs=0.02)
    assert power(2.0, 8, 0.01) == pytest.approx(np.mean(p < 0.01), abs=0.02)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 40])
@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9])
def test_a_detectable_difference_is_the_one_that_scipys_noncentral_t_gives(n, wanted):
    found = detectable_difference(0.02, n, 0.01, wanted)
    critical = stats.t.ppf(0.99, 2 * n - 2)
    root = optimize.brentq(lambda nc: stats.nct.sf(critical, 2 * n - 2, nc) - wanted, 0, 100)
    assert found == pytest.approx(root * 0.02 * math.sqrt(2 / n), rel=1e-4)
    assert power(found / 0.02, n, 0.01) == pytest.approx(wanted, abs=1e-4)


def test_one_seed_detects_nothing():
    assert detectable_difference(0.02, 1) == math.inf
    assert power(10.0, 1) == 0.0
    assert power(0.0, 8, 0.05) == pytest.approx(0.05)
    assert detectable_difference(0.02, 8, 0.05, power=0.01) == 0.0


def test_a_pooled_sd_weighs_groups_by_their_degrees_of_freedom():
    assert pooled_sd([[1.0, 3.0], [0.0, 1.0, 2.0], [7.0]]) == pytest.approx(math.sqrt((2 + 2) / 3))
    assert pooled_sd([[1.0], []]) is None
    assert pooled_sd([]) is None


def test_upper_bounds_are_clopper_and_pearsons():
    assert upper_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert 0.049 < upper_bound(0, 59) < 0.05
    assert upper_bound(4, 200) == pytest.approx(0.045, abs=0.001)
    assert upper_bound(4, 200) == pytest.approx(stats.binomtest(4, 200, alternative="less").proportion_ci(0.95).high)
    assert upper_bound(0, 0) == upper_bound(3, 3) == 1.0
    with pytest.raises(ValueError, match="4 events in 3"):
        upper_bound(4, 3)


def test_importing_it_imports_no_scipy():
    code = f"import sys, {statistics.__name__}; assert not any(name.startswith('scipy') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
