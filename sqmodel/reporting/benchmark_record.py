"""The record of a benchmark's page for machines: results.json and tables.xlsx are made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.benchmark.content import OVERALL
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_blinding import SIZES
from sqmodel.reporting.benchmark_parts import sizes_of
from sqmodel.reporting.payload import BENCHMARK_SCHEMA, Payload, check_results
from sqmodel.reporting.sources import found_path
from sqmodel.reporting.words import quarter, say
from sqmodel.result import encode

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage

KEYED = {"standing": "institution", "overall": "scope", "scopes": "institution", "indicators": "institution",
         "peers": "peers", "history": "institution", "waiting": "scope", "case_mix": "term",
         "withheld": "table"}  # fmt: skip


def record_of(page: BenchmarkPage, texts: Mapping[str, Text], results: Mapping[str, Any]) -> Payload:
    """The record of a page.

    Parameters
    ----------
    page : BenchmarkPage
    texts : mapping
        title, kicker and subtitle.
    results : mapping
        ``benchmark`` and ``gate`` with frames by name, and whatever else the page is made of.

    Returns
    -------
    Payload
    """
    found = page.benchmark
    content = {
        "schema": BENCHMARK_SCHEMA,
        "page": {name: _both(text) for name, text in texts.items()},
        "name": page.params.version.profile.name,
        "quarter": found.quarter,
        "institution": page.params.institution,
        "simulated": found.simulated,
        "verdict": found.gate.verdict,
        "n": found.n,
        "study": {"page_language": page.params.page_language},
        "inputs": {Path(page.params.results).name: _digest(found_path(page.params.results))},
        "labels": _labels(page),
        "results": {k: encode(v) for k, v in results.items()},
    }
    return Payload(check_results(content))


def public_record(page: BenchmarkPage, title: Text) -> Payload:
    """The public's record: of receipts the numbers only; with blind codes no indicator of a single institution, and of
    respondents the class only."""
    found, gate, own = page.benchmark, page.benchmark.gate, page.params.version.profile
    tables: dict[str, Any] = {name: table_of(getattr(found, name), key) for name, key in KEYED.items()}
    tables["receipts"] = receipt_counts(page)
    scopes = tables["waiting"].index.astype(str)
    tables["waiting"] = tables["waiting"][(scopes == OVERALL) | scopes.str.startswith("peers:")]
    if own.publication.names != "names":
        # How many cases an institution has tells who it is.
        tables["indicators"] = tables["indicators"].iloc[:0]
        sizes = sizes_of(page) or {}
        for name in ("standing", "scopes"):
            tables[name] = tables[name].assign(n=[sizes.get(str(c), "") for c in tables[name].index])
    kept = {k: v for k, v in found.settings.items() if k not in ("names", SIZES)}
    tables["profile"] = {"name": own.name, "version": own.version, "digest": own.digest}
    tables |= {"institutions": found.institutions, "settings": kept, "compared_with": found.compared_with,
               "notes": found.notes}  # fmt: skip
    kicker = say("bench_kicker_simulated" if found.simulated else "bench_kicker")
    texts = {"title": title, "kicker": kicker, "subtitle": subtitle_of(page)}
    return record_of(page, texts, {"benchmark": tables, "gate": _gate(gate)})


def subtitle_of(page: BenchmarkPage) -> Text:
    """Which benchmark, of which quarter, by whom."""
    parts = (page.params.title, quarter(page.benchmark.quarter), page.params.organisation)
    return Text(**{g: " · ".join(p[g] for p in parts) for g in ("zh", "en")})


def table_of(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """A frame whose rows are named by a column, as a sheet shows them."""
    return frame.set_index(key) if key in frame else frame


def receipt_counts(page: BenchmarkPage) -> pd.DataFrame:
    """How many submissions of each quarter were accepted and refused."""
    receipts = page.benchmark.receipts
    accepted = receipts["accepted"].astype(bool)
    quarters = receipts["quarter"].replace("", "–").fillna("–")
    counts = pd.DataFrame({"quarter": quarters, "accepted": accepted, "refused": ~accepted})
    return counts.groupby("quarter", sort=True).sum().astype(int)


def _gate(gate: Any) -> Any:
    return replace(gate, biased=table_of(gate.biased, "institution"), left_out=table_of(gate.left_out, "institution"),
                   items=table_of(gate.items, "item"), steps=table_of(gate.steps, "model"))  # fmt: skip


def _labels(page: BenchmarkPage) -> dict[str, dict[str, dict[str, str]]]:
    own = page.params.version
    nodes = {n.code: n.label for n in own.tree.nodes}
    labels = {"nodes": nodes, "institutions": own.labels.institutions, "peers": own.labels.peers,
              "stages": own.labels.stages}  # fmt: skip
    return {kind: {c: _both(t) for c, t in found.items()} for kind, found in labels.items()}


def _both(text: Text) -> dict[str, str]:
    return {g: text[g] for g in ("zh", "en")}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
