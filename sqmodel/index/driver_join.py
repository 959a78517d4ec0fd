"""Answers and what happened, case by case: what can be joined, and what is wrong with either side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.index.driver_design import TRANSFORMS
from sqmodel.index.driver_features import WAIT
from sqmodel.index.driver_model import Array
from sqmodel.measurement.measure import Measure


def check_arguments(
    measure: Measure,
    features: pd.DataFrame,
    transform: str,
    adjust: Sequence[str],
    limits: Mapping[str, Any],
    middle: float,
    level: float,
) -> None:
    """Raise, with all problems at once, where the answers, the features or an argument cannot be used."""
    problems: list[Problem | str] = []
    frame = measure.current.frame
    if "case_id" not in frame or not frame["case_id"].notna().any():
        problems.append("answers: expected a column case_id that names the cases, found none")
    problems += _check_features(features)
    if transform not in TRANSFORMS:
        problems.append(f"transform: expected one of {', '.join(TRANSFORMS)}, found {transform!r}")
    for code in adjust:
        if code not in measure.current.group_codes:
            known = ", ".join(measure.current.group_codes) or "none"
            problems.append(f"adjust: expected grouping variables of the answers ({known}), found {code!r}")
    for name, limit in limits.items():
        if name not in features or not name.startswith(WAIT):
            problems.append(f"limits: expected waits among the features, found {name!r}")
        wrong = [v for v in np.atleast_1d(np.asarray(limit, dtype=object)) if not _positive(v)]
        problems += [f"limits: {name}: expected hours above 0, found {v!r}" for v in wrong]
    for what, value, low, high in (("level", level, 0, 1), ("middle", middle, 0, 100)):
        if not low < value < high:
            problems.append(f"{what}: expected a number between {low} and {high}, found {value!r}")
    if problems:
        raise OperationsError("find_drivers", problems, "give answers with case_id, and one row of features a case")


def _positive(value: object) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and math.isfinite(float(value)) and float(value) > 0  # type: ignore[arg-type]


def _check_features(features: pd.DataFrame) -> list[Problem | str]:
    problems: list[Problem | str] = []
    if not features.shape[1]:
        problems.append("features: expected at least one column, found none")
    twice = features.index[features.index.duplicated()].unique()
    if len(twice):
        problems.append(Problem("features: expected one row a case, found several", tuple(map(str, twice))))
    columns = features.columns[features.columns.duplicated()].unique()
    if len(columns):
        problems.append(Problem("features: expected every column once, found several", tuple(map(str, columns))))
        return problems
    for name in features:
        if not (pd.api.types.is_numeric_dtype(features[name]) or pd.api.types.is_bool_dtype(features[name])):
            problems.append(f"features: {name}: expected numbers, found {features[name].dtype}")
            continue
        values = features[name].astype(float)
        wrong = features.index[np.isinf(values) | (str(name).startswith(WAIT) & (values < 0))]
        if len(wrong):
            expected = "hours of 0 or more" if str(name).startswith(WAIT) else "finite numbers"
            message = f"features: {name}: expected {expected}, found others in cases"
            problems.append(Problem(message, tuple(map(str, wrong))))
    return problems


def join(
    measure: Measure, features: pd.DataFrame, adjust: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, Array, pd.DataFrame]:
    """Scores, groups and weights of the cases that have both answers and features, and what was joined."""
    current = measure.current
    case = current.frame["case_id"].where(current.frame["case_id"].notna())
    named = case.notna().to_numpy()
    both = named & case.isin(features.index).to_numpy()
    if not both.any():
        raise OperationsError(
            "find_drivers",
            [
                Problem("answers: no case_id is among the features, found", tuple(sorted(case[named].astype(str)))),
                Problem("features: expected the cases of the answers, found", tuple(map(str, features.index[:6])),
                        len(features)),
            ],
            "check that both name cases in the same way",
        )  # fmt: skip
    scores = current.dimension_scores(list(measure.items))[both]
    ids = case[both].to_numpy()
    weight = pd.Series(current.sample_weight[both]).groupby(ids).mean()
    labels = current.frame.loc[both, [*dict.fromkeys([*current.group_codes, *adjust])]].groupby(ids).first()
    counts = {
        "answers": len(current),
        "answers without case_id": int((~named).sum()),
        "answers whose case has no features": int((named & ~both).sum()),
        "answers joined": int(both.sum()),
        "cases joined": len(weight),
        "cases answered more than once": int((pd.Series(ids).value_counts() > 1).sum()),
        "cases with features but no answer": len(features.index.difference(pd.Index(ids))),
    }
    return scores.groupby(ids).mean(), labels, np.asarray(weight, dtype=float), counts_frame(counts)


def counts_frame(counts: Mapping[str, int]) -> pd.DataFrame:
    """Counts in a frame, indexed by what was counted."""
    return pd.DataFrame({"count": list(counts.values())}, index=pd.Index(list(counts), name="what"))
