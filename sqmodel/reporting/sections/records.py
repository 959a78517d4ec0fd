"""What happened to the records of operations on the way in: which there are, and what was noticed in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import Cell, details, paragraph, table
from sqmodel.reporting.sources import RECORDS
from sqmodel.reporting.words import listed, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page

NOTICES = {
    "missing": Text(zh="空值", en="empty cells"),
    "header row skipped": Text(zh="跳过的表头行", en="header row skipped"),
    "empty record": Text(zh="空白行", en="empty record"),
    "encoding": Text(zh="文件编码不是 UTF-8", en="encoding other than UTF-8"),
    "local time that a change of clocks skips, moved to the next that exists": Text(
        zh="当地时间落在夏令时拨快的空档，顺延至其后", en="local time that a change of clocks skips, moved on"
    ),
    "local time that a change of clocks repeats, the first taken": Text(
        zh="当地时间因夏令时拨回而重复，取前一次", en="local time that a change of clocks repeats, the first taken"
    ),
    "local time that a change of clocks skips or repeats": Text(
        zh="当地时间落在夏令时切换处", en="local time that a change of clocks skips or repeats"
    ),
    "trace without events, left out": Text(zh="没有事件的案件，已略去", en="trace without events, left out"),
    "trace with the case id of another, merged": Text(
        zh="案件编号相同，已合并", en="trace with the case id of another, merged"
    ),
    "the same event again, kept": Text(zh="完全相同的事件重复出现，予以保留", en="the same event again, kept"),
    "events after as_of, left out": Text(
        zh="季末之后的事件，未计入", en="events after the end of the quarter, left out"
    ),
    "cases without an event by as_of, left out": Text(
        zh="季末前尚无事件的案件，未计入", en="cases without an event by the end of the quarter, left out"
    ),
    "events of another lifecycle, not timed": Text(
        zh="生命周期状态不属于排期、开始、完成，不计时", en="events of another lifecycle, not timed"
    ),
    "before the case begins": Text(zh="早于案件开始的事件", en="before the case begins"),
    "after the case ended": Text(zh="案件办结之后的事件", en="after the case ended"),
    "scheduled again before it was begun": Text(zh="尚未开始又重新排期", en="scheduled again before it was begun"),
    "completed without a start": Text(zh="有完成而无开始记录", en="completed without a start"),
    "started and not completed, case ended": Text(
        zh="已开始未完成，案件已结束", en="started and not completed, case ended"
    ),
    "started and not completed, case open": Text(
        zh="已开始未完成，案件仍在办", en="started and not completed, case open"
    ),
    "scheduled and not begun, case ended": Text(
        zh="已排期未开始，案件已结束", en="scheduled and not begun, case ended"
    ),
    "scheduled and not begun, case open": Text(zh="已排期未开始，案件仍在办", en="scheduled and not begun, case open"),
    "negative duration": Text(zh="用时为负，不计时", en="negative duration, not timed"),
    "no origin": Text(zh="案件没有起点", en="no origin of the case"),
    "case ends before it begins": Text(zh="案件结束早于开始", en="case ends before it begins"),
    "exact_duplicates": Text(zh="各列与前一行完全相同的投诉", en="complaints that repeat an earlier row"),
    "duplicates_dropped": Text(zh="其中编号相同、已略去", en="of them left out, their id is the same"),
    "received_after_as_of": Text(zh="季末之后收到的投诉，未计入", en="complaints received after the quarter, left out"),
    "stage_after_as_of": Text(
        zh="后续环节发生在季末之后，视为未完成", en="complaints with a later stage, taken as open"
    ),
    "first_response_before_received": Text(
        zh="首次答复早于收到，不计时", en="complaints answered before they were received, not timed"
    ),
    "resolved_before_received": Text(
        zh="办结早于收到，不计时", en="complaints resolved before they were received, not timed"
    ),
    "closed_before_received": Text(
        zh="结案早于收到，不计时", en="complaints closed before they were received, not timed"
    ),
    "skipped_stage": Text(zh="跳过某一环节，视为与下一环节同时完成", en="complaints that skipped a stage"),
    "extended_not_complex": Text(zh="批准延期而未标为复杂的投诉", en="complaints extended though not complex"),
    "no_cause": Text(zh="未注明原因的投诉", en="complaints without a cause"),
    "no_case": Text(zh="未注明案件的投诉", en="complaints without a case"),
    "outside_cases": Text(zh="所在时期没有案件数、未计入投诉率", en="complaints of a period without a number of cases"),
    "given twice": Text(zh="重复发出的预警", en="alerts given twice"),
    "loan not watched while rules ran": Text(zh="规则运行时不在观察之列", en="loan not watched while rules ran"),
    "before the loan was watched": Text(zh="早于观察期的预警", en="alerts before the loan was watched"),
    "at or after the event": Text(zh="违约当日及之后的预警", en="alerts at or after the default"),
    "after the end of observation": Text(zh="观察期结束之后的预警", en="alerts after the end of observation"),
    "horizon not watched to its end, no event so far": Text(
        zh="观察期未满、尚未违约的授信", en="loans not watched to the end of the horizon, no default so far"
    ),
    "horizon not watched to its end, event within it": Text(
        zh="观察期未满、已经违约的授信", en="loans not watched to the end of the horizon, default within it"
    ),
    "no grade (of those watched)": Text(zh="没有评级的授信", en="loans without a grade"),
    "no probability (of those watched)": Text(zh="没有违约概率的授信", en="loans without a probability"),
    "before only": Text(zh="只参加训前测验", en="tested before only"),
    "after only": Text(zh="只参加训后测验", en="tested after only"),
    "a question without answer": Text(zh="测验有题未答", en="a question of the test without answer"),
    "completed after the date": Text(zh="季末之后完成的培训，未计入", en="training completed after the quarter"),
    "course not required": Text(zh="服务标准未要求的课程", en="course that the standard does not require"),
    "no adviser": Text(zh="案件没有客户经理", en="case without an adviser"),
    "no outcome": Text(zh="案件没有得分", en="case without a score"),
}
"""What is noticed in records, in words; kinds that are not here are shown as they are named."""


def noticed(page: Page) -> list[str]:
    """Which records there are not, and a table of what was noticed in those that there are."""
    found = page.operations
    parts = []
    if found.missing:
        absent = listed(say(f"record_{key}") for key in RECORDS if key in found.missing)
        parts.append(paragraph(say("records_missing", list=absent)))
    if found.notes:
        few = listed(say(f"record_{note.partition(':')[0]}") for note in found.notes)
        parts.append(paragraph(say("records_few", list=few)))
    rows = [[Cell(say(f"record_{key}")), Cell(NOTICES.get(kind, plain(kind))), Cell(plain(f"{n:,}"), right=True)]
            for key, kind, n in _notices(page) if n]  # fmt: skip
    if rows:
        headers = [say(k) for k in ("col_record", "col_kind", "col_count")]
        parts.append(details(say("records_noticed"), table(headers, rows)))
    return parts


def _notices(page: Page) -> Iterator[tuple[str, str, int]]:
    """Key of the record, kind of notice, how many."""
    found = page.operations
    if found.reading is not None:
        for kind, n in found.reading.changes.groupby("kind", sort=False)["count"].sum().items():
            yield "events", str(kind), int(n)
    if found.process is not None:
        for kind, n in zip(found.process.notes["kind"], found.process.notes["count"], strict=True):
            if not str(kind).startswith("steps:"):
                yield "events", str(kind), int(n)
    if found.complaints is not None:
        for code, n in found.complaints.facts["count"].items():
            yield "complaints", str(code), int(n)
    for key, result in (("exposures", found.grades), ("alerts", found.alerts), ("tests", found.tests),
                        ("training", found.training), ("advisers", found.advisers)):  # fmt: skip
        if result is not None:
            for reason, n in result.left_out.groupby("reason", sort=False)["n"].sum().items():
                yield key, str(reason), int(n)
