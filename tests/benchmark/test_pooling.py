"""Pooling from what institutions send equals the analysis of their answers put together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sqmodel.benchmark.content import Identity, ItemMoments, Submission
from sqmodel.benchmark.pooling import group_moments, pool_moments, pooled_scores
from sqmodel.errors import ComputationError, InputError, SmallSampleWarning
from sqmodel.measurement.invariance import compare_groups
from tests.reference import surveys

STEPS = ["configural", "metric", "scalar", "strict"]
SURVEYS = {"pisa_be_2003": "school.type", "corp_rep": "serviceprovider", "simulated": "institution"}
PISA = {
    "efficacy": [f"ST31Q0{k}" for k in range(1, 9)],
    "concept": [f"ST32Q0{k}" for k in (2, 4, 6, 7, 9)],
}
CORP = {"qual": [f"qual_{k}" for k in range(1, 9)], "perf": [f"perf_{k}" for k in range(1, 6)],
        "csor": [f"csor_{k}" for k in range(1, 6)]}  # fmt: skip


def simulated() -> pd.DataFrame:
    """Five institutions that differ in sizes, means and variances; the third understands one item in another way."""
    rng = np.random.default_rng(7)
    parts = []
    for g, n in enumerate((120, 300, 215, 640, 180)):
        factors = rng.multivariate_normal([0.2 * g, -0.1 * g], [[1 + 0.1 * g, 0.4], [0.4, 1]], size=n)
        answers = 4 + np.repeat(factors, 4, axis=1) * 0.8 + rng.normal(0, 0.7, (n, 8))
        answers[:, 1] += 0.8 * (g == 2)
        parts.append(pd.DataFrame(np.clip(np.rint(answers), 1, 7), columns=[f"x{k}" for k in range(1, 9)]))
        parts[-1]["institution"] = f"bank_{g}"
    return pd.concat(parts, ignore_index=True)


def given(name: str) -> tuple[pd.DataFrame, dict[str, list[str]], tuple[float, float]]:
    """Complete answers with their group, the dimensions, and the ends of the scale."""
    if name == "simulated":
        structure, frame, ends = {"a": ["x1", "x2", "x3", "x4"], "b": ["x5", "x6", "x7", "x8"]}, simulated(), (1.0, 7.0)
    else:
        structure, ends = (PISA, (1.0, 4.0)) if name == "pisa_be_2003" else (CORP, (1.0, 7.0))
        frame = surveys.survey(name)
    items = [i for own in structure.values() for i in own]
    return frame.dropna(subset=[*items, SURVEYS[name]])[[*items, SURVEYS[name]]], structure, ends


def sent(frame: pd.DataFrame, by: str, items: Sequence[str]) -> list[Submission]:
    """What each group would send of its items, as an institution."""
    instrument = Identity("survey", "1", "0" * 64)
    out = []
    for label, own in frame.groupby(by, sort=False):
        answers = own[items].to_numpy(float)
        moments = ItemMoments(tuple(items), len(own), answers.mean(axis=0), np.cov(answers.T, bias=True))
        out.append(
            Submission(str(label), "2026Q3", 0, instrument, None, True, len(own), (), moments, (), np.zeros((0, 0)))
        )
    return out


def raw_scores(frame: pd.DataFrame, structure: Mapping[str, Sequence[str]], ends: tuple[float, float]) -> np.ndarray:
    """Estimates and standard errors from the rows themselves: overall, then the dimensions."""
    low, high = ends
    each = np.column_stack([((frame[own] - low) / (high - low) * 100).mean(axis=1) for own in structure.values()])
    scores = np.column_stack([each.mean(axis=1), each])
    return np.column_stack([scores.mean(axis=0), scores.std(axis=0, ddof=1) / np.sqrt(len(scores))])


@pytest.mark.parametrize("name", SURVEYS)
def test_the_ladder_of_models_equals_that_of_the_pooled_answers(name: str) -> None:
    frame, structure, _ = given(name)
    by, items = SURVEYS[name], [i for own in structure.values() for i in own]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = compare_groups(
            frame.assign(**{by: frame[by].astype(str)}), structure, by=by, estimator="ML", partial=False
        )
        pooled = compare_groups(
            group_moments(sent(frame, by, items)), structure, by="institution", estimator="ML", partial=False
        )
    assert pooled.steps["model"].to_list() == STEPS
    assert pooled.n == raw.n == len(frame)
    np.testing.assert_array_equal(pooled.steps["df"], raw.steps["df"])
    np.testing.assert_allclose(pooled.steps["chisq"], raw.steps["chisq"], rtol=1e-6)
    for index in ("cfi", "rmsea", "srmr"):
        np.testing.assert_allclose(pooled.steps[index], raw.steps[index], atol=1e-6)


@pytest.mark.parametrize("name", SURVEYS)
def test_the_index_equals_that_of_the_pooled_answers(name: str) -> None:
    frame, structure, ends = given(name)
    items = [i for own in structure.values() for i in own]
    moments = pool_moments(sent(frame, SURVEYS[name], items))
    found = pooled_scores(moments, structure, dict.fromkeys(items, ends))
    assert found["scope"].to_list() == ["overall", *structure]
    assert (found["n"] == len(frame)).all()
    np.testing.assert_allclose(found[["estimate", "se"]], raw_scores(frame, structure, ends), rtol=0, atol=1e-8)
    answers = frame[items].to_numpy(float)
    np.testing.assert_allclose(moments.mean, answers.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(moments.cov, np.cov(answers.T, bias=True), atol=1e-10)


def test_who_withholds_a_needed_item_is_left_out_and_named() -> None:
    frame, _, _ = given("simulated")
    items = [f"x{k}" for k in range(1, 9)]
    submissions = sent(frame, "institution", items)
    own = submissions[1].moments
    assert own is not None
    submissions[1] = replace(
        submissions[1], moments=ItemMoments(own.items[:7], own.n, own.mean[:7], own.cov[:7, :7])
    )  # fmt: skip
    with pytest.warns(SmallSampleWarning, match="bank_1"):
        found = pool_moments(submissions)
    rest = frame[frame["institution"] != "bank_1"]
    assert found.n == len(rest)
    np.testing.assert_allclose(found.cov, np.cov(rest[items].to_numpy(float).T, bias=True), atol=1e-10)


def test_the_same_institution_twice_and_another_questionnaire_are_refused_together() -> None:
    frame, _, _ = given("simulated")
    submissions = sent(frame, "institution", [f"x{k}" for k in range(1, 9)])
    other = replace(submissions[2], instrument=Identity("survey", "2", "f" * 64))
    with pytest.raises(InputError) as caught:
        pool_moments([submissions[0], submissions[0], submissions[1], other])
    assert [str(p) for p in caught.value.problems] == [
        "expected one submission of each institution, found 2 of bank_0; choose a quarter",
        "expected the same questionnaire of all, found another of bank_2",
    ]


def test_moments_that_nobody_sent() -> None:
    frame, _, _ = given("simulated")
    silent = [replace(s, moments=None) for s in sent(frame, "institution", ["x1", "x2"])]
    with pytest.raises(
        ComputationError, match="expected an institution with the moments of all items, found none of 5"
    ):
        pool_moments(silent, items=["x1", "x2"])
