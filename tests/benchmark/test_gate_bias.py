"""Bias of single institutions: simulated truth, its interval, other readings, and who is kept out of ranks for it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from sqmodel.benchmark.comparison import Gate
from sqmodel.benchmark.pooling_bias import BIASED, apart, decided, deviating
from sqmodel.benchmark.pooling_gate import NO_INTERVAL, assess_gate
from sqmodel.benchmark.pooling_readings import SEEN, rival_means, unseen_means
from sqmodel.benchmark.profile import GateRules, load_profile
from sqmodel.benchmark.simulate import simulate_association
from sqmodel.errors import ComputationError
from sqmodel.numerics.alignment.partial import Estimates, Ties, fit_partial, spread_weighted, tie
from tests.benchmark.test_gate_verdicts import SCALES as TEN_SCALES
from tests.benchmark.test_gate_verdicts import population, submission
from tests.benchmarks import benchmark_bias
from tests.benchmarks.benchmark_bias import SHARE, STRUCTURE, Design, submissions_of

PROFILE = load_profile("lending_association")


def assessed(design: Design, seed: int, ladder: bool = False) -> Gate:
    profile = PROFILE.model_copy(
        update={"gate": PROFILE.gate.model_copy(update={"most_laddered": 12 if ladder else 1})}
    )
    given = submissions_of(design, np.random.default_rng(seed))
    return assess_gate(given, STRUCTURE, profile, scales=benchmark_bias.SCALES)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("shifted", [0, 2, 3])
def test_the_interval_holds_the_bias_of_shifted_items(shifted: int, seed: int) -> None:
    design = Design("", 5, 500, (shifted, 0, 0, 0), 0.8)
    found = assessed(design, seed).biased
    true = SHARE[design.chosen].sum() * 0.8 * np.array([-0.2, -0.2, -0.2, -0.2, 0.8])
    assert list(found.columns) == BIASED
    assert ((found["low"] <= true) & (true <= found["high"])).all()
    assert (found["finding"] == "within").all()
    # Far nearer than the interval, which allows for shifts that nobody could see.
    assert (found["bias"] - true).abs().max() < 5 * found["se"].max()
    np.testing.assert_allclose(found["observed"], found["bias"] + found["fair"], atol=1e-9)
    # Of seven items three that agree could be right and the other four wrong: then bias would be 4 / 7 the other way.
    other = -true * 4 / 3 if shifted == 3 else true
    ends = found[["least", "most"]].to_numpy()
    np.testing.assert_allclose(ends[-1, 0], other[-1], atol=0.4)
    np.testing.assert_allclose(ends[-1, 1], true[-1], atol=0.4)


def test_small_coverage() -> None:
    """The benchmark in small: with 25 repetitions two Monte Carlo standard errors of 95 % are 8.7 points."""
    quiet = benchmark_bias.run(Design("", 3, 300), 25)
    assert benchmark_bias.passed(quiet, 25)
    assert quiet["sampling"] >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / 25)
    assert abs(quiet["error_sd"] / quiet["se"] - 1) < 3 / math.sqrt(2 * 25)


@pytest.mark.parametrize(
    ("shifted", "points", "finding", "words"),
    [((2, 2, 2, 2), 8.0, "beyond", "bias beyond 5 points lies on I004"),
     ((2, 2, 2, 2), 5.4, "near", "bias may be beyond 5 points on 1 of them"),
     ((3, 3, 2, 2), 8.0, "undecided", "whether bias is beyond 5 points on I004 cannot be decided")],
)  # fmt: skip
def test_who_is_kept_out(shifted: tuple[int, int, int, int], points: float, finding: str, words: str) -> None:
    found = assessed(Design("", 5, 600, shifted, points=points), 4)
    last = found.biased.iloc[-1]
    assert (last["finding"], last["withheld"]) == (finding, finding != "near")
    assert not found.biased["withheld"].iloc[:-1].any()
    assert found.verdict == ("partial" if finding == "near" else "doubtful")
    assert found.reason.endswith("; " + words)
    assert last["low"] <= points <= last["high"]
    assert (last["most"] - last["least"] > 1) == (finding == "undecided")


def test_some_of_many_are_shifted_but_within_the_limit() -> None:
    """Less than 1 % of the parameters differ, yet not everybody's items mean the same: the verdict does not say so."""
    found = assessed(Design("", 20, 600, (2, 2, 0, 0), 1.0), 1)
    assert found.items["noninvariant"].mean() < 0.01
    assert found.verdict == "partial"
    assert not found.biased["withheld"].any()
    assert deviating(found.biased)["institution"].tolist() == ["I019"]


