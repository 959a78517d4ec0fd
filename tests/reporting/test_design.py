"""Design studies: whole messages for bad input, every section on the page, planted branches found, published whole."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import openpyxl
import pandas as pd
import pytest
import yaml

from sqmodel.errors import CompositeError, InputError, ParamsError
from sqmodel.index.composite import build_composite
from sqmodel.index.design_demo import NAME, WEIGHTS, demo_design, simulate_branches
from sqmodel.index.tree import load_tree
from sqmodel.reporting.design_inputs import check_inputs, read_inputs
from sqmodel.reporting.design_params import DesignStudy, load_design
from sqmodel.reporting.gate import Expected, inspect
from sqmodel.reporting.making import render
from sqmodel.reporting.tables import companions
from sqmodel.reporting.workbench import Workbench
from tests.reporting.cells import ROOT, executed
from tests.reporting.projects import call

NOTEBOOK = ROOT / "notebooks" / "index_design.ipynb"
PARAMS = ROOT / "params" / "branches.design.yaml"
SECTIONS = ("headline", "data", "coherence", "weights", "stages", "ranks", "split", "factors", "provenance")
SEED = 20260934


def text(html: str) -> str:
    """The English words of a section."""
    return re.sub(r"<[^>]*>", " ", re.sub(r'<span lang="zh-CN">.*?</span>', "", html))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the demonstration's branches and their study."""
    folder = tmp_path_factory.mktemp("shipped")
    demo_design(folder / "params" / "data")
    shutil.copyfile(PARAMS, folder / "params" / PARAMS.name)
    return folder


@pytest.fixture
def project(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder."""
    shutil.copytree(shipped, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(**changes: Any) -> dict[str, Any]:
    """The content of the study's params with other values, few draws by default."""
    content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    return content | {"draws": 200, "evaluations": 0} | changes


@pytest.fixture(scope="module")
def bench(shipped: Path) -> Workbench:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shipped)
        alternatives = {"normalise": [{"method": "min_max", "scale": [1, 100]}], "weights": ["equal"]}
        study = load_design(changed(draws=400, evaluations=2**14, alternatives=alternatives))
        return Workbench(study, read_inputs(study))


def test_the_demonstration_gives_the_same_bytes_each_time_and_small_ones(shipped: Path, tmp_path: Path) -> None:
    again = demo_design(tmp_path)
    files = {p.name: p.read_bytes() for p in again}
    assert files == {p.name: p.read_bytes() for p in (shipped / "params" / "data").iterdir()}
    assert len(files) == 7
    assert sum(map(len, files.values())) < 300_000
    other = demo_design(tmp_path / "other", rng=1)
    assert (tmp_path / "other" / "branches.csv").read_bytes() != files["branches.csv"]
    assert [p.name for p in other] == list(files)


def test_the_records_estimate_the_planted_truth() -> None:
    demo = simulate_branches(rng=SEED)
    cases, truth = demo.files["cases"].groupby("branch"), demo.truth
    for column in ("repeated", "handovers", "review_hours", "within_limit"):
        error = (cases[column].mean() - truth[column]) / cases[column].sem()
        assert error.abs().mean() < 1.1
        assert np.abs(error.mean()) < 3 / np.sqrt(len(truth))
    assert set(demo.files["alerts"]["branch"]) == set(demo.order) - {demo.order[5], demo.order[19]}
    rank = build_composite(truth, load_tree("lending_index")).index.rank(ascending=False)
    assert rank[list(demo.order)].corr(pd.Series(range(24), index=list(demo.order)), method="kendall") > 0.8


def test_the_shipped_tree_has_the_four_dimensions_in_both_languages() -> None:
    tree = load_tree("lending_index")
    assert {b: set(tree.children(b)) for b in WEIGHTS} == {b: set(own) for b, own in WEIGHTS.items()}
    assert [tree.node(c).label["zh"] for c in tree.children("INDEX")] == [
        "客户服务体验与流程优化", "服务效率与响应速度", "风险管理与客户反馈", "专业能力和知识储备",
    ]  # fmt: skip
    for node in tree.nodes:
        assert node.label["zh"] != node.label["en"]
    assert all(tree.node(c).goalposts for c in tree.indicators)
    assert tree.node("complaints").denominator == "thousand_cases"


