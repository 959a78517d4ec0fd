"""Do the dimensions hold together, and are they distinct from each other?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError
from sqmodel.measurement.confirmatory import Confirmation, confirm, gather, parsed
from sqmodel.measurement.moments import Moments
from sqmodel.measurement.nested import difference_test
from sqmodel.measurement.syntax import Row, write_model
from sqmodel.numerics.correlation import covariance_of_counts, discretised_moments, to_correlation
from sqmodel.numerics.sem.model import implied
from sqmodel.numerics.threads import one_blas_thread
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

Floats = npt.NDArray[np.float64]
PAIRS = ["first", "second", "r", "r_low", "r_high", "htmt", "htmt_low", "htmt_high", "htmt2", "htmt2_low", "htmt2_high",
         "fornell_larcker", "merged_chisq", "merged_df", "merged_pvalue", "verdict"]  # fmt: skip


@dataclass(frozen=True, repr=False)
class Validity(Result):
    """Convergent and discriminant validity.

    Attributes
    ----------
    n : int
    settings : dict
    factors : DataFrame
        A row a factor: items, composite_reliability, ave, each with its interval (low, high), and ave_root.
    pairs : DataFrame
        A row a pair of factors: latent correlation r, htmt and htmt2, each with an interval; whether Fornell and
        Larcker's (1981) rule holds; the test of the model that merges the two; the verdict ``distinct``, ``doubtful``
        or ``the same``.
    confirmation : Confirmation
        The model behind it.
    notes : tuple of str
    """

    n: int
    settings: dict[str, Any]
    factors: pd.DataFrame
    pairs: pd.DataFrame
    confirmation: Confirmation
    notes: tuple[str, ...]

    def _headline(self) -> str:
        counts = self.pairs["verdict"].value_counts()
        said = ", ".join(f"{counts[v]} {v}" for v in ("distinct", "doubtful", "the same") if v in counts)
        return f"{len(self.factors)} factors, n={self.n}: pairs {said or 'none'}"


def assess_validity(
    data: Responses | pd.DataFrame | Moments,
    model: str | Mapping[str, Sequence[str]],
    *,
    ordered: bool = False,
    estimator: str | None = None,
    cutoff: float = 0.90,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
    level: float = 0.95,
) -> Validity:
    """Do the items of a dimension measure one thing, and the dimensions different things?

    Composite reliability is omega of the dimension's items in the whole model, with their observed variance below
    (McDonald 1999; semTools' ``compRelSEM``), for ordered answers Green & Yang's (2009) of the answers' sum; AVE by
    Fornell & Larcker (1981). HTMT is the ratio of mean absolute correlations (Henseler, Ringle & Sarstedt 2015), HTMT2
    of geometric means (Roemer, Schuberth & Henseler 2021). A pair is *the same* where the whole interval of the latent
    correlation lies above `cutoff` or the merged model fits no worse; *distinct* where the intervals of the latent
    correlation and of HTMT lie below it (Ronkko & Cho 2022);
    *doubtful* otherwise.

    Parameters
    ----------
    data, model, ordered, estimator
        As for `confirm`; one group.
    cutoff : float
    draws : int
        Bootstrap draws of respondents for HTMT, reliability and AVE (of the latter two from the model's estimates'
        distribution); 0 for none, as with moments only.
    rng : Generator or int
    level : float

    Raises
    ------
    ComputationError
        A model without two items a factor.
    """
    rows = parsed(data, model)
    moments = gather(data, rows, ordered=ordered)
    fit = confirm(moments, write_model(rows), ordered=ordered, estimator=estimator, level=level)
    table = fit.internal.table
    members = {f: [i for i in table.members(f) if i in table.items] for f in table.factors}
    members = {f: own for f, own in members.items() if own}
    thin = [f for f, own in members.items() if len(own) < 2]
    if thin:
        raise ComputationError(f"expected at least two items a factor, found one for {', '.join(thin)}; add items")
    generator = np.random.default_rng(rng)
    factors = _factors(fit, members, generator, draws, level)
    group = next(iter(moments.groups.values()))
    R = to_correlation(group.cov)
    again = _resampled(moments, ordered, draws, generator)
    pairs = [_pair(a, b, members, table.items, R, again, level) for a, b in combinations(members, 2)]
    out = pd.DataFrame(pairs)
    if len(out):
        out = _judged(out, fit, moments, rows, members, cutoff)
    settings = {"cutoff": cutoff, "draws": draws, "level": level, "ordered": ordered,
                "estimator": fit.settings["estimator"]}  # fmt: skip
    return Validity(fit.n, settings, factors, out.reindex(columns=PAIRS), fit, fit.notes)


def _factors(
    fit: Confirmation, members: Mapping[str, list[str]], rng: np.random.Generator, draws: int, level: float
) -> pd.DataFrame:
    """Reliability and AVE, with intervals from draws of the estimates' normal distribution (Monte Carlo method)."""
    fitted = fit.internal
    theta, covariance = fitted.estimated.solution.theta, fitted.estimated.covariance
    group = next(iter(fitted.moments.groups.values()))
    point = reliability_and_ave(fit, theta[None], members, group.cov)[:, 0]
    if fit.settings["ordered"]:
        point[: len(members)] = ordinal_reliability(fit, members)
    low = high = np.full_like(point, np.nan)
    if draws and covariance is not None and fit.identified:
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        spread = theta + rng.normal(size=(draws, len(theta))) @ root.T
        # With the implied variance below, which varies with the estimates as the observed one does over samples.
        found = reliability_and_ave(fit, spread, members) / reliability_and_ave(fit, theta[None], members)
        low, high = point * np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2], axis=1)
    k = len(members)
    return pd.DataFrame(
        {
            "items": [len(m) for m in members.values()],
            "composite_reliability": point[:k], "cr_low": low[:k], "cr_high": high[:k],
            "ave": point[k:], "ave_low": low[k:], "ave_high": high[k:], "ave_root": np.sqrt(np.maximum(point[k:], 0)),
        },
        index=pd.Index(list(members), name="factor"),
    )  # fmt: skip


