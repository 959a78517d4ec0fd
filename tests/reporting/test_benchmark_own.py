"""The confidential report: it claims no more than sets and intervals do, and says what the data cannot."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sqmodel.benchmark.assess import assess_benchmark
from sqmodel.benchmark.assess_composite import profile_tree
from sqmodel.benchmark.blind import blind_codes
from sqmodel.benchmark.comparison import Benchmark
from sqmodel.benchmark.content import Withheld
from sqmodel.benchmark.profile import load_profile
from sqmodel.benchmark.simulate import Simulation, simulate_association
from sqmodel.errors import ParamsError, RunError
from sqmodel.reporting import benchmark_own
from sqmodel.reporting.benchmark_page import BenchmarkPage
from sqmodel.reporting.benchmark_params import BenchmarkParams, load_benchmark_params, read_version
from sqmodel.reporting.benchmark_versions import Whole, own_version, public_version, withheld_by

SECTIONS = ("headline", "overview", "standing", "dimensions", "operations", "peers", "comparability", "limits",
            "provenance")  # fmt: skip
QUARTERS = ("2026Q2", "2026Q3")


@pytest.fixture(scope="module")
def simulated() -> Simulation:
    return simulate_association(14, quarters=QUARTERS, respondents=[*[150] * 13, 20], rng=5)


@pytest.fixture(scope="module")
def whole(simulated: Simulation) -> Whole:
    named, register = load_profile("lending_association"), simulated.register
    publication = named.publication.model_copy(update={"names": "codes"})
    profile = named.model_copy(update={"publication": publication})
    receipts = pd.DataFrame(
        [("a.zip", "I01", "2026Q3", 0, True, ""), ("=b.zip", "I01", "2026Q3", 1, False, "<b>wrong</b>"),
         ("c.zip", "I02", "2026Q3", 0, False, "about I03")],
        columns=["file", "institution", "quarter", "revision", "accepted", "reason"],
    )  # fmt: skip
    submissions = [replace(s, withheld=(Withheld("counts", "exp1:7", "minimum_n"),)) for s in simulated.submissions]
    benchmark = assess_benchmark(submissions, profile, register, quarter="2026Q3", receipts=receipts, draws=300)
    codes = blind_codes([m.code for m in register.members], b"a secret of sixteen bytes or more")
    return Whole(benchmark, profile, register, profile_tree(profile), codes, withheld_by(submissions, "2026Q3"))


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[Whole, str], BenchmarkPage]:
    """The page of an institution, from its version's file."""

    def page(whole: Whole, institution: str) -> BenchmarkPage:
        path = tmp_path / f"{institution}.json"
        path.write_bytes(own_version(whole, institution).encode())
        params = BenchmarkParams(quarter="2026Q3", results=str(path), institution=institution)
        return BenchmarkPage(params, params.version.benchmark)

    return page


def english(html: str) -> str:
    """The English words of a section."""
    shown = re.sub(r"<[^>]*>", " ", re.sub(r'<span lang="zh-CN">.*?</span>', "", html))
    return " ".join(shown.split())


def changed(whole: Whole, institution: str, **values: object) -> Whole:
    """The same comparison with other values in an institution's standing."""
    table = whole.benchmark.standing.copy()
    for column, value in values.items():
        table.loc[table["institution"] == institution, column] = value
    return replace(whole, benchmark=replace(whole.benchmark, standing=table))


