"""Real surveys and what R computed from them, read from the folder beside the project."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

SURVEYS = ("holzinger_swineford_1939", "bfi", "satisfaction_es_bank", "mobi_ecsi")

_FILES = {
    "holzinger_swineford_1939": "holzinger.csv",
    "bfi": "bfi.csv.gz",
    "satisfaction_es_bank": "satisfaction.csv",
    "mobi_ecsi": "mobi.csv",
}
_REVERSED = {"bfi": ["A1", "C4", "C5", "E1", "E2", "O2", "O5"]}


def shared(*parts: str) -> Path:
    """A path in the shared folder; without it the test is skipped, in CI it fails."""
    home = os.environ.get("SQMODEL_SHARED")
    root = Path(home) if home else Path(__file__).parents[2] / "shared"
    path = root.joinpath(*parts)
    if path.exists():
        return path
    reason = f"the folder of reference data is absent: expected {'/'.join(parts)} in $SQMODEL_SHARED or ../shared"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def _reference(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def reference(dataset: str) -> dict[str, Any]:
    """What R (psych 2.2.9, lavaan 0.6-14) says about a data set."""
    result: dict[str, Any] = _reference(shared("data", dataset, "reference.json"))
    return result


def converged(name: str) -> dict[str, Any]:
    """What R says once its optimisers have gone on to the end: tests/reference/NAME.json, made by NAME.R there."""
    result: dict[str, Any] = _reference(Path(__file__).parent / "reference" / f"{name}.json")
    return result


def frame(dataset: str) -> pd.DataFrame:
    """The items behind the reference values in R's order: reversed where R reversed, complete rows only."""
    items = reference(dataset)["efa_minres_oblimin"]["loadings"]["rows"]
    data = pd.read_csv(shared("data", dataset, _FILES[dataset]))[items].astype(float)
    turned = _REVERSED.get(dataset, [])
    data[turned] = 7 - data[turned]
    return data.dropna().reset_index(drop=True)


def matrix(entry: dict[str, Any]) -> np.ndarray:
    """A matrix as the reference files keep it."""
    return np.array(entry["values"], dtype=float)