def reliability_and_ave(
    fit: Confirmation, theta: Floats, members: Mapping[str, list[str]], cov: Floats | None = None
) -> Floats:
    """Composite reliabilities, then AVEs (2 k x draws), at a stack of estimates, by observed or implied variance."""
    fitted = fit.internal
    block = fitted.estimated.blocks[0]
    at = implied(block, theta)
    items, factors = fitted.table.items, fitted.table.factors
    out = np.empty((2 * len(members), len(theta)))
    for k, (factor, own) in enumerate(members.items()):
        j, rows = factors.index(factor), [items.index(i) for i in own]
        loading = at.loading[:, rows, j]
        variance = at.factor_cov[:, j, j]
        own_cov = at.sigma[:, rows][:, :, rows] if cov is None else cov[np.ix_(rows, rows)]
        if cov is None and block.ordered:
            own_cov = own_cov.copy()
            own_cov[:, np.arange(len(rows)), np.arange(len(rows))] = 1 / at.scale[:, rows] ** 2
        out[k] = loading.sum(axis=1) ** 2 * variance / own_cov.sum(axis=(-2, -1))
        out[len(members) + k] = (loading**2).sum(axis=1) * variance / np.trace(own_cov, axis1=-2, axis2=-1)
    return out


def ordinal_reliability(fit: Confirmation, members: Mapping[str, list[str]]) -> Floats:
    """Composite reliability of the sum of the ordered answers themselves (Green & Yang 2009).

    The variables behind the answers have omega as their reliability; the answers, being cut, have less. Covariances of
    the answers' true scores follow from the thresholds and the correlations that the factor explains; the sum's
    variance from the thresholds and the polychoric correlations, as in semTools' ``compRelSEM``.
    """
    fitted = fit.internal
    group, at = next(iter(fitted.moments.groups.values())), fitted.estimated.implied()[0]
    items, factors = fitted.table.items, fitted.table.factors
    cuts = [group.thresholds[fitted.estimated.blocks[0].threshold_item == i] for i in range(len(items))]
    out = []
    for factor, own in members.items():
        j, rows = factors.index(factor), [items.index(i) for i in own]
        loading = at.loading[rows, j] * at.scale[rows] * math.sqrt(at.factor_cov[j, j])
        true = sum(
            float(covariance_of_counts(cuts[a], cuts[b], loading[x] * loading[y]))
            for x, a in enumerate(rows)
            for y, b in enumerate(rows)
        )
        _, observed = discretised_moments([cuts[i] for i in rows], group.cov[np.ix_(rows, rows)])
        out.append(true / observed.sum())
    return np.array(out)


