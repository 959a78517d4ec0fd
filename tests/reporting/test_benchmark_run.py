"""The benchmark's command: each reader gets its own version and no more, one failure stops no other, whole messages."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from sqmodel.reporting.benchmark_inputs import CONFIDENTIAL, refusals
from sqmodel.reporting.kernels.launchers import Launcher
from sqmodel.reporting.manifest import damaged, read_manifest
from sqmodel.reporting.sharing import copy_pages
from sqmodel.reporting.shelf import published as on_shelf
from tests.reporting.associations import make_association
from tests.reporting.cells import ROOT
from tests.reporting.projects import call, left_behind, own_process, published, write_notebook
from tests.reporting.workers import cluster

pytest.importorskip("cryptography")
pytestmark = pytest.mark.xdist_group("publisher")
COMMAND = ("benchmark", "in", "-q", "2026Q3", "--profile", "profile.yaml", "--register", "register.yaml", "--secret",
           "secret", "--draws", "200")  # fmt: skip
CODES = ("I1", "I2", "I3", "I4")
OWN = f"{CONFIDENTIAL}/2026Q3"


@pytest.fixture(scope="module")
def compared(warm: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An association of four whose benchmark is published with blind codes; for copying and looking only."""
    folder = tmp_path_factory.mktemp("association")
    make_association(folder, 4, names="codes", respondents=120, rng=3)
    (folder / "in" / "broken.zip").write_bytes(b"no package")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = call(*COMMAND)
    assert result.exit_code == 0, result.output
    (folder / "said").write_text(f"{result.stdout}\n---\n{result.stderr}", encoding="utf-8")
    return folder


