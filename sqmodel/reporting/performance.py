"""Performance on a page: against expectation by dimension, and of each item."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Block, Cell, details, paragraph, table
from sqmodel.reporting.findings import scored
from sqmodel.reporting.words import coefficient, interval, listed, number, percent, plain, say, span
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page


def _row_estimate(row: pd.Series, prefix: str, page: Page, n: int) -> Estimate:
    values = (float(row[prefix]), float(row[f"{prefix}_low"]), float(row[f"{prefix}_high"]))
    return Estimate(*values, n=n, level=page.study.level)


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
        alt=say("gaps_alt", list=scored(page, labels, {str(c): v for c, v in frame["gap"].items()})),
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
            highlight=c in page.ranking.first,
        )
        for c, row in candidates.iterrows()
        if not math.isnan(row["importance"])
    ]
    values = {str(c): float(gaps["performance"][c]) for c in candidates.index}
    first = [c for c in page.ranking.first if c in values] or list(gaps["performance"].nsmallest(3).index)
    chart = charts.priority_map(
        "map",
        points,
        alt=say("map_alt", list=scored(page, names, {str(c): values[str(c)] for c in first})),
        caption=say("map_caption", level=percent(page.study.level), n=span(gaps["n"])),
    )
    marked = paragraph(say("map_marked"), "mute") if any(p.highlight for p in points) else ""
    return paragraph(say("map_say")) + marked + replace(chart, numbers=False)._repr_html_()


def _item_table(page: Page, names: dict[str, Text]) -> str:
    """Everything about the items in numbers, those of the map too."""
    keys = ["col_item", "col_n", "col_score", "col_interval"]
    asked, weighed = page.gaps.asked, page.priorities.candidates["importance"].notna()
    keys += ["col_expectation", "col_gap", "col_interval"] if asked else []
    keys += ["col_importance", "col_interval"] if weighed.any() else []
    headers = [say(k) for k in keys]
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
        if weighed.any():
            cells += _importance(page, str(code)) if weighed.get(code, False) else [Cell(plain("–"), right=True)] * 2
        rows.append(cells)
    return table(headers, rows)


def _importance(page: Page, code: str) -> list[Cell]:
    row: Any = page.priorities.candidates.loc[code]
    bounds = interval(row["importance_low"], row["importance_high"], 2)
    return [Cell(plain(coefficient(row["importance"])), right=True), Cell(bounds, right=True)]
