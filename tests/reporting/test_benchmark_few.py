"""A field of fewer institutions than figures may be told of: none may work out another, from any reader's file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from sqmodel.benchmark import ranking
from sqmodel.benchmark.assess import assess_benchmark
from sqmodel.benchmark.assess_composite import profile_tree
from sqmodel.benchmark.blind import blind_codes
from sqmodel.benchmark.content import Submission
from sqmodel.benchmark.profile import Profile, Register, load_profile
from sqmodel.benchmark.simulate import simulate_association
from sqmodel.reporting.benchmark_page import BenchmarkPage
from sqmodel.reporting.benchmark_params import BenchmarkParams, Version
from sqmodel.reporting.benchmark_versions import Whole, own_version, public_version, withheld_by
from tests.benchmark.test_assess import RECEIPTS
from tests.reporting.comparisons import QUARTER, gate_of, page_of

SECTIONS = ("headline", "overview", "standing", "dimensions", "operations", "peers", "comparability", "limits",
            "provenance")  # fmt: skip
SENTENCE = {
    "en": "Fewer than 3 institutions can be compared this quarter, so no scores, ranks, means, funnel plots or peer "
    "figures are published: in so small a field each could work out the others.",
    "zh": "本季度可比机构不足 3 家，不公布得分、名次、均值、漏斗图和同业组数据：机构这么少，各家都能推算出别家的结果。",
}
CODES = ["I1", "I2", "I3", "I4", "I5"]
SIZES = (423, 687, 1319, 157, 271)


def profile_with(names: str) -> Profile:
    found = load_profile("lending_association")
    return found.model_copy(update={"publication": found.publication.model_copy(update={"names": names})})


def compared(
    submissions: list[Submission], register: Register, names: str = "codes", **options: Any
) -> Whole:  # fmt: skip
    profile = profile_with(names)
    with pytest.MonkeyPatch.context() as patch:
        # Shares are shrunken as those of many institutions are, which is quicker.
        patch.setattr(ranking, "EXACT", 0)
        benchmark = assess_benchmark(submissions, profile, register, quarter=QUARTER, receipts=RECEIPTS.iloc[:0],
                                     draws=200, **options)  # fmt: skip
    codes = blind_codes([m.code for m in register.members], b"a secret of sixteen bytes or more")
    return Whole(benchmark, profile, register, profile_tree(profile), codes if names == "codes" else {},
                 withheld_by(submissions, QUARTER))  # fmt: skip


@pytest.fixture(scope="module")
def sent() -> tuple[list[Submission], Register]:
    """Five institutions of two quarters."""
    found = simulate_association(5, quarters=("2026Q2", QUARTER), respondents=SIZES, rng=4)
    return list(found.submissions), found.register


@pytest.fixture(scope="module")
def two(sent: tuple[list[Submission], Register]) -> dict[str, Whole]:
    """Of this quarter two, with the gate as it finds them; the quarter before had all five."""
    submissions, register = sent
    kept = [s for s in submissions if s.quarter != QUARTER or s.institution in ("I1", "I2")]
    return {names: compared(kept, register, names) for names in ("names", "codes")}


def numbers(value: Any) -> Iterator[float]:
    """All numbers in what a file holds."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def words(html: str, language: str) -> str:
    other = {"en": r'<span lang="zh-CN">.*?</span>', "zh": r'<span lang="en".*?</span>'}[language]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", re.sub(other, "", html))))


