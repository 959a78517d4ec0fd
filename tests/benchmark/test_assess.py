"""The whole comparison: the composite against the index's own, its errors, rules, changes, and who is not ranked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.benchmark import ranking
from sqmodel.benchmark.assess import assess_benchmark
from sqmodel.benchmark.assess_case_mix import context_shares
from sqmodel.benchmark.assess_composite import build_composites, gather_parts, indicator_error, profile_tree
from sqmodel.benchmark.assess_field import Field
from sqmodel.benchmark.assess_rules import draw_parts, rule_effects, ruled, ruled_composites
from sqmodel.benchmark.assess_scopes import assess_scopes
from sqmodel.benchmark.assess_standing import assess_standing, earlier_quarters
from sqmodel.benchmark.comparison import (
    HISTORY,
    INDICATORS,
    PEERS,
    SCOPES,
    STANDING,
    WAITING,
    Benchmark,
    Gate,
)
from sqmodel.benchmark.content import Context, Indicator, Submission
from sqmodel.benchmark.profile import Deduction, Floor, Profile, ProfileError, load_profile
from sqmodel.benchmark.ranking import RANKS
from sqmodel.benchmark.simulate import Simulation, simulate_association
from sqmodel.definitions import Text
from sqmodel.errors import InputError
from sqmodel.index.composite import Arrangement, build_composite

QUARTERS = ("2025Q3", "2026Q2", "2026Q3")
RECEIPTS = pd.DataFrame(
    {
        "file": ["a.zip"],
        "institution": ["I1"],
        "quarter": ["2026Q3"],
        "revision": [0],
        "accepted": [True],
        "reason": [""],
    }
)
TITLE = Text(zh="限", en="limit")


def gate(verdict: str = "comparable", biased: tuple[str, ...] = ()) -> Gate:
    table = pd.DataFrame({"institution": list(biased), "observed": 1.0, "bias": 9.0, "fair": -8.0, "withheld": True})
    left_out = pd.DataFrame({"institution": [], "reason": []})
    return Gate(9, 900, "ladder", verdict, "", pd.DataFrame(), pd.DataFrame(), table, left_out)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("lending_association")


@pytest.fixture(scope="module")
def simulated() -> Simulation:
    return simulate_association(12, quarters=QUARTERS, respondents=[300] * 11 + [20], rng=5)


@pytest.fixture(scope="module")
def found(simulated: Simulation, profile: Profile) -> Benchmark:
    return assess(simulated.submissions, profile, simulated)


def assess(submissions: Any, profile: Profile, simulated: Simulation, **options: Any) -> Benchmark:
    options = {"gate": gate(), "draws": 800, "receipts": RECEIPTS, "quarter": "2026Q3", **options}
    return assess_benchmark(submissions, profile, simulated.register, **options)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are shrunken as those of many institutions are."""
    monkeypatch.setattr(ranking, "EXACT", 0)


def now(simulated: Simulation) -> list[Submission]:
    return [s for s in simulated.submissions if s.quarter == "2026Q3"]


def test_composite_as_the_index_has_it(profile: Profile) -> None:
    """Also where indicators are missing: the weights of a branch go to what is left of it."""
    sent = simulate_association(30, missing=0.2, operations=2.5, rng=2).submissions
    tree = profile_tree(profile)
    parts = gather_parts(sent, profile, tree)
    data = pd.DataFrame(parts.values, columns=tree.indicators, index=[s.institution for s in sent])
    assert data.isna().to_numpy().sum() > 20
    known = build_composite(data.assign(thousand_cases=1.0), tree,
                            arrangement=Arrangement(normalise="goalposts", treat=False, scale=(0, 100)))  # fmt: skip
    for branch in known.scores:
        own = build_composites(parts, str(branch), 0.01).score
        np.testing.assert_allclose(own, known.scores[branch], rtol=0, atol=1e-10)
    needed = build_composites(parts, tree.root, 0.8).score
    present = data.notna().mean(axis=1).to_numpy()
    np.testing.assert_array_equal(np.isnan(needed), present < 0.8)
    assert 0 < np.isnan(needed).sum() < 30


