"""Each section on what the lender did: its figures are those of the results, in both languages, also of few cases."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sqmodel as sq
from sqmodel.index.actions import Actions
from sqmodel.index.priorities import Priorities
from sqmodel.measurement.measure import Measure
from sqmodel.operations.simulate import DEMO_TRUTH
from sqmodel.reporting.operations import Operations, assess_operations
from sqmodel.reporting.page import Page
from sqmodel.reporting.sections.records import noticed
from sqmodel.reporting.words import coefficient, coefficients, interval, known_as, number, percent, signed
from tests.reporting.recorded import (
    LINE,
    RECORDS,
    SECTIONS,
    measured,
    page_of,
    section,
    study_of,
    study_with,
    tables_of,
    words,
    written,
)

LATEST = "2026Q3"
Tables = dict[str, pd.DataFrame]
Show = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def tables(folder: Path) -> Tables:
    return tables_of(folder)


@pytest.fixture(scope="module")
def measure(folder: Path) -> Measure:
    return measured(study_of(folder, quarter=LATEST))


@pytest.fixture(scope="module")
def page(folder: Path, measure: Measure) -> Page:
    study = study_of(folder, *RECORDS, quarter=LATEST)
    return page_of(
        study, measure, assess_operations(study, measure, weights=sq.derive_weights(measure, method="equal"))
    )


@pytest.fixture
def show(folder: Path, measure: Measure, tmp_path: Path) -> Show:
    """A page of other records of the latest quarter."""

    def shown(tables: Tables, **changes: Any) -> Page:
        study = study_with(folder, tmp_path, tables, **{"quarter": LATEST} | changes)
        found = assess_operations(study, measure, weights=sq.derive_weights(measure, method="equal"))
        return page_of(study, measure, found)

    return shown


def of(page: Page, name: str) -> Any:
    found = getattr(page.operations, name)
    assert found is not None
    return found


def both(page: Page, name: str) -> tuple[str, str]:
    """What readers of Chinese and of English see of a section."""
    html = section(page, name)
    return words(html, "zh"), words(html, "en")


def cells(html: str) -> list[list[str]]:
    """Texts in the rows of all tables, both languages one after the other."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", c) for c in re.findall(r"<td.*?>(.*?)</td>", row)] for row in rows if "<td" in row]


def per(row: Any, name: str = "", digits: int = 0) -> str:
    low, high = (row[f"{name}_{end}" if name else end] for end in ("low", "high"))
    return interval(100 * low, 100 * high, digits)["en"]


def test_the_latest_quarter_holds_what_was_planted(page: Page) -> None:
    truth = DEMO_TRUTH[LINE]
    process, alerts, drivers = of(page, "process"), of(page, "alerts"), of(page, "drivers")
    assert process.named[0] == truth.bottleneck == "credit_approval"
    assert alerts.useless == ("news_mention",)
    found = set(zip(drivers.found["feature"], drivers.found["outcome"], strict=True))
    assert ("wait_credit_approval", "EFF") in found
    assert ("rework_documents", "EXP") in found
    assert not [f for f, _ in found if f == "wait_contract_signing"]
    assert page.operations.missing == page.operations.notes == ()


def test_process(page: Page) -> None:
    process = of(page, "process")
    zh, en = both(page, "process")
    first: Any = process.bottlenecks.loc["credit_approval"]
    hours, bounds = number(first["per_case"], 0), interval(first["low"], first["high"], 0)["en"]
    assert (
        f"授信审批耗时最多：平均每件等待 {hours} 个工作小时（{bounds}），占机构方全部等待的 {percent(first['share'])}"
        in zh
    )
    assert f"Credit approval costs the most waiting: {hours} working hours a case ({bounds}), " in en
    whole: Any = process.durations.iloc[0]
    said = number(whole["median"]), interval(whole["median_low"], whole["median_high"])["en"]
    assert f"中位时长为 {said[0]} 天（{said[1]}）；{whole['open']} 件未办结" in zh
    assert f"a median of {said[0]} days ({said[1]}); {whole['open']} open cases" in en
    again: Any = process.rework.loc["all steps"]
    assert f"{percent(again['share'])}（{per(again)}）的案件有环节返工" in zh
    assert f"In {percent(again['share'])} ({per(again)}) of the cases a step was done again" in en
    asked: Any = process.documents.iloc[0]
    assert f"{percent(asked['share'])} ({per(asked)}) of the clients were asked for documents again" in en
    for _, row in process.channels.query("step == 'all steps'").dropna(subset=["minutes_difference"]).iterrows():
        minutes = signed(row["minutes_difference"])
        apart = interval(row["minutes_difference_low"], row["minutes_difference_high"], sign=True)
        assert f"与手工录入相比：每笔 {minutes} 分钟（{apart['zh']}）" in zh
        assert f"against typing: {minutes} minutes an entry ({apart['en']})" in en


