"""The middle of a dossier: rival models, distinct dimensions, comparable groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.measurement.comparability import Comparability
from sqmodel.measurement.confirmatory import Confirmation
from sqmodel.measurement.exploratory import DECIDING
from sqmodel.measurement.invariance import Invariance
from sqmodel.measurement.validity import Validity
from sqmodel.reporting.blocks import Block, Cell, both, details, paragraph, table
from sqmodel.reporting.dossier_parts import (
    captioned,
    column,
    failure,
    group_values,
    headed,
    name_of,
    names,
    notes,
    pvalue,
    right,
    with_bounds,
)
from sqmodel.reporting.validation import Failed, Models
from sqmodel.reporting.words import LANGUAGES, coefficient, number, percent, plain, say, signed

if TYPE_CHECKING:
    from sqmodel.reporting.dossier import Dossier

MOST_INDICES = 10
STATES = ("converged", "identified", "proper")


def thousandth(value: Any) -> str:
    """A coefficient with three decimals, as fit indices are printed."""
    return coefficient(value, 3)


def structure(dossier: Dossier) -> Block:
    """Rival models side by side; loadings and modification indices of the questionnaire's own."""
    models = dossier.models
    if isinstance(models, Failed):
        return Block(singles(dossier) + failure(models), "structure")
    parts = [
        _fit(models),
        paragraph(_findings(dossier, models)),
        singles(dossier),
        _models(dossier, models),
        _cutoffs(models),
    ]
    parts += [failure(fit, model_title(dossier, code)) for code, fit in models.fits.items() if isinstance(fit, Failed)]
    if isinstance(models.main, Confirmation):
        parts += [_loadings(dossier, models.main), _modification(dossier, models.main), notes(models.main.notes)]
    return Block("".join(parts), "structure")


def singles(dossier: Dossier) -> str:
    """Dimensions of one item, which no model can test."""
    return paragraph(say("dossier_single", list=names(dossier, dossier.single)), "note") if dossier.single else ""


def model_title(dossier: Dossier, code: str) -> Text:
    """What readers call a model."""
    if code.startswith("structure:"):
        own = dossier.instrument.structures[code.removeprefix("structure:")].title
        return say("dossier_model_structure", title=own)
    return say(f"dossier_model_{code}")


def _fit(models: Models) -> str:
    if isinstance(models.main, Failed):
        return ""
    row = models.table.iloc[0]
    rmsea = with_bounds(row["rmsea"], row["rmsea_low"], row["rmsea_high"], thousandth)
    values = {"cfi": thousandth(row["cfi"]), "rmsea": rmsea, "srmr": thousandth(row["srmr"])}
    return paragraph(say("dossier_models_say", n=number(row["n"], 0), **values), "say")


def _cutoffs(models: Models) -> str:
    """Cutoffs for this very model and sample beside the conventions of the ledger."""
    found = models.cutoffs
    if isinstance(found, Failed):
        return paragraph(say("dossier_cutoffs_none", reason=found.reason), "mute")
    headers = [say("dossier_col_level"), plain("SRMR"), plain("RMSEA"), plain("CFI")]
    wide = found.cutoffs.pivot_table(index="level", columns="index", values="cutoff", dropna=False)
    rows = [
        [Cell(plain(str(level))), *(right(thousandth(row[k])) for k in ("srmr", "rmsea", "cfi"))]
        for level, row in wide.iterrows()
    ]
    return headed("dossier_cutoffs_head", captioned(headers, rows, say("dossier_cutoffs_note")))


def _findings(dossier: Dossier, models: Models) -> Text:
    """Which model is the best, and what exploration says."""
    best = models.best
    if not best:
        first = say("dossier_models_none")
    elif best == "correlated":
        first = say("dossier_models_best_own")
    else:
        first = say("dossier_models_best", model=model_title(dossier, best))
    if isinstance(dossier.exploration, Failed):
        return first
    count = int(dossier.exploration.suggestions["n_factors"].astype(int)[DECIDING])
    second = say("dossier_models_factors", factors=count, dimensions=len(dossier.instrument.dimensions))
    return Text(zh=first["zh"] + second["zh"], en=f"{first['en']} {second['en']}")


def _models(dossier: Dossier, models: Models) -> str:
    keys = ("model", "chisq", "p", "cfi", "tli", "rmsea", "srmr", "aic", "bic", "solution")
    rows = []
    for code, row in models.table.iterrows():
        cells = [Cell(model_title(dossier, str(code)))]
        cells += [right(_chisq(row["chisq"], row["df"])), right(pvalue(row["pvalue"]))]
        cells += [right(thousandth(row[k])) for k in ("cfi", "tli")]
        cells.append(right(with_bounds(row["rmsea"], row["rmsea_low"], row["rmsea_high"], thousandth)))
        cells += [right(thousandth(row["srmr"])), *(right(number(row[k], 0)) for k in ("aic", "bic"))]
        rows.append([*cells, _solution(row)])
    n = models.table["n"].dropna()
    caption = say("dossier_models_caption", n=int(n.iloc[0]) if len(n) else "–")
    return captioned([column(k) for k in keys], rows, caption)


