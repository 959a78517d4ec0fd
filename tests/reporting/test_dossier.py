"""The validation dossier, from the notebook's own cells: planted structures are found, and nothing stops the rest."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import openpyxl
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

import sqmodel as sq
from sqmodel.cli import main
from sqmodel.errors import ComputationError, InputError
from sqmodel.reporting.dossier import Dossier
from sqmodel.reporting.dossier_items import parity
from sqmodel.reporting.payload import check_results
from sqmodel.reporting.tables import companions
from sqmodel.reporting.validation import Failed, attempt, compare_models, load_parity, plan, rivals, written
from tests.reporting.cells import DATA, ROOT, desk_answers, permuted

NOTEBOOK = ROOT / "notebooks" / "validation.ipynb"
SECTIONS = ("headline", "quality", "reliability", "structure", "validity", "invariance", "error", "content", "planning",
            "parity", "provenance")  # fmt: skip


def desk(folder: Path, answers: pd.DataFrame, **parameters: object) -> Dossier:
    """The dossier that the notebook's cells make of answers to the second questionnaire."""
    path = folder / "desk.csv"
    answers.to_csv(path, index=False)
    given = {"business_line": "desk", "quarter": "2026Q3", "instrument": str(DATA / "second.instrument.yaml"),
             "responses": str(path), "draws": 200} | parameters  # fmt: skip
    namespace: dict[str, Any] = {"__builtins__": __builtins__}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, str(NOTEBOOK), "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace.update(given)
    dossier = namespace["dossier"]
    assert isinstance(dossier, Dossier)
    return dossier


def text(html: str) -> str:
    """The English words of a section."""
    return re.sub(r"<[^>]*>", " ", re.sub(r'<span lang="zh-CN">.*?</span>', "", html))


@pytest.fixture(scope="module")
def dossier(tmp_path_factory: pytest.TempPathFactory) -> Dossier:
    return desk(tmp_path_factory.mktemp("desk"), desk_answers(450, seed=4))


def test_the_notebook_shows_every_section_once_under_a_heading_and_a_question() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    shown = [re.fullmatch(r"dossier\.(\w+)\(\)", c.source.splitlines()[-1]) for c in cells if c.cell_type == "code"]
    assert [m[1] for m in shown if m] == [*SECTIONS, "record"]
    prose = [c.source for c in cells if c.cell_type == "markdown"][1:]
    for source in prose:
        heading, zh, en = source.split("\n\n")
        assert " | " in heading
        assert zh.endswith("？")
        assert en.endswith("?")
    boxes = {int(n) for source in prose for n in re.findall(r"COSMIN box (\d+)", source)}
    assert boxes == {2, 3, 4, 5, 7, 9}


def test_business_line_and_dossier_take_the_same_params() -> None:
    both = [
        nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4) for name in ("business_line", "validation")
    ]
    first, second = (next(c for c in nb.cells if "parameters" in c.metadata.get("tags", [])) for nb in both)
    assert first.source == second.source


def test_every_section_is_in_both_languages(dossier: Dossier) -> None:
    for name in SECTIONS:
        html = getattr(dossier, name)().html
        assert html
        assert html.count('lang="zh-CN"') == html.count('lang="en"') > 0, name
        assert "nan" not in text(html).lower().split(), name


def test_the_planted_dimensions_are_found(dossier: Dossier) -> None:
    assert dossier.measure.verdict == "publish"
    models = dossier.models
    assert not isinstance(models, Failed)
    assert list(models.table.index) == ["correlated", "second_order", "bifactor", "one"]
    assert models.best in ("correlated", "second_order")
    fit = sq.confirm(dossier.current, dossier.instrument.structure())
    row = models.table.loc["correlated"]
    assert row["variant"] == "robust"
    for column, name in (("cfi", "cfi.robust"), ("rmsea", "rmsea.robust"), ("chisq", "chisq.scaled"), ("bic", "bic")):
        assert row[column] == pytest.approx(fit.fit[name], rel=1e-9, abs=1e-9)
    assert models.table.loc["one", "cfi"] < 0.9 < row["cfi"]
    assert models.table.loc["one", "df"] == row["df"] + 3
    assert models.table.loc["bifactor", "df"] == 45 - 27
    assert "Parallel analysis suggests 3 factors; the design has 3 dimensions." in text(dossier.structure().html)
    assert "Pairs of dimensions: 3; distinct 3, doubtful 0, not distinct 0." in text(dossier.validity().html)


def test_groups_are_compared_step_by_step(dossier: Dossier) -> None:
    assert list(dossier.ladders) == ["channel"]
    assert "Steps by Channel" in text(dossier.invariance().html)
    assert "no statement is flagged" in text(dossier.content().html)
    shown = text(dossier.headline().html)
    assert "Service desk survey (desk_service 2.1)" in shown
    assert "450" in shown


