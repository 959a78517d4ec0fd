"""Words and figures of the page in both languages: templates from `texts/`, numbers as each language prints them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from sqmodel.survey.instrument import Text
from sqmodel.yaml_text import read_yaml

LANGUAGES = ("zh", "en")
MINUS = "\N{MINUS SIGN}"
ORDINALS = ("一", "二", "三", "四")


@functools.cache
def texts(language: str) -> dict[str, str]:
    """All templates of one language."""
    source = files("sqmodel.reporting").joinpath(f"texts/{language}.yaml")
    content: dict[str, str] = read_yaml(source.read_text(encoding="utf-8"))
    return content


def say(key: str, **values: Text | str | int) -> Text:
    """Fill the template `key` in both languages; a Text among the values gives each language its own.

    Examples
    --------
    >>> say("title_weak", index="61.2", dimension=Text(zh="效率", en="efficiency"))["en"]
    'Service quality index 61.2; efficiency lies below the average of the others'
    """
    filled = {}
    for language in LANGUAGES:
        chosen = {k: v[language] if isinstance(v, Text) else str(v) for k, v in values.items()}
        filled[language] = texts(language)[key].format(**chosen)
    return Text(**filled)


def listed(parts: Iterable[Text]) -> Text:
    """Several texts in a row, with each language's separator."""
    found = list(parts)
    return Text(**{g: texts(g)["lists"].join(p[g] for p in found) for g in LANGUAGES})


def plain(value: object) -> Text:
    """The same text in both languages; a dash where it is empty."""
    return Text(zh=str(value) or "–", en=str(value) or "–")


def span(counts: Iterable[Any]) -> str:
    """Numbers of respondents: one where all are the same, else the least and the greatest.

    Examples
    --------
    >>> span([1310, 1320, 1315]), span([96, 96])
    ('1,310–1,320', '96')
    """
    known = [int(n) for n in counts if math.isfinite(n)]
    if not known:
        return "–"
    low, high = min(known), max(known)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def number(value: Any, digits: int = 1) -> str:
    """A number with a true minus sign; a dash where there is none.

    Examples
    --------
    >>> number(-3.14)
    '−3.1'
    """
    if not math.isfinite(value):
        return "–"
    shown = f"{value:,.{digits}f}"
    return MINUS + shown[1:] if shown.startswith("-") and float(shown.replace(",", "")) != 0 else shown.lstrip("-")


def signed(value: Any, digits: int = 1) -> str:
    """A number with its sign, zero without."""
    shown = number(value, digits)
    return "+" + shown if math.isfinite(value) and float(f"{value:.{digits}f}") > 0 else shown


def percent(share: Any, digits: int = 0) -> str:
    """A share as percent.

    Examples
    --------
    >>> percent(0.125)
    '12%'
    """
    return number(100 * share, digits) + "%" if math.isfinite(share) else "–"


def coefficient(value: Any, digits: int = 2) -> str:
    """A coefficient below one without the leading zero, as psychologists print it.

    Examples
    --------
    >>> coefficient(0.8214)
    '.82'
    """
    shown = number(value, digits)
    return shown.replace("0.", ".", 1) if abs(value) < 1 and shown.lstrip(MINUS).startswith("0.") else shown


def interval(low: Any, high: Any, digits: int = 1, *, sign: bool = False) -> Text:
    """Bounds of an interval; with signs they are joined by a word, as a dash would look like a minus."""
    if sign:
        first, last = signed(low, digits), signed(high, digits)
        return Text(zh=f"{first} 至 {last}", en=f"{first} to {last}")
    if low < 0:
        return Text(
            zh=f"{number(low, digits)} 至 {number(high, digits)}", en=f"{number(low, digits)} to {number(high, digits)}"
        )
    return plain(f"{number(low, digits)}–{number(high, digits)}")


def quarter(code: str) -> Text:
    """A quarter as each language writes it.

    Examples
    --------
    >>> quarter("2026Q3")["zh"], quarter("2026Q3")["en"]
    ('2026年第三季度', '2026 Q3')
    """
    if len(code) != 6 or code[4] != "Q":
        return plain(code)
    return Text(zh=f"{code[:4]}年第{ORDINALS[int(code[5]) - 1]}季度", en=f"{code[:4]} Q{code[5]}")
