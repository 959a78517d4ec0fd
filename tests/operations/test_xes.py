"""XES: both ways of reading it give the same, and what is no XES is refused."""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import OperationsError
from sqmodel.operations import xes
from sqmodel.operations.xes import Seen, read_xes
from sqmodel.operations.xes_canonical import parse_canonical
from sqmodel.operations.xes_markup import Markup, MarkupError
from tests.oracles import shared

CASE_KEYS = ["concept:name", "amount"]
EVENT_KEYS = ["concept:name", "time:timestamp", "org:resource"]
HEAD = '<?xml version="1.0" encoding="UTF-8" ?>\n<log xes.version="1.0">\n'

Log = list[tuple[dict[str, str], list[dict[str, str]]]]


def attribute(key: str, value: str, kind: str = "string") -> str:
    quoted = escape(value, {'"': "&quot;"})
    return f'<{kind} key="{key}" value="{quoted}"/>'


def written(log: Log) -> str:
    """As OpenXES writes it."""
    lines = []
    for case, events in log:
        lines += ["\t<trace>", *(f"\t\t{attribute(k, v)}" for k, v in case.items())]
        for event in events:
            lines += ["\t\t<event>", *(f"\t\t\t{attribute(k, v)}" for k, v in event.items()), "\t\t</event>"]
        lines.append("\t</trace>")
    return "".join(f"{line}\n" for line in lines)


def expected(log: Log) -> list[dict[str, str | None]]:
    return [
        {**{f"case:{k}": case.get(k) for k in CASE_KEYS}, **{k: event.get(k) for k in EVENT_KEYS}}
        for case, events in log
        for event in events
    ]


def read(path: Path, seen: Seen | None = None) -> list[dict[str, Any]]:
    batches = read_xes(path, source=path.name, case_keys=CASE_KEYS, event_keys=EVENT_KEYS, seen=seen or Seen())
    return [row for batch in batches for row in batch.to_pylist()]


