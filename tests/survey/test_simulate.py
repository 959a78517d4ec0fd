"""The simulated population: its truth is what a very large sample finds, and the planted facts are in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import InputError
from sqmodel.survey.demo_population import LINES, QUARTERS
from sqmodel.survey.population import Population
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import SimplePopulation, simple_population
from sqmodel.survey.simulate import demo_population, demo_study, round_to_total, simulate_responses
from sqmodel.survey.truth import Truth

LARGE = 200_000
SAMPLE = 400
Z = 4.0


@pytest.fixture(scope="module", params=LINES)
def line(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def population(line: str) -> Population:
    return demo_population(line)


@pytest.fixture(scope="module")
def truth(population: Population) -> Truth:
    return population.truth(quarter="2026Q2")


@pytest.fixture(scope="module")
def large(population: Population) -> Responses:
    frame = simulate_responses(population, LARGE, quarter="2026Q2", rng=11, careless=0, missing=0)
    return Responses(population.instrument, frame)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    return {p.stem: pd.read_csv(p) for p in demo_study(tmp_path_factory.mktemp("study"))}


def in_errors(estimates: pd.Series, expected: pd.Series, spread: pd.Series, n: int = LARGE) -> float:
    """Largest distance of an estimated mean from the truth in Monte Carlo standard errors."""
    return float(((estimates - expected[estimates.index]).abs() / (spread / np.sqrt(n))).max())


def test_truth_means_are_recovered(large: Responses, truth: Truth) -> None:
    outcomes = large.frame[[c for c in truth.means.index if c not in large.items]]
    for found in (large.items, outcomes):
        assert in_errors(found.mean(), truth.means, found.std()) < Z
    expectations = large.expectations
    assert in_errors(expectations.mean(), truth.expectations, expectations.std()) < Z


def test_truth_covariance_is_recovered(large: Responses, truth: Truth) -> None:
    codes = list(truth.means.index)
    data = pd.concat([large.items, large.frame], axis=1).loc[:, lambda f: ~f.columns.duplicated()][codes]
    off = (data - data.mean()).to_numpy()
    # Standard error of a covariance: the spread of the products of the deviations.
    second = (off**2).T @ off**2 / LARGE
    found = off.T @ off / LARGE
    error = np.sqrt((second - found**2) / LARGE)
    # 561 distinct elements: the largest of so many normal deviates is allowed one error more.
    assert (np.abs(found - truth.covariance.to_numpy()) / error).max() < Z + 1


def test_truth_index_and_alpha_are_recovered(large: Responses, truth: Truth) -> None:
    scores = large.dimension_scores()
    assert in_errors(scores.mean(), truth.index, scores.std()) < Z
    overall = scores.mean(axis=1)
    assert abs(overall.mean() - truth.index["overall"]) < Z * overall.std() / np.sqrt(LARGE)
    np.testing.assert_allclose(scores.cov(), truth.score_covariance, rtol=0.02)
    for dimension, members in large.instrument.structure().items():
        parts = np.array([alpha(block) for block in np.array_split(large.items[members].to_numpy(), 50)])
        assert abs(parts.mean() - truth.alpha[dimension]) < Z * parts.std(ddof=1) / np.sqrt(len(parts))


def test_truth_nps_and_slopes_are_recovered(large: Responses, truth: Truth) -> None:
    net = (large.frame["nps"] >= 9).astype(float) - (large.frame["nps"] <= 6)
    assert abs(100 * net.mean() - truth.nps) < Z * 100 * net.std() / np.sqrt(LARGE)
    scores = large.dimension_scores()
    design = np.column_stack([np.ones(LARGE), scores])
    fitted, residual, *_ = np.linalg.lstsq(design, large.frame["csat"].to_numpy(), rcond=None)
    error = np.sqrt(np.linalg.inv(design.T @ design).diagonal() * residual / LARGE)
    slopes = truth.slopes("csat")
    assert (np.abs(fitted[1:] - slopes) / error[1:]).max() < Z
    assert slopes.idxmax() == "EFF"
    assert truth.slopes("effort").idxmin() == "EFF"


def alpha(x: np.ndarray) -> float:
    covariance = np.cov(x.T)
    k = len(covariance)
    return float(k / (k - 1) * (1 - np.trace(covariance) / covariance.sum()))


def test_truth_of_a_group_is_recovered(population: Population, large: Responses) -> None:
    one = large.keep(large.frame["institution"] == "inst_b").dimension_scores()
    truth = population.truth(quarter="2026Q2", institution="inst_b")
    assert in_errors(one.mean(), truth.index, one.std(), len(one)) < Z


def test_groups_mix_to_the_whole(population: Population, truth: Truth) -> None:
    parts = {v: population.truth(quarter="2026Q2", stage=v).index for v in population.shares["stage"]}
    mixed = sum(share * parts[v] for v, share in population.shares["stage"].items())
    pd.testing.assert_series_equal(mixed, truth.index, check_names=False)


def test_truth_is_plausible(truth: Truth, large: Responses) -> None:
    assert truth.alpha.between(0.80, 0.92).all()
    assert truth.index.between(58, 78).all()
    assert 5 <= truth.nps <= 40
    spread = np.sqrt(np.diag(truth.score_covariance))
    between = (truth.score_covariance / np.outer(spread, spread)).to_numpy()[np.tril_indices(4, -1)]
    assert between.min() > 0.48
    assert between.max() < 0.70
    ends = pd.concat([(large.items == 1).mean(), (large.items == 7).mean()])
    assert (ends > 0.15).sum() <= 2
    assert (truth.expectations > truth.means[truth.expectations.index]).all()
    link = large.items.corrwith(large.expectations)
    assert link.between(0.15, 0.45).all()


def test_efficiency_is_weakest_in_project_finance_and_rises_at_last() -> None:
    population = demo_population("project_finance")
    before, after = (population.truth(quarter=q) for q in QUARTERS[-2:])
    assert before.index.drop("overall").idxmin() == after.index.drop("overall").idxmin() == "EFF"
    gap = (before.means[before.expectations.index] - before.expectations).sort_values()
    assert set(gap.index[:2]) == {"eff1", "eff2"}
    assert gap["eff1"] < gap.iloc[2] - 0.5
    rise = after.index - before.index
    variance = before.score_covariance.loc["EFF", "EFF"] + after.score_covariance.loc["EFF", "EFF"]
    assert rise["EFF"] > 3 * np.sqrt(variance / SAMPLE)
    assert rise[["EXP", "RSK", "COM"]].abs().max() < 1e-9
    # Weakest beyond doubt even in one quarter of one sample.
    scores = after.score_covariance
    for other in ("EXP", "RSK", "COM"):
        spread = np.sqrt(scores.loc["EFF", "EFF"] + scores.loc[other, other] - 2 * scores.loc["EFF", other])
        assert after.index[other] - after.index["EFF"] > 3 * spread / np.sqrt(SAMPLE)


def test_corporate_lending_does_not_change(studies: dict[str, pd.DataFrame]) -> None:
    population = demo_population("corporate_lending")
    first, *others = (population.truth(quarter=q).index for q in QUARTERS)
    for other in others:
        pd.testing.assert_series_equal(first, other)
    found = quarterly(population, studies["corporate_lending"])
    change = found["mean"].diff().iloc[1:]
    error = np.sqrt(found["error"] ** 2 + found["error"].shift() ** 2).iloc[1:]
    assert (change.abs() / error).to_numpy().max() < 3


def quarterly(population: Population, frame: pd.DataFrame) -> pd.DataFrame:
    raw = frame.replace({c: {9: np.nan} for c in population.instrument.item_codes})
    scores = Responses(population.instrument, raw).dimension_scores().groupby(raw["quarter"])
    return pd.concat({"mean": scores.mean(), "error": scores.sem()}, axis=1)


def test_the_rise_shows_in_the_study(studies: dict[str, pd.DataFrame]) -> None:
    found = quarterly(demo_population("project_finance"), studies["project_finance"])
    assert (found["mean"].idxmin(axis=1) == "EFF").all()
    last, before = found.loc["2026Q3"], found.loc["2026Q2"]
    rise = last["mean"] - before["mean"]
    error = np.sqrt(last["error"] ** 2 + before["error"] ** 2)
    assert rise["EFF"] > 3 * error["EFF"]
    assert (rise.drop("EFF").abs() < 3 * error.drop("EFF")).all()


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first, second, other = (
        [p.read_bytes() for p in demo_study(tmp_path / name, rng=rng)]
        for name, rng in (("a", 20260930), ("b", 20260930), ("c", 1))
    )
    assert first == second
    assert first != other
    assert all(content.startswith(b"\xef\xbb\xbf") and b"\r" not in content for content in first)


def test_the_study_obeys_its_instrument(studies: dict[str, pd.DataFrame], line: str) -> None:
    population, frame = demo_population(line), studies[line]
    instrument = population.instrument
    assert frame["respondent"].is_unique
    assert frame["case_id"].is_unique
    assert frame["case_id"].str.fullmatch(rf"{population.code}-20\d\dQ\d-\d{{4}}").all()
    for code in instrument.item_codes:
        assert set(frame[code].dropna()) <= {*range(1, 8), 9}
        assert set(frame[code + "_e"].dropna()) <= set(range(1, 8))
    for outcome in instrument.outcomes:
        assert frame[outcome.code].dropna().between(outcome.scale.minimum, outcome.scale.maximum).all()
    for group in instrument.groups:
        assert set(frame[group.code]) == set(group.values)
    counts = frame.groupby("quarter").size()
    assert list(counts.index) == list(QUARTERS)
    assert counts.between(380, 430).all()
    assert (frame[instrument.item_codes] == 9).sum().sum() > 0
    assert 0.01 < frame[instrument.item_codes].isna().to_numpy().mean() < 0.05
    assert 60 <= frame["comment"].notna().sum() <= 200
    assert frame["comment"].str.contains("[\u4e00-\u9fff]", na=True).mean() < 1


def test_points_sum_to_the_total(studies: dict[str, pd.DataFrame], line: str) -> None:
    points = studies[line].filter(like="imp_").dropna(how="all")
    complete = points.dropna()
    assert (complete.sum(axis=1) == 100).all()
    assert (complete >= 0).all(axis=None)
    mean = complete.mean() / 100
    expected = pd.Series(demo_population(line).importance).add_prefix("imp_")
    assert (mean - expected).abs().max() < 0.01


def test_one_group_is_too_small_to_show(studies: dict[str, pd.DataFrame], line: str) -> None:
    counts = pd.crosstab(studies[line]["quarter"], studies[line]["size"])
    assert counts["micro"].between(1, 9).all()
    assert (counts.drop(columns="micro") >= 30).all(axis=None)


def test_careless_respondents_are_fast_and_flat(population: Population) -> None:
    frame = simulate_responses(population, 4000, quarter="2026Q1", rng=5, careless=0.1, missing=0)
    fast = frame["duration"] < 200
    assert abs(fast.mean() - 0.1) < 0.02
    ratings = frame[population.instrument.item_codes]
    flat = ratings.eq(ratings["exp1"], axis=0).all(axis=1)
    assert abs(flat[fast].mean() - 0.6) < 0.1
    assert flat[~fast].mean() < 0.01


def test_answers_complete_and_careful_on_request(population: Population) -> None:
    frame = simulate_responses(population, 500, quarter="2026Q1", rng=5, careless=0, missing=0)
    assert frame.drop(columns="comment").notna().all(axis=None)
    assert frame["duration"].min() >= 240


def test_unknown_quarter_line_and_group_are_refused() -> None:
    population = demo_population("corporate_lending")
    with pytest.raises(InputError, match="2026Q3, found '2027Q1'"):
        simulate_responses(population, 10, quarter="2027Q1", rng=1)
    with pytest.raises(InputError, match="found 'inst_z'"):
        population.truth(quarter="2026Q3", institution="inst_z")
    with pytest.raises(InputError, match="found 'mortgages'"):
        demo_population("mortgages")


def test_a_group_without_effect_has_the_truth_of_the_whole(population: Population, truth: Truth) -> None:
    pd.testing.assert_series_equal(population.truth(quarter="2026Q2", region="east").index, truth.index)


def test_largest_remainder() -> None:
    points = round_to_total(np.array([[33.4, 33.3, 33.3], [0.5, 0.5, 99.0], [10.0, 20.0, 70.0]]))
    assert points.tolist() == [[34, 33, 33], [1, 0, 99], [10, 20, 70]]


SIMPLE = {
    "one symmetric": simple_population(6),
    "one skewed": simple_population(4, skewed=True, categories=5, loadings=(0.5, 0.6, 0.7, 0.8)),
    "four skewed": simple_population(5, dimensions=4, skewed=True, loadings=0.75),
    "own thresholds": simple_population(3, thresholds=(-1.2, 0.1, 0.4)),
    "yes or no": simple_population(8, categories=2),
}


@pytest.mark.parametrize("simple", SIMPLE.values(), ids=SIMPLE.keys())
def test_simple_truth_is_recovered(simple: SimplePopulation) -> None:
    draws = simple.sample(400, 500, rng=3)
    assert draws.shape == (400, 500, len(simple.loadings))
    assert draws.dtype.kind == "i"
    assert (draws.min(), draws.max()) == (1, simple.categories)
    means = draws.mean(axis=1)
    error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    assert (np.abs(means.mean(axis=0) - simple.mean) < Z * error).all()
    covariances = np.array([np.cov(d.T) for d in draws])
    error = covariances.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(covariances.mean(axis=0) - simple.covariance) < (Z + 0.5) * error).all()
    index = (means - 1) @ simple.scoring
    error = index.std(axis=0, ddof=1) / np.sqrt(len(index))
    assert (np.abs(index.mean(axis=0) - simple.index) < Z * error).all()


@pytest.mark.parametrize("simple", SIMPLE.values(), ids=SIMPLE.keys())
def test_simple_alpha_is_recovered(simple: SimplePopulation) -> None:
    # Alpha of a sample is slightly biased: parts of 10,000 keep that below the Monte Carlo error.
    draws = simple.sample(40, 10_000, rng=4)
    for d, expected in enumerate(simple.alpha):
        parts = np.array([alpha(x[:, simple.membership == d]) for x in draws])
        assert abs(parts.mean() - expected) < Z * parts.std(ddof=1) / np.sqrt(len(parts))


def test_symmetric_cuts_give_the_middle_of_the_scale() -> None:
    np.testing.assert_allclose(simple_population(5, dimensions=2).index, 50)
    assert simple_population(5, skewed=True).index[0] > 65


def test_simple_population_as_responses() -> None:
    simple = simple_population(5, dimensions=4)
    answers = simple.responses(50, rng=1)
    assert answers.instrument.dimension_codes == ["D1", "D2", "D3", "D4"]
    assert len(answers) == 50
    np.testing.assert_array_equal(answers.items, simple.sample(1, 50, rng=1)[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"items": 1},
        {"items": 3, "loadings": (0.5, 0.6)},
        {"items": 3, "loadings": 1.0},
        {"items": 3, "thresholds": (0.5, 0.1)},
        {"items": 3, "dimensions": 4, "factor_correlation": -0.6},
    ],
)
def test_impossible_populations_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected"):
        simple_population(**settings)
