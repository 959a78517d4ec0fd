"""The newcomer's walk: the README's four commands, as they stand there, from nothing to the association's pages."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

from sqmodel.benchmark.assess import assess_benchmark
from sqmodel.benchmark.intake import read_submissions
from sqmodel.benchmark.profile import load_profile, load_register
from tests.reporting.cells import ROOT
from tests.reporting.projects import call

INSTITUTIONS = ["bank_a", "bank_b", "bank_c"]


def commands() -> list[list[str]]:
    """The commands of the benchmark's section of the README."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## The benchmark of an association")[1]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


def run(words: list[str]) -> str:
    """Run a command as a shell would, patterns replaced by the files that are there; gives what it printed."""
    found: list[str] = []
    for word in words:
        found += sorted(map(str, Path().glob(word))) if "*" in word else [word]
    assert found[0] == "sqmodel"
    result = call(*found[1:])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def association(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After the first three commands: three institutions have submitted."""
    folder = tmp_path_factory.mktemp("newcomer")
    with contextlib.chdir(folder):
        for words in commands()[:3]:
            run(words)
    return folder


def test_the_walk_is_four_commands() -> None:
    assert [words[:2] for words in commands()] == [
        ["sqmodel", "demo"], ["sqmodel", "keys"], ["sqmodel", "submit"], ["sqmodel", "benchmark"],
    ]  # fmt: skip


def test_the_institutions_of_the_walk_are_accepted_and_ranked(association: Path) -> None:
    profile = load_profile("lending_association")
    register = load_register(association / "walk" / "register.yaml")
    assert [m.code for m in register.members] == INSTITUTIONS
    intake = read_submissions(association / "walk" / "inbox", register, profile, quarter="2026Q3")
    assert intake.receipts["accepted"].all(), intake.receipts["reason"].tolist()
    found = assess_benchmark(
        intake.submissions, profile, register, quarter="2026Q3", receipts=intake.receipts, draws=500
    )
    standing = found.standing.set_index("institution")
    assert (found.institutions, found.simulated) == (3, True)
    assert found.gate.verdict in ("comparable", "partial")
    assert standing["rank"].notna().all(), standing["reason"].tolist()
    # They differ in how content their clients are, as planted; what was done is alike.
    assert standing["score"].sort_values(ascending=False).index.tolist() == INSTITUTIONS
    assert standing.loc["bank_a", "low"] > standing.loc["bank_c", "score"]


def test_the_association_publishes_what_they_sent(association: Path) -> None:
    with contextlib.chdir(association):
        lines = run(commands()[3]).splitlines()
        page, confidential = (Path(line) for line in lines[-2:])
        assert page.is_file()
        assert page.name == "index.html"
        own = {code: [p for p in confidential.rglob("*.html") if code in p.as_posix()] for code in INSTITUTIONS}
    assert all(own.values()), own
    text = (association / page).read_text(encoding="utf-8")
    assert all(code in text for code in INSTITUTIONS)
