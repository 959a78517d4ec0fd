"""A submission as the compliance officer reads it: every figure that leaves the house, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sqmodel.benchmark.content import Submission
from sqmodel.measurement.moments import GroupMoments
from sqmodel.result import Result

if TYPE_CHECKING:
    from sqmodel.benchmark.package import Received

PER_LINE = 8


def withheld_lines(submission: Submission) -> list[str]:
    """What is not sent, a line a rule and table."""
    cells: dict[tuple[str, str], list[str]] = {}
    for w in submission.withheld:
        cells.setdefault((w.table, w.rule), []).append(w.cell or "all")
    told = [f"withheld from {table} ({rule}): {', '.join(names)}" for (table, rule), names in cells.items()]
    return told or ["withheld: nothing"]


def submission_text(received: Received) -> str:
    """All tables of a package in full, with the signature.

    Parameters
    ----------
    received : Received

    Returns
    -------
    str
        Plain text; numbers as they are in the file.
    """
    s = received.submission
    parts = [
        f"{s.institution} {s.quarter} revision {s.revision}" + (", simulated" if s.simulated else ""),
        f"signature: verified with the key {received.key} that the file names",
        f"digest of what is signed: {received.digest}",
        _identity("instrument", s.instrument),
        _identity("standard", s.standard),
        f"n: {s.n} scored respondents" + (f", {s.moments.n} of them answered all items" if s.moments else ""),
        *_plain(s),
        *_ordinal(received),
        "\n".join(["withheld", *(f"  {line}" for line in withheld_lines(s))]),
    ]
    return "\n".join(parts)


def _identity(what: str, found: Any) -> str:
    return f"{what}: none" if found is None else f"{what}: {found.name} {found.version}, digest {found.digest}"


def _plain(s: Submission) -> Iterator[str]:
    yield _table("scores", ("scope", "n", "estimate", "se"), s.scores)
    yield _matrix("score_covariances", s.dimensions, s.score_cov)
    counts = [(c.item, " ".join(f"{k}:{'withheld' if v is None else v}" for k, v in
                                zip(c.categories, c.counts, strict=True))) for c in s.counts]  # fmt: skip
    yield _table("counts", ("item", "category:respondents"), counts)
    if s.moments is not None:
        yield _table("moments", ("item", "mean"), zip(s.moments.items, s.moments.mean.tolist(), strict=True))
        yield _matrix("covariances", s.moments.items, s.moments.cov)
    yield _table("indicators", ("code", "kind", "n", "events", "estimate", "se"), s.indicators)
    yield _table("waiting", ("stage", "hours", "n", "waiting", "se"), s.waiting)
    yield _table("context", ("variable", "value", "share"), s.context)


def _ordinal(received: Received) -> Iterator[str]:
    ordinal = received.ordinal()
    if ordinal is None:
        return
    m, places = ordinal.moments, np.repeat(ordinal.items, np.array(ordinal.categories) - 1).tolist()
    yield _table("thresholds", ("item", "threshold"), zip(places, m.thresholds.tolist(), strict=True))
    yield _matrix("polychorics", ordinal.items, m.cov)
    if m.acov is not None:
        yield _matrix("polychoric_covariances", [str(k) for k in range(1, len(m.acov) + 1)], m.acov)


def _table(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = [[_cell(v) for v in row] for row in rows]
    if not cells:
        return f"{name}: none"
    widths = [max(len(r[k]) for r in (columns, *cells)) for k in range(len(columns))]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in (columns, *cells)]
    return "\n".join([name, *(f"  {line}" for line in lines)])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


def _matrix(name: str, names: Sequence[str], values: Any) -> str:
    """A symmetric matrix by its lower triangle, some figures a line."""
    lines = [f"{name} (lower triangle, a row each)"]
    for k, row in enumerate(np.asarray(values).tolist()):
        shown = [repr(v) for v in row[: k + 1]]
        lines += [f"  {names[k] if start == 0 else ''}: {' '.join(shown[start : start + PER_LINE])}"
                  for start in range(0, len(shown), PER_LINE)]  # fmt: skip
    return "\n".join(lines) if len(lines) > 1 else f"{name}: none"


def submission_json(received: Received) -> dict[str, Any]:
    """The same for machines: plain values only, NaN is null."""
    s, ordinal = received.submission, received.ordinal()
    found = {"signature": {"key": received.key, "verified": True}, "digest": received.digest}
    found |= {name: _json(getattr(s, name)) for name in s.__dataclass_fields__ if name != "ordinal"}
    return found | {"ordinal": None if ordinal is None else _json(ordinal)}


def _json(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {k: _json(v) for k, v in value._asdict().items()}
    if hasattr(value, "__dataclass_fields__") and (isinstance(value, GroupMoments) or not isinstance(value, Result)):
        return {k: _json(getattr(value, k)) for k in value.__dataclass_fields__}
    if isinstance(value, np.ndarray):
        return _json(value.tolist())
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
