"""What charts share: scales with round ticks, rows of labels and values, the line that explains the marks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sqmodel.reporting.charts.figure import Variant
from sqmodel.reporting.charts.writer import el, group, number, path, text_lines, text_width, wrap
from sqmodel.survey.instrument import Text

LABELS_MOST = 250.0
GUTTER = 14.0
MARK = 15.0
"""Height of the marks of a row, above and below its middle together."""


@dataclass(frozen=True)
class Scale:
    """From numbers to coordinates, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """The coordinate of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def label(self, tick: float) -> str:
        """A tick with as many decimals as the step needs and a true minus sign."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{tick:.{digits}f}".replace("-", "−")


def scale(values: Sequence[float], start: float, end: float, *, most: int = 8) -> Scale:
    """A scale that covers the values, from a round number to a round number.

    Examples
    --------
    >>> scale([52.1, 83.9], 0, 100).ticks
    (50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0)
    """
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    step = _step(high - low, most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    while last - first + 1 > most:
        step = _step(step * most, most - 1)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(i * step, 10) for i in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], start, end, ticks)


def _step(span: float, most: int) -> float:
    """The smallest round step that needs no more than `most` ticks."""
    raw = span / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))


@dataclass(frozen=True)
class RowText:
    """Words of a row: at the left its label and a note, at the right a value in bold and its interval."""

    label: str
    value: str = ""
    detail: str = ""
    note: str = ""
    tone: str = ""
    heading: bool = False
    bare: bool = False
    """No mark belongs to the row, so that a narrow chart need not keep room for one."""


@dataclass(frozen=True)
class Rows:
    """Where the rows of a chart stand: their texts, the middle of each row's marks, and the room for marks."""

    texts: Markup
    middles: tuple[float, ...]
    start: float
    end: float
    bottom: float
    marked: tuple[bool, ...]


def lay_rows(rows: Sequence[RowText], variant: Variant, *, top: float = 4.0) -> Rows:
    """Allot room: wide charts have columns, narrow ones put a row's words above its marks."""
    return _stacked(rows, variant, top) if variant.narrow else _columns(rows, variant, top)


def _value_widths(rows: Sequence[RowText], variant: Variant) -> tuple[float, float]:
    value = max((text_width(r.value, variant.size + 1) for r in rows), default=0.0)
    detail = max((text_width(r.detail, variant.small) for r in rows), default=0.0)
    return value, detail + (8.0 if detail and value else 0.0)


def _columns(rows: Sequence[RowText], variant: Variant, top: float) -> Rows:
    size, small = variant.size, variant.small
    needed = max((text_width(r.label, size) for r in rows if not r.heading), default=0.0)
    labels = min(needed + 2, LABELS_MOST)
    value, detail = _value_widths(rows, variant)
    end = variant.width - value - detail - GUTTER - 2
    texts, middles, y = Markup(""), [], top
    for row in rows:
        lines = wrap(row.label, variant.width if row.heading else labels, size)
        notes = wrap(row.note, labels, small) if row.note else []
        height = max(30.0, len(lines) * 17.0 + len(notes) * 15.0 + 11.0)
        middle = y + height / 2
        first = middle - (len(lines) * 17.0 + len(notes) * 15.0) / 2 + 13.0
        texts += _words(row, lines, notes, variant, first)
        texts += _value(row, variant, end + GUTTER + value, middle + 5)
        middles.append(middle)
        y += height
    return Rows(texts, tuple(middles), labels + GUTTER, end, y, tuple(not (r.heading or r.bare) for r in rows))


def _stacked(rows: Sequence[RowText], variant: Variant, top: float) -> Rows:
    size, small = variant.size, variant.small
    texts, middles, y = Markup(""), [], top
    for row in rows:
        own = text_width(row.value, size + 1) + text_width(row.detail, small) + (8.0 if row.detail else 0.0)
        beside = own <= variant.width * 0.55
        lines = wrap(row.label, variant.width - (own + 14.0 if beside and own else 0.0), size)
        notes = wrap(row.note, variant.width, small) if row.note else []
        texts += _words(row, lines, notes, variant, y + 15.0)
        below = y + len(lines) * 18.0 + len(notes) * 16.0
        if own and not beside:
            below += 17.0
        edge = variant.width - (text_width(row.detail, small) + 8.0 if row.detail else 0.0)
        texts += _value(row, variant, edge, y + 15.0 if beside else below - 2.0)
        middles.append(below + 14.0)
        y = below + (8.0 if row.heading or row.bare else 34.0)
    return Rows(texts, tuple(middles), 6.0, variant.width - 6.0, y, tuple(not (r.heading or r.bare) for r in rows))


