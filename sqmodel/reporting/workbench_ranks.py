"""What is not known about an index: scores, ranks, sampling against method, and which factor matters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import Block, Cell, details, paragraph
from sqmodel.reporting.charts import Row, interval_chart
from sqmodel.reporting.dossier_parts import captioned, notes, right, with_bounds
from sqmodel.reporting.words import number, percent, plain, say
from sqmodel.reporting.workbench_parts import (
    digits_of,
    factor_name,
    left_out,
    only,
    share_bounds,
    shown_units,
    units_listed,
)
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.workbench import Workbench

SHARES = ("first", "total", "shapley")


def ranks(bench: Workbench) -> Block:
    """Scores with intervals, rank sets, and the table of both."""
    found = bench.uncertainty
    order = [str(u) for u in found.ranks.sort_values(["rank", "median"], kind="stable").index]
    parts = [paragraph(_bands(bench, order), "say"), _score_chart(bench, order)]
    known = not found.ranks["best_all"].isna().all()
    parts += [_rank_chart(bench, order)] if known else [paragraph(say("design_ranks_unknown"), "note")]
    hidden = left_out(len(order))
    parts += [paragraph(hidden, "mute")] if hidden else []
    parts += [_table(bench, order), notes(found.notes)]
    return Block("".join(parts), "ranks")


def _bands(bench: Workbench, order: list[str]) -> Text:
    """Who may be first and who is surely in the upper quarter."""
    table = _rows(bench.uncertainty.ranks)
    quarter = math.ceil(len(order) / 4)
    if math.isnan(table[order[0]]["best_all"]):
        return say("design_ranks_plain", unit=order[0], share=percent(table[order[0]]["top_quarter"]))
    first = [u for u in order if table[u]["best_all"] == 1]
    upper = [u for u in order if table[u]["worst_all"] <= quarter]
    bands = int(bench.uncertainty.ranks["band"].max())
    told = say("design_bands_one") if bands == 1 else say("design_bands", count=bands)
    surely = say("design_upper", list=units_listed(upper), quarter=quarter) if upper else say(
        "design_upper_none", quarter=quarter)  # fmt: skip
    return say("design_ranks_say", list=units_listed(first), upper=surely, bands=told)


def _rows(frame: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """The rows of a table by unit."""
    return {str(unit): row for unit, row in frame.to_dict("index").items()}


def _score_chart(bench: Workbench, order: list[str]) -> str:
    table, level = _rows(bench.uncertainty.scores), bench.study.level
    rows = []
    for unit in shown_units(order):
        row = table[unit]
        rows.append(Row(plain(unit), Estimate(row["score"], row["low"], row["high"], level=level)))
    digits = digits_of(bench)
    high, low = (number(table[u]["score"], digits) for u in (order[0], order[-1]))
    alt = say("design_scores_alt", first=order[0], high=high, last=order[-1], low=low)
    draws = f"{bench.study.draws:,}"
    caption = say("design_scores_chart_caption", level=percent(level), draws=draws, n=f"{len(order):,}")
    figure = interval_chart("scores", rows, alt=alt, caption=caption, digits=digits, now=say("design_key_score"))
    return figure._repr_html_()


def _rank_chart(bench: Workbench, order: list[str]) -> str:
    table, level = _rows(bench.uncertainty.ranks), bench.study.level
    rows = []
    for unit in shown_units(order):
        row = table[unit]
        rows.append(Row(plain(unit), Estimate(row["rank"], row["best_all"], row["worst_all"], level=level)))
    first = table[order[0]]
    alt = say("design_ranks_alt", unit=order[0], best=f"{first['best_all']:.0f}", worst=f"{first['worst_all']:.0f}")
    caption = say("design_ranks_chart_caption", level=percent(level), n=f"{len(order):,}")
    return interval_chart("ranks", rows, alt=alt, caption=caption, digits=0, now=say("design_key_rank"))._repr_html_()


def _table(bench: Workbench, order: list[str]) -> str:
    scores, ranked = _rows(bench.uncertainty.scores), _rows(bench.uncertainty.ranks)
    rows, digits = [], digits_of(bench)

    def shown(value: float) -> str:
        return number(value, digits)

    for unit in shown_units(order):
        score, rank = scores[unit], ranked[unit]
        cells = [
            right(with_bounds(score["score"], score[f"{k}low"], score[f"{k}high"], shown)) for k in ("", "sampling_")
        ]
        cells += [right(f"{rank['rank']:.0f}"), right(_set(rank, "")), right(_set(rank, "_all"))]
        cells += [right(f"{rank['median']:.0f} [{rank['low']:.0f}, {rank['high']:.0f}]")]
        cells += [right(_whole(rank["band"])), right(percent(rank["top_quarter"]))]
        rows.append([Cell(plain(unit)), *cells])
    keys = ("unit", "score_all", "score_sampling", "rank", "set", "set_all", "median_rank", "band", "top_quarter")
    quarter = math.ceil(len(order) / 4)
    caption = say("design_ranks_caption", level=percent(bench.study.level), quarter=quarter)
    return captioned([say(f"design_col_{k}") for k in keys], rows, caption)


def _set(rank: dict[Any, Any], suffix: str) -> str:
    low, high = rank[f"best{suffix}"], rank[f"worst{suffix}"]
    if not math.isfinite(low):
        return "–"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _whole(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "–"


def split(bench: Workbench) -> Block:
    """What sampling and what method makes of the variance of the scores."""
    found, alone = bench.uncertainty, only(bench)
    if alone:
        parts = [paragraph(say(f"design_only_{alone}"), "say")]
    elif found.split.empty:
        parts = [paragraph(say("design_split_unassessed"), "note"), notes(found.notes)]
    else:
        parts = [paragraph(_larger(found.split), "say"), _shares(bench)]
    parts.append(details(say("design_spread"), _spread(bench)))
    return Block("".join(parts), "split")


def _larger(table: pd.DataFrame) -> Text:
    """Which of both is larger, if that is sure."""
    sampling, method = table.loc["sampling"], table.loc["method"]
    values = {"sampling": percent(sampling["share"]), "method": percent(method["share"])}
    if sampling["low"] > method["high"]:
        return say("design_split_sampling", **values)
    if method["low"] > sampling["high"]:
        return say("design_split_method", **values)
    return say("design_split_same", **values)


def _shares(bench: Workbench) -> str:
    rows = [
        [Cell(say(f"design_kind_{kind}")), Cell(say(f"design_kind_{kind}_what")),
         right(share_bounds(row["share"], row["low"], row["high"]))]
        for kind, row in bench.uncertainty.split.iterrows()
    ]  # fmt: skip
    headers = [say(f"design_col_{k}") for k in ("kind", "what", "share")]
    return captioned(headers, rows, say("design_split_caption", level=percent(bench.study.level)))


def _spread(bench: Workbench) -> str:
    table = _rows(bench.uncertainty.scores)
    order, digits = sorted(table, key=lambda u: -table[u]["score"]), digits_of(bench) + 1
    rows = [
        [Cell(plain(u)), *(right(number(table[u][k], digits)) for k in ("sampling_sd", "method_sd", "sd"))]
        for u in shown_units(order)
    ]
    headers = [say(f"design_col_{k}") for k in ("unit", "sampling_sd", "method_sd", "sd")]
    return captioned(headers, rows, say("design_spread_caption"))


def factors(bench: Workbench) -> Block:
    """First-order, total and Shapley shares of every factor, with what the evaluation reached."""
    found = bench.uncertainty
    own = {k: found.factors[found.factors["output"] == k] for k in ("scores", "ranks")}
    if own["scores"].empty:
        return Block(paragraph(say("design_factors_unassessed"), "note") + notes(found.notes), "factors")
    table = own["scores"].sort_values("shapley", ascending=False, kind="stable")
    parts = [paragraph(_leading(bench, table), "say"), _factor_chart(bench, table), _factor_table(bench, table)]
    if len(own["ranks"]):
        ranked = own["ranks"].sort_values("shapley", ascending=False, kind="stable")
        parts.append(details(say("design_factors_ranks"), _factor_table(bench, ranked)))
    parts += [paragraph(_reached(bench)), details(say("design_convergence"), _convergence(bench))]
    return Block("".join(parts), "factors")


def _leading(bench: Workbench, table: pd.DataFrame) -> Text:
    """The factor with the largest share, and whether it is surely that."""
    first = table.iloc[0]
    named = factor_name(bench, str(first["factor"]))
    values: dict[str, Text | str] = {"factor": named, "share": percent(first["shapley"])}
    if len(table) == 1:
        return say("design_factors_one", factor=named)
    second = table.iloc[1]
    if first["shapley_low"] > table["shapley_high"].iloc[1:].max():
        return say("design_factors_sure", **values)
    return say("design_factors_open", second=factor_name(bench, str(second["factor"])), **values)


def _factor_chart(bench: Workbench, table: pd.DataFrame) -> str:
    level = bench.study.level
    rows = [
        Row(factor_name(bench, str(r["factor"])),
            Estimate(100 * r["shapley"], 100 * r["shapley_low"], 100 * r["shapley_high"], level=level),
            highlight=r["kind"] == "method")
        for r in table.to_dict("records")
    ]  # fmt: skip
    first = table.iloc[0]
    alt = say("design_factors_alt", factor=factor_name(bench, str(first["factor"])), share=percent(first["shapley"]))
    caption = say("design_factors_chart_caption", level=percent(level))
    figure = interval_chart("factors", rows, alt=alt, caption=caption, unit="%", digits=1, now=say("design_key_share"))
    return figure._repr_html_()


def _factor_table(bench: Workbench, table: pd.DataFrame) -> str:
    rows = []
    for r in table.to_dict("records"):
        drawn = r["kind"] == "sampling" or r["factor"] == "weight_noise"
        options = say("design_redrawn") if drawn else f"{r['options']:.0f}"
        cells = [Cell(factor_name(bench, r["factor"])), Cell(say(f"design_kind_{r['kind']}")), right(options)]
        cells += [right(share_bounds(r[k], r[f"{k}_low"], r[f"{k}_high"])) for k in SHARES]
        rows.append(cells)
    headers = [say(f"design_col_{k}") for k in ("factor", "kind", "options", *SHARES)]
    return captioned(headers, rows, say("design_factors_caption", level=percent(bench.study.level)))


def _reached(bench: Workbench) -> Text:
    last = bench.uncertainty.convergence.iloc[-1]
    key = "design_reached" if last["reached"] else "design_not_reached"
    half, wanted = 100 * last["half_width"], 100 * bench.uncertainty.settings["tolerance"]
    return say(key, count=f"{last['evaluations']:,}", half=number(half), tolerance=number(wanted))


def _convergence(bench: Workbench) -> str:
    rows = [
        [
            right(f"{r['evaluations']:,}"),
            right(number(100 * r["half_width"])),
            Cell(say("yes" if r["reached"] else "no")),
        ]
        for r in bench.uncertainty.convergence.to_dict("records")
    ]
    headers = [say(f"design_col_{k}") for k in ("evaluations", "half_width", "reached")]
    return captioned(headers, rows, say("design_convergence_caption"))
