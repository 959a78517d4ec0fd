"""Planted non-invariance is found again (tests.benchmarks.alignment has more surveys), exact moments are exact."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import ComputationError, ImproperSolutionWarning, InputError
from sqmodel.measurement.alignment import Alignment, _one_way, align
from sqmodel.measurement.confirmatory import confirm, gather, parsed
from sqmodel.measurement.moments import GroupMoments, Moments
from tests.benchmarks.alignment import GROUPS, ITEMS, LEAST_FLAGGED, MODEL, MOST_FALSE, NAMES, replicate, survey

TWO = {"f": ["x1", "x2", "x3"], "g": ["y1", "y2", "y3", "y4"]}
LOADINGS = np.array([0.8, 0.7, 0.9, 0.6, 0.8, 0.7, 0.9])
INTERCEPTS = np.array([3.0, 2.5, 4.0, 1.0, 2.0, 3.0, 4.0])
MEANS = {"f": [0.0, 0.5, -0.3, 0.2], "g": [0.0, -0.4, 0.1, 0.6]}
SDS = {"f": [1.0, 1.2, 0.8, 1.1], "g": [1.0, 0.9, 1.3, 1.0]}


def population(shift: float = 0.0) -> Moments:
    """Exact moments of two factors in four groups; `shift` is added to y4's intercept in the last."""
    own = np.repeat([0, 1], [3, 4])
    pattern = np.zeros((7, 2))
    pattern[np.arange(7), own] = LOADINGS
    groups = {}
    for k in range(4):
        deviation = np.array([SDS["f"][k], SDS["g"][k]])
        phi = np.outer(deviation, deviation) * [[1, 0.4], [0.4, 1]]
        mean = INTERCEPTS + pattern @ [MEANS["f"][k], MEANS["g"][k]]
        mean[6] += shift * (k == 3)
        groups[f"b{k}"] = GroupMoments(200.0 + 100 * k, pattern @ phi @ pattern.T + 0.4 * np.eye(7), mean)
    return Moments(tuple(TWO["f"] + TWO["g"]), groups)


def sample(n: int = 150, seed: int = 0) -> pd.DataFrame:
    """Answers drawn from that population."""
    rng, frames = np.random.default_rng(seed), []
    for label, g in population().groups.items():
        x = rng.multivariate_normal(g.mean, g.cov, size=n)
        frames.append(pd.DataFrame(x, columns=[*TWO["f"], *TWO["g"]]).assign(branch=label))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def found() -> Alignment:
    return align(sample(), TWO, by="branch")


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_planted_non_invariance_is_recovered(seed):
    """30 groups of 300 to 500, two of ten items different in ten groups."""
    row = replicate(seed)
    assert row["converged"]
    assert min(row["loadings_flagged"], row["intercepts_flagged"]) >= LEAST_FLAGGED
    assert max(row["loadings_false"], row["intercepts_false"]) <= MOST_FALSE
    assert row["alignment_r"] > 0.98
    assert row["alignment_rmse"] < 0.9 * row["scalar_rmse"]
    assert row["coverage"] > 0.8


def test_invariant_groups_raise_no_alarm():
    row = replicate(104, invariant=True)
    assert max(row["loadings_false"], row["intercepts_false"]) <= MOST_FALSE
    assert row["alignment_rmse"] < 1.1 * row["scalar_rmse"]


def test_shares_by_item():
    given = survey(105)
    found = align(given.frame, MODEL, by="group", estimator="ML")
    items = found.items.set_index(["item", "kind"])
    assert items.loc["x1"]["noninvariant"].between(0.3, 0.4).all()
    assert items.loc["x5"]["noninvariant"].max() < 0.1
    assert items.loc[("x1", "intercept"), "r2"] < items.loc[("x5", "intercept"), "r2"]
    assert items.loc[("x5", "intercept"), "r2"] > 0.9
    assert found.noninvariant == pytest.approx(2 * 10 / (GROUPS * ITEMS), abs=0.01)
    assert found.trustworthy
    assert repr(found).endswith("parameters not invariant>")
    assert list(found.parameters["item"].unique()) == NAMES


