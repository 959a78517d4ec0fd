"""The record of a design study for machines: results.json and tables.xlsx are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqmodel.definitions import Text
from sqmodel.reporting.payload import DESIGN_SCHEMA, Payload, check_results
from sqmodel.reporting.words import say
from sqmodel.reporting.workbench_data import title
from sqmodel.result import encode

if TYPE_CHECKING:
    from sqmodel.reporting.workbench import Workbench


def record(bench: Workbench) -> Payload:
    """All results of a design study, as each analysis's ``to_json`` gives them."""
    study, tree = bench.study, bench.tree
    content = {
        "schema": DESIGN_SCHEMA,
        "page": {name: {g: text[g] for g in ("zh", "en")} for name, text in _texts(bench).items()},
        "name": study.name,
        "simulated": study.simulated,
        "verdict": bench.coherence_found.verdict,
        "n": bench.composite.n,
        "study": study.model_dump(mode="json"),
        "inputs": study.digests(),
        "labels": {"nodes": {n.code: {g: n.label[g] for g in ("zh", "en")} for n in tree.nodes}},
        "results": {
            "tree": encode(tree.model_dump(mode="json")),
            "composite": bench.composite.to_json(),
            "coherence": bench.coherence_found.to_json(),
            "weights": bench.comparison.to_json(),
            "uncertainty": bench.uncertainty.to_json(),
        },
    }
    return Payload(check_results(content))


def _texts(bench: Workbench) -> dict[str, Text]:
    study = bench.study
    kicker = say("design_kicker_simulated" if study.simulated else "design_kicker")
    return {"title": title(bench), "kicker": kicker, "subtitle": study.title}
