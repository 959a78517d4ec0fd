"""Compliance: whether the limits of the service standard are kept, and which open cases will break them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.operations.promises import Log, Promise, deadlines, promises
from sqmodel.operations.standards import ServiceStandard
from sqmodel.operations.urgent import RISK, URGENT, assess_risk, assess_urgent
from sqmodel.operations.working_time import WorkingCalendar
from sqmodel.result import Estimate, Result

SMALL = 10
_NOTHING = Estimate(math.nan, math.nan, math.nan, math.nan, 0, 0.95, "not defined")
_BREACHES = ["case_id", "rule", "path", "state", "begin", "took", "limit", "over", "unit"]
_AT_RISK = ["case_id", "rule", "path", "node", "begin", "age", "limit", "left", "unit", "due", "probability", "low",
            "high", "breach", "like", "reason"]  # fmt: skip


@dataclass(frozen=True, repr=False)
class Compliance(Result):
    """How the service standard is kept.

    Attributes
    ----------
    n : int
        Cases of the log.
    as_of : str
        The last instant observed.
    rules : DataFrame, one row a rule and path
        rule, path (``all``, ``ordinary``, ``urgent``), title_zh, title_en, node, limit, unit; n and how they stand: met
        (done within the limit), breached (done later, still open after it, or ended after it), open (still within it),
        ended (otherwise, within it); backward (left out: the finish lies before the begin); share (Kaplan-Meier: done
        within the limit if nobody ended otherwise) with low, high, method; incidence (done within the limit, other ends
        competing) with incidence_low, incidence_high; target and verdict (``met``: the whole interval is at or above
        the target, ``missed``: below, ``not sure``, also with fewer than 10 cases); median with median_low,
        median_high; reason (why a figure is missing, or small).
    breaches : DataFrame, one row a case and rule
        case_id, rule, path, state (``done late``, ``open``, ``ended``), begin, took (so far, if open), limit,
        over, unit.
    at_risk : DataFrame, one row an open case and rule, the least likely first
        case_id, rule, path, node, begin, age, limit, left, unit, due; probability of still making it,
        P(T <= limit | T > age) = 1 - S(limit) / S(age), with low, high; breach = S(limit) / S(age), its opposite; like
        (cases that came as far, on which it rests), reason.
    urgent : DataFrame, one row a rule
        Whether the urgent path is faster: see `assess_urgent`.
    urgent_share : Estimate or None
        Share of the cases on the urgent path.
    risk : DataFrame
        Whether it is riskier: see `assess_risk`; empty without an outcome.
    """

    n: int
    as_of: str
    rules: pd.DataFrame
    breaches: pd.DataFrame
    at_risk: pd.DataFrame
    urgent: pd.DataFrame
    urgent_share: Estimate | None
    risk: pd.DataFrame
    settings: dict[str, Any]

    def _headline(self) -> str:
        verdicts = self.rules["verdict"].value_counts()
        told = ", ".join(f"{verdicts.get(v, 0)} {v}" for v in ("met", "missed", "not sure"))
        return f"n={self.n}: {told}; {len(self.breaches)} breaches, {len(self.at_risk)} cases open within a limit"


def assess_standard(
    log: Log,
    standard: ServiceStandard,
    *,
    calendar: WorkingCalendar,
    as_of: Any = None,
    risk: str | pd.Series | None = None,
    covariates: Sequence[str] = (),
    level: float = 0.95,
) -> Compliance:
    """Hold a log of events against a service standard; open cases are censored, not dropped.

    Parameters
    ----------
    log : EventLog
        Or any object with its methods `spans` and `cases`.
    standard : ServiceStandard
    calendar : WorkingCalendar
        Whose hours and days count.
    as_of : instant, optional
        Nothing later is looked at; by default the end of the log.
    risk : str or Series, optional
        An attribute of the cases, or a column by case_id, that tells whether a case went wrong (1, 0; empty: unknown):
        the urgent path should not be riskier.
    covariates : sequence of str
        Attributes of the cases for which the comparison of the urgent path is adjusted.
    level : float

    Returns
    -------
    Compliance

    Raises
    ------
    OperationsError
        The standard, `risk` or `covariates` name a step or an attribute that the log does not know; or a date is beyond
        the years whose holidays are known.
    """
    cases, found = promises(log, standard, calendar, as_of)
    last = [p.spans["until"].max() for p in found if len(p.spans)]
    rows, breaches, at_risk = [], [], []
    for promise in found:
        rows.append(_row(promise, level))
        breaches.append(_breaches(promise, calendar))
        at_risk.append(_at_risk(promise, calendar, level))
    settings = {"standard": f"{standard.name} {standard.version}", "digest": standard.digest, "level": level,
                "calendar": calendar.definition.country or "none", "time_zone": calendar.time_zone,
                "covariates": list(covariates), "risk": risk if isinstance(risk, str) else "", "censoring":
                "other ends are censored for share and median, and compete for incidence"}  # fmt: skip
    open_cases = pd.concat(at_risk, ignore_index=True).sort_values(["probability", "left"], kind="stable")
    if standard.urgent is not None and standard.urgent.attribute in cases:
        settings["path_unknown"] = int(cases[standard.urgent.attribute].isna().sum())  # taken for ordinary ones
    share, faster, riskier = None, pd.DataFrame(columns=URGENT), pd.DataFrame(columns=RISK)
    if standard.urgent is not None and standard.urgent.attribute in cases:
        share, faster = assess_urgent(cases, standard, found, calendar, covariates, level)
        riskier = assess_risk(cases, standard, risk, level)
    return Compliance(
        n=len(cases),
        as_of=_text(pd.Series([max(last)]), calendar)[0] if last else "",
        rules=pd.DataFrame(rows),
        breaches=pd.concat(breaches, ignore_index=True),
        at_risk=open_cases.reset_index(drop=True),
        urgent=faster,
        urgent_share=share,
        risk=riskier,
        settings=settings,
    )


def _row(promise: Promise, level: float) -> dict[str, Any]:
    rule, done, late = promise.rule, promise.done, promise.late
    curve, ends = promise.survival(level), promise.incidence(level)
    share = curve.reached(promise.limit) if curve else _NOTHING
    median = curve.quantile(0.5) if curve else _NOTHING
    done_share = ends.at(promise.limit, "done") if ends else _NOTHING
    return {
        "rule": rule.code, "path": promise.path, "title_zh": rule.name["zh"], "title_en": rule.name["en"],
        "node": rule.node, "limit": promise.limit, "unit": rule.unit, "n": len(promise.spans),
        "met": int((done & ~late).sum()), "breached": int(late.sum()), "open": int(promise.open.sum()),
        "ended": int((promise.ended & ~late).sum()), "backward": promise.backward,
        "share": share.value, "low": share.low, "high": share.high, "method": share.method,
        "incidence": done_share.value, "incidence_low": done_share.low, "incidence_high": done_share.high,
        "target": rule.share, "verdict": _verdict(share, rule.share, len(promise.spans)),
        "median": median.value, "median_low": median.low, "median_high": median.high,
        "reason": _reason(len(promise.spans), share, median),
    }  # fmt: skip


def _verdict(share: Estimate, target: float, n: int) -> str:
    """Of a few cases nothing is sure: Wilson's interval of one late case would leave out a share of 90 %."""
    if n < SMALL:
        return "not sure"
    if share.low >= target:
        return "met"
    return "missed" if share.high < target else "not sure"


