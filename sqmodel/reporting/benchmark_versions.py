"""Versions: what each reader may see of a benchmark, cut before any page is made of it.

The public sees names or blind codes, as the profile has it. An institution sees itself; of the others it sees what
rests on enough of them, and nothing that stands for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.benchmark.comparison import Benchmark, Gate
from sqmodel.benchmark.content import OVERALL, Submission
from sqmodel.benchmark.profile import Profile, Register
from sqmodel.definitions import Text
from sqmodel.index.tree import IndexTree
from sqmodel.operations.process import load_process
from sqmodel.reporting.benchmark_blinding import GROUPED, blinded, renamed, said, tokens
from sqmodel.reporting.benchmark_params import DISTRIBUTION, WITHHELD, Labels, Version

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
PROCESS = "lending_process"
ANOTHER = "another"
"""What any other institution is called in texts for one: not by a blind code, which would follow it over the years."""


@dataclass(frozen=True)
class Whole:
    """All that the association knows.

    Parameters
    ----------
    benchmark : Benchmark
    profile : Profile
    register : Register
    tree : IndexTree
    blind : mapping of str to str
        Blind code of every institution of the register; empty where the profile publishes names.
    withheld : mapping of str to DataFrame
        What each institution withheld itself: table, cell, rule.
    """

    benchmark: Benchmark
    profile: Profile
    register: Register
    tree: IndexTree
    blind: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def institutions(self) -> tuple[str, ...]:
        """Codes of those that submitted, in the order of the register."""
        known = set(self.benchmark.standing["institution"])
        return tuple(m.code for m in self.register.members if m.code in known)

    @cached_property
    def rows(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Rows of each institution by table: found once, not once for each report."""
        return {name: _split(getattr(self.benchmark, name), "institution") for name in GROUPED}

    @cached_property
    def curves(self) -> dict[str, pd.DataFrame]:
        """Survival tables by scope."""
        return _split(self.benchmark.waiting, "scope")

    @cached_property
    def scores(self) -> dict[str, pd.DataFrame]:
        """Scores that ranks are made of, by scope: institution, peers, score."""
        standing, scopes = self.benchmark.standing, self.benchmark.scopes
        peers = standing.set_index("institution")["peers"]
        own = standing[standing["rank"].notna()]
        told = scopes[scopes["institution"].isin(own["institution"])]
        tables = {OVERALL: own, **_split(told, "scope")}
        return {
            scope: pd.DataFrame({"peers": table["institution"].map(peers), "score": table["score"]}).dropna()
            for scope, table in tables.items()
        }

    @cached_property
    def quantiles(self) -> pd.DataFrame:
        """Quantiles of the scores of all and of each peer group: see `Version.distribution`."""
        least = self.profile.disclosure.minimum_institutions
        found = []
        for scope, table in self.scores.items():
            groups = {"": table, **_split(table[table["peers"] != ""], "peers")}
            for peers, group in groups.items():
                found += [
                    (scope, peers, level, value, len(group)) for level, value in _quantiles(group["score"], least)
                ]
        return pd.DataFrame(found, columns=DISTRIBUTION)

    def labels(self, institutions: Mapping[str, Text]) -> Labels:
        """Names for a reader."""
        stages = {s.code: s.title for s in load_process(PROCESS).steps if s.title is not None}
        return Labels(self.register.title, dict(institutions), dict(self.register.peer_groups), stages)


def withheld_by(submissions: Sequence[Submission], quarter: str) -> dict[str, pd.DataFrame]:
    """What each institution withheld of a quarter."""
    own = (s for s in submissions if s.quarter == quarter)
    return {s.institution: pd.DataFrame(list(s.withheld), columns=WITHHELD) for s in own}


def public_version(whole: Whole) -> Version:
    """The benchmark as everyone may see it.

    Institutions appear by their names or by blind codes, as the profile has it; with blind codes the order of the rows
    tells nothing either, a peer group too small to hide in is left empty, and nothing tells the size of an institution
    (`sqmodel.reporting.benchmark_blinding.blinded`). Of what was refused only the number is told, and survival tables
    only of all and of peer groups. Of a field of fewer institutions than the profile's `minimum_institutions` nothing
    is told at all, nor of a quarter before that had fewer.

    Parameters
    ----------
    whole : Whole

    Returns
    -------
    Version
    """
    benchmark = whole.benchmark
    waiting = benchmark.waiting
    told = waiting[(waiting["scope"] == OVERALL) | waiting["scope"].str.startswith("peers:")]
    changes: dict[str, Any] = {"waiting": told.reset_index(drop=True), "receipts": _counted(benchmark.receipts)}
    least = whole.profile.disclosure.minimum_institutions
    if is_few(benchmark, least):
        changes |= {name: getattr(benchmark, name).iloc[:0] for name in (*GROUPED, "waiting")}
        gate = benchmark.gate
        changes["gate"] = replace(gate, biased=gate.biased.iloc[:0], left_out=gate.left_out.iloc[:0])
    cut = without_few(replace(benchmark, **changes), least)
    cut = replace(cut, **_without_few_before(cut, least))
    if whole.profile.publication.names == "names":
        names = {c: m.title for c in whole.institutions if (m := whole.register.member(c)) is not None}
        return Version("", cut, whole.profile, whole.tree, whole.labels(names))
    return Version("", blinded(cut, whole.profile, whole.blind), whole.profile, whole.tree, whole.labels({}))


