"""Service quality in lending: a validated questionnaire, an index with an interval, a report managers act on.

The names below are loaded when they are first used, so that importing the package costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Estimate": "result",
    "SqmodelError": "errors",
    "InputError": "errors",
    "Instrument": "survey.instrument",
    "load_instrument": "survey.instrument",
    "Responses": "survey.responses",
    "read_responses": "survey.readers",
    "screen": "survey.screening",
    "rake": "survey.calibration",
    "demo_study": "survey.simulate",
    "demo_population": "survey.simulate",
    "simple_population": "survey.simulate",
    "simulate_responses": "survey.simulate",
    "assess_reliability": "measurement.reliability",
    "explore": "measurement.exploratory",
    "assess_group_differences": "measurement.differences",
    "assess_agreement": "measurement.differences",
    "confirm": "measurement.confirmatory",
    "compare_groups": "measurement.invariance",
    "plan_sample": "measurement.planning",
    "dynamic_cutoffs": "measurement.cutoffs",
    "correlate_ordered": "measurement.ordered",
    "align": "measurement.alignment",
    "assess_comparability": "measurement.comparability",
    "assess_validity": "measurement.validity",
    "screen_items": "measurement.items",
    "qualify": "measurement.measure",
    "Measure": "measurement.measure",
    "derive_weights": "index.weighting",
    "build_index": "index.scoring",
    "assess_trend": "index.trend",
    "assess_gaps": "index.gaps",
    "assess_outcomes": "index.outcomes",
    "find_priorities": "index.priorities",
    "rank_actions": "index.actions",
    "read_events": "operations.events",
    "analyse_process": "operations.process_analysis",
    "load_standard": "operations.standards",
    "assess_standard": "operations.compliance",
    "find_drivers": "index.drivers",
    "load_study": "reporting.study",
    "Study": "reporting.study",
    "Page": "reporting.page",
    "Dossier": "reporting.dossier",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sqmodel' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sqmodel.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
