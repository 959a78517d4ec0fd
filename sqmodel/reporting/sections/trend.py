"""The trend on a page, beyond its chart: sure changes from quarter to quarter, and quarters out of the ordinary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.index.trend import Trend
from sqmodel.operations.control_points import FEWEST
from sqmodel.reporting.blocks import paragraph
from sqmodel.reporting.words import LANGUAGES, interval, listed, percent, quarter, say, signed

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page


def sentences(page: Page) -> str:
    """What changed for sure, and what the control charts signal."""
    found = page.history
    if found is None:
        return ""
    changed, moved = _changes(page, found)
    signalled, signals = _signals(page, found)
    if changed or signalled:
        return paragraph(moved, "" if changed else "mute") + paragraph(signals, "" if signalled else "mute")
    return paragraph(Text(zh=moved["zh"] + signals["zh"], en=f"{moved['en']} {signals['en']}"), "mute")


def names(page: Page) -> dict[str, Text]:
    """The overall index and the dimensions, in words."""
    return {"overall": say("overall")} | {d.code: d.label for d in page.measure.instrument.dimensions}


def _changes(page: Page, found: Trend) -> tuple[bool, Text]:
    """Changes whose joint bounds leave zero out, by quarter."""
    sure, count, labels = found.sure, len(found.changes), names(page)
    if sure.empty:
        return False, say("trend_sure_none", count=count)
    items = [
        say("trend_sure_item", name=labels[str(row["scope"])], change=signed(row["change"]),
            interval=interval(row["joint_low"], row["joint_high"], sign=True))
        for _, row in sure.iterrows()
    ]  # fmt: skip
    return True, _by_quarter(say("trend_sure", count=count, found=len(sure)), sure["quarter"], items)


def _signals(page: Page, found: Trend) -> tuple[bool, Text]:
    """What is outside the usual variation, by quarter, once whatever the rules that signal."""
    if found.charts.empty:
        return False, say("trend_few", count=len(found.quarters), fewest=FEWEST)
    labels, count = names(page), int(found.charts["points"].max())
    if found.signals.empty:
        return False, say("trend_signal_none", count=count)
    once = found.signals.drop_duplicates(["scope", "last", "side"]).sort_values("last", kind="stable")
    items = [
        say("trend_signal_item", name=labels[str(row["scope"])], side=say(f"side_{row['side']}"))
        for _, row in once.iterrows()
    ]
    chance = percent(found.charts["false_alarm"].max())
    return True, _by_quarter(say("trend_signal", count=count, chance=chance), once["last"], items)


def _by_quarter(opening: Text, quarters: pd.Series, items: list[Text]) -> Text:
    """A sentence, then one for each quarter that lists what there is of it."""
    parts = [opening]
    for code in dict.fromkeys(quarters):
        own = [item for q, item in zip(quarters, items, strict=True) if q == code]
        parts.append(say("trend_quarter", quarter=quarter(str(code)), list=listed(own)))
    return Text(**{g: "".join(p[g] for p in parts) for g in LANGUAGES})
