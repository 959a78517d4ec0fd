"""The priority map: how much an item matters against how well it is done."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.layout import Key, Scale, dot, explain, scale
from sqmodel.reporting.charts.rows import columns_of, counts_of, labels_of, level_words, missing
from sqmodel.reporting.charts.writer import Texts, el, group, number, path, text_width, wrap
from sqmodel.result import Estimate

IMPORTANCE = Text(zh="重要性 →", en="Importance →")
PERFORMANCE = Text(zh="↑ 表现", en="↑ Performance")
MEAN = Text(zh="平均", en="mean")
QUADRANTS = {
    (0, 1): Text(zh="保持即可", en="Maintain"),
    (1, 1): Text(zh="继续保持优势", en="Keep up the good work"),
    (0, 0): Text(zh="次要", en="Low priority"),
    (1, 0): Text(zh="重要而得分低", en="Important, scored low"),
}
FIRST = Text(zh="先做", en="do first")
NEAR, FAR = (7.0, 12.0, 20.0), (30.0, 42.0, 56.0, 72.0, 90.0, 110.0)
CROWD = 12
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Point:
    """A thing to be good at: how much it matters, how well it is done."""

    label: Text
    importance: Estimate
    performance: Estimate
    highlight: bool = False


def priority_map(
    name: str,
    points: Sequence[Point],
    *,
    alt: Text,
    caption: Text,
    x_title: Text = IMPORTANCE,
    y_title: Text = PERFORMANCE,
) -> Figure:
    """Importance across, performance upwards, the means as lines, what to improve first at the lower right.

    Parameters
    ----------
    name : str
        Id of the figure.
    points : sequence of Point
        A point gets its label where there is room, else a number that is explained beneath: no label hides another.
    alt, caption : Text
        What the chart shows in words; what stands below it, with n.
    x_title, y_title : Text
        What the axes measure.

    Returns
    -------
    Figure
    """
    shown = [p for p in points if not missing(p.importance) and not missing(p.performance)]
    data = pd.DataFrame(
        {
            "number": range(1, len(shown) + 1),
            **labels_of([p.label for p in shown]),
            **columns_of([p.importance for p in shown], "importance"),
            **columns_of([p.performance for p in shown], "performance"),
            "n": counts_of([p.performance for p in shown]),
        }
    )
    estimates = [p.performance for p in shown]

    def draw(variant: Variant) -> Drawing:
        plot = _plot(data, variant, (x_title, y_title))
        marks = _ground(plot) + _crosses(shown, plot) + _dots(shown, plot)
        labels, numbered = _labels(shown, plot)
        keys = [
            Key(lambda x, y: dot(x + 9, y, "o", 5), FIRST),
            Key(_cross_key, level_words(estimates)),
            Key(lambda x, y: el("path", d=path([(x, y), (x + 18, y)]), class_="sm", stroke_dasharray="4 3"), MEAN),
        ]
        line, bottom = explain(keys, variant, plot.bottom + 20)
        listed, height = _list(numbered, variant, bottom)
        return Drawing(marks, _titles(plot) + labels + line + listed, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=2)


def _cross_key(x: float, y: float) -> Markup:
    return el("path", d=f"M{x:.0f},{y:.0f}h18m-9,-6v12", class_="sb", stroke_width=1, opacity=0.6)


@dataclass(frozen=True)
class _Plot:
    variant: Variant
    x: Scale
    y: Scale
    means: tuple[float, float]
    titles: tuple[Text, Text]

    @property
    def bottom(self) -> float:
        return self.y.start

    def at(self, point: Point) -> tuple[float, float]:
        return self.x(point.importance.value), self.y(point.performance.value)


def _plot(data: pd.DataFrame, variant: Variant, titles: tuple[Text, Text]) -> _Plot:
    height = 300.0 if variant.narrow else 420.0
    values = {k: [v for c in (k, f"{k}_low", f"{k}_high") for v in data[c]] for k in ("importance", "performance")}
    y = scale(values["performance"], height + 30, 30, most=7)
    left = max(text_width(y.label(t), variant.small) for t in y.ticks) + 8
    x = scale(values["importance"], left, variant.width - 4, most=5 if variant.narrow else 8)
    means = (float(data["importance"].mean()), float(data["performance"].mean()))
    return _Plot(variant, x, y, means, titles)


def _ground(plot: _Plot) -> Markup:
    """Axes, the lines of the means, the words of the quadrants; the one to improve is tinted."""
    x, y, v = plot.x, plot.y, plot.variant
    mean_x, mean_y = x(plot.means[0]), y(plot.means[1])
    tint = el("rect", x=mean_x, y=mean_y, width=x.end - mean_x, height=y.start - mean_y, class_="fo", opacity=0.1)
    frame = el(
        "path", d=f"M{number(x.start)},{number(y.end)}V{number(y.start)}H{number(x.end)}", class_="sl", fill="none"
    )
    cross = f"M{number(mean_x)},{number(y.end)}V{number(y.start)}M{number(x.start)},{number(mean_y)}H{number(x.end)}"
    means = el("path", d=cross, class_="sm", stroke_dasharray="4 3")
    ticks = Texts()
    for t in x.ticks[:-1]:
        ticks.add(x.label(t), x(t), y.start + 16, text_anchor="middle")
    for t in y.ticks:
        ticks.add(y.label(t), x.start - 6, y(t) + 4, text_anchor="end")
    return tint + frame + means + group(ticks.markup(), class_="fm", font_size=v.small)


def _titles(plot: _Plot) -> Markup:
    """What the axes measure and what the quadrants mean."""
    v, x, y = plot.variant, plot.x.end, plot.y.start + 16
    words = Texts()
    words.add(plot.titles[0][v.language], x, y, class_="fm", text_anchor="end")
    words.add(plot.titles[1][v.language], 0, 12, class_="fm")
    for key in QUADRANTS:
        x, y, anchor, text = _corner(plot, key)
        hot = {"class_": "fo", "font_weight": 700} if key == (1, 0) else {"class_": "fm"}
        words.add(text, x, y, **hot, **({"text_anchor": anchor} if anchor == "end" else {}))
    return group(words.markup(), font_size=v.small)


def _corner(plot: _Plot, key: tuple[int, int]) -> tuple[float, float, str, str]:
    """Where the words of a quadrant stand: x, baseline, anchor, words."""
    right, upper = key
    x = plot.x.end - 6 if right else plot.x.start + 6
    y = plot.y.end + 14 if upper else plot.y.start - 8
    return x, y, "end" if right else "start", QUADRANTS[key][plot.variant.language]


def _by_tone(points: Sequence[Point]) -> Iterator[tuple[str, list[Point]]]:
    """Blue ones, then the highlighted ones above them."""
    for highlight, tone in ((False, "b"), (True, "o")):
        chosen = [p for p in points if p.highlight is highlight]
        if chosen:
            yield tone, chosen


def _crosses(points: Sequence[Point], plot: _Plot) -> Markup:
    """Both intervals of every point, one path a tone: where crosses overlap they do not add up to a blot."""
    found = Markup("")
    for tone, chosen in _by_tone(points):
        steps = "".join(_cross(p, plot) for p in chosen)
        found += el("path", d=steps, class_=f"s{tone}", opacity=0.6 if tone == "o" else 0.3) if steps else Markup("")
    return found


def _cross(point: Point, plot: _Plot) -> str:
    x, y = plot.at(point)
    found, e, p = "", point.importance, point.performance
    if math.isfinite(e.low + e.high):
        found += f"M{number(plot.x(e.low))},{number(y)}H{number(plot.x(e.high))}"
    if math.isfinite(p.low + p.high):
        found += f"M{number(x)},{number(plot.y(p.low))}V{number(plot.y(p.high))}"
    return found


def _dots(points: Sequence[Point], plot: _Plot) -> Markup:
    found = Markup("")
    for tone, chosen in _by_tone(points):
        places = (plot.at(p) for p in chosen)
        dots = [el("circle", cx=x, cy=y, r=5.5 if tone == "o" else 4) for x, y in places]
        found += group(*dots, class_=f"f{tone} sw")
    return found


def _labels(points: Sequence[Point], plot: _Plot) -> tuple[Markup, list[tuple[int, Point]]]:
    """Labels beside their points where nothing is in the way; the others get a number, and are returned."""
    v = plot.variant
    taken = [_around(*plot.at(p)) for p in points] + [_corner_box(plot, key) for key in QUADRANTS]
    # On a phone a crowd of words leaves no room for the numbers of the others.
    crowded = v.narrow and len(points) > CROWD
    found, leaders, numbered = Markup(""), "", []
    for i, point in sorted(enumerate(points, start=1), key=lambda p: not p[1].highlight):
        lines = wrap(point.label[v.language], 92.0 if v.narrow else 150.0, v.small)
        worded = len(lines) <= 2 and (point.highlight or not crowded)
        box = _place(lines, plot.at(point), plot, taken) if worded else None
        if box is None:
            lines = [str(i)]
            numbered.append((i, point))
            box = _place(lines, plot.at(point), plot, taken) or _beside(lines, plot.at(point), 0.0, NEAR[0], v)
        taken.append(box)
        found += _label(lines, box, point, plot)
        leaders += _leader(box, plot.at(point))
    drawn = el("path", d=leaders, class_="sm", stroke_width=0.8) if leaders else ""
    labels = group(found, class_="halo", font_size=v.small, text_anchor="middle")
    return drawn + labels, sorted(numbered, key=lambda pair: pair[0])


def _corner_box(plot: _Plot, key: tuple[int, int]) -> Box:
    x, y, anchor, words = _corner(plot, key)
    width = text_width(words, plot.variant.small)
    left = x - width if anchor == "end" else x
    return left, y - plot.variant.small, left + width, y + 3


def _around(x: float, y: float) -> Box:
    return x - 5, y - 5, x + 5, y + 5


def _beside(lines: Sequence[str], at: tuple[float, float], angle: float, far: float, variant: Variant) -> Box:
    """The box of a label that touches a circle of radius `far` around its point, in the direction `angle`."""
    width = max(text_width(t, variant.small) for t in lines) + 2
    height = len(lines) * variant.small * 1.25
    cx = at[0] + math.cos(angle) * (far + width / 2)
    cy = at[1] - math.sin(angle) * (far + height / 2)
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def _directions(far: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Where a label may go, best first: near before far; right, left, above, below before what lies between."""
    order = (0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 5, 11, 13)
    for distance, part in itertools.product(far, order):
        yield part * math.pi / 8, distance


