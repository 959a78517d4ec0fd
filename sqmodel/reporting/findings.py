"""The middle of a page: dimensions, expectations, items, outcomes, groups and trend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Block, Cell, details, paragraph, table
from sqmodel.reporting.opening import strongest, weakest
from sqmodel.reporting.words import coefficient, interval, listed, number, percent, plain, quarter, say, signed, span
from sqmodel.result import Estimate
from sqmodel.survey.instrument import Text

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page


def _level(page: Page, row: pd.Series) -> Estimate:
    """The estimate of a row of the index's tables."""
    value, low, high, se = (float(row[c]) for c in ("estimate", "low", "high", "se"))
    return Estimate(value, low, high, se, int(row["n"]), page.study.level)


def _row_estimate(row: pd.Series, prefix: str, page: Page, n: int) -> Estimate:
    values = (float(row[prefix]), float(row[f"{prefix}_low"]), float(row[f"{prefix}_high"]))
    return Estimate(*values, n=n, level=page.study.level)


def _scored(page: Page, labels: dict[str, Text], values: dict[str, float]) -> Text:
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
        alt=say("dimensions_alt", list=_scored(page, labels, {str(c): v for c, v in frame["estimate"].items()})),
        caption=caption,
    )
    parts.append(chart._repr_html_())
    return Block("".join(parts), "dimensions")


def _with_change(label: Text, change: float) -> Text:
    return Text(zh=f"{label['zh']}（{signed(change)}）", en=f"{label['en']} ({signed(change)})")


def expectations(page: Page) -> Block:
    """Expectation against performance, or that it was not asked."""
    gaps = page.gaps
    if not gaps.asked:
        return Block(paragraph(say("gaps_none"), "say"), "expectations")
    frame = gaps.dimensions
    labels = {d.code: d.title for d in page.measure.instrument.dimensions}
    sure = frame[frame["gap_high"] < 0]
    parts = [paragraph(_below(page, sure), "say")]
    rows = [
        charts.GapRow(
            labels[str(code)],
            _row_estimate(row, "performance", page, int(row["n"])),
            _row_estimate(row, "expectation", page, int(row["n"])),
            _row_estimate(row, "gap", page, int(row["n"])),
            highlight=bool(len(sure)) and code == sure["gap"].idxmin(),
        )
        for code, row in frame.iterrows()
    ]
    chart = charts.gap_chart(
        "gaps",
        rows,
        alt=say("gaps_alt", list=_scored(page, labels, {str(c): v for c, v in frame["gap"].items()})),
        caption=say("gaps_caption", n=span(frame["n"])),
    )
    parts.append(chart._repr_html_())
    parts += _prediction(page)
    return Block("".join(parts), "expectations")


def _below(page: Page, sure: pd.DataFrame) -> Text:
    """Which dimensions are surely below expectation, and the largest gap measured."""
    if sure.empty:
        return say("gaps_met")
    labels = {d.code: d.label for d in page.measure.instrument.dimensions}
    widest = str(sure["gap"].idxmin())
    low, high = sure.loc[widest, "gap_low"], sure.loc[widest, "gap_high"]
    values: dict[str, Text | str] = {
        "dimension": labels[widest],
        "gap": number(sure.loc[widest, "gap"]),
        "interval": interval(low, high),
    }
    if len(sure) == len(page.gaps.dimensions):
        return say("gaps_say", **values)
    if len(sure) == 1:
        return say("gaps_one", **values)
    return say("gaps_some", list=listed(labels[str(c)] for c in sure.index), **values)


def _prediction(page: Page) -> list[str]:
    found, parts = page.gaps.prediction, []
    if len(found) > 1:
        ordered = found.sort_values("r_squared", ascending=False)
        first, rest = ordered.iloc[0], ordered.iloc[1:]
        others = listed(
            say("gaps_prediction_other", score=say(f"score_{c}"), **_explained(r)) for c, r in rest.iterrows()
        )
        best = say("gaps_prediction", best=say(f"score_{ordered.index[0]}"), **_explained(first), others=others)
        apart = bool((rest["r_squared_high"] < first["r_squared_low"]).all())
        parts.append(paragraph(best) + ("" if apart else paragraph(say("gaps_prediction_overlap"), "mute")))
    reliability = page.gaps.difference_reliability.dropna()
    lower = reliability[["alpha_performance", "alpha_expectation"]].min(axis=1)
    reliability = reliability[reliability["reliability"] < lower]
    if len(reliability):
        labels = {d.code: d.label for d in page.measure.instrument.dimensions}
        shown = listed([Text(**{g: f"{labels[str(c)][g]} {coefficient(r['reliability'])}" for g in ("zh", "en")})
                        for c, r in reliability.iterrows()])  # fmt: skip
        parts.append(paragraph(say("gaps_reliability", list=shown), "mute"))
    return parts


def _explained(row: pd.Series) -> dict[str, str]:
    """R squared of a score, with its interval."""
    bounds = f"{coefficient(row['r_squared_low'])}–{coefficient(row['r_squared_high'])}"
    return {"r2": coefficient(row["r_squared"]), "interval": bounds}


