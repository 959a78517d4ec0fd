"""May groups be compared? Measurement invariance, from configural to strict, and partial invariance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sqmodel.errors import ComputationError
from sqmodel.measurement.confirmatory import Confirmation, confirm, gather, parsed
from sqmodel.measurement.moments import Moments
from sqmodel.measurement.nested import difference_test
from sqmodel.measurement.syntax import Row, write_model
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

CONTINUOUS = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("loadings", "intercepts"),
    "strict": ("loadings", "intercepts", "residuals"),
}
ORDERED = ("configural", "thresholds", "metric", "scalar")
CHEN = {"metric": (-0.010, 0.015, 0.030), "scalar": (-0.010, 0.015, 0.010), "strict": (-0.010, 0.015, 0.010)}
"""Largest changes of CFI, RMSEA and SRMR (Chen 2007, samples above 300), derived for ML."""
STEPS = ["model", "chisq", "df", "cfi", "rmsea", "srmr", "delta_cfi", "delta_rmsea", "delta_srmr",
         "chisq_difference", "df_difference", "pvalue", "difference_method", "holds"]  # fmt: skip


@dataclass(frozen=True, repr=False)
class Invariance(Result):
    """The ladder of invariance models.

    Attributes
    ----------
    n : int
    settings : dict
    steps : DataFrame
        A row a model: statistics (robust where there are, else scaled), changes from the model before, the difference
        test, and whether the step holds by the rules that `compare_groups` states.
    level : str
        The highest level that holds, "none" where not even the configural model is acceptable.
    released : DataFrame
        Parameters released for partial invariance, in their order, with the score test that chose them.
    latent_means : DataFrame
        Means of the factors against the first group under the highest comparable model: factor, group, est, se, low,
        high, pvalue, and d in standard deviations of the first group.
    partial : bool
        Whether scalar invariance holds only with the released parameters.
    notes : tuple of str
    """

    n: int
    settings: dict[str, Any]
    steps: pd.DataFrame
    level: str
    released: pd.DataFrame
    latent_means: pd.DataFrame
    partial: bool
    notes: tuple[str, ...]

    def _headline(self) -> str:
        held = f"{self.level}{' (partial scalar)' if self.partial else ''}"
        return f"by {self.settings['by']}, {len(self.settings['groups'])} groups, n={self.n}: {held} invariance holds"

    @property
    def confirmations(self) -> dict[str, Confirmation]:
        """The fitted models by the names of the steps, and ``partial`` where released parameters make means comparable.

        Raises
        ------
        ComputationError
            The result was read from a file.
        """
        found: dict[str, Confirmation] | None = self.__dict__.get("_confirmations")
        if found is None:
            raise ComputationError(
                "expected groups compared in this session, found a result read back; call compare_groups() again"
            )
        return found

    @property
    def comparable(self) -> bool:
        """Whether means may be compared: scalar invariance, at least partially."""
        return self.partial or self.level in ("scalar", "strict")


def compare_groups(
    data: Responses | pd.DataFrame | Moments,
    model: str | Mapping[str, Sequence[str]],
    *,
    by: str,
    ordered: bool = False,
    estimator: str | None = None,
    partial: bool = True,
    most_released: float = 0.5,
    level: float = 0.95,
) -> Invariance:
    """Do the items mean the same in every group?

    Continuous answers: configural, metric, scalar, strict, each with lavaan's ``group.equal``. Ordered answers: Wu &
    Estabrook (2016) with delta parametrisation and standardised factors: thresholds, then loadings, then intercepts
    (semTools' ``measEq.syntax``). A step fails by Chen's (2007) rules where CFI drops by more than .010 and RMSEA rises
    by more than .015 or SRMR by more than .030 (metric) or .010 (scalar, strict) beside it; and, which is this
    package's own and stricter, where CFI drops by more than twice its limit, .020, whatever RMSEA and SRMR do. The
    limits were derived for ML; for WLSMV they are used with a note. Where scalar invariance fails, the equality with
    the largest score test is released and the model fitted anew, until the step holds or half of the items are
    released; each release is confirmed by a difference test.

    Parameters
    ----------
    data, model, ordered, estimator
        As for `confirm`.
    by : str
        The grouping variable.
    partial : bool
        Whether to look for partial invariance.
    most_released : float
        Largest share of items whose intercepts may differ.
    level : float
        Of the intervals of the latent means.

    Raises
    ------
    ComputationError
        Fewer than two groups, or a step without more degrees of freedom than the one before.
    """
    rows = parsed(data, model)
    shared: dict[str, Any] = {"estimator": estimator, "ordered": ordered, "level": level}
    moments = gather(data, rows, ordered=ordered, group=by)
    fits = _ladder(moments, rows, shared, ordered)
    groups = fits["configural"].settings["groups"]
    if len(groups) < 2:
        raise ComputationError(f"expected at least two groups of {by}, found {len(groups)}; choose another variable")
    steps = _steps(fits)
    reached = _reached(steps)
    released, partial_fit = pd.DataFrame(columns=["lhs", "op", "rhs", "mi", "chisq_difference", "pvalue"]), None
    if reached == "metric" and partial and not ordered:
        released, partial_fit = _partial(moments, rows, shared, fits, most_released)
    notes = _notes(fits, ordered)
    best = partial_fit or fits["scalar"]
    result = Invariance(
        fits["configural"].n,
        {"by": by, "groups": groups, "ordered": ordered, "estimator": fits["configural"].settings["estimator"],
         "most_released": most_released, "level": level},
        steps, reached, released, _latent_means(best), partial_fit is not None, notes,
    )  # fmt: skip
    # Beside the fields, as in a Confirmation: neither printed nor written.
    result.__dict__["_confirmations"] = fits | ({"partial": partial_fit} if partial_fit else {})
    return result


def _ladder(data: Moments, rows: Sequence[Row], shared: dict[str, Any], ordered: bool) -> dict[str, Confirmation]:
    text = write_model(rows)
    if not ordered:
        return {name: confirm(data, text, group_equal=equal, **shared) for name, equal in CONTINUOUS.items()}
    first = confirm(data, text, std_lv=True, **shared)
    fits = {"configural": first}
    for name in ORDERED[1:]:
        model = write_model(wu_estabrook(rows, first, name))
        equal = ("thresholds",) if name == "thresholds" else ("thresholds", "loadings")
        fits[name] = confirm(data, model, std_lv=True, group_equal=equal, mean_structure=True, **shared)
    return fits


def wu_estabrook(rows: Sequence[Row], configural: Confirmation, level: str) -> tuple[Row, ...]:
    """The relations that identify ordered items with equal thresholds (Wu & Estabrook 2016).

    With thresholds equal, scales and intercepts of later groups are free; with loadings as well, the variances of
    their factors; with intercepts, their factors' means, and intercepts are zero everywhere. Items with fewer than four
    categories need more constraints at once: with two, scales and intercepts stay fixed; with three, thresholds alone
    restrict nothing, and the step says so by its degrees of freedom.
    """
    table = configural.internal.table
    count, free = table.groups, math.nan
    later = (free,) * (count - 1)
    out = list(rows)

    def add(lhs: str, op: str, rhs: str, values: tuple[float, ...]) -> None:
        out.append(Row(lhs, op, rhs, values, (), (), 0))

    for item in table.items:
        categories = table.options.categories[item]
        add(item, "~*~", item, (1.0, *later) if categories > 2 else (1.0,) * count)
        moved = categories > 2 and level != "scalar"
        add(item, "~1", "", (0.0, *later) if moved else (0.0,) * count)
    explained = {c.rhs for c in table.cells if c.op == "=~" and c.rhs in table.factors}
    for factor in table.factors:
        add(factor, "~~", factor, (1.0,) * count if level == "thresholds" else (1.0, *later))
        if factor not in explained:
            add(factor, "~1", "", (0.0, *later) if level == "scalar" else (0.0,) * count)
    return tuple(out)


def _chosen(fit: Confirmation, name: str) -> float:
    """The robust index; without one the scaled, without that the naive."""
    for suffix in (".robust", ".scaled", ""):
        value = fit.fit.get(name + suffix, math.nan)
        if math.isfinite(value):
            return value
    return math.nan


def _steps(fits: Mapping[str, Confirmation]) -> pd.DataFrame:
    out: list[dict[str, Any]] = []
    before: Confirmation | None = None
    for name, fit in fits.items():
        # Robust indices of ordered models exist for the first step only in lavaan; scaled ones for all.
        suffix = ".scaled" if fit.settings["ordered"] else ""
        index = {k: fit.fit.get(k + suffix, math.nan) if suffix else _chosen(fit, k) for k in ("cfi", "rmsea")} | {
            "srmr": fit.fit["srmr"]
        }
        row: dict[str, Any] = {
            "model": name, "chisq": fit.fit.get("chisq.scaled", fit.fit["chisq"]), "df": int(fit.fit["df"]), **index,
        }  # fmt: skip
        if before is not None:
            test = difference_test(fit, before)
            row |= {f"delta_{k}": index[k] - out[-1][k] for k in index}
            row |= {"chisq_difference": test.chisq, "df_difference": test.df, "pvalue": test.pvalue,
                    "difference_method": test.method}  # fmt: skip
            row["holds"] = _holds(name, row) and fit.converged
        else:
            row["holds"] = fit.converged
        out.append(row)
        before = fit
    return pd.DataFrame(out, columns=STEPS)


def _holds(name: str, row: Mapping[str, Any]) -> bool:
    """By Chen's limits: CFI, and RMSEA or SRMR beside it; a drop of CFI by twice its limit fails alone."""
    cfi, rmsea, srmr = CHEN.get(name, CHEN["metric"])
    return not (row["delta_cfi"] < cfi and (row["delta_rmsea"] > rmsea or row["delta_srmr"] > srmr)) and not (
        row["delta_cfi"] < 2 * cfi
    )


def _reached(steps: pd.DataFrame) -> str:
    held = "none"
    for name, holds in zip(steps["model"], steps["holds"], strict=True):
        if not holds:
            break
        held = str(name)
    return held


def _partial(
    data: Moments, rows: Sequence[Row], shared: dict[str, Any], fits: Mapping[str, Confirmation], most: float
) -> tuple[pd.DataFrame, Confirmation | None]:
    """Intercepts released one by one until the scalar step holds; None where too many would have to go."""
    text, metric, current = write_model(rows), fits["metric"], fits["scalar"]
    items = current.internal.table.items
    released: list[str] = []
    out: list[dict[str, Any]] = []
    while len(released) < most * len(items):
        tests = current.score_tests
        tests = tests[(tests["op"] == "~1") & tests["lhs"].isin(items) & ~tests["lhs"].isin(released)]
        if tests.empty:
            return pd.DataFrame(out), None
        found = tests.groupby("lhs")["mi"].max().sort_values(ascending=False)
        item = str(found.index[0])
        released.append(item)
        free = [f"{name} ~ 1" for name in released]
        relaxed = confirm(data, text, group_equal=CONTINUOUS["scalar"], group_partial=free, **shared)
        test = difference_test(current, relaxed)
        out.append({"lhs": item, "op": "~1", "rhs": "", "mi": float(found.iloc[0]),
                    "chisq_difference": test.chisq, "pvalue": test.pvalue})  # fmt: skip
        current = relaxed
        change = {f"delta_{k}": _chosen(current, k) - _chosen(metric, k) for k in ("cfi", "rmsea")}
        change["delta_srmr"] = current.fit["srmr"] - metric.fit["srmr"]
        if _holds("scalar", change):
            return pd.DataFrame(out), current
    return pd.DataFrame(out), None


def _latent_means(fit: Confirmation) -> pd.DataFrame:
    p = fit.parameters
    factors = list(dict.fromkeys(p.loc[p["op"] == "=~", "lhs"]))
    groups = fit.settings["groups"]
    rows = []
    for factor in factors:
        own = p[(p["lhs"] == factor) & (p["rhs"] == factor) & (p["op"] == "~~") & (p["group"] == groups[0])]
        deviation = math.sqrt(max(float(own["est"].iloc[0]), 0.0)) if len(own) else math.nan
        means = p[(p["lhs"] == factor) & (p["op"] == "~1") & p["free"]]
        rows += [
            (factor, r.group, r.est, r.se, r.low, r.high, r.pvalue, r.est / deviation if deviation else math.nan)
            for r in means.itertuples()
        ]
    return pd.DataFrame(rows, columns=["factor", "group", "est", "se", "low", "high", "pvalue", "d"])


def _notes(fits: Mapping[str, Confirmation], ordered: bool) -> tuple[str, ...]:
    notes = [f"{name}: {note}" for name, fit in fits.items() for note in fit.notes]
    if ordered:
        notes.append("Chen's limits were derived for ML; for WLSMV they are a convention only")
    return tuple(dict.fromkeys(notes))
