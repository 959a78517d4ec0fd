"""Laws of responses: turning, keeping and scoring answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sqmodel.errors import ResponsesError
from sqmodel.survey.responses import Responses
from tests.survey.small_instrument import ITEMS, bare, small

RATINGS = hnp.arrays(
    float,
    st.tuples(st.integers(1, 30), st.just(len(ITEMS))),
    elements=st.sampled_from([1, 2, 3, 4, 5, 6, 7, np.nan]),
)


def made(ratings: np.ndarray[Any, Any], **columns: Any) -> Responses:
    frame = pd.DataFrame(ratings, columns=ITEMS)
    return Responses(bare(), frame.assign(respondent=[str(i) for i in range(len(frame))], **columns))


@given(RATINGS)
def test_reversing_twice_is_the_identity(ratings: np.ndarray[Any, Any]) -> None:
    once = made(ratings)
    twice = Responses(once.instrument, once.frame.assign(**once.items))
    pd.testing.assert_frame_equal(twice.items, once.frame[ITEMS])


def test_only_reversed_items_are_turned() -> None:
    turned = made(np.array([[1.0, 2, 3, 4, 5, 6]])).items
    assert turned.iloc[0].tolist() == [1, 2, 3, 4, 5, 2]


@given(RATINGS, st.data())
def test_keep_composes(ratings: np.ndarray[Any, Any], data: st.DataObject) -> None:
    n = len(ratings)
    responses = made(ratings)
    first = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    second = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    stepwise = responses.keep(first).keep(second[first])
    pd.testing.assert_frame_equal(stepwise.frame, responses.keep(first & second).frame)
    assert len(stepwise) == int((first & second).sum())


@given(RATINGS)
def test_scores_stay_within_0_and_100(ratings: np.ndarray[Any, Any]) -> None:
    scores = made(ratings).dimension_scores().to_numpy()
    answered = scores[~np.isnan(scores)]
    assert ((answered >= 0) & (answered <= 100)).all()


@given(RATINGS, st.randoms(use_true_random=False))
def test_order_of_respondents_does_not_matter(ratings: np.ndarray[Any, Any], random: Any) -> None:
    order = list(range(len(ratings)))
    random.shuffle(order)
    scores = made(ratings).dimension_scores()
    shuffled = made(ratings[order]).dimension_scores()
    pd.testing.assert_frame_equal(shuffled, scores.iloc[order].reset_index(drop=True))


def test_scores_by_hand() -> None:
    scores = made(np.array([[1.0, 7, 4, np.nan, np.nan, np.nan], [7, 7, 1, 1, 7, 1]])).dimension_scores()
    expected = pd.DataFrame({"EXP": [50.0, 100], "EFF": [50.0, 0], "RSK": [np.nan, 100]})
    pd.testing.assert_frame_equal(scores, expected)


def test_allocation_becomes_shares() -> None:
    frame = pd.DataFrame([[4.0] * 6] * 2, columns=ITEMS).assign(respondent=["a", "b"])
    frame = frame.assign(imp_EXP=[50.0, np.nan], imp_EFF=[30.0, 50], imp_RSK=[20.0, 50])
    shares = Responses(small(), frame).allocation
    assert shares.iloc[0].tolist() == [0.5, 0.3, 0.2]
    assert shares.iloc[1].isna().all()


def test_weights_have_mean_one_and_kish_counts_them() -> None:
    responses = made(np.full((3, 6), 4.0), sample_weight=[1.0, 1, 4])
    assert responses.sample_weight.tolist() == [0.5, 0.5, 2.0]
    assert responses.effective_n == pytest.approx(9 / 4.5)
    assert made(np.full((3, 6), 4.0)).effective_n == 3


def test_quarters_select() -> None:
    responses = made(np.full((3, 6), 4.0), quarter=["2026Q3", "2026Q2", "2026Q3"])
    assert responses.quarters == ["2026Q2", "2026Q3"]
    assert repr(responses.of("2026Q3")) == "<Responses small: n=2, 6 items, 2026Q3>"
    assert repr(responses) == "<Responses small: n=3, 6 items, 2026Q2 to 2026Q3>"


def test_all_missing_columns_are_named() -> None:
    with pytest.raises(ResponsesError) as caught:
        Responses(bare(), pd.DataFrame({"e1": [1.0]}))
    assert str(caught.value) == (
        "responses: 6 problems\n"
        "  - expected a column for item 'e2', found none\n"
        "  - expected a column for item 'f1', found none\n"
        "  - expected a column for item 'f2', found none\n"
        "  - expected a column for item 'r1', found none\n"
        "  - expected a column for item 'r2', found none\n"
        "  - expected a column 'respondent', found none"
    )
