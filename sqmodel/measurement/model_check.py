"""What is wrong with the relations of a model before any cell is made of them: everything at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sqmodel.errors import InputError
from sqmodel.measurement.syntax import Row

if TYPE_CHECKING:
    from sqmodel.measurement.model_table import Options

EQUAL = ("loadings", "intercepts", "residuals", "means", "lv.variances", "lv.covariances", "thresholds")


def check_model(
    rows: Sequence[Row], items: Sequence[str], factors: Sequence[str], groups: int, options: Options
) -> None:
    """Does every relation belong to a cell of the model's matrices?

    Raises
    ------
    InputError
        With all problems: variables that are no indicators, modifiers for another number of groups, relations that no
        cell holds (thresholds beyond the categories, scale factors of continuous items, values for residual variances
        of ordered items, covariances of an item with a factor), factors that load on themselves through others, and
        equalities, or relations released from them, that are not the model's.
    """
    problems: list[str] = []
    for row in rows:
        strangers = list(_strangers(row, items, factors))
        problems += strangers or _homeless(row, factors, options.categories)
        problems += [
            f"expected one modifier or one for each of {groups} groups in {_named(*row[:3])}, found {len(kind)}"
            for kind in (row.fixed, row.start, row.label) if len(kind) not in (0, 1, groups)
        ]  # fmt: skip
    problems += _circles(rows, factors)
    problems += _partial(rows, items, factors, options)
    wrong = [e for e in options.group_equal if e not in EQUAL]
    problems += [f"expected group_equal among {', '.join(EQUAL)}, found {e!r}" for e in wrong]
    if problems:
        raise InputError("model", problems, "correct the model's text")


def _named(lhs: str, op: str, rhs: str) -> str:
    return f"'{lhs} {op.removesuffix('1')} {rhs or '1'}'"


def _partial(rows: Sequence[Row], items: Sequence[str], factors: Sequence[str], options: Options) -> Iterator[str]:
    """Relations to release that the model does not have."""
    loadings = {(r.lhs, r.rhs) for r in rows if r.op == "=~"}
    for lhs, op, rhs in options.group_partial:
        names = [name for name in (lhs, rhs if op in ("=~", "~~") else "") if name]
        strangers = [name for name in names if name not in items and name not in factors]
        if strangers or (op == "=~" and (lhs, rhs) not in loadings):
            yield f"expected relations of the model in group_partial, found {_named(lhs, op, rhs)}"


def _strangers(row: Row, items: Sequence[str], factors: Sequence[str]) -> Iterator[str]:
    names = [row.lhs] if row.op in ("~1", "|", "~*~") else [row.lhs, row.rhs]
    for name in names:
        if name not in items and name not in factors:
            yield f"expected items or factors of the model in {_named(*row[:3])}, found {name!r}"


def _homeless(row: Row, factors: Sequence[str], categories: Mapping[str, int]) -> Iterator[str]:
    """The problem of a relation that no cell of the matrices holds; none where one does."""
    count = categories.get(row.lhs, 0)
    if row.op == "|":
        if not count:
            yield f"expected thresholds of ordered items, found {_named(*row[:3])} of {_kind(row.lhs, factors)}"
        elif not 0 < int(row.rhs[1:]) < count:
            found = f"which has {count} categories, found {row.rhs!r}"
            yield f"expected thresholds t1 to t{count - 1} of {row.lhs}, {found}"
    elif row.op == "~*~" and not count:
        yield f"expected scale factors of ordered items, found {_named(*row[:3])} of {_kind(row.lhs, factors)}"
    elif row.op == "~~" and row.lhs == row.rhs:
        # Named without a value it is what the scale factor leaves, and nothing is lost.
        if count and (row.fixed or row.start or row.label):
            yield (
                f"expected no value for the residual variance of the ordered item {row.lhs}, which follows from its "
                f"scale factor ({row.lhs} ~*~ {row.lhs}), found {_named(*row[:3])} with one"
            )
    elif row.op == "~~" and (row.lhs in factors) != (row.rhs in factors):
        yield f"expected covariances among items or among factors, found {_named(*row[:3])}"


def _kind(name: str, factors: Sequence[str]) -> str:
    return "a factor" if name in factors else "a continuous item"


def _circles(rows: Sequence[Row], factors: Sequence[str]) -> Iterator[str]:
    """Factors that load on themselves through others, each circle once."""
    below = {f: [r.rhs for r in rows if r.op == "=~" and r.lhs == f and r.rhs in factors] for f in factors}
    done: set[str] = set()

    def walk(factor: str, trail: tuple[str, ...]) -> Iterator[str]:
        if factor in trail:
            circle = (*trail[trail.index(factor) :], factor)
            yield f"expected factors that do not load on themselves through others, found {' =~ '.join(circle)}"
        elif factor not in done:
            for other in below[factor]:
                yield from walk(other, (*trail, factor))
            done.add(factor)

    for factor in factors:
        yield from walk(factor, ())
