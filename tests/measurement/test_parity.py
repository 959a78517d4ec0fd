"""The shipped parity table: within its tolerances, and what its command makes of the same data."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from tests.reference import parity


def shipped() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(parity.TABLE.read_text(encoding="utf-8"))
    return found


def test_every_row_is_within_its_tolerance() -> None:
    rows = shipped()["rows"]
    assert len(rows) > 250
    assert sum(row["values"] for row in rows) > 4000
    assert not [row for row in rows if row["largest_difference"] > row["tolerance"]]


def test_every_estimator_and_survey_has_its_rows() -> None:
    found = defaultdict(set)
    for row in shipped()["rows"]:
        found[row["subject"]].add(row["data"].split(" ")[0])
    for estimator in ("ML", "MLR"):
        assert found[f"confirmatory model, {estimator}"] == set(parity.surveys.FILES)
    assert found["validity"] >= set(parity.surveys.FILES)
    assert {"invariance, ML", "invariance, MLR", "invariance, Wu-Estabrook", "score tests", "difference tests",
            "correlations of ordered answers", "estimators, designs, syntax"} <= set(found)  # fmt: skip


@pytest.mark.parametrize("part", [parity.models, parity.correlations, parity.scores])
@pytest.mark.filterwarnings("ignore::sqmodel.errors.ImproperSolutionWarning")
def test_the_command_finds_what_is_shipped(part: Any) -> None:
    rows = {(r["subject"], r["data"], r["quantity"]): r for r in shipped()["rows"]}
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for one in part():
        key = (one.subject, one.data, one.quantity)
        assert one.difference <= one.tolerance, one
        counts[key] += 1
    assert counts
    assert {key: rows[key]["values"] for key in counts} == counts
