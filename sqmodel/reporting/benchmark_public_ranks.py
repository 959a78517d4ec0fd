"""Scores, ranks and dimensions of a benchmark, as the public sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sqmodel.benchmark.content import OVERALL
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_parts import (
    FEWEST,
    MOST,
    bounded,
    estimate,
    finite,
    funnel_curves,
    institution_name,
    label_of,
    leaders,
    level,
    overall_of,
    peers_name,
    ranked,
    respondents,
    shown_rows,
    size_words,
    sizes_of,
    usual_range,
)
from sqmodel.reporting.blocks import Block, Cell, both, paragraph
from sqmodel.reporting.charts import FunnelPoint, RankRow, Row, funnel_chart, interval_chart, rank_chart
from sqmodel.reporting.charts.ranks import span_of
from sqmodel.reporting.dossier_parts import captioned, right
from sqmodel.reporting.words import interval, number, percent, say, signed
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage


def standing(page: BenchmarkPage) -> Block:
    """Scores with intervals, sets of ranks, the table of both, and the funnel."""
    table = ranked(page)
    if table.empty:
        return Block(paragraph(say("bench_standing_nobody"), "say") + _unordered(page), "standing")
    parts = [paragraph(_told(page, table), "say"), _blind(page)]
    if len(table) > MOST:
        parts.append(paragraph(say("bench_hidden", shown=MOST, count=f"{len(table):,}"), "mute"))
    parts.append(_scores(page, table))
    if table["best_all"].notna().any():
        parts.append(f"<h3>{both(say('bench_ranks'))}</h3>{_ranks(page, table)}")
    parts += [_table(page, table), f"<h3>{both(say('bench_funnel'))}</h3>", _funnel(page, table)]
    return Block("".join(parts), "standing")


def _blind(page: BenchmarkPage) -> str:
    """Why numbers of respondents are classes and intervals alike, where they are."""
    return "" if sizes_of(page) is None else paragraph(say("bench_blind_sizes"), "mute")


def _told(page: BenchmarkPage, table: pd.DataFrame) -> Text:
    """How fine an order the data carry."""
    count = len(table)
    width = float((table["worst_all"] - table["best_all"] + 1).median())
    if not finite(width):
        return say("bench_standing_unknown")
    if len(leaders(page)) == count and (table["worst_all"] == count).all():
        return say("bench_standing_alike", count=f"{count:,}")
    bands = int(table["band"].max()) if table["band"].notna().any() else 1
    key = "bench_standing_bands" if bands > 1 else "bench_standing_one"
    return say(key, count=f"{count:,}", width=f"{width:.0f}", bands=bands)


def _scores(page: BenchmarkPage, table: pd.DataFrame) -> str:
    first = _first(page, table)
    rows = [
        Row(_short(page, r["institution"]), estimate(r, page, "adjusted"), highlight=r["institution"] in first)
        for r in shown_rows(table).to_dict("records")
    ]
    mean = overall_of(page).get("mean", np.nan)
    ends = {"high": number(table["adjusted"].iloc[0]), "low": number(table["adjusted"].iloc[-1])}
    caption = say("bench_scores_caption", level=percent(level(page)), n=respondents(page),
                  count=f"{len(table):,}")  # fmt: skip
    figure = interval_chart(
        "bench-scores", rows, alt=say("bench_scores_alt", count=f"{len(table):,}", **ends), caption=caption,
        now=say("bench_key_score"), reference=(mean, say("bench_key_mean")) if finite(mean) else None,
    )  # fmt: skip
    return figure._repr_html_()


def _first(page: BenchmarkPage, table: pd.DataFrame) -> set[str]:
    """Those to look at: who may be first, unless anybody may."""
    found = leaders(page)
    return set(found) if len(found) < len(table) else set()


def _short(page: BenchmarkPage, code: Any) -> Text:
    return institution_name(page, str(code))


def _ranks(page: BenchmarkPage, table: pd.DataFrame) -> str:
    first = _first(page, table)
    order = table.sort_values(["best_all", "worst_all", "rank"], kind="stable")
    shown = shown_rows(order)
    rows = [
        RankRow(_short(page, r["institution"]), r["best_all"], r["worst_all"], r["best"], r["worst"],
                highlight=r["institution"] in first)
        for r in shown.to_dict("records")
    ]  # fmt: skip
    caption = say("bench_ranks_caption", level=percent(level(page)), n=respondents(page),
                  count=f"{len(table):,}")  # fmt: skip
    alt = say("bench_ranks_alt", first=len(leaders(page)), count=f"{len(table):,}")
    return rank_chart("bench-ranks", rows, len(table), alt=alt, caption=caption)._repr_html_()


def _table(page: BenchmarkPage, table: pd.DataFrame) -> str:
    grouped = bool((table["peers"] != "").any())
    changed = bool(table["change"].notna().any())
    marked = bool((table["cap"].notna() | (table["deducted"] > 0)).any())
    columns = {"institution": True, "peers": grouped, "n": True, "score": True, "set_all": True, "set_peers": grouped,
               "change": changed, "rule": marked}  # fmt: skip
    rows = []
    for r in shown_rows(table).to_dict("records"):
        cells = [Cell(_short(page, r["institution"]))]
        cells += [Cell(peers_name(page, str(r["peers"])))] if grouped else []
        cells += [right(size_words(page, r)), right(bounded(r["adjusted"], r["low"], r["high"]))]
        cells += [right(span_of(r["best_all"], r["worst_all"]))]
        cells += [right(span_of(r["best_peers"], r["worst_peers"]))] if grouped else []
        cells += [right(_change({str(k): v for k, v in r.items()}))] if changed else []
        cells += [Cell(_rule({str(k): v for k, v in r.items()}))] if marked else []
        rows.append(cells)
    caption = say("bench_standing_caption", level=percent(level(page)))
    return captioned([say(f"bench_col_{k}") for k, there in columns.items() if there], rows, caption)


def _change(row: dict[str, Any]) -> Text:
    if not finite(row["change"]):
        return Text(zh="–", en="–")
    bounds = interval(row["change_low"], row["change_high"], sign=True)
    return Text(**{g: f"{signed(row['change'])} [{bounds[g]}]" for g in ("zh", "en")})


def _rule(row: dict[str, Any]) -> Text:
    """Which of the profile's rules has cost points."""
    if finite(row["cap"]):
        return say("bench_capped", cap=number(row["cap"], 0))
    if row["deducted"] > 0:
        return say("bench_deducted", points=number(row["deducted"], 0))
    return Text(zh="–", en="–")


