"""The first screen of a page: the finding, the index and the verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sqmodel.definitions import Text
from sqmodel.measurement.measure import Measure, load_criteria
from sqmodel.reporting.blocks import Block, badge, both, paragraph
from sqmodel.reporting.charts import sparkline
from sqmodel.reporting.words import coefficient, interval, listed, number, percent, quarter, say, signed

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page

TONES = {"publish": "", "reservations": "w", "reject": "bad"}
MOST_REASONS = 4


def title(page: Page) -> Text:
    """The finding of the quarter in one line."""
    index = number(page.index.overall.value)
    if page.measure.verdict == "reject":
        return say("title_reject", index=index)
    change, weak = page.index.change, weakest(page)
    if change is not None and change.excludes_zero:
        direction = say("rises" if change.value > 0 else "falls")
        since = quarter(page.index.previous_quarter)
        if weak is not None:
            return say("title_change_weak", direction=direction, quarter=since, index=index, dimension=weak)
        size = number(abs(change.value))
        return say("title_change", direction=direction, quarter=since, size=size, index=index)
    if weak is not None:
        return say("title_weak", index=index, dimension=weak)
    strong = strongest(page)
    if strong is not None:
        return say("title_strong", index=index, dimension=strong)
    return say("title_nothing", index=index)


def weakest(page: Page) -> Text | None:
    """The dimension that surely lies below the others, the lowest if several do."""
    table_ = page.index.dimensions
    sure = table_[table_["versus_high"] < 0]
    return None if sure.empty else _label(page, str(sure["versus_others"].idxmin()))


def strongest(page: Page) -> Text | None:
    """The dimension that surely lies above the others, the highest if several do."""
    table_ = page.index.dimensions
    sure = table_[table_["versus_low"] > 0]
    return None if sure.empty else _label(page, str(sure["versus_others"].idxmax()))


def _label(page: Page, code: str) -> Text:
    return page.measure.instrument.dimension(code).label


def headline(page: Page) -> Block:
    """The head of the page."""
    index = page.index
    o = index.overall
    note = say("interval_note", level=percent(o.level), interval=interval(o.low, o.high), n=f"{o.n:,}")
    parts = [f"<h1>{both(title(page))}</h1>"]
    if page.study.simulated:
        parts.append(paragraph(say("simulated"), "note"))
    left = f'<div><div class="big">{number(o.value)}</div><div class="int">{both(note)}</div></div>'
    verdict = badge(say(f"verdict_{page.measure.verdict}"), TONES[page.measure.verdict])
    middle = f'<div><p class="chg">{both(_change(page))}</p><p>{verdict}</p></div>'
    parts.append(f'<div class="head">{left}{middle}{_spark(page)}</div>')
    parts.append(paragraph(why(page.measure), "say"))
    if index.accepted:
        parts.append(paragraph(say("accepted", reason=index.accepted), "note"))
    return Block("".join(parts), "headline")


def _spark(page: Page) -> str:
    rows = page.index.trend[page.index.trend["scope"] == "overall"].dropna(subset=["estimate"])
    if len(rows) < 2:
        return ""
    values = [float(v) for v in rows["estimate"]]
    alt = say("sparkline_alt", **{"from": number(values[0]), "to": number(values[-1])})
    return f'<div class="spark">{sparkline(values, alt=alt)}</div>'


def _change(page: Page) -> Text:
    change = page.index.change
    if change is None:
        return say("change_none")
    key = "change_sure" if change.excludes_zero else "change_noise"
    bounds = interval(change.low, change.high, sign=True)
    since, level = quarter(page.index.previous_quarter), percent(page.index.overall.level)
    return say(key, quarter=since, change=signed(change.value), level=level, interval=bounds)


def why(measure: Measure) -> Text:
    """The reasons of the verdict, the gravest first."""
    if measure.verdict == "publish":
        return say("verdict_publish_why")
    rows = measure.problems.to_dict("records")
    if measure.verdict == "reject":
        rows = [r for r in rows if r["required"] and r["verdict"] == "failed"]
    reasons = [reason(measure, {str(k): v for k, v in row.items()}) for row in rows]
    shown = listed(reasons[:MOST_REASONS])
    if len(reasons) > MOST_REASONS:
        shown = Text(
            zh=f"{shown['zh']}等 {len(reasons)} 项", en=f"{shown['en']} and {len(reasons) - MOST_REASONS} more"
        )
    return say(f"verdict_{measure.verdict}_why", reasons=shown)


def reason(measure: Measure, row: dict[str, Any]) -> Text:
    """One row of the ledger that was not met, in words."""
    criterion = Text(**load_criteria()[row["criterion"]]["title"])
    if math.isnan(row["value"]):
        return say("reason_open", criterion=criterion)
    own = scope(measure, row["scope"])
    return say(
        "reason",
        criterion=criterion,
        scope="" if own is None else Text(zh=f"（{own['zh']}）", en=f" ({own['en']})"),
        value=ledger_number(row["criterion"], row["value"]),
        bound=say("at_least" if row["direction"] == "at_least" else "at_most"),
        threshold=ledger_number(row["criterion"], row["threshold"]),
    )


def scope(measure: Measure, code: str) -> Text | None:
    """Name of the dimension or item that a row of the ledger is about; None for all items."""
    if code == "all":
        return None
    if code in measure.instrument.dimension_codes:
        return measure.instrument.dimension(code).label
    titles = {group.code: group.title for group in measure.instrument.groups}
    return titles[code] if code in titles else measure.instrument.item(code).name


SHARES = {"missing", "careless", "floor_ceiling"}
COUNTS = {"sample_size", "dimensionality", "proper"}
FIT = {"cfi", "rmsea", "srmr", "invariance"}
"""Conventions for these differ in the third digit."""


def ledger_number(criterion: str, value: float) -> str:
    """A value of the ledger in the form of its criterion: share, count, ratio or coefficient."""
    if criterion in SHARES:
        return percent(value, 1)
    if criterion in COUNTS:
        return number(value, 0)
    if criterion == "respondents_per_item":
        return number(value, 1)
    if criterion == "bartlett" and 0 <= value < 0.001:
        return "< .001"
    return coefficient(value, 3 if criterion in FIT else 2)
