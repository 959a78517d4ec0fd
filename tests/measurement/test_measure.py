"""The waist: each rule of the ledger, row by row, and what is said where a measure fails."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import InputError, UnfitMeasureError
from sqmodel.measurement.comparability import EFFECTS, VARIABLES, Comparability
from sqmodel.measurement.confirmatory import PARAMETERS, Confirmation
from sqmodel.measurement.exploratory import DECIDING, explore
from sqmodel.measurement.measure import LEDGER, Measure, load_criteria, qualify
from sqmodel.measurement.reliability import assess_reliability
from sqmodel.survey.screening import screen
from sqmodel.survey.simple_population import simple_population
from tests.index.surveys import quarter, responses

NOTHING = (math.nan, math.nan)


class Evidence:
    """Hand-made evidence: the few fields that the rules read."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def share_excluded(self, quarter: str) -> float:
        return float(self.__dict__["excluded"].mean())

    def interval(self, scale: str, coefficient: str) -> tuple[float, float]:
        bounds: dict[tuple[str, str], tuple[float, float]] = self.__dict__["intervals"]
        return bounds[scale, coefficient]


def reliability(item_rest: float = 0.5, **scales: tuple[float, float, float]) -> Any:
    """Alpha by scale as (value, low, high); omega the same."""
    values = {code: v for code, (v, _, _) in scales.items()}
    table = pd.DataFrame({"alpha": values, "omega": values})
    bounds = {(code, c): (low, high) for code, (_, low, high) in scales.items() for c in ("alpha", "omega")}
    return Evidence(
        coefficients=table, intervals=bounds, items=pd.DataFrame({"item_rest": {"e1": 0.9, "f2": item_rest}})
    )


def exploration(kmo: float = 0.8, pvalue: float = 0.001, n_factors: int = 3) -> Any:
    return Evidence(
        kmo_overall=kmo,
        bartlett=pd.DataFrame({"chisq": [1.0], "df": 3, "pvalue": pvalue}),
        suggestions=pd.DataFrame({"n_factors": {DECIDING: n_factors}}),
    )


def screening(excluded: int, n: int = 100) -> Any:
    return Evidence(excluded=pd.Series(np.arange(n) < excluded))


GOOD = (0.85, 0.80, 0.90)


def confirmation(cfi: float = 0.95, rmsea: float = 0.05, proper: bool = True) -> Confirmation:
    fit = {"cfi": cfi, "rmsea": rmsea, "rmsea.ci.lower": rmsea - 0.01, "rmsea.ci.upper": rmsea + 0.01, "srmr": 0.05}
    return Confirmation(120, {}, fit, pd.DataFrame(columns=PARAMETERS), True, proper, True, ())


def comparability(delta_cfi: float = -0.002, status: str = "comparable") -> Comparability:
    found = dict.fromkeys(VARIABLES, "") | {"group": "size", "status": status, "delta_cfi": delta_cfi}
    return Comparability(120, {}, pd.DataFrame([found], columns=VARIABLES), pd.DataFrame(columns=EFFECTS))


def judged(n: int = 120, frame: pd.DataFrame | None = None, **evidence: Any) -> Measure:
    given: dict[str, Any] = {
        "reliability": reliability(EXP=GOOD, EFF=GOOD, RSK=GOOD),
        "exploration": exploration(),
        "screening": screening(5),
        "confirmation": confirmation(),
        "comparability": comparability(),
    }
    return qualify(responses(quarter(n, 1) if frame is None else frame), quarter="2026Q3", **(given | evidence))


def row(measure: Measure, criterion: str, scope: str = "all") -> dict[str, Any]:
    ledger = measure.ledger
    (found,) = ledger[(ledger["criterion"] == criterion) & (ledger["scope"] == scope)].to_dict("records")
    return found


def test_good_evidence_is_published() -> None:
    measure = judged()
    assert measure.verdict == "publish"
    assert set(measure.ledger["verdict"]) == {"met"}
    assert list(measure.ledger.columns) == LEDGER
    assert repr(measure) == "<Measure small 2026Q3: publish (20 met)>"
    assert measure.problems.empty
    measure.require()


