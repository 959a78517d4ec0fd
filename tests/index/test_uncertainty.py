"""Uncertainty of an index: the same numbers as one composite after another, known truth, COINr and SALib, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from SALib.analyze import sobol
from SALib.sample import sobol as sampling

from sqmodel import compute
from sqmodel.errors import CompositeError
from sqmodel.index.alternatives import Alternatives
from sqmodel.index.composite import Arrangement, build_composite
from sqmodel.index.design_demo import demo_design
from sqmodel.index.replicates import Design, Pool
from sqmodel.index.samples import ErrorSample, RowSample
from sqmodel.index.tree import IndexTree, Node
from sqmodel.index.uncertainty import Uncertainty, assess_uncertainty
from sqmodel.result import decode, encode
from tests.index.test_composite import ASEM, asem_file, asem_tree, small, table


def design(frame: pd.DataFrame, tree: IndexTree, how: Arrangement, others: Alternatives, groups: str = "") -> Design:
    composite = build_composite(frame, tree, arrangement=how, groups=groups)
    return Design.of(composite, frame, tree, how, others, groups, [], None)


def combinations(own: Design) -> Iterator[tuple[dict[str, int], Arrangement, IndexTree]]:
    """Every combination of options, the arrangement it is, and its tree."""
    names = list(own.options)
    for levels in product(*(range(len(o)) for o in own.options.values())):
        at = dict(zip(names, levels, strict=True))
        chosen = {n: own.options[n][k] for n, k in at.items()}
        how = replace(
            own.how, impute=chosen["imputation"], treat=chosen["treatment"] is not None,
            winsorised=chosen["treatment"] or 0, normalise=chosen["normalisation"][0],
            scale=chosen["normalisation"][1], aggregate=chosen["aggregation"],
        )  # fmt: skip
        tree = own.alternatives.trees.get(chosen["weights"], own.tree)
        yield at, how, tree.without([chosen["dropped"]]) if chosen["dropped"] else tree


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_a_replicate_is_the_composite_of_its_choices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = np.exp(table(rng) / 4)
    frame["region"] = ["north", "south", "north"] * 4
    frame.iloc[rng.integers(0, 12, 3), 1] = np.nan
    frame["clients"] = rng.uniform(1, 5, 12)
    tree = small(b1={"denominator": "clients"}, a1={"treatment": "log"})
    other = IndexTree(
        name="other", nodes=tuple(n.model_copy(update={"weight": rng.uniform(0.1, 2)}) for n in tree.nodes)
    )
    others = Alternatives(
        impute=("median", "group_median"), treat=(None, 0, 2), normalise=(("rank", None), ("z_score", (40.0, 5.0))),
        aggregate=("geometric", "copeland", ("geometric", "arithmetic")), trees={"other": other}, drop=("a1", "B"),
    )  # fmt: skip
    own = design(frame, tree, Arrangement(impute="group_mean", scale=(1, 100)), others, "region")
    some = [c for c in combinations(own) if rng.random() < 0.06]
    levels = {name: np.array([at[name] for at, _, _ in some]) for name in own.options}
    found = own._raw(levels, Pool((), {}, None)).scores
    for scores, (at, how, changed) in zip(found, some, strict=True):
        groups = "region" if how.impute.startswith("group") else ""
        if changed.levels != tree.levels and not isinstance(how.aggregate, str):
            continue
        known = build_composite(frame, changed, arrangement=how, groups=groups).index
        np.testing.assert_allclose(scores, known, rtol=1e-9, atol=1e-9, err_msg=str(at))


def test_noise_and_missing_values_in_a_replicate() -> None:
    rng = np.random.default_rng(2)
    frame = table(rng)
    frame.iloc[3, 2] = np.nan
    tree, others = small(), Alternatives(noise=(0.5, 0.0))
    own = design(frame, tree, Arrangement(), others)
    pool = own.pool(5, rng)
    assert pool.noise is not None
    # The noise of the upper level is 0: of A and B.
    codes = [n.code for n in tree.nodes]
    assert (pool.noise[:, [codes.index("A"), codes.index("B")]] == 1).all()
    assert np.ptp(pool.noise[:, codes.index("a1")]) > 0
    found = own.scores({"weight_noise": np.arange(5)}, pool).scores
    for k in range(5):
        nodes = tuple(n.model_copy(update={"weight": n.weight * pool.noise[k, j]}) for j, n in enumerate(tree.nodes))
        known = build_composite(frame, IndexTree(name="t", nodes=nodes)).index
        np.testing.assert_allclose(found[k], known, rtol=1e-10)


def test_other_scales_are_brought_to_the_arrangement_s_own() -> None:
    frame = table(np.random.default_rng(4))
    others = Alternatives(normalise=(("z_score", None), ("min_max", (0.0, 1.0))), aggregate=("copeland",))
    own = design(frame, small(), Arrangement(), others)
    level = {"normalisation": np.array([0, 1, 2, 0]), "aggregation": np.array([0, 0, 0, 1])}
    found = own.scores(level, Pool((), {}, None)).scores
    np.testing.assert_allclose(found.mean(axis=1), found[0].mean())
    np.testing.assert_allclose(found.std(axis=1), found[0].std())
    np.testing.assert_allclose(found[2], found[0])
    assert own.rescaled
    assert not design(frame, small(), Arrangement(), Alternatives(treat=(None,))).rescaled


@pytest.fixture(scope="module")
def asem() -> Uncertainty:
    """COINr's own example of a sensitivity analysis, as in its vignette."""
    others = Alternatives(treat=(1, 2, 3, 4, 5), normalise=(("z_score", (10.0, 2.0)),), aggregate=("geometric",),
                          noise=(0.0, 0.25, 0.25))  # fmt: skip
    how = replace(ASEM, scale=(1.0, 100.0))
    return assess_uncertainty(asem_file("idata"), asem_tree(), arrangement=how, groups="EurAsia_group",
                              alternatives=others, draws=2000, tolerance=0.03, rng=1)  # fmt: skip


