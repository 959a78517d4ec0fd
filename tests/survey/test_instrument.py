"""What an instrument is, and what is said about a definition that contradicts itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqmodel.errors import InstrumentError
from sqmodel.survey.instrument import Instrument, load_instrument
from tests.survey.small_instrument import CONTENT, small


def write(path: Path, change: dict[str, Any] | None = None) -> Path:
    content = {**copy.deepcopy(CONTENT), **(change or {})}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(InstrumentError) as caught:
        load_instrument(path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A relative path, so that whole messages can be compared."""
    monkeypatch.chdir(tmp_path)
    return Path("bank.yaml")


def test_a_file_gives_the_same_instrument(path: Path) -> None:
    loaded = load_instrument(write(path))
    assert loaded == small()
    assert repr(loaded) == "<Instrument small 1: 6 items, 3 dimensions, scale 1-7>"
    assert loaded.structure() == {"EXP": ["e1", "e2"], "EFF": ["f1", "f2"], "RSK": ["r1", "r2"]}


def test_the_digest_follows_the_content_only() -> None:
    reordered = Instrument.model_validate(dict(reversed(CONTENT.items())))
    assert reordered.digest == small().digest
    assert small(version="2").digest != small().digest


def test_named_structures_group_the_same_items() -> None:
    content = copy.deepcopy(CONTENT)
    content["structures"] = {"halves": {"title": "Halves", "dimensions": [{"code": "H", "title": "H"}]}}
    for item in content["items"][:3]:
        item["structures"] = {"halves": "H"}
    instrument = Instrument.model_validate(content)
    assert instrument.structure("halves") == {"H": ["e1", "e2", "f1"]}
    with pytest.raises(InstrumentError) as caught:
        instrument.structure("thirds")
    assert str(caught.value) == (
        "small: 1 problem\n  - expected one of the structures dimensions, halves, found 'thirds'"
    )


def test_a_text_in_one_language_stands_in_for_the_other() -> None:
    content = copy.deepcopy(CONTENT)
    content["items"][0]["text"] = {"zh": "申请简便"}
    item = Instrument.model_validate(content).items[0]
    assert (item.text["zh"], item.text["en"]) == ("申请简便", "申请简便")


def test_missing_file(path: Path) -> None:
    assert message(path) == "bank.yaml: 1 problem\n  - expected a file, found nothing at this path"


def test_no_yaml(path: Path) -> None:
    path.write_text("name: [small", encoding="utf-8")
    assert message(path) == (
        "bank.yaml: 1 problem\n  - expected YAML in UTF-8, found: while parsing a flow sequence in "
        "\"<unicode string>\", line 1, column 7: name: [small ^ expected ',' or ']', but got '<stream end>' "
        'in "<unicode string>", line 1, column 13: name: [small ^'
    )


def test_no_mapping(path: Path) -> None:
    path.write_text("- a\n- b\n", encoding="utf-8")
    assert message(path) == "bank.yaml: 1 problem\n  - expected a mapping at the top, found list"


def test_two_items_with_one_code(path: Path) -> None:
    items = copy.deepcopy(CONTENT["items"])
    items[1]["code"] = "e1"
    assert message(write(path, {"items": items})) == (
        "bank.yaml: 2 problems\n"
        "  - expected every code once, found 'e1' 2 times\n"
        "  - expected every code once, found 'e1_exp' 2 times\n"
        "  What to do: correct the instrument file"
    )


def test_unknown_dimension_and_the_one_item_it_leaves_behind(path: Path) -> None:
    items = copy.deepcopy(CONTENT["items"])
    items[1]["dimension"] = "SPEED"
    assert message(write(path, {"items": items})) == (
        "bank.yaml: 2 problems\n"
        "  - item 'e2': expected one of the dimensions EXP, EFF, RSK, found 'SPEED'\n"
        "  - dimension 'EXP': expected at least 2 items, found 1\n"
        "  What to do: correct the instrument file"
    )


def test_a_dimension_with_one_item(path: Path) -> None:
    assert message(write(path, {"items": CONTENT["items"][:5]})) == (
        "bank.yaml: 1 problem\n"
        "  - dimension 'RSK': expected at least 2 items, found 1\n"
        "  What to do: correct the instrument file"
    )


def test_unknown_and_missing_keys_and_a_text_without_words(path: Path) -> None:
    items = copy.deepcopy(CONTENT["items"])
    items[0]["colour"] = "red"
    items[1]["text"] = {"zh": "", "en": ""}
    del items[2]["dimension"]
    assert message(write(path, {"items": items, "owner": "bank"})) == (
        "bank.yaml: 4 problems\n"
        "  - items.0.colour: unknown key\n"
        "  - items.1.text: expected a text in zh or en, found neither\n"
        "  - items.2.dimension: missing key\n"
        "  - owner: unknown key\n"
        "  What to do: correct the instrument file"
    )


def test_a_scale_upside_down(path: Path) -> None:
    assert message(write(path, {"scale": {"minimum": 7, "maximum": 1}})) == (
        "bank.yaml: 1 problem\n"
        "  - scale: expected maximum above minimum, found 7 to 1\n"
        "  What to do: correct the instrument file"
    )


def test_a_code_for_not_applicable_inside_the_scale(path: Path) -> None:
    scale = {"minimum": 1, "maximum": 7, "not_applicable": [7, 9]}
    assert message(write(path, {"scale": scale})) == (
        "bank.yaml: 1 problem\n"
        "  - scale: expected codes for 'not applicable' outside the scale, found [7]\n"
        "  What to do: correct the instrument file"
    )
