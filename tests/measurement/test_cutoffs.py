"""Dynamic cutoffs: the package's rules, its published figures, lavaan's simulation, and what a cutoff promises."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import ComputationError, InputError
from sqmodel.measurement import cutoff_simulation as module
from sqmodel.measurement.confirmatory import Confirmation, confirm
from sqmodel.measurement.cutoffs import Cutoffs, dynamic_cutoffs
from sqmodel.measurement.model_population import population_of
from sqmodel.measurement.moments import GroupMoments, Moments
from sqmodel.measurement.simulation import Simulation
from sqmodel.survey.simple_population import simple_population
from tests import oracles

HOLZINGER = """
visual  =~ .772*x1 + .424*x2 + .581*x3
textual =~ .852*x4 + .855*x5 + .838*x6
speed   =~ .570*x7 + .723*x8 + .665*x9
visual ~~ .459*textual
visual ~~ .471*speed
textual ~~ .283*speed"""
"""The standardised solution in the first vignette of the R package dynamic."""

EXTRAVERSION = """
E =~ .671*E1 + -.705*E2 + .704*E3 + -.702*E4 + .750*E5 + -.572*E6 + .744*E7 + -.514*E8 + .605*E9 + -.703*E10"""
"""The model of Wolf & McNeish's tutorial (https://melissagwolf.github.io/dynamic-book, chapter 6), n = 1222."""


TUTORIAL = [0.025, 0.040, 0.986, 0.037, 0.075, 0.953, 0.043, 0.095, 0.928]
"""SRMR, RMSEA and CFI of its three levels (chapter 10)."""


def fitted(text: str, n: float, **arguments: object) -> Confirmation:
    """A model fitted to the very correlations that its standardised solution implies."""
    population = population_of(text)
    moments = Moments(population.table.items, {"": GroupMoments(n, population.sigma, np.zeros(len(population.sigma)))})
    return confirm(moments, re.sub(r"-?\.\d+\*", "", text), **arguments)  # type: ignore[arg-type]


def relations(found: Cutoffs) -> list[tuple[int, str, float]]:
    return [(r.level, f"{r.lhs} {r.op} {r.rhs}", round(r.value, 4)) for r in found.levels.itertuples()]  # type: ignore[misc]


def quantile(found: Cutoffs, level: int, name: str) -> list[float]:
    return found.quantiles[found.quantiles["level"] == level][name].tolist()


@cache
def holzinger() -> Cutoffs:
    return dynamic_cutoffs(fitted(HOLZINGER, 301))


def test_cross_loadings_are_those_of_the_vignette() -> None:
    """It names two missing cross-loadings "with a magnitude of .424 and the second with a magnitude of .570"."""
    assert relations(holzinger()) == [(1, "textual =~ x2", 0.424), (2, "textual =~ x7", 0.57)]


# 500 samples of each population in R, seed 7: x <- as.data.frame(matrix(rnorm(301 * 9), 301) %*% chol(S));
# fitMeasures(cfa(model, x, std.lv = TRUE), c("srmr", "rmsea", "cfi")); quantiles .05, .50, .95; lavaan 0.6-14.
LAVAAN = {
    (0, "q05"): (0.022, 0.000, 0.984), (0, "q50"): (0.030, 0.000, 1.000), (0, "q95"): (0.040, 0.042, 1.000),
    (1, "q05"): (0.037, 0.040, 0.944), (1, "q50"): (0.048, 0.063, 0.970), (1, "q95"): (0.063, 0.088, 0.988),
    (2, "q05"): (0.059, 0.085, 0.906), (2, "q50"): (0.073, 0.108, 0.933), (2, "q95"): (0.088, 0.126, 0.959),
}  # fmt: skip


@pytest.mark.parametrize(("level", "name"), LAVAAN)
def test_distributions_equal_lavaans(level: int, name: str) -> None:
    # Two simulations of 500: their 5 % quantiles of RMSEA differ by a standard error of .002.
    assert quantile(holzinger(), level, name) == pytest.approx(LAVAAN[level, name], abs=0.006)


def test_level_one_of_the_vignette() -> None:
    """cfaFit(dgm, 301): "an SRMR of .040, RMSEA of .044, and a CFI of .984" (its first release, one level)."""
    table = holzinger().cutoffs
    assert table[table["level"] == 1]["cutoff"].tolist() == pytest.approx([0.040, 0.044, 0.984], abs=0.005)


def test_one_factor_cutoffs_of_the_tutorial() -> None:
    """The table of chapter 10: .025 .040 .986, .037 .075 .953, .043 .095 .928."""
    found = dynamic_cutoffs(fitted(EXTRAVERSION, 1222), replications=250)
    assert found.cutoffs["cutoff"].tolist() == pytest.approx(TUTORIAL, abs=0.0035)
    assert (found.cutoffs["rule"] == "95/5").all()
    assert relations(found) == [
        (1, "E6 ~~ E8", 0.3), (2, "E1 ~~ E9", 0.3), (2, "E10 ~~ E4", 0.3),
        (3, "E2 ~~ E3", 0.3), (3, "E5 ~~ E7", 0.3),
    ]  # fmt: skip


