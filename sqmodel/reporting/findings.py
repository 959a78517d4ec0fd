"""The middle of a page: dimensions, outcomes, groups and trend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Block, Cell, details, paragraph, table
from sqmodel.reporting.opening import strongest, weakest
from sqmodel.reporting.sections import trend as section
from sqmodel.reporting.words import interval, listed, number, percent, plain, quarter, say, signed, span
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page


def _level(page: Page, row: pd.Series) -> Estimate:
    """The estimate of a row of the index's tables."""
    value, low, high, se = (float(row[c]) for c in ("estimate", "low", "high", "se"))
    return Estimate(value, low, high, se, int(row["n"]), page.study.level)


def scored(page: Page, labels: dict[str, Text], values: dict[str, float]) -> Text:
    """ "A 61.2, B 70.3" in both languages."""
    return listed(
        Text(zh=f"{labels[c]['zh']} {number(v)}", en=f"{labels[c]['en']} {number(v)}") for c, v in values.items()
    )


def dimensions(page: Page) -> Block:
    """Scores of the dimensions, what is surely weak or strong, what moved."""
    frame, index = page.index.dimensions, page.index
    labels = {d.code: d.title for d in page.measure.instrument.dimensions}
    weak, strong = weakest(page), strongest(page)
    parts = []
    for key, name, pick in (("dimensions_weak", weak, "idxmin"), ("dimensions_strong", strong, "idxmax")):
        if name is not None:
            row = frame.loc[getattr(frame["versus_others"], pick)()]
            bounds = sorted((abs(row["versus_low"]), abs(row["versus_high"])))
            size = number(abs(row["versus_others"]))
            parts.append(paragraph(say(key, dimension=name, difference=size, interval=interval(*bounds)), "say"))
    if not parts:
        parts.append(paragraph(say("dimensions_same"), "say"))
    if index.previous_quarter:
        moved = frame[(frame["change_low"] > 0) | (frame["change_high"] < 0)]
        named = [_with_change(labels[str(c)], row["change"]) for c, row in moved.iterrows()]
        since = quarter(index.previous_quarter)
        if named:
            parts.append(paragraph(say("dimensions_moved", quarter=since, list=listed(named))))
        else:
            parts.append(paragraph(say("dimensions_still", quarter=since)))
    sure_weak = set(frame.index[frame["versus_high"] < 0])
    rows = []
    for code, row in frame.iterrows():
        previous = None if math.isnan(row["previous"]) else float(row["previous"])
        estimate = index.dimension(str(code))
        rows.append(charts.Row(labels[str(code)], estimate, previous=previous, highlight=code in sure_weak))
    values = {"level": percent(page.study.level), "n": span(frame["n"])}
    caption = say("dimensions_caption", **values)
    if index.previous_quarter:
        caption = say("dimensions_caption_previous", quarter=quarter(index.previous_quarter), **values)
    chart = charts.interval_chart(
        "dimensions",
        rows,
        alt=say("dimensions_alt", list=scored(page, labels, {str(c): v for c, v in frame["estimate"].items()})),
        caption=caption,
    )
    parts.append(chart._repr_html_())
    return Block("".join(parts), "dimensions")


def _with_change(label: Text, change: float) -> Text:
    return Text(zh=f"{label['zh']}（{signed(change)}）", en=f"{label['en']} ({signed(change)})")


def outcomes(page: Page) -> Block:
    """Satisfaction, recommendation, effort, loyalty."""
    frame = page.outcomes.table
    if frame.empty:
        return Block(paragraph(say("outcomes_none"), "say"), "outcomes")
    if {"nps", "csat"} <= set(frame.index):
        nps = frame.loc["nps"]
        values = {
            "nps": signed(nps["estimate"]),
            "se": number(nps["se"]),
            "csat": number(frame.loc["csat", "estimate"]),
        }
        parts = [paragraph(say("outcomes_say", **values), "say")]
    else:
        parts = [paragraph(say("outcomes_say_plain"), "say")]
    previous = page.index.previous_quarter
    headers = [say(k) for k in ("col_outcome", "col_n", "col_score", "col_interval")]
    if previous:
        headers += [say("col_change", quarter=quarter(previous)), say("col_interval")]
    rows = []
    for role, row in frame.iterrows():
        sign = role == "nps"
        shown = signed(row["estimate"]) if sign else number(row["estimate"])
        cells = [Cell(say(f"outcome_{role}")), Cell(plain(int(row["n"])), right=True), Cell(plain(shown), right=True)]
        cells.append(Cell(interval(row["low"], row["high"], sign=sign), right=True))
        if previous:
            known = not math.isnan(row["change"])
            bounds = interval(row["change_low"], row["change_high"], sign=True) if known else plain("–")
            cells += [Cell(plain(signed(row["change"])), right=True), Cell(bounds, right=True)]
        rows.append(cells)
    parts.append(table(headers, rows))
    return Block("".join(parts), "outcomes")


