"""What to do first: the importance-performance grid, and the items whose improvement promises most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.index.columns import Columns, Part, Totals, constant
from sqmodel.index.weighting import Weights, allocation_parts, fixed_parts, overall_satisfaction
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.resampling import Bootstrap
from sqmodel.result import Result
from sqmodel.survey.responses import Responses, to_percent

Array = npt.NDArray[np.float64]

MOST_ACTIONS = 3


@dataclass(frozen=True, repr=False)
class Priorities(Result):
    """Candidates for action, one an item, and the few that stand out.

    Attributes
    ----------
    basis : str
        ``satisfaction``: gains are points of overall satisfaction (0-100). ``index``: the questionnaire has no
        overall question, gains are points of the index.
    target : str
        ``expectation``: an item is raised to what clients expect. ``average``: to the average item.
    candidates : DataFrame, one row an item, largest gain first
        dimension, performance, shortfall (target minus performance), gain and versus_mean (gain minus the mean gain),
        each with bounds (``_low``, ``_high``) that hold for all items together, and importance (correlation with
        overall satisfaction) with its own.
    index_points : DataFrame, one row an item
        What the item would do for the index, as `rank_actions` uses it: share (points of the index for one point of the
        item: weight of its dimension / number of its items) with share_se, shortfall_se; gain (share x shortfall) and
        versus_mean (gain minus the mean item's), each with its standard error (``_se``) and degrees of freedom
        (``_df``).
    actions : tuple of str
        At most three items that surely fall short, whose gain is surely above zero and surely above the average
        item's gain. Empty: the data do not say what comes first.
    """

    n: int
    basis: str
    target: str
    candidates: pd.DataFrame
    index_points: pd.DataFrame
    actions: tuple[str, ...]
    settings: dict[str, Any]

    def _headline(self) -> str:
        return f"n={self.n}: " + (", ".join(self.actions) or "nothing stands out")


def find_priorities(
    measure: Measure,
    *,
    weights: Weights,
    minimum_n: int = 10,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Priorities:
    """Which items are worth improving first, and is that sure?

    Parameters
    ----------
    measure : Measure
    weights : Weights
        Of the index: for `index_points`, and for the gains where there is no overall satisfaction question.
    minimum_n : int
        An item whose expectation fewer stated has no shortfall and no gain.
    level, draws, rng
        Of the basic bootstrap over respondents; the bounds hold for all items together (largest absolute pivot).

    Returns
    -------
    Priorities

    Notes
    -----
    Gain of an item = slope of its dimension / number of its items x shortfall. Slopes are those of a linear
    regression of overall satisfaction on the dimension scores: an association among clients, not a promise. The slope
    and the shortfall vary together in the bootstrap.
    """
    current = measure.current
    codes = list(measure.items)
    scores = current.dimension_scores(codes)
    satisfaction = overall_satisfaction(current)
    usable = satisfaction is not None and _enough(scores, satisfaction)
    book = Columns(current.sample_weight, current.calibration)
    performed = to_percent(current.instrument, current.items[codes])
    level_of = [book.mean(performed[c]) for c in codes]
    target = _targets(book, current, codes, level_of, minimum_n)
    counts = _weights(book, current, weights)
    slopes = _slopes(book, scores, satisfaction) if usable and satisfaction is not None else _given(weights)
    position = {d: j for j, d in enumerate(scores.columns)}
    members = measure.instrument.structure()
    owner = np.array([position[measure.instrument.item(c).dimension] for c in codes])
    size = np.array([len(set(members[measure.instrument.item(c).dimension]) & set(codes)) for c in codes])

    generator = np.random.default_rng(rng)
    statistics = _statistics(target, level_of, slopes, counts, owner, size, book.totals)
    result = book.bootstrap(statistics, rng=generator, draws=draws, level=level, studentise=False)
    table = _table(measure, codes, result)
    totals = book.totals
    table.insert(1, "performance", [float(np.real(f(totals))) for f in level_of])
    importance = _importance(current, performed, satisfaction if usable else None, level)
    table = table.join(importance).sort_values("gain", ascending=False)
    return Priorities(
        n=len(current),
        basis="satisfaction" if usable else "index",
        target="expectation" if current.has_expectations else "average",
        candidates=table,
        index_points=_index_points(codes, result).loc[table.index],
        actions=_stand_out(table),
        settings={"level": level, "draws": draws, "interval": "basic bootstrap, simultaneous over items"},
    )


def _statistics(
    target: list[Part],
    level_of: list[Part],
    slopes: Part,
    counts: list[Part],
    owner: npt.NDArray[np.intp],
    size: npt.NDArray[np.intp],
    totals: Totals,
) -> Part:
    """Gain, the same less the mean item's, and shortfall; share of the index, gain of the index, less the mean's."""

    def shortfall(t: Totals) -> Totals:
        return np.stack([goal(t) - now(t) for goal, now in zip(target, level_of, strict=True)], axis=-1)

    with np.errstate(invalid="ignore"):
        known = np.isfinite(shortfall(totals))

    def versus_mean(gain: Totals) -> Totals:
        return gain - gain[..., known].mean(axis=-1, keepdims=True) if known.any() else gain * np.nan

    def statistics(t: Totals) -> Totals:
        short = shortfall(t)
        gain = slopes(t)[..., owner] / size * short
        share = np.stack([f(t) for f in counts], axis=-1)[..., owner] / size
        own = share * short
        return np.concatenate([gain, versus_mean(gain), short, share, own, versus_mean(own)], axis=-1)

    return statistics


def _enough(scores: pd.DataFrame, satisfaction: pd.Series) -> bool:
    whole = scores.notna().all(axis=1) & satisfaction.notna()
    if int(whole.sum()) <= 5 * scores.shape[1] or float(np.ptp(satisfaction[whole])) == 0:
        return False
    centred = scores[whole] - scores[whole].mean()
    return int(np.linalg.matrix_rank(centred.to_numpy(float), tol=1e-6 * len(centred))) == scores.shape[1]


def _targets(book: Columns, current: Responses, codes: list[str], level_of: list[Part], minimum_n: int) -> list[Part]:
    if current.has_expectations:
        expected = to_percent(current.instrument, current.expectations[codes])
        return [book.mean(expected[c]) if expected[c].notna().sum() >= minimum_n else constant(math.nan) for c in codes]

    def average(t: Totals) -> Totals:
        result: Totals = sum((f(t) for f in level_of), np.zeros(t.shape[:-1])) / len(level_of)
        return result

    return [average] * len(codes)


def _slopes(book: Columns, scores: pd.DataFrame, satisfaction: pd.Series) -> Part:
    covariance = book.products(np.column_stack([scores.to_numpy(float), satisfaction.to_numpy(float)]))

    def slopes(t: Totals) -> Totals:
        c = covariance(t)
        result: Totals = _solve(c[..., :-1, :-1], c[..., :-1, -1:])[..., 0]
        return result

    return slopes


def _solve(matrices: Totals, targets: Totals) -> Totals:
    """Solutions of many equations; NaN where a draw has left a dimension without variance."""
    scale = np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)).prod(axis=-1)
    singular = np.abs(np.linalg.det(matrices)) <= 1e-12 * scale
    safe = np.where(singular[..., None, None], np.eye(matrices.shape[-1]), matrices)
    return np.where(singular[..., None, None], np.nan, np.linalg.solve(safe, targets))


def _given(weights: Weights) -> Part:
    fixed = fixed_parts(weights)
    return lambda t: np.stack([f(t) for f in fixed], axis=-1)


def _weights(book: Columns, current: Responses, weights: Weights) -> list[Part]:
    """Weights of the index as it takes them: by allocation their sampling error counts, others are constants."""
    return allocation_parts(book, current) if weights.method == "allocation" else fixed_parts(weights)


def _table(measure: Measure, codes: list[str], result: Bootstrap) -> pd.DataFrame:
    """Shortfall, gain and gain against the mean, each with bounds that hold for all items together."""
    k = len(codes)
    table = pd.DataFrame(
        {"dimension": [measure.instrument.item(c).dimension for c in codes]}, index=pd.Index(codes, name="item")
    )
    for name, start in (("shortfall", 2 * k), ("gain", 0), ("versus_mean", k)):
        family = np.zeros(len(result.estimate), bool)
        family[start : start + k] = True
        low, high = result.simultaneous(family)
        table[name], table[f"{name}_low"], table[f"{name}_high"] = result.estimate[family], low[family], high[family]
    table["gain_se"] = result.se[:k]
    return table


def _index_points(codes: list[str], result: Bootstrap) -> pd.DataFrame:
    """Points of the index for one point of an item, and for its shortfall, with linearised errors."""
    parts = (a.reshape(6, len(codes)) for a in (result.estimate, result.se, result.degrees))
    estimate, se, degrees = parts
    frame = {"share": estimate[3], "share_se": se[3], "shortfall_se": se[2]}
    for name, row in (("gain", 4), ("versus_mean", 5)):
        frame |= {name: estimate[row], f"{name}_se": se[row], f"{name}_df": degrees[row]}
    return pd.DataFrame(frame, index=pd.Index(codes, name="item"))


def _importance(
    current: Responses, performed: pd.DataFrame, satisfaction: pd.Series | None, level: float
) -> pd.DataFrame:
    """Correlation of each item with overall satisfaction; interval by Fisher's z on the effective n."""
    rows = {}
    weight = current.sample_weight
    z = float(stats.norm.ppf((1 + level) / 2))
    for code in performed.columns:
        if satisfaction is None:
            rows[code] = (math.nan,) * 3
            continue
        whole = (performed[code].notna() & satisfaction.notna()).to_numpy()
        w = weight[whole]
        c = np.cov(performed.loc[whole, code], satisfaction[whole], aweights=w)
        r = float(c[0, 1] / math.sqrt(c[0, 0] * c[1, 1])) if c[0, 0] * c[1, 1] > 0 else math.nan
        effective = float(w.sum() ** 2 / (w**2).sum())
        half, fisher = z / math.sqrt(max(effective - 3, 1.0)), float(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))
        rows[code] = (r, math.tanh(fisher - half), math.tanh(fisher + half))
    names = ["importance", "importance_low", "importance_high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def _stand_out(table: pd.DataFrame) -> tuple[str, ...]:
    sure = (table["shortfall_low"] > 0) & (table["gain_low"] > 0) & (table["versus_mean_low"] > 0)
    return tuple(str(c) for c in table.index[sure][:MOST_ACTIONS])