def test_no_composite_without_any_of_a_branch(profile: Profile) -> None:
    sent = list(simulate_association(3, rng=2).submissions)
    few = tuple(s for s in sent[0].scores if s.scope != "COM")
    own = tuple(i for i in sent[0].indicators if i.code not in ("test_share", "trained"))
    sent[0] = replace(sent[0], scores=few, score_cov=sent[0].score_cov[:3, :3], indicators=own)
    tree = profile_tree(profile)
    parts = gather_parts(sent, profile, tree)
    assert np.isnan(build_composites(parts, tree.root, 0.6).score).tolist() == [True, False, False]
    assert np.isnan(build_composites(parts, "COM", 0.6).score).tolist() == [True, False, False]
    assert np.isfinite(build_composites(parts, "EXP", 0.6).score).all()


def test_errors_as_of_a_parametric_bootstrap(profile: Profile) -> None:
    sent = simulate_association(5, rng=4).submissions
    tree = profile_tree(profile)
    parts = gather_parts(sent, profile, tree)
    found = build_composites(parts, tree.root, 0.6)
    inside = ~found.cut.any(axis=1)
    assert inside.sum() >= 4
    rng = np.random.default_rng(1)
    draws = np.empty((4000, 5))
    for d in range(4000):
        values = parts.values + parts.se * rng.normal(size=parts.values.shape)
        for i in range(5):
            values[i, list(parts.perceived)] = rng.multivariate_normal(parts.values[i, list(parts.perceived)],
                                                                       parts.cov[i])  # fmt: skip
        draws[d] = build_composites(replace(parts, values=values), tree.root, 0.6).score
    bootstrap = draws.std(axis=0)
    assert found.se[inside] == pytest.approx(bootstrap[inside], rel=0.05)
    errors, drawn = draw_parts(parts, found.slope, profile, draws=20_000, rng=2)
    assert errors.std(axis=0) == pytest.approx(found.se, rel=0.03)
    at = tree.indicators.index("within_limit")
    moved = drawn["within_limit"] - parts.values[:, at]
    covariance = (moved * errors).mean(axis=0)
    assert covariance == pytest.approx(found.slope[:, at] * parts.se[:, at] ** 2, rel=0.2)


def test_at_a_goalpost_errors_are_rather_too_large(profile: Profile) -> None:
    sent = list(simulate_association(3, rng=4).submissions)
    cut = [replace(s, indicators=tuple(i._replace(estimate=8.6, se=0.9) if i.code == "handovers" else i
                                       for i in s.indicators)) for s in sent]  # fmt: skip
    tree = profile_tree(profile)
    parts = gather_parts(cut, profile, tree)
    found = build_composites(parts, tree.root, 0.6)
    k = tree.indicators.index("handovers")
    assert found.cut[:, k].all()
    rng = np.random.default_rng(1)
    values = np.broadcast_to(parts.values, (2000, *parts.values.shape)).copy()
    values[..., k] += 0.9 * rng.normal(size=values.shape[:-1])
    alone = [build_composites(replace(parts, values=v), tree.root, 0.6).score for v in values]
    assert (np.std(alone, axis=0) < np.abs(found.slope[:, k]) * 0.9).all()


def test_a_share_of_none_has_an_error() -> None:
    none = Indicator("a", "share", 40, 0, 0.0, 0.0)
    assert indicator_error(none) == pytest.approx(np.sqrt(2 / 44 * 42 / 44 / 40))
    assert indicator_error(Indicator("a", "rate", 100, 0, 0.0, 0.0)) == pytest.approx(np.sqrt(2) / 100)
    assert indicator_error(Indicator("a", "share", 40, 20, 0.5, 0.2)) == 0.2, "a clustered error is larger"
    assert indicator_error(Indicator("a", "mean", 40, np.nan, 3.0, 0.0)) == 0.0


