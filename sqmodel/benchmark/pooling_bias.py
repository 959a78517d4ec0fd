"""Index points that the items' meaning, not the service, puts between an institution and the mean of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sqmodel.measurement.alignment import Alignment
from sqmodel.measurement.invariance import Invariance
from sqmodel.measurement.moments import Floats, Moments

BIASED = ["institution", "observed", "bias", "fair", "withheld"]


def ladder_bias(
    found: Invariance, structure: Mapping[str, Sequence[str]], scales: Mapping[str, tuple[float, float]]
) -> pd.DataFrame:
    """By the comparable model of the ladder: what observed means differ beyond latent means."""
    fitted = found.confirmations["partial" if found.partial else "scalar"].internal
    items = list(fitted.table.items)
    observed = np.array([g.mean for g in fitted.moments.groups.values()])
    fair = np.array([at.loading @ at.factor_mean for at in fitted.estimated.implied()])
    return _points(list(fitted.moments.groups), items, observed, fair, structure, scales)


def aligned_bias(
    found: Alignment,
    moments: Moments,
    structure: Mapping[str, Sequence[str]],
    scales: Mapping[str, tuple[float, float]],
) -> pd.DataFrame:
    """By alignment: what observed means differ beyond those that aligned means and common loadings imply."""
    groups = list(found.settings["groups"])
    observed = np.array([moments.groups[g].mean for g in groups])
    means = {str(factor): part["mean"].to_numpy() for factor, part in found.means.groupby("factor", sort=False)}
    loadings = found.items[found.items["kind"] == "loading"]
    fair = np.zeros_like(observed)
    for factor, item, value in zip(loadings["factor"], loadings["item"], loadings["value"], strict=True):
        fair[:, moments.items.index(item)] = value * means[factor]
    return _points(groups, list(moments.items), observed, fair, structure, scales)


def _points(
    groups: Sequence[str], items: Sequence[str], observed: Floats, fair: Floats,
    structure: Mapping[str, Sequence[str]], scales: Mapping[str, tuple[float, float]],
) -> pd.DataFrame:  # fmt: skip
    """Both as points above the mean of all institutions; dimensions count alike, as do the items of a dimension."""
    share = np.zeros(len(items))
    for own in structure.values():
        for item in own:
            low, high = scales[item]
            share[items.index(item)] += 100 / (high - low) / len(own) / len(structure)
    points = {"observed": observed @ share, "fair": fair @ share}
    columns = {name: x - x.mean() for name, x in points.items()}
    frame = pd.DataFrame({"institution": [str(g) for g in groups], **columns})
    frame["bias"] = frame["observed"] - frame["fair"]
    return frame.assign(withheld=False)[BIASED]
