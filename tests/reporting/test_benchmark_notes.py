"""Every note of the comparison is said in both languages; an unknown one is told as it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqmodel.reporting.benchmark_notes import NOTES, note_words
from sqmodel.reporting.benchmark_page import BenchmarkPage
from tests.reporting.cells import ROOT
from tests.reporting.comparisons import public_page, whole

CHINESE = re.compile(r"[一-鿿]")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkPage:
    return public_page(tmp_path_factory.mktemp("notes"), whole(institutions=3, quarters=("2026Q3",)))


def sentences(path: Path) -> Iterator[str]:
    """What a module adds to its notes, a 7 in every gap."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        into = ""
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("append", "extend")
        ):
            into = ast.unparse(node.func.value)
        elif isinstance(node, ast.Assign | ast.AugAssign):
            into = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        if into.split(".")[-1] not in ("notes", "always"):
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.JoinedStr):
                yield "".join(str(v.value) if isinstance(v, ast.Constant) else "7" for v in part.values)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.count(" ") > 3:
                yield part.value


def test_no_note_of_the_comparison_is_left_in_english(page: BenchmarkPage) -> None:
    found = {s for path in (ROOT / "sqmodel" / "benchmark").glob("assess*.py") for s in sentences(path)}
    whole_ones = {s for s in found if not any(s != other and s in other for other in found)}
    assert len(whole_ones) >= 11
    for sentence in (*whole_ones, *page.benchmark.notes):
        told = note_words(page, sentence)
        assert told["en"] != note_words(page, "?")["en"].replace("?", sentence), sentence
        assert CHINESE.search(told["zh"]), sentence
        assert not re.search(r"[a-z]{4}", re.sub(r"logit|原因：.*", "", told["zh"])), told["zh"]


def test_codes_have_names_and_what_is_unknown_is_said_to_be_the_programs(page: BenchmarkPage) -> None:
    told = note_words(page, "complaints is at or beyond a goalpost in 4 institutions: its errors there are rather too "
                            "large")  # fmt: skip
    assert told["zh"] == "“投诉（每千笔业务）”在 4 家机构达到或超出换算的上下限，这些机构的误差估计偏大"
    told = note_words(page, "changes are not told of 2 institutions: their questionnaire or their indicators are not "
                            "those of 2026Q2")  # fmt: skip
    assert told["zh"] == "2 家机构未列变动：问卷或指标与2026年第二季度不同"
    assert note_words(page, "size is not adjusted for: 22 institutions are too few for 3 terms")["en"] == (
        "Not adjusted for client size: 22 institutions are too few for 3 terms"
    )
    assert note_words(page, "another was left out")["zh"] == "另一家机构未纳入检验"
    other = note_words(page, "something new")
    assert (other["zh"], other["en"]) == ("程序备注原文：something new", "In the program's words: something new")
    assert len(NOTES) == len(set(NOTES.values()))