def test_the_waits_of_others_are_kept_apart(page: Page) -> None:
    bottlenecks = of(page, "process").bottlenecks
    html = section(page, "process")
    for owner, heading in (("lender", "Waiting for the lender"), ("client", "Waiting for the client")):
        own = bottlenecks[bottlenecks["wait"] == owner]
        assert (heading in html) == bool(len(own)), owner
        for value in own["per_case"].head(8):
            assert number(value, 0) in html


def test_standards(page: Page) -> None:
    compliance = of(page, "compliance")
    zh, en = both(page, "process")
    counts = {v: int((compliance.rules["verdict"] == v).sum()) for v in ("met", "missed", "not sure")}
    assert f"服务标准共 {len(compliance.rules)} 项时限：达标 {counts['met']} 项，确定未达标 {counts['missed']} 项" in zh
    assert f"{counts['met']} are kept, {counts['missed']} surely missed and {counts['not sure']} not yet decided" in en
    share = compliance.urgent_share
    used = f"{percent(share.value)} ({interval(100 * share.low, 100 * share.high, 0)['en']})"
    assert f"The urgent path was used by {used} of the cases and is faster at: " in en
    doubtful, late = (compliance.at_risk["probability"] < 0.5).sum(), (compliance.breaches["state"] == "open").sum()
    assert (
        f"目前有 {len(compliance.at_risk)} 件在办且尚在时限内，其中 {doubtful} 件超时的可能性大于一半；另有 {late} 件"
        in zh
    )
    assert f"{len(compliance.at_risk)} open cases are within a limit; {doubtful} of them" in en
    shown = [row for row in cells(section(page, "process")) if len(row) == 7]
    assert len(shown) == len(compliance.rules)
    for row, (_, rule) in zip(shown, compliance.rules.iterrows(), strict=True):
        assert rule["title_zh"] in row[0]
        assert row[2:4] == [str(rule["n"]), percent(rule["share"])]
        assert row[5] == percent(rule["target"])


def test_complaints(page: Page) -> None:
    found = of(page, "complaints")
    zh, en = both(page, "complaints")
    own: Any = found.timely.query("stage == 'resolved' and scope == 'all'").iloc[0]
    median = number(found.times.loc["resolved", "median"])
    assert (
        f"累计收到投诉 {found.n} 件，{percent(own['share'])}（{per(own)}）在时限内办结，半数在 {median} 天内办结" in zh
    )
    assert f"{own['late']} were late, {own['undecided']} are open and within their limit" in en
    for verdict, said in (("better", "Surely better than in 2026 Q2: "), ("worse", "Surely worse than in 2026 Q2: ")):
        assert (said in en) == bool((found.changes["verdict"] == verdict).any())
    none = not found.changes["verdict"].isin(["better", "worse"]).any()
    assert ("与2026年第二季度相比，各项变化尚不能与随机波动区分。" in zh) == none
    causes = found.causes.head(6)
    for row, (cause, counted) in zip(
        cells(section(page, "complaints"))[-len(causes) :], causes.iterrows(), strict=True
    ):
        assert known_as("cause", str(cause))["zh"] + known_as("cause", str(cause))["en"] == row[0]
        assert row[1:] == [number(counted["count"], 0), percent(counted["share"]), per(counted)]


