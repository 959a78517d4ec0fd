"""Params: what is checked before anything runs, message by message."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import yaml

from sqmodel.definitions import Text
from sqmodel.errors import InputError, ParamsError, ResponsesError
from sqmodel.index.scoring import build_index
from sqmodel.index.weighting import Method
from sqmodel.measurement.comparability import EFFECTS, VARIABLES, Comparability
from sqmodel.measurement.exploratory import explore
from sqmodel.measurement.measure import qualify
from sqmodel.reporting.making import cause_of
from sqmodel.reporting.params import public_source
from sqmodel.reporting.payload import payload
from sqmodel.reporting.plan import check, make_plan
from sqmodel.reporting.sources import expand_quarters, project_root
from sqmodel.reporting.study import Study, load_study
from sqmodel.reporting.words import say
from sqmodel.survey.instrument import Group
from sqmodel.survey.responses import Responses
from sqmodel.survey.screening import screen
from tests.measurement.test_comparability import survey
from tests.reporting.cells import DATA, desk_answers, run_page

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


def test_differences_are_not_tested_where_the_comparison_is_withheld(tmp_path: Path) -> None:
    answers = survey(mean=-0.5, sizes=(60, 60))
    codes = ["branch", "region"]
    groups = tuple(Group(code=code, title=Text(en=code)) for code in codes)
    instrument = answers.instrument.model_copy(update={"groups": groups})
    answers = Responses(instrument, answers.frame.assign(region=np.tile(["n", "s"], 60)))
    study = load_study(params(tmp_path))
    for statuses, tested in (
        (["comparable", "comparable"], codes),
        (["partial", "not assessed"], codes),
        (["not comparable", "comparable"], ["region"]),
        (["not comparable", "not comparable"], []),
    ):
        variables = pd.DataFrame({"group": codes, "status": statuses}, columns=VARIABLES)
        gate = Comparability(120, {}, variables, pd.DataFrame(columns=EFFECTS))
        index = build_index(qualify(answers, comparability=gate), rng=1, draws=100)
        assert [found.by for found in study.assess_differences(answers, index)] == tested


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


def test_shares_under_control_lie_between_0_and_1() -> None:
    with pytest.raises(ParamsError) as caught:
        load_study(GOOD | {"controllability": {"q1": 2, "wait_review": -0.5, "q2": 0.5}})
    assert [str(p) for p in caught.value.problems] == [
        "controllability.q1: input should be less than or equal to 1, found 2",
        "controllability.wait_review: input should be greater than or equal to 0, found -0.5",
    ]


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


INSTRUMENT = str(DATA / "second.instrument.yaml")
CHANNELS = {"channel": {"phone": 0.5, "mail": 0.3, "chat": 0.2}}


def desk(folder: Path, frame: pd.DataFrame | None = None, **changes: object) -> Study:
    """A study of the second questionnaire whose answers stand in `folder`."""
    frame = desk_answers(60, seed=4, quarters=("2026Q2", "2026Q3")) if frame is None else frame
    frame.to_csv(folder / "desk.csv", index=False)
    given = {"business_line": "desk", "quarter": "2026Q3", "instrument": INSTRUMENT, "draws": 200}
    return load_study(given | {"responses": str(folder / "desk.csv")} | changes)


SECRETS = {
    "postgresql+psycopg://amy:s3cret@db.bank/answers?sslpassword=k3y": "postgresql+psycopg://db.bank/answers",
    "mysql://amy:s3@cret@db.bank:3306/answers": "mysql://",
    "mysql://amy:s3/cr@et@db.bank/answers": "mysql://",
    "mssql+pyodbc:///?odbc_connect=PWD%3Ds3cret": "mssql+pyodbc:///",
    "mssql://db.bank/answers;PWD=s3cret": "mssql://db.bank/answers",
    "mysql://amy:s3cret": "mysql://",
    "amy:s3cret@mysql://x": "database",
    "sqlite:///params/data/answers.db": "sqlite:///params/data/answers.db",
    "params/data/a?b@c.csv": "params/data/a?b@c.csv",
}


@pytest.mark.parametrize("source", list(SECRETS))
def test_of_a_database_only_its_place_is_shown(source: str) -> None:
    assert public_source(source) == SECRETS[source]
    study = load_study(GOOD | {"responses": source, "query": "select * from clients"})
    assert study.public() == study.model_dump(mode="json", exclude={"query"}) | {"responses": SECRETS[source]}


def test_no_message_shows_the_password(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        load_study(GOOD | {"responses": "mysql://amy:{s3cret}@db.bank/answers"})
    assert str(caught.value).splitlines()[1] == (
        "  - responses: expected {quarter} as the only placeholder, found another one, found 'mysql://db.bank/answers'"
    )
    with pytest.raises(ParamsError, match="query: input should be a valid string, found list"):
        load_study(GOOD | {"query": ["select 'amy'"]})
    study = load_study(GOOD | {"responses": "nosuch://amy:s3cret@db.bank/answers", "query": "select 1"})
    with pytest.raises(ResponsesError, match=r"^nosuch://db\.bank/answers: 1 problem\n") as failed:
        study.read_all()
    assert "amy" not in str(failed.value)
    assert "s3cret" not in str(failed.value)


def test_neither_password_nor_sql_reaches_the_record_or_an_error(tmp_path: Path) -> None:
    database = tmp_path / "desk.db"
    with sqlite3.connect(database) as connection:
        desk_answers(200, seed=4).to_sql("clients", connection, index=False)
    url = f"sqlite:///{database}?timeout=7"
    given = {"instrument": INSTRUMENT, "business_line": "desk", "responses": url, "query": "select * from clients"}
    content = payload(run_page(**given, quarter="2026Q3", draws=200)).content
    assert content["study"]["responses"] == f"sqlite:///{database}"
    assert "timeout=7" not in str(content)
    assert "select" not in str(content)
    with pytest.raises(ParamsError) as caught:
        load_study(given | {"quarter": "2026Q4"}).read()
    assert str(caught.value).splitlines()[1] == (
        f"  - expected answers of 2026Q4 in sqlite:///{database}, found 2026Q3"
    )


def test_raking_is_on_record_for_every_quarter(tmp_path: Path) -> None:
    study = desk(tmp_path, margins=CHANNELS)
    answers = study.read()
    changes = study.calibrate(answers).reading.changes
    assert len(changes) == len(answers.reading.changes) + 2
    raked = changes[changes["kind"] == "raked"]
    assert raked["column"].tolist() == ["2026Q2: sample_weight", "2026Q3: sample_weight"]
    assert raked["count"].tolist() == [60, 60]
    assert raked["examples"].str.startswith("converged after ").all()


def test_the_comparison_without_exclusions_is_raked_too(tmp_path: Path) -> None:
    frame = desk_answers(200, seed=4)
    ratings = [c for c in frame if c.startswith("q") and c != "quarter"]
    frame.loc[frame.index[:20], ratings[:8]] = None
    study = desk(tmp_path, frame, margins=CHANNELS)
    page = run_page(**study.model_dump(exclude_unset=True))
    assert "raked" in page.reading.changes["kind"].tolist()
    assert page.index.excluded == 20
    answers = study.read()
    raked = study.calibrate(answers).of("2026Q3")
    scores = raked.dimension_scores()
    expected = [scores[d].dropna() @ raked.sample_weight[scores[d].notna()] for d in scores]
    totals = [raked.sample_weight[scores[d].notna()].sum() for d in scores]
    found = page.index.unscreened
    assert found is not None
    assert found.value == pytest.approx(sum(e / t for e, t in zip(expected, totals, strict=True)) / 3)


def quarterly(folder: Path, frames: dict[str, pd.DataFrame], **changes: object) -> Study:
    for quarter, frame in frames.items():
        (folder / quarter).mkdir()
        frame.to_csv(folder / quarter / "desk.csv", index=False)
    return desk(folder, responses="{quarter}/desk.csv", **changes)


def test_files_of_several_quarters_are_read_as_one_with_nothing_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = {q: desk_answers(60, seed=4, quarters=(q,)).drop(columns="quarter") for q in ("2026Q2", "2026Q3")}
    study = quarterly(tmp_path, {"2026Q2": frames["2026Q2"].assign(note="x"), "2026Q3": frames["2026Q3"]})
    reading = study.read().reading
    assert (reading.source, reading.rows) == ("{quarter}/desk.csv", 120)
    assert reading.changes.to_numpy().tolist() == [
        ["columns not used", "2026Q2/desk.csv", 1, "note"],
        ["quarter filled", "2026Q2/desk.csv: quarter", 60, "2, 3, 4, 5, 6"],
        ["quarter filled", "2026Q3/desk.csv: quarter", 60, "2, 3, 4, 5, 6"],
    ]
    digests = study.digests()
    assert list(digests) == ["2026Q2/desk.csv", "2026Q3/desk.csv", "instrument second.instrument.yaml"]
    for name in ("2026Q2/desk.csv", "2026Q3/desk.csv"):
        assert digests[name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_absolute_paths_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    frames = {q: desk_answers(60, seed=4, quarters=(q,)) for q in ("2026Q2", "2026Q3")}
    quarterly(tmp_path, frames)
    study = desk(tmp_path, responses=str(tmp_path / "{quarter}" / "desk.csv"))
    assert list(study.digests())[:2] == ["2026Q2/desk.csv", "2026Q3/desk.csv"]
    assert next(iter(desk(tmp_path).digests())) == "desk.csv"


def test_an_answer_in_two_files_or_in_a_wrong_one_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    now = desk_answers(60, seed=4)
    then = pd.concat([desk_answers(60, seed=4, quarters=("2026Q2",)), now.head(2)])
    study = quarterly(tmp_path, {"2026Q2": then, "2026Q3": now})
    with pytest.raises(ResponsesError) as caught:
        study.read()
    where = "(in 2026Q2/desk.csv, 2026Q3/desk.csv)"
    assert str(caught.value) == (
        "{quarter}/desk.csv: 2 problems\n"
        "  - 2026Q2/desk.csv: expected answers of 2026Q2 only, found some of: 2026Q3 (n=2)\n"
        "  - expected each respondent once in a quarter, found in several files: "
        f"2026Q3-0 of 2026Q3 {where}, 2026Q3-1 of 2026Q3 {where}\n"
        "  What to do: put each answer once, into the file of its quarter"
    )


WRONG = {
    "drop_items": (["q10", "q4", "q5", "q6"], [
        "drop_items: expected items of desk_service, found 'q10'; did you mean 'q1'?",
        "drop_items: expected an item left in dimension 'CARE', found none",
    ]),
    "controllability": ({"q1": 0.5, "q22": 0.5, "profit": 1.0, "wait_review": 0.4}, [
        "controllability: expected scored items of desk_service, wait_..., rework_..., breach_..., standard_..., found "
        "'q22'; did you mean 'q2'?",
        "controllability: expected scored items of desk_service, wait_..., rework_..., breach_..., standard_..., found "
        "'profit'",
    ]),
    "exclude": (["long"], [
        "exclude: expected flags among longstring, irv, mahalanobis, even_odd, duplicate, share_missing, too_fast, "
        "found 'long'",
    ]),
    "strata": ("region", ["strata: expected a group variable of the answers (channel), found 'region'"]),
    "margins": ({"region": {"a": 1.0}, "channel": {"phone": 0.5, "mail": 0.3, "letter": 0.2}}, [
        "margins: margin region: expected a grouping variable of the answers, which have channel (2026Q2, 2026Q3)",
        "margins: margin channel: expected respondents of every value, found none of: letter (2026Q2, 2026Q3)",
        "margins: margin channel: expected a share above 0 for every value, found none for: chat (n=15) (2026Q2)",
        "margins: margin channel: expected a share above 0 for every value, found none for: chat (n=25) (2026Q3)",
    ]),
    "weighting": ("given", [
        *(f"weights: expected a weight for dimension {d!r}, found none" for d in ("SPEED", "CARE", "SKILL")),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("key", list(WRONG))
def test_params_that_do_not_fit_the_answers_are_told_before_anything_runs(tmp_path: Path, key: str) -> None:
    value, problems = WRONG[key]
    with pytest.raises(ParamsError) as caught:
        desk(tmp_path, **{key: value}).read()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"desk 2026Q3: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    assert lines[1:-1] == [f"  - {p}" for p in problems]
    assert lines[-1] == "  What to do: correct the params; nothing was run"


def test_problems_of_several_keys_come_together(tmp_path: Path) -> None:
    study = desk(tmp_path, strata="region", weighting="given", weights={"SPEED": 1.0, "CARE": -1.0, "SKIL": 1.0})
    with pytest.raises(ParamsError) as caught:
        study.read()
    assert [str(p) for p in caught.value.problems] == [
        "strata: expected a group variable of the answers (channel), found 'region'",
        "weights: expected a weight for dimension 'SKILL', found none",
        "weights: expected a dimension among SPEED, CARE, SKILL, found 'SKIL'",
        "weights: expected a weight of at least 0 for 'CARE', found -1.0",
    ]


def test_weights_that_the_answers_cannot_give_are_refused(tmp_path: Path) -> None:
    frame = desk_answers(60, seed=4).drop(columns="happy")
    with pytest.raises(ParamsError, match="weighting by regression: expected an overall satisfaction question"):
        desk(tmp_path, frame, weighting="regression").read()
    with pytest.raises(ParamsError, match="weighting by shapley: expected an overall satisfaction question"):
        desk(tmp_path, frame, weighting="shapley").read()
    with pytest.raises(ParamsError, match="weighting by allocation: expected the importance columns"):
        desk(tmp_path, frame, weighting="allocation").read()


def test_every_way_of_weighting_is_a_param_and_has_words(tmp_path: Path) -> None:
    assert get_args(Study.model_fields["weighting"].annotation) == get_args(Method)
    for method in get_args(Method):
        words = say(f"weighting_{method}")
        assert words["zh"] != words["en"]
    assert len(desk(tmp_path, weighting="critic").read()) > 0


def test_a_value_that_screening_empties_is_told(tmp_path: Path) -> None:
    frame = desk_answers(60, seed=4)
    ratings = [c for c in frame if c.startswith("q") and c != "quarter"]
    frame.loc[frame["channel"] == "chat", ratings[:8]] = None
    study = desk(tmp_path, frame, margins=CHANNELS)
    with pytest.raises(ParamsError) as caught:
        study.read()
    assert [str(p) for p in caught.value.problems] == [
        "margins: margin channel: expected respondents of every value, found none of: chat (2026Q3 after screening)"
    ]
    assert screen(study.read_all()).excluded.any()


def test_a_column_map_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        desk(tmp_path, columns="no.columns.yaml").read()
    assert str(caught.value) == (
        "desk 2026Q3: 1 problem\n  - columns: expected a column map, found no file at no.columns.yaml\n"
        "  What to do: correct the path"
    )


def test_an_item_that_is_not_scored_need_not_be_scorable(tmp_path: Path) -> None:
    frame = desk_answers(200, seed=4).assign(q3=4)
    with pytest.raises(ResponsesError, match=r"found one answer to: q3 \(always 4\)"):
        desk(tmp_path, frame).read()
    study = desk(tmp_path, frame, drop_items=["q3"])
    page = run_page(**study.model_dump(exclude_unset=True))
    assert page.exploration.kmo.index.tolist() == study.kept_items
    assert page.exploration.settings["items"] == study.kept_items
    assert "q3" not in page.exploration.loadings.index


def test_a_key_that_stands_twice_is_a_problem(tmp_path: Path) -> None:
    path = params(tmp_path)
    text = path.read_text(encoding="utf-8") + "minimum_n: 5\nminimum_n: 50\ncriteria: {alpha: 0.7, alpha: 0.1}\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_study(path)
    assert str(caught.value) == (
        f"{path}: 2 problems\n  - key 'minimum_n' occurs 2 times\n  - key 'criteria.alpha' occurs 2 times\n"
        "  What to do: correct the params; `sqmodel check` tests them without running anything"
    )


class CellError(Exception):
    """Like papermill's: name and text of a cell's error."""

    def __init__(self, ename: str, evalue: str) -> None:
        self.ename, self.evalue = ename, evalue
        super().__init__(evalue)


def test_the_type_of_a_foreign_error_is_part_of_its_cause() -> None:
    assert cause_of(CellError("KeyError", "'exp1'")) == "KeyError: 'exp1'"
    assert cause_of(CellError("ParamsError", "desk: 1 problem")) == "desk: 1 problem"
    assert cause_of(KeyError("exp1")) == "KeyError: 'exp1'"
    assert cause_of(ParamsError("desk", ["x"])) == "desk: 1 problem\n  - x"


def test_a_bad_file_of_one_quarter_spoils_only_the_quarters_that_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = {q: desk_answers(60, seed=4, quarters=(q,)) for q in ("2026Q2", "2026Q3")}
    quarterly(tmp_path, frames | {"2026Q4": pd.DataFrame()})
    path = params(tmp_path, business_line="desk", instrument=INSTRUMENT, responses="{quarter}/desk.csv")
    checked = check(make_plan([path], ["2026Q2", "2026Q3", "2026Q4"]))
    found, failed = checked.found, checked.failed
    assert found == {"2026Q2/desk": "60 answers, 0 earlier quarters", "2026Q3/desk": "60 answers, 1 earlier quarters"}
    assert list(failed) == ["2026Q4/desk"]


def test_a_stale_file_is_not_published_as_another_quarter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    desk(tmp_path, desk_answers(60, seed=4).drop(columns="quarter"))
    path = params(tmp_path, business_line="desk", instrument=INSTRUMENT, responses="desk.csv")
    checked = check(make_plan([path], ["2026Q3", "2026Q4"]))
    found, failed = checked.found, checked.failed
    assert found == {"2026Q3/desk": "60 answers, 0 earlier quarters"}
    assert {name: str(error) for name, error in failed.items()} == {
        "2026Q4/desk": "2026Q4/desk: 1 problem\n"
        "  - expected a quarter column in desk.csv, or {quarter} in `responses`, found 60 answers without a quarter\n"
        "  What to do: add one of them, or set `quarter` in a.yaml: "
        "--quarter alone would publish a stale file as 2026Q4"
    }


def test_unknown_items_to_explore_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        explore(desk(tmp_path).read(), items=["q1", "q2", "q99"])
    assert str(caught.value) == "explore: 1 problem\n  - items: expected items of the answers, found 'q99'"