def test_the_ladder_releases_the_wrong_items_and_that_is_told() -> None:
    """Three of seven items of one institution shifted: the ladder releases others, and its bias has the wrong sign."""
    made = simulate_association(6, respondents=500, noninvariant=1, shift=1.0, indicators=False, waiting=False, rng=1)
    whole = made.truth[made.truth["scope"] == "overall"].set_index("institution")
    true = whole["score"] - whole["fair"] - (whole["score"] - whole["fair"]).mean()
    shifted = str(made.shifts.sum(axis=1).idxmax())
    found = assess_gate(made.submissions, STRUCTURE, PROFILE, scales=benchmark_bias.SCALES)
    assert found.method == "ladder"
    biased = found.biased.set_index("institution")
    assert biased.loc[shifted, "bias"] == pytest.approx(true[shifted], abs=0.5)
    assert biased.loc[shifted, "ladder"] < 0
    assert ((biased["low"] <= true) & (true <= biased["high"])).all()
    assert shifted in found.biased.loc[apart(found.biased), "institution"].tolist()
    named = ", ".join(found.biased.loc[apart(found.biased), "institution"])
    assert found.notes[-1] == f"the ladder's bias differs from that of alignment by more than the interval on {named}"


def test_the_order_of_institutions_makes_no_difference() -> None:
    given = submissions_of(Design("", 5, 400, (2, 0, 0, 0), 1.0), np.random.default_rng(3))
    profile = PROFILE.model_copy(update={"gate": PROFILE.gate.model_copy(update={"most_laddered": 1})})
    tables = [
        assess_gate(order, STRUCTURE, profile, scales=benchmark_bias.SCALES).biased.set_index("institution")
        for order in (given, given[::-1])
    ]
    numbers = ["bias", "se", "unseen", "low", "high", "least", "most"]
    np.testing.assert_allclose(tables[1].loc[tables[0].index, numbers], tables[0][numbers], atol=1e-6)


def test_decisions() -> None:
    rows = [(0, 1, 0, 0), (4.5, 1, 4.5, 4.5), (6.5, 1, 6.5, 6.5), (-6.5, 1, -6.5, -6.5), (7, 1, -3, 7), (2, 1, -9, 2),
            (8, 1, -8, 8), (6, math.nan, math.nan, math.nan), (4, math.nan, math.nan, math.nan)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["bias", "half", "least", "most"], dtype=float).assign(ladder=math.nan)
    # The ladder within the interval, beside it, and on the other side.
    by_ladder = [(6.5, 1, 6.5, 6.5, 5.6), (6.5, 1, 6.5, 6.5, 5.4), (2, 1, 2, 2, -6.1), (2, 1, 2, 2, -4)]
    table = pd.concat([table, pd.DataFrame(by_ladder, columns=table.columns, dtype=float)], ignore_index=True)
    table = table.assign(low=table["bias"] - table["half"], high=table["bias"] + table["half"])
    found = decided(table, 5.0)
    assert found["finding"].tolist() == [
        "within", "near", "beyond", "beyond", "undecided", "undecided", "undecided", "undecided", "within",
        "beyond", "undecided", "undecided", "within",
    ]  # fmt: skip
    assert found["withheld"].tolist() == [f in ("beyond", "undecided") for f in found["finding"]]
    turned = -table[["bias", "low", "high", "most", "least", "ladder"]]
    turned.columns = pd.Index(["bias", "high", "low", "least", "most", "ladder"])
    assert decided(turned, 5.0)["finding"].tolist() == found["finding"].tolist()


