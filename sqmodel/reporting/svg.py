"""A small SVG writer for the page's charts.

Charts are written by hand rather than drawn by matplotlib because a page holds every chart four times (two languages,
wide and narrow), within 300 kB: text stays text, colours are classes that the style sheet sets for light and dark, and
no element carries a style attribute, which the page's security policy forbids.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape


def width_of(text: str, size: float) -> float:
    """Estimated width of a text in pixels: a full em for Chinese characters, 0.56 em for the others."""
    return size * sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.56 for c in text)


def wrap(text: str, size: float, most: float) -> list[str]:
    """Break a text into lines of at most `most` pixels: at blanks, or anywhere between Chinese characters.

    Examples
    --------
    >>> wrap("experience and process", 10, 70)
    ['experience', 'and process']
    """
    lines, line = [], ""
    for piece in _pieces(text):
        if line and width_of((line + piece).rstrip(), size) > most:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def _pieces(text: str) -> list[str]:
    pieces, word = [], ""
    for c in text:
        if unicodedata.east_asian_width(c) in "WF":
            pieces += [word, c] if word else [c]
            word = ""
        else:
            word += c
            if c == " ":
                pieces.append(word)
                word = ""
    return [*pieces, word] if word else pieces


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that cover low to high, at most `most` + 1 of them.

    Examples
    --------
    >>> ticks(53.2, 71.9)
    [50.0, 55.0, 60.0, 65.0, 70.0, 75.0]
    """
    span = max(high - low, 1e-9)
    magnitude = 10.0
    while magnitude > span:
        magnitude /= 10
    candidates = [m * magnitude for m in (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10, 20, 25, 50)]
    step = next((s for s in candidates if span / s <= most - 1), candidates[-1])
    first = int(low // step)
    last = int(-(-high // step))
    return [round(i * step, 10) for i in range(first, last + 1)]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


class Canvas:
    """Elements of one drawing, in order.

    Parameters
    ----------
    width : float
        Of the view box; at this width on screen a font size of 12 is 12 pixels.
    """

    def __init__(self, width: float) -> None:
        self.width = width
        self._parts: list[str] = []

    def text(
        self, x: float, y: float, content: str, kind: str = "", *, size: float = 13, anchor: str = "start"
    ) -> None:
        """One line of text on the baseline y."""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"{place}{_k(kind)}>{escape(content)}</text>'
        )

    def lines(
        self, x: float, middle: float, rows: Sequence[str], kind: str = "", *, size: float = 13, anchor: str = "start"
    ) -> None:
        """Several lines centred on the height `middle`."""
        top = middle - (len(rows) - 1) * size * 0.6 + size * 0.36
        for i, row in enumerate(rows):
            self.text(x, top + i * size * 1.2, row, kind, size=size, anchor=anchor)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self._parts.append(f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"{_k(kind)}/>')

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A filled rectangle."""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(height)}"{_k(kind)}/>'
        )

    def boxes(self, boxes: Sequence[tuple[float, float, float, float]], kind: str) -> None:
        """Rectangles (x, y, width, height) of one kind as a single path."""
        if boxes:
            steps = "".join(f"M{_n(x)},{_n(y)}h{_n(w)}v{_n(h)}h{_n(-w)}z" for x, y, w, h in boxes)
            self._parts.append(f'<path d="{steps}"{_k(kind)}/>')

    def words(self, places: Sequence[tuple[float, float, str]], kind: str, *, size: float) -> None:
        """Short texts (x, y, content) of one kind, each centred on its place."""
        if places:
            spans = "".join(f'<tspan x="{_n(x)}" y="{_n(y)}">{escape(text)}</tspan>' for x, y, text in places)
            self._parts.append(f'<text font-size="{_n(size)}" text-anchor="middle"{_k(kind)}>{spans}</text>')

    def circle(self, x: float, y: float, radius: float, kind: str) -> None:
        """A dot."""
        self._parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"{_k(kind)}/>')

    def path(self, points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> None:
        """A polyline, or a polygon."""
        steps = "L".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._parts.append(f'<path d="M{steps}{"Z" if closed else ""}"{_k(kind)}/>')

    def render(self, height: float, label: str, kind: str) -> str:
        """The drawing as one ``<svg>`` with its text alternative."""
        box = f'viewBox="0 0 {_n(self.width)} {_n(height)}"'
        return f'<svg {box} class="{kind}" role="img" aria-label="{escape(label)}">{"".join(self._parts)}</svg>'


def _k(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
