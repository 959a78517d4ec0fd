"""Blind codes: nothing that is published tells how large an institution is, so that nobody is known by its size."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqmodel.benchmark import ranking
from sqmodel.benchmark.assess_field import hidden_groups
from sqmodel.benchmark.blind import size_classes
from sqmodel.benchmark.profile import Publication
from sqmodel.reporting.benchmark_blinding import SIZES, about
from sqmodel.reporting.benchmark_page import BenchmarkPage
from sqmodel.reporting.benchmark_versions import Whole, public_version
from sqmodel.reporting.tables import companions
from tests.reporting.comparisons import public_page, whole

RESPONDENTS = (31, 37, 43, 53, 67, 83, 113, 131, 157, 181, 211, 239, 317, 367, 409, 467, 523, 587, 1237, 1481, 1777,
               2131, 4177, 12347, 17)  # fmt: skip
LEAST = 3


@pytest.fixture(scope="module")
def known() -> Whole:
    """What the association knows of 25 institutions, one of them too small to be shown."""
    with pytest.MonkeyPatch.context() as patch:
        # Shares are shrunken as those of many institutions are, which is quicker.
        patch.setattr(ranking, "EXACT", 0)
        return whole(25, codes=True, respondents=RESPONDENTS)


@pytest.fixture(scope="module")
def told(known: Whole, tmp_path_factory: pytest.TempPathFactory) -> BenchmarkPage:
    return public_page(tmp_path_factory.mktemp("codes"), known)


@pytest.fixture(scope="module")
def exact(known: Whole) -> pd.DataFrame:
    """The standing by blind code."""
    table = known.benchmark.standing
    codes = table["institution"].map(known.blind).mask(table["n"] < 30, "")
    return table.assign(institution=codes).set_index("institution").sort_index()


def rows(page: BenchmarkPage, name: str) -> pd.DataFrame:
    """A table as results.json has it."""
    found: dict[str, Any] = json.loads(companions(page.record().content)["results.json"])["results"]["benchmark"][name]
    return pd.DataFrame(found["data"], columns=found["columns"], index=found["index"])


def test_sizes_are_classes_that_several_of_a_group_share(told: BenchmarkPage, exact: pd.DataFrame) -> None:
    sizes = told.benchmark.settings[SIZES]
    standing = told.benchmark.standing.set_index("institution")
    assert (standing["n"] == 0).all()
    shown = exact["n"] >= 30
    assert set(sizes) == set(standing.index) - {""} == set(exact.index[shown])
    assert list(standing.index).count("") == 1, "of who is too small to be shown the code is not told either"
    cells = Counter((standing.loc[c, "peers"], sizes[c]) for c in exact.index[shown])
    assert min(cells.values()) >= LEAST
    assert len(cells) >= 5, "sizes are told as far as they can be"
    for code, n in exact.loc[shown, "n"].items():
        low, high = re.fullmatch(r"([\d,]+)(?:–([\d,]+)|\+)", sizes[code]).groups()  # type: ignore[union-attr]
        assert int(low.replace(",", "")) <= n
        assert high is None or n <= int(high.replace(",", ""))
    assert list(rows(told, "standing")["n"]) == [sizes.get(c, "") for c in standing.index]


def test_nobody_can_be_told_by_the_width_of_an_interval(told: BenchmarkPage, exact: pd.DataFrame) -> None:
    """Whoever divides by widths finds the same for all of a class, so that the largest stays among its like."""
    sizes = told.benchmark.settings[SIZES]
    for name in ("standing", "scopes", "history"):
        table = rows(told, name)
        by = {"standing": [], "scopes": ["scope"], "history": ["quarter"]}[name]
        free = table[table["score"].notna() & (table["low"] > 0) & (table["high"] < 100)]
        # Of who may be capped it lies more to one side.
        free = free[np.isclose(free["high"] - free["score"], free["score"] - free["low"], atol=0.15)]
        peers = told.benchmark.standing.set_index("institution")["peers"]
        keys = [free.index.map(sizes), free.index.map(peers), *(free[c] for c in by)]
        errors = free.groupby(keys)["se"]
        assert (errors.max() == errors.min()).all(), name
        width = (free["high"] - free["low"]).groupby(keys)
        assert (width.max() - width.min() < 0.11).all(), f"{name}: but for the rounding of the ends"
    # Without it the order of sizes is all but known.
    fair = exact[exact["cap"].isna() & (exact["deducted"] == 0) & exact["score"].notna()]
    assert np.corrcoef(np.log(fair["n"]), np.log(fair["high"] - fair["low"]))[0, 1] < -0.8


def test_intervals_are_never_narrower_than_the_institutions_own(told: BenchmarkPage, exact: pd.DataFrame) -> None:
    table = told.benchmark.standing.set_index("institution")
    shown = table["score"].notna()
    assert shown.sum() == 24
    assert (table["low"] <= exact["low"] + 0.1)[shown].all()
    assert (table["high"] >= exact["high"] - 0.1)[shown].all()
    change = table["change"].notna()
    assert change.sum() > 20
    assert (table["change_low"] <= exact["change_low"] + 0.1)[change].all()
    assert (table["change_high"] >= exact["change_high"] - 0.1)[change].all()
    assert (table["adjusted_se"] >= exact["adjusted_se"])[table["adjusted"].notna()].all()


def test_no_figure_of_one_has_more_than_a_digit(told: BenchmarkPage, known: Whole) -> None:
    """A share, a mean of answers or a shrunken score with all its digits gives the number behind it back."""
    standing, scopes = rows(told, "standing"), rows(told, "scopes")
    for table, columns in (
        (standing, ["score", "low", "high", "adjusted", "change", "change_low", "change_high", "cap", "deducted"]),
        (scopes, ["score", "low", "high", "median", "peers_median", "best_practice", "distance"]),
        (rows(told, "history"), ["score", "low", "high"]),
    ):
        values = table[columns].astype(float)
        np.testing.assert_allclose(values, values.round(1), rtol=0, atol=1e-9)
    assert standing[["shrunken", "shrunken_low", "shrunken_high"]].isna().all(axis=None)
    assert scopes[["distance_low", "distance_high"]].isna().all(axis=None)
    assert rows(told, "indicators").empty
    for name in ("overall", "peers", "case_mix"):
        values = rows(told, name).select_dtypes("number")
        np.testing.assert_allclose(values, values.round(2), rtol=0, atol=1e-9)
    left = told.benchmark.gate.left_out
    assert left.to_numpy().tolist() == [["", ""]]
    assert len(known.benchmark.gate.left_out["reason"].iloc[0]) > 0
    biased = told.benchmark.gate.biased
    assert (len(biased), set(biased["institution"])) == (25, {""}), "who was looked at has enough complete answers"
    assert biased[["observed", "fair"]].isna().all(axis=None)
    html = unescape(told.comparability().html)
    assert "for fewer than 100 complete answers or for statistics that are withheld: 1." in html
    assert told.benchmark.n == about(known.benchmark.n) != known.benchmark.n


def test_neither_page_nor_files_hold_an_exact_number(told: BenchmarkPage) -> None:
    files = companions(told.record().content)
    book = openpyxl.load_workbook(io.BytesIO(files["tables.xlsx"]))
    cells = {str(v) for sheet in book for row in sheet.iter_rows(values_only=True) for v in row}
    html = "".join(getattr(told, name)().html for name in ("headline", "overview", "standing", "operations", "peers",
                                                           "comparability", "limits"))  # fmt: skip
    html = unescape(re.sub(r"<[^>]*>", " ", html))
    total = sum(n for n in RESPONDENTS if n >= 30)
    for n in (*(n for n in RESPONDENTS if n > 100), total):
        assert not re.search(rf"(?<![\d.]){n:,}(?![\d.])|(?<![\d.]){n}(?![\d.])", html), n
        assert str(n) not in cells
        assert not re.search(rf"(?<![\d.]){n}(\.0)?(?![\d.])", files["results.json"].decode()), n


def test_the_page_says_why(told: BenchmarkPage) -> None:
    html = unescape(told.standing().html)
    assert "figure-bench-funnel" not in html
    for sentence in (
        "An institution's respondents are told as a class, and all of a class have the interval of the least exact "
        "among them; exact figures would tell who is who behind the codes.",
        "No funnel plot is drawn: its axis would tell how many respondents each institution has.",
        "各机构的受访人数只按档公布，同一档机构的区间统一取其中最宽者；若公布精确数字，代号背后是谁就会暴露。",
        "不画漏斗图：横轴会透露各机构的受访人数。",
    ):
        assert html.count(sentence) == 1, sentence
    assert set(told.benchmark.settings[SIZES].values()) <= set(re.findall(r">([\d,]+[–+][\d,]*)<", html))
    assert f"about {told.benchmark.n:,} respondents" in told.headline().html
    assert f"约 {told.benchmark.n:,}" in told.headline().html


def test_with_names_numbers_are_as_they_are(tmp_path: Path) -> None:
    found = whole(25, respondents=RESPONDENTS)
    version = public_version(found).benchmark
    pd.testing.assert_frame_equal(version.standing, found.benchmark.standing)
    assert SIZES not in version.settings
    page = public_page(tmp_path, found)
    assert "12,347" in page.standing().html
    assert "figure-bench-funnel" in page.standing().html


def test_a_label_or_a_rank_among_peers_tells_no_small_group(known: Whole, told: BenchmarkPage) -> None:
    """With two of a group the others' labels would leave just these two without one."""
    standing = known.benchmark.standing.copy()
    standing.loc[standing["institution"].isin(["I01", "I02"]), "peers"] = "few"
    small = Whole(**{**vars(known), "benchmark": _replaced(known, standing)})
    found = public_version(small).benchmark
    groupless = set(found.standing.loc[found.standing["peers"] == "", "institution"])
    assert {known.blind["I01"], known.blind["I02"]} < groupless
    assert len(groupless) >= 2 + LEAST
    gone = found.standing["institution"].isin(groupless)
    assert found.standing.loc[gone, ["best_peers", "worst_peers"]].isna().all(axis=None)
    assert found.standing.loc[~gone, "best_peers"].notna().any()
    assert found.scopes.loc[found.scopes["institution"].isin(groupless), "peers_median"].isna().all()
    assert (told.benchmark.standing["peers"] != "").sum() == 24