@pytest.mark.parametrize(("n", "verdict"), [(99, "failed"), (100, "met"), (101, "met")])
def test_sample_size(n: int, verdict: str) -> None:
    found = row(judged(n), "sample_size")
    assert (found["value"], found["threshold"], found["verdict"], found["required"]) == (n, 100, verdict, False)


@pytest.mark.parametrize(("n", "verdict"), [(29, "failed"), (30, "met")])
def test_respondents_per_item(n: int, verdict: str) -> None:
    found = row(judged(n), "respondents_per_item")
    assert (found["value"], found["verdict"]) == (pytest.approx(n / 6), verdict)


@pytest.mark.parametrize(("blank", "verdict"), [(72, "met"), (73, "failed")])
def test_missing_answers(blank: int, verdict: str) -> None:
    frame = quarter(120, 1)
    frame.loc[: blank - 1, "e1"] = np.nan
    found = row(judged(frame=frame), "missing")
    assert (found["value"], found["verdict"]) == (pytest.approx(blank / 720), verdict)


@pytest.mark.parametrize(("excluded", "verdict"), [(15, "met"), (16, "failed")])
def test_careless_answers(excluded: int, verdict: str) -> None:
    found = row(judged(screening=screening(excluded)), "careless")
    assert (found["value"], found["verdict"]) == (excluded / 100, verdict)


@pytest.mark.parametrize(("kmo", "verdict"), [(0.59, "failed"), (0.60, "met")])
def test_kmo_is_required(kmo: float, verdict: str) -> None:
    measure = judged(exploration=exploration(kmo=kmo))
    assert row(measure, "kmo")["verdict"] == verdict
    assert measure.verdict == ("reject" if verdict == "failed" else "publish")


@pytest.mark.parametrize(("pvalue", "verdict"), [(0.05, "met"), (0.051, "failed")])
def test_bartlett_is_required(pvalue: float, verdict: str) -> None:
    measure = judged(exploration=exploration(pvalue=pvalue))
    assert row(measure, "bartlett")["verdict"] == verdict
    assert measure.verdict == ("reject" if verdict == "failed" else "publish")


@pytest.mark.parametrize(
    ("factors", "value", "verdict"), [(3, 0, "met"), (2, 1, "met"), (1, 2, "failed"), (5, 2, "failed")]
)
def test_dimensionality_is_a_reservation(factors: int, value: int, verdict: str) -> None:
    measure = judged(exploration=exploration(n_factors=factors))
    found = row(measure, "dimensionality")
    assert (found["value"], found["verdict"]) == (value, verdict)
    assert measure.verdict == ("reservations" if verdict == "failed" else "publish")


@pytest.mark.parametrize(
    ("alpha", "verdict", "whole"),
    [
        ((0.80, 0.75, 0.85), "met", "publish"),
        ((0.70, 0.70, 0.75), "met", "publish"),
        ((0.72, 0.65, 0.78), "doubtful", "reservations"),
        ((0.70, 0.60, 0.74), "doubtful", "reservations"),
        ((0.68, 0.60, 0.74), "failed", "reject"),
        ((0.60, 0.50, 0.69), "failed", "reject"),
        ((0.60, *NOTHING), "failed", "reject"),
        ((0.75, *NOTHING), "met", "publish"),
    ],
)
def test_alpha_and_omega_are_judged_by_their_intervals(
    alpha: tuple[float, float, float], verdict: str, whole: str
) -> None:
    measure = judged(reliability=reliability(EXP=GOOD, EFF=alpha, RSK=GOOD))
    assert row(measure, "alpha", "EFF")["verdict"] == row(measure, "omega", "EFF")["verdict"] == verdict
    assert row(measure, "alpha", "EXP")["verdict"] == "met"
    assert measure.verdict == whole


@pytest.mark.parametrize(("lowest", "verdict"), [(0.30, "met"), (0.29, "failed"), (-0.5, "failed")])
def test_lowest_item_rest_correlation_names_its_item(lowest: float, verdict: str) -> None:
    measure = judged(reliability=reliability(lowest, EXP=GOOD))
    found = row(measure, "item_rest", "f2")
    assert (found["value"], found["verdict"]) == (lowest, verdict)


