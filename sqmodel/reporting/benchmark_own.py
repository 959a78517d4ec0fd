"""The confidential report of one institution: where it stands, in words that claim no more than the data carry.

It shows nothing but what the institution's version of the comparison holds (`benchmark_versions.own_version`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from sqmodel.benchmark.content import OVERALL
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_own_evidence import comparability, dimensions, operations, peers
from sqmodel.reporting.benchmark_own_limits import limits, provenance, record_with
from sqmodel.reporting.benchmark_own_parts import (
    against,
    level_of,
    ordinal_of,
    own_name,
    own_row,
    peers_of,
    reason_of,
    undecided,
)
from sqmodel.reporting.benchmark_parts import bounded, finite, overall_of, peers_name
from sqmodel.reporting.benchmark_record import subtitle_of
from sqmodel.reporting.blocks import Block, Cell, both, paragraph
from sqmodel.reporting.charts import Row, interval_chart
from sqmodel.reporting.charts.ranks import span_of
from sqmodel.reporting.charts.rows import EXPECTED
from sqmodel.reporting.dossier_parts import captioned, right
from sqmodel.reporting.payload import Payload
from sqmodel.reporting.words import interval, number, percent, plain, quarter, say, signed
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage

__all__ = [
    "comparability",
    "dimensions",
    "headline",
    "limits",
    "operations",
    "overview",
    "peers",
    "provenance",
    "record",
    "standing",
]


def title(page: BenchmarkPage) -> Text:
    """Where the institution stands, in one line."""
    row, count = own_row(page), page.benchmark.institutions
    if not finite(row.get("rank")):
        return say("own_title_unranked", reason=reason_of(row))
    values: dict[str, Text | str] = {"score": number(row["adjusted"]), "count": f"{count:,}"}
    if not finite(row["best_all"]):
        return say("own_title_unknown", **values)
    best, worst = int(row["best_all"]), int(row["worst_all"])
    if best == worst == 1:
        return say("own_title_first", **values)
    if best == 1 and worst == count:
        return say("own_title_alike", **values)
    return say("own_title_between", set=span_of(best, worst), **values)


def headline(page: BenchmarkPage) -> Block:
    """The head of the page."""
    found, row = page.benchmark, own_row(page)
    parts = [f"<h1>{both(title(page))}</h1>"]
    if found.simulated or page.params.simulated:
        parts.append(paragraph(say("own_simulated"), "note"))
    bounds = say("own_head_score", level=percent(level_of(page)), interval=interval(row.get("low"), row.get("high")))
    shown = number(row["adjusted"]) if finite(row.get("adjusted")) else "–"
    below = both(bounds if shown != "–" else say("own_head_none"))
    left = f'<div><div class="big">{shown}</div><div class="int">{below}</div></div>'
    who = f"<p><b>{both(own_name(page))}</b></p><p>{both(subtitle_of(page))}</p>"
    parts.append(f'<div class="head two">{left}<div>{who}</div></div>')
    said = [t for t in (_against_mean(page), _against_others(page)) if t is not None]
    parts += [paragraph(text, "say") for text in said]
    parts.append(paragraph(say("own_confidential"), "mute"))
    if code := page.params.version.own_code:
        parts.append(paragraph(say("own_blind", code=code), "mute"))
    return Block("".join(parts), "headline")


def _against_mean(page: BenchmarkPage) -> Text | None:
    """The score and the mean of all; which is higher only where the intervals do not meet."""
    row, every = own_row(page), overall_of(page)
    if not finite(row.get("adjusted")):
        return say("own_say_none", reason=reason_of(row))
    if not every or not finite(every.get("mean")):
        return None
    values = {"score": bounded(row["adjusted"], row["low"], row["high"]),
              "mean": bounded(every["mean"], every["low"], every["high"])}  # fmt: skip
    return say(f"own_mean_{against(row, every)}", **values)


def _against_others(page: BenchmarkPage) -> Text | None:
    """How many are surely ahead and behind, and how many are not told apart."""
    row, count = own_row(page), page.benchmark.institutions
    if not finite(row.get("rank")):
        return say("own_say_unranked", reason=reason_of(row)) if finite(row.get("adjusted")) else None
    if not finite(row["best_all"]):
        return say("own_say_unknown")
    ahead, level, behind = undecided(row["best_all"], row["worst_all"], count)
    values = {"level": percent(level_of(page)), "ahead": f"{ahead:,}", "same": f"{level:,}", "behind": f"{behind:,}"}
    return say("own_say_sets", **values)


def overview(page: BenchmarkPage) -> Block:
    """The own score among all and among peers."""
    row = own_row(page)
    if not finite(row.get("adjusted")):
        return Block(paragraph(say("own_overview_none"), "note"), "overview")
    parts = [paragraph(_among(page), "say"), _chart(page)]
    if len(quantiles := _quantiles(page, "")):
        parts.append(_quantile_table(page, quantiles))
    else:
        parts.append(paragraph(say("own_quantiles_few", least=_least(page)), "mute"))
    return Block("".join(parts), "overview")


def _least(page: BenchmarkPage) -> int:
    return page.params.version.profile.disclosure.minimum_institutions


def _among(page: BenchmarkPage) -> Text:
    """Between which quantiles the score lies."""
    row, found = own_row(page), _quantiles(page, "")
    if found.empty:
        return say("own_among_few", institutions=f"{page.benchmark.institutions:,}")
    below = found[found["value"] <= row["adjusted"]]
    if below.empty:
        return say("own_among_lowest", share=percent(found["level"].min()))
    if len(below) == len(found):
        return say("own_among_highest", share=percent(1 - found["level"].max()))
    low, high = below["level"].max(), found.loc[found["value"] > row["adjusted"], "level"].min()
    return say("own_among", low=percent(low), high=percent(high))


def _quantiles(page: BenchmarkPage, group: str, scope: str = OVERALL) -> pd.DataFrame:
    table = page.params.version.distribution
    return table[(table["scope"] == scope) & (table["peers"] == group)].sort_values("level")


def _chart(page: BenchmarkPage) -> str:
    row, every, group = own_row(page), overall_of(page), peers_of(page)
    level = level_of(page)
    found = _quantiles(page, "")
    usual = (float(found["value"].iloc[0]), float(found["value"].iloc[-1])) if len(found) > 1 else None
    score = Estimate(row["adjusted"], row["low"], row["high"], n=int(row["n"]), level=level)
    rows = [Row(own_name(page), score, band=usual, highlight=True)]
    if group and finite(group["mean"]):
        own = Estimate(group["mean"], group["low"], group["high"], n=int(group["n"]), level=level)
        rows.append(Row(say("own_peers_mean", peers=peers_name(page, str(group["peers"]))), own))
    if every and finite(every.get("mean")):
        rows.append(Row(say("own_all_mean"), Estimate(every["mean"], every["low"], every["high"], level=level)))
    caption = say("own_overview_caption", level=percent(level), n=f"{int(row['n']):,}")
    figure = interval_chart(
        "own-overview", rows, alt=say("own_overview_alt", score=bounded(row["adjusted"], row["low"], row["high"])),
        caption=caption, now=say("own_key"), expected=_range_words(found) if usual else EXPECTED,
    )  # fmt: skip
    return figure._repr_html_()


def _range_words(found: pd.DataFrame) -> Text:
    """What the pale band holds."""
    return say("own_key_range", low=percent(found["level"].iloc[0]), high=percent(found["level"].iloc[-1]))


def _quantile_table(page: BenchmarkPage, every: pd.DataFrame) -> str:
    row = own_row(page)
    group = _quantiles(page, str(row["peers"])) if row["peers"] else every.iloc[:0]
    levels = list(every["level"])
    headers = [say("own_col_group"), say("own_col_institutions"), *(plain(percent(v)) for v in levels)]
    body = []
    for name, table in ((say("own_all"), every), (peers_name(page, str(row["peers"])), group)):
        if len(table):
            values = dict(zip(table["level"], table["value"], strict=True))
            cells = [right(number(values[v]) if v in values else "–") for v in levels]
            body.append([Cell(name), right(f"{int(table['institutions'].iloc[0]):,}"), *cells])
    return captioned(headers, body, say("own_quantile_caption", least=_least(page)))


def standing(page: BenchmarkPage) -> Block:
    """Who is surely ahead and behind, among all and among peers; and the change."""
    row = own_row(page)
    if not finite(row.get("rank")):
        parts = [paragraph(say("own_standing_unranked", reason=reason_of(row)), "say")]
        why = say(f"own_why_{_why(row)}", least=_least(page))
        return Block("".join([*parts, paragraph(why)]), "standing")
    parts = [paragraph(_told(page), "say"), _sets(page)]
    parts += [paragraph(text) for text in (_shrunken(page), _rule(page), _change(page)) if text is not None]
    parts += [_history(page)] if len(page.benchmark.history) > 1 else []
    return Block("".join(parts), "standing")


def _why(row: dict[str, object]) -> str:
    """Which of the known reasons it is, so that advice can be given."""
    known = ("few_respondents", "few_indicators", "not_comparable", "not_assessed", "biased_answers", "no_case_mix",
             "few_institutions")  # fmt: skip
    code = str(row.get("reason", "")).replace(" ", "_")
    return code if code in known else "other"


def _told(page: BenchmarkPage) -> Text:
    row, count = own_row(page), page.benchmark.institutions
    if not finite(row["best_all"]):
        return say("own_say_unknown")
    ahead, same, behind = undecided(row["best_all"], row["worst_all"], count)
    if ahead == behind == 0:
        return say("own_standing_alike", count=f"{count:,}")
    return say("own_standing", place=ordinal_of(row["best_all"], row["worst_all"]), same=f"{same:,}")


def _sets(page: BenchmarkPage) -> str:
    row, group = own_row(page), peers_of(page)
    rows = [("own_all", page.benchmark.institutions, row["best_all"], row["worst_all"])]
    if finite(row["best_peers"]) and group:
        rows.append(("own_peer_group", int(group["institutions"]), row["best_peers"], row["worst_peers"]))
    body = []
    for key, count, best, worst in rows:
        told = undecided(best, worst, count) if finite(best) else ("–", "–", "–")
        cells = [right(f"{v:,}" if isinstance(v, int) else v) for v in told]
        body.append([Cell(say(key)), right(f"{count:,}"), right(span_of(best, worst)), *cells])
    headers = [say(f"own_col_{k}") for k in ("group", "institutions", "set", "ahead", "same", "behind")]
    return captioned(headers, body, say("own_sets_caption", level=percent(level_of(page))))


def _shrunken(page: BenchmarkPage) -> Text | None:
    row = own_row(page)
    if not finite(row["shrunken"]):
        return None
    return say("own_shrunken", value=bounded(row["shrunken"], row["shrunken_low"], row["shrunken_high"]))


def _rule(page: BenchmarkPage) -> Text | None:
    """Which of the profile's rules has cost points."""
    row = own_row(page)
    if finite(row["cap"]):
        return say("own_capped", cap=number(row["cap"], 0))
    return say("own_deducted", points=number(row["deducted"], 0)) if row["deducted"] > 0 else None