def test_a_dimension_of_two_items_has_the_bias_of_the_ladder_without_an_interval() -> None:
    structure = {"a": ["x1", "x2", "x3", "x4"], "b": ["x5", "x6"]}
    given = []
    for s in population(4, shift=0.5):
        assert s.moments is not None
        given.append(submission(s.institution, 400, s.moments.mean, s.moments.cov))
    profile = PROFILE.model_copy(update={"gate": GateRules()})
    found = assess_gate(given, structure, profile, scales=TEN_SCALES)
    assert found.notes[-1] == "bias has no interval: alignment needs three items of a dimension, found fewer of b"
    assert found.biased["bias"].notna().all()
    assert found.biased[["low", "high", "least", "most", "ladder"]].isna().all(axis=None)
    assert (found.biased["finding"] == "within").all()


def test_items_without_anything_in_common_have_bias_without_an_interval() -> None:
    rng = np.random.default_rng(1)
    given = []
    for s in population(20, n=2000):
        assert s.moments is not None
        unit = np.exp(rng.normal(0, 0.4, 8))
        given.append(submission(s.institution, 2000, rng.normal(3.5, 1.0, 8), s.moments.cov * np.outer(unit, unit)))
    structure = {"a": ["x1", "x2", "x3", "x4"], "b": ["x5", "x6", "x7", "x8"]}
    found = assess_gate(given, structure, PROFILE, scales=TEN_SCALES)
    assert NO_INTERVAL in found.notes
    assert found.biased["bias"].notna().all()
    assert found.biased[["se", "low", "high"]].isna().all(axis=None)


def estimates(own: bool = True) -> tuple[Estimates, tuple[np.ndarray, ...]]:
    """Three groups of six items of two factors that fit exactly, with an intercept and a loading of a group's own."""
    factor = np.repeat([0, 1], 3)
    loadings, intercepts = np.array([0.8, 0.9, 0.7, 0.6, 1.0, 0.8]), np.array([3.0, 4.0, 3.5, 2.0, 3.0, 4.0])
    means, sds = np.array([[0, 0], [0.3, -0.2], [-0.5, 0.4]]), np.array([[1, 1], [1.2, 0.9], [0.8, 1.1]])
    theta = np.concatenate([loadings * sds[:, factor], intercepts + loadings * means[:, factor]], axis=1)
    theta[1, 8] += 0.7 * own
    theta[2, 0] += 0.3 * own
    deviate = np.zeros(theta.shape, dtype=bool)
    deviate[1, 8] = deviate[2, 0] = own
    root = np.random.default_rng(2).normal(0, 0.03, (3, 12, 12))
    covariances = root @ root.transpose(0, 2, 1) + 1e-3 * np.eye(12)
    covariances[:, :6, 6:] = covariances[:, 6:, :6] = 0
    return Estimates(theta, covariances, factor, deviate), (loadings, intercepts, means, sds)


def test_means_by_shared_parameters_are_exact() -> None:
    given, truth = estimates()
    begin = (truth[0] + 0.1, truth[1] - 0.1, truth[2] + np.array([[0], [0.2], [-0.2]]), truth[3] ** 0.5)
    found = fit_partial(given, begin)
    assert found.converged
    for got, want in zip(found[:4], truth, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-8)
    rest = tie(given, found).rest
    np.testing.assert_allclose(rest[1], [0, 0, 0.7, 0, 0, 0], atol=1e-8)


