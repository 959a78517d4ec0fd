"""Charts over the quarters: the trend with its band, and the sparkline of a headline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import CODES
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.layout import Key, Scale, explain, scale, whisker
from sqmodel.reporting.charts.rows import columns_of, counts_of, labels_of, level_words, missing
from sqmodel.reporting.charts.writer import el, group, number, path, text_lines, text_width, wrap
from sqmodel.reporting.words import interval
from sqmodel.reporting.words import number as words_number
from sqmodel.result import Estimate

TOP, LINE = 18.0, 19.0


@dataclass(frozen=True)
class TrendPoint:
    """A quarter's estimate, None where there is none; `series` names the line where there are several."""

    quarter: str
    estimate: Estimate | None
    series: Text | None = None
    highlight: bool = False


def trend_chart(
    name: str,
    points: Sequence[TrendPoint],
    *,
    alt: Text,
    caption: Text,
    unit: str = "",
    digits: int = 1,
) -> Figure:
    """Estimates over the quarters with an interval band; the last value is printed, each line is named at its end.

    Parameters
    ----------
    name : str
        Id of the figure.
    points : sequence of TrendPoint
        In order of time within each series; a series is orange where one of its points is highlighted.
    alt, caption : Text
        What the chart shows in words; what stands below it, with n.
    unit : str
        Follows every value and tick.
    digits : int
        Decimals of the values.

    Returns
    -------
    Figure
    """
    estimates = [None if missing(p.estimate) else p.estimate for p in points]
    named = labels_of([p.series for p in points if p.series], "series") if all(p.series for p in points) else {}
    quarters = {"quarter": [p.quarter for p in points]}
    data = pd.DataFrame({**named, **quarters, **columns_of(estimates), "n": counts_of(estimates)})
    lines = _lines(points)

    def draw(variant: Variant) -> Drawing:
        frame = _frame(lines, data, variant, unit, digits)
        marks = Markup("").join(_line(line, frame, single=len(lines) == 1) for line in lines)
        words = _ends(lines, frame, variant, unit, digits)
        keys = [Key(_band_key, level_words(estimates))]
        explained, height = explain(keys, variant, frame.bottom + 27)
        return Drawing(_grid(frame, variant, unit) + marks, words + explained, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=digits)


def _band_key(x: float, y: float) -> Markup:
    return el("rect", x=x, y=y - 6, width=18, height=12, class_="fp") + whisker(x + 1, x + 17, y, "b", 2)


def _lines(points: Sequence[TrendPoint]) -> list[list[TrendPoint]]:
    """The points of each series, in order of appearance."""
    found: dict[str, list[TrendPoint]] = {}
    for point in points:
        found.setdefault(f"{point.series!r}", []).append(point)
    return list(found.values())


@dataclass(frozen=True)
class _Frame:
    quarters: tuple[str, ...]
    left: float
    right: float
    y: Scale
    bottom: float

    def x(self, quarter: str) -> float:
        last = max(len(self.quarters) - 1, 1)
        return self.left + self.quarters.index(quarter) * (self.right - self.left) / last


def _frame(lines: list[list[TrendPoint]], data: pd.DataFrame, variant: Variant, unit: str, digits: int) -> _Frame:
    values = data[["value", "low", "high"]].to_numpy().ravel().tolist()
    bottom = TOP + (170.0 if variant.narrow else 210.0)
    y = scale(values, bottom, TOP, most=6)
    left = max(text_width(y.label(t) + unit, variant.small) for t in y.ticks) + 16
    both = [replace(variant, language=g) for g in CODES]
    words = [w for v in both for line in lines for w in _end_words(line, v, unit, digits)]
    room = max((text_width(w, variant.size + 1) for w in words), default=0.0)
    aside = [_end_bounds(line, g, digits) for g in CODES for line in lines]
    bounds = max((text_width(w, variant.small) for w in aside), default=0.0)
    quarters = tuple(sorted({p.quarter for line in lines for p in line}))
    return _Frame(quarters, left, variant.width - max(room, bounds) - 14, y, bottom)


