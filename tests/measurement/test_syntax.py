import math
import pickle

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sqmodel.errors import InputError
from sqmodel.measurement.syntax import REMEDY, ModelSyntaxError, Row, parse_model, write_model

NA = math.nan
WIDE = "(full-width or typographic)"
OPERATORS = "a relation with =~, ~~, ~, | or ~*~"
REGRESSION = "not supported: regressions (~); relate variables by a covariance, as x1 ~~ x2"
BLOCK = "not supported: blocks and products (% and :); give one value a group, as c(1, 0.5)*x1"


def relations(text: str) -> list[tuple]:
    """The rows without their positions."""
    return [row[:-1] for row in parse_model(text)]


def names(text: str) -> list[str]:
    return [f"{row.lhs} {row.op} {row.rhs}".strip() for row in parse_model(text)]


def message(*problems: str) -> str:
    head = f"model syntax: {len(problems)} problem{'' if len(problems) == 1 else 's'}"
    return "\n".join([head, *(f"  - {problem}" for problem in problems), f"  What to do: {REMEDY}"])


@pytest.mark.parametrize(
    ("term", "fixed", "start", "label"),
    [
        ("x", (), (), ()),
        ("1*x", (1.0,), (), ()),
        ("-1*x", (-1.0,), (), ()),
        ("- .5 * x", (-0.5,), (), ()),
        ("1.*x", (1.0,), (), ()),
        ("1e-3*x", (0.001,), (), ()),
        ("2E+2*x", (200.0,), (), ()),
        ("NA*x", (NA,), (), ()),
        ("c(1, NA)*x", (1.0, NA), (), ()),
        ("c(NA, NA)*x", (NA, NA), (), ()),
        ("start(.7)*x", (), (0.7,), ()),
        ("start(c(.5, .6)) * x", (), (0.5, 0.6), ()),
        ("a*x", (), (), ("a",)),
        ("c(a, b)*x", (), (), ("a", "b")),
        ('c(NA, "a")*x', (), (), ("", "a")),
        ("'a'*x", (), (), ("a",)),
        ('label("a")*x', (), (), ("a",)),
        ('label(c("a", b))*x', (), (), ("a", "b")),
        ('label("it\'s")*x', (), (), ("it's",)),
        ('label("a + b*(c; d # e")*x', (), (), ("a + b*(c; d # e",)),
        ('label("满意（总）")*x', (), (), ("满意（总）",)),
        ('label("")*x', (), (), ()),
        ("start*x", (), (), ("start",)),
        ("c*x", (), (), ("c",)),
        ("NA.1*x", (), (), ("NA.1",)),
        ("a*start(.7)*x", (), (0.7,), ("a",)),
        ("NA*a*start(.7)*x", (NA,), (0.7,), ("a",)),
        ("x + a*x + start(.7)*x", (), (0.7,), ("a",)),
        ("1*x + c(1, 1)*x", (1.0, 1.0), (), ()),
        ("NA*x + NA*x", (NA,), (), ()),
    ],
)
def test_modifiers(term, fixed, start, label):
    for left in ("f =~ ", "y ~~ "):
        assert relations(left + term) == [(left[0], left[2:4], "x", fixed, start, label)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f =~ x1 + x2", ["f =~ x1", "f =~ x2"]),
        ("f1 + f2 =~ x1 + x2", ["f1 =~ x1", "f1 =~ x2", "f2 =~ x1", "f2 =~ x2"]),
        ("a + b ~~ b + a", ["a ~~ b", "a ~~ a", "b ~~ b"]),
        ("x1 ~~ x2; x2 ~~ x1", ["x1 ~~ x2"]),
        ("x1 + x2 ~ 1", ["x1 ~1", "x2 ~1"]),
        ("x1 | t1 + t2 + t10", ["x1 | t1", "x1 | t2", "x1 | t10"]),
        ("x1 ~*~ x1", ["x1 ~*~ x1"]),
        ("服务质量 =~ 题1 + 题１ + .x_2.b", ["服务质量 =~ 题1", "服务质量 =~ 题１", "服务质量 =~ .x_2.b"]),
    ],
)
def test_relations(text, expected):
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "fixed", "label"),
    [("x ~ 1", (), ()), ("x~a*1", (), ("a",)), ("x ~ 0*1", (0.0,), ()), ("x ~ 0", (0.0,), ()), ("x ~ NA*1", (NA,), ())],
)
def test_intercepts(text, fixed, label):
    assert relations(text) == [("x", "~1", "", fixed, (), label)]


