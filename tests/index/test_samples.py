"""Samples behind the indicators: rows, published errors and judges drawn again, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import CompositeError
from sqmodel.index.judgements import judge_weights
from sqmodel.index.samples import ErrorSample, JudgeSample, RowSample
from sqmodel.index.tree import IndexTree, Node


def rows(rng: np.random.Generator, sizes: dict[str, int], missing: float = 0.0) -> pd.DataFrame:
    unit = np.repeat(list(sizes), list(sizes.values()))
    frame = pd.DataFrame({"unit": unit, "a": rng.gamma(2, 5, len(unit)), "b": rng.normal(50, 10, len(unit))})
    frame.loc[rng.random(len(frame)) < missing, "a"] = np.nan
    frame["weight"] = rng.uniform(0.5, 2, len(frame))
    return frame.sample(frac=1, random_state=1)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["mean", "median"]))
@settings(max_examples=20)
def test_values_are_those_of_pandas(seed: int, statistic: Any) -> None:
    frame = rows(np.random.default_rng(seed), {"x": 7, "y": 1, "z": 12}, missing=0.2)
    sample = RowSample("rows", frame, unit="unit", columns=("a", "b"), statistic=statistic)
    known = frame.groupby("unit")[["a", "b"]].agg(statistic)
    pd.testing.assert_frame_equal(sample.values(), known, check_names=False)
    drawn = sample.draw(30, np.random.default_rng(seed))
    assert drawn.shape == (30, 3, 2)
    low, high = (frame.groupby("unit")[["a", "b"]].agg(f).to_numpy() for f in ("min", "max"))
    inside = (drawn >= low - 1e-9) & (drawn <= high + 1e-9) | np.isnan(drawn)
    assert inside.all()
    # The single row of y is always itself.
    assert np.ptp(drawn[:, 1, 1]) == 0


def test_weights_count_and_what_goes_together_stays_together() -> None:
    rng = np.random.default_rng(3)
    frame = rows(rng, {"x": 60, "y": 40})
    frame["b"] = 3 * frame["a"] + 1
    sample = RowSample("rows", frame, unit="unit", columns=("a", "b"), weight="weight")
    for unit, own in frame.groupby("unit"):
        assert sample.values().loc[str(unit), "a"] == pytest.approx(np.average(own["a"], weights=own["weight"]))
    drawn = sample.draw(200, rng)
    np.testing.assert_allclose(drawn[..., 1], 3 * drawn[..., 0] + 1)
    # As the delta method has it.
    own = frame[frame["unit"] == "x"]
    w = own["weight"] / own["weight"].sum()
    error = np.sqrt((w**2 * (own["a"] - np.average(own["a"], weights=w)) ** 2).sum())
    assert drawn[:, 0, 0].std() == pytest.approx(error, rel=0.15)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_spread_of_draws_is_that_of_new_samples(statistic: Any) -> None:
    rng = np.random.default_rng(8)
    new = rng.gamma(2, 5, (4000, 80))
    known = (new.mean(axis=1) if statistic == "mean" else np.median(new, axis=1)).std()
    found = [RowSample("s", pd.DataFrame({"unit": "x", "a": rng.gamma(2, 5, 80)}), unit="unit", columns=("a",),
                       statistic=statistic).draw(300, rng).std() for _ in range(40)]  # fmt: skip
    assert np.mean(found) == pytest.approx(known, rel=0.08)


def test_published_errors() -> None:
    estimates = pd.DataFrame({"a": [1.0, 2.0], "b": [5.0, np.nan]}, index=["x", "y"])
    errors = pd.DataFrame({"a": [0.1, 0.0], "b": [np.nan, 1.0]}, index=["x", "y"])
    drawn = ErrorSample("office", estimates, errors).draw(4000, np.random.default_rng(1))
    assert drawn[:, 0, 0].std() == pytest.approx(0.1, rel=0.05)
    assert (drawn[:, 1, 0] == 2).all()
    assert (drawn[:, 0, 1] == 5).all()
    assert np.isnan(drawn[:, 1, 1]).all()


def test_judges_drawn_again_give_the_jackknife_s_spread() -> None:
    rng = np.random.default_rng(4)
    truth = {"a": 3.0, "b": 1.5, "c": 1.0}
    told = [(f"J{j}", "I", x, y, truth[x] / truth[y] * np.exp(rng.normal(0, 0.25)))
            for j in range(12) for x, y in (("a", "b"), ("a", "c"), ("b", "c"))]  # fmt: skip
    frame = pd.DataFrame(told, columns=["judge", "branch", "a", "b", "value"])
    tree = IndexTree(name="t", nodes=(Node(code="I"), *(Node(code=c, parent="I") for c in ("c", "a", "b"))))
    sample, known = JudgeSample("judges", frame, tree), judge_weights(frame, tree=tree, gate=0.5).weights
    weights = known.set_index("element")["weight"]
    np.testing.assert_allclose(sample.values()["I"], weights[["c", "a", "b"]], rtol=1e-9)
    drawn = sample.draw(2000, rng)["I"]
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    half = (known.set_index("element")["high"] - known.set_index("element")["low"])[["c", "a", "b"]] / 2
    np.testing.assert_allclose(drawn.std(axis=0), half / 2.2, rtol=0.2)


def refused(build: Any) -> str:
    with pytest.raises(CompositeError) as caught:
        build()
    return str(caught.value)


def test_what_is_refused() -> None:
    frame = rows(np.random.default_rng(1), {"x": 3, "y": 3}).reset_index(drop=True)
    assert refused(lambda: RowSample("cases", frame, unit="branch", columns=("a", "hours"))) == (
        "cases: 2 problems\n  - expected a column 'branch', found none\n  - expected a column 'hours', found none\n"
        "  What to do: correct the rows of this sample"
    )
    bad = frame.astype(object)
    bad.loc[1, "a"], bad.loc[2, "unit"], bad.loc[3, "weight"] = "much", None, 0.0
    assert refused(
        lambda: RowSample("cases", bad, unit="unit", columns=("a",), statistic="median", weight="weight")
    ) == (
        "cases: 4 problems\n  - weight: expected none for a median, found a column\n"
        "  - unit: expected a unit in every row, found 1 without\n"
        "  - a: expected finite numbers, found others in row: 1\n"
        "  - weight: expected weights above 0, found others in row: 3\n"
        "  What to do: correct the rows of this sample"
    )
    estimates = pd.DataFrame({"a": [1.0]}, index=["x"])
    assert refused(lambda: ErrorSample("office", estimates, -estimates)) == (
        "office: 1 problem\n  - expected standard errors of at least 0, found negative ones of a\n"
        "  What to do: correct the errors of this sample"
    )
    assert refused(lambda: ErrorSample("office", estimates, estimates.rename(index={"x": "z"}))) == (
        "office: 1 problem\n  - expected the same units and columns of estimates and errors, found others\n"
        "  What to do: correct the errors of this sample"
    )
    once = frame.groupby("unit").head(1)
    assert refused(lambda: RowSample("cases", once, unit="unit", columns=("a", "a"))) == (
        "cases: 1 problem\n  - expected a column 'a' once, found it 2 times\n"
        "  What to do: correct the rows of this sample"
    )
    assert refused(lambda: RowSample("cases", once, unit="unit", columns=("a",))) == (
        "cases: 1 problem\n  - expected a unit of two rows or more, found none: nothing could be drawn again\n"
        "  What to do: correct the rows of this sample"
    )
    text = pd.DataFrame({"a": ["much"], "b": [np.inf]}, index=["x"])
    assert refused(lambda: ErrorSample("office", text, text)) == (
        "office: 4 problems\n  - a: expected numbers as estimates, found text\n"
        "  - b: expected finite estimates, found infinite ones\n"
        "  - a: expected numbers as errors, found text\n  - b: expected finite errors, found infinite ones\n"
        "  What to do: correct the errors of this sample"
    )


def test_few_rows_are_not_drawn_too_narrow() -> None:
    """The variance of drawn means is that of the mean itself, on average: s squared over n."""
    rng = np.random.default_rng(6)
    for n in (2, 3, 5):
        drawn = [RowSample("s", pd.DataFrame({"unit": "x", "a": rng.normal(0, 1, n)}), unit="unit", columns=("a",))
                 .draw(200, rng).var(ddof=1) for _ in range(800)]  # fmt: skip
        assert np.mean(drawn) == pytest.approx(1 / n, rel=0.12)
