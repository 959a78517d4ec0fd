"""Params: what is checked before anything runs, message by message."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sqmodel.errors import ParamsError
from sqmodel.reporting.plan import expand_quarters, make_plan
from sqmodel.reporting.study import Study, load_study, project_root

GOOD = {
    "business_line": "project_finance",
    "quarter": "2026Q3",
    "instrument": "lending_service",
    "responses": "params/data/project_finance.csv",
}


def params(folder: Path, name: str = "a.yaml", **changes: object) -> Path:
    path = folder / name
    content = {key: value for key, value in (GOOD | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def test_a_good_file_makes_a_study(tmp_path: Path) -> None:
    study = load_study(params(tmp_path, minimum_n=12))
    assert repr(study) == "<Study project_finance 2026Q3: lending_service>"
    assert study.minimum_n == 12
    assert study.title["zh"] == "项目融资"


def test_all_problems_of_a_file_come_in_one_message(tmp_path: Path) -> None:
    path = params(tmp_path, quarter="2026-Q5", minumum_n=5, draws="many", instrument=None)
    with pytest.raises(ParamsError) as caught:
        load_study(path)
    assert str(caught.value) == (
        f"{path}: 4 problems\n"
        "  - unknown key 'minumum_n'; did you mean 'minimum_n'?\n"
        "  - quarter: expected a year and a quarter such as 2026Q3, found '2026-Q5'\n"
        "  - instrument: expected a value, found none\n"
        "  - draws: input should be a valid integer, found 'many'\n"
        "  What to do: correct the params; `sqmodel check` tests them without running anything"
    )


def test_a_number_is_not_taken_for_a_text_nor_a_text_for_a_number(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="seed: input should be a valid integer, found '1'"):
        load_study(params(tmp_path, seed="1"))
    with pytest.raises(ParamsError, match="business_line: input should be a valid string, found 7"):
        load_study(params(tmp_path, business_line=7))


def test_unknown_criteria_are_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        load_study(params(tmp_path, criteria={"alfa": 0.8}))
    assert str(caught.value).splitlines()[1] == (
        "  - criteria: unknown criterion 'alfa'; did you mean 'alpha'?, found {'alfa': 0.8}"
    )


def test_a_missing_file_and_broken_yaml_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        load_study(tmp_path / "none.yaml")
    assert str(caught.value) == (
        f"{tmp_path / 'none.yaml'}: 1 problem\n  - expected a params file, found nothing at this path"
    )
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1", encoding="utf-8")
    with pytest.raises(ParamsError, match="expected YAML in UTF-8, found: while parsing"):
        load_study(broken)


def test_a_namespace_is_read_like_a_file() -> None:
    import math

    namespace = GOOD | {"math": math, "_i": "cell", "In": [], "Out": {}, "len": len, "seed": 3}
    assert load_study(namespace).seed == 3


def test_an_unknown_parameter_of_a_notebook_is_an_error_too() -> None:
    with pytest.raises(ParamsError) as caught:
        load_study(GOOD | {"quater": "2026Q3"})
    assert "  - unknown key 'quater'; did you mean 'quarter'?" in str(caught.value)


def test_the_notebook_declares_every_key_of_the_schema_with_its_default() -> None:
    import nbformat

    from tests.reporting.cells import NOTEBOOK

    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    source = next(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
    namespace: dict[str, object] = {}
    exec(source, namespace)
    declared = {k: v for k, v in namespace.items() if not k.startswith("__")}
    assert set(declared) == set(Study.model_fields)
    optional = {k: f for k, f in Study.model_fields.items() if not f.is_required()}
    defaults = {k: f.get_default(call_default_factory=True) for k, f in optional.items()}
    assert {k: declared[k] for k in defaults} == defaults


def test_a_plan_lists_every_quarter_of_every_line(tmp_path: Path) -> None:
    paths = [params(tmp_path), params(tmp_path, "b.yaml", business_line="corporate_lending")]
    tasks = make_plan(paths, expand_quarters(["2025Q4..2026Q1"]))
    assert [t.name for t in tasks] == [
        "2025Q4/corporate_lending",
        "2025Q4/project_finance",
        "2026Q1/corporate_lending",
        "2026Q1/project_finance",
    ]


def test_two_files_for_one_page_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        make_plan([params(tmp_path), params(tmp_path, "b.yaml")])
    assert str(caught.value) == (
        "params: 1 problem\n"
        "  - expected one params file for 2026Q3/project_finance, found a.yaml, b.yaml\n"
        "  What to do: correct the params files; nothing was run"
    )


def test_quarters_are_ranges_or_single_and_anything_else_is_named() -> None:
    assert expand_quarters(["2025Q3..2026Q1", "2025Q4"]) == ["2025Q3", "2025Q4", "2026Q1"]
    with pytest.raises(ParamsError) as caught:
        expand_quarters(["2026-Q5", "2026Q3..2026Q1"])
    assert str(caught.value) == (
        "--quarter: 2 problems\n"
        "  - expected a quarter such as 2026Q3 or a range such as 2025Q3..2026Q3, found '2026-Q5'\n"
        "  - expected the earlier quarter first, found '2026Q3..2026Q1'"
    )


def test_relative_paths_are_meant_from_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params").mkdir()
    deep = tmp_path / "notebooks"
    deep.mkdir()
    assert project_root(deep) == tmp_path
    (tmp_path / "params" / "x.csv").write_text("a", encoding="utf-8")
    monkeypatch.chdir(deep)
    study = load_study(GOOD | {"responses": "params/x.csv"})
    assert study.sources() == [("", str(tmp_path / "params" / "x.csv"))]


def test_a_file_for_each_quarter_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for quarter in ("2026Q1", "2026Q3", "2026Q4"):
        (tmp_path / f"a_{quarter}.csv").write_text("x", encoding="utf-8")
    study = load_study(GOOD | {"responses": "a_{quarter}.csv"})
    assert [q for q, _ in study.sources()] == ["2026Q1", "2026Q3"]


def test_another_placeholder_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"expected \{quarter\} as the only placeholder, found \{line\}"):
        load_study(GOOD | {"responses": "a_{line}.csv"})