def test_sensitivity_as_coinr_s(asem: Uncertainty) -> None:
    """COINr's own estimates rest on 100 points: about ± .15."""
    ranks = asem.factors[asem.factors["output"] == "ranks"].set_index("factor")
    known = {"treatment": (0.0399, 0.0484), "normalisation": (0.2524, 0.2707), "weight_noise": (0.2283, 0.1776),
             "aggregation": (0.368, 0.6179)}  # fmt: skip
    for factor, (first, total) in known.items():
        assert ranks.loc[factor, "first"] == pytest.approx(first, abs=0.2), factor
        assert ranks.loc[factor, "total"] == pytest.approx(total, abs=0.15), factor
    assert ranks["total"].idxmax() == "aggregation"
    assert asem.convergence["reached"].iloc[-1]
    shapley = asem.factors.groupby("output")["shapley"].sum()
    np.testing.assert_allclose(shapley, 1)
    assert asem.split.loc["method"].round(9).tolist() == [1, 1, 1]
    assert repr(asem).startswith("<Uncertainty asem 1, 51 units, 2,000 replicates: CHE 68.7 [")
    assert encode(decode(encode(asem))) == encode(asem)


def test_sobol_indices_as_salib_s() -> None:
    frame = np.exp(table(np.random.default_rng(6), 20) / 4)
    others = Alternatives(
        treat=(None, 1), normalise=(("rank", None),), aggregate=("geometric", "harmonic"), drop=("a1", "b2")
    )
    how = Arrangement(scale=(1, 100))
    found = assess_uncertainty(frame, small(), arrangement=how, alternatives=others, draws=200, evaluations=2**15,
                               tolerance=0.01, rng=3)  # fmt: skip
    own = design(frame, small(), how, others)
    problem = {"num_vars": len(own.factors), "names": list(own.factors), "bounds": [[0, 1]] * len(own.factors)}
    points = sampling.sample(problem, 1024, seed=1)
    counts = np.array([len(own.options[f]) for f in own.factors])
    levels = {f: np.minimum((points[:, j] * counts[j]).astype(int), counts[j] - 1) for j, f in enumerate(own.factors)}
    values = own.scores(levels, Pool((), {}, None)).scores
    # Each unit's indices, put together by its share of the whole variance.
    told = [sobol.analyze(problem, v, seed=1) for v in values.T]
    share = values.var(axis=0) / values.var(axis=0).sum()
    ours = found.factors[found.factors["output"] == "scores"].set_index("factor").loc[list(own.factors)]
    for name, key in (("first", "S1"), ("total", "ST")):
        known = sum(s * t[key] for s, t in zip(share, told, strict=True))
        np.testing.assert_allclose(ours[name], known, atol=0.05)


