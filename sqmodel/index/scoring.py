"""The index: 0-100 with an interval, by dimension, group and quarter, and its change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError
from sqmodel.index.columns import Columns, Part, difference, quarter_pattern, weighted_sum
from sqmodel.index.groups import score_groups
from sqmodel.index.weighting import Weights, allocation_parts, derive_weights, fixed_parts
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.resampling import Bootstrap
from sqmodel.result import Estimate, Result
from sqmodel.survey.responses import Responses

OVERALL = "overall"


@dataclass(frozen=True, repr=False)
class Index(Result):
    """Service quality on 0-100, never without its interval.

    Attributes
    ----------
    n : int
        Respondents of the quarter.
    quarter, previous_quarter : str
        The quarter, and the latest earlier one in the data (empty if none).
    overall : Estimate
    change : Estimate or None
        Overall minus that of the previous quarter, at this quarter's weights.
    since_first : Estimate or None
        Overall minus that of the first quarter that is large enough.
    dimensions : DataFrame, one row a dimension
        weight, n, estimate, se, low, high, previous, change with change_low, change_high, and versus_others (the
        dimension minus the mean of the others) with versus_low, versus_high; the bounds of changes and of contrasts
        hold for all dimensions together.
    trend : DataFrame
        quarter, scope (``overall`` or a dimension), n, estimate, se, low, high; NaN where a quarter has too few.
    groups : DataFrame
        group, value, n, suppressed (empty, ``too few`` or ``secondary``), estimate, se, low, high; difference (from
        all other respondents) with difference_se (the larger of Welch's and the pooled error) and bounds
        difference_low, difference_high that hold for all groups together; comparison (``comparable``, ``flagged``,
        ``withheld`` or ``not assessed``: the measure's comparison gate) and bias; and one column a dimension. A
        suppressed row holds no figure.
    weights : Weights
    unscreened : Estimate or None
        Overall with the careless answers left in; None where there were none or too few to show.
    excluded : int
        Answers of the quarter left out by screening.
    accepted : str
        Why an index of a measure that failed is shown all the same; empty otherwise.
    """

    n: int
    quarter: str
    previous_quarter: str
    overall: Estimate
    change: Estimate | None
    since_first: Estimate | None
    dimensions: pd.DataFrame
    trend: pd.DataFrame
    groups: pd.DataFrame
    weights: Weights
    unscreened: Estimate | None
    excluded: int
    accepted: str
    settings: dict[str, Any]

    def _headline(self) -> str:
        o = self.overall
        change = "" if self.change is None else f", change {self.change.value:+.1f}"
        if self.change is not None:
            change += f" [{self.change.low:+.1f}, {self.change.high:+.1f}]"
        return f"{self.quarter}: {o.value:.1f} [{o.low:.1f}, {o.high:.1f}], n={self.n}{change}"

    def dimension(self, code: str) -> Estimate:
        """Score of one dimension."""
        row: Any = self.dimensions.loc[code]
        value, low, high, se, n = (float(row[c]) for c in ("estimate", "low", "high", "se", "n"))
        return Estimate(value, low, high, se, int(n), self.overall.level, self.overall.method)


def build_index(
    measure: Measure,
    *,
    weights: Weights | None = None,
    unscreened: Responses | None = None,
    minimum_n: int = 10,
    strata: str | None = None,
    accept: str = "",
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Index:
    """Score a measure.

    Parameters
    ----------
    measure : Measure
    weights : Weights, optional
        Equal by default. With weights by allocation the interval of the overall index counts their sampling error
        too (they are derived again in every draw); others, and the groups' and earlier quarters' weights, are fixed.
    unscreened : Responses, optional
        The answers before screening, to show the index with and without exclusions.
    minimum_n : int
        Groups and quarters with fewer respondents are suppressed, and so is what would give them by subtraction.
    strata : str, optional
        A group variable within which respondents are resampled (the sampling design).
    accept : str
        Reason for scoring a measure that failed.
    level, draws, rng
        Of the studentised bootstrap over respondents; a respondent of two quarters is drawn with both answers.

    Returns
    -------
    Index

    Raises
    ------
    UnfitMeasureError
        The measure failed and `accept` is empty.
    ComputationError
        Fewer than `minimum_n` respondents in the quarter, on a dimension, or to an item.
    """
    measure.require(accept)
    generator = np.random.default_rng(rng)
    chosen = weights or derive_weights(measure)
    current = measure.current
    _check_sizes(measure, minimum_n)
    earlier = [q for q in measure.responses.quarters if q < measure.quarter and _scored(measure, q) >= minimum_n]
    previous, first = (earlier[-1], earlier[0]) if earlier else ("", "")
    options = {"level": level, "draws": draws, "rng": generator}
    result = _compare(measure, chosen, previous, strata, options)
    overall = _estimate(result.all, 0, len(current), clip=True)
    settings = {"weights": chosen.method, "minimum_n": minimum_n, "strata": strata or "", "level": level,
                "draws": draws, "missing": "mean of answered items, at least half of a dimension",
                "effective_n": current.effective_n}  # fmt: skip
    return Index(
        n=len(current),
        quarter=measure.quarter,
        previous_quarter=previous,
        overall=overall,
        change=_estimate(result.all, result.change, len(current)) if previous else None,
        since_first=_since(measure, chosen, first, strata, options) if first else None,
        dimensions=_dimension_table(measure, chosen, result),
        trend=_trend(measure, chosen, minimum_n, options, overall, result),
        groups=score_groups(measure, chosen, minimum_n, options),
        weights=chosen,
        unscreened=_unscreened(measure, unscreened, chosen, minimum_n, options),
        excluded=0 if unscreened is None else _of(unscreened, measure.quarter) - len(current),
        accepted=accept.strip() if measure.verdict == "reject" else "",
        settings=settings,
    )


@dataclass(frozen=True)
class _Comparison:
    """Positions of the statistics of the joint bootstrap of two quarters."""

    all: Bootstrap
    dimensions: int
    versus: int
    change: int
    codes: list[str]
    n: dict[str, int]


def _check_sizes(measure: Measure, minimum_n: int) -> None:
    """Nothing rests on fewer than `minimum_n` respondents: not the quarter, nor a dimension, nor an item."""
    current = measure.current
    name = f"{measure.instrument.name} {measure.quarter}".strip()
    if len(current) < minimum_n:
        raise ComputationError(
            f"{name}: expected at least {minimum_n} respondents (minimum_n), found {len(current)}; "
            "collect more answers before publishing"
        )
    items = list(measure.items)
    for what, answered, remedy in (
        ("dimension", current.dimension_scores(items).notna().sum(), "collect more answers before publishing"),
        ("item", current.items[items].notna().sum(), "collect more answers, or name the items in drop_items"),
    ):
        few = [f"{code} ({n})" for code, n in answered.items() if n < minimum_n]
        if few:
            raise ComputationError(
                f"{name}: expected at least {minimum_n} answers (minimum_n) to every {what}, found fewer for "
                f"{', '.join(few)}; {remedy}"
            )


def _scored(measure: Measure, quarter: str) -> int:
    """Respondents of a quarter who can be scored, on the dimension where they are fewest."""
    return int(measure.responses.of(quarter).dimension_scores(list(measure.items)).notna().sum().min())


def _of(responses: Responses, quarter: str) -> int:
    return len(responses.of(quarter)) if quarter else len(responses)


def _compare(
    measure: Measure, weights: Weights, previous: str, strata: str | None, options: dict[str, Any]
) -> _Comparison:
    """Joint bootstrap of this and the previous quarter: levels, contrasts between dimensions, changes."""
    responses, now = measure.responses, in_quarter(measure.responses, measure.quarter)
    both = now | in_quarter(responses, previous) if previous else now
    part = responses.keep(both)
    quarters = part.frame["quarter"].astype(str) if "quarter" in part.frame else None
    book = Columns(part.sample_weight, part.calibration, quarters)
    now = now[both]
    scores = part.dimension_scores(list(measure.items))
    codes = list(scores.columns)
    means = [book.mean(scores[c].where(now)) for c in codes]
    shares = weight_parts(book, part, now, weights)
    parts = [weighted_sum(shares, means), *means, *_versus_others(means)]
    if previous:
        before = [book.mean(scores[c].where(~now)) for c in codes]
        parts.append(difference(parts[0], weighted_sum(shares, before)))
        parts += [difference(m, b) for m, b in zip(means, before, strict=True)]
    result = book.bootstrap(parts, units=part.frame["respondent"], strata=respondent_strata(part, strata), **options)
    d = len(codes)
    n = {c: int(scores.loc[now, c].notna().sum()) for c in codes}
    return _Comparison(result, 1, 1 + d, 1 + 2 * d, codes, n)


def _since(measure: Measure, weights: Weights, quarter: str, strata: str | None, options: dict[str, Any]) -> Estimate:
    result = _compare(measure, weights, quarter, strata, options)
    return _estimate(result.all, result.change, len(measure.current))


def in_quarter(responses: Responses, quarter: str) -> npt.NDArray[np.bool_]:
    """Which answers are of a quarter; all of them where none is named."""
    if not quarter:
        return np.ones(len(responses), bool)
    return (responses.frame["quarter"] == quarter).to_numpy(bool)


def weight_parts(book: Columns, part: Responses, now: npt.NDArray[np.bool_], weights: Weights) -> list[Part]:
    """Weights as functions of totals: by allocation from the answers of `now`, others as constants."""
    if weights.method != "allocation":
        return fixed_parts(weights)
    masked = part.frame.copy()
    prefix = part.instrument.allocation.prefix if part.instrument.allocation else ""
    columns = [prefix + c for c in part.instrument.dimension_codes]
    masked.loc[~now, columns] = np.nan
    return allocation_parts(book, Responses(part.instrument, masked))


def _versus_others(means: list[Part]) -> list[Part]:
    def versus(j: int) -> Part:
        others = len(means) - 1
        return lambda t: means[j](t) - sum(m(t) for i, m in enumerate(means) if i != j) / max(others, 1)

    return [versus(j) for j in range(len(means))]


def respondent_strata(part: Responses, strata: str | None) -> npt.NDArray[np.object_]:
    """Quarters each respondent answered in, and the stratum of the sampling design."""
    pattern = quarter_pattern(part.frame).astype(str).astype(object)
    if strata is None:
        return pattern
    if strata not in part.frame:
        raise ComputationError(f"strata: expected one of {', '.join(part.group_codes)}, found {strata!r}")
    first = part.frame[strata].astype(str).groupby(part.frame["respondent"]).transform("first")
    return np.asarray(pattern + "/" + first.to_numpy(object))


def _estimate(result: Bootstrap, j: int, n: int, clip: bool = False) -> Estimate:
    low, high = float(result.low[j]), float(result.high[j])
    if clip:
        low, high = max(low, 0.0), min(high, 100.0)
    return Estimate(float(result.estimate[j]), low, high, float(result.se[j]), n, result.level, result.method_of(j))


def _dimension_table(measure: Measure, weights: Weights, result: _Comparison) -> pd.DataFrame:
    b, d = result.all, len(result.codes)
    own = slice(1, 1 + d)
    table = pd.DataFrame(
        {
            "weight": weights.table["weight"].to_numpy(),
            "n": [result.n[c] for c in result.codes],
            "estimate": b.estimate[own],
            "se": b.se[own],
            "low": np.maximum(b.low[own], 0),
            "high": np.minimum(b.high[own], 100),
        },
        index=pd.Index(result.codes, name="dimension"),
    )
    table["previous"] = table["change"] = table["change_low"] = table["change_high"] = np.nan
    if len(b.estimate) > result.change:
        table["change"], table["change_low"], table["change_high"] = _together(b, result.change + 1, d)
        table["previous"] = table["estimate"] - table["change"]
    names = ["versus_others", "versus_low", "versus_high"]
    table[names] = np.column_stack(_together(b, result.versus, d)) if d > 1 else np.nan
    return table


def _together(b: Bootstrap, start: int, count: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Estimates and simultaneous bounds of `count` statistics from position `start` on."""
    family = np.zeros(len(b.estimate), bool)
    family[start : start + count] = True
    low, high = b.simultaneous(family)
    return b.estimate[family], low[family], high[family]


def _levels(
    measure: Measure, responses: Responses, weights: Weights, options: dict[str, Any]
) -> tuple[Bootstrap, list[str]]:
    """Overall and dimensions of some respondents, at fixed weights."""
    book = Columns(responses.sample_weight, responses.calibration)
    scores = responses.dimension_scores(list(measure.items))
    means = [book.mean(scores[c]) for c in scores.columns]
    parts = [weighted_sum(fixed_parts(weights), means), *means]
    return book.bootstrap(parts, units=responses.frame["respondent"], **options), [OVERALL, *scores.columns]


def _trend(
    measure: Measure, weights: Weights, minimum_n: int, options: dict[str, Any], now: Estimate, result: _Comparison
) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for quarter in measure.responses.quarters:
        if quarter > measure.quarter:
            continue
        part = measure.responses.of(quarter)
        if quarter == measure.quarter:
            b, names = result.all, [OVERALL, *result.codes]
        elif _scored(measure, quarter) >= minimum_n:
            b, names = _levels(measure, part, weights, options)
        else:
            nothing = (math.nan,) * 5
            rows += [(quarter, scope, *nothing) for scope in (OVERALL, *result.codes)]
            continue
        for j, scope in enumerate(names):
            bounds = (max(float(b.low[j]), 0.0), min(float(b.high[j]), 100.0))
            rows.append((quarter, scope, len(part), float(b.estimate[j]), float(b.se[j]), *bounds))
    if not rows:
        rows.append(("", OVERALL, now.n, now.value, now.se, now.low, now.high))
    return pd.DataFrame(rows, columns=["quarter", "scope", "n", "estimate", "se", "low", "high"])


def _unscreened(
    measure: Measure, unscreened: Responses | None, weights: Weights, minimum_n: int, options: dict[str, Any]
) -> Estimate | None:
    """The index with exclusions left in; withheld where the difference would tell of too few respondents."""
    if unscreened is None:
        return None
    everyone = unscreened.of(measure.quarter) if measure.quarter else unscreened
    if len(everyone) - len(measure.current) < minimum_n:
        return None
    b, _ = _levels(measure, everyone, weights, options)
    return _estimate(b, 0, len(everyone), clip=True)
