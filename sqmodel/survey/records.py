"""Records: rules that bind several cells, or several respondents, of one source."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sqmodel.errors import Problem
from sqmodel.survey.cells import allocated_names
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.ledger import Ledger, Rows


def check_records(
    frame: pd.DataFrame, rows: Rows, instrument: Instrument, ledger: Ledger, quarter: str | None
) -> pd.DataFrame:
    """The frame with respondent, quarter, allocation and sample weight in order; faults go to the ledger.

    Parameters
    ----------
    frame : DataFrame
        Interpreted cells under canonical names.
    rows : array of int
        Number of each record as a person sees it in the source.
    instrument : Instrument
    ledger : Ledger
    quarter : str or None
        Quarter of the records that have none.
    """
    if frame.empty:
        return frame
    checked = _identified(frame, rows, ledger)
    checked = _dated(checked, rows, ledger, quarter)
    checked = _allocated(checked, rows, instrument, ledger)
    checked = _weighted(checked, rows, ledger)
    return _unique(checked, rows, ledger)


def _identified(frame: pd.DataFrame, rows: Rows, ledger: Ledger) -> pd.DataFrame:
    if "respondent" not in frame:
        ledger.change("respondent id assigned", "respondent", rows)
        ids = pd.Series([str(i) for i in range(1, len(frame) + 1)], index=frame.index, dtype=object)
        return pd.concat([ids.rename("respondent"), frame], axis=1)
    absent = frame["respondent"].isna().to_numpy()
    if not absent.any():
        return frame
    message = "expected a respondent id, found an empty cell"
    ledger.fault("respondent id assigned", message, "respondent", rows[absent], [""] * int(absent.sum()))
    assigned = np.array([f"{ledger.unit} {row}" for row in rows], dtype=object)
    return frame.assign(respondent=frame["respondent"].where(~absent, assigned))


def _dated(frame: pd.DataFrame, rows: Rows, ledger: Ledger, quarter: str | None) -> pd.DataFrame:
    if "quarter" not in frame:
        frame = frame.assign(quarter=pd.Series(None, index=frame.index, dtype=object))
    if quarter is None:
        return frame
    open_ = frame["quarter"].isna()
    ledger.change("quarter filled", "quarter", rows[open_.to_numpy()])
    return frame.assign(quarter=frame["quarter"].where(~open_, quarter))


def _allocated(frame: pd.DataFrame, rows: Rows, instrument: Instrument, ledger: Ledger) -> pd.DataFrame:
    """Points that sum to the total; a blank beside answers that already do can only be 0."""
    asked, names = instrument.allocation, allocated_names(instrument)
    if asked is None or not set(names) <= set(frame):
        return frame
    points = frame[names]
    total = points.sum(axis=1, min_count=1).to_numpy()
    answered = ~np.isnan(total)
    right = answered & (np.abs(total - asked.total) <= asked.tolerance)
    partial = points.isna().any(axis=1).to_numpy()
    ledger.change("blank points read as 0", f"{asked.prefix}*", rows[right & partial])
    wrong = answered & ~right
    message = f"expected {', '.join(names)} to sum to {asked.total:g}, found other sums"
    ledger.fault("allocation sum", message, f"{asked.prefix}*", rows[wrong], [f"{t:g}" for t in total[wrong]])
    filled = points.fillna(0.0).where(pd.Series(right, index=frame.index), np.nan)
    return frame.assign(**{name: filled[name] for name in names})


def _weighted(frame: pd.DataFrame, rows: Rows, ledger: Ledger) -> pd.DataFrame:
    """A weight for everyone: without one, a respondent would make all weighted means undefined."""
    if "sample_weight" not in frame:
        return frame
    weight = frame["sample_weight"]
    absent = weight.isna().to_numpy()
    usable = weight[weight > 0]
    if usable.empty:
        ledger.structural.append(Problem("expected sample weights above 0, found none"))
        return frame
    # A cell that holds something else than a weight is already a fault.
    ledger.change("sample weight set to the mean", "sample_weight", rows[absent])
    return frame.assign(sample_weight=weight.fillna(weight.mean()))


def _unique(frame: pd.DataFrame, rows: Rows, ledger: Ledger) -> pd.DataFrame:
    repeated = frame.duplicated(["respondent", "quarter"]).to_numpy()
    found = frame["respondent"].to_numpy()[repeated].tolist()
    message = "expected each respondent once in a quarter, found again"
    ledger.fault("repeated respondent, first kept", message, "respondent", rows[repeated], found)
    return frame[~repeated]