def test_exact_moments_give_exact_means():
    """Within 1e-6: what the configural fits leave."""
    found = align(population(), TWO, by="branch")
    for factor, part in found.means.groupby("factor"):
        np.testing.assert_allclose(part["mean"], MEANS[factor], atol=1e-6)
        np.testing.assert_allclose(part["sd"], SDS[factor], atol=1e-6)
    assert found.parameters["invariant"].all()
    np.testing.assert_allclose(found.items["r2"], 1, atol=1e-6)
    np.testing.assert_allclose(found.items["value"], np.column_stack([LOADINGS, INTERCEPTS]).ravel(), atol=1e-6)
    assert found.notes == (
        "0.0% of the parameters are not invariant (loadings 0.0%, intercepts 0.0%), within the 25% up to which means "
        "are trusted (Muthen & Asparouhov 2014)",
    )
    assert repr(found) == "<Alignment by branch, 4 groups, 2 factors, n=1400: 0% of the parameters not invariant>"


def test_one_shifted_intercept_in_exact_moments():
    """A shift of .8 in one of four items would move a mean by least squares ten times as far as here."""
    found = align(population(shift=0.8), TWO, by="branch")
    odd = found.parameters[~found.parameters["invariant"]]
    assert odd[["item", "kind", "group"]].to_numpy().tolist() == [["y4", "intercept", "b3"]]
    part = found.means[found.means["factor"] == "g"]
    np.testing.assert_allclose(part["mean"], MEANS["g"], atol=0.03)


def test_another_reference_changes_zero_and_unit_only(found):
    moved = align(sample(), TWO, by="branch", reference="b2")
    assert moved.settings["groups"] == ["b2", "b0", "b1", "b3"]
    first, other = (r.means.set_index(["factor", "group"]) for r in (found, moved))
    for factor in TWO:
        a, b = first.loc[factor], other.loc[factor].loc[["b0", "b1", "b2", "b3"]]
        np.testing.assert_allclose(b["mean"], (a["mean"] - a.loc["b2", "mean"]) / a.loc["b2", "sd"], atol=1e-6)
        np.testing.assert_allclose(b["sd"], a["sd"] / a.loc["b2", "sd"], atol=1e-6)
    assert moved.means.loc[moved.means["group"] == "b2", ["mean", "se", "low", "high"]].to_numpy().any() == 0


def test_intervals_and_errors(found):
    later = found.means[found.means["group"] != "b0"]
    assert (later["se"] > 0.05).all()
    np.testing.assert_allclose(later["high"] - later["mean"], 1.959964 * later["se"], rtol=1e-6)
    narrow = align(sample(), TWO, by="branch", level=0.5).means
    assert (narrow["high"] - narrow["low"])[narrow["group"] != "b0"].max() < (later["high"] - later["low"]).min()
    assert (found.parameters["se"] > 0).all()


def test_standard_errors_are_near_those_of_scalar_invariance_where_it_holds(found):
    """The loss is nearly least squares at this noise: it wastes little, and means lie within a standard error."""
    scalar = confirm(sample(), TWO, group="branch", std_lv=True, group_equal=("loadings", "intercepts"))
    p = scalar.parameters
    p = p[p["lhs"].isin(list(TWO)) & (p["op"] == "~1") & p["free"]].sort_values(["lhs", "group"])
    own = found.means[found.means["group"] != "b0"].sort_values(["factor", "group"])
    np.testing.assert_allclose(own["mean"], p["est"], atol=0.1)
    np.testing.assert_allclose(own["se"], p["se"], rtol=0.3)


