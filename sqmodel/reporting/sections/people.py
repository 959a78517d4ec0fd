"""Advisers on a page: knowledge, training, conduct, and what their clients feel; no single adviser is named."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sqmodel.definitions import Text
from sqmodel.operations.staff import AdviserAssessment, ChecklistScores, TestAssessment, TrainingAssessment
from sqmodel.reporting.blocks import Block, Cell, paragraph, table
from sqmodel.reporting.words import coefficient, coefficients, interval, number, percent, plain, say, signed

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page

GOOD_TEST = 0.7
"""KR-20 from which a test tells advisers apart well enough to compare groups (Nunnally and Bernstein 1994)."""


def people(page: Page) -> Block | None:
    """Knowledge tests, training, inspections and effects of advisers."""
    found = page.operations
    parts: list[str] = []
    if found.tests is not None:
        parts += [paragraph(_change(found.tests), "say"), paragraph(_reliability(found.tests))]
    if found.training is not None:
        parts.append(paragraph(_trained(found.training)))
    if found.inspections is not None:
        parts.append(paragraph(_inspected(found.inspections)))
    if found.advisers is not None:
        parts.append(paragraph(_differ(found.advisers)))
    rows = [*_courses(page), *_checks(page)]
    if rows:
        headers = [say(k) for k in ("col_requirement", "col_n", "col_met", "col_interval")]
        parts.append(table(headers, rows))
    return Block("".join(parts), "people") if parts else None


def _bounds(low: Any, high: Any) -> Text:
    return interval(100 * low, 100 * high, 0)


def _change(found: TestAssessment) -> Text:
    change = found.change
    if change is None:
        return say("tests_one_session", n=found.n)
    key = "tests_rose" if change.low > 0 else "tests_fell" if change.high < 0 else "tests_same"
    return say(key, n=change.n, change=signed(100 * change.value, 0),
               interval=interval(100 * change.low, 100 * change.high, 0, sign=True))  # fmt: skip


def _reliability(found: TestAssessment) -> Text:
    last: Any = found.sessions.iloc[-1]
    if math.isnan(last["kr20"]):
        return say("tests_alike")
    poor = int((found.items.loc[found.items["session"] == found.sessions.index[-1], "verdict"] != "").sum())
    key = "tests_reliable" if last["kr20_low"] >= GOOD_TEST else "tests_doubtful"
    bounds = coefficients(last["kr20_low"], last["kr20_high"])
    return say(key, kr20=coefficient(last["kr20"]), interval=bounds, poor=poor, items=int(last["k"]))


def _trained(found: TrainingAssessment) -> Text:
    row: Any = found.courses.iloc[-1]
    given = found.settings["within_months"]
    months = set(given.values()) if isinstance(given, dict) else {given}
    values: dict[str, Any] = {
        "n": found.n,
        "share": percent(row["share"]),
        "interval": _bounds(row["low"], row["high"]),
    }
    if len(months) > 1 or 0 in months:
        return say("training_each", **values)
    return say("training_say", months=number(months.pop(), 0), **values)


def _inspected(found: ChecklistScores) -> Text:
    own = found.agreement[(found.agreement["scope"] == "all checks") & (found.agreement["statistic"] == "gwet_ac1")]
    values: dict[str, Any] = {"visits": found.visits, "score": percent(found.score.value),
                              "interval": _bounds(found.score.low, found.score.high)}  # fmt: skip
    if own.empty or math.isnan(own["estimate"].iloc[0]):
        return say("inspections_alone", **values)
    row: Any = own.iloc[0]
    bounds = coefficients(row["low"], row["high"])
    return say("inspections_say", agreement=coefficient(row["estimate"]), agreement_interval=bounds, **values)


def _differ(found: AdviserAssessment) -> Text:
    bands = found.advisers["band"].value_counts()
    values: dict[str, Any] = {"share": percent(found.share.value), "n": f"{found.n:,}",
                              "interval": _bounds(found.share.low, found.share.high)}  # fmt: skip
    values |= {"advisers": int(bands.sum()), "above": int(bands.get("above", 0)), "below": int(bands.get("below", 0))}
    return say("advisers_say", **values)


def _courses(page: Page) -> list[list[Cell]]:
    found, standard = page.operations.training, page.operations.standard
    if found is None:
        return []
    titles = {c.code: c.title for c in standard.training} if standard is not None else {}
    every = found.courses.iloc[:-1]
    return [_row(titles.get(str(c), plain(c)), found.n, r["share"], r["low"], r["high"]) for c, r in every.iterrows()]


def _checks(page: Page) -> list[list[Cell]]:
    found, standard = page.operations.inspections, page.operations.standard
    if found is None:
        return []
    titles = {c.code: c.title for c in standard.conduct} if standard is not None else {}
    return [
        _row(titles.get(str(c), plain(c)), int(r["n"]), r["passed"], r["low"], r["high"])
        for c, r in found.checks.sort_values("passed", kind="stable").iterrows()
    ]


def _row(name: Text, n: int, share: Any, low: Any, high: Any) -> list[Cell]:
    numbers = (plain(n), plain(percent(share)), _bounds(low, high))
    return [Cell(name), *(Cell(v, right=True) for v in numbers)]
