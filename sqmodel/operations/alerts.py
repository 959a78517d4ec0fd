"""Do early warnings come before the event, for the right loans, and are there few enough of them to be read?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.numerics.proportions import holm, median_interval, wilson_interval
from sqmodel.numerics.resampling import bootstrap_totals
from sqmodel.numerics.waiting import chance_within, detectable_lift, effective_share, lift_interval
from sqmodel.operations.exposures import ALERTS, EXPOSURES, broken, check_exposures, days, frame_of
from sqmodel.operations.records import Records
from sqmodel.result import Result

MONTH = 30.4375
"""Days of a mean month."""
ANY = "any rule"
SHARE = "Wilson, effective number (Rothman)"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class AlertAssessment(Result):
    """What warnings are worth: precision, recall, lead time and load; frames unrounded.

    Attributes
    ----------
    n, events : int
        Loans watched while the rules ran, and events among them.
    months : float
        Months of exposure, from granting (or `since`) to the event or the end of observation.
    rules : DataFrame, one row a rule
        alerts (while the loan was watched and before its event), loans (warned), hits (event within the horizon after
        the loan's first alert), false (none, watched to its end), censored (not watched to its end, no event so far);
        precision with low, high and effective_n; base_rate (what alerts at random, at the same ages of loans, would
        hit); lift with lift_low, lift_high, pvalue, pvalue_adjusted (Holm, over rules), detectable_lift (the smallest
        that so many alerts show four times in five); verdict: ``useful`` (lift above 1, adjusted p below 1 - level),
        ``useless`` (not told from alerts at random, or worse), ``too few``; caught (events with an alert within the
        horizon before), recall with bounds; lead_days (median from the first such alert to the event) with bounds;
        per_1000 (alerts per 1,000 loans) and per_1000_months with bounds.
    together : DataFrame, one row
        The same for all rules as one.
    left_out : DataFrame
        rule, reason, n: alerts that could not count.
    notes : tuple of str
    """

    n: int
    events: int
    months: float
    settings: dict[str, Any]
    rules: pd.DataFrame
    together: pd.DataFrame
    left_out: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def useless(self) -> tuple[str, ...]:
        """Rules that warn no better than chance."""
        return tuple(map(str, self.rules.index[self.rules["verdict"] == "useless"]))

    def _headline(self) -> str:
        row: Any = self.together.iloc[0]
        text = f"{len(self.rules)} rules, {self.n} loans, {self.events} events: precision {row['precision']:.2f} "
        text += f"[{row['precision_low']:.2f}, {row['precision_high']:.2f}], recall {row['recall']:.2f} "
        text += f"[{row['recall_low']:.2f}, {row['recall_high']:.2f}]"
        return text + (f"; useless: {', '.join(self.useless)}" if self.useless else "")


def assess_alerts(
    exposures: Records | pd.DataFrame,
    alerts: Records | pd.DataFrame,
    *,
    horizon: float,
    since: pd.Timestamp | str | None = None,
    minimum_n: int = 10,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> AlertAssessment:
    """Judge alerts by what happened after them only.

    Parameters
    ----------
    exposures, alerts : Records or DataFrame
        As `read_exposures` and `read_alerts` give them.
    horizon : float
        Days after an alert within which an event makes it right.
    since : instant, optional
        From when on the rules ran; exposure and events before do not count. By default rules always ran.
    minimum_n : int
        Rules that warned of fewer loans have no verdict.
    level, draws, rng
        Of the intervals; the draws are those of the alerts per loan.

    Returns
    -------
    AlertAssessment

    Raises
    ------
    OperationsError
        Exposures or alerts that break their rules, alerts of unknown loans; all in one message.

    Notes
    -----
    No look-ahead: an alert at or after the event does not count. Precision is that of a rule's first alert of each
    loan, by Kaplan-Meier from the alert on, so that alerts not watched to the end of the horizon are censored and
    neither dropped nor counted as false. The base rate comes from all loans at the ages at which the rule warned: a
    rule earns nothing by warning at an age when every loan is at risk. The error of the lift counts both rates' errors
    and that the warned loans are among all.

    Examples
    --------
    >>> loans = pd.DataFrame({"loan_id": list("abcd"), "grade": "A", "granted": "2024-01-01T00:00Z",
    ...     "observed_until": "2026-01-01T00:00Z", "event": ["2024-06-01T00:00Z", None, None, None]})
    >>> warned = pd.DataFrame({"loan_id": ["a", "b"], "rule": "late", "at": "2024-05-01T00:00Z"})
    >>> assess_alerts(loans, warned, horizon=90).rules.loc["late", ["hits", "false", "caught"]].tolist()
    [1, 1, 1]
    """
    if not horizon > 0:
        raise ValueError(f"expected a horizon of more than 0 days, found {horizon}")
    frame = frame_of(exposures, EXPOSURES, "exposures")
    warned = frame_of(alerts, ALERTS, "alerts")
    check_exposures(frame)
    check_alerts(warned, frame)
    watch = _watch(frame, since)
    table, left_out = _placed(warned, watch)
    names = sorted(warned["rule"].unique())
    groups = {name: table[table["rule"] == name] for name in names} | {ANY: table}
    notes: list[str] = []
    loads = _loads(groups, watch, draws, level, rng)
    rows = {
        name: _judge(name, own, watch, horizon, minimum_n, level, notes) | loads[name] for name, own in groups.items()
    }
    judged = pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")
    tested = np.where(judged["loans"] >= minimum_n, judged["pvalue"], np.nan)
    judged["pvalue_adjusted"] = [*holm(tested[:-1]), tested[-1]]
    judged["verdict"] = _verdicts(judged, level)
    settings = {"horizon_days": horizon, "since": "" if since is None else str(since), "minimum_n": minimum_n,
                "level": level, "draws": draws, "unit": "first alert of a rule about a loan",
                "censoring": "Kaplan-Meier from the alert on", "base_rate": "all loans at the ages of the alerts",
                "intervals": {"precision": SHARE, "lift": f"{SHARE}, both rates' errors", "recall": "Wilson",
                              "lead_days": "order statistics, interpolated (Nyblom)",
                              "per_1000": "studentised bootstrap over loans"}}  # fmt: skip
    return AlertAssessment(
        n=len(watch),
        events=int(watch["failed"].sum()),
        months=float((watch["end"] - watch["begin"]).sum()) / MONTH,
        settings=settings,
        rules=judged.iloc[:-1],
        together=judged.iloc[-1:],
        left_out=left_out,
        notes=tuple(notes),
    )


def check_alerts(warned: pd.DataFrame, frame: pd.DataFrame, source: str = "alerts") -> None:
    """What must be true of alerts about exposures.

    Raises
    ------
    OperationsError
    """
    known = warned["loan_id"].isin(frame["loan_id"])
    rules = (
        ("expected alerts of loans among the exposures, found others", ~known),
        ("expected the rule that warned, found none", warned["rule"].isna()),
        ("expected the time of the alert, found none", warned["at"].isna()),
    )
    problems = broken(warned, rules)
    if not len(warned):
        problems.append(Problem("expected alerts, found none"))
    if problems:
        raise OperationsError(source, problems, "correct the alerts, or add the exposures that they are about")


def _watch(frame: pd.DataFrame, since: pd.Timestamp | str | None) -> pd.DataFrame:
    """Ages in days at which a loan was first and last watched, and whether an event ended it; one row a loan."""
    end = days(frame["event"].fillna(frame["observed_until"]), frame["granted"])
    begin = np.zeros(len(frame))
    if since is not None:
        start = pd.Timestamp(since)
        start = start.tz_localize("UTC") if start.tzinfo is None else start
        begin = np.maximum(days(pd.Series(start, index=frame.index), frame["granted"]), 0)
    table = pd.DataFrame({"granted": frame["granted"], "begin": begin, "end": end,
                          "failed": frame["event"].notna().to_numpy()})  # fmt: skip
    table.index = pd.Index(frame["loan_id"])
    running = table[table["end"] > table["begin"]]
    if not len(running):
        raise OperationsError(
            "exposures", [Problem("expected loans watched while rules ran, found none")], "see `since`"
        )
    return running


def _placed(warned: pd.DataFrame, watch: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Alerts that count, with the age of the loan; and how many of each rule do not, and why."""
    twice = warned.duplicated(["loan_id", "rule", "at"]).to_numpy()
    place = watch.index.get_indexer(pd.Index(warned["loan_id"]))
    own = watch.take(np.maximum(place, 0))
    age = days(warned["at"].reset_index(drop=True), own["granted"].reset_index(drop=True))
    begin, end, failed = (own[c].to_numpy() for c in ("begin", "end", "failed"))
    conditions = {
        "given twice": twice,
        "loan not watched while rules ran": place < 0,
        "before the loan was watched": age < begin,
        "at or after the event": failed & (age >= end),
        "after the end of observation": ~failed & (age > end),
    }
    reason = np.select(list(conditions.values()), list(conditions), "")
    told = pd.DataFrame({"rule": warned["rule"].to_numpy(), "reason": reason})
    lost = told[told["reason"] != ""].groupby(["rule", "reason"]).size().rename("n").reset_index()
    table = pd.DataFrame({"rule": told["rule"], "loan": place, "age": age})[reason == ""]
    return table.sort_values(["rule", "loan", "age"], kind="stable"), lost


def _judge(
    name: str, own: pd.DataFrame, watch: pd.DataFrame, horizon: float, minimum_n: int, level: float, notes: list[str]
) -> dict[str, Any]:
    begin, end, failed = (watch[c].to_numpy() for c in ("begin", "end", "failed"))
    first = own.groupby("loan", sort=True)["age"].min()
    loan, age = first.index.to_numpy(dtype=np.intp), first.to_numpy(dtype=float)
    rest = end[loan] - age
    hit = failed[loan] & (rest <= horizon)
    censored = ~failed[loan] & (rest < horizon)
    row: dict[str, Any] = {"alerts": len(own), "loans": len(loan), "hits": int(hit.sum()),
                           "false": int((~hit & ~censored).sum()), "censored": int(censored.sum())}  # fmt: skip
    row |= _precision(name, (begin, end, failed), loan, age, horizon, level, notes)
    if len(loan) < minimum_n:
        notes.append(f"{name}: warned of {len(loan)} loans, fewer than {minimum_n}: no verdict")
    return row | _recall(own, end, failed, horizon, level)


PRECISION = ("precision", "precision_low", "precision_high", "effective_n", "base_rate",
             "lift", "lift_low", "lift_high", "pvalue", "detectable_lift")  # fmt: skip


def _precision(
    name: str,
    watch: tuple[Floats, Floats, npt.NDArray[np.bool_]],
    loan: npt.NDArray[np.intp],
    age: Floats,
    horizon: float,
    level: float,
    notes: list[str],
) -> dict[str, float]:
    """Chance of an event after an alert, against the chance of any loan at the same age."""
    begin, end, failed = watch
    values = dict.fromkeys(PRECISION, math.nan)
    rest = end[loan] - age
    if not len(loan):
        notes.append(f"{name}: no alert that counts")
        return values
    if rest.max() < horizon and not failed[loan][rest == rest.max()].any():
        notes.append(f"{name}: no alert was watched for {horizon:g} days, so its precision is not known")
        return values
    own = chance_within(rest, failed[loan], np.zeros(1), horizon)
    base = chance_within(end, failed, age, horizon, begin)
    variance = float((own.influence**2).sum())
    low, high, size = effective_share(own.value, variance, len(loan), level)
    ratio = math.nan
    if own.value > 0 and base.value > 0:
        influence = -base.influence / base.value
        influence[loan] += own.influence / own.value
        ratio = float((influence**2).sum())
    lift = lift_interval(own.value, base.value, ratio, len(loan), level)
    known = (own.value, low, high, size, base.value, *lift, detectable_lift(base.value, size, level=level))
    return dict(zip(PRECISION, known, strict=True))


def _recall(
    own: pd.DataFrame, end: Floats, failed: npt.NDArray[np.bool_], horizon: float, level: float
) -> dict[str, Any]:
    """Events that an alert preceded by at most the horizon, and by how much."""
    loan = own["loan"].to_numpy(dtype=np.intp)
    lead = end[loan] - own["age"].to_numpy(dtype=float)
    timely = failed[loan] & (lead <= horizon)
    leads = pd.Series(lead[timely]).groupby(loan[timely]).max().to_numpy(dtype=float)
    events = int(failed.sum())
    share = len(leads) / events if events else math.nan
    low, high = wilson_interval(share, events, level)
    middle, early, late = median_interval(leads, level)
    return {"caught": len(leads), "recall": share, "recall_low": float(low), "recall_high": float(high),
            "lead_days": middle, "lead_low": early, "lead_high": late}  # fmt: skip


def _loads(
    groups: dict[str, pd.DataFrame], watch: pd.DataFrame, draws: int, level: float, rng: np.random.Generator | int
) -> dict[str, dict[str, float]]:
    """Alerts per 1,000 loans and per 1,000 months of exposure."""
    n = len(watch)
    months = (watch["end"] - watch["begin"]).to_numpy() / MONTH
    counts = [np.bincount(own["loan"].to_numpy(dtype=np.intp), minlength=n) for own in groups.values()]
    columns = np.column_stack([*counts, months, np.ones(n)])
    k = len(groups)

    def per_thousand(totals: npt.NDArray[Any]) -> npt.NDArray[Any]:
        top = 1000 * totals[..., :k]
        return np.concatenate([top / totals[..., k + 1 :], top / totals[..., k : k + 1]], axis=-1)

    b = bootstrap_totals(columns, per_thousand, rng=rng, draws=draws, level=level)
    return {
        name: {
            f"{what}{end}": float(values[i + j * k])
            for j, what in enumerate(("per_1000", "per_1000_months"))
            for end, values in (("", b.estimate), ("_low", b.low), ("_high", b.high))
        }
        for i, name in enumerate(groups)
    }


def _verdicts(judged: pd.DataFrame, level: float) -> list[str]:
    better = (judged["pvalue_adjusted"] < 1 - level) & (judged["lift"] > 1)
    known = judged["pvalue_adjusted"].notna()
    return [("useful" if b else "useless") if k else "too few" for b, k in zip(better, known, strict=True)]