def own_version(whole: Whole, institution: str) -> Version:
    """The benchmark as one institution may see it: its own rows, and of the others what rests on enough of them.

    Parameters
    ----------
    whole : Whole
    institution : str
        Its code.

    Returns
    -------
    Version
    """
    benchmark = without_few(whole.benchmark, whole.profile.disclosure.minimum_institutions)
    own = {name: whole.rows[name].get(institution, getattr(benchmark, name).iloc[:0]) for name in GROUPED}
    peers = str(own["standing"]["peers"].iloc[0]) if len(own["standing"]) else ""
    own["scopes"] = _without_small_peers(own["scopes"], whole, peers)
    scopes = [institution, OVERALL, *([f"peers:{peers}"] if peers else [])]
    curves = [whole.curves[s] for s in scopes if s in whole.curves]
    own["waiting"] = pd.concat(curves) if curves else benchmark.waiting.iloc[:0]
    own["receipts"] = benchmark.receipts[benchmark.receipts["institution"] == institution]
    others = {m.code for m in whole.register.members} - {institution}
    mentions = benchmark.withheld["cell"].map(lambda cell: bool(others & set(tokens(str(cell)))))
    own["withheld"] = benchmark.withheld[~mentions.astype(bool)]
    tables: dict[str, Any] = {name: table.reset_index(drop=True) for name, table in own.items()}
    names = dict.fromkeys(others, ANOTHER)
    cut = replace(
        benchmark, **tables, gate=_own_gate(benchmark.gate, institution, names),
        settings=renamed(benchmark.settings, names), notes=tuple(said(n, names) for n in benchmark.notes),
    )  # fmt: skip
    member = whole.register.member(institution)
    distribution = whole.quantiles[whole.quantiles["peers"].isin(["", peers])].reset_index(drop=True)
    return Version(
        institution, cut, whole.profile, whole.tree, whole.labels({institution: member.title} if member else {}),
        own_code=whole.blind.get(institution, ""), distribution=distribution,
        withheld=whole.withheld.get(institution, pd.DataFrame(columns=WITHHELD)),
    )  # fmt: skip


def is_few(benchmark: Benchmark, least: int) -> bool:
    """Whether there are fewer institutions with a score than figures may be told of."""
    return int(benchmark.standing["score"].notna().sum()) < least


def without_few(benchmark: Benchmark, least: int) -> Benchmark:
    """Without what would tell an institution of the others because these are so few.

    Of two that were tested for comparability each learns from the mean, from the bias or from the number of answers of
    both what the other has; so do notes that count institutions in a field of two.
    """
    gate = benchmark.gate
    if gate.institutions < least:
        gate = replace(gate, n=0, reason="", notes=(), steps=gate.steps.iloc[:0], items=gate.items.iloc[:0],
                       biased=gate.biased.iloc[:0], ordinal=None)  # fmt: skip
    groups = benchmark.peers
    hidden = groups["withheld"] != ""
    groups = groups.assign(institutions=groups["institutions"].mask(hidden)) if hidden.any() else groups
    if not is_few(benchmark, least):
        return replace(benchmark, gate=gate, peers=groups)
    return replace(benchmark, gate=gate, peers=groups, notes=(), case_mix=benchmark.case_mix.iloc[:0], n=0)


def _without_few_before(benchmark: Benchmark, least: int) -> dict[str, Any]:
    """History without quarters of few, and no change where few have one: who else took part then would be known."""
    past, standing = benchmark.history, benchmark.standing
    counts = past["quarter"].map(past["quarter"].value_counts())
    found: dict[str, Any] = {"history": past[counts >= least].reset_index(drop=True)}
    if standing["change"].notna().sum() < least:
        gone = dict.fromkeys(("change", "change_low", "change_high"), np.nan)
        found |= {"standing": standing.assign(**gone), "compared_with": ""}
    return found


def _split(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Rows by the value of a column."""
    return {str(value): rows for value, rows in table.groupby(column, sort=False)}


def _own_gate(gate: Gate, institution: str, names: Mapping[str, str]) -> Gate:
    """The gate with what is said of one institution only."""
    biased = gate.biased[gate.biased["institution"] == institution].reset_index(drop=True)
    left_out = gate.left_out[gate.left_out["institution"] == institution].reset_index(drop=True)
    notes = tuple(said(n, names) for n in gate.notes)
    return replace(gate, biased=biased, left_out=left_out, reason=said(gate.reason, names), notes=notes)


def _without_small_peers(scopes: pd.DataFrame, whole: Whole, peers: str) -> pd.DataFrame:
    """Medians of peers only where there are enough of them."""
    enough = whole.profile.disclosure.minimum_institutions
    standing = whole.benchmark.standing
    if int((standing["rank"].notna() & (standing["peers"] == peers)).sum()) >= enough:
        return scopes
    return scopes.assign(peers_median=np.nan)


def _counted(receipts: pd.DataFrame) -> pd.DataFrame:
    """Receipts of which only the number can be told."""
    blank = {"file": "", "institution": "", "reason": ""}
    kept = receipts.assign(**blank, revision=0).sort_values(["quarter", "accepted"], kind="stable")
    return kept.reset_index(drop=True)


def _quantiles(scores: pd.Series, least: int) -> list[tuple[float, float]]:
    """Levels and quantiles with so many institutions on both sides."""
    count = len(scores)
    levels = [v for v in LEVELS if min(np.floor(v * count), np.floor((1 - v) * count + 1e-9)) >= least]
    return list(zip(levels, np.quantile(scores, levels), strict=True)) if levels else []