def test_warnings(page: Page) -> None:
    alerts, grades = of(page, "alerts"), of(page, "grades")
    zh, en = both(page, "warnings")
    row: Any = alerts.together.iloc[0]
    said = percent(row["recall"]), per(row, "recall"), number(row["lead_days"], 0)
    assert f"{alerts.events} 笔违约中，事前预警的占 {said[0]}（{said[1]}），其中半数提前 {said[2]} 天以上。" in zh
    assert (
        f"Of {alerts.events} defaults {said[0]} ({said[1]}) were announced, half of them at least {said[2]} days" in en
    )
    assert "不比随机预警更准的规则：负面舆情。" in zh
    assert "No better than warnings at random: Mention in the news." in en
    auc: Any = grades.discrimination.query("statistic == 'auc'").sort_values("score", ascending=False).iloc[0]
    area = f"{coefficient(auc['estimate'])} ({coefficients(auc['low'], auc['high'])['en']}; {grades.n:,} loans, "
    assert f"with an AUC of {area}{grades.events} defaults)" in en
    ratio: Any = grades.calibration.loc["observed_to_expected"]
    assert f"（两者之比 {number(ratio['estimate'], 2)}，{interval(ratio['low'], ratio['high'], 2)['zh']}）" in zh
    shown = cells(section(page, "warnings"))
    assert len(shown) == len(alerts.rules) + len(grades.grades)
    for line, (_, rule) in zip(shown, alerts.rules.iterrows(), strict=False):
        precision = [percent(rule["precision"]), per(rule, "precision"), percent(rule["recall"])]
        assert line[1:] == [str(rule["alerts"]), *precision, number(rule["lead_days"], 0), line[-1]]
    for line, (code, grade) in zip(shown[len(alerts.rules) :], grades.grades.iterrows(), strict=True):
        assert line[:4] == [str(code), str(grade["n"]), str(grade["events"]), percent(grade["rate"], 1)]


def test_people(page: Page) -> None:
    tests, training, inspections, advisers = (of(page, n) for n in ("tests", "training", "inspections", "advisers"))
    zh, en = both(page, "people")
    change = tests.change
    moved = interval(100 * change.low, 100 * change.high, 0, sign=True)
    assert change.low > 0
    assert f"测验得分 {signed(100 * change.value, 0)} 个百分点（{moved['zh']}），{change.n} 人" in zh
    assert f"{signed(100 * change.value, 0)} percentage points ({moved['en']}) in the test, {change.n} advisers" in en
    last: Any = tests.sessions.loc["after"]
    assert f"(KR-20 {coefficient(last['kr20'])}, {coefficients(last['kr20_low'], last['kr20_high'])['en']})" in en
    poor = int((tests.items.query("session == 'after'")["verdict"] != "").sum())
    assert f"20 题中有 {poor} 题没有区分作用" in zh
    every: Any = training.courses.loc["all courses"]
    assert f"{training.n} 名客户经理中，{percent(every['share'])}（{per(every)}）在 12 个月内完成" in zh
    assert f"{percent(every['share'])} ({per(every)}) of {training.n} advisers completed all required courses" in en
    score = inspections.score
    won = f"{percent(score.value)} of the points ({interval(100 * score.low, 100 * score.high, 0)['en']})"
    assert f"In {inspections.visits} inspections advisers won {won}" in en
    share, bands = advisers.share, advisers.advisers["band"].value_counts()
    apart = f"{percent(share.value)}（{interval(100 * share.low, 100 * share.high, 0)['zh']}）"
    assert f"客户评分差异的 {apart}来自客户经理之间（{advisers.n} 件）" in zh
    assert f"Of {len(advisers.advisers)} advisers {bands.get('above', 0)} are surely above and " in en
    shown = cells(section(page, "people"))
    assert len(shown) == len(training.courses) - 1 + len(inspections.checks)
    for row, (_, course) in zip(shown, training.courses.iloc[:-1].iterrows(), strict=False):
        assert row[1:] == [str(training.n), percent(course["share"]), per(course)]