@pytest.mark.parametrize("names", ["names", "codes"])
def test_the_public_is_told_in_one_sentence_and_nothing_else(two: dict[str, Whole], names: str, tmp_path: Path) -> None:
    whole = two[names]
    version = public_version(whole)
    page = page_of(tmp_path, version)
    headline = page.headline().html
    for language, sentence in SENTENCE.items():
        assert words(headline, language).count(sentence) == 1
    assert "<h1>" in headline
    assert words(headline, "en").split(SENTENCE["en"])[0].count("Too few institutions can be compared") == 1
    html = "".join(getattr(page, name)().html for name in SECTIONS)
    assert "<figure" not in html
    assert not {"nan", "None", "inf"} & set(re.findall(r"\w+", words(html, "en")))
    for code in ("I1", "I2"):
        assert names == "names" or not re.search(rf"\b{code}\b", version.encode().decode())
        assert not whole.blind or whole.blind[code] not in html + json.dumps(page.record().content)
    record = page.record().content["results"]["benchmark"]
    for table in ("standing", "scopes", "indicators", "history", "waiting", "case_mix"):
        assert record[table]["data"] == [], table
    figures = [n for name in ("overall", "peers") for n in numbers(record[name]["data"])]
    assert set(figures) <= {0.0, 1.0, 2.0}, "how many took part, and no more"
    assert (record["n"] if "n" in record else page.record().content["n"]) == 0


def test_an_institution_of_two_learns_nothing_of_the_other(two: dict[str, Whole]) -> None:
    """Neither the other's figures nor what would give them by subtraction of its own."""
    whole = two["codes"]
    benchmark, n = whole.benchmark, dict(zip(("I1", "I2"), SIZES, strict=False))
    assert benchmark.gate.institutions == 2
    for own, other in (("I1", "I2"), ("I2", "I1")):
        version = own_version(whole, own)
        found = set(numbers(json.loads(version.encode())["benchmark"]))
        secret = set[float]()
        for table in (benchmark.standing, benchmark.scopes, benchmark.indicators, benchmark.gate.biased):
            rows, mine = table[table["institution"] == other], table[table["institution"] == own]
            # Small counts are the same by chance.
            values = {v for v in numbers(rows.to_numpy(object).tolist()) if v == v and v % 1}
            secret |= values - set(numbers(mine.to_numpy(object).tolist()))
        secret |= {float(n[other]), float(n["I1"] + n["I2"]), float(benchmark.gate.n)}
        assert len(secret) > 60
        assert secret & found == set()
        # Items of a model of two, and their differences from the mean of both, would be as good as figures.
        assert version.benchmark.gate.biased.empty
        assert version.benchmark.gate.items.empty
        assert version.benchmark.gate.steps.empty
        assert version.benchmark.notes == version.benchmark.gate.notes == ()
        assert version.distribution.empty
        assert not re.search(rf"\b{other}\b", version.encode().decode())


def own_page(folder: Path, version: Version) -> BenchmarkPage:
    path = folder / "own.json"
    path.write_bytes(version.encode())
    params = BenchmarkParams(quarter=QUARTER, results=str(path), institution=version.reader)
    return BenchmarkPage(params, params.version.benchmark)


def test_the_confidential_page_shows_the_own_figures_only(two: dict[str, Whole], tmp_path: Path) -> None:
    page = own_page(tmp_path, own_version(two["codes"], "I1"))
    html = {name: getattr(page, name)().html for name in SECTIONS}
    said = {name: words(text, "en") for name, text in html.items()}
    own = two["codes"].benchmark.standing.set_index("institution").loc["I1"]
    assert "Not ranked this quarter: too few institutions to compare" in said["headline"]
    assert f"{own['score']:.1f}" in said["headline"]
    assert ("Fewer than 3 institutions can be compared this quarter, so that nobody is ranked and this report shows "
            "this institution's own figures only: each could work out the others from any figure of all."
            ) in said["standing"]  # fmt: skip
    assert ("With fewer than 3 institutions that can be compared there is nothing to hold the scores against; only "
            "this institution's own are shown.") in said["dimensions"]  # fmt: skip
    assert ("Fewer than 3 institutions could be looked at. Only the verdict is told, for each could work out the "
            "others from the rest.") in said["comparability"]  # fmt: skip
    assert "本季度可比机构不足 3 家，因此不排名次，本报告只列本机构自己的数据" in words(html["standing"], "zh")
    assert "可比机构不足 3 家，没有可以对照的数字，只列本机构自己的得分" in words(html["dimensions"], "zh")
    assert "能够检验的机构不足 3 家，只公布结论" in words(html["comparability"], "zh")
    scores = two["codes"].benchmark.scopes.query("institution == 'I1' and scope == 'EXP'")["score"]
    assert f"{scores.iloc[0]:.1f}" in said["dimensions"]


