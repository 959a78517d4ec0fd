"""The reference surveys as the shared reference files used them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from tests import oracles

FILES = {
    "holzinger_swineford_1939": "holzinger.csv",
    "bfi": "bfi.csv.gz",
    "satisfaction_es_bank": "satisfaction.csv",
    "mobi_ecsi": "mobi.csv",
    "corp_rep": "corp_rep_raw.csv",
    "airline_600": "airline_600.csv",
    "pisa_be_2003": "pisa_be_2003.csv.gz",
}
REVERSED = {"bfi": (7, ["A1", "C4", "C5", "E1", "E2", "O2", "O5"]), "pisa_be_2003": (5, ["ST32Q02"])}
ABSENT = {"corp_rep": -99, "airline_600": 0}


@cache
def survey(name: str) -> pd.DataFrame:
    """All rows; reversed and with missing codes as the file's note says."""
    data = pd.read_csv(oracles.shared("data", name, FILES[name]))
    top, items = REVERSED.get(name, (0, []))
    data[items] = top - data[items]
    if name in ABSENT:
        answers = [i for scale in oracles.reference(name)["scales"].values() for i in scale]
        data[answers] = data[answers].replace(ABSENT[name], np.nan)
    return data


def model(name: str) -> str:
    """The factor model of the survey."""
    text: str = oracles.reference(name)["cfa"]["model"]
    return text


def reference(name: str, *path: str) -> Any:
    """A part of the survey's reference file."""
    found: Any = oracles.reference(name)
    for key in path:
        found = found[key]
    return found