@pytest.fixture
def association(compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder; its notebook costs next to nothing."""
    shutil.copytree(compared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cheap(folder: Path, *cells: str) -> None:
    """Another notebook, in which the institution is known."""
    (folder / "notebooks").mkdir(exist_ok=True)
    path = write_notebook(folder / "notebooks" / "benchmark.ipynb", "quarter = results = institution = ''", *cells)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][1]["metadata"]["tags"] = ["parameters"]
    path.write_text(json.dumps(content), encoding="utf-8")


def pages(folder: Path) -> dict[str, bytes]:
    """All published files but logs."""
    return {name: content for name, content in published(folder / "reports").items() if "/.logs/" not in name}


def test_every_institution_and_the_public_get_a_report_and_a_refused_file_stops_nothing(compared: Path) -> None:
    out, err = (compared / "said").read_text(encoding="utf-8").split("\n---\n")
    lines = out.splitlines()
    assert lines[0].startswith("8 of 9 files accepted; <Benchmark 2026Q3: ")
    assert lines[-3:] == ["5 of 5 published", "reports/2026Q3/benchmark/index.html", "reports/confidential/2026Q3"]
    assert sorted(line.split()[:2] for line in lines[1:-3]) == [
        ["done", "2026Q3/benchmark"], *(["done", f"{OWN}/{code}"] for code in CODES)
    ]  # fmt: skip
    assert [line.split(":")[0] for line in err.strip().splitlines()] == ["refused broken.zip"]
    receipts = pd.read_csv(compared / "reports" / OWN / "receipts.csv", keep_default_na=False)
    assert receipts.loc[receipts["file"] == "broken.zip", ["institution", "accepted"]].to_numpy().tolist() == [
        ["", False]
    ]
    whole = json.loads((compared / "reports" / OWN / "benchmark.json").read_text(encoding="utf-8"))
    assert whole["quarter"] == "2026Q3"
    for place in ("2026Q3/benchmark", *(f"{OWN}/{code}" for code in CODES)):
        folder = compared / "reports" / place
        manifest = read_manifest(folder)
        assert (manifest.kind, damaged(folder, manifest)) == ("benchmark", [])
        assert set(manifest.outputs) == {"index.html", "results.json", "tables.xlsx"}


def test_no_reader_gets_what_is_another_s(compared: Path) -> None:
    """Neither names, codes nor figures of the others, in any file that the reader gets or that its page is made of."""
    reports = compared / "reports"
    whole = json.loads((reports / OWN / "benchmark.json").read_text(encoding="utf-8"))
    standing = whole["standing"]
    rows = [dict(zip(standing["columns"], row, strict=True)) for row in standing["data"]]
    figures = {r["institution"]: {repr(r[k]) for k in ("score", "se", "adjusted") if r[k] is not None} for r in rows}
    scopes = whole["scopes"]
    for row in (dict(zip(scopes["columns"], r, strict=True)) for r in scopes["data"]):
        figures[row["institution"]] |= {repr(row[k]) for k in ("score", "se", "low", "high") if row[k] is not None}
    assert all(len(own) > 10 for own in figures.values())
    versions = reports / OWN / ".versions"
    secrets = {code: json.loads((versions / f"{code}.json").read_text(encoding="utf-8"))["own_code"] for code in CODES}
    assert len(set(secrets.values())) == 4
    for code in CODES:
        texts = [p.read_text(encoding="utf-8") for p in
                 (reports / OWN / code / "results.json", reports / OWN / code / "index.html", versions / f"{code}.json",
                  reports / OWN / code / "manifest.json")]  # fmt: skip
        assert figures[code] & set(json.dumps(json.loads(texts[0])).replace(",", " ").split())
        for text in texts:
            for other in set(CODES) - {code}:
                assert f'"{other}"' not in text
                assert f"Simulated institution {other[1:]}" not in text
                assert f"模拟机构{other[1:]}" not in text
                assert secrets[other] not in text
                assert not [f for f in figures[other] if f in text]
    public = [(reports / "2026Q3" / "benchmark" / name).read_text(encoding="utf-8")
              for name in ("index.html", "results.json", "manifest.json")]  # fmt: skip
    public.append((versions / "public.json").read_text(encoding="utf-8"))
    for text in (*public, (reports / "index.html").read_text(encoding="utf-8")):
        for code in CODES:
            assert f'"{code}"' not in text
            assert f"Simulated institution {code[1:]}" not in text
            assert f"模拟机构{code[1:]}" not in text
    assert all(code in public[1] for code in secrets.values())


def test_confidential_pages_are_on_no_shelf_and_in_no_share(compared: Path, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    shutil.copytree(compared / "reports", reports)
    index = (reports / "index.html").read_text(encoding="utf-8")
    assert "2026Q3/benchmark/index.html" in index
    assert CONFIDENTIAL not in index
    assert on_shelf(reports) == ([], {})
    assert stat.S_IMODE((compared / "reports" / CONFIDENTIAL).stat().st_mode) == 0o700
    copy_pages(reports, tmp_path / "share", ["2026Q3/benchmark"])
    assert not [p for p in (tmp_path / "share").rglob("*") if CONFIDENTIAL in p.parts]
    # Put where everyone looks, a confidential report is named as what is wrong, and not linked.
    shutil.copytree(reports / OWN / "I1", reports / "2026Q3" / "misplaced")
    place = reports / "2026Q3" / "misplaced" / "results.json"
    assert on_shelf(reports) == (
        [],
        {"2026Q3/misplaced": f"{place}: expected no confidential report in a public place, found one; "
                             "publish the report again or remove the folder"},
    )  # fmt: skip


def test_confidential_pages_are_verified_like_public_ones(association: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["2026Q3/benchmark", *(f"{OWN}/{code}" for code in CODES)]
    result = call("verify", "reports")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "".join(f"  intact    {name}\n" for name in names) + "5 of 5 as published\n"
    own = Path("reports") / OWN
    assert call("verify", str(own)).stdout.splitlines()[-1] == "4 of 4 as published"
    (own / "I2" / "results.json").write_text("{}", encoding="utf-8")
    with (own / ".versions" / "I3.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    result = call("verify", "reports")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, "3 of 5 as published")
    assert [re.sub(r"\b[0-9a-f]{12}…", "#", line) for line in result.stderr.splitlines()] == [
        f"      {own}/I2/results.json: expected sha256 #, found #",
        f"      {own}/.versions/I3.json: expected the input of sha256 #, found #: it changed since",
    ]
    closed(monkeypatch, Path("reports") / CONFIDENTIAL)
    told = ("reports/confidential: expected a folder that you can open, found: Permission denied; confidential reports "
            f"are for their owner ({own.owner()}) only: verify them as that user\n")  # fmt: skip
    result = call("verify", "reports")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0, "  intact    2026Q3/benchmark\n1 of 1 as published\n", f"not checked: {told}"
    )  # fmt: skip
    result = call("verify", "reports/confidential")
    assert (result.exit_code, result.stderr) == (2, told)
    assert call("verify", "nowhere").stderr == (
        "nowhere: expected a folder of published reports, found: No such file or directory\n"
    )


def closed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have a folder be another user's, also where root runs the tests."""
    scan = os.scandir

    def refused(path: Any = ".") -> Any:
        if Path(path).resolve() == folder.resolve():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)


