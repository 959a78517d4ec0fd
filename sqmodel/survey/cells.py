"""Cells: what one written answer means. Each distinct text of a column is interpreted once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.survey.column_map import ColumnMap, fold
from sqmodel.survey.instrument import Group, Instrument, Scale

QUARTER = re.compile(r"\d{4}Q[1-4]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
_LEADING = re.compile(r"(-?\d+) ?[-–—.、:)]? ?\D+")
_TRAILING = re.compile(r"[^\d(]+?[-–—:]? ?\(?(\d+) ?分?\)?")
_CHINESE_TIME = re.compile(r"(?:(\d+)(?:小时|时))?(?:(\d+)分钟?)?(?:(\d+(?:\.\d+)?)秒)?")


@dataclass(frozen=True)
class Cell:
    """Meaning of one text: its value, and a kind where something has to be said about it.

    `fault` is what was expected, where the text breaks a rule; then the value is missing.
    """

    value: float | str | None
    kind: str = ""
    fault: str = ""


Parser = Callable[[str], Cell]

MISSING = Cell(None, "missing")
MISSING_CODE = Cell(None, "missing code")


@dataclass(frozen=True)
class Parsed:
    """A column: its distinct texts, their meanings, and for each row the position of its text."""

    codes: npt.NDArray[np.intp]
    texts: list[str]
    meanings: list[Cell]


def parse_column(texts: pd.Series, parse: Parser) -> Parsed:
    """Interpret each distinct text of a column once."""
    codes, distinct = pd.factorize(texts)
    return Parsed(codes, [str(t) for t in distinct], [parse(str(t)) for t in distinct])


def number_parser(missing: Collection[str], expected: str, least: float = -math.inf) -> Parser:
    """Parser of finite numbers that are at least `least`; `expected` names them in the fault."""

    def parse(text: str) -> Cell:
        folded = fold(text)
        if not folded:
            return MISSING
        if folded in missing:
            return MISSING_CODE
        value = _number(folded)
        if value is None:
            return Cell(None, "not a number", f"expected {expected}, found text")
        if not math.isfinite(value):
            return Cell(None, "infinite", f"expected {expected}, found an infinite number")
        if value < least:
            return Cell(None, "below the least", f"expected {expected}, found less")
        return Cell(value)

    return parse


def weight_parser() -> Parser:
    """Parser of sample weights: everyone has one, for without it all weighted means would be undefined."""
    expected = "a sample weight of at least 0"
    plain = number_parser((), expected, least=0.0)
    absent = Cell(None, "missing", f"expected {expected}, found an empty cell")
    return lambda text: plain(text) if text.strip() else absent


def duration_parser(missing: Collection[str]) -> Parser:
    """Parser of seconds: plain numbers, "125秒", "2分5秒", "1小时2分5秒"."""
    plain = number_parser(missing, "a duration of at least 0 seconds", least=0.0)

    def parse(text: str) -> Cell:
        match = _CHINESE_TIME.fullmatch(fold(text).replace(" ", ""))
        if match and any(match.groups()):
            hours, minutes, seconds = (float(part or 0) for part in match.groups())
            return Cell(hours * 3600 + minutes * 60 + seconds)
        return plain(text)

    return parse


def rating_parser(scale: Scale, labels: Mapping[str, int | str], missing: Collection[str]) -> Parser:
    """Parser of ratings: codes of the scale, its anchors, labels of the map, and labels with a number."""
    span = f"{scale.minimum} to {scale.maximum}"
    anchors = {fold(text): code for code, anchor in scale.anchors.items() for text in (anchor.zh, anchor.en) if text}
    coded = {**anchors, **labels}

    def parse(text: str) -> Cell:
        folded = fold(text)
        if not folded:
            return MISSING
        if folded in missing:
            return MISSING_CODE
        if folded in coded:
            return _judged(float(coded[folded]), scale, "label")
        value = _number(folded)
        if value is not None:
            return _judged(value, scale, "")
        inside = _number_of_label(folded, anchors)
        if inside is None:
            return Cell(None, "text in a rating", f"expected a rating from {span} or a label of it, found text")
        return _judged(inside, scale, "label")

    return parse


def _judged(value: float, scale: Scale, kind: str) -> Cell:
    """Whether a number is an answer on the scale; `kind` is said of it if it is."""
    span = f"{scale.minimum} to {scale.maximum}"
    if not math.isfinite(value):
        return Cell(None, "infinite", f"expected a rating from {span}, found an infinite number")
    if value in scale.not_applicable:
        return Cell(None, "not applicable")
    if value != int(value):
        return Cell(None, "not a whole number", f"expected a whole number from {span}, found a fraction")
    if not scale.minimum <= value <= scale.maximum:
        found = f"expected a rating from {span}, found a number outside the scale"
        return Cell(None, "outside the scale", found)
    return Cell(value, kind)


def group_parser(group: Group, labels: Mapping[str, int | str], missing: Collection[str]) -> Parser:
    """Parser of group values: codes, their titles, labels of the map; any text where none are listed."""
    titles = {fold(t): code for code, title in group.values.items() for t in (title.zh, title.en) if t}
    known = {
        **titles,
        **{fold(code): code for code in group.values},
        **{k: str(v) for k, v in labels.items()},
    }

    def parse(text: str) -> Cell:
        folded = fold(text)
        if not folded:
            return MISSING
        if folded in missing:
            return MISSING_CODE
        value = known.get(folded, text.strip())
        if group.values and value not in group.values:
            listed = ", ".join(group.values)
            return Cell(None, "unknown group", f"expected {group.code} to be one of {listed}, found another value")
        return Cell(value, "label" if folded in known and value != text.strip() else "")

    return parse


def quarter_parser(missing: Collection[str]) -> Parser:
    """Parser of quarters such as 2026Q3."""

    def parse(text: str) -> Cell:
        folded = fold(text)
        if not folded or folded in missing:
            return MISSING if not folded else MISSING_CODE
        if not QUARTER.fullmatch(folded):
            return Cell(None, "not a quarter", "expected a quarter such as 2026Q3, found another text")
        return Cell(folded)

    return parse


def verbatim(text: str) -> Cell:
    """Text kept as it is, markup and formulas included; a blank one is None, which is no missing answer."""
    return Cell(text if text.strip() else None)


def trimmed(text: str) -> Cell:
    """An identifier, without blanks around it; None where there is none."""
    return Cell(text.strip() or None)


TEXTS = ("respondent", "quarter", "case_id", "comment")
"""Reserved columns that hold text."""


def parser_of(name: str, instrument: Instrument, column_map: ColumnMap) -> Parser:
    """The parser of a canonical name; any other name is plain text."""
    missing = column_map.missing_texts
    reserved = {
        "comment": verbatim,
        "quarter": quarter_parser(missing),
        "duration": duration_parser(missing),
        "sample_weight": weight_parser(),
    }
    if name in reserved:
        return reserved[name]
    group = next((g for g in instrument.groups if g.code == name), None)
    if group is not None:
        return group_parser(group, column_map.labels_of(name, shared=False), missing)
    scale = rated_scales(instrument).get(name)
    if scale is not None:
        return rating_parser(scale, column_map.labels_of(name), missing)
    if name in allocated_names(instrument):
        return number_parser(missing, "points of at least 0", least=0.0)
    return trimmed


def rated_scales(instrument: Instrument) -> dict[str, Scale]:
    """Scales of all ratings by canonical name: items, expectations, outcomes."""
    items = {code: instrument.scale_of(code) for code in instrument.item_codes}
    suffix = instrument.expectation_suffix
    expectations = {code + suffix: scale for code, scale in items.items()} if suffix else {}
    return {**items, **expectations, **{o.code: o.scale for o in instrument.outcomes}}


def allocated_names(instrument: Instrument) -> list[str]:
    """Canonical names of the importance points; empty where the questionnaire does not ask for them."""
    if instrument.allocation is None:
        return []
    return [instrument.allocation.prefix + code for code in instrument.dimension_codes]


def _number(folded: str) -> float | None:
    if _INFINITE.fullmatch(folded):
        return math.inf
    return float(folded) if _NUMBER.fullmatch(folded) else None


def _number_of_label(folded: str, anchors: Mapping[str, int]) -> float | None:
    """The number in "7 非常同意", "7-非常同意" or "非常同意(7分)".

    None where there are several numbers, or where the words are the anchor of another code.
    """
    match = _LEADING.fullmatch(folded) or _TRAILING.fullmatch(folded)
    if match is None:
        return None
    value = int(match[1])
    words = folded.replace(match[1], "").replace("分)", ")").strip(" -–—.、:()")
    if not any(c.isalpha() for c in words) or anchors.get(words, value) != value:
        return None
    return float(value)
