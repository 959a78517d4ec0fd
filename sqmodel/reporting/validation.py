"""The analyses behind a validation dossier; what cannot be computed becomes a reason, and the rest goes on."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError, SqmodelError
from sqmodel.measurement.comparability import SMALLEST_GROUP, Comparability
from sqmodel.measurement.confirmatory import Confirmation, confirm, gather, parsed
from sqmodel.measurement.cutoffs import Cutoffs, dynamic_cutoffs
from sqmodel.measurement.invariance import Invariance, compare_groups
from sqmodel.measurement.items import ItemScreening, screen_items
from sqmodel.measurement.planning import SamplePlan, plan_sample
from sqmodel.measurement.reliability import Reliability
from sqmodel.numerics.correlation import moments
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses

T = TypeVar("T")
CUTOFF_REPLICATIONS = 100
"""Simulated samples a level: a cutoff's Monte Carlo error is then about .002."""
Model = Mapping[str, Sequence[str]]

MODELS = ["n", "chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea_low", "rmsea_high", "srmr", "aic", "bic",
          "variant", "converged", "identified", "proper", "reason"]  # fmt: skip
SIZES = (100, 200, 400)
REPLICATIONS = 50
Z = 1.959963984540054


@dataclass(frozen=True)
class Failed:
    """Why something could not be computed, in the error's words."""

    reason: str


def attempt(function: Callable[..., T], *arguments: Any, **options: Any) -> T | Failed:
    """The function's result, or why there is none; doubts that it warns of are in the result's own notes."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return function(*arguments, **options)
    except SqmodelError as error:
        return Failed(str(error))


def found(result: T | Failed) -> T | None:
    """The result, None where there is none."""
    return None if isinstance(result, Failed) else result


@dataclass(frozen=True)
class Models:
    """Rival models of the same answers, and their fit side by side.

    Attributes
    ----------
    fits : dict
        By code: ``correlated``, ``second_order``, ``bifactor``, ``one`` and ``structure:NAME``; the order of the page.
    table : DataFrame
        A row a model. Chi-square is scaled where there is a scaled one; cfi, tli and rmsea (90 % interval) are robust
        where there are robust ones, else scaled: `variant` says which.
    cutoffs : Cutoffs or Failed
        What the indices would be, were this very model wrong in stated ways (McNeish & Wolf).
    """

    fits: dict[str, Confirmation | Failed]
    table: pd.DataFrame = field(repr=False)
    cutoffs: Cutoffs | Failed = field(repr=False)

    @property
    def main(self) -> Confirmation | Failed:
        """The questionnaire's own model."""
        return self.fits["correlated"] if "correlated" in self.fits else self.fits["one"]

    @property
    def best(self) -> str:
        """The sound model with the least BIC; empty where none is sound."""
        sound = self.table[(self.table["reason"] == "") & self.table[["converged", "identified", "proper"]].all(axis=1)]
        bic = sound["bic"].dropna()
        return "" if bic.empty else str(bic.idxmin())


