"""Charts with two axes: trend, priority map, sparkline and scree plot."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from sqmodel.reporting.blocks import Cell, both, details, table
from sqmodel.reporting.figures import CODES, NARROW, WIDE, Figure, compose
from sqmodel.reporting.svg import Canvas, ticks, width_of
from sqmodel.reporting.words import coefficient, interval, number, plain, quarter, say
from sqmodel.result import Estimate
from sqmodel.survey.instrument import Text

Box = tuple[float, float, float, float]
Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class TrendPoint:
    """One quarter; no estimate: too few answers."""

    quarter: str
    estimate: Estimate | None


@dataclass(frozen=True)
class Point:
    """One item of a priority map."""

    label: Text
    importance: Estimate
    performance: Estimate
    highlight: bool = False


def trend_chart(name: str, points: Sequence[TrendPoint], *, alt: Text, caption: Text) -> Figure:
    """A line over the quarters with its band of intervals; every value printed."""
    known = [p.estimate for p in points if p.estimate]
    levels = ticks(min(e.low for e in known) - 0.5, max(e.high for e in known) + 0.5, 5)

    def draw(language: str, narrow: bool) -> tuple[Canvas, float]:
        canvas = Canvas(NARROW if narrow else WIDE)
        height, left, right = (210.0 if narrow else 240.0), 44.0, canvas.width - 30.0
        gap = (right - left - 20) / max(len(points) - 1, 1)
        xs = [left + 14 + i * gap for i in range(len(points))]

        def y(value: float) -> float:
            return height - 34 - (height - 60) * (value - levels[0]) / (levels[-1] - levels[0])

        for level in levels:
            canvas.line(left, y(level), right, y(level), "grid")
            canvas.text(left - 8, y(level) + 4, number(level, 0), "mute", size=12, anchor="end")
        for run in _runs(points):
            upper = [(xs[i], y(e.high)) for i, e in run]
            lower = [(xs[i], y(e.low)) for i, e in reversed(run)]
            canvas.path([*upper, *lower], "band", closed=True)
            canvas.path([(xs[i], y(e.value)) for i, e in run], "data stroke")
        for i, point in enumerate(points):
            canvas.text(xs[i], height - 10, _short(point.quarter), "mute", size=12, anchor="middle")
            if point.estimate:
                last = i == len(points) - 1
                canvas.circle(xs[i], y(point.estimate.value), 5.5 if last else 4, "data dot")
                kind = "data value" if last else "mute"
                top = y(point.estimate.high) - 7
                canvas.text(xs[i], top, number(point.estimate.value), kind, size=14 if last else 12, anchor="middle")
        return canvas, height

    headers = [say(k) for k in ("col_quarter", "col_score", "col_interval", "col_n")]
    rows = [
        [
            Cell(quarter(p.quarter)),
            Cell(plain(number(p.estimate.value)) if p.estimate else say("too_few"), right=True),
            Cell(interval(p.estimate.low, p.estimate.high) if p.estimate else plain("–"), right=True),
            Cell(plain(p.estimate.n if p.estimate else "–"), right=True),
        ]
        for p in points
    ]
    return compose(name, draw, alt=alt, caption=caption, numbers=table(headers, rows))


def _short(code: str) -> str:
    return code[2:] if len(code) == 6 else code


def _runs(points: Sequence[TrendPoint]) -> list[list[tuple[int, Estimate]]]:
    """Stretches of quarters without a gap."""
    runs: list[list[tuple[int, Estimate]]] = [[]]
    for i, point in enumerate(points):
        if point.estimate:
            runs[-1].append((i, point.estimate))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def priority_map(name: str, points: Sequence[Point], *, alt: Text, caption: Text) -> Figure:
    """Importance across, performance up, mean lines; labels where there is room, the numbers beneath."""
    across = ticks(min(p.importance.value for p in points) - 0.03, max(p.importance.value for p in points) + 0.03, 6)
    upward = ticks(min(p.performance.value for p in points) - 1.5, max(p.performance.value for p in points) + 1.5, 6)
    centre = (
        sum(p.importance.value for p in points) / len(points),
        sum(p.performance.value for p in points) / len(points),
    )

    def draw(language: str, narrow: bool) -> tuple[Canvas, float]:
        canvas = Canvas(NARROW if narrow else WIDE)
        height = 330.0 if narrow else 400.0
        left, right, top, bottom = 38.0, canvas.width - 10.0, 24.0, height - 46.0

        def place(importance: float, performance: float) -> tuple[float, float]:
            x = left + (right - left) * (importance - across[0]) / (across[-1] - across[0])
            return x, bottom - (bottom - top) * (performance - upward[0]) / (upward[-1] - upward[0])

        for tick in across:
            canvas.text(place(tick, 0)[0], bottom + 16, coefficient(tick), "mute", size=12, anchor="middle")
        for tick in upward:
            canvas.text(left - 6, place(0, tick)[1] + 4, number(tick, 0), "mute", size=12, anchor="end")
        middle = place(*centre)
        canvas.rect(middle[0], middle[1], right - middle[0], bottom - middle[1], "band")
        canvas.line(middle[0], top, middle[0], bottom, "grid")
        canvas.line(left, middle[1], right, middle[1], "grid")
        canvas.text(right - 4, bottom - 7, say("map_corner")[language], "hot", size=12.5, anchor="end")
        canvas.text(right, bottom + 34, say("map_across")[language], "mute", size=12, anchor="end")
        canvas.text(0, 13, say("map_up")[language], "mute", size=12)
        _draw_points(canvas, points, place, language, (left, top, right, bottom))
        return canvas, height

    return compose(name, draw, alt=alt, caption=caption, numbers=_point_numbers(points))


def _draw_points(canvas: Canvas, points: Sequence[Point], place: Place, language: str, frame: Box) -> None:
    left, top, right, bottom = frame
    dots = [place(p.importance.value, p.performance.value) for p in points]
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    taken.append((right - 120, bottom - 20, right, bottom))
    order = sorted(range(len(points)), key=lambda i: (not points[i].highlight, points[i].performance.value))
    for i in order:
        point, (x, y) = points[i], dots[i]
        tone = "hot" if point.highlight else "data"
        if point.highlight:
            spans = (point.performance.low, point.performance.high)
            ends = [min(max(place(point.importance.value, v)[1], top), bottom) for v in spans]
            canvas.line(x, ends[0], x, ends[1], f"{tone} thin")
        canvas.circle(x, y, 5, f"{tone} dot")
        text = point.label[language]
        wide = width_of(text, 12)
        for dx, dy, anchor in ((9, 4, "start"), (-9, 4, "end"), (0, -9, "middle"), (0, 18, "middle")):
            start = {"start": x + dx, "end": x + dx - wide, "middle": x - wide / 2}[anchor]
            box = (start, y + dy - 11, start + wide, y + dy + 3)
            inside = box[0] >= left and box[2] <= right and box[1] >= top - 8 and box[3] <= bottom
            if inside and not any(_overlap(box, other) for j, other in enumerate(taken) if j != i):
                canvas.text(x + dx, y + dy, text, "hot" if point.highlight else "ink", size=12, anchor=anchor)
                taken.append(box)
                break


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _point_numbers(points: Sequence[Point]) -> str:
    headers = [say(k) for k in ("col_item", "col_score", "col_interval", "col_importance", "col_interval")]
    rows = []
    for p in sorted(points, key=lambda p: p.performance.value):
        bounds = f"{coefficient(p.importance.low)}–{coefficient(p.importance.high)}"
        rows.append(
            [
                Cell(p.label),
                Cell(plain(number(p.performance.value)), right=True),
                Cell(interval(p.performance.low, p.performance.high), right=True),
                Cell(plain(coefficient(p.importance.value)), right=True),
                Cell(plain(bounds), right=True),
            ]
        )
    return table(headers, rows)


def sparkline(values: Sequence[float], *, alt: Text) -> str:
    """A small line with a dot at its end, in both languages' text alternative."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = [(6 + 108 * i / max(len(values) - 1, 1), 34 - 26 * (v - low) / span) for i, v in enumerate(values)]
    drawings = []
    for language, code in CODES.items():
        canvas = Canvas(120)
        canvas.path(points, "data stroke")
        canvas.circle(*points[-1], 4, "data dot")
        drawings.append(f'<span lang="{code}">{canvas.render(42, alt[language], "line")}</span>')
    return "".join(drawings)