def short_quarter(code: str) -> str:
    """``2026Q3`` as ``26Q3``."""
    return code[2:] if len(code) == 6 and code[4] == "Q" else code


def _grid(frame: _Frame, variant: Variant, unit: str) -> Markup:
    rules = "".join(f"M{number(frame.left - 8)},{number(frame.y(t))}H{number(frame.right + 8)}" for t in frame.y.ticks)
    ticks = [
        el("text", frame.y.label(t) + unit, x=frame.left - 12, y=frame.y(t) + 4, text_anchor="end")
        for t in frame.y.ticks
    ]
    room = text_width("26Q3", variant.small) + 12
    per = max(1, math.ceil(len(frame.quarters) * room / max(frame.right - frame.left + room, 1)))
    # Counted from the last quarter, which is the one the report is about.
    kept = [q for i, q in enumerate(reversed(frame.quarters)) if i % per == 0]
    times = [el("text", short_quarter(q), x=frame.x(q), y=frame.bottom + 20, text_anchor="middle") for q in kept]
    return el("path", d=rules, class_="sl", stroke_width=1) + group(
        *ticks, *times, class_="fm", font_size=variant.small
    )


def _runs(line: Sequence[TrendPoint]) -> list[list[tuple[str, Estimate]]]:
    """Neighbouring quarters that have a number; a quarter without one breaks the line."""
    runs: list[list[tuple[str, Estimate]]] = [[]]
    for point in line:
        if point.estimate is None or missing(point.estimate):
            runs.append([])
        else:
            runs[-1].append((point.quarter, point.estimate))
    return [r for r in runs if r]


def _line(line: list[TrendPoint], frame: _Frame, *, single: bool) -> Markup:
    tone = "o" if any(p.highlight for p in line) else "b"
    found = Markup("")
    for run in _runs(line):
        banded = [(q, e) for q, e in run if math.isfinite(e.low + e.high)]
        if single or tone == "o":
            edge = [(frame.x(q), frame.y(e.high)) for q, e in banded]
            edge += [(frame.x(q), frame.y(e.low)) for q, e in reversed(banded)]
            if len(banded) > 1:
                found += el("path", d=path(edge, closed=True), class_="fp")
        if len(banded) == 1 or not single:
            found += Markup("").join(_upright(frame.x(q), frame.y(e.low), frame.y(e.high), tone) for q, e in banded)
        at = [(frame.x(q), frame.y(e.value)) for q, e in run]
        found += el("path", d=path(at), class_=f"s{tone}", fill="none", stroke_width=2.4, stroke_linejoin="round")
        found += Markup("").join(el("circle", cx=x, cy=y, r=3.2, class_=f"f{tone}") for x, y in at)
    last = _last(line)
    if last is not None:
        found += el("circle", cx=frame.x(last[0]), cy=frame.y(last[1].value), r=5.5, class_=f"f{tone}")
    return found


def _upright(x: float, low: float, high: float, tone: str) -> Markup:
    return el("path", d=path([(x, low), (x, high)]), class_=f"s{tone}", stroke_width=1.2, opacity=0.5)


def _last(line: Sequence[TrendPoint]) -> tuple[str, Estimate] | None:
    runs = _runs(line)
    return runs[-1][-1] if runs else None


def _end_words(line: Sequence[TrendPoint], variant: Variant, unit: str, digits: int) -> list[str]:
    """What stands at the end of a line: its value and, where there are several, the series' name."""
    last = _last(line)
    if last is None:
        return []
    value, series = words_number(last[1].value, digits) + unit, line[0].series
    most = variant.width * (0.36 if variant.narrow else 0.3)
    return wrap(f"{value} {series[variant.language]}", most, variant.size + 1) if series else [value]


