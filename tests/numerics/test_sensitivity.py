"""Sobol indices and Shapley effects: Ishigami's function, additive models, laws, and what is refused."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import ComputationError
from sqmodel.numerics.sensitivity import Sensitivity, sensitivity, subset_design
from tests.oracles import shared

Floats = npt.NDArray[np.float64]


def ishigami(u: Floats) -> Floats:
    x = np.pi * (2 * u - 1)
    found: Floats = np.sin(x[..., 0]) + 7 * np.sin(x[..., 1]) ** 2 + 0.1 * x[..., 2] ** 4 * np.sin(x[..., 0])
    return found


def of_ishigami(seed: int, rows: int = 1024, sets: int = 16) -> Sensitivity:
    return sensitivity(ishigami(subset_design(3, rows, sets, np.random.default_rng(seed))))


def test_ishigami() -> None:
    known = json.loads(shared("oracles", "index_and_operations.json").read_text(encoding="utf-8"))["ishigami"]
    found = of_ishigami(1)
    first, total = np.array(known["S"]), np.array(known["ST"])
    np.testing.assert_allclose(found.first[:, 0], first, atol=0.005)
    np.testing.assert_allclose(found.total[:, 0], total, atol=0.005)
    # The only interaction is that of the first and the third: its Shapley effect is halved between them.
    shared_out = np.array([(total[0] - first[0]) / 2, 0.0, total[2] / 2])
    np.testing.assert_allclose(found.shapley[:, 0], first + shared_out, atol=0.005)
    assert found.shapley[:, 0].sum() == pytest.approx(1, abs=1e-12)
    assert found.variance[0] == pytest.approx(0.5 + 49 / 8 + 0.1 * np.pi**4 / 5 + 0.01 * np.pi**8 / 18, rel=0.01)
    assert found.half_width < 0.01


def test_intervals_hold_the_truth() -> None:
    first, total = np.array([0.3139052, 0.4424111, 0.0]), np.array([0.5575889, 0.4424111, 0.2436837])
    truth = np.concatenate([first, total, (first + total) / 2])
    held = []
    for seed in range(150):
        found = of_ishigami(seed, rows=64, sets=8)
        bounds = np.concatenate([found.first, found.total, found.shapley])
        held.append((bounds[:, 1] <= truth) & (truth <= bounds[:, 2]))
    # Three Monte Carlo standard errors of 150 studies below 95 %.
    assert (np.mean(held, axis=0) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 150)).all()


def test_shapley_effects_are_means_over_orders() -> None:
    values = np.random.default_rng(3).normal(size=(2, 5, 16))
    found = sensitivity(values)
    pairs = np.arange(16)[:, None] ^ np.arange(16)
    worth = np.array([np.mean([(values[..., m] - values[..., pairs[m, s]]) ** 2 for m in range(16)]) / 2
                      for s in range(16)])  # fmt: skip
    np.testing.assert_allclose(found.variance[0], worth[-1])
    gains = np.zeros(4)
    orders = list(permutations(range(4)))
    for order in orders:
        entered = 0
        for j in order:
            gains[j] += worth[entered | 1 << j] - worth[entered]
            entered |= 1 << j
    np.testing.assert_allclose(found.shapley[:, 0], gains / len(orders) / worth[-1])
    np.testing.assert_allclose(found.total[:, 0], worth[[1, 2, 4, 8]] / worth[-1])


@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=5), st.integers(0, 1000), st.floats(-1e6, 1e6))
@settings(max_examples=25)
def test_an_additive_output_has_no_interactions(slopes: list[float], seed: int, shift: float) -> None:
    design = subset_design(len(slopes), 256, 4, np.random.default_rng(seed))
    found = sensitivity(shift + design @ np.array(slopes))
    known = np.square(slopes) / np.square(slopes).sum()
    for one in (found.first, found.total, found.shapley):
        np.testing.assert_allclose(one[:, 0], known, atol=0.03)
    np.testing.assert_allclose(found.first[:, 0], found.total[:, 0], atol=1e-6)


def test_the_same_seed_gives_the_same_points() -> None:
    one, two = (subset_design(3, 128, 2, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (2, 128, 8, 3)
    assert not np.array_equal(one[0], one[1])
    np.testing.assert_array_equal(one[:, :, 5, 1], one[:, :, 0, 1])
    np.testing.assert_array_equal(one[:, :, 5, [0, 2]], one[:, :, 7, [0, 2]])


def test_what_is_refused() -> None:
    with pytest.raises(ComputationError) as caught:
        subset_design(13, 0, 1, np.random.default_rng(0))
    assert str(caught.value) == (
        "sensitivity: expected 1 to 12 inputs, found 13; a power of two of rows, found 0; 2 sets or more, found 1"
    )
    for values, told in (
        (
            np.zeros((2, 4, 6)),
            "expected values of 2 sets or more by rows by mixtures (a power of two), found (2, 4, 6)",
        ),
        (np.full((2, 4, 8), np.nan), "expected finite values, found 64 others"),
        (np.full((2, 4, 8), 5.0), "expected an output that varies, found the same value throughout"),
    ):
        with pytest.raises(ComputationError) as caught:
            sensitivity(values)
        assert str(caught.value) == f"sensitivity: {told}"
