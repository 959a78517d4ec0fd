"""A submission tells what the index room found, and what was done, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.benchmark.content import GRID
from sqmodel.benchmark.disclosure import mergers
from sqmodel.benchmark.done import Casework, indicators_of, waiting_of
from sqmodel.benchmark.profile import DisclosureRules
from sqmodel.benchmark.submission import _context, dimension_covariance, make_submission
from sqmodel.errors import InputError, UnfitMeasureError
from sqmodel.index.scoring import build_index
from sqmodel.measurement.measure import Measure
from sqmodel.operations.process import load_process
from sqmodel.operations.survival import kaplan_meier
from sqmodel.operations.working_time import working_calendar
from sqmodel.survey.calibration import rake
from sqmodel.survey.demo_population import demo_population
from sqmodel.survey.responses import Responses
from sqmodel.survey.simulate import simulate_responses

QUARTER = "2026Q3"
WHO: dict[str, Any] = {"institution": "bank_a", "quarter": QUARTER}


def _measure(missing: float = 0.0, n: int = 240, **options: Any) -> Measure:
    population = demo_population("project_finance")
    frame = simulate_responses(population, n, quarter=QUARTER, rng=5, careless=0, missing=missing)
    responses = Responses(population.instrument, frame)
    items = tuple(population.instrument.item_codes)
    return Measure(
        responses=responses, quarter=QUARTER, items=items, ledger=pd.DataFrame(), verdict="publish", **options
    )


def test_complete_unweighted_answers_have_the_analytic_errors() -> None:
    measure = _measure()
    index = build_index(measure, draws=400, rng=1)
    found = make_submission(measure, index, **WHO)
    moments = found.moments
    assert moments is not None
    structure = measure.instrument.structure()
    share = np.zeros((26, 4))
    for d, items in enumerate(structure.values()):
        share[[moments.items.index(i) for i in items], d] = 100 / 6 / len(items)
    assert moments.n == found.n == 240
    assert np.allclose([s.estimate for s in found.scores[1:]], (moments.mean - 1) @ share, rtol=0, atol=1e-8)
    assert np.allclose(found.score_cov, share.T @ moments.cov @ share / (moments.n - 1), rtol=0, atol=1e-8)
    assert np.allclose([s.se for s in found.scores[1:]], np.sqrt(np.diag(found.score_cov)), rtol=0, atol=1e-12)
    assert found.scores[0].se == pytest.approx(np.sqrt(found.score_cov.mean()), abs=1e-8)


@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_scores_and_errors_are_those_of_the_index(missing: float) -> None:
    measure = _measure(missing)
    index = build_index(measure, draws=4000, rng=1)
    found = make_submission(measure, index, **WHO)
    assert found.scores[0][1:] == (index.overall.n, index.overall.value, index.overall.se)
    for own in found.scores[1:]:
        told = index.dimension(own.scope)
        assert (own.n, own.estimate) == (told.n, pytest.approx(told.value, abs=1e-8))
        assert own.se == pytest.approx(told.se, abs=1e-8)
        # The bootstrap's own spread, by its interval of 95 %.
        assert own.se == pytest.approx((told.high - told.low) / (2 * 1.96), rel=0.06)


def test_the_answers_are_counted_turned_and_of_complete_respondents_only() -> None:
    measure = _measure(0.02)
    found = make_submission(measure, build_index(measure, draws=200), **WHO)
    complete = measure.responses.items.dropna()
    assert found.moments is not None
    assert found.moments.n == len(complete) < found.n == 240
    assert np.allclose(found.moments.cov, np.cov(complete.to_numpy().T, ddof=0))
    for own in found.counts:
        counted = complete[own.item].value_counts().reindex(own.categories, fill_value=0)
        assert own.counts == tuple(counted)
    raw = measure.responses.frame.loc[complete.index, "exp2"]
    assert found.moments.mean[1] == pytest.approx(8 - raw.mean())


def test_raked_answers_have_the_smaller_errors_of_raking() -> None:
    measure = _measure()
    margins = {"stage": {"applied": 0.3, "approved": 0.2, "declined": 0.1, "repaying": 0.4}}
    raked = replace(measure, responses=rake(measure.responses, margins))
    index = build_index(raked, draws=400, rng=1)
    found = make_submission(raked, index, **WHO)
    assert np.allclose(np.sqrt(np.diag(found.score_cov)), index.dimensions["se"], rtol=0, atol=1e-8)
    weighted = replace(raked, responses=replace(raked.responses, calibration=None))
    assert (np.diag(dimension_covariance(weighted)) > np.diag(found.score_cov)).all()
    shares = {c.value: c.share for c in found.context if c.variable == "stage"}
    assert shares == pytest.approx(margins["stage"], abs=1e-6)


def test_context_is_asked_for_by_name_and_sums_to_one() -> None:
    measure = _measure()
    index = build_index(measure, draws=200)
    found = make_submission(measure, index, context=["size"], **WHO)
    assert {c.variable for c in found.context} == {"size"}
    assert {c.variable for c in make_submission(measure, index, **WHO).context} == set(measure.responses.group_codes)
    told = measure.responses.frame["size"].value_counts(normalize=True)
    values = ("large", "medium", "small", "micro")
    assert {c.value: c.share for c in found.context} == pytest.approx({v: told.get(v, 0.0) for v in values})


def test_ordinal_statistics_are_of_merged_categories() -> None:
    measure = _measure()
    found = make_submission(measure, build_index(measure, draws=200), ordinal=True, **WHO)
    assert found.ordinal is not None
    expected = [len(mergers([c or 0 for c in own.counts], DisclosureRules())) for own in found.counts]
    assert found.ordinal.categories == tuple(expected)
    assert len(found.ordinal.moments.thresholds) == sum(expected) - 26
    first = np.cumsum([c or 0 for c in found.counts[4].counts]) / 240
    start = sum(expected[:4]) - 4
    from scipy.stats import norm

    cuts = norm.cdf(found.ordinal.moments.thresholds[start : start + expected[4] - 1])
    assert np.isclose(cuts[:, None], first[None], atol=1e-9).any(axis=1).all()


def test_few_answers_have_scores_and_no_moments() -> None:
    measure = _measure(n=24)
    found = make_submission(measure, build_index(measure, draws=200), ordinal=True, **WHO)
    assert (found.counts, found.moments, found.ordinal) == ((), None, None)
    assert found.scores[0].n == 24


def test_what_does_not_belong_together_is_refused_with_all_problems() -> None:
    measure = _measure()
    index = replace(build_index(measure, draws=200), n=7)
    with pytest.raises(InputError) as error:
        make_submission(measure, index, institution="bank_a", quarter="2026Q2", context=["colour"])
    assert str(error.value) == (
        "submission: 4 problems\n"
        "  - measure: expected that of 2026Q2, found 2026Q3\n"
        "  - index: expected that of 2026Q2, found 2026Q3\n"
        "  - index: expected that of the measure's 240 respondents, found 7\n"
        "  - context: expected a grouping variable of the answers (institution, size, sector, region, tenure, stage), "
        "found 'colour'"
    )


def test_a_measure_that_failed_is_not_sent_unless_the_index_was_accepted() -> None:
    good = _measure()
    row = {"criterion": "alpha", "scope": "EXP", "value": 0.4, "low": 0.3, "high": 0.5, "threshold": 0.7,
           "direction": "at_least", "required": True, "verdict": "failed", "source": ""}  # fmt: skip
    failed = replace(good, ledger=pd.DataFrame([row]), verdict="reject")
    with pytest.raises(UnfitMeasureError, match="the answers do not support an index"):
        make_submission(failed, build_index(good, draws=200), **WHO)
    accepted = build_index(failed, draws=200, accept="a pilot")
    assert make_submission(failed, accepted, **WHO).n == 240


def _casework() -> Casework:
    process = load_process("lending_process")
    at = pd.Timestamp("2026-07-06 01:00", tz="UTC")  # Monday, nine in China
    rows = []
    for k in range(12):
        ready = at + pd.Timedelta(days=k % 3)
        done = ready + pd.Timedelta(hours=1 + (k % 2)) if k < 9 else pd.NaT
        rows.append((f"c{k:02d}", "credit_approval", ["x", "y"][k % 2], ready, ready, done, 0))
        rows.append((f"c{k:02d}", "documents", "x", ready, ready, ready, 0))
        rows += [(f"c{k:02d}", "documents", "z", ready, ready, ready, 1)] if k < 3 else []
    columns = ["case_id", "step", "resource", "scheduled", "ready", "completed", "repeat"]
    steps = pd.DataFrame(rows, columns=columns).assign(started=pd.NaT)
    steps["started"] = pd.to_datetime(steps["started"], utc=True)
    end = pd.Series(pd.NaT, index=sorted({r[0] for r in rows}), dtype="datetime64[ns, UTC]")
    end.iloc[:9] = at + pd.Timedelta(days=10)
    cases = pd.DataFrame({"end": end})
    calendar = working_calendar(process.calendar, process.time_zone)
    return Casework(cases, steps, process, calendar, pd.Timestamp("2026-07-10 09:00", tz="UTC"))


def test_cases_become_shares_means_and_survival() -> None:
    work = _casework()
    found = {i.code: i for i in indicators_of(casework=work, quarter=QUARTER)}
    assert found["repeated"][1:5] == ("share", 12.0, 3.0, 0.25)
    # Of every case: from the approval's hand to the documents', and to z for those asked again.
    hands = [(k % 2 == 1) + (k < 3) for k in range(12)]
    assert found["handovers"].estimate == pytest.approx(np.mean(hands))
    assert found["handovers"].se == pytest.approx(np.std(hands, ddof=1) / np.sqrt(12))
    assert found["review_hours"][2] == 9.0
    assert found["review_hours"].estimate == pytest.approx(np.mean([1 + k % 2 for k in range(9)]))
    hours, done = work.durations("credit_approval")
    assert sorted(hours[~done].tolist()) == [20.5, 27.5, 34.5]
    curve = kaplan_meier(hours, done)
    waiting = waiting_of(work)
    assert [w.hours for w in waiting] == [h for h in GRID if h <= 34.5]
    for point in waiting:
        assert point.stage == "credit_approval"
        assert point.waiting == pytest.approx(curve.survival([point.hours])[0])
        row = curve.curve[curve.curve["time"] <= point.hours].iloc[-1]
        assert point.se == pytest.approx(row["se"])


def test_context_counts_all_scored_respondents_and_weights_hide_no_small_group() -> None:
    """Shares of those only who stated a value would make a group of two look like one of more."""
    responses = _measure().responses
    frame = responses.frame.copy()
    frame["size"] = frame["size"].where(np.arange(len(frame)) % 2 == 0)
    half = replace(responses, frame=frame)
    told = frame["size"].value_counts()
    shares = {c.value: c.share for c in _context(half, ["size"], DisclosureRules())}
    assert {v: s * len(frame) for v, s in shares.items() if s} == pytest.approx(told.to_dict())
    few = DisclosureRules(minimum_cell=int(told.min()) + 1)
    assert list(_context(half, ["size"], few)) != []
    weighted = replace(half, frame=frame.assign(sample_weight=np.linspace(1, 2, len(frame))))
    assert list(_context(weighted, ["size"], few)) == []
    least = DisclosureRules(minimum_cell=int(told.min()))
    shares = {c.value: c.share for c in _context(weighted, ["size"], least)}
    weight = frame.assign(w=np.linspace(1, 2, len(frame))).groupby("size", observed=True)["w"].sum() / (
        1.5 * len(frame)
    )
    assert {v: s for v, s in shares.items() if s} == pytest.approx(weight.to_dict())