def _funnel(page: BenchmarkPage, table: pd.DataFrame) -> str:
    mean = overall_of(page).get("mean", np.nan)
    if not finite(mean) or len(table) < FEWEST:
        return paragraph(say("bench_funnel_none"), "note")
    above, below = (int(table["funnel"].isin([k, f"far {k}"]).sum()) for k in ("above", "below"))
    counts: dict[str, Text | str | int] = {"above": above, "below": below, "count": f"{len(table):,}"}
    told = paragraph(say("bench_funnel_say" if above or below else "bench_funnel_within", **counts))
    if sizes_of(page) is not None:
        return told + paragraph(say("bench_funnel_blind"), "mute")
    points = [
        FunnelPoint(_short(page, r["institution"]), r["adjusted_se"], r["adjusted"], str(r["funnel"]) or "within")
        for r in table.to_dict("records")
    ]
    limits = funnel_curves("mean", table["adjusted"].tolist(), table["adjusted_se"].tolist(), mean)
    caption = say("bench_funnel_caption", n=respondents(page))
    figure = funnel_chart(
        "bench-funnel", points, limits, mean, alt=say("bench_funnel_alt", **counts), caption=caption,
        x_title=say("bench_funnel_x"), y_title=say("bench_funnel_y"), digits=2, least_first=False,
    )  # fmt: skip
    return told + figure._repr_html_()


