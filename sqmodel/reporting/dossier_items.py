"""The last sections of a dossier: items, planning, agreement with other programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sqmodel.definitions import Text
from sqmodel.measurement.items import ItemScreening
from sqmodel.measurement.planning import SamplePlan
from sqmodel.reporting.blocks import Block, Cell, details, paragraph, table
from sqmodel.reporting.dossier_parts import (
    captioned,
    column,
    failure,
    headed,
    name_of,
    notes,
    pvalue,
    right,
    with_bounds,
)
from sqmodel.reporting.validation import Failed, complete, found
from sqmodel.reporting.words import MINUS, coefficient, listed, number, percent, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.dossier import Dossier

SUBJECTS = {
    "confirmatory model": "验证性因子模型",
    "invariance": "测量不变性",
    "validity": "收敛效度与区分效度",
    "estimators, designs, syntax": "估计方法、抽样设计与模型语法",
    "correlations of ordered answers": "有序变量的相关",
    "score tests": "得分检验",
    "difference tests": "嵌套模型差异检验",
    "planning": "样本量规划",
    "graded response model": "等级反应模型",
    "ordinal regression (DIF)": "有序回归（题目功能差异）",
    "dynamic fit cutoffs": "动态拟合临界值",
}
"""What Chinese readers call the subjects of comparison; others are shown as the record names them."""
TESTS = {"close fit": "close", "not close fit": "not_close", "exact fit": "exact"}


def items(dossier: Dossier) -> Block:
    """What every item tells, and whether it treats groups alike."""
    result = dossier.item_screening
    if isinstance(result, Failed):
        parts = [failure(result)]
    else:
        slopes = result.items["slope"]
        ends = {"low": number(slopes.min(), 2), "high": number(slopes.max(), 2)}
        said = say("dossier_items_say", item=name_of(dossier, str(slopes.idxmin())), **ends)
        parts = [paragraph(said, "say"), _items(dossier, result), notes(result.notes)]
    if dossier.current.group_codes:
        parts.append(headed("dossier_bias", _bias(dossier)))
    parts.append(paragraph(say("dossier_items_note"), "mute"))
    return Block("".join(parts), "items")


def _items(dossier: Dossier, result: ItemScreening) -> str:
    reliability = found(dossier.reliability_found)
    slopes = result.parameters[result.parameters["parameter"] == "slope"].set_index("item")
    rows = []
    for code, row in result.items.iterrows():
        own = slopes.loc[str(code)]
        rest = {} if reliability is None else dict(reliability.items.loc[str(code)])
        rows.append(
            [
                Cell(name_of(dossier, str(code))),
                Cell(name_of(dossier, str(row["scale"]))),
                right(with_bounds(row["slope"], own["low"], own["high"], lambda v: number(v, 2))),
                right(percent(row["share"])),
                *(right(coefficient(rest.get(k, math.nan))) for k in ("item_rest", "alpha_if_dropped")),
            ]
        )
    headers = [say("col_item"), say("col_dimension")]
    headers += [column(k) for k in ("slope", "information", "item_rest", "dropped")]
    return captioned(headers, rows, say("dossier_items_caption", level=percent(dossier.study.level)))


def _bias(dossier: Dossier) -> str:
    rows = [_bias_row(dossier, by, dossier.item_bias.get(by)) for by in dossier.current.group_codes]
    headers = [column(k) for k in ("group", "tested", "smallest_p", "flagged")]
    values = {"alpha": coefficient(1 - dossier.study.level), "count": str(dossier.smallest)}
    shown = captioned(headers, rows, say("dossier_bias_caption", **values))
    tested = {by: r for by, r in dossier.item_bias.items() if isinstance(r, ItemScreening)}
    failed = [
        failure(r, dossier.instrument.group(by).title) for by, r in dossier.item_bias.items() if isinstance(r, Failed)
    ]
    said = paragraph(_flagged(dossier, tested)) if tested else ""
    return said + shown + "".join(failed) + notes([f"{by}: {n}" for by, r in tested.items() for n in r.notes])


def _flagged(dossier: Dossier, tested: dict[str, ItemScreening]) -> Text:
    flagged = [
        say("dossier_bias_item", item=name_of(dossier, item), group=dossier.instrument.group(by).title)
        for by, result in tested.items()
        for item in result.flagged
    ]
    return say("dossier_bias_say", list=listed(flagged)) if flagged else say("dossier_bias_say_none")


def _bias_row(dossier: Dossier, by: str, result: ItemScreening | Failed | None) -> list[Cell]:
    """One grouping variable; None where too few groups are large enough."""
    group = dossier.instrument.group(by)
    if not isinstance(result, ItemScreening):
        few = say("dossier_bias_few", count=dossier.smallest)
        return [Cell(group.title), Cell(few if result is None else say("dossier_bias_failed")), right("–"), right("–")]
    tested = listed(group.label(str(v)) for v in result.groups.index)
    smallest = pvalue(float(result.dif["pvalue_adjusted"].min()))
    return [Cell(group.title), Cell(tested), right(smallest), right(len(result.flagged))]


def planning(dossier: Dossier) -> Block:
    """How many respondents the model needs."""
    plan = dossier.plan
    if isinstance(plan, Failed):
        return Block(failure(plan), "planning")
    needed = plan.rmsea["n"].dropna()
    parts = []
    if len(needed):
        values = {"target": percent(plan.settings["target"]), "n": f"{int(needed.max()):,}"}
        whole = f"{complete(dossier.current, dossier.items):,}"
        parts.append(paragraph(say("dossier_plan_say", complete=whole, **values), "say"))
    rows = [
        [Cell(say(f"dossier_plan_{TESTS[row['test']]}")), right(number(row["n"], 0)), right(percent(row["power"]))]
        for row in plan.rmsea.to_dict("records")
    ]
    headers = [column(k) for k in ("test", "needed", "power")]
    parts.append(captioned(headers, rows, say("dossier_plan_rmsea_caption", df=plan.df)))
    parts.append(headed("dossier_plan_simulation", _simulation(plan)))
    return Block("".join(parts), "planning")


def _simulation(plan: SamplePlan) -> str:
    kinds = plan.kinds.set_index(["n", "kind"])
    rows = []
    for row in plan.simulation.to_dict("records"):
        cells = [right(int(row["n"])), *(right(percent(row[k])) for k in ("converged", "proper", "rejected"))]
        for kind in ("loading", "factor correlation"):
            known = (row["n"], kind) in kinds.index
            cells.append(right(percent(kinds.loc[(row["n"], kind), "lowest_power"]) if known else "–"))
        rows.append([*cells, right(percent(kinds.loc[(row["n"], "loading"), "coverage"]))])
    keys = ("converged", "proper", "rejected", "power_loading", "power_correlation", "coverage")
    count = int(plan.settings["replications"])
    values = {"error": percent(0.5 / np.sqrt(count)), "alpha": percent(1 - plan.settings["level"])}
    caption = say("dossier_plan_simulation_caption", replications=count, **values)
    return captioned([say("col_n"), *(column(k) for k in keys)], rows, caption)


def parity(content: dict[str, Any] | None) -> Block:
    """How far sqmodel's numbers lie from those of other programs."""
    if content is None or not content["rows"]:
        return Block(paragraph(say("dossier_parity_none"), "say"), "parity")
    frame = pd.DataFrame(content["rows"])
    good = int((frame["largest_difference"] <= frame["tolerance"]).sum())
    counts = {"rows": str(len(frame)), "values": f"{frame['values'].sum():,}", "good": str(good)}
    parts = [paragraph(say("dossier_parity_say", **counts), "say"), _by_subject(frame)]
    parts.append(details(say("dossier_parity_rows"), _comparisons(frame)))
    versions = ", ".join(f"{name} {own}" for name, own in content["versions"].items())
    if versions:
        parts.append(paragraph(say("dossier_parity_versions", list=versions), "mute"))
    return Block("".join(parts), "parity")


