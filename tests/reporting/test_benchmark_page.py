"""The public report of a benchmark: whole in both languages, no claim beyond the data, nothing that gives away."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import openpyxl
import pandas as pd
import pytest

from sqmodel.reporting.benchmark_page import BenchmarkPage
from sqmodel.reporting.benchmark_params import BenchmarkParams, load_benchmark_params
from sqmodel.reporting.benchmark_parts import MOST, funnel_curves
from sqmodel.reporting.benchmark_versions import own_version
from sqmodel.reporting.gate import Expected, inspect
from sqmodel.reporting.making import render
from sqmodel.reporting.tables import companions
from tests.reporting.cells import ROOT, executed
from tests.reporting.comparisons import FILE, QUARTER, multiplied, public_page, whole
from tests.reporting.visits import Visit

NOTEBOOK = ROOT / "notebooks" / "benchmark.ipynb"
SECTIONS = ("headline", "overview", "standing", "dimensions", "operations", "peers", "comparability", "limits",
            "provenance")  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "names": {"biased": 2, "verdict": "doubtful"},
    "codes": {"codes": True, "biased": 2, "verdict": "doubtful"},
    "refused": {"verdict": "not comparable", "quarters": (QUARTER,)},
    "three": {"institutions": 3, "quarters": (QUARTER,)},
    "equal": {"between": 0.0, "operations": 0.0, "case_mix": 0.0, "quarters": (QUARTER,)},
}
MOST_BYTES = 500_000


def text(html: str) -> str:
    """The English words of a section."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r'<span lang="zh-CN">.*?</span>', "", html)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The public's file of every kind of benchmark."""
    base = tmp_path_factory.mktemp("benchmarks")
    for kind, options in KINDS.items():
        public_page(base / kind, whole(**options))
    return {kind: base / kind for kind in KINDS}


@pytest.fixture(scope="module")
def pages(folders: dict[str, Path]) -> dict[str, BenchmarkPage]:
    found = {}
    for kind, folder in folders.items():
        params = load_benchmark_params({"quarter": QUARTER, "results": str(folder / FILE)})
        found[kind] = BenchmarkPage(params, params.version.benchmark)
    return found


@pytest.fixture(scope="module")
def published(folders: dict[str, Path]) -> dict[str, tuple[str, dict[str, bytes]]]:
    """Pages and their files, past the gate."""
    found = {}
    found_whole = whole(**KINDS["names"])
    own = sorted(found_whole.benchmark.standing.dropna(subset=["rank"])["institution"])[3]
    (folders["names"] / "own.json").write_bytes(own_version(found_whole, own).encode())
    asked = {kind: {"results": str(folders[kind] / FILE)} for kind in ("names", "codes", "refused")}
    asked["own"] = {"results": str(folders["names"] / "own.json"), "institution": own}
    for kind, named in asked.items():
        given = named | {"quarter": QUARTER, "page_language": "en"}
        page, files, notes, counts = render(executed(NOTEBOOK, **given))
        assert notes == ()
        assert inspect(page, Expected(**counts, files=tuple(files), most_bytes=MOST_BYTES)) == []
        found[kind] = (page, files)
    return found


def test_the_notebook_asks_shows_and_explains_every_section() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    shown = [re.fullmatch(r"page\.(\w+)\(\)", c.source.splitlines()[-1]) for c in cells if c.cell_type == "code"]
    assert [m[1] for m in shown if m] == [*SECTIONS, "record"]
    prose = [c.source for c in cells if c.cell_type == "markdown"][1:]
    questions = [s for s in prose if s.startswith("## ")]
    for source in questions:
        heading, zh, en = source.split("\n\n")
        assert " | " in heading
        assert zh.endswith("？")
        assert en.endswith("?")
    explained = [s.split("\n\n") for s in prose if s not in questions]
    assert (len(questions), len(explained)) == (len(SECTIONS) - 1, len(SECTIONS) - 2)
    assert all(zh.startswith("怎么读：") and en.startswith("How to read this: ") for zh, en in explained)


