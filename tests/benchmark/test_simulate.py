"""Simulated institutions: what they send is of one piece, and it comes from the population that is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sqmodel.benchmark.content import GRID, OVERALL, Submission
from sqmodel.benchmark.simulate import Simulation, simulate_association, simulate_submissions
from sqmodel.errors import ComputationError
from sqmodel.survey.instrument import load_instrument


@pytest.fixture(scope="module")
def many() -> Simulation:
    return simulate_association(200, quarters=("2026Q2", "2026Q3"), respondents=300, noninvariant=20, rng=3)


def _scores(submissions: tuple[Submission, ...]) -> pd.DataFrame:
    rows = [(s.institution, s.quarter, c.scope, c.estimate, c.se) for s in submissions for c in s.scores]
    return pd.DataFrame(rows, columns=["institution", "quarter", "scope", "estimate", "se"])


def test_the_scores_are_those_of_the_population_within_their_errors(many: Simulation) -> None:
    both = _scores(many.submissions).merge(many.truth, validate="one_to_one")
    z = (both["estimate"] - both["score"]) / both["se"]
    assert len(z) == 2 * 200 * 5
    # Scores of an institution go together: the mean of 2,000 of them is known as if there were some 600.
    assert abs(z.mean()) < 0.12
    assert z.std() == pytest.approx(1, abs=0.06)
    assert (z.abs() < 1.96).mean() == pytest.approx(0.95, abs=0.02)


def test_shifted_items_alone_part_the_score_from_the_fair_one(many: Simulation) -> None:
    apart = many.truth.assign(apart=many.truth["score"] - many.truth["fair"]).set_index("institution")
    moved = many.shifts.index[many.shifts["eff1"] > 0]
    assert len(moved) == 20
    assert (many.shifts.loc[moved].sum(axis=1) == 1.5).all()
    inside = apart.loc[moved]
    assert (inside.loc[inside["scope"].isin(["EFF", OVERALL]), "apart"] > 0.5).all()
    assert np.allclose(inside.loc[~inside["scope"].isin(["EFF", OVERALL]), "apart"], 0)
    assert np.allclose(apart.drop(index=moved)["apart"], 0)


def test_counts_moments_scores_and_errors_are_of_one_piece() -> None:
    instrument = load_instrument("lending_service")
    for own in simulate_submissions(2, respondents=[150, 230], rng=7):
        moments = own.moments
        assert moments is not None
        assert [c.item for c in own.counts] == list(moments.items) == instrument.item_codes
        table = np.array([c.counts for c in own.counts], dtype=float)
        values = np.array(own.counts[0].categories)
        assert (table.sum(axis=1) == moments.n).all()
        mean = table @ values / moments.n
        assert np.allclose(moments.mean, mean, atol=1e-12)
        assert np.allclose(np.diag(moments.cov), table @ values**2 / moments.n - mean**2, atol=1e-10)
        assert np.linalg.eigvalsh(moments.cov)[0] > 0
        for score, (_, items) in zip(own.scores[1:], instrument.structure().items(), strict=True):
            place = [moments.items.index(i) for i in items]
            assert score.estimate == pytest.approx((mean[place].mean() - 1) / 6 * 100, abs=1e-10)
            spread = moments.cov[np.ix_(place, place)].mean() * (100 / 6) ** 2 / (moments.n - 1)
            assert score.se == pytest.approx(np.sqrt(spread), abs=1e-10)
        assert np.allclose(np.sqrt(np.diag(own.score_cov)), [s.se for s in own.scores[1:]], atol=1e-12)
        assert own.scores[0].se == pytest.approx(np.sqrt(own.score_cov.mean()), abs=1e-12)
        for variable in ("size", "sector"):
            assert sum(c.share for c in own.context if c.variable == variable) == pytest.approx(1)


def test_operations_come_from_the_values_that_are_told(many: Simulation) -> None:
    rows = [(s.institution, s.quarter, i.code, i.estimate, i.se) for s in many.submissions for i in s.indicators]
    found = pd.DataFrame(rows, columns=["institution", "quarter", "indicator", "estimate", "se"])
    both = found.merge(many.operations, validate="one_to_one")
    assert len(both) == 2 * 200 * 8
    z = (both["estimate"] - both["value"]) / both["se"]
    by = z.groupby(both["indicator"])
    # Errors of small shares and counts go with their estimates, so that these are not quite standard normal.
    assert (by.median().abs() < 0.2).all()
    assert by.quantile(0.75).sub(by.quantile(0.25)).between(1.15, 1.55).all()


def test_waiting_falls_from_step_to_step_and_its_error_is_that_of_a_share(many: Simulation) -> None:
    waiting = pd.DataFrame(many.submissions[0].waiting)
    assert waiting.groupby("stage")["hours"].agg(tuple).tolist() == [GRID] * 4
    assert (waiting.groupby("stage")["waiting"].diff().dropna() <= 0).all()
    share = waiting["waiting"]
    assert np.allclose(waiting["se"], np.sqrt(share * (1 - share) / waiting["n"]))


def test_equal_institutions_differ_by_their_clients_only() -> None:
    equal = simulate_association(5, respondents=50, between=0, operations=0, rng=2)
    assert np.ptp(equal.truth.loc[equal.truth["scope"] == OVERALL, "adjusted"]) == pytest.approx(0, abs=1e-12)
    assert np.ptp(equal.truth.loc[equal.truth["scope"] == OVERALL, "score"]) > 0.05
    assert (equal.operations.groupby("indicator")["value"].agg(np.ptp) == 0).all()
    same = simulate_association(5, respondents=50, between=0, case_mix=0, rng=2).truth
    assert np.allclose(same["score"], same["adjusted"])


def test_the_same_seed_gives_the_same_submissions_and_ordinal_statistics_come_beside() -> None:
    first, again = (simulate_submissions(2, respondents=120, ordinal=o, rng=5) for o in (False, True))
    assert [s.scores for s in first] == [s.scores for s in again]
    ordinal = again[0].ordinal
    assert ordinal is not None
    assert ordinal.moments.acov is not None
    table = np.array([c.counts for c in again[0].counts], dtype=float)
    assert ordinal.categories == tuple(int((row > 0).sum()) for row in table)
    size = sum(ordinal.categories) - 26 + 26 * 25 // 2
    assert ordinal.moments.acov.shape == (size, size)
    assert first[0].ordinal is None


def test_indicators_can_be_missing_or_left_out() -> None:
    some = simulate_submissions(40, respondents=30, missing=0.3, rng=4)
    assert np.mean([len(s.indicators) for s in some]) == pytest.approx(5.6, abs=0.7)
    assert simulate_submissions(1, respondents=30, indicators=False, waiting=False)[0].indicators == ()


def test_what_cannot_be_simulated_is_told_at_once() -> None:
    with pytest.raises(ComputationError) as found:
        simulate_association(2, respondents=1, noninvariant=3, shifted=["eff1", "eff99"])
    assert str(found.value) == (
        "simulation: expected 2 respondents or more, found 1; "
        "expected 0 to 2 institutions with shifted items, found 3; "
        "expected items of lending_service, found 'eff99'"
    )
