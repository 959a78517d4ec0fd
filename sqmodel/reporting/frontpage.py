"""The index of all published pages: lines down, quarters across."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from sqmodel.definitions import Text
from sqmodel.reporting.charts.trend import sparkline
from sqmodel.reporting.frame import both, render_page
from sqmodel.reporting.words import interval, number, quarter
from sqmodel.result import Estimate

VERDICTS = {
    "publish": (Text(zh="可发布", en="Publish"), ""),
    "reservations": (Text(zh="有保留地发布", en="With reservations"), " w"),
    "reject": (Text(zh="不宜发布", en="Do not publish"), " bad"),
}
FAILED = Text(zh="未能生成", en="Failed")
RESTATED = Text(zh="数值已重述", en="Restated")
STALE = Text(zh="未更新：显示上次的结果", en="Stale: last good page shown")
TITLE = Text(zh="服务质量评价季报", en="Service quality reports")
INTRO = Text(
    zh="各条线各季度的服务质量指数（0–100）及其区间；点击标题看全文。",
    en="Service quality index (0–100) of every line and quarter, with its interval; a title opens its report.",
)
LINE = Text(zh="条线", en="Line")
NONE = Text(zh="还没有发布的报告。", en="Nothing has been published yet.")
SIMULATED = Text(
    zh="下列条线的数据为程序模拟，仅供演示：", en="The data of these lines are simulated, for demonstration only:"
)
NO_PAGE = Text(zh="无", en="none")


@dataclass(frozen=True)
class IndexEntry:
    """One report on the index page.

    Parameters
    ----------
    line : str
        Code of the business line; entries with the same code share a row.
    title : Text
        Name of the line.
    quarter : str
        Such as ``2026Q3``.
    href : str or None
        Path of the page from the index page.
    index : Estimate or None
        The service quality index.
    verdict : str
        ``publish``, ``reservations`` or ``reject``; empty where there is none.
    headline : Text
        The page's title.
    status : str
        ``published``, ``failed`` or ``stale``.
    cause : str
        Why it failed; escaped here.
    simulated : bool
        The data were made up for demonstration: the page says so.
    restated : str
        What the index was before and why it changed, where a later run replaced a published number; escaped here.
    """

    line: str
    title: Text
    quarter: str
    href: str | None
    index: Estimate | None
    verdict: str
    headline: Text
    status: str
    cause: str = ""
    simulated: bool = False
    restated: str = ""


def index_page(entries: Sequence[IndexEntry]) -> str:
    """The page over all pages: what each line's index is, what it was, and which report could not be made.

    Parameters
    ----------
    entries : sequence of IndexEntry
        In any order; a line and quarter that occurs twice shows its last entry.

    Returns
    -------
    str
        A whole page, offline, in the style of the reports.
    """
    by_place = {(e.line, e.quarter): e for e in entries}
    quarters = sorted({q for _, q in by_place}, reverse=True)
    lines = list(dict.fromkeys(e.line for e in entries))
    heading = f"<h1>{both(TITLE)}</h1>"
    if not entries:
        return render_page(f"{heading}<p>{both(NONE)}</p>", title=TITLE)
    head = "".join(f'<th scope="col">{both(quarter(q))}</th>' for q in quarters)
    rows = "".join(_row([by_place.get((line, q)) for q in quarters], quarters) for line in lines)
    table = (
        f'<div class="wide quarters" tabindex="0"><table><thead><tr><th scope="col">{both(LINE)}</th>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    lines_simulated = list(dict.fromkeys(both(e.title) for e in entries if e.simulated))
    note = f'<p class="note">{both(SIMULATED)} {" · ".join(lines_simulated)}</p>' if lines_simulated else ""
    return render_page(f'{heading}<p class="mute">{both(INTRO)}</p>{note}{table}', title=TITLE)


def _row(entries: Sequence[IndexEntry | None], quarters: Sequence[str]) -> str:
    known = [e for e in entries if e is not None]
    values = [None if e is None else e.index for e in reversed(entries)]
    drawn = ""
    if sum(v is not None for v in values) > 1:
        words = "、".join(number(v.value) for v in values if v is not None)
        alt = Text(zh=f"走势：{words}", en=f"Trend: {words.replace('、', ', ')}")
        drawn = f'<div class="spark">{sparkline(values, alt=alt, width=150, height=44)}</div>'
    cells = "".join(f"<td>{_cell(e, q)}</td>" for e, q in zip(entries, quarters, strict=True))
    return f'<tr><th scope="row" class="line"><b>{both(known[0].title)}</b>{drawn}</th>{cells}</tr>'


def _cell(entry: IndexEntry | None, code: str) -> str:
    when = f'<span class="when">{both(quarter(code))}</span>'
    if entry is None:
        return f'<div class="cell none">{when}<span class="mute">{both(NO_PAGE)}</span></div>'
    parts = [when]
    if entry.index is not None:
        e = entry.index
        parts.append(
            f'<span class="num">{number(e.value)}</span> <span class="int">{both(interval(e.low, e.high))}</span>'
        )
    if entry.verdict in VERDICTS:
        words, tone = VERDICTS[entry.verdict]
        parts.append(f'<div><span class="badge{tone}">{both(words)}</span></div>')
    if entry.status != "published":
        words, tone = (FAILED, " bad") if entry.status == "failed" else (STALE, " w")
        parts.append(f'<div><span class="badge{tone}">{both(words)}</span></div>')
    if entry.href:
        parts.append(f'<a href="{escape(_local(entry.href))}">{both(entry.headline)}</a>')
    if entry.restated:
        parts.append(f'<div><span class="badge w">{both(RESTATED)}</span></div>')
        parts.append(f'<p class="mute">{escape(entry.restated)}</p>')
    if entry.cause:
        parts.append(f'<p class="mute">{escape(entry.cause)}</p>')
    return f'<div class="cell">{"".join(parts)}</div>'


def _local(href: str) -> str:
    """A path beside the index page and nothing else: a colon would make it a scheme, so it is encoded away."""
    return quote(href.lstrip("/"))
