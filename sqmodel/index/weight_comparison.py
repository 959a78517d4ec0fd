"""Weights side by side: what each way of weighting makes of the index, and of the ranking of groups and quarters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError, InputError
from sqmodel.index.judgements import JudgedWeights, judge_weights
from sqmodel.index.weight_resamples import FIXED, JUDGED, Resampled
from sqmodel.index.weighting import Method, Weights, derive_weights
from sqmodel.measurement.measure import Measure
from sqmodel.operations.records import Records
from sqmodel.result import Result

METHODS: tuple[str, ...] = (*get_args(Method), JUDGED)
INTERVAL = "bootstrap standard error, Student's t; scores on the logit"


@dataclass(frozen=True, repr=False)
class WeightComparison(Result):
    """An index under several weightings, all derived anew in the same resamples of respondents.

    Attributes
    ----------
    n : int
        Respondents of the quarter.
    quarter : str
    reference : str
        Method that the others are compared with.
    methods : DataFrame, one row a method
        applied, n, interval_method, fixed (weights that resampling does not move), doubts (their number), reason (why
        it was not applied).
    weights : DataFrame
        method, dimension, weight, low, high.
    doubts : DataFrame
        method, dimension, doubt.
    index : DataFrame, one row a method
        estimate, low, high; difference from the reference with difference_low, difference_high.
    groups : DataFrame
        scope (the group variable or ``quarter``), value, method, n, estimate, low, high, difference,
        difference_low, difference_high, rank, rank_low, rank_high (marginal rank set), shift (rank less that under the
        reference: above 0 has fallen).
    rankings : DataFrame
        scope, method, tau (Kendall's tau-b with the ranking under the reference) with tau_low, tau_high (quantiles
        of the resamples), mean_shift and largest_shift (absolute).
    left_out : DataFrame
        scope, value, reason: groups and quarters that are too small to show.
    """

    n: int
    quarter: str
    reference: str
    methods: pd.DataFrame
    weights: pd.DataFrame
    doubts: pd.DataFrame
    index: pd.DataFrame
    groups: pd.DataFrame
    rankings: pd.DataFrame
    left_out: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        applied = self.index["estimate"]
        shift = self.rankings["largest_shift"].max() if len(self.rankings) else np.nan
        moved = "" if np.isnan(shift) else f"; largest shift of a rank {shift:.0f}"
        return (f"{self.quarter}: {len(applied)} of {len(self.methods)} methods, n={self.n}, index "
                f"{applied.min():.1f} to {applied.max():.1f}{moved}")  # fmt: skip


def compare_weights(
    measure: Measure,
    *,
    methods: Sequence[str] | None = None,
    given: Mapping[str, float] | None = None,
    judgements: Records | pd.DataFrame | JudgedWeights | None = None,
    by: str = "",
    reference: str = "",
    minimum_n: int = 10,
    accept: str = "",
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> WeightComparison:
    """Does it matter how the dimensions are weighted?

    Parameters
    ----------
    measure : Measure
    methods : sequence of str, optional
        Those of `derive_weights`, and ``judged``. By default all; those that do not apply are listed with the reason.
    given : mapping, optional
        Dimension to weight, for ``given``.
    judgements : Records, DataFrame or JudgedWeights, optional
        Comparisons of the dimensions in pairs, in one branch, for ``judged``.
    by : str
        Group variable whose groups are ranked; quarters are ranked where there are several.
    reference : str
        Method to compare with; the first one by default.
    minimum_n : int
        Groups and quarters with fewer respondents are left out, and so is what would give them by subtraction.
    accept : str
        Reason for scoring a measure that failed.
    level, draws, rng
        Of the bootstrap over respondents, in which weights are derived anew; a respondent of two quarters is drawn
        with both answers. Equal, given and judged weights stay as they are.

    Returns
    -------
    WeightComparison

    Raises
    ------
    InputError
        Unknown methods or group variable, groups that may not be compared; a method that was asked for by name and
        cannot be applied. All in one message.
    UnfitMeasureError
        The measure failed and `accept` is empty.
    """
    measure.require(accept)
    seed = int(rng.integers(2**31)) if isinstance(rng, np.random.Generator) else rng
    chosen = list(dict.fromkeys(methods)) if methods is not None else list(METHODS)
    _check(measure, chosen, by, reference)
    options = {"level": level, "draws": draws, "rng": seed}
    found, reasons = _weightings(measure, chosen, given, judgements, options)
    if reasons and methods is not None:
        raise InputError("weights", list(reasons.values()), "leave out the methods, or give what they need")
    first = reference or next(iter(found))
    if first not in found:
        raise InputError("weights", [f"reference: expected a method that applies, found {first!r}: {reasons[first]}"])
    resampled = Resampled(measure, found, by, minimum_n, draws, seed)
    groups, rankings = resampled.groups(first, level)
    return WeightComparison(
        n=len(measure.current), quarter=measure.quarter, reference=first,
        methods=_methods(chosen, found, reasons), weights=_long(found, "table").rename_axis(None),
        doubts=_long(found, "doubts"), index=resampled.index(first, level), groups=groups, rankings=rankings,
        left_out=resampled.left_out,
        settings={"by": by, "minimum_n": minimum_n, "level": level, "draws": draws, "interval": INTERVAL,
                  "accepted": accept.strip() if measure.verdict == "reject" else ""},
    )  # fmt: skip


def _check(measure: Measure, chosen: list[str], by: str, reference: str) -> None:
    problems = [f"methods: expected one of {', '.join(METHODS)}, found {m!r}" for m in chosen if m not in METHODS]
    if not chosen:
        problems.append("methods: expected at least one, found none")
    if reference and reference not in chosen:
        problems.append(f"reference: expected one of {', '.join(chosen)}, found {reference!r}")
    known = measure.current.group_codes
    if by and by not in known:
        problems.append(f"by: expected a group variable of the answers ({', '.join(known) or 'none'}), found {by!r}")
    elif by and measure.comparability is not None and measure.comparability.status(by) == "not comparable":
        problems.append(f"by: expected groups that may be compared, found that those of {by!r} may not")
    if problems:
        raise InputError("weights", problems)


def _weightings(
    measure: Measure,
    chosen: list[str],
    given: Mapping[str, float] | None,
    judgements: Records | pd.DataFrame | JudgedWeights | None,
    options: dict[str, Any],
) -> tuple[dict[str, Weights], dict[str, str]]:
    """Weights of every method that applies, and why the others do not."""
    found, reasons = {}, {}
    for name in chosen:
        if name == "given" and given is None:
            reasons[name] = "weighting by given: expected weights, found none; pass `given`"
        elif name == JUDGED and judgements is None:
            reasons[name] = "weighting by judged: expected comparisons, found none; pass `judgements`"
        elif name == JUDGED and judgements is not None:
            found[name] = _judged(measure, judgements, options["level"])
        else:
            try:
                found[name] = derive_weights(measure, method=cast(Method, name), given=given, **options)
            except ComputationError as error:
                reasons[name] = str(error)
    return found, reasons


def _judged(measure: Measure, judgements: Records | pd.DataFrame | JudgedWeights, level: float) -> Weights:
    judged = judgements if isinstance(judgements, JudgedWeights) else judge_weights(judgements, level=level)
    codes, own = measure.instrument.dimension_codes, judged.weights
    branches, elements = own["branch"].unique(), set(own["element"])
    problems = []
    if len(branches) != 1:
        problems.append(f"expected comparisons in one branch, found {', '.join(map(str, branches))}")
    problems += [f"expected comparisons of dimension {c!r}, found none" for c in codes if c not in elements]
    problems += [f"expected a dimension among {', '.join(codes)}, found {e!r}" for e in sorted(elements - set(codes))]
    if problems:
        raise InputError("judgements", problems, "compare the dimensions with one another, and nothing else")
    table = own.set_index("element").loc[codes, ["weight", "low", "high"]].rename_axis("dimension")
    return Weights(JUDGED, judged.n, table, judged.settings["interval"], dict(judged.settings))


def _methods(chosen: list[str], found: dict[str, Weights], reasons: dict[str, str]) -> pd.DataFrame:
    rows = [
        (m in found, found[m].n if m in found else 0, found[m].interval_method if m in found else "", m in FIXED,
         len(found[m].doubts) if m in found else 0, reasons.get(m, ""))
        for m in chosen
    ]  # fmt: skip
    columns = ["applied", "n", "interval_method", "fixed", "doubts", "reason"]
    return pd.DataFrame(rows, index=pd.Index(chosen, name="method"), columns=columns)


def _long(found: dict[str, Weights], name: str) -> pd.DataFrame:
    """A table of every method, one under the other."""
    tables = []
    for method, weights in found.items():
        table: pd.DataFrame = getattr(weights, name)
        table = table.reset_index() if table.index.name else table
        tables.append(table.assign(method=method)[["method", *table.columns]])
    return pd.concat(tables, ignore_index=True)
