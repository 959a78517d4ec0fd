"""The comparison gate of a benchmark: may institutions be compared by what their clients say?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from sqmodel.benchmark.comparison import Gate
from sqmodel.benchmark.content import Ordinal, Submission
from sqmodel.benchmark.pooling import LEFT_OUT, grouped, usable
from sqmodel.benchmark.pooling_bias import BIASED, aligned_bias, apart, decided, deviating, ladder_bias
from sqmodel.benchmark.pooling_ordinal import pool_ordinal
from sqmodel.benchmark.profile import GateRules, Profile
from sqmodel.errors import InputError, SqmodelError, SqmodelWarning
from sqmodel.measurement.alignment import ITEMS, align
from sqmodel.measurement.configural import Configural, fit_each
from sqmodel.measurement.confirmatory import parsed
from sqmodel.measurement.invariance import STEPS, Invariance, compare_groups
from sqmodel.measurement.moments import Moments

BY = "institution"
CHANCE = 0.01
"""Share of parameters up to which non-invariance counts as chance: single tests are at .001, after several looks."""
STARTS = 2
"""Searches of the alignment from different starts; with many institutions they end in the same place."""
NO_INTERVAL = "bias has no interval: items vary so much that the means by those that do not vary have no solution"


@dataclass
class _Evidence:
    """What was found out about institutions that can be looked at."""

    method: str
    verdict: str
    reason: str
    steps: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STEPS))
    items: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ITEMS))
    biased: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=BIASED))
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assess_gate(
    submissions: Sequence[Submission],
    structure: Mapping[str, Sequence[str]],
    profile: Profile,
    *,
    scales: Mapping[str, tuple[float, float]],
    ordinals: Iterable[tuple[str, Ordinal]] | None = None,
    level: float = 0.95,
) -> Gate:
    """May institutions be compared by what their clients say?

    Differences of scores are differences of service only where the items mean the same everywhere. Up to
    ``profile.gate.most_laddered`` institutions the ladder of models is fitted (`compare_groups`, with partial
    invariance); of more institutions, with which exact equality is refuted by trifles, approximate invariance is asked
    for (`align`). Both are maximum likelihood on means and covariances.

    Verdicts. ``comparable``: scalar invariance holds, or no more parameters vary than chance has it (1 %), and no
    institution's bias differs from zero. ``partial``: invariance holds after some items were released, at most the
    profile's share of the parameters varies, or the bias of some institutions differs from zero. ``doubtful``: the
    same, but bias is beyond the profile's limit on some institutions, or it cannot be decided whether it is; these are
    named. ``not comparable``: the model does not fit (the median CFI of the institutions, with the ladder that of the
    configural model, is below the profile's), or more varies than allowed. ``not assessed``: fewer than two
    institutions can be looked at.

    Bias is what an institution's item means differ from the mean of all beyond what its latent means, with the loadings
    common to all, imply: index points of 0-100 with equal weights of the dimensions and of the items of a dimension. It
    is estimated by alignment for any number of institutions, with an interval (`aligned_bias`), and judged by
    `decided`. Where the ladder is fitted, its own bias stands beside it, and a note tells where both differ by more
    than the interval. Where a dimension has fewer than three items, alignment is impossible and the ladder's bias,
    without an interval, is all there is.

    Parameters
    ----------
    submissions : sequence of Submission
        One of each institution, of one quarter.
    structure : mapping
        Items by dimension.
    profile : Profile
        Its `gate`.
    scales : mapping
        Least and largest answer of each item.
    ordinals : iterable of (institution, Ordinal), optional
        Taken one at a time and forgotten: see `pool_ordinal`.
    level : float
        Of intervals.

    Returns
    -------
    Gate

    Raises
    ------
    InputError
        Items without a scale, two submissions of an institution, or different questionnaires.
    """
    items = [i for own in structure.values() for i in own]
    missing = [i for i in items if i not in scales]
    if missing:
        raise InputError("gate", [f"expected a scale of {i}, found none" for i in missing])
    rules = profile.gate
    found = usable(submissions, items=items, minimum_n=rules.minimum_n)
    moments = grouped(found.submissions, items)
    evidence = _evidence(moments, structure, rules, scales, level)
    left_out = [*found.left_out.itertuples(index=False, name=None), *evidence.failed.items()]
    kept = [g for name, g in moments.groups.items() if name not in evidence.failed]
    pooled = None if ordinals is None else pool_ordinal(ordinals, structure, level=level)
    if pooled is not None:
        left_out += [(code, f"ordinal model: {reason}") for code, reason in pooled.failed.items()]
        evidence.notes += pooled.notes
    return Gate(
        len(kept), round(sum(g.n for g in kept)), evidence.method, evidence.verdict, evidence.reason, evidence.steps,
        evidence.items, evidence.biased, pd.DataFrame(left_out, columns=LEFT_OUT), tuple(evidence.notes),
        None if pooled is None else pooled.table,
    )  # fmt: skip


def _evidence(
    moments: Moments, structure: Mapping[str, Sequence[str]], rules: GateRules,
    scales: Mapping[str, tuple[float, float]], level: float,
) -> _Evidence:  # fmt: skip
    """By the ladder or by alignment, without those whose own model has no solution."""
    count = len(moments.groups)
    if count < 2:
        reason = f"fewer than two institutions with {rules.minimum_n} complete answers and the moments of all items"
        return _Evidence("none", "not assessed", reason)
    laddered = count <= rules.most_laddered
    if not laddered and (short := _short(structure)):
        return _Evidence("none", "not assessed", short)
    method = "ladder" if laddered else "alignment"
    try:
        with warnings.catch_warnings():
            # Doubts about single models are in the notes.
            warnings.simplefilter("ignore", SqmodelWarning)
            found = _laddered if laddered else _aligned
            return found(moments, structure, rules, scales, level)
    except SqmodelError as error:
        return _Evidence(method, "not assessed", str(error))


def _laddered(
    moments: Moments, structure: Mapping[str, Sequence[str]], rules: GateRules,
    scales: Mapping[str, tuple[float, float]], level: float,
) -> _Evidence:  # fmt: skip
    """Each institution's own model first, as one without a solution would stop all."""
    alone = fit_each(moments, parsed(moments, structure), list(moments.groups), {"estimator": "ML"})
    failed = {str(g): reason for g, reason in alone.failed.items()}
    kept = replace(moments, groups={g: moments.groups[g] for g in alone.groups})
    if len(kept.groups) < 2:
        reason = "the configural model has a solution in fewer than two institutions"
        return _Evidence("ladder", "not assessed", reason, failed=failed)
    found = compare_groups(kept, structure, by=BY, estimator="ML", level=level)
    cfi = float(alone.fits["cfi"].median())
    share = len(found.released) / (2 * len(kept.items)) if found.partial else float(not found.comparable)
    biased, notes = _both_ways(found, alone, kept, structure, scales, level)
    biased = decided(biased, rules.most_bias)
    verdict, reason = _verdict(cfi, share, biased, rules, _ladder_words(found, kept))
    if verdict == "comparable" and (found.partial or len(deviating(biased))):
        verdict = "partial"
    items = _released(found, structure) if found.partial else pd.DataFrame(columns=ITEMS)
    return _Evidence("ladder", verdict, reason, found.steps, items, biased, failed, [*found.notes, *notes])


def _both_ways(
    found: Invariance, alone: Configural, moments: Moments, structure: Mapping[str, Sequence[str]],
    scales: Mapping[str, tuple[float, float]], level: float,
) -> tuple[pd.DataFrame, list[str]]:  # fmt: skip
    """Bias by alignment with the ladder's beside it; the ladder's alone where alignment has no solution."""
    second = ladder_bias(found, structure, scales)
    if short := _short(structure):
        return second, [f"bias has no interval: {short}"]
    try:
        aligned = align(moments, structure, by=BY, estimator="ML", level=level, starts=STARTS)
        biased = aligned_bias(aligned, alone, moments, structure, scales, level)
    except SqmodelError as error:
        return second, [f"bias has no interval, as alignment has no solution: {' '.join(str(error).split())}"]
    biased["ladder"] = second["bias"]
    if biased["se"].isna().any():
        return biased, [NO_INTERVAL]
    odd = biased.loc[apart(biased), "institution"].tolist()
    if not odd:
        return biased, []
    return biased, [f"the ladder's bias differs from that of alignment by more than the interval on {_listed(odd)}"]


def _short(structure: Mapping[str, Sequence[str]]) -> str:
    """What keeps a questionnaire from being aligned, "" where nothing does."""
    few = [d for d, own in structure.items() if len(own) < 3]
    return f"alignment needs three items of a dimension, found fewer of {', '.join(few)}" if few else ""


def _aligned(
    moments: Moments, structure: Mapping[str, Sequence[str]], rules: GateRules,
    scales: Mapping[str, tuple[float, float]], level: float,
) -> _Evidence:  # fmt: skip
    found = align(moments, structure, by=BY, estimator="ML", level=level, starts=STARTS, failed="leave out")
    alone = fit_each(moments, parsed(moments, structure), found.settings["groups"], {"estimator": "ML"})
    biased = decided(aligned_bias(found, alone, moments, structure, scales, level), rules.most_bias)
    cfi, share = float(found.fits["cfi"].median()), found.noninvariant
    words = f"{share:.1%} of the loadings and intercepts of {len(biased)} institutions are not invariant"
    verdict, reason = _verdict(cfi, share, biased, rules, words)
    if verdict == "comparable" and (share > CHANCE or len(deviating(biased))):
        verdict = "partial"
    notes = [n for n in found.notes if not n.startswith("left out: ")] + [NO_INTERVAL] * bool(biased["se"].isna().any())
    return _Evidence("alignment", verdict, reason, items=found.items, biased=biased,
                     failed=dict(found.settings["left_out"]), notes=notes)  # fmt: skip


def _verdict(cfi: float, share: float, biased: pd.DataFrame, rules: GateRules, words: str) -> tuple[str, str]:
    if not cfi >= rules.reference_cfi:
        return "not comparable", (
            f"the structure does not fit: the median CFI of the institutions is {cfi:.3f}, "
            f"below {rules.reference_cfi:g}"
        )  # fmt: skip
    if share > rules.noninvariant:
        return "not comparable", f"{words}, more than the {rules.noninvariant:.0%} allowed"
    largest = biased.sort_values("bias", key=abs, ascending=False, kind="stable")
    beyond, open_ = (_listed(largest.loc[largest["finding"] == f, "institution"].tolist())
                     for f in ("beyond", "undecided"))  # fmt: skip
    limit, near = f"{rules.most_bias:g} points", int((biased["finding"] == "near").sum())
    told = [f"bias beyond {limit} lies on {beyond}"] if beyond else []
    told += [f"whether bias is beyond {limit} on {open_} cannot be decided"] if open_ else []
    # These are ranked, so that the reason does not name them: not everybody may know who was looked at.
    told += [f"bias may be beyond {limit} on {near} of them"] if near else []
    if beyond or open_:
        return "doubtful", "; ".join([words, *told])
    return "comparable", "; ".join([words, *(told or [f"bias lies within {limit} everywhere"])])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _ladder_words(found: Invariance, moments: Moments) -> str:
    count = len(moments.groups)
    if found.partial:
        released = ", ".join(found.released["lhs"])
        return f"scalar invariance of {count} institutions holds once the intercepts of {released} may differ"
    if found.comparable:
        return f"{found.level} invariance of {count} institutions holds"
    return f"scalar invariance of {count} institutions fails, also partially (what holds: {found.level})"


def _released(found: Invariance, structure: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Released intercepts in the columns of alignment; a value or a share of institutions they do not have."""
    home = {item: factor for factor, own in structure.items() for item in own}
    rows = [(home[i], i, "intercept", math.nan, math.nan, math.nan) for i in found.released["lhs"]]
    return pd.DataFrame(rows, columns=ITEMS)