def test_holzinger_and_swineford_fail_at_both_levels() -> None:
    """The vignette: its SRMR of .065, RMSEA of .092 and CFI of .931 are worse than Level-1 and Level-2 cutoffs."""
    data = oracles.frame("holzinger_swineford_1939")[[f"x{k}" for k in range(1, 10)]]
    model = {"visual": ["x1", "x2", "x3"], "textual": ["x4", "x5", "x6"], "speed": ["x7", "x8", "x9"]}
    found = dynamic_cutoffs(confirm(data, model, estimator="ML"), replications=150)
    assert found.reached["value"].round(3).tolist() == [0.065, 0.092, 0.931]
    assert found.reached["level"].tolist() == [2, 2, 2]
    assert found.levels["value"].round(3).tolist() == [0.424, 0.570]
    assert repr(found) == (
        "<Cutoffs 2 levels, n=301: SRMR 0.065 reaches level 2, RMSEA 0.092 reaches level 2, CFI 0.931 reaches level 2>"
    )


def test_a_cutoff_keeps_its_promise_in_new_samples() -> None:
    """95 % of misspecified samples beyond it, at most 5 % of correct ones: in samples it was not made from."""
    found, replications = holzinger(), 300
    table = found.cutoffs[found.cutoffs["level"] == 2]
    assert (table["rule"] == "95/5").all()
    assert (table["found"] >= 0.95).all()
    assert (table["rejected"] <= 0.05).all()
    right = population_of(HOLZINGER).simulation()
    wrong = population_of(HOLZINGER.replace(".838*x6", ".838*x6 + .424*x2 + .570*x7"))
    assert wrong.table.items == right.table.items
    false = Simulation(right.table, right.start, "ML", wrong.sigma, right.mean)
    samples = {
        name: of.indices(301, replications, np.random.default_rng(9))
        for name, of in (("found", false), ("rejected", right))
    }
    margin = 3 * math.sqrt(0.95 * 0.05 * (1 / replications + 1 / 500))
    for k, cutoff in enumerate(table["cutoff"]):
        beyond = {name: ((x[:, k] <= cutoff) if k == 2 else (x[:, k] >= cutoff)).mean() for name, x in samples.items()}
        assert beyond["found"] >= 0.95 - margin
        assert beyond["rejected"] <= 0.05


def test_the_stricter_rule_comes_first_and_none_where_samples_overlap() -> None:
    sharp = holzinger().cutoffs.set_index(["level", "index"])
    assert sharp.loc[(1, "srmr"), "rule"] == "90/10"
    small = dynamic_cutoffs(fitted(HOLZINGER, 60), replications=60)
    none = small.cutoffs[small.cutoffs["level"] == 1]
    assert (none["rule"] == "none").all()
    assert none[["cutoff", "found", "rejected"]].isna().all(axis=None)
    assert repr(dynamic_cutoffs(fitted(text({"a": [0.4] * 3, "b": [0.4] * 3}, 0.3), 40), replications=60)) == (
        "<Cutoffs 1 level, n=40: SRMR 0.000 has no cutoff, RMSEA 0.000 has no cutoff, CFI 1.000 has no cutoff>"
    )
    assert "level 1: SRMR, RMSEA, CFI cannot tell it from a correct model in this sample" in small.notes


@pytest.mark.parametrize("index", ["srmr", "rmsea"])
def test_cutoffs_rise_with_the_level(index: str) -> None:
    found = dynamic_cutoffs(fitted(EXTRAVERSION, 800), replications=40).cutoffs
    assert found[found["index"] == index]["cutoff"].is_monotonic_increasing
    assert found[found["index"] == "cfi"]["cutoff"].is_monotonic_decreasing


