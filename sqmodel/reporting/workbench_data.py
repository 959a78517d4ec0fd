"""The beginning of a design study and its end: who may be first, the data, the stages; method."""

from __future__ import annotations

import math
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sqmodel.definitions import Text
from sqmodel.index.samples import ErrorSample, RowSample
from sqmodel.reporting.blocks import Block, Cell, badge, both, details, paragraph
from sqmodel.reporting.dossier_parts import captioned, right
from sqmodel.reporting.evidence import VERSIONS
from sqmodel.reporting.words import known_as, listed, number, percent, plain, say
from sqmodel.reporting.workbench_parts import (
    BADGES,
    MOST,
    digits_of,
    factor_name,
    figure,
    left_out,
    method_name,
    node_name,
    only,
    shown_units,
    units_listed,
)

if TYPE_CHECKING:
    from sqmodel.reporting.workbench import Workbench


def title(bench: Workbench) -> Text:
    """Who may be first, in one line."""
    if bench.blocked:
        return say("design_title_blocks")
    ranks = bench.uncertainty.ranks.sort_values("rank", kind="stable")
    first = plain(ranks.index[0])
    if ranks["best_all"].isna().all():
        return say("design_title_unknown", unit=first)
    level = percent(bench.study.level)
    if ranks["worst_all"].iloc[0] == 1:
        return say("design_title_sure", unit=first, level=level)
    return say("design_title_open", unit=first, count=int((ranks["best_all"] == 1).sum()), level=level)


def headline(bench: Workbench) -> Block:
    """The head of the page."""
    parts = [f"<h1>{both(title(bench))}</h1>"]
    if bench.study.simulated:
        parts.append(paragraph(say("simulated"), "note"))
    found = bench.coherence_found
    left = f'<div><div class="big">{bench.composite.n:,}</div><div class="int">{both(say("design_n"))}</div></div>'
    verdict = badge(say(f"design_verdict_{found.verdict}"), BADGES[found.verdict])
    middle = f"<div><p>{both(_tree(bench))}</p><p>{verdict}</p></div>"
    shares = "" if bench.blocked else f'<div class="int">{both(_shares(bench))}</div>'
    parts.append(f'<div class="head">{left}{middle}{shares}</div>')
    parts.append(paragraph(_why(bench), "say"))
    if found.verdict == "blocks" and not bench.blocked:
        parts.append(paragraph(say("design_accepted", reason=bench.study.accept), "note"))
    return Block("".join(parts), "headline")


def _tree(bench: Workbench) -> Text:
    tree = bench.tree
    branches = sum(len(level) for level in tree.levels) - 1
    own = tree.title or plain(tree.name)
    return say("design_tree", title=own, name=tree.name, version=tree.version, indicators=len(tree.indicators),
               branches=branches)  # fmt: skip


def _shares(bench: Workbench) -> Text:
    split = bench.uncertainty.split
    if alone := only(bench):
        return say(f"design_only_{alone}")
    if split.empty:
        return say("design_split_unknown")
    values = {k: percent(split.loc[k, "share"]) for k in ("sampling", "method", "joint")}
    return say("design_split_short", **values)


def _why(bench: Workbench) -> Text:
    """What the verdict on the tree rests on."""
    findings = bench.coherence_found.findings
    counts = {k: int((findings["verdict"] == k).sum()) for k in ("ok", "doubtful", "blocks")}
    verdict = bench.coherence_found.verdict
    if verdict == "blocks":
        nodes = findings.loc[findings["verdict"] == "blocks", "node"].unique()
        return say("design_verdict_blocks_why", list=listed(node_name(bench, str(c)) for c in nodes))
    return say(f"design_verdict_{verdict}_why", count=counts["doubtful"], ok=counts["ok"])


def data(bench: Workbench) -> Block:
    """Indicators as they came, what was missing, and what was done about outliers."""
    found = bench.composite
    raw, treatment = found.denominated.loc[found.imputed.index], found.treatment
    treated = treatment.index[treatment["done"] != "none"]
    missing, imputed = int(raw.isna().sum().sum()), len(found.imputations)
    values = {"units": f"{len(found.raw):,}", "indicators": str(len(treatment))}
    parts = [paragraph(say("design_data_say", missing=missing, imputed=imputed, **values), "say")]
    told = say("design_data_untreated")
    if len(treated):
        told = say("design_data_treated", list=listed(node_name(bench, str(c)) for c in treated))
    parts.append(paragraph(told))
    parts += [paragraph(text) for text in _gone(bench)]
    parts.append(_indicators(bench, raw))
    if bench.inputs.samples:
        parts.append(f"<h3>{both(say('design_samples'))}</h3>{_samples(bench)}")
    if len(found.imputations):
        parts.append(details(say("design_imputed"), _imputations(bench)))
    return Block("".join(parts), "data")