def scree_plot(eigenvalues: pd.DataFrame, *, alt: Text, caption: Text) -> Figure:
    """Observed eigenvalues of the factors against those of random data, drawn by seaborn.

    Parameters
    ----------
    eigenvalues : DataFrame
        By number; columns ``factors`` and ``factors_normal_quantile``.
    """
    shown = eigenvalues.head(12)
    drawings = []
    for language, code in CODES.items():
        drawing = _seaborn_scree(shown, language)
        drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{escape(alt[language])}" ', 1)
        drawings.append(f'<div lang="{code}">{drawing}</div>')
    headers = [say(k) for k in ("col_number", "col_observed", "col_random")]
    rows = [
        [
            Cell(plain(k)),
            *(Cell(plain(number(float(v), 2)), right=True) for v in (r["factors"], r["factors_normal_quantile"])),
        ]
        for k, r in shown.iterrows()
    ]
    behind = details(say("show_numbers"), table(headers, rows))
    html = f'<figure class="chart scree">{"".join(drawings)}<figcaption>{both(caption)}</figcaption>{behind}</figure>'
    return Figure("scree", html, alt)


def _seaborn_scree(eigenvalues: pd.DataFrame, language: str) -> str:
    import matplotlib as mpl
    import seaborn
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    long = pd.DataFrame(
        {
            "number": list(eigenvalues.index) * 2,
            "value": [*eigenvalues["factors"], *eigenvalues["factors_normal_quantile"]],
            "kind": [say("col_observed")[language]] * len(eigenvalues)
            + [say("col_random")[language]] * len(eigenvalues),
        }
    )
    settings = {"svg.fonttype": "none", "svg.hashsalt": "sqmodel", "font.size": 11}
    with mpl.rc_context(settings), io.StringIO() as sink:
        drawing = Drawing(figsize=(6.4, 2.9), layout="tight")
        FigureCanvasSVG(drawing)
        axes = drawing.add_subplot()
        seaborn.lineplot(
            long, x="number", y="value", hue="kind", style="kind", markers=["o", "o"], dashes=[(1, 0), (2, 2)],
            palette=["#1f5fa8", "#5b6775"], ax=axes, errorbar=None, legend=False,
        )  # fmt: skip
        # Chinese glyphs are not in matplotlib's own font: the texts are put in afterwards, in the page's font.
        axes.set(xlabel="XLABEL", ylabel="YLABEL")
        axes.annotate("KINDA", (1, float(eigenvalues["factors"].iloc[0])), xytext=(8, 0), textcoords="offset points")
        axes.annotate("KINDB", (len(eigenvalues), float(eigenvalues["factors_normal_quantile"].iloc[-1])),
                      xytext=(0, 10), textcoords="offset points", ha="right")  # fmt: skip
        seaborn.despine(ax=axes)
        drawing.savefig(sink, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        text = sink.getvalue()
    words = {"XLABEL": "col_number", "YLABEL": "col_eigenvalue", "KINDA": "col_observed", "KINDB": "col_random"}
    for mark, key in words.items():
        text = text.replace(mark, escape(say(key)[language]))
    return plain_svg(text, f"scree-{language}")


def plain_svg(text: str, prefix: str) -> str:
    """matplotlib's SVG made fit for a strict page: style attributes as presentation attributes, ids prefixed."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r' style="([^"]*)"', lambda m: _as_attributes(m[1]), body)
    body = re.sub(r' (width|height)="[\d.]+pt"', "", body, count=2)
    body = re.sub(r' xmlns(:\w+)?="[^"]*"| version="1.1"', "", body)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(xlink:)?href="#', f'href="#{prefix}-', body)
    body = re.sub(r"url\(#", f"url(#{prefix}-", body)
    body = body.replace("<svg ", '<svg fill="none" stroke-linejoin="round" stroke-linecap="butt" ', 1)
    return re.sub(r"\s*\n\s*", " ", body)


ALLOWED = {
    "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin",
    "opacity", "fill-opacity", "stroke-opacity", "font-size", "text-anchor", "font-weight",
}  # fmt: skip


def _as_attributes(style: str) -> str:
    pairs = [part.split(":", 1) for part in style.split(";") if ":" in part]
    found = {k.strip(): v.strip() for k, v in pairs}
    if "font" in found:
        size = re.search(r"([\d.]+)px", found["font"])
        found["font-size"] = size[1] if size else "11"
        found.setdefault("fill", "#5b6775")
    return "".join(f' {k}="{v}"' for k, v in found.items() if k in ALLOWED and not (k == "opacity" and v == "1"))