def test_a_version_is_read_as_it_was_written_and_by_its_reader_only(whole: Whole, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    made = own_version(whole, "I01")
    path.write_bytes(made.encode())
    params = BenchmarkParams(quarter="2026Q3", results=str(path), institution="I01")
    assert read_version(params).encode() == made.encode()
    for other, wanted in (("I02", "I02"), ("", "the public")):
        with pytest.raises(RunError) as caught:
            read_version(params.model_copy(update={"institution": other}))
        assert str(caught.value) == (
            f"{path}: expected the version for {wanted}, found the one for I01; make the pages with "
            "`sqmodel benchmark`, which writes these params itself"
        )
    with pytest.raises(RunError, match="expected the benchmark of 2026Q2, found the one of 2026Q3"):
        read_version(params.model_copy(update={"quarter": "2026Q2"}))


def test_all_problems_of_params_are_told_at_once() -> None:
    with pytest.raises(ParamsError) as caught:
        load_benchmark_params({"quarter": "2026", "reslts": "x", "simulated": "yes", "page_language": "fr"})
    assert str(caught.value) == (
        "parameters: 5 problems\n"
        "  - unknown key 'reslts'; did you mean 'results'?\n"
        "  - quarter: expected a year and a quarter such as 2026Q3, found '2026'\n"
        "  - results: expected a value, found none\n"
        "  - page_language: input should be 'zh' or 'en', found 'fr'\n"
        "  - simulated: input should be a valid boolean, found 'yes'\n"
        "  What to do: make the pages with `sqmodel benchmark`, which writes these params itself"
    )


def test_an_own_version_holds_own_rows_and_what_rests_on_enough(whole: Whole) -> None:
    version = own_version(whole, "I01")
    cut = version.benchmark
    for table in (cut.standing, cut.scopes, cut.indicators, cut.history, cut.receipts, cut.gate.biased):
        assert set(table["institution"]) == {"I01"}
    peers = str(cut.standing["peers"].iloc[0])
    assert set(cut.waiting["scope"]) == {"I01", "overall", f"peers:{peers}"}
    assert set(version.labels.institutions) == {"I01"}
    assert version.withheld.to_numpy().tolist() == [["counts", "exp1:7", "minimum_n"]]
    least = whole.profile.disclosure.minimum_institutions
    shown = version.distribution
    assert {"", peers} >= set(shown["peers"])
    assert ((shown["level"] * shown["institutions"]) >= least - 1e-9).all()
    assert (((1 - shown["level"]) * shown["institutions"]) >= least - 1e-9).all()
    assert len(shown[shown["scope"] == "overall"]) >= 3
    text = version.encode().decode()
    for other in (m.code for m in whole.register.members if m.code != "I01"):
        assert f'"{other}"' not in text
        assert not re.search(rf"\b{other}\b", text)


def test_the_public_version_has_blind_codes_in_their_own_order_or_names(whole: Whole) -> None:
    blind = public_version(whole)
    codes = list(blind.benchmark.standing["institution"])
    assert codes == sorted(codes)
    # The one that is too small to be shown has no code: it would tell as much of its other quarters.
    assert set(codes) - {""} == {whole.blind[c] for c in whole.institutions if c != "I14"}
    assert not re.search(r"\bI\d\d\b|Simulated institution", blind.encode().decode())
    assert len(blind.benchmark.receipts) == 3
    groups = blind.benchmark.standing["peers"].value_counts().drop("", errors="ignore")
    assert (groups >= whole.profile.disclosure.minimum_institutions).all()
    back = {b: c for c, b in whole.blind.items()} | {"": "I14"}
    first = blind.benchmark.standing.set_index("institution")["score"].rename(back).sort_index()
    exact = whole.benchmark.standing.set_index("institution")["score"].sort_index()
    pd.testing.assert_series_equal(first, exact.round(1))
    publication = whole.profile.publication.model_copy(update={"names": "names"})
    named = public_version(replace(whole, profile=whole.profile.model_copy(update={"publication": publication}),
                                   blind={}))  # fmt: skip
    assert list(named.benchmark.standing["institution"]) == list(whole.benchmark.standing["institution"])
    assert set(named.labels.institutions) == set(whole.institutions)
    assert set(named.benchmark.receipts["reason"]) == {""}


def test_every_section_is_there_in_both_languages(whole: Whole, page_of: Callable[[Whole, str], BenchmarkPage]) -> None:
    page = page_of(whole, "I01")
    for name in SECTIONS:
        html = getattr(page, name)().html
        assert 'lang="zh-CN"' in html
        assert "{" not in re.sub(r"<style.*?</style>", "", html), name
    content = page.record().content
    assert (content["institution"], content["quarter"]) == ("I01", "2026Q3")
    assert set(content["labels"]["institutions"]) == {"I01"}


@pytest.mark.parametrize(
    ("best", "worst", "title", "sets"),
    [
        (1, 1, "Score 60.0, surely the first of 13 institutions",
         "institutions surely ahead: 0; surely behind: 12; not told apart: 0."),
        (2, 5, "Score 60.0, rank 2–5 of 13",
         "institutions surely ahead: 1; surely behind: 8; not told apart: 3."),
        (1, 13, "Score 60.0, not told apart from any of the others (13 in all)",
         "institutions surely ahead: 0; surely behind: 0; not told apart: 12."),
    ],
)  # fmt: skip
def test_words_claim_no_more_than_the_sets(
    best: int, worst: int, title: str, sets: str, whole: Whole, page_of: Callable[[Whole, str], BenchmarkPage]
) -> None:
    assert whole.benchmark.institutions == 13
    other = changed(whole, "I01", best_all=best, worst_all=worst, score=60.0, adjusted=60.0)
    page = page_of(other, "I01")
    assert benchmark_own.title(page)["en"] == title
    assert sets in english(page.headline().html)
    if (best, worst) == (1, 13):
        assert "no rank should be quoted" in english(page.standing().html)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.5, 3.0, "Surely up since 2026 Q2"), (-3.0, -0.5, "Surely down since 2026 Q2"),
     (-1.0, 2.0, "within the error, neither a rise nor a fall")],
)  # fmt: skip
def test_a_change_within_its_interval_is_noise(
    low: float, high: float, said: str, whole: Whole, page_of: Callable[[Whole, str], BenchmarkPage]
) -> None:
    page = page_of(changed(whole, "I01", change=(low + high) / 2, change_low=low, change_high=high), "I01")
    assert said in english(page.standing().html)


