"""lavaan's model syntax: the text of a measurement model to its relations and back."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from sqmodel.errors import InputError

Value = TypeVar("Value", float, str)
# The fixed values, starting values and labels of a relation.
Given = tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]
# Character offset and message of everything wrong so far.
Problems = list[tuple[int, str]]

REMEDY = "correct the text at these places; a relation is written as f =~ x1 + x2, x1 ~~ x2, x1 ~ 1 or x1 | t1 + t2"
UNSUPPORTED = {
    ":=": "defined parameters (:=); compute them from the estimates",
    "==": "equations (==); give equal parameters the same label, as a*x1 + a*x2",
    "~": "regressions (~); relate variables by a covariance, as x1 ~~ x2",
    "<~": "formative factors (<~); write a factor that its indicators reflect, as f =~ x1 + x2",
    **dict.fromkeys("<>", "bounds (< and >); fix the parameter, as 0.5*x1, or leave it free"),
    **dict.fromkeys("%:", "blocks and products (% and :); give one value a group, as c(1, 0.5)*x1"),
}

WIDE, NARROW = "＂＇％（）＊＋，－．：；＜＝＞｜～“”‘’、。−〜", "\"'%()*+,-.:;<=>|~\"\"'',.-~"
ASCII = str.maketrans(f"{WIDE}０１２３４５６７８９＃！", f"{NARROW}0123456789#!")
TEXT = r"\"[^\"\n]*\"|'[^'\n]*'"
EXPONENT = r"(?<![\w.])[0-9.]+[eE][+-][0-9]+"  # its sign separates nothing
# Full-width digits within a name are the name's (题１); elsewhere they are meant as numbers.
FOREIGN = re.compile(
    rf"(?P<kept>{TEXT})|(?P<wide>(?:[{WIDE}]|(?<![\w.])[０-９]+)+)|(?P<hash>[＃！])[^\n]*|[#!][^\n]*|\ufeff"
)
SIGN = re.compile(rf"{TEXT}|(?P<operator>~\*~|=~|~~|<~|:=|==|[~|<>:%])|[()\n;]")
# No operator stands within parentheses: what is open before one was never closed.
PAIR = re.compile(r"\((?:[^()~|<>:%;=]|=(?![~=]))*\)")
OPEN_END = re.compile(r"[-+*,~|=<>:%]\s*\Z")
NAME = re.compile(r"(?!NA\Z)(?:[^\W\d]|\.(?![0-9]))[\w.]*")
NUMBER = re.compile(r"-?\s*(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
CALL = re.compile(r"\s*([\w.]+)\s*\((.*)\)\s*", re.DOTALL)
UNMATCHED, END = "\0", "the end of the line"


class ModelSyntaxError(InputError):
    """The text of a model breaks lavaan's rules or asks for more than a measurement model."""


class Row(NamedTuple):
    """One relation written by the user; of a modifier there is no value, one for all groups, or one a group."""

    lhs: str
    op: str  # "=~", "~~", "~1" (rhs ""), "|" (thresholds t1, t2, ...) or "~*~" (scale factors)
    rhs: str
    fixed: tuple[float, ...]  # math.nan is NA: free, where a rule would fix it
    start: tuple[float, ...]
    label: tuple[str, ...]  # "" for a group without label
    position: int  # character offset of the right-hand term, from its modifiers on


class _UnexpectedError(Exception):
    """What is written is not what the syntax wants there; holds the offset and the message."""


class _Part(NamedTuple):
    """A stretch of the text, with the separators before and behind it."""

    raw: str
    offset: int
    after: str
    until: str

    @property
    def text(self) -> str:
        return self.raw.strip()

    @property
    def position(self) -> int:
        """Offset of the first character that is not blank; of the end where all is blank."""
        return self.offset + len(self.raw) - len(self.raw.lstrip())

    def piece(self, start: int, end: int, after: str, until: str) -> _Part:
        return _Part(self.raw[start:end], self.offset + start, after, until)

    def split(self, separator: str) -> list[_Part]:
        """The parts between separators that stand outside parentheses and quotes."""
        parts, depth, start, after = [], 0, 0, self.after
        for match in re.finditer(rf"{TEXT}|{EXPONENT}|[(){re.escape(separator)}]", self.raw):
            depth += (match[0] == "(") - (match[0] == ")")
            if match[0] == separator and not depth:
                parts.append(self.piece(start, match.start(), after, f"'{separator}'"))
                start, after = match.end(), separator
        return [*parts, self.piece(start, len(self.raw), after, self.until)]

    def call(self) -> tuple[str, _Part]:
        """A function's name and its arguments; "" and the part itself where it is none."""
        match = CALL.fullmatch(self.raw)
        return (match[1], self.piece(*match.span(2), "(", "')'")) if match else ("", self)

    def wrong(self, expected: str) -> _UnexpectedError:
        found = f"'{' '.join(self.text.split())}'" if self.text else self.until
        after = f" after '{self.after}'" if self.after else ""
        return _UnexpectedError(self.position, f"expected {expected}{after}, found {found}")

    def name(self, expected: str = "a variable") -> str:
        if not NAME.fullmatch(self.text):
            raise self.wrong(expected)
        return self.text