def test_the_notebooks_parameters_are_the_keys_of_the_params() -> None:
    cell = next(c for c in nbformat.read(NOTEBOOK, as_version=4).cells if "parameters" in c.metadata.get("tags", []))
    assert re.findall(r"^(\w+):", cell.source, re.MULTILINE) == list(BenchmarkParams.model_fields)
    namespace: dict[str, Any] = {}
    exec(cell.source, namespace)
    shown = load_benchmark_params(namespace)
    assert shown == load_benchmark_params({"quarter": shown.quarter, "results": shown.results})


@pytest.mark.parametrize("kind", KINDS)
def test_every_section_is_whole_in_both_languages(pages: dict[str, BenchmarkPage], kind: str) -> None:
    for name in SECTIONS:
        html = getattr(pages[kind], name)().html
        assert html.count('lang="zh-CN"') >= html.count('<span lang="en"') > 0, name
        assert not {"nan", "None", "inf"} & set(re.findall(r"\w+", text(html))), name
    assert pages[kind].record().content["schema"] == "sqmodel.benchmark/1"


def test_the_headline_claims_what_rank_sets_carry_and_no_more(pages: dict[str, BenchmarkPage]) -> None:
    found = pages["names"].benchmark
    first = found.standing.loc[found.standing["best_all"] == 1, "institution"]
    assert 1 < len(first) < found.institutions
    assert f"Any of {len(first)} of the {found.institutions} institutions may rank first" in text(
        pages["names"].headline().html
    )
    overall = found.overall.set_index("scope").loc["overall"]
    assert f"average {overall['mean']:.1f} of 100 (95% interval {overall['low']:.1f}–{overall['high']:.1f})" in text(
        pages["names"].headline().html
    )
    equal = pages["equal"]
    assert (equal.benchmark.standing["best_all"] == 1).all()
    told = text(equal.headline().html)
    assert "The 24 institutions cannot be told apart" in told
    assert "They really differ" not in told
    assert "no rank should be quoted" in text(equal.standing().html)
    assert 'class="fo"' not in equal.standing().html.split("figure-bench-ranks")[1].split("</figure>")[0]


def test_a_single_possible_first_is_surely_first(pages: dict[str, BenchmarkPage], tmp_path: Path) -> None:
    page = pages["names"]
    standing = page.benchmark.standing.copy()
    leader = standing.loc[standing["rank"].idxmin(), "institution"]
    own = standing["institution"] == leader
    standing.loc[own, ["best", "worst", "best_all", "worst_all"]] = 1.0
    standing.loc[~own & (standing["best_all"] == 1), "best_all"] = 2.0
    sure = BenchmarkPage(page.params, _with(page, standing=standing))
    name = page.params.version.labels.institution(leader)["en"]
    assert f"{name} ranks first, and surely so" in text(sure.headline().html)
    assert f"At 95% confidence {name} alone is surely ahead of all others" in text(sure.headline().html)


def _with(page: BenchmarkPage, **changes: Any) -> Any:
    return replace(page.benchmark, **changes)


def test_without_comparability_nobody_is_ordered(pages: dict[str, BenchmarkPage], published: dict[str, Any]) -> None:
    page = pages["refused"]
    assert page.benchmark.institutions == 0
    html, files = published["refused"]
    assert "No ranks this quarter: the same answers do not mean the same everywhere" in html
    standing = page.standing().html
    assert "<figure" not in standing
    codes = [page.params.version.labels.institution(c)["en"] for c in sorted(page.benchmark.standing["institution"])]
    places = [text(standing).index(f"{c} ") for c in codes]
    assert places == sorted(places)
    ranks = json.loads(files["results.json"])["results"]["benchmark"]["standing"]
    at = [ranks["columns"].index(c) for c in ("rank", "best_all", "worst_all", "shrunken")]
    assert {row[j] for row in ranks["data"] for j in at} == {None}


