"""The trend on the page: sure changes by quarter, signals where there are enough quarters, and noise called noise."""

from __future__ import annotations

import dataclasses
import io
import json

import openpyxl
import pandas as pd
import pytest

from sqmodel.index.trend import Trend
from sqmodel.reporting.page import Page
from sqmodel.reporting.sections.trend import sentences
from sqmodel.reporting.tables import companions
from tests.reporting.cells import DATA, desk_answers, run_page

ITEMS = [f"q{i}" for i in range(1, 10)]
QUARTERS = tuple(f"{2024 + i // 4}Q{i % 4 + 1}" for i in range(2, 11))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Nine quarters, of which the last is two points of seven better than the others."""
    answers = desk_answers(60, seed=4, difference=False, quarters=QUARTERS)
    now = answers["quarter"] == QUARTERS[-1]
    answers.loc[now, ITEMS] = (answers.loc[now, ITEMS] + 2).clip(upper=7)
    path = tmp_path_factory.mktemp("desk") / "desk.csv"
    answers.to_csv(path, index=False)
    return run_page(business_line="desk", quarter=QUARTERS[-1], instrument=str(DATA / "second.instrument.yaml"),
                    responses=str(path), draws=200, accept="a test")  # fmt: skip


def history(page: Page) -> Trend:
    assert page.history is not None
    return page.history


def test_a_planted_rise_is_named_in_its_quarter_only(page: Page) -> None:
    found = history(page)
    assert set(found.sure["quarter"]) == {"2026Q3"}
    html = sentences(page)
    assert html in page.trend().html
    assert f"{len(found.sure)} of 32 changes from quarter to quarter can be told" in html
    assert html.count("2026 Q3: ") == 2
    row = found.sure.set_index("scope").loc["overall"]
    shown = f"Overall index +{row['change']:.1f} (+{row['joint_low']:.1f} to +{row['joint_high']:.1f})"
    assert shown in html
    assert "32 项季度环比变化（指数与各维度分别合并判断）中有" in html


def test_signals_are_named_once_a_quarter(page: Page) -> None:
    found = history(page)
    assert "beyond_limits" in set(found.signals["rule"])
    html = sentences(page)
    assert "The control charts (XmR, 9 quarters) show what is out of the ordinary" in html
    assert html.count("Overall index high") == 1
    assert "总指数偏高" in html


def test_without_changes_or_signals_one_mute_sentence(page: Page) -> None:
    changes = history(page).changes.assign(joint_verdict="not sure")
    quiet = dataclasses.replace(history(page), changes=changes, signals=history(page).signals.iloc[:0])
    html = sentences(dataclasses.replace(page, history=quiet))
    assert html == (
        '<p class="mute"><span lang="zh-CN">32 项季度环比变化（指数与各维度分别合并判断）均未超出抽样误差。'
        '控制图（XmR，共 9 个季度）未见超出常规波动的季度。</span><span lang="en">None of the '
        "32 changes from quarter to quarter can be told from sampling error (the index and the dimensions each judged "
        "together). The control charts (XmR, 9 quarters) show nothing out of the ordinary.</span></p>"
    )
    few = dataclasses.replace(quiet, charts=quiet.charts.iloc[:0], quarters=QUARTERS[-5:])
    assert "Control charts need 8 quarters; there are 5 so far." in sentences(dataclasses.replace(page, history=few))


def test_one_quarter_has_no_history(page: Page) -> None:
    answers = page.measure.responses
    measure = dataclasses.replace(page.measure, responses=answers.of(page.study.quarter))
    index = page.study.build_index(measure, weights=page.index.weights, unscreened=measure.responses)
    assert page.study.assess_trend(measure, index) is None
    alone = dataclasses.replace(page, index=index, measure=measure, history=None)
    assert sentences(alone) == ""
    assert "trend" not in alone.record().content["results"]


def test_the_record_holds_the_trend_and_the_workbook_its_changes(page: Page) -> None:
    files = companions(page.record().content)
    record = json.loads(files["results.json"])["results"]["trend"]
    back = Trend.from_json(record)
    pd.testing.assert_frame_equal(back.changes, history(page).changes)
    sheet = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))["trend"]
    assert [c.value for c in sheet[1]][1:4] == ["quarter", "previous", "scope"]
    assert sheet.max_row == 1 + len(back.changes)
