"""Composite indices over versions of a tree: planted changes, an unchanged service, and what cannot be linked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import CompositeError
from sqmodel.index.composite import Arrangement
from sqmodel.index.samples import RowSample
from sqmodel.index.tree import IndexTree, Node
from sqmodel.index.tree_links import LinkedComposites, Period, TreeSegment, link_composites

UNITS = [f"u{k}" for k in range(8)]


def tree(version: str, **weights: float) -> IndexTree:
    leaves = (Node(code=c, parent="I", weight=w, goalposts=(0, 100)) for c, w in weights.items())
    return IndexTree(name="t", version=version, nodes=(Node(code="I"), *leaves))


def drawn(rng: np.random.Generator, truth: pd.DataFrame, shift: float = 0.0, n: int = 60) -> pd.DataFrame:
    """Rows of a new sample of every unit."""
    rows = (truth + shift).loc[np.repeat(truth.index, n)].rename_axis("unit").reset_index()
    columns = list(truth)
    return rows.assign(**{c: rows[c] + rng.normal(0, 15, len(rows)) for c in columns})


def period(rows: pd.DataFrame, columns: tuple[str, ...]) -> Period:
    sample = RowSample("clients", rows, unit="unit", columns=columns)
    return Period(pd.DataFrame(index=UNITS), [sample])


def linked(rng: np.random.Generator, *, shift: float = 0.0, seed: int = 0, draws: int = 300) -> LinkedComposites:
    """The old tree has a and b, the new one b and c; the service changed by `shift` after the shared quarter."""
    truth = pd.DataFrame(rng.uniform(30, 70, (8, 3)), index=UNITS, columns=list("abc"))
    first, both, last = (drawn(rng, truth, s) for s in (0.0, 0.0, shift))
    old = TreeSegment(tree("1", a=1, b=1), {"2026Q1": period(first, ("a", "b")), "2026Q2": period(both, ("a", "b"))})
    new = TreeSegment(tree("2", b=2, c=1), {"2026Q2": period(both, ("b", "c")), "2026Q3": period(last, ("b", "c"))},
                      reason="a is no longer asked")  # fmt: skip
    return link_composites([old, new], draws=draws, rng=seed)


def test_an_unchanged_service_covers_zero_and_a_change_is_told() -> None:
    rng = np.random.default_rng(4)
    held, joint, told = [], [], []
    for k in range(40):
        found = linked(rng, seed=k, draws=200).differences
        whole = found[(found["period"] == "2026Q3") & (found["earlier"] == "2026Q1")]
        held.append((whole["low"] <= 0) & (whole["high"] >= 0))
        joint.append(bool((whole["joint_verdict"] == "not sure").all()))
        moved = linked(rng, shift=8.0, seed=k, draws=200).differences
        told.append((moved[moved["earlier"] == "2026Q2"].query("period == '2026Q3'")["verdict"] == "rose").mean())
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 320))
    assert np.mean(joint) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 40)
    assert np.mean(told) > 0.8


def test_the_series_is_on_the_new_scale_and_the_link_holds_no_news() -> None:
    found = linked(np.random.default_rng(1), draws=400)
    series = found.series.set_index(["period", "unit"])
    assert series.loc["2026Q2", "segment"].eq(2).all()
    assert (series.loc["2026Q2", "own"] == series.loc["2026Q2", "estimate"]).all()
    offset = found.links.set_index("unit")["offset"]
    np.testing.assert_allclose(series.loc["2026Q1", "estimate"], series.loc["2026Q1", "own"] + offset)
    assert found.links["period"].unique().tolist() == ["2026Q2"]
    assert found.links["reason"].unique().tolist() == ["a is no longer asked"]
    assert repr(found).startswith("<LinkedComposites 2026Q1 to 2026Q3 on t 2, 8 units: ")


def test_the_same_tree_linked_with_itself_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    truth = pd.DataFrame(rng.uniform(30, 70, (8, 2)), index=UNITS, columns=list("ab"))
    quarters = {q: period(drawn(rng, truth), ("a", "b")) for q in ("2026Q1", "2026Q2", "2026Q3")}
    parts = [("2026Q1", "2026Q2"), ("2026Q2", "2026Q3")]
    segments = [TreeSegment(tree("1", a=1, b=1), {q: quarters[q] for q in own}, reason="none") for own in parts]
    found = link_composites(segments, draws=200)
    assert found.links[["offset", "se"]].abs().to_numpy().max() < 1e-9
    np.testing.assert_allclose(found.series["own"], found.series["estimate"])


def refused(segments: list[TreeSegment], **options: Any) -> str:
    with pytest.raises(CompositeError) as caught:
        link_composites(segments, **options)
    return str(caught.value)


def test_what_cannot_be_linked() -> None:
    rng = np.random.default_rng(3)
    truth = pd.DataFrame(rng.uniform(30, 70, (8, 2)), index=UNITS, columns=list("ab"))
    one = period(drawn(rng, truth), ("a", "b"))
    bare = Period(one.samples[0].values())
    min_max = Arrangement()
    old = TreeSegment(tree("1", a=1, b=1), {"2026Q1": one, "2026Q4": bare}, arrangement=min_max)
    new = TreeSegment(tree("2", a=1, b=2), {"2026Q2": one, "2026Q3": one})
    remedy = "  What to do: score the units under both versions in one period, and normalise by goalposts"
    assert refused([old, new], draws=10, level=2.0) == (
        "chain-linking: 6 problems\n"
        "  - segment 1 (t 1): expected goalposts, whose ends do not move, found min_max\n"
        "  - segment 1 (t 1): expected samples in every period, found none in 2026Q4\n"
        "  - segment 2 (t 2): expected a reason of the change, found none\n"
        "  - segments 1 and 2 (t 1, t 2): expected a period that both versions score, found none\n"
        "  - draws: expected at least 100, found 10\n"
        f"  - level: expected a share above .5 and below 1, found 2.0\n{remedy}"
    )
    late = TreeSegment(tree("2", a=1, b=2), {"2026Q1": one, "2026Q3": one}, reason="r")
    early = TreeSegment(tree("1", a=1, b=1), {"2026Q1": one, "2026Q2": one})
    assert refused([early, late]) == (
        "chain-linking: 1 problem\n  - segments 1 and 2 (t 1, t 2): expected the old version to end where the new "
        f"begins, found 2026Q1\n{remedy}"
    )
    assert refused([early]) == f"chain-linking: 1 problem\n  - expected at least 2 segments, found 1\n{remedy}"


def test_units_that_a_period_lacks_are_left_out() -> None:
    rng = np.random.default_rng(5)
    truth = pd.DataFrame(rng.uniform(30, 70, (8, 2)), index=UNITS, columns=list("ab"))
    whole, rows = period(drawn(rng, truth), ("a", "b")), drawn(rng, truth)
    sample = RowSample("clients", rows[rows["unit"] != "u3"], unit="unit", columns=("a", "b"))
    few = Period(pd.DataFrame(index=[u for u in UNITS if u != "u3"]), [sample])
    segments = [TreeSegment(tree("1", a=1, b=1), {"2026Q1": few, "2026Q2": whole}),
                TreeSegment(tree("2", a=1, b=2), {"2026Q2": whole, "2026Q3": whole}, reason="r")]  # fmt: skip
    found = link_composites(segments, draws=100)
    assert found.left_out.to_dict("records") == [{"unit": "u3", "reason": "no score in 2026Q1"}]
    assert found.n == 7
