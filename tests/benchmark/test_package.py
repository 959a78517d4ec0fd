"""A package returns exactly what was put in, has one form only, and is refused with any byte of it changed."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frictionless import Package, system
from hypothesis import given
from hypothesis import strategies as st

from sqmodel.benchmark.archive import DESCRIPTOR, SubmissionError, pack
from sqmodel.benchmark.content import Indicator, ItemMoments, Submission
from sqmodel.benchmark.descriptor import sha256
from sqmodel.benchmark.package import read_package, write_package
from sqmodel.benchmark.packing import texts_of
from sqmodel.benchmark.tables import CONTEXT, COUNTS, POLYCHORIC_COVARIANCES, floats
from tests.benchmark.forging import N, changed, contents, key_of, ordinal, profile, register, valid

KEY = key_of("bank_a")


def written(folder: Path, submission: Submission) -> Path:
    path = folder / "submission.zip"
    write_package(submission, KEY, path)
    return path


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit; nan is nan."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    if dataclasses.is_dataclass(one):
        fields = [f.name for f in dataclasses.fields(one) if f.name != "ordinal"]
        return type(one) is type(other) and all(same(getattr(one, f), getattr(other, f)) for f in fields)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def test_what_was_sent_arrives_to_the_last_bit(tmp_path: Path) -> None:
    submission = valid(ordinal=ordinal())
    path = tmp_path / "submission.zip"
    digest = write_package(submission, KEY, path)
    received = read_package(path, register(), profile())
    assert digest == sha256(path.read_bytes())
    assert same(received.submission, submission)
    assert received.submission.ordinal is None
    assert received.digest == sha256(zipfile.ZipFile(path).read(DESCRIPTOR))
    found = received.ordinal()
    assert found is not None
    assert same(found, submission.ordinal)
    assert same(found.moments, ordinal().moments)


def test_what_is_withheld_arrives_as_withheld(tmp_path: Path) -> None:
    counts = tuple(c._replace(counts=(None, None, *c.counts[2:])) for c in valid().counts)
    withheld = tuple(("counts", f"{c.item}={k}", "small counts") for c in counts for k in (1, 2))
    bare = valid(counts=counts, moments=None, withheld=tuple(map(type(valid().withheld[0])._make, withheld)),
                 standard=None, indicators=(), waiting=(), context=(), simulated=False)  # fmt: skip
    received = read_package(written(tmp_path, bare), register(), profile())
    assert same(received.submission, bare)
    assert received.ordinal() is None
    none = valid(moments=ItemMoments((), N, np.zeros(0), np.zeros((0, 0))))
    found = read_package(written(tmp_path, none), register(), profile()).submission
    assert same(found, none)


def test_the_same_submission_has_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    assert write_package(valid(), KEY, one) == write_package(valid(), KEY, other)
    assert one.read_bytes() == other.read_bytes() == pack(contents())
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_any_changed_byte_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, valid())
    content, trusted = path.read_bytes(), register()
    accepted = []
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(content):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << place % 8]), place)
            try:
                read_package(path, trusted)
            except SubmissionError:
                continue
            else:
                accepted.append(place)
            finally:
                os.pwrite(file.fileno(), bytes([byte]), place)
    assert accepted == []
    assert same(read_package(path, trusted).submission, valid())


@given(place=st.integers(0, 13_000), length=st.integers(0, 30), new=st.binary(max_size=30))
def test_any_other_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, place: int, length: int,
                                     new: bytes) -> None:  # fmt: skip
    path = tmp_path_factory.getbasetemp() / "fuzzed.zip"
    content = pack(contents())
    other = content[:place] + new + content[place + length :]
    path.write_bytes(other)
    if other == content:
        read_package(path, register(), profile())
    else:
        with pytest.raises(SubmissionError):
            read_package(path, register(), profile())


def test_without_a_register_the_key_inside_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    write_package(valid(), key_of("mallory"), path)
    assert same(read_package(path, None).submission, valid())
    with pytest.raises(SubmissionError) as caught:
        read_package(path, register())
    assert str(caught.value) == (
        "x.zip: 1 problem\n"
        f"  - signature.json: expected a key of the register, found one that begins with "
        f"{read_package(path, None).key[:16]}\n"
        "  What to do: the association enters the institution's CODE.pub in its register"
    )
    path.write_bytes(pack({**contents(), DESCRIPTOR: contents(valid(revision=1))[DESCRIPTOR]}))
    with pytest.raises(
        SubmissionError, match=r"expected a signature of datapackage\.json, found one that does not fit"
    ):
        read_package(path, None)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"

    def tables(texts: dict[str, bytes]) -> None:
        changed("counts.csv", "exp1,1,12", "exp1,1,11")(texts)
        changed("indicators.csv", "200.0,150.0,0.75,0.03", "200.0,150.0,0.7,-1.0")(texts)
        changed("waiting.csv", "approval,480.0,200,0.035184", "approval,480.0,200,0.05")(texts)

    path.write_bytes(pack(contents(tables=tables)))
    with pytest.raises(SubmissionError) as caught:
        read_package(path, register(), profile())
    assert str(caught.value) == (
        "x.zip: 4 problems\n"
        "  - counts.csv, exp1: expected counts that sum to 40, the respondents who answered all items, found 39\n"
        "  - indicators.csv, within_limit: expected a standard error from 0 up, found -1\n"
        "  - indicators.csv, within_limit: expected events / n = 150 / 200 = 0.75, found 0.7\n"
        "  - waiting.csv, approval at 480 hours: expected no more cases waiting than before (0.04398), found 0.05"
    )
    assert caught.value.signer == "bank_a"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_no_association_would_accept_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    wrong = valid(
        institution="=1+1", n=30, indicators=(Indicator("complaints", "rate", 10.0, 1.0, 0.1, float("nan")),)
    )  # fmt: skip
    with pytest.raises(SubmissionError) as caught:
        write_package(wrong, KEY, path)
    assert str(caught.value) == (
        "x.zip: 2 problems\n"
        "  - datapackage.json: sqmodel.institution: String should match pattern '^[A-Za-z][A-Za-z0-9_.-]{0,63}$', "
        "found '=1+1'\n"
        "  - indicators.csv: se: expected a plain number, found others: line 2 ('nan')\n"
        "  What to do: nothing was written"
    )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SubmissionError) as caught:
        write_package(valid(), KEY, tmp_path / "nowhere" / "x.zip")
    assert str(caught.value) == (
        f"{tmp_path / 'nowhere' / 'x.zip'}: 1 problem\n"
        "  - expected a place to write to, found: No such file or directory"
    )


def test_a_file_replaced_after_it_was_read_gives_no_statistics(tmp_path: Path) -> None:
    path = written(tmp_path, valid(ordinal=ordinal()))
    received = read_package(path, register())
    write_package(valid(ordinal=ordinal(), revision=1), KEY, path)
    with pytest.raises(SubmissionError) as caught:
        received.ordinal()
    assert str(caught.value) == "submission.zip: 1 problem\n  - expected the file that was read before, found another"


def test_frictionless_finds_the_package_valid(tmp_path: Path) -> None:
    path = written(tmp_path, valid(ordinal=ordinal()))
    zipfile.ZipFile(path).extractall(tmp_path / "inside")
    with system.use_context(trusted=True):
        report = Package(str(tmp_path / "inside" / DESCRIPTOR)).validate()
    assert report.flatten(["type", "message"]) == []
    assert {t.name: t.stats["rows"] for t in report.tasks} == {
        "counts": 28, "moments": 4, "covariances": 10, "scores": 5, "score_covariances": 10, "indicators": 3,
        "waiting": 15, "context": 2, "withheld": 1, "thresholds": 12, "polychorics": 6, "polychoric_covariances": 171,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "old", "new", "kinds"),
    [
        ("counts.csv", "exp1,1,12", "exp1,1,many", {"type-error"}),
        ("counts.csv", "exp1,1,12", "exp1,1,-12", {"constraint-error"}),
        ("scores.csv", "overall", "=1+1", {"constraint-error"}),
        ("moments.csv", "item,mean", "item,median", {"incorrect-label"}),
        ("context.csv", "size,large,0.25", "size,large", {"missing-cell", "constraint-error"}),
    ],
)
def test_frictionless_finds_what_the_schema_forbids(
    tmp_path: Path, path: str, old: str, new: str, kinds: set[str]
) -> None:
    for name, content in contents(tables=changed(path, old, new)).items():
        (tmp_path / name).write_bytes(content)
    report = Package(str(tmp_path / DESCRIPTOR)).validate()
    assert {kind for (kind,) in report.flatten(["type"])} == kinds


def test_frictionless_finds_a_table_changed_after_it_was_described(tmp_path: Path) -> None:
    files = contents()
    changed("moments.csv", "exp1,", "eff9,")(files)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    report = Package(str(tmp_path / DESCRIPTOR)).validate()
    assert {kind for (kind,) in report.flatten(["type"])} == {"hash-count"}


def test_the_descriptor_tells_what_it_is() -> None:
    told = json.loads(contents()[DESCRIPTOR])
    assert told["profile"] == "data-package"
    assert told["sqmodel"]["schema"] == "sqmodel.submission/1"
    assert {r["schemaVersion"] for r in told["resources"]} == {"1"}
    texts = texts_of(valid())
    assert {r["path"]: (r["bytes"], r["hash"]) for r in told["resources"]} == {
        path: (len(text), f"sha256:{sha256(text)}") for path, text in texts.items()
    }


@given(st.lists(st.floats(-1e99, 1e99), max_size=20))
def test_numbers_return_to_the_last_bit(values: list[float]) -> None:
    text = POLYCHORIC_COVARIANCES.text([values]).encode()
    cells, problems = POLYCHORIC_COVARIANCES.cells(text)
    fast, more = POLYCHORIC_COVARIANCES.numbers(text)
    assert problems == more == []
    assert floats(cells[0]).tobytes() == fast.tobytes() == np.array(values, dtype=float).tobytes()


@given(st.text(max_size=30))
def test_a_cell_is_a_code_or_the_table_is_refused(text: str) -> None:
    table = CONTEXT.text([["size"], [text], [0.5]]).encode("utf-8", "surrogatepass")
    cells, problems = CONTEXT.cells(table)
    is_code = text.isascii() and text[:1].isalpha() and all(c.isalnum() or c in "_.-" for c in text)
    assert (not problems) == is_code
    assert cells == ([["size"], [text], ["0.5"]] if is_code else [[], [], []])


def test_every_bad_row_of_a_table_is_counted_and_five_are_shown() -> None:
    text = COUNTS.text([["exp1"] * 8 + ["=x"], list(range(9)), [1, "two", *["x"] * 6, 3]]).encode()
    _, problems = COUNTS.cells(text)
    assert list(map(str, problems)) == [
        "counts.csv: count: expected a whole number from 0 up, found others: line 3 ('two'), line 4 ('x'), "
        "line 5 ('x'), line 6 ('x'), line 7 ('x') and 2 more",
        "counts.csv: item: expected a code (letters, digits, _ . -; a letter first), found others: line 10 ('=x')",
    ]
