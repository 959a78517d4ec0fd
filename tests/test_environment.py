"""The set-up files agree with each other, and every package that the user asked for is really used."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {
    "matplotlib-base": "matplotlib",
    "brotli-python": "brotli",
    "playwright-python": "playwright",
    "python-duckdb": "duckdb",
}
ASKED_FOR = ("jupyterlab", "papermill", "pandas", "pingouin", "factor-analyzer", "seaborn", "nbconvert", "pytest")


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def canonical(requirement: str) -> str:
    return requirement.replace(" ", "").lower().replace("_", "-")


def in_pyproject() -> set[str]:
    content = project()
    extras = content["optional-dependencies"]
    assert isinstance(extras, dict)
    wanted = [*content["dependencies"], *(r for name in extras if name != "all" for r in extras[name])]
    return {canonical(r) for r in wanted}


def in_environment() -> set[str]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    names = [entry for entry in listed if isinstance(entry, str) and not entry.startswith("python>")]
    found = set()
    for entry in [*names, *pip]:
        name = re.split(r"[><=\[ ]", entry, maxsplit=1)[0]
        found.add(canonical(CONDA_NAMES.get(name, name) + entry[len(name) :]))
    return found - {"pip", "-e."}


def test_environment_and_pyproject_name_the_same_dependencies() -> None:
    assert in_environment() == in_pyproject()


def test_environment_asks_for_the_same_python() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert f"python{project()['requires-python']}" in listed


def test_constraints_pin_every_dependency_and_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "://" in line or " @ " in line or "==" not in line] == []
    pinned = {canonical(line.split("==")[0]) for line in lines}
    wanted = {re.split(r"[><=\[]", r, maxsplit=1)[0] for r in in_pyproject()}
    assert wanted - pinned == set()


@pytest.mark.parametrize("name", ASKED_FOR)
def test_what_the_user_asked_for_is_declared_and_installed(name: str) -> None:
    declared = {re.split(r"[><=\[]", r, maxsplit=1)[0] for r in in_pyproject()}
    assert name in declared
    assert version(name)


def imports() -> dict[str, set[str]]:
    """Top-level packages imported anywhere in the package, and where."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "sqmodel").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("package", ["papermill", "pandas", "pingouin", "factor_analyzer", "seaborn", "nbconvert"])
def test_what_the_user_asked_for_is_used_by_the_package(package: str) -> None:
    assert imports().get(package), package


def test_jupyterlab_can_open_the_notebooks() -> None:
    import jupyterlab
    import nbformat

    assert int(jupyterlab.__version__.split(".")[0]) >= 4
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [p.stem for p in notebooks] == [
        "benchmark",
        "business_line",
        "index_design",
        "monitor",
        "tutorial",
        "validation",
    ]
    for path in notebooks:
        nbformat.validate(nbformat.read(path, as_version=4))
    assert "jupyter lab" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_project_names_no_path_of_a_machine() -> None:
    suspects = []
    for path in [*(ROOT / "sqmodel").rglob("*.*"), *(ROOT / "notebooks").glob("*.ipynb"), *ROOT.glob("*.*")]:
        if path.is_file() and path.suffix in {".py", ".yaml", ".yml", ".md", ".toml", ".ipynb", ".txt", ".css", ".j2"}:
            text = path.read_text(encoding="utf-8")
            suspects += [str(path) for mark in ("/home/", "/root/", "/tmp/v", "index-url") if mark in text]
    assert suspects == []
