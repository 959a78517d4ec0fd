"""A small questionnaire with everything that an instrument can ask, and answers that obey it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.survey.instrument import Instrument

CONTENT: dict[str, Any] = {
    "name": "small",
    "version": "1",
    "title": {"zh": "贷款服务", "en": "Lending service"},
    "scale": {
        "minimum": 1,
        "maximum": 7,
        "anchors": {
            1: {"zh": "非常不同意", "en": "Strongly disagree"},
            7: {"zh": "非常同意", "en": "Strongly agree"},
        },
        "not_applicable": [9],
    },
    "dimensions": [
        {"code": "EXP", "title": {"zh": "客户体验", "en": "Experience"}},
        {"code": "EFF", "title": {"zh": "流程效率", "en": "Efficiency"}},
        {"code": "RSK", "title": {"zh": "风险控制", "en": "Risk control"}},
    ],
    "items": [
        {"code": "e1", "dimension": "EXP", "text": {"zh": "申请简便", "en": "Applying is easy"}},
        {"code": "e2", "dimension": "EXP", "text": {"zh": "态度友好", "en": "Staff are friendly"}},
        {"code": "f1", "dimension": "EFF", "text": {"zh": "审批迅速", "en": "Approval is fast"}},
        {"code": "f2", "dimension": "EFF", "text": {"zh": "按时放款", "en": "Money comes on time"}},
        {"code": "r1", "dimension": "RSK", "text": {"zh": "信息安全", "en": "Data are safe"}},
        {"code": "r2", "dimension": "RSK", "text": {"zh": "费用不明", "en": "Fees opaque"}, "reversed": True},
    ],
    "expectation_suffix": "_exp",
    "allocation": {"prefix": "imp_", "total": 100, "tolerance": 0.5},
    "outcomes": [
        {"code": "csat", "role": "csat", "text": {"zh": "总体满意度", "en": "Overall satisfaction"},
         "scale": {"minimum": 1, "maximum": 10}},
    ],
    "groups": [
        {"code": "region", "title": {"zh": "地区", "en": "Region"},
         "values": {"north": {"zh": "北方", "en": "North"}, "south": {"zh": "南方", "en": "South"}}},
        {"code": "branch", "title": {"zh": "支行", "en": "Branch"}},
    ],
}  # fmt: skip

ITEMS = [item["code"] for item in CONTENT["items"]]


def small(**changes: Any) -> Instrument:
    """The instrument, with some top-level keys replaced."""
    return Instrument.model_validate({**CONTENT, **changes})


def bare(**changes: Any) -> Instrument:
    """The instrument with its items only."""
    return small(expectation_suffix=None, allocation=None, outcomes=[], groups=[], **changes)


def long(dimensions: int = 4, items: int = 5, **changes: Any) -> Instrument:
    """A longer instrument on the same scale: items ``d1i1``, ``d1i2``, ..."""
    codes = [f"d{d}" for d in range(1, dimensions + 1)]
    places = range(1, items + 1)
    return bare(
        dimensions=[{"code": c, "title": c} for c in codes],
        items=[{"code": f"{c}i{i}", "dimension": c, "text": f"{c} {i}"} for c in codes for i in places],
        **changes,
    )


def answers(n: int = 8, seed: int = 1) -> pd.DataFrame:
    """Valid answers as text: respondent, quarter and the six items."""
    rng = np.random.default_rng(seed)
    ratings = pd.DataFrame(rng.integers(1, 8, (n, len(ITEMS))).astype(str), columns=ITEMS, dtype=object)
    ratings.insert(0, "quarter", "2026Q3")
    ratings.insert(0, "respondent", [f"{i:03d}" for i in range(1, n + 1)])
    return ratings


def write_csv(frame: pd.DataFrame, path: Path, encoding: str = "utf-8") -> Path:
    """The frame as CSV in an encoding."""
    path.write_bytes(frame.to_csv(index=False, lineterminator="\n").encode(encoding))
    return path
