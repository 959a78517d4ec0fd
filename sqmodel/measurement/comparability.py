"""The comparison gate: by which variables may groups be compared, and what does bias do to their differences?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sqmodel.errors import SqmodelError
from sqmodel.measurement.invariance import Invariance, compare_groups
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

SMALLEST_GROUP = 100
"""Fewer respondents of a group than this say too little about its own loadings and intercepts."""
VARIABLES = ["group", "status", "level", "tested", "left_out", "delta_cfi", "cfi", "released", "reason"]
EFFECTS = ["group", "value", "n", "bias", "observed", "fair"]


@dataclass(frozen=True, repr=False)
class Comparability(Result):
    """Evidence that group differences in the index are differences in service and not in how items are understood.

    Attributes
    ----------
    n : int
    settings : dict
    variables : DataFrame
        A row a grouping variable: status (``comparable``, ``partial``: comparable once the released items' bias is
        known, ``not comparable``, ``not assessed``), the level of invariance that holds, groups tested and left out as
        too small, the change of CFI at the scalar step, released items, and the reason where nothing was assessed.
    effects : DataFrame
        A row a group value that was tested: n; `observed` index points above the first group, of which `bias` come from
        intercepts that differ and `fair` from the latent means.
    """

    n: int
    settings: dict[str, Any]
    variables: pd.DataFrame
    effects: pd.DataFrame

    def _headline(self) -> str:
        counts = self.variables["status"].value_counts()
        return ", ".join(f"{count} {status}" for status, count in counts.items()) or "no grouping variable"

    def status(self, group: str) -> str:
        """Of one grouping variable."""
        own = self.variables.loc[self.variables["group"] == group, "status"]
        return str(own.iloc[0]) if len(own) else "not assessed"


def assess_comparability(
    responses: Responses,
    *,
    groups: Sequence[str] | None = None,
    items: Sequence[str] | None = None,
    smallest_group: int = SMALLEST_GROUP,
) -> Comparability:
    """Do the items of the instrument mean the same to every client group?

    The instrument's dimensions as correlated factors, answers taken as continuous (MLR), by `compare_groups`: a
    difference of means needs scalar invariance, at least partially (Byrne, Shavelson & Muthen 1989).

    Parameters
    ----------
    responses : Responses
        Of one quarter.
    groups : sequence of str, optional
        Grouping variables; all of the instrument by default.
    items : sequence of str, optional
        Items that are scored.
    smallest_group : int
        Groups with fewer complete answers are left out and named.
    """
    chosen = list(items or responses.instrument.item_codes)
    model = {code: [c for c in own if c in chosen] for code, own in responses.instrument.structure().items()}
    model = {code: own for code, own in model.items() if len(own) >= 2}
    rows, effects = [], []
    for group in responses.group_codes if groups is None else groups:
        row, found = _variable(responses, group, model, smallest_group)
        rows.append(row)
        effects += found
    settings = {"smallest_group": smallest_group, "model": model}
    return Comparability(
        len(responses), settings, pd.DataFrame(rows, columns=VARIABLES), pd.DataFrame(effects, columns=EFFECTS)
    )


def _variable(
    responses: Responses, group: str, model: dict[str, list[str]], smallest: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    used = [c for own in model.values() for c in own]
    complete = responses.items[used].notna().all(axis=1)
    labels = responses.frame[group].where(complete)
    counts = labels.value_counts()
    kept = sorted(str(v) for v in counts[counts >= smallest].index)
    left_out = sorted(str(v) for v in responses.frame[group].dropna().unique() if str(v) not in kept)
    row: dict[str, Any] = {"group": group, "tested": ", ".join(kept), "left_out": ", ".join(left_out), "level": "",
                           "delta_cfi": math.nan, "cfi": math.nan, "released": "", "reason": ""}  # fmt: skip
    if len(kept) < 2:
        reason = f"fewer than two groups with {smallest} complete answers"
        return row | {"status": "not assessed", "reason": reason}, []
    part = responses.keep((complete & labels.isin(kept)).to_numpy())
    try:
        with warnings.catch_warnings():
            # Doubts about single models are in the result's notes.
            warnings.simplefilter("ignore")
            found = compare_groups(part, model, by=group)
            effects = _effects(part, group, model, found)
    except SqmodelError as error:
        return row | {"status": "not assessed", "reason": str(error)}, []
    status = "comparable" if found.level in ("scalar", "strict") else "partial" if found.partial else "not comparable"
    scalar = found.steps[found.steps["model"] == "scalar"].iloc[0].to_dict()
    row |= {
        "status": status,
        "level": found.level,
        "delta_cfi": float(scalar["delta_cfi"]),
        "cfi": float(scalar["cfi"]),
    }
    return row | {"released": ", ".join(found.released["lhs"]) if found.partial else ""}, effects


def _effects(part: Responses, group: str, model: dict[str, list[str]], found: Invariance) -> list[dict[str, Any]]:
    """Index points that intercepts alone put between a group and the first one.

    Under the comparable model the groups' item means differ by their latent means; what the observed means differ
    beyond that is bias. Dimensions count alike, as do the items of a dimension.
    """
    fitted = found.confirmations["partial" if found.partial else "scalar"].internal
    scales = {item: part.instrument.scale_of(item) for own in model.values() for item in own}
    labels = list(fitted.moments.groups)
    items = fitted.table.items
    observed = [fitted.moments.groups[g].mean for g in labels]
    by_factors = [at.loading @ at.factor_mean for at in fitted.estimated.implied()]
    out = []
    for g, label in enumerate(labels):
        points = {"observed": 0.0, "bias": 0.0}
        for own in model.values():
            for item in own:
                i = items.index(item)
                share = 100 / (scales[item].maximum - scales[item].minimum) / len(own) / len(model)
                fair = float(by_factors[g][i] - by_factors[0][i])
                difference = float(observed[g][i] - observed[0][i])
                points["observed"] += share * difference
                points["bias"] += share * (difference - fair)
        n = int(fitted.moments.groups[label].n)
        out.append({"group": group, "value": str(label), "n": n, **points, "fair": points["observed"] - points["bias"]})
    return out