def test_thresholds_and_scale_factors_take_modifiers():
    text = "x1 | c(a, a)*t1; x1 ~*~ c(1, NA)*x1"
    assert relations(text) == [("x1", "|", "t1", (), (), ("a", "a")), ("x1", "~*~", "x1", (1.0, NA), (), ())]


@pytest.mark.parametrize(
    "text",
    [
        "f =~ x1 + x2\ng =~ y1",
        "f =~ x1 + x2; g =~ y1;",
        ";; f =~ x1 + x2 ;; g =~ y1",
        "\ufeff# factors\nf =~ x1 + # the first's\n\n  ! and the second: (\n  x2\n\n\n g =~ y1",
        "f =~\n x1\n + x2\r\ng =~ y1\r\n",
        "f =~ x1 # one\n # two\n + x2\ng =~ y1 # end",
        "f\t=~ x1+x2\n\u3000g=~y1",
    ],
)
def test_lines_and_comments(text):
    assert names(text) == ["f =~ x1", "f =~ x2", "g =~ y1"]


@pytest.mark.parametrize("vector", ["c(1,\n 2)", "c(1\n,2)", "c(1,2\n)", "c(\n1,2)"])
def test_a_line_goes_on_in_parentheses_and_behind_a_star(vector):
    assert relations(f"f =~ {vector}*\nx") == [("f", "=~", "x", (1.0, 2.0), (), ())]


def test_left_sides_go_on_as_well():
    assert names("x1 +\nx2 ~~ y1\nx1\n+ x2 ~\n1") == ["x1 ~~ y1", "x2 ~~ y1", "x1 ~1", "x2 ~1"]


