"""Verdicts of the comparison gate on exact moments, where bias is known to the point, and ordered answers pooled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sqmodel.benchmark.comparison import Gate
from sqmodel.benchmark.content import Identity, ItemMoments, Submission
from sqmodel.benchmark.pooling_gate import assess_gate
from sqmodel.benchmark.pooling_ordinal import ORDINAL, pool_ordinal
from sqmodel.benchmark.profile import GateRules, load_profile
from sqmodel.benchmark.simulate import simulate_association
from sqmodel.errors import InputError
from sqmodel.survey.instrument import load_instrument

STRUCTURE = {"a": ["x1", "x2", "x3", "x4"], "b": ["x5", "x6", "x7", "x8"]}
ITEMS = [i for own in STRUCTURE.values() for i in own]
SCALES = dict.fromkeys(ITEMS, (1.0, 6.0))
LOADINGS = np.array([0.8, 0.7, 0.9, 0.8, 0.8, 0.9, 0.7, 0.8])


def population(count: int, n: int = 400, shift: float = 0.0, seed: int = 0) -> list[Submission]:
    """Exact moments under scalar invariance; x1 and x5 of the last have intercepts higher by `shift`."""
    pattern = np.zeros((8, 2))
    pattern[np.arange(8), np.repeat([0, 1], 4)] = LOADINGS
    rng, out = np.random.default_rng(seed), []
    for k in range(count):
        deviation = np.exp(rng.normal(0, 0.1, 2))
        phi = np.outer(deviation, deviation) * [[1, 0.5], [0.5, 1]]
        mean = 3.5 + pattern @ rng.normal(0, 0.3, 2)
        mean[[0, 4]] += shift * (k == count - 1)
        out.append(submission(f"I{k + 1:02d}", n, mean, pattern @ phi @ pattern.T + 0.4 * np.eye(8)))
    return out


def submission(code: str, n: int, mean: np.ndarray, cov: np.ndarray) -> Submission:
    moments = ItemMoments(tuple(ITEMS), n, mean, cov)
    return Submission(code, "2026Q3", 0, Identity("s", "1", "0" * 64), None, True, n, (), moments, (), np.eye(2))


def unrelated(given: Submission) -> Submission:
    """The items of a dimension have nothing to do with each other: no model of them is identified."""
    assert given.moments is not None
    cov = given.moments.cov.copy()
    cov[:4], cov[:, :4] = 0.0, 0.0
    cov[np.arange(4), np.arange(4)] = 1.0
    return submission(given.institution, given.moments.n, given.moments.mean, cov)


def assessed(submissions: list[Submission], **rules: float) -> Gate:
    profile = load_profile("lending_association").model_copy(update={"gate": GateRules(**rules)})  # type: ignore[arg-type]
    return assess_gate(submissions, STRUCTURE, profile, scales=SCALES)


@pytest.mark.parametrize("count", [5, 14])
def test_exact_invariance(count: int) -> None:
    found = assessed(population(count))
    assert found.verdict == "comparable"
    assert (
        found.reason
        == {
            5: "strict invariance of 5 institutions holds; bias lies within 5 points everywhere",
            14: "0.0% of the loadings and intercepts of 14 institutions are not invariant; bias lies within 5 points "
            "everywhere",
        }[count]
    )
    np.testing.assert_allclose(found.biased["bias"], 0, atol=1e-4)
    assert repr(found) == f"<Gate {count} institutions, n={400 * count}: comparable " + (
        "(ladder)>" if count == 5 else "(alignment)>"
    )


@pytest.mark.parametrize("count", [6, 14, 30])
def test_bias_is_that_of_the_shifted_intercepts(count: int) -> None:
    """Two of eight items higher by 1.5 of five scale points: 100 / 5 * 1.5 / 4 = 7.5 points, less the mean of all."""
    found = assessed(population(count, shift=1.5))
    biased = found.biased.set_index("institution")["bias"]
    last = f"I{count:02d}"
    assert found.verdict == "doubtful"
    assert found.reason.endswith(f"; bias beyond 5 points lies on {last}")
    assert biased[last] == pytest.approx(7.5 * (1 - 1 / count), abs=0.01)
    np.testing.assert_allclose(biased.drop(last), -7.5 / count, atol=0.01)
    assert found.biased.loc[found.biased["withheld"], "institution"].tolist() == [last]
    np.testing.assert_allclose(found.biased["observed"], found.biased["bias"] + found.biased["fair"], atol=1e-10)
    assert abs(found.biased[["observed", "bias", "fair"]].mean()).max() < 1e-10


def test_released_items_are_told() -> None:
    found = assessed(population(6, shift=0.8))
    assert (found.verdict, found.method) == ("partial", "ladder")
    assert set(found.items["item"]) == {"x1", "x5"}
    assert set(found.items["kind"]) == {"intercept"}
    assert found.steps["model"].tolist() == ["configural", "metric", "scalar", "strict"]


def test_more_variation_than_allowed() -> None:
    """Of twenty institutions everyone understands every item in another way."""
    rng = np.random.default_rng(1)
    given = []
    for s in population(20, n=2000):
        assert s.moments is not None
        unit = np.exp(rng.normal(0, 0.4, 8))
        given.append(submission(s.institution, 2000, rng.normal(3.5, 1.0, 8), s.moments.cov * np.outer(unit, unit)))
    found = assessed(given)
    assert found.verdict == "not comparable"
    share = found.items["noninvariant"].mean()
    assert found.reason == (
        f"{share:.1%} of the loadings and intercepts of 20 institutions are not invariant, more than the 25% allowed"
    )


@pytest.mark.parametrize("count", [4, 14])
def test_a_structure_that_does_not_fit(count: int) -> None:
    given = []
    for s in population(count):
        assert s.moments is not None
        cov = s.moments.cov.copy()
        for i, j in ((0, 1), (2, 3), (4, 5), (6, 7)):
            cov[i, j] = cov[j, i] = cov[i, j] + 0.35
        given.append(submission(s.institution, 400, s.moments.mean, cov))
    found = assessed(given)
    assert found.verdict == "not comparable"
    assert found.reason.startswith("the structure does not fit: the median CFI of the institutions is 0.")
    assert found.reason.endswith(", below 0.9")


@pytest.mark.parametrize("count", [5, 14, 30])
def test_a_model_without_a_solution_stops_nobody_else(count: int) -> None:
    given = population(count)
    given[2] = unrelated(given[2])
    found = assessed(given)
    assert found.verdict == "comparable"
    assert found.institutions == count - 1
    assert found.n == 400 * (count - 1)
    assert found.left_out.to_numpy().tolist() == [["I03", found.left_out["reason"].iloc[0]]]
    assert found.left_out["reason"].iloc[0].startswith("the configural model ")
    assert "I03" not in set(found.biased["institution"])


def test_everything_that_keeps_institutions_out() -> None:
    given = population(5)
    first, second, third = (s.moments for s in given[:3])
    assert first is not None
    assert second is not None
    assert third is not None
    given[0] = submission("I01", 99, first.mean, first.cov)
    given[1] = submission("I02", 400, second.mean, second.cov)
    object.__setattr__(given[1], "moments", ItemMoments(second.items[:6], 400, second.mean[:6], second.cov[:6, :6]))
    object.__setattr__(given[2], "moments", None)
    repeated = third.cov.copy()
    repeated[0], repeated[:, 0] = repeated[1], repeated[:, 1]
    repeated[0, 0] = repeated[1, 1]
    given[3] = submission("I04", 400, third.mean, repeated)
    found = assessed(given)
    assert found.left_out.to_numpy().tolist() == [
        ["I01", "99 complete answers, fewer than 100"],
        ["I02", "the moments of x7, x8 are withheld"],
        ["I03", "no moments of the items were sent"],
        ["I04", "the covariance matrix is singular: some items repeat others"],
    ]
    assert (found.verdict, found.method, found.institutions) == ("not assessed", "none", 1)
    assert found.reason == "fewer than two institutions with 100 complete answers and the moments of all items"
    assert found.biased.empty


def test_an_item_without_a_scale_is_refused() -> None:
    profile = load_profile("lending_association")
    with pytest.raises(InputError) as caught:
        assess_gate(population(3), STRUCTURE, profile, scales={i: SCALES[i] for i in ITEMS[:6]})
    assert str(caught.value) == (
        "gate: 2 problems\n  - expected a scale of x7, found none\n  - expected a scale of x8, found none"
    )


def test_ordered_answers_of_one_population_have_the_same_loadings() -> None:
    """Eight institutions without differences: chi-squares add up to their degrees of freedom, within chance."""
    structure = load_instrument("lending_service").structure()
    given = simulate_association(
        8, respondents=400, between=0.0, case_mix=0.0, ordinal=True, indicators=False, waiting=False, rng=6
    )
    found = pool_ordinal([(s.institution, s.ordinal) for s in given.submissions if s.ordinal], structure)
    assert found.failed == {}
    assert list(found.table.columns) == ORDINAL
    whole, loadings = found.table.iloc[0], found.table.iloc[1:]
    assert (whole["kind"], whole["institutions"], whole["n"]) == ("fit", 8, 3200)
    assert whole["df"] == 8 * 293
    assert whole["q"] == pytest.approx(found.fits["chisq"].sum())
    assert 0.001 < whole["pvalue"] < 0.999
    assert len(loadings) == 26
    assert (loadings["df"] == 7).all()
    assert loadings["pvalue"].min() > 0.05 / 26 / 5
    assert loadings["tau"].median() < 0.02
    assert ((loadings["low"] < loadings["value"]) & (loadings["value"] < loadings["high"])).all()


def test_ordered_answers_that_differ_are_heterogeneous_and_who_has_none_is_named() -> None:
    """In one institution exp1 and com1 change their names: each then loads on the other's factor."""
    structure = load_instrument("lending_service").structure()
    given = simulate_association(4, respondents=500, ordinal=True, indicators=False, waiting=False, rng=6)
    ordinals = [s.ordinal for s in given.submissions if s.ordinal is not None]
    names = {"exp1": "com1", "com1": "exp1"}
    ordinals[0] = replace(ordinals[0], items=tuple(names.get(i, i) for i in ordinals[0].items))
    ordinals[1] = replace(ordinals[1], items=tuple("other" if i == "rsk2" else i for i in ordinals[1].items))
    found = pool_ordinal(zip(["I1", "I2", "I3", "I4"], ordinals, strict=True), structure)
    assert found.failed == {"I2": "the thresholds of rsk2 are withheld"}
    loadings = found.table[found.table["kind"] == "loading"].set_index("item")
    assert (loadings["institutions"] == 3).all()
    assert loadings.loc[["exp1", "com1"], "pvalue"].max() < 1e-3
    assert loadings.loc[["exp1", "com1"], "i2"].min() > 0.7
    assert loadings.drop(["exp1", "com1"])["pvalue"].min() > 1e-3


def test_no_ordered_answers() -> None:
    found = pool_ordinal([], STRUCTURE)
    assert (found.institutions, found.n, len(found.table)) == (0, 0, 0)
    assert found.notes == ("the model of ordered answers has a solution in no institution",)
