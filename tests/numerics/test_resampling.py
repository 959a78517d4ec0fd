"""Intervals by resampling: against plain loops, and the laws they obey."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqmodel.index.columns import Columns, difference
from sqmodel.numerics import resampling
from sqmodel.numerics.resampling import (
    SMALLEST_STUDENTISED,
    STUDENT,
    bootstrap_totals,
    jackknife_interval,
    merge_small_strata,
    resample_counts,
)

Array = npt.NDArray[np.float64]


def ratios(t: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Two statistics of (weight, w x, w y): a mean, and the logarithm of a ratio of means."""
    return np.stack([t[..., 1] / t[..., 0], np.log(t[..., 2] / t[..., 1])], axis=-1)


def sample(n: int, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.4, 2.5, n)
    return np.column_stack([weight, weight * rng.gamma(2, 3, n), weight * rng.gamma(3, 1, n)])


def looped_se(rows: Array, strata: list[int], gradient: Callable[[Array], list[list[float]]]) -> list[float]:
    """Linearised standard errors in plain Python: the gradient at the totals, variances within strata."""
    slopes = gradient(rows.sum(axis=0))
    variances = [0.0] * len(slopes)
    for h in sorted(set(strata)):
        members = [row for row, s in zip(rows, strata, strict=True) if s == h]
        for j, slope in enumerate(slopes):
            influence = [sum(g * v for g, v in zip(slope, row, strict=True)) for row in members]
            mean = sum(influence) / len(influence)
            spread = sum((i - mean) ** 2 for i in influence)
            variances[j] += len(members) / (len(members) - 1) * spread
    return [math.sqrt(v) for v in variances]


def gradient_of_ratios(t: Array) -> list[list[float]]:
    """Worked out by hand."""
    return [[-t[1] / t[0] ** 2, 1 / t[0], 0.0], [0.0, -1 / t[1], 1 / t[2]]]


@pytest.mark.parametrize("stratified", [False, True])
def test_studentised_interval_equals_a_plain_loop_over_the_same_draws(stratified: bool) -> None:
    n, draws, level = 75, 60, 0.9
    x = sample(n)
    strata = [i % 3 for i in range(n)] if stratified else [0] * n
    found = bootstrap_totals(x, ratios, rng=11, draws=draws, level=level, strata=strata if stratified else None)
    counts = np.concatenate(list(resample_counts(np.array(strata), draws, np.random.default_rng(11))))
    estimate, se = ratios(x.sum(axis=0)), looped_se(x, strata, gradient_of_ratios)
    pivots: list[list[float]] = []
    for count in counts.astype(int):
        chosen = [i for i, c in enumerate(count) for _ in range(c)]
        errors = looped_se(x[chosen], [strata[i] for i in chosen], gradient_of_ratios)
        values = ratios(x[chosen].sum(axis=0))
        pivots.append([(v - e) / s for v, e, s in zip(values, estimate, errors, strict=True)])
    upper, lower = np.quantile(pivots, [0.95, 0.05], axis=0)
    np.testing.assert_allclose(found.se, se, rtol=1e-10)
    np.testing.assert_allclose(found.pivots, pivots, rtol=1e-7)
    np.testing.assert_allclose(found.low, estimate - upper * np.array(se), rtol=1e-9)
    np.testing.assert_allclose(found.high, estimate - lower * np.array(se), rtol=1e-9)
    assert found.method == "studentised bootstrap"


def test_gradient_equals_finite_differences() -> None:
    totals = sample(40).sum(axis=0)
    exact = resampling._gradient(ratios, totals[None])[0]
    for j, step in enumerate(1e-6 * totals):
        shift = np.eye(3)[j] * step
        slope = (ratios(totals + shift) - ratios(totals - shift)) / (2 * step)
        np.testing.assert_allclose(exact[:, j], slope, rtol=1e-6, atol=1e-9)


def test_basic_bootstrap_divides_by_the_standard_error_of_the_sample() -> None:
    x = sample(30)
    found = bootstrap_totals(x, ratios, rng=2, draws=200, studentise=False)
    np.testing.assert_allclose(found.pivots, (found.draws - found.estimate) / found.se)
    np.testing.assert_allclose(found.high, 2 * found.estimate - np.quantile(found.draws, 0.025, axis=0))
    assert found.method == "basic bootstrap"


def test_standard_error_of_a_mean_is_the_textbook_one() -> None:
    x = np.arange(1.0, 41.0)
    found = bootstrap_totals(np.column_stack([x, np.ones(40)]), lambda t: t[..., :1] / t[..., 1:], rng=1)
    assert found.se[0] == pytest.approx(x.std(ddof=1) / math.sqrt(40), rel=1e-12)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 50))