def stored(tmp_path: Path, body: str, head: str = HEAD, tail: str = "</log>\n") -> Path:
    path = tmp_path / "log.xes"
    path.write_text(head + body + tail, encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(OperationsError) as caught:
        read(path)
    return str(caught.value)


SIMPLE: Log = [
    ({"concept:name": "1", "amount": "5"}, [{"concept:name": "a", "time:timestamp": "2026-07-01T09:00:00Z"}]),
    ({"concept:name": "2"}, [{"concept:name": "b"}, {"org:resource": "王", "concept:name": "c"}]),
]

words = st.text(st.sampled_from("aß王<>&\"' \U0001f600;#x0"), max_size=6)
events_ = st.dictionaries(st.sampled_from([*EVENT_KEYS, "other"]), words, min_size=1, max_size=4)
cases_ = st.dictionaries(st.sampled_from([*CASE_KEYS, "more"]), words, max_size=3)


@given(st.lists(st.tuples(cases_, st.lists(events_, min_size=1, max_size=4)), min_size=1, max_size=4))
def test_the_canonical_form_is_read_without_expat(log: Log) -> None:
    if any(not case and len(log) == 1 for case, _ in log):
        return
    seen = Seen()
    batches = parse_canonical(written(log).encode(), (CASE_KEYS, EVENT_KEYS), seen)
    assert batches is not None
    assert [row for b in batches for row in b.to_pylist()] == expected(log)
    assert (seen.traces, seen.empty, seen.events) == (len(log), 0, sum(len(e) for _, e in log))


def by_expat(data: bytes) -> tuple[list[dict[str, Any]], Seen] | None:
    seen = Seen()
    try:
        batches = list(Markup((CASE_KEYS, EVENT_KEYS), seen, inside=True).feed(data + b"</log>", last=True))
    except MarkupError:
        return None
    return [row for b in batches for row in b.to_pylist()], seen


PARTS = [
    "<", ">", "/", '"', "'", "&", "&amp;", "&#65;", "&x;", "<!-- x -->", "<![CDATA[ ]]>", "<event>", "</event>",
    "<trace>", "</trace>", "<event/>", "<string key=\"concept:name\" value=\"z\"/>",
    "<string key='concept:name' value='z'/>",
    '<string key="concept:name" value="z"><string key="amount" value="9"/></string>', "\n", "\t", " ", "\x01", "é", "=",
    "<list key=\"l\">", "</list>", "value", "key", "<date ", "x", "<?pi?>", "<string key=\"a\">", "</string>",
]  # fmt: skip


@settings(max_examples=400)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_whatever_is_changed_in_it_both_ways_agree(seed: int, changes: int) -> None:
    rng = random.Random(seed)
    text = written([*SIMPLE, ({"concept:name": "3"}, [{"concept:name": "a&b", "other": "x"}])])
    for _ in range(changes):
        tags = [m.start() for m in re.finditer('[<>"=/]', text)]
        begin = rng.choice(tags) if rng.random() < 0.7 else rng.randrange(len(text))
        end = begin + rng.choice([0, 0, 1, 2, 8, 30])
        text = text[:begin] + rng.choice([*PARTS, "", text[end : end + rng.randrange(60)]]) + text[end:]
    data = text.encode()
    seen = Seen()
    batches = parse_canonical(data, (CASE_KEYS, EVENT_KEYS), seen)
    if batches is not None:
        found = by_expat(data)
        assert found is not None
        assert [row for b in batches for row in b.to_pylist()] == found[0]
        assert (seen.traces, seen.empty, seen.events) == (found[1].traces, found[1].empty, found[1].events)


@pytest.mark.parametrize(
    "event",
    [
        '<string value="a" key="concept:name"/>',
        "<string key='concept:name' value='a'/>",
        '<string key="concept:name" value="&#97;"/>',
        '<string key="concept:name" value="a"></string>',
        '<!-- <string key="concept:name" value="x"/> --><string key="concept:name" value="a"/>',
        '<string key="concept:name" value="a"/><![CDATA[<string key="concept:name" value="x"/>]]>',
        '<string key="concept:name" value="a"><string key="concept:name" value="x"/></string>',
        '<list key="items"><values><string key="concept:name" value="x"/></values></list>'
        '<string key="concept:name" value="a"/>',
        '<container key="c"><string key="concept:name" value="x"/></container><string key="concept:name" value="a"/>',
        '<xes:string xmlns:xes="u" key="concept:name" value="a"/>',
        '<string\n key = "concept:name"\n value = "a" ></string >',
        '<string key="concept:name" value="x"/><string key="concept:name" value="a"/>',
    ],
)
def test_other_forms_of_the_same_event(tmp_path: Path, event: str) -> None:
    body = f'<trace><string key="concept:name" value="1"/><event>{event}</event></trace>'
    assert read(stored(tmp_path, written(SIMPLE) + body + written(SIMPLE))) == [
        *expected(SIMPLE),
        {**dict.fromkeys([f"case:{k}" for k in CASE_KEYS] + EVENT_KEYS), "case:concept:name": "1", "concept:name": "a"},
        *expected(SIMPLE),
    ]


def test_attributes_of_the_log_its_defaults_and_its_extensions_are_no_events(tmp_path: Path) -> None:
    head = HEAD + (
        '<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>\n'
        '<global scope="trace"><string key="amount" value="UNKNOWN"/></global>\n'
        '<global scope="event"><string key="org:resource" value="UNKNOWN"/></global>\n'
        '<classifier name="Activity" keys="concept:name"/>\n<!-- <trace> -->'
        '<string key="concept:name" value="log"><int key="amount" value="3"/></string>\n'
    )
    assert read(stored(tmp_path, written(SIMPLE), head)) == expected(SIMPLE)


def test_a_comment_that_holds_a_trace_hides_it(tmp_path: Path) -> None:
    hidden = f"<!-- {written(SIMPLE)} -->"
    assert read(stored(tmp_path, hidden + written(SIMPLE[:1]))) == expected(SIMPLE[:1])
    assert read(stored(tmp_path, written(SIMPLE[:1]) + hidden)) == expected(SIMPLE[:1])


def test_traces_and_events_without_attributes_are_counted(tmp_path: Path) -> None:
    body = "<trace/><trace></trace><trace><event/></trace><event/>" + written(SIMPLE)
    seen = Seen()
    rows = read(stored(tmp_path, body), seen)
    assert rows[2:] == expected(SIMPLE)
    assert [set(r.values()) for r in rows[:2]] == [{None}, {None}]
    assert (seen.traces, seen.empty, seen.events) == (5, 2, 5)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    log: Log = [({"concept:name": "é"}, [{"concept:name": "crédit"}])]
    head = HEAD.replace("UTF-8", encoding.removesuffix("-sig"))
    path = tmp_path / "log.xes"
    path.write_bytes((head + written(log) + "</log>").encode(encoding))
    assert read(path) == expected(log)


def test_bytes_that_are_not_of_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "log.xes"
    path.write_bytes(HEAD.encode() + written(SIMPLE).replace("王", "é").encode("latin-1") + b"</log>")
    assert refused(path) == (
        "log.xes: 1 problem\n"
        "  - expected well-formed XES, found in line 17: not well-formed (invalid token)\n"
        "  What to do: export the log again"
    )


def test_pieces_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = SIMPLE * 20
    odd = '<trace><string key="concept:name" value="1"/><event><string value="a" key="concept:name"/></event></trace>'
    path = stored(tmp_path, written(log) + odd)
    for size in (7, 64, 301, 5000):
        monkeypatch.setattr(xes, "PIECE", size)
        rows = read(path)
        assert rows[:-1] == expected(log)
        assert rows[-1]["concept:name"] == "a"


def test_a_trace_too_long_for_one_piece_is_read_event_by_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: Log = [({"concept:name": "1"}, [{"concept:name": f"step {i}"} for i in range(2000)]), *SIMPLE]
    monkeypatch.setattr(xes, "PIECE", 1000)
    monkeypatch.setattr(xes, "MOST", 10_000)
    monkeypatch.setattr("sqmodel.operations.xes_markup.BATCH", 100)
    path = stored(tmp_path, written(log))
    assert read(path) == expected(log)
    late = written(log[:1]).replace("</trace>", '<string key="amount" value="9"/></trace>')
    assert refused(stored(tmp_path, late)) == (
        "log.xes: 1 problem\n  - expected attributes of a trace before its events, found 'amount' behind them"
    )


BOMB = '<!DOCTYPE log [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'


@pytest.mark.parametrize("declaration", [BOMB, '<!DOCTYPE log SYSTEM "http://localhost/log.dtd">\n', "<!DOCTYPE log>"])
def test_a_document_type_is_refused(tmp_path: Path, declaration: str) -> None:
    head = HEAD.replace("<log", declaration + "<log")
    assert refused(stored(tmp_path, written(SIMPLE), head)) == (
        "log.xes: 1 problem\n"
        "  - expected XES without document type and entities, found a declaration of them: it could make a small file "
        "fill the memory\n"
        "  What to do: export the log again without <!DOCTYPE ...>"
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "expected well-formed XES, found in line 1: no element found"),
        (HEAD + written(SIMPLE), "expected well-formed XES, found in line 21: no element found"),
        (HEAD + written(SIMPLE).replace("</event>", "", 1) + "</log>", "expected well-formed XES, found in line 10: "
         "mismatched tag"),
        (HEAD + written(SIMPLE).replace("王", "a & b") + "</log>", "expected well-formed XES, found in line 17: "
         "not well-formed (invalid token)"),
        (HEAD + written(SIMPLE).replace("王", "&nbsp;") + "</log>", "expected well-formed XES, found in line 17: "
         "undefined entity"),
        ("<html><trace></trace></html>", "expected XES, a file that begins with <log>, found <html>"),
        ("case,activity\n1,a\n", "expected well-formed XES, found in line 1: syntax error"),
    ],
)  # fmt: skip
def test_no_xes(tmp_path: Path, content: str, found: str) -> None:
    path = tmp_path / "log.xes"
    path.write_text(content, encoding="utf-8")
    assert refused(path).split("\n")[1] == f"  - {found}"


