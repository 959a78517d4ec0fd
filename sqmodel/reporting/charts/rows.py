"""Charts in rows: estimates with intervals, and gaps between expectation and performance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.layout import (
    Key,
    Marks,
    RowText,
    Scale,
    axis,
    band,
    dashed,
    dot,
    explain,
    hollow,
    lay_rows,
    scale,
    upright,
    whisker,
)
from sqmodel.reporting.words import interval, number, percent, signed
from sqmodel.result import Estimate

TOO_FEW = Text(zh="样本不足", en="too few answers")
NOW = Text(zh="本季", en="this quarter")
BEFORE = Text(zh="上期", en="before")
EXPECTED = Text(zh="预期范围", en="expected range")
EXPECTATION = Text(zh="期望", en="expectation")
PERFORMANCE = Text(zh="感知", en="performance")


@dataclass(frozen=True)
class Row:
    """A row of an interval chart; without an estimate it says why: too few answers, or the note."""

    label: Text
    estimate: Estimate | None = None
    previous: float | None = None
    band: tuple[float, float] | None = None
    highlight: bool = False
    note: Text | None = None
    heading: bool = False


@dataclass(frozen=True)
class GapRow:
    """A row of a gap chart: performance, expectation, and performance less expectation."""

    label: Text
    performance: Estimate | None
    expectation: Estimate | None
    gap: Estimate | None
    highlight: bool = False
    note: Text | None = None


def missing(estimate: Estimate | None) -> bool:
    """Whether there is no number to draw."""
    return estimate is None or not math.isfinite(estimate.value)


def level_words(estimates: Sequence[Estimate | None]) -> Text:
    """Name of the intervals, from the first estimate that has one."""
    level = percent(next((e.level for e in estimates if e is not None), 0.95))
    return Text(zh=f"{level} 区间", en=f"{level} interval")


def columns_of(estimates: Sequence[Estimate | None], prefix: str = "") -> dict[str, list[float]]:
    """Value and bounds of estimates as columns of a frame."""
    names = {prefix or "value": "value", f"{prefix}_low".lstrip("_"): "low", f"{prefix}_high".lstrip("_"): "high"}
    return {k: [math.nan if e is None else getattr(e, v) for e in estimates] for k, v in names.items()}


def counts_of(estimates: Sequence[Estimate | None]) -> list[float]:
    """Cases of each estimate, NaN where not given."""
    return [math.nan if e is None or not e.n else float(e.n) for e in estimates]


def labels_of(labels: Sequence[Text], name: str = "label") -> dict[str, list[str]]:
    """Labels in both languages as columns of a frame."""
    return {f"{name}_{g}": [t[g] for t in labels] for g in ("zh", "en")}


def interval_chart(
    name: str,
    rows: Sequence[Row],
    *,
    alt: Text,
    caption: Text,
    unit: str = "",
    digits: int = 1,
    now: Text = NOW,
    before: Text = BEFORE,
    expected: Text = EXPECTED,
    reference: tuple[float, Text] | None = None,
) -> Figure:
    """Estimates with intervals, a row each; last quarter hollow, the expected range a pale band.

    Parameters
    ----------
    name : str
        Id of the figure.
    rows : sequence of Row
        From top to bottom; a heading row only names the rows that follow.
    alt, caption : Text
        What the chart shows in words; what stands below it, with n.
    unit : str
        Follows every value and tick, such as ``%``.
    digits : int
        Decimals of the values.
    now : Text
        What a dot is.
    before, expected : Text
        What a hollow dot is, and a band.
    reference : tuple of float and Text, optional
        A value that all rows are seen against, such as the mean of all, as a dashed line; and what it is.

    Returns
    -------
    Figure
    """
    shown = [r for r in rows if not r.heading]
    estimates = [None if missing(r.estimate) else r.estimate for r in shown]
    bands = [r.band or (math.nan, math.nan) for r in shown]
    data = pd.DataFrame(
        {
            **labels_of([r.label for r in shown]),
            **columns_of(estimates),
            "n": counts_of(estimates),
            "previous": [math.nan if r.previous is None else r.previous for r in shown],
            "band_low": [b[0] for b in bands],
            "band_high": [b[1] for b in bands],
            **_notes(shown, estimates),
        }
    )

    def draw(variant: Variant) -> Drawing:
        laid = lay_rows([_interval_words(r, unit, digits) for r in rows], variant)
        values = data[["value", "low", "high", "previous", "band_low", "band_high"]].to_numpy().ravel().tolist()
        values += [] if reference is None else [reference[0]]
        where = scale(values, laid.start, laid.end, most=6 if variant.narrow else 9)
        grid, bottom = axis(laid, where, variant, unit=unit)
        if reference is not None:
            grid += upright(laid, where(reference[0]), variant)
        pairs = zip(rows, laid.middles, strict=True)
        marks = Marks()
        for row, y in pairs:
            _mark_interval(marks, row, y, where)
        keys = _interval_keys(shown, estimates, (now, before, expected), reference)
        line, height = explain(keys, variant, bottom)
        return Drawing(grid + marks.markup() + laid.values, laid.words + line, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=digits)


def _notes(rows: Sequence[Row], estimates: Sequence[Estimate | None]) -> dict[str, list[str | None]]:
    texts = [r.note or (TOO_FEW if e is None else None) for r, e in zip(rows, estimates, strict=True)]
    return {f"note_{g}": [t[g] if t else None for t in texts] for g in ("zh", "en")}


def _interval_words(row: Row, unit: str, digits: int) -> RowText:
    if row.heading:
        return RowText(row.label, heading=True)
    if row.estimate is None or missing(row.estimate):
        return RowText(row.label, detail=row.note or TOO_FEW, bare=row.band is None)
    e = row.estimate
    bounds = interval(e.low, e.high, digits) if math.isfinite(e.low + e.high) else None
    return RowText(row.label, number(e.value, digits) + unit, bounds, row.note, "o" if row.highlight else "b")


def _mark_interval(marks: Marks, row: Row, y: float, where: Scale) -> None:
    tone = "o" if row.highlight else "b"
    if row.band and not row.heading:
        marks.band(where(row.band[0]), where(row.band[1]), y)
    if row.estimate is None or row.heading or missing(row.estimate):
        return
    if math.isfinite(row.estimate.low + row.estimate.high):
        marks.whisker(where(row.estimate.low), where(row.estimate.high), y, tone)
    # The hollow dot lies beneath: where both coincide, nothing has changed and this quarter counts.
    if row.previous is not None:
        marks.hollow(where(row.previous), y)
    marks.dot(where(row.estimate.value), y, tone)


def _interval_keys(
    rows: Sequence[Row],
    estimates: Sequence[Estimate | None],
    words: tuple[Text, Text, Text],
    reference: tuple[float, Text] | None,
) -> list[Key]:
    now, before, expected = words
    keys = [
        Key(lambda x, y: dot(x + 9, y), now),
        Key(lambda x, y: whisker(x + 1, x + 17, y), level_words(estimates)),
    ]
    if any(r.previous is not None for r in rows):
        keys.insert(1, Key(lambda x, y: hollow(x + 9, y), before))
    if any(r.band for r in rows):
        keys.append(Key(lambda x, y: band(x, x + 18, y, 12), expected))
    if reference is not None:
        keys.append(Key(lambda x, y: dashed(f"M{x + 9:.1f},{y - 8:.1f}v16"), reference[1]))
    return keys


def gap_chart(
    name: str,
    rows: Sequence[GapRow],
    *,
    alt: Text,
    caption: Text,
    unit: str = "",
    digits: int = 1,
) -> Figure:
    """Expectation (hollow) against performance (filled), with the gap and its interval printed.

    Parameters are those of `interval_chart`, with `GapRow` as rows.
    """
    data = pd.DataFrame(
        {
            **labels_of([r.label for r in rows]),
            **columns_of([r.expectation for r in rows], "expectation"),
            **columns_of([r.performance for r in rows], "performance"),
            **columns_of([r.gap for r in rows], "gap"),
            "n": counts_of([r.gap for r in rows]),
        }
    )

    def draw(variant: Variant) -> Drawing:
        laid = lay_rows([_gap_words(r, unit, digits) for r in rows], variant)
        values = data[["expectation", "performance"]].to_numpy().ravel().tolist()
        where = scale(values, laid.start, laid.end, most=6 if variant.narrow else 9)
        grid, bottom = axis(laid, where, variant, unit=unit)
        marks = Marks()
        for row, y in zip(rows, laid.middles, strict=True):
            _mark_gap(marks, row, y, where)
        keys = [
            Key(lambda x, y: dot(x + 9, y), PERFORMANCE),
            Key(lambda x, y: hollow(x + 9, y, 5.5), EXPECTATION),
        ]
        line, height = explain([*keys, _gap_key([r.gap for r in rows])], variant, bottom)
        return Drawing(grid + marks.markup() + laid.values, laid.words + line, height)

    return assemble(name, draw, alt=alt, caption=caption, data=data, digits=digits)


def _gap_key(gaps: Sequence[Estimate | None]) -> Key:
    level = level_words(gaps)
    words = Text(zh=f"差距 = 感知 − 期望（{level['zh']}）", en=f"gap = performance − expectation ({level['en']})")
    return Key(lambda x, y: whisker(x + 1, x + 17, y, "m", 2), words)


def _gap_words(row: GapRow, unit: str, digits: int) -> RowText:
    if row.gap is None or missing(row.gap):
        return RowText(row.label, detail=row.note or TOO_FEW, bare=True)
    bounds = interval(row.gap.low, row.gap.high, digits, sign=True)
    return RowText(row.label, signed(row.gap.value, digits) + unit, bounds, row.note, "o" if row.highlight else "b")


def _mark_gap(marks: Marks, row: GapRow, y: float, where: Scale) -> None:
    if row.performance is None or row.expectation is None or missing(row.performance) or missing(row.expectation):
        return
    have, want = where(row.performance.value), where(row.expectation.value)
    tone = "o" if row.highlight else "b"
    marks.whisker(have, want, y, tone if row.highlight else "m", 2)
    marks.hollow(want, y, 5.5, tone)
    marks.dot(have, y, tone)
