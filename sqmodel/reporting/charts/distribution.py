"""How answers spread over the scale: stacked bars, light for its low end, dark for its high end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.layout import Key, Rows, RowText, explain, lay_rows
from sqmodel.reporting.charts.rows import TOO_FEW, labels_of
from sqmodel.reporting.charts.writer import Texts, el, group, number, text_width

LONG_SCALE = 7
BAR = 22.0
INKS = ("q0", "q0", "q0", "q0", "q2", "q1", "q1")
"""Class of the words on each shade; q2 is dark in either scheme, because the fifth shade is light in both."""


@dataclass(frozen=True)
class DistributionRow:
    """Shares of the answers to one item, in the order of the categories, summing to 1; None where withheld."""

    label: Text
    shares: tuple[float, ...] | None
    n: int = 0
    highlight: bool = False


def distribution_chart(
    name: str,
    rows: Sequence[DistributionRow],
    *,
    categories: Sequence[str],
    ends: tuple[Text, Text],
    alt: Text,
    caption: Text,
) -> Figure:
    """How the answers to each item spread over the scale: bars of 100 %, light for the low end, dark for the high.

    Parameters
    ----------
    name : str
        Id of the figure.
    rows : sequence of DistributionRow
        From top to bottom.
    categories : sequence of str
        Names of the scale's steps, from low to high.
    ends : pair of Text
        Words for the lowest and the highest step.
    alt, caption : Text
        What the chart shows in words; what stands below it, with n.

    Returns
    -------
    Figure
    """
    k = len(categories)
    wrong = [r.label["en"] for r in rows if r.shares is not None and len(r.shares) != k]
    if wrong:
        raise ValueError(f"{name}: expected {k} shares a row, found another number in {', '.join(wrong[:5])}")
    data = pd.DataFrame(labels_of([r.label for r in rows]))
    for j, category in enumerate(categories):
        data[f"{category} (%)"] = [math.nan if r.shares is None else 100 * r.shares[j] for r in rows]
    data["n"] = [float(r.n) if r.n else math.nan for r in rows]

    def draw(variant: Variant) -> Drawing:
        laid = lay_rows([_distribution_words(r) for r in rows], variant)
        marks = _bars(rows, k, laid, variant)
        line, height = explain(_ramp_keys(categories, ends), variant, laid.bottom)
        return Drawing(marks + laid.values, laid.words + line, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=0)


def _distribution_words(row: DistributionRow) -> RowText:
    if row.shares is None:
        return RowText(row.label, detail=TOO_FEW, bare=True)
    count = f"n = {row.n:,}"
    return RowText(row.label, detail=Text(zh=count, en=count) if row.n else None, tone="o" if row.highlight else "")


def shade(position: int, count: int) -> int:
    """Which of the seven shades a step of the scale has; short scales use the whole range."""
    return round(position * 6 / max(count - 1, 1))


def _bars(rows: Sequence[DistributionRow], steps: int, laid: Rows, variant: Variant) -> Markup:
    """All bars of one step in one path: a page has hundreds of them, twice."""
    bars: list[list[str]] = [[] for _ in range(steps)]
    labels = {ink: Texts() for ink in sorted(set(INKS))}
    for row, y in zip(rows, laid.middles, strict=True):
        x = laid.start
        for j, share in enumerate(row.shares or ()):
            width, shown = share * (laid.end - laid.start), f"{100 * share:.0f}"
            # A pixel of paper between neighbours keeps them apart in print as well.
            if width > 0.1:
                side = number(max(width - 0.8, 0.4))
                bars[j].append(f"M{number(x)},{number(y)}h{side}")
            if width > text_width(shown, variant.small) + 5:
                labels[INKS[shade(j, steps)]].add(shown, round(x + width / 2), y)
            x += width
    # Thick lines, not rectangles: half the bytes.
    drawn = (el("path", d="".join(d), class_=f"k{shade(j, steps)}") for j, d in enumerate(bars) if d)
    inked = (group(texts.markup(), class_=ink) for ink, texts in labels.items())
    place = {"transform": "translate(0,4.4)", "text_anchor": "middle", "font_size": variant.small}
    return group(*drawn, fill="none", stroke_width=BAR) + group(*inked, **place)


def _ramp_keys(categories: Sequence[str], ends: tuple[Text, Text]) -> list[Key]:
    """Every step where the scale is short, else its ends only."""
    last = len(categories) - 1
    named = {0: ends[0], last: ends[1]}
    chosen = range(last + 1) if last < LONG_SCALE else (0, last)
    return [Key(_swatch(shade(j, last + 1)), _step_words(categories[j], named.get(j))) for j in chosen]


def _step_words(category: str, end: Text | None) -> Text:
    if end is None or end["zh"] == end["en"] == category:
        return Text(zh=category, en=category)
    return Text(zh=f"{category} {end['zh']}", en=f"{category} {end['en']}")


def _swatch(tone: int) -> Callable[[float, float], Markup]:
    return lambda x, y: el("rect", x=x, y=y - 6, width=18, height=12, class_=f"k{tone}")