def _place(lines: Sequence[str], at: tuple[float, float], plot: _Plot, taken: Sequence[Box]) -> Box | None:
    # A number is small and its leader clear, so that it may stand farther away than words.
    for angle, distance in _directions((*NEAR, *FAR) if lines[0].isdigit() else NEAR):
        box = _beside(lines, at, angle, distance, plot.variant)
        inside = box[0] >= plot.x.start + 2 and box[2] <= plot.variant.width and box[1] >= plot.y.end - 4
        if inside and box[3] <= plot.y.start - 2 and not any(_overlap(box, other) for other in taken):
            return box
    return None


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _label(lines: Sequence[str], box: Box, point: Point, plot: _Plot) -> Markup:
    middle, top = (box[0] + box[2]) / 2, box[1] + plot.variant.small
    words = Markup("").join(el("text", t, x=middle, y=top + i * 15) for i, t in enumerate(lines))
    return group(words, class_="fo", font_weight=700) if point.highlight else words


def _leader(box: Box, at: tuple[float, float]) -> str:
    """A thin line to a label that stands apart from its point."""
    near = min(max(at[0], box[0]), box[2]), min(max(at[1], box[1]), box[3])
    return path([at, near]) if math.dist(near, at) > 13 else ""


def _list(numbered: Sequence[tuple[int, Point]], variant: Variant, top: float) -> tuple[Markup, float]:
    """What the numbers mean, in columns; room is for the longer language."""
    if not numbered:
        return Markup(""), top
    columns = 1 if variant.narrow else 3
    width = variant.width / columns - 12
    entries = [(i, wrap(p.label[variant.language], width - 26, variant.small), p) for i, p in numbered]
    per = math.ceil(len(entries) / columns)
    words, bottom = Texts(), top
    for c in range(columns):
        y = top + 18
        for i, lines, point in entries[c * per : (c + 1) * per]:
            x, tone = c * (width + 12), "fo" if point.highlight else "fm"
            words.add(str(i), x + 18, y, class_=tone, font_weight=700, text_anchor="end")
            words.lines(lines, y, math.ceil(variant.small * 1.25), x=x + 26, class_=tone)
            y += len(lines) * 16 + 4
        bottom = max(bottom, y - 8)
    return group(words.markup(), font_size=variant.small), bottom
