"""The urgent path: how much it is used, whether it is faster, and whether it is riskier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from sqmodel.errors import OperationsError
from sqmodel.operations.hazards import cox, logrank
from sqmodel.operations.promises import FINER, Promise, among, elapsed
from sqmodel.operations.standards import ServiceStandard, Urgent
from sqmodel.operations.survival import kaplan_meier
from sqmodel.operations.working_time import WorkingCalendar
from sqmodel.result import Estimate

URGENT = ["rule", "unit", "n_urgent", "n_ordinary", "median_urgent", "median_urgent_low", "median_urgent_high",
          "median_ordinary", "median_ordinary_low", "median_ordinary_high", "chisq", "p", "hazard_ratio", "low", "high",
          "adjusted", "adjusted_low", "adjusted_high", "verdict", "reason"]  # fmt: skip
RISK = ["n_urgent", "events_urgent", "n_ordinary", "events_ordinary", "unknown", "urgent", "ordinary", "difference",
        "low", "high", "margin", "verdict", "reason"]  # fmt: skip


def assess_urgent(
    cases: pd.DataFrame,
    standard: ServiceStandard,
    found: Sequence[Promise],
    calendar: WorkingCalendar,
    covariates: Sequence[str],
    level: float,
) -> tuple[Estimate, pd.DataFrame]:
    """Share of cases on the urgent path (Wilson), and whether they are faster at each rule.

    Times are on the clock that tells cases of one day apart: working hours for working days. Cases not done are
    censored.

    Returns
    -------
    share : Estimate
    table : DataFrame, one row a rule
        rule, unit, n_urgent, n_ordinary, median_urgent and median_ordinary with bounds; chisq, p of the log-rank test;
        hazard_ratio (above 1: the urgent path is faster; Cox, Efron's ties) with low, high, and adjusted for the
        covariates; verdict (``faster``, ``slower``, ``not sure``: the adjusted ratio where there is one), reason.
    """
    path = _path(standard)
    missing = [c for c in covariates if c not in cases]
    if missing:
        columns = ", ".join(str(c) for c in cases.columns)
        raise OperationsError(
            "covariates", [f"expected attributes of the cases ({columns}), found {m!r}" for m in missing]
        )
    urgent = among(cases[path.attribute], path.values)
    rows = []
    for rule in standard.rules:
        spans = pd.concat([p.spans for p in found if p.rule.code == rule.code], ignore_index=True)
        rows.append(
            _faster(rule.code, FINER.get(rule.unit, rule.unit), spans, cases, path, calendar, covariates, level)
        )
    return _proportion(int(urgent.sum()), len(urgent), level), pd.DataFrame(rows, columns=URGENT)


def _faster(
    code: str, unit: Any, spans: pd.DataFrame, cases: pd.DataFrame, path: Urgent, calendar: WorkingCalendar,
    covariates: Sequence[str], level: float,
) -> dict[str, Any]:  # fmt: skip
    known = cases.reindex(spans["case_id"]).reset_index(drop=True)
    urgent = among(known[path.attribute], path.values)
    seen = spans["finish"].where(spans["finish"].notna(), spans["until"])
    time, done = elapsed(calendar, unit, spans["begin"], seen), spans["finish"].notna().to_numpy()
    row: dict[str, Any] = dict.fromkeys(URGENT, math.nan)
    row |= {"rule": code, "unit": unit, "n_urgent": int(urgent.sum()), "n_ordinary": int((~urgent).sum())}
    if not urgent.any() or urgent.all():
        return row | {"verdict": "not sure", "reason": "no case on one of the paths"}
    for name, who in (("urgent", urgent), ("ordinary", ~urgent)):
        median = kaplan_meier(time[who], done[who], level=level).quantile(0.5)
        row |= {f"median_{name}": median.value, f"median_{name}_low": median.low, f"median_{name}_high": median.high}
    test = logrank(time, done, urgent)
    plain = cox(time, done, pd.DataFrame({"urgent": urgent.astype(float)}), level=level)
    row |= {"chisq": test.chisq, "p": test.p, "reason": test.reason or plain.reason}
    row |= dict(zip(("hazard_ratio", "low", "high"), plain.table.iloc[0, :3], strict=True))
    bounds = row["low"], row["high"]
    if covariates:
        with_others = known[list(covariates)].assign(urgent=urgent.astype(float))
        adjusted = cox(time, done, with_others, level=level)
        bounds_of = adjusted.table.loc["urgent"].iloc[:3]
        row |= dict(zip(("adjusted", "adjusted_low", "adjusted_high"), bounds_of, strict=True))
        row["reason"] = row["reason"] or adjusted.reason
        bounds = row["adjusted_low"], row["adjusted_high"]
    row["verdict"] = "faster" if bounds[0] > 1 else "slower" if bounds[1] < 1 else "not sure"
    return row


def assess_risk(
    cases: pd.DataFrame, standard: ServiceStandard, risk: str | pd.Series | None, level: float
) -> pd.DataFrame:
    """Whether more of the urgent cases went wrong: Newcombe's interval of the difference of the two shares.

    Returns
    -------
    DataFrame, one row, or none without an outcome
        n_urgent, events_urgent, n_ordinary, events_ordinary, unknown (cases without outcome), urgent and ordinary (the
        shares), difference with low, high, margin, verdict (``not riskier``: the whole interval is below the margin of
        the standard; ``riskier``: above 0 as a whole, and not below the margin; else ``not sure``), reason.
    """
    if risk is None:
        return pd.DataFrame(columns=RISK)
    from statsmodels.stats.proportion import confint_proportions_2indep

    path = _path(standard)
    happened = _outcome(cases, risk)
    urgent = among(cases[path.attribute], path.values)
    told = happened.notna().to_numpy()
    groups = [happened[told & who] for who in (urgent, ~urgent)]
    (n1, e1), (n0, e0) = ((len(g), int(g.sum())) for g in groups)
    row: dict[str, Any] = dict.fromkeys(RISK, math.nan)
    row |= {"n_urgent": n1, "events_urgent": e1, "n_ordinary": n0, "events_ordinary": e0,
            "unknown": int((~told).sum()), "margin": path.margin, "verdict": "not sure", "reason": ""}  # fmt: skip
    if not n1 or not n0:
        return pd.DataFrame([row | {"reason": "no case with an outcome on one of the paths"}], columns=RISK)
    low, high = confint_proportions_2indep(e1, n1, e0, n0, method="newcomb", compare="diff", alpha=1 - level)
    row |= {"urgent": e1 / n1, "ordinary": e0 / n0, "difference": e1 / n1 - e0 / n0, "low": float(low)}
    row |= {
        "high": float(high),
        "verdict": "not riskier" if high < path.margin else "riskier" if low > 0 else "not sure",
    }
    return pd.DataFrame([row], columns=RISK)


def _outcome(cases: pd.DataFrame, risk: str | pd.Series) -> pd.Series:
    """1, 0 or NaN by case."""
    if isinstance(risk, str):
        if risk not in cases:
            columns = ", ".join(str(c) for c in cases.columns)
            raise OperationsError("risk", [f"expected an attribute of the cases ({columns}), found {risk!r}"])
        risk = cases[risk]
    words = risk.reindex(cases.index).astype("string").str.strip().str.lower()
    told = words.map({"1": 1.0, "1.0": 1.0, "yes": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "no": 0.0, "false": 0.0})
    strange = sorted(set(words[told.isna() & words.notna() & (words != "")]))
    if strange:
        raise OperationsError("risk", [f"expected 1, 0, yes, no or nothing, found {', '.join(strange[:5])}"])
    return told.astype(float)


def _path(standard: ServiceStandard) -> Urgent:
    if standard.urgent is None:
        raise OperationsError(f"standard {standard.name}", ["expected an urgent path, found none"])
    return standard.urgent


def _proportion(count: int, n: int, level: float) -> Estimate:
    from statsmodels.stats.proportion import proportion_confint

    if not n:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, level, "Wilson")
    low, high = proportion_confint(count, n, alpha=1 - level, method="wilson")
    share = count / n
    return Estimate(share, float(low), float(high), math.sqrt(share * (1 - share) / n), n, level, "Wilson")
