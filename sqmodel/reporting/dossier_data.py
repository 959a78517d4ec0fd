"""The beginning of a dossier and its end: verdict, data, internal consistency, measurement error; method."""

from __future__ import annotations

import math
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import pandas as pd

from sqmodel.definitions import Text
from sqmodel.measurement.reliability import TOTAL, Reliability
from sqmodel.reporting.blocks import Block, Cell, badge, both, details, paragraph
from sqmodel.reporting.dossier_parts import captioned, column, failure, name_of, notes, right, with_bounds
from sqmodel.reporting.evidence import LEDGER_WORDS, VERSIONS, ledger
from sqmodel.reporting.opening import TONES, why
from sqmodel.reporting.validation import Failed, answered, complete
from sqmodel.reporting.words import MINUS, coefficient, listed, number, percent, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.dossier import Dossier

COSMIN = (
    "Mokkink et al. (2018), Quality of Life Research 27, 1171–1179; "
    "Prinsen et al. (2018), Quality of Life Research 27, 1147–1157"
)
LEVELS = ("met", "doubtful", "failed", "not assessed")


def title(dossier: Dossier) -> Text:
    """The verdict in one line."""
    return say(f"dossier_title_{dossier.measure.verdict}", line=dossier.study.title)


def headline(dossier: Dossier) -> Block:
    """The head of the dossier."""
    measure = dossier.measure
    parts = [f"<h1>{both(title(dossier))}</h1>"]
    if dossier.study.simulated:
        parts.append(paragraph(say("simulated"), "note"))
    count = f"{len(dossier.current):,}"
    left = f'<div><div class="big">{count}</div><div class="int">{both(say("dossier_n"))}</div></div>'
    counts = {LEDGER_WORDS[v]: int((measure.ledger["verdict"] == v).sum()) for v in LEVELS}
    verdict = badge(say(f"verdict_{measure.verdict}"), TONES[measure.verdict])
    middle = f"<div><p>{both(_questionnaire(dossier))}</p><p>{verdict}</p></div>"
    checks = f'<div class="int">{both(say("dossier_counts", **counts))}</div>'
    parts.append(f'<div class="head">{left}{middle}{checks}</div>')
    parts.append(paragraph(why(dossier.measure), "say"))
    parts.append(details(say("dossier_ledger"), ledger(dossier.measure)))
    return Block("".join(parts), "headline")


def _questionnaire(dossier: Dossier) -> Text:
    """Title, name, version and size."""
    instrument = dossier.instrument
    own = {"name": instrument.name, "version": instrument.version, "items": str(len(dossier.items))}
    return say("dossier_instrument", title=instrument.title, dimensions=len(instrument.dimensions), **own)


def quality(dossier: Dossier) -> Block:
    """What was received, left out and missing."""
    received, current = dossier.answers.of(dossier.study.quarter), dossier.current
    excluded = len(received) - len(current)
    values = {"received": f"{len(received):,}", "excluded": str(excluded), "n": f"{len(current):,}"}
    share = percent(excluded / len(received), 1)
    whole = complete(current, dossier.items)
    parts = [paragraph(say("dossier_quality_say", share=share, complete=f"{whole:,}", **values), "say")]
    given = answered(current, dossier.items)
    worst = str(given["missing"].idxmax())
    shares = {"share": percent(given["missing"].mean(), 1), "most": percent(given["missing"].max(), 1)}
    parts.append(paragraph(say("dossier_quality_missing", item=name_of(dossier, worst), **shares)))
    parts.append(_flags(dossier, len(received)))
    parts.append(details(say("dossier_quality_items"), _item_answers(dossier, given)))
    return Block("".join(parts), "quality")


def _flags(dossier: Dossier, n: int) -> str:
    """Signs of carelessness in this quarter's answers."""
    own = (dossier.answers.frame["quarter"] == dossier.study.quarter).to_numpy()
    flags, counts = dossier.screening.flags[own], dossier.screening.counts
    headers = [say(k) for k in ("col_kind", "col_count", "col_share", "dossier_col_threshold", "col_excludes")]
    rows = [
        [
            Cell(say(f"flag_{flag}")),
            right(int(flags[flag].sum())),
            right(percent(flags[flag].mean(), 1)),
            right(_threshold(row["threshold"])),
            Cell(say("yes" if row["excludes"] else "no")),
        ]
        for flag, row in counts.iterrows()
    ]
    return captioned(headers, rows, say("dossier_quality_caption", n=f"{n:,}"))


def _threshold(value: float) -> str:
    return f"{value:.3g}".replace("-", MINUS) if math.isfinite(value) else "–"


def _item_answers(dossier: Dossier, given: pd.DataFrame) -> str:
    reliability = dossier.reliability_found
    headers = [say("col_item"), say("col_n"), column("missing")]
    described = None if isinstance(reliability, Failed) else reliability.items
    if described is not None:
        headers += [column(k) for k in ("mean", "sd", "skew", "kurtosis", "floor", "ceiling")]
    rows = []
    for code, row in given.iterrows():
        cells = [Cell(name_of(dossier, str(code))), right(int(row["n"])), right(percent(row["missing"], 1))]
        if described is not None:
            own = described.loc[str(code)]
            cells += [right(number(own[k], 2)) for k in ("mean", "sd", "skew", "kurtosis")]
            cells += [right(percent(own[k], 1)) for k in ("floor", "ceiling")]
        rows.append(cells)
    return captioned(headers, rows, say("dossier_quality_items_caption"))