def _gone(bench: Workbench) -> list[Text]:
    """Units and values that are not there any more."""
    found = []
    if len(gone := bench.composite.left_out):
        found.append(say("design_data_left_out", count=len(gone), list=units_listed(gone["unit"])))
    if len(lost := bench.composite.lost):
        found.append(say("design_data_lost", count=len(lost), list=units_listed(lost["unit"].unique())))
    return found


def _indicators(bench: Workbench, raw: pd.DataFrame) -> str:
    keys = ("indicator", "direction", "n", "range", "skewness", "kurtosis", "done")
    rows = []
    for code, own in bench.composite.treatment.iterrows():
        values, node = raw[str(code)], bench.tree.node(str(code))
        spread = f"{figure(values.min())} / {figure(values.median())} / {figure(values.max())}"
        done = say(f"design_done_{own['done']}", steps=int(own["steps"]))
        cells = [Cell(node.label), Cell(say("design_more" if node.direction > 0 else "design_less"))]
        cells += [right(int(values.notna().sum())), right(spread)]
        cells += [right(number(own["skewness"], 2)), right(number(own["kurtosis"], 2))]
        rows.append([*cells, Cell(done, tone="warn" if own["done"] != "none" else "")])
    settings = bench.composite.settings
    limits = {"skewness": f"{settings['skewness']:g}", "kurtosis": f"{settings['kurtosis']:g}"}
    return captioned([say(f"design_col_{k}") for k in keys], rows, say("design_data_caption", **limits))


def _samples(bench: Workbench) -> str:
    rows = []
    for sample in bench.inputs.samples:
        count, kind = "–", say("design_sample_errors")
        if isinstance(sample, RowSample):
            count, kind = f"{len(sample.rows):,}", say(f"design_sample_{sample.statistic}")
        elif isinstance(sample, ErrorSample):
            count = f"{len(sample.units):,}"
        named = listed(_column_name(bench, c) for c in sample.columns)
        rows.append([Cell(factor_name(bench, sample.name)), Cell(named), Cell(kind), right(count)])
    if bench.inputs.judgements is not None and bench.study.weighting == "judged":
        judges = bench.inputs.judgements.frame["judge"].nunique()
        rows.append([Cell(factor_name(bench, "judges")), Cell(say("design_col_weights")),
                     Cell(say("design_sample_judges")), right(judges)])  # fmt: skip
    headers = [say(f"design_col_{k}") for k in ("sample", "gives", "by", "rows")]
    return captioned(headers, rows, say("design_samples_caption"))


def _column_name(bench: Workbench, code: str) -> Text:
    return node_name(bench, code) if code in bench.tree.indicators else plain(code)


def _imputations(bench: Workbench) -> str:
    rows = [
        [Cell(plain(r["unit"])), Cell(node_name(bench, r["indicator"])), right(figure(r["value"]))]
        for r in bench.composite.imputations.head(MOST).to_dict("records")
    ]
    kind = known_as("design_impute", bench.study.impute)
    caption = say("design_imputed_caption", kind=kind, count=len(bench.composite.imputations), most=MOST)
    return captioned([say(f"design_col_{k}") for k in ("unit", "indicator", "value")], rows, caption)


def stages(bench: Workbench) -> Block:
    """Scores of all branches, and one unit followed through all stages."""
    scores = bench.composite.scores
    order = scores.iloc[:, -1].sort_values(ascending=False, kind="stable").index
    parts = [paragraph(_path(bench), "say"), _scores(bench, [str(u) for u in order])]
    hidden = left_out(len(order))
    parts += [paragraph(hidden, "mute")] if hidden else []
    first, last = str(order[0]), str(order[-1])
    for unit in dict.fromkeys((first, last)):
        parts.append(details(say("design_followed", unit=unit), _followed(bench, unit)))
    return Block("".join(parts), "stages")


def _path(bench: Workbench) -> Text:
    study = bench.study
    scale = bench.composite.settings["scale"]
    kind = known_as("design_normalise", study.normalise)
    scaled = say("design_scaled_plain", kind=kind)
    if scale:
        key = "design_scaled_mean" if study.normalise == "z_score" else "design_scaled"
        scaled = say(key, kind=kind, low=f"{scale[0]:g}", high=f"{scale[1]:g}")
    methods = bench.composite.settings["aggregate"]
    words = [known_as("design_aggregate", m) for m in methods]
    joined = words[0] if len(set(methods)) == 1 else say("design_levels", list=listed(words))
    return say("design_stages_say", normalise=scaled, aggregate=joined,
               weighting=method_name(study.weighting))  # fmt: skip