def _unordered(page: BenchmarkPage) -> str:
    """Scores in the order of the names: without a rank there is no order."""
    table = page.benchmark.standing
    table = table[table["score"].notna()].sort_values("institution", kind="stable").head(MOST)
    if table.empty:
        return ""
    rows = [
        [Cell(_short(page, r["institution"])), right(size_words(page, r)),
         right(bounded(r["score"], r["low"], r["high"]))]
        for r in table.to_dict("records")
    ]  # fmt: skip
    headers = [say(f"bench_col_{k}") for k in ("institution", "n", "score")]
    return _blind(page) + captioned(
        headers, rows, say("bench_unordered_caption", level=percent(level(page)), most=MOST)
    )


def dimensions(page: BenchmarkPage) -> Block:
    """Mean, spread and best practice of the branches."""
    rows = [r for r in page.benchmark.overall.to_dict("records") if r["scope"] != OVERALL and finite(r["mean"])]
    if not rows:
        return Block(paragraph(say("bench_dimensions_none"), "note"), "dimensions")
    parts = [] if page.benchmark.institutions else [paragraph(say("bench_crude"), "note")]
    parts += [paragraph(_widest(page, rows), "say"), _dimension_chart(page, rows), _dimension_table(page, rows)]
    return Block("".join(parts), "dimensions")


def _widest(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> Text:
    """Where the mean is lowest, and where the way to the best practice is longest."""
    low = min(rows, key=lambda r: r["mean"])
    known = [r for r in rows if finite(r["best_practice"])]
    if not known:
        return say("bench_dimensions_say_mean", lowest=label_of(page, str(low["scope"])), mean=number(low["mean"]))
    far = max(known, key=lambda r: r["best_practice"] - r["mean"])
    lowest, farthest = (label_of(page, str(r["scope"])) for r in (low, far))
    distance = number(far["best_practice"] - far["mean"])
    return say("bench_dimensions_say", lowest=lowest, mean=number(low["mean"]), farthest=farthest, distance=distance)


def _dimension_chart(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> str:
    shown = [
        Row(label_of(page, str(r["scope"])), Estimate(r["mean"], r["low"], r["high"], level=level(page)),
            previous=r["best_practice"] if finite(r["best_practice"]) else None,
            band=usual_range(r) if finite(usual_range(r)[0]) else None)
        for r in rows
    ]  # fmt: skip
    low = min(rows, key=lambda r: r["mean"])
    alt = say("bench_dimensions_alt", lowest=label_of(page, str(low["scope"])), mean=number(low["mean"]))
    counts = max(int(r["institutions"]) for r in rows)
    key = "bench_dimensions_caption" if any(r.band for r in shown) else "bench_dimensions_caption_plain"
    caption = say(key, n=f"{counts:,}", level=percent(level(page)))
    figure = interval_chart("bench-dimensions", shown, alt=alt, caption=caption, now=say("bench_key_mean"),
                            before=say("bench_key_best"), expected=say("bench_key_range"))  # fmt: skip
    return figure._repr_html_()


def _usual(row: dict[Any, Any]) -> Text | str:
    low, high = usual_range(row)
    return interval(low, high) if finite(low) else "–"


def _dimension_table(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> str:
    body = []
    for r in rows:
        cells = [right(bounded(r["mean"], r["low"], r["high"])), right(number(r["tau"]))]
        cells += [right(_usual(r)), right(number(r["median"]))]
        cells += [right(number(r["best_practice"])), right(f"{r['institutions']:,.0f}")]
        body.append([Cell(label_of(page, str(r["scope"]))), *cells])
    keys = ("dimension", "mean", "tau", "range", "median", "best_practice", "institutions")
    caption = say("bench_dimension_table_caption", level=percent(level(page)))
    return captioned([say(f"bench_col_{k}") for k in keys], body, caption)