def test_packed_files(tmp_path: Path) -> None:
    path = tmp_path / "log.xes.gz"
    whole = (HEAD + written(SIMPLE) + "</log>").encode()
    path.write_bytes(gzip.compress(whole[:90]) + gzip.compress(whole[90:]) + b"\0" * 512)
    assert read(path) == expected(SIMPLE)
    path.write_bytes(gzip.compress(whole)[:-20])
    assert refused(path) == (
        "log.xes.gz: 1 problem\n"
        "  - expected a log packed by gzip, found: the file ends before what was packed does\n"
        "  What to do: get the file again"
    )


def peak(path: Path) -> float:
    """Megabytes that reading takes at most in a process of its own.

    Not `getrusage`: its figure begins with that of the process which started this one.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    script = (
        "import re, sys; from pathlib import Path; from sqmodel.errors import OperationsError\n"
        "from sqmodel.operations.xes import Seen, read_xes\n"
        "try:\n"
        "    for b in read_xes(Path(sys.argv[1]), source='log', case_keys=['concept:name'], "
        "event_keys=['concept:name'], seen=Seen()): pass\n"
        "except OperationsError as error: print(error, file=sys.stderr)\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def bombs() -> Iterator[tuple[str, bytes, bytes]]:
    """What a small packed file may hold a gigabyte of."""
    yield "blanks in the header", HEAD.encode(), b" "
    yield "a value", HEAD.encode() + b'<trace><string key="concept:name" value="', b"a"
    yield "blanks in a trace", HEAD.encode() + b"<trace>", b"\n"
    event = b'<event><string key="concept:name" value="a"/></event>'
    yield "events of one trace", HEAD.encode() + b"<trace>", event


@pytest.mark.parametrize("kind", [name for name, _, _ in bombs()])
def test_a_small_file_does_not_fill_the_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb.xes.gz"
    (begin, unit) = next((b, u) for n, b, u in bombs() if n == kind)
    block = unit * ((1 << 20) // len(unit))
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(begin)
        for _ in range(450 if len(unit) == 1 else 130):
            file.write(block)
    assert path.stat().st_size < 8e6
    assert peak(path) < 400


def test_bpic2012_by_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared("data", "bpic2012", "bpic2012.xes.gz")

    def table() -> tuple[pa.Table, Seen]:
        seen = Seen()
        found = read_xes(path, source="log", case_keys=["concept:name", "AMOUNT_REQ"], event_keys=EVENT_KEYS, seen=seen)
        return pa.concat_tables(found), seen

    fast = table()
    monkeypatch.setattr(xes, "parse_canonical", lambda *_: None)
    slow = table()
    assert fast[0].equals(slow[0])
    assert fast[1].traces == slow[1].traces == 13_087
    assert set(fast[1].event_keys) == set(slow[1].event_keys)