def htmt(R: Floats, first: Sequence[int], second: Sequence[int], *, geometric: bool = False) -> Floats:
    """Heterotrait-monotrait ratio of absolute correlations (..., p, p)."""
    between = np.abs(R[..., np.array(first)[:, None], np.array(second)])
    mean = _geometric if geometric else np.mean
    top = mean(between.reshape(*between.shape[:-2], -1), axis=-1)
    bottom = []
    for own in (first, second):
        i, j = np.triu_indices(len(own), 1)
        bottom.append(mean(np.abs(R[..., np.array(own)[i], np.array(own)[j]]), axis=-1))
    return np.asarray(top / np.sqrt(bottom[0] * bottom[1]))


def _geometric(x: Floats, axis: int) -> Floats:
    return np.asarray(np.exp(np.log(np.maximum(x, 1e-300)).mean(axis=axis)))


def _resampled(moments: Moments, ordered: bool, draws: int, rng: np.random.Generator) -> Floats | None:
    """Correlation matrices of respondents drawn with replacement; none for ordered items or without answers."""
    if not draws or ordered or not moments.answers:
        return None
    answers = moments.answers[0]
    x, n = answers.x - answers.x.mean(axis=0), len(answers.x)
    weight = np.ones(n) if answers.weight is None else answers.weight
    out = np.empty((draws, x.shape[1], x.shape[1]))
    with one_blas_thread():
        for k in range(draws):
            w = np.bincount(rng.integers(0, n, n), minlength=n) * weight
            mean = w @ x / w.sum()
            out[k] = to_correlation(np.dot((x * w[:, None]).T, x) / w.sum() - np.outer(mean, mean))
    return out


def _pair(
    first: str, second: str, members: Mapping[str, list[str]], items: Sequence[str], R: Floats, again: Floats | None,
    level: float,
) -> dict[str, Any]:  # fmt: skip
    a, b = ([items.index(i) for i in members[f]] for f in (first, second))
    row: dict[str, Any] = {"first": first, "second": second}
    for name, geometric in (("htmt", False), ("htmt2", True)):
        row[name] = float(htmt(R, a, b, geometric=geometric))
        low = high = math.nan
        if again is not None:
            low, high = np.quantile(htmt(again, a, b, geometric=geometric), [(1 - level) / 2, (1 + level) / 2])
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def _judged(
    pairs: pd.DataFrame, fit: Confirmation, moments: Moments, rows: Sequence[Row], members: Mapping[str, list[str]],
    cutoff: float,
) -> pd.DataFrame:  # fmt: skip
    latent = fit.factor_correlations.set_index(["first", "second"])
    ave = reliability_and_ave(fit, fit.internal.estimated.solution.theta[None], members,
                              next(iter(moments.groups.values())).cov)[len(members):, 0]  # fmt: skip
    by_factor = dict(zip(members, ave, strict=True))
    out = []
    for found_row in pairs.to_dict("records"):
        row: dict[str, Any] = {str(k): v for k, v in found_row.items()}
        a, b = row["first"], row["second"]
        found = latent.loc[(a, b)] if (a, b) in latent.index else latent.loc[(b, a)] if (b, a) in latent.index else None
        r, low, high = (math.nan,) * 3 if found is None else (float(found[c]) for c in ("r", "low", "high"))
        merged = _merged(moments, rows, a, b, fit)
        row |= {"r": r, "r_low": low, "r_high": high, **merged}
        row["fornell_larcker"] = bool(r**2 < min(by_factor[a], by_factor[b]))
        row["verdict"] = _verdict(row, cutoff)
        out.append(row)
    return pd.DataFrame(out)


def _merged(moments: Moments, rows: Sequence[Row], first: str, second: str, fit: Confirmation) -> dict[str, float]:
    """The test of one factor in place of two, every other relation kept."""
    named = {second: first}
    merged_rows = [
        row._replace(lhs=named.get(row.lhs, row.lhs), rhs=named.get(row.rhs, row.rhs))
        for row in rows
        if not (row.op == "~~" and {row.lhs, row.rhs} == {first, second})
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doubts about the merged model are not doubts about the result
        merged = confirm(moments, write_model(merged_rows), ordered=fit.settings["ordered"],
                         estimator=fit.settings["estimator"])  # fmt: skip
    test = difference_test(merged, fit)
    return {"merged_chisq": test.chisq, "merged_df": test.df, "merged_pvalue": test.pvalue}


def _verdict(row: Mapping[str, Any], cutoff: float) -> str:
    if row["r_low"] > cutoff or row["merged_pvalue"] > 0.05:
        return "the same"
    htmt_high = row["htmt_high"] if math.isfinite(row["htmt_high"]) else row["htmt"]
    if row["r_high"] < cutoff and htmt_high < cutoff:
        return "distinct"
    return "doubtful"
