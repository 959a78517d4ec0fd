"""Rates that resemble each other: OpenBUGS' Surgical example, known rates, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from sqmodel.errors import ComputationError
from sqmodel.numerics.partial_pooling import draw_rates
from tests.oracles import shared


@pytest.fixture(scope="module")
def surgical() -> dict[str, Any]:
    text = shared("oracles", "index_and_operations.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["surgical_openbugs"]
    return found


def test_surgical_as_openbugs(surgical: dict[str, Any]) -> None:
    found = draw_rates(surgical["n"], surgical["r"], draws=10_000, rng=1)
    ranks = rankdata(found.rates, axis=1)
    bounds = np.quantile(ranks, [0.025, 0.5, 0.975], axis=0).T
    known = np.array(surgical["rank_2.5_med_97.5"])
    assert np.abs(bounds - known).max() <= 1
    assert (bounds == known).mean() > 0.8
    for rate, published in zip(found.rates.mean(axis=0), surgical["p_mean_published"], strict=True):
        assert published is None or rate == pytest.approx(published, abs=0.0007)
    assert (1 / (1 + np.exp(-found.mean))).mean() == pytest.approx(surgical["pop_mean"], abs=0.0007)
    assert found.sigma.mean() == pytest.approx(surgical["sigma_mean"], abs=0.01)


def test_intervals_hold_true_rates() -> None:
    rng = np.random.default_rng(5)
    held = []
    for _ in range(25):
        truth = 1 / (1 + np.exp(-rng.normal(-2, 0.5, 12)))
        n = rng.integers(50, 400, 12)
        found = draw_rates(n, rng.binomial(n, truth), draws=400, rng=rng)
        low, high = np.quantile(found.rates, [0.025, 0.975], axis=0)
        held.append((low <= truth) & (truth <= high))
    assert np.mean(held) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 300))


def test_small_units_are_drawn_to_the_others() -> None:
    found = draw_rates([20, 500, 500, 500, 500], [6, 50, 55, 45, 52], draws=4000, rng=2)
    mean = found.rates.mean(axis=0)
    assert 0.1 < mean[0] < 0.25
    assert mean[1] == pytest.approx(0.1, abs=0.01)
    order = [3, 0, 4, 2, 1]
    other = draw_rates(
        np.array([20, 500, 500, 500, 500])[order], np.array([6, 50, 55, 45, 52])[order], draws=4000, rng=2
    )
    np.testing.assert_allclose(other.rates.mean(axis=0), mean[order], atol=0.005)


def test_what_is_refused() -> None:
    for n, events, told in (
        ([5, 5], [1, 2], "trials and events of the same three units or more, found (2,) and (2,)"),
        ([5, 0, 5], [1, 0, 2], "counts, of trials above 0, found others"),
        ([5, 5, 5], [1, 6, 9], "no more events than trials, found more at 1, 2"),
        ([5, 5, 5], [0, 0, 0], "some events and some trials without, found only one kind"),
    ):
        with pytest.raises(ComputationError) as caught:
            draw_rates(n, events)
        assert str(caught.value) == f"rates: expected {told}"
    for options, told in (
        ({"shape": -1.0}, "a shape and a rate above 0, found -1.0 and 0.001"),
        ({"draws": 0}, "a draw or more, found 0"),
    ):
        with pytest.raises(ComputationError) as caught:
            draw_rates([5, 6, 7], [1, 2, 3], **options)  # type: ignore[arg-type]
        assert str(caught.value) == f"rates: expected {told}"
    with pytest.raises(ComputationError, match=r"^rates: expected counts, of trials above 0, found others$"):
        draw_rates([5, 6, 7], [1.5, 2, 3])
    with pytest.raises(ComputationError, match="found a posterior of mean and deviation that goes beyond"):
        draw_rates([50] * 4, [5, 5, 5, 5], rate=1e-9)
    with pytest.raises(ComputationError, match="found one whose rate has an error of"):
        draw_rates([10**9, 50, 60], [10**6, 5, 9])


def test_a_unit_with_many_trials_is_its_own_rate() -> None:
    n, events = [200_000, 40, 50, 45, 60], [20_000, 5, 4, 6, 5]
    found = draw_rates(n, events, draws=2000, rng=1).rates[:, 0]
    assert found.mean() == pytest.approx(0.1, abs=0.0001)
    assert found.std() == pytest.approx(np.sqrt(0.1 * 0.9 / n[0]), rel=0.1)
