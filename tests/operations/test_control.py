"""Control charts: NIST's limits, the published run lengths, signals where they were planted and none by few points."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import OperationsError, SmallSampleWarning
from sqmodel.numerics.control import RULES, detect, moving_range, simulate_stable
from sqmodel.operations.control import WESTERN_ELECTRIC, ControlChart, chart_counts, chart_individuals
from tests.oracles import shared


def names(n: int) -> list[str]:
    return [f"{2020 + i // 12}-{1 + i % 12:02d}" for i in range(n)]


def chart(values: Any, **options: Any) -> ControlChart:
    return chart_individuals(values, labels=names(len(values)), **{"draws": 200, **options})


def test_limits_of_nist() -> None:
    known = json.loads(shared("oracles", "index_and_operations.json").read_text(encoding="utf-8"))["xmr_nist"]
    found = chart(known["x"])
    assert found.centre.value == pytest.approx(known["mean"], abs=1e-9)
    assert found.points["moving_range"].mean() == pytest.approx(known["mr"], abs=1e-6)
    assert found.points["upper"].iloc[0] == pytest.approx(known["UCL"], abs=5e-5)
    assert found.points["lower"].iloc[0] == pytest.approx(known["LCL"], abs=5e-5)
    assert found.stable


@pytest.mark.parametrize(
    ("rules", "published"),
    [
        (("beyond_limits",), 370.40),
        (("beyond_limits", "two_of_three"), 225.44),
        (("beyond_limits", "four_of_five"), 166.05),
        (("beyond_limits", "run_of_eight"), 152.73),
        (WESTERN_ELECTRIC, 91.75),
    ],
)
def test_average_run_lengths_of_champ_and_woodall(rules: tuple[str, ...], published: float) -> None:
    """Champ and Woodall (1987), table 1: points until the first false signal, with known limits."""
    z = np.random.default_rng(3).standard_normal((1500, 4000))
    flags = np.any([side != 0 for side in detect(z, rules).values()], axis=0)
    assert flags.any(axis=1).mean() > 0.99
    lengths = np.where(flags.any(axis=1), flags.argmax(axis=1) + 1, z.shape[1])
    assert lengths.mean() == pytest.approx(published, abs=4 * lengths.std() / np.sqrt(len(lengths)))


def signalled(values: list[float], rule: str) -> list[int]:
    return detect(values, [rule])[rule].tolist()


def test_each_rule_at_the_point_that_completes_its_pattern() -> None:
    assert signalled([0, 3.1, -3.1, 3.0], "beyond_limits") == [0, 1, -1, 0]
    assert signalled([2.1, 0, 2.1, 0, 2.1, -2.1, -2.1], "two_of_three") == [0, 0, 1, 0, 1, 0, -1]
    assert signalled([1.1, 1.1, 0, 1.1, 1.1, -1.1], "four_of_five") == [0, 0, 0, 0, 1, 0]
    assert signalled([-0.1] * 9 + [0.1], "run_of_eight") == [0] * 7 + [-1, -1, 0]
    assert signalled([0.1] * 9, "run_of_nine") == [0] * 8 + [1]
    assert signalled([1, 2, 3, 4, 5, 6, 6], "trend_of_six") == [0, 0, 0, 0, 0, 1, 0]
    assert signalled([7, 6, 5, 4, 3, 2, 1], "trend_of_seven") == [0, 0, 0, 0, 0, 0, -1]
    assert signalled([-2, 2, 1], "range_beyond_limit") == [0, 1, 0]


def test_a_missing_point_breaks_runs_and_trends() -> None:
    gap = [0.5] * 4 + [float("nan")] + [0.5] * 4
    assert not any(signalled(gap, "run_of_eight"))
    assert not any(signalled([1, 2, 3, float("nan"), 4, 5, 6], "trend_of_six"))
    assert np.isnan(moving_range([1.0, np.nan, 2.0])).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=40))
def test_signals_turn_with_the_sign(values: list[float]) -> None:
    for rule in RULES:
        one, other = detect(values, [rule])[rule], detect(-np.array(values), [rule])[rule]
        np.testing.assert_array_equal(one, other if rule == "range_beyond_limit" else -other)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 100), st.floats(-50, 50))
def test_a_chart_follows_its_unit(scale: float, shift: float) -> None:
    x = np.random.default_rng(1).normal(size=20)
    one, other = chart(x), chart(scale * x + shift)
    columns = ["centre", "lower", "lower_low", "lower_high", "upper", "upper_low", "upper_high"]
    np.testing.assert_allclose(other.points[columns], scale * one.points[columns] + shift, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(other.points["z"], one.points["z"], atol=1e-7)


def test_a_planted_shift_is_found_and_said_where() -> None:
    x = np.random.default_rng(5).normal(100, 5, 24)
    x[18:] += 30
    found = chart(x, baseline=12)
    assert not found.stable
    row = found.signals[found.signals["rule"] == "beyond_limits"].iloc[0]
    assert (row["side"], row["first"], row["last"], row["points"]) == ("high", names(24)[18], names(24)[23], 6)
    assert found.points["signals"].iloc[18] == "beyond_limits"
    assert found.settings["baseline"] == [names(24)[0], names(24)[11]]
    assert chart(x, baseline=(names(24)[0], names(24)[11])).centre == found.centre
    assert "1 signal" in repr(chart(x, baseline=12, rules=["beyond_limits"]))


def test_few_points_are_named_and_never_signal() -> None:
    values = [10.0, 11, 9, 10, 11, 10, 500]
    with pytest.warns(SmallSampleWarning, match="limits rest on 6 points; with fewer than 8 nothing signals"):
        found = chart(values, baseline=6)
    assert found.stable
    assert found.points["z"].iloc[6] > 3
    assert found.notes["code"].tolist() == ["few_points"]
    assert found.false_alarms["per_chart"].isna().all()
    assert found.points[["upper_low", "upper_high"]].notna().all(axis=None)
    assert "too few points for signals" in repr(found)


def test_intervals_narrow_with_points() -> None:
    rng = np.random.default_rng(2)
    widths = []
    for n in (10, 40, 160):
        points = chart(rng.normal(size=n), draws=1000).points.iloc[0]
        widths.append((points["upper_high"] - points["upper_low"]) / (points["upper"] - points["centre"]))
    assert widths[0] > 1.6 * widths[1] > 2 * widths[2]


def test_stated_false_alarms_match_a_fresh_simulation() -> None:
    found = chart(np.random.default_rng(8).normal(size=30), draws=4000)
    fresh = simulate_stable(np.ones(30), np.ones(30, bool), estimated=True, draws=4000, rng=99)
    for rule in WESTERN_ELECTRIC:
        share = (detect(fresh.z, [rule])[rule] != 0).any(axis=1).mean()
        assert found.false_alarms.loc[rule, "per_chart"] == pytest.approx(share, abs=0.03)
    assert found.false_alarms.loc["any", "per_chart"] >= found.false_alarms["per_chart"].iloc[:-1].max()


def test_no_variation_and_missing_points_are_noted() -> None:
    found = chart([5.0, 6.0, 6.0, 5.0, 5.0] * 2 + [np.nan, 7.0])
    assert found.notes["code"].tolist() == ["missing_points"]
    assert found.n == 11
    same = chart([5.0] * 9 + [np.nan])
    assert same.notes["code"].tolist() == ["no_variation", "missing_points"]
    assert same.stable
    assert same.points["reason"].tolist() == [""] * 9 + ["no value"]
    assert same.points[["lower", "upper", "z"]].isna().all(axis=None)
    walk = np.cumsum(np.random.default_rng(4).normal(size=40))
    assert "autocorrelation" in chart(walk).notes["code"].tolist()


def test_laney_widens_where_points_vary_more_than_chance() -> None:
    rng = np.random.default_rng(6)
    sizes = rng.integers(500, 2000, 40).astype(float)
    counts = rng.poisson(rng.gamma(0.05 * sizes / 4, 4))
    options: dict[str, Any] = {"labels": names(40), "per": 1000.0, "draws": 200}
    prime = chart_counts(counts, sizes, **options)
    plain = chart_counts(counts, sizes, **options, dispersion=False)
    assert (prime.method, plain.method) == ("u'", "u")
    assert prime.centre.value == pytest.approx(1000 * counts.sum() / sizes.sum())
    assert prime.sigma.low > 1.2
    assert (plain.sigma.value, plain.sigma.method) == (1.0, "known: Poisson or binomial")
    assert (prime.points["upper"] > plain.points["upper"]).all()
    assert len(prime.signals) < len(plain.signals)
    half = 3 * np.sqrt(plain.centre.value * 1000 / sizes)
    np.testing.assert_allclose(plain.points["upper"], plain.centre.value + half)
    np.testing.assert_allclose(
        (prime.points["upper"] - prime.centre.value) / (plain.points["upper"] - plain.centre.value), prime.sigma.value
    )


def test_shares_stay_shares_and_periods_without_cases_have_a_reason() -> None:
    counts, sizes = [1, 0, 2, 1, 0, 1, 2, 1, 0, 0], [20.0, 18, 22, 19, 21, 20, 20, 19, 0, 20]
    found = chart_counts(counts, sizes, labels=names(10), kind="share", draws=200)
    bounds = found.points[["lower", "upper", "lower_low", "upper_high"]].dropna()
    assert ((bounds >= 0) & (bounds <= 1)).all(axis=None)
    assert found.points["reason"].tolist() == [""] * 8 + ["no cases", ""]
    assert found.notes["code"].tolist() == ["missing_points", "few_events"]


def test_a_chart_survives_json() -> None:
    found = chart(np.random.default_rng(9).normal(size=20))
    again = ControlChart.from_json(json.loads(json.dumps(found.to_json())))
    pd.testing.assert_frame_equal(again.points, found.points, check_dtype=False)
    assert repr(again) == repr(found)
    assert again.centre == found.centre


def test_individual_charts_warn_but_say_so_only_where_points_are_few() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart(np.arange(8.0) % 3)


def refused(*arguments: Any, **options: Any) -> str:
    call = chart_counts if len(arguments) == 2 else chart_individuals
    with pytest.raises(OperationsError) as caught:
        call(*arguments, **options)
    return str(caught.value)


REMEDY = "  What to do: correct the values, their labels or the options of the chart"


def test_all_problems_of_a_chart_in_one_message() -> None:
    assert refused([1.0, np.inf, 3.0], labels=["a", "a"], rules=["beyond_limits", "seven_sigma"]) == (
        "control chart: 4 problems\n"
        "  - expected a label for each of 3 values, found 2\n"
        "  - expected every label once, found several times: a\n"
        "  - expected rules among beyond_limits, two_of_three, four_of_five, run_of_eight, run_of_nine, trend_of_six, "
        "trend_of_seven, range_beyond_limit, found: seven_sigma\n"
        f"  - expected finite values, found: inf\n{REMEDY}"
    )


def test_baselines_that_are_none() -> None:
    values, labels = [1.0, 2, 3], ["a", "b", "c"]
    assert refused(values, labels=labels, baseline=4) == (
        f"control chart: 1 problem\n  - expected a baseline of 2 to 3 points, found 4\n{REMEDY}"
    )
    assert refused(values, labels=labels, baseline=("a", "z")) == (
        f"control chart: 1 problem\n  - expected the first and last label of the baseline, found: a, z\n{REMEDY}"
    )
    assert refused(values, labels=labels, baseline=("c", "a")) == (
        f"control chart: 1 problem\n  - expected a baseline that begins before it ends, found c to a\n{REMEDY}"
    )


def test_counts_that_are_none() -> None:
    assert refused([1, -2, 5, 9], [10, 10, 0, 8], labels=list("abcd"), kind="share", per=0) == (
        "control chart: 4 problems\n"
        "  - expected `per` above 0, found 0\n"
        "  - expected counts of 0 or more, found others for: b\n"
        "  - expected no events where the size is 0, found some for: c\n"
        f"  - expected shares of at most 1, found more events than trials for: d\n{REMEDY}"
    )
    assert refused([1, 2], [10], labels=list("ab")) == (
        f"control chart: 1 problem\n  - expected a size for each of 2 counts, found 1\n{REMEDY}"
    )
