"""A submission as the compliance officer reads it: every figure that leaves the house, and nothing else."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sqmodel.benchmark.archive import DESCRIPTOR, SubmissionError, open_regular, read_archive
from sqmodel.benchmark.content import Submission
from sqmodel.benchmark.descriptor import sha256
from sqmodel.benchmark.tables import POLYCHORIC_COVARIANCES
from sqmodel.errors import RunError
from sqmodel.measurement.moments import GroupMoments
from sqmodel.reporting.sharing import written
from sqmodel.result import Result

if TYPE_CHECKING:
    from sqmodel.benchmark.package import Received

PER_LINE = 8
DIGITS = 4
ROUNDED = (f"All counts are printed as they are in the file, estimates are rounded to {DIGITS} digits; of covariances "
           "of polychorics there is only a summary. --all prints every number with all its digits, --csv FOLDER "
           "writes the tables of the file byte for byte.")  # fmt: skip


def withheld_lines(submission: Submission) -> list[str]:
    """What is not sent, a line a rule and table."""
    cells: dict[tuple[str, str], list[str]] = {}
    for w in submission.withheld:
        cells.setdefault((w.table, w.rule), []).append(w.cell or "all")
    told = [f"withheld from {table} ({rule}): {', '.join(names)}" for (table, rule), names in cells.items()]
    return told or ["withheld: nothing"]


def submission_text(received: Received, *, width: int = 100, every: bool = False) -> str:
    """What is in a package, with the signature.

    Parameters
    ----------
    received : Received
    width : int
        Characters a line, where what is printed can be broken.
    every : bool
        Every number with all its digits, as in the file. Otherwise estimates are shown with `DIGITS` digits, and of the
        covariances of the polychorics, more than a hundred thousand numbers, only how many there are, between which
        bounds, and the digest of their table in the file; the text says so.

    Returns
    -------
    str
        Plain text.
    """
    s, sheet = received.submission, _Sheet(width, every)
    simulated = ", simulated" if s.simulated else ""
    parts = [
        f"{s.institution} {s.quarter} revision {s.revision}{simulated}",
        *([] if every else [sheet.wrapped(ROUNDED)]),
        f"signature: verified with the key that the file names\n  {received.key}",
        f"digest of what is signed\n  {received.digest}",
        _identity("instrument", s.instrument),
        _identity("standard", s.standard),
        f"n: {s.n} scored respondents" + (f", {s.moments.n} of them answered all items" if s.moments else ""),
        *_plain(s, sheet),
        *_ordinal(received, sheet),
        "\n".join(["withheld", *(sheet.wrapped(f"  {line}", 4) for line in withheld_lines(s))]),
    ]
    return "\n".join(parts)


def _identity(what: str, found: Any) -> str:
    return f"{what}: none" if found is None else f"{what}: {found.name} {found.version}, digest\n  {found.digest}"


def _plain(s: Submission, sheet: _Sheet) -> Iterator[str]:
    yield sheet.table("scores", ("scope", "n", "estimate", "se"), s.scores)
    yield sheet.matrix("score_covariances", s.dimensions, s.score_cov)
    counts = [(c.item, " ".join(f"{k}:{'withheld' if v is None else v}" for k, v in
                                zip(c.categories, c.counts, strict=True))) for c in s.counts]  # fmt: skip
    yield sheet.table("counts", ("item", "category:respondents"), counts)
    if s.moments is not None:
        yield sheet.table("moments", ("item", "mean"), zip(s.moments.items, s.moments.mean.tolist(), strict=True))
        yield sheet.matrix("covariances", s.moments.items, s.moments.cov)
    yield sheet.table("indicators", ("code", "kind", "n", "events", "estimate", "se"), s.indicators)
    yield sheet.table("waiting", ("stage", "hours", "n", "waiting", "se"), s.waiting)
    yield sheet.table("context", ("variable", "value", "share"), s.context)


def _ordinal(received: Received, sheet: _Sheet) -> Iterator[str]:
    ordinal = received.ordinal()
    if ordinal is None:
        return
    m, ends = ordinal.moments, np.cumsum(np.array(ordinal.categories) - 1)
    own = zip(ordinal.items, np.split(m.thresholds, ends[:-1]), strict=True)
    yield sheet.table("thresholds", ("item", "between one category and the next"),
                      [(item, " ".join(sheet.number(v) for v in values.tolist())) for item, values in own])  # fmt: skip
    yield sheet.matrix("polychorics", ordinal.items, m.cov)
    if m.acov is None:
        return
    if sheet.every:
        yield sheet.matrix("polychoric_covariances", [str(k) for k in range(1, len(m.acov) + 1)], m.acov)
        return
    numbers = m.acov[np.tril_indices(len(m.acov))]
    size, digest = received.tables[POLYCHORIC_COVARIANCES.path]
    yield "\n".join([
        "polychoric_covariances (of thresholds and polychorics; how sure these are)",
        sheet.wrapped(f"  in the file, not printed here: {len(m.acov):,} x {len(m.acov):,}, symmetric, so "
                      f"{numbers.size:,} numbers, from {numbers.min():.4g} to {numbers.max():.4g}", 2),
        f"  {POLYCHORIC_COVARIANCES.path}: {size:,} bytes, sha256\n  {digest}",
    ])  # fmt: skip


@dataclass(frozen=True)
class _Sheet:
    """How wide the text is, and whether numbers have all their digits."""

    width: int
    every: bool

    def number(self, value: float) -> str:
        """An estimate; one that there is none of is left empty."""
        if math.isnan(value):
            return ""
        return repr(value) if self.every else f"{value:.{DIGITS}g}"

    def wrapped(self, text: str, indent: int = 0) -> str:
        """A text in lines; with every number lines are as long as they are."""
        if self.every:
            return text
        return textwrap.fill(text, self.width, subsequent_indent=" " * indent, break_long_words=False,
                             break_on_hyphens=False)  # fmt: skip

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
        """A row a line."""
        cells = [[self.number(v) if isinstance(v, float) else str(v) for v in row] for row in rows]
        if not cells:
            return f"{name}: none"
        widths = [max(len(r[k]) for r in (columns, *cells)) for k in range(len(columns))]
        lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in (columns, *cells)]
        return "\n".join([name, *(f"  {line}" for line in lines)])

    def matrix(self, name: str, names: Sequence[str], values: Any) -> str:
        """The lower triangle of a symmetric matrix: in blocks of columns, or row by row with all digits."""
        rows = [row[: k + 1] for k, row in enumerate(np.asarray(values).tolist())]
        if not rows:
            return f"{name}: none"
        return self._long(name, names, rows) if self.every else self._blocks(name, names, rows)

    def _long(self, name: str, names: Sequence[str], rows: list[list[float]]) -> str:
        lines = [f"{name} (lower triangle, a row each)"]
        for k, row in enumerate(rows):
            shown = [repr(v) for v in row]
            lines += [f"  {names[k] if start == 0 else ''}: {' '.join(shown[start : start + PER_LINE])}"
                      for start in range(0, len(shown), PER_LINE)]  # fmt: skip
        return "\n".join(lines)

    def _blocks(self, name: str, names: Sequence[str], rows: list[list[float]]) -> str:
        cells = [[self.number(v) for v in row] for row in rows]
        left = max(map(len, names))
        each = max(max(map(len, names)), *(len(c) for row in cells for c in row)) + 1
        count = max(1, (self.width - 2 - left) // each)
        lines = [f"{name} (lower triangle)"]
        for start in range(0, len(rows), count):
            columns = range(start, min(start + count, len(rows)))
            lines.append("  " + " " * left + "".join(names[j].rjust(each) for j in columns))
            for k in range(start, len(rows)):
                shown = "".join(cells[k][j].rjust(each) for j in columns if j <= k)
                lines.append(f"  {names[k].ljust(left)}{shown}")
        return "\n".join(lines)


def write_tables(received: Received, folder: Path) -> list[Path]:
    """Write the files of a package to a folder, byte for byte as they are sent.

    Returns
    -------
    list of Path

    Raises
    ------
    RunError
        The folder holds something, or cannot be written to; nothing was written.
    SubmissionError
        The package is no longer the one that was read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(
            f"{folder}: expected no folder of this name or an empty one, found something; nothing was written"
        )
    source = received.path.name
    with open_regular(received.path) as file:
        archive = read_archive(file, source)
        found = {folder / name: archive.read(name) for name in archive.entries}
    if sha256(found[folder / DESCRIPTOR]) != received.digest:
        raise SubmissionError(source, ["expected the file that was read before, found another"])
    with written(folder, "what is there is not whole"):
        for path, content in found.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return list(found)


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