def test_an_indicator_without_an_error_is_missing(profile: Profile) -> None:
    sent = list(simulate_association(2, rng=4).submissions)
    errors = {"handovers": 0.0, "review_hours": np.nan}
    sent[0] = replace(sent[0], indicators=tuple(i._replace(se=errors.get(i.code, i.se)) for i in sent[0].indicators))
    tree = profile_tree(profile)
    parts = gather_parts(sent, profile, tree)
    assert [c for c, v in zip(tree.indicators, parts.values[0], strict=True) if np.isnan(v)] == list(errors)
    assert np.isfinite(parts.values[1]).all()


def rules(profile: Profile, **change: Any) -> Profile:
    return profile.model_copy(update=change)


def test_floors_and_deductions(profile: Profile) -> None:
    sent = list(simulate_association(4, rng=3).submissions)
    shares = (0.30, 0.5005, 0.4995, 0.9)
    sent = [replace(s, indicators=tuple(i._replace(estimate=p, se=0.01) if i.code == "within_limit" else
                                        i._replace(estimate=0.05 if k == 3 else 0.001, se=0.0001)
                                        if i.code == "complaints" else i for i in s.indicators))
            for k, (s, p) in enumerate(zip(sent, shares, strict=True))]  # fmt: skip
    floor = Floor(indicator="within_limit", below=0.5, cap=20, title=TITLE)
    strict = rules(profile, floors=(floor,))
    tree = profile_tree(strict)
    parts = gather_parts(sent, strict, tree)
    plain = build_composites(parts, tree.root, 0.6)
    found = ruled_composites(parts, plain, strict, draws=2000, rng=1)
    assert found.cap.tolist() == pytest.approx([20, np.nan, 20, np.nan], nan_ok=True)
    assert found.deducted.tolist() == [0, 0, 0, 3]
    assert found.score == pytest.approx([20, plain.score[1], 20, plain.score[3] - 3])
    assert (found.low[0], found.high[0]) == (20, 20), "far below the limit and far above the cap: surely capped"
    assert found.se[0] == plain.se[0]
    assert (found.low[1], found.high[2] > 40) == (20, True), "at the limit nobody knows"
    assert (found.se[1:3] > 10).all()
    assert found.high[3] - found.low[3] == pytest.approx(2 * 1.96 * plain.se[3], rel=0.06)


def test_of_several_caps_the_lowest_after_all_deductions(profile: Profile) -> None:
    floors = tuple(Floor(indicator="within_limit", below=b, cap=c, title=TITLE) for b, c in ((0.7, 70), (0.5, 50)))
    deductions = tuple(Deduction(indicator="complaints", above=a, points=p, title=TITLE) for a, p in ((30, 3), (60, 4)))
    strict = rules(profile, floors=floors, deductions=deductions)
    values = {"within_limit": np.array([0.8, 0.6, 0.4, np.nan]), "complaints": np.array([10.0, 40.0, 80.0, np.nan])}
    cap, points = rule_effects(values, strict, (4,))
    np.testing.assert_array_equal(cap, [np.nan, 70, 50, np.nan])
    np.testing.assert_array_equal(points, [0, 3, 7, 0])
    np.testing.assert_array_equal(ruled(np.array([80.0, 71.0, 90.0, 80.0]), cap, points), [80, 68, 50, 80])
    assert ruled(np.array([2.0]), np.array([np.nan]), np.array([7.0])).tolist() == [0.0]


def test_all_tables_have_their_columns(found: Benchmark) -> None:
    for table, columns in ((found.standing, STANDING), (found.scopes, SCOPES), (found.indicators, INDICATORS),
                           (found.peers, PEERS), (found.history, HISTORY), (found.waiting, WAITING)):  # fmt: skip
        assert list(table) == columns
        assert len(table)
    assert list(found.overall["scope"]) == ["overall", "EXP", "EFF", "RSK", "COM", "perception"]
    assert repr(found) == "<Benchmark 2026Q3: 11 institutions, n=3300, comparable>"
    assert set(found.scopes["scope"]) == {"EXP", "EFF", "RSK", "COM", *(f"perception.{d}" for d in
                                                                        ("EXP", "EFF", "RSK", "COM"))}  # fmt: skip
    assert len(found.waiting) == (12 + 1 + 3) * 4 * 15
    assert found.compared_with == "2025Q3"