def parse_model(text: str) -> tuple[Row, ...]:
    """Which relations does this text in lavaan's syntax state?

    Repeated relations are one, with the modifiers of all; a covariance is the same in either order.

    Raises
    ------
    ModelSyntaxError
        With all problems of the text, each with its line and column (from 1).
    """
    problems: Problems = []
    statements = list(_statements(_closed(_ascii(text, problems), problems)))
    rows = _merged([row for statement in statements for row in _relations(statement, problems)], problems)
    if not statements and not problems:
        problems.append((0, "expected a relation, as f =~ x1 + x2, found none"))
    if problems:
        places = [(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), what) for at, what in sorted(problems)]
        messages = [f"line {line}, column {column}: {what}" for line, column, what in places]
        raise ModelSyntaxError("model syntax", messages, REMEDY)
    return rows


def write_model(rows: Iterable[Row]) -> str:
    """How are these relations written, one a line, so that `parse_model` and lavaan read them?

    Several modifiers of one relation are written by repeating it: lavaan's own way.
    """
    lines = []
    for row in rows:
        modifiers = [_written(values) for values in (row.fixed, row.label) if any(v != "" for v in values)]
        modifiers += [f"start({_written(row.start)})"] if row.start else []
        target = row.rhs or "1"
        terms = [f"{modifier}*{target}" for modifier in modifiers] or [target]
        lines.append(f"{row.lhs} {row.op.removesuffix('1')} {' + '.join(terms)}")
    return "\n".join(lines)


def _written(values: Iterable[float | str]) -> str:
    items = []
    for value in values:
        if isinstance(value, str):
            quote = "'" if '"' in value else '"'
            items.append(value if NAME.fullmatch(value) else f"{quote}{value}{quote}" if value else "NA")
        else:
            items.append("NA" if math.isnan(value) else repr(float(value)).removesuffix(".0"))
    return items[0] if len(items) == 1 else f"c({', '.join(items)})"


def _ascii(text: str, problems: Problems) -> str:
    """The text without comments and full-width characters; all others stay at their offsets."""

    def replace(match: re.Match[str]) -> str:
        found = match["wide"] or match["hash"] or ""
        meant = found.translate(ASCII)
        if found:
            message = f"expected '{meant}' in ASCII, found '{found}' (full-width or typographic)"
            problems.append((match.start(), message))
        return match["kept"] or (meant if match["wide"] else _blank(match))

    return FOREIGN.sub(replace, text.replace(UNMATCHED, "\ufffd"))


def _closed(text: str, problems: Problems) -> str:
    """The text with every parenthesis without a partner reported and marked, so that none counts it again."""
    rest, found = re.sub(TEXT, _blank, text), 1
    while found:
        rest, found = PAIR.subn(_blank, rest)
    for match in re.finditer("[()]", rest):
        expected = "a ')' that closes this '('" if match[0] == "(" else "a '(' before this ')'"
        problems.append((match.start(), f"expected {expected}, found none"))
    return "".join(UNMATCHED if left in "()" else was for was, left in zip(text, rest, strict=True))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _statements(text: str) -> Iterator[_Part]:
    """The stretches that state one relation each, over as many lines as they take."""
    depth = start = 0
    for match in SIGN.finditer(text + "\n"):
        depth += (match[0] == "(") - (match[0] == ")")
        raw, line = text[start : match.start()], text[match.end() :].lstrip().partition("\n")[0].partition(";")[0]
        # After 'f =~ x1 +' a line with an operator of its own is the next relation: the '+' is the error.
        goes_on = OPEN_END.search(raw) and line and not (_operator(raw) and _operator(line))
        if match[0] == ";" or (match[0] == "\n" and not (depth or goes_on or line.startswith("+"))):
            if raw.strip():
                yield _Part(raw, start, "", "';'") if match[0] == ";" else _Part(raw.rstrip(), start, "", END)
            start = match.end()


def _operator(text: str) -> re.Match[str] | None:
    return next((match for match in SIGN.finditer(text) if match["operator"]), None)


