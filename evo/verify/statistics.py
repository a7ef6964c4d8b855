"""Statistics of losses on several seeds: difference with interval and p, corrections, power.

Pure functions over losses in nats a token; lower is better. The caller decides what is compared, and how often, before it sees
the losses. scipy is imported in the functions that need it, because its import is slow.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev, variance

ALPHA = 0.01
"""One-sided level of a verdict."""
CONFIDENCE = 0.95
"""Two-sided level of the interval of a comparison."""
MAX_SPLITS = 200_000
"""Largest number of splits in two groups that is enumerated: 12,870 for 8 and 8, 184,756 for 10 and 10."""
_LARGEST = 1e100
_TIE = 1e-9
"""Fraction of the range of all losses. Sums that differ by less are equal up to the order of addition."""


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`. No field is NaN or infinite.

    Losses and differences are in nats a token; a negative difference means a better candidate. `n_candidate` includes failed
    seeds, which count as worst. `n_baseline` excludes failed seeds, which are left out.
    """

    difference: float | None
    """Mean of the candidate less mean of the baseline. None if one side has no loss."""
    low: float | None
    high: float | None
    """Welch's interval of the difference at `CONFIDENCE`. None with fewer than two losses on a side or without any spread."""
    p: float
    """One-sided p of Welch's test that the candidate's mean is lower. 1.0 with too few losses."""
    p_permutation: float | None
    """The same by exact permutation of the losses. None if there are more than `MAX_SPLITS` splits."""
    df: float | None
    """Welch–Satterthwaite degrees of freedom. None if `low` is None."""
    n_candidate: int
    n_baseline: int
    mean_candidate: float | None
    mean_baseline: float | None
    sd_candidate: float | None
    sd_baseline: float | None
    failed_candidate: int
    """Number of failed seeds. For each, `difference`, interval, mean and sd use a penalty in place of a loss."""
    failed_baseline: int


def compare(candidate: Sequence[float | None], baseline: Sequence[float | None]) -> Comparison:
    """Compare the losses of one candidate, chosen beforehand, with those of the baseline on fresh seeds.

    None is a failed seed. NaN, infinities and numbers beyond 1e100 are failures too. A failure never helps a candidate:

    - A failed seed of the candidate counts as worse than every loss: the largest loss of both groups plus the range of both (plus
      1 nat if the range is 0). Such a loss also widens the spread, which can lower the p of a t-test, so `p` is the largest
      over counting none, some or all of the failed seeds. The permutation p cannot fall in this way.
    - A failed seed of the baseline is left out. Counted as worst, it would favour the candidate.

    With fewer than two losses on a side, `p` is 1.0. If no group has any spread, there is no standard error, and `p` is that
    of the permutation test: 1 / C(n + m, n) for a lower candidate, else 1.0.

    Returns:
        Formulas: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are
        involved", Biometrika 34 (1947); degrees of freedom: F. E. Satterthwaite, Biometrics Bulletin 2 (1946);
        permutation: R. A. Fisher, The Design of Experiments (1935), §21.
    """
    losses, against = _losses(candidate), _losses(baseline)
    failed = len(candidate) - len(losses)
    counted = losses
    if failed and losses:
        lowest, highest = min(losses + against), max(losses + against)
        counted = losses + [highest + ((highest - lowest) or 1.0)] * failed
    difference = fmean(counted) - fmean(against) if losses and against else None
    interval = _interval(counted, against)
    return Comparison(
        difference=difference,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        p=max(_welch_p(counted[:n], against) for n in range(len(losses), len(counted) + 1)),
        p_permutation=_permutation_p(counted, against),
        df=interval[2] if interval else None,
        n_candidate=len(candidate),
        n_baseline=len(against),
        mean_candidate=fmean(counted) if counted else None,
        mean_baseline=fmean(against) if against else None,
        sd_candidate=stdev(counted) if len(counted) > 1 else None,
        sd_baseline=stdev(against) if len(against) > 1 else None,
        failed_candidate=failed,
        failed_baseline=len(baseline) - len(against),
    )


