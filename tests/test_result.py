"""Results: one line, escaped HTML, and JSON that gives the same value back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqmodel import result as module
from sqmodel.index.weighting import Weights
from sqmodel.result import Estimate, Result, decode, encode
from sqmodel.survey.responses import Reading

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4)
    ),
    max_leaves=15,
)
CELLS = st.one_of(
    st.lists(st.floats(allow_infinity=False), min_size=3, max_size=3),
    st.lists(st.integers(-(2**53), 2**53), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.text(), min_size=3, max_size=3),
)


def through_json(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


@given(PLAIN)
def test_plain_values_come_back(value: Any) -> None:
    assert through_json(value) == value


@given(st.dictionaries(st.text(min_size=1, max_size=3), CELLS, min_size=1, max_size=4), st.sampled_from([None, "item"]))
def test_frames_come_back(columns: dict[str, list[Any]], name: str | None) -> None:
    frame = pd.DataFrame(columns, index=pd.Index(["x", "y", "z"], name=name))
    again = through_json(frame)
    pd.testing.assert_frame_equal(again, frame, check_dtype=False, check_index_type=False)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [], "b": []}),
        pd.DataFrame(),
        pd.DataFrame({"a": [1.5, np.nan]}, index=[3, 1]),
        pd.DataFrame({"text": ["x", None], "flag": [True, False], "count": [1, 2]}),
        pd.DataFrame({"none": [None, None]}, index=["p", "q"]),
        pd.DataFrame({"a": [1, 2], "b": [1.5, 2.5]}).rename_axis("row"),
    ],
)
def test_odd_frames_come_back(frame: pd.DataFrame) -> None:
    again = through_json(frame)
    assert list(again.columns) == list(frame.columns)
    assert list(again.index) == list(frame.index)
    assert again.index.name == frame.index.name
    plain = [f.astype(object).where(f.notna(), None) for f in (again, frame)]
    pd.testing.assert_frame_equal(*plain, check_dtype=False, check_index_type=False, check_column_type=False)


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.array([[np.nan, 1]]), np.array([True, False]), np.zeros((0, 3))]
)
def test_arrays_come_back(array: np.ndarray) -> None:
    again = through_json(array)
    assert again.shape == array.shape
    np.testing.assert_array_equal(again, array)


def test_series_and_scalars_come_back() -> None:
    series = pd.Series([1.0, np.nan], index=["a", "b"], name="shares")
    pd.testing.assert_series_equal(through_json(series), series)
    assert through_json((np.int64(3), np.float64(0.5), np.bool_(True), pd.NA, np.nan)) == (3, 0.5, True, None, None)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_not_rounded(value: float) -> None:
    again = through_json(Estimate(value, value, value))
    assert again.value == value
    assert math.isnan(again.se)


def test_nested_results_come_back() -> None:
    reading = Reading("answers.csv", "utf-8", 3, pd.DataFrame({"kind": ["blank"], "count": [2]}))
    again = through_json({"reading": reading, "estimates": (Estimate(1, 0, 2), None)})
    assert repr(again["reading"]) == repr(reading)
    assert again["estimates"][1] is None
    assert again["estimates"][0].high == 2


def test_another_kind_of_result_is_refused() -> None:
    with pytest.raises(TypeError) as caught:
        Weights.from_json(Reading("a.csv").to_json())
    assert str(caught.value) == "expected a Weights, found a Reading"


def test_code_of_others_is_not_loaded() -> None:
    with pytest.raises(TypeError) as caught:
        decode({"@": "subprocess:Popen", "args": "true"})
    assert str(caught.value) == "expected a result of sqmodel, found 'subprocess:Popen'"


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(TypeError) as caught:
        encode({"a": {1, 2}})
    assert str(caught.value) == "cannot encode a set"


@dataclass(frozen=True, repr=False)
class Sample(Result):
    """A result with text that is no HTML."""

    n: int
    best_items: pd.DataFrame

    def _headline(self) -> str:
        return f"n={self.n} <b>"


SAMPLE = Sample(3, pd.DataFrame({"<i>": ["<script>", "a & b"], "share": [1 / 3, np.nan]}, index=["x", "y"]))


def test_repr_is_one_line() -> None:
    assert repr(SAMPLE) == "<Sample n=3 <b>>"


def test_html_is_escaped() -> None:
    html = SAMPLE._repr_html_()
    assert html.startswith(
        "<p><code>&lt;Sample n=3 &lt;b&gt;&gt;</code></p><details open><summary>best items</summary>"
    )
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<i>" not in html
    assert "a &amp; b" in html
    assert "0.333" in html
    assert "NaN" not in html


def test_summary_shows_every_table_rounded() -> None:
    summary = SAMPLE.summary(2)
    assert summary.splitlines()[:3] == ["<Sample n=3 <b>>", "", "best_items"]
    assert "0.33" in summary
    assert "0.333" not in summary
    assert SAMPLE.best_items["share"].iloc[0] == 1 / 3


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 2, True), (-2, -0.1, True), (-1, 1, False), (0, 1, False), (math.nan, 1, False)]
)
def test_excluding_zero(low: float, high: float, expected: bool) -> None:
    assert Estimate(0.5, low, high).excludes_zero is expected


def test_estimate_prints_its_interval() -> None:
    assert str(Estimate(71.25, 69.5, 73.04)) == "71.250 [69.500, 73.040]"


def test_module_documents_itself() -> None:
    assert (module.__doc__ or "").startswith("Result: the frozen value")