def test_errors_of_measurement_follow_from_reliability(dossier: Dossier) -> None:
    frame, reliability = dossier.error_table, dossier.reliability_found
    assert isinstance(frame, pd.DataFrame)
    assert not isinstance(reliability, Failed)
    scores = dossier.current.dimension_scores()
    omega = reliability.coefficients["omega"].astype(float)
    for code, row in frame.iterrows():
        sem = scores[code].std() * math.sqrt(1 - omega[code])
        assert row["sem"] == pytest.approx(sem)
        assert row["sdc"] == pytest.approx(1.96 * math.sqrt(2) * sem, rel=1e-4)
        assert row["sem_low"] < row["sem"] < row["sem_high"]


@pytest.mark.filterwarnings("error::sqmodel.errors.SqmodelWarning")
def test_noise_is_called_noise_without_a_warning(tmp_path: Path) -> None:
    noise = desk(tmp_path, permuted(desk_answers(450, seed=4), seed=9))
    assert noise.measure.verdict == "reject"
    assert "the evidence is too weak" in text(noise.headline().html)
    assert "sound" not in re.findall(r'class="ok">.*?</td>', noise.structure().html)[:1]
    for name in SECTIONS:
        assert getattr(noise, name)().html


def test_too_few_answers_are_said_in_each_section_and_the_rest_goes_on(tmp_path: Path) -> None:
    answers = desk_answers(40, seed=4)
    items = [f"q{i}" for i in range(1, 10)]
    frame = answers[items].astype(float)
    for k in range(34):
        frame.iloc[k, k % 9] = np.nan
    thin = desk(tmp_path, answers.assign(**{c: frame[c] for c in items}), exclude=[])
    for name in ("structure", "validity", "planning"):
        shown = text(getattr(thin, name)().html)
        assert "could not be computed. The program says: expected more respondents than the 9 items" in shown, name
    assert "fewer than two groups with 100 complete answers" in text(thin.invariance().html)
    assert "Omega of the dimensions lies between" in text(thin.reliability().html)
    assert "valid: 40" in text(thin.quality().html)
    record = json.loads(companions(thin.record().content)["results.json"])
    assert record["results"]["models"]["failed"].startswith("expected more respondents than the 9 items")


def test_a_dimension_of_one_item_is_named_and_left_out_of_the_factors(tmp_path: Path) -> None:
    short = desk(tmp_path, desk_answers(450, seed=4), drop_items=["q2", "q3"])
    assert short.model == {"CARE": ["q4", "q5", "q6"], "SKILL": ["q7", "q8", "q9"]}
    for name in ("structure", "validity"):
        assert "cannot be tested as factors and are left out: Speed of answer." in text(getattr(short, name)().html)
    assert list(short.error_table.index) == ["CARE", "SKILL"]  # type: ignore[union-attr]
    one = desk(tmp_path, desk_answers(450, seed=4), drop_items=["q2", "q3", "q5", "q6"])
    assert "left out: Speed of answer, Care and courtesy." in text(one.structure().html)
    assert "Only one dimension can be a factor" in text(one.validity().html)
    assert list(one.models.table.index) == ["one"]  # type: ignore[union-attr]
    for name in SECTIONS:
        assert getattr(one, name)().html
    with pytest.raises(ComputationError, match="expected a dimension of at least two items, found none"):
        compare_models(one.current, {}, level=0.95)


def test_a_factor_of_one_item_is_that_item() -> None:
    assert written({"F": ["a", "b"], "G": ["c"]}) == "F =~ a + b\nG =~ c\nc ~~ 0*c"


def test_structures_of_the_questionnaire_are_rivals_with_the_same_items() -> None:
    instrument = sq.load_instrument("lending_service")
    own = rivals(instrument, instrument.structure())
    assert list(own) == ["correlated", "structure:servqual", "second_order", "bifactor", "one"]
    items = {c for text_, _ in own.values() for c in re.findall(r"\b[a-z]{3}\d\b", text_)}
    assert items == set(instrument.item_codes)
    assert own["bifactor"][1] == {"std_lv": True, "orthogonal": True}


def test_only_the_programs_own_errors_become_reasons() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert attempt(fail, ComputationError("too few")) == Failed("too few")
    assert attempt(fail, InputError("x", ["bad"])) == Failed("x: 1 problem\n  - bad")
    with pytest.raises(ZeroDivisionError):
        attempt(fail, ZeroDivisionError())
    with pytest.raises(ComputationError, match="no model"):
        plan(Failed("no model"), level=0.95, seed=1)


