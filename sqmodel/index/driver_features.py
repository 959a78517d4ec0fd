"""What happened to each case, in one row: waits, rework and breaches, ready to be joined with its answers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.standards import ServiceStandard

WAIT, REWORK, BREACH = "wait_", "rework_", "breach_"


def driver_features(
    steps: pd.DataFrame,
    breaches: pd.DataFrame | None = None,
    *,
    standard: ServiceStandard | None = None,
    only: Sequence[str] | None = None,
) -> pd.DataFrame:
    """What each case went through, as possible drivers of what its client felt.

    Parameters
    ----------
    steps : DataFrame
        One row an execution, as `EventLog.steps()` gives it: case_id, step, waiting_hours, repeat, and completed
        (with a `standard`).
    breaches : DataFrame, optional
        `Compliance.breaches`: one row a case and rule that was breached: case_id, rule.
    standard : ServiceStandard, optional
        Whose rules they are. A case that neither breached a rule nor completed what the rule is about has no value;
        without a standard it counts as one that kept the rule.
    only : sequence of str, optional
        Steps to use; all by default.

    Returns
    -------
    DataFrame indexed by case_id
        ``wait_STEP``: hours waited for the step, all its executions together; NaN where it did not begin.
        ``rework_STEP``: how often it was done again, for steps that ever were. ``breach_RULE``: 1 or 0.

    Raises
    ------
    OperationsError
        A column is missing, or `only` names a step that did not happen.

    Examples
    --------
    >>> steps = pd.DataFrame({"case_id": ["a", "a", "b"], "step": ["review", "review", "review"],
    ...                       "waiting_hours": [5.0, 2.0, 3.0], "repeat": [0, 1, 0]})
    >>> driver_features(steps).to_dict("index")
    {'a': {'wait_review': 7.0, 'rework_review': 1.0}, 'b': {'wait_review': 3.0, 'rework_review': 0.0}}
    """
    _check_frames(steps, breaches, standard, only)
    used = steps if only is None else steps[steps["step"].isin(list(only))]
    counted = used.assign(again=(used["repeat"] > 0).astype(float))
    sums = counted.groupby(["case_id", "step"])[["waiting_hours", "again"]].sum(min_count=1).reset_index()
    waits, again = (sums.pivot_table(index="case_id", columns="step", values=v) for v in ("waiting_hours", "again"))
    again = again.loc[:, (again > 0).any()]
    waits = waits.loc[:, waits.notna().any()]
    every = pd.Index(steps["case_id"].drop_duplicates().sort_values(), name="case_id")
    parts = [waits.add_prefix(WAIT), again.add_prefix(REWORK)]
    if breaches is not None:
        parts.append(_breached(breaches, steps, every, standard).add_prefix(BREACH))
    frame = pd.concat([p.reindex(every) for p in parts], axis=1).astype(float)
    return frame.rename_axis(index="case_id", columns=None)


def _check_frames(
    steps: pd.DataFrame,
    breaches: pd.DataFrame | None,
    standard: ServiceStandard | None,
    only: Sequence[str] | None,
) -> None:
    wanted: dict[str, tuple[pd.DataFrame, list[str]]] = {}
    needed = ["case_id", "step", "waiting_hours", "repeat"] + (["completed"] if standard else [])
    wanted["steps"] = (steps, needed)
    if breaches is not None:
        wanted["breaches"] = (breaches, ["case_id", "rule"])
    problems = [
        Problem(f"{name}: expected a column {column!r}, found {', '.join(map(str, frame.columns)) or 'none'}")
        for name, (frame, columns) in wanted.items()
        for column in columns
        if column not in frame
    ]
    if not problems and only is not None:
        known = set(steps["step"])
        strange = [str(s) for s in only if s not in known]
        if strange:
            problems.append(Problem("only: expected steps that happened, found others", tuple(strange)))
    if not problems and breaches is not None and standard is not None:
        codes = {r.code for r in standard.rules}
        strange = [str(r) for r in breaches["rule"].drop_duplicates() if r not in codes]
        if strange:
            problems.append(Problem("breaches: expected rules of the standard, found others", tuple(strange)))
    if problems:
        raise OperationsError("driver_features", problems, "give the frames of EventLog.steps() and of Compliance")


def _breached(
    breaches: pd.DataFrame, steps: pd.DataFrame, every: pd.Index, standard: ServiceStandard | None
) -> pd.DataFrame:
    """1 breached, 0 kept, NaN not decided; of several executions under one rule, one breach counts."""
    listed = breaches.assign(value=1.0)
    table = listed.pivot_table(index="case_id", columns="rule", values="value", aggfunc="max").reindex(every)
    if standard is None:
        return table.fillna(0.0)
    done = steps[steps["completed"].notna()]
    columns = {}
    for rule in standard.rules:
        ends = {rule.step} if rule.step else {f.partition("/")[0] for f in rule.finish}
        kept = pd.Series(0.0, index=every).where(every.isin(done.loc[done["step"].isin(ends), "case_id"]))
        columns[rule.code] = table[rule.code].fillna(kept) if rule.code in table else kept
    return pd.DataFrame(columns, index=every)