def text(loadings: dict[str, list[float]], correlation: float, extra: str = "") -> str:
    lines, count = [], 0
    for factor, values in loadings.items():
        lines.append(f"{factor} =~ " + " + ".join(f"{v}*x{count + k}" for k, v in enumerate(values, 1)))
        count += len(values)
    names = list(loadings)
    lines += [f"{a} ~~ {correlation}*{b}" for k, a in enumerate(names) for b in names[k + 1 :]]
    return re.sub(r"\b0\.", ".", "\n".join([*lines, extra]))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # Two items identify a factor poorly: its items come last though they load less. The cross-loadings are the
        # largest that leave room: .95 (sqrt(l^2 r^2 + 1 - l^2) - l r) with r = .4, for l = .6 and .7.
        (text({"a": [0.3, 0.5], "b": [0.6, 0.7, 0.8], "c": [0.7, 0.7, 0.7]}, 0.4),
         [(1, "c =~ x3", 0.5655), (2, "a =~ x6", 0.4627)]),
        # A pair of factors is used once: x1 goes to b (the higher H), so that x4 of b must go to c.
        (text({"a": [0.4, 0.6, 0.6], "b": [0.5, 0.9, 0.9], "c": [0.6, 0.6, 0.6]}, 0.4),
         [(1, "b =~ x1", 0.4), (2, "c =~ x4", 0.5)]),
        # Items with residual covariances are left alone.
        (text({"a": [0.4, 0.6, 0.7, 0.7], "b": [0.7, 0.8, 0.9]}, 0.4, "x1 ~~ .1*x2"), [(1, "b =~ x3", 0.4627)]),
        # .95 (sqrt(.81 .36 + .19) - .9 .6).
        (text({"a": [0.9, 0.9, 0.9], "b": [0.92, 0.92, 0.92]}, 0.6), [(1, "b =~ x1", 0.1463)]),
    ],
)  # fmt: skip
def test_which_cross_loadings_are_added(model: str, expected: list[tuple[int, str, float]]) -> None:
    assert relations(dynamic_cutoffs(fitted(model, 300), replications=20)) == expected


@pytest.mark.parametrize(
    ("items", "by_level"),
    [(4, {1: 1}), (5, {1: 1, 2: 1}), (6, {1: 1, 2: 1, 3: 1}), (7, {1: 1, 2: 1, 3: 1}), (9, {1: 1, 2: 1, 3: 2}),
     (12, {1: 2, 2: 2, 3: 2})],
)  # fmt: skip
def test_how_many_residual_correlations_are_added(items: int, by_level: dict[int, int]) -> None:
    model = text({"f": [round(0.5 + 0.02 * k, 2) for k in range(items)]}, 0)
    found = dynamic_cutoffs(fitted(model, 200), replications=20)
    assert found.levels.groupby("level").size().to_dict() == by_level
    assert (found.levels["value"] == 0.3).all()


def test_the_metric_of_the_items_does_not_matter() -> None:
    population = population_of(HOLZINGER)
    scale = np.linspace(0.5, 40, 9)
    wide = Moments(
        population.table.items, {"": GroupMoments(301, population.sigma * np.outer(scale, scale), np.arange(9.0))}
    )
    model = re.sub(r"\.\d+\*", "", HOLZINGER)
    plain = dynamic_cutoffs(fitted(HOLZINGER, 301), replications=20, rng=4)
    metric = dynamic_cutoffs(confirm(wide, model), replications=20, rng=4)
    pd.testing.assert_frame_equal(plain.quantiles, metric.quantiles, atol=1e-5)
    # With means the SRMR divides by more residuals, as lavaan's does; the other indices stay.
    means = dynamic_cutoffs(confirm(wide, model, mean_structure=True), replications=20, rng=4).quantiles
    for index, factor in (("srmr", math.sqrt(45 / 54)), ("rmsea", 1.0), ("cfi", 1.0)):
        ours, theirs = (q[q["index"] == index]["q50"].to_numpy() for q in (means, plain.quantiles))
        assert ours == pytest.approx(theirs * factor, abs=1e-5)


def test_ordered_answers_have_cutoffs_of_their_own() -> None:
    population = simple_population(4, dimensions=2, loadings=0.6, factor_correlation=0.4, categories=5)
    answers = population.responses(500, rng=3)
    fit = confirm(answers, "dimensions", ordered=True)
    found = dynamic_cutoffs(fit, replications=40)
    assert found.settings["estimator"] == "WLSMV"
    assert found.reached["statistic"].tolist() == ["srmr", "rmsea.scaled", "cfi.scaled"]
    assert found.reached["value"].tolist() == [fit.fit[name] for name in found.reached["statistic"]]
    assert (found.cutoffs["rule"] == "95/5").all()
    assert (found.reached["level"] == 0).all()


@pytest.mark.parametrize(("estimator", "simulated"), [("MLR", "ML"), ("MLM", "ML"), ("ULSM", "ULSM")])
def test_robust_fits_compare_their_robust_indices(estimator: str, simulated: str) -> None:
    answers = simple_population(4, dimensions=2, loadings=0.7, factor_correlation=0.4).responses(300, rng=5)
    found = dynamic_cutoffs(confirm(answers, "dimensions", estimator=estimator), replications=20)
    assert found.settings["estimator"] == simulated
    assert found.reached["statistic"].tolist() == ["srmr", "rmsea.robust", "cfi.robust"]
    assert found.quantiles["samples"].tolist() == [20] * 6


