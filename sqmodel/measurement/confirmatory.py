"""Confirmatory factor analysis: does the questionnaire measure what its structure says?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.special import ndtr

from sqmodel.errors import (
    ComputationError,
    ConvergenceWarning,
    IdentificationWarning,
    ImproperSolutionWarning,
    InputError,
)
from sqmodel.measurement.diagram import Diagram, path_diagram
from sqmodel.measurement.model_table import Options, Table, complete
from sqmodel.measurement.modification import modification_indices, score_tests
from sqmodel.measurement.moments import Moments
from sqmodel.measurement.source import Source
from sqmodel.measurement.standardised import standardised_with_errors
from sqmodel.measurement.syntax import Row, parse_model
from sqmodel.numerics.sem import curvature
from sqmodel.numerics.sem.estimated import Estimated
from sqmodel.numerics.sem.least_squares import fit_least_squares, unweighted
from sqmodel.numerics.sem.likelihood import fit_normal, srmr_normal
from sqmodel.numerics.sem.samples import Normal
from sqmodel.numerics.sem.start import start_values
from sqmodel.numerics.threads import one_blas_thread
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

ESTIMATORS = {"continuous": ("ML", "MLR", "MLM", "ULSM"), "ordered": ("WLSMV", "ULSMV", "DWLS", "ULS")}
SINGULAR = 1e-8
"""Smallest eigenvalue of the information on unit diagonals below which the model counts as not identified."""
PARAMETERS = ["lhs", "op", "rhs", "group", "label", "free", "est", "se", "z", "pvalue", "low", "high",
              "std", "std_se", "std_low", "std_high"]  # fmt: skip


@dataclass(frozen=True, repr=False)
class Confirmation(Result):
    """A fitted measurement model.

    Attributes
    ----------
    n : int
        Respondents, without those left out.
    settings : dict
        Model text, estimator, and the other arguments.
    fit : dict
        lavaan's names: chisq, df, pvalue, cfi, tli, rmsea, rmsea.ci.lower, srmr, chisq.scaled, cfi.robust ...
    parameters : DataFrame
        A row a parameter and group: lhs, op, rhs, group, label, free, est, se, z, pvalue, low, high, and the
        standardised solution (lavaan's std.all): std, std_se, std_low, std_high.
    converged, proper, identified : bool
        Whether the search ended in a minimum; no negative variance and a positive definite matrix of factors;
        information of full rank.
    notes : tuple of str
        Everything that deserves doubt.
    """

    n: int
    settings: dict[str, Any]
    fit: dict[str, float]
    parameters: pd.DataFrame
    converged: bool
    proper: bool
    identified: bool
    notes: tuple[str, ...]

    def _headline(self) -> str:
        rows = self.parameters[(self.parameters["op"] == "=~")]
        items = rows.loc[~rows["rhs"].isin(rows["lhs"]), "rhs"].nunique()
        which = next((s for s in (".robust", ".scaled", "") if math.isfinite(self.fit.get(f"cfi{s}", math.nan))), "")
        kind = f"{which[1:]} " if which else ""
        doubt = "".join(
            f"{word}, " for word, good in (("NOT converged", self.converged), ("NOT identified", self.identified),
                                           ("IMPROPER", self.proper)) if not good
        )  # fmt: skip
        low, high = self.fit[f"rmsea.ci.lower{which}"], self.fit[f"rmsea.ci.upper{which}"]
        return (
            f"{doubt}{items} items, {rows['lhs'].nunique()} factors, n={self.n}: {kind}CFI "
            f"{_short(self.fit[f'cfi{which}'])}, RMSEA {_short(self.fit[f'rmsea{which}'])} "
            f"[{_short(low)}, {_short(high)}]"
        )

    @property
    def loadings(self) -> pd.DataFrame:
        """Standardised loadings with intervals, a row a loading."""
        rows = self.parameters[self.parameters["op"] == "=~"]
        names = {"lhs": "factor", "rhs": "item", "std": "loading", "std_se": "se", "std_low": "low", "std_high": "high"}
        return rows[["group", *names]].rename(columns=names).reset_index(drop=True)

    @property
    def factor_correlations(self) -> pd.DataFrame:
        """Correlations of the factors with intervals, a row a pair (and group)."""
        factors = set(self.parameters.loc[self.parameters["op"] == "=~", "lhs"])
        rows = self.parameters[(self.parameters["op"] == "~~") & self.parameters["lhs"].isin(factors)]
        rows = rows[rows["lhs"] != rows["rhs"]]
        names = {"lhs": "first", "rhs": "second", "std": "r", "std_se": "se", "std_low": "low", "std_high": "high"}
        return rows[["group", *names]].rename(columns=names).reset_index(drop=True)

    def path_diagram(self, group: str | None = None) -> Diagram:
        """Factors, items, standardised loadings and correlations as a drawing."""
        return path_diagram(self, group)

    @cached_property
    def modification_indices(self) -> pd.DataFrame:
        """What freeing each fixed parameter would gain: mi, expected change (epc, and standardised), largest first."""
        return modification_indices(self.internal)

    @cached_property
    def score_tests(self) -> pd.DataFrame:
        """What releasing each equality constraint would gain."""
        return score_tests(self.internal)

    @property
    def internal(self) -> Fitted:
        """The fit's own matrices; a result read back from JSON has none.

        Raises
        ------
        ComputationError
            The result was read from a file.
        """
        found = self.__dict__.get("_fitted")
        if found is None:
            raise ComputationError("expected a model fitted in this session, found one read back; call confirm() again")
        return found  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Fitted:
    """What stands behind a Confirmation: used by difference tests, modification indices and the like."""

    table: Table
    moments: Moments
    estimated: Estimated
    estimator: str


@one_blas_thread()
def confirm(
    data: Responses | pd.DataFrame | Moments,
    model: str | Mapping[str, Sequence[str]],
    *,
    estimator: str | None = None,
    ordered: bool = False,
    group: str | Sequence[object] | None = None,
    missing: str = "listwise",
    cluster: str | Sequence[object] | None = None,
    weight: str | npt.ArrayLike | None = None,
    std_lv: bool = False,
    orthogonal: bool = False,
    mean_structure: bool = False,
    group_equal: Sequence[str] = (),
    group_partial: Sequence[str] = (),
    bounds: bool = False,
    level: float = 0.95,
) -> Confirmation:
    """Does a measurement model fit the answers?

    Confirmatory factor analysis with lavaan's rules for `cfa` and its definitions of every statistic (lavaan 0.6-14);
    the search itself is ours (Fisher scoring, then Newton) and goes on to the optimum. Of more than 1,500 parameters
    (many groups) standard errors and tests are those of normal data whatever the estimator, and a note says so.

    Parameters
    ----------
    data : Responses, DataFrame or Moments
    model : str or mapping
        lavaan's syntax; for Responses also the name of a structure; or a mapping of factor to items.
    estimator : str, optional
        Continuous answers: ``MLR`` (default), ``ML``, ``MLM``, ``ULSM``. Ordered: ``WLSMV`` (default), ``ULSMV``,
        ``DWLS``, ``ULS``.
    ordered : bool
        Treat all items as ordered categories (polychoric correlations, delta parametrisation).
    group, cluster, weight : str or array, optional
        Column, or one value a respondent. Clusters and weights need MLR.
    missing : {"listwise", "fiml"}
        Whether respondents with missing answers are left out, or count with what they answered (ML and MLR).
    std_lv, orthogonal, mean_structure : bool
        As in lavaan. Several groups, clusters and incomplete data always have means.
    group_equal : sequence of str
        loadings, intercepts, residuals, means, lv.variances, lv.covariances, thresholds.
    group_partial : sequence of str
        Relations released from them, such as ``"x3 ~ 1"``.
    bounds : bool
        Keep variances from being negative (small samples); a variance at its bound is named.
    level : float
        Confidence level of the parameters' intervals.

    Raises
    ------
    InputError, ModelSyntaxError
        A model that cannot be read, unknown variables, arguments that do not go together, groups, clusters or weights
        that are not one a respondent.
    ComputationError
        Data that carry no such model: constant, unanswered or repeated items, too few respondents or clusters,
        categories empty in a group, more parameters than moments.
    """
    rows = parsed(data, model)
    ordered = ordered or (isinstance(data, Moments) and bool(data.categories))
    incomplete = missing == "fiml" or (isinstance(data, Moments) and bool(data.samples))
    _check_arguments(estimator, ordered, missing, incomplete, cluster, weight)
    moments = gather(data, rows, ordered=ordered, group=group, missing=missing, cluster=cluster, weight=weight)
    chosen = estimator or _default(ordered, moments)
    options = Options(
        std_lv=std_lv, orthogonal=orthogonal, group_equal=tuple(group_equal),
        mean_structure=mean_structure or len(moments.groups) > 1 or bool(moments.samples) or _clustered(moments),
        group_partial=tuple((r.lhs, r.op, r.rhs) for text in group_partial for r in parse_model(text)),
        categories=moments.categories,
    )  # fmt: skip
    table = complete(rows, len(moments.groups), options)
    fitted = Fitted(table, moments, _estimate(table, moments, chosen, bounds), chosen)
    settings = {
        "model": model if isinstance(model, str) else {k: list(v) for k, v in model.items()}, "estimator": chosen,
        "ordered": ordered, "groups": [str(g) for g in moments.groups], "missing": missing, "std_lv": std_lv,
        "orthogonal": orthogonal, "group_equal": list(group_equal), "group_partial": list(group_partial),
        "bounds": bounds, "level": level,
    }  # fmt: skip
    return _result(fitted, settings, level)


def _short(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1) if math.isfinite(value) else "n/a"


def parsed(data: Responses | pd.DataFrame | Moments, model: str | Mapping[str, Sequence[str]]) -> tuple[Row, ...]:
    """The relations of a model given as syntax, as the name of a structure or as a mapping of factor to items."""
    if isinstance(data, Responses) and isinstance(model, str) and not set("=~\n") & set(model):
        model = data.instrument.structure(model)
    if not isinstance(model, str):
        model = "\n".join(f"{factor} =~ {' + '.join(members)}" for factor, members in model.items())
    return parse_model(model)


def _clustered(moments: Moments) -> bool:
    return any(a.cluster is not None for a in moments.answers)


def gather(
    data: Responses | pd.DataFrame | Moments,
    rows: Sequence[Row],
    *,
    ordered: bool = False,
    group: str | Sequence[object] | None = None,
    missing: str = "listwise",
    cluster: str | Sequence[object] | None = None,
    weight: str | npt.ArrayLike | None = None,
) -> Moments:
    """The statistics that a model is fitted to: computed once, they serve many models of the same items."""
    factors = {r.lhs for r in rows if r.op == "=~"}
    items = tuple(dict.fromkeys(r.rhs for r in rows if r.op == "=~" and r.rhs not in factors))
    if isinstance(data, Moments):
        return data.select(items)
    return Source(data, items, group=group, cluster=cluster, weight=weight).collect(ordered=ordered, missing=missing)


def _check_arguments(
    estimator: str | None, ordered: bool, missing: str, incomplete: bool, cluster: object, weight: object
) -> None:
    problems = []
    allowed = ESTIMATORS["ordered" if ordered else "continuous"]
    if estimator is not None and estimator not in allowed:
        kind = "ordered" if ordered else "continuous"
        problems.append(f"expected an estimator for {kind} answers ({', '.join(allowed)}), found {estimator!r}")
    if missing not in ("listwise", "fiml"):
        problems.append(f"expected missing='listwise' or 'fiml', found {missing!r}")
    if ordered and missing == "fiml":
        problems.append("expected missing='listwise' with ordered answers, found 'fiml'")
    if incomplete and not ordered and estimator in allowed and estimator not in ("ML", "MLR"):
        problems.append(f"expected ML or MLR for incomplete answers (missing='fiml'), found {estimator!r}")
    if (cluster is not None or weight is not None) and estimator not in (None, "MLR") and not ordered:
        problems.append(f"expected MLR with clusters or weights, found {estimator!r}")
    if cluster is not None and ordered:
        problems.append("expected continuous answers with clusters, found ordered ones")
    if problems:
        raise InputError("confirm", problems)


def _default(ordered: bool, moments: Moments) -> str:
    if ordered:
        return "WLSMV"
    return "MLR" if moments.answers else "ML"


def _estimate(table: Table, moments: Moments, estimator: str, bounds: bool) -> Estimated:
    blocks, groups = table.blocks(), list(moments.groups.values())
    _check_counts(table, moments)
    start = start_values(
        table.q, blocks, [g.cov for g in groups], [g.mean for g in groups], [g.thresholds for g in groups]
    )
    for cell in table.cells:
        if cell.free >= 0 and not math.isnan(cell.start):
            start[cell.free] = cell.start
    limits = _bounds(table) if bounds else None
    answers = moments.answers or None
    if moments.categories:
        samples = moments.least_squares(weighted=not estimator.startswith("ULS"))
        gammas = [g.acov for g in groups if g.acov is not None]
        return fit_least_squares(blocks, samples, gammas, start, estimator=estimator, bounds=limits)
    if answers is None and estimator != "ML":
        raise ComputationError(f"expected answers for {estimator}, found moments only; use estimator='ML'")
    if estimator == "ULSM" and answers is not None:
        found = [
            unweighted(b, Normal.of(g.n, g.mean, g.cov), a) for b, g, a in zip(blocks, groups, answers, strict=True)
        ]
        found_fit = fit_least_squares(
            blocks, [f[0] for f in found], [f[1] for f in found], start, estimator=estimator, bounds=limits
        )
        compared = [Normal.of(g.n, g.mean, g.cov * (g.n / (g.n - 1))) for g in groups]
        srmr = srmr_normal(blocks, compared, found_fit.solution.theta)
        return replace(found_fit, fit=found_fit.fit | {"srmr": srmr, "srmr_bentler": srmr})
    return fit_normal(blocks, moments.normal(), start, answers=answers, estimator=estimator, bounds=limits)


def _bounds(table: Table) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Variances at least zero."""
    low, high = np.full(table.q, -np.inf), np.full(table.q, np.inf)
    for cell in table.cells:
        if cell.free >= 0 and cell.op == "~~" and cell.lhs == cell.rhs:
            low[cell.free] = 0.0
    return low, high


def _check_counts(table: Table, moments: Moments) -> None:
    p = len(table.items)
    if moments.categories:
        count = sum(len(g.thresholds) + p * (p - 1) // 2 for g in moments.groups.values())
    else:
        count = len(moments.groups) * (p * (p + 1) // 2 + p * table.options.mean_structure)
    if table.q > count:
        single = [f for f in table.factors if len(table.members(f)) == 1]
        hint = f"; {', '.join(single)} has one item: fix its residual variance (x ~~ 0*x)" if single else ""
        raise ComputationError(
            f"expected no more parameters than the {count} moments of the data, found {table.q}; "
            f"fix or equate parameters, or use more items{hint}"
        )


def _result(fitted: Fitted, settings: dict[str, Any], level: float) -> Confirmation:
    estimated, moments = fitted.estimated, fitted.moments
    parameters = _parameters(fitted, level)
    identified = not estimated.singular < SINGULAR
    if not identified:
        parameters.loc[parameters["free"], ["se", "z", "pvalue", "low", "high", "std_se", "std_low", "std_high"]] = (
            np.nan
        )
    improper = _improper(fitted)
    notes = [*moments.notes, *improper]
    if moments.left_out:
        notes.append(f"{moments.left_out} respondents with missing answers were left out")
    if estimated.covariance is None:
        robustly = ", standard errors and tests are those of normal data" if fitted.estimator != "ML" else ""
        notes.append(
            f"more than {curvature.DENSE} parameters: no standard errors of the standardised solution{robustly}"
        )
    if not identified:
        notes.append(
            f"the model is not identified: the information has rank less than {fitted.table.q}; no standard errors"
        )
        warn(notes[-1], IdentificationWarning, stacklevel=3)
    if not estimated.solution.converged:
        notes.append(
            f"the search stopped after {estimated.solution.iterations} steps where another would still gain "
            f"{estimated.solution.decrement:.1e}"
        )
        warn(notes[-1], ConvergenceWarning, stacklevel=3)
    for text in improper:
        warn(text, ImproperSolutionWarning, stacklevel=3)
    result = Confirmation(
        round(moments.n), settings, estimated.fit, parameters, estimated.solution.converged, not improper, identified,
        tuple(notes),
    )  # fmt: skip
    result.__dict__["_fitted"] = fitted
    return result


def _parameters(fitted: Fitted, level: float) -> pd.DataFrame:
    estimated, labels, cells = fitted.estimated, list(fitted.moments.groups), fitted.table.cells
    theta, z_level = estimated.solution.theta, stats.norm.isf((1 - level) / 2)
    number = np.array([c.free for c in cells])
    free, place = number >= 0, np.maximum(number, 0)
    est = np.where(free, theta[place], [c.value for c in cells])
    se = np.where(free, estimated.se[place], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(free & (se > 0), est / se, np.nan)
    group = np.array([c.group for c in cells])
    std, std_se = np.empty(len(cells)), np.empty(len(cells))
    for g, block in enumerate(estimated.blocks):
        std[group == g], std_se[group == g] = standardised_with_errors(block, theta, estimated.covariance)
    columns = {
        "lhs": [c.lhs for c in cells], "op": [c.op for c in cells], "rhs": [c.rhs for c in cells],
        "group": [str(labels[g]) for g in group], "label": ["" if c.label.startswith(".") else c.label for c in cells],
        "free": free, "est": est, "se": se, "z": z, "pvalue": 2 * ndtr(-np.abs(z)),
        "low": est - z_level * se, "high": est + z_level * se,
        "std": std, "std_se": std_se, "std_low": std - z_level * std_se, "std_high": std + z_level * std_se,
    }  # fmt: skip
    return pd.DataFrame(columns, columns=PARAMETERS)


def _improper(fitted: Fitted) -> list[str]:
    """Negative variances and latent matrices that are not positive definite, by group."""
    out = []
    theta = fitted.estimated.solution.theta
    at_bound = fitted.estimated.solution.at_bound
    labels = list(fitted.moments.groups)
    for g, (block, at) in enumerate(zip(fitted.estimated.blocks, fitted.estimated.implied(), strict=True)):
        where = f" in group {labels[g]}" if labels[g] != "" else ""
        for cell in fitted.table.cells:
            if cell.group != g or cell.op != "~~" or cell.lhs != cell.rhs or cell.free < 0:
                continue
            if theta[cell.free] < -1e-8 or at_bound[cell.free]:
                found = "on its bound" if at_bound[cell.free] else f"{theta[cell.free]:.4f}"
                out.append(f"the variance of {cell.lhs}{where} is {found}")
        if block.ordered:
            rest = 1 / at.scale**2 - np.einsum("ij,jk,ik->i", at.loading, at.factor_cov, at.loading)
            out += [
                f"the residual variance of {fitted.table.items[i]}{where} is {rest[i]:.4f}"
                for i in np.flatnonzero(rest < -1e-8)
            ]
        psi = at.factor_cov
        size = np.sqrt(np.maximum(np.abs(np.diag(psi)), 1e-12))
        if len(psi) and np.linalg.eigvalsh(psi / np.outer(size, size))[0] < -1e-6:
            out.append(f"the covariance matrix of the factors{where} is not positive definite")
    return out