def test_all_problems_of_params_are_told_at_once() -> None:
    wrong = {
        "name": "Branches", "tre": "lending_index", "data": "postgresql://me:secret@host/db", "scale": [1],
        "samples": [{"name": "a", "colums": ["x"]},
                    {"name": "a", "rows": "x.csv", "errors": "y.csv", "columns": [], "statistic": "max"}],
        "alternatives": {"wieghts": [], "weights": ["judged"], "treat": ["no"], "aggregate": [["arithmetic", "mean"]],
                         "normalise": ["z", {"method": "min_max", "scale": [1]}], "noise": "some"},
        "draws": 3,
    }  # fmt: skip
    with pytest.raises(ParamsError) as caught:
        load_design(wrong)
    assert str(caught.value) == (
        "parameters: 22 problems\n"
        "  - unknown key 'tre'; did you mean 'tree'?\n"
        "  - unknown key 'samples.1.colums'; did you mean 'samples.1.columns'?\n"
        "  - unknown key 'alternatives.wieghts'; did you mean 'alternatives.weights'?\n"
        "  - judgements: expected a file of comparisons for weights that are judged, found none\n"
        "  - samples: expected every name once, found 'a' 2 times\n"
        "  - samples: expected either `rows` or `errors` of 'a', found neither\n"
        "  - samples: expected either `rows` or `errors` of 'a', found both\n"
        "  - samples: expected `statistic` and `weight` of rows only, found them of the errors of 'a'\n"
        "  - name: expected lower-case letters, digits and underscores, found 'Branches'\n"
        "  - tree: expected a value, found none\n"
        "  - data: expected a file, found the address of a database\n"
        "  - unit: expected a value, found none\n"
        "  - scale: expected two numbers, found 1\n"
        "  - samples.1.columns: expected a value, found none\n"
        "  - samples.2.columns: expected at least one, found none\n"
        "  - samples.2.statistic: expected one of mean, median, found 'max'\n"
        "  - alternatives.treat.1: expected 0 or more steps of winsorising, or none, found 'no'\n"
        "  - alternatives.normalise.1.method: expected one of min_max, z_score, rank, goalposts, distance, found 'z'\n"
        "  - alternatives.normalise.2.scale: expected two numbers, found 1\n"
        "  - alternatives.aggregate.1.2: expected one of arithmetic, geometric, harmonic, copeland, found 'mean'\n"
        "  - alternatives.noise: expected a share, or a list of one a level, found 'some'\n"
        "  - draws: input should be greater than or equal to 200, found 3\n"
        "  What to do: correct the params of this design study; nothing was run"
    )


def test_a_study_is_read_again_from_what_its_record_says() -> None:
    study = load_design(PARAMS)
    assert load_design(study.model_dump(mode="json")) == study


def test_judgements_that_nothing_uses_are_not_left_out_silently() -> None:
    with pytest.raises(ParamsError) as caught:
        load_design(changed(weighting="equal"))
    assert str(caught.value) == (
        "parameters: 1 problem\n"
        "  - weighting: expected 'judged', here or among the alternatives, where there are judgements, found neither\n"
        "  What to do: correct the params of this design study; nothing was run"
    )


def test_all_problems_of_the_files_are_told_at_once(project: Path) -> None:
    data = Path("params/data")
    frame = pd.read_csv(data / "branches.csv", dtype=object)
    frame.loc[3, "complaints"] = "many"
    frame.drop(columns="region").to_csv(data / "branches.csv", index=False)
    (data / "branches.alerts.csv").unlink()
    judged = pd.read_csv(data / "branches.judgements.csv", dtype=object)
    judged.loc[0, "value"] = "-2"
    judged.to_csv(data / "branches.judgements.csv", index=False)
    with pytest.raises(InputError) as caught:
        check_inputs(load_design(changed()))
    assert str(caught.value) == (
        "branches: 4 problems\n"
        f"  - {project}/params/data/branches.alerts.csv: expected a file, found nothing at this path\n"
        "  - params/data/branches.judgements.csv: expected a number of at least 0: row 2, column value ('-2')\n"
        "  - params/data/branches.csv: expected a column 'region', found 'branch', 'cases', 'thousand_cases', "
        "'complaints'\n"
        "  - params/data/branches.csv: expected a number: row 5, column complaints ('many')\n"
        "  What to do: check the path; correct the judgements, or name their columns; correct the units, or name their "
        "columns"
    )


def test_what_cannot_be_applied_is_told_before_anything_is_run(project: Path) -> None:
    with pytest.raises(CompositeError) as caught:
        check_inputs(load_design(changed(alternatives={"normalise": ["min_max"], "drop": ["speed"]})))
    assert str(caught.value) == (
        "lending_index: 1 problem\n"
        "  - drop: expected nodes below the index, found 'speed'\n"
        "  What to do: correct the alternatives; one that was asked for is never left out silently"
    )
    with pytest.raises(CompositeError, match="aggregate: expected a scale above 0 for a geometric mean, found min_max"):
        check_inputs(load_design(changed(alternatives={"normalise": ["min_max"]})))