def _replaced(known: Whole, standing: pd.DataFrame) -> Any:
    from dataclasses import replace

    return replace(known.benchmark, standing=standing)


@given(st.dictionaries(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(1, 9)), st.integers(2, 5))
def test_what_is_left_of_told_groups_is_nothing_or_enough(counts: dict[str, int], least: int) -> None:
    hidden = hidden_groups(counts, least)
    assert {g for g, n in counts.items() if n < least} | ({""} & set(counts)) <= hidden
    left = sum(counts[g] for g in hidden)
    assert left == 0 or left >= least or hidden == set(counts)
    # No more than is needed: without the largest that was added there would be too few.
    added = [g for g in hidden if g and counts[g] >= least]
    assert not added or left - max(counts[g] for g in added) < least


@given(
    st.lists(st.integers(1, 5_000), max_size=40),
    st.lists(st.integers(1, 3_000), max_size=4, unique=True).map(sorted),
    st.integers(2, 5),
)
def test_a_class_of_sizes_holds_enough_or_all(sizes: list[int], starts: list[int], least: int) -> None:
    found = size_classes(sizes, starts, minimum=30, least=least)
    assert [s == "" for s in found] == [n < 30 for n in sizes]
    counts = Counter(s for s in found if s)
    assert not counts or min(counts.values()) >= least or len(counts) == 1
    order = [s for _, s in sorted(zip(sizes, found, strict=True)) if s]
    assert order == sorted(order, key=order.index), "classes do not overlap"


def test_classes_rise() -> None:
    assert Publication(size_classes=()).size_classes == ()
    with pytest.raises(ValueError, match=r"size_classes: expected rising numbers above 0, found 300, 100"):
        Publication(size_classes=(300, 100))
