"""The shipped questionnaire: lengths that charts and tables rely on, both languages, complete structures."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from sqmodel.definitions import Text
from sqmodel.survey.instrument import Instrument, Item, load_instrument

HAN = re.compile(r"[\u4e00-\u9fff]")
INSTRUMENT = load_instrument("lending_service")


def texts(instrument: Instrument) -> Iterator[tuple[str, Text | None]]:
    yield "title", instrument.title
    for outcome in instrument.outcomes:
        yield outcome.code, outcome.text
        yield from ((f"{outcome.code} {k}", t) for k, t in outcome.scale.anchors.items())
    yield from ((f"scale {k}", t) for k, t in instrument.scale.anchors.items())
    for dimension in instrument.dimensions:
        yield from ((dimension.code, t) for t in (dimension.title, dimension.short))
    for item in instrument.items:
        yield from ((item.code, t) for t in (item.text, item.label, item.action))
    for group in instrument.groups:
        yield group.code, group.title
        yield from ((f"{group.code} {k}", t) for k, t in group.values.items())
    for structure in instrument.structures.values():
        yield "structure", structure.title
        yield from ((d.code, d.title) for d in structure.dimensions)


@pytest.mark.parametrize(("code", "text"), list(texts(INSTRUMENT)))
def test_every_text_is_written_in_both_languages(code: str, text: Text | None) -> None:
    assert text is not None, code
    assert HAN.search(text.zh), f"{code}: {text.zh!r}"
    assert text.en, code
    assert not HAN.search(text.en), f"{code}: {text.en!r}"


def test_chinese_uses_chinese_punctuation() -> None:
    wrong = [text.zh for _, text in texts(INSTRUMENT) if text and re.search(r"[,;:?!()]|\.$", text.zh)]
    assert wrong == []


@pytest.mark.parametrize("item", INSTRUMENT.items, ids=lambda i: i.code)
def test_labels_and_actions_fit_their_place(item: Item) -> None:
    assert item.label is not None
    assert item.action is not None
    assert len(item.label.zh) <= 10
    assert len(item.label.en) <= 28
    assert len(item.action.zh) <= 20
    assert len(item.action.en) <= 60


def test_short_titles_fit_their_place() -> None:
    for dimension in INSTRUMENT.dimensions:
        assert dimension.short is not None
        assert len(dimension.short.zh) <= 6
        assert len(dimension.short.en) <= 22


def test_items_and_dimensions() -> None:
    assert 24 <= len(INSTRUMENT.items) <= 28
    assert INSTRUMENT.dimension_codes == ["EXP", "EFF", "RSK", "COM"]
    assert sum(item.reversed for item in INSTRUMENT.items) == 2
    for dimension, members in INSTRUMENT.structure().items():
        assert members == [f"{dimension.lower()}{k}" for k in range(1, len(members) + 1)]
        assert len(members) >= 6


def test_no_wording_twice() -> None:
    for language in ("zh", "en"):
        for part in ("text", "label", "action"):
            found = [getattr(item, part)[language] for item in INSTRUMENT.items]
            assert len(set(found)) == len(found)


def test_servqual_structure_is_complete() -> None:
    structure = INSTRUMENT.structure("servqual")
    assert list(structure) == ["TAN", "REL", "RSP", "ASU", "EMP"]
    assert all(len(members) >= 4 for members in structure.values())
    assert sorted(code for members in structure.values() for code in members) == sorted(INSTRUMENT.item_codes)
    titles = [d.title.zh for d in INSTRUMENT.structures["servqual"].dimensions]
    assert titles == ["有形性", "可靠性", "响应性", "保证性", "移情性"]


def test_scale_and_outcomes() -> None:
    assert sorted(INSTRUMENT.scale.anchors) == list(range(1, 8))
    assert INSTRUMENT.scale.not_applicable == (9,)
    ranges = {o.code: (o.role, o.scale.minimum, o.scale.maximum) for o in INSTRUMENT.outcomes}
    assert ranges == {
        "csat": ("csat", 1, 7),
        "nps": ("nps", 0, 10),
        "effort": ("effort", 1, 7),
        "retention": ("retention", 1, 7),
        "acsi_satisfaction": ("acsi", 1, 10),
        "acsi_expectancy": ("acsi", 1, 10),
        "acsi_ideal": ("acsi", 1, 10),
    }


def test_groups_are_text_even_where_they_look_like_numbers() -> None:
    assert list(INSTRUMENT.group("tenure").values) == ["under_1", "1_3", "3_5", "over_5"]
    assert list(INSTRUMENT.group("stage").values) == ["applied", "approved", "declined", "repaying"]
    assert [g.code for g in INSTRUMENT.groups] == [
        "institution", "size", "sector", "region", "tenure", "stage",
    ]  # fmt: skip