def reliability(dossier: Dossier) -> Block:
    """Alpha and omega of every dimension, and of all items."""
    result = dossier.reliability_found
    if isinstance(result, Failed):
        return Block(failure(result), "reliability")
    frame = result.coefficients.drop(index=TOTAL, errors="ignore")
    parts: list[str] = []
    for name, key in (("omega", "dossier_reliability_say"), ("alpha", "dossier_reliability_say_alpha")):
        known = frame[name].astype(float).dropna()
        if len(known) and not parts:
            ends = {"low": coefficient(known.min()), "high": coefficient(known.max())}
            parts.append(paragraph(say(key, dimension=name_of(dossier, str(known.idxmin())), **ends), "say"))
    parts.append(_consistency(dossier, result))
    if math.isfinite(result.coefficients["omega_hierarchical"].astype(float).get(TOTAL, math.nan)):
        parts.append(paragraph(_total(result)))
    parts.append(notes(result.notes))
    return Block("".join(parts), "reliability")


def _total(result: Reliability) -> Text:
    names = {"total": "omega_total", "hierarchical": "omega_hierarchical"}
    values = {k: float(result.coefficients[name][TOTAL]) for k, name in names.items()}
    return say("dossier_reliability_total", **{k: _interval(result, TOTAL, names[k], v) for k, v in values.items()})


def _interval(result: Reliability, code: str, name: str, value: float) -> str:
    try:
        return with_bounds(value, *result.interval(code, name))
    except KeyError:
        return with_bounds(value, math.nan, math.nan)


def _consistency(dossier: Dossier, result: Reliability) -> str:
    keys = ("col_dimension", "dossier_col_items", "col_n", "col_alpha", "col_omega", "dossier_col_mean_r")
    rows = []
    for code, row in result.coefficients.iterrows():
        omega = "omega" if code != TOTAL or len(result.coefficients) == 1 else "omega_total"
        label = say("all_items") if code == TOTAL else name_of(dossier, str(code))
        cells = [Cell(label), right(int(row["k"])), right(int(row["n"]))]
        cells += [right(_interval(result, str(code), name, float(row[name]))) for name in ("alpha", omega)]
        rows.append([*cells, right(coefficient(row["mean_r"]))])
    caption = say("dossier_reliability_caption", level=percent(dossier.study.level))
    return captioned([say(k) for k in keys], rows, caption)


def measurement_error(dossier: Dossier) -> Block:
    """How far a single score may be off."""
    found = dossier.error_table
    if isinstance(found, Failed):
        return Block(failure(found), "error")
    if found.empty:
        return Block(paragraph(say("dossier_single", list=_singles(dossier)), "note"), "error")
    ends = {"low": number(found["sem"].min()), "high": number(found["sem"].max())}
    headers = [say("col_dimension"), say("col_n"), *(column(k) for k in ("sd", "sem", "sdc", "sdc_mean"))]
    rows = [
        [
            Cell(name_of(dossier, str(code))),
            right(int(row["n"])),
            right(number(row["sd"])),
            right(with_bounds(row["sem"], row["sem_low"], row["sem_high"], number)),
            right(number(row["sdc"])),
            right(number(row["sdc_mean"])),
        ]
        for code, row in found.iterrows()
    ]
    caption = say("dossier_error_caption", level=percent(dossier.study.level))
    shown = captioned(headers, rows, caption)
    parts = [paragraph(say("dossier_error_say", **ends), "say"), shown, paragraph(say("dossier_error_note"), "mute")]
    return Block("".join(parts), "error")


def _singles(dossier: Dossier) -> Text:
    return listed(name_of(dossier, c) for c in dossier.single)


def provenance(dossier: Dossier) -> Block:
    """Method, settings, input digests and versions."""
    study = dossier.study
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS) + f", Python {platform.python_version()}"
    entries = [
        (say("item_instrument"), _questionnaire(dossier)),
        (say("dossier_method_model"), say("dossier_method_model_text")),
        (say("dossier_method_validity"), say("dossier_method_validity_text", draws=f"{study.draws:,}")),
        (say("dossier_method_items"), say("dossier_method_items_text")),
        (say("item_seed"), plain(study.seed)),
        (plain("COSMIN"), plain(COSMIN)),
        (say("dossier_unassessed"), say("dossier_unassessed_text")),
        (say("item_versions"), plain(versions)),
    ]
    shown = "".join(f"<dt>{both(k)}</dt><dd>{both(v)}</dd>" for k, v in entries)
    digests = "".join(f"<dt>{both(plain(k))}</dt><dd><code>{v}</code></dd>" for k, v in study.digests().items())
    parts = [paragraph(say("dossier_method_say")), f"<dl>{shown}</dl>"]
    parts.append(details(say("item_inputs"), f"<dl>{digests}</dl>"))
    return Block("".join(parts), "provenance")
