"""Pieces of a page as HTML in both languages; everything that comes from data is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sqmodel.definitions import Text

CODES = {"zh": "zh-CN", "en": "en"}


@dataclass(frozen=True)
class Block:
    """A piece of the page: what a notebook cell displays."""

    html: str
    name: str = ""

    def __repr__(self) -> str:
        return f"<Block {self.name}>"

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Cell:
    """A table cell: text, alignment and tone (``ok``, ``warn``, ``bad``, or ``same`` for none)."""

    text: Text
    right: bool = False
    tone: str = ""


def both(text: Text) -> str:
    """A text in both languages, of which the page shows one; once where they are the same.

    Examples
    --------
    >>> both(Text(zh="<b>", en="<b>"))
    '&lt;b&gt;'
    """
    if text["zh"] == text["en"]:
        return escape(text["zh"])
    return "".join(f'<span lang="{CODES[g]}">{escape(text[g])}</span>' for g in ("zh", "en"))


def paragraph(text: Text, kind: str = "") -> str:
    """A paragraph; `kind` is its class (``say`` for the sentence that opens a section, ``mute``, ``note``)."""
    name = f' class="{kind}"' if kind else ""
    return f"<p{name}>{both(text)}</p>"


def badge(text: Text, tone: str = "") -> str:
    """A verdict in a pill; `tone` is empty, ``w`` or ``bad``."""
    return f'<span class="{f"badge {tone}".strip()}">{both(text)}</span>'


def table(headers: Sequence[Text], rows: Sequence[Sequence[Cell]], caption: Text | None = None) -> str:
    """A table; a column is right-aligned where its first cell is."""
    first = rows[0] if rows else [Cell(h) for h in headers]
    top = [Cell(h, cell.right) for h, cell in zip(headers, first, strict=True)]
    named, whole = numbers_from([top, *rows])
    head = "".join(f'<th scope="col"{_class(cell, j, whole)}>{both(cell.text)}</th>' for j, cell in enumerate(top))
    body = "".join(
        "<tr>" + "".join(f"<td{_class(c, j, whole)}>{both(c.text)}</td>" for j, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    title = f"<caption>{both(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table{named}>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def numbers_from(rows: Sequence[Sequence[Cell]]) -> tuple[str, int]:
    """Where the columns begin that hold numbers down to the last row: as a class of the table, and as a count.

    Said once on the table, it need not be said on each of its hundred cells.
    """
    count = max((j for row in rows for j, cell in enumerate(row, start=1) if not cell.right), default=0)
    columns = len(rows[0]) if rows else 0
    return (f' class="r{count}"', count) if 0 < count < min(columns, 5) else ("", columns)


def _class(cell: Cell, column: int, whole: int) -> str:
    names = [*(["r"] if cell.right and column < whole else []), *([cell.tone] if cell.tone else [])]
    return f' class="{" ".join(names)}"' if names else ""


def details(summary: Text, html: str) -> str:
    """Something a click away."""
    return f"<details><summary>{both(summary)}</summary>{html}</details>"
