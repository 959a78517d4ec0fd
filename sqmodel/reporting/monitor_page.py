"""The monitor's page: key nodes, what is past its limit or about to be, how fresh that is. Nothing is computed here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.operations.monitor_alerts import ALERTS
from sqmodel.operations.monitor_rules import FEWEST
from sqmodel.operations.monitor_snapshot import MOST_CASES, Snapshot
from sqmodel.reporting.atomic import write_file
from sqmodel.reporting.blocks import Block, Cell, badge, both, paragraph, table
from sqmodel.reporting.frame import Entry, render_page
from sqmodel.reporting.monitor_chart import node_chart
from sqmodel.reporting.params import public_source
from sqmodel.reporting.sources import is_url
from sqmodel.reporting.words import listed, number, percent, plain, say

STILL, RECORD = "still.html", "snapshot.json"
OTHERS = {"zh": "en.html", "en": "zh.html"}
"""The same page opening in the other language: a page that reloads itself forgets which one was chosen."""
HEAD = '<meta name="viewport"'
TWO_DAYS = 48.0


@dataclass(frozen=True)
class MonitorPage:
    """A snapshot as readers see it.

    Parameters
    ----------
    snapshot : Snapshot
    title : Text
        Name of the business line.
    organisation : Text, optional
    every : float
        Seconds after which the page loads itself again.
    language : str
        ``zh`` or ``en``: in which it opens.
    simulated : bool
        The data were made up, and the page says so.
    """

    snapshot: Snapshot
    title: Text
    organisation: Text | None = None
    every: float = 60.0
    language: str = "zh"
    simulated: bool = False

    def opening(self) -> Block:
        """The finding, how fresh it is, and the totals."""
        return Block(_opening(self.snapshot, self.simulated), "opening")

    def nodes(self) -> Block:
        """The key nodes."""
        return Block(_nodes(self.snapshot), "nodes")

    def others(self) -> Block:
        """Limits that belong to no single node."""
        return Block(_others(self.snapshot), "others")

    def cases(self) -> Block:
        """Cases past a limit or at risk."""
        return Block(_cases(self.snapshot), "cases")

    def method(self) -> Block:
        """How things are judged, and what was read."""
        return Block(_method(self.snapshot), "method")

    def sections(self) -> list[tuple[str, Text, Block]]:
        """Anchor, heading and content of every section."""
        found = [("nodes", say("monitor_nodes"), self.nodes()), ("cases", say("monitor_cases"), self.cases())]
        if not self.snapshot.nodes["node"].all():
            found.append(("others", say("monitor_others"), self.others()))
        return [*found, ("method", say("monitor_method"), self.method())]

    def pages(self) -> dict[str, str]:
        """The page by file name: one that reloads itself in each language to open in, and one that stands still."""
        other = OTHERS[self.language]
        live = {"index.html": self.language, other: other.removesuffix(".html")}
        found = {}
        for name, language in live.items():
            twin, its = (other, live[other]) if name == "index.html" else ("index.html", self.language)
            found[name] = self._page(self._moving(twin, its), language, moving=True)
        return found | {STILL: self._page(self._standing(), self.language, moving=False)}

    def write(self, folder: Path) -> None:
        """Put the pages and their numbers in place, each whole or not at all."""
        record = json.dumps(self.snapshot.to_json(), ensure_ascii=False)
        for name, content in (self.pages() | {RECORD: record}).items():
            write_file(folder / name, content.encode(), folder)

    def _page(self, note: str, language: str, *, moving: bool) -> str:
        parts = [f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{both(heading)}</h2>{block.html}</section>'
                 for anchor, heading, block in self.sections()]  # fmt: skip
        toc = [Entry(anchor, Markup(both(heading))) for anchor, heading, _ in self.sections()]
        when = _moment(self.snapshot.at)
        names = [self.organisation] if self.organisation else []
        subtitle = Text(zh=" · ".join([*(n["zh"] for n in names), self.title["zh"], when]),
                        en=" · ".join([*(n["en"] for n in names), self.title["en"], when]))  # fmt: skip
        page = render_page(
            self.opening().html + note + "".join(parts), title=_finding(self.snapshot), toc=toc,
            kicker=say("monitor_kicker_simulated" if self.simulated else "monitor_kicker"), subtitle=subtitle,
            companions=[ALERTS, RECORD], language=language,
        )  # fmt: skip
        refresh = f'<meta http-equiv="refresh" content="{max(1, round(self.every))}">\n'
        return page.replace(HEAD, refresh + HEAD, 1) if moving else page

    def _moving(self, twin: str, language: str) -> str:
        words = both(say("monitor_refresh", seconds=number(self.every, 0)))
        still, same = both(say("monitor_still")), both(say(f"monitor_opens_{language}"))
        return f'<p class="mute">{words} <a href="{STILL}">{still}</a> · <a href="{twin}">{same}</a></p>'

    def _standing(self) -> str:
        words, live = both(say("monitor_still_note")), both(say("monitor_live"))
        return f'<p class="mute">{words} <a href="index.html">{live}</a></p>'


def _finding(snapshot: Snapshot) -> Text:
    nodes = snapshot.nodes
    if snapshot.stale_since:
        return say("monitor_title_stale", since=_moment(snapshot.stale_since))
    beyond, risk = int(nodes["beyond"].sum()), int(nodes["at_risk"].sum())
    if beyond:
        worst = nodes.iloc[int(nodes["beyond"].argmax())]
        if int(worst["beyond"]) == beyond:
            return say("monitor_title_beyond", node=_name(worst), beyond=f"{beyond:,}")
        return say("monitor_title_beyond_most", node=_name(worst), beyond=f"{beyond:,}", count=f"{worst['beyond']:,}")
    if risk:
        return say("monitor_title_risk", risk=f"{risk:,}")
    return say("monitor_title_well" if nodes["open"].sum() else "monitor_title_empty")


def _opening(snapshot: Snapshot, simulated: bool) -> str:
    nodes = snapshot.nodes
    parts = [f"<h1>{both(_finding(snapshot))}</h1>"]
    if simulated:
        parts.append(paragraph(say("simulated"), "note"))
    if snapshot.stale_since:
        words = say("monitor_stale_say", since=_moment(snapshot.stale_since), cause=snapshot.cause)
        parts.append(f'<p class="note">{badge(say("monitor_stale"), "bad")} {both(words)}</p>')
    as_of = _moment(snapshot.stale_since or snapshot.at)
    if snapshot.last_event:
        parts.append(paragraph(say("monitor_fresh", event=_moment(snapshot.last_event), at=as_of), "say"))
    else:
        parts.append(paragraph(say("monitor_fresh_none", at=as_of), "say"))
    stepped = snapshot.settings.get("clock_stepped", 0)
    if stepped:
        parts.append(paragraph(say("monitor_clock_stepped", seconds=number(stepped, 0)), "note"))
    totals = [("open", "open", ""), ("beyond", "beyond", "bad"), ("at_risk", "risk", "warn"),
              ("breaches_today", "today", "")]  # fmt: skip
    cards = "".join(_card(say(f"monitor_card_{key}"), int(nodes[name].sum()), tone) for name, key, tone in totals)
    return "".join(parts) + f'<ul class="cards">{cards}</ul>' + paragraph(say("monitor_limits_counted"), "mute")


def _card(label: Text, count: int, tone: str) -> str:
    mark = f' class="{tone}"' if tone and count else ""
    return f'<li><div class="big"><span{mark}>{count:,}</span></div><div class="int">{both(label)}</div></li>'


def _nodes(snapshot: Snapshot) -> str:
    nodes = snapshot.nodes[snapshot.nodes["node"].astype(bool)]
    if nodes.empty:
        return paragraph(say("monitor_nodes_none"), "mute")
    fullest = nodes.iloc[int(nodes["open"].argmax())]
    if not fullest["open"]:
        words = say("monitor_nodes_empty")
    elif math.isnan(fullest["limit"]) or math.isnan(fullest["oldest"]):
        words = say("monitor_nodes_say_free", node=_name(fullest), open=f"{fullest['open']:,}")
    else:
        age, limit = (_amount(fullest[c], fullest["unit"]) for c in ("oldest", "limit"))
        words = say("monitor_nodes_say", node=_name(fullest), open=f"{fullest['open']:,}", age=age, limit=limit)
    rows = [(_name(n), _amount(n["limit"], n["unit"]), int(n["within"]), int(n["at_risk"]), int(n["beyond"]))
            for _, n in nodes.iterrows()]  # fmt: skip
    figure = node_chart("nodes", rows, alt=_alt(nodes), n=int(nodes["open"].sum()))
    return paragraph(words, "say") + figure + _limits(nodes)


def _alt(nodes: pd.DataFrame) -> Text:
    one = [say("monitor_nodes_alt_one", node=_name(n), open=n["open"], beyond=n["beyond"], risk=n["at_risk"])
           for _, n in nodes.iterrows()]  # fmt: skip
    return say("monitor_nodes_alt", list=listed(one))


def _others(snapshot: Snapshot) -> str:
    others = snapshot.nodes[~snapshot.nodes["node"].astype(bool)]
    return paragraph(say("monitor_others_say", count=len(others)), "say") + _limits(others)


def _limits(nodes: pd.DataFrame) -> str:
    names = ("node", "limit", "oldest", "from", "open", "within", "risk", "beyond", "breaches", "finished")
    rows = [[
        Cell(_name(n)), Cell(_amount(n["limit"], n["unit"])), Cell(plain(_short(n["oldest"])), right=True),
        Cell(plain(_short(n["risk_age"])), right=True), _count(n["open"]), _count(n["within"]),
        _count(n["at_risk"], "warn"), _count(n["beyond"], "bad"),
        Cell(plain(f"{n['breaches_today']:,} / {n['breaches_week']:,}"), right=True),
        Cell(plain(f"{n['finished_today']:,} / {n['finished_week']:,}"), right=True),
    ] for _, n in nodes.iterrows()]  # fmt: skip
    return _scrolling(table([say(f"monitor_col_{name}") for name in names], rows))


def _short(value: float) -> str:
    return number(value, 0 if not math.isfinite(value) or float(value).is_integer() else 1)


def _count(value: Any, tone: str = "") -> Cell:
    return Cell(plain(f"{int(value):,}"), right=True, tone=tone if value else "")


def _cases(snapshot: Snapshot) -> str:
    nodes, cases = snapshot.nodes, snapshot.cases
    if cases.empty:
        return paragraph(say("monitor_cases_none"), "say")
    counts = {"beyond": f"{nodes['beyond'].sum():,}", "risk": f"{nodes['at_risk'].sum():,}"}
    names = ("case", "node", "state", "left", "chance", "deadline", "begin")
    rows = [[
        Cell(plain(c["case_id"])), Cell(_name(nodes.loc[c["rule"]])),
        Cell(say(f"monitor_{c['state']}"), tone="bad" if c["state"] == "beyond" else "warn"),
        Cell(_left(c["remaining_hours"]), right=True), Cell(plain(percent(c["probability"])), right=True),
        Cell(plain(_moment(c["deadline"])[:16]), right=True), Cell(plain(_moment(c["begin"])[:16]), right=True),
    ] for _, c in cases.iterrows()]  # fmt: skip
    shown = table([say(f"monitor_col_{name}") for name in names], rows)
    note = paragraph(say("monitor_cases_shown", most=MOST_CASES), "mute") if snapshot.settings["written"] else ""
    return paragraph(say("monitor_cases_say", **counts), "say") + _scrolling(shown) + note


def _method(snapshot: Snapshot) -> str:
    counts = snapshot.counts
    read = {name: f"{counts[name]:,}" for name in ("rows", "late", "ahead", "unreadable")}
    lines: Iterable[Text] = [
        say("monitor_method_say", threshold=percent(snapshot.settings["threshold"])),
        say("monitor_method_chance", fewest=FEWEST),
        say("monitor_method_rows", **read),
        *([say("monitor_method_alerts", since=_moment(snapshot.settings["since"]), alerts=f"{counts['alerts']:,}",
               waiting=f"{counts['undelivered']:,}")] if snapshot.settings["written"] else []),
        *([say("monitor_method_unknown", count=f"{counts['unknown']:,}")] if counts["unknown"] else []),
        say("monitor_method_names"),
        plain(_place(snapshot.source)),
    ]  # fmt: skip
    return "".join(paragraph(line) for line in lines)


def _place(source: str) -> str:
    """Where the events are, as readers may know it: no user, no folder."""
    return public_source(source) if is_url(source) and not source.startswith("sqlite") else Path(source).name


def _scrolling(html: str) -> str:
    """A wide table that those without a mouse can scroll, too."""
    return html.replace('<div class="wide">', '<div class="wide" tabindex="0">', 1)


def _name(node: Any) -> Text:
    return Text(zh=node["title_zh"], en=node["title_en"])


def _amount(value: float, unit: str, *, digits: int = 0) -> Text:
    if not math.isfinite(value):
        return plain("")
    whole = float(value).is_integer() or "days" in unit
    return say(f"monitor_{unit}", count=number(value, 0 if whole and not digits else max(digits, 0 if whole else 1)))


def _left(hours: float) -> Text:
    if not math.isfinite(hours):
        return plain("")
    size = abs(hours)
    time = _amount(size / 24, "days", digits=1) if size > TWO_DAYS else _amount(size, "hours", digits=1)
    return say("monitor_overdue", time=time) if hours < 0 else time


def _moment(iso: str) -> str:
    """An instant without its offset: the page's times are all of the same zone."""
    return escape(iso[:19].replace("T", " ")) or "–"
