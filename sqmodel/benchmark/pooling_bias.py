"""Index points that the items' meaning, not the service, puts between an institution and the mean of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.benchmark.pooling_readings import rival_means, unseen_means
from sqmodel.errors import ComputationError
from sqmodel.measurement.alignment import Alignment
from sqmodel.measurement.configural import Configural
from sqmodel.measurement.invariance import Invariance
from sqmodel.measurement.moments import Floats, Moments
from sqmodel.numerics.alignment.partial import Bools, Estimates, Partial, fit_partial, spread_weighted, tie

BIASED = ["institution", "observed", "bias", "fair", "withheld", "se", "unseen", "low", "high", "least", "most",
          "ladder", "finding"]  # fmt: skip
FINDINGS = ("within", "near", "beyond", "undecided")
"""Below the limit; the interval holds the limit; surely beyond it; beyond it by one reading of the items only."""

Structure = Mapping[str, Sequence[str]]
Scales = Mapping[str, tuple[float, float]]


def ladder_bias(found: Invariance, structure: Structure, scales: Scales) -> pd.DataFrame:
    """By the comparable model of the ladder: what observed means differ beyond latent means; without an interval.

    The ladder releases items for all institutions at once and stops as soon as the fit suffers little: where one of
    twelve institutions has two of seven items shifted, it leaves half of the bias unseen or more, and of three of seven
    it may release the other four. So this is a second opinion beside `aligned_bias`; where most items clearly agree,
    both come to the same.
    """
    fitted = found.confirmations["partial" if found.partial else "scalar"].internal
    items = list(fitted.table.items)
    observed = np.array([g.mean for g in fitted.moments.groups.values()])
    fair = np.array([at.loading @ at.factor_mean for at in fitted.estimated.implied()])
    share = _share(items, structure, scales)
    return _points([str(g) for g in fitted.moments.groups], observed @ share, fair @ share)


def aligned_bias(
    found: Alignment, fitted: Configural, moments: Moments, structure: Structure, scales: Scales, level: float
) -> pd.DataFrame:
    """What observed means differ beyond latent means, where alignment has told which parameters are the same.

    Alignment's own means give way to shifted items by some per cent of their shift, so they are estimated anew from
    the parameters it found to be the same (`fit_partial`).

    The interval is ``bias`` plus and minus sampling error (delta method) and ``unseen``, which is what shifts too small
    to be seen could make at most, if less than half of the items taken as equal have them and all the same way:
    conditional on the parameters chosen alone the interval would be far too narrow where shifts are small. Where which
    items deviate hangs on a single one, ``least`` and ``most`` are the bias by the readings that stand (see
    `rival_means`), otherwise both are the bias.

    Parameters
    ----------
    found : Alignment
    fitted : Configural
        The model in each group of `found`, in the same order.
    moments, structure, scales
        As for `assess_gate`.
    level : float

    Returns
    -------
    DataFrame
        See BIASED; `ladder` and `finding` are for others to fill. Where parameters vary so much that the means cannot
        be estimated anew, the bias is by alignment's own means, and all that belongs to an interval is NaN.
    """
    items, groups = [i for own in structure.values() for i in own], list(found.settings["groups"])
    given, first = _estimates(found, fitted, structure), _first(found, items, list(structure))
    at = _settled(given, first)
    loadings, _, means, _ = first if at is None else at[:4]
    share = _share(items, structure, scales)
    place = [moments.items.index(i) for i in items]
    observed = np.array([moments.groups[g].mean for g in groups])[:, place] @ share
    points = _points(groups, observed, (means[:, given.factor] * loadings) @ share)
    if at is None:
        return points
    se = np.sqrt(spread_weighted(given, at, share))
    return _with_limits(points, se, *_doubts(given, at, _own(found, items), share), level)


def _settled(given: Estimates, first: tuple[Floats, Floats, Floats, Floats]) -> Partial | None:
    """The means by the shared parameters; None where there is no solution."""
    try:
        at = fit_partial(given, first)
    except ComputationError:
        return None
    return at if at.converged else None


def _with_limits(
    points: pd.DataFrame, se: Floats, unseen: Floats, less: Floats, more: Floats, level: float
) -> pd.DataFrame:
    half = stats.norm.isf((1 - level) / 2) * se + unseen
    bias = points["bias"]
    return points.assign(se=se, unseen=unseen, low=bias - half, high=bias + half, least=bias + less, most=bias + more)


def _doubts(given: Estimates, at: Partial, own: Bools, share: Floats) -> tuple[Floats, Floats, Floats]:
    """Points that unseen shifts could make, and least and most of what other readings add, from the mean of all."""
    intercepts, factor = own[:, len(share) :], given.factor
    ties = tie(given, at)
    weight = np.bincount(factor, weights=share * at.loadings)
    unseen = unseen_means(ties, factor) @ np.abs(weight)
    least, most = rival_means(ties, intercepts, at.loadings, factor)
    # A larger mean is less bias of the group, and more of everybody else's.
    moves = np.sort(np.stack([-least * weight, -most * weight]), axis=0).sum(axis=2)
    less, more = moves * (1 - 1 / len(own)) - (moves[::-1].sum(axis=1)[:, None] - moves[::-1]) / len(own)
    return unseen, less, more


def decided(biased: pd.DataFrame, limit: float) -> pd.DataFrame:
    """Who is beyond the limit, and who is withheld from ranks for it.

    The gate bears the burden of proof: ``beyond`` is bias whose whole interval lies beyond the limit, so that of
    institutions with no more than the allowed bias at most one in forty is kept out (at a level of 95 %), however few
    its respondents; where the interval holds the limit it is ``near`` and ranked. ``undecided`` is bias of which one
    reading of the items would say ``beyond`` and another would not: ranks are withheld, as no rank may be claimed that
    the data cannot carry. Readings are `least`, `most`, and the ladder's where it is `apart`. Without an interval an
    estimate beyond the limit is undecided.
    """
    size, half = biased["bias"].abs(), (biased["high"] - biased["low"]) / 2
    second = biased["ladder"].where(apart(biased))
    readings = pd.concat([x.fillna(biased["bias"]) for x in (biased["least"], biased["most"], second)], axis=1)
    surely = readings.abs().sub(half.fillna(0.0), axis=0) > limit
    same = ((readings > 0).all(axis=1) | (readings < 0).all(axis=1)) & half.notna()
    beyond, undecided = surely.all(axis=1) & same, surely.any(axis=1)
    near = size + half > limit
    finding = np.select([beyond, undecided, near], ["beyond", "undecided", "near"], "within")
    return biased.assign(finding=finding, withheld=(beyond | undecided).to_numpy())


def deviating(biased: pd.DataFrame) -> pd.DataFrame:
    """Institutions whose bias is not zero for all that is known, or whose reading is open; the largest first."""
    away = (biased["low"] > 0) | (biased["high"] < 0) | biased["withheld"].astype(bool)
    shown = biased[away]
    return shown.reindex(shown["bias"].abs().sort_values(ascending=False, kind="stable").index)


def apart(biased: pd.DataFrame) -> Bools:
    """Where the ladder and alignment differ by more than half of the interval."""
    return np.asarray((biased["ladder"] - biased["bias"]).abs() > (biased["high"] - biased["low"]) / 2)


def _estimates(found: Alignment, fitted: Configural, structure: Structure) -> Estimates:
    """Loadings and intercepts of all factors with their covariance, each factor the same way round everywhere."""
    home = [(factor, item) for factor, own in structure.items() for item in own]
    numbers = [fitted.numbers[f, "=~", i] for f, i in home] + [fitted.numbers[i, "~1", ""] for _, i in home]
    rows = [fitted.groups.index(g) for g in found.settings["groups"]]
    theta, V = fitted.theta[rows][:, numbers], fitted.covariances[rows][:, numbers][:, :, numbers]
    p, factor = len(home), np.repeat(np.arange(len(structure)), [len(own) for own in structure.values()])
    sign = np.ones_like(theta)
    for f in range(len(structure)):
        own = np.flatnonzero(factor == f)
        sign[np.ix_(theta[:, own] @ theta[0, own] < 0, own)] = -1
    items = [i for _, i in home]
    tied = _tied(_own(found, items), factor)
    assert tied.shape == (len(theta), 2 * p)
    return Estimates(theta * sign, V * sign[:, :, None] * sign[:, None, :], factor, tied)


def _own(found: Alignment, items: Sequence[str]) -> Bools:
    """Loadings, then intercepts, that are not invariant (G x 2p)."""
    count = len(found.settings["groups"])
    table = {key: ~part.to_numpy(dtype=bool) for key, part in
             found.parameters.groupby(["kind", "item"], sort=False)["invariant"]}  # fmt: skip
    own = np.stack([table[kind, item] for kind in ("loading", "intercept") for item in items], axis=1)
    assert len(own) == count
    return own


def _tied(own: Bools, factor: npt.NDArray[np.intp]) -> Bools:
    """A group of which all parameters of a kind deviate in a factor is tied to the others by all of them."""
    tied, p = own.copy(), len(factor)
    for f in range(factor.max() + 1):
        for start in (0, p):
            block = start + np.flatnonzero(factor == f)
            lost = np.flatnonzero(own[:, block].all(axis=1))
            tied[np.ix_(lost, block)] = False
    return tied


def _first(found: Alignment, items: Sequence[str], factors: Sequence[str]) -> tuple[Floats, Floats, Floats, Floats]:
    """What alignment found."""
    value = found.items.set_index(["kind", "item"])["value"]
    by = {str(f): part for f, part in found.means.groupby("factor", sort=False)}
    means, sds = (np.column_stack([by[f][name].to_numpy(dtype=float) for f in factors]) for name in ("mean", "sd"))
    common = [value.loc[kind].reindex(list(items)).to_numpy(dtype=float) for kind in ("loading", "intercept")]
    return common[0], common[1], means, sds


def _share(items: Sequence[str], structure: Structure, scales: Scales) -> Floats:
    """Index points of a scale point of each item: dimensions count alike, as do the items of a dimension."""
    share = np.zeros(len(items))
    for own in structure.values():
        for item in own:
            low, high = scales[item]
            share[items.index(item)] += 100 / (high - low) / len(own) / len(structure)
    return share


def _points(groups: Sequence[str], observed: Floats, fair: Floats) -> pd.DataFrame:
    """Both as points above the mean of all institutions."""
    frame = pd.DataFrame({"institution": list(groups), "observed": observed - observed.mean()})
    frame["bias"] = frame["observed"] - (fair - fair.mean())
    frame["fair"] = fair - fair.mean()
    unknown = dict.fromkeys(("se", "unseen", "low", "high", "least", "most", "ladder"), math.nan)
    return frame.assign(withheld=False, finding="", **unknown)[BIASED]
