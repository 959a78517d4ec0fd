"""Slopes of all features on all outcomes, with bounds that hold together, and what a limit would be worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.index.driver_design import Model, Prepared, scale_of, transformed
from sqmodel.index.driver_model import Array, fit, jointly

ORDER = ["feature", "outcome", "n", "slope", "se", "low", "high", "joint_low", "joint_high", "p", "p_joint", "drives",
         "effect", "effect_low", "effect_high", "beta", "unadjusted", "unadjusted_low", "unadjusted_high",
         "p_curved"]  # fmt: skip


def all_effects(
    found: Sequence[Model],
    scores: pd.DataFrame,
    weight: Array,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """One row a feature and outcome, from the model that tells of the feature; joint bounds over all rows."""
    parts = [_told(model, o, scores[o].to_numpy(float), weight, level) for model in found for o in model.fits]
    effects = pd.concat(parts, ignore_index=True)
    influence = np.zeros((len(scores), len(effects)))
    column = 0
    for model in found:
        own = [model.ready.names.index(n) + 1 for n in model.told]
        for one in model.fits.values():
            influence[model.ready.rows, column : column + len(own)] = one.influence[:, own]
            column += len(own)
    df = min(one.df for model in found for one in model.fits.values())
    critical, adjusted = jointly(influence, effects["t"].to_numpy(float), df, level, draws, rng)
    effects["joint_low"] = effects["slope"] - critical * effects["se"]
    effects["joint_high"] = effects["slope"] + critical * effects["se"]
    effects["p_joint"] = adjusted
    effects["drives"] = (effects["joint_low"] > 0) | (effects["joint_high"] < 0)
    return effects[ORDER]


def _told(model: Model, outcome: str, scored: Array, weight: Array, level: float) -> pd.DataFrame:
    ready, one = model.ready, model.fits[outcome]
    own = [ready.names.index(n) + 1 for n in model.told]
    w, x, y = weight[ready.rows], ready.design[:, own], scored[ready.rows]
    known = np.isfinite(y)
    spread = np.sqrt(np.average((x - np.average(x, axis=0, weights=w)) ** 2, axis=0, weights=w))
    deviation = float(np.sqrt(np.cov(y[known], aweights=w[known])))
    table = pd.DataFrame({"feature": model.told, "outcome": outcome, "n": one.n, "slope": one.slope[own],
                          "se": one.se[own]})  # fmt: skip
    half = float(stats.t.ppf((1 + level) / 2, one.df)) * table["se"]
    table["low"], table["high"] = table["slope"] - half, table["slope"] + half
    table["t"] = np.where(table["se"] > 0, table["slope"] / table["se"], 0.0)
    table["p"] = 2 * stats.t.sf(table["t"].abs(), one.df)
    for name, source in (("effect", "slope"), ("effect_low", "low"), ("effect_high", "high")):
        table[name] = table[source] * spread
    table["beta"] = table["effect"] / deviation if deviation > 0 else np.nan
    return table.join(_alone(ready, own, y, w, level)).join(_curved(ready, own, y, w))


def _alone(ready: Prepared, own: Sequence[int], y: Array, weight: Array, level: float) -> pd.DataFrame:
    """Slopes without the other features, over the same cases."""
    rows = []
    for j in own:
        x = np.column_stack([np.ones(len(y)), ready.design[:, j]])
        found = fit(x, y, weight)
        half = float(stats.t.ppf((1 + level) / 2, found.df)) * float(found.se[1])
        rows.append((found.slope[1], found.slope[1] - half, found.slope[1] + half))
    return pd.DataFrame(rows, columns=["unadjusted", "unadjusted_low", "unadjusted_high"])


def _curved(ready: Prepared, own: Sequence[int], y: Array, weight: Array) -> pd.DataFrame:
    """p-value of the square of each feature beside the others; NaN where it has two values only."""
    p = []
    for j in own:
        x = ready.design[:, j]
        square = x**2 - (x**2).mean()
        design = np.column_stack([ready.design, square])
        flat = len(np.unique(x[x != 0])) < 3 or np.linalg.matrix_rank(design) < design.shape[1]
        if flat:
            p.append(np.nan)
            continue
        found = fit(design, y, weight)
        p.append(float(2 * stats.t.sf(abs(found.slope[-1] / found.se[-1]), found.df)))
    return pd.DataFrame({"p_curved": p})


class Product(NamedTuple):
    """A slope with its error and degrees of freedom, and a mean cut with its error and the cases it is the mean of."""

    slope: float
    slope_se: float
    df: float
    cut: float
    cut_se: float
    cases: float

    @property
    def value(self) -> float:
        """Slope times cut."""
        return self.slope * self.cut

    def draws(self, draws: int, rng: np.random.Generator) -> Array:
        """Draws of slope times cut, whose quantiles are the bounds of their product.

        Both are drawn from t distributions; the mean cut is drawn on the scale of its logarithm, because its error
        grows with it. A symmetric (delta) interval covers 88 % where few cases lie beyond the limit.
        Method: MacKinnon, Lockwood and Williams (2004), Multivariate Behavioral Research 39.
        """
        slopes = self.slope + self.slope_se * rng.standard_t(self.df, draws)
        cuts = self.cut * np.exp(self.cut_se / abs(self.cut) * rng.standard_t(self.cases - 1, draws))
        return np.asarray(slopes * cuts)

    def importance(self, level: float) -> tuple[float, float, float]:
        """The slope with the sign turned, and its bounds: what does harm is important."""
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * self.slope_se
        return -self.slope, -self.slope - half, -self.slope + half

    def headroom(self, level: float) -> tuple[float, float, float]:
        """The cut with the sign turned, and its bounds."""
        factor = math.exp(float(stats.t.ppf((1 + level) / 2, self.cases - 1)) * self.cut_se / abs(self.cut))
        return -self.cut, -self.cut / factor, -self.cut * factor


WORTH = ["feature", "limit", "outcome", "above", "share_above", "change", "low", "high", "reason", "slope", "slope_se",
         "df", "cut", "cut_se", "cases"]  # fmt: skip


def worth(
    found: Sequence[Model],
    table: pd.DataFrame,
    given: pd.DataFrame,
    outcomes: Sequence[str],
    weight: Array,
    limits: Mapping[str, float | Sequence[float]],
    transform: str,
    minimum_n: int,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Change of the mean scores if whatever lies beyond a limit had been cut to it, by the model that tells of it."""
    rows: list[tuple[object, ...]] = []
    for name, limit in ((n, float(v)) for n, some in limits.items() for v in np.atleast_1d(np.asarray(some, float))):
        model = next((m for m in found if name in m.told), None)
        raw = given[name].to_numpy(float)[slice(None) if model is None else model.ready.rows]
        above = int((raw > limit).sum())
        share = above / max(int(np.isfinite(raw).sum()), 1)
        unused = f"not in the regression: {table['reason'].to_dict()[name]}"
        reason = unused if model is None else _no_worth(raw, limit, minimum_n)
        for outcome in outcomes:
            figures, product = (math.nan,) * 3, Product(*(math.nan,) * 6)
            if model is not None and not reason:
                product = _product(model, outcome, name, raw, limit, weight, transform)
                low, high = np.quantile(product.draws(draws, rng), [(1 - level) / 2, (1 + level) / 2])
                figures = product.value, float(low), float(high)
            rows.append((name, limit, outcome, above, share, *figures, reason, *product))
    return pd.DataFrame(rows, columns=WORTH)


def _no_worth(raw: Array, limit: float, minimum_n: int) -> str:
    if int((raw <= limit).sum()) < minimum_n:
        return f"fewer than {minimum_n} cases within the limit: nothing is known about such cases"
    return "" if int((raw > limit).sum()) >= minimum_n else f"fewer than {minimum_n} cases beyond the limit"


def _product(model: Model, outcome: str, name: str, raw: Array, limit: float, weight: Array, transform: str) -> Product:
    scale = scale_of(name, transform)
    cut = transformed(raw, np.minimum(raw, limit), scale) - transformed(raw, raw, scale)
    cut = np.where(np.isfinite(raw), cut, 0.0)
    own, one = weight[model.ready.rows], model.fits[outcome]
    share, n, column = own / own.sum(), len(cut), model.ready.names.index(name) + 1
    mean = float(share @ cut)
    error = float(np.sqrt((share**2 * (cut - mean) ** 2).sum() * n / (n - 1)))
    return Product(float(one.slope[column]), float(one.se[column]), float(one.df), mean, error, float(n))