def test_positions_are_those_of_the_first_term():
    text = "# 满意\nf =~ x1 + 0.5*x2 +\n  a*x1"
    assert [text[row.position :].split(" ")[0] for row in parse_model(text)] == ["x1", "0.5*x2"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["line 1, column 1: expected a relation, as f =~ x1 + x2, found none"]),
        (" \n # only this\n", ["line 1, column 1: expected a relation, as f =~ x1 + x2, found none"]),
        ("f", [f"line 1, column 1: expected {OPERATORS}, found 'f'"]),
        ("f = x1", [f"line 1, column 1: expected {OPERATORS}, found 'f = x1'"]),
        ("f =~", ["line 1, column 5: expected a variable after '=~', found the end of the line"]),
        ("f =~ f", ["line 1, column 6: expected a variable other than 'f' after '=~', found 'f'"]),
        ("=~ x1", ["line 1, column 1: expected a variable, found '=~'"]),
        (
            "f NA =~ NA",
            [
                "line 1, column 1: expected a variable, found 'f NA'",
                "line 1, column 9: expected a variable after '=~', found 'NA'",
            ],
        ),
        (
            "# model\nf =~ x1 + x2 + # and?\ng =~ y1 + ; h =~ + z",
            [
                "line 2, column 15: expected a variable after '+', found the end of the line",
                "line 3, column 11: expected a variable after '+', found ';'",
                "line 3, column 18: expected a variable after '=~', found '+'",
            ],
        ),
        (
            "f =~ 2x1 + 0.5 x2 + x3 x4 + 1 + x&5 + x6 ~~ x7 + c(1, 2)",
            [
                "line 1, column 6: expected a variable after '=~', found '2x1'",
                "line 1, column 12: expected a variable after '+', found '0.5 x2'",
                "line 1, column 21: expected a variable after '+', found 'x3 x4'",
                "line 1, column 29: expected a variable after '+', found '1'",
                "line 1, column 33: expected a variable after '+', found 'x&5'",
                "line 1, column 39: expected a variable after '+', found 'x6 ~~ x7'",
                "line 1, column 50: expected a variable after '+', found 'c(1, 2)'",
            ],
        ),
        (
            "f =~ foo(1)*a + c(1, a)*b + c(1, c(2))*d + c()*e + 1e999*g\n"
            "f =~ start(a)*h + label(1)*i + start(1, 2)*j + *k",
            [
                "line 1, column 6: expected c(), start() or label() after '=~', found 'foo(1)'",
                "line 1, column 19: expected only numbers or only labels after '(', found '1, a'",
                "line 1, column 34: expected a number, NA or a label after ',', found 'c(2)'",
                "line 1, column 46: expected a number, NA or a label after '(', found ')'",
                "line 1, column 52: expected a number, NA or a label after '+', found '1e999'",
                "line 2, column 12: expected numbers after '(', found 'a'",
                "line 2, column 25: expected labels after '(', found '1'",
                "line 2, column 38: expected a number, NA or a label after '(', found '1, 2'",
                "line 2, column 48: expected a number, NA or a label after '+', found '*'",
            ],
        ),
        (
            "f =~ start(0.5*x1 + 1\ng =~ x2) + c(1, 2)*x3\nh =~ c(1, (2)*x",
            [
                "line 1, column 11: expected a ')' that closes this '(', found none",
                "line 1, column 21: expected a variable after '+', found '1'",
                "line 2, column 8: expected a '(' before this ')', found none",
                "line 3, column 7: expected a ')' that closes this '(', found none",
            ],
        ),
        (
            "f =~ 1*x + 2*x\nx1 ~~ 1*x2; x2 ~~ NA*x1\nf =~ a*y + c(a, b)*y + start(1)*z + start(2)*z\nx ~ 0 + 1*1",
            [
                "line 1, column 12: expected one fixed value of f =~ x, found 1 and 2",
                "line 2, column 19: expected one fixed value of x2 ~~ x1, found 1 and NA",
                "line 3, column 12: expected one label of f =~ y, found a and c(a, b)",
                "line 3, column 37: expected one starting value of f =~ z, found 1 and 2",
                "line 4, column 9: expected one fixed value of x ~1, found 0 and 1",
            ],
        ),
        (
            "y ~ 1 + a*x + 2 + a*0\nx1 | t0 + x2\nx1 + x2 ~*~ x2",
            [
                f"line 1, column 11: {REGRESSION}",
                "line 1, column 15: expected 1 after '+', found '2'",
                "line 1, column 21: expected 1 after '*', found '0'",
                "line 2, column 6: expected a threshold (t1, t2, ...) after '|', found 't0'",
                "line 2, column 11: expected a threshold (t1, t2, ...) after '+', found 'x2'",
                "line 3, column 13: expected a variable equal to 'x1' after '~*~', found 'x2'",
            ],
        ),
        (
            "ab := a*b\na == (b + 1)/2\na < 1; a > 0\nf <~ x1\nlevel: 1\n%x",
            [
                "line 1, column 4: not supported: defined parameters (:=); compute them from the estimates",
                "line 2, column 3: not supported: equations (==); give equal parameters the same label, as a*x1 + a*x2",
                "line 3, column 3: not supported: bounds (< and >); fix the parameter, as 0.5*x1, or leave it free",
                "line 3, column 10: not supported: bounds (< and >); fix the parameter, as 0.5*x1, or leave it free",
                "line 4, column 3: not supported: formative factors (<~); "
                "write a factor that its indicators reflect, as f =~ x1 + x2",
                f"line 5, column 6: {BLOCK}",
                f"line 6, column 1: {BLOCK}",
            ],
        ),
        (
            "服务 ＝～ 题1 ＋ ０.５*题2 ＃ 注释，其一\n满意 =~ c（1，2）＊题3 # 注释，其二",
            [
                f"line 1, column 4: expected '=~' in ASCII, found '＝～' {WIDE}",
                f"line 1, column 10: expected '+' in ASCII, found '＋' {WIDE}",
                f"line 1, column 12: expected '0' in ASCII, found '０' {WIDE}",
                "line 1, column 12: expected a number, NA or a label after '+', found '0.５'",
                f"line 1, column 19: expected '#' in ASCII, found '＃' {WIDE}",
                f"line 2, column 8: expected '(' in ASCII, found '（' {WIDE}",
                f"line 2, column 10: expected ',' in ASCII, found '，' {WIDE}",
                f"line 2, column 12: expected ')*' in ASCII, found '）＊' {WIDE}",
            ],
        ),
        ('f =~ "a*x1 + x2', ["line 1, column 6: expected a number, NA or a label after '=~', found '\"a'"]),
        ("f =~ x\0", ["line 1, column 6: expected a variable after '=~', found 'x\ufffd'"]),
    ],
)
def test_all_problems_of_a_text_are_told_at_once(text, problems):
    with pytest.raises(ModelSyntaxError) as caught:
        parse_model(text)
    assert str(caught.value) == message(*problems)