def test_scores_ranks_and_places_are_those_of_the_benchmark(pages: dict[str, BenchmarkPage]) -> None:
    page = pages["names"]
    html = page.standing().html
    row = page.benchmark.standing.dropna(subset=["rank"]).sort_values("rank").iloc[4]
    told = text(html)
    assert f"{row['adjusted']:.1f} [" in told
    assert f"{row['best_all']:.0f}–{row['worst_all']:.0f}" in told
    assert html.index("figure-bench-scores") < html.index("figure-bench-ranks") < html.index("figure-bench-funnel")
    outside = int((~page.benchmark.standing["funnel"].isin(["", "within"])).sum())
    assert ("lie within the limits" in told) == (outside == 0)
    beyond = page.benchmark.gate.biased.query("withheld")["institution"]
    names = [page.params.version.labels.institution(c)["en"] for c in beyond]
    assert len(names) == 2
    for name in names:
        assert name in text(page.comparability().html)
        assert name not in html
    assert "Institutions without a rank: 2 (items mean something else there, or this cannot be decided)" in text(
        page.limits().html
    )


def test_blind_codes_give_no_institution_away(pages: dict[str, BenchmarkPage], published: dict[str, Any]) -> None:
    page, files = published["codes"]
    # In the font's outlines any letters can follow one another.
    page = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    real = [f"I{i:02d}" for i in range(1, 25)]
    blind = set(pages["codes"].benchmark.standing["institution"])
    assert len(blind) == len(real) == 24
    record = files["results.json"].decode()
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    sheets = " ".join(str(v) for sheet in book for row in sheet.iter_rows(values_only=True) for v in row)
    for name, content in (("page", page), ("results.json", record), ("tables.xlsx", sheets)):
        assert "Realname" not in content, name
        assert "真名" not in content, name
        assert [c for c in real if re.search(rf"\b{c}\b", content)] == [], name
        assert any(code in content for code in blind), name
    # Numbers of cases would tell who is who, so that no institution has its indicators told.
    assert json.loads(record)["results"]["benchmark"]["indicators"]["data"] == []
    assert "figure-bench-funnel-complaints" not in page


@pytest.mark.parametrize("kind", ["names", "codes", "refused"])
def test_receipts_tell_numbers_only(published: dict[str, Any], kind: str) -> None:
    page, files = published[kind]
    for content in (page, files["results.json"].decode()):
        assert ".zip" not in content
        assert "expected revision" not in content
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    earlier = [] if kind == "refused" else [("2026Q2", 24, 0)]
    assert list(book["benchmark_receipts"].iter_rows(values_only=True)) == [
        ("quarter", "accepted", "refused"), *earlier, ("2026Q3", 24, 1),
    ]  # fmt: skip


def test_a_withheld_group_has_no_figure_even_where_the_table_holds_it(pages: dict[str, BenchmarkPage]) -> None:
    page = pages["names"]
    peers = page.benchmark.peers.copy()
    peers.loc[0, ["n", "mean", "low", "high", "tau", "withheld"]] = [4321.0, 12.3, 11.1, 13.7, 9.8, "p_percent"]
    told = text(BenchmarkPage(page.params, _with(page, peers=peers)).peers().html)
    for figure in ("4,321", "12.3", "11.1", "13.7", "9.8"):
        assert figure not in told
    assert "the largest could be worked out" in told


def test_waiting_is_told_of_all_by_stage_and_of_no_single_institution(pages: dict[str, BenchmarkPage]) -> None:
    page = pages["names"]
    waiting = page.benchmark.waiting
    single = waiting[waiting["scope"] == "overall"].assign(scope="I05", waiting=0.777)
    both = BenchmarkPage(page.params, _with(page, waiting=pd.concat([waiting, single], ignore_index=True)))
    html = both.operations().html
    assert html == page.operations().html
    drawn = html.split("figure-bench-waiting")[1]
    places = [drawn.index(title) for title in ("资格审查", "授信审批", "Qualification review", "Credit approval")]
    assert places[0] < places[1]
    assert "The longest wait is for “Credit approval”" in text(html)
    scopes = set(both.record().content["results"]["benchmark"]["waiting"]["index"])
    assert scopes == {"overall", "peers:national", "peers:city", "peers:rural"}


