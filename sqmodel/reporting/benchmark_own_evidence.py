"""Strengths and weaknesses, operations, peers and comparability of one institution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.benchmark.content import OVERALL
from sqmodel.definitions import Text
from sqmodel.reporting import benchmark_public_operations, benchmark_public_trust
from sqmodel.reporting.benchmark_own_parts import (
    against,
    known,
    level_of,
    ordinal_of,
    own_name,
    own_row,
    peers_of,
    scope_name,
    undecided,
)
from sqmodel.reporting.benchmark_parts import (
    BADGES,
    KEYS,
    bounded,
    curve_of,
    direction_of,
    figure_of,
    finite,
    label_of,
    peers_name,
    profile_of,
)
from sqmodel.reporting.blocks import Block, Cell, badge, both, paragraph
from sqmodel.reporting.charts import Panel, Row, interval_chart, waiting_chart
from sqmodel.reporting.charts.ranks import span_of
from sqmodel.reporting.charts.steps import median_of
from sqmodel.reporting.dossier_parts import captioned, right
from sqmodel.reporting.words import interval, listed, number, percent, say, signed
from sqmodel.result import Estimate

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage

OUTSIDE = {"above": 1, "far above": 1, "below": -1, "far below": -1}


def dimensions(page: BenchmarkPage) -> Block:
    """Where the institution is strong and weak, and how far the best practice is."""
    table = page.benchmark.scopes
    rows = [r for r in table.to_dict("records") if r["scope"] != OVERALL and finite(r["score"])]
    if not rows:
        return Block(paragraph(say("own_dimensions_none"), "note"), "dimensions")
    parts = [paragraph(_strengths(page, rows), "say")]
    if far := _farthest(page, rows):
        parts.append(paragraph(far))
    parts += [_dimension_chart(page, rows), _dimension_table(page, rows)]
    return Block("".join(parts), "dimensions")


def _strengths(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> Text:
    """Only what is surely above or below the mean of all."""
    if not any(finite(r["median"]) for r in rows):
        return say("own_dimensions_few", least=profile_of(page).disclosure.minimum_institutions)
    strong, weak = ([scope_name(page, str(r["scope"])) for r in rows if r["standing"] == s]
                    for s in ("strength", "weakness"))  # fmt: skip
    shown = {"strong": listed(strong) if strong else "", "weak": listed(weak) if weak else ""}
    key = "both" if strong and weak else "strong" if strong else "weak" if weak else "none_sure"
    return say(f"own_dimensions_{key}", level=percent(level_of(page)), **shown)


def _farthest(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> Text | None:
    """The longest way to the best practice, where it is surely one."""
    sure = [r for r in rows if finite(r["distance"]) and r["distance_low"] > 0]
    if not sure:
        return say("own_distance_none") if any(finite(r["distance"]) for r in rows) else None
    far = max(sure, key=lambda r: r["distance"])
    return say("own_distance", dimension=scope_name(page, str(far["scope"])), distance=number(far["distance"]),
               interval=interval(far["distance_low"], far["distance_high"]))  # fmt: skip


def _dimension_chart(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> str:
    found = page.params.version.distribution
    every = found[found["peers"] == ""]
    shown = []
    for r in rows:
        values = every.loc[every["scope"] == r["scope"], "value"]
        band = (float(values.min()), float(values.max())) if len(values) > 1 else None
        score = Estimate(r["score"], r["low"], r["high"], n=int(r["n"]) if finite(r["n"]) else 0, level=level_of(page))
        best = float(r["best_practice"]) if finite(r["best_practice"]) else None
        highlight = r["standing"] == "weakness"
        shown.append(Row(scope_name(page, str(r["scope"])), score, previous=best, band=band, highlight=highlight))
    low = min(rows, key=lambda r: r["score"])
    alt = say("own_dimensions_alt", lowest=scope_name(page, str(low["scope"])), score=number(low["score"]))
    counts = max(int(r["n"]) for r in rows if finite(r["n"]))
    figure = interval_chart(
        "own-dimensions", shown, alt=alt, now=say("own_key"), before=say("bench_key_best"),
        caption=say("own_dimensions_caption", level=percent(level_of(page)), n=f"{counts:,}"),
        expected=say("own_key_middle"),
    )  # fmt: skip
    return figure._repr_html_()


def _dimension_table(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> str:
    body = []
    for r in rows:
        tone = {"strength": "ok", "weakness": "bad"}.get(str(r["standing"]), "")
        verdict = say(f"own_{r['standing']}") if tone else say("own_within")
        cells = [right(bounded(r["score"], r["low"], r["high"])), right(number(r["median"]))]
        cells += [right(number(r["peers_median"])), right(number(r["best_practice"]))]
        cells += [right(bounded(r["distance"], r["distance_low"], r["distance_high"]))]
        cells += [right(span_of(known(r["best_all"]), known(r["worst_all"])))]
        body.append([Cell(scope_name(page, str(r["scope"]))), *cells, Cell(verdict, tone=tone or "same")])
    keys = ("dimension", "own", "median", "peers_median", "best", "distance", "set", "verdict")
    caption = say("own_dimension_table_caption", level=percent(level_of(page)))
    return captioned([say(f"own_col_{k}") for k in keys], body, caption)


def operations(page: BenchmarkPage) -> Block:
    """The own indicators against the limits at their own n, and how long clients wait."""
    table = page.benchmark.indicators
    rows = [r for r in table.to_dict("records") if finite(r["value"])]
    parts = [paragraph(say("own_operations_none"), "note")]
    if rows:
        parts = [paragraph(_outside(page, rows), "say"), _indicator_table(page, rows)]
    parts += _waiting(page)
    return Block("".join(parts), "operations")


def _good(page: BenchmarkPage, row: dict[Any, Any]) -> int:
    """1 where an indicator lies outside of its limits on the better side, -1 on the worse, 0 within."""
    return OUTSIDE.get(str(row["funnel"]), 0) * direction_of(page, str(row["indicator"]))


def _outside(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> Text:
    better, worse = ([label_of(page, str(r["indicator"])) for r in rows if _good(page, r) == s] for s in (1, -1))
    if not any(r["funnel"] for r in rows):
        return say("own_operations_open")
    key = "both" if better and worse else "better" if better else "worse" if worse else "within"
    shown = {"better": listed(better) if better else "", "worse": listed(worse) if worse else ""}
    return say(f"own_operations_{key}", count=len(rows), **shown)


def _indicator_table(page: BenchmarkPage, rows: list[dict[Any, Any]]) -> str:
    body = []
    for r in rows:
        kind, code = str(r["kind"]), str(r["indicator"])
        hint = say("bench_more" if direction_of(page, code) > 0 else "bench_less")
        name = Text(**{g: f"{label_of(page, code)[g]} · {hint[g]}" for g in ("zh", "en")})
        value = figure_of(r["value"], kind)
        if finite(r["low"]):
            value += f" [{figure_of(r['low'], kind)}, {figure_of(r['high'], kind)}]"
        limits = f"{figure_of(r['lower_limit'], kind)} – {figure_of(r['upper_limit'], kind)}"
        limits = limits if finite(r["upper_limit"]) else "–"
        side = _good(page, r)
        verdict = say({1: "own_better", -1: "own_worse"}.get(side, "own_within") if r["funnel"] else "own_open")
        cells = [right(f"{r['n']:,.0f}"), right(value), right(figure_of(r["overall"], kind))]
        cells += [right(figure_of(r["peers"], kind)), right(figure_of(r["best_practice"], kind)), right(limits)]
        body.append([Cell(name), *cells, Cell(verdict, tone={1: "ok", -1: "bad"}.get(side, "same"))])
    keys = ("indicator", "n", "own", "all", "peers", "best", "limits", "verdict")
    return captioned([say(f"own_col_{k}") for k in keys], body, say("own_indicator_caption"))


def _waiting(page: BenchmarkPage) -> list[str]:
    """A panel a stage: all institutions, and the own curve over it."""
    waiting, labels = page.benchmark.waiting.dropna(subset=["waiting"]), page.params.version.labels
    every, own = (waiting[waiting["scope"] == s] for s in (OVERALL, page.params.institution))
    found = {str(s): t for s, t in every.groupby("stage", sort=False)}
    mine = {str(s): t for s, t in own.groupby("stage", sort=False)}
    order = [s for s in labels.stages if s in found] + [s for s in found if s not in labels.stages]
    if not order or not mine:
        return []
    panels = [Panel(labels.stage(s), curve_of(found[s]), curve_of(mine[s]) if s in mine else None) for s in order]
    caption = say("own_waiting_caption", n=f"{int(every['institutions'].max()):,}", level=percent(level_of(page)))
    figure = waiting_chart(
        "own-waiting", panels, alt=say("own_waiting_alt", list=listed(p.label for p in panels)), caption=caption,
        curve=say("own_all"), own=own_name(page),
    )  # fmt: skip
    told = paragraph(_slow(found, mine, page))
    return [f"<h3>{both(say('bench_waiting'))}</h3>", told, figure._repr_html_()]


def _slow(every: dict[str, pd.DataFrame], own: dict[str, pd.DataFrame], page: BenchmarkPage) -> Text:
    """Stages in which clients surely wait longer or shorter, at the hours at which half of all cases are done."""
    slower: list[str] = []
    faster: list[str] = []
    for stage, table in own.items():
        hours = median_of(curve_of(every[stage])) if stage in every else float("nan")
        mine, others = (t[t["hours"] == hours] for t in (table, every.get(stage, table.iloc[:0])))
        if len(mine) and len(others):
            side = against(*({str(k): v for k, v in t.iloc[0].items()} for t in (mine, others)))
            (slower if side == "above" else faster if side == "below" else []).append(stage)
    labels = page.params.version.labels
    shown = {k: listed(labels.stage(s) for s in found) if found else "" for k, found in
             (("slower", slower), ("faster", faster))}  # fmt: skip
    key = "both" if slower and faster else "slower" if slower else "faster" if faster else "same"
    return say(f"own_waiting_{key}", level=percent(level_of(page)), **shown)


def peers(page: BenchmarkPage) -> Block:
    """The institution among its own kind, then all groups."""
    row, group = own_row(page), peers_of(page)
    if not row.get("peers"):
        return Block(paragraph(say("own_peers_none"), "say"), "peers")
    name = peers_name(page, str(row["peers"]))
    parts = []
    if not group or not finite(group["mean"]):
        parts.append(paragraph(say("own_peers_withheld", peers=name), "say"))
    elif finite(row.get("best_peers")):
        count = int(group["institutions"])
        ahead, same, behind = undecided(row["best_peers"], row["worst_peers"], count)
        values = {"ahead": f"{ahead:,}", "same": f"{same:,}", "behind": f"{behind:,}", "count": f"{count:,}"}
        place = ordinal_of(row["best_peers"], row["worst_peers"])
        parts.append(paragraph(say("own_peers_say", peers=name, place=place, **values), "say"))
    else:
        parts.append(paragraph(say("own_peers_mean_only", peers=name, mean=number(group["mean"])), "say"))
    return Block("".join(parts) + benchmark_public_operations.peers(page).html.replace('class="say"', "", 1), "peers")


def comparability(page: BenchmarkPage) -> Block:
    """Whether the comparison is fair to this institution."""
    gate, rules = page.benchmark.gate, profile_of(page).gate
    key = KEYS.get(gate.verdict, gate.verdict)
    words = benchmark_public_trust.gate_words(page)
    parts = [f'<p class="say">{badge(say(f"bench_verdict_{key}"), BADGES[gate.verdict])} {both(words)}</p>']
    most = number(rules.most_bias, 0)
    if len(gate.left_out):
        parts.append(paragraph(say("own_gate_left_out", least=f"{rules.minimum_n:,}")))
    elif len(gate.biased) and finite(gate.biased["bias"].iloc[0]):
        parts += _bias(page, gate.biased.iloc[0].to_dict(), most)
    else:
        parts.append(paragraph(say("own_bias_none")))
    return Block("".join(parts), "comparability")


def _bias(page: BenchmarkPage, row: dict[Any, Any], most: str) -> list[str]:
    """What the meaning of items makes of this institution's score, how sure that is, and what else it may be."""
    other = benchmark_public_trust.other_reading(row)
    values: dict[str, Text | str | int] = {k: signed(row[k]) for k in ("observed", "bias", "fair")}
    values |= {"other": signed(other), "range": interval(row["low"], row["high"], sign=True), "most": most}
    exact = finite(row["low"])
    told = [say(f"own_bias_{row['finding']}" if exact else "own_bias_rough", **values)]
    if exact:
        told += [say("own_bias_other", **values)] if finite(other) and row["finding"] != "undecided" else []
        told.append(say("own_bias_how"))
    cells = [right(signed(row["observed"])), right(benchmark_public_trust.with_range(row)), right(signed(row["fair"]))]
    headers = [say(f"bench_col_{k}") for k in ("institution", "observed", "bias", "fair")]
    table = captioned(headers, [[Cell(own_name(page)), *cells]], say("own_bias_caption"))
    return [*(paragraph(text) for text in told), table]
