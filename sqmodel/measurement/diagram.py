"""The path diagram of a measurement model as inline SVG: factors, items, standardised loadings, correlations."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from sqmodel.measurement.confirmatory import Confirmation

ROW, WIDTH, TOP = 26, 640, 14
FACTOR_X, OUTER_X, ITEM_X, ITEM_W, RADIUS = 230, 70, 410, 200, 62


@dataclass(frozen=True)
class Diagram:
    """A drawing that notebooks display; `svg` is its text."""

    svg: str

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Diagram {len(self.svg)} characters of SVG>"


def path_diagram(confirmation: Confirmation, group: str | None = None) -> Diagram:
    """Factors on the left, items on the right; standardised loadings on the arrows, correlations on the arcs.

    Parameters
    ----------
    confirmation : Confirmation
    group : str, optional
        Of several groups the one to draw; the first by default.
    """
    chosen = group if group is not None else str(confirmation.parameters["group"].iloc[0])
    loadings = confirmation.loadings[confirmation.loadings["group"] == chosen]
    between = confirmation.factor_correlations
    between = between[between["group"] == chosen]
    factors = list(dict.fromkeys(loadings["factor"]))
    items = [i for i in dict.fromkeys(loadings["item"]) if i not in factors]
    place = {item: TOP + ROW * (k + 0.5) for k, item in enumerate(items)}
    centre = _centres(loadings, factors, place)
    outer = set(loadings.loc[loadings["item"].isin(factors), "factor"])
    at = {f: float(OUTER_X if f in outer else FACTOR_X) for f in factors}
    parts = [_arc(centre, row) for row in between.itertuples()]
    parts += [_arrow(centre, at, place, row) for row in loadings.itertuples()]
    parts += [_ellipse(name, at[name], centre[name]) for name in factors]
    parts += [_box(name, place[name]) for name in items]
    height = TOP * 2 + ROW * max(len(items), 2 * len(factors))
    said = f"{len(items)} items load on {len(factors)} factors: " + "; ".join(
        f"{f}: " + ", ".join(f"{r.item} {_short(r.loading)}" for r in loadings[loadings["factor"] == f].itertuples())
        for f in factors
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-size="12" '
        f'style="max-width:{WIDTH}px" font-family="system-ui, sans-serif" aria-label="{html.escape(said, quote=True)}">'
        '<defs><marker id="sq-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="currentColor"/>'
        "</marker></defs>"
    )
    return Diagram(head + "".join(parts) + "</svg>")


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "n/a"


def _centres(loadings: pd.DataFrame, factors: list[str], place: dict[str, float]) -> dict[str, float]:
    """Height of each factor: the middle of its own items; factors of factors in the middle of theirs, spread apart."""
    out: dict[str, float] = {}
    for _ in range(2):
        for factor in factors:
            own = [place.get(i, out.get(i, math.nan)) for i in loadings.loc[loadings["factor"] == factor, "item"]]
            known = [y for y in own if not math.isnan(y)]
            out[factor] = sum(known) / len(known) if known else math.nan
    outer = set(loadings.loc[loadings["item"].isin(factors), "factor"])
    for column in (outer, set(factors) - outer):
        lowest = float(TOP - ROW)
        for factor in sorted(column, key=lambda f: out[f]):
            out[factor] = lowest = max(out[factor], lowest + 2 * ROW)
    return out


def _ellipse(name: str, x: float, y: float) -> str:
    return (
        f'<ellipse cx="{x:g}" cy="{y:g}" rx="{RADIUS}" ry="20" fill="none" stroke="currentColor"/>'
        f'<text x="{x:g}" y="{y + 4:g}" text-anchor="middle" fill="currentColor">{html.escape(_cut(name, 16))}</text>'
    )


def _box(name: str, y: float) -> str:
    return (
        f'<rect x="{ITEM_X}" y="{y - 10:g}" width="{ITEM_W}" height="20" fill="none" stroke="currentColor"/>'
        f'<text x="{ITEM_X + 8}" y="{y + 4:g}" fill="currentColor">{html.escape(_cut(name, 28))}</text>'
    )


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _arrow(centre: dict[str, float], at: dict[str, float], place: dict[str, float], row: object) -> str:
    factor, item, loading = (getattr(row, k) for k in ("factor", "item", "loading"))
    x0, y0 = at[factor] + RADIUS, centre[factor]
    x1, y1 = (ITEM_X, place[item]) if item in place else (at[item] - RADIUS, centre[item])
    mx, my = x0 + 0.72 * (x1 - x0), y0 + 0.72 * (y1 - y0)
    width = 0.6 + 1.8 * min(abs(loading), 1.0) if math.isfinite(loading) else 0.6
    dash = "" if loading >= 0 else ' stroke-dasharray="5 3"'
    return (
        f'<line x1="{x0}" y1="{y0:g}" x2="{x1}" y2="{y1:g}" stroke="currentColor" stroke-width="{width:.2f}"{dash} '
        f'marker-end="url(#sq-tip)"/><text x="{mx:g}" y="{my - 3:.1f}" text-anchor="middle" fill="currentColor" '
        f'font-size="10.5">{_short(loading)}</text>'
    )


def _arc(centre: dict[str, float], row: object) -> str:
    first, second, r = (getattr(row, k) for k in ("first", "second", "r"))
    y0, y1 = sorted((centre[first], centre[second]))
    x, bend = FACTOR_X - RADIUS, FACTOR_X - RADIUS - 0.55 * (y1 - y0) ** 0.85
    bend = max(bend, 8.0)
    return (
        f'<path d="M{x} {y0:g}C{bend:.1f} {y0:g} {bend:.1f} {y1:g} {x} {y1:g}" fill="none" stroke="currentColor" '
        f'stroke-width=".8" marker-start="url(#sq-tip)" marker-end="url(#sq-tip)"/><text x="{(x + 3 * bend) / 4:.1f}" '
        f'y="{(y0 + y1) / 2 + 4:.1f}" text-anchor="middle" fill="currentColor" font-size="10.5" '
        f'stroke="Canvas" stroke-width="3" paint-order="stroke">{_short(r)}</text>'
    )
