"""Rework: what is done again, handed over, and asked of the client more than once; and what it costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.operations.process import Process
from sqmodel.operations.process_counts import OTHER_HANDS, SAME
from sqmodel.operations.process_intervals import each_case, quantiles, share_of_sums, wilson
from sqmodel.operations.process_tally import Tally

Floats = npt.NDArray[np.float64]

ALL = "all steps"
TOTAL = "total"


def rework_frame(tally: Tally, level: float) -> pd.DataFrame:
    """What is done again; see `ProcessAnalysis.rework`."""
    names = [*tally.facts.activities, ALL]
    having, again = tally.having["executions"].copy(), tally.having["repeats"]
    having[-1] = len(tally.cases)
    share, low, high = wilson(again, having, level)
    totals = {n: _with_all(tally.sums[n]) for n in ("executions", "repeats", "rework", "resumptions", "paused")}
    return pd.DataFrame(
        {
            "executions": np.rint(totals["executions"]).astype(int),
            "repeats": np.rint(totals["repeats"]).astype(int),
            "cases": having,
            "cases_with": again,
            "share": share,
            "low": low,
            "high": high,
            "repeats_per_case": np.divide(totals["repeats"], having, out=np.full(len(names), np.nan), where=having > 0),
            "hours": totals["rework"],
            "resumptions": np.rint(totals["resumptions"]).astype(int),
            "paused_hours": totals["paused"],
        },
        index=pd.Index(names, name="step"),
    )


def _with_all(sums: Floats) -> Floats:
    by_step = sums.sum(axis=0)
    return np.append(by_step, by_step.sum())


def handover_frame(tally: Tally, level: float) -> pd.DataFrame:
    """Where another person goes on; see `ProcessAnalysis.handovers`."""
    steps = len(tally.facts.activities)
    rows, index = [], []
    for code in range(steps + 1):
        chosen = slice(None) if code == steps else slice(code, code + 1)
        after, handed = (tally.sums[n][:, chosen].sum(axis=1) for n in ("transitions", "handovers"))
        if not after.sum() and code < steps:
            continue
        share, low, high = share_of_sums(handed, after, level)
        row = {"transitions": round(after.sum()), "handovers": round(handed.sum()), "share": share, "low": low,
               "high": high, "cases_with": int(tally.having["handovers"][code])}  # fmt: skip
        for name, key in (("other", OTHER_HANDS), ("same", SAME)):
            values = tally.values[key]
            mine = slice(None) if code == steps else values.step == code
            found = quantiles(values.hours[mine], values.bundle[mine], len(tally.sizes), level)
            row |= {f"{name}_median": found.median, f"{name}_low": found.low, f"{name}_high": found.high,
                    f"{name}_mean": found.mean}  # fmt: skip
        rows.append(row)
        index.append(ALL if code == steps else tally.facts.activities[code])
    return pd.DataFrame(rows, index=pd.Index(index, name="step"))


def document_frame(tally: Tally, process: Process, level: float) -> pd.DataFrame:
    """Requests for documents; see `ProcessAnalysis.documents`."""
    asked = [s.code for s in process.steps if s.documents]
    codes = tally.facts.codes(asked)
    sums = {n: tally.sums[n][:, codes].sum(axis=0) for n in ("executions", "repeats")}
    having, again = (tally.having[n][codes] for n in ("executions", "repeats"))
    share, low, high = wilson(again, having, level)
    frame = pd.DataFrame(
        {
            "cases": having,
            "requests": np.rint(sums["executions"]).astype(int),
            "repeated": np.rint(sums["repeats"]).astype(int),
            "cases_repeated": again,
            "share": share,
            "low": low,
            "high": high,
        },
        index=pd.Index([tally.facts.activities[c] for c in codes], name="step"),
    )
    return frame


def cost_frame(tally: Tally, process: Process, *, level: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """What work and rework cost; see `ProcessAnalysis.costs`."""
    rows, index, columns = [], [], []
    for code, activity in enumerate(tally.facts.activities):
        step = process.step(activity)
        n, again = (float(tally.sums[k][:, code].sum()) for k in ("executions", "repeats"))
        works = float(tally.sums["works"][:, code].sum())
        if works:
            hours, rework, source = tally.sums["work"][:, code], tally.sums["rework"][:, code], "measured"
        elif step.minutes is not None:
            hours, rework = (tally.sums[k][:, code] * step.minutes / 60 for k in ("executions", "repeats"))
            source = "minutes of the definition"
        else:
            hours = rework = np.zeros(len(tally.sizes))
            source = ""
        missing = [w for w, absent in (("no working time", not source), ("no rate", step.rate is None)) if absent]
        rate = np.nan if step.rate is None else step.rate
        blank = bool(missing)
        cost, cost_again = (np.nan if blank else float(h.sum()) * rate for h in (hours, rework))
        rows.append({"executions": round(n), "repeats": round(again), "hours": float(hours.sum()) if source else np.nan,
                     "source": source, "rate": rate, "cost": cost, "cost_of_rework": cost_again,
                     "reason": " and ".join(missing)})  # fmt: skip
        index.append(activity)
        columns.append(np.column_stack([hours, rework]) * (0.0 if blank else rate))
    frame = pd.DataFrame(rows, index=pd.Index(index, name="step"))
    return _with_total(frame, columns, tally, level=level, draws=draws, rng=rng)


def _with_total(
    frame: pd.DataFrame, columns: list[Floats], tally: Tally, *, level: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Cost per case of each step, and of all together, with intervals over cases."""
    known = (frame["reason"] == "").to_numpy(bool)
    total = sum((c for c, k in zip(columns, known, strict=True) if k), np.zeros((len(tally.sizes), 2)))
    last = {"executions": int(frame["executions"].sum()), "repeats": int(frame["repeats"].sum()),
            "hours": float(frame["hours"].sum()), "source": "", "rate": np.nan}  # fmt: skip
    none = "" if known.any() else "no step has a rate and working time"
    last |= {"cost": total[:, 0].sum() if known.any() else np.nan, "reason": none,
             "cost_of_rework": total[:, 1].sum() if known.any() else np.nan}  # fmt: skip
    frame = pd.concat([frame, pd.DataFrame([last], index=pd.Index([TOTAL], name="step"))])
    for name in ("per_case", "low", "high", "rework_per_case", "rework_low", "rework_high"):
        frame[name] = np.nan
    chosen = [*np.flatnonzero(known), len(known)] if known.any() else []
    if chosen:
        kept = [c for c, k in zip(columns, known, strict=True) if k]
        both = np.column_stack([*(c[:, 0] for c in kept), total[:, 0], *(c[:, 1] for c in kept), total[:, 1]])
        found = each_case(both, tally.sizes, level=level, draws=draws, rng=rng)
        m = len(chosen)
        for part, names in ((slice(0, m), ("per_case", "low", "high")),
                            (slice(m, None), ("rework_per_case", "rework_low", "rework_high"))):  # fmt: skip
            bounds = (found.estimate[part], np.maximum(found.low[part], 0), found.high[part])
            for name, values in zip(names, bounds, strict=True):
                frame.iloc[chosen, frame.columns.get_loc(name)] = values  # type: ignore[index]
    return frame