def _reason(n: int, share: Estimate, median: Estimate) -> str:
    if n == 0:
        return "no case has begun it"
    reasons = []
    if math.isnan(share.value):
        reasons.append("no case was seen as long as the limit")
    if math.isnan(median.value):
        reasons.append("fewer than half are done")
    elif math.isnan(median.high):
        reasons.append("the median's upper bound is beyond what was seen")
    if n < SMALL:
        reasons.append(f"fewer than {SMALL} cases")
    return "; ".join(reasons)


def _breaches(promise: Promise, calendar: WorkingCalendar) -> pd.DataFrame:
    late = promise.late
    rows = promise.spans[late]
    state = np.where(promise.done[late], "done late", np.where(promise.ended[late], "ended", "open"))
    table = pd.DataFrame(
        {"case_id": rows["case_id"], "rule": promise.rule.code, "path": promise.path, "state": state,
         "begin": _text(rows["begin"], calendar), "took": rows["age"], "limit": promise.limit,
         "over": rows["age"] - promise.limit, "unit": promise.rule.unit}, columns=_BREACHES,
    )  # fmt: skip
    return table.sort_values("over", ascending=False, kind="stable")


def _at_risk(promise: Promise, calendar: WorkingCalendar, level: float) -> pd.DataFrame:
    rows = promise.spans[promise.open]
    curve = promise.survival(level)
    age = rows["age"].to_numpy(float)
    ages, place = np.unique(promise.known_age(age), return_inverse=True)
    fates = curve.conditionals(ages, promise.limit) if curve else [_NOTHING] * len(ages)
    breach, low, high, like = (np.array([getattr(f, k) for f in fates], float)[place]
                               for k in ("value", "low", "high", "n"))  # fmt: skip
    due = deadlines(calendar, promise.rule.unit, rows["begin"], promise.limit)
    unknown = np.where(np.isnan(breach), "no case was seen as long as the limit; ", "")
    unknown = np.char.add(unknown, np.where(due.isna(), "due in a year whose holidays are not known; ", ""))
    few = np.where(like < SMALL, f"rests on fewer than {SMALL} cases; ", "")
    return pd.DataFrame(
        {"case_id": rows["case_id"], "rule": promise.rule.code, "path": promise.path, "node": promise.rule.node,
         "begin": _text(rows["begin"], calendar), "age": age, "limit": promise.limit, "left": promise.limit - age,
         "unit": promise.rule.unit, "due": _text(pd.Series(due), calendar), "probability": 1 - breach,
         "low": 1 - high, "high": 1 - low, "breach": breach, "like": like.astype(int),
         "reason": [r.removesuffix("; ") for r in np.char.add(unknown, few)]}, columns=_AT_RISK,
    )  # fmt: skip


def _text(instants: pd.Series, calendar: WorkingCalendar) -> list[str]:
    """Instants as ISO text on the zone's clock; empty where there is none."""
    local = pd.DatetimeIndex(pd.to_datetime(instants, utc=True)).tz_convert(calendar.time_zone)
    return ["" if pd.isna(t) else t.isoformat(timespec="seconds") for t in local]
