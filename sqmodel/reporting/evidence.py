"""The end of a page: can the numbers be trusted, what happened to the data, how was it done."""

from __future__ import annotations

import math
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from sqmodel.definitions import Text
from sqmodel.measurement.exploratory import DECIDING
from sqmodel.measurement.measure import load_criteria
from sqmodel.reporting import charts
from sqmodel.reporting.blocks import Block, Cell, badge, both, details, paragraph, table
from sqmodel.reporting.opening import TONES, ledger_number, scope
from sqmodel.reporting.sections.records import noticed
from sqmodel.reporting.words import coefficient, interval, number, percent, plain, say
from sqmodel.survey.instrument import Instrument

if TYPE_CHECKING:
    from sqmodel.measurement.measure import Measure
    from sqmodel.reporting.page import Page

LEDGER_TONES = {"met": "ok", "doubtful": "warn", "failed": "bad", "not assessed": "warn"}
LEDGER_WORDS = {"met": "met", "doubtful": "doubtful", "failed": "failed", "not assessed": "open"}
VERSIONS = ("sqmodel", "numpy", "scipy", "pandas", "factor-analyzer", "pingouin")


def trust(page: Page) -> Block:
    """The verdict with its ledger, the reliabilities and the number of factors."""
    counts = page.measure.ledger["verdict"].value_counts()
    numbers = {LEDGER_WORDS[v]: str(int(counts.get(v, 0))) for v in LEDGER_WORDS}
    verdict = badge(say(f"verdict_{page.measure.verdict}"), TONES[page.measure.verdict])
    parts = [f'<p class="say">{verdict} {both(say("trust_say", **numbers))}</p>', ledger(page.measure)]
    parts.append(f"<h3>{both(say('trust_reliability'))}</h3>{_reliability(page)}")
    parts.append(_scree(page))
    return Block("".join(parts), "trust")


def ledger(measure: Measure) -> str:
    """Every criterion with its value, threshold and verdict; the sources of the thresholds a click away."""
    criteria = load_criteria()
    headers = [say(k) for k in ("col_evidence", "col_scope", "col_value", "col_criterion", "col_verdict")]
    rows = []
    for row in measure.ledger.to_dict("records"):
        name = str(row["criterion"])
        value = "–" if math.isnan(row["value"]) else ledger_number(name, row["value"])
        if not math.isnan(row["low"]):
            value += f" [{ledger_number(name, row['low'])}, {ledger_number(name, row['high'])}]"
        bound = "≥ " if row["direction"] == "at_least" else "≤ "
        rows.append(
            [
                Cell(Text(**criteria[name]["title"])),
                Cell(scope(measure, str(row["scope"])) or say("all_items")),
                Cell(plain(value), right=True),
                Cell(plain(bound + ledger_number(name, row["threshold"])), right=True),
                Cell(say(f"verdict_{LEDGER_WORDS[row['verdict']]}"), tone=LEDGER_TONES[row["verdict"]]),
            ]
        )
    return table(headers, rows) + details(say("col_source"), _sources(measure))


def _sources(measure: Measure) -> str:
    """Where each threshold comes from."""
    criteria = load_criteria()
    found = measure.ledger.drop_duplicates("criterion")
    rows = [
        [Cell(Text(**criteria[str(name)]["title"])), Cell(plain(source))]
        for name, source in zip(found["criterion"], found["source"], strict=True)
    ]
    return table([say("col_evidence"), say("col_source")], rows)


def _reliability(page: Page) -> str:
    found, instrument = page.reliability.coefficients, page.measure.instrument
    headers = [say(k) for k in ("col_dimension", "col_n", "col_alpha", "col_interval", "col_omega", "col_interval")]
    rows = []
    for code, row in found.iterrows():
        total = code == "total"
        label = say("all_items") if total else instrument.dimension(str(code)).title
        omega = "omega_total" if total else "omega"
        cells = [Cell(label), Cell(plain(int(row["n"])), right=True)]
        for name, value in (("alpha", row["alpha"]), (omega, row[omega])):
            cells.append(Cell(plain(coefficient(value)), right=True))
            known = not math.isnan(value)
            cells.append(Cell(plain(_bounds(page, str(code), name) if known else "–"), right=True))
        rows.append(cells)
    return table(headers, rows)


