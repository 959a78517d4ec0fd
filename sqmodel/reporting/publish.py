"""Publishing: an executed notebook in, one self-contained page that managers read out."""

from __future__ import annotations

import base64
import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from nbconvert.exporters import Exporter
from nbconvert.utils.exceptions import ConversionException
from traitlets import default

from sqmodel.definitions import Text
from sqmodel.errors import Problem, SqmodelError
from sqmodel.reporting.frame import Entry, render_page
from sqmodel.reporting.frontpage import IndexEntry, index_page
from sqmodel.reporting.prose import Prose, read_markdown, spans
from sqmodel.reporting.sanitize import clean

__all__ = ["RESULTS_MIME", "IndexEntry", "PublishError", "SqReportExporter", "index_page"]

RESULTS_MIME = "application/vnd.sqmodel.results+json"
IMAGES = ("image/svg+xml", "image/png", "image/jpeg")


class PublishError(SqmodelError, ConversionException):
    """A notebook must not be published: it failed, was not run, or shows what a page cannot hold."""


class SqReportExporter(Exporter):
    """Turns an executed notebook into a page: ``jupyter nbconvert --to sqreport NOTEBOOK``.

    Markdown cells are the prose, in both languages (see `sqmodel.reporting.prose`); of code cells only what they
    display appears. Where a cell displays a record of results, the page takes its titles from it, and
    ``results.json`` and ``tables.xlsx`` are written beside the page.
    """

    export_from_notebook = "Service quality report"
    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".html"

    def from_notebook_node(  # type: ignore[override] # its stub promises a notebook, a page is a text
        self, nb: Any, resources: dict[str, Any] | None = None, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        """Convert a notebook.

        Parameters
        ----------
        nb : NotebookNode
        resources : dict, optional

        Returns
        -------
        tuple of str and dict
            The page, and the resources with the files beside it under ``outputs`` and the cells' warnings under
            ``notes``.

        Raises
        ------
        PublishError
            A cell failed or was not run, or an image has no alternative text; the message names it.
        """
        notebook, found = super().from_notebook_node(nb, resources, **kwargs)
        check_executed(notebook)
        content = _read(notebook)
        files: dict[str, bytes] = {}
        if content.results is not None:
            from sqmodel.reporting.tables import companions

            files = companions(content.results)
        found["outputs"] = {**(found.get("outputs") or {}), **files}
        # Where a notebook lies in the working folder, nbconvert's writer would try to make a folder named "".
        if not found["metadata"].get("path"):
            found["metadata"]["path"] = "."
        page = _page(content, sorted(files))
        found["notes"] = [*warnings_of(notebook), *_spelled_out(page)]
        for note in _spelled_out(page):
            self.log.warning(note)
        found["shown"] = {"figures": content.shown["figure"], "tables": content.shown["table"]}
        return page, found


def check_executed(notebook: Any) -> None:
    """Refuse a notebook that did not run to its end.

    Raises
    ------
    PublishError
        Names the cell.
    """
    cells = [(i, c) for i, c in enumerate(notebook.cells, start=1) if c.cell_type == "code" and c.source.strip()]
    for number, cell in cells:
        for output in cell.outputs:
            _check_output(output, _place(number, cell))
        state = cell.metadata.get("papermill", {})
        if state.get("exception") or state.get("status") in ("failed", "running", "pending"):
            raise PublishError(f"{_place(number, cell)}: expected a cell that ran to its end, found one that did not")
    if notebook.metadata.get("papermill", {}).get("exception"):
        raise PublishError(
            "the notebook: expected a run without an exception, found one that papermill marked as failed"
        )
    if cells and not any(c.execution_count or c.outputs for _, c in cells):
        raise PublishError("the notebook: expected an executed notebook, found one that was never run; run it first")


def warnings_of(notebook: Any) -> list[str]:
    """What the cells wrote to stderr: not for the page's readers, but for the person who runs the report."""
    return [
        f"{_place(number, cell)}: {output.text.strip()}"
        for number, cell in enumerate(notebook.cells, start=1)
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr" and output.text.strip()
    ]


def _check_output(output: Any, place: str) -> None:
    if output.output_type == "error":
        raise PublishError(f"{place}: expected no error, found {output.ename}: {output.evalue}")


def _place(number: int, cell: Any) -> str:
    return f"cell {number} ({cell.source.strip().splitlines()[0][:60]!r})"


@dataclass
class _Content:
    """What a notebook has to say, in the order of the page."""

    parts: list[Markup | Prose] = field(default_factory=list)
    results: dict[str, Any] | None = None
    shown: Counter[str] = field(default_factory=Counter)
    """Figures and tables, counted before anything is cleaned: none may get lost."""


def _read(notebook: Any) -> _Content:
    content = _Content()
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            prose = read_markdown(cell.source)
            content.parts += prose
            content.shown["table"] += sum(str(part.html).count("<table") for part in prose)
        elif cell.cell_type == "code":
            for output in cell.outputs:
                _read_output(output, cell, number, content)
    return content


def _read_output(output: Any, cell: Any, number: int, content: _Content) -> None:
    if output.output_type == "stream":
        # What went to stderr is for the person who runs the report: see `warnings_of`.
        content.parts += [_preformatted(output.text)] if output.name == "stdout" else []
        return
    data = output.get("data", {})
    if RESULTS_MIME in data:
        if content.results is not None:
            raise PublishError(f"{_place(number, cell)}: expected one record of results, found a second one")
        content.results = data[RESULTS_MIME]
    images = [kind for kind in IMAGES if kind in data]
    content.shown += displayed(data)
    if "text/html" in data:
        content.parts.append(Markup(clean(data["text/html"])))
    elif images:
        content.parts.append(_image(images[0], data[images[0]], output, cell, number))
    elif "text/plain" in data and RESULTS_MIME not in data:
        content.parts.append(_preformatted(data["text/plain"]))


def displayed(data: Mapping[str, Any]) -> Counter[str]:
    """Figures and tables in one output of a cell, of which the page shows the richest kind."""
    if "text/html" in data:
        return Counter(tag.lower() for tag in re.findall(r"<(figure|table)\b", data["text/html"], re.IGNORECASE))
    return Counter(figure=1) if any(kind in data for kind in IMAGES) else Counter()


def _spelled_out(page: str) -> list[str]:
    """A note on characters that the page's font does not have."""
    codes = sorted(set(re.findall(r"\[(U\+[0-9A-F]{4,6})\]", page)))
    if not codes:
        return []
    shown = Problem("the page's font has no glyph for some characters, which are spelled out", tuple(codes))
    return [str(shown)]


def _preformatted(text: str) -> Markup:
    return Markup(f'<pre tabindex="0">{html.escape(text.rstrip())}</pre>')


def _image(kind: str, data: str, output: Any, cell: Any, number: int) -> Markup:
    """A picture as a data URL: an SVG in an image cannot run a script or reach outside."""
    own = output.get("metadata", {})
    alt = own.get(kind, {}).get("alt") or own.get("alt") or cell.metadata.get("alt")
    if not alt:
        remedy = "display it with metadata={'alt': ...} or put an `alt` into the cell's metadata"
        raise PublishError(f"{_place(number, cell)}: expected an alternative text for the image, found none; {remedy}")
    encoded = base64.b64encode(data.encode()).decode() if kind == "image/svg+xml" else "".join(data.split())
    return Markup(f'<figure><img src="data:{kind};base64,{encoded}" alt="{html.escape(str(alt))}"></figure>')


def _page(content: _Content, companions: list[str]) -> str:
    parts = _stand_in(content.parts)
    texts = content.results["page"] if content.results else {}
    shown = {name: Text(**texts[name]) for name in ("title", "kicker", "subtitle") if name in texts}
    own = next((p for p in parts if isinstance(p, Prose) and p.level == 1), None)
    title = shown.get("title") or (_plain(own) if own else Text(zh="报告", en="Report"))
    parts = _without_empty([p for p in parts if p is not own])
    lead = "" if any("<h1" in p for p in parts if isinstance(p, Markup)) else _heading_one(shown.get("title"), own)
    toc: list[Entry] = []
    body = lead + "".join(_sections(parts, toc))
    frame = {"kicker": shown.get("kicker"), "subtitle": shown.get("subtitle")}
    language = (content.results or {}).get("study", {}).get("page_language", "zh")
    return render_page(body, title=title, toc=toc, companions=companions, language=language, **frame)


def _heading_one(title: Text | None, own: Prose | None) -> str:
    if title is not None:
        return f"<h1>{spans(html.escape(title['zh']), html.escape(title['en']))}</h1>"
    return f"<h1>{own.html}</h1>" if own else ""


def _plain(heading: Prose) -> Text:
    return Text(zh=Markup(heading.zh).striptags(), en=Markup(heading.en).striptags())


def _stand_in(parts: list[Markup | Prose]) -> list[Markup | Prose]:
    """A notebook whose prose is in one language shows it to all readers rather than hiding it from half of them."""
    languages = {p.language for p in parts if isinstance(p, Prose) and p.language}
    if len(languages) != 1:
        return parts
    return [p.shared() if isinstance(p, Prose) else p for p in parts]


def _without_empty(parts: list[Markup | Prose]) -> list[Markup | Prose]:
    """The parts without the headings of sections that hold nothing: their cell had no data, and displayed none."""
    opens = [isinstance(p, Prose) and 0 < p.level <= 2 for p in parts]
    following = [*opens[1:], True][: len(parts)]
    return [p for p, own, after in zip(parts, opens, following, strict=True) if not (own and after)]


def _sections(parts: list[Markup | Prose], toc: list[Entry]) -> Iterator[str]:
    """The parts in order; each second-level heading opens a section that is listed in `toc`."""
    for part in parts:
        if isinstance(part, Markup) or part.level == 0:
            yield str(part if isinstance(part, Markup) else part.html)
        elif part.level <= 2:
            anchor = f"s{len(toc) + 1}"
            yield "</section>" if toc else ""
            yield f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{part.html}</h2>'
            toc.append(Entry(anchor, part.html))
        else:
            yield f"<h{part.level}>{part.html}</h{part.level}>"
    if toc:
        yield "</section>"
