"""Submission: what an institution's own results become before anything is withheld and sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.content import (
    OVERALL,
    Context,
    Identity,
    Indicator,
    ItemCounts,
    ItemMoments,
    Ordinal,
    Score,
    Submission,
    Waiting,
)
from sqmodel.benchmark.disclosure import mergers
from sqmodel.benchmark.profile import DisclosureRules
from sqmodel.benchmark.sufficient import ordinal_of
from sqmodel.errors import InputError
from sqmodel.index.columns import Columns
from sqmodel.index.scoring import Index, respondent_strata
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.resampling import merge_small_strata
from sqmodel.operations.standards import ServiceStandard
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses

Floats = npt.NDArray[np.float64]


def make_submission(
    measure: Measure,
    index: Index,
    *,
    institution: str,
    quarter: str,
    revision: int = 0,
    standard: ServiceStandard | None = None,
    indicators: Sequence[Indicator] = (),
    waiting: Sequence[Waiting] = (),
    context: Sequence[str] | None = None,
    ordinal: bool = False,
    rules: DisclosureRules | None = None,
    simulated: bool = False,
) -> Submission:
    """What would this institution send for the quarter, if nothing had to be withheld?

    Counts and moments are those of the respondents who answered all retained items, unweighted, each answer turned so
    that more is better; scores are those of all scored respondents, by the weights that the institution calibrates.

    Parameters
    ----------
    measure, index : Measure and Index
        Of the quarter; the index has the reason why a measure that failed is scored.
    institution : str
        Its code in the association's register.
    quarter : str
    revision : int
    standard : ServiceStandard, optional
        That the indicators of the standard are about.
    indicators, waiting : sequences
        See `sqmodel.benchmark.done`.
    context : sequence of str, optional
        Grouping variables whose shares are sent; all of the answers by default.
    ordinal : bool
        Whether thresholds and polychoric correlations are sent.
    rules : DisclosureRules, optional
        By which rare categories are merged before these are computed.
    simulated : bool

    Returns
    -------
    Submission

    Raises
    ------
    UnfitMeasureError
        The measure failed, and the index has no reason to be shown all the same.
    InputError
        Measure, index and quarter do not belong together, or a grouping variable that the answers do not have.

    Notes
    -----
    The covariance of the dimensions' scores is the linearised one of `build_index` (n/(n-1), residuals on the margins
    of raked answers) within the quarter; complete and unweighted answers give cov / (n - 1) with the divisor n in cov.
    """
    measure.require(index.accepted)
    current = measure.current
    _check(measure, index, quarter, context, current)
    counts, moments, complete = _items(current, list(measure.items))
    scores, cov = _scores(measure, index)
    return Submission(
        institution=institution, quarter=quarter, revision=revision, instrument=identity_of(measure.instrument),
        standard=None if standard is None else identity_of(standard), simulated=simulated, n=len(current),
        counts=counts, moments=moments, scores=scores, score_cov=cov, indicators=tuple(indicators),
        waiting=tuple(waiting), context=tuple(_context(current, context, rules or DisclosureRules())),
        ordinal=_ordinal(complete, counts, rules or DisclosureRules()) if ordinal else None,
    )  # fmt: skip


def identity_of(definition: Instrument | ServiceStandard) -> Identity:
    """Name, version and digest of a definition."""
    return Identity(definition.name, definition.version, definition.digest)


def _check(measure: Measure, index: Index, quarter: str, context: Sequence[str] | None, current: Responses) -> None:
    problems = []
    for what, found in (("measure", measure.quarter), ("index", index.quarter)):
        if found != quarter:
            problems.append(f"{what}: expected that of {quarter}, found {found or 'none'}")
    if index.n != len(current):
        problems.append(f"index: expected that of the measure's {len(current)} respondents, found {index.n}")
    known = ", ".join(current.group_codes) or "none"
    problems += [
        f"context: expected a grouping variable of the answers ({known}), found {c!r}"
        for c in context or ()
        if c not in current.group_codes
    ]
    if problems:
        raise InputError("submission", problems)


def _items(current: Responses, items: list[str]) -> tuple[tuple[ItemCounts, ...], ItemMoments | None, Floats]:
    """Counts and moments of the complete answers; none where so few are complete that no model could be fitted."""
    ratings = current.items[items].to_numpy(float)
    complete = ratings[~np.isnan(ratings).any(axis=1)]
    n = len(complete)
    if n <= len(items):
        return (), None, complete
    mean = complete.mean(axis=0)
    centred = complete - mean
    cov = centred.T @ centred / n
    if np.linalg.eigvalsh(cov)[0] <= 1e-9:
        return (), None, complete
    return tuple(_counts(current.instrument, items, complete)), ItemMoments(tuple(items), n, mean, cov), complete


def _counts(instrument: Instrument, items: list[str], complete: Floats) -> Iterator[ItemCounts]:
    for code, column in zip(items, complete.T, strict=True):
        scale = instrument.scale_of(code)
        found = np.bincount(column.astype(int) - scale.minimum, minlength=scale.width + 1)
        yield ItemCounts(code, tuple(range(scale.minimum, scale.maximum + 1)), tuple(found.tolist()))


def _ordinal(complete: Floats, counts: Sequence[ItemCounts], rules: DisclosureRules) -> Ordinal | None:
    """Thresholds and polychorics of merged categories; an item with too few answers for two of them is left out."""
    items, columns = [], []
    for own, column in zip(counts, complete.T, strict=False):
        groups = mergers([c or 0 for c in own.counts], rules)
        if len(groups) > 1:
            group = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
            items.append(own.item)
            columns.append(group[column.astype(int) - own.categories[0]])
    return ordinal_of(np.column_stack(columns), tuple(items)) if len(items) > 1 else None


def _scores(measure: Measure, index: Index) -> tuple[tuple[Score, ...], Floats]:
    """Overall as the index has it, the dimensions with the covariance of their estimates."""
    cov = dimension_covariance(measure, index.settings["strata"] or None)
    o, table = index.overall, index.dimensions
    scores = [Score(OVERALL, o.n, o.value, o.se)]
    for code, n, estimate, se in zip(
        table.index, table["n"], table["estimate"], np.sqrt(np.diag(cov)).tolist(), strict=True
    ):
        scores.append(Score(str(code), int(n), float(estimate), se))
    return tuple(scores), cov


def dimension_covariance(measure: Measure, strata: str | None = None) -> Floats:
    """Linearised covariance of the dimensions' scores of the quarter, dimensions x dimensions.

    Parameters
    ----------
    measure : Measure
    strata : str, optional
        Group variable of the sampling design.
    """
    current = measure.current
    book = Columns(current.sample_weight, current.calibration)
    scores = current.dimension_scores(list(measure.items))
    means = [book.mean(scores[c]) for c in scores.columns]
    units = current.frame["respondent"]
    design = respondent_strata(current, strata)
    # Only what each respondent adds is wanted of it: draws would add nothing.
    found = book.bootstrap(means, units=units, strata=design, rng=0, draws=2, level=0.95, studentise=False)
    influence = found.influence
    whose = pd.Series(design).groupby(units.to_numpy(), sort=True).first() if len(influence) < len(current) else design
    codes = merge_small_strata(np.asarray(whose), len(influence))
    cov = np.zeros((influence.shape[1],) * 2)
    for h in range(int(codes.max()) + 1):
        own = influence[codes == h]
        cov += len(own) / max(len(own) - 1, 1) * own.T @ own
    return cov


def _context(current: Responses, wanted: Sequence[str] | None, rules: DisclosureRules) -> Iterator[Context]:
    """Shares of the values that the questionnaire names; what is free text is nobody else's business.

    Of all scored respondents: without weights a share is a count, on which disclosure control decides. Weighted shares
    hide how small a group is, so that of weighted answers no variable with a small group is sent.
    """
    weight, n = current.sample_weight, len(current)
    weighted = not np.allclose(weight, weight[0]) if n else False
    for code in current.group_codes if wanted is None else wanted:
        values: Any = current.frame[code]
        own = {v: (values == v).to_numpy(bool) for v in current.instrument.group(code).values}
        counts = [int(at.sum()) for at in own.values()]
        small = any(0 < c < rules.minimum_cell for c in (*counts, n - sum(counts)))
        for value, at in own.items() if sum(counts) and not (weighted and small) else ():
            yield Context(code, value, float(weight[at].sum() / weight.sum()))
