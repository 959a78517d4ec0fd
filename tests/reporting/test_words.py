"""The words of the page: both languages hold the same texts, and the code uses all of them and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqmodel.definitions import Text
from sqmodel.reporting.evidence import KINDS, METHODS
from sqmodel.reporting.words import say, span, texts
from tests.reporting.cells import ROOT

CHINESE = re.compile(r"[\u3400-\u9fff，。；：、（）“”]")
QUOTES = str.maketrans("", "", "“”")
SYMBOLS = {"col_n", "col_alpha", "col_omega", "lists", "reason", "gaps_prediction_other", "drivers_row"}
"""Texts that are signs, or nothing but what is filled in."""


def fields(template: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", template))


def trees(folder: Path) -> Iterator[ast.AST]:
    for path in sorted(folder.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def called(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls of a function or method of this name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            own = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if own == name:
                yield node


def pattern(node: ast.JoinedStr) -> str:
    parts = (re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"\w+" for p in node.values)
    return "".join(parts)


def strings(node: ast.AST) -> set[str]:
    """Texts that an expression can be: both sides of a choice, but not what is compared in it."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) and node.value else set()
    return strings(node.body) | strings(node.orelse) if isinstance(node, ast.IfExp) else set()


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    zh, en = texts("zh"), texts("en")
    assert list(zh) == list(en)
    assert {k: fields(v) for k, v in zh.items()} == {k: fields(v) for k, v in en.items()}


def test_each_language_is_written_in_itself() -> None:
    assert [k for k, v in texts("zh").items() if not CHINESE.search(v) and k not in SYMBOLS] == []
    assert [k for k, v in texts("en").items() if CHINESE.search(v.translate(QUOTES))] == []


def test_every_key_is_used_and_every_key_that_is_said_exists() -> None:
    known, used, said = set(texts("zh")), {"lists"}, set()
    for tree in trees(ROOT / "sqmodel" / "reporting"):
        used |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        for call in called(tree, "say"):
            said |= strings(call.args[0])
            if isinstance(call.args[0], ast.JoinedStr):
                own = {k for k in known if re.fullmatch(pattern(call.args[0]), k)}
                assert own, f"no text for {ast.unparse(call)}"
                used |= own
        for call in called(tree, "known_as"):
            own = {k for k in known if k.startswith(f"{ast.literal_eval(call.args[0])}_")}
            assert own, f"no text for {ast.unparse(call)}"
            used |= own
    assert said - known == set()
    assert known - used == set()


def test_every_kind_of_change_has_a_text() -> None:
    kinds: set[str] = set()
    for tree in trees(ROOT / "sqmodel" / "survey"):
        for name, position in (("Cell", 1), ("change", 0), ("fault", 0), ("_judged", 2)):
            for call in called(tree, name):
                kinds |= strings(call.args[position]) if len(call.args) > position else set()
        for node in (n for n in ast.walk(tree) if isinstance(n, ast.Dict)):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "kind":
                    kinds |= strings(value)
    assert {"outside the scale", "label", "raked", "columns not used", "allocation sum"} <= kinds
    assert kinds == set(KINDS)


@pytest.mark.parametrize("text", [*KINDS.values(), *METHODS.values()], ids=[*KINDS, *METHODS])
def test_the_words_in_the_code_are_in_both_languages(text: Text) -> None:
    assert CHINESE.search(text["zh"])
    assert text["en"]
    assert not CHINESE.search(text["en"])


def test_counts_that_differ_are_given_as_a_range() -> None:
    assert span([20, 20]) == "20"
    assert span([1310, float("nan"), 1320]) == "1,310–1,320"
    assert span([]) == "–"


def test_a_text_within_a_sentence_begins_small() -> None:
    for score in ("servperf", "gap", "weighted_gap"):
        assert say(f"score_{score}")["en"].startswith("the ")
