"""Complaints on a page: how many, how fast they were handled, what about, and what changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.operations.complaints import ComplaintAssessment
from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Block, Cell, paragraph, table
from sqmodel.reporting.words import LANGUAGES, interval, known_as, listed, number, percent, plain, quarter, say
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page


def complaints(page: Page) -> Block | None:
    """Rate, time limits, order of stages, causes and changes."""
    found = page.operations.complaints
    if found is None:
        return None
    parts = [paragraph(_handled(found), "say"), *_rates(page, found)]
    parts += [paragraph(text) for text in (*_changes(found), *_signals(found), _order(found))]
    parts.append(_causes(page, found))
    return Block("".join(parts), "complaints")


def _handled(found: ComplaintAssessment) -> Text:
    own: Any = found.timely[(found.timely["stage"] == "resolved") & (found.timely["scope"] == "all")].iloc[0]
    if math.isnan(own["share"]):
        return say("complaints_few", n=found.n)
    median: Any = found.times.loc["resolved", "median"]
    return say(
        "complaints_say_open" if math.isnan(median) else "complaints_say",
        n=f"{found.n:,}",
        share=percent(own["share"]),
        interval=interval(100 * own["low"], 100 * own["high"], 0),
        late=int(own["late"]),
        open=int(own["undecided"]),
        median=number(median),
    )


def _rates(page: Page, found: ComplaintAssessment) -> list[str]:
    own = found.rates.drop(index="all").dropna(subset=["rate"]).tail(6)
    # The first quarter may have been observed in part only: a handful of cases says nothing.
    own = own[own["units"] >= page.study.minimum_n * 5]
    if own.empty:
        return []
    unit = str(own["unit"].iloc[0])
    points = [charts.TrendPoint(str(code), _rate(row, page.study.level)) for code, row in own.iterrows()]
    alt = listed(Text(**{g: f"{quarter(p.quarter)[g]} {number(p.estimate.value)}" for g in LANGUAGES})
                 for p in points if p.estimate is not None)  # fmt: skip
    per = number(own["per"].iloc[0], 0)
    chart = charts.trend_chart(
        "complaints",
        points,
        alt=say("complaints_alt", list=alt),
        caption=say(f"complaints_caption_{unit}", per=per, level=percent(page.study.level)),
    )
    return [chart._repr_html_()]


def _rate(row: pd.Series, level: float) -> Estimate:
    value, low, high = (float(row[c]) for c in ("rate", "low", "high"))
    return Estimate(value, low, high, n=int(row["complaints"]), level=level)


def _changes(found: ComplaintAssessment) -> list[Text]:
    """What surely became better or worse since the quarter before."""
    if found.changes.empty:
        return []
    parts = []
    for verdict in ("better", "worse"):
        own = found.changes[found.changes["verdict"] == verdict]
        if len(own):
            names = listed(_measure(str(code)) for code in own.index)
            parts.append(say(f"complaints_{verdict}", list=names, quarter=quarter(found.previous)))
    return parts or [say("complaints_same", quarter=quarter(found.previous))]


def _measure(code: str) -> Text:
    kind, _, cause = code.partition(": ")
    return known_as("cause", cause) if kind == "cause" else say(f"complaints_{code.replace(' ', '_')}")


def _signals(found: ComplaintAssessment) -> list[Text]:
    """Months that the control chart does not take for chance."""
    chart = found.monthly
    if chart is None or chart.stable:
        return []
    last = chart.signals.iloc[-1]
    chance: Any = chart.false_alarms.loc["any", "per_chart"]
    return [say("complaints_signal", month=str(last["last"]), side=say(f"side_{last['side']}"), chance=percent(chance))]


def _order(found: ComplaintAssessment) -> Text:
    row: Any = found.order.loc["any"]
    if not row["count"]:
        return say("complaints_in_order")
    bounds = interval(100 * row["low"], 100 * row["high"], 1)
    return say("complaints_out_of_order", count=int(row["count"]), share=percent(row["share"], 1), interval=bounds)


def _causes(page: Page, found: ComplaintAssessment) -> str:
    if found.causes.empty:
        return ""
    headers = [say(k) for k in ("col_cause", "col_count", "col_share", "col_interval")]
    rows = [_row(str(code), row) for code, row in found.causes.head(6).iterrows()]
    return table(headers, rows, caption=say("complaints_causes", level=percent(page.study.level)))


def _row(code: str, row: pd.Series) -> list[Cell]:
    bounds = interval(100 * row["low"], 100 * row["high"], 0)
    numbers = (plain(int(row["count"])), plain(percent(row["share"])), bounds)
    return [Cell(known_as("cause", code)), *(Cell(v, right=True) for v in numbers)]