def items(page: Page) -> Block:
    """Distribution of the answers to each item, and importance against performance."""
    instrument, gaps = page.measure.instrument, page.gaps.items
    ordered = gaps.sort_values("performance")
    names = {c: instrument.item(c).name for c in gaps.index}
    known = ordered["performance"].dropna()
    low, high = str(known.index[0]), str(known.index[-1])
    values: dict[str, Text | str] = {}
    for key, code in (("lowest", low), ("highest", high)):
        row = ordered.loc[code]
        values |= {key: names[code], f"{key}_score": number(row["performance"])}
        values[f"{key}_interval"] = interval(row["performance_low"], row["performance_high"])
    parts = [paragraph(say("items_say", **values), "say"), _distribution(page, list(ordered.index))]
    parts.append(_map(page, names))
    parts.append(details(say("details_items"), _item_table(page, names)))
    return Block("".join(parts), "items")


def _distribution(page: Page, codes: list[str]) -> str:
    """Shares of the answers, of the items that have the questionnaire's own scale."""
    instrument, shares = page.measure.instrument, page.reliability.answers.to_dict()
    counts = page.reliability.items["n"].to_dict()
    scale = instrument.scale
    codes = [c for c in codes if instrument.scale_of(c) == scale]
    rows = [
        charts.DistributionRow(
            instrument.item(c).name,
            tuple(float(shares[str(k)][c]) for k in range(scale.minimum, scale.maximum + 1)),
            n=int(counts[c]),
        )
        for c in codes
    ]
    ends = (
        scale.anchors.get(scale.minimum, plain(scale.minimum)),
        scale.anchors.get(scale.maximum, plain(scale.maximum)),
    )
    chart = charts.distribution_chart(
        "distribution",
        rows,
        categories=[str(k) for k in range(scale.minimum, scale.maximum + 1)],
        ends=ends,
        alt=say("items_alt"),
        caption=say("items_caption", low=ends[0], high=ends[1], top=scale.maximum, n=span(r.n for r in rows)),
    )
    return chart._repr_html_()


def _map(page: Page, names: dict[str, Text]) -> str:
    candidates, gaps = page.priorities.candidates, page.gaps.items
    rows = {str(code): row for code, row in gaps.iterrows()}
    if candidates["importance"].isna().all():
        return ""
    points = [
        charts.Point(
            names[str(c)],
            _row_estimate(row, "importance", page, int(rows[str(c)]["n"])),
            _row_estimate(rows[str(c)], "performance", page, int(rows[str(c)]["n"])),
            highlight=c in page.priorities.actions,
        )
        for c, row in candidates.iterrows()
        if not math.isnan(row["importance"])
    ]
    values = {str(c): float(gaps["performance"][c]) for c in candidates.index}
    chart = charts.priority_map(
        "map",
        points,
        alt=say("map_alt", list=_scored(page, names, values)),
        caption=say("map_caption", level=percent(page.study.level), n=span(gaps["n"])),
    )
    marked = paragraph(say("map_marked"), "mute") if any(p.highlight for p in points) else ""
    return paragraph(say("map_say")) + marked + chart._repr_html_()


def _item_table(page: Page, names: dict[str, Text]) -> str:
    keys = ["col_item", "col_n", "col_score", "col_interval"]
    asked = page.gaps.asked
    headers = [say(k) for k in (*keys, *(("col_expectation", "col_gap", "col_interval") if asked else ()))]
    rows = []
    for code, row in page.gaps.items.iterrows():
        cells = [
            Cell(names[str(code)]),
            Cell(plain(int(row["n"])), right=True),
            Cell(plain(number(row["performance"])), right=True),
        ]
        cells.append(Cell(interval(row["performance_low"], row["performance_high"]), right=True))
        if asked:
            cells.append(Cell(plain(number(row["expectation"])), right=True))
            cells.append(Cell(plain(number(row["gap"])), right=True))
            cells.append(Cell(interval(row["gap_low"], row["gap_high"], sign=True), right=True))
        rows.append(cells)
    return table(headers, rows)


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
        caption=say("groups_caption", level=percent(page.study.level), minimum=str(page.study.minimum_n)),
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
    parts += [paragraph(_difference(page, i), "mute") for i in range(len(page.differences))]
    return Block("".join(parts), "groups")


SUPPRESSED = {"too few": "too_few", "secondary": "secondary"}
"""Why a group is withheld, and the key of its text."""


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
        caption=say("trend_caption", level=percent(page.study.level)),
    )
    return Block(
        paragraph(words, "say") + chart._repr_html_() + details(say("details_trend"), _trend_table(page)), "trend"
    )


def _trend_point(page: Page, row: pd.Series) -> charts.TrendPoint:
    if math.isnan(row["estimate"]):
        return charts.TrendPoint(str(row["quarter"]), None)
    return charts.TrendPoint(str(row["quarter"]), _level(page, row))


def _trend_table(page: Page) -> str:
    frame = page.index.trend
    labels = {"overall": say("overall")} | {d.code: d.label for d in page.measure.instrument.dimensions}
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