def _scores(bench: Workbench, order: list[str]) -> str:
    scores = bench.composite.scores.set_axis(bench.composite.scores.index.astype(str))
    names, digits = [scores.columns[-1], *scores.columns[:-1]], digits_of(bench)
    rows = [[Cell(plain(u)), *(right(number(scores.loc[u, c], digits)) for c in names)] for u in shown_units(order)]
    headers = [say("design_col_unit"), *(plain(c) for c in names)]
    named = [Text(**{g: f"{c}: {node_name(bench, str(c))[g]}" for g in ("zh", "en")}) for c in names]
    return captioned(headers, rows, say("design_scores_caption", list=listed(named)))


def _followed(bench: Workbench, unit: str) -> str:
    """Every indicator of one unit, from its raw value to what it counts."""
    found = bench.composite
    frames = [f.set_axis(f.index.astype(str)).loc[unit] for f in (
        found.raw, found.denominated, found.imputed, found.treated, found.normalised)]  # fmt: skip
    weight = found.weights["effective"]
    rows = []
    for code in found.treatment.index:
        cells = [right(figure(values[code])) for values in frames[:-1]]
        scaled = frames[-1][code]
        rows.append([Cell(node_name(bench, str(code))), *cells, right(figure(scaled)), right(percent(weight[code], 1))])
    keys = ("indicator", "raw", "denominated", "imputed", "treated", "normalised", "effective")
    return captioned([say(f"design_col_{k}") for k in keys], rows, say("design_followed_caption"))


def provenance(bench: Workbench) -> Block:
    """Method, settings, input digests and versions."""
    study, settings = bench.study, bench.uncertainty.settings
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS) + f", Python {platform.python_version()}"
    draws = {"draws": f"{settings['draws']:,}", "level": percent(settings["level"])}
    entries = [
        (say("design_item_tree"), _tree(bench)),
        (say("design_item_arrangement"), _arrangement(bench)),
        (say("design_item_path"), _path(bench)),
        (say("design_item_choices"), _alternatives(bench)),
        (say("item_interval"), say("design_method_interval", **draws)),
        (say("design_item_ranks"), say("design_method_ranks", **draws)),
        (say("design_item_factors"), say("design_method_factors")),
        (say("design_item_coherence"), say("design_method_coherence")),
        (say("item_seed"), plain(study.seed)),
        (say("item_versions"), plain(versions)),
    ]
    shown = "".join(f"<dt>{both(k)}</dt><dd>{both(v)}</dd>" for k, v in entries)
    digests = "".join(f"<dt>{both(plain(k))}</dt><dd><code>{v}</code></dd>" for k, v in study.digests().items())
    parts = [paragraph(say("design_method_say")), f"<dl>{shown}</dl>"]
    parts.append(details(say("item_inputs"), f"<dl>{digests}</dl>"))
    return Block("".join(parts), "provenance")


def _arrangement(bench: Workbench) -> Text:
    study = bench.study
    treated = say("design_treat", steps=study.winsorised) if study.treat else say("design_treat_none")
    kind = known_as("design_impute", study.impute)
    present = say("design_present", share=percent(study.present))
    return listed([kind, *([present] if study.present else []), treated])


def _alternatives(bench: Workbench) -> Text:
    """Every other choice, by its factor."""
    own = bench.study.alternatives
    noise = np.max(own.noise)
    options = {
        "imputation": [known_as("design_impute", k) for k in own.impute],
        "treatment": [say("design_treat_none") if t == "none" else say("design_treat", steps=t) for t in own.treat],
        "normalisation": [
            Text(**{g: f"{known_as('design_normalise', s.method)[g]}{_between(s.scale)}" for g in ("zh", "en")})
            for s in own.normalise
        ],
        "aggregation": [_levels([known_as("design_aggregate", m) for m in levels]) for levels in own.aggregate],
        "weights": [method_name(m) for m in own.weights],
        "weight_noise": [say("design_noise", share=percent(noise))] if noise > 0 else [],
        "dropped": [node_name(bench, c) for c in own.drop],
    }
    told = [say("design_options", factor=known_as("design_factor", k), list=listed(v)) for k, v in options.items() if v]
    return Text(**{g: "".join(t[g] for t in told).strip() for g in ("zh", "en")}) if told else say("dossier_none")


def _between(scale: list[float] | None) -> str:
    return f" {scale[0]:g}–{scale[1]:g}" if scale and math.isfinite(sum(scale)) else ""


def _levels(words: list[Text]) -> Text:
    """Aggregations from the bottom to the index."""
    return Text(**{g: " → ".join(w[g] for w in words) for g in ("zh", "en")})