def is_better(p: float | None, level: float = ALPHA) -> bool:
    """Return whether a one-sided p is below `level`. False for None and NaN."""
    return p is not None and p < level


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p of each test, in the given order. NaN counts as 1.

    An adjusted p is below α if the step-down test rejects at familywise error α.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979).
    """
    values = [1.0 if math.isnan(p) else p for p in p_values]
    adjusted, largest = [1.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def power(difference_in_sd: float, n: int, alpha: float = ALPHA) -> float:
    """Return the probability that a one-sided t-test at `alpha` finds a true difference with `n` seeds on each side.

    The difference is in standard deviations, which are assumed to be equal; then Welch's test differs from Student's in the
    third decimal. 0 for n < 2. Source: under the difference δ the statistic is noncentral t with 2n − 2 degrees of
    freedom and noncentrality δ √(n / 2) (J. Cohen, Statistical Power Analysis, 2nd ed., 1988, §2.5 and §12).
    """
    if n < 2:
        return 0.0
    from scipy import special  # type: ignore[import-untyped]

    critical = special.stdtrit(2 * n - 2, 1 - alpha)
    return float(1 - special.nctdtr(2 * n - 2, difference_in_sd * math.sqrt(n / 2), critical))


def detectable_difference(sd: float, n: int, alpha: float = ALPHA, power: float = 0.9) -> float:
    """Return the smallest true difference of means, in the unit of `sd`, that is found with probability `power`.

    Inverse of `power`. 0 for a power that chance alone gives. Infinite for n < 2.
    """
    if n < 2:
        return math.inf
    from scipy import special

    df = 2 * n - 2
    noncentrality = float(special.nctdtrinc(df, 1 - power, special.stdtrit(df, 1 - alpha)))
    return max(0.0, noncentrality) * sd * math.sqrt(2 / n)


def pooled_sd(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation within groups: √(Σ (n − 1) s² / Σ (n − 1)). None if no group has two values."""
    spread = [(len(group) - 1, variance(group)) for group in groups if len(group) > 1]
    freedom = sum(df for df, _ in spread)
    return math.sqrt(math.fsum(df * s2 for df, s2 in spread) / freedom) if freedom else None


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of a probability after `events` in independent `trials`. 1.0 for no trials.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934); a quantile of Beta(events + 1, trials − events).

    Raises:
        ValueError: `events` is negative or exceeds `trials`.
    """
    if not 0 <= events <= trials:
        raise ValueError(f"expected 0 <= events <= trials, found {events} events in {trials} trials")
    if events == trials:
        return 1.0
    from scipy import special

    return float(special.betaincinv(events + 1, trials - events, confidence))


def _losses(values: Sequence[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and abs(value) < _LARGEST]  # False for NaN


def _error(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """Return the standard error of the difference of means and its degrees of freedom. None without any spread."""
    if len(first) < 2 or len(second) < 2:
        return None
    ours, theirs = variance(first) / len(first), variance(second) / len(second)
    if not ours + theirs > 0:
        return None
    share = ours / (ours + theirs)
    df = 1 / (share**2 / (len(first) - 1) + (1 - share) ** 2 / (len(second) - 1))
    return math.sqrt(ours + theirs), df


def _interval(candidate: Sequence[float], baseline: Sequence[float]) -> tuple[float, float, float] | None:
    """Return the ends of Welch's interval of the difference and the degrees of freedom."""
    error = _error(candidate, baseline)
    if error is None:
        return None
    from scipy import special

    difference, (se, df) = fmean(candidate) - fmean(baseline), error
    half = float(special.stdtrit(df, (1 + CONFIDENCE) / 2)) * se
    return difference - half, difference + half, df


def _welch_p(candidate: Sequence[float], baseline: Sequence[float]) -> float:
    if len(candidate) < 2 or len(baseline) < 2:
        return 1.0
    difference, error = fmean(candidate) - fmean(baseline), _error(candidate, baseline)
    if error is None:
        splits = math.comb(len(candidate) + len(baseline), len(candidate))
        return 1 / splits if difference < 0 else 1.0
    from scipy import special

    se, df = error
    return float(special.stdtr(df, difference / se))


def _permutation_p(candidate: Sequence[float], baseline: Sequence[float]) -> float | None:
    """Return the share of all splits, the observed one included, whose candidate mean is at most the observed one."""
    n, total = len(candidate), len(candidate) + len(baseline)
    splits = math.comb(total, n)
    if not candidate or not baseline:
        return 1.0
    if splits > MAX_SPLITS:
        return None
    import numpy as np

    losses = np.array([*candidate, *baseline])
    losses -= losses.min()
    chosen = np.fromiter(itertools.chain.from_iterable(itertools.combinations(range(total), n)), np.intp, splits * n)
    sums = losses[chosen].reshape(splits, n).sum(axis=1)
    return float(np.mean(sums <= losses[:n].sum() + _TIE * losses.max()))
