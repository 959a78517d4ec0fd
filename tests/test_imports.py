"""The order of the rooms: data flows one way, and the imports show it."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sqmodel

ROOT = Path(sqmodel.__file__).parent
ROOMS = [
    "errors", "result", "compute", "yaml_text", "definitions", "numerics", "survey", "measurement", "operations",
    "index", "benchmark", "reporting", "cli", "__main__",
]  # fmt: skip
MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def for_types_only(tree: ast.AST) -> set[ast.AST]:
    """Everything under ``if TYPE_CHECKING``."""
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {inner for guard in guards for statement in guard.body for inner in ast.walk(statement)}


def imported(path: Path, *, types: bool = True) -> set[str]:
    """Modules of the package that a file imports anywhere, also inside functions; `types`: also for types only."""
    known = {name_of(p) for p in MODULES}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set() if types else for_types_only(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= inner & known or {module}
    return {m for m in found if m == "sqmodel" or m.startswith("sqmodel.")}


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_rooms_before_its_own(path: Path) -> None:
    name = name_of(path)
    if name == "sqmodel":
        assert imported(path) == set()
        return
    for other in imported(path):
        assert other != "sqmodel", f"{name} imports the package root"
        assert ROOMS.index(room(other)) <= ROOMS.index(room(name)), f"{name} imports {other}"


def test_no_module_imports_itself_in_a_circle() -> None:
    """Whatever runs; a name that only a type checker reads makes no circle."""
    graph = {name_of(p): imported(p, types=False) for p in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done:
            return
        for other in graph.get(module, set()):
            visit(other, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", [p for p in MODULES if "numerics" in p.parts], ids=name_of)
def test_numerics_know_arrays_only(path: Path) -> None:
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert "pandas" not in names


@pytest.mark.parametrize("name", sqmodel.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(sqmodel, name)
    assert name == "__version__" or value.__module__.startswith("sqmodel.")
    assert name in dir(sqmodel)


def test_public_names_are_few() -> None:
    assert len(sqmodel.__all__) == len(set(sqmodel.__all__)) <= 45


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = sqmodel.alpha
    assert str(caught.value) == "module 'sqmodel' has no attribute 'alpha'"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, sqmodel; print([m for m in ('pandas', 'scipy', 'pingouin', 'matplotlib') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert importlib.import_module(name_of(path)).__doc__ if path.name != "__main__.py" else True
