"""Weights of a tree from its data and from judges: the arrays' figures, planted truth, laws, ASEM, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import CompositeError
from sqmodel.index.composite import Arrangement, Composite, build_composite
from sqmodel.index.judgements import judge_weights
from sqmodel.index.tree import IndexTree, Node
from sqmodel.index.tree_weight_comparison import METHODS, TreeWeightComparison, compare_tree_weights
from sqmodel.index.tree_weights import derive_tree_weights
from sqmodel.numerics.factoring import minres
from sqmodel.numerics.objective_weights import component_weights, critic_weights, entropy_weights
from sqmodel.result import decode, encode
from tests.index.test_composite import ASEM, asem_file, asem_tree

FROM_DATA = ("entropy", "critic", "component", "loadings")
REMEDY = "\n  What to do: drop or turn the indicators, or choose other weights"


def tree(**changes: dict[str, Any]) -> IndexTree:
    """Three indicators, two, and one alone."""
    nodes: dict[str, dict[str, Any]] = {
        "I": {}, "A": {"parent": "I"}, "B": {"parent": "I", "weight": 2}, "C": {"parent": "I"},
        "a1": {"parent": "A"}, "a2": {"parent": "A", "weight": 3}, "a3": {"parent": "A"},
        "b1": {"parent": "B"}, "b2": {"parent": "B"}, "c1": {"parent": "C"},
    }  # fmt: skip
    for code, change in changes.items():
        nodes[code] = {**nodes[code], **change}
    return IndexTree(name="small", nodes=tuple(Node(code=c, **n) for c, n in nodes.items()))


def units(seed: int = 1, n: int = 60) -> pd.DataFrame:
    """Indicators on 0-100 with something in common."""
    rng = np.random.default_rng(seed)
    general = rng.normal(size=(n, 1))
    x = 50 + 10 * (np.array([1.2, 1, 0.8, 1, 0.7, 0.9]) * general + rng.normal(size=(n, 6)))
    frame = pd.DataFrame(np.clip(x, 0, 100), columns=["a1", "a2", "a3", "b1", "b2", "c1"])
    return frame.set_axis([f"u{i:02d}" for i in range(n)])


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_those_of_the_arrays_from_the_bottom_up(seed: int) -> None:
    data = units(seed)
    for method in FROM_DATA:
        found = derive_tree_weights(data, tree(), method=method, draws=50)  # type: ignore[arg-type]
        own = found.table["weight"]
        scores = {}
        for branch, children in (("A", ["a1", "a2", "a3"]), ("B", ["b1", "b2"]), ("I", ["A", "B", "C"])):
            x = np.column_stack([scores.get(c, data[c] if c in data else data["c1"]) for c in children])
            known = {
                "entropy": entropy_weights, "critic": critic_weights, "component": component_weights,
                "loadings": factor_weights,
            }[method](x)  # fmt: skip
            assert own[children].to_numpy() == pytest.approx(known, abs=1e-8), (method, branch)
            scores[branch] = x @ known
        assert own["c1"] == 1
        assert found.table.groupby("branch")["weight"].sum().to_numpy() == pytest.approx(1)
        assert (found.table["low"] <= own + 1e-12).all()
        assert (found.table["high"] >= own - 1e-12).all()


def factor_weights(x: np.ndarray) -> np.ndarray:
    if x.shape[1] == 2:
        return np.full(2, 0.5)
    squared = minres(np.corrcoef(x.T), 1).loadings[:, 0] ** 2
    return np.asarray(squared / squared.sum())


def test_equal_and_given_weights_are_constants() -> None:
    equal = derive_tree_weights(units(), tree(), method="equal").table
    assert equal["weight"].to_dict() == {
        **dict.fromkeys(("a1", "a2", "a3", "A", "B", "C"), 1 / 3), "b1": 0.5, "b2": 0.5, "c1": 1.0
    }  # fmt: skip
    own = derive_tree_weights(units(), tree(), method="given").table
    assert own.loc[["A", "B", "C", "a2"], "weight"].tolist() == [0.25, 0.5, 0.25, 0.6]
    assert own["low"].tolist() == own["high"].tolist() == own["weight"].tolist()


def test_the_tree_takes_the_weights_and_keeps_the_rest() -> None:
    before = tree()
    assert before.levels == (("A", "B", "C"), ("I",))
    found = derive_tree_weights(units(), before, method="critic", draws=50)
    after = found.apply(before)
    assert {n.code: n.weight for n in after.nodes if n.parent} == pytest.approx(found.table["weight"].to_dict())
    assert [n.model_copy(update={"weight": 1.0}) for n in after.nodes] == [
        n.model_copy(update={"weight": 1.0}) for n in before.nodes
    ]
    assert sum(after.effective_weights().values()) == pytest.approx(1)
    assert after.without(["C"]).levels == (("A", "B"), ("I",))
    assert before.node("a2").weight == 3
    shared = before.model_copy(update={"weights": "shares"})
    assert list(found.apply(shared)._shares()) == []
    with pytest.raises(CompositeError) as caught:
        found.apply(tree(c1={"parent": "B"}).without(["a3"]))
    assert str(caught.value) == (
        "small: 2 problems\n"
        "  - a3: expected it in one branch of tree and weights, found another or none\n"
        "  - c1: expected it in one branch of tree and weights, found another or none\n"
        "  What to do: derive the weights for this tree"
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(FROM_DATA))
def test_order_of_units_and_of_nodes_does_not_matter(seed: int, method: str) -> None:
    data = units(seed % 1000, 80)
    turned = IndexTree(name="small", nodes=tree().nodes[::-1])
    first = derive_tree_weights(data, tree(), method=method, draws=5)  # type: ignore[arg-type]
    second = derive_tree_weights(data.iloc[::-1], turned, method=method, draws=5)  # type: ignore[arg-type]
    own = first.table["weight"]
    assert second.table["weight"][own.index].to_numpy() == pytest.approx(own.to_numpy(), abs=1e-7)
    assert (own >= 0).all()


def test_judged_weights_are_those_of_the_judges() -> None:
    pairs = pd.DataFrame(
        [(j, b, x, y, v * s) for j, s in (("J1", 1.0), ("J2", 1.3)) for b, x, y, v in (
            ("A", "a1", "a2", 2.0), ("A", "a1", "a3", 2.0), ("A", "a2", "a3", 1.0),
            ("B", "b1", "b2", 3.0), ("I", "A", "B", 1.0), ("I", "B", "C", 2.0), ("I", "A", "C", 2.0))],
        columns=["judge", "branch", "a", "b", "value"],
    )  # fmt: skip
    judged = judge_weights(pairs, tree=tree())
    for given_as in (pairs, judged):
        found = derive_tree_weights(units(), tree(), method="judged", judgements=given_as)
        own = judged.weights.set_index("element")
        assert found.n == 2
        for column in ("weight", "low", "high"):
            assert found.table[column][own.index].to_dict() == own[column].to_dict()
        assert found.table.loc["c1", "weight"] == 1
        assert found.interval_method == "jackknife over judges on the logit, t"
    with pytest.raises(CompositeError) as caught:
        derive_tree_weights(units(), tree(), method="judged", judgements=pairs[pairs["branch"] != "B"])
    assert str(caught.value) == (
        "judgements: 1 problem\n  - B: expected comparisons of its elements, found none\n"
        "  What to do: ask the judges about every branch with more than one element"
    )
    with pytest.raises(CompositeError, match="judgements: expected comparisons of every branch, found none"):
        derive_tree_weights(units(), tree(), method="judged")


def test_planted_loadings_are_found_within_their_intervals() -> None:
    rng = np.random.default_rng(3)
    loadings = np.array([0.9, 0.75, 0.6, 0.45])
    nodes = (Node(code="I"), *(Node(code=f"x{j}", parent="I") for j in range(4)))
    flat = IndexTree(name="flat", nodes=nodes)
    truth = loadings**2 / (loadings**2).sum()
    held = []
    for _ in range(40):
        x = loadings * rng.normal(size=(200, 1)) + np.sqrt(1 - loadings**2) * rng.normal(size=(200, 4))
        data = pd.DataFrame(x, columns=flat.indicators)
        table = derive_tree_weights(data, flat, method="loadings", draws=200, rng=rng).table
        held.append(((table["low"] <= truth) & (truth <= table["high"])).mean())
    # 40 samples of four dependent weights: a standard error of some .02.
    assert np.mean(held) >= 0.88


def test_two_children_count_the_same_on_a_factor_and_must_agree() -> None:
    data = units()
    for method in ("component", "loadings"):
        own = derive_tree_weights(data, tree(), method=method, draws=50).table.loc[["b1", "b2"]]  # type: ignore[arg-type]
        assert own[["weight", "low", "high"]].to_numpy() == pytest.approx(0.5)
        turned = data.assign(b2=100 - data["b2"])
        assert refused(turned, tree(), method=method) == (
            f"small, weights by {method}: 1 problem\n"
            "  - B: expected two children correlated positively, found b1 and b2 that are not" + REMEDY
        )


def refused(data: Any, given_tree: IndexTree, **options: Any) -> str:
    with pytest.raises(CompositeError) as caught:
        derive_tree_weights(data, given_tree, draws=20, **options)
    return str(caught.value)


def test_all_nodes_that_have_no_weights_are_named_at_once() -> None:
    data = units().assign(a2=lambda d: 100 - d["a2"], b1=40.0)
    found = refused(data, tree(), method="component")
    lines = found.splitlines()
    assert lines[0] == "small, weights by component: 2 problems"
    assert lines[1].startswith("  - A: expected children that load positively on one component, found a2 (-0.")
    assert lines[2] == "  - B: expected children that vary, found no variance of b1"
    assert refused(units() - 60, tree(), method="entropy") == (
        "small, weights by entropy: 2 problems\n"
        "  - A: expected values of at least 0, and some above it, found others of a1, a2, a3\n"
        "  - B: expected values of at least 0, and some above it, found others of b1, b2" + REMEDY
    )
    moved = tree(b1={"parent": "A"}, b2={"parent": "A"}).without(["B"])
    assert refused(units().assign(b2=lambda d: d["b1"] * 2), moved, method="loadings") == (
        "small, weights by loadings: 1 problem\n"
        "  - A: expected children that do not repeat each other, found ones that do" + REMEDY
    )


def test_data_that_do_not_fit_are_refused() -> None:
    holes = units()
    holes.iloc[:3, 0] = np.nan
    assert refused(holes, tree(), method="critic") == (
        "small: 1 problem\n  - a1: expected no missing values, found 3\n"
        "  What to do: impute, drop the indicators, or choose equal or given weights"
    )
    assert derive_tree_weights(holes, tree(), method="equal").table["weight"].notna().all()
    assert refused(units(n=4), tree(), method="entropy") == (
        "small: 1 problem\n  - expected at least 5 units, found 4\n"
        "  What to do: impute, drop the indicators, or choose equal or given weights"
    )
    odd = units().astype(object).drop(columns="c1")
    assert refused(odd, tree(), method="equal").startswith(
        "small: 1 problem\n  - c1: expected a column of an indicator"
    )
    odd = units().astype(object)
    odd.iloc[0, 1] = "good"
    assert refused(odd, tree(), method="equal").startswith(
        "small: 1 problem\n  - a2: expected finite numbers, found others"
    )
    empty = units()
    empty.iloc[5] = np.nan
    assert "expected some value of every unit, found none of: u05" in refused(empty, tree(), method="equal")
    assert refused(units(), tree(), method="best") == (
        "small: 1 problem\n  - method: expected one of equal, given, entropy, critic, component, loadings, judged, "
        "found 'best'"
    )


@pytest.fixture(scope="module")
def asem() -> tuple[Composite, IndexTree]:
    own = asem_tree()
    return build_composite(asem_file("idata"), own, arrangement=ASEM, groups="EurAsia_group"), own


@pytest.fixture(scope="module")
def compared(asem: tuple[Composite, IndexTree]) -> TreeWeightComparison:
    return compare_tree_weights(*asem, draws=200)


def test_asem_names_the_indicators_that_work_against_their_branch(compared: TreeWeightComparison) -> None:
    assert compared.methods.index.tolist() == list(METHODS)
    assert compared.methods.index[compared.methods["applied"]].tolist() == ["equal", "given", "entropy", "critic"]
    assert compared.methods.loc["component", "reason"] == (
        "Instit: expected children that load positively on one component, found TBTs (-0.44); "
        "Environ: expected children that load positively on one component, found Forest (-0.24); "
        "SusEcFin: expected children that load positively on one component, found RDExp (-0.47), NEET (-0.46)"
    )
    assert encode(decode(encode(compared))) == encode(compared)


def test_scores_of_the_comparison_are_those_of_the_weighted_tree(
    asem: tuple[Composite, IndexTree], compared: TreeWeightComparison
) -> None:
    composite, own = asem
    given_scores = compared.units[compared.units["method"] == "given"].set_index("unit")["score"]
    assert given_scores[composite.index.index].to_numpy() == pytest.approx(composite.index.to_numpy())
    for method in ("entropy", "critic"):
        applied = derive_tree_weights(composite, own, method=method, draws=20).apply(own)  # type: ignore[arg-type]
        again = build_composite(asem_file("idata"), applied, arrangement=ASEM, groups="EurAsia_group").index
        found = compared.units[compared.units["method"] == method].set_index("unit")
        assert found["score"][again.index].to_numpy() == pytest.approx(again.to_numpy())
        ranks = again.rank(ascending=False, method="min")
        shift = ranks - composite.index.rank(ascending=False, method="min")
        assert found["shift"][again.index].to_numpy() == pytest.approx(shift.to_numpy())
        row = compared.rankings.set_index("method").loc[method]
        assert row["mean_shift"] == pytest.approx(shift.abs().mean())
        assert row["largest_shift"] == shift.abs().max()
        assert shift[row["gains"]] == -row["gained"] == shift.min()
        assert shift[row["loses"]] == row["lost"] == shift.max()
        assert row["tau"] == pytest.approx(again.corr(composite.index, method="kendall"))
        assert row["tau_low"] < row["tau_high"]
        assert (found["low"] < found["score"]).all()
        assert (found["high"] > found["score"]).all()


def test_other_means_are_compared_as_the_composite_says() -> None:
    data, own = units(), tree()
    for method in ("geometric", "copeland"):
        how = Arrangement(scale=(1, 100), aggregate=method)  # type: ignore[arg-type]
        composite = build_composite(data, own, arrangement=how)
        found = compare_tree_weights(composite, own, methods=["given", "critic"], draws=20)
        scores = found.units[found.units["method"] == "given"].set_index("unit")["score"]
        assert scores[composite.index.index].to_numpy() == pytest.approx(composite.index.to_numpy())
        drawn = found.units[found.units["method"] == "critic"]
        assert drawn["rank_low"].le(drawn["rank"]).all()


def test_a_method_asked_for_by_name_must_apply(asem: tuple[Composite, IndexTree]) -> None:
    with pytest.raises(CompositeError) as caught:
        compare_tree_weights(*asem, methods=["equal", "component", "judged"], draws=20)
    lines = str(caught.value).splitlines()
    assert lines[0] == "asem: 4 problems"
    assert lines[1] == (
        "  - component: Instit: expected children that load positively on one component, found TBTs (-0.44)"
    )
    assert lines[4] == "  - judged: judgements: expected comparisons of every branch, found none"
    assert lines[5] == "  What to do: leave out the methods, or mend the tree or the data"
    with pytest.raises(CompositeError) as caught:
        compare_tree_weights(*asem, methods=["best"], reference="equal")
    assert str(caught.value) == (
        f"asem: 2 problems\n  - methods: expected one of {', '.join(METHODS)}, found 'best'\n"
        "  - reference: expected one of best, found 'equal'"
    )