def planted(rng: np.random.Generator, units: int = 12, n: int = 60) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with known means on two indicators, and those means."""
    truth = pd.DataFrame({"a": rng.uniform(20, 80, units), "b": rng.uniform(20, 80, units)},
                         index=[f"u{k:02d}" for k in range(units)])  # fmt: skip
    rows = truth.loc[np.repeat(truth.index, n)].rename_axis("unit").reset_index()
    rows[["a", "b"]] += rng.normal(0, 15, (len(rows), 2))
    return rows, truth


POSTS = IndexTree(name="p", nodes=(Node(code="I"), Node(code="a", parent="I", weight=2, goalposts=(0, 100)),
                                   Node(code="b", parent="I", goalposts=(0, 100))))  # fmt: skip


def test_intervals_and_rank_sets_hold_the_truth() -> None:
    rng = np.random.default_rng(9)
    held, ranked, all_ranked, trials = [], [], [], 60
    for _ in range(trials):
        rows, truth = planted(rng)
        sample = RowSample("clients", rows, unit="unit", columns=("a", "b"))
        found = assess_uncertainty(pd.DataFrame(index=truth.index), POSTS, samples=[sample], draws=400, evaluations=0,
                                   arrangement=Arrangement(normalise="goalposts", treat=False), rng=rng)  # fmt: skip
        true = (2 * truth["a"] + truth["b"]) / 3
        rank = true.rank(ascending=False)
        held.append((found.scores["sampling_low"] <= true) & (true <= found.scores["sampling_high"]))
        ranked.append((found.ranks["best"] <= rank) & (rank <= found.ranks["worst"]))
        all_ranked.append(((found.ranks["best_all"] <= rank) & (rank <= found.ranks["worst_all"])).all())
    # Units of a trial share no draws: 720 intervals, three Monte Carlo standard errors.
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 720))
    assert np.mean(ranked) >= 0.95
    assert np.mean(all_ranked) >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / trials)


def test_what_varies_is_what_is_told() -> None:
    rng = np.random.default_rng(3)
    rows, _ = planted(rng)
    data = RowSample("clients", rows, unit="unit", columns=("a", "b")).values()
    errors = ErrorSample("office", data[["a"]], data[["a"]] * 0 + 3.0)
    clients = RowSample("clients", rows, unit="unit", columns=("b",))
    how = Arrangement(normalise="goalposts", treat=False)
    others = Alternatives(noise=0.3, treat=(0,))
    found = assess_uncertainty(data, POSTS, samples=[errors, clients], alternatives=others, arrangement=how, rng=1)
    assert found.settings["samples"] == ["office", "clients"]
    assert found.settings["choices"] == ["treatment", "weight_noise"]
    assert found.split["share"].sum() == pytest.approx(1)
    assert (found.split["share"] > 0.01)[["sampling", "method"]].all()
    both = found.scores
    assert (both["sampling_sd"] < both["sd"]).mean() > 0.9
    np.testing.assert_allclose(both["sd"] ** 2, both["sampling_sd"] ** 2 + both["method_sd"] ** 2, rtol=0.2)
    shares = found.factors[found.factors["output"] == "scores"].set_index("factor")
    assert shares.loc["treatment", "total"] == pytest.approx(0, abs=1e-9)
    assert shares["kind"].tolist() == ["sampling", "sampling", "method", "method"]
    assert ((found.ranks["low"] <= found.ranks["median"]) & (found.ranks["median"] <= found.ranks["high"])).all()
    assert (found.ranks["best_all"] <= found.ranks["best"]).all()
    assert found.ranks["top_quarter"].sum() == pytest.approx(3, abs=0.3)
    alone = assess_uncertainty(data, POSTS, samples=[errors], arrangement=how, draws=200, rng=1)
    assert alone.split["share"].tolist() == pytest.approx([1, 0, 0])
    assert alone.notes == (
        "taken as known, without a sample: b",
        "no alternatives were given: what other choices would change is not known",
    )


def test_the_same_seed_gives_the_same_numbers_anywhere() -> None:
    rows, truth = planted(np.random.default_rng(5))
    options: dict[str, Any] = {
        "samples": [RowSample("clients", rows, unit="unit", columns=("a", "b"), statistic="median")],
        "alternatives": Alternatives(noise=0.2, aggregate=("geometric",)), "draws": 600, "evaluations": 2**10,
        "arrangement": Arrangement(normalise="goalposts", scale=(1, 100)), "rng": 7,
    }  # fmt: skip
    here = assess_uncertainty(pd.DataFrame(index=truth.index), POSTS, **options)
    with compute.on(2):
        there = assess_uncertainty(pd.DataFrame(index=truth.index), POSTS, **options)
    assert encode(here) == encode(there)
    assert encode(here) != encode(assess_uncertainty(pd.DataFrame(index=truth.index), POSTS, **options | {"rng": 8}))


def test_judges_are_a_factor_and_give_the_weights() -> None:
    rng = np.random.default_rng(1)
    frame = table(rng)
    told = [(f"J{j}", b, x, y, 2.0 * np.exp(rng.normal(0, 0.3)))
            for j in range(5) for b, x, y in (("I", "A", "B"), ("A", "a1", "a2"), ("B", "b1", "b2"))]  # fmt: skip
    judgements = pd.DataFrame(told, columns=["judge", "branch", "a", "b", "value"])
    found = assess_uncertainty(frame, small(), judgements=judgements, draws=300, rng=1)
    assert found.settings["samples"] == ["judges"]
    log = np.log(judgements["value"]).groupby(judgements["branch"]).mean()
    share = 1 / (1 + np.exp(-log))
    nodes = {"A": {"weight": share["I"]}, "B": {"weight": 1 - share["I"]}, "a1": {"weight": share["A"]},
             "a2": {"weight": 1 - share["A"]}, "b1": {"weight": share["B"]},
             "b2": {"weight": 1 - share["B"]}}  # fmt: skip
    np.testing.assert_allclose(found.scores["score"], build_composite(frame, small(**nodes)).index, rtol=1e-9)


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(CompositeError) as caught:
        assess_uncertainty(*arguments, **options)
    return str(caught.value)


def test_alternatives_that_cannot_be_applied() -> None:
    frame = table(np.random.default_rng(1))
    strange = IndexTree(name="s", nodes=(Node(code="I"), Node(code="a1", parent="I")))
    others = Alternatives(
        impute=("group_mean", "best"), treat=(-1,), normalise=(("goalposts", None), ("z_score", (0.0, 0.0))),  # type: ignore[arg-type]
        aggregate=("mean", ("geometric",)), noise=1.5, trees={"s": strange}, drop=("q", "I"),
    )  # fmt: skip
    assert refused(frame, small(a1={"goalposts": (0, 1)}), alternatives=others) == (
        "small: 13 problems\n"
        "  - groups: expected a column for impute 'group_mean', found none\n"
        "  - impute: expected one of none, mean, median, group_mean, group_median, found 'best'\n"
        "  - treat: expected 0 or more steps, or none, found -1\n"
        "  - a2: expected goalposts, found none\n"
        "  - b1: expected goalposts, found none\n"
        "  - b2: expected goalposts, found none\n"
        "  - normalise z_score: scale: expected a standard deviation above 0, found 0.0\n"
        "  - aggregate: expected one of arithmetic, geometric, harmonic, copeland, found 'mean'\n"
        "  - aggregate: expected one method or 2, one a level, found 1\n"
        "  - noise: expected a share from 0 to below 1, found 1.5\n"
        "  - trees: expected the nodes of small with other weights only, found others in 's'\n"
        "  - drop: expected nodes below the index, found 'q'\n"
        "  - drop: expected nodes below the index, found 'I'\n"
        "  What to do: correct the alternatives; one that was asked for is never left out silently"
    )
    told = refused(frame, small(), alternatives=Alternatives(aggregate=("geometric", ("copeland", "harmonic"))))
    assert told == (
        "small: 3 problems\n"
        "  - aggregate: expected a scale above 0 for a geometric mean, found min_max from 0\n"
        "  - aggregate: expected values above 0 for a harmonic mean, found it above copeland\n"
        "  - aggregate: expected a scale above 0 for a harmonic mean, found min_max from 0\n"
        "  What to do: correct the alternatives; one that was asked for is never left out silently"
    )
    shares = IndexTree(name="w", weights="shares", nodes=tuple(
        n.model_copy(update={"weight": 0.5 if n.parent else 1.0}) for n in small().nodes))  # fmt: skip
    assert refused(frame, shares, alternatives=Alternatives(drop=("a1",))) == (
        "w: 1 problem\n  - drop a1: A: expected weights that sum to one, found 0.5\n"
        "  What to do: correct the alternatives; one that was asked for is never left out silently"
    )
    others = Alternatives(normalise=(("z_score", (1.0, 1.0)),), aggregate=("geometric",))
    told = refused(frame, small(), arrangement=Arrangement(scale=(1, 100)), alternatives=others, draws=100)
    assert told.splitlines()[0] == "small: 4 problems"
    assert told.splitlines()[1].startswith(
        "  - A: expected values above 0 of a1 for a geometric mean, found others in "
    )


def test_samples_that_do_not_go_with_the_data() -> None:
    frame = table(np.random.default_rng(1))
    rows = pd.DataFrame({"unit": ["u0", "u0", "u1", "x"], "a1": [1.0, 2, 3, 4], "hours": 1.0})
    sample = RowSample("cases", rows, unit="unit", columns=("a1", "hours"))
    again = ErrorSample("office", frame[["a1"]] + 1, frame[["a1"]] * 0 + 1)
    remedy = "  What to do: correct the samples or the data; a column that a sample gives may be left out of the data"
    assert refused(frame, small(), samples=[sample, again]) == (
        "small: 4 problems\n  - cases: expected columns of the tree, found 'hours'\n"
        "  - cases: expected units of the data, found others: x\n"
        "  - office: expected a column of one sample, found 'a1' in 'cases' too\n"
        "  - a1: expected the values that office gives, found others: " + ", ".join(
            f"{u} ({v:g}, not {v + 1:g})" for u, v in frame["a1"].head(5).items()) + f" and 7 more\n{remedy}"
    )  # fmt: skip
    assert refused(frame, small(), draws=50, level=0.4) == (
        "small: 3 problems\n  - expected samples or alternatives, found nothing that varies\n"
        "  - draws: expected at least 100, found 50\n"
        "  - level: expected a share above .5 and below 1, found 0.4\n"
        "  What to do: correct the data, the samples or the alternatives"
    )


def test_what_is_missing_in_a_draw_is_told_and_spoils_no_rank() -> None:
    """Of u0 one of two rows is unanswered: a quarter of its draws would have nothing."""
    rng = np.random.default_rng(2)
    rows, truth = planted(rng, units=6, n=3)
    rows.loc[rows.index[:2], "b"] = np.nan
    sample = RowSample("clients", rows, unit="unit", columns=("a", "b"))
    how = Arrangement(normalise="goalposts", treat=False)
    found = assess_uncertainty(
        pd.DataFrame(index=truth.index), POSTS, samples=[sample], arrangement=how, draws=600, rng=1
    )
    told = [n for n in found.notes if n.startswith("b: nobody answered in ")]
    assert len(told) == 1
    # Two rows are drawn of three: both unanswered with probability 4/9.
    times = int(told[0].split(" in ")[1].split(" ")[0])
    assert times == pytest.approx(600 * 4 / 9, abs=60)
    assert found.ranks.notna().all(axis=None)
    assert found.ranks["top_quarter"].sum() == pytest.approx(2, abs=0.3)
    assert np.isfinite(found.split).all(axis=None)


def test_an_indicator_that_does_not_vary_in_a_draw_is_counted() -> None:
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"unit": np.repeat([f"u{k}" for k in range(4)], 5), "a": rng.normal(50, 9, 20), "b": 0.0})
    rows.loc[0, "b"] = 1.0
    sample = RowSample("cases", rows, unit="unit", columns=("a", "b"))
    tree = IndexTree(name="t", nodes=(Node(code="I"), Node(code="a", parent="I"), Node(code="b", parent="I")))
    found = assess_uncertainty(pd.DataFrame(index=["u0", "u1", "u2", "u3"]), tree, samples=[sample], draws=1000,
                               arrangement=Arrangement(treat=False), evaluations=0, rng=1)  # fmt: skip
    told = next(n for n in found.notes if n.startswith("b: does not vary in "))
    times = int(told.split(" in ")[1].split(" ")[0].replace(",", ""))
    # Four rows are drawn of u0's five.
    assert times / 1000 == pytest.approx(0.8**4, abs=0.06)
    assert any(n.startswith("normalised by the units themselves") for n in found.notes)


def test_what_is_taken_as_known_is_named() -> None:
    rng = np.random.default_rng(4)
    rows, _ = planted(rng, units=5)
    data = RowSample("clients", rows, unit="unit", columns=("a", "b")).values()
    data.loc["u99"] = [50.0, 50.0]
    single = rows[(rows["unit"] != "u00") | ~rows["unit"].duplicated()]
    data.loc["u00", "a"] = single.loc[single["unit"] == "u00", "a"].iloc[0]
    sample = RowSample("clients", single, unit="unit", columns=("a",))
    how = Arrangement(normalise="goalposts", treat=False)
    found = assess_uncertainty(data, POSTS, samples=[sample], arrangement=how, draws=200, evaluations=0, rng=1)
    assert set(found.notes) >= {
        "clients: nothing to draw from for u00, whose values are taken as known",
        "taken as known, without a sample: b",
        "units without a sample, taken as known: u99",
    }
    few = frame_of_few(data)
    left = assess_uncertainty(few, POSTS, alternatives=Alternatives(noise=0.2), draws=200, evaluations=0,
                              arrangement=replace(how, present=0.9))  # fmt: skip
    assert left.left_out["unit"].tolist() == ["u01"]
    assert left.settings["noise"] == [0.2]
    same = Alternatives(treat=(7,), noise=0.0)
    nothing = assess_uncertainty(data, POSTS, alternatives=same, arrangement=replace(how, treat=True), draws=100)
    assert nothing.split.empty
    assert nothing.convergence.empty
    assert nothing.notes[-1] == "nothing that varies changes a score: what each factor does is not assessed"


def frame_of_few(data: pd.DataFrame) -> pd.DataFrame:
    few = data.copy()
    few.loc["u01", "b"] = np.nan
    return few


def test_the_same_choice_in_other_words_is_one() -> None:
    how = Arrangement(normalise="min_max", aggregate=("arithmetic", "arithmetic"))
    others = Alternatives(
        normalise=(("min_max", (0, 100)), ("z_score", (0, 1)), ("z_score", None)),
        aggregate=("arithmetic", ["arithmetic", "arithmetic"]),
        treat=(5, 5),
    )  # type: ignore[arg-type]
    options = others.options(how)
    assert options["normalisation"] == [("min_max", None), ("z_score", None)]
    assert options["aggregation"] == ["arithmetic"]
    assert others.names(how) == ("normalisation",)


def test_intervals_of_shares_hold_all_that_drawing_adds() -> None:
    """The share of a sample in the variance, against its mean over many runs."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame(rng.uniform(20, 80, (8, 2)), index=[f"u{k}" for k in range(8)], columns=["a", "b"])
    errors = [ErrorSample(c, data[[c]], data[[c]] * 0 + e) for c, e in (("a", 4.0), ("b", 6.0))]
    how, shares = Arrangement(normalise="goalposts", treat=False), []
    for seed in range(60):
        found = assess_uncertainty(data, POSTS, samples=errors, arrangement=how, draws=100, tolerance=0.5, rng=seed)
        shares.append(
            found.factors[found.factors["output"] == "scores"].iloc[0][["shapley", "shapley_low", "shapley_high"]]
        )
    table_ = np.array(shares, dtype=float)
    # Var(2a/3) against Var(b/3).
    truth = (2 * 4) ** 2 / ((2 * 4) ** 2 + 6**2)
    held = (table_[:, 1] <= truth) & (truth <= table_[:, 2])
    assert held.mean() >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)