def dimension_model(instrument: Instrument, items: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Dimensions that can be a factor, with their kept items; and those of one item, which cannot."""
    kept = set(items)
    own = {code: [c for c in members if c in kept] for code, members in instrument.structure().items()}
    return {c: m for c, m in own.items() if len(m) > 1}, [c for c, m in own.items() if len(m) == 1]


def compare_models(responses: Responses, model: Model, *, level: float, seed: int = 0) -> Models:
    """The questionnaire's dimensions against other structures, on the respondents who answered all their items.

    Raises
    ------
    ComputationError
        No dimension has two items, or too few respondents answered them all.
    """
    if not model:
        raise ComputationError("expected a dimension of at least two items, found none; add items")
    gathered = gather(responses, parsed(responses, dict(model)))
    fits = {
        code: attempt(confirm, gathered, text, level=level, **options)
        for code, (text, options) in rivals(responses.instrument, model).items()
    }
    main = fits.get("correlated", fits["one"])
    cutoffs = attempt(_cutoffs, main, seed=seed)
    return Models(fits, pd.DataFrame({code: model_row(fit) for code, fit in fits.items()}).T[MODELS], cutoffs)


def _cutoffs(fit: Confirmation | Failed, *, seed: int) -> Cutoffs:
    if isinstance(fit, Failed):
        raise ComputationError(fit.reason)
    if not (fit.converged and fit.identified and fit.proper):
        raise ComputationError("expected a proper solution to simulate from, found one that is not")
    return dynamic_cutoffs(fit, replications=CUTOFF_REPLICATIONS, rng=seed)


def rivals(instrument: Instrument, model: Model) -> dict[str, tuple[str, dict[str, bool]]]:
    """Every model's text and options; structures that do not apply to so few dimensions are left out."""
    items = [c for members in model.values() for c in members]
    general = "general"
    while general in {*model, *items}:
        general += "_"
    dimensions, one = written(model), f"{general} =~ {' + '.join(items)}"
    out: dict[str, tuple[str, dict[str, bool]]] = {}
    if len(model) > 1:
        out["correlated"] = (dimensions, {})
    for name in instrument.structures:
        own = {code: [c for c in members if c in items] for code, members in instrument.structure(name).items()}
        if {c for members in own.values() for c in members} == set(items):
            out[f"structure:{name}"] = (written({c: m for c, m in own.items() if m}), {})
    if len(model) > 2:
        out["second_order"] = (f"{dimensions}\n{general} =~ {' + '.join(model)}", {})
    if len(model) > 1:
        out["bifactor"] = (f"{dimensions}\n{one}", {"std_lv": True, "orthogonal": True})
    return out | {"one": (one, {})}


def written(model: Model) -> str:
    """A mapping of factor to items as model syntax; a factor of one item is that item."""
    lines = [f"{factor} =~ {' + '.join(members)}" for factor, members in model.items()]
    return "\n".join([*lines, *(f"{m[0]} ~~ 0*{m[0]}" for m in model.values() if len(m) == 1)])


def model_row(fit: Confirmation | Failed) -> dict[str, Any]:
    """Fit of one model."""
    nothing: dict[str, Any] = dict.fromkeys(MODELS, math.nan)
    if isinstance(fit, Failed):
        states = {"converged": False, "identified": False, "proper": False}
        return nothing | {"variant": "", "reason": fit.reason} | states
    values = fit.fit
    suffix = next((s for s in (".robust", ".scaled") if math.isfinite(values.get(f"cfi{s}", math.nan))), "")
    scaled = ".scaled" if "chisq.scaled" in values else ""
    row = nothing | {"n": fit.n, "variant": suffix.removeprefix("."), "reason": ""}
    row |= {name: float(values[f"{name}{scaled}"]) for name in ("chisq", "df", "pvalue")}
    row |= {name: float(values[f"{name}{suffix}"]) for name in ("cfi", "tli", "rmsea")}
    row |= {
        f"rmsea_{side}": float(values[f"rmsea.ci.{k}{suffix}"]) for side, k in (("low", "lower"), ("high", "upper"))
    }
    row |= {name: float(values.get(name, math.nan)) for name in ("srmr", "aic", "bic")}
    return row | {"converged": fit.converged, "identified": fit.identified, "proper": fit.proper}


def measurement_error(responses: Responses, items: Sequence[str], reliability: Reliability) -> pd.DataFrame:
    """Standard error of measurement of every dimension's score (0-100), from its internal consistency.

    Omega, or alpha of two items, counts as the reliability. `sem_low` and `sem_high` follow from its interval;
    `sdc` is the smallest change of one respondent that is beyond error, at 95 %, `sdc_mean` that of the mean of all.
    """
    scores, rows = responses.dimension_scores(list(items)), {}
    for code in [c for c in scores.columns if c in reliability.coefficients.index]:
        found_ = {name: float(reliability.coefficients[name].astype(float)[code]) for name in ("omega", "alpha")}
        name = "omega" if math.isfinite(found_["omega"]) else "alpha"
        low, high = reliability.interval(code, name)
        given = scores[code].dropna()
        _, covariance = moments(
            given.to_numpy(float)[:, None], responses.sample_weight[scores[code].notna().to_numpy()]
        )
        sd = math.sqrt(float(covariance[0, 0]))
        sem, least, most = (sd * math.sqrt(min(max(1 - r, 0.0), 1.0)) for r in (found_[name], high, low))
        sdc = Z * math.sqrt(2) * sem
        row = {"n": len(given), "coefficient": name, "reliability": found_[name], "sd": sd}
        row |= {"sem": sem, "sem_low": least, "sem_high": most, "sdc": sdc}
        rows[code] = row | {"sdc_mean": sdc / math.sqrt(len(given))}
    return pd.DataFrame.from_dict(rows, orient="index")


def ladders(responses: Responses, model: Model, gate: Comparability, *, level: float) -> dict[str, Invariance | Failed]:
    """The steps of invariance by every variable that the gate tested, on the same respondents."""
    tested = gate.variables.loc[gate.variables["status"] != "not assessed", "group"]
    return {
        str(by): attempt(compare_groups, large_groups(responses, str(by), model, gate), dict(model), by=by, level=level)
        for by in tested
    }


def large_groups(responses: Responses, by: str, model: Model, gate: Comparability) -> Responses:
    """Complete answers of the groups that are large enough for the gate."""
    used = [c for members in model.values() for c in members]
    labels = responses.frame[by].where(responses.items[used].notna().all(axis=1))
    counts = labels.value_counts()
    kept = counts.index[counts >= gate.settings["smallest_group"]]
    return responses.keep(labels.isin(kept).to_numpy())


def item_bias(
    responses: Responses, items: Sequence[str], *, level: float, smallest: int = SMALLEST_GROUP
) -> dict[str, ItemScreening | Failed]:
    """Item bias by every grouping variable of which two groups are large enough."""
    options = {"items": list(items), "level": level, "minimum_n": smallest}
    given = responses.items[list(items)].notna().any(axis=1)
    sizes = {by: responses.frame[by].where(given).value_counts() for by in responses.group_codes}
    testable = [by for by, counts in sizes.items() if (counts >= smallest).sum() >= 2]
    return {by: attempt(screen_items, responses, by=by, **options) for by in testable}


def plan(fit: Confirmation | Failed, *, level: float, seed: int) -> SamplePlan:
    """What other sample sizes would show, were the estimates the truth.

    Raises
    ------
    ComputationError
        There are no estimates to plan with.
    """
    if isinstance(fit, Failed):
        raise ComputationError(fit.reason)
    if not (fit.converged and fit.identified and fit.proper):
        raise ComputationError("expected a proper solution to plan with, found one that is not; mend the model first")
    table = fit.parameters
    factors = set(table.loc[table["op"] == "=~", "lhs"])
    pairs = (table["op"] == "~~") & table["lhs"].isin(factors) & (table["lhs"] != table["rhs"])
    rows = table.loc[(table["op"] == "=~") | pairs, ["lhs", "op", "rhs", "std"]].itertuples(index=False)
    text = "\n".join(f"{lhs} {op} {std:.6f}*{rhs}" for lhs, op, rhs, std in rows)
    count = int((table["op"] == "=~").sum())
    sizes = [n for n in SIZES if n > count] or [2 * count]
    return plan_sample(text, sizes=sizes, replications=REPLICATIONS, level=level, rng=seed)


def load_parity(path: Path | None = None) -> dict[str, Any] | None:
    """The record of comparisons with other programs: the shipped one, or a file; None where none was shipped."""
    source = files("sqmodel.measurement").joinpath("parity.json") if path is None else path
    if path is None and not source.is_file():
        return None
    content: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return content


def answered(responses: Responses, items: Sequence[str]) -> pd.DataFrame:
    """Answers and missing ones of every item, and of all together."""
    given = responses.items[list(items)].notna()
    return pd.DataFrame({"n": given.sum(), "missing": 1 - given.mean()})


def complete(responses: Responses, items: Sequence[str]) -> int:
    """Respondents who answered every item."""
    return int(np.asarray(responses.items[list(items)].notna().all(axis=1)).sum())
