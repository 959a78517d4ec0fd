"""The comparison gate: bias that was planted is found, measured, and kept out of the page's comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sqmodel.definitions import Text
from sqmodel.index.scoring import build_index
from sqmodel.measurement.comparability import Comparability, assess_comparability
from sqmodel.measurement.measure import qualify
from sqmodel.survey.instrument import Group
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import simple_population


def survey(biased: int = 0, shift: float = 0.0, mean: float = 0.0, sizes: tuple[int, int] = (400, 400)) -> Responses:
    """Two groups; the first `biased` items of each dimension are answered higher by `shift` in the second."""
    population = simple_population(5, dimensions=2, loadings=(0.8, 0.75, 0.7, 0.65, 0.6))
    rng = np.random.default_rng(8)
    answers = population.sample(1, sum(sizes), rng=rng)[0].astype(float)
    second = np.arange(sum(sizes)) >= sizes[0]
    top = population.categories
    moved = answers[second] + (rng.random(answers[second].shape) < abs(mean)) * np.sign(mean)
    for d in range(2):
        columns = np.arange(biased) + 5 * d
        moved[:, columns] += rng.random((second.sum(), biased)) < shift
    answers[second] = np.clip(moved, 1, top)
    frame = pd.DataFrame(answers, columns=population.instrument.item_codes)
    frame.insert(0, "respondent", [f"{k:04d}" for k in range(len(frame))])
    frame["branch"] = np.where(second, "b", "a")
    branch = Group(code="branch", title=Text(en="Branch"))
    return Responses(population.instrument.model_copy(update={"groups": (branch,)}), frame)


def test_alike_groups_are_comparable_whatever_their_means() -> None:
    found = assess_comparability(survey(mean=-0.5))
    assert found.status("branch") == "comparable"
    effect = found.effects.set_index("value").loc["b"]
    assert abs(effect["bias"]) < 1.0
    assert effect["observed"] < -4
    assert effect["fair"] == pytest.approx(effect["observed"] - effect["bias"])


def test_planted_bias_is_partial_invariance_and_its_size_is_told() -> None:
    answers = survey(biased=1, shift=0.9)
    found = assess_comparability(answers)
    assert found.status("branch") == "partial"
    assert set(found.variables["released"].iloc[0].split(", ")) == {"d1_1", "d2_1"}
    # One of five items moves by about .9 of a point in each dimension.
    points = 100 / (answers.instrument.scale.maximum - 1) * 0.9 / 5
    effect = found.effects.set_index("value").loc["b"]
    assert effect["bias"] == pytest.approx(points, abs=0.9)
    assert abs(effect["fair"]) < 2.5
    index = build_index(qualify(answers, comparability=found), rng=1, draws=100)
    row = index.groups.set_index("value").loc["b"]
    assert row["comparison"] == "flagged"
    assert row["bias"] == pytest.approx(effect["bias"])


def test_comparisons_that_bias_makes_are_withheld() -> None:
    answers = survey(biased=4, shift=0.9)
    variables = assess_comparability(survey()).variables.assign(status="not comparable")
    closed = Comparability(800, {"smallest_group": 100}, variables, assess_comparability(survey()).effects)
    groups = build_index(qualify(answers, comparability=closed), rng=1, draws=100).groups
    assert (groups["comparison"] == "withheld").all()
    assert groups[["difference", "difference_low", "difference_high"]].isna().all(axis=None)
    assert groups["estimate"].notna().all()
    open_groups = build_index(qualify(answers), rng=1, draws=100).groups
    assert (open_groups["comparison"] == "not assessed").all()
    assert open_groups["difference"].notna().all()


def test_small_groups_are_not_tested_and_named() -> None:
    found = assess_comparability(survey(sizes=(400, 60)))
    row = found.variables.iloc[0]
    assert (row["status"], row["tested"], row["left_out"]) == ("not assessed", "a", "b")
    assert row["reason"] == "fewer than two groups with 100 complete answers"
    assert found.effects.empty
    assert repr(found) == "<Comparability 1 not assessed>"
