"""A tiny SVG writer: elements as strings, everything escaped, looks left to the page's style sheet.

The charts are hand-written SVG rather than drawings of a plotting library for four reasons. A page of 300 kB holds a
dozen charts in four variants each (two languages, two widths), so a drawing may cost some 3 kB, where matplotlib's
cost 12 to 60. Text stays text: it can be read aloud, searched, enlarged, and is set in the page's own font. Colours are
class names, so that the style sheet decides them for light, dark and paper. And the page's content-security policy
forbids ``style`` attributes, which plotting libraries write everywhere; this writer refuses them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

LATIN = 0.56
"""Mean width of a Latin letter or digit in em; Noto Sans SC sets digits at .555."""
NARROW = frozenset(" .,:;|!'ijlIt()[]")
WIDE = frozenset("MWmw%—@+−=<>≥≤±")
NO_START = frozenset("，。、；：？！）》」』”’％%·…,.;:?!)")
"""Characters that must not begin a line of Chinese text."""
_CAMEL = {"view_box": "viewBox"}
_BREAKS = re.compile(r"\s+|(?<=[-–/])|(?<=[\u2e80-\u9fff\uff00-\uffef])|(?=[\u2e80-\u9fff])")


def el(tag: str, *children: Markup | str, **attributes: object) -> Markup:
    """Write one element.

    Parameters
    ----------
    tag : str
        Name of the element.
    *children : Markup or str
        Elements that this module wrote, or plain text, which is escaped.
    **attributes
        Presentation attributes; ``text_anchor`` is written ``text-anchor``, ``class_`` is written ``class``. Numbers
        are rounded to one decimal; None leaves the attribute out.

    Raises
    ------
    ValueError
        A ``style`` attribute or an event handler: the page's policy would drop it.

    Examples
    --------
    >>> el("text", "a < b", x=1.26, text_anchor="end")
    Markup('<text x="1.3" text-anchor="end">a &lt; b</text>')
    """
    written = "".join(_attribute(k, v) for k, v in attributes.items() if v is not None)
    inside = Markup("").join(children)
    return Markup(f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>")


def _attribute(name: str, value: object) -> str:
    name = _CAMEL.get(name) or name.rstrip("_").replace("_", "-")
    if name == "style" or name.startswith("on"):
        raise ValueError(f"expected a presentation attribute, found {name!r}")
    shown = number(value) if isinstance(value, int | float) else str(value)
    return f' {name}="{escape(shown)}"'


def number(value: float) -> str:
    """A coordinate with at most one decimal.

    Examples
    --------
    >>> number(12.04), number(-0.04), number(3.26)
    ('12', '0', '3.3')
    """
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


def path(points: Iterable[tuple[float, float]], *, closed: bool = False) -> str:
    """Path data through the points."""
    joined = "L".join(f"{number(x)},{number(y)}" for x, y in points)
    return f"M{joined}{'Z' if closed else ''}"


def group(*children: Markup | str, **attributes: object) -> Markup:
    """A group that shares attributes, which saves writing them on each child."""
    return el("g", *children, **attributes)


class Texts:
    """Texts by their looks and, where they stand in a column or a row, by their place: what is shared is written once.

    Examples
    --------
    >>> texts = Texts()
    >>> texts.add("55", 10, 20, class_="fm")
    >>> texts.add("60", 30, 20, class_="fm")
    >>> texts.markup()
    Markup('<g class="fm" transform="translate(0,20)"><text x="10">55</text><text x="30">60</text></g>')
    """

    def __init__(self) -> None:
        self._by_looks: dict[tuple[tuple[str, object], ...], list[tuple[str, str, str]]] = {}

    def add(self, text: str, x: float, y: float, **looks: object) -> None:
        """Place a text."""
        self._by_looks.setdefault(tuple(looks.items()), []).append((text, number(x), number(y)))

    def lines(self, lines: Iterable[str], y: float, step: float, *, x: float = 0.0, **looks: object) -> None:
        """Place lines of text below each other."""
        for i, line in enumerate(lines):
            self.add(line, x, y + i * step, **looks)

    def markup(self) -> Markup:
        """All of them, a group for each look."""
        return Markup("").join(_alike(placed, dict(looks)) for looks, placed in self._by_looks.items())


def _alike(placed: Sequence[tuple[str, str, str]], looks: dict[str, object]) -> Markup:
    columns, rows = {x for _, x, _ in placed}, {y for _, _, y in placed}
    left = columns.pop() if len(placed) > 2 and len(columns) == 1 else "0"
    top = rows.pop() if len(placed) > 1 and len(rows) == 1 else "0"
    if (left, top) != ("0", "0"):
        looks["transform"] = f"translate({left},{top})" if top != "0" else f"translate({left})"
    places = ((text, None if x in ("0", left) else x, None if y == top else y) for text, x, y in placed)
    written = [el("text", text, x=x, y=y) for text, x, y in places]
    if len(written) == 1:
        text, x, y = placed[0]
        return el("text", text, x=None if x == "0" else x, y=y, **looks)
    return group(*written, **looks)


def text_width(text: str, size: float) -> float:
    """Estimate the width of a line of text: a Chinese character takes 1 em, a Latin one about .55.

    Good to a few percent, which is enough to allot columns; nobody needs a font file to lay out a chart.
    """
    return size * sum(_em(c) for c in text)


def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if unicodedata.combining(character):
        return 0.0
    if character in NARROW:
        return 0.32
    if character in WIDE:
        return 0.75
    return 0.64 if character.isupper() else LATIN


def wrap(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines no wider than `width`: Latin at spaces, Chinese anywhere that typesetting allows.

    Examples
    --------
    >>> wrap("speed of the first answer", 90, 12)
    ['speed of the', 'first answer']
    >>> wrap("首次答复的速度", 50, 12)
    ['首次答复', '的速度']
    """
    lines = [""]
    for piece in _pieces(text):
        joined = lines[-1] + piece
        if not lines[-1] or text_width(joined.rstrip(), size) <= width:
            lines[-1] = joined
        else:
            lines.append(piece.lstrip())
    cut = [part for line in lines for part in _cut(line.rstrip(), width, size)]
    return _balanced(cut, text, width, size)


def _balanced(lines: list[str], text: str, width: float, size: float) -> list[str]:
    """Spare the last line from holding a single character: break a little earlier where that costs no line."""
    short = len(lines) > 1 and text_width(lines[-1], size) < 0.3 * width
    if not short or width < 6 * size:
        return lines
    tighter = wrap(text, width * 0.85, size)
    return tighter if len(tighter) == len(lines) else lines


def _pieces(text: str) -> list[str]:
    """The text cut wherever a line may end; closing marks stay with what they close."""
    ends = sorted({m.end() for m in _BREAKS.finditer(text)} | {len(text)})
    found = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    merged: list[str] = []
    for piece in filter(None, found):
        if merged and piece[0] in NO_START:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _cut(line: str, width: float, size: float) -> list[str]:
    """A word longer than the line is cut: overflowing would be worse."""
    if text_width(line, size) <= width or len(line) < 2:
        return [line]
    keep = next(i for i in range(len(line) - 1, 0, -1) if i == 1 or text_width(line[:i], size) <= width)
    return [line[:keep], *_cut(line[keep:], width, size)]


def text_lines(lines: Iterable[str], *, x: float, y: float, size: float, **attributes: object) -> Markup:
    """Several lines as text elements, the first on baseline `y`."""
    step = math.ceil(size * 1.25)
    return Markup("").join(
        el("text", line, x=x, y=y + i * step, font_size=size, **attributes) for i, line in enumerate(lines)
    )