def test_drivers(page: Page) -> None:
    found = of(page, "drivers")
    zh, en = both(page, "drivers")
    for _, row in found.found.head(3).iterrows():
        for text, language in ((zh, "zh"), (en, "en")):
            apart = interval(row["effect_low"], row["effect_high"], sign=True)[language]
            assert signed(row["effect"]) in text
            assert apart in text
    paper = found.paper.query("rule == 'any' and group == 'all'").dropna(subset=["felt_slow"])
    row = paper.sort_values("felt_slow", ascending=False, kind="stable").iloc[0]
    assert f"全部时限都达标的 {row['kept']} 件中，{percent(row['felt_slow'])}（{per(row, 'felt_slow')}）" in zh
    assert f"of {row['kept']} cases that kept every limit, {percent(row['felt_slow'])}" in en
    sure = found.worth.query("outcome == 'overall' and low > 0 and limit > 0") if len(found.worth) else found.worth
    for _, worth in sure.sort_values("change", ascending=False).head(2).iterrows():
        bounds = interval(worth["low"], worth["high"], sign=True)
        assert f"指数约可提高 {signed(worth['change'])} 分（{bounds['zh']}）" in zh
        assert f"about {signed(worth['change'])} points higher ({bounds['en']})" in en


@pytest.fixture(scope="module")
def priorities(measure: Measure) -> Priorities:
    return sq.find_priorities(measure, weights=sq.derive_weights(measure), draws=200)


def ranked(page: Page, priorities: Priorities, ranking: Actions | None = None, **shares: float) -> Page:
    """The page with everything that could be done; `shares` are those that the lender can move."""
    study = page.study.model_copy(update={"controllability": shares})
    shown = page_of(study, page.measure, page.operations)
    object.__setattr__(shown, "priorities", priorities)
    object.__setattr__(shown, "ranking", ranking or study.rank_actions(priorities, page.operations))
    return shown


def test_what_to_do_first_is_told_with_gain_and_interval(page: Page, priorities: Priorities) -> None:
    shown = ranked(page, priorities)
    zh, en = both(shown, "actions")
    first = shown.ranking.first
    assert first[:2] == ("eff2", "eff1")
    for code in first:
        row: Any = shown.ranking.candidates.loc[code]
        action = shown.measure.instrument.item(code).action
        assert action is not None
        assert f"{action['zh']} 可确定得分" in zh
        assert f"{action['en']} sureScore" in en
        assert f"{signed(row['gain'])}指数分，{interval(row['joint_low'], row['joint_high'])['zh']}" in zh
    assert f"建议从标注“可确定”的 {len(first)} 项做起" in zh
    assert f"Begin with the {len(first)} marked sure" in en
    assert "与办理过程有关：授信审批等待（同一提升，不可相加）" in zh
    listed = cells(section(shown, "actions"))
    assert len(listed) == int((shown.ranking.candidates["gain"] > 0).sum())
    wait = next(row for row in listed if "授信审批等待：不超过 35 个工作小时" in row[0])
    assert "Wait for Credit approval: at most 35 working hours" in wait[0]
    assert wait[-1] == "–"


def test_where_only_drivers_are_left_nothing_is_sure(page: Page, priorities: Priorities) -> None:
    shown = ranked(page, priorities, wait_credit_approval=0.5, **dict.fromkeys(page.measure.items, 0.0))
    zh, en = both(shown, "actions")
    worth: Any = of(page, "drivers").worth.query("feature == 'wait_credit_approval' and limit == 35").iloc[0]
    assert "没有哪一项能确定地排在前面" in zh
    assert "Nothing is sure to come first" in en
    assert f"授信审批等待：不超过 35 个工作小时 待定目前 {percent(worth['share_above'])} 的案件超出" in zh
    assert "其中 50% 由本机构掌握" in zh
    assert "50% of it is in the lender's hands" in en
    assert shown.ranking.first == ()


def test_a_standard_is_told_by_its_target(page: Page, priorities: Priorities) -> None:
    known = ranked(page, priorities).ranking
    table = known.candidates.copy()
    missed = [str(c) for c in table.index[table["source"] == "standard"]]
    table.loc[missed, ["gain", "joint_low", "joint_high"]] = 9.0, 8.0, 10.0
    table.loc[missed, "sure"] = True
    table.loc[missed, "overlaps"] = ""
    shown = ranked(page, priorities, replace(known, candidates=table.sort_values("gain", ascending=False)))
    zh, en = both(shown, "actions")
    rules = of(page, "compliance").rules.set_index(["rule", "path"])
    row: Any = rules.loc[("decision", "urgent")]
    assert f"{row['title_zh']}（加急）：达标率提高到 85% 可确定目前达标率 {percent(row['share'])}（" in zh
    assert f": kept in 85% of the cases sureKept in {percent(row['share'])} ({per(row)}) now" in en


