"""The record of a dossier for machines: results.json and tables.xlsx are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.reporting.dossier_data import title
from sqmodel.reporting.payload import VALIDATION_SCHEMA, Payload, check_results, inputs_of, labels_of
from sqmodel.reporting.validation import Failed
from sqmodel.reporting.words import quarter, say
from sqmodel.result import Result, encode

if TYPE_CHECKING:
    from sqmodel.reporting.dossier import Dossier


def record(dossier: Dossier) -> Payload:
    """All results of a dossier; what could not be computed is there with its reason."""
    study, instrument = dossier.study, dossier.instrument
    content = {
        "schema": VALIDATION_SCHEMA,
        "page": {name: {g: text[g] for g in ("zh", "en")} for name, text in _texts(dossier).items()},
        "business_line": study.business_line,
        "quarter": study.quarter,
        "simulated": study.simulated,
        "verdict": dossier.measure.verdict,
        "n": len(dossier.current),
        "study": study.public(),
        "inputs": inputs_of(study, dossier.responses.reading),
        "labels": labels_of(instrument, study),
        "results": {
            "instrument": {"name": instrument.name, "version": instrument.version, "digest": instrument.digest},
            "ledger": encode(dossier.measure.ledger),
            **{name: _encoded(value) for name, value in _parts(dossier).items()},
        },
    }
    return Payload(check_results(content))


def _texts(dossier: Dossier) -> dict[str, Text]:
    study = dossier.study
    where = [study.title, quarter(study.quarter), *([study.organisation] if study.organisation else [])]
    subtitle = Text(**{g: " · ".join(t[g] for t in where) for g in ("zh", "en")})
    kicker = say("dossier_kicker_simulated" if study.simulated else "dossier_kicker")
    return {"title": title(dossier), "kicker": kicker, "subtitle": subtitle}


def _parts(dossier: Dossier) -> dict[str, Any]:
    models, confirmation, parity = dossier.models, dossier.confirmation, dossier.parity_found
    indices = confirmation if isinstance(confirmation, Failed) else {"table": confirmation.modification_indices}
    return {
        "reading": dossier.responses.reading,
        "screening": dossier.screening.counts,
        "reliability": dossier.reliability_found,
        "error": _table(dossier.error_table),
        "exploration": dossier.exploration,
        "models": models if isinstance(models, Failed) else _table(models.table),
        "confirmation": confirmation,
        "modification": indices,
        "validity": dossier.validity_found,
        "comparability": dossier.comparability,
        "invariance": dict(dossier.ladders),
        "invariance_steps": {"table": _stacked({by: r.steps for by, r in dossier.ladders.items()
                                                if not isinstance(r, Failed)})},
        "items": dossier.item_screening,
        "item_bias": {"table": _stacked({by: r.dif.rename_axis("item").reset_index()
                                         for by, r in dossier.item_bias.items() if not isinstance(r, Failed)})},
        "planning": dossier.plan,
        "parity": parity,
    }  # fmt: skip


def _table(frame: pd.DataFrame | Failed) -> Any:
    return frame if isinstance(frame, Failed) else {"table": frame}


def _stacked(frames: dict[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Frames of several grouping variables as one, the variable first."""
    parts = [frame.assign(by=by) for by, frame in frames.items()]
    if not parts:
        return None
    whole = pd.concat(parts, ignore_index=True)
    return whole[["by", *(c for c in whole.columns if c != "by")]]


def _encoded(value: Any) -> Any:
    """Plain values; of a failure its reason."""
    if isinstance(value, Failed):
        return {"failed": value.reason}
    if isinstance(value, dict):
        return {str(k): _encoded(v) for k, v in value.items()}
    return value.to_json() if isinstance(value, Result) else encode(value)
