"""A folder of submissions is hostile input: one receipt a file, none accepted that should not be, the rest goes on."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.benchmark import intake as module
from sqmodel.benchmark.disclosure import protect
from sqmodel.benchmark.intake import Intake, IntakeError, read_submissions, remember
from sqmodel.benchmark.ledger import Known, LedgerError, read_ledger, write_ledger
from sqmodel.benchmark.package import SubmissionError, read_package, write_package
from sqmodel.benchmark.signing import public_hex
from sqmodel.benchmark.simulate import simulate_association
from tests.benchmark.forging import QUARTER, key_of, ordinal, profile, register, valid
from tests.benchmark.hostile import ATTACKS, make_corpus, receipts

BANKS = ("bank_a", "bank_b", "bank_c")


def taken(folder: Path, **options: Any) -> Intake:
    return read_submissions(folder, register(), profile(), **{"quarter": QUARTER, **options})


def reasons(found: Intake) -> dict[str, str]:
    return dict(zip(found.receipts["file"], found.receipts["reason"], strict=True))


def put(folder: Path, name: str, institution: str = "bank_a", **changes: Any) -> None:
    write_package(valid(institution, **changes), key_of(institution), folder / f"{name}.zip")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        make_corpus(folder)
    for code in BANKS:
        put(folder, f"valid_{code}", code)
    return folder


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.json"
    write_ledger(
        {("bank_c", "2026Q2"): Known(2, "a" * 64), ("bank_c", "2026Q1"): Known(2, "b" * 64)}, path
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def attacked(corpus: Path, ledger: Path) -> tuple[Intake, int]:
    taken(corpus, known=ledger)
    tracemalloc.start()
    found = taken(corpus, known=ledger)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, peak


def test_no_attack_is_accepted_and_each_gets_its_receipt(attacked: tuple[Intake, int]) -> None:
    found, _ = attacked
    assert len(ATTACKS) >= 40
    expected = {**receipts(), **{f"valid_{code}.zip": "" for code in BANKS}}
    assert reasons(found) == expected
    assert list(found.receipts["file"]) == sorted(
        expected, key=lambda n: n.removeprefix("./").replace("\\x1b", "\x1b").replace("\\u202e", "\u202e")
    )  # fmt: skip
    assert (found.receipts["accepted"] == found.receipts["reason"].eq("")).all()


def test_the_valid_ones_beside_them_are_accepted(attacked: tuple[Intake, int]) -> None:
    found, _ = attacked
    assert [s.institution for s in found.submissions] == list(BANKS)
    assert repr(found) == f"<Intake 2026Q3: 3 of {len(ATTACKS) + 3} files accepted>"


def test_a_receipt_is_short_and_harmless(attacked: tuple[Intake, int]) -> None:
    for row in attacked[0].receipts.itertuples():
        text = f"{row.file}{row.institution}{row.quarter}{row.reason}"
        assert text.isprintable()
        assert text.isascii()
        assert len(text) < 2_000
        assert row.file[:1] not in "=+-@"


def test_memory_is_bounded(attacked: tuple[Intake, int]) -> None:
    # Of the 32 MB that the bomb holds, the 3 GB of the sparse file and the 50 MB inside the nested ones, nothing.
    assert attacked[1] < 8_000_000


def test_the_result_is_the_same_in_processes(
    corpus: Path, ledger: Path, attacked: tuple[Intake, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORTH_PROCESSES", 1)
    found = taken(corpus, known=ledger, workers=2)
    pd.testing.assert_frame_equal(found.receipts, attacked[0].receipts)
    assert [s.institution for s in found.submissions] == list(BANKS)


def test_whatever_goes_wrong_with_one_file_the_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in BANKS:
        put(tmp_path, code, code)
    original = module.read_trusted

    def faulty(path: Path, *args: Any) -> Any:
        if path.name == "bank_b.zip":
            raise ZeroDivisionError("a fault of our own")
        return original(path, *args)

    monkeypatch.setattr(module, "read_trusted", faulty)
    assert reasons(taken(tmp_path)) == {
        "bank_a.zip": "",
        "bank_b.zip": "Expected a submission, found a file that could not be read: ZeroDivisionError inside sqmodel; "
        "please report it.",
        "bank_c.zip": "",
    }

    def interrupted(path: Path, *args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_trusted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        taken(tmp_path)


def test_the_latest_revision_counts(tmp_path: Path) -> None:
    for revision in (0, 1, 2):
        put(tmp_path, f"r{revision}", revision=revision)
    put(tmp_path, "before", quarter="2026Q2")
    found = taken(tmp_path)
    assert reasons(found) == {
        "before.zip": "", "r0.zip": "Replaced by revision 2 in r2.zip.",
        "r1.zip": "Replaced by revision 2 in r2.zip.", "r2.zip": "",
    }  # fmt: skip
    assert [(s.quarter, s.revision) for s in found.submissions] == [("2026Q2", 0), ("2026Q3", 2)]
    assert found.receipts.loc[1].to_dict() == {
        "file": "r0.zip", "institution": "bank_a", "quarter": "2026Q3", "revision": 0, "accepted": False,
        "reason": "Replaced by revision 2 in r2.zip.",
    }  # fmt: skip


def test_duplicates_count_once_and_contradictions_not_at_all(tmp_path: Path) -> None:
    put(tmp_path, "b1", "bank_b")
    put(tmp_path, "b2", "bank_b")
    put(tmp_path, "a0", revision=0)
    put(tmp_path, "a1", revision=1)
    put(tmp_path, "a2", revision=1, context=())
    doubt = "Expected one content of revision 1, found another in {}: it is not known which counts."
    assert reasons(taken(tmp_path)) == {
        "a0.zip": "Replaced by revision 1 in a1.zip.",
        "a1.zip": doubt.format("a2.zip"),
        "a2.zip": doubt.format("a1.zip"),
        "b1.zip": "",
        "b2.zip": "Expected every submission once, found the same as in b1.zip.",
    }


def test_what_was_accepted_is_remembered(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "in", tmp_path / "ledger.json"
    folder.mkdir()
    put(folder, "x", simulated=False, revision=1)
    first = taken(folder, known=ledger)
    remember(first, ledger)
    assert read_ledger(ledger) == {("bank_a", QUARTER): Known(1, first.received[0].digest)}
    # Again the same, then an older one, then a rewritten one, then a correction.
    assert reasons(taken(folder, known=ledger)) == {"x.zip": ""}
    put(folder, "x", simulated=False, revision=0)
    assert reasons(taken(folder, known=ledger)) == {
        "x.zip": "Expected revision 1 or later of 2026Q3, which was accepted before, found revision 0: an old "
        "submission was sent again."
    }  # fmt: skip
    put(folder, "x", simulated=False, revision=1, context=())
    assert reasons(taken(folder, known=ledger)) == {
        "x.zip": "Expected revision 1 of 2026Q3 as it was accepted before, found another content; a correction needs a "
        "higher revision."
    }  # fmt: skip
    put(folder, "x", simulated=False, revision=2, context=())
    second = taken(folder, known=ledger)
    assert reasons(second) == {"x.zip": ""}
    remember(second, ledger)
    remember(first, ledger)
    assert read_ledger(ledger)["bank_a", QUARTER].revision == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "ledger.json"]


def test_a_trial_leaves_nothing_in_the_ledger(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "in", tmp_path / "ledger.json"
    folder.mkdir()
    put(folder, "x")
    remember(taken(folder, known=ledger), ledger)
    assert read_ledger(ledger) == {}
    put(folder, "x", simulated=False, context=())
    assert reasons(taken(folder, known=ledger)) == {"x.zip": ""}


def test_simulated_submissions_never_count_beside_real_ones(tmp_path: Path) -> None:
    """Also one that would replace the real one of its own institution, and those of other quarters."""
    put(tmp_path, "a_trial", revision=7)
    put(tmp_path, "b_trial", "bank_b")
    put(tmp_path, "c_before", "bank_c", quarter="2026Q2")
    found = taken(tmp_path)
    assert set(reasons(found).values()) == {""}
    assert all(s.simulated for s in found.submissions)
    put(tmp_path, "a_real", simulated=False)
    refused = ("Expected answers of real clients, as in other submissions that count, found simulated ones. Send what "
               "was really collected; trials belong in a folder of their own.")  # fmt: skip
    found = taken(tmp_path)
    assert reasons(found) == {
        "a_real.zip": "",
        **dict.fromkeys(("a_trial.zip", "b_trial.zip", "c_before.zip"), refused),
    }
    assert [(s.institution, s.simulated) for s in found.submissions] == [("bank_a", False)]
    # A real one that is refused itself makes nobody else's trial wrong.
    put(tmp_path, "a_real", simulated=False, quarter="2026Q4")
    future = {"a_real.zip": "Expected a quarter up to 2026Q3, found 2026Q4."}
    assert {n: r for n, r in reasons(taken(tmp_path)).items() if r} == future


def signed(folder: Path, name: str, key: str, **changes: Any) -> None:
    """A submission of bank_c's, signed with one of its keys."""
    write_package(valid("bank_c", simulated=False, **changes), key_of(key), folder / f"{name}.zip")


