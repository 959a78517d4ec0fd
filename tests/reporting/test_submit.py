"""Submitting: an institution's params become a signed file, whose every figure the compliance officer can read."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import Result

from sqmodel.benchmark.content import Submission
from sqmodel.benchmark.demo_institutions import QUARTER, demo_institutions
from sqmodel.benchmark.disclosure import needs_complete_scores
from sqmodel.benchmark.package import Received, read_package, write_package
from sqmodel.benchmark.profile import load_profile, load_register
from sqmodel.benchmark.signing import new_keys
from sqmodel.errors import InputError
from sqmodel.reporting.study import load_study
from sqmodel.reporting.submit import build_submission
from sqmodel.survey.instrument import load_instrument
from tests.benchmark.forging import ordinal, valid
from tests.reporting.projects import call

PROFILE = load_profile("lending_association")
RECORDS = ("events", "complaints", "exposures", "alerts", "tests", "training")


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two institutions with keys and a register."""
    folder = tmp_path_factory.mktemp("walk")
    demo_institutions(folder, 2)
    result = keys(folder, "bank_a", "bank_b", "--register", folder / "register.yaml")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def sent(walk: Path) -> tuple[Received, Result]:
    """The whole of bank_a's quarter, records and all."""
    output = walk / "inbox" / "a.zip"
    found = submit(walk, walk / "params" / "bank_a.yaml", output)
    assert found.exit_code == 0, found.output
    return read_package(output, load_register(walk / "register.yaml"), PROFILE), found


def keys(folder: Path, *arguments: object) -> Result:
    return call("keys", "new", *map(str, arguments), "--folder", str(folder / "keys"))


def submit(folder: Path, params: Path | list[Path], output: Path, *options: object) -> Result:
    paths = [params] if isinstance(params, Path) else params
    return call("submit", *map(str, paths), "--quarter", QUARTER, "-o", str(output), "--key", str(folder / "keys"),
                *map(str, options))  # fmt: skip


def answers_only(walk: Path, path: Path, **changes: object) -> Path:
    """Params of bank_a without records: quick to analyse."""
    content = yaml.safe_load((walk / "params" / "bank_a.yaml").read_text(encoding="utf-8"))
    content = {k: v for k, v in content.items() if k not in RECORDS} | changes
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_file_holds_what_the_study_found(sent: tuple[Received, Result], walk: Path) -> None:
    found, told = sent[0].submission, sent[1].output
    assert (found.institution, found.quarter, found.revision, found.simulated) == ("bank_a", QUARTER, 0, True)
    assert [i.code for i in found.indicators if "." not in i.code] == [
        "repeated", "handovers", "review_hours", "within_limit", "complaints", "warning_precision", "test_share",
        "trained",
    ]  # fmt: skip
    assert {c.variable for c in found.context} == set(PROFILE.case_mix)
    assert {w.stage for w in found.waiting} >= {"qualification_review", "credit_approval"}
    assert found.moments is not None
    assert found.moments.n >= PROFILE.gate.minimum_n
    assert hashlib.sha256((walk / "inbox" / "a.zip").read_bytes()).hexdigest() in told
    hidden = [w for w in found.withheld if w.table == "counts"]
    assert hidden
    assert all(w.cell in told for w in hidden)
    assert "withheld from counts (small counts): " in told


def test_show_prints_every_figure_and_the_signature(sent: tuple[Received, Result], walk: Path) -> None:
    received, found = sent[0], sent[0].submission
    output = call("submission", "show", str(walk / "inbox" / "a.zip"), "--all")
    assert output.exit_code == 0, output.output
    lines, words = output.output.splitlines(), set(output.output.split())
    assert lines[0] == f"bank_a {QUARTER} revision 0, simulated"
    assert lines[1:3] == ["signature: verified with the key that the file names", f"  {received.key}"]
    assert received.key == (walk / "keys" / "bank_a.pub").read_text(encoding="utf-8").strip()
    assert found.moments is not None
    assert {repr(float(v)) for v in figures(found)} <= words
    assert_counts(lines, found)