def test_a_factor_that_points_the_other_way_in_a_group():
    """A solution with all loadings negative is the same solution."""
    starts = [" + ".join(f"start({sign}0.8)*{item}" for item in TWO["g"]) for sign in ("", "-")]
    fits = [confirm(population().select(TWO["g"]), f"g =~ {start}", std_lv=True) for start in starts]
    assert (fits[1].parameters.query("op == '=~'")["est"] < 0).all()
    estimated = [fit.internal.estimated for fit in fits]
    # Loadings are the first parameters, intercepts the last.
    own = [*range(4), *range(len(estimated[0].se) - 4, len(estimated[0].se))]
    theta = np.array([e.solution.theta[own] for e in estimated])
    covariances = np.array([e.covariance[np.ix_(own, own)] for e in estimated])
    alone = [_one_way(theta[k : k + 1], covariances[k : k + 1]) for k in range(2)]
    both = _one_way(theta, covariances)
    np.testing.assert_allclose(both.loadings[1], alone[0].loadings[0], atol=1e-6)
    np.testing.assert_allclose(both.covariances[1], alone[0].covariances[0], atol=1e-6)
    np.testing.assert_allclose(both.intercepts[1], alone[1].intercepts[0])


def test_configural_parameters_are_those_of_each_group_alone(found):
    frame = sample()
    alone = confirm(frame[frame["branch"] == "b1"], TWO, std_lv=True, mean_structure=True)
    p = alone.parameters
    own = found.parameters[found.parameters["group"] == "b1"]
    loadings = own.loc[own["kind"] == "loading", "configural"]
    np.testing.assert_allclose(loadings, p.loc[p["op"] == "=~", "est"], atol=1e-8)
    row = found.fits.set_index("group").loc["b1"]
    assert row["chisq"] == pytest.approx(alone.fit["chisq.scaled"])
    assert row["cfi"] == pytest.approx(alone.fit["cfi.robust"])
    assert row["n"] == 150


def test_missing_answers():
    frame = sample()
    holes = np.random.default_rng(1).random((len(frame), 7)) < 0.05
    frame.iloc[:, :7] = frame.iloc[:, :7].mask(holes)
    full, complete = align(frame, TWO, by="branch", missing="fiml"), align(frame, TWO, by="branch")
    left = int(holes.any(axis=1).sum())
    assert full.n == 600
    assert complete.n == 600 - left
    assert complete.notes[0] == f"{left} respondents with missing answers were left out"
    np.testing.assert_allclose(full.means["mean"], align(sample(), TWO, by="branch").means["mean"], atol=0.1)


def test_weights_count_respondents():
    """Everyone twice, by weight or in the flesh, in one group: the same shares of groups and the same means."""
    frame = sample()
    weight = np.where(frame["branch"] == "b1", 2.0, 1.0)
    twice = pd.concat([frame, frame[frame["branch"] == "b1"]], ignore_index=True)
    weighted, repeated = align(frame, TWO, by="branch", weight=weight), align(twice, TWO, by="branch")
    np.testing.assert_allclose(weighted.means["mean"], repeated.means["mean"], atol=1e-6)


def test_moments_give_what_answers_give():
    frame = sample()
    moments = gather(frame, parsed(frame, TWO), group="branch")
    answers = align(frame, TWO, by="branch", estimator="ML")
    alone = align(replace(moments, answers=()), TWO, by="branch")
    np.testing.assert_allclose(alone.means["se"], answers.means["se"], atol=1e-9)
    assert alone.settings["estimator"] == "ML"


def test_a_result_read_back(found):
    back = Alignment.from_json(json.loads(json.dumps(found.to_json())))
    pd.testing.assert_frame_equal(back.means, found.means)
    assert back.trustworthy == found.trustworthy
    assert back.notes == found.notes


def test_more_than_a_quarter():
    moments, rng, groups = population(), np.random.default_rng(0), {}
    for k, g in moments.groups.items():
        unit = np.exp(rng.normal(0, 0.6, 7))
        groups[k] = GroupMoments(5000.0, g.cov * np.outer(unit, unit), rng.normal(3, 1.5, 7))
    found = align(replace(moments, groups=groups), TWO, by="branch")
    assert not found.trustworthy
    share = found.parameters.groupby("kind")["invariant"].mean()
    assert found.notes[-1] == (
        f"{found.noninvariant:.1%} of the parameters are not invariant (loadings {1 - share['loading']:.1%}, "
        f"intercepts {1 - share['intercept']:.1%}), more than the 25% up to which means are trusted "
        "(Muthen & Asparouhov 2014): check them by a simulation"
    )


