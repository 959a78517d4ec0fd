"""Means as functions of totals: what raking does to their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sqmodel.index.columns import Columns

SHARES = np.array([0.2, 0.3, 0.5])


def raked(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    """A score that depends on region and size, in a sample post-stratified to the known shares of the regions."""
    region = rng.choice(3, n, p=SHARES)
    size = rng.random(n) < np.array([0.7, 0.4, 0.2])[region]
    score = 50 + np.array([0.0, 10, 25])[region] + 4 * size + 8 * rng.standard_normal(n)
    weight = (SHARES / np.bincount(region, minlength=3) * n)[region]
    margins = pd.DataFrame({"constant": 1.0, "r1": region == 1, "r2": region == 2}).astype(float)
    return score, size, weight, margins


def test_raking_leaves_every_mean_as_it_is() -> None:
    score, size, weight, margins = raked(np.random.default_rng(3), 200)
    book = Columns(weight, margins)
    parts = [book.mean(score), book.mean(np.where(size, score, np.nan))]
    result = book.bootstrap(parts, rng=1, draws=50, level=0.95)
    expected = [np.average(score, weights=weight), np.average(score[size], weights=weight[size])]
    assert result.estimate == pytest.approx(expected)


def test_raking_takes_out_the_variance_between_the_margins() -> None:
    score, _, weight, margins = raked(np.random.default_rng(3), 400)
    plain, calibrated = Columns(weight), Columns(weight, margins)
    errors = [b.bootstrap([b.mean(score)], rng=1, draws=50, level=0.95).se[0] for b in (plain, calibrated)]
    assert errors[1] < 0.75 * errors[0]


def test_intervals_of_a_raked_sample_cover_for_all_and_for_a_group() -> None:
    rng, trials = np.random.default_rng(11), 400
    inside = np.zeros(2)
    truths = [50 + SHARES @ [0.0, 10, 25] + 4 * SHARES @ [0.7, 0.4, 0.2]]
    in_group = SHARES * [0.7, 0.4, 0.2]
    truths.append(54 + (in_group / in_group.sum()) @ [0.0, 10, 25])
    for _ in range(trials):
        score, size, weight, margins = raked(rng, 150)
        book = Columns(weight, margins)
        parts = [book.mean(score), book.mean(np.where(size, score, np.nan))]
        result = book.bootstrap(parts, rng=rng, draws=200, level=0.95)
        inside += (result.low <= truths) & (truths <= result.high)
    assert (np.abs(inside / trials - 0.95) < 0.033).all(), inside / trials


def test_quarters_are_raked_apart() -> None:
    rng = np.random.default_rng(4)
    halves = [raked(rng, 150), raked(rng, 150)]
    score, weight = (np.concatenate([h[i] for h in halves]) for i in (0, 2))
    margins = pd.concat([h[3] for h in halves], ignore_index=True)
    quarter = np.repeat(["2026Q2", "2026Q3"], 150)
    book = Columns(weight, margins, quarter)
    both = book.bootstrap([book.mean(np.where(quarter == "2026Q3", score, np.nan))], rng=1, draws=50, level=0.95,
                          strata=quarter)  # fmt: skip
    alone = Columns(halves[1][2], halves[1][3])
    own = alone.bootstrap([alone.mean(halves[1][0])], rng=1, draws=50, level=0.95)
    assert both.estimate[0] == pytest.approx(own.estimate[0])
    assert both.se[0] == pytest.approx(own.se[0], rel=1e-6)
