"""Risk models and early warning on a page: do they tell who fails, and do warnings come in time?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.operations.early_warning import AlertAssessment, GradeAssessment
from sqmodel.reporting.blocks import Block, Cell, details, paragraph, table
from sqmodel.reporting.words import coefficient, coefficients, interval, known_as, listed, number, percent, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page

TONES = {"useful": "ok", "useless": "bad", "too few": "warn"}


def warnings(page: Page) -> Block | None:
    """Discrimination, calibration and stability of the grades; precision, recall and lead time of the alerts."""
    grades, alerts = page.operations.grades, page.operations.alerts
    if grades is None and alerts is None:
        return None
    parts = []
    if alerts is not None:
        parts += [paragraph(_announced(alerts), "say"), *(paragraph(t) for t in _judged(alerts)), _rules(page, alerts)]
        parts.append(paragraph(say("alerts_note", horizon=number(page.study.alert_horizon, 0)), "mute"))
    if grades is not None:
        parts += [paragraph(text) for text in (_discrimination(grades), *_calibration(grades), *_stability(grades))]
        parts.append(details(say("grades_details"), _grades(grades)))
    return Block("".join(parts), "warnings")


def _announced(found: AlertAssessment) -> Text:
    """Which defaults were announced, and how long before."""
    row: Any = found.together.iloc[0]
    if not found.events:
        return say("alerts_no_events", n=f"{found.n:,}")
    values: dict[str, Any] = {"events": found.events, "interval": _bounds(row, "recall", 0)}
    if not row["caught"]:
        return say("alerts_missed", **values)
    return say("alerts_say", recall=percent(row["recall"]), lead=number(row["lead_days"], 0), **values)


def _judged(found: AlertAssessment) -> list[Text]:
    """Which rules warn no better than chance, and of which that cannot be said."""
    verdicts = found.rules["verdict"]
    if len(verdicts) and (verdicts == "useful").all():
        return [say("alerts_useful")]
    groups = {"alerts_useless": found.useless, "alerts_few": [str(r) for r in verdicts.index[verdicts == "too few"]]}
    return [say(key, list=listed(known_as("alert", r) for r in rules)) for key, rules in groups.items() if rules]


def _bounds(row: Any, name: str, digits: int) -> Text:
    return interval(100 * row[f"{name}_low"], 100 * row[f"{name}_high"], digits)


def _rules(page: Page, found: AlertAssessment) -> str:
    headers = [say(k) for k in ("col_alert_rule", "col_alerts", "col_precision", "col_interval", "col_recall",
                                "col_lead", "col_verdict")]  # fmt: skip
    rows = []
    for code, row in found.rules.iterrows():
        shown = (plain(int(row["alerts"])), plain(percent(row["precision"])), _bounds(row, "precision", 0),
                 plain(percent(row["recall"])), plain(number(row["lead_days"], 0)))  # fmt: skip
        verdict = str(row["verdict"])
        cells = [Cell(known_as("alert", str(code))), *(Cell(v, right=True) for v in shown)]
        rows.append([*cells, Cell(say(f"alerts_verdict_{verdict.replace(' ', '_')}"), tone=TONES[verdict])])
    return table(headers, rows, caption=say("alerts_caption", level=percent(page.study.level)))


def _discrimination(found: GradeAssessment) -> Text:
    own = found.discrimination[found.discrimination["statistic"] == "auc"]
    row: Any = own.sort_values("score", ascending=False, kind="stable").iloc[0]
    if math.isnan(row["estimate"]):
        return say("grades_few", n=f"{found.n:,}", events=found.events)
    bounds = coefficients(row["low"], row["high"])
    return say("grades_auc", n=f"{found.n:,}", events=found.events, auc=coefficient(row["estimate"]), interval=bounds)


def _calibration(found: GradeAssessment) -> list[Text]:
    """Whether as many failed as was expected."""
    if "observed_to_expected" not in found.calibration.index:
        return []
    row: Any = found.calibration.loc["observed_to_expected"]
    if math.isnan(row["low"]):
        return []
    key = "fewer" if row["high"] < 1 else "more" if row["low"] > 1 else "as_expected"
    return [say(f"grades_{key}", ratio=number(row["estimate"], 2), interval=interval(row["low"], row["high"], 2))]


def _stability(found: GradeAssessment) -> list[Text]:
    if found.stability.empty:
        return []
    changed = found.stability[found.stability["verdict"] == "changed"]
    if changed.empty:
        return [say("grades_stable")]
    periods = ", ".join(dict.fromkeys(str(p) for p in changed["period"]))
    return [say("grades_changed", periods=periods, psi=number(changed["psi"].max(), 2))]


def _grades(found: GradeAssessment) -> str:
    headers = [say(k) for k in ("col_grade", "col_n", "col_events", "col_rate", "col_interval", "col_expected",
                                "col_verdict")]  # fmt: skip
    return table(headers, [_grade(str(code), row) for code, row in found.grades.iterrows()])


def _grade(code: str, row: pd.Series) -> list[Cell]:
    bounds = interval(100 * row["low"], 100 * row["high"])
    shown = (plain(int(row["n"])), plain(int(row["events"])), plain(percent(row["rate"], 1)), bounds,
             plain(percent(row["expected"], 1)))  # fmt: skip
    verdict = str(row["verdict"])
    said = say(f"grade_{verdict.replace(' ', '_')}") if verdict else plain("")
    tone = "" if verdict in ("", "as expected") else "warn"
    return [Cell(plain(code)), *(Cell(v, right=True) for v in shown), Cell(said, tone=tone)]