def test_json_and_back(found: Benchmark, simulated: Simulation, profile: Profile) -> None:
    text = json.dumps(found.to_json(), sort_keys=True)
    assert json.dumps(Benchmark.from_json(json.loads(text)).to_json(), sort_keys=True) == text
    again = assess(reversed(simulated.submissions), profile, simulated)
    assert json.dumps(again.to_json(), sort_keys=True) == text, "the order of the submissions does not matter"


@pytest.mark.usefixtures("quick")
def test_who_is_not_ranked(found: Benchmark, simulated: Simulation, profile: Profile) -> None:
    last = found.standing.iloc[-1]
    assert (last["institution"], last["n"], last["reason"]) == ("I12", 20, "few respondents")
    figures = [c for c in STANDING if c not in ("institution", "peers", "n", "reason", "funnel")]
    assert last[figures].isna().all()
    assert found.scopes.loc[found.scopes["institution"] == "I12", "score"].isna().all()
    assert "I12" not in set(found.history["institution"])
    sent = now(simulated)
    sent[1] = replace(sent[1], indicators=sent[1].indicators[:2])
    other = assess(sent, profile, simulated, gate=gate("doubtful", ("I03", "I04"))).standing.set_index("institution")
    assert other["reason"].value_counts().to_dict() == {"": 8, "biased answers": 2, "few indicators": 1,
                                                        "few respondents": 1}  # fmt: skip
    assert np.isnan(other.loc["I02", "score"])
    assert other.loc["I03", ["score", "low", "high"]].notna().all()
    assert other.loc["I03", ["rank", "best", "best_all", "adjusted", "shrunken"]].isna().all()
    assert sorted(other["rank"].dropna()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert other["worst_all"].max() == 8


@pytest.mark.parametrize("verdict", ["not comparable", "not assessed"])
@pytest.mark.usefixtures("quick")
def test_without_the_gate_nobody_is_ranked(verdict: str, simulated: Simulation, profile: Profile) -> None:
    found = assess(now(simulated), profile, simulated, gate=gate(verdict))
    assert (found.institutions, found.n) == (0, 0)
    assert set(found.standing["reason"]) == {verdict, "few respondents"}
    assert found.standing[["rank", "best", "worst_all", "band", "adjusted", "shrunken"]].isna().all(axis=None)
    assert found.standing["score"].notna().sum() == 11
    assert found.scopes["best_all"].isna().all()
    assert (found.scopes["standing"] == "").all()
    assert found.overall.loc[0, "mean"] == pytest.approx(found.standing["score"].mean(), abs=1), "of scores as they are"
    assert found.peers.loc[3, "institutions"] == 11


def test_case_mix_takes_clients_into_account(profile: Profile) -> None:
    """Perception alone, large effects of the clients: adjusted scores are close to those of usual clients."""
    sim = simulate_association(80, respondents=400, case_mix=1.2, between=0.1, operations=0.0, rng=3)
    sent = list(sim.submissions)
    sent[7] = replace(sent[7], context=())
    field = Field(tuple(sent), profile, profile_tree(profile), sim.register, gate(), 400)
    found = assess_standing(field, np.random.default_rng(1))
    assert found.terms["term"].str.startswith(("size=", "sector=")).all()
    assert len(found.terms) == 7
    table = found.table
    assert table.loc[7, "reason"] == "no case mix"
    assert np.isnan(table.loc[7, "adjusted"])
    assert np.isfinite(table.loc[7, "score"])
    truth = sim.truth[sim.truth["scope"] == "overall"].set_index("institution").loc[table["institution"]]
    bias = (truth["score"] - truth["adjusted"]).to_numpy()
    moved = (table["score"] - table["adjusted"]).to_numpy()
    known = np.isfinite(moved)
    assert np.corrcoef(bias[known], moved[known])[0, 1] > 0.6
    assert found.score[known].std() < table["score"].std()


def test_shares_that_are_not_told(simulated: Simulation) -> None:
    whole = (Context("size", "large", 0.4), Context("size", "small", 0.6))
    part = (Context("size", "large", 0.4), Context("size", "medium", 0.3))
    sent = [replace(s, context=c) for s, c in zip(now(simulated), (whole, part), strict=False)]
    table = context_shares(sent, ("size",))
    np.testing.assert_array_equal(table, [[0.4, 0.0, 0.6], [0.4, 0.3, np.nan]])
    assert context_shares(sent, ("sector",)).shape == (2, 0)


@pytest.mark.usefixtures("quick")
def test_changes(simulated: Simulation, profile: Profile) -> None:
    assert earlier_quarters("2026Q3") == ("2025Q3", "2026Q2")
    sent = list(simulated.submissions)
    for k, s in enumerate(sent):
        if s.quarter == "2025Q3" and s.institution == "I01":
            sent[k] = replace(s, instrument=s.instrument._replace(digest="f" * 64))
        if s.quarter == "2025Q3" and s.institution == "I02":
            sent[k] = replace(s, indicators=s.indicators[1:])
    found = assess(sent, profile, simulated)
    table = found.standing.set_index("institution")
    assert table.loc[["I01", "I02", "I12"], "change"].isna().all()
    assert ("changes are not told of 2 institutions: their questionnaire or their indicators are not those of 2025Q3"
            in found.notes)  # fmt: skip
    past = found.history.set_index(["institution", "quarter"])
    a, b = past.loc[("I05", "2026Q3")], past.loc[("I05", "2025Q3")]
    row = table.loc["I05"]
    assert row["score"] == a["score"]
    assert row["low"] == a["low"]
    assert row["change"] == pytest.approx(a["score"] - b["score"])
    assert row["change_high"] - row["change"] == pytest.approx(1.959964 * np.hypot(a["se"], b["se"]))
    later = assess([s for s in sent if s.quarter != "2025Q3"], profile, simulated)
    assert later.compared_with == "2026Q2"
    assert later.standing["change"].notna().sum() == 11
    assert assess(now(simulated), profile, simulated).compared_with == ""


@pytest.mark.usefixtures("quick")
def test_scores_do_not_depend_on_who_else_submits(found: Benchmark, simulated: Simulation, profile: Profile) -> None:
    few = assess(now(simulated)[:4], profile, simulated)
    columns = ["institution", "score", "deducted"]
    pd.testing.assert_frame_equal(few.standing[columns], found.standing[columns].iloc[:4])
    assert few.standing["se"].to_numpy() == pytest.approx(found.standing["se"].iloc[:4].to_numpy(), rel=0.1)


def test_too_few_institutions_have_no_figures_together(simulated: Simulation, profile: Profile) -> None:
    found = assess(now(simulated)[:2], profile, simulated)
    figures = [c for c in found.overall if c not in ("scope", "institutions")]
    assert found.overall[figures].isna().all(axis=None)
    assert found.peers[["n", "mean", "low", "high", "tau", "i2"]].isna().all(axis=None)
    assert set(found.peers["withheld"]) == {"minimum institutions"}
    assert found.indicators[["overall", "peers", "best_practice", "lower_limit"]].isna().all(axis=None)
    assert set(found.waiting["scope"]) == {"I01", "I02"}
    assert set(found.withheld["table"]) == {"standing", "overall", "indicators", "peers", "waiting"}
    together = ["median", "peers_median", "best_practice", "distance", "best_all", "worst_all"]
    assert found.scopes[together].isna().all(axis=None)
    # Of two each would learn the other's place from its own.
    assert (found.institutions, found.n) == (0, 0)
    assert found.standing["reason"].tolist() == ["few institutions"] * 2
    of_all = ["adjusted", "shrunken", *RANKS]
    assert found.standing[of_all].isna().all(axis=None)
    assert found.standing["funnel"].tolist() == ["", ""]
    assert found.standing[["score", "low", "high"]].notna().all(axis=None), "their own figures they have"
    assert ("standing", "overall", "minimum institutions") in set(found.withheld.itertuples(index=False, name=None))


def test_waiting_is_weighted_by_cases(found: Benchmark, simulated: Simulation) -> None:
    table = found.waiting.set_index(["scope", "stage", "hours"])
    points = [p for s in now(simulated) for p in s.waiting if (p.stage, p.hours) == ("credit_approval", 24.0)]
    n = np.array([p.n for p in points])
    row = table.loc[("overall", "credit_approval", 24.0)]
    assert row["waiting"] == pytest.approx(n @ [p.waiting for p in points] / n.sum())
    assert row["institutions"] == 12
    se = np.sqrt(n**2 @ np.array([p.se for p in points]) ** 2) / n.sum()
    assert row["high"] - row["low"] == pytest.approx(2 * 1.959964 * se, rel=0.02)
    assert (found.waiting["low"] <= found.waiting["waiting"]).all()
    assert (found.waiting["waiting"] <= found.waiting["high"]).all()
    assert len(set(found.waiting["scope"]) & {"peers:national", "peers:city", "peers:rural"}) == 3


@pytest.mark.usefixtures("quick")
def test_a_peer_group_that_is_mostly_one_institution(profile: Profile) -> None:
    """Its respondents and waiting times are nearly that institution's; another group has to hide what is left."""
    sim = simulate_association(12, respondents=[5000, *[200] * 11], indicators=True, rng=5)
    dominated = rules(profile, disclosure=profile.disclosure.model_copy(update={"dominance": (1, 80.0)}))
    sent = list(sim.submissions)
    sent[0] = replace(sent[0], waiting=tuple(p._replace(n=20 * p.n) for p in sent[0].waiting))
    found = assess(sent, dominated, sim)
    peers = found.peers.set_index("peers")
    assert peers["withheld"].to_dict() == {"national": "dominance", "city": "secondary", "rural": "", "overall": ""}
    assert peers.loc[["national", "city"], ["n", "mean", "low", "high", "tau", "i2"]].isna().all(axis=None)
    assert peers.loc["rural", "n"] == 800
    assert peers.loc["overall", "n"] == 7200
    stage = set(found.waiting.loc[found.waiting["stage"] == "credit_approval", "scope"])
    assert "overall" in stage
    assert "peers:national" not in stage
    assert len(stage & {"peers:city", "peers:rural"}) == 1
    cells = found.withheld.set_index(["table", "cell"])["rule"]
    assert cells["peers", "national"] == cells["waiting", "peers:national credit_approval"] == "dominance"


@pytest.mark.usefixtures("quick")
def test_an_hour_that_one_lacks_leaves_it_out_of_the_pooled_table(simulated: Simulation, profile: Profile) -> None:
    sent = now(simulated)
    sent[0] = replace(sent[0], waiting=tuple(p for p in sent[0].waiting
                                             if (p.stage, p.hours) != ("credit_approval", 24.0)))  # fmt: skip
    found = assess(sent, profile, simulated)
    table = found.waiting[found.waiting["scope"] == "overall"]
    assert set(table.loc[table["stage"] == "credit_approval", "institutions"]) == {11}
    assert set(table.loc[table["stage"] != "credit_approval", "institutions"]) == {12}


def test_indicators_in_the_units_of_the_tree(found: Benchmark, simulated: Simulation) -> None:
    table = found.indicators.set_index(["institution", "indicator"])
    sent = {i.code: i for i in now(simulated)[3].indicators}
    row = table.loc[("I04", "complaints")]
    assert row["value"] == pytest.approx(1000 * sent["complaints"].estimate)
    assert row["low"] < row["value"] < row["high"]
    assert row["best_practice"] < row["overall"], "less is better"
    assert table.loc[("I04", "within_limit"), "best_practice"] > table.loc[("I04", "within_limit"), "overall"]
    assert (table["lower_limit"] < table["overall"]).all()
    assert (table["overall"] < table["upper_limit"]).all()
    assert set(table["funnel"]) <= {"within", "above", "far above", "below", "far below"}
    truth = simulated.operations[simulated.operations["quarter"] == "2026Q3"].set_index(["institution", "indicator"])
    scale = np.where(table.index.get_level_values(1) == "complaints", 1000, 1)
    expected = truth["value"].reindex(table.index).to_numpy() * scale
    assert ((table["low"] <= expected) & (expected <= table["high"])).mean() == pytest.approx(0.95, abs=0.07)


def test_equal_institutions_have_neither_strengths_nor_outliers(profile: Profile) -> None:
    strong, outside, best = 0, 0, 0
    for seed in range(12):
        sim = simulate_association(20, respondents=300, between=0.0, operations=0.0, case_mix=0.0, waiting=False,
                                   rng=seed)  # fmt: skip
        own, rng = rules(profile, case_mix=()), np.random.default_rng(seed)
        field = Field(sim.submissions, own, profile_tree(own), sim.register, gate(), 400)
        standing = assess_standing(field, rng)
        scopes = assess_scopes(field, standing, rng)[1]
        strong += int(scopes.groupby("institution")["standing"].agg(lambda s: (s != "").any()).sum())
        outside += int(standing.table["funnel"].str.startswith("far").sum())
        best += int((standing.table["worst_all"] == 1).any())
    assert strong <= 240 * 0.05 + 3 * np.sqrt(240 * 0.05)
    assert outside <= 4
    assert best <= 2


def test_distances_to_the_best_practice(found: Benchmark) -> None:
    table = found.scopes[found.scopes["score"].notna()]
    np.testing.assert_allclose(table["distance"], table["best_practice"] - table["score"])
    assert (table["distance_low"] < table["distance"]).all()
    width = (table["distance_high"] - table["distance_low"]) / (table["high"] - table["low"])
    assert width[table["distance"] > 2].between(0.6, 3).all()
    assert (width > 0).all()
    one = table[table["scope"] == "EXP"]
    assert set(one["best_practice"]) == {one["best_practice"].iloc[0]}
    assert one["median"].iloc[0] < one["best_practice"].iloc[0] < one["score"].max()


def test_what_is_refused(simulated: Simulation, profile: Profile) -> None:
    with pytest.raises(InputError) as caught:
        assess(now(simulated), profile, simulated, quarter="2026Q1")
    assert str(caught.value) == "submissions: 1 problem\n  - expected submissions of 2026Q1, found none"
    with pytest.raises(InputError) as caught:
        assess([*now(simulated), *now(simulated)[:2]], profile, simulated)
    assert str(caught.value) == (
        "submissions: 2 problems\n"
        "  - expected one submission an institution and quarter, found 2 of I01 2026Q3\n"
        "  - expected one submission an institution and quarter, found 2 of I02 2026Q3"
    )
    mixed = [replace(s, simulated=k > 0) for k, s in enumerate(now(simulated))]
    with pytest.raises(InputError) as caught:
        assess(mixed, profile, simulated)
    assert str(caught.value) == (
        "submissions: 1 problem\n"
        "  - expected submissions that are all of real answers or all simulated, found 11 simulated among 12"
    )
    wrong = rules(profile, operations={k: v for k, v in profile.operations.items() if k != "trained"} | {"x": "y"})
    with pytest.raises(ProfileError) as caught:
        assess(now(simulated), wrong, simulated)
    known = "experience, repeated, handovers, efficiency, review_hours, within_limit, feedback, complaints, " \
            "warning_precision, competence, test_share, trained"  # fmt: skip
    assert str(caught.value) == (
        "lending_association: 2 problems\n"
        f"  - operations.x: expected an indicator of lending_index ({known}), found 'y'\n"
        "  - tree: expected every indicator in `perception` or `operations`, found nothing for 'trained'\n"
        "  What to do: correct the profile or its tree"
    )


def test_the_gate_is_asked_where_none_is_given(profile: Profile) -> None:
    sim = simulate_association(3, rng=3)
    found = assess(sim.submissions, profile, sim, gate=None)
    assert found.gate.institutions == 3
    assert found.gate.verdict in ("comparable", "partial")
    assert found.standing["rank"].notna().all()