def test_samples_and_trees_that_are_refused() -> None:
    rng = np.random.default_rng(1)
    rows, _ = planted(rng, units=4, n=4)
    data = RowSample("clients", rows, unit="unit", columns=("a", "b")).values()
    how, remedy = Arrangement(normalise="goalposts", treat=False), "  What to do: "
    same = RowSample("treatment", rows, unit="unit", columns=("a",))
    assert refused(data, POSTS, samples=[same], arrangement=how, tolerance=-1.0, evaluations=-5) == (
        "p: 3 problems\n  - expected a sample under a name that no choice has, found 'treatment'\n"
        "  - evaluations: expected 0 or more, found -5\n  - tolerance: expected a width above 0, found -1.0\n"
        f"{remedy}correct the data, the samples or the alternatives"
    )
    light = IndexTree(name="p", nodes=tuple(
        n.model_copy(update={"weight": 0.0}) if n.code == "b" else n for n in POSTS.nodes))  # fmt: skip
    assert refused(data, POSTS, arrangement=how, alternatives=Alternatives(trees={"light": light}, drop=("a",))) == (
        "p: 1 problem\n  - drop a of light: I: expected a child with a weight above 0 to be left, found none\n"
        f"{remedy}correct the alternatives; one that was asked for is never left out silently"
    )
    clients = rows.assign(n=rng.choice([-1.0, 9.0], len(rows)))
    divided = (n.model_copy(update={"denominator": "n"}) if n.code == "b" else n for n in POSTS.nodes)
    below = IndexTree(name="d", nodes=tuple(divided))
    told = refused(data[["a", "b"]], below, arrangement=how,
                   samples=[RowSample("cases", clients, unit="unit", columns=("n",))])  # fmt: skip
    assert told.startswith("d: 1 problem\n  - n: expected denominators that no draw takes to 0 or beyond, found ")
    assert told.endswith(f"draws that do\n{remedy}take the denominator as known, without a sample")
    twice = pd.concat([data, data.iloc[:1]])
    assert refused(twice, POSTS, samples=[same], arrangement=how) == (
        f"p: 1 problem\n  - expected every unit once, found it again: u00\n{remedy}correct the data"
    )
    mixed = IndexTree(name="m", nodes=(Node(code="I"), Node(code="A", parent="I"), Node(code="a", parent="A"),
                                       Node(code="b", parent="I")))  # fmt: skip
    assert refused(data, mixed, alternatives=Alternatives(aggregate=(("copeland", "arithmetic"),))) == (
        "m: 1 problem\n  - I: expected children on one scale, found A by copeland beside b\n"
        f"{remedy}correct the alternatives; one that was asked for is never left out silently"
    )
    with pytest.raises(CompositeError) as caught:
        Alternatives(impute="mean", treat=5, normalise=("rank",))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "alternatives: 2 problems\n  - impute: expected a list of alternatives, found 'mean'\n"
        "  - treat: expected a list of alternatives, found 5\n"
        f"{remedy}correct the alternatives; one that was asked for is never left out silently"
    )


def test_the_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    code = next(b for b in readme.split("```python\n")[1:] if "assess_uncertainty" in b).split("```")[0]
    demo_design(tmp_path / "params" / "data")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    told = capsys.readouterr().out
    assert "<Composite lending_index" in told
    assert "<Uncertainty lending_index" in told
    assert "sampling" in told
