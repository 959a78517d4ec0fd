"""Charts of the page: both languages, wide and narrow, with the numbers behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqmodel.reporting.blocks import Cell, both, details, table
from sqmodel.reporting.svg import Canvas, ticks, width_of, wrap
from sqmodel.reporting.words import interval, number, plain, say, signed
from sqmodel.result import Estimate
from sqmodel.survey.instrument import Text

WIDE, NARROW = 720.0, 336.0
CODES = {"zh": "zh-CN", "en": "en"}
Draw = Callable[[str, bool], tuple[Canvas, float]]


@dataclass(frozen=True)
class Figure:
    """A chart with its text alternative, caption and numbers; `html` holds all variants."""

    name: str
    html: str
    alt: Text

    def __repr__(self) -> str:
        return f"<Figure {self.name}: {self.alt['en']}>"

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Row:
    """A line of an interval chart; no estimate: withheld (with a note) or a heading."""

    label: Text
    estimate: Estimate | None
    previous: float | None = None
    band: tuple[float, float] | None = None
    highlight: bool = False
    note: Text | None = None
    heading: bool = False


@dataclass(frozen=True)
class GapRow:
    """A line of a gap chart."""

    label: Text
    performance: Estimate
    expectation: Estimate
    gap: Estimate
    highlight: bool = False


@dataclass(frozen=True)
class DistributionRow:
    """A line of a distribution chart: shares of the answers, lowest answer first."""

    label: Text
    shares: tuple[float, ...]
    n: int


def compose(name: str, draw: Draw, *, alt: Text, caption: Text, numbers: str = "") -> Figure:
    """Draw the four variants and put them into one figure.

    Parameters
    ----------
    draw : callable
        (language, narrow) -> canvas and height.
    numbers : str
        HTML table of the numbers, shown on demand.
    """
    variants = []
    for language, code in CODES.items():
        drawn = ""
        for narrow in (False, True):
            canvas, height = draw(language, narrow)
            drawn += canvas.render(height, alt[language], "narrow" if narrow else "wide")
        variants.append(f'<div lang="{code}">{drawn}</div>')
    behind = details(say("show_numbers"), numbers) if numbers else ""
    html = f'<figure class="chart">{"".join(variants)}<figcaption>{both(caption)}</figcaption>{behind}</figure>'
    return Figure(name, html, alt)


class _Axis:
    """A horizontal scale from values to pixels, with its grid."""

    def __init__(self, values: Sequence[float], left: float, right: float, most: int) -> None:
        self.ticks = ticks(min(values), max(values), most)
        self.left, self.right = left, right

    def __call__(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.left + (self.right - self.left) * (value - low) / (high - low)

    def grid(self, canvas: Canvas, top: float, bottom: float, digits: int = 0) -> None:
        """Vertical lines with their numbers beneath."""
        step = self.ticks[1] - self.ticks[0]
        places = digits if step >= 1 else 1 if step >= 0.1 else 2
        for tick in self.ticks:
            canvas.line(self(tick), top, self(tick), bottom, "grid")
            canvas.text(self(tick), bottom + 16, number(tick, places), "mute", size=12, anchor="middle")


def _label_width(labels: Sequence[str], most: float, size: float = 13.5) -> float:
    return min(most, max((width_of(t, size) for t in labels), default=0) + 4)


def interval_chart(name: str, rows: Sequence[Row], *, alt: Text, caption: Text) -> Figure:
    """Estimates with intervals, one line each; hollow dot: last time; band: expected range.

    Parameters
    ----------
    name : str
        Of the figure.
    rows : sequence of Row
    alt, caption : Text

    Returns
    -------
    Figure
    """
    values = [v for r in rows if r.estimate for v in (r.estimate.low, r.estimate.high, r.estimate.value)]
    values += [v for r in rows for v in ((r.previous,) if r.previous is not None else ()) + (r.band or ())]

    def draw(language: str, narrow: bool) -> tuple[Canvas, float]:
        canvas = Canvas(NARROW if narrow else WIDE)
        left = 8.0 if narrow else 16 + _label_width([r.label[language] for r in rows], 250)
        axis = _Axis(values or [0, 100], left, canvas.width - 52, 5 if narrow else 7)
        heights = [_row_height(r, language, narrow, left) for r in rows]
        bottom = 12 + sum(heights)
        axis.grid(canvas, 8, bottom)
        y = 12.0
        for row, height in zip(rows, heights, strict=True):
            _draw_row(canvas, axis, row, language, narrow, y, height)
            y += height
        return canvas, bottom + 26

    return compose(name, draw, alt=alt, caption=caption, numbers=_row_numbers(rows))


def _row_height(row: Row, language: str, narrow: bool, left: float) -> float:
    if row.heading:
        return 30
    if narrow:
        return 42
    return 34 if len(wrap(row.label[language], 13.5, left - 12)) == 1 else 42


def _draw_row(canvas: Canvas, axis: _Axis, row: Row, language: str, narrow: bool, y: float, height: float) -> None:
    label = row.label[language]
    if row.heading:
        canvas.text(axis.left if narrow else 4, y + 22, label, "head", size=13)
        return
    middle = y + (height - 13 if narrow else height / 2)
    if narrow:
        canvas.text(axis.left, y + 14, label, "ink", size=12.5)
    else:
        canvas.lines(axis.left - 12, middle, wrap(label, 13.5, axis.left - 12), "ink", size=13.5, anchor="end")
    if row.estimate is None:
        note = (row.note or say("too_few"))[language]
        canvas.text(axis.left + 6, middle + 4, note, "mute", size=12.5)
        return
    if row.band:
        canvas.rect(axis(row.band[0]), middle - 9, axis(row.band[1]) - axis(row.band[0]), 18, "band")
    tone = "hot" if row.highlight else "data"
    canvas.line(axis(row.estimate.low), middle, axis(row.estimate.high), middle, f"{tone} interval")
    if row.previous is not None:
        canvas.circle(axis(row.previous), middle, 4.5, "hollow")
    canvas.circle(axis(row.estimate.value), middle, 5.5, f"{tone} dot")
    canvas.text(canvas.width - 2, middle + 5, number(row.estimate.value), f"{tone} value", size=14, anchor="end")


def _row_numbers(rows: Sequence[Row]) -> str:
    headers = [say(k) for k in ("col_what", "col_score", "col_interval", "col_n")]
    shown = []
    for row in rows:
        if row.heading:
            shown.append([Cell(row.label, tone="head"), *[Cell(plain(" "), right=True)] * 3])
        elif row.estimate is None:
            shown.append(
                [Cell(row.label), Cell(row.note or say("too_few"), right=True), *[Cell(plain("–"), right=True)] * 2]
            )
        else:
            e = row.estimate
            cells = [Cell(plain(number(e.value)), right=True), Cell(interval(e.low, e.high), right=True)]
            shown.append([Cell(row.label), *cells, Cell(plain(e.n), right=True)])
    return table(headers, shown)


def gap_chart(name: str, rows: Sequence[GapRow], *, alt: Text, caption: Text) -> Figure:
    """Expectation (hollow) and performance (filled) joined by the gap, which is printed with its interval."""
    values = [v for r in rows for e in (r.performance, r.expectation) for v in (e.low, e.high)]

    def draw(language: str, narrow: bool) -> tuple[Canvas, float]:
        canvas = Canvas(NARROW if narrow else WIDE)
        left = 8.0 if narrow else 16 + _label_width([r.label[language] for r in rows], 230)
        axis = _Axis(values, left, canvas.width - (16 if narrow else 120), 5 if narrow else 6)
        height = 46 if narrow else 40
        bottom = 12 + height * len(rows)
        axis.grid(canvas, 8, bottom)
        for i, row in enumerate(rows):
            _draw_gap(canvas, axis, row, language, narrow, 12.0 + i * height, height)
        return canvas, bottom + 26

    headers = [say(k) for k in ("col_what", "col_score", "col_expectation", "col_gap", "col_interval")]
    numbers = [
        [
            Cell(r.label),
            *(Cell(plain(number(e.value)), right=True) for e in (r.performance, r.expectation, r.gap)),
            Cell(interval(r.gap.low, r.gap.high, sign=True), right=True),
        ]
        for r in rows
    ]
    return compose(name, draw, alt=alt, caption=caption, numbers=table(headers, numbers))


def _draw_gap(canvas: Canvas, axis: _Axis, row: GapRow, language: str, narrow: bool, y: float, height: float) -> None:
    tone = "hot" if row.highlight else "data"
    middle = y + (height - 13 if narrow else height / 2)
    bounds = interval(row.gap.low, row.gap.high, sign=True)[language]
    if narrow:
        canvas.text(axis.left, y + 15, row.label[language], "ink", size=12.5)
        canvas.text(canvas.width - 2, y + 15, signed(row.gap.value), f"{tone} value", size=13, anchor="end")
    else:
        canvas.lines(
            axis.left - 12, middle, wrap(row.label[language], 13.5, axis.left - 12), "ink", size=13.5, anchor="end"
        )
        canvas.text(canvas.width - 2, middle - 2, signed(row.gap.value), f"{tone} value", size=14, anchor="end")
        canvas.text(canvas.width - 2, middle + 13, bounds, "mute", size=12, anchor="end")
    canvas.line(axis(row.performance.value), middle, axis(row.expectation.value), middle, f"{tone} gap")
    for estimate, kind in ((row.performance, f"{tone} dot"), (row.expectation, "hollow")):
        canvas.line(axis(estimate.low), middle, axis(estimate.high), middle, f"{tone} interval")
        canvas.circle(axis(estimate.value), middle, 5.5, kind)


def distribution_chart(
    name: str,
    rows: Sequence[DistributionRow],
    *,
    categories: Sequence[str],
    ends: tuple[Text, Text],
    alt: Text,
    caption: Text,
) -> Figure:
    """Shares of the answers to each item as a stacked bar, palest for the lowest answer."""
    def draw(language: str, narrow: bool) -> tuple[Canvas, float]:
        canvas = Canvas(NARROW if narrow else WIDE)
        left = 4.0 if narrow else 16 + _label_width([r.label[language] for r in rows], 250)
        right, height = canvas.width - 4, 42.0 if narrow else 27.0
        canvas.text(left, 14, f"{categories[0]} {ends[0][language]}", "mute", size=12)
        canvas.text(right, 14, f"{ends[1][language]} {categories[-1]}", "mute", size=12, anchor="end")
        tops = [22 + i * height for i in range(len(rows))]
        for row, y in zip(rows, tops, strict=True):
            if narrow:
                canvas.text(left, y + 13, row.label[language], "ink", size=12.5)
            else:
                canvas.text(left - 12, y + 15, row.label[language], "ink", size=13.5, anchor="end")
        _draw_shares(canvas, rows, left, right, [y + (19 if narrow else 2) for y in tops])
        return canvas, 26 + height * len(rows)

    headers = [say("col_what"), say("col_n"), *(plain(c) for c in categories)]
    numbers = [
        [Cell(r.label), Cell(plain(r.n), right=True), *(Cell(plain(f"{100 * s:.0f}%"), right=True) for s in r.shares)]
        for r in rows
    ]
    return compose(name, draw, alt=alt, caption=caption, numbers=table(headers, numbers))


def _draw_shares(
    canvas: Canvas, rows: Sequence[DistributionRow], left: float, right: float, tops: Sequence[float]
) -> None:
    """All bars of one answer in one path: a page has some hundreds of them, four times."""
    steps = len(rows[0].shares) if rows else 0
    starts = [left] * len(rows)
    for j in range(steps):
        shade = round(1 + 6 * j / max(steps - 1, 1))
        widths = [row.shares[j] * (right - left) for row in rows]
        boxes = [(x, y, w - 0.8, 18.0) for x, y, w in zip(starts, tops, widths, strict=True) if w > 0.8]
        canvas.boxes(boxes, f"s{shade}")
        places = [
            (x + w / 2, y + 13.4, f"{100 * row.shares[j]:.0f}")
            for row, x, y, w in zip(rows, starts, tops, widths, strict=True)
            if w >= 24
        ]
        canvas.words(places, f"on{shade}", size=12)
        starts = [x + w for x, w in zip(starts, widths, strict=True)]
