"""verify: what is published is what was published, and computed again it is the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import Result

from sqmodel.reporting.kernels.launchers import Launcher
from sqmodel.reporting.verification import differences
from tests.reporting.projects import call

pytestmark = pytest.mark.xdist_group("publisher")
PAGE = Path("reports/2026Q3/desk")


def plain(result: Result) -> tuple[int, str, str]:
    """Status and words, digests left out."""
    said = [re.sub(r"\b[0-9a-f]{12}…", "#", text) for text in (result.stdout, result.stderr)]
    return result.exit_code, said[0], said[1]


def test_what_is_intact_is_so_from_wherever_one_looks(released: Path) -> None:
    one, both = "  intact    2026Q3/desk\n1 of 1 as published\n", "  intact    2026Q2/desk\n  intact    2026Q3/desk\n"
    assert plain(call("verify", "reports")) == (0, both + "2 of 2 as published\n", "")
    assert plain(call("verify", "reports/2026Q3")) == (0, one, "")
    assert plain(call("verify", str(PAGE))) == (0, one, "")


def test_an_edited_page_a_file_too_many_and_a_lost_one(released: Path) -> None:
    (PAGE / "index.html").write_text("edited", encoding="utf-8")
    (PAGE / "tables.xlsx").unlink()
    (PAGE / "notes.txt").write_text("mine", encoding="utf-8")
    assert plain(call("verify", str(PAGE))) == (
        1,
        "  differs   2026Q3/desk\n0 of 1 as published\n",
        f"      {PAGE}/index.html: expected sha256 #, found #\n"
        f"      {PAGE}/tables.xlsx: expected sha256 #, found nothing\n"
        f"      {PAGE}/notes.txt: expected the published files only, found another one\n",
    )


def test_a_changed_input_and_one_that_is_not_here(released: Path) -> None:
    with (released / "params" / "data" / "desk.csv").open("a", encoding="utf-8") as file:
        file.write("\n")
    (released / "desk.instrument.yaml").unlink()
    assert plain(call("verify", str(PAGE))) == (
        1,
        "  differs   2026Q3/desk\n"
        "      note: instrument desk.instrument.yaml: not found here, so not compared\n"
        "0 of 1 as published\n",
        "      params/data/desk.csv: expected the input of sha256 #, found #: it changed since\n",
    )


def test_a_lost_and_a_broken_manifest(released: Path) -> None:
    (PAGE / "manifest.json").unlink()
    path = Path("reports/2026Q2/desk/manifest.json")
    path.write_bytes(path.read_bytes()[:100])
    status, out, err = plain(call("verify", "reports"))
    assert (status, out) == (1, "  differs   2026Q2/desk\n  differs   2026Q3/desk\n0 of 2 as published\n")
    assert re.sub(r"JSONDecodeError: .*?;", "#;", err) == (
        f"      {path}: expected a manifest (sqmodel.manifest/1), found #; publish the report again\n"
        f"      {PAGE}/manifest.json: expected the page's manifest, found nothing; publish the report again\n"
    )


def test_a_place_without_reports(released: Path) -> None:
    assert plain(call("verify", "params")) == (2, "", "params: expected published reports, found none\n")


def test_made_again_a_page_is_identical(warm: Launcher, released: Path) -> None:
    assert plain(call("verify", "--rerun", str(PAGE))) == (0, "  identical 2026Q3/desk\n1 of 1 reproduced\n", "")


def test_made_again_a_changed_number_is_told_by_its_place(warm: Launcher, released: Path) -> None:
    path = PAGE / "results.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    true = record["index"]["value"]
    record["index"]["value"] = 50.0
    path.write_text(json.dumps(record), encoding="utf-8")
    assert plain(call("verify", "--rerun", str(PAGE))) == (
        1,
        "  differs   2026Q3/desk\n      note: not the same bytes: results.json\n0 of 1 reproduced\n",
        f"      {path}: expected sha256 #, found #\n      index.value: published 50.0, found {true!r} now\n",
    )


def test_a_page_that_cannot_be_made_again(warm: Launcher, released: Path) -> None:
    (released / "params" / "data" / "desk.csv").unlink()
    status, out, err = plain(call("verify", "--rerun", str(PAGE)))
    assert (status, out.splitlines()[0]) == (1, "  differs   2026Q3/desk")
    assert err.startswith("      not made again: execute: ")
    assert "params/data/desk.csv" in err


def test_a_page_without_a_record_of_results(warm: Launcher, project: Path) -> None:
    notebook = project / "notebooks" / "cheap.ipynb"
    (project / "cheap.ipynb").rename(notebook)
    assert call("run", "--notebook", str(notebook)).exit_code == 0
    assert plain(call("verify", "--rerun", "reports")) == (0, "  identical 2026Q3/desk\n1 of 1 reproduced\n", "")
    (PAGE / "index.html").write_text("edited", encoding="utf-8")
    assert plain(call("verify", "--rerun", "reports")) == (
        1,
        "  differs   2026Q3/desk\n      note: not the same bytes: index.html\n0 of 1 reproduced\n",
        f"      {PAGE}/index.html: expected sha256 #, found #\n"
        "      index.html: expected the published bytes (the page has no record of its numbers), found others now\n",
    )


def test_the_notebooks_defaults_hold_when_a_page_is_made_again(warm: Launcher, released: Path) -> None:
    notebook = released / "notebooks" / "business_line.ipynb"
    source = notebook.read_text(encoding="utf-8")
    assert "level: float = 0.95" in source
    notebook.write_text(source.replace("level: float = 0.95", "level: float = 0.9"), encoding="utf-8")
    assert call("run").exit_code == 0
    assert json.loads((PAGE / "results.json").read_text(encoding="utf-8"))["index"]["level"] == 0.9
    assert plain(call("verify", "--rerun", str(PAGE))) == (0, "  identical 2026Q3/desk\n1 of 1 reproduced\n", "")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": [1.0, {"b": 2}]}, {"a": [1.0 + 1e-10, {"b": 3}]}, ["a[1].b: published 2, found 3 now"]),
        ({"a": 1}, {"b": 1}, ["a: published 1, found null now", "b: published null, found 1 now"]),
        ([1, 2], [1], [": published [1, 2], found [1] now"]),
        ({"a": True}, {"a": 1.0}, []),
        ({"a": 1e12}, {"a": 1e12 + 1}, []),
        ({"a": None}, {"a": 0.0}, ["a: published null, found 0.0 now"]),
    ],
)
def test_differences_by_place(old: object, new: object, expected: list[str]) -> None:
    assert list(differences(old, new, 1e-8)) == expected