def _words(row: RowText, lines: Sequence[str], notes: Sequence[str], variant: Variant, first: float) -> Markup:
    weight = 700 if row.heading else None
    label = text_lines(lines, x=0, y=first, size=variant.size, font_weight=weight)
    step = 18.0 if variant.narrow else 17.0
    tone = "fo" if row.tone == "o" else "fm"
    return label + text_lines(notes, x=0, y=first + len(lines) * step - 1, size=variant.small, class_=tone)


def _value(row: RowText, variant: Variant, edge: float, y: float) -> Markup:
    """The value ends at `edge`, its interval follows."""
    found = Markup("")
    if row.value:
        tone = {"o": "fo", "b": "fb", "m": "fm"}.get(row.tone)
        size = variant.size + 1
        found += el("text", row.value, x=edge, y=y, text_anchor="end", class_=tone, font_size=size, font_weight=700)
    if row.detail:
        x, anchor = (edge + 8, None) if row.value else (variant.width, "end")
        found += el("text", row.detail, x=x, y=y, text_anchor=anchor, class_="fm", font_size=variant.small)
    return found


def axis(rows: Rows, where: Scale, variant: Variant, *, unit: str = "") -> tuple[Markup, float]:
    """Grid and tick labels under rows; narrow charts rule only beside the marks, so that no line crosses a word."""
    if variant.narrow:
        spans = [(m - 9, m + 9) for m, marked in zip(rows.middles, rows.marked, strict=True) if marked]
    else:
        spans = [(4.0, rows.bottom)]
    lines = "".join(f"M{number(where(t))},{number(a)}V{number(b)}" for t in where.ticks for a, b in spans)
    grid = el("path", d=lines, class_="sl", stroke_width=1)
    y = rows.bottom + 16
    shown = where.ticks[:: 2 if variant.narrow and len(where.ticks) > 6 else 1]
    labels = [el("text", where.label(t) + unit, x=where(t), y=y, text_anchor="middle") for t in shown]
    return grid + group(*labels, class_="fm", font_size=variant.small), y + 8


@dataclass(frozen=True)
class Key:
    """One mark and its meaning; `draw` gets the left end and the middle height of an 18 × 12 box."""

    draw: Callable[[float, float], Markup]
    text: Text


def explain(keys: Sequence[Key], variant: Variant, top: float) -> tuple[Markup, float]:
    """The line beneath a chart that says what its marks mean, broken where the chart is narrow."""
    x, y, found = 0.0, top + 16, Markup("")
    for key in keys:
        width = 24 + text_width(key.text[variant.language], variant.small)
        if x and x + width > variant.width:
            x, y = 0.0, y + 20
        found += key.draw(x, y - 4)
        found += el("text", key.text[variant.language], x=x + 24, y=y, class_="fm", font_size=variant.small)
        x += width + 18
    return found, y + 8


def dot(x: float, y: float, tone: str = "b", radius: float = 6) -> Markup:
    """A filled dot: this quarter, or performance."""
    return el("circle", cx=x, cy=y, r=radius, class_=f"f{tone}")


def hollow(x: float, y: float, radius: float = 4.5, tone: str = "m") -> Markup:
    """A hollow dot: last quarter, or expectation."""
    return el("circle", cx=x, cy=y, r=radius, class_=f"fw s{tone}", stroke_width=1.6)


def whisker(x1: float, x2: float, y: float, tone: str = "b", width: float = 3) -> Markup:
    """An interval as a line."""
    return el("path", d=path([(x1, y), (x2, y)]), class_=f"s{tone}", stroke_width=width, stroke_linecap="round")


def band(x1: float, x2: float, y: float, height: float = MARK) -> Markup:
    """A pale band: the range that is expected."""
    return el("rect", x=x1, y=y - height / 2, width=x2 - x1, height=height, rx=2, class_="fp")
