"""How long clients wait: the share of cases not yet done after so many hours, a small panel for each stage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.layout import LANGUAGES, Key, explain
from sqmodel.reporting.charts.writer import Texts, el, group, number, path, text_width, wrap

ALL = Text(zh="全部机构", en="all institutions")
HALF = Text(zh="一半案件办完", en="half of the cases done")
HOURS = Text(zh="工作小时", en="working hours")
PANEL = 112.0
"""Height of the marks of a panel."""
BETWEEN = 30.0


@dataclass(frozen=True)
class Curve:
    """A survival table: hours in order, the share still waiting after each, and its bounds, NaN where not known."""

    hours: tuple[float, ...]
    waiting: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Panel:
    """A stage: the curve of all, and one to compare with it, such as an institution's own, where there is one."""

    label: Text
    curve: Curve
    own: Curve | None = None


def waiting_chart(
    name: str,
    panels: Sequence[Panel],
    *,
    alt: Text,
    caption: Text,
    curve: Text = ALL,
    own: Text = ALL,
) -> Figure:
    """How many cases are not yet done after so many working hours?

    Parameters
    ----------
    name : str
        Id of the figure.
    panels : sequence of Panel
        One a stage, in the order of the process.
    alt, caption : Text
        What the chart shows in words; what stands below it.
    curve, own : Text
        What the two curves are.

    Returns
    -------
    Figure
        Its numbers are shares in percent.
    """
    data = _data(panels, curve, own)

    def draw(variant: Variant) -> Drawing:
        across = 1 if variant.narrow else 2 if len(panels) in (2, 4) else min(len(panels), 3) or 1
        width = (variant.width - BETWEEN * (across - 1)) / across
        lines = [{g: wrap(p.label[g], width, variant.size) for g in LANGUAGES} for p in panels]
        marks, words, y = Markup(""), Markup(""), 0.0
        for first in range(0, len(panels), across):
            row = range(first, min(first + across, len(panels)))
            head = 6 + 18.0 * max(len(t) for i in row for t in lines[i].values())
            for i in row:
                x = (i - first) * (width + BETWEEN)
                drawn, written = _panel(panels[i], lines[i][variant.language], (x, y, head, width), variant)
                marks, words = marks + drawn, words + written
            y += head + PANEL + 42
        line, height = explain(_keys(panels, curve, own), variant, y - 8)
        return Drawing(marks, words + line, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=0)


def median_of(curve: Curve) -> float:
    """The first hour of the grid after which half of the cases are done; NaN where there is none."""
    return next((h for h, w in zip(curve.hours, curve.waiting, strict=True) if w <= 0.5), math.nan)


def _data(panels: Sequence[Panel], curve: Text, own: Text) -> pd.DataFrame:
    """One row a stage and curve, one column an hour: as a reader would write it down."""
    rows = []
    for panel in panels:
        for name, found in ((own, panel.own), (curve, panel.curve)):
            if found is not None:
                shares = {f"{h:g} h": 100 * w for h, w in zip(found.hours, found.waiting, strict=True)}
                texts = {f"{k}_{g}": t[g] for k, t in (("label", panel.label), ("series", name)) for g in LANGUAGES}
                rows.append(texts | shares)
    return pd.DataFrame(rows)


def _panel(
    panel: Panel, lines: Sequence[str], where: tuple[float, float, float, float], variant: Variant
) -> tuple[Markup, Markup]:
    x, y, head, width = where
    words = Texts()
    words.lines(lines, y + 14, 18.0, x=x, font_size=variant.size, font_weight=700)
    left, top = x + text_width("100%", variant.small) + 6, y + head + 6
    hours = [h for c in (panel.curve, panel.own) if c is not None for h in _needed(c)]
    last = max(hours, default=1.0)
    at = _Place(left, x + width - 4, top, top + PANEL, last)
    marks = _grid(at, variant) + _band(panel.curve, at)
    tone = "b" if panel.own is None else "m"
    marks += _stairs(panel.curve, at, tone, 2.4 if panel.own is None else 1.8)
    if panel.own is not None:
        marks += _band(panel.own, at) + _stairs(panel.own, at, "b", 2.4)
    half = median_of(panel.curve if panel.own is None else panel.own)
    if math.isfinite(half) and half <= last:
        marks += el("circle", cx=at.across(half), cy=at.down(0.5), r=5, class_="fo")
        words.add(f"≤ {half:g} h", at.across(half) + 9, at.down(0.5) - 5, class_="fo", font_size=variant.small,
                  font_weight=700)  # fmt: skip
    return marks, words.markup()