def test_two_comparable_ones_among_more_are_not_ranked(sent: tuple[list[Submission], Register], tmp_path: Path) -> None:
    """Scores of all five are shown in no order; of the two that may be compared nothing is said that compares them."""
    submissions, register = sent
    now = [s for s in submissions if s.quarter == QUARTER]
    whole = compared(now, register, "names", gate=gate_of(CODES, "doubtful", ("I3", "I4", "I5")))
    table = whole.benchmark.standing.set_index("institution")
    assert table["reason"].tolist() == ["few institutions"] * 2 + ["biased answers"] * 3
    assert table[["rank", "best_all", "adjusted", "shrunken"]].isna().all(axis=None)
    perceived = whole.benchmark.scopes[whole.benchmark.scopes["scope"].str.startswith("perception")]
    assert perceived[["best_all", "worst_all"]].isna().all(axis=None)
    page = page_of(tmp_path, public_version(whole))
    assert "Too few institutions can be compared this quarter" in words(page.headline().html, "en")
    assert SENTENCE["en"] not in words(page.headline().html, "en")
    assert "figure-bench-ranks" not in page.standing().html
    assert f"{table.loc['I4', 'score']:.1f}" in words(page.standing().html, "en")
    assert "too few institutions to compare 2" in words(page.overview().html.replace("</td>", " </td>"), "en")


def test_nothing_is_told_of_a_quarter_before_that_had_few(sent: tuple[list[Submission], Register]) -> None:
    """Who else took part then is known to those who did, and with it the other's code of today."""
    submissions, register = sent
    kept = [s for s in submissions if s.quarter == QUARTER or s.institution in ("I1", "I2")]
    whole = compared(kept, register, "names", gate=gate_of(CODES))
    assert whole.benchmark.standing["change"].notna().sum() == 2
    for names in ("names", "codes"):
        blind = {m.code: f"X{k}" for k, m in enumerate(register.members)} if names == "codes" else {}
        told = public_version(replace(whole, profile=profile_with(names), blind=blind)).benchmark
        assert set(told.history["quarter"]) == {QUARTER}
        assert told.standing[["change", "change_low", "change_high"]].isna().all(axis=None)
        assert told.compared_with == ""
    own = own_version(whole, "I1").benchmark
    assert own.standing["change"].notna().all()
    assert set(own.history["quarter"]) == {"2026Q2", QUARTER}


def test_a_group_of_two_is_told_neither_itself_nor_by_what_is_left(sent: tuple[list[Submission], Register]) -> None:
    """Groups of two, three and none: the mean of three beside that of all would leave the mean of two."""
    submissions, register = sent
    groups = dict(zip(("I1", "I2", "I3", "I4", "I5"), ("rural", "rural", "city", "city", "rural"), strict=True))
    members = tuple(m.model_copy(update={"peers": groups[m.code]}) for m in register.members)
    now = [s for s in submissions if s.quarter == QUARTER]
    found = compared(now, register.model_copy(update={"members": members}), gate=gate_of(CODES)).benchmark
    told = found.peers.set_index("peers")["withheld"]
    assert told.to_dict() == {"city": "minimum institutions", "rural": "secondary", "overall": ""}
    assert found.indicators["peers"].isna().all()
    assert found.indicators["overall"].notna().any()
    assert found.scopes["peers_median"].isna().all()
    assert found.scopes["median"].notna().any()
