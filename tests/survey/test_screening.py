"""Screening finds planted careless respondents, and its indices equal hand values."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sqmodel.errors import ParamsError, ResponsesError
from sqmodel.survey.careless import even_odd, irv, longstring, mahalanobis
from sqmodel.survey.responses import Responses
from sqmodel.survey.screening import SOURCES, Screening, screen
from tests.survey.small_instrument import long

NAN = np.nan


def sincere(n: int = 200, seed: int = 1) -> pd.DataFrame:
    """Answers of people who read: each item follows its dimension, with some noise."""
    rng = np.random.default_rng(seed)
    traits = np.repeat(rng.normal(4.5, 1.2, (n, 4)), 5, axis=1)
    ratings = np.clip(np.round(traits + rng.normal(0, 1.0, (n, 20))), 1, 7)
    frame = pd.DataFrame(ratings, columns=long().item_codes)
    return frame.assign(respondent=[f"p{i}" for i in range(n)], quarter="2026Q3", duration=rng.uniform(80, 300, n))


def screened(frame: pd.DataFrame, **options: object) -> Screening:
    return screen(Responses(long(), frame), **options)  # type: ignore[arg-type]


def test_longstring_by_hand() -> None:
    answers = np.array(
        [[1, 1, 1, 2, 2], [1, 2, 3, 4, 5], [NAN, NAN, NAN, NAN, NAN], [3, NAN, 3, 3, 1], [NAN, 2, 2, 2, 2]]
    )
    assert longstring(answers).tolist() == [3, 1, 0, 3, 4]


def test_irv_by_hand() -> None:
    answers = np.array([[1, 2, 3, 4], [5, 5, 5, 5], [1, NAN, 5, NAN], [2, NAN, NAN, NAN]])
    expected = [np.sqrt(5 / 3), 0, np.sqrt(8), NAN]
    np.testing.assert_allclose(irv(answers), expected, atol=1e-12)


def test_mahalanobis_by_hand() -> None:
    # Two uncorrelated columns with variance 4/3: D squared is (x^2 + y^2) * 3/4.
    answers = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    distance, p = mahalanobis(answers)
    np.testing.assert_allclose(distance, 1.5)
    np.testing.assert_allclose(p, np.exp(-0.75))


def test_mahalanobis_is_the_textbook_formula() -> None:
    answers = np.random.default_rng(1).normal(size=(60, 4)) @ np.array(np.tri(4))
    centred = answers - answers.mean(axis=0)
    expected = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(answers.T)), centred)
    distance, p = mahalanobis(answers)
    np.testing.assert_allclose(distance, expected, rtol=1e-10)
    np.testing.assert_allclose(p, stats.chi2.sf(expected, 4), rtol=1e-10)


def test_mahalanobis_with_missing_answers_equals_putting_in_their_regression() -> None:
    rng = np.random.default_rng(2)
    answers = rng.normal(size=(50, 3)) @ np.array([[1, 0.5, 0.2], [0, 1, 0.4], [0, 0, 1]])
    answers[0, 2] = NAN
    mean = np.nanmean(answers, axis=0)
    covariance = pd.DataFrame(answers).cov().to_numpy()
    known, c = answers[0, :2] - mean[:2], covariance[:2, :2]
    completed = np.append(known, covariance[2, :2] @ np.linalg.solve(c, known))
    distance, p = mahalanobis(answers)
    assert distance[0] == pytest.approx(completed @ np.linalg.solve(covariance, completed))
    assert p[0] == pytest.approx(stats.chi2.sf(distance[0], 2))


def test_mahalanobis_with_dependent_items_leaves_out_the_directions_without_variance() -> None:
    x = np.random.default_rng(3).normal(size=(40, 2))
    doubled = np.column_stack([x, x[:, 0], np.full(40, 3.0)])
    np.testing.assert_allclose(mahalanobis(doubled)[1], mahalanobis(x)[1], rtol=1e-8)


def test_mahalanobis_without_answers_is_undefined() -> None:
    distance, p = mahalanobis(np.array([[1.0, 2], [2, 1], [3, 5], [NAN, NAN]]))
    assert np.isnan([distance[3], p[3]]).all()
    assert not np.isnan(distance[:3]).any()


def test_even_odd_by_hand() -> None:
    # Even places 1, 2, 4 and odd places 2, 1, 4: r = (20 - 49/3) / (21 - 49/3) = 11/14, stepped up 22/25.
    dimensions = [np.array([[2.0, 1.0]]), np.array([[1.0, 2.0]]), np.array([[4.0, 4.0]])]
    np.testing.assert_allclose(even_odd(dimensions), [-0.88])


def test_even_odd_at_its_ends() -> None:
    agree = [np.array([[k, k, k]]) for k in (1.0, 2, 5)]
    opposed = [np.array([[k, -k]]) for k in (1.0, 2, 5)]
    constant = [np.array([[3.0, 3.0]])] * 3
    two = [np.array([[1.0, 2.0]]), np.array([[4.0, 3.0]]), np.array([[NAN, 3.0]])]
    assert even_odd(agree)[0] == pytest.approx(-1)
    assert even_odd(opposed)[0] == pytest.approx(1)
    assert np.isnan([even_odd(constant)[0], even_odd(two)[0]]).all()


@given(st.permutations(range(20)))
def test_order_of_respondents_does_not_matter(order: list[int]) -> None:
    frame = sincere(20).drop(columns="duration")
    first = screened(frame)
    again = screened(frame.iloc[order].reset_index(drop=True))
    columns = ["longstring", "irv", "mahalanobis", "even_odd", "share_missing"]
    pd.testing.assert_frame_equal(again.indices[columns], first.indices[columns].iloc[order], atol=1e-8)


@pytest.fixture
def planted() -> pd.DataFrame:
    """200 sincere respondents, and then one of each careless kind."""
    codes = long().item_codes
    rng = np.random.default_rng(5)
    frame = sincere(205)
    frame.loc[200, codes] = [4.0] * 12 + [3, 5, 4, 5, 3, 4, 5, 3]  # straight line over half
    frame.loc[201, codes] = rng.choice([1.0, 7.0], 20)  # any answer
    frame.loc[202, codes] = frame.loc[10, codes]  # a copy
    frame.loc[203, codes[:11]] = NAN  # gave up
    frame.loc[204, "duration"] = 30.0  # 1.5 seconds an item
    return frame


def test_planted_respondents_are_found(planted: pd.DataFrame) -> None:
    screening = screened(planted)
    assert screening.reasons[screening.excluded].to_dict() == {
        "p200": "longstring",
        "p202": "duplicate",
        "p203": "share_missing",
        "p204": "too_fast",
    }
    assert screening.flags.loc["p201", ["mahalanobis"]].all()
    assert screening.flags["mahalanobis"].sum() <= 5
    assert screening.indices.loc["p202", "duplicate_of"] == 10
    assert screening.indices.loc["p204", "seconds_per_item"] == pytest.approx(1.5)
    assert repr(screening) == ("<Screening n=205: 4 left out (longstring 1, duplicate 1, share_missing 1, too_fast 1)>")


def test_counts_state_threshold_and_source(planted: pd.DataFrame) -> None:
    counts = screened(planted, thresholds={"too_fast": 1.0}, exclude=["longstring"]).counts
    assert list(counts.index) == list(SOURCES)
    assert counts["threshold"].to_dict() == {
        "longstring": 10, "irv": 0.1, "mahalanobis": 0.001, "even_odd": -0.3, "duplicate": 10,
        "share_missing": 0.5, "too_fast": 1.0,
    }  # fmt: skip
    assert counts.loc["too_fast", ["n", "excludes", "source"]].tolist() == [0, False, "given"]
    assert counts.loc["longstring", ["n", "excludes"]].tolist() == [1, True]
    assert counts.loc["longstring", "share"] == pytest.approx(1 / 205)


def test_keep_leaves_out_the_excluded(planted: pd.DataFrame) -> None:
    responses = Responses(long(), planted)
    screening = screen(responses)
    kept = screening.keep(responses)
    assert len(kept) == 201
    assert not set(kept.frame["respondent"]) & set(screening.excluded[screening.excluded].index)
    with pytest.raises(ResponsesError) as caught:
        screening.keep(kept)
    assert str(caught.value) == (
        "responses: 1 problem\n"
        "  - expected the 205 respondents that were screened, found 201 others\n"
        "  What to do: screen these responses first"
    )


def test_contented_clients_are_no_duplicates() -> None:
    frame = sincere(30)
    frame.loc[:2, long().item_codes] = 7.0
    assert not screened(frame).flags["duplicate"].any()


def test_answers_differ_when_only_the_missing_ones_do() -> None:
    frame = sincere(30)
    frame.loc[1, long().item_codes] = frame.loc[0, long().item_codes]
    assert screened(frame).flags["duplicate"].sum() == 1
    frame.loc[1, "d1i1"] = NAN
    assert not screened(frame).flags["duplicate"].any()
    frame.loc[0, "d1i1"] = NAN
    assert screened(frame).flags["duplicate"].sum() == 1


def test_the_same_case_twice_in_a_quarter() -> None:
    frame = sincere(6).assign(case_id=["a", "b", "a", None, None, "b"], quarter=["2026Q3"] * 5 + ["2026Q2"])
    assert screened(frame).flags["duplicate"].tolist() == [False, False, True, False, False, False]


def test_without_duration_nobody_is_too_fast() -> None:
    screening = screened(sincere(30).drop(columns="duration"))
    assert screening.indices["seconds_per_item"].isna().all()
    assert not screening.flags["too_fast"].any()


def test_nobody_at_all() -> None:
    screening = screened(sincere(30).head(0))
    assert screening.n == 0
    assert screening.counts["n"].tolist() == [0] * 7


def test_unknown_flags() -> None:
    with pytest.raises(ParamsError) as caught:
        screened(sincere(30), exclude=["too_slow"])
    assert str(caught.value) == (
        "screen: 1 problem\n"
        "  - expected flags among longstring, irv, mahalanobis, even_odd, duplicate, share_missing, "
        "too_fast, found too_slow"
    )


def test_a_screening_survives_json(planted: pd.DataFrame) -> None:
    screening = screened(planted)
    again = Screening.from_json(json.loads(json.dumps(screening.to_json())))
    assert repr(again) == repr(screening)
    assert again.flags.equals(screening.flags)
    pd.testing.assert_frame_equal(again.indices, screening.indices)
