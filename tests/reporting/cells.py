"""The notebooks' own code cells, run in this process: the real notebooks without a kernel's start-up."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4 as v4
import numpy as np
import pandas as pd

from sqmodel.reporting.page import Page

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "business_line.ipynb"
DATA = ROOT / "tests" / "data"


def run_page(**parameters: Any) -> Page:
    """Execute the cells with the parameters put in place of the defaults; the page they make."""
    namespace: dict[str, Any] = {"__builtins__": __builtins__}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        exec(compile(cell.source, str(NOTEBOOK), "exec"), namespace)
        if "parameters" in cell.metadata.get("tags", []):
            namespace.update(parameters)
    page = namespace["page"]
    assert isinstance(page, Page)
    return page


def executed(notebook: Path = NOTEBOOK, **parameters: Any) -> Any:
    """A notebook as if a kernel had run it: the cells executed, what they display stored as their output."""
    found = nbformat.read(notebook, as_version=4)
    namespace: dict[str, Any] = {"__builtins__": __builtins__}
    for count, cell in enumerate((c for c in found.cells if c.cell_type == "code"), start=1):
        body = ast.parse(cell.source).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), str(notebook), "exec"), namespace)
        if last is not None:
            shown = eval(compile(ast.Expression(last.value), str(notebook), "eval"), namespace)
            if shown is not None:
                cell.outputs = [v4.new_output("execute_result", data=_displayed(shown), execution_count=count)]
        if "parameters" in cell.metadata.get("tags", []):
            namespace.update(parameters)
        cell.execution_count = count
    return found


def _displayed(value: Any) -> dict[str, Any]:
    """What JupyterLab would be sent."""
    if hasattr(value, "_repr_mimebundle_"):
        return dict(value._repr_mimebundle_())
    html = {"text/html": value._repr_html_()} if hasattr(value, "_repr_html_") else {}
    return {"text/plain": repr(value), **html}


def desk_answers(
    n: int, *, seed: int, difference: bool = True, quarters: tuple[str, ...] = ("2026Q3",)
) -> pd.DataFrame:
    """Answers to the second questionnaire: three related dimensions, 7 points, one channel worse where asked for."""
    rng = np.random.default_rng(seed)
    parts = []
    for quarter in quarters:
        general = rng.standard_normal(n)
        channel = rng.choice(["phone", "mail", "chat"], n)
        shift = np.where(channel == "mail", -0.8, 0.0) if difference else np.zeros(n)
        names = [f"{quarter}-{i}" for i in range(n)]
        columns: dict[str, Any] = {"respondent": names, "quarter": quarter, "channel": channel}
        factors = []
        for d, first in enumerate((1, 4, 7)):
            low = -1.0 if difference and d == 0 else 0.0
            factor = 0.7 * general + 0.7 * rng.standard_normal(n) + shift + low
            factors.append(factor)
            for j in range(3):
                latent = 4.4 + 1.1 * factor + 0.7 * rng.standard_normal(n)
                columns[f"q{first + j}"] = np.clip(np.rint(latent), 1, 7).astype(int)
        overall = 3.2 + 0.6 * factors[0] + 0.2 * factors[1] + 0.1 * factors[2] + 0.5 * rng.standard_normal(n)
        columns["happy"] = np.clip(np.rint(overall), 1, 5).astype(int)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def permuted(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Each rating column shuffled over the respondents by itself: the same means, no relations."""
    rng = np.random.default_rng(seed)
    rated = [c for c in frame.columns if c.startswith("q") and c != "quarter"] + ["happy"]
    return frame.assign(**{c: rng.permutation(frame[c].to_numpy()) for c in rated})