@dataclass(frozen=True)
class _Place:
    left: float
    right: float
    top: float
    bottom: float
    last: float

    def across(self, hours: float) -> float:
        return self.left + (self.right - self.left) * math.sqrt(min(hours, self.last) / self.last)

    def down(self, share: float) -> float:
        return self.bottom - share * (self.bottom - self.top)


def _needed(curve: Curve) -> list[float]:
    """Hours until next to nobody waits any more."""
    found = []
    for hours, waiting in zip(curve.hours, curve.waiting, strict=True):
        found.append(hours)
        if waiting < 0.02:
            break
    return found


def _grid(at: _Place, variant: Variant) -> Markup:
    rules = "".join(f"M{number(at.left)},{number(at.down(s))}H{number(at.right)}" for s in (0, 0.5, 1))
    ticks = Texts()
    for share in (0, 0.5, 1):
        ticks.add(f"{100 * share:.0f}%", at.left - 5, at.down(share) + 4, text_anchor="end")
    before = -math.inf
    for hours in _ticks(at):
        label, x = f"{hours:g}", at.across(hours)
        room = text_width(label, variant.small) / 2
        if x - room > before + 6 and x + room <= at.right + 6:
            ticks.add(label, x, at.bottom + 16, text_anchor="middle")
            before = x + room
    return el("path", d=rules, class_="sl", stroke_width=1) + group(
        ticks.markup(), class_="fm", font_size=variant.small
    )


def _ticks(at: _Place) -> list[float]:
    """Whole working days of eight hours, twice as long each time, and the hours before the first."""
    return [h for h in (0.0, 4.0, 8.0, 16.0, 40.0, 80.0, 160.0, 320.0, 480.0) if h <= at.last]


def _stairs(curve: Curve, at: _Place, tone: str, width: float) -> Markup:
    """From everyone waiting, a step down at each hour of the grid; hours without a figure break the line."""
    d, before = f"M{number(at.left)},{number(at.down(1))}", True
    for hours, waiting in zip(curve.hours, curve.waiting, strict=True):
        if hours > at.last:
            break
        if not math.isfinite(waiting):
            before = False
            continue
        x, y = number(at.across(hours)), number(at.down(waiting))
        d += f"H{x}V{y}" if before else f"M{x},{y}"
        before = True
    return el("path", d=d, class_=f"s{tone}", fill="none", stroke_width=width, stroke_linejoin="round")


def _band(curve: Curve, at: _Place) -> Markup:
    """The interval as a pale band, stepped like the curve."""
    rows = [
        (h, lo, hi)
        for h, lo, hi in zip(curve.hours, curve.low, curve.high, strict=False)
        if h <= at.last and math.isfinite(lo + hi)
    ]
    if len(rows) < 2:
        return Markup("")
    edges: list[list[tuple[float, float]]] = [[], []]
    for edge, bound in zip(edges, (2, 1), strict=True):
        edge.append((at.across(rows[0][0]), at.down(rows[0][bound])))
        for before, here in itertools.pairwise(rows):
            x = at.across(here[0])
            edge += [(x, at.down(before[bound])), (x, at.down(here[bound]))]
    return el("path", d=path([*edges[0], *reversed(edges[1])], closed=True), class_="fp")


def _keys(panels: Sequence[Panel], curve: Text, own: Text) -> list[Key]:
    compared = any(p.own is not None for p in panels)
    words = {g: f"{(own if compared else curve)[g]}（{HOURS[g]}）" if g == "zh" else
             f"{(own if compared else curve)[g]} ({HOURS[g]})" for g in LANGUAGES}  # fmt: skip
    keys = [Key(lambda x, y: _stroke(x, y, "b", 2.4), Text(**words))]
    if compared:
        keys.append(Key(lambda x, y: _stroke(x, y, "m", 1.8), curve))
    return [*keys, Key(lambda x, y: el("circle", cx=x + 9, cy=y, r=5, class_="fo"), HALF)]


def _stroke(x: float, y: float, tone: str, width: float) -> Markup:
    return el("path", d=f"M{number(x)},{number(y - 4)}h9v8h9", class_=f"s{tone}", fill="none", stroke_width=width)