@contextmanager
def _noting(problems: Problems) -> Iterator[None]:
    """Go on behind a problem; one of a parenthesis without partner is already known."""
    try:
        yield
    except _UnexpectedError as error:
        problems += [] if UNMATCHED in error.args[1] else [error.args]


def _relations(statement: _Part, problems: Problems) -> Iterator[Row]:
    match, names, terms = _operator(statement.raw), [], []
    with _noting(problems):
        if not match:
            raise statement.wrong("a relation with =~, ~~, ~, | or ~*~")
        if (op := match[0]) != "~" and op in UNSUPPORTED:
            raise _UnexpectedError(statement.offset + match.start(), f"not supported: {UNSUPPORTED[op]}")
        for part in statement.piece(0, match.start(), "", f"'{op}'").split("+"):
            with _noting(problems):
                names.append(part.name())
        for part in statement.piece(match.end(), len(statement.raw), op, statement.until).split("+"):
            with _noting(problems):
                terms.append((part, *_term(part, op)))
        for lhs, (part, rhs, modifiers) in itertools.product(names, terms):
            with _noting(problems):
                if (lhs == rhs) is (op == "=~") and op in ("=~", "~*~"):
                    raise part.wrong(f"a variable {'other than' if op == '=~' else 'equal to'} '{lhs}'")
                yield from (Row(lhs, op if rhs else "~1", rhs, *given, part.position) for given in modifiers)


def _term(part: _Part, op: str) -> tuple[str, list[Given]]:
    """A right-hand variable ("" for an intercept) and its modifiers."""
    if op == "~" and part.text == "0":
        return "", [((0.0,), (), ())]
    *before, target = part.split("*")
    modifiers = [_modifier(modifier) for modifier in before] or [((), (), ())]
    if op == "~" and NAME.fullmatch(target.text):
        raise _UnexpectedError(target.position, f"not supported: {UNSUPPORTED[op]}")
    if op == "~" and target.text != "1":
        raise target.wrong("1")
    if op == "|" and not re.fullmatch("t[1-9][0-9]*", target.text):
        raise target.wrong("a threshold (t1, t2, ...)")
    return "" if op == "~" else target.name(), modifiers


def _modifier(part: _Part) -> Given:
    function, inside = part.call()
    if function not in ("", "c", "start", "label"):
        raise part.wrong("c(), start() or label()")
    values = inside if function in ("start", "label") else part
    vector, elements = values.call()
    items = [_item(item) for item in (elements.split(",") if vector == "c" else [values])]
    numbers = tuple(item for item in items if isinstance(item, float))
    labels = tuple(item if isinstance(item, str) else "" for item in items)
    numeric, textual = len(numbers) == len(items), all(math.isnan(number) for number in numbers)
    if not {"start": numeric, "label": textual}.get(function, numeric or textual):
        raise inside.wrong({"start": "numbers", "label": "labels"}.get(function, "only numbers or only labels"))
    if function == "label" or not numeric:
        return (), (), labels if any(labels) else ()
    return ((), numbers, ()) if function == "start" else (numbers, (), ())


def _item(part: _Part) -> float | str:
    text = part.text
    if NUMBER.fullmatch(text) and math.isfinite(number := float("".join(text.split()))):
        return number
    if re.fullmatch(TEXT, text):
        return text[1:-1]
    # Always the same NaN object, so that equal rows compare equal.
    return math.nan if text == "NA" else part.name("a number, NA or a label")


def _merged(rows: Iterable[Row], problems: Problems) -> tuple[Row, ...]:
    """Every relation once, with the modifiers of all its rows."""
    merged: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = (row.op, *(sorted((row.lhs, row.rhs)) if row.op == "~~" else (row.lhs, row.rhs)))
        first = merged.setdefault(key, row)
        with _noting(problems):
            fixed = _common(row, "fixed value", first.fixed, row.fixed)
            start = _common(row, "starting value", first.start, row.start)
            merged[key] = first._replace(fixed=fixed, start=start, label=_common(row, "label", first.label, row.label))
    return tuple(merged.values())


def _common(row: Row, what: str, first: tuple[Value, ...], second: tuple[Value, ...]) -> tuple[Value, ...]:
    width = max(len(first), len(second))
    one, other = (values * width if len(values) == 1 else values for values in (first, second))
    if one and other and one != other:
        message = f"expected one {what} of {row.lhs} {row.op} {row.rhs}".rstrip()
        raise _UnexpectedError(row.position, f"{message}, found {_written(first)} and {_written(second)}")
    return one or other
