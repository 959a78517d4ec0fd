"""What to do first, on a page: items, drivers and standards in one list, sure ones told apart from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.index.action_candidates import DRIVER, ITEM, LIMIT_OF
from sqmodel.index.driver_features import REWORK, WAIT
from sqmodel.reporting.blocks import Block, Cell, badge, both, details, paragraph, table
from sqmodel.reporting.sections.drivers import feature_name
from sqmodel.reporting.sections.standards import titles
from sqmodel.reporting.words import coefficient, interval, listed, number, percent, plain, say, signed

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page


def actions(page: Page) -> Block:
    """At most three things to do first, and behind a click all candidates."""
    found = page.ranking
    shown = found.leading
    parts = [paragraph(_said(len(found.first), len(shown)), "say")]
    if len(shown):
        rows = "".join(f"<li>{_action(page, str(code), row)}</li>" for code, row in shown.iterrows())
        parts.append(f'<ol class="do">{rows}</ol>')
    count = int(found.candidates["gain"].notna().sum())
    parts.append(paragraph(say(f"actions_note_{page.priorities.target}", count=count), "mute"))
    parts.append(details(say("candidates", count=count), _candidates(page) + _others(page)))
    return Block("".join(parts), "actions")


def _said(sure: int, shown: int) -> Text:
    if not sure:
        return say("actions_none")
    rest: Text | str = say("actions_rest") if shown > sure else ""
    return say("actions_say_one" if sure == 1 else "actions_say", count=sure, rest=rest)


def _action(page: Page, code: str, row: pd.Series) -> str:
    sure = bool(row["sure"])
    mark = badge(say("action_sure" if sure else "action_unsure"), "" if sure else "w")
    do = _name(page, code)
    if row["source"] == ITEM:
        do = page.measure.instrument.item(code).action or do
    facts = [_evidence(page, code, row), *_behind(page, row), *_in_hand(row)]
    small = "".join(f"<small>{both(fact)}</small>" for fact in facts)
    gain = say("gain_index", interval=interval(row["joint_low"], row["joint_high"]))
    first = f"<div>{both(do)} {mark}{small}</div>"
    return f'{first}<div class="gain">{signed(row["gain"])}<small>{both(gain)}</small></div>'


def _name(page: Page, code: str) -> Text:
    """A candidate in words."""
    row: Any = page.ranking.candidates.loc[code]
    if row["source"] == ITEM:
        return page.measure.instrument.item(code).name
    if row["source"] == DRIVER:
        name = feature_name(page, code)
        if row["limit"] > 0:
            return say("action_wait", feature=name, limit=number(row["limit"], 0 if row["limit"] % 1 == 0 else 1))
        return say("action_none_at_all", feature=name) if row["limit"] == 0 else name
    rule, path = _rule(code)
    known = page.operations.compliance
    title = (titles(known) if known is not None else {}).get(rule, plain(rule))
    return say("action_standard", rule=say("path_urgent", rule=title) if path else title, target=percent(row["limit"]))


def _rule(code: str) -> tuple[str, str]:
    """Rule and path of a standard's candidate."""
    rule, _, path = code.removeprefix(LIMIT_OF).partition("_urgent")
    return rule, "_urgent" if code.endswith("_urgent") else path


def _evidence(page: Page, code: str, row: pd.Series) -> Text:
    if row["source"] == ITEM:
        return _of_item(page, code)
    if row["source"] == DRIVER and page.operations.drivers is not None:
        worth = page.operations.drivers.worth
        own = worth[(worth["feature"] == code) & (worth["limit"] == row["limit"])].iloc[0]
        return say("evidence_driver", share=percent(own["share_above"]))
    rules = page.operations.compliance.rules if page.operations.compliance is not None else pd.DataFrame()
    rule, path = _rule(code)
    own = rules[(rules["rule"] == rule) & ((rules["path"] == "urgent") == bool(path))].iloc[0]
    return say(
        "evidence_standard", share=percent(own["share"]), interval=interval(100 * own["low"], 100 * own["high"], 0)
    )


def _of_item(page: Page, code: str) -> Text:
    row: Any = page.priorities.candidates.loc[code]
    values: dict[str, Text | str] = {"performance": number(row["performance"]), "gap": number(row["shortfall"])}
    if pd.isna(row["importance"]):
        return say("actions_evidence_plain", **values)
    values["importance"] = coefficient(row["importance"])
    low, high = coefficient(row["importance_low"]), coefficient(row["importance_high"])
    values["importance_interval"] = f"{low}–{high}" if row["importance_low"] >= 0 else f"{low}, {high}"
    if page.priorities.target == "expectation":
        return say("actions_evidence_expectation", expectation=number(row["performance"] + row["shortfall"]), **values)
    return say("actions_evidence_average", **values)


def _behind(page: Page, row: pd.Series) -> list[Text]:
    """Of an item the drivers that surely go with its dimension: the same gain, seen from the process."""
    codes = str(row["overlaps"]).split(", ") if row["source"] == ITEM and row["overlaps"] else []
    # A breach is mostly one of the waits, seen through its limit.
    codes = [c for c in codes if c.startswith((WAIT, REWORK))] or codes
    names = [_name(page, c) if c.startswith(LIMIT_OF) else feature_name(page, c) for c in codes]
    return [say("evidence_behind", list=listed(names))] if names else []


def _in_hand(row: pd.Series) -> list[Text]:
    return [say("evidence_share", share=percent(row["controllability"]))] if row["controllability"] < 1 else []


def _candidates(page: Page) -> str:
    headers = [say(k) for k in ("col_candidate", "col_gain", "col_interval", "col_sure")]
    known = page.ranking.candidates[page.ranking.candidates["gain"] > 0]
    rows = [
        [
            Cell(_name(page, str(code))),
            Cell(plain(signed(row["gain"])), right=True),
            Cell(interval(row["joint_low"], row["joint_high"]), right=True),
            Cell(say("action_sure") if row["sure"] else plain(""), right=True),
        ]
        for code, row in known.iterrows()
    ]
    return table(headers, rows) if rows else ""


def _others(page: Page) -> str:
    """How many are not in the table, and what they are; why, the record tells."""
    gain = page.ranking.candidates["gain"]
    kinds = {"candidates_none": int((gain <= 0).sum()), "candidates_unknown": int(gain.isna().sum())}
    return "".join(paragraph(say(key, count=count), "mute") for key, count in kinds.items() if count)