def test_counts_keep_the_size_of_every_stratum(labels: list[int], draws: int) -> None:
    strata = np.unique(labels, return_inverse=True)[1].astype(np.intp)
    counts = np.concatenate(list(resample_counts(strata, draws, np.random.default_rng(0))))
    assert counts.shape == (draws, len(labels))
    for h in range(strata.max() + 1):
        assert (counts[:, strata == h].sum(axis=1) == (strata == h).sum()).all()


def test_counts_come_in_blocks_that_add_up_to_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_BLOCK", 70)
    blocks = list(resample_counts(np.zeros(10, np.intp), 25, np.random.default_rng(0)))
    assert [len(b) for b in blocks] == [7, 7, 7, 4]


def test_long_and_short_samples_are_counted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    strata = np.repeat([0, 1], [30, 12]).astype(np.intp)
    short = list(resample_counts(strata, 20, np.random.default_rng(3)))
    monkeypatch.setattr(resampling, "_LONG_ROW", 5)
    np.testing.assert_array_equal(short, list(resample_counts(strata, 20, np.random.default_rng(3))))


def test_every_respondent_is_drawn_once_on_average() -> None:
    (counts,) = resample_counts(np.zeros(20, np.intp), 20_000, np.random.default_rng(5))
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=5 * math.sqrt(0.95 / 20_000))
    np.testing.assert_allclose(counts.var(axis=0), 0.95, atol=0.06)


@pytest.mark.parametrize(
    ("strata", "expected"),
    [
        (None, [0, 0, 0, 0, 0]),
        (["a", "a", "b", "b", "b"], [0, 0, 1, 1, 1]),
        (["a", "b", "b", "c", "c"], [0, 0, 0, 1, 1]),
        (["a", "b", "c", "c", "c"], [0, 0, 0, 0, 0]),
        (["a", "b", "c", "d", "e"], [0, 0, 0, 0, 0]),
        (["a", "a", "a", "a", "a"], [0, 0, 0, 0, 0]),
    ],
)
def test_strata_of_one_join_the_largest(strata: list[str] | None, expected: list[int]) -> None:
    assert merge_small_strata(strata, 5).tolist() == expected


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40))
def test_no_stratum_of_one_is_left_and_others_stay_apart(labels: list[int]) -> None:
    codes = merge_small_strata(labels, len(labels))
    counts = np.bincount(codes)
    assert (counts >= 2).all()
    large = [v for v in set(labels) if labels.count(v) >= 2]
    found = {v: {int(c) for c, label in zip(codes, labels, strict=True) if label == v} for v in large}
    assert all(len(c) == 1 for c in found.values())
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(found.values(), 2))


@settings(max_examples=25)
@given(st.floats(1e-3, 1e3), st.integers(0, 10_000))
def test_weights_scaled_by_a_constant_change_nothing(factor: float, seed: int) -> None:
    x = sample(30, seed)
    first = bootstrap_totals(x, ratios, rng=7, draws=99)
    second = bootstrap_totals(factor * x, ratios, rng=7, draws=99)
    for name in ("estimate", "se", "low", "high"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-7, atol=1e-9)