def _chisq(value: float, df: float) -> str:
    return f"{number(value)} ({number(df, 0)})" if math.isfinite(value) else "–"


def _solution(row: pd.Series) -> Cell:
    """Whether a model may be read at all: the gravest doubt first."""
    if row["reason"]:
        return Cell(say("dossier_solution_failed"), tone="warn")
    doubt = next((state for state in STATES if not row[state]), "")
    return Cell(say(f"dossier_solution_{doubt or 'good'}"), tone="warn" if doubt else "ok")


def _loadings(dossier: Dossier, fit: Confirmation) -> str:
    frame = fit.loadings
    loading = frame.set_index("item")["loading"]
    ends = {"low": coefficient(loading.min()), "high": coefficient(loading.max())}
    said = paragraph(say("dossier_loadings_say", item=name_of(dossier, str(loading.idxmin())), **ends))
    rows = [
        [
            Cell(name_of(dossier, str(row["item"]))),
            Cell(name_of(dossier, str(row["factor"])) if row["factor"] in dossier.model else say("all_items")),
            right(with_bounds(row["loading"], row["low"], row["high"])),
        ]
        for _, row in frame.iterrows()
    ]
    caption = say("dossier_loadings_caption", level=percent(dossier.study.level))
    headers = [say("col_item"), say("col_dimension"), column("loading")]
    return said + details(say("dossier_loadings"), captioned(headers, rows, caption))


def _modification(dossier: Dossier, fit: Confirmation) -> str:
    frame = fit.modification_indices.dropna(subset=["mi"]).head(MOST_INDICES)
    if frame.empty:
        return ""
    rows = [
        [
            Cell(_freed(dossier, row)),
            right(number(row["mi"])),
            right(pvalue(row["pvalue"])),
            right(signed(row["epc_std"], 2)),
        ]
        for _, row in frame.iterrows()
    ]
    shown = table([column(k) for k in ("parameter", "mi", "p", "epc")], rows)
    return details(say("dossier_modification"), shown + paragraph(say("dossier_modification_note"), "mute"))


def _freed(dossier: Dossier, row: pd.Series) -> Text:
    first, second = (name_of(dossier, str(row[side])) for side in ("lhs", "rhs"))
    if row["op"] == "=~":
        return say("dossier_mi_loading", first=first, second=second)
    kind = "factor" if row["lhs"] in dossier.model else "residual"
    return say(f"dossier_mi_{kind}", first=first, second=second)


def validity(dossier: Dossier) -> Block:
    """Whether the items of a dimension converge, and the dimensions are distinct."""
    result = dossier.validity_found
    if isinstance(result, Failed):
        return Block(singles(dossier) + failure(result), "validity")
    parts = [singles(dossier), headed("dossier_validity_factors", _factors(dossier, result))]
    if result.pairs.empty:
        return Block(paragraph(say("dossier_validity_one"), "say") + "".join(parts), "validity")
    counts = result.pairs["verdict"].value_counts()
    values = {k: int(counts.get(v, 0)) for k, v in (("distinct",) * 2, ("doubtful",) * 2, ("same", "the same"))}
    parts.insert(0, paragraph(say("dossier_validity_say", pairs=len(result.pairs), **values), "say"))
    parts.append(headed("dossier_validity_pairs", _pairs(dossier, result)))
    return Block("".join(parts) + notes(result.notes), "validity")


def _factors(dossier: Dossier, result: Validity) -> str:
    headers = [say("col_dimension"), *(column(k) for k in ("items", "cr", "ave", "ave_root"))]
    rows = [
        [
            Cell(name_of(dossier, str(code))),
            right(int(row["items"])),
            right(with_bounds(row["composite_reliability"], row["cr_low"], row["cr_high"])),
            right(with_bounds(row["ave"], row["ave_low"], row["ave_high"])),
            right(coefficient(row["ave_root"])),
        ]
        for code, row in result.factors.iterrows()
    ]
    return captioned(headers, rows, say("dossier_factors_caption", level=percent(dossier.study.level)))


PAIR_TONES = {"distinct": "ok", "doubtful": "warn", "the same": "bad"}


def _pairs(dossier: Dossier, result: Validity) -> str:
    keys = ("pair", "r", "htmt", "htmt2", "fl")
    rows = []
    for _, row in result.pairs.iterrows():
        sides = {side: name_of(dossier, str(row[side])) for side in ("first", "second")}
        cells = [Cell(Text(**{g: f"{sides['first'][g]} / {sides['second'][g]}" for g in LANGUAGES}))]
        cells += [right(with_bounds(row[k], row[f"{k}_low"], row[f"{k}_high"])) for k in ("r", "htmt", "htmt2")]
        cells.append(Cell(say("yes" if row["fornell_larcker"] else "no")))
        verdict = str(row["verdict"])
        word = "same" if verdict == "the same" else verdict
        rows.append([*cells, Cell(say(f"dossier_pair_{word}"), tone=PAIR_TONES[verdict])])
    headers = [*(column(k) for k in keys), say("col_verdict")]
    values = {"cutoff": coefficient(result.settings["cutoff"]), "level": percent(dossier.study.level)}
    return captioned(headers, rows, say("dossier_validity_caption", **values))


