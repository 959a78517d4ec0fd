"""What charts share: scales with round ticks, rows of labels and values, the line that explains the marks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.charts.figure import Variant
from sqmodel.reporting.charts.writer import Texts, el, group, number, text_width, wrap

LABELS_MOST = 220.0
LANGUAGES = ("zh", "en")
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

    label: Text
    value: str = ""
    detail: Text | None = None
    note: Text | None = None
    tone: str = ""
    heading: bool = False
    bare: bool = False
    """No mark belongs to the row, so that a narrow chart need not keep room for one."""


@dataclass(frozen=True)
class Rows:
    """Where the rows of a chart stand: their texts, the middle of each row's marks, and the room for marks.

    `values` are the texts that read the same in both languages, `words` the others.
    """

    values: Markup
    words: Markup
    middles: tuple[float, ...]
    start: float
    end: float
    bottom: float
    marked: tuple[bool, ...]


def lay_rows(rows: Sequence[RowText], variant: Variant, *, top: float = 4.0) -> Rows:
    """Allot room: wide charts have columns, narrow ones put a row's words above its marks.

    Room is for the longer of the two languages, so that the marks stand at the same place in both: they need be
    written only once, and nothing jumps when the reader changes the language.
    """
    return _stacked(rows, variant, top) if variant.narrow else _columns(rows, variant, top)


def _widest(texts: Iterable[Text | None], size: float) -> float:
    return max((text_width(t[g], size) for t in texts if t is not None for g in LANGUAGES), default=0.0)


def _wrapped(text: Text | None, width: float, size: float, language: str) -> tuple[list[str], int]:
    """The lines in one language, and how many lines the longer language has."""
    if text is None:
        return [], 0
    lines = {g: wrap(text[g], width, size) for g in LANGUAGES}
    return lines[language], max(map(len, lines.values()))


def _columns(rows: Sequence[RowText], variant: Variant, top: float) -> Rows:
    size, small, language = variant.size, variant.small, variant.language
    labels = min(_widest((r.label for r in rows if not r.heading), size) + 2, LABELS_MOST)
    value = max((text_width(r.value, size + 1) for r in rows), default=0.0)
    detail = _widest((r.detail for r in rows), small)
    end = variant.width - value - detail - (8.0 if value and detail else 0.0) - GUTTER - 2
    values, words, middles, y = Texts(), Texts(), [], top
    for row in rows:
        lines, most = _wrapped(row.label, variant.width if row.heading else labels, size, language)
        notes, more = _wrapped(row.note, labels, small, language)
        height = max(30.0, most * 17.0 + more * 15.0 + 11.0)
        middle = y + height / 2
        first = middle - (len(lines) * 17.0 + len(notes) * 15.0) / 2 + 13.0
        _label(row, lines, notes, variant, first, words)
        _value(row, variant, end + GUTTER + value, middle + 5, (values, words))
        middles.append(middle)
        y += height
    marked = tuple(not (r.heading or r.bare) for r in rows)
    return Rows(values.markup(), words.markup(), tuple(middles), labels + GUTTER, end, y, marked)


def _stacked(rows: Sequence[RowText], variant: Variant, top: float) -> Rows:
    size, small, language = variant.size, variant.small, variant.language
    values, words, middles, y = Texts(), Texts(), [], top
    for row in rows:
        aside = _widest([row.detail], small)
        own = text_width(row.value, size + 1) + (aside + 8.0 if aside else 0.0)
        beside = own <= variant.width * 0.55
        lines, most = _wrapped(row.label, variant.width - (own + 14.0 if beside and own else 0.0), size, language)
        notes, more = _wrapped(row.note, variant.width, small, language)
        _label(row, lines, notes, variant, y + 15.0, words)
        below = y + most * 18.0 + more * 16.0 + (0.0 if beside else 17.0)
        edge = variant.width - (aside + 8.0 if aside else 0.0)
        _value(row, variant, edge, y + 15.0 if beside else below - 2.0, (values, words))
        middles.append(below + 14.0)
        y = below + (8.0 if row.heading or row.bare else 34.0)
    marked = tuple(not (r.heading or r.bare) for r in rows)
    return Rows(values.markup(), words.markup(), tuple(middles), 6.0, variant.width - 6.0, y, marked)


def _label(
    row: RowText, lines: Sequence[str], notes: Sequence[str], variant: Variant, first: float, words: Texts
) -> None:
    step = 18.0 if variant.narrow else 17.0
    bold = {"font_weight": 700} if row.heading else {}
    words.lines(lines, first, step, font_size=variant.size, **bold)
    tone = "fo" if row.tone == "o" else "fm"
    words.lines(notes, first + len(lines) * step - 1, 15.0, class_=tone, font_size=variant.small)


def _value(row: RowText, variant: Variant, edge: float, y: float, texts: tuple[Texts, Texts]) -> None:
    """The value ends at `edge`, its interval follows."""
    values, words = texts
    if row.value:
        tone = {"o": "fo", "b": "fb", "m": "fm"}.get(row.tone, "fi")
        values.add(row.value, edge, y, class_=tone, font_size=variant.size + 1, font_weight=700, text_anchor="end")
    if row.detail is not None:
        same = row.detail["zh"] == row.detail["en"]
        x, anchor = (edge + 8, None) if row.value else (variant.width, "end")
        target = values if same else words
        target.add(row.detail[variant.language], x, y, class_="fm", font_size=variant.small, text_anchor=anchor)


def axis(rows: Rows, where: Scale, variant: Variant, *, unit: str = "") -> tuple[Markup, float]:
    """Grid and tick labels under rows; narrow charts rule only beside the marks, so that no line crosses a word."""
    spans = _spans(rows, variant)
    lines = "".join(f"M{number(where(t))},{number(a)}V{number(b)}" for t in where.ticks for a, b in spans)
    grid = el("path", d=lines, class_="sl", stroke_width=1)
    y = rows.bottom + 16
    shown = where.ticks[:: 2 if variant.narrow and len(where.ticks) > 6 else 1]
    labels = Texts()
    for t in shown:
        labels.add(where.label(t) + unit, where(t), y, class_="fm", font_size=variant.small, text_anchor="middle")
    return grid + labels.markup(), y + 8


def upright(rows: Rows, x: float, variant: Variant) -> Markup:
    """A dashed line down all rows, beside the marks only where the chart is narrow."""
    return dashed("".join(f"M{number(x)},{number(a)}V{number(b)}" for a, b in _spans(rows, variant)))


def dashed(d: str) -> Markup:
    """A quiet dashed line."""
    return el("path", d=d, class_="sm", stroke_width=1.2, stroke_dasharray="4 3")


def _spans(rows: Rows, variant: Variant) -> list[tuple[float, float]]:
    """Where lines may stand: all the way down, or beside the marks where words stand between them."""
    if variant.narrow:
        return [(m - 9, m + 9) for m, marked in zip(rows.middles, rows.marked, strict=True) if marked]
    return [(4.0, rows.bottom)]


@dataclass(frozen=True)
class Key:
    """One mark and its meaning; `draw` gets the left end and the middle height of an 18 × 12 box."""

    draw: Callable[[float, float], Markup]
    text: Text


def explain(keys: Sequence[Key], variant: Variant, top: float) -> tuple[Markup, float]:
    """The line beneath a chart that says what its marks mean, broken where the chart is narrow."""
    x, y, found, words = 0.0, top + 16, Markup(""), Texts()
    for key in keys:
        width = 24 + text_width(key.text[variant.language], variant.small)
        if x and x + width > variant.width:
            x, y = 0.0, y + 20
        found += key.draw(x, y - 4)
        words.add(key.text[variant.language], x + 24, y, class_="fm", font_size=variant.small)
        x += width + 18
    return found + words.markup(), y + 8


class Marks:
    """The marks of many rows: those that look alike are one path or one group, and dots lie above lines."""

    def __init__(self) -> None:
        self._bands = Markup("")
        self._whiskers: dict[tuple[str, float], str] = {}
        self._hollows: dict[tuple[str, float], Markup] = {}
        self._dots: dict[str, Markup] = {}

    def band(self, x1: float, x2: float, y: float) -> None:
        """The range that is expected."""
        self._bands += band(x1, x2, y)

    def whisker(self, x1: float, x2: float, y: float, tone: str = "b", width: float = 3) -> None:
        """An interval, or a gap."""
        self._whiskers[tone, width] = self._whiskers.get((tone, width), "") + _across(x1, x2, y)

    def hollow(self, x: float, y: float, radius: float = 4.5, tone: str = "m") -> None:
        """Last quarter, or expectation."""
        found = self._hollows.get((tone, radius), Markup(""))
        self._hollows[tone, radius] = found + el("circle", cx=x, cy=y, r=radius)

    def dot(self, x: float, y: float, tone: str = "b") -> None:
        """This quarter, or performance."""
        self._dots[tone] = self._dots.get(tone, Markup("")) + el("circle", cx=x, cy=y, r=6)

    def markup(self) -> Markup:
        """All marks, from the lowest layer to the highest."""
        lines = (_line(d, tone, width) for (tone, width), d in self._whiskers.items())
        rings = (group(c, class_=f"fw s{tone}", stroke_width=1.6) for (tone, _), c in self._hollows.items())
        dots = (group(c, class_=f"f{tone}") for tone, c in self._dots.items())
        return self._bands + Markup("").join([*lines, *rings, *dots])


def dot(x: float, y: float, tone: str = "b", radius: float = 6) -> Markup:
    """A filled dot: this quarter, or performance."""
    return el("circle", cx=x, cy=y, r=radius, class_=f"f{tone}")


def hollow(x: float, y: float, radius: float = 4.5, tone: str = "m") -> Markup:
    """A hollow dot: last quarter, or expectation."""
    return el("circle", cx=x, cy=y, r=radius, class_=f"fw s{tone}", stroke_width=1.6)


def whisker(x1: float, x2: float, y: float, tone: str = "b", width: float = 3) -> Markup:
    """An interval as a line."""
    return _line(_across(x1, x2, y), tone, width)


def _across(x1: float, x2: float, y: float) -> str:
    return f"M{number(x1)},{number(y)}H{number(x2)}"


def _line(d: str, tone: str, width: float) -> Markup:
    return el("path", d=d, class_=f"s{tone}", stroke_width=width, stroke_linecap="round")


def band(x1: float, x2: float, y: float, height: float = MARK) -> Markup:
    """A pale band: the range that is expected."""
    return el("rect", x=x1, y=y - height / 2, width=x2 - x1, height=height, rx=2, class_="fp")