def test_after_a_rotation_earlier_quarters_are_read_with_the_key_of_before(tmp_path: Path) -> None:
    signed(tmp_path, "first", "bank_c_before", quarter="2025Q1")
    signed(tmp_path, "last", "bank_c_before", quarter="2026Q1")
    signed(tmp_path, "now", "bank_c")
    found = taken(tmp_path)
    assert set(found.receipts["reason"]) == {""}
    assert [s.quarter for s in found.submissions] == ["2025Q1", "2026Q1", QUARTER]
    signed(tmp_path, "late", "bank_c_before", quarter="2026Q2")
    with pytest.raises(SubmissionError) as caught:
        read_package(tmp_path / "late.zip", register())
    assert str(caught.value) == (
        "late.zip: 1 problem\n"
        "  - signature.json: expected a key of bank_c that is valid for 2026Q2, found the one that begins with "
        f"{public_hex(key_of('bank_c_before'))[:16]}, which is valid from 2025Q1 until 2026Q1; sign with the key of "
        "that quarter, or have the association enter the quarter in its register"
    )


def test_of_a_revoked_key_only_what_the_ledger_has_is_read(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "in", tmp_path / "ledger.json"
    folder.mkdir()
    signed(folder, "theirs", "bank_c_stolen", quarter="2026Q2", revision=1)
    refused = (
        "signature.json: expected a key of bank_c that is in use, found the one that begins with "
        f"{public_hex(key_of('bank_c_stolen'))[:16]}, which is revoked: nothing that it signs is taken any more, of "
        "whatever quarter; sign with another key that is valid for 2026Q2"
    )
    assert reasons(taken(folder)) == reasons(taken(folder, known=ledger)) == {"theirs.zip": f"{refused}."}
    with pytest.raises(SubmissionError) as caught:
        read_package(folder / "theirs.zip", register())
    assert str(caught.value) == f"theirs.zip: 1 problem\n  - {refused}"
    # It was accepted before the key was revoked.
    digest = read_package(folder / "theirs.zip", None).digest
    write_ledger({("bank_c", "2026Q2"): Known(1, digest)}, ledger)
    found = taken(folder, known=ledger)
    assert reasons(found) == {"theirs.zip": ""}
    # Another content, another revision and another quarter are not what was accepted.
    others: tuple[dict[str, Any], ...] = ({"context": ()}, {"revision": 2}, {"revision": 0}, {"quarter": "2026Q1"})
    for k, changes in enumerate(others):
        signed(folder, f"new{k}", "bank_c_stolen", **{"quarter": "2026Q2", "revision": 1, **changes})
    told = reasons(taken(folder, known=ledger))
    assert told == {"theirs.zip": "", **{f"new{k}.zip": f"{refused}." for k in range(3)},
                    "new3.zip": f"{refused.replace('2026Q2', '2026Q1')}."}  # fmt: skip
    # What a thief got accepted the institution replaces with its own key.
    signed(folder, "ours", "bank_c", quarter="2026Q2", revision=2)
    second = taken(folder, known=ledger)
    assert [(s.quarter, s.revision) for s in second.submissions] == [("2026Q2", 2)]
    remember(second, ledger)
    assert reasons(taken(folder, known=ledger))["theirs.zip"] == f"{refused}."


def test_ordinal_statistics_that_nobody_asked_for_are_refused_unopened(tmp_path: Path) -> None:
    put(tmp_path, "a", "bank_a", ordinal=ordinal())
    put(tmp_path, "b", "bank_b")
    names = [a for a in ATTACKS if a.name in ("acov_not_definite.zip", "thresholds_fall.zip")]
    for attack in names:
        attack.make(tmp_path / attack.name)
    refused = ("datapackage.json: expected no thresholds and polychoric correlations, for which the association's "
               "profile does not ask, found those of 40 respondents; submit again with the association's profile, "
               "without them.")  # fmt: skip
    found = read_submissions(tmp_path, register(), profile(ordinal=False), quarter=QUARTER)
    assert reasons(found) == {"a.zip": refused, "b.zip": "", **{a.name: refused for a in names}}


def test_who_tells_answers_only_needs_no_standard(tmp_path: Path) -> None:
    put(tmp_path, "a", standard=None, indicators=(), waiting=())
    put(tmp_path, "b", "bank_b", standard=None)
    assert reasons(taken(tmp_path)) == {
        "a.zip": "",
        "b.zip": "datapackage.json: expected the standard lending_standard, as the association's profile asks, found "
        "figures of indicators.csv and waiting.csv and no standard; name it in the params (`standard`) and submit "
        "again.",
    }
    open_ = profile().model_copy(update={"standard": ""})
    assert set(read_submissions(tmp_path, register(), open_, quarter=QUARTER).receipts["reason"]) == {""}


def test_ordinal_statistics_are_read_when_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "a", "bank_a", ordinal=ordinal())
    put(tmp_path, "b", "bank_b")
    put(tmp_path, "c", "bank_c", ordinal=ordinal(), quarter="2026Q2")
    found = taken(tmp_path)
    assert [s.ordinal for s in found.submissions] == [None] * 3
    ((code, statistics),) = found.ordinals(QUARTER)
    assert code == "bank_a"
    acov, expected = statistics.moments.acov, ordinal().moments.acov
    assert acov is not None
    assert expected is not None
    assert np.array_equal(acov, expected)
    assert [c for c, _ in found.ordinals("2026Q2")] == ["bank_c"]


