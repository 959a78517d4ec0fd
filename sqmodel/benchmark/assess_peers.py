"""Peer groups, and how long clients waited: figures of several institutions together, none of too few."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.assess_field import Field, Floats
from sqmodel.benchmark.assess_standing import Standing
from sqmodel.benchmark.comparison import PEERS, WAITING
from sqmodel.benchmark.content import OVERALL
from sqmodel.benchmark.disclosure_totals import FEW, unsafe_totals
from sqmodel.numerics.proportions import wilson_interval


def assess_peers(field: Field, standing: Standing) -> pd.DataFrame:
    """How do peer groups differ?

    Parameters
    ----------
    field : Field
    standing : Standing
        Composites of the ranked, adjusted for case mix; of all who are shown where nobody is ranked.

    Returns
    -------
    DataFrame
        As `Benchmark.peers`: the groups, then ``overall``. A group of too few, and one whose respondents could be
        told from totals, has none of its figures; `withheld` says by which rule.
    """
    used = standing.used & np.isfinite(standing.score)
    unsafe = _unsafe(field, np.flatnonzero(used), field.n[used])
    rows = []
    for group in (*field.groups, OVERALL):
        own = used if group == OVERALL else used & (field.peers == group)
        pooled = field.pooled(standing.score, standing.se, own)
        rule = FEW if pooled is None else unsafe.get(group, "")
        if rule:
            field.withhold("peers", group, rule)
        if rule or pooled is None:
            rows.append([group, int(own.sum()), *[np.nan] * 6, rule])
            continue
        figures = (pooled.mean, pooled.low[0], pooled.high[0], np.sqrt(pooled.tau2), pooled.i2)
        rows.append([group, int(own.sum()), float(field.n[own].sum()), *map(float, figures), ""])
    return pd.DataFrame(rows, columns=PEERS)


def _unsafe(field: Field, rows: npt.NDArray[np.intp], values: Floats) -> dict[str, str]:
    """Groups whose total would tell of one institution, with the rule; those without a group are one too."""
    contributions = pd.DataFrame({"group": field.peers[rows], "institution": field.codes[rows], "value": values})
    return unsafe_totals(contributions, field.profile.disclosure) if len(contributions) else {}


def assess_waiting(field: Field) -> pd.DataFrame:
    """How many cases were not done yet after so many working hours?

    Returns
    -------
    DataFrame
        As `Benchmark.waiting`: each institution's own tables, then those of all and of peer groups, which are means
        weighted by the number of cases, of institutions that tell every hour of the stage; stages of too few
        institutions, or of one that is most of them, are left out.

    Notes
    -----
    Intervals are Wilson's, with the number of cases that would give the standard error (Rothman 1978).
    """
    told = pd.DataFrame(
        [(k, p.stage, p.hours, p.n, p.waiting, p.se) for k, s in enumerate(field.submissions) for p in s.waiting],
        columns=["row", "stage", "hours", "n", "waiting", "se"],
    )
    if told.empty:
        return pd.DataFrame({c: pd.Series(dtype=object if c in ("scope", "stage") else float) for c in WAITING})
    own = told.assign(scope=field.codes[told["row"].to_numpy()], institutions=1)
    whole = _whole(told)
    unsafe = _unsafe_stages(field, whole)
    tables = [own]
    for group in (OVERALL, *field.groups):
        inside = whole if group == OVERALL else whole[field.peers[whole["row"].to_numpy()] == group]
        tables.append(_together(field, group, inside, unsafe))
    if len(whole) < len(told):
        field.notes.append("waiting: institutions that do not tell every hour of a stage are left out of its pooled "
                           "table")  # fmt: skip
    found = pd.concat([t for t in tables if len(t)], ignore_index=True)
    found["low"], found["high"] = _bounds(found, field.level)
    return found[WAITING]


def _whole(told: pd.DataFrame) -> pd.DataFrame:
    """Tables that have every hour of their stage: a curve of ever other institutions would not fall."""
    hours = told.groupby("stage")["hours"].transform("nunique")
    own = told.groupby(["row", "stage"])["hours"].transform("nunique")
    return told[hours == own]


def _unsafe_stages(field: Field, whole: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Groups and stages whose table would tell of one institution: a mean weighted by cases is one of totals."""
    found: dict[tuple[str, str], str] = {}
    for stage, own in whole.groupby("stage"):
        first = own[own["hours"] == own["hours"].min()]
        rules = _unsafe(field, first["row"].to_numpy(), first["n"].to_numpy(float))
        found |= {(group, str(stage)): rule for group, rule in rules.items()}
    return found


def _together(field: Field, group: str, whole: pd.DataFrame, unsafe: dict[tuple[str, str], str]) -> pd.DataFrame:
    """Means of a group by stage and hours, weighted by cases, of the stages that may be told."""
    scope = group if group == OVERALL else f"peers:{group}"
    rules = {stage: unsafe.get((group, str(stage)), "") for stage in whole["stage"].unique()}
    for stage, rule in rules.items():
        if rule:
            field.withhold("waiting", f"{scope} {stage}", rule)
    told = whole[~whole["stage"].map(rules).astype(bool)]
    w = told.assign(total=told["n"] * told["waiting"], square=(told["n"] * told["se"]) ** 2)
    found = w.groupby(["stage", "hours"], sort=False).agg(
        n=("n", "sum"), total=("total", "sum"), square=("square", "sum"), institutions=("row", "nunique")
    ).reset_index()  # fmt: skip
    found["waiting"], found["se"] = found["total"] / found["n"], np.sqrt(found["square"]) / found["n"]
    return found.assign(scope=scope)


def _bounds(found: pd.DataFrame, level: float) -> tuple[Floats, Floats]:
    share, se, n = (found[c].to_numpy(float) for c in ("waiting", "se", "n"))
    inside = (se > 0) & (share > 0) & (share < 1)
    effective = np.where(inside, share * (1 - share) / np.where(inside, se, 1.0) ** 2, n)
    low, high = wilson_interval(share, effective, level)
    return np.where(share <= 0, 0.0, low), np.where(share >= 1, 1.0, high)
