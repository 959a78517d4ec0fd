"""What can go wrong, by kind: every error says what was expected, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar


class SqmodelError(Exception):
    """Root of all errors that sqmodel raises on purpose."""


class InputError(SqmodelError):
    """An input file, a params file or an instrument breaks its rules; lists all problems at once."""

    def __init__(self, source: str, problems: Iterable[Problem | str], remedy: str = "") -> None:
        self.source = source
        self.problems = [p if isinstance(p, Problem) else Problem(p) for p in problems]
        self.remedy = remedy
        count = len(self.problems)
        head = f"{source}: {count} problem{'' if count == 1 else 's'}"
        lines = [head, *(f"  - {p}" for p in self.problems)]
        if remedy:
            lines.append(f"  What to do: {remedy}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.source, self.problems, self.remedy)


Error = TypeVar("Error", bound=InputError)


class InstrumentError(InputError):
    """The questionnaire's definition is not one that can be scored."""


class ResponsesError(InputError):
    """The answers do not obey the instrument."""


class OperationsError(InputError):
    """Records of what the lender did, or the definition of its process or standard, break their rules."""


class CompositeError(InputError):
    """An index tree, or the data given for it, break their rules."""


class ParamsError(InputError):
    """A params file does not fit the notebook's schema."""


class UnfitMeasureError(SqmodelError):
    """The instrument failed a required criterion on these answers and nobody accepted that in writing."""


class ComputationError(SqmodelError):
    """A statistic is not defined for the data given: no variance, too few cases, no solution."""


class RunError(SqmodelError):
    """A run cannot begin or go on: the folder is another run's, a kernel is gone, a page must not be published."""


class UnfinishedError(RunError):
    """A run made what it could, but the index or the share could not be written."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: what was expected, what was found, where, how often."""

    message: str
    where: tuple[str, ...] = ()
    count: int = 1

    MOST = 5

    def __str__(self) -> str:
        shown = ", ".join(self.where[: self.MOST])
        more = max(self.count, len(self.where)) - min(len(self.where), self.MOST)
        if not shown:
            return self.message
        return f"{self.message}: {shown}" + (f" and {more} more" if more > 0 else "")


def gathered(errors: Sequence[Error], source: str) -> Error:
    """One error that tells all problems of several inputs, of the kind of the first; a single one as it is."""
    if len(errors) == 1:
        return errors[0]
    problems = [Problem(f"{e.source}: {p.message}", p.where, p.count) for e in errors for p in e.problems]
    return type(errors[0])(source, problems, "; ".join(dict.fromkeys(e.remedy for e in errors if e.remedy)))


class SqmodelWarning(UserWarning):
    """Root of the warnings: a result is there, but it deserves doubt; a row in the result says so too."""


class HeywoodWarning(SqmodelWarning):
    """A uniqueness reached its bound: the factor solution is improper."""


class ConvergenceWarning(SqmodelWarning):
    """An optimiser stopped before its gradient was small."""


class ImproperSolutionWarning(SqmodelWarning):
    """A negative variance, or a matrix of factors that is not positive definite."""


class IdentificationWarning(SqmodelWarning):
    """The data do not determine every parameter."""


class PositiveDefiniteWarning(SqmodelWarning):
    """Correlations estimated pair by pair do not go together, or a pair reached its bound."""


class SmallSampleWarning(SqmodelWarning):
    """Fewer cases than the method wants."""