def figures(found: Submission) -> list[float]:
    """All estimates of a submission that has moments."""
    assert found.moments is not None
    every = [*found.moments.mean, *found.moments.cov.ravel(), *found.score_cov.ravel()]
    return every + [v for row in (*found.scores, *found.indicators, *found.waiting, *found.context) for v in row
                    if isinstance(v, float) and v == v]  # fmt: skip


def assert_counts(lines: list[str], found: Submission) -> None:
    for own in found.counts:
        row = next(line for line in lines if line.split()[:1] == [own.item] and ":" in line)
        assert row.split()[1:] == [f"{k}:{'withheld' if n is None else n}" for k, n in zip(own.categories, own.counts,
                                                                                         strict=True)]  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_show_fits_a_terminal_and_says_what_it_rounds(
    sent: tuple[Received, Result], walk: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = call("submission", "show", str(walk / "inbox" / "a.zip")).output.splitlines()
    assert " ".join(lines[1:]).startswith(
        "All counts are printed as they are in the file, estimates are rounded to 4 digits; of covariances of "
        "polychorics there is only a summary. --all prints every number with all its digits, --csv FOLDER writes the "
        "tables of the file byte for byte. signature: verified"
    )
    assert [line for line in lines if len(line) > width] == []
    assert {f"{float(v):.4g}" for v in figures(sent[0].submission)} <= {w for line in lines for w in line.split()}
    assert_counts(lines, sent[0].submission)


def test_of_ordinal_statistics_the_covariances_are_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    private, own = new_keys("a", tmp_path).private, ordinal()
    write_package(valid(ordinal=own), private, tmp_path / "a.zip")
    received = read_package(tmp_path / "a.zip", None)
    said = call("submission", "show", str(tmp_path / "a.zip"))
    lines = said.output.splitlines()
    size, digest = received.tables["polychoric_covariances.csv"]
    begin = lines.index("polychoric_covariances (of thresholds and polychorics; how sure these are)")
    assert lines[begin + 1 : begin + 4] == [
        "  in the file, not printed here: 18 x 18, symmetric, so 171 numbers, from 0.1 to 1.6",
        f"  polychoric_covariances.csv: {size} bytes, sha256", f"  {digest}",
    ]  # fmt: skip
    assert lines[lines.index("thresholds") + 2].split() == [own.items[0], "-1", "0", "1.25"]
    row = lines.index("polychorics (lower triangle)")
    assert lines[row + 5].split() == [own.items[3], "0.3", "0.3", "0.3", "1"]
    every = call("submission", "show", str(tmp_path / "a.zip"), "--all", "--csv", str(tmp_path / "out"))
    assert every.stdout.split().count("1.6") == 18
    assert "not printed" not in every.stdout
    written = {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert written == {Path(n).name: archive.read(n) for n in archive.namelist()}
    assert len(every.stderr.splitlines()) == len(written)
    again = call("submission", "show", str(tmp_path / "a.zip"), "--csv", str(tmp_path / "out"))
    assert (again.exit_code, again.output) == (2, (
        f"{tmp_path / 'out'}: expected no folder of this name or an empty one, found something; nothing was written\n"
    ))  # fmt: skip


def test_show_tells_machines_the_same(sent: tuple[Received, Result], walk: Path) -> None:
    found = json.loads(call("submission", "show", str(walk / "inbox" / "a.zip"), "--json").output)
    own = sent[0].submission
    assert found["signature"] == {"key": sent[0].key, "verified": True}
    assert found["scores"] == [s._asdict() for s in own.scores]
    assert own.moments is not None
    assert found["moments"]["cov"] == own.moments.cov.tolist()
    assert found["counts"][0]["counts"] == list(own.counts[0].counts)
    assert found["indicators"][1]["events"] is None
    assert found["ordinal"] is None


def test_show_refuses_a_file_that_was_changed(sent: tuple[Received, Result], walk: Path, tmp_path: Path) -> None:
    content = bytearray((walk / "inbox" / "a.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    result = call("submission", "show", str(tmp_path / "a.zip"))
    assert result.exit_code == 2
    assert result.output.startswith("a.zip: 1 problem\n")


def test_the_same_study_gives_the_same_bytes_and_a_correction_needs_a_revision(walk: Path, tmp_path: Path) -> None:
    params = answers_only(walk, tmp_path / "bank_a.yaml")
    first = submit(walk, params, tmp_path / "one")
    assert first.exit_code == 0, first.output
    name = f"bank_a-{QUARTER}-r0.zip"
    assert submit(walk, params, tmp_path / "two").exit_code == 0
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    again = submit(walk, params, tmp_path / "three", "--earlier", tmp_path / "one" / name)
    assert again.exit_code == 2
    assert not (tmp_path / "three").exists()
    assert again.output == (
        f"bank_a {QUARTER}: analysing\n"
        f"bank_a {QUARTER}: 1 problem\n"
        "  - revision: expected one above 0, which was sent before, found 0\n"
        "  What to do: wait for more answers, or send the quarter with the next one; a submission from which "
        "somebody's answer could be worked out is not written\n"
    )
    corrected = submit(walk, params, tmp_path / "three", "--earlier", tmp_path / "one" / name, "--revision", 1)
    assert corrected.exit_code == 0, corrected.output
    assert read_package(tmp_path / "three" / f"bank_a-{QUARTER}-r1.zip", None).submission.revision == 1


def test_a_few_incomplete_answers_leave_scores_of_the_others(walk: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(walk / "data" / "bank_a.csv")
    whole = frame[load_instrument("lending_service").item_codes].notna().all(axis=1)
    few = pd.concat([frame[whole], frame[~whole].head(4)])
    few.astype(dict.fromkeys(few.select_dtypes("number"), "Int64")).to_csv(tmp_path / "few.csv", index=False)
    study = load_study(answers_only(walk, tmp_path / "few.yaml", responses=str(tmp_path / "few.csv")))
    found = build_submission(study, PROFILE)
    assert found.moments is not None
    assert {found.n, found.moments.n, *(s.n for s in found.scores)} == {found.moments.n}
    assert not needs_complete_scores([s.n for s in found.scores], found.moments.n, PROFILE.disclosure)
    own = dict(zip(found.moments.items, found.moments.mean, strict=True))
    for score, items in zip(found.scores[1:], load_instrument("lending_service").structure().values(), strict=True):
        mean = sum(own[i] for i in items) / len(items)
        assert score.estimate == pytest.approx((mean - 1) / 6 * 100, abs=1e-8)


def test_a_failed_measure_is_sent_only_with_a_reason(walk: Path, tmp_path: Path) -> None:
    strict = {"criteria": {"alpha": {"threshold": 0.99, "required": True}}}
    failed = submit(walk, answers_only(walk, tmp_path / "a.yaml", **strict), tmp_path / "out")
    assert failed.exit_code == 2
    assert f"bank_a: lending_service {QUARTER}: the answers do not support an index\n" in failed.output
    assert not (tmp_path / "out").exists()
    accepted = submit(walk, answers_only(walk, tmp_path / "a.yaml", accept="a pilot", **strict), tmp_path / "out")
    assert accepted.exit_code == 0, accepted.output


def test_all_problems_are_told_at_once_and_nothing_is_written(walk: Path, tmp_path: Path) -> None:
    nobody = answers_only(walk, tmp_path / "nobody.yaml", institution="")
    stranger = answers_only(walk, tmp_path / "stranger.yaml", institution="bank_z")
    formula = answers_only(walk, tmp_path / "formula.yaml", institution="=1+1")
    result = submit(walk, [nobody, stranger, formula], tmp_path / "all.zip")
    assert result.exit_code == 2
    assert result.output == (
        "submit: 1 problem\n"
        "  - -o: expected a folder for 3 params, found all.zip\n"
        f"{nobody}: 1 problem\n"
        "  - institution: expected the code in the association's register, found none\n"
        "  What to do: correct the params; nothing was written\n"
        f"{walk}/keys/bank_z.key: 1 problem\n"
        "  - expected a private key, found: No such file or directory\n"
        "  What to do: give the file CODE.key that `sqmodel keys new` wrote\n"
        f"{formula}: 1 problem\n"
        "  - institution: expected a code such as bank_a: a letter first, then letters, digits, _ . -, found '=1+1'\n"
        "  What to do: correct the params; `sqmodel check` tests them without running anything\n"
    )


def test_a_questionnaire_that_is_not_the_associations_is_refused(walk: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.instrument.yaml"
    own.write_text(
        (Path(__file__).parents[1] / "data" / "second.instrument.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    params = answers_only(walk, tmp_path / "other.yaml", instrument=str(own))
    result = submit(walk, [params, params], tmp_path / "out")
    name = load_instrument(own).name
    assert result.exit_code == 2
    assert result.output == (
        f"{params}: 1 problem\n"
        f"  - instrument: expected lending_service as lending_association asks, found {name}\n"
        "  What to do: correct the params; nothing was written\n"
    )


def test_one_institution_submits_once(walk: Path, tmp_path: Path) -> None:
    params = [answers_only(walk, tmp_path / f"{name}.yaml") for name in ("one", "two")]
    result = submit(walk, params, tmp_path / "out")
    assert result.output == (
        "submit: 1 problem\n"
        f"  - institution: expected bank_a once, found it in {params[0]}, {params[1]}\n"
    )  # fmt: skip


def test_too_few_complete_answers_are_told_by_institution(walk: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(walk / "data" / "bank_a.csv").head(60)
    items = load_instrument("lending_service").item_codes
    for k in range(45):
        frame.loc[frame.index[k], items[k % 26]] = float("nan")
    frame.astype(dict.fromkeys(frame.select_dtypes("number"), "Int64")).to_csv(tmp_path / "few.csv", index=False)
    params = answers_only(walk, tmp_path / "a.yaml", responses=str(tmp_path / "few.csv"), accept="a pilot")
    result = submit(walk, params, tmp_path / "a.zip")
    assert result.exit_code == 2
    assert result.output == (
        f"bank_a {QUARTER}: analysing\n"
        "bank_a: expected more complete rows than the 26 items, found 10; collect more answers or leave out items that "
        "few answered\n"
    )


def test_keys_enter_members_and_leave_the_other_lines(walk: Path, tmp_path: Path) -> None:
    register = tmp_path / "register.yaml"
    key = "ab" * 32
    text = (
        "name: us  # ours\n"
        "title: {en: Us}\n"
        "peer_groups: {big: {en: Big}}\n"
        "members:\n"
        "- code: old\n"
        "  title: {en: Old}\n"
        f'  key: "{key}"\n'
        "  peers: big\n"
        "# the end\n"
    )
    register.write_text(text, encoding="utf-8")
    result = keys(tmp_path, "bank_x", "bank_y", "--register", register)
    assert result.exit_code == 0, result.output
    public = [(tmp_path / "keys" / f"{c}.pub").read_text(encoding="utf-8").strip() for c in ("bank_x", "bank_y")]
    entries = [f'- {{code: {c}, title: {{zh: {c}, en: {c}}}, key: "{k}"}}' for c, k in
               zip(("bank_x", "bank_y"), public, strict=True)]  # fmt: skip
    expected = text.replace("# the end\n", "".join(f"{e}\n" for e in entries) + "# the end\n")
    assert register.read_text(encoding="utf-8") == expected
    assert [m.code for m in load_register(register).members] == ["old", "bank_x", "bank_y"]
    assert all(e in result.output for e in entries)


def test_keys_are_never_written_over(tmp_path: Path) -> None:
    register = tmp_path / "register.yaml"
    assert keys(tmp_path, "bank_x", "--register", register).exit_code == 0
    before = register.read_bytes()
    result = keys(tmp_path, "bank_x", "bank_y", "2nd", "bank_y", "--register", register)
    folder = tmp_path / "keys"
    assert result.exit_code == 2
    assert result.output == (
        "keys: 5 problems\n"
        "  - expected every code once, found bank_y 2 times\n"
        "  - expected a code such as bank_a (letters, digits, _ . -; a letter first), found '2nd'\n"
        f"  - expected no bank_x.key in {folder}, found one\n"
        f"  - expected no bank_x.pub in {folder}, found one\n"
        f"  - expected no bank_x in {register}, found one\n"
        "  What to do: keys and entries that are there stay as they are; nothing was made\n"
    )
    assert register.read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["bank_x.key", "bank_x.pub"]


def test_institutions_differ_by_what_is_planted() -> None:
    with pytest.raises(InputError, match="expected 1 to 26 institutions, found 27"):
        demo_institutions("nowhere", 27)
