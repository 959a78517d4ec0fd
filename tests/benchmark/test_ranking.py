"""Ranking: OpenBUGS' Surgical example, sets of ranks, the adjustment for case mix, and rates drawn to the others."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from sqmodel.benchmark.assess_case_mix import adjust_for_case_mix
from sqmodel.benchmark.ranking import (
    RANKS,
    assess_ranks,
    draws_for,
    shrink_means,
    shrink_rates,
    shrink_shares,
)
from sqmodel.numerics.ranks import rank_sets
from tests.benchmarks import benchmark_ranks
from tests.oracles import shared


@pytest.fixture(scope="module")
def surgical() -> dict[str, Any]:
    text = shared("oracles", "index_and_operations.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["surgical_openbugs"]
    return found


def test_surgical_through_the_path_of_share_indicators(surgical: dict[str, Any]) -> None:
    found = shrink_shares(surgical["n"], surgical["r"], draws=10_000, rng=3)
    ranks = np.column_stack([found.rank_low, found.rank_median, found.rank_high])
    known = np.array(surgical["rank_2.5_med_97.5"])
    assert np.abs(ranks - known).max() <= 1
    assert (ranks == known).mean() > 0.8
    for rate, published in zip(found.value, surgical["p_mean_published"], strict=True):
        assert published is None or rate == pytest.approx(published, abs=0.0008)
    assert ((found.low < found.value) & (found.value < found.high)).all()


def test_surgical_by_the_approximation_for_many(surgical: dict[str, Any]) -> None:
    """Copies of the hospitals, too many for the exact posterior: as glmer's maximum likelihood has them."""
    many = shrink_shares(np.tile(surgical["n"], 8), np.tile(surgical["r"], 8))
    own = np.array(surgical["own_glmer"]["p"])
    assert np.isnan(many.rank_low).all()
    assert many.value[:12] == pytest.approx(own, abs=0.004)
    assert (rankdata(many.value[:12]) - rankdata(own) == 0).mean() > 0.8


def test_what_the_exact_posterior_refuses_is_told() -> None:
    found = shrink_shares([50, 60, 70], [0, 0, 0])
    assert found.notes == ("rates: expected some events and some trials without, found only one kind",)
    assert ((found.value > 0) & (found.value < 0.02)).all()


def test_rates_and_means_are_drawn_to_the_others() -> None:
    rng = np.random.default_rng(4)
    exposure = rng.integers(100, 5000, 80)
    truth = np.exp(-4.5 + 0.3 * rng.normal(size=80))
    events = rng.poisson(exposure * truth)
    found = shrink_rates(exposure, events)
    assert np.abs(np.log(found.value / truth)).mean() < 0.8 * np.abs(np.log((events + 0.5) / exposure / truth)).mean()
    assert ((found.low <= truth) & (truth <= found.high)).mean() > 0.9
    se = np.full(80, 2.0)
    true = rng.normal(size=80)
    y = true + 2 * rng.normal(size=80)
    means = shrink_means(y, se)
    assert ((means.value - true) ** 2).sum() < ((y - true) ** 2).sum() / 2
    alone = shrink_means(np.array([3.0]), np.array([1.0]))
    assert (alone.value[0], round(alone.low[0], 3), round(alone.high[0], 3)) == (3.0, 1.04, 4.96)


def test_ranks_and_peers() -> None:
    rng = np.random.default_rng(1)
    scores = np.array([70.0, 30.0, 50.0, 50.2, 90.0, 10.0])
    errors = rng.normal(size=(2000, 6))
    peers = ["a", "a", "a", "b", "b", ""]
    found = assess_ranks(scores, errors, peers, least=3)
    assert list(found) == RANKS
    assert found["rank"].tolist() == [2, 5, 4, 3, 1, 6]
    assert found["best_all"].tolist() == [2, 5, 3, 3, 1, 6]
    assert found["worst_all"].tolist() == [2, 5, 4, 4, 1, 6]
    assert found["band"].tolist() == [2, 4, 3, 3, 1, 5]
    assert found["best_peers"].tolist()[:3] == [1, 3, 2]
    assert found[["best_peers", "worst_peers"]].iloc[3:].isna().all(axis=None), "b has two, fewer than three"
    assert assess_ranks(scores, errors, peers)["best_peers"].tolist()[3:5] == [2, 1]
    assert assess_ranks([], np.zeros((5, 0)), []).empty
    best, worst = rank_sets(scores, errors)
    np.testing.assert_array_equal(found[["best", "worst"]], np.column_stack([best, worst]))
    assert (draws_for(300, 2000), draws_for(301, 2000), draws_for(301, 400)) == (2000, 1000, 400)