def _change(page: BenchmarkPage) -> Text:
    row, before = own_row(page), page.benchmark.compared_with
    if not before or not finite(row["change"]):
        return say("own_change_none")
    key = "up" if row["change_low"] > 0 else "down" if row["change_high"] < 0 else "noise"
    values: dict[str, Text | str] = {
        "before": quarter(before), "change": signed(row["change"]),
        "interval": interval(row["change_low"], row["change_high"], sign=True), "level": percent(level_of(page)),
    }  # fmt: skip
    return say(f"own_change_{key}", **values)


def _history(page: BenchmarkPage) -> str:
    table = page.benchmark.history.sort_values("quarter")
    last = str(table["quarter"].iloc[-1])
    rows = [
        Row(quarter(str(r["quarter"])), Estimate(r["score"], r["low"], r["high"], level=level_of(page)),
            highlight=r["quarter"] == last)
        for r in table.to_dict("records")
    ]  # fmt: skip
    ends = {"first": number(table["score"].iloc[0]), "last": number(table["score"].iloc[-1])}
    count = f"{int(own_row(page)['n']):,}"
    caption = say("own_history_caption", level=percent(level_of(page)), n=count)
    figure = interval_chart(
        "own-history", rows, alt=say("own_history_alt", **ends), caption=caption, now=say("own_key")
    )
    return figure._repr_html_()


def record(page: BenchmarkPage) -> Payload:
    """The numbers of the page for machines."""
    return record_with(page, title(page))
