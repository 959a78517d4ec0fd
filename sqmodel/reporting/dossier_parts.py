"""Small pieces that the sections of a dossier share: reasons, cells, names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import Cell, both, details, paragraph, table
from sqmodel.reporting.validation import Failed
from sqmodel.reporting.words import coefficient, listed, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.dossier import Dossier

SYMBOLS = {
    "p": "p",
    "cfi": "CFI",
    "tli": "TLI",
    "rmsea": "RMSEA",
    "srmr": "SRMR",
    "aic": "AIC",
    "bic": "BIC",
    "cr": "CR",
    "ave": "AVE",
    "ave_root": "√AVE",
    "htmt": "HTMT",
    "htmt2": "HTMT2",
    "fl": "Fornell–Larcker",
    "delta_cfi": "ΔCFI",
    "delta_rmsea": "ΔRMSEA",
    "delta_srmr": "ΔSRMR",
    "sem": "SEM",
}
"""Heads of columns that are the same in both languages."""


def column(key: str) -> Text:
    """The head of a column."""
    return plain(SYMBOLS[key]) if key in SYMBOLS else say(f"dossier_col_{key}")


def failure(failed: Failed, subject: Text | None = None) -> str:
    """A paragraph with the error's words."""
    if subject is None:
        return paragraph(say("dossier_failed", reason=failed.reason), "note")
    return paragraph(say("dossier_failed_of", subject=subject, reason=failed.reason), "note")


def right(text: object) -> Cell:
    """A cell of figures."""
    return Cell(text if isinstance(text, Text) else plain(text), right=True)


def captioned(headers: Sequence[Text], rows: Sequence[Sequence[Cell]], caption: Text) -> str:
    """A table with its explanation below: inside the table it would scroll out of a narrow screen."""
    return table(headers, rows) + paragraph(caption, "mute")


def with_bounds(value: Any, low: Any, high: Any, show: Callable[[Any], str] = coefficient) -> str:
    """A value with its interval in brackets, as in the ledger; without one where there is none."""
    if not math.isfinite(value):
        return "–"
    return show(value) + (f" [{show(low)}, {show(high)}]" if math.isfinite(low) and math.isfinite(high) else "")


def pvalue(p: Any) -> str:
    """A p value with three decimals, as psychologists print it."""
    return "–" if not math.isfinite(p) else "< .001" if p < 0.0005 else coefficient(p, 3)


def headed(key: str, *parts: str) -> str:
    """A third-level heading and what follows it."""
    return f"<h3>{both(say(key))}</h3>" + "".join(parts)


def notes(found: Sequence[str]) -> str:
    """What the program noted, a click away, in its own words."""
    if not found:
        return ""
    return details(say("dossier_notes"), "<ul>" + "".join(f"<li>{both(plain(n))}</li>" for n in found) + "</ul>")


def name_of(dossier: Dossier, code: str) -> Text:
    """Name of a dimension or an item; the code itself where it is neither."""
    instrument = dossier.instrument
    if code in instrument.dimension_codes:
        return instrument.dimension(code).label
    return instrument.item(code).name if code in instrument.item_codes else plain(code)


def names(dossier: Dossier, codes: Sequence[str]) -> Text:
    """Names in a row; "none" where there is nothing."""
    return listed(name_of(dossier, c) for c in codes) if codes else say("dossier_none")


def group_values(dossier: Dossier, group: str, values: str) -> Text:
    """Labels of a variable's values, which the gate gives as one text."""
    known = dossier.instrument.group(group)
    return listed(known.label(v) for v in values.split(", ")) if values else plain("")
