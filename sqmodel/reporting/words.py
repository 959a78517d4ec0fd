"""Words and figures of the page in both languages: templates from `texts/`, numbers as each language prints them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from sqmodel.definitions import Text
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


def known_as(kind: str, code: str) -> Text:
    """A code of the data in words: the text ``KIND_CODE``, or the code as it is where there is none.

    Examples
    --------
    >>> known_as("alert", "our_own_rule")["zh"]
    'our own rule'
    """
    key = f"{kind}_{code}"
    found = {g: texts(g).get(key, code.replace("_", " ")) for g in LANGUAGES}
    return Text(**found)


def interval(low: Any, high: Any, digits: int = 1, *, sign: bool = False) -> Text:
    """Bounds of an interval; with signs they are joined by a word, as a dash would look like a minus.

    Examples
    --------
    >>> interval(4, 5.25)["en"], interval(4, math.nan)["en"], interval(math.nan, math.nan)["en"]
    ('4.0–5.2', '4.0 or more', 'no interval')
    """
    shown = signed if sign else number
    if not math.isfinite(low) and not math.isfinite(high):
        return Text(zh="无区间", en="no interval")
    if not math.isfinite(high):
        return Text(zh=f"不低于 {shown(low, digits)}", en=f"{shown(low, digits)} or more")
    if not math.isfinite(low):
        return Text(zh=f"不高于 {shown(high, digits)}", en=f"{shown(high, digits)} or less")
    if sign:
        first, last = signed(low, digits), signed(high, digits)
        return Text(zh=f"{first} 至 {last}", en=f"{first} to {last}")
    if low < 0:
        return Text(
            zh=f"{number(low, digits)} 至 {number(high, digits)}", en=f"{number(low, digits)} to {number(high, digits)}"
        )
    return plain(f"{number(low, digits)}–{number(high, digits)}")


def coefficients(low: Any, high: Any) -> Text:
    """Bounds of a coefficient below one.

    Examples
    --------
    >>> coefficients(0.8, 0.95)["en"], coefficients(math.nan, math.nan)["zh"]
    ('.80–.95', '无区间')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return interval(math.nan, math.nan)
    first, last = coefficient(low), coefficient(high)
    return Text(zh=f"{first} 至 {last}", en=f"{first} to {last}") if low < 0 else plain(f"{first}–{last}")


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
