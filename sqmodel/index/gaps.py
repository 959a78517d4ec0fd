"""Expectation against performance: SERVPERF, gap and weighted gap, and which of them predicts satisfaction best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.index.columns import Columns, Part
from sqmodel.index.weighting import overall_satisfaction
from sqmodel.measurement.inputs import as_ratings
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.reliability import cronbach_alpha
from sqmodel.result import Result
from sqmodel.survey.responses import Responses, to_percent

Array = npt.NDArray[np.float64]

SCORES = ("servperf", "gap", "weighted_gap")


@dataclass(frozen=True, repr=False)
class Gaps(Result):
    """What clients expect, what they get, and the distance, on 0-100.

    Attributes
    ----------
    n : int
    items, dimensions : DataFrame
        performance, expectation, gap (performance minus expectation; negative: below what is expected), each with
        its bounds (``_low``, ``_high``). Expectation and gap are NaN where the questionnaire did not ask.
    difference_reliability : DataFrame, one row a dimension
        alpha_performance, alpha_expectation, correlation, reliability of the difference score (a difference of two
        related scores is less reliable than either).
    prediction : DataFrame, one row a score
        r, r_squared with bounds, n: how well SERVPERF (performance), gap and weighted gap scores predict overall
        satisfaction, on the same respondents.
    notes : tuple of str
    """

    n: int
    items: pd.DataFrame
    dimensions: pd.DataFrame
    difference_reliability: pd.DataFrame
    prediction: pd.DataFrame
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        if self.dimensions["gap"].isna().all():
            return f"n={self.n}: performance only, no expectations asked"
        worst = str(self.dimensions["gap"].idxmin())
        row = self.dimensions.loc[worst]
        return f"n={self.n}: widest {worst} {row['gap']:.1f} [{row['gap_low']:.1f}, {row['gap_high']:.1f}]"

    @property
    def asked(self) -> bool:
        """Whether there are expectations at all."""
        return not bool(self.items["expectation"].isna().all())


def assess_gaps(
    measure: Measure,
    *,
    minimum_n: int = 10,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Gaps:
    """How far is performance from expectation, and is the gap worth computing?

    Parameters
    ----------
    measure : Measure
        Its current quarter is used.
    minimum_n : int
        What fewer respondents answered is blank.
    level, draws, rng
        Of the studentised bootstrap over respondents. The bounds of the dimensions' gaps hold for all of them
        together.

    Returns
    -------
    Gaps

    Notes
    -----
    Reliability of a difference: (sx^2 rxx + sy^2 ryy - 2 rxy sx sy) / (sx^2 + sy^2 - 2 rxy sx sy), from alphas and
    the correlation of the dimension scores (Lord 1963); the critique is Brown, Churchill and Peter (1993). r is
    bootstrapped on Fisher's z.
    """
    generator = np.random.default_rng(rng)
    options = {"level": level, "draws": draws, "rng": generator}
    current = measure.current
    codes = list(measure.items)
    performed = to_percent(current.instrument, current.items[codes])
    expected = to_percent(current.instrument, current.expectations[codes]) if current.has_expectations else None
    scores = current.dimension_scores(codes)
    wished = None if expected is None else current.expectation_scores(codes)
    notes = () if current.has_expectations else ("expectations were not asked: no gaps",)
    blocks = [[c for c in members if c in set(codes)] for members in current.instrument.structure().values()]
    items = pd.concat(
        [
            _side_by_side(current, performed[own], None if expected is None else expected[own], minimum_n, options)
            for own in blocks
        ]
    ).loc[codes]
    items.insert(0, "dimension", [current.instrument.item(c).dimension for c in codes])
    return Gaps(
        n=len(current),
        items=items,
        dimensions=_side_by_side(current, scores, wished, minimum_n, options, joint=True),
        difference_reliability=_difference_reliability(measure, current, scores, wished),
        prediction=_prediction(current, scores, wished, options),
        settings={"level": level, "draws": draws, "unit": "0-100"},
        notes=notes,
    )


def _side_by_side(
    current: Responses,
    performed: pd.DataFrame,
    expected: pd.DataFrame | None,
    minimum_n: int,
    options: dict[str, Any],
    joint: bool = False,
) -> pd.DataFrame:
    """Means of both sides and of their difference; `joint` bounds of the differences hold for all columns together."""
    names: list[str] = list(performed.columns)
    sides = {"performance": performed}
    if expected is not None:
        sides["expectation"] = expected
        sides["gap"] = performed - expected
    table = pd.DataFrame({"n": performed.notna().sum()}, index=names)
    for name in ("performance", "expectation", "gap"):
        values = sides.get(name)
        shown = [] if values is None else [c for c in names if int(values[c].notna().sum()) >= minimum_n]
        for column in (name, f"{name}_low", f"{name}_high"):
            table[column] = np.nan
        if values is None or not shown:
            continue
        book = Columns(current.sample_weight, current.calibration)
        result = book.bootstrap([book.mean(values[c]) for c in shown], **options)
        low, high = result.simultaneous() if joint and name == "gap" and len(shown) > 1 else (result.low, result.high)
        lowest = -100.0 if name == "gap" else 0.0
        table.loc[shown, name] = result.estimate
        table.loc[shown, f"{name}_low"] = np.maximum(low, lowest)
        table.loc[shown, f"{name}_high"] = np.minimum(high, 100.0)
    return table


def _difference_reliability(
    measure: Measure, current: Responses, scores: pd.DataFrame, wished: pd.DataFrame | None
) -> pd.DataFrame:
    columns = ["alpha_performance", "alpha_expectation", "correlation", "reliability"]
    if wished is None:
        return pd.DataFrame(columns=columns, index=scores.columns, dtype=float)
    ratings = as_ratings(current, items=list(measure.items))
    rows = {}
    for code, members in ratings.scales.items():
        whole = current.items[members].notna().all(axis=1) & current.expectations[members].notna().all(axis=1)
        if len(members) < 2 or int(whole.sum()) < 3:
            rows[code] = dict.fromkeys(columns, math.nan)
            continue
        own, other = (cronbach_alpha(np.cov(f.loc[whole, members].to_numpy(float).T))
                      for f in (current.items, current.expectations))  # fmt: skip
        x, y = scores.loc[whole, code].to_numpy(float), wished.loc[whole, code].to_numpy(float)
        r = float(np.corrcoef(x, y)[0, 1])
        values = (own, other, r, difference_reliability(own, other, r, float(x.std()), float(y.std())))
        rows[code] = dict(zip(columns, values, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def difference_reliability(rxx: float, ryy: float, rxy: float, sx: float = 1.0, sy: float = 1.0) -> float:
    """Reliability of x - y from the reliabilities, the correlation and the standard deviations (Lord 1963).

    Examples
    --------
    >>> round(difference_reliability(0.8, 0.8, 0.4), 3)
    0.667
    """
    shared = 2 * rxy * sx * sy
    return (sx**2 * rxx + sy**2 * ryy - shared) / (sx**2 + sy**2 - shared)


def _prediction(
    current: Responses, scores: pd.DataFrame, wished: pd.DataFrame | None, options: dict[str, Any]
) -> pd.DataFrame:
    columns = ["n", "r", "r_squared", "r_squared_low", "r_squared_high"]
    satisfaction = overall_satisfaction(current)
    if satisfaction is None:
        return pd.DataFrame(columns=columns, dtype=float)
    candidates = {"servperf": scores.mean(axis=1, skipna=False)}
    if wished is not None:
        gap = scores - wished
        candidates["gap"] = gap.mean(axis=1, skipna=False)
        if current.has_allocation:
            candidates["weighted_gap"] = (gap * current.allocation).sum(axis=1, skipna=False)
    block = pd.DataFrame({**candidates, "satisfaction": satisfaction})
    whole = block.notna().all(axis=1)
    if int(whole.sum()) < 10 or float(np.ptp(block.loc[whole, "satisfaction"])) == 0:
        return pd.DataFrame(columns=columns, dtype=float)
    book = Columns(current.sample_weight)
    covariance = book.products(block)
    last = block.shape[1] - 1

    def fisher(j: int) -> Part:
        def z(t: npt.NDArray[Any]) -> npt.NDArray[Any]:
            c = covariance(t)
            r = c[..., j, last] / np.sqrt(c[..., j, j] * c[..., last, last])
            return np.asarray(np.log((1 + r) / (1 - r)) / 2)

        return z

    result = book.bootstrap([fisher(j) for j in range(last)], **options)
    rows = {}
    for j, name in enumerate(candidates):
        r, low, high = (math.tanh(float(v)) for v in (result.estimate[j], result.low[j], result.high[j]))
        lower = 0.0 if low <= 0 <= high else min(low**2, high**2)
        rows[name] = (int(whole.sum()), r, r**2, lower, max(low**2, high**2))
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)