@pytest.mark.parametrize(("at_top", "verdict"), [(18, "met"), (19, "failed")])
def test_scores_at_an_end_of_the_scale(at_top: int, verdict: str) -> None:
    frame = quarter(120, 1)
    frame[["f1", "f2"]] = 4.0
    frame.loc[: at_top - 1, ["f1", "f2"]] = 7.0
    frame["e1"] = frame["e1"].clip(2, 6)
    frame["r1"] = frame["r1"].clip(2, 6)
    found = row(judged(frame=frame), "floor_ceiling", "EFF")
    assert (found["value"], found["verdict"]) == (pytest.approx(at_top / 120), verdict)


def test_evidence_that_is_not_given_is_not_assessed_and_no_publication() -> None:
    measure = qualify(responses(quarter(120, 1)), quarter="2026Q3")
    open_rows = measure.ledger[measure.ledger["verdict"] == "not assessed"]["criterion"]
    classical = {"careless", "kmo", "bartlett", "dimensionality", "alpha", "omega", "item_rest"}
    assert set(open_rows) == classical | {"proper", "cfi", "rmsea", "srmr", "invariance"}
    assert measure.verdict == "reservations"
    measure.require()


@pytest.mark.parametrize(
    ("evidence", "criterion", "scope", "verdict"),
    [
        ({"confirmation": confirmation(cfi=0.89)}, "cfi", "all", "failed"),
        ({"confirmation": confirmation(rmsea=0.075)}, "rmsea", "all", "doubtful"),
        ({"confirmation": confirmation(proper=False)}, "proper", "all", "failed"),
        ({"comparability": comparability(-0.02, "not comparable")}, "invariance", "size", "failed"),
        ({"comparability": comparability(-0.002)}, "invariance", "size", "met"),
    ],
)
def test_confirmatory_evidence(evidence: dict[str, Any], criterion: str, scope: str, verdict: str) -> None:
    measure = judged(**evidence)
    assert row(measure, criterion, scope)["verdict"] == verdict
    assert measure.verdict == ("reservations" if verdict == "failed" else "publish")


def test_problems_are_sorted_by_gravity() -> None:
    measure = judged(
        50, exploration=exploration(kmo=0.5), reliability=reliability(EXP=(0.72, 0.6, 0.8), EFF=GOOD, RSK=GOOD)
    )
    assert measure.problems[["criterion", "verdict", "required"]].to_numpy().tolist() == [
        ["kmo", "failed", True],
        ["alpha", "doubtful", True],
        ["omega", "doubtful", True],
        ["sample_size", "failed", False],
    ]


def test_evidence_is_about_the_current_quarter() -> None:
    measure = qualify(responses(quarter(30, 1, "2026Q2"), quarter(120, 2)), quarter="2026Q3")
    assert row(measure, "sample_size")["value"] == 120
    assert len(measure.current) == 120
    assert len(measure.responses) == 150


def test_overrides_move_thresholds_and_say_so() -> None:
    measure = judged(90, criteria={"sample_size": 80, "kmo": {"threshold": 0.9, "required": False}})
    size, kmo = row(measure, "sample_size"), row(measure, "kmo")
    assert (size["threshold"], size["verdict"]) == (80, "met")
    assert size["source"] == "Gorsuch (1983), Factor Analysis, p. 332 (threshold set in the params)"
    assert (kmo["threshold"], kmo["required"], kmo["verdict"]) == (0.9, False, "failed")
    assert row(measure, "alpha", "EXP")["source"].endswith("p. 245")
    assert measure.verdict == "reservations"


def test_overrides_are_forgotten_afterwards() -> None:
    load_criteria({"alpha": 0.9})
    assert load_criteria()["alpha"]["threshold"] == 0.70