def test_variance_is_that_of_numerical_derivatives() -> None:
    given, truth = estimates()
    share = np.array([2.0, 1.0, 1.5, 1.0, 2.0, 0.5])

    def bias(theta: np.ndarray) -> np.ndarray:
        found = fit_partial(given._replace(theta=theta), truth)  # type: ignore[arg-type]
        points = (theta[:, 6:] - found.loadings * found.means[:, given.factor]) @ share
        return np.asarray(points - points.mean())

    variance, step = np.zeros(3), 1e-5
    for g in range(3):
        slopes = np.zeros((3, 12))
        for j in range(12):
            move = np.zeros_like(given.theta)
            move[g, j] = step
            slopes[:, j] = (bias(given.theta + move) - bias(given.theta - move)) / (2 * step)
        variance += np.einsum("bi,ij,bj->b", slopes, given.covariances[g], slopes)
    at = fit_partial(given, truth)  # type: ignore[arg-type]
    np.testing.assert_allclose(spread_weighted(given, at, share), variance, rtol=1e-6)


def test_a_group_by_itself_has_no_means() -> None:
    given, truth = estimates()
    alone = given.own.copy()
    alone[1] = True
    with pytest.raises(ComputationError) as caught:
        fit_partial(given._replace(own=alone), truth)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "expected groups tied to each other by loadings and intercepts, found a group or an item by itself"
    )


@pytest.mark.parametrize(
    ("away", "deviate", "expected"),
    [([0, 0, 0, 0, 1, 1, 1], 3, (0.0, 1.0)), ([0, 0, 0, 0, 0, 1, 1], 2, (0.0, 0.0)),
     ([0, 0, 0, 0, 1, -1, 3], 3, (0.0, 0.0)), ([0, 0, 0, -1, -1.2], 2, (-1.1, 0.0)),
     ([0, 0, 2], 1, (0.0, 0.0)), ([0, 1, -2], 2, (-2.0, 1.0)), ([0, 0, 0, 0, 0, 0, 0], 0, (0.0, 0.0))],
)  # fmt: skip
def test_readings(away: list[float], deviate: int, expected: tuple[float, float]) -> None:
    """Deviations of the items of one factor, with loadings of 1; the largest `deviate` of them are a group's own."""
    rest = np.array([away], dtype=float)
    own = np.zeros(rest.shape, dtype=bool)
    own[0, np.argsort(-np.abs(rest[0]), kind="stable")[:deviate]] = True
    p = rest.shape[1]
    ties = Ties(rest, np.full((1, p), 0.05), np.where(own, 0.0, 1 / (~own).sum()), ~own)
    least, most = rival_means(ties, own, np.ones(p), np.zeros(p, dtype=np.intp))
    assert (float(least[0, 0]), float(most[0, 0])) == pytest.approx(expected)
    kept = p - deviate
    hidden = (kept - 1) // 2
    unseen = unseen_means(ties, np.zeros(p, dtype=np.intp))
    # So many of the others, shifted alike, deviate from the mean that gives way by just as much as is seen.
    shift = float(unseen[0, 0]) * kept / hidden if hidden else 0.0
    assert shift - float(unseen[0, 0]) == pytest.approx(SEEN * 0.05 if hidden else 0.0)


def test_readings_of_everybody_move_the_mean_of_all() -> None:
    """With two institutions nobody can say which one deviates: what one gains the other loses."""
    found = assessed(Design("", 2, 500, (3, 0, 0, 0), 1.0), 1).biased
    np.testing.assert_allclose(found["bias"].sum(), 0, atol=1e-9)
    np.testing.assert_allclose(found["low"].iloc[0], -found["high"].iloc[1], atol=0.2)
    np.testing.assert_allclose(found["least"].iloc[0], -found["most"].iloc[1], atol=1e-9)
    np.testing.assert_allclose(found["most"].iloc[0], -found["least"].iloc[1], atol=1e-9)
    assert found["most"].iloc[0] - found["least"].iloc[0] > 1