def _bounds(page: Page, code: str, name: str) -> str:
    try:
        low, high = page.reliability.interval(code, name)
    except KeyError:
        return "–"
    return f"{coefficient(low)}–{coefficient(high)}"


def _scree(page: Page) -> str:
    found = page.exploration
    suggested = found.suggestions["n_factors"].astype(int)
    counts = {"factors": str(suggested[DECIDING]), "dimensions": str(len(page.measure.instrument.dimensions))}
    chart = charts.scree_plot(
        found.eigenvalues,
        alt=say("trust_scree_alt", **counts),
        caption=say("trust_scree_caption", map=str(suggested["MAP"]), n=f"{found.n:,}", **counts),
    )
    disagreement = paragraph(say("trust_disagree"), "mute") if found.disagreement else ""
    rows = [[Cell(METHODS.get(str(name), plain(name))), Cell(plain(n), right=True)] for name, n in suggested.items()]
    shown = table([say("col_method"), say("col_factors")], rows)
    return chart._repr_html_() + disagreement + details(say("trust_methods"), shown)


METHODS = {
    "parallel components (normal)": Text(
        zh="平行分析：主成分，正态随机数据", en="Parallel analysis: components, normal random data"
    ),
    "parallel components (resampled)": Text(
        zh="平行分析：主成分，重抽样数据", en="Parallel analysis: components, resampled data"
    ),
    "parallel factors (normal)": Text(
        zh="平行分析：公因子，正态随机数据（本页采用）",
        en="Parallel analysis: factors, normal random data (used on this page)",
    ),
    "parallel factors (resampled)": Text(
        zh="平行分析：公因子，重抽样数据", en="Parallel analysis: factors, resampled data"
    ),
    "MAP": Text(zh="Velicer 最小平均偏相关（MAP）", en="Velicer's minimum average partial (MAP)"),
    "Kaiser": Text(zh="Kaiser 准则（特征值大于 1）", en="Kaiser's rule (eigenvalues above 1)"),
    "structure": Text(zh="问卷设计的维度数", en="Dimensions by design"),
}
"""Methods of `explore` that suggest a number of factors."""


def quality(page: Page) -> Block:
    """What was read, left out and missing."""
    index, screening = page.index, page.screening
    values = {"rows": f"{page.reading.rows:,}", "n": f"{index.n:,}", "excluded": str(index.excluded)}
    parts = [paragraph(say("quality_say", **values), "say")]
    if index.excluded == 0:
        parts.append(paragraph(say("quality_clean")))
    elif index.unscreened is None:
        parts.append(paragraph(say("quality_hidden", minimum=str(page.study.minimum_n))))
    else:
        u = index.unscreened
        parts.append(paragraph(say("quality_without", index=number(u.value), interval=interval(u.low, u.high))))
    ledger = page.measure.ledger
    share = float(ledger.loc[ledger["criterion"] == "missing", "value"].iloc[0])
    parts.append(paragraph(say("quality_missing", share=percent(share, 1))))
    effective = float(index.settings["effective_n"])
    if effective < index.n - 0.5:
        parts.append(paragraph(say("quality_weights", effective=number(effective, 0))))
    headers = [say(k) for k in ("col_kind", "col_count", "col_share", "col_excludes")]
    rows = [
        [
            Cell(say(f"flag_{flag}")),
            Cell(plain(int(row["n"])), right=True),
            Cell(plain(percent(row["share"], 1)), right=True),
            Cell(say("yes" if row["excludes"] else "no")),
        ]
        for flag, row in screening.counts.iterrows()
    ]
    flags = table(headers, rows, caption=say("quality_flags_caption", n=f"{screening.n:,}"))
    parts.append(details(say("quality_flags"), flags))
    if len(page.reading.changes):
        parts.append(details(say("quality_changes"), _changes(page)))
    parts += noticed(page)
    return Block("".join(parts), "quality")


