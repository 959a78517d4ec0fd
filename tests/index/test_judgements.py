"""Weights by judgement and by the data: published figures, laws, simulated judges, contradictions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqmodel.errors import CompositeError, ComputationError, OperationsError
from sqmodel.index.judgements import judge_weights, read_judgements
from sqmodel.index.tree import IndexTree, Node
from sqmodel.numerics.objective_weights import component_weights, critic_weights, entropy_weights
from sqmodel.numerics.pairwise import completed, consistency_ratio, priorities
from sqmodel.numerics.relative_importance import relative_weights, shapley_shares
from tests.oracles import shared

LOOSE = 10.0
"""A gate that lets everything pass."""


def oracle() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shared("oracles", "index_and_operations.json").read_text(encoding="utf-8"))
    return found


def examples() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shared("data", "ahp_examples", "ahp_examples.json").read_text(encoding="utf-8"))
    return found


def told(name: str) -> pd.DataFrame:
    """Comparisons of an example; those without a value are the gaps."""
    rows = pd.DataFrame(examples()["examples"][name]["judgements"]).dropna(subset="value")
    return rows.assign(judge="J", branch=name, value=rows["value"].astype(float))


def weights_of(frame: pd.DataFrame, **options: Any) -> dict[str, float]:
    table = judge_weights(frame, gate=LOOSE, **options).weights
    return {str(e): float(w) for e, w in zip(table["element"], table["weight"], strict=True)}


COMPLETE = ("drinks", "criteria", "culture", "family", "housing", "jobs", "transportation")


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("method", ["eigenvector", "geometric_mean"])
def test_published_comparisons(name: str, method: str) -> None:
    known = examples()["examples"][name]["recomputed_numpy"]
    assert weights_of(told(name), method=method) == pytest.approx(known[method], abs=1e-6)
    assert judge_weights(told(name)).branches["ratio"].item() == pytest.approx(known["CR_saaty_RI"], abs=1e-6)


def test_saatys_house_and_drinks() -> None:
    known = oracle()
    weights, largest = priorities(np.array(known["inputs"]["saaty_house_matrix"]))
    assert weights.sum() == pytest.approx(1)
    assert largest == pytest.approx(known["saaty_house"]["lambda"], abs=1e-6)
    assert consistency_ratio(largest, 8) == pytest.approx(known["saaty_house"]["CR"], abs=1e-6)
    found = weights_of(told("drinks"))
    order = known["inputs"]["saaty_drinks_order"]
    assert [found[d] for d in order] == pytest.approx(known["saaty_drinks"]["w"], abs=1e-5)


def test_cities_over_two_levels() -> None:
    criteria = weights_of(told("criteria"))
    total: dict[str, float] = {}
    for criterion, share in criteria.items():
        for city, weight in weights_of(told(criterion.lower())).items():
            total[city] = total.get(city, 0) + share * weight
    assert total == pytest.approx(examples()["published"]["cities target weights (Saaty 2005 ANP book)"], abs=5e-4)


def test_gaps_are_filled_so_that_contradictions_are_least() -> None:
    known = examples()["published"]["u incomplete (Bozoki, Fulop, Ronyai 2010)"]
    assert weights_of(told("u")) == pytest.approx(known["weights"], abs=5e-5)
    matrix = np.ones((4, 4))
    for row in told("u").to_dict("records"):
        i, j = "abcd".index(row["a"]), "abcd".index(row["b"])
        matrix[i, j], matrix[j, i] = row["value"], 1 / row["value"]
    matrix[2, 3] = matrix[3, 2] = np.nan
    assert completed(matrix)[2, 3] == pytest.approx(known["missing c/d"], abs=1e-6)
    twelve = judge_weights(told("m"), gate=LOOSE).judges.iloc[0]
    assert (twelve["comparisons"], twelve["missing"]) == (16, 12)


def test_weights_from_the_data() -> None:
    known = oracle()
    matrix = np.array(known["inputs"]["critic_diakoulaki_matrix_all_maximise"])
    assert critic_weights(matrix) == pytest.approx(known["critic_diakoulaki"], abs=1e-6)
    assert entropy_weights(np.array(known["inputs"]["entropy_matrix"])) == pytest.approx(
        known["inputs"]["entropy_weights"], abs=1e-6
    )
    swiss = pd.read_csv(shared("data", "swiss", "swiss.csv")).select_dtypes("number")
    predictors = [c for c in swiss if c != "Fertility"]
    r = swiss[predictors].corr().to_numpy()
    validity = swiss[predictors].corrwith(swiss["Fertility"]).to_numpy()
    lmg = dict(zip(predictors, shapley_shares(r, validity), strict=True))
    assert lmg == pytest.approx({c: known["lmg_swiss"][c] for c in predictors}, abs=1e-6)
    assert sum(lmg.values()) == pytest.approx(known["lmg_swiss"]["R2"], abs=1e-6)
    johnson = dict(zip(predictors, relative_weights(r, validity), strict=True))
    assert johnson == pytest.approx(known["inputs"]["johnson_swiss"], abs=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_laws_of_weights_from_the_data(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 15, 4)) + rng.normal(size=(3, 15, 1))
    for f in (critic_weights, component_weights, lambda v: entropy_weights(np.exp(v))):
        found = f(x)
        assert found.sum(axis=-1) == pytest.approx(np.ones(3))
        assert (found >= 0).all()
        np.testing.assert_allclose(found[1], f(x[1]), rtol=1e-8)
        np.testing.assert_allclose(f(x[..., ::-1]), found[..., ::-1], rtol=1e-6)
    np.testing.assert_allclose(critic_weights(x * 7 - 3), critic_weights(x), rtol=1e-8)
    r = np.corrcoef(x[0].T)
    validity = r[:3, 3]
    squared = validity @ np.linalg.solve(r[:3, :3], validity)
    for f2 in (shapley_shares, relative_weights):
        shares = f2(r[:3, :3], validity)
        assert shares.sum() == pytest.approx(squared)
        np.testing.assert_allclose(f2(r[:3, :3][::-1, ::-1], validity[::-1]), shares[::-1], atol=1e-9)
    np.testing.assert_allclose(shapley_shares(np.eye(3), validity), validity**2, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_consistent_judges_get_what_they_think(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.ones(k) * 3)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    frame = pd.DataFrame([("J", "b", f"e{i}", f"e{j}", truth[i] / truth[j]) for i, j in pairs],
                         columns=["judge", "branch", "a", "b", "value"])  # fmt: skip
    for method in ("eigenvector", "geometric_mean"):
        found = judge_weights(frame, method=method)  # type: ignore[arg-type]
        assert found.weights["weight"].tolist() == pytest.approx(truth.tolist())
        assert found.judges["ratio"].item() == pytest.approx(0, abs=1e-9)
    turned = frame.rename(columns={"a": "b", "b": "a"}).assign(value=1 / frame["value"])
    assert judge_weights(turned).weights["weight"].tolist() == pytest.approx(truth.tolist())


def judges(m: int, truth: np.ndarray, rng: np.random.Generator, spread: float) -> pd.DataFrame:
    """Judges who each have weights of their own around the truth, and err a little in each comparison."""
    rows = []
    for judge in range(m):
        own = np.log(truth) + rng.normal(0, spread, len(truth))
        for i in range(len(truth)):
            for j in range(i + 1, len(truth)):
                value = np.exp(own[i] - own[j] + rng.normal(0, 0.1))
                rows.append((f"J{judge}", "index", f"e{i}", f"e{j}", value))
    return pd.DataFrame(rows, columns=["judge", "branch", "a", "b", "value"])


def test_intervals_over_judges_hold_the_truth() -> None:
    truth, rng = np.array([0.5, 0.3, 0.2]), np.random.default_rng(5)
    held, trials = 0, 400
    for _ in range(trials):
        table = judge_weights(judges(8, truth, rng, 0.3)).weights
        held += int(((table["low"] <= truth) & (truth <= table["high"])).sum())
    # The truth is what many such judges come to: the geometric mean keeps it.
    assert 0.93 <= held / (3 * trials) <= 0.97


def test_one_judge_has_no_interval_and_several_are_pooled() -> None:
    one = judge_weights(told("drinks"))
    assert one.weights[["low", "high"]].isna().all(axis=None)
    assert repr(one) == "<JudgedWeights 1 judges, 1 branches; largest consistency ratio 0.022>"
    frame = judges(3, np.array([0.5, 0.3, 0.2]), np.random.default_rng(1), 0.2)
    logs = np.log(frame.pivot_table(index=["a", "b"], columns="judge", values="value")).mean(axis=1)
    matrix = np.ones((3, 3))
    for (a, b), value in logs.items():
        i, j = int(a[1]), int(b[1])
        matrix[i, j], matrix[j, i] = np.exp(value), np.exp(-value)
    assert judge_weights(frame).weights["weight"].tolist() == pytest.approx(priorities(matrix)[0].tolist())


TREE = IndexTree(name="small", nodes=(Node(code="I"), *(Node(code=c, parent="I") for c in ("x", "y", "z"))))


def comparisons(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame([("J", "I", a, b, v) for a, b, v in rows], columns=["judge", "branch", "a", "b", "value"])


def refused(frame: pd.DataFrame, **options: Any) -> str:
    with pytest.raises(CompositeError) as caught:
        judge_weights(frame, **options)
    return str(caught.value)


def test_a_judge_who_contradicts_himself_is_named_with_the_comparison() -> None:
    circle = comparisons(("x", "y", 3), ("y", "z", 3), ("x", "z", 1 / 3))
    assert refused(circle, tree=TREE) == (
        "judgements: 1 problem\n"
        "  - I: expected a consistency ratio of at most 0.10 of judge 'J', found 1.149; "
        "ask again about x / z: said 0.333, the others imply 1\n"
        "  What to do: ask the judges again, or set `gate` and say why"
    )
    assert judge_weights(circle, gate=2.0).judges["ratio"].item() > 1


def test_bad_comparisons_are_told_at_once() -> None:
    frame = comparisons(("x", "x", 1), ("x", "y", 3), ("y", "x", 3), ("x", "q", -2))
    assert refused(frame, tree=TREE) == (
        "judgements: 5 problems\n"
        "  - expected two different elements, found one compared with itself: J: I: x / x\n"
        "  - expected how many times a outweighs b, a number above 0, found another: J: I: x / q\n"
        "  - expected one answer to a comparison, found two that differ: J: I: x / y\n"
        "  - I: expected elements of this branch, found 'q'\n"
        "  - I: expected comparisons of 'z', found none\n"
        "  What to do: correct the comparisons"
    )
    four = comparisons(("x", "y", 3), ("z", "w", 3))
    assert refused(four) == (
        "judgements: 1 problem\n  - I: expected comparisons that connect all elements, found too few of: J\n"
        "  What to do: ask the judges again, or set `gate` and say why"
    )
    with pytest.raises(OperationsError, match="value"):
        read_judgements(comparisons(("x", "y", 3)).assign(value="much"))
    assert len(read_judgements(comparisons(("x", "y", 3))).frame) == 1


def test_weights_that_the_data_cannot_give() -> None:
    with pytest.raises(ComputationError, match="entropy: expected values of at least 0"):
        entropy_weights(np.array([[1.0, -1.0], [2.0, 3.0]]))
    with pytest.raises(ComputationError, match="entropy: expected indicators that tell the units apart"):
        entropy_weights(np.ones((3, 2)))
    for f in (critic_weights, component_weights):
        with pytest.raises(ComputationError, match="expected indicators that vary"):
            f(np.array([[1.0, 2.0], [1.0, 3.0]]))
    with pytest.raises(ComputationError, match="at most 20 predictors, found 21"):
        shapley_shares(np.eye(21), np.zeros(21))
    with pytest.raises(ComputationError, match="do not determine each other"):
        relative_weights(np.ones((2, 2)), np.zeros(2))