def _end_bounds(line: Sequence[TrendPoint], language: str, digits: int) -> str:
    last = _last(line)
    if last is None or line[0].series or not math.isfinite(last[1].low + last[1].high):
        return ""
    return interval(last[1].low, last[1].high, digits)[language]


def _ends(lines: list[list[TrendPoint]], frame: _Frame, variant: Variant, unit: str, digits: int) -> Markup:
    """Values at the ends of the lines, pushed apart where they would overlap."""
    known = [(line, last) for line in lines if (last := _last(line)) is not None]
    known.sort(key=lambda pair: -pair[1][1].value)
    words = [_end_words(line, variant, unit, digits) for line, _ in known]
    heights = _apart([frame.y(e.value) for _, (_, e) in known], [len(w) * LINE + 3 for w in words], frame.bottom)
    found = Markup("")
    for (line, (when, _)), texts, y in zip(known, words, heights, strict=True):
        x = frame.x(when) + 11
        tone = "fo" if any(p.highlight for p in line) else "fb"
        found += text_lines(texts, x=x, y=y + 5, size=variant.size + 1, class_=tone, font_weight=700)
        bounds = _end_bounds(line, variant.language, digits)
        if bounds:
            found += el("text", bounds, x=x, y=y + 5 + LINE, class_="fm", font_size=variant.small)
    return found


def _apart(wanted: Sequence[float], heights: Sequence[float], bottom: float) -> list[float]:
    """Heights from top to bottom that do not overlap: pushed down first, then up again where the chart ends."""
    placed: list[float] = []
    for y, previous in zip(wanted, [None, *heights], strict=False):
        placed.append(y if previous is None else max(y, placed[-1] + previous))
    limit = bottom
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], limit - heights[i] + LINE)
        limit = placed[i] - LINE
    return placed


def sparkline(points: Sequence[float | Estimate | None], *, alt: Text, width: float = 230, height: float = 56) -> str:
    """A trend as small as a word: the line, its band where the points are estimates, and a dot on the last.

    Parameters
    ----------
    points : sequence of float, Estimate or None
        In order of time; None breaks the line.
    alt : Text
        What it shows, in words.
    width, height : float
        Size in pixels at which it is meant to be shown.

    Returns
    -------
    str
        One ``<svg>`` for both languages: it holds no words.
    """
    known = {i: _bounds(p) for i, p in enumerate(points) if p is not None and math.isfinite(_bounds(p)[0])}
    every = [v for bounds in known.values() for v in bounds if math.isfinite(v)] or [0.0]
    low, high = min(every), max(every)
    span, last = (high - low) or 1.0, max(len(points) - 1, 1)

    def at(i: int, which: int) -> tuple[float, float]:
        return 6 + i * (width - 12) / last, height - 7 - (known[i][which] - low) / span * (height - 14)

    runs = [r for r in _consecutive(sorted(known)) if r]
    marks = Markup("")
    for run in runs:
        if all(math.isfinite(known[i][1] + known[i][2]) for i in run):
            edge = [at(i, 2) for i in run] + [at(i, 1) for i in reversed(run)]
            marks += el("path", d=path(edge, closed=True), class_="fp")
        marks += el("path", d=path([at(i, 0) for i in run]), class_="sb", fill="none", stroke_width=2)
    if runs:
        x, y = at(runs[-1][-1], 0)
        marks += el("circle", cx=x, cy=y, r=4, class_="fb")
    label = alt["zh"] if alt["zh"] == alt["en"] else f"{alt['zh']} {alt['en']}"
    return str(el("svg", marks, class_="spark", view_box=f"0 0 {width:.0f} {height:.0f}", role="img", aria_label=label))


def _bounds(point: float | Estimate | None) -> tuple[float, float, float]:
    if isinstance(point, Estimate):
        return point.value, point.low, point.high
    return (math.nan if point is None else float(point)), math.nan, math.nan


def _consecutive(numbers: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = [[]]
    for i in numbers:
        if runs[-1] and i != runs[-1][-1] + 1:
            runs.append([])
        runs[-1].append(i)
    return runs