def test_all_problems_of_the_overrides_are_named() -> None:
    with pytest.raises(InputError) as caught:
        load_criteria({"alfa": 0.8, "zzz": 1, "kmo": "high", "omega": {"treshold": 0.8}, "alpha": {"required": "yes"},
                       "missing": True})  # fmt: skip
    assert str(caught.value) == (
        "criteria: 6 problems\n"
        "  - unknown criterion 'alfa'; did you mean 'alpha'?\n"
        "  - unknown criterion 'zzz'\n"
        "  - kmo: expected a number as threshold, found 'high'\n"
        "  - omega: expected threshold or required, found treshold\n"
        "  - alpha: expected true or false as required, found 'yes'\n"
        "  - missing: expected a number as threshold, found True\n"
        "  What to do: use the names in sqmodel/measurement/criteria.yaml"
    )


def test_require_says_what_failed_and_what_to_do() -> None:
    measure = judged(
        50, exploration=exploration(kmo=0.5), reliability=reliability(EXP=(0.5, 0.4, 0.6), EFF=GOOD, RSK=GOOD)
    )
    with pytest.raises(UnfitMeasureError) as caught:
        measure.require()
    assert str(caught.value) == (
        "small 2026Q3: the answers do not support an index\n"
        "  - kmo: expected at least 0.6, found 0.500\n"
        "  - alpha of EXP: expected at least 0.7, found 0.500 [0.400, 0.600]\n"
        "  - omega of EXP: expected at least 0.7, found 0.500 [0.400, 0.600]\n"
        "  What to do: mend the questionnaire or the data; or state in the params why the index is to be shown all "
        'the same (accept: "reason"), and the page prints the reason.'
    )
    with pytest.raises(UnfitMeasureError):
        measure.require("  ")
    measure.require("pilot study, agreed with the board")


def test_dropped_items_are_not_scored() -> None:
    measure = qualify(responses(quarter(60, 1)), drop_items=["f2"])
    assert measure.items == ("e1", "e2", "f1", "r1", "r2")
    assert row(measure, "respondents_per_item")["value"] == 12


def test_unknown_and_last_items_cannot_be_dropped() -> None:
    with pytest.raises(InputError) as caught:
        qualify(responses(quarter(20, 1)), drop_items=["f2", "x1", "x2"])
    assert str(caught.value) == (
        "drop_items: 2 problems\n  - expected items of small, found 'x1'\n  - expected items of small, found 'x2'"
    )
    with pytest.raises(InputError) as caught:
        qualify(responses(quarter(20, 1)), drop_items=["f1", "f2"])
    assert str(caught.value) == "drop_items: 1 problem\n  - expected an item left in dimension 'EFF', found none"


def test_real_evidence_of_a_sound_instrument_is_published() -> None:
    given = simple_population(5, dimensions=3, loadings=0.85, factor_correlation=0.4).responses(400, rng=1)
    measure = qualify(
        given, screening=screen(given), reliability=assess_reliability(given), exploration=explore(given, draws=50)
    )
    assert measure.verdict == "publish", measure.problems


@pytest.mark.filterwarnings("ignore::sqmodel.errors.HeywoodWarning")
def test_real_evidence_of_noise_is_rejected() -> None:
    noise = simple_population(5, dimensions=3, loadings=0.05, factor_correlation=0.1).responses(400, rng=1)
    measure = qualify(noise, reliability=assess_reliability(noise))
    failed = measure.ledger[(measure.ledger["verdict"] == "failed") & measure.ledger["required"]]
    assert set(failed["criterion"]) == {"alpha", "omega"}
    assert measure.verdict == "reject"


def test_html_escapes_and_shows_the_ledger() -> None:
    html = judged()._repr_html_()
    assert "<p><code>&lt;Measure small 2026Q3: publish" in html
    assert html.count("<tr") == 1 + 20


def test_a_dimension_of_which_one_item_is_left_is_not_assessed() -> None:
    measure = qualify(responses(quarter(120, 1)), quarter="2026Q3", reliability=reliability(EXP=GOOD, EFF=GOOD),
                      exploration=exploration(), screening=screening(5), drop_items=["r2"])  # fmt: skip
    assert row(measure, "alpha", "RSK")["verdict"] == "not assessed"
    assert row(measure, "omega", "RSK")["verdict"] == "not assessed"
    assert measure.verdict == "reservations"
