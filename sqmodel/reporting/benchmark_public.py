"""The public report of a benchmark: what the quarter says, to everyone who asks.

It shows nothing but what the public's version of the comparison holds (`benchmark_versions.public_version`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_parts import (
    BADGES,
    KEYS,
    are_few_comparable,
    finite,
    in_words,
    institution_name,
    is_few,
    joined,
    label_of,
    leaders,
    least_of,
    level,
    named,
    overall_of,
    profile_of,
    respondents,
    usual_range,
)
from sqmodel.reporting.benchmark_public_operations import operations, peers
from sqmodel.reporting.benchmark_public_ranks import dimensions, standing
from sqmodel.reporting.benchmark_public_trust import comparability, limits, provenance
from sqmodel.reporting.benchmark_record import public_record, receipt_counts, subtitle_of
from sqmodel.reporting.blocks import Block, Cell, badge, both, details, paragraph
from sqmodel.reporting.dossier_parts import captioned, right
from sqmodel.reporting.payload import Payload
from sqmodel.reporting.words import interval, number, percent, quarter, say

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage

__all__ = [
    "comparability",
    "dimensions",
    "headline",
    "limits",
    "operations",
    "overview",
    "peers",
    "provenance",
    "record",
    "standing",
]


def title(page: BenchmarkPage) -> Text:
    """What is sure about who is ahead, in one line."""
    found = page.benchmark
    if are_few_comparable(page):
        return say("bench_title_few")
    if not found.institutions:
        return say(f"bench_title_{KEYS.get(found.gate.verdict, 'nobody')}")
    first = leaders(page)
    values: dict[str, Text | str | int] = {"count": len(first), "institutions": f"{found.institutions:,}"}
    if not first:
        return say("bench_title_unknown")
    if len(first) == 1:
        return say("bench_title_sure", institution=institution_name(page, first[0]))
    if len(first) == found.institutions:
        return say("bench_title_alike", **values)
    return say("bench_title_open", **values)


def headline(page: BenchmarkPage) -> Block:
    """The head of the page."""
    found, row = page.benchmark, overall_of(page)
    parts = [f"<h1>{both(title(page))}</h1>"]
    if found.simulated or page.params.simulated:
        parts.append(paragraph(say("bench_simulated"), "note"))
    mean = number(row["mean"]) if row and finite(row["mean"]) else "–"
    bounds = say("bench_head_mean", **in_words(row, page)) if mean != "–" else say("bench_head_no_mean")
    left = f'<div><div class="big">{mean}</div><div class="int">{both(bounds)}</div></div>'
    key = KEYS.get(found.gate.verdict, found.gate.verdict)
    verdict = badge(say(f"bench_verdict_{key}"), BADGES[found.gate.verdict])
    spread = _spread(page)
    layout = "head" if spread else "head two"
    parts.append(
        f'<div class="{layout}">{left}<div><p>{both(subtitle_of(page))}</p><p>{verdict}</p></div>{spread}</div>'
    )
    told = [say("bench_few", least=least_of(page))] if is_few(page) else [_who(page), _differences(page), _ahead(page)]
    parts.append(paragraph(joined(told), "say"))
    return Block("".join(parts), "headline")


def _spread(page: BenchmarkPage) -> str:
    if not page.benchmark.institutions or not finite(usual_range(overall_of(page))[0]):
        return ""
    return f'<div class="int">{both(say("bench_head_spread", **_range(page)))}</div>'


def _range(page: BenchmarkPage) -> dict[str, Text | str]:
    row = overall_of(page)
    bounds = interval(*usual_range(row))
    return {"tau": number(row["tau"]), "range": bounds, "level": percent(level(page))}


def _who(page: BenchmarkPage) -> Text:
    """First sentence: how many, and their mean."""
    found, row = page.benchmark, overall_of(page)
    counts: dict[str, Text | str | int] = {"institutions": f"{found.institutions:,}", "n": respondents(page)}
    if not found.institutions:
        shown = int(found.standing["score"].notna().sum())
        return say("bench_say_nobody", institutions=f"{shown:,}", n=respondents(page))
    if not row or not finite(row["mean"]):
        return say("bench_say_few", **counts)
    return say("bench_say_who", **counts, **in_words(row, page))


def _differences(page: BenchmarkPage) -> Text | None:
    """Second sentence: how much they really differ."""
    row = overall_of(page)
    if not page.benchmark.institutions or not row or not finite(row["tau"]):
        return None
    if row["tau"] < 0.05 or row["i2"] < 0.01:
        return say("bench_say_same")
    # Where nobody can be told from anybody, no difference is claimed, whatever its estimate.
    key = "differ" if len(leaders(page)) < page.benchmark.institutions else "little"
    if not finite(usual_range(row)[0]):
        key = "few_differ" if key == "differ" else key
    return say(f"bench_say_{key}", **_range(page), share=percent(row["i2"]))


def _ahead(page: BenchmarkPage) -> Text:
    """Third sentence: who is surely ahead, or that nobody is."""
    found = page.benchmark
    if not found.institutions:
        return say(f"bench_ahead_{KEYS.get(found.gate.verdict, 'nobody')}")
    first, shown = leaders(page), percent(level(page))
    if not first:
        return say("bench_ahead_unknown")
    if len(first) == 1:
        return say("bench_ahead_sure", institution=institution_name(page, first[0]), level=shown)
    if len(first) == found.institutions:
        return say("bench_ahead_alike", level=shown)
    rest = found.institutions - len(first)
    return say("bench_ahead_open", list=named(page, first), count=len(first), rest=f"{rest:,}", level=shown)


def overview(page: BenchmarkPage) -> Block:
    """Who takes part, what the score is made of, which rules took points off, and what has changed."""
    parts = [paragraph(_made_of(page), "say"), _cards(page)]
    parts += [paragraph(text) for text in (_rules(page), _changes(page)) if text is not None]
    if unranked := _unranked(page):
        parts.append(unranked)
    return Block("".join(parts), "overview")


def _cards(page: BenchmarkPage) -> str:
    found, counts = page.benchmark, receipt_counts(page)
    shown = [
        ("bench_card_ranked", found.institutions),
        ("bench_card_n", respondents(page)),
        ("bench_card_accepted", int(counts["accepted"].sum())),
        ("bench_card_refused", int(counts["refused"].sum())),
    ]
    told = ((k, both(v) if isinstance(v, Text) else f"{v:,}") for k, v in shown)
    cards = (f'<li><div class="big">{v}</div><div class="int">{both(say(k))}</div></li>' for k, v in told)
    return f'<ul class="cards">{"".join(cards)}</ul>'


def _made_of(page: BenchmarkPage) -> Text:
    tree = page.params.version.tree
    branches = [label_of(page, c) for c in tree.children(tree.root)]
    words = Text(**{g: ("、" if g == "zh" else ", ").join(b[g] for b in branches) for g in ("zh", "en")})
    return say("bench_made_of", branches=words, count=len(branches), perceived=len(profile_of(page).perception),
               done=len(profile_of(page).operations))  # fmt: skip


def _rules(page: BenchmarkPage) -> Text | None:
    """Floors and deductions, and how many they concern."""
    table, own = page.benchmark.standing, profile_of(page)
    if not own.floors and not own.deductions:
        return None
    capped, deducted = int(table["cap"].notna().sum()), int((table["deducted"] > 0).sum())
    rules = [rule.title for rule in (*own.floors, *own.deductions)]
    words = Text(**{g: "；".join(r[g] for r in rules) if g == "zh" else "; ".join(r[g] for r in rules)
                    for g in ("zh", "en")})  # fmt: skip
    return say("bench_rules", rules=words, capped=capped, deducted=deducted)


def _changes(page: BenchmarkPage) -> Text | None:
    """How many surely rose and fell."""
    found = page.benchmark
    known = found.standing.dropna(subset=["change_low", "change_high"])
    if not found.compared_with or known.empty:
        return None
    up, down = int((known["change_low"] > 0).sum()), int((known["change_high"] < 0).sum())
    return say("bench_changes", before=quarter(found.compared_with), known=f"{len(known):,}", up=up, down=down,
               rest=f"{len(known) - up - down:,}", level=percent(level(page)))  # fmt: skip


def _unranked(page: BenchmarkPage) -> str:
    """Those without a rank, by the reason."""
    table = page.benchmark.standing
    gone = table[table["rank"].isna()]
    if gone.empty:
        return ""
    rows = []
    for reason, own in gone.groupby("reason", sort=True):
        key = str(reason).replace(" ", "_")
        rows.append(
            [Cell(say(f"bench_reason_{key}")), right(f"{len(own):,}"), Cell(named(page, own["institution"], 12))]
        )
    headers = [say(f"bench_col_{k}") for k in ("reason", "count", "who")]
    body = captioned(headers, rows, say("bench_unranked_caption"))
    return details(say("bench_unranked", count=f"{len(gone):,}"), body)


def record(page: BenchmarkPage) -> Payload:
    """The numbers of the page for machines."""
    return public_record(page, title(page))
