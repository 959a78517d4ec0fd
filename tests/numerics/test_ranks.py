"""Confidence sets for ranks: csranks on PISA, coverage of known ranks, laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqmodel.numerics.ranks import rank_sets, tie_bands
from tests.oracles import shared


def normal(se: np.ndarray, draws: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (draws, len(se))) * se


@pytest.mark.parametrize("kind", ["marginal", "simultaneous"])
def test_pisa_as_csranks(kind: str) -> None:
    known = pd.read_csv(shared("data", "pisa2018_math", "pisa2018_math_ranks.csv"))
    score, se = known["score"].to_numpy(), known["se"].to_numpy()
    best, worst = rank_sets(score, normal(se, 10_000, 1), simultaneous=kind == "simultaneous")
    assert np.abs(best - known[f"{kind}_lower"]).max() <= 1
    assert np.abs(worst - known[f"{kind}_upper"]).max() <= 1
    assert (np.abs(best - known[f"{kind}_lower"]) + np.abs(worst - known[f"{kind}_upper"]) == 0).mean() > 0.8


def test_simultaneous_sets_hold_all_true_ranks() -> None:
    """Truly unlike units and truly equal ones; equal ones may have any rank of their tie."""
    rng = np.random.default_rng(11)
    truth = np.array([0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 4.0])
    se = rng.uniform(0.2, 0.6, len(truth))
    least = 1 + (truth[None, :] > truth[:, None]).sum(axis=1)
    most = (truth[None, :] >= truth[:, None]).sum(axis=1)
    trials, draws, held, each = 1000, 1000, 0, np.zeros(len(truth))
    for _ in range(trials):
        errors = rng.normal(0, 1, (draws, len(truth))) * se
        found = truth + rng.normal(0, 1, len(truth)) * se
        best, worst = rank_sets(found, errors, simultaneous=True)
        held += bool(((best <= least) & (worst >= most)).all())
        best, worst = rank_sets(found, errors)
        each += (best <= least) & (worst >= most)
    error = 2 * np.sqrt(0.95 * 0.05 / trials)
    assert held / trials >= 0.95 - error
    assert (each / trials >= 0.95 - error - 0.01).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_laws(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    values, errors = rng.normal(size=k), rng.normal(size=(200, k)) * rng.uniform(0.1, 1, k)
    own = 1 + (values[None, :] > values[:, None]).sum(axis=1)
    one, all_ = rank_sets(values, errors), rank_sets(values, errors, simultaneous=True)
    for best, worst in (one, all_):
        assert (best >= 1).all()
        assert (worst <= k).all()
        assert (best <= own).all()
        assert (own <= worst).all()
    assert (all_[0] <= one[0]).all()
    assert (all_[1] >= one[1]).all()
    common = rank_sets(values + 7, errors + rng.normal(size=(200, 1)) * 50, simultaneous=True)
    np.testing.assert_array_equal(common, all_)
    order = rng.permutation(k)
    np.testing.assert_array_equal(rank_sets(values[order], errors[:, order])[0], one[0][order])
    bands = tie_bands(*all_, values)
    assert (np.diff(bands[np.argsort(-values, kind="stable")]) >= 0).all()
    assert bands.min() == 1


def test_without_errors_ranks_are_known_and_ties_shared() -> None:
    best, worst = rank_sets(np.array([3.0, 1.0, 3.0, 2.0]), np.zeros((50, 4)), simultaneous=True)
    assert best.tolist() == [1, 4, 1, 3]
    assert worst.tolist() == [2, 4, 2, 3]
    assert tie_bands(best, worst, np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [1, 3, 1, 2]