def case_mix(k: int, rng: np.random.Generator) -> pd.DataFrame:
    size, sector = rng.dirichlet([3, 2, 2], size=k), rng.dirichlet([4, 2], size=k)
    columns = [("size", "large"), ("size", "medium"), ("size", "small"), ("sector", "energy"), ("sector", "trade")]
    return pd.DataFrame(np.column_stack([size, sector]), columns=pd.MultiIndex.from_tuples(columns))


def test_adjusted_scores_hold_the_truth() -> None:
    rng = np.random.default_rng(6)
    k, trials = 40, 100
    held, beta, spread = [], [], []
    for trial in range(trials):
        context = case_mix(k, rng)
        x = context.to_numpy()
        effect = (x - x.mean(axis=0)) @ [0.0, -10.0, -20.0, 0.0, 5.0]
        truth = 50 + 2 * rng.normal(size=k)
        se = rng.uniform(0.5, 2, k)
        found = adjust_for_case_mix(truth + effect + se * rng.normal(size=k), se, context, ("size", "sector"))
        held.append(np.abs(found.adjusted - truth) <= 1.959964 * found.se)
        beta.append((found.terms["low"] <= [-10, -20, 5]) & (found.terms["high"] >= [-10, -20, 5]))
        if trial < 10:
            errors = found.errors(se * rng.normal(size=(4000, k)), rng)
            spread.append(errors.std(axis=0) / found.se)
    assert list(found.terms["term"]) == ["size=medium", "size=small", "sector=trade"]
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)
    assert np.mean(beta) == pytest.approx(0.95, abs=3.5 * np.sqrt(0.95 * 0.05 / trials / 3))
    assert np.mean(spread) == pytest.approx(1, abs=0.005)
    assert np.abs(np.array(spread) - 1).max() < 0.06


def test_what_case_mix_cannot_be_adjusted_for() -> None:
    rng = np.random.default_rng(2)
    context = case_mix(40, rng)
    scores, se = rng.normal(50, 3, 40), np.ones(40)
    few = adjust_for_case_mix(scores[:25], se[:25], context.iloc[:25], ("size", "sector"))
    assert list(few.terms["term"]) == ["size=medium", "size=small"]
    assert few.notes == ("sector is not adjusted for: 25 institutions are too few for 3 terms",)
    nothing = adjust_for_case_mix(scores[:9], se[:9], context.iloc[:9], ("size", "rating"))
    assert nothing.terms.empty
    np.testing.assert_array_equal(nothing.adjusted, scores[:9])
    np.testing.assert_array_equal(nothing.se, se[:9])
    assert nothing.notes == (
        "size is not adjusted for: 9 institutions are too few for 2 terms",
        "rating is not adjusted for: 0 of 9 institutions tell its shares",
    )
    context.iloc[[3, 30], 3:] = np.nan
    gaps = adjust_for_case_mix(scores, se, context, ("size", "sector"))
    assert np.flatnonzero(np.isnan(gaps.adjusted)).tolist() == [3, 30]
    assert np.flatnonzero(np.isnan(gaps.se)).tolist() == [3, 30]
    context[("sector", "energy")] = context[("size", "small")]
    context[("sector", "trade")] = 1 - context[("size", "small")]
    same = adjust_for_case_mix(scores, se, context, ("size", "sector"))
    assert list(same.terms["term"]) == ["size=medium", "size=small"]
    assert [n for n in same.notes if "determine" in n] == [
        "sector=energy is not adjusted for: other shares determine it"
    ]


@pytest.mark.parametrize("design", [benchmark_ranks.DESIGNS[k] for k in (1, 5, 7)], ids=lambda d: d.name)
def test_simultaneous_sets_hold_the_true_order(design: benchmark_ranks.Design) -> None:
    """A few repetitions of ``python -m tests.benchmarks.benchmark_ranks``."""
    assert benchmark_ranks.passed(benchmark_ranks.run(design, 40, seed=5), 40)