def test_the_notebook_asks_shows_and_explains_every_section() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    shown = [re.fullmatch(r"bench\.(\w+)\(\)", c.source.splitlines()[-1]) for c in cells if c.cell_type == "code"]
    assert [m[1] for m in shown if m] == [*SECTIONS, "record"]
    prose = [c.source for c in cells if c.cell_type == "markdown"][1:]
    questions = [s for s in prose if s.startswith("## ")]
    for source in questions:
        heading, zh, en = source.split("\n\n")
        assert " | " in heading
        assert zh.endswith("？")
        assert en.endswith("?")
    explained = [s.split("\n\n") for s in prose if s not in questions]
    assert len(questions) == len(SECTIONS) - 1
    assert len(explained) == len(questions) - 1
    assert all(zh.startswith("怎么读：") and en.startswith("How to read this: ") for zh, en in explained)


def test_the_notebooks_parameters_are_the_keys_of_the_params() -> None:
    cell = next(c for c in nbformat.read(NOTEBOOK, as_version=4).cells if "parameters" in c.metadata.get("tags", []))
    assert re.findall(r"^(\w+):", cell.source, re.MULTILINE) == list(DesignStudy.model_fields)
    namespace: dict[str, Any] = {}
    exec(cell.source, namespace)
    # A params file that leaves a key out must mean the same to papermill as to `sqmodel design`.
    needed = {"name": "a", "tree": "lending_index", "data": "a.csv", "unit": "branch"}
    default = load_design(needed).model_dump()
    shown = load_design(namespace).model_dump()
    assert {k for k in default if default[k] != shown[k]} == {"name", "data", "samples"}


def test_every_section_is_in_both_languages(bench: Workbench, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped)
    for name in SECTIONS:
        html = getattr(bench, name)().html
        assert html.count('lang="zh-CN"') >= html.count('<span lang="en"') > 0, name
        assert "nan" not in text(html).lower().split(), name
        assert "Traceback" not in html


def test_the_best_branch_of_the_truth_may_rank_first(bench: Workbench) -> None:
    demo, study = simulate_branches(rng=SEED), bench.study
    truth = demo.truth.assign(region=bench.inputs.data["region"])
    own = build_composite(truth, bench.tree, arrangement=study.arrangement, groups=study.groups).index
    ranks = bench.uncertainty.ranks.join(own.rank(ascending=False).rename("true"))
    best = own.idxmax()
    assert best == demo.order[0]
    assert ranks.loc[best, "best_all"] == 1
    held = ranks["true"].between(ranks["best_all"], ranks["worst_all"])
    assert held.mean() > 0.9
    assert best in text(bench.headline().html)


def test_the_page_tells_what_the_analyses_found(bench: Workbench) -> None:
    found = bench.uncertainty
    first = found.ranks["rank"].idxmin()
    score = found.scores.loc[first]
    assert f"{score['score']:.1f} [{score['low']:.1f}, {score['high']:.1f}]" in text(bench.ranks().html)
    share = found.split.loc["sampling"]
    assert f"{100 * share['share']:.1f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]" in bench.split().html
    assert "Indicators with outliers, which were treated: Credit review (working hours)." in text(bench.data().html)
    last = found.convergence.iloc[-1]
    told = f"{last['evaluations']:,} evaluations; the widest interval is ±{100 * last['half_width']:.1f} percentage"
    assert told in text(bench.factors().html)
    weights = bench.comparison.weights.set_index(["method", "node"])["weight"]
    judged = text(bench.weights().html)
    assert f"{100 * weights['judged', 'EXP']:.1f} [" in judged
    assert f"{bench.comparison.rankings['mean_shift'].max():.1f} on average" in judged


def test_the_record_fits_its_schema_and_has_all_tables(
    bench: Workbench, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shipped)
    files = companions(bench.record().content)
    record = json.loads(files["results.json"])
    assert (record["schema"], record["name"], record["n"]) == ("sqmodel.design/1", "branches", 24)
    assert record["labels"]["nodes"]["EXP"]["en"] == "Client experience and process"
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    assert {"uncertainty_ranks", "weights_rankings", "coherence_findings", "composite_treated"} <= set(book.sheetnames)
    rows = list(book["composite_weights"].iter_rows(values_only=True))
    assert rows[0][:3] == ("node", "label", "parent")
    assert rows[2][:3] == ("EXP", "客户服务体验与流程优化", "INDEX")