def groups(page: Page) -> Block:
    """The index by client group."""
    frame, instrument = page.index.groups, page.measure.instrument
    if frame.empty:
        return Block(paragraph(say("groups_none"), "say"), "groups")
    sure = (frame["difference_low"] > 0) | (frame["difference_high"] < 0)
    names = [_group_name(page, row) for _, row in frame[sure].iterrows()]
    parts = [paragraph(_differing(names), "say")]
    rows = []
    for code in frame["group"].unique():
        rows.append(charts.Row(instrument.group(code).title, None, heading=True))
        for _, row in frame[frame["group"] == code].iterrows():
            rows.append(_group_row(page, row))
    chart = charts.interval_chart(
        "groups",
        rows,
        alt=say("groups_alt"),
        caption=say(
            "groups_caption",
            level=percent(page.study.level),
            minimum=str(page.study.minimum_n),
            n=span(frame.loc[frame["suppressed"] == "", "n"]),
        ),
    )
    parts.append(chart._repr_html_())
    hidden = []
    few, secondary = (int((frame["suppressed"] == kind).sum()) for kind in SUPPRESSED)
    if few:
        hidden.append(say("groups_hidden_few", count=few, minimum=page.study.minimum_n))
    if secondary:
        hidden.append(say("groups_hidden_secondary", count=secondary))
    if hidden:
        parts.append(paragraph(say("groups_hidden", list=listed(hidden)), "mute"))
    parts += [paragraph(text, "mute") for text in _comparisons(page)]
    parts += [paragraph(_difference(page, i), "mute") for i in range(len(page.differences))]
    return Block("".join(parts), "groups")


SUPPRESSED = {"too few": "too_few", "secondary": "secondary"}
"""Why a group is withheld, and the key of its text."""


def _comparisons(page: Page) -> list[Text]:
    """What the comparison gate found, one sentence a verdict."""
    gate = page.measure.comparability
    if gate is None or gate.variables.empty:
        return []
    instrument, out = page.measure.instrument, []
    for status, key in COMPARABILITY.items():
        own = gate.variables[gate.variables["status"] == status]
        if own.empty:
            continue
        titles = [instrument.group(str(code)).title for code in own["group"]]
        if status == "partial":
            out += [_partial(page, str(row["group"]), str(row["released"])) for _, row in own.iterrows()]
        else:
            out.append(say(key, list=listed(titles), count=gate.settings["smallest_group"]))
    return out


def _partial(page: Page, group: str, released: str) -> Text:
    """Which items a group variable's members understand differently, and how many points that is at most."""
    bias = page.index.groups.loc[page.index.groups["group"] == group, "bias"].abs().max()
    return say(
        "groups_partial", group=page.measure.instrument.group(group).title, count=len(released.split(", ")),
        bias=number(float(bias)),
    )  # fmt: skip


COMPARABILITY = {
    "comparable": "groups_comparable",
    "partial": "groups_partial",
    "not comparable": "groups_not_comparable",
    "not assessed": "groups_not_assessed",
}
"""Verdicts of the comparison gate, and the keys of their sentences."""


def _differing(names: list[Text]) -> Text:
    if not names:
        return say("groups_same")
    return say("groups_say_one" if len(names) == 1 else "groups_say", list=listed(names))


def _group_name(page: Page, row: pd.Series) -> Text:
    return _with_change(page.measure.instrument.group(row["group"]).label(row["value"]), row["difference"])


def _group_row(page: Page, row: pd.Series) -> charts.Row:
    label = page.measure.instrument.group(row["group"]).label(row["value"])
    if row["suppressed"]:
        return charts.Row(label, None, note=say(SUPPRESSED[row["suppressed"]]))
    return charts.Row(label, _level(page, row), highlight=bool(row["difference_high"] < 0))


def _difference(page: Page, position: int) -> Text:
    found = page.differences[position]
    labels = {d.code: d.label for d in page.measure.instrument.dimensions}
    sure = [labels[str(c)] for c, r in found.tests.iterrows() if r["pvalue_holm"] < 0.05]
    words = say("groups_test_sure", list=listed(sure)) if sure else say("groups_test_same")
    return say("groups_test", group=page.measure.instrument.group(found.by).title, found=words)


def trend(page: Page) -> Block:
    """The index and its dimensions over the quarters."""
    frame = page.index.trend
    own = frame[frame["scope"] == "overall"].reset_index(drop=True)
    shown = own.dropna(subset=["estimate"])
    if len(shown) < 2:
        return Block(paragraph(say("trend_one"), "say"), "trend")
    first, last = shown.iloc[0], shown.iloc[-1]
    moved = page.index.since_first
    sure = moved is not None and moved.excludes_zero
    key = "flat" if not sure else "up" if moved is not None and moved.value > 0 else "down"
    values: dict[str, Text | str] = {"first": quarter(first["quarter"]), "last": quarter(last["quarter"])}
    ends = {"from": number(first["estimate"]), "to": number(last["estimate"])}
    words = say(f"trend_say_{key}", **values) if key == "flat" else say(f"trend_say_{key}", **values, **ends)
    points = [_trend_point(page, row) for _, row in own.iterrows()]
    chart = charts.trend_chart(
        "trend",
        points,
        alt=say("trend_alt", **values, **ends),
        caption=say("trend_caption", level=percent(page.study.level), n=span(shown["n"])),
    )
    parts = [paragraph(words, "say"), chart._repr_html_(), section.sentences(page)]
    return Block("".join([*parts, details(say("details_trend"), _trend_table(page))]), "trend")


def _trend_point(page: Page, row: pd.Series) -> charts.TrendPoint:
    if math.isnan(row["estimate"]):
        return charts.TrendPoint(str(row["quarter"]), None)
    return charts.TrendPoint(str(row["quarter"]), _level(page, row))


def _trend_table(page: Page) -> str:
    frame = page.index.trend
    labels = section.names(page)
    scopes = list(dict.fromkeys(frame["scope"]))
    headers = [say("col_quarter"), *(labels[s] for s in scopes)]
    rows = []
    for code in dict.fromkeys(frame["quarter"]):
        cells = [Cell(quarter(code))]
        for scope in scopes:
            row = frame[(frame["quarter"] == code) & (frame["scope"] == scope)].iloc[0]
            known = not math.isnan(row["estimate"])
            text = f"{number(row['estimate'])} ({number(row['low'])}–{number(row['high'])})" if known else "–"
            cells.append(Cell(plain(text), right=True))
        rows.append(cells)
    return table(headers, rows)
