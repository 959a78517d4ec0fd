"""What drives satisfaction, on a page: which wait, rework or breach goes with which score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.index.drivers import OVERALL, Drivers
from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Block, paragraph
from sqmodel.reporting.sections.standards import titles
from sqmodel.reporting.words import interval, listed, number, percent, say, signed
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page

MOST = 6


def drivers(page: Page) -> Block | None:
    """Effects with intervals, what is fast on paper and felt slow, and what a limit would be worth."""
    found = page.operations.drivers
    if found is None:
        return None
    parts = [paragraph(_said(page, found), "say"), _chart(page, found), paragraph(say("drivers_note"), "mute")]
    parts += [paragraph(text) for text in (*_on_paper(page, found), *_worth(page, found))]
    return Block("".join(parts), "drivers")


def feature_name(page: Page, feature: str) -> Text:
    """A wait, rework or breach in words."""
    kind, _, code = feature.partition("_")
    compliance = page.operations.compliance
    if kind == "breach" and compliance is not None:
        return say("feature_breach", rule=titles(compliance).get(code, Text(zh=code, en=code)))
    process = page.operations.definition
    name = process.step(code).name if process is not None else Text(zh=code, en=code)
    return say(f"feature_{kind}", step=name) if kind in ("wait", "rework") else Text(zh=feature, en=feature)


def _dimension(page: Page, code: str) -> Text:
    return page.measure.instrument.dimension(code).label


def _said(page: Page, found: Drivers) -> Text:
    sure = found.found.head(3)
    if sure.empty:
        return say("drivers_none", n=f"{found.n:,}")
    shown = [
        say(
            "drivers_effect",
            feature=_small(feature_name(page, str(row["feature"]))),
            dimension=_dimension(page, str(row["outcome"])),
            effect=signed(row["effect"]),
            interval=interval(row["effect_low"], row["effect_high"], sign=True),
        )
        for _, row in sure.iterrows()
    ]
    return say("drivers_say", list=listed(shown), n=f"{found.n:,}")


def _small(name: Text) -> Text:
    """A name within a sentence."""
    return Text(zh=name["zh"], en=name["en"][:1].lower() + name["en"][1:])


def _chart(page: Page, found: Drivers) -> str:
    own = found.effects[found.effects["outcome"] != OVERALL]
    # Of each feature the dimension that it goes with most surely.
    strongest = own.sort_values("p", kind="stable").drop_duplicates("feature").head(MOST)
    rows = [_row(page, row) for _, row in strongest.iterrows()]
    alt = listed(Text(**{g: f"{r.label[g]} {signed(r.estimate.value)}" for g in ("zh", "en")})
                 for r in rows if r.estimate is not None)  # fmt: skip
    chart = charts.interval_chart(
        "drivers",
        rows,
        alt=say("drivers_alt", list=alt),
        caption=say("drivers_caption", level=percent(page.study.level), n=f"{found.n:,}"),
        now=say("drivers_key"),
    )
    return chart._repr_html_()


def _row(page: Page, row: pd.Series) -> charts.Row:
    names = feature_name(page, str(row["feature"])), _dimension(page, str(row["outcome"]))
    value, low, high = (float(row[c]) for c in ("effect", "effect_low", "effect_high"))
    estimate = Estimate(value, low, high, n=int(row["n"]), level=page.study.level)
    return charts.Row(say("drivers_row", feature=names[0], dimension=names[1]), estimate, highlight=bool(row["drives"]))


def _on_paper(page: Page, found: Drivers) -> list[Text]:
    """How many were served within every limit and yet felt it slow."""
    paper = found.paper
    if paper.empty:
        return []
    own = paper[(paper["rule"] == "any") & (paper["group"] == "all")].dropna(subset=["felt_slow"])
    if own.empty:
        return []
    row = own.sort_values("felt_slow", ascending=False, kind="stable").iloc[0]
    bounds = interval(100 * row["felt_slow_low"], 100 * row["felt_slow_high"], 0)
    dimension = _dimension(page, str(row["outcome"]))
    return [
        say(
            "drivers_paper",
            dimension=dimension,
            kept=f"{int(row['kept']):,}",
            share=percent(row["felt_slow"]),
            interval=bounds,
        )
    ]


def _worth(page: Page, found: Drivers) -> list[Text]:
    """What keeping a limit of a wait would be worth, where the interval excludes zero."""
    if found.worth.empty:
        return []
    sure = found.worth.query("outcome == @OVERALL and low > 0 and limit > 0")
    return [
        say(
            "drivers_worth",
            feature=feature_name(page, str(row["feature"])),
            limit=number(row["limit"], 0),
            change=signed(row["change"]),
            interval=interval(row["low"], row["high"], sign=True),
        )
        for _, row in sure.sort_values("change", ascending=False).head(2).iterrows()
    ]
