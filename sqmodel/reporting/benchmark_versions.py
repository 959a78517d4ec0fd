"""Versions: what each reader may see of a benchmark, cut before any page is made of it.

The public sees names or blind codes, as the profile has it. An institution sees itself; of the others it sees what
rests on enough of them, and nothing that stands for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.benchmark.comparison import Benchmark, Gate
from sqmodel.benchmark.content import CODE, OVERALL, Submission
from sqmodel.benchmark.profile import Profile, Register
from sqmodel.definitions import Text
from sqmodel.index.tree import IndexTree
from sqmodel.operations.process import load_process
from sqmodel.reporting.benchmark_params import DISTRIBUTION, WITHHELD, Labels, Version

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
GROUPED = ("standing", "scopes", "indicators", "history")
"""Tables with rows of one institution each."""
PROCESS = "lending_process"
_TOKEN = re.compile(CODE.strip("^$"))


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
    tells nothing either, and a peer group too small to hide in is left empty. Of what was refused only the number is
    told, and survival tables only of all and of peer groups.

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
    cut = replace(benchmark, **changes)
    if whole.profile.publication.names == "names":
        names = {c: m.title for c in whole.institutions if (m := whole.register.member(c)) is not None}
        return Version("", cut, whole.profile, whole.tree, whole.labels(names))
    return Version("", _blinded(cut, whole), whole.profile, whole.tree, whole.labels({}))


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
    benchmark = whole.benchmark
    own = {name: whole.rows[name].get(institution, getattr(benchmark, name).iloc[:0]) for name in GROUPED}
    peers = str(own["standing"]["peers"].iloc[0]) if len(own["standing"]) else ""
    own["scopes"] = _without_small_peers(own["scopes"], whole, peers)
    scopes = [institution, OVERALL, *([f"peers:{peers}"] if peers else [])]
    curves = [whole.curves[s] for s in scopes if s in whole.curves]
    own["waiting"] = pd.concat(curves) if curves else benchmark.waiting.iloc[:0]
    own["receipts"] = benchmark.receipts[benchmark.receipts["institution"] == institution]
    others = {m.code for m in whole.register.members} - {institution}
    mentions = benchmark.withheld["cell"].map(lambda cell: bool(others & set(_tokens(str(cell)))))
    own["withheld"] = benchmark.withheld[~mentions.astype(bool)]
    tables: dict[str, Any] = {name: table.reset_index(drop=True) for name, table in own.items()}
    names = {code: whole.blind.get(code, code) for code in others}
    cut = replace(
        benchmark, **tables, gate=_own_gate(benchmark.gate, institution, names),
        settings=_renamed(benchmark.settings, names), notes=tuple(_said(n, names) for n in benchmark.notes),
    )  # fmt: skip
    member = whole.register.member(institution)
    distribution = whole.quantiles[whole.quantiles["peers"].isin(["", peers])].reset_index(drop=True)
    return Version(
        institution, cut, whole.profile, whole.tree, whole.labels({institution: member.title} if member else {}),
        own_code=whole.blind.get(institution, ""), distribution=distribution,
        withheld=whole.withheld.get(institution, pd.DataFrame(columns=WITHHELD)),
    )  # fmt: skip


def _split(table: pd.DataFrame, column: str) -> dict[str, pd.DataFrame]:
    """Rows by the value of a column."""
    return {str(value): rows for value, rows in table.groupby(column, sort=False)}


def _own_gate(gate: Gate, institution: str, names: Mapping[str, str]) -> Gate:
    """The gate with what is said of one institution only."""
    biased = gate.biased[gate.biased["institution"] == institution].reset_index(drop=True)
    left_out = gate.left_out[gate.left_out["institution"] == institution].reset_index(drop=True)
    notes = tuple(_said(n, names) for n in gate.notes)
    return replace(gate, biased=biased, left_out=left_out, reason=_said(gate.reason, names), notes=notes)


def _without_small_peers(scopes: pd.DataFrame, whole: Whole, peers: str) -> pd.DataFrame:
    """Medians of peers only where there are enough of them."""
    enough = whole.profile.disclosure.minimum_institutions
    standing = whole.benchmark.standing
    if int((standing["rank"].notna() & (standing["peers"] == peers)).sum()) >= enough:
        return scopes
    return scopes.assign(peers_median=np.nan)


def _blinded(benchmark: Benchmark, whole: Whole) -> Benchmark:
    """All codes replaced by blind ones, rows in the order of these."""
    names, least = whole.blind, whole.profile.disclosure.minimum_institutions
    tables: dict[str, Any] = {name: _recoded(getattr(benchmark, name), names) for name in GROUPED}
    peers = tables["standing"]["peers"]
    small = peers.map(peers.value_counts()) < least
    tables["standing"] = tables["standing"].assign(peers=peers.where(~small, ""))
    for name, column in (("standing", "reason"), ("withheld", "cell")):
        table = tables.get(name, getattr(benchmark, name))
        tables[name] = table.assign(**{column: [_said(str(t), names) for t in table[column]]})
    gate = benchmark.gate
    left_out = _recoded(gate.left_out, names)
    left_out = left_out.assign(reason=[_said(str(t), names) for t in left_out["reason"]])
    blinded = replace(gate, biased=_recoded(gate.biased, names), left_out=left_out, reason=_said(gate.reason, names),
                      notes=tuple(_said(n, names) for n in gate.notes))  # fmt: skip
    return replace(
        benchmark, **tables, gate=blinded, settings=_renamed(benchmark.settings, names),
        notes=tuple(_said(n, names) for n in benchmark.notes),
    )  # fmt: skip


def _recoded(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """A table with blind codes, ordered by them; an institution's own rows keep their order."""
    codes = table["institution"].map(lambda code: names[code])
    return table.assign(institution=codes).sort_values("institution", kind="stable").reset_index(drop=True)


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


def _tokens(text: str) -> list[str]:
    """What in a text can be a code; a full stop at the end belongs to the sentence."""
    return [token.rstrip(".-") for token in _TOKEN.findall(text)]


def _said(text: str, names: Mapping[str, str]) -> str:
    """A text in which institutions are named by other codes."""

    def other(match: re.Match[str]) -> str:
        code = match.group().rstrip(".-")
        return names.get(code, code) + match.group()[len(code) :]

    return _TOKEN.sub(other, text)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Settings in which institutions are named by other codes."""
    if isinstance(value, str):
        return _said(value, names)
    if isinstance(value, Mapping):
        return {_said(str(k), names): _renamed(v, names) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_renamed(v, names) for v in value)
    return value
