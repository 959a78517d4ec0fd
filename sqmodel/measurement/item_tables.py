"""What screened items contribute and where they differ, as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.measurement.inputs import Ratings
from sqmodel.measurement.item_bias import BiasTest, ScaleBias, with_products
from sqmodel.measurement.item_inputs import Groups
from sqmodel.numerics.irt import curves, graded

GRID = np.round(np.arange(-40, 41) / 10, 1)
_FINE = np.linspace(-curves.WIDTH, curves.WIDTH, 1201)


def scale_table(
    scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse], biases: dict[str, ScaleBias]
) -> pd.DataFrame:
    """A row a scale: fit, reliability, where it tells most."""
    rows = {}
    for code, fit in fits.items():
        information = curves.test_information(_FINE, fit.slopes, fit.thresholds)
        row: dict[str, Any] = {"k": len(scales[code]), "n": fit.n, "loglik": fit.loglik}
        row |= {"gradient_norm": fit.gradient_norm, "converged": fit.converged}
        row["marginal_reliability"] = curves.marginal_reliability(fit.slopes, fit.thresholds)
        row |= {"peak_theta": float(_FINE[information.argmax()]), "peak_information": float(information.max())}
        if code in biases:
            row |= {"rounds": biases[code].rounds, "settled": biases[code].settled}
        rows[code] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def item_table(ratings: Ratings, scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse]) -> pd.DataFrame:
    """A row an item: slope, where it tells most, its share of the scale's information."""
    density = stats.norm.pdf(_FINE)
    rows = {}
    for code, fit in fits.items():
        information = curves.item_information(_FINE, fit.slopes, fit.thresholds)
        expected = density @ information
        for j, item in enumerate(scales[code]):
            peak = int(information[:, j].argmax())
            row: dict[str, Any] = {"scale": code, "n": int(ratings.frame[item].notna().sum())}
            row |= {"answers": int((~np.isnan(fit.answers[j])).sum()), "slope": float(fit.slopes[j])}
            row |= {"peak_theta": float(_FINE[peak]), "peak_information": float(information[peak, j])}
            rows[item] = row | {"share": float(expected[j] / expected.sum())}
    return pd.DataFrame.from_dict(rows, orient="index")


def parameter_table(scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse], level: float) -> pd.DataFrame:
    """Slopes and thresholds with their intervals."""
    rows: list[tuple[Any, ...]] = []
    for code, fit in fits.items():
        for j, item in enumerate(scales[code]):
            rows.append((item, code, "slope", np.nan, fit.slopes[j], fit.slope_errors[j]))
            there = ~np.isnan(fit.thresholds[j])
            found = zip(
                fit.answers[j, 1:][there], fit.thresholds[j, there], fit.threshold_errors[j, there], strict=True
            )
            rows += [(item, code, "threshold", *values) for values in found]
    table = pd.DataFrame(rows, columns=["item", "scale", "parameter", "answer", "value", "se"])
    return _with_bounds(table, "value", level)


def _with_bounds(table: pd.DataFrame, value: str, level: float) -> pd.DataFrame:
    half = float(stats.norm.ppf((1 + level) / 2)) * table["se"]
    return table.assign(low=table[value] - half, high=table[value] + half)


def information_tables(scales: dict[str, list[str]], fits: dict[str, graded.GradedResponse]) -> dict[str, pd.DataFrame]:
    """Information along the trait, of items and of scales."""
    index = pd.Index(GRID, name="theta")
    parts = {
        code: pd.DataFrame(curves.item_information(GRID, fit.slopes, fit.thresholds), index=index, columns=scales[code])
        for code, fit in fits.items()
    }
    wholes = pd.DataFrame({code: part.sum(axis=1) for code, part in parts.items()}, index=index)
    return {"information": pd.concat(parts.values(), axis=1), "scale_information": wholes}


def bias_tables(biases: dict[str, ScaleBias], groups: Groups | None, level: float) -> dict[str, pd.DataFrame]:
    """Tests of item bias, and the size of each group's shift."""
    columns = ["item", "group", "log_odds", "se"]
    if groups is None:
        return {"dif": pd.DataFrame(), "shifts": pd.DataFrame(columns=[*columns, "low", "high", "points"])}
    tables, rows = [], []
    for code, bias in biases.items():
        tables.append(bias.table.assign(scale=code))
        for item, test in bias.tests.items():
            points = _points(test, len(groups.names))
            found = zip(groups.names[1:], test.uniform.coefficients[1:], test.uniform.errors[1:], points, strict=True)
            rows += [(item, *values) for values in found]
    table = pd.concat(tables)
    shifts = _with_bounds(pd.DataFrame(rows, columns=[*columns, "points"]), "log_odds", level)
    return {
        "dif": table[["scale", *(c for c in table.columns if c != "scale")]],
        "shifts": shifts[[*columns, "low", "high", "points"]],
    }


def _points(test: BiasTest, count: int) -> list[float]:
    """Expected answer of each group less the reference's, were all respondents in it with the standing they have."""
    means = []
    for g in range(count):
        dummies = np.tile((np.arange(1, count) == g).astype(float), (len(test.standing), 1))
        chances = test.full.probabilities(with_products(test.standing, dummies))
        means.append(float((chances @ test.full.answers).mean()))
    return [mean - means[0] for mean in means[1:]]
