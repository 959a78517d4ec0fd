"""Means of many groups where the items do not mean quite the same everywhere: the alignment method."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import ComputationError, ConvergenceWarning, ImproperSolutionWarning, InputError
from sqmodel.measurement.configural import Configural, fit_each
from sqmodel.measurement.confirmatory import gather, parsed
from sqmodel.measurement.moments import Moments
from sqmodel.measurement.syntax import Row
from sqmodel.numerics.alignment.invariance import explained, invariant_groups
from sqmodel.numerics.alignment.loss import EPS
from sqmodel.numerics.alignment.search import Aligned, align_groups
from sqmodel.numerics.alignment.spread import Spread, spread
from sqmodel.numerics.correlation import Floats
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

MOST = 0.25
"""Largest share of non-invariant parameters with which alignment is trusted (Muthen & Asparouhov 2014)."""
MEANS = ["factor", "group", "n", "mean", "sd", "se", "low", "high", "sd_se"]
PARAMETERS = ["factor", "item", "kind", "group", "configural", "aligned", "se", "invariant"]
ITEMS = ["factor", "item", "kind", "value", "noninvariant", "r2"]
KINDS = ("loading", "intercept")


@dataclass(frozen=True, repr=False)
class Alignment(Result):
    """Groups on one scale under approximate invariance.

    Attributes
    ----------
    n : int
        Respondents of all groups.
    settings : dict
    means : DataFrame
        A row a factor and group: factor, group, n, mean and sd of the factor in standard deviations of the reference
        group (0 and 1 there), se, low and high of the mean, sd_se.
    parameters : DataFrame
        A row an item's loading or intercept (kind) and group: configural estimate (factor mean 0 and variance 1 in
        each group), aligned value with its se, and whether the group belongs to those in which it is invariant.
    items : DataFrame
        A row an item's loading or intercept: its value (mean over the invariant groups), share of groups in which it
        is not invariant, and R2, the share of its configural variation that means and variances of the groups explain.
    fits : DataFrame
        The configural model's fit in each group: group, n, chisq, df, cfi, rmsea, srmr (robust indices where there
        are). Alignment takes it for granted.
    noninvariant : float
        Share of all parameters, over items, kinds and groups, that are not invariant.
    converged : bool
        Whether every factor's alignment ended in a minimum.
    notes : tuple of str
    """

    n: int
    settings: dict[str, Any]
    means: pd.DataFrame
    parameters: pd.DataFrame
    items: pd.DataFrame
    fits: pd.DataFrame
    noninvariant: float
    converged: bool
    notes: tuple[str, ...]

    def _headline(self) -> str:
        factors, groups = self.means["factor"].nunique(), self.means["group"].nunique()
        return (
            f"by {self.settings['by']}, {groups} groups, {factors} factor{'s' * (factors > 1)}, n={self.n}: "
            f"{self.noninvariant:.0%} of the parameters not invariant"
        )

    @property
    def trustworthy(self) -> bool:
        """Whether at most 25 % of the parameters are not invariant (Muthen & Asparouhov 2014)."""
        return self.converged and self.noninvariant <= MOST


def align(
    data: Responses | pd.DataFrame | Moments,
    model: str | Mapping[str, Sequence[str]],
    *,
    by: str,
    reference: str | None = None,
    estimator: str | None = None,
    missing: str = "listwise",
    cluster: str | Sequence[object] | None = None,
    weight: str | npt.ArrayLike | None = None,
    eps: float = EPS,
    starts: int = 10,
    rng: int = 0,
    level: float = 0.95,
    failed: Literal["raise", "leave out"] = "raise",
) -> Alignment:
    """Which means have many groups if most items, but not all in all groups, mean the same?

    Alignment (Asparouhov & Muthen 2014) of the configural model: the model is fitted to each group alone, and for each
    factor means and variances of the groups are chosen so that loadings and intercepts differ much in few places and
    little elsewhere (see `numerics.alignment.search.align_groups` for the loss and the departures from Mplus and
    sirt). Where scalar invariance fails for some items, this keeps the comparison of means fair without a search for
    partial invariance. Standard errors by the delta method from each group's own covariance of loadings and
    intercepts. Which groups share a parameter is found by the paper's iteration of tests at .001.

    A mean's interval is about its distance to the reference group and contains that group's error; the interval of a
    parameter's aligned value likewise.

    Parameters
    ----------
    data, model, estimator, missing, cluster, weight
        As for `confirm`; answers count as continuous. Every item belongs to one factor, with at least three items a
        factor; loadings and intercepts are free.
    by : str
        The grouping variable.
    reference : str, optional
        The group whose factors have mean 0 and standard deviation 1; by default the first. It changes the unit only.
    eps : float
        Tolerance of the loss, in squared units of an item: differences far below its root count as noise.
    starts : int
        Searches from different starts, the first at the groups' mean loadings and intercepts.
    rng : int
        Seed of the other starts.
    level : float
        Of the intervals of the means.
    failed : {"raise", "leave out"}
        What happens to groups in which the configural model has no solution; who is left out, and why, is in
        ``settings["left_out"]`` and in the notes.

    Raises
    ------
    InputError
        Cross-loadings, factors of factors, fewer than three items a factor, fixed loadings, intercepts or factor
        means and variances.
    ComputationError
        Fewer than two groups, an unknown reference, or a configural model that does not converge or is not identified
        in a group.
    """
    rows = parsed(data, model)
    factors = _factors(rows)
    moments = gather(data, rows, group=by, missing=missing, cluster=cluster, weight=weight)
    groups = _reference_first(moments, by, reference)
    shared = {"estimator": estimator, "missing": missing, "cluster": cluster, "weight": weight}
    fitted, notes = _configural(moments, rows, groups, shared, failed)
    groups = list(fitted.groups)
    sizes = np.array([moments.groups[g].n for g in groups])
    settings: dict[str, Any] = {
        "model": model if isinstance(model, str) else {k: list(v) for k, v in model.items()}, "by": by,
        "groups": [str(g) for g in groups], "estimator": fitted.estimator, "missing": missing,
        "eps": eps, "starts": starts, "rng": rng, "level": level, "left_out": fitted.failed,
    }  # fmt: skip
    parts, converged = [], True
    for factor, items in factors.items():
        own = _turned(fitted, factor, items)
        found = align_groups(own.loadings, own.intercepts, sizes, eps=eps, starts=starts, rng=rng)
        spreads = spread(own.loadings, own.intercepts, sizes, own.covariances, found, eps=eps)
        parts.append(_tables(factor, items, settings["groups"], sizes, own, found, spreads, level))
        notes += _search_notes(factor, found)
        converged &= found.converged
    means, parameters, each = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    return Alignment(
        round(sizes.sum()), settings, means, parameters, each, fitted.fits,
        float(1 - parameters["invariant"].mean()), converged, (*moments.notes, *notes, _share_note(parameters)),
    )  # fmt: skip


class _Estimates(NamedTuple):
    """One factor's estimates in every group.

    Attributes
    ----------
    loadings, intercepts : array, G x p
    covariances : array, G x 2p x 2p
        Of loadings, then intercepts.
    """

    loadings: Floats
    intercepts: Floats
    covariances: Floats


def _factors(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Items of each factor, once it is sure that alignment knows what to do with the model."""
    factors: dict[str, list[str]] = {}
    for row in rows:
        if row.op == "=~":
            factors.setdefault(row.lhs, []).append(row.rhs)
    homes: dict[str, list[str]] = {}
    for factor, members in factors.items():
        for item in members:
            homes.setdefault(item, []).append(factor)
    problems = [
        f"expected items as indicators, found that {home} is measured by the factor {name}"
        for name, of in homes.items() if name in factors for home in of
    ]  # fmt: skip
    problems += [
        f"expected every item on one factor, found {item} on {', '.join(of)}" for item, of in homes.items()
        if len(of) > 1
    ]  # fmt: skip
    problems += [
        f"expected at least three items a factor, found {len(members)} of {factor}"
        for factor, members in factors.items() if len(members) < 3
    ]  # fmt: skip
    problems += [text for row in rows if (text := _constrained(row, factors))]
    if problems:
        raise InputError("model", problems, "align a model of simple structure without constraints")
    return factors