def test_what_is_withheld_is_counted_by_rule_and_not_named(pages: dict[str, BenchmarkPage]) -> None:
    rows = [("peers", "secretgroup", "dominance"), ("peers", "other", "dominance"), ("waiting", "a:b", "minimum n")]
    page = pages["names"]
    withheld = pd.DataFrame(rows, columns=["table", "cell", "rule"])
    html = BenchmarkPage(page.params, _with(page, withheld=withheld)).limits().html
    assert "secretgroup" not in html
    assert "peer groups a few institutions dominate 2" in text(html)
    assert "waiting times too few cases 1" in text(html)


def test_a_thousand_institutions_fit_on_a_page(pages: dict[str, BenchmarkPage]) -> None:
    page = pages["names"]
    many = BenchmarkPage(page.params, _with(page, **multiplied(page.benchmark, 42)))
    assert len(many.benchmark.standing) > 1000
    sections = {name: getattr(many, name)().html for name in SECTIONS}
    assert sum(len(html.encode()) for html in sections.values()) < MOST_BYTES
    assert sections["standing"].count("<tr>") < 4 * MOST
    assert f"charts and tables show the {MOST} at both ends" in text(sections["standing"])


def test_a_funnels_limits_are_those_that_gave_the_places(pages: dict[str, BenchmarkPage]) -> None:
    table = pages["names"].benchmark.indicators
    for code, factor in (("complaints", 1000.0), ("within_limit", 1.0)):
        own = table[table["indicator"] == code]
        curves = funnel_curves(
            own["kind"].iloc[0], own["value"].tolist(), own["n"].tolist(), own["overall"].iloc[0], factor=factor
        )
        for bound, limit in (("inner_low", "lower_limit"), ("inner_high", "upper_limit")):
            drawn = np.interp(own["n"], curves["size"], curves[bound])
            assert drawn == pytest.approx(own[limit].to_numpy(), rel=0.02), (code, bound)


def test_the_record_and_its_tables_name_what_they_hold(pages: dict[str, BenchmarkPage]) -> None:
    files = companions(pages["names"].record().content)
    record = json.loads(files["results.json"])
    assert (record["name"], record["quarter"], record["institution"]) == ("lending_association", QUARTER, "")
    assert record["verdict"] == "doubtful"
    assert list(record["inputs"]) == [FILE]
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    assert {"benchmark_standing", "benchmark_overall", "benchmark_peers", "gate_biased"} <= set(book.sheetnames)
    rows = list(book["benchmark_standing"].iter_rows(values_only=True))
    assert rows[0][:3] == ("institution", "label", "peers")
    assert rows[1][1].startswith("真名银行")


@pytest.fixture
def visit(browser: Any, published: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    made: list[Visit] = []

    def go(kind: str, **options: Any) -> Visit:
        path = tmp_path / f"{kind}.html"
        path.write_text(published[kind][0], encoding="utf-8")
        made.append(Visit(browser, path, **options))
        return made[-1]

    yield go
    for one in made:
        one.context.close()


@pytest.mark.parametrize(
    ("kind", "width", "scheme"), [("names", 360, "dark"), ("names", 1280, "light"), ("own", 360, "light")]
)
def test_axe_finds_nothing_and_nothing_leaves_the_page(visit: Any, kind: str, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    seen = visit(kind, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    seen.page.evaluate("open => document.querySelectorAll('details').forEach(d => d.open = open)", width > 700)
    for language in ("zh", "en"):
        seen.page.click(f"label[for=sq-{language}]")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        outside = seen.page.evaluate(
            """[...document.querySelectorAll('figure svg')].filter(s => s.getClientRects().length).flatMap(s => {
               const frame = s.getBoundingClientRect();
               return [...s.querySelectorAll('text')].filter(t => {
                 const b = t.getBoundingClientRect();
                 return b.left < frame.left - 2 || b.right > frame.right + 2;
               }).map(t => t.textContent); })"""
        )
        assert outside == []
        context = {"exclude": [["figure svg > *"]]}
        # Every word is judged once in the light, in the dark those that are not folded away.
        options = {"preload": False, "resultTypes": ["violations"]}
        found = Axe().run(seen.page, context=context, options=options).response
        told = [(v["id"], n["target"], n["failureSummary"]) for v in found["violations"] for n in v["nodes"]]
        assert not told, (len(told), told[:5])
    assert (seen.asked, seen.complaints) == ([], [])
