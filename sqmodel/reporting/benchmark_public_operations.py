"""What was done for clients, and peer groups, as the public sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sqmodel.benchmark.content import OVERALL
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_parts import (
    FEWEST,
    bounded,
    curve_of,
    direction_of,
    estimate,
    figure_of,
    finite,
    funnel_curves,
    institution_name,
    label_of,
    level,
    named,
    peers_name,
    profile_of,
    rule_name,
    total_words,
)
from sqmodel.reporting.blocks import Block, Cell, both, paragraph
from sqmodel.reporting.charts import FunnelPoint, Panel, Row, funnel_chart, interval_chart, waiting_chart
from sqmodel.reporting.charts.steps import median_of
from sqmodel.reporting.dossier_parts import captioned, right
from sqmodel.reporting.words import listed, number, percent, say

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage

FUNNELS = 2
"""Indicators whose funnels are drawn: those with the most institutions outside of it."""
OUTSIDE = ("above", "far above", "below", "far below")
NAMED = 4


def operations(page: BenchmarkPage) -> Block:
    """Indicators of all institutions, who lies outside of the funnels, and how long clients wait."""
    own = _indicators(page)
    parts = [paragraph(say("bench_operations_none"), "note")]
    if own:
        parts = [paragraph(_outside_said(page, own), "say"), _indicator_table(page, own)]
        parts += _funnels(page, own) if _told(page) else [paragraph(say("bench_operations_blind"), "note")]
    waiting = page.benchmark.waiting
    if len(shown := waiting[(waiting["scope"] == OVERALL) & waiting["waiting"].notna()]):
        parts += [f"<h3>{both(say('bench_waiting'))}</h3>", *_waiting(page, shown)]
    return Block("".join(parts), "operations")


def _told(page: BenchmarkPage) -> bool:
    """Whether single institutions may be shown: with blind codes their numbers of cases would give them away."""
    return profile_of(page).publication.names == "names"


def _indicators(page: BenchmarkPage) -> dict[str, pd.DataFrame]:
    """Rows by indicator of the association's tree, in the tree's order, where all institutions have a mean."""
    table = page.benchmark.indicators
    table = table[table["overall"].notna()]
    found = {str(code): own for code, own in table.groupby("indicator", sort=False)}
    place, operations = list(page.params.version.tree.indicators), profile_of(page).operations
    return {code: found[code] for code in sorted(operations, key=lambda c: place.index(operations[c])) if code in found}


def _outside(own: pd.DataFrame, side: str) -> pd.DataFrame:
    return own[own["funnel"].isin([side, f"far {side}"])]


def _outside_said(page: BenchmarkPage, own: dict[str, pd.DataFrame]) -> Text:
    counts = {code: int(table["funnel"].isin(OUTSIDE).sum()) for code, table in own.items()}
    most = max(counts, key=lambda c: counts[c])
    if not counts[most]:
        return say("bench_operations_within", count=len(own))
    return say("bench_operations_say", count=len(own), indicator=label_of(page, most), outside=counts[most])


def _indicator_table(page: BenchmarkPage, own: dict[str, pd.DataFrame]) -> str:
    rows = []
    for code, table in own.items():
        kind, first = str(table["kind"].iloc[0]), table.iloc[0]
        sides = ("above", "below") if direction_of(page, code) > 0 else ("below", "above")
        label = label_of(page, code)
        hint = say("bench_more" if direction_of(page, code) > 0 else "bench_less")
        words = Text(**{g: f"{label[g]} · {hint[g]}" for g in ("zh", "en")})
        cells = [right(figure_of(first["overall"], kind)), right(figure_of(first["best_practice"], kind))]
        cells += [right(f"{len(table):,}")]
        if _told(page):
            cells += [Cell(_names(page, table, s)) for s in sides]
        else:
            cells += [right(f"{len(_outside(table, s)):,}") for s in sides]
        rows.append([Cell(words), *cells])
    keys = ("indicator", "mean_of_all", "best_practice", "institutions", "better", "worse")
    return captioned([say(f"bench_col_{k}") for k in keys], rows, say("bench_operations_caption"))


def _names(page: BenchmarkPage, table: pd.DataFrame, side: str) -> Text:
    """Those far outside first."""
    found = _outside(table, side)
    far = found["funnel"].str.startswith("far")
    codes = [*found.loc[far, "institution"], *found.loc[~far, "institution"]]
    return named(page, codes, NAMED) if codes else Text(zh="–", en="–")


def _funnels(page: BenchmarkPage, own: dict[str, pd.DataFrame]) -> list[str]:
    """Funnels of the shares and rates with most outside; those of means narrow with errors, which nobody reads."""
    drawn = {c: t for c, t in own.items() if t["kind"].iloc[0] != "mean" and len(t) >= FEWEST}
    order = sorted(drawn, key=lambda c: -int(drawn[c]["funnel"].isin(OUTSIDE).sum()))
    return [_funnel(page, code, drawn[code]) for code in order[:FUNNELS]]


def _funnel(page: BenchmarkPage, code: str, table: pd.DataFrame) -> str:
    kind: Any = table["kind"].iloc[0]
    centre = float(table["overall"].iloc[0])
    factor = profile_of(page).scale.get(profile_of(page).operations[code], 1.0)
    shown = 100.0 if kind == "share" else 1.0
    limits = funnel_curves(kind, table["value"].tolist(), table["n"].tolist(), centre, factor=factor)
    limits = (shown * limits.set_index("size")).reset_index()
    points = [
        FunnelPoint(institution_name(page, str(r["institution"])), r["n"], shown * r["value"], r["funnel"] or "within")
        for r in table.to_dict("records")
    ]
    label = label_of(page, code)
    counts = {side: len(_outside(table, side)) for side in ("above", "below")}
    figure = funnel_chart(
        f"bench-funnel-{code.replace('.', '-')}", points, limits, shown * centre,
        alt=say("bench_indicator_alt", indicator=label, **counts),
        caption=say("bench_indicator_caption", indicator=label, n=f"{int(table['n'].sum()):,}"),
        x_title=say("bench_indicator_x"), y_title=label, unit="%" if kind == "share" else "",
    )  # fmt: skip
    return figure._repr_html_()


def _waiting(page: BenchmarkPage, table: pd.DataFrame) -> list[str]:
    """A small panel a stage, in the order of the process."""
    labels = page.params.version.labels
    found = {str(s): own for s, own in table.groupby("stage", sort=False)}
    panels = [Panel(labels.stage(s), curve_of(own)) for s, own in found.items()]
    longest = max(panels, key=lambda p: median_of(p.curve) if finite(median_of(p.curve)) else np.inf)
    hours = median_of(longest.curve)
    count = int(table["institutions"].max())
    values: dict[str, Text | str | int] = {"stage": longest.label, "hours": f"{hours:g}"}
    told = say("bench_waiting_say", **values) if finite(hours) else say("bench_waiting_long", stage=longest.label)
    figure = waiting_chart(
        "bench-waiting", panels, alt=say("bench_waiting_alt", list=listed(p.label for p in panels)),
        caption=say("bench_waiting_caption", n=f"{count:,}", level=percent(level(page))),
    )  # fmt: skip
    return [paragraph(told), figure._repr_html_()]


def peers(page: BenchmarkPage) -> Block:
    """Peer groups, and what of them is withheld."""
    table = page.benchmark.peers
    groups = table[table["peers"] != OVERALL]
    if groups.empty:
        return Block(paragraph(say("bench_peers_none"), "say"), "peers")
    open_ = groups[(groups["withheld"] == "") & groups["mean"].notna()].to_dict("records")
    parts = [] if page.benchmark.institutions else [paragraph(say("bench_crude"), "note")]
    parts += [paragraph(_peers_said(page, open_, len(groups)), "say")]
    if open_:
        parts.append(_peer_chart(page, open_, table))
    parts.append(_peer_table(page, table))
    return Block("".join(parts), "peers")


def _peers_said(page: BenchmarkPage, shown: list[dict[Any, Any]], count: int) -> Text:
    """Whether any group is surely above another."""
    if not shown:
        return say("bench_peers_hidden")
    if len(shown) < 2:
        return say("bench_peers_few", shown=len(shown), count=count)
    best, last = (f(shown, key=lambda r: r["mean"]) for f in (max, min))
    if best["low"] > last["high"]:
        values = {"high": number(best["mean"]), "low": number(last["mean"])}
        return say("bench_peers_differ", best=peers_name(page, best["peers"]), last=peers_name(page, last["peers"]),
                   **values)  # fmt: skip
    return say("bench_peers_alike", count=len(shown))


def _peer_chart(page: BenchmarkPage, shown: list[dict[Any, Any]], table: pd.DataFrame) -> str:
    rows = [Row(peers_name(page, str(r["peers"])), estimate(r, page, "mean")) for r in shown]
    every = table.loc[(table["peers"] == OVERALL) & table["mean"].notna(), "mean"]
    caption = say("bench_peers_caption", level=percent(level(page)), n=total_words(page, sum(r["n"] for r in shown)))
    figure = interval_chart(
        "bench-peers", rows, alt=say("bench_peers_alt", list=listed(r.label for r in rows)), caption=caption,
        now=say("bench_key_mean"), reference=(float(every.iloc[0]), say("bench_key_all")) if len(every) else None,
    )  # fmt: skip
    return figure._repr_html_()


def _peer_table(page: BenchmarkPage, table: pd.DataFrame) -> str:
    rows = []
    for r in table.to_dict("records"):
        hidden = bool(r["withheld"])
        # Of a group that is withheld no figure is shown, whatever the table holds.
        shown = {k: np.nan if hidden else r[k] for k in ("n", "mean", "low", "high", "tau")}
        cells = [right("–" if hidden else f"{r['institutions']:,.0f}"), right(total_words(page, shown["n"]))]
        cells += [right(bounded(shown["mean"], shown["low"], shown["high"])), right(number(shown["tau"]))]
        why = rule_name(str(r["withheld"])) if hidden else Text(zh="–", en="–")
        rows.append([Cell(peers_name(page, str(r["peers"]))), *cells, Cell(why, tone="warn" if hidden else "")])
    keys = ("peers", "institutions", "n", "mean", "tau", "withheld")
    return captioned([say(f"bench_col_{k}") for k in keys], rows, say("bench_peer_table_caption"))
