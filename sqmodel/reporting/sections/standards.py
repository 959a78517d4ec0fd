"""The service standard on a page: which limits are kept, what is at risk, whether the urgent path works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.operations.compliance import Compliance
from sqmodel.reporting.blocks import Cell, paragraph, table
from sqmodel.reporting.words import interval, listed, number, percent, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page

TONES = {"met": "ok", "missed": "bad", "not sure": "warn"}
DOUBTFUL = 0.5
"""An open case is at risk where it is less likely than this to make its limit."""


def standards(page: Page) -> list[str]:
    """Sentences and tables on the service standard; none where there are no events."""
    found = page.operations.compliance
    if found is None:
        return []
    parts = [paragraph(_verdicts(found), "say"), _rules(found)]
    parts.append(paragraph(say("standards_note", level=percent(page.study.level)), "mute"))
    parts += [paragraph(text) for text in (*_urgent(found), _at_risk(found))]
    return parts


def titles(found: Compliance) -> dict[str, Text]:
    """Name of each rule."""
    return {str(r["rule"]): Text(zh=r["title_zh"], en=r["title_en"]) for _, r in found.rules.iterrows()}


def _verdicts(found: Compliance) -> Text:
    rules = found.rules
    missed = [_name(row) for _, row in rules[rules["verdict"] == "missed"].iterrows()]
    values: dict[str, Any] = {v.replace(" ", "_"): int((rules["verdict"] == v).sum()) for v in TONES}
    if missed:
        return say("standards_missed", list=listed(missed), total=len(rules), **values)
    return say("standards_none_missed", total=len(rules), **values)


def _name(row: pd.Series) -> Text:
    title = Text(zh=row["title_zh"], en=row["title_en"])
    return say("path_urgent", rule=title) if row["path"] == "urgent" else title


def _rules(found: Compliance) -> str:
    headers = [say(k) for k in ("col_standard", "col_limit", "col_n", "col_kept", "col_interval", "col_target",
                                "col_verdict")]  # fmt: skip
    rows = []
    for _, row in found.rules.iterrows():
        shown = [plain(int(row["n"])), plain(percent(row["share"])), _bounds(row), plain(percent(row["target"]))]
        verdict = str(row["verdict"])
        rows.append([
            Cell(_name(row)), Cell(_limit(row)), *(Cell(v, right=True) for v in shown),
            Cell(say(f"standard_{verdict.replace(' ', '_')}"), tone=TONES[verdict]),
        ])  # fmt: skip
    return table(headers, rows)


def _limit(row: pd.Series) -> Text:
    return say(f"unit_{row['unit']}", count=number(row["limit"], 0 if row["limit"] == int(row["limit"]) else 1))


def _bounds(row: pd.Series) -> Text:
    return plain("–") if pd.isna(row["low"]) else interval(100 * row["low"], 100 * row["high"], 0)


def _urgent(found: Compliance) -> list[Text]:
    """Used, faster, not riskier; nothing where the standard has no urgent path."""
    if found.urgent_share is None or found.urgent.empty:
        return []
    names, share = titles(found), found.urgent_share
    faster = [names[str(r["rule"])] for _, r in found.urgent.iterrows() if r["verdict"] == "faster"]
    slower = [names[str(r["rule"])] for _, r in found.urgent.iterrows() if r["verdict"] == "slower"]
    used: dict[str, Text | str] = {
        "share": percent(share.value),
        "interval": interval(100 * share.low, 100 * share.high, 0),
    }
    parts = [say("urgent_faster", list=listed(faster), **used) if faster else say("urgent_not_faster", **used)]
    if slower:
        parts.append(say("urgent_slower", list=listed(slower)))
    if len(found.risk):
        row = found.risk.iloc[0]
        apart = interval(100 * row["low"], 100 * row["high"], sign=True)
        parts.append(say(f"urgent_{str(row['verdict']).replace(' ', '_')}", interval=apart))
    return parts


def _at_risk(found: Compliance) -> Text:
    doubtful = int((found.at_risk["probability"] < DOUBTFUL).sum())
    late = int((found.breaches["state"] == "open").sum())
    return say("standards_open", open=len(found.at_risk), doubtful=doubtful, late=late)