def test_a_confidential_page_made_again_is_identical(warm: Launcher, association: Path) -> None:
    result = call("verify", "--rerun", f"reports/{OWN}/I1")
    assert (result.exit_code, result.stdout) == (0, f"  identical {OWN}/I1\n1 of 1 reproduced\n")


def test_what_is_unchanged_is_not_made_again(association: Path) -> None:
    before = pages(association)
    result = call(*COMMAND)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-3:-2] == ["5 of 5 published, 5 unchanged"]
    assert pages(association) == before
    (association / "reports" / OWN / "I2" / "index.html").write_text("damaged", encoding="utf-8")
    result = call(*COMMAND, "--only", "I2", "--only", "I3")
    assert result.stdout.splitlines()[-4:] == [
        f"  unchanged {OWN}/I3", *(line for line in result.stdout.splitlines() if line.startswith("  done")),
        "2 of 2 published, 1 unchanged", "reports/confidential/2026Q3",
    ]  # fmt: skip
    assert pages(association) == before


def test_one_report_that_fails_stops_no_other(warm: Launcher, association: Path) -> None:
    cheap(association, "assert institution != 'I3', 'no'\ninstitution")
    before = (association / "reports" / OWN / "I3" / "index.html").read_bytes()
    result = call(*COMMAND)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1, f"{OWN}/I3 failed at execute: AssertionError: no"
    )  # fmt: skip
    assert result.stdout.splitlines()[-3] == "4 of 5 published"
    assert (association / "reports" / OWN / "I3" / "index.html").read_bytes() == before
    assert "AssertionError: no" in (association / "reports" / OWN / ".logs" / "I3.log").read_text(encoding="utf-8")
    assert OWN not in (association / "reports" / "index.html").read_text(encoding="utf-8")


def test_ctrl_c_ends_it_and_the_next_run_goes_on(association: Path) -> None:
    """As in a terminal, which sends the signal to every process of the group."""
    before, versions = pages(association), association / "reports" / OWN / ".versions"
    cheap(association, "import time\nopen('begun-' + institution, 'w').close()\ntime.sleep(60)")
    shutil.rmtree(versions)
    run = own_process(*COMMAND, folder=association, group=True)
    until = time.monotonic() + 120
    while not list(association.glob("begun-*")) and run.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert run.poll() is None, run.communicate()
    os.killpg(run.pid, signal.SIGINT)
    begun = time.monotonic()
    out, err = run.communicate(timeout=60)
    assert time.monotonic() - begun < 30
    assert (run.returncode, err.splitlines()[1:]) == (
        130,
        ["interrupted: 0 published; what was published before is in place; run the same command again to go on"],
    )
    assert out.splitlines()[0].startswith("8 of 9 files accepted; ")
    after = pages(association)
    assert {name for name in after if name not in before} == set()
    assert {name for name in before if "/.versions/" not in name and after[name] != before[name]} == set()
    assert (left_behind(association), list(association.glob("reports/**/*scratch-*"))) == ([], [])
    cheap(association, "institution")
    result = call(*COMMAND, "--only", "I1")
    assert (result.exit_code, result.stdout.splitlines()[-2]) == (0, "1 of 1 published")