def test_a_section_without_results_is_left_out(page: Page) -> None:
    needs = {
        "process": ("process",), "complaints": ("complaints",), "drivers": ("drivers",),
        "warnings": ("grades", "alerts"), "people": ("tests", "training", "inspections", "advisers"),
    }  # fmt: skip
    for name, keys in needs.items():
        none: dict[str, Any] = dict.fromkeys(keys)
        without = page_of(page.study, page.measure, replace(page.operations, **none))
        shown = {n for n in SECTIONS if getattr(without, n)() is not None}
        assert shown == set(SECTIONS) - {name}
        for key in keys if len(keys) > 1 else ():
            others: dict[str, Any] = dict.fromkeys(k for k in keys if k != key)
            alone = section(page_of(page.study, page.measure, replace(page.operations, **others)), name)
            assert alone
            assert len(alone) < len(section(page, name))
    assert both(page_of(page.study, page.measure, Operations()), "process") == ("", "")


def test_without_a_definition_codes_are_shown(page: Page) -> None:
    bare = replace(page.operations, definition=None, standard=None)
    without = page_of(page.study, page.measure, bare)
    assert "credit_approval costs the most waiting" in words(section(without, "process"), "en")
    for name in SECTIONS:
        assert section(without, name)


FEW: dict[str, tuple[Callable[[Tables], Tables], str, tuple[str, str]]] = {
    "one case": (
        lambda t: {"events": t["events"][t["events"]["case_id"] == "PF-2026Q3-0001"]},
        "process",
        ("（无区间）", "(no interval)"),
    ),
    "one event": (
        lambda t: {"events": t["events"][t["events"]["case_id"] == "PF-2026Q3-0001"].head(1)},
        "process",
        (
            "1 件案件中，没有哪个环节明显是瓶颈。1 件案件中有 1 件尚未办结，办理时长尚不能确定。",
            "In 1 cases no step stands out as the bottleneck.1 of 1 cases are still open; how long a case takes is "
            "not known yet.",
        ),
    ),
    "a complaint that is open": (
        lambda t: {"complaints": t["complaints"].head(1).assign(
            received="2026-09-29T09:00+08:00", first_response="", resolved="", closed="")},
        "complaints",
        ("累计收到投诉 1 件，数量太少，无法评价处理情况。",
         "1 complaints so far: too few to say how they are handled."),
    ),
    "no loan failed": (
        lambda t: {"exposures": t["exposures"].assign(event=""), "alerts": t["alerts"]},
        "warnings",
        ("笔贷款在观察期内均未违约，无法判断预警是否及时。预警太少、尚不能判定的规则：", "Too few warnings to judge: "),
    ),
    "nothing was announced": (
        lambda t: {"exposures": t["exposures"], "alerts": t["alerts"][
            t["alerts"]["loan_id"].isin(t["exposures"]["loan_id"][t["exposures"]["event"] == ""])].head(1)},
        "warnings",
        ("笔违约，事前均未预警（0–", " defaults none was announced (0–"),
    ),
    "one visit": (
        lambda t: {"inspections": t["inspections"][t["inspections"]["visit"] == t["inspections"]["visit"].iloc[0]]},
        "people",
        ("1 次检查的平均得分率为 70%（无区间）；检查人员之间的一致性系数为 .78（无区间，Gwet AC1）。",
         "In 1 inspections advisers won 70% of the points (no interval); inspectors agree with a coefficient of .78 "
         "(no interval, Gwet's AC1)."),
    ),
    "all answer alike": (
        lambda t: {"tests": t["tests"].assign(**dict.fromkeys((f"i{k}" for k in range(1, 21)), "1"))},
        "people",
        ("全部客户经理答对的题数相同，测验没有区分作用。",
         "All advisers have the same number of right answers; the test tells none of them apart."),
    ),
    "tested once": (
        lambda t: {"tests": t["tests"][t["tests"]["session"] == "before"]},
        "people",
        ("60 人只参加了一次测验，无法判断变化。",
         "60 advisers took the test once; nothing can be said about a change."),
    ),
    "one adviser trained": (
        lambda t: {"training": t["training"].head(1)},
        "people",
        ("1 名客户经理中，0%（0–79）在 12 个月内完成了全部必修课程。",
         "0% (0–79) of 1 advisers completed all required courses within 12 months."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("few", FEW)
def test_of_few_only_what_they_tell_is_said(few: str, show: Show, tables: Tables) -> None:
    chosen, name, (zh, en) = FEW[few]
    page = show(chosen(tables))
    said = both(page, name)
    assert zh in said[0]
    assert en in said[1]
    for html in (*(section(page, n) for n in SECTIONS), *noticed(page)):
        assert re.search(r"\bnan\b|\binf\b|\bNone<|––", html) is None
    if page.operations.compliance is not None:
        assert set(page.operations.compliance.rules["verdict"]) == {"not sure"}
    if page.operations.alerts is not None:
        assert "every rule" not in said[1]


def test_most_cases_open_make_no_median(show: Show, tables: Tables) -> None:
    events = tables["events"]
    begun = events[events["case_id"].str.startswith("PF-2026Q3")]
    page = show({"events": begun[begun["timestamp"] < "2026-08-01"]})
    durations: Any = of(page, "process").durations.iloc[0]
    zh, en = both(page, "process")
    ended = number(durations["ended_only_median"])
    assert f"{durations['open']} of {durations['n']} cases are still open" in en
    assert f"more than the {ended} days of those that have ended" in en
    assert f"已办结案件的中位时长为 {ended} 天，全部案件的会更长" in zh


def test_courses_count_as_long_as_the_standard_says(show: Show, tables: Tables, tmp_path: Path) -> None:
    rules = "rules:\n- {code: a, step: credit_approval, limit: 5}\ntraining:\n"
    course = "- {{code: {}, title: {{zh: 课, en: C}}, hours: 1, months: {}}}\n"
    path = tmp_path / "own.standard.yaml"
    codes = sorted(tables["training"]["course"].unique())
    shares = []
    for months in (1, 0):
        written = "".join(course.format(code, months) for code in codes)
        path.write_text(f"name: own\n{rules}{written}", encoding="utf-8")
        page = show({"training": tables["training"]}, standard=str(path))
        shares.append(of(page, "training").courses.iloc[-1]["share"])
    assert shares[0] < shares[1]
    ever = tables["training"].groupby("adviser")["course"].nunique()
    assert shares[1] == pytest.approx(float((ever == len(codes)).mean()))
    zh, en = both(page, "people")
    assert "在服务标准规定的各课程期限内完成了全部必修课程" in zh
    assert "each within the months that the standard gives it" in en


def test_what_staff_did_after_the_quarter_is_not_seen(show: Show, tables: Tables, page: Page) -> None:
    """Instants without an offset are those of the process's zone."""
    seen, tests = tables["inspections"], tables["tests"].drop(columns="taken", errors="ignore")
    later = seen.assign(visit="later " + seen["visit"], visited="2026-10-01T00:00", passed="0")
    after = tests[tests["session"] == "after"]
    shown = show({
        "inspections": pd.concat([seen.assign(visited="2026-09-30T23:59"), later]),
        "tests": pd.concat([tests[tests["session"] == "before"], after.assign(taken="2026-10-01T00:00")]).fillna(""),
    })  # fmt: skip
    assert of(shown, "inspections").to_json() == of(page, "inspections").to_json()
    assert of(shown, "tests").change is None
    assert of(shown, "tests").sessions.index.tolist() == ["before"]


def test_alerts_need_exposures(show: Show, tables: Tables) -> None:
    page = show({"alerts": tables["alerts"]})
    assert page.operations.notes == ("alerts: the params name no exposures that they would be about",)
    assert section(page, "warnings") == ""
    said = "".join(noticed(page))
    assert "There is nothing or too little to analyse in this quarter of alerts." in words(said, "en")


def test_what_was_noticed_is_counted(page: Page) -> None:
    shown = {tuple(row[:2]): row[2] for row in cells("".join(noticed(page)))}
    notes = of(page, "process").notes.set_index("kind")["count"]
    label = "办理过程the process", "案件结束早于开始case ends before it begins"
    assert (label in shown) == bool(notes["case ends before it begins"])
    noted = notes[[not str(kind).startswith("steps:") for kind in notes.index]]
    counts = [*noted, *of(page, "complaints").facts["count"]]
    assert {f"{n:,}" for n in counts if n} <= set(shown.values())
