"""Pieces of a page as HTML in both languages; everything that comes from data is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sqmodel.survey.instrument import Text

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
    """A table cell: text, alignment and tone (``ok``, ``warn`` or ``bad``)."""

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
    right = [cell.right for cell in rows[0]] if rows else [False] * len(headers)
    head = "".join(
        f'<th scope="col"{_class("r" if r else "")}>{both(h)}</th>' for h, r in zip(headers, right, strict=True)
    )
    body = "".join("<tr>" + "".join(_td(cell) for cell in row) + "</tr>" for row in rows)
    title = f"<caption>{both(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _td(cell: Cell) -> str:
    return f"<td{_class(' '.join(filter(None, ['r' if cell.right else '', cell.tone])))}>{both(cell.text)}</td>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def details(summary: Text, html: str) -> str:
    """Something a click away."""
    return f"<details><summary>{both(summary)}</summary>{html}</details>"
