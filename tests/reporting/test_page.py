"""What the page says, from the notebook's own cells: findings follow the data, and noise is called noise."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from sqmodel.definitions import Text
from sqmodel.errors import UnfitMeasureError
from sqmodel.reporting.page import Page
from sqmodel.reporting.performance import _below, _prediction
from sqmodel.reporting.publish import SqReportExporter
from sqmodel.reporting.tables import companions
from tests.oracles import reference, shared
from tests.reporting.cells import DATA, desk_answers, executed, permuted, run_page

SECTIONS = ("headline", "actions", "dimensions", "expectations", "items", "results", "groups", "trend", "trust",
            "quality", "provenance")  # fmt: skip


def desk(folder: Path, answers: pd.DataFrame, **parameters: object) -> Page:
    path = folder / "desk.csv"
    answers.to_csv(path, index=False)
    given = {"business_line": "desk", "quarter": "2026Q3", "instrument": str(DATA / "second.instrument.yaml")}
    return run_page(**(given | {"responses": str(path), "draws": 400} | parameters))


def title(page: Page, language: str = "en") -> str:
    return str(page.record().content["page"]["title"][language])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return desk(tmp_path_factory.mktemp("desk"), desk_answers(300, seed=4, quarters=("2026Q2", "2026Q3")))


def test_a_second_instrument_publishes_without_a_change_of_code(page: Page) -> None:
    assert page.measure.verdict == "publish"
    assert title(page).startswith("Service quality index ")
    assert title(page).endswith("Speed of answer lies below the average of the others")
    assert "did not ask for expectations" in page.expectations().html
    for name in SECTIONS:
        assert getattr(page, name)().html


def test_the_planted_weakness_is_found_and_acted_on(page: Page) -> None:
    assert page.priorities.actions
    assert {page.measure.instrument.item(c).dimension for c in page.priorities.actions} == {"SPEED"}
    assert page.ranking.first
    assert set(page.ranking.candidates.loc[list(page.ranking.first), "dimension"]) == {"SPEED"}
    assert page.record().content["actions"] == list(page.ranking.first)
    assert "Begin with" in page.actions().html
    mail = page.index.groups.set_index("value").loc["mail"]
    assert mail["difference_high"] < 0
    assert "E-mail (" in page.groups().html


@pytest.mark.filterwarnings("ignore::sqmodel.errors.SqmodelWarning")  # noise makes improper factors
def test_permuting_the_answers_changes_title_verdict_and_actions(page: Page, tmp_path: Path) -> None:
    shuffled = permuted(desk_answers(300, seed=4, quarters=("2026Q2", "2026Q3")), seed=9)
    with pytest.raises(UnfitMeasureError):
        desk(tmp_path, shuffled)
    other = desk(tmp_path, shuffled, accept="to see what noise looks like")
    assert other.measure.verdict == "reject"
    assert title(other) != title(page)
    assert title(other).startswith("The evidence is too weak to publish")
    assert other.priorities.actions == other.ranking.first == ()
    assert "Shown although the checks failed, because: to see what noise looks like" in other.headline().html


def test_with_no_differences_nothing_is_sure(tmp_path: Path) -> None:
    answers = desk_answers(300, seed=12, difference=False, quarters=("2026Q2", "2026Q3"))
    flat = desk(tmp_path, answers)
    assert title(flat).endswith("no difference is sure")
    assert title(flat, "zh").endswith("没有一项差异可以确定")
    assert "Nothing is sure to come first" in flat.actions().html
    assert "The differences between the dimensions cannot be told from sampling error" in flat.dimensions().html
    assert "No change of a dimension since 2026 Q2 can be told from sampling error" in flat.dimensions().html
    assert "No client group can be told from the others" in flat.groups().html
    assert "this cannot be told from sampling error" in flat.headline().html
    assert "尚不能判断有变化" in flat.headline().html
    said = "".join(re.findall(r"<p[ >].*?</p>", flat.actions().html + flat.items().html))
    assert "Statements at the bottom right" in said
    for text in ("Begin with", "to begin with", "优先改进"):
        assert text not in said


def test_a_real_change_is_named_with_its_level(tmp_path: Path) -> None:
    answers = desk_answers(300, seed=3, quarters=("2026Q2", "2026Q3"))
    items = [f"q{i}" for i in range(1, 10)]
    now = answers["quarter"] == "2026Q3"
    answers.loc[now, items] = (answers.loc[now, items] + 1).clip(upper=7)
    risen = desk(tmp_path, answers)
    assert title(risen).startswith("The index has risen to ")
    assert "more than sampling error explains at that level" in risen.headline().html
    assert risen.index.change is not None
    assert risen.index.change.low > 5


@pytest.mark.filterwarnings("ignore::sqmodel.errors.ImproperSolutionWarning")
def test_the_bank_survey_gives_its_known_facts() -> None:
    known = reference("satisfaction_es_bank")
    path = shared("data", "satisfaction_es_bank", "satisfaction.csv")
    page = run_page(business_line="bank", quarter="2026Q3", instrument=str(DATA / "bank.instrument.yaml"),
                    responses=str(path), exclude=[], draws=200)  # fmt: skip
    assert page.index.n == 250
    for scale, facts in known["reliability"].items():
        row = page.reliability.coefficients.loc[scale]
        assert row["alpha"] == pytest.approx(facts["alpha_raw_listwise"], abs=1e-6)
        assert row["omega"] == pytest.approx(facts["omega_cfa1f"], abs=1e-6)
    assert page.exploration.kmo_overall == pytest.approx(known["kmo"]["overall"], abs=1e-6)
    assert page.measure.verdict == "reservations"
    ledger = page.measure.ledger.set_index("criterion")
    assert ledger.loc["proper", "verdict"] == "failed"
    assert ledger.loc["cfi", "verdict"] == "failed"
    assert page.priorities.basis == "index"
    assert set(page.index.groups["value"]) == {"female", "male"}


@pytest.mark.filterwarnings("ignore::sqmodel.errors.HeywoodWarning")
@pytest.mark.filterwarnings("ignore::sqmodel.errors.ImproperSolutionWarning")
def test_the_mobile_survey_says_that_loyalty_is_not_measured() -> None:
    known, path = reference("mobi_ecsi"), shared("data", "mobi_ecsi", "mobi.csv")
    given = {"business_line": "mobi", "quarter": "2026Q3", "instrument": str(DATA / "mobi.instrument.yaml"),
             "responses": str(path), "exclude": [], "draws": 200}  # fmt: skip
    with pytest.raises(UnfitMeasureError) as caught:
        run_page(**given)
    message = str(caught.value)
    assert message.startswith("mobi 2026Q3: the answers do not support an index\n")
    assert "  - alpha of Loyalty: expected at least 0.7, found 0.442 [" in message
    assert "  - alpha of Expectation: expected at least 0.7, found 0.433 [" in message
    page = run_page(accept="for the record", **given)
    loyalty = page.reliability.coefficients.loc["Loyalty"]
    assert loyalty["alpha"] == pytest.approx(known["reliability"]["Loyalty"]["alpha_raw_listwise"], abs=1e-6)
    standardised = known["reliability"]["Loyalty"]["alpha_std_listwise"]
    assert loyalty["alpha_standardised"] == pytest.approx(standardised, abs=1e-6)
    assert title(page).startswith("The evidence is too weak to publish an index")
    text = page.headline().html
    assert page.measure.ledger.set_index("criterion").loc["proper", "verdict"] == "failed"
    assert "不宜发布" in text
    assert "Cronbach&#x27;s alpha (Loyalty) .44 (at least .70 required)" in text


def test_small_groups_are_in_no_output(tmp_path: Path) -> None:
    answers = desk_answers(300, seed=4)
    few = answers.index[:6]
    answers.loc[few, "channel"] = "chat"
    answers = answers.drop(answers.index[(answers["channel"] == "chat") & ~answers.index.isin(few)])
    page = desk(tmp_path, answers)
    table = page.index.groups.set_index("value")
    assert table.loc["chat", "suppressed"] == "too few"
    assert sorted(table["suppressed"]) == ["", "secondary", "too few"]
    hidden = table[table["suppressed"] != ""]
    numbers = hidden.drop(columns=["group", "suppressed"]).to_numpy(float)
    assert np.isnan(numbers).all()
    record = json.loads(companions(page.record().content)["results.json"])
    columns = record["results"]["index"]["groups"]["columns"]
    for row in record["results"]["index"]["groups"]["data"]:
        if row[columns.index("suppressed")]:
            assert [v for v in row[2:] if isinstance(v, float)] == []


def test_a_dangerous_text_is_text_everywhere(tmp_path: Path) -> None:
    answers = desk_answers(200, seed=4)
    page = desk(tmp_path, answers, title_en="<script>alert(1)</script>", organisation_en="=cmd|' /C calc'!A0")
    for name in SECTIONS:
        assert "<script" not in getattr(page, name)().html
    files = companions(page.record().content)
    import io

    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    kinds = {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row}
    assert "f" not in kinds


def test_a_group_label_that_looks_like_a_formula_is_written_as_text(tmp_path: Path) -> None:
    import io

    import openpyxl
    import yaml

    content = yaml.safe_load((DATA / "second.instrument.yaml").read_text(encoding="utf-8"))
    content["groups"] = [{"code": "channel", "title": "Channel"}]
    instrument = tmp_path / "open.yaml"
    instrument.write_text(yaml.safe_dump(content), encoding="utf-8")
    odd = {"mail": "=cmd|' /C calc'!A0", "chat": "<img src=x onerror=alert(1)>"}
    answers = desk_answers(200, seed=4).replace({"channel": odd})
    page = desk(tmp_path, answers, instrument=str(instrument))
    assert "<img" not in page.groups().html
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.groups().html
    sheet = openpyxl.load_workbook(io.BytesIO(companions(page.record().content)["tables.xlsx"]))["index_groups"]
    cells = [cell for row in sheet.iter_rows() for cell in row if cell.value == "=cmd|' /C calc'!A0"]
    assert cells
    assert {c.data_type for c in cells} == {"s"}


def test_the_same_input_gives_the_same_bytes(page: Page, tmp_path: Path) -> None:
    again = desk(tmp_path, desk_answers(300, seed=4, quarters=("2026Q2", "2026Q3")))
    ways = [(p, p.study.responses) for p in (again, page)]
    second_html, first_html = ([getattr(p, n)().html.replace(way, "") for n in SECTIONS] for p, way in ways)
    assert second_html == first_html
    first, second = (companions(p.record().content) for p in (page, again))
    cut = f'"responses": "{tmp_path / "desk.csv"}"'.encode()
    assert cut in second["results.json"]
    place = json.loads(first["results.json"])["study"]["responses"].encode()
    own = str(tmp_path / "desk.csv").encode()
    assert first["results.json"].replace(place, b"") == second["results.json"].replace(own, b"")
    assert first["tables.xlsx"] == second["tables.xlsx"]


@pytest.mark.parametrize(("language", "code", "other"), [("zh", "zh-CN", "en"), ("en", "en", "zh")])
def test_a_page_opens_in_the_language_that_the_params_say(tmp_path: Path, language: str, code: str, other: str) -> None:
    desk_answers(60, seed=4).to_csv(tmp_path / "desk.csv", index=False)
    shown = executed(
        business_line="desk", quarter="2026Q3", instrument=str(DATA / "second.instrument.yaml"),
        responses=str(tmp_path / "desk.csv"), draws=200, page_language=language, accept="a test of the page only",
    )  # fmt: skip
    page = SqReportExporter().from_notebook_node(shown)[0]
    assert f'<html lang="{code}">' in page
    assert f'id="sq-{language}" checked>' in page
    assert f'id="sq-{other}">' in page


PLACES = ["A", "B", "C"]


def gaps_page(**change: object) -> Page:
    """As much of a page as the paragraphs about gaps need, with three dimensions."""
    dimensions = [SimpleNamespace(code=c, label=Text(zh=f"维度{c}", en=f"Dimension {c}")) for c in PLACES]
    values: dict[str, object] = {
        "dimensions": pd.DataFrame(
            {"gap": [-9.0, -4.0, -1.0], "gap_low": -12.0, "gap_high": [-6.0, -2.0, 1.0]}, PLACES
        ),
        "prediction": pd.DataFrame(
            {"r_squared": [0.4, 0.3], "r_squared_low": [0.32, 0.2], "r_squared_high": [0.5, 0.4]}, ["servperf", "gap"]
        ),
        "difference_reliability": pd.DataFrame(
            {"alpha_performance": 0.8, "alpha_expectation": 0.7, "reliability": [0.75, 0.6, 0.85]}, PLACES
        ),
    }
    measure = SimpleNamespace(instrument=SimpleNamespace(dimensions=dimensions))
    return cast(Page, SimpleNamespace(measure=measure, gaps=SimpleNamespace(**(values | change))))


def test_only_dimensions_surely_below_expectation_are_named() -> None:
    page = gaps_page()
    frame = page.gaps.dimensions
    some = _below(page, frame[frame["gap_high"] < 0])
    assert some["en"] == (
        "Performance is below expectation in Dimension A, Dimension B; "
        "the largest gap measured is in Dimension A: −9.0 points (−12.0 to −6.0)."
    )
    assert some["zh"].startswith("客户感知低于期望的维度：维度A、维度B；")
    assert _below(page, frame)["en"].startswith("Performance is below expectation in every dimension; ")
    assert _below(page, frame[:1])["en"].startswith("Only in Dimension A ")
    assert _below(page, frame[:0])["en"].startswith("In no dimension ")


def test_scores_are_compared_in_this_sample_and_no_further() -> None:
    overlapping = "".join(_prediction(gaps_page()))
    assert "In this sample the performance score explains the largest share" in overlapping
    assert "(R² .40, .32–.50), against the gap score .30 (.20–.40)." in overlapping
    assert "nothing is claimed about which explains more" in overlapping
    apart = pd.DataFrame(
        {"r_squared": [0.4, 0.1], "r_squared_low": [0.32, 0.05], "r_squared_high": [0.5, 0.2]}, ["servperf", "gap"]
    )
    assert "nothing is claimed" not in "".join(_prediction(gaps_page(prediction=apart)))


def test_gap_scores_are_called_less_reliable_only_where_below_both_alphas() -> None:
    said = "".join(_prediction(gaps_page()))
    assert "less reliable than both ratings they come from (Dimension B .60)" in said
    better = gaps_page().gaps.difference_reliability.assign(reliability=0.9)
    assert "less reliable" not in "".join(_prediction(gaps_page(difference_reliability=better)))


def test_the_page_says_by_which_groups_comparisons_hold(page: Page) -> None:
    gate = page.measure.comparability
    assert gate is not None
    html = page.groups().html
    for status, said in (
        ("comparable", "The questions are understood alike by groups of: "),
        ("not assessed", "Whether the questions are understood alike was not tested for: "),
    ):
        assert (said in html) == (status in set(gate.variables["status"]))
    assert "对题目的理解" in html


def test_withheld_comparisons_are_not_sure(page: Page) -> None:
    variables = page.measure.comparability.variables.assign(status="not comparable")
    gate = dataclasses.replace(page.measure.comparability, variables=variables)
    measure = dataclasses.replace(page.measure, comparability=gate)
    index = page.study.build_index(measure, weights=page.index.weights, unscreened=measure.responses)
    page = dataclasses.replace(page, measure=measure, index=index)
    html = page.groups().html
    assert "Differences between these groups are not shown." in html
    assert "组间差异不予列示" in html
    assert "differ from the other clients by more than sampling error" not in html
