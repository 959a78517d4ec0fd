"""Whether institutions may be compared, what the data cannot say, and how it was done, as the public sees it."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.benchmark.pooling_bias import apart, deviating
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_notes import note_words
from sqmodel.reporting.benchmark_parts import (
    BADGES,
    KEYS,
    finite,
    institution_name,
    least_of,
    level,
    named,
    overall_of,
    profile_of,
    rule_name,
    sizes_of,
    total_words,
)
from sqmodel.reporting.benchmark_record import receipt_counts
from sqmodel.reporting.blocks import Block, Cell, badge, both, details, paragraph
from sqmodel.reporting.dossier_parts import SYMBOLS, captioned, pvalue, right
from sqmodel.reporting.evidence import VERSIONS
from sqmodel.reporting.words import coefficient, known_as, listed, number, percent, plain, quarter, say, signed

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage

PARAMETERS = 12
"""Parameters that differ between institutions: those that differ most."""


def comparability(page: BenchmarkPage) -> Block:
    """The verdict in plain words, and its evidence."""
    gate = page.benchmark.gate
    key = KEYS.get(gate.verdict, gate.verdict)
    counts: dict[str, Text | str | int] = {"institutions": f"{gate.institutions:,}", "n": total_words(page, gate.n)}
    words = gate_words(page)
    verdict = badge(say(f"bench_verdict_{key}"), BADGES[gate.verdict])
    parts = [f'<p class="say">{verdict} {both(words)}</p>']
    parts += [paragraph(say(f"bench_method_{gate.method}", **counts))] if gate.method != "none" else []
    parts += [paragraph(text) for text in (_numbers(page),) if text is not None]
    parts += _biased(page)
    parts += _evidence(page)
    if len(gate.left_out):
        parts.append(paragraph(_left_out(page)))
    return Block("".join(parts), "comparability")


def _left_out(page: BenchmarkPage) -> Text:
    """Who could not be looked at; with blind codes how many, for they are the small ones."""
    left, least = page.benchmark.gate.left_out, profile_of(page).gate.minimum_n
    if sizes_of(page) is not None:
        return say("bench_left_out_blind", count=f"{len(left):,}", least=least)
    codes = left["institution"].drop_duplicates()
    return say("bench_left_out", count=f"{len(codes):,}", list=named(page, codes, 12), least=least)


def gate_words(page: BenchmarkPage) -> Text:
    """What the verdict means; of too few institutions it is told and no more."""
    gate = page.benchmark.gate
    if 2 <= gate.institutions < least_of(page):
        return say("bench_gate_few", least=least_of(page))
    key = KEYS.get(gate.verdict, gate.verdict)
    return say(f"bench_gate_{key}", institutions=f"{gate.institutions:,}", n=total_words(page, gate.n))


def _numbers(page: BenchmarkPage) -> Text | None:
    """How much differs, and the most points that it makes."""
    gate = page.benchmark.gate
    if gate.method != "alignment" or gate.items.empty or gate.biased.empty:
        return None
    rules = profile_of(page).gate
    return say("bench_gate_numbers", share=percent(gate.items["noninvariant"].mean(), 1),
               allowed=percent(rules.noninvariant), bias=number(gate.biased["bias"].abs().max()),
               most=number(rules.most_bias, 0))  # fmt: skip


def _biased(page: BenchmarkPage) -> list[str]:
    """Institutions whose scores the meaning of items surely moves, or may move too far, and what two methods say."""
    biased = page.benchmark.gate.biased
    parts = []
    if len(biased) and (shown := deviating(biased))["institution"].size:
        count = f"{len(shown):,}"
        parts = [
            f"<h3>{both(say('bench_biased'))}</h3>",
            paragraph(say("bench_biased_say", count=count, list=named(page, shown["institution"], PARAMETERS))),
            _bias_table(page, shown),
        ]
    if len(biased) and (differing := int(apart(biased).sum())):
        parts.append(paragraph(say("bench_gate_apart", count=f"{differing:,}")))
    return parts


def _bias_table(page: BenchmarkPage, shown: pd.DataFrame) -> str:
    rows = [
        [Cell(institution_name(page, str(r["institution"]))), right(signed(r["observed"])), right(with_range(r)),
         right(signed(other_reading(r))), right(signed(r["fair"])), Cell(say(f"bench_finding_{r['finding']}"))]
        for r in shown.head(PARAMETERS).to_dict("records")
    ]  # fmt: skip
    headers = [say(f"bench_col_{k}") for k in ("institution", "observed", "bias", "other", "fair", "finding")]
    most, out = number(profile_of(page).gate.most_bias, 0), int(shown["withheld"].astype(bool).sum())
    return captioned(headers, rows, say("bench_biased_caption", most=most, count=f"{out:,}"))


def with_range(row: Mapping[Any, Any]) -> str:
    """Bias with its interval, both with signs."""
    bounds = f" [{signed(row['low'])}, {signed(row['high'])}]" if finite(row["low"]) else ""
    return signed(row["bias"]) + bounds


def other_reading(row: Mapping[Any, Any]) -> float:
    """The bias by the reading furthest from the estimate; NaN where none stands that the interval does not hold."""
    ends = [float(row[k]) for k in ("least", "most", "ladder") if finite(row[k]) and finite(row["low"])]
    far = max(ends, key=lambda end: abs(end - row["bias"]), default=math.nan)
    return far if row["finding"] == "undecided" or not row["low"] <= far <= row["high"] else math.nan


def _evidence(page: BenchmarkPage) -> list[str]:
    """The ladder of models, or the parameters that differ most."""
    gate = page.benchmark.gate
    found = []
    if len(gate.steps):
        found.append(details(say("bench_ladder"), _ladder(gate.steps)))
    items = gate.items
    if len(items) and (gate.method == "ladder" or items["noninvariant"].fillna(0).max() > 0):
        found.append(details(say("bench_items"), _items(items)))
    return found


def _ladder(steps: pd.DataFrame) -> str:
    keys = ("cfi", "rmsea", "srmr")
    rows = []
    for r in steps.to_dict("records"):
        fit = [right(coefficient(r[k], 3) if finite(r[k]) else "–") for k in keys]
        chisq = f"{number(r['chisq'])} ({number(r['df'], 0)})"
        held = "yes" if r["holds"] else "no"
        rows.append([Cell(known_as("bench_model", str(r["model"]))), right(chisq), *fit, right(pvalue(r["pvalue"])),
                     Cell(say(held))])  # fmt: skip
    headers = [say("bench_col_model"), plain("χ² (df)"), *(plain(SYMBOLS[k]) for k in keys), plain("p"),
               say("bench_col_holds")]  # fmt: skip
    return captioned(headers, rows, say("bench_ladder_caption"))


def _items(items: pd.DataFrame) -> str:
    order = items.sort_values("noninvariant", ascending=False, kind="stable").head(PARAMETERS)
    rows = [
        [Cell(plain(r["item"])), Cell(known_as("bench_kind", str(r["kind"]))), right(percent(r["noninvariant"], 1))]
        for r in order.to_dict("records")
    ]
    headers = [say(f"bench_col_{k}") for k in ("item", "kind", "noninvariant")]
    return captioned(headers, rows, say("bench_items_caption", most=PARAMETERS))


def limits(page: BenchmarkPage) -> Block:
    """Everything that this report does not tell, as a list."""
    said = [text for text in (*_of_scores(page), *_of_institutions(page), *_of_publication(page)) if text is not None]
    entries = "".join(f"<li>{both(text)}</li>" for text in said)
    parts = [paragraph(say("bench_limits_say"), "say"), f"<ul>{entries}</ul>"]
    parts += [f"<h3>{both(say('bench_receipts'))}</h3>", _receipts(page), _withheld(page)]
    return Block("".join(parts), "limits")


def _of_scores(page: BenchmarkPage) -> list[Text | None]:
    """What scores and ranks do not tell."""
    found, row = page.benchmark, overall_of(page)
    own = profile_of(page)
    adjusted = not found.case_mix.empty
    told = [say("bench_limit_simulated") if found.simulated else None, say("bench_limit_ranks")]
    if own.case_mix:
        told.append(say("bench_limit_case_mix" if adjusted else "bench_limit_no_case_mix"))
    else:
        told.append(say("bench_limit_never_case_mix"))
    known = found.standing["funnel"].isin(["above", "far above", "below", "far below"])
    told.append(say("bench_limit_cause") if known.any() or row else None)
    told.append(say("bench_limit_independent") if len(found.indicators) else None)
    told.append(None if found.compared_with else say("bench_limit_no_change"))
    return told


def _of_institutions(page: BenchmarkPage) -> list[Text | None]:
    """Who is not there, and why."""
    standing = page.benchmark.standing
    gone = standing[standing["rank"].isna()]
    told: list[Text | None] = [say("bench_limit_members")]
    for reason, own in gone.groupby("reason", sort=True):
        key = str(reason).replace(" ", "_")
        told.append(say("bench_limit_unranked", count=f"{len(own):,}", reason=say(f"bench_reason_{key}")))
    return told


def _of_publication(page: BenchmarkPage) -> list[Text | None]:
    """What is known and not told."""
    own, withheld = profile_of(page), page.benchmark.withheld
    blind = own.publication.names != "names"
    return [
        say("bench_limit_blind") if blind else None,
        say("bench_blind_sizes") if blind and sizes_of(page) else None,
        say("bench_limit_withheld", count=f"{len(withheld):,}") if len(withheld) else None,
        say("bench_limit_level", level=percent(level(page))),
    ]


def _receipts(page: BenchmarkPage) -> str:
    counts = receipt_counts(page)
    rows = [
        [Cell(quarter(str(code)) if str(code) != "–" else say("bench_quarter_unknown")), right(f"{r['accepted']:,}"),
         right(f"{r['refused']:,}")]
        for code, r in counts.to_dict("index").items()
    ]  # fmt: skip
    headers = [say(f"bench_col_{k}") for k in ("quarter", "accepted", "refused")]
    return captioned(headers, rows, say("bench_receipts_caption"))


def _withheld(page: BenchmarkPage) -> str:
    """Figures that are withheld, counted by rule; results.json tells which they are."""
    withheld = page.benchmark.withheld
    counts = Counter(zip(withheld["table"].astype(str), withheld["rule"].astype(str), strict=True))
    if not counts:
        return ""
    rows = [
        [Cell(known_as("bench_table", table)), Cell(rule_name(rule)), right(f"{count:,}")]
        for (table, rule), count in sorted(counts.items())
    ]
    headers = [say(f"bench_col_{k}") for k in ("table", "rule_name", "count")]
    return f"<h3>{both(say('bench_withheld'))}</h3>" + captioned(headers, rows, say("bench_withheld_caption"))


def provenance(page: BenchmarkPage) -> Block:
    """Rules, methods, settings and versions."""
    return Block(provenance_html(page), "provenance")


def provenance_html(page: BenchmarkPage) -> str:
    """How the comparison was made; the same in every report of it."""
    settings = page.benchmark.settings
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS) + f", Python {platform.python_version()}"
    values = {"level": percent(level(page)), "draws": f"{settings.get('draws', 0):,}"}
    entries: list[tuple[Text, Text]] = [
        (say("bench_item_profile"), _profile(page)),
        (say("bench_item_questionnaire"), plain(profile_of(page).instrument)),
        (say("bench_item_score"), say("bench_how_score")),
        (say("bench_item_mean"), say("bench_how_mean", **values)),
        (say("bench_item_ranks"), say("bench_how_ranks", **values)),
        (say("bench_item_funnel"), say("bench_how_funnel")),
        (say("bench_item_gate"), say("bench_how_gate")),
        (say("bench_item_case_mix"), _case_mix(page)),
        (say("bench_item_disclosure"), _disclosure(page)),
        (say("item_seed"), plain(settings.get("rng", "–"))),
        (say("item_versions"), plain(versions)),
    ]
    shown = "".join(f"<dt>{both(k)}</dt><dd>{both(v)}</dd>" for k, v in entries)
    digest = f"<dl><dt>{both(say('bench_item_digest'))}</dt><dd><code>{profile_of(page).digest}</code></dd></dl>"
    return (
        paragraph(say("bench_method_say"))
        + f"<dl>{shown}</dl>"
        + details(say("bench_item_rules"), digest + _notes(page))
    )


def _notes(page: BenchmarkPage) -> str:
    """What the program noted on the way."""
    found = (*page.benchmark.notes, *page.benchmark.gate.notes)
    return "<ul>" + "".join(f"<li>{both(note_words(page, n))}</li>" for n in found) + "</ul>" if found else ""


def _profile(page: BenchmarkPage) -> Text:
    own = profile_of(page)
    return say("bench_profile", title=own.title, name=own.name, version=own.version)


def _case_mix(page: BenchmarkPage) -> Text:
    if not profile_of(page).case_mix:
        return say("bench_how_no_case_mix")
    names = listed(known_as("bench_mix", v) for v in profile_of(page).case_mix)
    return say("bench_how_case_mix" if len(page.benchmark.case_mix) else "bench_how_case_mix_few", list=names)


def _disclosure(page: BenchmarkPage) -> Text:
    rules: Any = profile_of(page).disclosure
    values = {"n": rules.minimum_n, "institutions": rules.minimum_institutions, "largest": rules.dominance[0],
              "share": f"{rules.dominance[1]:g}", "p": f"{rules.p_percent:g}"}  # fmt: skip
    return say("bench_how_disclosure", **values)