def _by_subject(frame: pd.DataFrame) -> str:
    """A row a subject: how much of its tolerance the worst comparison uses."""
    used = frame.assign(used=frame["largest_difference"] / frame["tolerance"])
    rows = [
        [
            Cell(_subject(str(subject))),
            right(own["data"].nunique()),
            right(f"{own['values'].sum():,}"),
            right(percent(own["used"].max(), 1)),
            Cell(plain(source)),
        ]
        for (subject, source), own in used.groupby(["subject", "source"], sort=False)
    ]
    headers = [column(k) for k in ("subject", "data_sets", "values", "used", "reference")]
    return captioned(headers, rows, say("dossier_parity_caption"))


def _subject(text: str) -> Text:
    """A subject in both languages; what follows it (an estimator, a method) is the same in both."""
    name = next((known for known in SUBJECTS if text == known or text.startswith(f"{known}, ")), "")
    return Text(zh=f"{SUBJECTS[name]}{text.removeprefix(name).replace(', ', '，')}", en=text) if name else plain(text)


def _comparisons(frame: pd.DataFrame) -> str:
    keys = ("subject", "data", "quantity", "values", "largest", "difference_kind", "tolerance", "reference")
    rows = [
        [
            Cell(_subject(str(row["subject"]))),
            *(Cell(plain(row[k])) for k in ("data", "quantity")),
            right(f"{row['values']:,}"),
            right(f"{row['largest_difference']:.1e}".replace("-", MINUS)),
            Cell(say("dossier_relative" if row.get("relative") else "dossier_absolute")),
            right(f"{row['tolerance']:.0e}".replace("-", MINUS)),
            Cell(plain(row["source"])),
        ]
        for row in frame.to_dict("records")
    ]
    return table([column(k) for k in keys], rows)