def test_an_improper_group_is_named():
    moments = population()
    cov = moments.groups["b1"].cov.copy()
    cov[0, 1] = cov[1, 0] = 1.22 * cov[0, 1]
    cov[0, 2] = cov[2, 0] = 1.22 * cov[0, 2]
    groups = dict(moments.groups) | {"b1": replace(moments.groups["b1"], cov=cov)}
    with pytest.warns(ImproperSolutionWarning) as caught:
        found = align(replace(moments, groups=groups), TWO, by="branch")
    assert [str(w.message) for w in caught] == [found.notes[0]]
    assert found.notes[0] == "the configural model is improper in b1: a negative variance, or the like"


@pytest.mark.parametrize(
    ("model", "problems"),
    [
        (
            "f =~ x1 + x2 + x3\ng =~ y1 + y2 + y3 + x3",
            ["expected every item on one factor, found x3 on f, g"],
        ),
        (
            "f =~ x1 + x2\ng =~ y1 + y2 + y3",
            ["expected at least three items a factor, found 2 of f"],
        ),
        (
            "f =~ x1 + x2 + x3\ng =~ y1 + y2 + y3\nh =~ f + g + y4",
            [
                "expected items as indicators, found that h is measured by the factor f",
                "expected items as indicators, found that h is measured by the factor g",
            ],
        ),
        (
            "f =~ 1*x1 + x2 + x3\nf ~~ NA*f\nx2 ~ 0*1\nf ~ 1",
            [
                "expected free loadings, as the factors' variances are 1, found f =~ x1 fixed",
                "expected no variance of a factor, as alignment finds it, found f ~~ f",
                "expected free intercepts, found x2 ~ 1 fixed",
                "expected no mean of a factor, as alignment finds it, found f ~ 1",
            ],
        ),
        (
            "f =~ x1 + x2 + x3\nx1 | t1\nx2 ~~ c(0.1, 0.2, 0.3, 0.4)*x3",
            [
                "expected continuous answers, found x1 | t1",
                "expected the same model in all groups, found modifiers by group in x2 ~~ x3",
            ],
        ),
    ],
)
def test_models_that_cannot_be_aligned(model, problems):
    with pytest.raises(InputError) as caught:
        align(sample(), model, by="branch")
    count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
    lines = [f"model: {count}", *(f"  - {p}" for p in problems)]
    lines.append("  What to do: align a model of simple structure without constraints")
    assert str(caught.value) == "\n".join(lines)


def test_bad_groups():
    frame = sample()
    with pytest.raises(ComputationError) as caught:
        align(frame[frame["branch"] == "b0"], TWO, by="branch")
    assert str(caught.value) == "expected at least two groups of branch, found 1; choose another variable"
    with pytest.raises(ComputationError) as caught:
        align(frame, TWO, by="branch", reference="b9")
    assert str(caught.value) == "expected the reference among the groups b0, b1, b2, b3, found 'b9'"


def test_a_group_without_a_solution_is_named():
    """A factor whose third item has nothing in common with the others is not identified."""
    moments = population()
    cov = moments.groups["b2"].cov.copy()
    alone = [0, 1, 2]
    cov[np.ix_(alone, alone)] = np.diag(np.diag(cov))[np.ix_(alone, alone)]
    cov[:3, 3:] = cov[3:, :3].T * 0
    cov[3:, :3] = 0
    groups = dict(moments.groups) | {"b2": replace(moments.groups["b2"], cov=cov)}
    with pytest.raises(ComputationError) as caught:
        align(replace(moments, groups=groups), TWO, by="branch")
    assert str(caught.value) == (
        "expected a configural model with a solution in every group, found none in b2; leave out these groups or "
        "simplify the model"
    )
