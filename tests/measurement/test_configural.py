"""Many groups fitted at once have the estimates, errors and fit of each fitted alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sqmodel.errors import ComputationError
from sqmodel.measurement import configural
from sqmodel.measurement.alignment import align
from sqmodel.measurement.configural import Configural, fit_each
from sqmodel.measurement.confirmatory import confirm, parsed
from sqmodel.measurement.moments import GroupMoments, Moments
from tests.measurement.test_alignment import INTERCEPTS, LOADINGS, TWO

ALONE = {"estimator": "ML"}


def groups(count: int, n: int = 300) -> Moments:
    """Samples of groups that differ in means and variances of two factors."""
    rng, found = np.random.default_rng(3), {}
    pattern = np.zeros((7, 2))
    pattern[np.arange(7), np.repeat([0, 1], [3, 4])] = LOADINGS
    for k in range(count):
        factors = rng.normal(0, 0.4, 2) + rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], size=n)
        x = INTERCEPTS + factors @ pattern.T + rng.normal(0, 0.6, (n, 7))
        found[f"b{k}"] = GroupMoments(float(n), np.cov(x.T, bias=True), x.mean(axis=0))
    return Moments((*TWO["f"], *TWO["g"]), found)


def fitted(moments: Moments, monkeypatch: pytest.MonkeyPatch, few: int) -> Configural:
    monkeypatch.setattr(configural, "FEW", few)
    return fit_each(moments, parsed(moments, TWO), list(moments.groups), ALONE)


def with_unrelated(moments: Moments, group: str) -> Moments:
    """The first three items of a group have nothing to do with each other."""
    cov = np.diag(np.diag(moments.groups[group].cov))
    cov[3:, 3:] = moments.groups[group].cov[3:, 3:]
    return replace(moments, groups=dict(moments.groups) | {group: replace(moments.groups[group], cov=cov)})


def test_all_at_once_is_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of groups included: 70 are more than one."""
    moments = groups(70)
    together, alone = (fitted(moments, monkeypatch, few) for few in (20, 1000))
    assert together.groups == alone.groups
    assert together.numbers == alone.numbers
    assert (together.estimator, alone.estimator) == ("ML", "ML")
    np.testing.assert_allclose(together.theta, alone.theta, atol=2e-7)
    np.testing.assert_allclose(together.covariances, alone.covariances, atol=1e-8)
    assert together.fits["group"].tolist() == alone.fits["group"].tolist()
    for column in ("n", "chisq", "df", "cfi", "rmsea", "srmr"):
        np.testing.assert_allclose(together.fits[column].astype(float), alone.fits[column].astype(float), atol=1e-7)


def test_whoever_has_no_solution_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = with_unrelated(groups(24), "b5")
    singular = moments.groups["b9"].cov.copy()
    singular[0] = singular[1]
    singular[:, 0] = singular[:, 1]
    moments = replace(moments, groups=dict(moments.groups) | {"b9": replace(moments.groups["b9"], cov=singular)})
    for few in (20, 1000):
        found = fitted(moments, monkeypatch, few)
        assert "b5" in found.failed
        assert found.failed["b5"] == "the configural model is not identified"
        assert "b9" not in found.groups
        assert len(found.groups) == len(found.fits) == len(found.theta) == 24 - len(found.failed)


def test_an_improper_group_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = groups(24)
    cov = moments.groups["b3"].cov.copy()
    cov[0, 1] = cov[1, 0] = 1.3 * cov[0, 1]
    cov[0, 2] = cov[2, 0] = 1.3 * cov[0, 2]
    moments = replace(moments, groups=dict(moments.groups) | {"b3": replace(moments.groups["b3"], cov=cov)})
    together, alone = (fitted(moments, monkeypatch, few) for few in (20, 1000))
    assert together.improper == alone.improper == ("b3",)


def test_alignment_leaves_out_whom_it_was_told_to() -> None:
    moments = with_unrelated(groups(24), "b5")
    with pytest.raises(ComputationError) as caught:
        align(moments, TWO, by="branch")
    assert str(caught.value) == (
        "expected a configural model with a solution in every group, found none in b5; leave out these groups or "
        "simplify the model"
    )
    found = align(moments, TWO, by="branch", failed="leave out")
    assert found.settings["left_out"] == {"b5": "the configural model is not identified"}
    assert "left out: b5 (the configural model is not identified)" in found.notes
    assert found.n == 23 * 300
    without = replace(moments, groups={g: m for g, m in moments.groups.items() if g != "b5"})
    np.testing.assert_allclose(found.means["mean"], align(without, TWO, by="branch").means["mean"], atol=1e-7)


def test_slow_groups_go_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the common search may take two steps only, nobody has settled, and the result is the same."""
    moments = groups(22)
    alone = fitted(moments, monkeypatch, 1000)
    monkeypatch.setattr("sqmodel.numerics.sem.many._STEPS", 2)
    found = fitted(moments, monkeypatch, 20)
    np.testing.assert_allclose(found.theta, alone.theta, atol=1e-6)


def test_equal_parameters_are_left_to_confirm() -> None:
    """A label makes two cells one parameter, which the stacks do not know."""
    moments = groups(21)
    model = "f =~ x1 + a*x2 + a*x3\ng =~ y1 + y2 + y3 + y4"
    found = fit_each(moments, parsed(moments, model), list(moments.groups), ALONE)
    assert found.numbers["f", "=~", "x2"] == found.numbers["f", "=~", "x3"]
    assert found.groups == tuple(moments.groups)


def test_moments_that_fit_exactly_have_a_fit() -> None:
    """Chi-square is zero to rounding, far below the noncentrality of a close fit in twelve thousand respondents."""
    moments = groups(1, n=2000)
    model = np.zeros((7, 2))
    model[np.arange(7), np.repeat([0, 1], [3, 4])] = LOADINGS
    exact = GroupMoments(12000.0, model @ [[1, 0.4], [0.4, 1]] @ model.T + 0.4 * np.eye(7), INTERCEPTS)
    found = confirm(replace(moments, groups={"": exact}), TWO, std_lv=True, mean_structure=True)
    assert found.fit["chisq"] < 1e-8
    assert found.fit["rmsea.pvalue"] == 1.0
    assert found.fit["rmsea.ci.upper"] == 0.0