def test_comparisons_with_other_programs_are_read_from_their_record(tmp_path: Path, dossier: Dossier) -> None:
    row = {"subject": "alpha <b>", "data": "bfi", "quantity": "alpha", "values": 5, "largest_difference": 2e-9,
           "tolerance": 1e-6, "source": "psych 2.4"}  # fmt: skip
    path = tmp_path / "parity.json"
    rows = [row, row | {"quantity": "omega", "values": 1200, "largest_difference": 2e-6}]
    path.write_text(json.dumps({"versions": {"R": "4.2.2"}, "rows": rows}), encoding="utf-8")
    other = Dossier(dossier.study, dossier.answers, dossier.screening, dossier.responses, parity_path=path)
    html = other.parity().html
    assert "Comparisons with other programs: 2, of 1,205 numbers in all; 1 lie within their tolerance." in text(html)
    assert "2.0e−06" in html
    assert "200.0%" in html
    assert "alpha &lt;b&gt;" in html
    assert "R 4.2.2" in text(html)
    assert "holds no record of comparisons" in text(parity(None).html)
    assert load_parity(path) == {"versions": {"R": "4.2.2"}, "rows": rows}


def test_the_record_fits_its_schema_and_gives_the_same_bytes_again(dossier: Dossier, tmp_path: Path) -> None:
    record = dossier.record()
    files = companions(record.content)
    content = json.loads(files["results.json"])
    assert check_results(content)["schema"] == "sqmodel.validation/1"
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    assert {"ledger", "models", "validity_pairs", "invariance_steps", "item_bias", "error"} <= set(book.sheetnames)
    assert [r[0].value for r in book["models"].iter_rows(min_row=2)] == [
        "correlated",
        "second_order",
        "bifactor",
        "one",
    ]
    again = desk(tmp_path, desk_answers(450, seed=4))
    assert companions(again.record().content)["tables.xlsx"] == files["tables.xlsx"]
    with pytest.raises(InputError, match=r"results\.json"):
        check_results(content | {"n": "many"})


def test_a_dangerous_name_is_text(tmp_path: Path) -> None:
    odd = desk(tmp_path, desk_answers(200, seed=4), title_en="<script>alert(1)</script>", title_zh="<script>")
    assert "<script" not in "".join(getattr(odd, name)().html for name in SECTIONS)


def test_validate_publishes_beside_the_page_and_leaves_the_shelf_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params").mkdir()
    monkeypatch.chdir(tmp_path)
    desk_answers(250, seed=4).to_csv("params/desk.csv", index=False)
    content = {"business_line": "desk", "quarter": "2026Q3", "instrument": str(DATA / "second.instrument.yaml"),
               "responses": "params/desk.csv", "draws": 200}  # fmt: skip
    Path("params/desk.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert CliRunner().invoke(main, ["run"]).exit_code == 0
    before = {p: p.read_bytes() for p in sorted(Path("reports").rglob("*.*")) if p.is_file()}
    result = CliRunner().invoke(main, ["validate", "params/desk.yaml", "--quarter", "2026Q3", "--workers", "1"])
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert result.stdout.splitlines()[-2:] == ["reports/2026Q3/desk-validation/index.html", "1 of 1 published"]
    folder = Path("reports/2026Q3/desk-validation")
    assert sorted(p.name for p in folder.iterdir()) == ["index.html", "manifest.json", "results.json", "tables.xlsx"]
    assert {p: p.read_bytes() for p in before} == before
    page = (folder / "index.html").read_text(encoding="utf-8")
    for name in ("Structural validity", "结构效度", "测量验证报告", "results.json"):
        assert name in page
    for name in ("Warning", "<script", "Traceback"):
        assert name not in page
    again = CliRunner().invoke(main, ["run"])
    assert (again.exit_code, again.stderr) == (0, "")
    assert "validation" not in Path("reports/index.html").read_text(encoding="utf-8")
    assert (folder / "index.html").is_file()


def test_validate_stops_on_bad_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["validate"])
    assert result.exit_code == 2
    assert "expected params/*.yaml here, found none" in result.stderr


def test_the_models_own_cutoffs_stand_beside_the_conventions(dossier: Dossier) -> None:
    models = dossier.models
    assert not isinstance(models, Failed)
    assert not isinstance(models.cutoffs, Failed)
    html = dossier.structure().html
    assert "Cutoffs for this model and sample" in html
    assert "本模型与样本的拟合临界值" in html
    first = models.cutoffs.cutoffs.iloc[0]
    assert (first["level"], first["index"]) == (1, "srmr")
    assert f"{first['cutoff']:.3f}".removeprefix("0") in html