def test_reports_made_on_a_cluster_are_the_same_bytes(association: Path) -> None:
    pytest.importorskip("distributed")
    before = pages(association)
    with cluster(association, 1) as there:
        result = call(*COMMAND, "--only", "I1", "--force", "--scheduler", there.address)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == ["1 of 1 published", "reports/confidential/2026Q3"]
    assert pages(association) == before


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    register = {"name": "r", "title": "R", "members": [{"code": c, "title": c, "key": f"{k}" * 64}
                                                       for k, c in enumerate(("Public", "a", "A"))]}  # fmt: skip
    Path("register.yaml").write_text(yaml.safe_dump(register), encoding="utf-8")
    profile = yaml.safe_load((ROOT / "sqmodel/benchmark/profiles/lending_association.yaml").read_text(encoding="utf-8"))
    profile["publication"]["names"] = "codes"
    profile["perception"] |= {"EXP": "nothing"}
    Path("profile.yaml").write_text(yaml.safe_dump(profile, allow_unicode=True), encoding="utf-8")
    result = call("benchmark", "in", "-q", "2026", "--profile", "profile.yaml", "--register", "register.yaml")
    assert (result.exit_code, result.stderr) == (
        2,
        "benchmark: 7 problems\n"
        "  - quarter: expected a quarter such as 2026Q3, found '2026'\n"
        "  - in: expected a folder of submissions, found none at this path\n"
        "  - register.yaml: members: expected another code than 'Public', which is a word of the benchmark\n"
        "  - register.yaml: members: expected codes that differ in more than capital letters, found 'a'\n"
        "  - register.yaml: members: expected codes that differ in more than capital letters, found 'A'\n"
        "  - lending_association: perception.EXP: expected an indicator of lending_index (experience, repeated, "
        "handovers, efficiency, review_hours, within_limit, feedback, complaints, warning_precision, competence, "
        "test_share, trained), found 'nothing'\n"
        "  - lending_association: tree: expected every indicator in `perception` or `operations`, found nothing for "
        "'experience'\n"
        "  What to do: check the path; correct the register file; correct the profile or its tree\n",
    )
    assert not Path("reports").exists()


def test_blind_codes_need_a_secret(association: Path) -> None:
    result = call(*COMMAND[:8])
    assert (result.exit_code, result.stderr) == (
        2,
        "lending_association: 1 problem\n"
        "  - expected --secret for a profile that publishes blind codes (publication.names: codes), found none\n"
        "  What to do: make one with `openssl rand -hex 32 > FILE`, keep it where nobody else reads it, and give "
        "--secret FILE\n",
    )
    (association / "secret").write_text("short", encoding="utf-8")
    result = call(*COMMAND)
    assert (result.exit_code, result.stderr) == (
        2,
        "secret: 1 problem\n  - secret: expected 16 bytes or more, found 5\n"
        "  What to do: make one with `openssl rand -hex 32 > FILE`, keep it where nobody else reads it, and give "
        "--secret FILE\n",
    )


def test_nothing_accepted_and_nobody_known_are_bad_input(association: Path) -> None:
    result = call(*COMMAND, "--only", "I9")
    assert (result.exit_code, result.stderr.splitlines()) == (2, [
        "2026Q3: 1 problem", "  - --only: expected `public` or an institution that submitted, found 'I9'",
        "  What to do: name one of the receipts, or none for all",
    ])  # fmt: skip
    for path in (association / "in").glob("I*"):
        path.unlink()
    result = call(*COMMAND)
    refused = refusals(pd.read_csv(association / "reports" / OWN / "receipts.csv", keep_default_na=False))
    assert (result.exit_code, result.stderr.splitlines()) == (2, [
        *refused, "in: 1 problem",
        "  - expected at least one submission of 2026Q3 that can be accepted, found none among 1 files",
        "  What to do: see reports/confidential/2026Q3/receipts.csv",
    ])  # fmt: skip
    assert len(refused) == 1


def test_a_line_of_that_name_is_not_overwritten(association: Path) -> None:
    place = association / "reports" / "2026Q3" / "benchmark" / "manifest.json"
    content = json.loads(place.read_text(encoding="utf-8")) | {"kind": "report"}
    place.write_text(json.dumps(content), encoding="utf-8")
    result = call(*COMMAND)
    assert (result.exit_code, result.stderr) == (
        2,
        "reports/2026Q3/benchmark: expected the public report of a benchmark or nothing, found the report of a "
        "business line; give --reports another folder; nothing was run\n",
    )
