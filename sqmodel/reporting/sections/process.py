"""The process on a page: where time goes, what is done twice, and whether the limits are kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.operations.process_analysis import ProcessAnalysis
from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Block, paragraph
from sqmodel.reporting.sections.standards import standards
from sqmodel.reporting.words import LANGUAGES, interval, listed, number, percent, say, signed
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page

MOST = 8


def process(page: Page) -> Block | None:
    """Bottlenecks, durations, rework, channels, and the service standard."""
    found = page.operations.process
    if found is None:
        return None
    parts = [paragraph(_bottleneck(page, found), "say"), _waits(page, found), paragraph(_duration(found))]
    parts += [paragraph(text) for text in (*_rework(found), *_channels(found))]
    return Block("".join([*parts, *standards(page)]), "process")


def _name(page: Page, step: str) -> Text:
    definition = page.operations.definition
    return Text(zh=step, en=step) if definition is None else definition.step(step).name


def _bottleneck(page: Page, found: ProcessAnalysis) -> Text:
    if not found.named:
        return say("process_no_bottleneck", n=f"{found.n:,}")
    row: Any = found.bottlenecks.loc[found.named[0]]
    key = "process_bottleneck" if len(found.named) == 1 else "process_bottlenecks"
    return say(
        key,
        n=f"{found.n:,}",
        step=_name(page, found.named[0]),
        others=listed(_name(page, s) for s in found.named[1:]) if len(found.named) > 1 else "",
        hours=number(row["per_case"], 0),
        interval=interval(row["low"], row["high"], 0),
        share=percent(row["share"]),
    )


def _waits(page: Page, found: ProcessAnalysis) -> str:
    """Hours of waiting a case, by step: the lender's, the client's and planned ones apart."""
    rows: list[charts.Row] = []
    for owner in ("lender", "client", "planned"):
        own = found.bottlenecks[found.bottlenecks["wait"] == owner].head(MOST)
        if len(own):
            rows.append(charts.Row(say(f"wait_{owner}"), None, heading=True))
            rows += [_row(page, str(step), row, step in found.named) for step, row in own.iterrows()]
    if not rows:
        return ""
    alt = listed(Text(**{g: f"{r.label[g]} {number(r.estimate.value, 0)}" for g in LANGUAGES})
                 for r in rows if r.estimate is not None)  # fmt: skip
    chart = charts.interval_chart(
        "process",
        rows,
        alt=say("process_alt", list=alt),
        caption=say("process_caption", level=percent(page.study.level), n=f"{found.n:,}"),
        digits=0,
    )
    return chart._repr_html_()


def _row(page: Page, step: str, row: pd.Series, named: bool) -> charts.Row:
    estimate = Estimate(float(row["per_case"]), float(row["low"]), float(row["high"]), n=int(row["n"]),
                        level=page.study.level)  # fmt: skip
    return charts.Row(_name(page, step), estimate, highlight=named)


def _duration(found: ProcessAnalysis) -> Text:
    row: Any = found.durations.iloc[0]
    if math.isnan(row["median"]):
        key = "process_none_ended" if math.isnan(row["ended_only_median"]) else "process_duration_open"
        return say(key, n=f"{int(row['n']):,}", open=f"{int(row['open']):,}", ended=number(row["ended_only_median"]))
    return say(
        "process_duration",
        median=number(row["median"]),
        interval=interval(row["median_low"], row["median_high"]),
        open=f"{int(row['open']):,}",
        ended=number(row["ended_only_median"]),
    )


def _rework(found: ProcessAnalysis) -> list[Text]:
    every: Any = found.rework.loc["all steps"]
    parts = [say("process_rework", share=percent(every["share"]),
                 interval=interval(100 * every["low"], 100 * every["high"], 0))]  # fmt: skip
    for _, row in found.documents.iterrows():
        bounds = interval(100 * row["low"], 100 * row["high"], 0)
        parts.append(say("process_documents", share=percent(row["share"]), interval=bounds))
    return parts


def _channels(found: ProcessAnalysis) -> list[Text]:
    """What recognition and voice save against typing, over all steps."""
    own = found.channels[(found.channels["step"] == "all steps")].dropna(subset=["minutes_difference"])
    parts = []
    for _, row in own.iterrows():
        errors = (
            "fewer" if row["errors_difference_high"] < 0 else "more" if row["errors_difference_low"] > 0 else "same"
        )
        parts.append(
            say(
                "process_channel",
                channel=say(f"channel_{row['channel']}"),
                minutes=signed(row["minutes_difference"]),
                interval=interval(row["minutes_difference_low"], row["minutes_difference_high"], sign=True),
                errors=say(f"errors_{errors}"),
            )
        )
    return parts