def test_notes_say_what_the_samples_lack() -> None:
    answers = simple_population(4, dimensions=2, loadings=0.7, factor_correlation=0.4).responses(300, rng=5)
    structure, frame = answers.instrument.structure(), answers.items.astype(float)
    holes = frame.mask(np.random.default_rng(1).random(frame.shape) < 0.05)
    missing = dynamic_cutoffs(confirm(holes, structure, missing="fiml"), replications=20)
    assert missing.notes[-1] == "answers are missing: the samples behind the cutoffs are complete, and as large"
    clustered = dynamic_cutoffs(confirm(frame, structure, cluster=list(np.arange(300) // 10)), replications=20)
    assert clustered.notes[-1] == "respondents come in clusters: those behind the cutoffs are independent"


def test_a_simulation_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = module._simulate
    monkeypatch.setattr(module, "_KEPT", {})
    monkeypatch.setattr(module, "_simulate", lambda *a: calls.append(1) or whole(*a))
    fit = fitted(HOLZINGER, 250)
    first = dynamic_cutoffs(fit, replications=20, cache=tmp_path / "kept")
    assert (len(calls), len(list((tmp_path / "kept").iterdir()))) == (1, 1)
    again = dynamic_cutoffs(fitted(HOLZINGER, 250), replications=20)
    assert len(calls) == 1
    module._KEPT.clear()
    from_disk = dynamic_cutoffs(fit, replications=20, cache=tmp_path / "kept")
    assert len(calls) == 1
    for other in (again, from_disk):
        pd.testing.assert_frame_equal(first.cutoffs, other.cutoffs)
    for change in ({"rng": 1}, {"replications": 21}):
        dynamic_cutoffs(fit, **{"replications": 20, **change})  # type: ignore[arg-type]
    dynamic_cutoffs(fitted(HOLZINGER, 251), replications=20)
    dynamic_cutoffs(fitted(HOLZINGER.replace(".424", ".434"), 250), replications=20)
    assert len(calls) == 5
    # Another writer's half of a file is no answer.
    module._KEPT.clear()
    next((tmp_path / "kept").iterdir()).write_bytes(b"half")
    dynamic_cutoffs(fit, replications=20, cache=tmp_path / "kept")
    assert len(calls) == 6
    # A generator moves on: nothing is kept.
    stream = np.random.default_rng(0)
    one, two = (dynamic_cutoffs(fit, replications=20, rng=stream) for _ in range(2))
    assert len(calls) == 8
    assert (one.quantiles["q50"] != two.quantiles["q50"]).any()


def test_cutoffs_survive_json() -> None:
    again = Cutoffs.from_json(holzinger().to_json())
    for name, table in holzinger().tables().items():
        pd.testing.assert_frame_equal(table, again.tables()[name], check_dtype=False)


def test_models_that_have_no_cutoffs() -> None:
    with pytest.raises(InputError) as error:
        dynamic_cutoffs(fitted(HOLZINGER, 301), replications=-1)
    assert str(error.value) == "dynamic_cutoffs: 1 problem\n  - expected at least 20 replications, found -1"
    population = population_of(HOLZINGER)
    group = GroupMoments(100, population.sigma, np.zeros(9))
    two = confirm(Moments(population.table.items, {"a": group, "b": group}), re.sub(r"\.\d+\*", "", HOLZINGER))
    with pytest.raises(InputError) as error:
        dynamic_cutoffs(two)
    assert str(error.value) == "dynamic_cutoffs: 1 problem\n  - expected a model of one group, found 2 groups"
    with pytest.raises(ComputationError) as failure:
        dynamic_cutoffs(fitted("f =~ .7*a + .7*b + .7*c", 100))
    assert str(failure.value) == (
        "expected a fitted model that could be a population and can be misspecified, "
        "found one without degrees of freedom"
    )
    with pytest.raises(ComputationError) as failure:
        dynamic_cutoffs(fitted("f =~ .5*a + .6*b + .7*c + .8*d\na ~~ .1*b", 100))
    assert str(failure.value) == (
        "expected at least 4 items without residual covariance for a one-factor model, found 2"
    )
    all_cross = "f =~ .7*a + .7*b + .7*c + .2*d\ng =~ .7*d + .7*e + .7*h + .2*a\nf ~~ .3*g\nb ~~ .1*e\nc ~~ .1*h"
    with pytest.raises(ComputationError) as failure:
        dynamic_cutoffs(fitted(all_cross, 200))
    assert str(failure.value) == (
        "expected 1 factor with an item that loads on nothing else and has no residual covariance, found 0"
    )
    with pytest.raises(ComputationError) as failure:
        dynamic_cutoffs(Confirmation.from_json(fitted(HOLZINGER, 301).to_json()))
    assert str(failure.value) == "expected a model fitted in this session, found one read back; call confirm() again"