@settings(max_examples=25)
@given(st.floats(-100, 100), st.integers(0, 10_000), st.sampled_from([12, 30]))
def test_interval_of_a_mean_moves_with_the_answers(shift: float, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.integers(1, 8, n).astype(float), rng.uniform(0.5, 2, n)
    x[:2] = 1, 7

    def bounds(values: Array) -> Array:
        book = Columns(w)
        b = book.bootstrap([book.mean(values)], rng=1, draws=99, level=0.95)
        return np.array([b.estimate[0], b.low[0], b.high[0]])

    np.testing.assert_allclose(bounds(x + shift), bounds(x) + shift, atol=1e-5)


def test_rows_of_one_respondent_are_drawn_together() -> None:
    rng = np.random.default_rng(4)
    people = np.repeat(np.arange(30), 2)
    quarter = np.tile([0, 1], 30).astype(bool)
    x = np.repeat(rng.normal(50, 15, 30), 2) + rng.normal(0, 1, 60)
    book = Columns(np.ones(60))
    change = difference(book.mean(np.where(quarter, x, np.nan)), book.mean(np.where(quarter, np.nan, x)))
    together = book.bootstrap([change], rng=1, draws=400, level=0.95, units=people)
    apart = book.bootstrap([change], rng=1, draws=400, level=0.95, strata=quarter)
    own = x[quarter] - x[~quarter]
    assert together.se[0] == pytest.approx(own.std(ddof=1) / math.sqrt(30), rel=1e-9)
    assert together.se[0] < apart.se[0] / 5
    assert together.draws.std() == pytest.approx(together.se[0], rel=0.15)


def test_order_of_units_and_their_strata_stay_together() -> None:
    rng = np.random.default_rng(8)
    people, x = np.repeat(np.arange(40), 2), rng.normal(size=80)
    strata = np.where(people < 15, "a", "b")
    shuffled = rng.permutation(80)
    book, other = Columns(np.ones(80)), Columns(np.ones(80))
    first = book.bootstrap([book.mean(x)], rng=1, draws=50, level=0.95, units=people, strata=strata)
    second = other.bootstrap(
        [other.mean(x[shuffled])], rng=1, draws=50, level=0.95, units=people[shuffled], strata=strata[shuffled]
    )
    np.testing.assert_allclose(first.low, second.low)
    np.testing.assert_allclose(first.high, second.high)


def test_strata_take_out_the_variance_between_them() -> None:
    rng = np.random.default_rng(9)
    strata = np.repeat([0, 1], 40)
    x = np.column_stack([np.ones(80), 100 * strata + rng.normal(0, 1, 80)])
    found = bootstrap_totals(x, lambda t: t[..., 1:] / t[..., :1], rng=0, strata=strata, draws=300)
    within = sum(x[strata == h, 1].var(ddof=1) / 40 / 4 for h in (0, 1))
    assert found.se[0] == pytest.approx(math.sqrt(within), rel=1e-9)
    assert found.draws.std() == pytest.approx(found.se[0], rel=0.15)


def test_simultaneous_bounds_use_the_largest_pivot_of_the_family() -> None:
    x = sample(50)
    found = bootstrap_totals(x, ratios, rng=3, draws=500)
    low, high = found.simultaneous()
    critical = np.quantile(np.abs(found.pivots).max(axis=1), 0.95)
    np.testing.assert_allclose(low, found.estimate - critical * found.se)
    np.testing.assert_allclose(high, found.estimate + critical * found.se)
    one_low, _ = found.simultaneous([True, False])
    assert one_low[0] > low[0]
    np.testing.assert_allclose((found.estimate - one_low) / found.se, np.quantile(np.abs(found.pivots[:, 0]), 0.95))


def test_simultaneous_bounds_cover_all_means_together() -> None:
    rng = np.random.default_rng(21)
    trials, hit = 200, 0
    for _ in range(trials):
        x = np.column_stack([np.ones(60), rng.exponential(1, (60, 5)) - 1])
        b = bootstrap_totals(x, lambda t: t[..., 1:] / t[..., :1], rng=rng, draws=300)
        low, high = b.simultaneous()
        hit += bool(((low <= 0) & (high >= 0)).all())
    assert 0.90 <= hit / trials <= 0.99


@pytest.mark.parametrize("n", [5, SMALLEST_STUDENTISED - 1, SMALLEST_STUDENTISED, 60])
@pytest.mark.parametrize("studentise", [True, False])
def test_equal_answers_have_an_interval_of_no_width(n: int, studentise: bool) -> None:
    x = np.column_stack([np.ones(n), np.full(n, 4.0), np.full(n, 2.0)])
    found = bootstrap_totals(x, ratios, rng=1, draws=50, studentise=studentise)
    np.testing.assert_allclose(found.se, 0, atol=1e-12)
    np.testing.assert_allclose(found.low, found.estimate, atol=1e-12)
    np.testing.assert_allclose(found.high, found.estimate, atol=1e-12)
    low, high = found.simultaneous()
    np.testing.assert_allclose(low, found.estimate, atol=1e-12)
    np.testing.assert_allclose(high, found.estimate, atol=1e-12)


def test_a_constant_statistic_does_not_widen_the_others() -> None:
    def both(t: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.stack([t[..., 1] / t[..., 0], 0 * t[..., 0] + 3], axis=-1)

    found = bootstrap_totals(sample(40)[:, :2], both, rng=1, draws=200)
    alone = bootstrap_totals(sample(40)[:, :2], lambda t: t[..., 1:] / t[..., :1], rng=1, draws=200)
    low, high = found.simultaneous()
    assert (low[0], low[1], high[1]) == pytest.approx((alone.simultaneous()[0][0], 3, 3))
    assert found.low[1] == found.high[1] == 3


def test_few_units_get_students_t_by_name() -> None:
    x = np.array([3.0, 5, 4, 7, 6, 2, 5, 6, 4, 5])
    found = bootstrap_totals(np.column_stack([np.ones(10), x]), lambda t: t[..., 1:] / t[..., :1], rng=1)
    interval = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert found.method == "linearised standard error, Student's t"
    assert (found.low[0], found.high[0]) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_students_t_has_welchs_degrees_of_freedom_over_strata() -> None:
    x = np.array([3.0, 5, 4, 7, 6, 12, 15, 16, 14, 15])
    found = bootstrap_totals(
        np.column_stack([np.ones(10), x]), lambda t: t[..., 1:] / t[..., :1], rng=1, strata=np.repeat([0, 1], 5)
    )
    own = [float(np.var(part, ddof=1)) for part in (x[:5], x[5:])]
    degrees = sum(own) ** 2 / sum(v**2 / 4 for v in own)
    assert found.degrees[0] == pytest.approx(degrees)
    assert (found.high[0] - found.estimate[0]) / found.se[0] == pytest.approx(stats.t.ppf(0.975, degrees))


def test_a_small_group_among_many_has_its_own_degrees_of_freedom() -> None:
    rng = np.random.default_rng(5)
    member, y = np.arange(400) < 10, rng.normal(5, 1, 400)
    columns = np.column_stack([member, member * y, ~member, ~member * y])
    found = bootstrap_totals(
        columns,
        lambda t: np.stack([t[..., 1] / t[..., 0], t[..., 3] / t[..., 2]], axis=-1),
        rng=1,
        draws=200,
        strata=member,
    )
    assert found.degrees == pytest.approx([9, 389])
    assert [found.method_of(j) for j in (0, 1)] == [STUDENT, "studentised bootstrap"]
    interval = stats.ttest_1samp(y[:10], 0).confidence_interval(0.95)
    assert (found.low[0], found.high[0]) == pytest.approx((interval.low, interval.high))


def test_statistic_without_a_value_in_most_draws_has_no_interval() -> None:
    n = 30
    member = np.arange(n) == 0
    x = np.column_stack([member, 5.0 * member, np.ones(n), np.arange(n)])

    def means(t: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.stack([t[..., 1] / t[..., 0], t[..., 3] / t[..., 2]], axis=-1)

    found = bootstrap_totals(x, means, rng=1, draws=200)
    assert found.low[1] < found.estimate[1] < found.high[1]
    assert found.estimate[0] == 5


def test_same_seed_same_interval_and_generator_moves_on() -> None:
    x = sample(30)
    one, two = (bootstrap_totals(x, ratios, rng=5, draws=50) for _ in range(2))
    np.testing.assert_array_equal(one.draws, two.draws)
    generator = np.random.default_rng(5)
    bootstrap_totals(x, ratios, rng=generator, draws=50)
    assert not np.array_equal(one.draws, bootstrap_totals(x, ratios, rng=generator, draws=50).draws)


def test_jackknife_of_a_mean_is_the_textbook_standard_error() -> None:
    x = np.random.default_rng(1).normal(10, 2, 50)
    left_out = (x.sum() - x) / 49
    se, low, high = jackknife_interval(x.mean(), left_out)
    assert se == pytest.approx(x.std(ddof=1) / math.sqrt(50), rel=1e-12)
    kurtosis = stats.kurtosis(x, fisher=False)
    critical = stats.t.ppf(0.975, min(49, 2 * 50 / (kurtosis - 1)))
    assert (low, high) == pytest.approx((x.mean() - critical * se, x.mean() + critical * se))


def test_jackknife_on_the_log_scale_is_the_same_on_log1m() -> None:
    values = 1 - np.random.default_rng(2).uniform(0.2, 0.4, 40)
    se, low, high = jackknife_interval(0.7, values, transform="log1m")
    plain_se, plain_low, plain_high = jackknife_interval(math.log(0.3), np.log(1 - values))
    assert se == pytest.approx(0.3 * plain_se)
    assert (1 - math.exp(plain_high), 1 - math.exp(plain_low)) == pytest.approx((low, high))
    assert high < 1


def test_jackknife_with_outlying_replicates_claims_fewer_degrees_of_freedom() -> None:
    calm, wild = np.tile([-1.0, 1.0], 50), np.zeros(100)
    wild[0] = math.sqrt(100)
    for replicates, degrees in ((calm, 99.0), (wild - wild.mean(), 2 * 100 / (stats.kurtosis(wild, fisher=False) - 1))):
        se, low, high = jackknife_interval(0.0, replicates)
        assert (high - low) / 2 / se == pytest.approx(stats.t.ppf(0.975, max(degrees, 2.0)))


@pytest.mark.parametrize(
    ("value", "replicates", "transform"),
    [(0.5, [0.5, 0.6], "identity"), (math.nan, [0.1, 0.2, 0.3], "identity"), (1.0, [0.9, 0.95, 1.0], "log1m"),
     (0.5, [math.nan, math.nan, 0.2, 0.4], "identity")],
)  # fmt: skip
def test_jackknife_is_undefined_where_it_cannot_know(value: float, replicates: list[float], transform: str) -> None:
    assert all(math.isnan(v) for v in jackknife_interval(value, replicates, transform=transform))


def test_jackknife_of_equal_replicates_has_no_width() -> None:
    assert jackknife_interval(0.7, [0.7] * 10) == (0.0, 0.7, 0.7)
