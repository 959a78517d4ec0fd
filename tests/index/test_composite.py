"""Composite indicators: COINr's numbers at every stage, laws, and trees and data that break the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqmodel.errors import CompositeError
from sqmodel.index.composite import Arrangement, Composite, build_composite
from sqmodel.index.tree import IndexTree, Node, load_tree
from sqmodel.numerics.aggregation import aggregate
from sqmodel.numerics.indicators import kurtosis, normalise, shifted_log, skewness, winsorise
from sqmodel.result import decode, encode
from tests.oracles import shared

ASEM = Arrangement(impute="group_mean")
REMEDY = "  What to do: correct the tree or the data; a step that was asked for is never left out silently"


def asem_file(name: str) -> pd.DataFrame:
    path = shared("data", "asem", "coinr_1.1.14", f"asem_{name}.csv")
    return pd.read_csv(path, keep_default_na=False, na_values=["", "NA"]).set_index("uCode")


def asem_tree(path: Path | None = None) -> IndexTree:
    where = path or shared("data", "asem", "coinr_1.1.14", "asem_imeta.csv")
    meta = pd.read_csv(where, keep_default_na=False)
    own = meta[meta["Type"].isin(["Indicator", "Aggregate"])]
    return IndexTree(name="asem", nodes=tuple(
        Node(code=r["iCode"], parent=r["Parent"].replace("NA", ""), direction=int(r["Direction"]),
             weight=float(r["Weight"]), denominator=r["Denominator"].replace("NA", ""))
        for r in own.to_dict("records")
    ))  # fmt: skip


@pytest.fixture(scope="module")
def tree() -> IndexTree:
    return asem_tree()


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return asem_file("idata")


@pytest.fixture(scope="module")
def asem(tree: IndexTree, data: pd.DataFrame) -> Composite:
    return build_composite(data, tree, arrangement=ASEM, groups="EurAsia_group")


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    text = shared("oracles", "index_and_operations.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["asem_COINr_1.1.14"]
    return found


@pytest.mark.parametrize("stage", ["Raw", "Denominated", "Imputed", "Treated", "Normalised"])
def test_every_stage_of_coinr(stage: str, asem: Composite) -> None:
    known = asem_file(stage).astype(float)
    found = getattr(asem, stage.lower())
    assert set(known.columns) == set(found.columns)
    pd.testing.assert_frame_equal(found.loc[known.index, known.columns], known, rtol=0, atol=1e-6, check_names=False)


def test_every_score_of_coinr(asem: Composite, oracle: dict[str, Any]) -> None:
    known = asem_file("Aggregated").astype(float)[list(asem.scores.columns)]
    pd.testing.assert_frame_equal(asem.scores.loc[known.index], known, rtol=0, atol=1e-6, check_names=False)
    for unit, value in oracle["Index"].items():
        assert asem.index[unit] == pytest.approx(value, abs=1e-6)
    assert asem.index.mean() == pytest.approx(oracle["mean_index"], abs=1e-5)
    assert asem.index.std() == pytest.approx(oracle["sd_index"], abs=1e-5)
    assert asem.scores["Conn"].corr(asem.scores["Sust"]) == pytest.approx(oracle["r_Conn_Sust"], abs=1e-6)
    assert repr(asem) == "<Composite asem 1, 51 units, 49 indicators: CHE 68.4 to RUS 35.7; no intervals>"


def test_every_stage_of_the_older_coinr() -> None:
    """The results that the package once stored: other files, another order, the same arrangement."""
    columns = {"keep_default_na": False, "na_values": ["", "NA"]}
    data = pd.read_csv(shared("data", "asem", "ASEM_iData.csv"), **columns).set_index("uCode")
    tree = asem_tree(shared("data", "asem", "ASEM_iMeta.csv"))
    found = build_composite(data, tree, arrangement=ASEM, groups="EurAsia_group")
    for stage in ("Raw", "Denominated", "Imputed", "Treated", "Normalised", "Aggregated"):
        known = pd.read_csv(shared("data", "asem", f"COINr_old_{stage}.csv"), **columns).set_index("UnitCode")
        own = found.scores if stage == "Aggregated" else getattr(found, stage.lower())
        expected = known[list(own.columns)].astype(float)
        pd.testing.assert_frame_equal(own.loc[known.index], expected, rtol=0, atol=1e-6, check_names=False)


def test_other_means_of_coinr(tree: IndexTree, data: pd.DataFrame, oracle: dict[str, Any]) -> None:
    for name, method in (("gmean_1_100_top", "geometric"), ("hmean_1_100_top", "harmonic")):
        how = Arrangement(impute="group_mean", scale=(1, 100), aggregate=method)  # type: ignore[arg-type]
        found = build_composite(data, tree, arrangement=how, groups="EurAsia_group").index.nlargest(3)
        assert found.index.tolist() == list(oracle[name])
        assert found.tolist() == pytest.approx(list(oracle[name].values()), abs=1e-6)


def test_ranks_without_a_pillar(tree: IndexTree, data: pd.DataFrame, asem: Composite, oracle: dict[str, Any]) -> None:
    whole = asem.index.rank(ascending=False, method="min")
    for pillar, known in oracle["remove_pillar_mean_abs_rank_change"].items():
        without = build_composite(data, tree.without([pillar]), arrangement=ASEM, groups="EurAsia_group")
        change = (without.index.rank(ascending=False, method="min") - whole).abs().mean()
        assert change == pytest.approx(known, abs=1e-6), pillar


def test_what_was_filled_and_lost_is_told(asem: Composite) -> None:
    assert len(asem.imputations) == 65
    filled = asem.imputations.set_index(["unit", "indicator"])["value"]
    assert filled["BGD", "ConSpeed"] == pytest.approx(12.9153846153846)
    assert filled["ITA", "Poverty"] == pytest.approx(0.372413793103448)
    assert sorted(asem.lost["indicator"]) == ["Elec", "Gas"]
    assert set(asem.lost["unit"]) == {"LAO"}
    done = asem.treatment["done"].value_counts().to_dict()
    assert done == {"none": 34, "winsorised": 15}
    assert asem.treatment.loc["Services", "steps"] == 4
    assert (asem.treatment.loc[asem.treatment["done"] == "winsorised", "kurtosis"] > 3.5).all()
    assert asem.weights["effective"].sum() == pytest.approx(1)
    assert encode(decode(encode(asem))) == encode(asem)


def small(**changes: Any) -> IndexTree:
    """Two branches of two indicators."""
    nodes = {
        "I": {}, "A": {"parent": "I"}, "B": {"parent": "I", "weight": 3}, "a1": {"parent": "A"},
        "a2": {"parent": "A", "direction": -1}, "b1": {"parent": "B"}, "b2": {"parent": "B"},
    }  # fmt: skip
    for code, change in changes.items():
        nodes.setdefault(code, {}).update(change)
    return IndexTree(name="small", nodes=tuple(Node(code=c, **n) for c, n in nodes.items()))  # type: ignore[arg-type]


def table(rng: np.random.Generator, n: int = 12) -> pd.DataFrame:
    return pd.DataFrame(rng.normal(10, 2, (n, 4)), columns=["a1", "a2", "b1", "b2"], index=[f"u{i}" for i in range(n)])


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 100), st.floats(-50, 50))
def test_units_of_measurement_and_order_do_not_matter(seed: int, factor: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    frame = table(rng)
    for method in ("min_max", "z_score", "rank", "distance"):
        how = Arrangement(normalise=method)  # type: ignore[arg-type]
        one = build_composite(frame, small(), arrangement=how)
        other = build_composite(frame.iloc[::-1] * factor + shift, small(), arrangement=how)
        np.testing.assert_allclose(other.scores.loc[one.scores.index], one.scores, atol=1e-8)
        mirrored = build_composite(frame.assign(a1=-frame["a1"]), small(a1={"direction": -1}), arrangement=how)
        np.testing.assert_allclose(mirrored.scores, one.scores, atol=1e-8)


@given(st.integers(0, 2**32 - 1))
def test_means_keep_their_order_and_the_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(1, 100, (8, 4)), rng.uniform(0.1, 1, 4)
    arithmetic, geometric, harmonic = (aggregate(x, w, m) for m in ("arithmetic", "geometric", "harmonic"))
    assert (arithmetic >= geometric - 1e-9).all()
    assert (geometric >= harmonic - 1e-9).all()
    assert (harmonic >= x.min(axis=1) - 1e-9).all()
    better = x.copy()
    better[0] += 5
    for method in ("arithmetic", "geometric", "harmonic", "copeland"):
        assert aggregate(better, w, method)[0] >= aggregate(x, w, method)[0]  # type: ignore[arg-type]
    assert aggregate(x, w, "copeland").sum() == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_replicates_at_once_are_as_one_after_another(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(0, 1.5, (5, 20, 3)))
    x[0, 3, 1] = np.nan
    together, steps = winsorise(x)
    direction = np.array([1.0, -1.0, 1.0])
    for k in range(5):
        alone, own = winsorise(x[k])
        np.testing.assert_array_equal(alone, together[k])
        np.testing.assert_array_equal(own, steps[k])
        for f in (skewness, kurtosis, shifted_log):
            np.testing.assert_allclose(f(x[k]), f(x)[k], rtol=1e-10)
        for method in ("min_max", "z_score", "rank", "distance"):
            one, many = (normalise(v, method, direction=direction) for v in (x[k], x))  # type: ignore[arg-type]
            np.testing.assert_allclose(one, many[k], rtol=1e-10)
    assert (steps <= 5).all()


def test_goalposts_cut_what_lies_beyond_them() -> None:
    tree = small(**{c: {"goalposts": (0, 10)} for c in ("a1", "a2", "b1", "b2")})
    frame = pd.DataFrame({"a1": [-5.0, 5, 20], "a2": [-5.0, 5, 20], "b1": [0.0, 2, 10], "b2": [3.0, 3, 3]})
    found = build_composite(frame, tree, arrangement=Arrangement(normalise="goalposts", treat=False))
    assert found.normalised["a1"].tolist() == [0, 50, 100]
    assert found.normalised["a2"].tolist() == [100, 50, 0]
    assert found.normalised["b2"].tolist() == [30, 30, 30]
    assert found.index.tolist() == pytest.approx([0.25 * 50 + 0.75 * 15, 0.25 * 50 + 0.75 * 25, 0.25 * 50 + 0.75 * 65])


def test_units_with_too_little_are_left_out_and_told() -> None:
    frame = table(np.random.default_rng(1))
    frame.iloc[0, :2] = np.nan
    frame.iloc[1, :] = np.nan
    found = build_composite(frame, small(), arrangement=Arrangement(present=0.75))
    assert found.left_out.to_dict("records") == [
        {"unit": "u0", "present": 0.5, "reason": "fewer than 75% of the indicators"},
        {"unit": "u1", "present": 0.0, "reason": "no indicator"},
    ]
    assert found.n == 10


def message(build: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(CompositeError) as caught:
        build(*arguments, **options)
    return str(caught.value)


TREES = {
    "nodes:\n- {code: I}\n- {code: A, parent: B}\n- {code: B, parent: A}\n- {code: x, parent: I}\n":
        "  - nodes: expected a tree, found a circle: A → B → A",
    "nodes:\n- {code: I}\n- {code: J}\n- {code: x, parent: I}\n- {code: y, parent: J}\n":
        "  - nodes: expected one root, found I, J",
    "nodes:\n- {code: I}\n- {code: x, parent: K}\n- {code: x, parent: I}\n":
        "  - nodes: expected every code once, found 'x' 2 times\n  - x: expected a parent among the nodes, found 'K'",
    "weights: shares\nnodes:\n- {code: I}\n- {code: x, parent: I, weight: 0.5}\n- {code: y, parent: I, weight: 0.4}\n":
        "  - I: expected weights that sum to one, found 0.9",
    "nodes:\n- {code: I, goalposts: [0, 1]}\n- {code: x, parent: I, weight: 0}\n":
        "  - I: expected a child with a weight above 0, found none\n"
        "  - I: expected goalposts of indicators only, found one of a branch",
    "nodes:\n- {code: I}\n- {code: x, parent: I, goalposts: [3, 1]}\n":
        "  - nodes.1: x: expected a lower goalpost below the upper one, found (3.0, 1.0)",
}  # fmt: skip


@pytest.mark.parametrize("text", TREES)
def test_what_is_no_tree(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("index.yaml").write_text(f"name: t\n{text}", encoding="utf-8")
    problems = TREES[text].count("\n") + 1
    head = f"index.yaml: {problems} problem{'s' * (problems > 1)}"
    assert message(load_tree, "index.yaml") == f"{head}\n{TREES[text]}\n  What to do: correct the tree file"


def test_shares_after_dropping_must_sum_to_one() -> None:
    nodes = (Node(code="I"), *(Node(code=c, parent="I", weight=w) for c, w in (("x", 0.5), ("y", 0.3), ("z", 0.2))))
    tree = IndexTree(name="t", weights="shares", nodes=nodes)
    assert message(tree.without, ["z"]) == (
        "t: 1 problem\n  - I: expected weights that sum to one, found 0.8\n"
        "  What to do: give the shares of what is left, or say `weights: relative` in the tree"
    )
    relative = IndexTree(name="t", nodes=nodes).without(["z"])
    assert relative.effective_weights() == {"x": pytest.approx(0.625), "y": pytest.approx(0.375)}
    assert message(tree.without, ["q"]) == "t: 1 problem\n  - drop: expected nodes of the tree, found 'q'"
    assert small().without(["b1", "b2"]).levels == (("A",), ("I",))
    assert (
        message(small().without, ["A", "B"]) == "small: 1 problem\n  - drop: expected indicators to be left, found none"
    )


def test_bad_data_are_named_by_node() -> None:
    frame = table(np.random.default_rng(1)).drop(columns="b2")
    frame["b1"] = frame["b1"].astype(object)
    frame.loc["u3", "b1"] = "much"
    tree = small(a1={"denominator": "clients"}, a2={"denominator": "area"})
    bad = frame.assign(area=0.0)
    assert message(build_composite, bad, tree, arrangement=Arrangement(impute="group_mean"), groups="region") == (
        "small: 5 problems\n"
        "  - b1: expected finite numbers, found others at: u3\n"
        "  - b2: expected a column of an indicator, found none\n"
        "  - clients: expected a column of a denominator, found none\n"
        "  - area: expected a denominator other than 0, found 0 at: u0, u1, u2, u3, u4 and 7 more\n"
        f"  - groups: expected a column 'region', found none\n{REMEDY}"
    )
    twice = table(np.random.default_rng(1)).rename(index={"u1": "u0"})
    assert message(build_composite, twice, small()) == (
        f"small: 1 problem\n  - expected every unit once, found it again: u0\n{REMEDY}"
    )


def test_constant_indicators_and_values_that_a_mean_does_not_take() -> None:
    frame = table(np.random.default_rng(1))
    assert message(build_composite, frame.assign(b1=7.0, a2=1.0), small()) == (
        "small: 2 problems\n  - a2: expected an indicator that varies, found 1 throughout\n"
        "  - b1: expected an indicator that varies, found 7 throughout\n"
        "  What to do: drop it from the tree, or normalise by goalposts"
    )
    told = message(build_composite, frame, small(), arrangement=Arrangement(normalise="z_score", aggregate="geometric"))
    assert told.splitlines()[0] == "small: 4 problems"
    assert "  - A: expected values above 0 of a1 for a geometric mean, found others at: " in told
    assert told.endswith("  What to do: normalise to a scale above 0, such as 1 to 100")


def test_an_arrangement_that_cannot_be_applied_is_refused() -> None:
    how = Arrangement(impute="group_mean", normalise="goalposts", aggregate=("arithmetic",), scale=(1, 0), present=2)
    frame, tree = table(np.random.default_rng(1)), small(b1={"goalposts": (0, 1)})
    assert message(build_composite, frame, tree, arrangement=how) == (
        "small: 7 problems\n"
        "  - aggregate: expected one method or 2, one a level, found 1\n"
        "  - groups: expected a column for impute 'group_mean', found 'none'\n"
        "  - scale: expected a lower end below the upper one, found (1, 0)\n"
        "  - present: expected a share from 0 to 1, found 2\n"
        "  - a1: expected goalposts, found none\n"
        "  - a2: expected goalposts, found none\n"
        f"  - b2: expected goalposts, found none\n{REMEDY}"
    )
    frame["region"] = ["north", "south"] * 6
    frame.loc[frame["region"] == "north", "a1"] = np.nan
    told = message(build_composite, frame, small(), arrangement=Arrangement(impute="group_mean"), groups="region")
    assert told == (
        "small: 1 problem\n  - a1: expected a value of its group to impute from, found none for: u0, u2, u4, u6, u8 "
        f"and 1 more\n{REMEDY}"
    )
