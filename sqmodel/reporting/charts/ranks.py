"""Rank sets: which ranks each of many may hold. No rank is drawn as a point, for none is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.layout import Key, Marks, Rows, RowText, Scale, axis, band, explain, lay_rows, whisker
from sqmodel.reporting.charts.rows import labels_of

JOINT = Text(zh="可能的名次（对全部机构同时成立）", en="possible ranks (of all at once)")
OWN = Text(zh="单看该机构", en="looked at alone")


@dataclass(frozen=True)
class RankRow:
    """Ranks that one may hold: jointly with all others, and looked at alone (NaN where that is not known)."""

    label: Text
    best: float
    worst: float
    own_best: float = math.nan
    own_worst: float = math.nan
    highlight: bool = False
    heading: bool = False


def rank_chart(
    name: str,
    rows: Sequence[RankRow],
    count: int,
    *,
    alt: Text,
    caption: Text,
    joint: Text = JOINT,
    own: Text = OWN,
) -> Figure:
    """Which ranks may each hold?

    Parameters
    ----------
    name : str
        Id of the figure.
    rows : sequence of RankRow
        From top to bottom; a heading row only names the rows that follow.
    count : int
        How many are ranked, also those that are not shown.
    alt, caption : Text
        What the chart shows in words; what stands below it, with n.
    joint, own : Text
        What the two sets are.

    Returns
    -------
    Figure
    """
    shown = [r for r in rows if not r.heading]
    data = pd.DataFrame(
        {
            **labels_of([r.label for r in shown]),
            "best": [r.best for r in shown],
            "worst": [r.worst for r in shown],
            "own_best": [r.own_best for r in shown],
            "own_worst": [r.own_worst for r in shown],
        }
    )

    def draw(variant: Variant) -> Drawing:
        laid = lay_rows([_words(r) for r in rows], variant)
        where = _scale(count, laid, variant)
        grid, bottom = axis(laid, where, variant)
        marks = Marks()
        for row, y in zip(rows, laid.middles, strict=True):
            _mark(marks, row, y, where)
        keys = [Key(lambda x, y: band(x, x + 18, y, 12), joint)]
        if any(math.isfinite(r.own_best) for r in shown):
            keys.append(Key(lambda x, y: whisker(x + 1, x + 17, y), own))
        line, height = explain(keys, variant, bottom)
        return Drawing(grid + marks.markup() + laid.values, laid.words + line, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=0)


def span_of(best: float, worst: float) -> str:
    """A set of ranks.

    Examples
    --------
    >>> span_of(2, 11), span_of(1, 1), span_of(float("nan"), float("nan"))
    ('2–11', '1', '–')
    """
    if not math.isfinite(best + worst):
        return "–"
    return f"{best:.0f}" if best == worst else f"{best:.0f}–{worst:.0f}"


def _words(row: RankRow) -> RowText:
    if row.heading:
        return RowText(row.label, heading=True)
    return RowText(row.label, span_of(row.best, row.worst), tone="o" if row.highlight else "b")


def _scale(count: int, laid: Rows, variant: Variant) -> Scale:
    """From the first rank to the last, with round numbers between them."""
    most = 5 if variant.narrow else 9
    step = next(s * 10**p for p in range(6) for s in (1, 2, 5) if count / (s * 10**p) <= most)
    between = [float(t) for t in range(step, count, step) if t > 1 and count - t >= 0.6 * step]
    return Scale(1.0, max(float(count), 2.0), laid.start + 4, laid.end - 4, (1.0, *between, float(max(count, 2))))


def _mark(marks: Marks, row: RankRow, y: float, where: Scale) -> None:
    if row.heading or not math.isfinite(row.best + row.worst):
        return
    marks.band(where(row.best) - 4, where(row.worst) + 4, y)
    if math.isfinite(row.own_best + row.own_worst):
        marks.whisker(where(row.own_best), where(row.own_worst) + 0.1, y, "o" if row.highlight else "b")