def test_an_incoherent_tree_is_shown_with_its_reasons_and_nothing_more(project: Path) -> None:
    frame = pd.read_csv("params/data/branches.cases.csv")
    frame["within_limit"] = 1 - frame["within_limit"]
    frame.to_csv("params/data/branches.cases.csv", index=False)
    study = load_design(changed(alternatives={}, weighting="given", judgements=""))
    bench = Workbench(study, read_inputs(study))
    assert "The tree does not hold together, so no index is made" in text(bench.headline().html)
    assert "Cases within the service standard" in text(bench.headline().html)
    assert "does not hold together" in text(bench.coherence().html).lower()
    message = r"within_limit: expected a correlation with its branch that may be above 0, found -"
    for section in ("weights", "ranks", "record"):
        with pytest.raises(CompositeError, match=message):
            getattr(bench, section)()
    accepted = Workbench(load_design(changed(alternatives={}, weighting="given", judgements="", accept="a trial")),
                         bench.inputs)  # fmt: skip
    assert "The reason given: a trial" in text(accepted.headline().html)
    assert accepted.ranks().html
    assert "Only the samples vary in this study; what the choice of method adds is not known." in text(
        accepted.split().html
    )


def test_without_samples_no_rank_is_sure(project: Path) -> None:
    full = read_inputs(load_design(changed())).data.rename_axis("branch").reset_index()
    full.to_csv("full.csv", index=False)
    study = load_design(changed(data="full.csv", samples=[], weighting="given", judgements="",
                                alternatives={"noise": 0.3}))  # fmt: skip
    bench = Workbench(study, read_inputs(study))
    assert "without samples no rank is sure" in text(bench.headline().html)
    assert "Without samples there are no confidence sets" in text(bench.ranks().html)
    assert "figure-scores" in bench.ranks().html
    assert "figure-ranks" not in bench.ranks().html
    assert "Only the choices of method vary in this study" in text(bench.split().html)
    assert "at least 128 evaluations: not assessed" in text(bench.factors().html)


def test_the_executed_notebook_passes_the_gate(project: Path) -> None:
    few = changed(alternatives={"weights": ["equal"]}, page_language="en")
    page, files, notes, counts = render(executed(NOTEBOOK, **few))
    assert notes == ()
    assert inspect(page, Expected(**counts, files=tuple(files), most_bytes=1_500_000)) == []
    assert counts["figures"] == 2
    assert set(files) == {"results.json", "tables.xlsx"}
    for words in ("指数设计报告 · 模拟数据", "Scores and ranks", "名次置信集"):
        assert words in page


def test_design_publishes_once_and_stays_until_something_changes(project: Path) -> None:
    content = changed(alternatives={"weights": ["equal"]})
    Path(f"params/{NAME}.design.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    result = call("design", "params/branches.design.yaml")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert result.stdout == "reports/design/branches/index.html\n1 of 1 published\n"
    folder = Path("reports/design/branches")
    names = ["index.html", "manifest.json", "results.json", "tables.xlsx"]
    assert sorted(p.name for p in folder.iterdir()) == names
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert b"<script" not in before["index.html"]
    assert json.loads(before["manifest.json"])["kind"] == "design"
    again = call("design", "params/branches.design.yaml")
    assert again.stdout == "reports/design/branches/index.html\n1 of 1 published, 1 unchanged\n"
    verified = call("verify", "reports")
    assert (verified.exit_code, verified.stdout) == (0, "  intact    design/branches\n1 of 1 as published\n")
    late = call("design", "params/branches.design.yaml", "--force", "--timeout", "1")
    assert (late.exit_code, late.stdout) == (1, "0 of 1 published\n")
    assert late.stderr.startswith(
        "design/branches failed at execute: expected the report within 1 s (--timeout), found "
    )
    Path("params/data/branches.alerts.csv").write_text("branch\nB01\n", encoding="utf-8")
    bad = call("design", "params/branches.design.yaml")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "params/data/branches.alerts.csv: 1 problem\n  - expected a column 'warning_precision'" in bad.stderr
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_new_project_has_a_study_that_fits_the_demonstration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("new", str(tmp_path / "mine")).exit_code == 0
    monkeypatch.chdir(tmp_path / "mine")
    assert Path("notebooks/index_design.ipynb").is_file()
    demo_design("params/data")
    study = load_design("params/branches.design.yaml")
    assert len(check_inputs(study).data) == 24


def test_a_design_study_is_no_business_line(project: Path) -> None:
    result = call("run")
    assert result.exit_code == 2
    assert "expected params/*.yaml here, found none" in result.stderr
    wrong = call("design", "params/none.design.yaml")
    assert wrong.exit_code == 2
    assert "expected a params file, found nothing at this path" in wrong.stderr