def test_what_institutions_send_is_accepted_whatever_they_withhold(tmp_path: Path) -> None:
    codes = [f"I{k}" for k in range(1, 7)]
    simulated = simulate_association(
        6, quarters=("2026Q2", QUARTER), respondents=[12, 30, 60, 150, 400, 900], missing=0.2, ordinal=True,
        keys={c: public_hex(key_of(c)) for c in codes}, rng=3,
    )  # fmt: skip
    rules, withheld = profile().disclosure, 0
    for own in simulated.submissions:
        sent = protect(own, rules, secret=b"own")
        withheld += len(sent.withheld)
        write_package(sent, key_of(own.institution), tmp_path / f"{own.institution}-{own.quarter}.zip")
    found = read_submissions(tmp_path, simulated.register, profile(), quarter=QUARTER)
    assert set(found.receipts["reason"]) == {""}
    assert [s.institution for s in found.submissions] == codes * 2
    assert withheld > 50


def test_an_empty_folder_is_no_fault(tmp_path: Path) -> None:
    found = taken(tmp_path)
    assert found.submissions == ()
    assert list(found.receipts.columns) == ["file", "institution", "quarter", "revision", "accepted", "reason"]
    assert len(found.receipts) == 0


def test_a_folder_a_quarter_and_a_ledger_are_needed(tmp_path: Path) -> None:
    with pytest.raises(IntakeError) as caught:
        taken(tmp_path, quarter="2026Q3\n")
    assert str(caught.value) == "quarter: 1 problem\n  - expected a quarter such as 2026Q3, found '2026Q3\\n'"
    with pytest.raises(IntakeError) as caught:
        taken(tmp_path / "none")
    assert str(caught.value) == (
        f"{tmp_path / 'none'}: 1 problem\n  - expected a folder of submissions, found: No such file or directory"
    )
    path = tmp_path / "ledger.json"
    row = {"institution": "bank_a", "quarter": "2026", "revision": -1, "digest": "a" * 64}
    path.write_text(json.dumps({"schema": "sqmodel.ledger/1", "accepted": [row]}))
    with pytest.raises(LedgerError) as caught:
        taken(tmp_path, known=path)
    assert str(caught.value) == (
        f"{path}: 2 problems\n"
        "  - accepted.0.quarter: String should match pattern '^[0-9]{4}Q[1-4]$', found '2026'\n"
        "  - accepted.0.revision: Input should be greater than or equal to 0, found -1\n"
        "  What to do: restore the ledger from a copy"
    )