def test_the_error_is_an_input_error_and_travels_between_processes():
    with pytest.raises(InputError) as caught:
        parse_model("f =~ f")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_relations_are_written_one_a_line():
    text = 'f=~1*x1+c(a,NA)*x2+start(.5)*x2+"b c"*x3; x1~0; x1|t1; x1~*~c(1,NA)*x1; f+g~~-.25*h; f=~"NA"*x4+x5'
    assert write_model(parse_model(text)).splitlines() == [
        "f =~ 1*x1",
        "f =~ c(a, NA)*x2 + start(0.5)*x2",
        'f =~ "b c"*x3',
        "x1 ~ 0*1",
        "x1 | t1",
        "x1 ~*~ c(1, NA)*x1",
        "f ~~ -0.25*h",
        "g ~~ -0.25*h",
        'f =~ "NA"*x4',
        "f =~ x5",
    ]
    assert write_model([]) == ""


NAMES = st.sampled_from(["x1", "x2", "y.1", "_z", "题1", "服务", "c", "start", "NA1", ".a"])
NUMBERS = st.one_of(
    st.just("NA"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1", "-1", ".5", "1e-3", "2.", "- 3"]),
)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\"'\0"), max_size=6)
LABELS = st.one_of(NAMES, WORDS.map('"{}"'.format), WORDS.map("'{} \"'".format))
BLANKS = st.sampled_from(["", " ", "  ", "\t"])
PLUS = st.sampled_from(["+", " + ", " +\n", "\n + ", " + # more\n\n "])


def vectors(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(items, min_size=1, max_size=3).map(lambda found: f"c({', '.join(found)})")
    return st.one_of(items, several)


FIXED, LABEL = vectors(NUMBERS), vectors(LABELS)
START, NAMED = vectors(NUMBERS).map("start({})".format), vectors(LABELS).map("label({})".format)


@st.composite
def statements(draw: st.DrawFn) -> str:
    op = draw(st.sampled_from(["=~", "~~", "~", "|", "~*~"]))
    left = [f"f{draw(NAMES)}" for _ in range(1 if op == "~*~" else draw(st.integers(1, 2)))]
    targets = {"~": st.just("1"), "|": st.sampled_from(["t1", "t2"]), "~*~": st.just(left[0])}.get(op, NAMES)
    terms = []
    for target in draw(st.lists(targets, min_size=1, max_size=3, unique=True)):
        blank = draw(BLANKS)
        kinds = [draw(st.booleans()) and draw(kind) for kind in (FIXED, START, st.one_of(LABEL, NAMED))]
        terms.append(f"{blank}*{blank}".join([*filter(None, kinds), target]))
    return f"{' + '.join(left)}{draw(BLANKS)}{op}{draw(BLANKS)}{draw(PLUS).join(terms)}"


def problems_or_rows(text: str) -> tuple[list[str], list[Row]]:
    try:
        return [], list(parse_model(text))
    except ModelSyntaxError as error:
        return [str(problem) for problem in error.problems], []


@settings(deadline=None, max_examples=300)
@given(st.lists(statements(), min_size=1, max_size=4), st.sampled_from(["\n", ";", " ; \n", " # end\n", "\r\n"]))
def test_what_is_written_reads_as_before(texts, end):
    problems, rows = problems_or_rows(end.join(texts))
    # Statements drawn apart may contradict each other; nothing else may be wrong with them.
    assert all("expected one " in problem for problem in problems)
    assume(rows)
    written = write_model(rows)
    assert relations(written) == [row[:-1] for row in rows]
    assert written.count("\n") + 1 == len(rows)


@settings(deadline=None, max_examples=300)
@given(st.text("fgxt1~=|*+-,;:()c\n \"'#NA.5＝，（", max_size=40))
def test_any_text_has_rows_or_problems(text):
    problems, rows = problems_or_rows(text)
    assert bool(problems) != bool(rows)
    assert not rows or relations(write_model(rows)) == [row[:-1] for row in rows]
