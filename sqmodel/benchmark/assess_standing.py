"""Standing of every institution by the composite: ruled, adjusted, ranked, shrunken, against a year before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.assess_case_mix import Adjustment, adjust_for_case_mix, context_shares
from sqmodel.benchmark.assess_composite import build_composites, gather_parts
from sqmodel.benchmark.assess_field import (
    FEW_INDICATORS,
    FEW_INSTITUTIONS,
    FEW_RESPONDENTS,
    NO_CASE_MIX,
    Field,
    Floats,
)
from sqmodel.benchmark.assess_rules import Ruled, rule_effects, ruled, ruled_composites
from sqmodel.benchmark.comparison import HISTORY, STANDING
from sqmodel.benchmark.content import OVERALL, Submission
from sqmodel.benchmark.disclosure_totals import FEW
from sqmodel.benchmark.funnel import assess_funnel
from sqmodel.benchmark.ranking import RANKS, assess_ranks

Bools = npt.NDArray[np.bool_]
EARLIER_DRAWS = 500


@dataclass(frozen=True)
class Standing:
    """Who stands where.

    Attributes
    ----------
    table : DataFrame
        As `Benchmark.standing`.
    score, se : array, institutions
        What is pooled: adjusted composites of the ranked, or, where nobody is ranked, composites of the shown.
    used : array of bool, institutions
        Whose composites are pooled.
    ranked : array of bool, institutions
    terms : DataFrame
        As `Benchmark.case_mix`.
    """

    table: pd.DataFrame
    score: Floats
    se: Floats
    used: Bools
    ranked: Bools
    terms: pd.DataFrame


def assess_standing(field: Field, rng: np.random.Generator) -> Standing:
    """Where does every institution stand by its composite?

    Parameters
    ----------
    field : Field
    rng : Generator

    Notes
    -----
    What is ranked is the composite adjusted for case mix, after the profile's floors and deductions. Whether a rule
    holds is drawn along with the composite (`ruled_composites`), so that near a limit ranks are as uncertain as the
    rule. Pooling, shrinkage and the funnel look at the same figures. Fewer than the profile's `minimum_institutions`
    who could be ranked are not: of two, each would learn the other's place from its own.
    """
    of_rules, of_adjustment = rng.spawn(2)
    parts = gather_parts(field.submissions, field.profile, field.tree)
    composites = build_composites(parts, field.tree.root, field.profile.required)
    found = ruled_composites(parts, composites, field.profile, draws=field.draws, rng=of_rules)
    _tell_cut(field, composites.cut & np.isfinite(composites.score)[:, None])
    reason = np.where(field.enough, "", FEW_RESPONDENTS).astype("<U40")
    reason[(reason == "") & np.isnan(found.score)] = FEW_INDICATORS
    shown = reason == ""
    reason = np.where(shown & field.perceived(field.tree.root), field.doubts, reason)
    compared = reason == ""
    adjustment, adjusted, adjusted_se, errors = _adjusted(
        field, composites.score, composites.se, found, compared, of_adjustment
    )
    reason[compared & np.isnan(adjusted)] = NO_CASE_MIX
    if 0 < (reason == "").sum() < field.least:
        reason[reason == ""] = FEW_INSTITUTIONS
        field.withhold("standing", OVERALL, FEW)
        adjusted, adjusted_se = np.full_like(adjusted, np.nan), np.full_like(adjusted, np.nan)
    table = _table(field, found, shown, reason)
    _fill(table, field, adjusted, adjusted_se, errors)
    ranked = reason == ""
    crude = np.where(shown, found.score, np.nan), np.where(shown, found.se, np.nan)
    nobody = not ranked.any()
    score, se = crude if nobody else (adjusted, adjusted_se)
    return Standing(table, score, se, shown if nobody else ranked, ranked, adjustment.terms)


def _tell_cut(field: Field, cut: Bools) -> None:
    for k, code in enumerate(field.tree.indicators):
        if cut[:, k].any():
            field.notes.append(f"{code} is at or beyond a goalpost in {int(cut[:, k].sum())} institutions: its errors "
                               "there are rather too large")  # fmt: skip


def _table(field: Field, found: Ruled, shown: Bools, reason: npt.NDArray[np.str_]) -> pd.DataFrame:
    """Standing with the composites, and nothing of ranks yet."""
    table = pd.DataFrame(np.nan, index=range(len(shown)), columns=STANDING).astype(object)
    table["institution"], table["peers"], table["reason"] = field.codes, field.peers, reason
    table["n"] = field.n
    table["funnel"] = ""
    for name in ("score", "se", "low", "high", "cap", "deducted"):
        table[name] = np.where(shown, getattr(found, name), np.nan)
    text = ("institution", "peers", "reason", "funnel")
    return table.astype({c: str if c in text else float for c in STANDING}).astype({"n": int})


def _adjusted(
    field: Field, score: Floats, se: Floats, found: Ruled, compared: Bools, rng: np.random.Generator
) -> tuple[Adjustment, Floats, Floats, Floats]:
    """Adjusted composites after the rules, their errors, and draws of these (draws x institutions)."""
    at = np.flatnonzero(compared)
    context = context_shares([field.submissions[k] for k in at], field.profile.case_mix)
    adjustment = adjust_for_case_mix(score[at], se[at], context, field.profile.case_mix, level=field.level)
    field.notes.extend(adjustment.notes)
    drawn = adjustment.errors(found.errors[:, at], rng)
    values = {c: v[:, at] for c, v in found.drawn.items()}
    caps, points = rule_effects(values, field.profile, drawn.shape)
    estimate = ruled(adjustment.adjusted, found.cap[at], found.deducted[at])
    errors = np.full((len(drawn), len(compared)), np.nan)
    errors[:, at] = ruled(adjustment.adjusted + drawn, caps, points) - estimate
    touched = np.isfinite(caps).any(axis=0) | (points > 0).any(axis=0)
    own = adjustment.se.copy()
    own[touched] = np.fmax(own[touched], np.sqrt((errors[:, at[touched]] ** 2).mean(axis=0)))
    adjusted, adjusted_se = np.full(len(compared), np.nan), np.full(len(compared), np.nan)
    adjusted[at], adjusted_se[at] = estimate, np.where(np.isnan(estimate), np.nan, own)
    return adjustment, adjusted, adjusted_se, errors


def _fill(table: pd.DataFrame, field: Field, adjusted: Floats, se: Floats, errors: Floats) -> None:
    """Adjusted and shrunken scores, ranks and places in the funnel."""
    table["adjusted"], table["adjusted_se"] = adjusted, se
    at = np.flatnonzero(np.isfinite(adjusted))
    if not len(at):
        return
    ranks = assess_ranks(adjusted[at], errors[:, at], field.peers[at], level=field.level, least=field.least)
    table.loc[at, RANKS] = ranks.to_numpy()
    pooled = field.pooled(adjusted, se, np.isfinite(adjusted))
    if pooled is None:
        return
    shrunken = np.column_stack([pooled.shrunken, pooled.shrunken_low, pooled.shrunken_high])
    table.loc[at, ["shrunken", "shrunken_low", "shrunken_high"]] = shrunken
    table.loc[at, "funnel"] = assess_funnel("mean", adjusted[at], se[at], pooled.mean).place


def earlier_quarters(quarter: str) -> tuple[str, str]:
    """The same quarter a year before, and the quarter before.

    Examples
    --------
    >>> earlier_quarters("2026Q1")
    ('2025Q1', '2025Q4')
    """
    year, number = int(quarter[:4]), int(quarter[5:])
    return f"{year - 1}Q{number}", f"{year}Q{number - 1}" if number > 1 else f"{year - 1}Q4"


@dataclass(frozen=True)
class Past:
    """Composites of a quarter, by institution: the submission, score, se, low, high, and which indicators it has."""

    submissions: Mapping[str, Submission]
    table: pd.DataFrame
    present: Mapping[str, tuple[bool, ...]]


def assess_history(
    submissions: Sequence[Submission], field: Field, rng: np.random.Generator
) -> dict[str, Past]:  # fmt: skip
    """Composites after the rules of every quarter that was submitted, with the rules of today."""
    found = {}
    for quarter in sorted({s.quarter for s in submissions}):
        own = sorted((s for s in submissions if s.quarter == quarter), key=lambda s: s.institution)
        parts = gather_parts(own, field.profile, field.tree)
        composites = build_composites(parts, field.tree.root, field.profile.required)
        r = ruled_composites(parts, composites, field.profile, draws=EARLIER_DRAWS, rng=rng)
        shown = np.isfinite(r.score) & np.array([s.n >= field.profile.publication.minimum_n for s in own])
        table = pd.DataFrame({"institution": [s.institution for s in own], "quarter": quarter, "score": r.score,
                              "se": r.se, "low": r.low, "high": r.high})[HISTORY]  # fmt: skip
        present = {s.institution: tuple(p) for s, p in zip(own, ~np.isnan(parts.values), strict=True)}
        found[quarter] = Past({s.institution: s for s in own}, table[shown].reset_index(drop=True), present)
    return found


def fill_changes(table: pd.DataFrame, history: Mapping[str, Past], quarter: str, field: Field) -> str:
    """Write the changes against a year before, or against the quarter before, into the standing; which of them."""
    now = history[quarter]
    figures = ["score", "se", "low", "high"]
    # Draws differ from those of the standing: one quarter has one interval.
    now.table[figures] = table.set_index("institution").loc[now.table["institution"], figures].to_numpy()
    for before in earlier_quarters(quarter):
        if before not in history:
            continue
        then = history[before]
        old = then.table.set_index("institution")
        same = [c for c in table["institution"] if c in old.index and _alike(c, now, then)]
        at = table.index[table["institution"].isin(same) & table["score"].notna()]
        if not len(at):
            continue
        own = old.loc[table.loc[at, "institution"]]
        change = table.loc[at, "score"].to_numpy() - own["score"].to_numpy()
        reach = field.z * np.hypot(table.loc[at, "se"].to_numpy(), own["se"].to_numpy())
        table.loc[at, ["change", "change_low", "change_high"]] = np.column_stack(
            [change, change - reach, change + reach]
        )
        unlike = [c for c in table["institution"] if c in old.index and c not in same]
        if unlike:
            field.notes.append(f"changes are not told of {len(unlike)} institutions: their questionnaire or their "
                               f"indicators are not those of {before}")  # fmt: skip
        return before
    return ""


def _alike(code: str, now: Past, then: Past) -> bool:
    """The same questionnaire, the same indicators: only then a change is one of the service."""
    a, b = now.submissions[code], then.submissions[code]
    same = (a.instrument.digest, a.instrument.version) == (b.instrument.digest, b.instrument.version)
    return same and now.present[code] == then.present[code]
