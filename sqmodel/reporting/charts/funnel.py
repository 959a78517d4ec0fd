"""The funnel plot: institutions against how exactly each is known, with the limits that chance alone would keep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.layout import LANGUAGES, Key, Scale, dot, explain, scale
from sqmodel.reporting.charts.rows import labels_of
from sqmodel.reporting.charts.writer import Texts, el, group, number, path, text_width

LIMITS = ("outer_low", "inner_low", "inner_high", "outer_high")
FAR = ("far above", "far below")
WITHIN = Text(zh="在界限以内", en="within the limits")
BEYOND = Text(zh="超出 95% 界限", en="beyond 95%")
INNER = Text(zh="95% 界限", en="95% limits")
OUTER = Text(zh="99.8% 界限", en="99.8% limits")
NAMED = 12
"""Points that get their names, the farthest first: more would hide each other."""
SPREAD = 12.0
"""From this ratio of the largest to the smallest size on, the axis is logarithmic."""
CROWD = 200
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class FunnelPoint:
    """An institution: how exactly it is known (cases, or a standard error), its value, and its place in the funnel.

    `place` is ``within``, ``above``, ``far above``, ``below`` or ``far below``.
    """

    label: Text
    size: float
    value: float
    place: str = "within"
    highlight: bool = False


def funnel_chart(
    name: str,
    points: Sequence[FunnelPoint],
    limits: pd.DataFrame,
    centre: float,
    *,
    alt: Text,
    caption: Text,
    x_title: Text,
    y_title: Text,
    unit: str = "",
    digits: int = 1,
    least_first: bool = True,
    named: bool = True,
    rows: int = 20,
) -> Figure:
    """Which institutions lie outside of what chance alone would give at their size?

    Parameters
    ----------
    name : str
        Id of the figure.
    points : sequence of FunnelPoint
        Up to some thousand; those far outside get their labels where there is room.
    limits : DataFrame
        size, inner_low, inner_high, outer_low, outer_high: limits at 95 % and 99.8 % along the axis.
    centre : float
        The mean of all, which the limits lie around.
    alt, caption : Text
        What the chart shows in words; what stands below it, with n.
    x_title, y_title : Text
        What the axes measure.
    unit : str
        Follows the ticks of the values.
    digits : int
        Decimals of the numbers in the table.
    least_first : bool
        False where less is more exact (standard errors), so that the funnel always narrows to the right.
    named : bool
        Whether points far outside get their labels.
    rows : int
        Rows of the table behind it: those outside of the limits first.

    Returns
    -------
    Figure
    """
    order = sorted(points, key=lambda p: (p.place == "within", p.place not in FAR, -abs(p.value - centre)))
    data = pd.DataFrame(
        {
            **labels_of([p.label for p in order]),
            "size": [p.size for p in order],
            "value": [p.value for p in order],
            **{f"place_{g}": [PLACES[p.place][g] for p in order] for g in LANGUAGES},
        }
    )

    def draw(variant: Variant) -> Drawing:
        plot = _plot(order, limits, variant, least_first=least_first, unit=unit)
        marks = _ground(plot) + _curves(limits, centre, plot) + _dots(order, plot)
        words = _titles(plot, x_title, y_title) + (_labels(order, plot) if named else Markup(""))
        line, height = explain(_keys(order), variant, plot.bottom + 40)
        return Drawing(marks, words + line, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=digits, rows=rows)


PLACES = {
    "within": Text(zh="界限以内", en="within"),
    "above": Text(zh="高于 95% 界限", en="above 95%"),
    "far above": Text(zh="高于 99.8% 界限", en="above 99.8%"),
    "below": Text(zh="低于 95% 界限", en="below 95%"),
    "far below": Text(zh="低于 99.8% 界限", en="below 99.8%"),
}


@dataclass(frozen=True)
class _Plot:
    variant: Variant
    x: Scale
    y: Scale
    logarithmic: bool
    unit: str

    @property
    def bottom(self) -> float:
        return self.y.start

    def across(self, size: float) -> float:
        return self.x(math.log10(size) if self.logarithmic else size)

    def at(self, point: FunnelPoint) -> tuple[float, float]:
        return self.across(point.size), self.y(point.value)


def _plot(
    points: Sequence[FunnelPoint], limits: pd.DataFrame, variant: Variant, *, least_first: bool, unit: str
) -> _Plot:
    height = 280.0 if variant.narrow else 360.0
    sizes = [p.size for p in points] or [float(v) for v in limits["size"]]
    logarithmic = least_first and min(sizes) > 0 and max(sizes) / min(sizes) > SPREAD
    # The outermost limits of the least exact would flatten all the rest: the axis holds those of the middle one.
    middle = limits.iloc[(limits["size"] - sorted(sizes)[len(sizes) // 2]).abs().argsort().iloc[:1]]
    values = [p.value for p in points] + [float(v) for c in LIMITS for v in middle[c]]
    y = scale(values, height, 34, most=6)
    left = max(text_width(y.label(t) + unit, variant.small) for t in y.ticks) + 10
    edges = (left + 4, variant.width - 6)
    across = [math.log10(s) for s in sizes] if logarithmic else sizes
    x = _powers(across, edges) if logarithmic else scale(across, *edges, most=5 if variant.narrow else 8)
    if not least_first:
        x = Scale(x.low, x.high, edges[1], edges[0], x.ticks)
    return _Plot(variant, x, y, logarithmic, unit)


def _powers(exponents: Sequence[float], edges: tuple[float, float]) -> Scale:
    """A logarithmic axis with ticks at 1, 2 and 5 of each power of ten that it holds."""
    low, high = min(exponents) - 0.04, max(exponents) + 0.04
    ticks = [p + math.log10(m) for p in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)]
    shown = tuple(t for t in ticks if low <= t <= high)
    if len(shown) > 7:
        shown = tuple(t for t in shown if t == round(t)) if high - low > 3 else shown[::2]
    return Scale(low, high, edges[0], edges[1], shown or (low, high))


def _ground(plot: _Plot) -> Markup:
    """Rules, ticks and the axis."""
    x, y, v = plot.x, plot.y, plot.variant
    left, right = min(x.start, x.end), max(x.start, x.end)
    rules = "".join(f"M{number(left - 4)},{number(y(t))}H{number(right)}" for t in y.ticks)
    ticks = Texts()
    for t in x.ticks:
        label = f"{10**t:,.0f}" if plot.logarithmic else x.label(t)
        if left - 1 <= x(t) <= right + 1:
            anchor = "end" if x(t) > right - 16 else "middle"
            ticks.add(label, x(t), y.start + 17, text_anchor=anchor)
    for t in y.ticks:
        ticks.add(y.label(t) + plot.unit, left - 8, y(t) + 4, text_anchor="end")
    return el("path", d=rules, class_="sl", stroke_width=1) + group(ticks.markup(), class_="fm", font_size=v.small)


def _curves(limits: pd.DataFrame, centre: float, plot: _Plot) -> Markup:
    """The mean of all, and the limits where they lie within the drawing."""
    left, right = sorted((plot.x.start, plot.x.end))
    found = el("path", d=f"M{number(left)},{number(plot.y(centre))}H{number(right)}", class_="si", stroke_width=1.2)
    for name in LIMITS:
        d = "".join(path(run) for run in _inside(limits["size"], limits[name], plot) if len(run) > 1)
        dash = {"stroke_dasharray": "5 4"} if name.startswith("inner") else {}
        found += el("path", d=d, class_="sm", fill="none", stroke_width=1.3, **dash) if d else Markup("")
    return found


def _inside(sizes: Iterable[float], values: Iterable[float], plot: _Plot) -> list[list[tuple[float, float]]]:
    """The parts of a curve that lie within the drawing; a curve that leaves it ends at its edge."""
    left, right = sorted((plot.x.start, plot.x.end))
    runs: list[list[tuple[float, float]]] = [[]]
    last: tuple[float, float] | None = None
    for size, value in zip(sizes, values, strict=True):
        here = (plot.across(size), plot.y(value))
        if not (math.isfinite(value) and left - 0.5 <= here[0] <= right + 0.5):
            last = None
            runs.append([])
            continue
        inside = plot.y.end <= here[1] <= plot.y.start
        if last is not None and inside != (plot.y.end <= last[1] <= plot.y.start):
            runs[-1].append(_crossing(last, here, plot))
        if inside:
            runs[-1].append(here)
        elif runs[-1]:
            runs.append([])
        last = here
    return runs


def _crossing(a: tuple[float, float], b: tuple[float, float], plot: _Plot) -> tuple[float, float]:
    """Where the line between two points crosses the upper or the lower edge."""
    outer = b if not plot.y.end <= b[1] <= plot.y.start else a
    edge = plot.y.end if outer[1] < plot.y.end else plot.y.start
    share = (edge - a[1]) / (b[1] - a[1])
    return a[0] + share * (b[0] - a[0]), edge


def _tone(point: FunnelPoint) -> str:
    return "o" if point.place != "within" or point.highlight else "b"


def _dots(points: Sequence[FunnelPoint], plot: _Plot) -> Markup:
    """All dots of a tone as one path of round stubs: a thousand of them cost some 15 kB."""
    found = Markup("")
    many = len(points) > CROWD
    for tone, width in (("b", 5.0 if many else 8.0), ("o", 7.0 if many else 9.0)):
        d = "".join(f"M{number(x)},{number(y)}h0" for x, y in (plot.at(p) for p in points if _tone(p) == tone))
        faint = {"opacity": 0.55} if many and tone == "b" else {}
        found += el("path", d=d, class_=f"s{tone}", stroke_width=width, stroke_linecap="round", **faint) if d else ""
    rings = [el("circle", cx=x, cy=y, r=7.5) for x, y in (plot.at(p) for p in points if p.highlight)]
    return found + (group(*rings, class_="so", fill="none", stroke_width=1.8) if rings else Markup(""))


def _titles(plot: _Plot, x_title: Text, y_title: Text) -> Markup:
    v = plot.variant
    words = Texts()
    words.add(x_title[v.language], v.width, plot.y.start + 35, class_="fm", text_anchor="end")
    words.add(y_title[v.language], 0, 14, class_="fm")
    return group(words.markup(), font_size=v.small)


def _labels(points: Sequence[FunnelPoint], plot: _Plot) -> Markup:
    """Names of those that stand out, where nothing is in the way; the table below has all."""
    v = plot.variant
    # The farthest outside come first in the order of the points.
    wanted = [p for p in points if p.highlight] + [p for p in points if p.place != "within" and not p.highlight]
    taken = [_around(*plot.at(p)) for p in points if _tone(p) == "o"]
    found = Texts()
    for point in wanted[: 6 if v.narrow else NAMED]:
        box = _place(point.label[v.language], plot, plot.at(point), taken)
        if box is not None:
            taken.append(box)
            found.add(point.label[v.language], box[0], box[3] - 3, class_="fo")
    return group(found.markup(), class_="halo", font_size=v.small)


def _around(x: float, y: float) -> Box:
    return x - 5, y - 5, x + 5, y + 5


def _place(text: str, plot: _Plot, at: tuple[float, float], taken: Sequence[Box]) -> Box | None:
    width, height = text_width(text, plot.variant.small) + 2, plot.variant.small * 1.2
    x, y = at
    corners = ((x + 9, y - height / 2), (x - 9 - width, y - height / 2), (x - width / 2, y - 9 - height),
               (x - width / 2, y + 9))  # fmt: skip
    for left, top in corners:
        box = (left, top, left + width, top + height)
        inside = box[0] >= min(plot.x.start, plot.x.end) and box[2] <= plot.variant.width
        if inside and box[1] >= 16 and box[3] <= plot.y.start and not any(_overlap(box, b) for b in taken):
            return box
    return None


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _keys(points: Sequence[FunnelPoint]) -> list[Key]:
    keys = [Key(lambda x, y: dot(x + 9, y, "b", 4.5), WITHIN)]
    if any(p.place != "within" for p in points):
        keys.append(Key(lambda x, y: dot(x + 9, y, "o", 4.5), BEYOND))
    keys += [
        Key(lambda x, y: el("path", d=path([(x, y), (x + 18, y)]), class_="sm", stroke_dasharray="5 4"), INNER),
        Key(lambda x, y: el("path", d=path([(x, y), (x + 18, y)]), class_="sm", stroke_width=1.3), OUTER),
    ]
    return keys
