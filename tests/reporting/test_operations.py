"""What the lender did, in a report: gathered from the params, as of the quarter's end, and told on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import sqmodel as sq
from sqmodel.errors import OperationsError
from sqmodel.measurement.measure import Measure
from sqmodel.operations.simulate import DEMO_TRUTH
from sqmodel.reporting.operations import Operations, Period, assess_operations
from sqmodel.reporting.page import Page
from sqmodel.reporting.records import open_sources
from sqmodel.reporting.sections.records import NOTICES, noticed
from sqmodel.reporting.words import interval, number, percent, signed
from tests.reporting.recorded import LINE, RECORDS, measured, page_of, study_of, tables_of, words, written

END = pd.Timestamp("2026-07-01T00:00:00+08:00")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def measure(folder: Path) -> Measure:
    return measured(study_of(folder))


@pytest.fixture(scope="module")
def assess(folder: Path, measure: Measure) -> Callable[..., Operations]:
    weights = sq.derive_weights(measure, method="equal")
    return lambda study: assess_operations(study, measure, weights=weights)


@pytest.fixture(scope="module")
def everything(folder: Path, assess: Callable[..., Operations]) -> Operations:
    return assess(study_of(folder, *RECORDS))


@pytest.fixture(scope="module")
def page(folder: Path, measure: Measure, everything: Operations) -> Page:
    return page_of(study_of(folder, *RECORDS), measure, everything)


def test_a_quarter_begins_and_ends_by_the_clocks_of_its_zone() -> None:
    period = Period.of("2026Q2", "Asia/Shanghai")
    assert (str(period.begin), str(period.end)) == ("2026-03-31 16:00:00+00:00", "2026-06-30 16:00:00+00:00")
    assert period.end == END
    assert period.last == END - pd.Timedelta(microseconds=1)
    assert str(Period.of("2026Q1", "Europe/Berlin").end) == "2026-03-31 22:00:00+00:00"


def test_the_planted_facts_are_found(everything: Operations) -> None:
    truth = DEMO_TRUTH[LINE]
    process, alerts, drivers = everything.process, everything.alerts, everything.drivers
    assert process is not None
    assert alerts is not None
    assert drivers is not None
    assert process.named[0] == "credit_approval" == truth.bottleneck
    assert alerts.useless == ("news_mention",)
    found = {(str(r["feature"]), str(r["outcome"])) for _, r in drivers.found.iterrows()}
    assert ("wait_credit_approval", "EFF") in found
    assert not any(f == "wait_contract_signing" for f, _ in found)
    assert everything.missing == ()
    assert everything.notes == ()


def test_only_what_the_params_name_is_there(folder: Path, assess: Callable[..., Operations], measure: Measure) -> None:
    assert assess(study_of(folder)) == Operations()
    study = study_of(folder, "complaints", "tests")
    found = assess(study)
    assert found.missing == ("events", "exposures", "alerts", "training", "inspections", "advisers")
    assert found.complaints is not None
    assert found.tests is not None
    assert {found.process, found.compliance, found.grades, found.alerts, found.drivers} == {None}
    page = page_of(study, measure, found)
    shown = {n: getattr(page, n)() for n in ("process", "complaints", "warnings", "people", "drivers")}
    assert {n for n, block in shown.items() if block is not None} == {"complaints", "people"}
    said = "".join(noticed(page))
    assert "未提供以下记录，相应内容从略：办理过程、授信与违约、风险预警、培训、现场检查、客户经理。" in words(
        said, "zh"
    )
    assert (
        "The params name no records of the process, loans and defaults, alerts, training, inspections, advisers; "
        "what would be told of them is left out."
    ) in words(said, "en")


def cut(frame: pd.DataFrame, at: str, *later: str) -> pd.DataFrame:
    """Records as they were at the end of the quarter: later rows gone, later stages empty."""
    kept = frame[pd.to_datetime(frame[at], format="ISO8601", utc=True) < END].copy()
    for column in later:
        times = pd.to_datetime(kept[column], format="ISO8601", utc=True)
        kept[column] = kept[column].where(times < END, "")
    return kept


def test_what_became_known_later_changes_nothing(
    folder: Path, tmp_path: Path, assess: Callable[..., Operations], everything: Operations
) -> None:
    tables = tables_of(folder)
    tables["events"] = cut(tables["events"], "timestamp")
    tables["complaints"] = cut(tables["complaints"], "received", "first_response", "resolved", "closed")
    tables["training"] = tables["training"][tables["training"]["completed"].str[:10] < "2026-07-01"]
    tables["alerts"] = tables["alerts"][tables["alerts"]["at"].str[:10] < "2026-07-01"]
    loans = tables["exposures"][tables["exposures"]["granted"].str[:10] < "2026-07-01"].copy()
    loans["event"] = loans["event"].where(loans["event"].str[:10] < "2026-07-01", "")
    tables["exposures"] = loans.assign(observed_until=loans["observed_until"].where(
        loans["observed_until"].str[:10] < "2026-07-01", "2026-07-01"))  # fmt: skip
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{LINE}.{name}.csv", index=False)
    study = study_of(folder, **{n: str(tmp_path / f"{LINE}.{n}.csv") for n in RECORDS})
    then = assess(study)
    for name, frames in {
        "process": ("steps", "bottlenecks", "rework", "channels", "durations", "outcomes"),
        "compliance": ("rules", "breaches", "at_risk", "urgent"),
        "complaints": ("timely", "causes", "rates", "changes"),
        "grades": ("grades", "calibration", "discrimination"),
        "alerts": ("rules",),
        "training": ("courses",),
        "drivers": ("effects", "worth"),
    }.items():
        for frame in frames:
            one, other = (getattr(getattr(o, name), frame) for o in (then, everything))
            pd.testing.assert_frame_equal(one, other, rtol=1e-9, obj=f"{name}.{frame}")


def test_the_record_names_no_case_and_no_person(folder: Path, everything: Operations) -> None:
    text = json.dumps(everything.record())
    for name, column in (("events", "case_id"), ("advisers", "adviser"), ("complaints", "complaint_id"),
                         ("exposures", "loan_id"), ("inspections", "inspector")):  # fmt: skip
        values = set(pd.read_csv(folder / f"{LINE}.{name}.csv", dtype=str)[column])
        assert len(values) > 1
        assert [v for v in values if f'"{v}"' in text or f"{v}," in text or f" {v}" in text] == [], name
    assert everything.record() == json.loads(text)


def test_made_again_it_is_the_same(folder: Path, assess: Callable[..., Operations], everything: Operations) -> None:
    assert json.dumps(assess(study_of(folder, *RECORDS)).record()) == json.dumps(everything.record())


def test_the_sections_say_what_was_found(page: Page, everything: Operations) -> None:
    process, compliance, alerts = everything.process, everything.compliance, everything.alerts
    assert process is not None
    assert compliance is not None
    assert alerts is not None
    first: Any = process.bottlenecks.loc[process.named[0]]
    html = getattr(page.process(), "html", "")
    assert f"{number(first['per_case'], 0)}" in words(html, "zh")
    assert "授信审批" in words(html, "zh")
    assert interval(first["low"], first["high"], 0)["en"] in words(html, "en")
    verdicts = compliance.rules["verdict"].value_counts()
    assert f"确定未达标 {verdicts['missed']} 项" in words(html, "zh")
    for _, row in compliance.rules.iterrows():
        assert f"<td>{percent(row['share'])}<" in html.replace('<td class="r">', "<td>"), row["rule"]
    warned = getattr(page.warnings(), "html", "")
    assert "不比随机预警更准的规则：负面舆情" in words(warned, "zh")
    assert "Mention in the news" in words(warned, "en")
    drivers = everything.drivers
    assert drivers is not None
    effect: Any = drivers.found.iloc[0]
    for language in ("zh", "en"):
        assert signed(effect["effect"]) in words(getattr(page.drivers(), "html", ""), language)


SMALL: dict[str, Callable[[dict[str, pd.DataFrame]], dict[str, pd.DataFrame]]] = {
    "events: no case began in the quarter": lambda t: {"events": t["events"][t["events"]["case_id"] < "PF-2026Q2"]},
    "drivers: ": lambda t: {"events": t["events"][t["events"]["case_id"] == "PF-2026Q2-0001"]},
    "exposures: expected loans with and without events": lambda t: {"exposures": t["exposures"].assign(event="")},
    "exposures: no loan has a grade": lambda t: {"exposures": t["exposures"].assign(grade="", probability="")},
    "alerts: none until": lambda t: {"exposures": t["exposures"], "alerts": t["alerts"].head(0)},
    "training: none until": lambda t: {"training": t["training"].head(0)},
    "inspections: none until": lambda t: {"inspections": t["inspections"].head(0)},
    "tests: expected at least three advisers": lambda t: {"tests": t["tests"].head(1)},
    "tests: none until": lambda t: {"tests": t["tests"].assign(taken="2027-01-01")},
    "advisers: none until": lambda t: {"advisers": t["advisers"].head(1)},
}


@pytest.mark.parametrize("note", SMALL)
def test_too_little_is_a_note_and_no_failure(
    note: str, folder: Path, tmp_path: Path, assess: Callable[..., Operations], measure: Measure
) -> None:
    tables = tables_of(folder)
    given = SMALL[note](tables)
    for name, table in given.items():
        assert table.equals(tables[name]) == (name == "exposures" and "alerts" in given)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    study = study_of(folder, **{n: str(tmp_path / f"{n}.csv") for n in given})
    found = assess(study)
    assert len(found.notes) == 1
    assert found.notes[0].startswith(note)
    page = page_of(study, measure, found)
    for section in ("process", "complaints", "warnings", "people", "drivers"):
        getattr(page, section)()
    assert "以下记录在本季数量不足或没有，未作分析" in words("".join(noticed(page)), "zh")
    json.dumps(found.record())


def test_no_complaints_in_the_quarter(
    folder: Path, tmp_path: Path, assess: Callable[..., Operations], measure: Measure
) -> None:
    pd.read_csv(folder / f"{LINE}.complaints.csv", dtype=str).head(0).to_csv(tmp_path / "none.csv", index=False)
    study = study_of(folder, complaints=str(tmp_path / "none.csv"))
    page = page_of(study, measure, assess(study))
    assert "0" in words(getattr(page.complaints(), "html", ""), "zh")


def test_answers_without_cases_leave_the_drivers_out(
    folder: Path, assess: Callable[..., Operations], measure: Measure
) -> None:
    current = measure.responses
    bare = replace(measure, responses=replace(current, frame=current.frame.drop(columns="case_id")))
    found = assess_operations(
        study_of(folder, "events", "advisers"), bare, weights=sq.derive_weights(measure, method="equal")
    )
    reason = "the answers have no column case_id, by which they would be joined"
    assert found.notes == (f"drivers: {reason}", f"advisers: {reason}")
    assert found.process is not None


def test_problems_of_all_sources_are_told_at_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("activity,timestamp\na,2026-01-01\n", encoding="utf-8")
    (tmp_path / "alerts.csv").write_text("loan_id,rule,at\nL1,r,soon\n", encoding="utf-8")
    study = study_of(folder, "complaints", events=str(tmp_path / "events.csv"), alerts=str(tmp_path / "alerts.csv"))
    with pytest.raises(OperationsError) as caught, open_sources(study):
        pass
    assert str(caught.value).splitlines()[0] == "project_finance 2026Q2: 2 problems"
    assert "case_id" in str(caught.value.problems[0])
    assert "soon" in str(caught.value.problems[1])


def test_every_notice_of_the_demonstration_is_in_words(page: Page) -> None:
    html = "".join(noticed(page))
    pair = '<span lang="zh-CN">[^<]*</span><span lang="en">[^<]*</span>'
    assert re.findall(rf"<tr><td>{pair}</td><td>([^<]+)<", html) == [], "only in one language"
    assert html.count("<tr>") > 3
    assert all(re.search(r"[\u4e00-\u9fff]", t["zh"]) for t in NOTICES.values())