def _constrained(row: Row, factors: Mapping[str, Sequence[str]]) -> str:
    """What keeps this relation from being aligned; "" where nothing does."""
    fixed = any(math.isfinite(v) for v in row.fixed)
    if row.op == "=~" and fixed:
        return f"expected free loadings, as the factors' variances are 1, found {row.lhs} =~ {row.rhs} fixed"
    if row.op == "~1" and fixed:
        return f"expected free intercepts, found {row.lhs} ~ 1 fixed"
    if row.op == "~1" and row.lhs in factors:
        return f"expected no mean of a factor, as alignment finds it, found {row.lhs} ~ 1"
    if row.op == "~~" and row.lhs == row.rhs and row.lhs in factors:
        return f"expected no variance of a factor, as alignment finds it, found {row.lhs} ~~ {row.rhs}"
    if row.op in ("|", "~*~"):
        return f"expected continuous answers, found {row.lhs} {row.op} {row.rhs}"
    if max(len(row.fixed), len(row.start), len(row.label)) > 1:
        return f"expected the same model in all groups, found modifiers by group in {row.lhs} {row.op} {row.rhs}"
    return ""


def _reference_first(moments: Moments, by: str, reference: str | None) -> list[str]:
    """The groups' labels, that of the reference first."""
    if moments.categories:
        raise ComputationError(
            "expected continuous answers, found moments of ordered ones; align means and covariances"
        )
    groups = list(moments.groups)
    if len(groups) < 2:
        raise ComputationError(f"expected at least two groups of {by}, found {len(groups)}; choose another variable")
    if reference is None:
        return groups
    chosen = [g for g in groups if str(g) == str(reference)]
    if not chosen:
        names = ", ".join(str(g) for g in groups[:12]) + ", ..." * (len(groups) > 12)
        raise ComputationError(f"expected the reference among the groups {names}, found {reference!r}")
    return chosen + [g for g in groups if g not in chosen]


