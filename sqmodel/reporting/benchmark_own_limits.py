"""What the data cannot say of one institution, what was withheld, how its files were received; and its record."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting import benchmark_public_trust
from sqmodel.reporting.benchmark_own_parts import CLIENTS, level_of, own_name, own_row, reason_of, scope_name, undecided
from sqmodel.reporting.benchmark_parts import bounded, finite, profile_of, rule_name
from sqmodel.reporting.benchmark_record import KEYED, record_of, subtitle_of, table_of
from sqmodel.reporting.blocks import Block, Cell, both, details, paragraph
from sqmodel.reporting.dossier_parts import captioned, right
from sqmodel.reporting.payload import Payload
from sqmodel.reporting.words import known_as, percent, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage


def limits(page: BenchmarkPage) -> Block:
    """Everything that this report does not tell, as a list; then what was withheld, and the receipts."""
    told = [t for t in (*_undecided(page), *_general(page)) if t is not None]
    entries = "".join(f"<li>{both(t)}</li>" for t in told)
    parts = [paragraph(say("own_limits_say"), "say"), f"<ul>{entries}</ul>"]
    parts += [f"<h3>{both(say('own_withheld'))}</h3>", _withheld(page)]
    parts += [f"<h3>{both(say('own_receipts'))}</h3>", _receipts(page)]
    return Block("".join(parts), "limits")


def _undecided(page: BenchmarkPage) -> list[Text | None]:
    """Which orderings are open, and what it would take to know more."""
    row = own_row(page)
    if not finite(row.get("rank")):
        first: Text | None = say("own_limit_unranked", reason=reason_of(row))
    elif finite(row["best_all"]):
        same = undecided(row["best_all"], row["worst_all"], page.benchmark.institutions)[1]
        first = say("own_limit_ranks", same=f"{same:,}") if same else None
    else:
        first = say("own_say_unknown")
    return [first, _halved(page)]


def _halved(page: BenchmarkPage) -> Text | None:
    """Answers that would halve the widest interval of the clients' scores: four times as many, for 1/√n."""
    table = page.benchmark.scopes
    rows = table[table["scope"].str.startswith(CLIENTS) & table["score"].notna() & table["n"].notna()]
    if rows.empty:
        return None
    r = max(rows.to_dict("records"), key=lambda row: row["high"] - row["low"])
    values = {"n": f"{int(r['n']):,}", "needed": f"{4 * int(r['n']):,}"}
    shown = bounded(r["score"], r["low"], r["high"])
    return say("own_limit_halve", dimension=scope_name(page, str(r["scope"])), score=shown, **values)


def _general(page: BenchmarkPage) -> list[Text | None]:
    """What holds for every institution."""
    found, rules = page.benchmark, profile_of(page)
    mix = "case_mix" if len(found.case_mix) else "no_case_mix"
    return [
        say("bench_limit_simulated") if found.simulated else None,
        say(f"bench_limit_{mix if rules.case_mix else 'never_case_mix'}"),
        say("bench_limit_cause") if len(found.indicators) else None,
        say("bench_limit_independent"),
        say("own_limit_others"),
        say("bench_limit_no_change") if not found.compared_with else None,
        say("bench_limit_level", level=percent(level_of(page))),
    ]


def _withheld(page: BenchmarkPage) -> str:
    """How many figures the institution kept to itself, and how many the association withholds, by rule."""
    rows = []
    for key, table in (("own_by_us", page.params.version.withheld), ("own_by_association", page.benchmark.withheld)):
        for rule, count in sorted(Counter(str(r) for r in table["rule"]).items()):
            rows.append([Cell(say(key)), Cell(rule_name(rule)), right(f"{count:,}")])
    if not rows:
        return paragraph(say("own_withheld_none"))
    headers = [say(f"own_col_{k}") for k in ("by", "rule", "figures")]
    own = page.params.version.withheld
    listed = ""
    if len(own):
        cells = [[Cell(known_as("bench_table", r["table"])), Cell(plain(r["cell"])), Cell(rule_name(r["rule"]))]
                 for r in own.to_dict("records")]  # fmt: skip
        columns = [say(f"own_col_{k}") for k in ("table", "cell", "rule")]
        listed = details(say("own_withheld_list", count=f"{len(own):,}"), captioned(columns, cells, say("own_by_us")))
    return captioned(headers, rows, say("own_withheld_caption")) + listed


def _receipts(page: BenchmarkPage) -> str:
    receipts = page.benchmark.receipts
    if receipts.empty:
        return paragraph(say("own_receipts_none"))
    rows = []
    for r in receipts.to_dict("records"):
        accepted = bool(r["accepted"])
        verdict = Cell(say("own_accepted" if accepted else "own_refused"), tone="ok" if accepted else "bad")
        revision = "–" if pd.isna(r["revision"]) else str(int(r["revision"]))
        told = [Cell(plain(r["file"])), Cell(plain(r["quarter"] or "–")), right(revision)]
        rows.append([*told, verdict, Cell(plain(r["reason"] if not accepted else "–"))])
    headers = [say(f"own_col_{k}") for k in ("file", "quarter", "revision", "verdict", "reason")]
    return captioned(headers, rows, say("own_receipts_caption"))


def provenance(page: BenchmarkPage) -> Block:
    """Rules, method, settings and versions: the same as of the public report."""
    return benchmark_public_trust.provenance(page)


def record_with(page: BenchmarkPage, title: Text) -> Payload:
    """The institution's record: its own rows, and what its version holds of all."""
    found, own = page.benchmark, page.params.version
    tables: dict[str, Any] = {name: table_of(getattr(found, name), key) for name, key in KEYED.items()}
    tables["receipts"] = table_of(found.receipts, "file")
    rules = own.profile
    tables["profile"] = {"name": rules.name, "version": rules.version, "digest": rules.digest}
    tables |= {"institutions": found.institutions, "settings": found.settings, "compared_with": found.compared_with,
               "notes": found.notes}  # fmt: skip
    gate = {"verdict": found.gate.verdict, "method": found.gate.method, "reason": found.gate.reason,
            "institutions": found.gate.institutions, "biased": table_of(found.gate.biased, "institution")}  # fmt: skip
    subtitle = Text(**{g: f"{own_name(page)[g]} · {subtitle_of(page)[g]}" for g in ("zh", "en")})
    kicker = say("own_kicker_simulated" if found.simulated else "own_kicker")
    results = {"benchmark": tables, "gate": gate, "distribution": table_of(own.distribution, "scope"),
               "withheld": table_of(own.withheld, "table")}  # fmt: skip
    return record_of(page, {"title": title, "kicker": kicker, "subtitle": subtitle}, results)
