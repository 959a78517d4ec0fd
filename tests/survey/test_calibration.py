"""Raked weights reach their margins, and impossible margins are named."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqmodel.errors import ConvergenceWarning, ResponsesError
from sqmodel.survey.calibration import Calibration, calibrate, rake
from sqmodel.survey.responses import Responses
from tests.survey.small_instrument import ITEMS, small

Margins = dict[str, dict[str, float]]


def made(regions: list[str | None], branches: list[str | None] | None = None, **columns: object) -> Responses:
    frame = pd.DataFrame(4.0, index=range(len(regions)), columns=ITEMS).assign(
        respondent=[f"p{i}" for i in range(len(regions))], region=pd.Series(regions, dtype=object), **columns
    )
    if branches is not None:
        frame = frame.assign(branch=pd.Series(branches, dtype=object))
    return Responses(small(), frame)


def message(responses: Responses, margins: Margins, **options: float) -> str:
    with pytest.raises(ResponsesError) as caught:
        rake(responses, margins, **options)  # type: ignore[arg-type]
    return str(caught.value)


REMEDY = "  What to do: correct the margins, or merge or leave out values so that respondents and margins agree"


def test_one_margin_by_hand() -> None:
    """Post-stratification: three of four from the north where half should be, so 2/3 each, and 2."""
    responses = made(["north", "north", "north", "south"])
    weighted = rake(responses, {"region": {"north": 0.5, "south": 0.5}})
    np.testing.assert_allclose(weighted.frame["sample_weight"], [2 / 3, 2 / 3, 2 / 3, 2])
    assert weighted.effective_n == pytest.approx(16 / (3 * 4 / 9 + 4))
    assert weighted.calibration is not None
    assert weighted.calibration.to_numpy().tolist() == [[1, 1], [1, 1], [1, 1], [1, 0]]
    assert list(weighted.calibration) == ["constant", "region=north"]


def test_two_margins_by_hand() -> None:
    """A 2 x 2 table of 40, 30, 20, 10 raked to 60:40 and 50:50 keeps its odds ratio 400 / 600.

    With x in the first cell: x (x - 10) / ((60 - x)(50 - x)) = 2/3, so x^2 + 190 x - 6000 = 0.
    """
    cells = {("north", "A"): 40, ("north", "B"): 30, ("south", "A"): 20, ("south", "B"): 10}
    regions, branches = zip(*(cell for cell, count in cells.items() for _ in range(count)), strict=True)
    responses = made(list(regions), list(branches))
    weighted = rake(responses, {"region": {"north": 60, "south": 40}, "branch": {"A": 50, "B": 50}})
    table = weighted.frame.groupby(["region", "branch"])["sample_weight"].sum()
    x = -95 + np.sqrt(95**2 + 6000)
    np.testing.assert_allclose(table, [x, 60 - x, 50 - x, x - 10], atol=1e-6)
    assert table["north", "A"] * table["south", "B"] / (table["north", "B"] * table["south", "A"]) == pytest.approx(
        2 / 3
    )


@given(st.integers(0, 10_000), st.floats(0.2, 0.8), st.floats(0.2, 0.8))
def test_weighted_margins_equal_the_targets(seed: int, north: float, a: float) -> None:
    rng = np.random.default_rng(seed)
    regions = ["north", "south", *rng.choice(["north", "south"], 60)]
    branches = ["A", "B", *rng.choice(["A", "B"], 60)]
    responses = made(regions, branches, sample_weight=rng.uniform(0.5, 2, 62))
    margins = {"region": {"north": north, "south": 1 - north}, "branch": {"A": a, "B": 1 - a}}
    weighted = rake(responses, margins, max_iter=1000)
    weight = weighted.frame["sample_weight"]
    for group, shares in margins.items():
        found = weight.groupby(weighted.frame[group]).sum() / weight.sum()
        np.testing.assert_allclose(found[list(shares)], list(shares.values()), atol=1e-6)
    assert weight.mean() == pytest.approx(1)
    assert (weight > 0).all()


def test_weights_already_right_stay() -> None:
    responses = made(["north", "south"] * 5, sample_weight=[1.0, 1, 2, 2, 1, 1, 3, 3, 1, 1])
    result = calibrate(responses, {"region": {"north": 0.5, "south": 0.5}})
    np.testing.assert_array_equal(result.weights, responses.sample_weight)
    assert result.iterations == 0


def test_order_of_margins_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    responses = made(list(rng.choice(["north", "south"], 80)), list(rng.choice(["A", "B", "C"], 80)))
    margins: Margins = {"region": {"north": 0.3, "south": 0.7}, "branch": {"A": 0.2, "B": 0.5, "C": 0.3}}
    first = rake(responses, margins, tolerance=1e-12).sample_weight
    again = rake(responses, dict(reversed(margins.items())), tolerance=1e-12).sample_weight
    np.testing.assert_allclose(first, again, atol=1e-9)


def test_the_certificate_is_reported() -> None:
    responses = made(["north", "north", "north", "south"])
    result = calibrate(responses, {"region": {"north": 0.5, "south": 0.5}})
    text = "converged after 1 iterations, largest deviation 0.0e+00, weights 0.67 to 2.00, effective n 3.0 of 4"
    assert repr(result) == f"<Calibration {text}>"
    assert result.margins.to_numpy().tolist() == [
        ["region", "north", 3, 0.5, 0.75, 0.5],
        ["region", "south", 1, 0.5, 0.25, 0.5],
    ]
    changes = result.apply(responses).reading.changes
    assert changes.to_numpy().tolist() == [["raked", "sample_weight", 4, text]]
    again = Calibration.from_json(json.loads(json.dumps(result.to_json())))
    pd.testing.assert_frame_equal(again.design, result.design)


def test_trimmed_weights_stay_below_the_limit_and_reach_the_margins() -> None:
    rng = np.random.default_rng(2)
    responses = made(list(rng.choice(["north", "south"], 100)), sample_weight=rng.lognormal(0, 1, 100))
    margins: Margins = {"region": {"north": 0.5, "south": 0.5}}
    assert rake(responses, margins).sample_weight.max() > 3
    trimmed = calibrate(responses, margins, trim=3.0, max_iter=1000)
    assert trimmed.converged
    assert trimmed.weights.max() <= 3.0 * (1 + 1e-6)
    assert trimmed.deviation <= 1e-8


def test_margins_that_contradict_each_other_warn_and_say_so() -> None:
    """All from the north bank at A: 0.7 of the north and 0.3 of A cannot both hold."""
    responses = made(["north", "north", "south"], ["A", "A", "B"])
    margins: Margins = {"region": {"north": 0.7, "south": 0.3}, "branch": {"A": 0.3, "B": 0.7}}
    with pytest.warns(ConvergenceWarning, match="NOT converged after 100 iterations, largest deviation 4.0e-01"):
        result = calibrate(responses, margins)
    assert not result.converged
    assert list(result.design) == ["constant", "region=north"]


def test_design_has_full_rank() -> None:
    rng = np.random.default_rng(3)
    regions = list(rng.choice(["north", "south"], 50))
    responses = made(regions, [f"{r}-1" if i % 3 else "shared" for i, r in enumerate(regions)])
    shares = responses.frame["branch"].value_counts(normalize=True).to_dict()
    north = float((responses.frame["region"] == "north").mean())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        design = calibrate(responses, {"region": {"north": north, "south": 1 - north}, "branch": shares}).design
    assert np.linalg.matrix_rank(design.to_numpy()) == design.shape[1] == 4


def test_keep_takes_the_design_along() -> None:
    weighted = rake(made(["north", "north", "north", "south"]), {"region": {"north": 0.5, "south": 0.5}})
    kept = weighted.keep([True, False, True, True])
    assert kept.calibration is not None
    assert len(kept.calibration) == len(kept) == 3


def test_impossible_margins_in_one_message() -> None:
    responses = made(["north", "east", "east", None], ["A", "A", "B", "B"])
    margins: Margins = {
        "region": {"north": 0.6, "south": 0.4},
        "branch": {"A": 0.5, "B": 0.6},
        "age": {"young": 1.0},
    }
    assert message(responses, margins, trim=0.5) == (
        "responses: 6 problems\n"
        "  - expected trim above 1 (times the mean weight), found 0.5\n"
        "  - margin region: expected respondents of every value, found none of: south\n"
        "  - margin region: expected a share above 0 for every value, found none for: east (n=2)\n"
        "  - margin region: expected a value for every respondent, found none for: p3\n"
        "  - margin branch: expected shares that sum to 1, found the sum 1.1\n"
        "  - margin age: expected a grouping variable of the answers, which have region, branch\n"
        f"{REMEDY}"
    )


def test_negative_empty_and_contradictory_margins() -> None:
    responses = made(["north", "south"], ["A", "B"])
    margins: Margins = {"region": {"north": -0.2, "south": 1.2}, "branch": {}}
    assert message(responses, margins) == (
        "responses: 2 problems\n"
        "  - margin region: expected shares or counts of at least 0, found: north -0.2\n"
        "  - margin branch: expected at least one value, found none\n"
        f"{REMEDY}"
    )
    margins = {"region": {"north": 60, "south": 40}, "branch": {"A": 60, "B": 60}}
    assert message(responses, margins) == (
        "responses: 1 problem\n"
        "  - expected counts with the same total in every margin, found: region 100, branch 120\n"
        f"{REMEDY}"
    )
    assert message(responses, {}) == f"responses: 1 problem\n  - expected at least one margin, found none\n{REMEDY}"
