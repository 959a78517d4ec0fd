"""Weights side by side: the same figures as alone, planted differences, ranks that move, methods that do not apply."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from sqmodel.errors import InputError
from sqmodel.index.rank_shift import kendall, ranks_of
from sqmodel.index.scoring import build_index
from sqmodel.index.weight_comparison import METHODS, WeightComparison, compare_weights
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.comparability import Comparability
from sqmodel.measurement.measure import Measure, qualify
from sqmodel.result import decode, encode
from tests.index.surveys import DIMENSIONS, measured, quarter, responses
from tests.survey.small_instrument import bare

GIVEN = {"EXP": 1, "EFF": 2, "RSK": 1}
PAIRS = pd.DataFrame(
    [("J1", "index", "EXP", "EFF", 2.0), ("J1", "index", "EXP", "RSK", 4.0), ("J1", "index", "EFF", "RSK", 2.0),
     ("J2", "index", "EXP", "EFF", 1.0), ("J2", "index", "EXP", "RSK", 2.0), ("J2", "index", "EFF", "RSK", 2.0)],
    columns=["judge", "branch", "a", "b", "value"],
)  # fmt: skip


@pytest.fixture(scope="module")
def survey() -> Measure:
    """Two quarters; in the last the north is better at speed and the south at care."""
    before, now = quarter(90, 1, "2026Q2", e1=-0.4), quarter(160, 2)
    north = now["region"] == "north"
    now.loc[north, ["f1", "f2"]] = (now.loc[north, ["f1", "f2"]] + 1).clip(upper=7)
    now.loc[~north, ["e1", "e2"]] = (now.loc[~north, ["e1", "e2"]] + 1).clip(upper=7)
    return measured(before, now)


@pytest.fixture(scope="module")
def compared(survey: Measure) -> WeightComparison:
    return compare_weights(survey, given=GIVEN, judgements=PAIRS, by="region", draws=300, rng=4)


def test_every_method_is_that_of_derive_weights(survey: Measure, compared: WeightComparison) -> None:
    assert compared.methods.index.tolist() == list(METHODS)
    assert compared.methods["applied"].all()
    assert compared.reference == "equal"
    for method, own in compared.weights.groupby("method"):
        if method != "judged":
            alone = derive_weights(survey, method=method, given=GIVEN, draws=300, rng=4).table  # type: ignore[arg-type]
            figures = own.set_index("dimension")[["weight", "low", "high"]]
            pd.testing.assert_frame_equal(figures, alone[["weight", "low", "high"]])
    judged = compared.weights[compared.weights["method"] == "judged"].set_index("dimension")["weight"]
    # Common matrix of the judges: EXP / EFF and EFF / RSK are 2 ** .5 and 2, so 2.83 : 2 : 1.
    assert judged.tolist() == pytest.approx(list(np.array([8**0.5, 2, 1]) / (8**0.5 + 3)))
    assert encode(decode(encode(compared))) == encode(compared)


@pytest.mark.parametrize("method", ["equal", "allocation", "regression", "component"])
def test_the_index_is_that_of_build_index(survey: Measure, compared: WeightComparison, method: str) -> None:
    weights = derive_weights(survey, method=method, draws=300, rng=4)  # type: ignore[arg-type]
    alone = build_index(survey, weights=weights, draws=300, rng=4)
    row = compared.index.loc[method]
    assert row["estimate"] == pytest.approx(alone.overall.value)
    if method in ("equal", "allocation"):
        width = alone.overall.high - alone.overall.low
        assert row["low"] == pytest.approx(alone.overall.low, abs=0.15 * width)
        assert row["high"] == pytest.approx(alone.overall.high, abs=0.15 * width)
    groups = compared.groups[(compared.groups["method"] == method) & (compared.groups["scope"] == "region")]
    known = alone.groups[alone.groups["group"] == "region"].set_index("value")["estimate"]
    assert groups.set_index("value")["estimate"].to_dict() == pytest.approx(known.to_dict())
    before = compared.groups.query("scope == 'quarter' and value == '2026Q2' and method == @method")["estimate"].item()
    assert before == pytest.approx(alone.trend.query("quarter == '2026Q2' and scope == 'overall'")["estimate"].item())


def test_planted_strengths_turn_the_ranking(survey: Measure) -> None:
    fast, kind = {"EXP": 0, "EFF": 1, "RSK": 0}, {"EXP": 1, "EFF": 0, "RSK": 0}
    first = compare_weights(survey, methods=["equal", "given"], given=fast, by="region", draws=300)
    ranks = first.groups[first.groups["scope"] == "region"].set_index(["method", "value"])
    assert ranks.loc[("given", "north"), "rank"] == 1
    assert ranks.loc[("given", "north"), "rank_high"] == 1
    second = compare_weights(survey, methods=["given", "equal"], given=kind, by="region", draws=300, reference="equal")
    turned = second.groups[second.groups["scope"] == "region"].set_index(["method", "value"])
    assert turned.loc[("given", "south"), "rank"] == 1
    assert set(turned.loc["given", "shift"]) == set(turned.loc["given", "rank"] - turned.loc["equal", "rank"])
    moved = first.groups.query("scope == 'region' and method == 'given' and value == 'north'").iloc[0]
    assert moved["difference_low"] > 0
    tau = first.rankings.set_index(["scope", "method"])
    expected = 1.0 if ranks.loc[("equal", "north"), "rank"] == 1 else -1.0
    assert tau.loc[("region", "given"), "tau"] == expected
    assert tau.loc[("region", "equal"), ["tau", "tau_low", "tau_high", "largest_shift"]].tolist() == [1, 1, 1, 0]


def test_a_ranking_of_four_groups_moves_as_planted() -> None:
    frame = quarter(400, 9)
    frame["branch"] = [f"b{i % 4}" for i in range(400)]
    for j, (speed, care) in enumerate([(2, -1), (1, 0), (0, 1), (-1, 2)]):
        own = frame["branch"] == f"b{j}"
        frame.loc[own, ["f1", "f2"]] = (frame.loc[own, ["f1", "f2"]] + speed).clip(1, 7)
        frame.loc[own, ["e1", "e2"]] = (frame.loc[own, ["e1", "e2"]] + care).clip(1, 7)
    fast = compare_weights(
        measured(frame), methods=["given"], given={"EXP": 0, "EFF": 1, "RSK": 0}, by="branch", draws=200
    )
    kind = compare_weights(
        measured(frame), methods=["given"], given={"EXP": 1, "EFF": 0, "RSK": 0}, by="branch", draws=200
    )
    order = [f.groups.sort_values("rank")["value"].tolist() for f in (fast, kind)]
    assert order == [["b0", "b1", "b2", "b3"], ["b3", "b2", "b1", "b0"]]
    assert fast.groups["rank_low"].le(fast.groups["rank"]).all()
    assert fast.groups["rank_high"].ge(fast.groups["rank"]).all()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_tau_is_that_of_scipy_and_lawful(seed: int, units: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, (2, 3, units)).astype(float)
    found = kendall(a, b)
    for own, x, y in zip(found, a, b, strict=True):
        assert own == pytest.approx(kendalltau(x, y).statistic, nan_ok=True)
    np.testing.assert_allclose(kendall(b, a), found)
    np.testing.assert_allclose(kendall(a, -b), -found)
    assert np.isclose(kendall(a, a), 1)[a.max(axis=1) > a.min(axis=1)].all()
    assert ranks_of(a).tolist() == pd.DataFrame(a).rank(axis=1, ascending=False, method="min").to_numpy().tolist()


def test_tau_of_many_units_is_that_of_few() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 30, (2, 2, 130)).astype(float)
    pairs = np.sign(a[:, :, None] - a[:, None, :]), np.sign(b[:, :, None] - b[:, None, :])
    told = [(s**2).sum(axis=(1, 2)) for s in pairs]
    np.testing.assert_allclose(kendall(a, b), (pairs[0] * pairs[1]).sum(axis=(1, 2)) / np.sqrt(told[0] * told[1]))
    b[0, 0] = np.nan
    assert np.isnan(kendall(a, b)).tolist() == [True, False]


def test_methods_that_do_not_apply_are_listed_with_the_reason() -> None:
    frame = quarter(60, 3)
    silent = qualify(responses(frame, instrument=bare()), quarter="2026Q3")
    found = compare_weights(silent, draws=100)
    reasons = found.methods.loc[~found.methods["applied"], "reason"].to_dict()
    question = "expected an overall satisfaction question (role csat or acsi), found none; choose weighting: equal"
    assert reasons == {
        "allocation": "weighting by allocation: expected the importance columns of small, found none; "
        "choose weighting: equal, or map the columns",
        **{m: f"weighting by {m}: {question}" for m in ("regression", "shapley", "relative")},
        "given": "weighting by given: expected weights, found none; pass `given`",
        "judged": "weighting by judged: expected comparisons, found none; pass `judgements`",
    }
    assert set(found.index.index) == {"equal", "loadings", "component", "entropy", "critic"}
    assert found.groups.empty
    assert found.rankings.empty


def refused(measure: Measure, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        compare_weights(measure, draws=50, **options)
    return str(caught.value)


def test_what_was_asked_for_and_cannot_be_done_is_an_error(survey: Measure) -> None:
    silent = qualify(responses(quarter(60, 3), instrument=bare()), quarter="2026Q3")
    assert refused(silent, methods=["equal", "regression", "judged"]) == (
        "weights: 2 problems\n"
        "  - weighting by regression: expected an overall satisfaction question (role csat or acsi), found none; "
        "choose weighting: equal\n"
        "  - weighting by judged: expected comparisons, found none; pass `judgements`\n"
        "  What to do: leave out the methods, or give what they need"
    )
    assert refused(survey, methods=["equal", "best"], by="town", reference="given") == (
        "weights: 3 problems\n"
        f"  - methods: expected one of {', '.join(METHODS)}, found 'best'\n"
        "  - reference: expected one of equal, best, found 'given'\n"
        "  - by: expected a group variable of the answers (region, branch), found 'town'"
    )
    assert refused(survey, methods=[]) == "weights: 1 problem\n  - methods: expected at least one, found none"
    assert refused(survey, reference="given") == (
        "weights: 1 problem\n  - reference: expected a method that applies, found 'given': weighting by given: "
        "expected weights, found none; pass `given`"
    )
    assert refused(survey, given={"EXP": 1}) == (
        "weights: 2 problems\n"
        "  - expected a weight for dimension 'EFF', found none\n"
        "  - expected a weight for dimension 'RSK', found none\n"
        "  What to do: give every dimension one weight"
    )
    other = PAIRS.assign(b=PAIRS["b"].replace("RSK", "PRICE"))
    assert refused(survey, judgements=other) == (
        "judgements: 2 problems\n"
        "  - expected comparisons of dimension 'RSK', found none\n"
        "  - expected a dimension among EXP, EFF, RSK, found 'PRICE'\n"
        "  What to do: compare the dimensions with one another, and nothing else"
    )


def test_groups_that_may_not_be_compared_are_not_ranked(survey: Measure) -> None:
    variables = pd.DataFrame({"group": ["region"], "status": ["not comparable"]})
    gate = Comparability(n=160, settings={}, variables=variables, effects=pd.DataFrame())
    closed = Measure(survey.responses, survey.quarter, survey.items, survey.ledger, survey.verdict, gate)
    assert refused(closed, by="region") == (
        "weights: 1 problem\n  - by: expected groups that may be compared, found that those of 'region' may not"
    )


def test_small_groups_and_quarters_are_left_out() -> None:
    frame = quarter(60, 3)
    frame["branch"] = ["a"] * 30 + ["b"] * 25 + ["c"] * 5
    found = compare_weights(measured(quarter(8, 1, "2026Q1"), frame), methods=["equal"], by="branch", draws=100)
    assert found.left_out.to_numpy().tolist() == [
        ["branch", "c", "too few"], ["branch", "b", "secondary"], ["quarter", "2026Q1", "too few"]
    ]  # fmt: skip
    assert found.groups[["scope", "value"]].to_numpy().tolist() == [["branch", "a"], ["quarter", "2026Q3"]]


def test_the_seed_decides_and_nothing_else(survey: Measure) -> None:
    first, second = (compare_weights(survey, methods=["equal", "critic"], draws=60, rng=9) for _ in range(2))
    assert encode(first) == encode(second)
    other = compare_weights(survey, methods=["equal", "critic"], draws=60, rng=10)
    assert encode(other.index) != encode(first.index)
    assert other.index["estimate"].tolist() == first.index["estimate"].tolist()
    assert set(DIMENSIONS) == set(first.weights["dimension"])