def test_one_that_is_not_ranked_learns_why(whole: Whole, page_of: Callable[[Whole, str], BenchmarkPage]) -> None:
    page = page_of(whole, "I14")
    assert benchmark_own.title(page)["en"] == "Not ranked this quarter: too few respondents"
    said = english(page.standing().html)
    assert "least number of answers that the association asks for" in said
    for name in SECTIONS:
        assert getattr(page, name)().html


def test_limits_tell_what_is_open_withheld_and_refused(
    whole: Whole, page_of: Callable[[Whole, str], BenchmarkPage]
) -> None:
    html = page_of(whole, "I01").limits().html
    said = english(html)
    assert "from 150 answers" in said
    assert "takes about 600" in said
    assert "this institution too few cases 1" in said
    assert "a.zip 2026Q3 0 accepted –" in said
    assert "=b.zip 2026Q3 1 refused &lt;b&gt;wrong&lt;/b&gt;" in said
    assert "c.zip" not in said


def test_dimensions_name_only_sure_strengths(whole: Whole, page_of: Callable[[Whole, str], BenchmarkPage]) -> None:
    scopes = whole.benchmark.scopes.copy()
    own = scopes["institution"] == "I01"
    scopes.loc[own, "standing"] = ""
    bare: Benchmark = replace(whole.benchmark, scopes=scopes)
    assert "No dimension lies surely above or below the mean of all." in english(
        page_of(replace(whole, benchmark=bare), "I01").dimensions().html
    )
    weak = scopes.assign(standing=scopes["standing"].mask(own & (scopes["scope"] == "EFF"), "weakness"))
    said = english(page_of(replace(whole, benchmark=replace(bare, scopes=weak)), "I02").dimensions().html)
    assert "weaknesses: Efficiency" not in said
    said = english(page_of(replace(whole, benchmark=replace(bare, scopes=weak)), "I01").dimensions().html)
    assert "weaknesses: Efficiency and responsiveness; no sure strength." in said
