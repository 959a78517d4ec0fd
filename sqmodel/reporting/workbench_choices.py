"""A tree and its weights: do the indicators belong together, and what does each way of weighting change?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import Block, Cell, badge, both, details, paragraph
from sqmodel.reporting.dossier_parts import captioned, headed, right, with_bounds
from sqmodel.reporting.words import coefficient, listed, number, percent, plain, say
from sqmodel.reporting.workbench_parts import BADGES, method_name, node_name, share_bounds, verdict_cell

if TYPE_CHECKING:
    from sqmodel.reporting.workbench import Workbench

ORDER = ["blocks", "doubtful"]


def coherence(bench: Workbench) -> Block:
    """The verdict, every node against its branch, the branches, and what deserves doubt."""
    found = bench.coherence_found
    counts = {k: int((found.findings["verdict"] == v).sum()) for k, v in (
        ("ok", "ok"), ("doubtful", "doubtful"), ("blocks", "blocks"), ("open", "not assessed"))}  # fmt: skip
    verdict = badge(say(f"design_verdict_{found.verdict}"), BADGES[found.verdict])
    parts = [f"<p>{verdict}</p>", paragraph(say("design_coherence_say", **counts), "say")]
    parts += [headed("design_doubts", _doubts(bench))] if counts["doubtful"] + counts["blocks"] else []
    parts += [headed("design_nodes", _nodes(bench)), headed("design_branches", _branches(bench))]
    if len(found.between):
        parts.append(details(say("design_between"), _between(bench)))
    return Block("".join(parts), "coherence")


def _doubts(bench: Workbench) -> str:
    findings = bench.coherence_found.findings
    rows = []
    for verdict in ORDER:
        for row in findings[findings["verdict"] == verdict].to_dict("records"):
            sign = say("at_most" if row["check"] == "collinear" else "at_least")
            wanted = Text(**{g: f"{sign[g]} {coefficient(row['threshold'], 1)}" for g in ("zh", "en")})
            cells = [Cell(node_name(bench, row["node"])), Cell(say(f"design_check_{row['check']}"))]
            cells += [right(_bounds(row, "value", "")), right(wanted), verdict_cell(verdict)]
            rows.append(cells)
    headers = [say(f"design_col_{k}") for k in ("node", "check", "value", "wanted", "verdict")]
    return captioned(headers, rows, say("design_doubts_caption", level=percent(bench.study.level)))


def _bounds(row: dict[Any, Any], name: str, prefix: str) -> str:
    low, high = (f"{prefix}low", f"{prefix}high")
    return with_bounds(row[name], row[low], row[high])


def _nodes(bench: Workbench) -> str:
    rows = []
    for code, row in bench.coherence_found.nodes.to_dict("index").items():
        if str(code) == bench.tree.root:
            continue
        cells = [Cell(node_name(bench, str(code))), Cell(node_name(bench, str(row["branch"])))]
        cells += [right(_bounds(row, k, f"{k}_")) for k in ("own", "rest", "index")]
        rows.append([*cells, verdict_cell(row["verdict"])])
    headers = [say(f"design_col_{k}") for k in ("node", "branch", "own", "rest", "with_index", "verdict")]
    return captioned(headers, rows, say("design_nodes_caption", level=percent(bench.study.level)))


def _branches(bench: Workbench) -> str:
    rows = []
    for code, row in bench.coherence_found.branches.to_dict("index").items():
        cells = [Cell(node_name(bench, str(code))), right(int(row["children"])), right(_bounds(row, "alpha", "alpha_"))]
        rows.append([*cells, right(percent(row["explained"])), verdict_cell(row["verdict"])])
    shares = [say("design_col_children"), say("col_alpha"), say("design_col_explained")]
    headers = [say("design_col_branch"), *shares, say("design_col_verdict")]
    return captioned(headers, rows, say("design_branches_caption"))


def _between(bench: Workbench) -> str:
    rows = [
        [Cell(node_name(bench, r["first"])), Cell(node_name(bench, r["second"])), right(_bounds(r, "r", ""))]
        for r in bench.coherence_found.between.to_dict("records")
    ]
    headers = [say(f"design_col_{k}") for k in ("one", "other", "r")]
    return captioned(headers, rows, say("design_between_caption", level=percent(bench.study.level)))


def weights(bench: Workbench) -> Block:
    """Every way of weighting, what it gives, and what it does to the ranking."""
    found = bench.comparison
    parts = [paragraph(_moved(bench), "say"), _rankings(bench), headed("design_side_by_side", _side_by_side(bench))]
    absent = found.methods[~found.methods["applied"].astype(bool)]
    if len(absent):
        told = [_reason(str(m), str(row["reason"])) for m, row in absent.iterrows()]
        items = "".join(f"<li>{both(t)}</li>" for t in told)
        names = listed(method_name(str(m)) for m in absent.index)
        parts.append(details(say("design_not_applied", list=names), f"<ul>{items}</ul>"))
    if len(found.doubts):
        items = "".join(f"<li>{both(_doubt(bench, r))}</li>" for r in found.doubts.to_dict("records"))
        parts.append(details(say("design_weight_doubts", count=len(found.doubts)), f"<ul>{items}</ul>"))
    return Block("".join(parts), "weights")


def _reason(method: str, reason: str) -> Text:
    return Text(**{g: f"{method_name(method)[g]}: {reason}" for g in ("zh", "en")})


def _doubt(bench: Workbench, row: dict[Any, Any]) -> Text:
    place = node_name(bench, str(row["node"] or row["branch"]))
    method = method_name(str(row["method"]))
    return Text(**{g: f"{method[g]} – {place[g]}: {row['doubt']}" for g in ("zh", "en")})


def _moved(bench: Workbench) -> Text:
    """Which way of weighting changes the ranking most."""
    found = bench.comparison
    others = found.rankings[found.rankings["method"] != found.reference]
    own = method_name(found.reference)
    if others.empty or others["largest_shift"].max() == 0:
        return say("design_weights_same", reference=own, count=len(others))
    worst = others.sort_values(["mean_shift", "largest_shift"], kind="stable").iloc[-1]
    shift = {"mean": number(worst["mean_shift"]), "most": f"{worst['largest_shift']:.0f}"}
    return say("design_weights_say", reference=own, method=method_name(str(worst["method"])), **shift)


def _rankings(bench: Workbench) -> str:
    rows, first = [], bench.comparison.reference
    for row in sorted(bench.comparison.rankings.to_dict("records"), key=lambda r: r["method"] != first):
        own = row["method"] == first
        fixed = row["tau_low"] == row["tau_high"]
        tau = coefficient(row["tau"]) if fixed else with_bounds(row["tau"], row["tau_low"], row["tau_high"])
        name = method_name(row["method"])
        shown = say("design_chosen", method=name) if own else name
        cells = [Cell(shown), right("–" if own else tau), right("–" if own else number(row["mean_shift"]))]
        cells += [right("–" if own else f"{row['largest_shift']:.0f}")]
        cells += [Cell(_shifted(row[who], row[much])) for who, much in (("gains", "gained"), ("loses", "lost"))]
        rows.append(cells)
    shifts = [say(f"design_col_{k}") for k in ("mean_shift", "largest_shift", "gains", "loses")]
    headers = [say("design_col_weighting"), plain("τ"), *shifts]
    return captioned(headers, rows, say("design_rankings_caption", level=percent(bench.study.level)))


def _shifted(unit: str, ranks: float) -> Text:
    return say("design_shifted", unit=unit, ranks=f"{ranks:.0f}") if unit else plain("")


def _walk(bench: Workbench, branch: str, depth: int) -> Iterator[tuple[str, int]]:
    """All nodes below a branch, each before its own."""
    for code in bench.tree.children(branch):
        yield code, depth
        yield from _walk(bench, code, depth + 1)


def _side_by_side(bench: Workbench) -> str:
    """A row a node, a column a way of weighting; the study's own with its interval."""
    found = bench.comparison
    applied = [str(m) for m in found.rankings["method"]]
    order = [found.reference, *(m for m in applied if m != found.reference)]
    table = {(r["method"], r["node"]): r for r in found.weights.to_dict("records")}
    rows = []
    for code, depth in _walk(bench, bench.tree.root, 0):
        own = table[found.reference, code]
        bounds = (own["low"], own["high"]) if own["low"] < own["high"] else (math.nan, math.nan)
        cells = [right(share_bounds(own["weight"], *bounds))]
        cells += [right(number(100 * table[m, code]["weight"])) for m in order[1:]]
        name = node_name(bench, code)
        rows.append([Cell(Text(**{g: "· " * depth + name[g] for g in ("zh", "en")})), *cells])
    headers = [say("design_col_node"), *(method_name(m) for m in order)]
    return captioned(headers, rows, say("design_side_by_side_caption", level=percent(bench.study.level)))