STATUSES = ("comparable", "partial", "not comparable", "not assessed")
STATUS_TONES = dict(zip(STATUSES, ("ok", "warn", "bad", "warn"), strict=True))


def invariance(dossier: Dossier) -> Block:
    """By which variables groups may be compared, and every step of the test."""
    gate = dossier.comparability
    if isinstance(gate, Failed):
        return Block(failure(gate), "invariance")
    if gate.variables.empty:
        return Block(paragraph(say("dossier_invariance_none"), "say"), "invariance")
    counts = {s: int((gate.variables["status"] == s).sum()) for s in STATUSES}
    tested = len(gate.variables) - counts["not assessed"]
    values = {s.replace(" ", "_"): c for s, c in counts.items() if s != "not assessed"}
    said = say("dossier_invariance_say", tested=tested, open=counts["not assessed"], **values)
    parts = [paragraph(said, "say"), _gate(dossier, gate)]
    parts += [_ladder(dossier, by, found) for by, found in dossier.ladders.items()]
    if len(gate.effects):
        parts.append(headed("dossier_effects", _effects(dossier, gate)))
    return Block("".join(parts), "invariance")


def _gate(dossier: Dossier, gate: Comparability) -> str:
    keys = ("group", "tested", "left_out", "reached", "delta_cfi")
    rows = []
    for row in gate.variables.to_dict("records"):
        by, status = str(row["group"]), str(row["status"])
        cells = [Cell(dossier.instrument.group(by).title), Cell(group_values(dossier, by, row["tested"]))]
        cells += [Cell(group_values(dossier, by, row["left_out"])), Cell(_reached(gate, row))]
        cells.append(right(signed_thousandth(row["delta_cfi"])))
        rows.append([*cells, Cell(say(f"dossier_status_{status.replace(' ', '_')}"), tone=STATUS_TONES[status])])
    headers = [*(column(k) for k in keys), say("col_verdict")]
    count = int(gate.settings["smallest_group"])
    return captioned(headers, rows, say("dossier_invariance_caption", count=count))


def _reached(gate: Comparability, row: Mapping[Any, Any]) -> Text:
    if row["status"] != "not assessed":
        return say(f"dossier_step_{row['level']}")
    if ", " not in row["tested"]:
        return say("dossier_invariance_few", count=int(gate.settings["smallest_group"]))
    return plain(row["reason"])


def signed_thousandth(value: Any) -> str:
    """A change of a fit index."""
    shown = thousandth(value)
    return f"+{shown}" if math.isfinite(value) and round(value, 3) > 0 else shown


def _ladder(dossier: Dossier, by: str, found: Invariance | Failed) -> str:
    group = dossier.instrument.group(by).title
    heading = f"<h3>{both(say('dossier_ladder', group=group))}</h3>"
    if isinstance(found, Failed):
        return heading + failure(found)
    keys = ("model", "chisq", "cfi", "rmsea", "srmr", "delta_cfi", "delta_rmsea", "delta_srmr", "difference", "p")
    rows = [_step(row) for _, row in found.steps.iterrows()]
    headers = [*(column(k) for k in (*keys, "holds"))]
    shown = captioned(headers, rows, say("dossier_ladder_caption", n=f"{found.n:,}"))
    if len(found.released):
        shown += paragraph(say("dossier_released", list=names(dossier, list(found.released["lhs"]))))
    return heading + shown + notes(found.notes)


def _step(row: pd.Series) -> list[Cell]:
    cells = [Cell(say(f"dossier_step_{row['model']}")), right(_chisq(row["chisq"], row["df"]))]
    cells += [right(thousandth(row[k])) for k in ("cfi", "rmsea", "srmr")]
    cells += [right(signed_thousandth(row[f"delta_{k}"])) for k in ("cfi", "rmsea", "srmr")]
    cells += [right(_chisq(row["chisq_difference"], row["df_difference"])), right(pvalue(row["pvalue"]))]
    return [*cells, Cell(say("yes" if row["holds"] else "no"), tone="ok" if row["holds"] else "warn")]


def _effects(dossier: Dossier, gate: Comparability) -> str:
    headers = [column("group"), say("col_n")]
    headers += [column(k) for k in ("observed", "bias", "fair")]
    rows = []
    for row in gate.effects.to_dict("records"):
        group = dossier.instrument.group(str(row["group"]))
        title, value = group.title, group.label(str(row["value"]))
        label = Text(zh=f"{title['zh']}：{value['zh']}", en=f"{title['en']}: {value['en']}")
        rows.append([Cell(label), right(int(row["n"])), *(right(signed(row[k])) for k in ("observed", "bias", "fair"))])
    return captioned(headers, rows, say("dossier_effects_caption"))