KINDS = {
    "missing": Text(zh="未作答", en="not answered"),
    "missing code": Text(zh="填写的是缺失代码", en="code for a missing answer"),
    "not a number": Text(zh="不是数字，按缺失处理", en="not a number, taken as missing"),
    "infinite": Text(zh="无穷大，按缺失处理", en="infinite number, taken as missing"),
    "below the least": Text(zh="低于允许的最小值，按缺失处理", en="below the least allowed, taken as missing"),
    "text in a rating": Text(zh="评分题中填写文字，按缺失处理", en="text in a rating, taken as missing"),
    "not a whole number": Text(zh="评分不是整数，按缺失处理", en="rating not a whole number, taken as missing"),
    "outside the scale": Text(zh="超出量表范围，按缺失处理", en="outside the scale, taken as missing"),
    "unknown group": Text(zh="未知的客户群，按缺失处理", en="unknown client group, taken as missing"),
    "not a quarter": Text(zh="季度格式不符，按缺失处理", en="not a quarter, taken as missing"),
    "label": Text(zh="文字选项换算为编码", en="label read as its code"),
    "allocation sum": Text(zh="赋分合计不符，按缺失处理", en="points do not sum to the total, taken as missing"),
    "repeated respondent, first kept": Text(
        zh="同一受访者重复出现，保留第一条", en="repeated respondent, first record kept"
    ),
    "raked": Text(zh="按已知总体结构加权（迭代比例拟合）", en="weighted to the known shares of all clients (raking)"),
    "not applicable": Text(zh="选择“不适用”", en="answered not applicable"),
    "header row skipped": Text(zh="跳过的表头行", en="header row skipped"),
    "empty record": Text(zh="空白行", en="empty record"),
    "left out by where": Text(zh="不符合筛选条件", en="left out by the filter"),
    "unfinished, kept": Text(zh="未答完，予以保留", en="unfinished, kept"),
    "columns not used": Text(zh="未使用的列", en="columns not used"),
    "respondent id assigned": Text(zh="补编受访者编号", en="respondent id assigned"),
    "quarter filled": Text(zh="补填季度", en="quarter filled in"),
    "blank points read as 0": Text(zh="空白赋分按 0 计", en="blank points read as 0"),
    "sample weight set to the mean": Text(zh="缺失权重取均值", en="sample weight set to the mean"),
}
"""What readers call a change; kinds that are not here are shown as the reader names them."""


def _changes(page: Page) -> str:
    """One row a kind of change; the columns concerned with their counts."""
    headers = [say(k) for k in ("col_kind", "col_column", "col_count")]
    rows = []
    for kind, own in page.reading.changes.groupby("kind", sort=False):
        counts = own["count"].astype(int)
        named = [
            f"{column} {n:,}" if len(own) > 1 else str(column) for column, n in zip(own["column"], counts, strict=True)
        ]
        cells = [Cell(KINDS.get(str(kind), plain(kind))), Cell(plain(", ".join(named)))]
        rows.append([*cells, Cell(plain(f"{counts.sum():,}"), right=True)])
    return table(headers, rows)


def provenance(page: Page) -> Block:
    """Method, settings, input digests and versions."""
    index, study, instrument = page.index, page.study, page.measure.instrument
    linear = index.overall.method.startswith("linearised")
    method = say("linearised" if linear else "bootstrap")
    how = say("interval_method", method=method, draws=str(index.settings["draws"]), level=percent(study.level))
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS) + f", Python {platform.python_version()}"
    entries: list[tuple[Text, Text]] = [
        (say("item_instrument"), _instrument(instrument)),
        (say("item_weighting"), say(f"weighting_{index.weights.method}")),
        (say("item_interval"), how),
        (say("item_missing"), say("missing_rule")),
        (say("item_seed"), plain(study.seed)),
        (say("item_versions"), plain(versions)),
    ]
    listed = "".join(f"<dt>{both(k)}</dt><dd>{both(v)}</dd>" for k, v in entries)
    digests = "".join(f"<dt>{both(plain(k))}</dt><dd><code>{v}</code></dd>" for k, v in study.digests().items())
    parts = [paragraph(say("method_say")), f"<dl>{listed}</dl>"]
    parts.append(details(say("item_inputs"), f"<dl>{digests}</dl>"))
    return Block("".join(parts), "provenance")


def _instrument(instrument: Instrument) -> Text:
    return Text(
        zh=f"{instrument.title['zh']}（{instrument.name} {instrument.version}）",
        en=f"{instrument.title['en']} ({instrument.name} {instrument.version})",
    )
