"""What readers are told of bias: its interval, what was found, the other reading, and nothing of the size of a code."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.benchmark.comparison import Gate
from sqmodel.reporting import benchmark_own_evidence, benchmark_public_trust
from sqmodel.reporting.benchmark_page import BenchmarkPage
from sqmodel.reporting.benchmark_params import load_benchmark_params, read_benchmark
from sqmodel.reporting.benchmark_versions import Whole, own_version
from tests.reporting.comparisons import FILE, QUARTER, public_page, whole

FOUND = {
    "within": (1.9, 0.3, 3.5, 1.9, 1.9, -2.1),
    "near": (5.8, 3.8, 7.8, 5.8, 5.8, 5.1),
    "beyond": (8.0, 6.8, 9.2, 8.0, 8.0, math.nan),
    "undecided": (8.0, 6.8, 9.2, -3.1, 8.0, 7.5),
    "rough": (1.9, math.nan, math.nan, math.nan, math.nan, math.nan),
}
"""Bias, low, high, least, most, and the ladder's."""
OWN = {
    "within": "The comparison is fair to this institution: it differs from the mean of all by +2.9 points, of which "
    "+1.9 (+0.3 to +3.5) come from what the items mean here, within the 5 allowed; without them +1.0.",
    "near": "Whether the comparison is fair to this institution is not sure: it differs from the mean of all by +6.8 "
    "points, of which +5.8 (+3.8 to +7.8) come from what the items mean here. The 5 allowed lie within the interval, "
    "so it is ranked, with this doubt; without them +1.0.",
    "beyond": "The comparison is not fair to this institution: it differs from the mean of all by +9.0 points, of "
    "which +8.0 (+6.8 to +9.2) come from what the items mean here, surely beyond the 5 allowed, so that it is not "
    "ranked; without them +1.0.",
    "undecided": "Whether the comparison is fair to this institution cannot be decided: it differs from the mean of "
    "all by +9.0 points. By one reading of its items +8.0 (+6.8 to +9.2) of them come from what the items mean here, "
    "by another −3.1; the answers allow both, and one of them is beyond the 5 allowed, so that it is not ranked.",
    "rough": "This institution differs from the mean of all by +2.9 points, of which about +1.9 come from what the "
    "items mean here; without them +1.0. Here the estimate has no interval.",
}


def words(html: str) -> str:
    """English words of a section."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r'<span lang="zh-CN">.*?</span>', "", html)))


def changed(gate: Gate, code: str, kind: str) -> Gate:
    """A gate in which one institution has this finding, and bias by the ladder that is elsewhere."""
    bias, low, high, least, most, ladder = FOUND[kind]
    finding = "within" if kind == "rough" else kind
    row: dict[str, Any] = {"bias": bias, "observed": bias + 1, "low": low, "high": high, "least": least, "most": most,
           "finding": finding, "withheld": finding in ("beyond", "undecided"), "ladder": ladder}  # fmt: skip
    mine = gate.biased["institution"] == code
    return replace(gate, biased=gate.biased.assign(**{k: gate.biased[k].mask(mine, v) for k, v in row.items()}))


def own_page(folder: Path, found: Whole) -> BenchmarkPage:
    """The page of I02."""
    (folder / FILE).write_bytes(own_version(found, "I02").encode())
    params = load_benchmark_params({"quarter": QUARTER, "results": str(folder / FILE), "institution": "I02"})
    return BenchmarkPage(params, read_benchmark(params))


def with_gate(found: Whole, kind: str) -> Whole:
    return replace(found, benchmark=replace(found.benchmark, gate=changed(found.benchmark.gate, "I02", kind)))


@pytest.mark.parametrize("kind", list(FOUND))
def test_an_institution_is_told_how_sure_it_is(kind: str, tmp_path: Path) -> None:
    told = words(benchmark_own_evidence.comparability(own_page(tmp_path, with_gate(whole(), kind))).html)
    assert OWN[kind] in told
    assert ("takes for granted that most items of each dimension mean the same" in told) == (kind != "rough")


def test_another_reading_within_the_limit_is_told_as_well(tmp_path: Path) -> None:
    gate = changed(whole().benchmark.gate, "I02", "within")
    gate = replace(gate, biased=gate.biased.assign(least=gate.biased["bias"] - 4.3))
    found = replace(whole(), benchmark=replace(whole().benchmark, gate=gate))
    told = words(benchmark_own_evidence.comparability(own_page(tmp_path, found)).html)
    assert OWN["within"] in told
    assert "which the answers allow too, it would be −2.4 points." in told


@pytest.mark.parametrize("kind", ["within", "near", "beyond", "undecided"])
def test_the_public_is_told_who_deviates_and_what_was_found(kind: str, tmp_path: Path) -> None:
    page = public_page(tmp_path, with_gate(whole(), kind))
    told = words(benchmark_public_trust.comparability(page).html)
    name = page.params.version.labels.institution("I02")["en"]
    assert f"the meaning of items moves the score of 1 of these institutions: {name}." in told
    bias, low, high, *_ = FOUND[kind]
    other = {"within": "−2.1", "undecided": "−3.1"}.get(kind, "–")
    finding = {"within": "within the limit", "near": "perhaps beyond the limit", "beyond": "beyond the limit",
               "undecided": "cannot be decided"}[kind]  # fmt: skip
    assert f"+{bias + 1:.1f} +{bias:.1f} [+{low:.1f}, +{high:.1f}] {other} +1.0 {finding}" in told
    assert f"Not ranked: {int(kind in ('beyond', 'undecided'))} of all" in told
    assert ("Of 1 institutions the ladder of models puts the points elsewhere" in told) == (kind == "within")


def test_nothing_is_told_where_nobody_deviates(tmp_path: Path) -> None:
    told = words(benchmark_public_trust.comparability(public_page(tmp_path, whole())).html)
    assert "the meaning of items moves" not in told
    assert "The other way round" not in told
    assert "the ladder of models puts" not in told


def test_the_interval_of_a_code_does_not_tell_its_size(tmp_path: Path) -> None:
    """Of three withheld institutions with intervals of their own the public sees the widest of the class."""
    found = whole(codes=True)
    table = found.benchmark.gate.biased
    half = np.linspace(0.5, 1.4, len(table))
    table = table.assign(
        withheld=np.arange(len(table)) % 8 == 0,
        low=table["bias"] - half,
        high=table["bias"] + half,
        se=half / 10,
        unseen=half / 2,
    )
    found = replace(found, benchmark=replace(found.benchmark, gate=replace(found.benchmark.gate, biased=table)))
    shown = public_page(tmp_path, found).benchmark.gate.biased
    named = shown[shown["institution"] != ""]
    assert len(named) == 3
    assert named["withheld"].all()
    assert shown[["se", "unseen"]].isna().all(axis=None)
    width = named["high"] - named["low"]
    own = table[table["withheld"]]
    assert (width >= (own["high"] - own["low"]).max() - 0.1).all()
    rest = shown[shown["institution"] == ""].drop(columns=["institution", "withheld", "bias", "finding"])
    assert pd.isna(rest.to_numpy(dtype=float)).all()