def _configural(
    moments: Moments, rows: Sequence[Row], groups: Sequence[str], shared: dict[str, Any], failed: str
) -> tuple[Configural, list[str]]:
    """The model fitted to each group alone, and what deserves doubt."""
    fitted = fit_each(moments, rows, groups, shared)
    if fitted.failed and (failed == "raise" or len(fitted.groups) < 2):
        names = ", ".join(str(g) for g in list(fitted.failed)[:12]) + ", ..." * (len(fitted.failed) > 12)
        raise ComputationError(
            f"expected a configural model with a solution in every group, found none in {names}; "
            "leave out these groups or simplify the model"
        )
    notes = []
    if moments.left_out:
        notes.append(f"{moments.left_out} respondents with missing answers were left out")
    if fitted.failed:
        reasons = [f"{g} ({reason})" for g, reason in fitted.failed.items()]
        notes.append(f"left out: {', '.join(reasons[:12])}{', ...' * (len(reasons) > 12)}")
    if fitted.improper:
        names = ", ".join(fitted.improper[:12]) + ", ..." * (len(fitted.improper) > 12)
        notes.append(f"the configural model is improper in {names}: a negative variance, or the like")
        warnings.warn(notes[-1], ImproperSolutionWarning, stacklevel=3)
    return fitted, notes


def _turned(fitted: Configural, factor: str, items: Sequence[str]) -> _Estimates:
    """A factor's loadings and intercepts, turned the same way round in all groups."""
    own = [fitted.numbers[factor, "=~", i] for i in items] + [fitted.numbers[i, "~1", ""] for i in items]
    return _one_way(fitted.theta[:, own], fitted.covariances[:, own][:, :, own])


def _one_way(x: Floats, V: Floats) -> _Estimates:
    """A factor's direction is arbitrary in each group."""
    p = x.shape[1] // 2
    sign = np.ones_like(x)
    sign[x[:, :p] @ x[0, :p] < 0, :p] = -1
    return _Estimates(x[:, :p] * sign[:, :p], x[:, p:], V * sign[:, :, None] * sign[:, None, :])


def _tables(
    factor: str, items: Sequence[str], groups: Sequence[str], sizes: Floats, own: _Estimates, found: Aligned,
    spreads: Spread, level: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """One factor's part of `means`, `parameters` and `items`."""
    se, sd_se = (np.sqrt(np.maximum(np.diag(c), 0.0)) for c in (spreads.means, spreads.sds))
    wide = stats.norm.isf((1 - level) / 2) * se
    columns = (groups, sizes, found.means, found.sds, se, found.means - wide, found.means + wide, sd_se)
    means = pd.DataFrame(dict(zip(MEANS[1:], columns, strict=True)))
    means.insert(0, "factor", factor)
    parameters, each = [], []
    shares = explained(own.loadings, own.intercepts, found)
    sources = ((own.loadings, found.loadings, spreads.loadings), (own.intercepts, found.intercepts, spreads.intercepts))
    for i, item in enumerate(items):
        for kind, (configural, aligned, covariance), share in zip(KINDS, sources, shares, strict=True):
            invariant = invariant_groups(aligned[:, i], covariance[i], sizes)
            value = float(np.average(aligned[invariant, i], weights=sizes[invariant]))
            each.append((factor, item, kind, value, float(1 - invariant.mean()), float(share[i])))
            errors = np.sqrt(np.maximum(np.diag(covariance[i]), 0.0))
            parameters += [
                (factor, item, kind, *row)
                for row in zip(groups, configural[:, i], aligned[:, i], errors, invariant, strict=True)
            ]
    return means, pd.DataFrame(parameters, columns=PARAMETERS), pd.DataFrame(each, columns=ITEMS)


def _search_notes(factor: str, found: Aligned) -> list[str]:
    if not found.converged:
        text = f"{factor}: the search stopped where the objective's derivative was {found.gradient_norm:.1e}"
        warnings.warn(text, ConvergenceWarning, stacklevel=3)
        return [text]
    if found.agreeing == 1 < found.starts:
        return [f"{factor}: only one of {found.starts} starts reached the best solution; give more starts"]
    return []


def _share_note(parameters: pd.DataFrame) -> str:
    """Muthen & Asparouhov's (2014) rule."""
    share = 1 - parameters.groupby("kind")["invariant"].mean()
    whole = float(1 - parameters["invariant"].mean())
    advice = (
        f"within the {MOST:.0%} up to which means are trusted (Muthen & Asparouhov 2014)" if whole <= MOST else
        f"more than the {MOST:.0%} up to which means are trusted (Muthen & Asparouhov 2014): check them by a simulation"
    )  # fmt: skip
    return (
        f"{whole:.1%} of the parameters are not invariant (loadings {share['loading']:.1%}, intercepts "
        f"{share['intercept']:.1%}), {advice}"
    )
