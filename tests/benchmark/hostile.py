"""Hostile submissions, each made from a valid one; where the attack is in the content, it is signed with a trusted key.

The receipts that they must get are in ``hostile_receipts.txt``, whole, so that what refuses an attack is the check that
is meant to.
"""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sqmodel.benchmark.archive import MOST_BYTES, SIGNATURE, pack
from sqmodel.benchmark.content import Identity, ItemCounts, Ordinal, Submission, Withheld
from sqmodel.benchmark.intake import shown_name
from sqmodel.benchmark.packing import texts_of
from sqmodel.operations.standards import load_standard
from sqmodel.survey.instrument import load_instrument
from tests.benchmark.forging import (
    CENTRAL,
    END,
    N,
    Texts,
    changed,
    contents,
    edited,
    key_of,
    ordinal,
    packed_with,
    patched,
    valid,
    zipped,
)

RECEIPTS = Path(__file__).parent / "hostile_receipts.txt"


def symlinked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents().items():
            info = zipfile.ZipInfo(name)
            if name == "counts.csv":
                info.create_system, info.external_attr = 3, 0o120777 << 16
                content = b"/etc/passwd"
            archive.writestr(info, content)
    return buffer.getvalue()


def bomb() -> bytes:
    """32 MB of zeros in 32 kB."""
    return zipped({**contents(), "waiting.csv": bytes(32_000_000)})


def quoted_bomb() -> bytes:
    """Every entry of the directory points at the same content: overlapping files, as in Fifield's bombs."""
    content = pack(contents())
    for k in range(1, 9):
        content = patched(content, CENTRAL, 42, "<L", 0, which=k)
    return content


def nested_bomb() -> bytes:
    inner = zipped({"a": bytes(5_000_000)})
    return pack({**contents(), "inner.zip": zipped({str(k): inner for k in range(10)})})


def lying_size() -> bytes:
    """The directory says of a compressed file that it is short when inflated."""
    return patched(bomb(), CENTRAL, 24, "<L", 10, which=7)


def lying_stored() -> bytes:
    return patched(pack(contents()), CENTRAL, 24, "<L", 4_000_000, which=3)


def doubled() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [*contents().items(), ("counts.csv", b"item,category,count\n")]:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def unsigned() -> bytes:
    return pack({n: c for n, c in contents().items() if n != SIGNATURE})


def without(path: str) -> bytes:
    return pack({n: c for n, c in contents().items() if n != path})


def swapped(path: str, old: str, new: str) -> bytes:
    """Change a table after it was signed, with the checksum of the ZIP put right."""
    files = contents()
    changed(path, old, new)(files)
    return pack(files)


class Attack(NamedTuple):
    """A hostile file and how it is made."""

    name: str
    make: Callable[[Path], object]


def file(content: Callable[[], bytes]) -> Callable[[Path], object]:
    """Write bytes to the path of an attack."""
    return lambda path: path.write_bytes(content())


def package(**options: Any) -> Callable[[Path], object]:
    """Write a package in the one form of archive, signed with a trusted key."""
    return lambda path: path.write_bytes(pack(contents(**options)))


def _cov_not_definite(texts: Texts) -> None:
    """A covariance that the variances cannot have, of whole numbers all the same."""
    moments = valid().moments
    assert moments is not None
    cov, both = moments.cov.copy(), moments.mean[0] * moments.mean[1]
    cov[0, 1] = cov[1, 0] = round(N * (1.5 * np.sqrt(cov[0, 0] * cov[1, 1]) + both)) / N - both
    texts.update(texts_of(dataclasses.replace(valid(), moments=dataclasses.replace(moments, cov=cov))))


def _many_rows(texts: Texts) -> None:
    texts["context.csv"] = b"variable,value,share\n" + b"".join(b"size,v%d,0.0\n" % k for k in range(1_001))


def _shares(texts: Texts) -> None:
    changed("indicators.csv", "within_limit,share,200.0,150.0,0.75", "within_limit,share,200.0,250.0,1.25")(texts)


def _duplicate_key(text: bytes) -> bytes:
    return edited('"institution": "bank_a"', '"institution": "bank_b",\n  "institution": "bank_a"')(text)


def _deep(text: bytes) -> bytes:
    return edited('"profile": "data-package"', '"x": ' + "[" * 20_000 + "]" * 20_000 + ',\n "profile": "data-package"')(
        text
    )


def _moments(**changes: Any) -> Submission:
    moments = valid().moments
    assert moments is not None
    return valid(moments=dataclasses.replace(moments, **changes))


def _ordinal(**changes: Any) -> Submission:
    own = ordinal()
    return valid(ordinal=dataclasses.replace(own, moments=dataclasses.replace(own.moments, **changes)))


def _replaced(matrix: Any, place: Any, value: float) -> Any:
    found = np.array(matrix)
    found[place] = value
    if found.ndim == 2:
        found[place[::-1]] = value
    return found


def _interleaved(texts: Texts) -> None:
    """An item's threshold moved away from the others."""
    lines = texts["thresholds.csv"].splitlines(keepends=True)
    texts["thresholds.csv"] = b"".join([lines[0], *lines[2:], lines[1]])


def _nine_categories() -> Ordinal:
    """One more than the scale has, and one more again."""
    own = ordinal()
    thresholds = np.concatenate([np.linspace(-1, 1, 8), own.moments.thresholds[3:]])
    m = len(thresholds) + 6
    moments = dataclasses.replace(own.moments, thresholds=thresholds, acov=np.eye(m))
    return dataclasses.replace(own, categories=(9, *own.categories[1:]), moments=moments)


def _recount(item: int, category: int, count: int | None) -> tuple[ItemCounts, ...]:
    """The valid counts with another number in one place."""
    counts = list(valid().counts)
    own = list(counts[item].counts)
    own[category] = count
    counts[item] = counts[item]._replace(counts=tuple(own))
    return tuple(counts)


def _withheld_above() -> Submission:
    """Of what is told some is withheld, and the rest is too many all the same."""
    counts = list(_recount(0, 0, None))
    counts[0] = counts[0]._replace(counts=(None, *counts[0].counts[1:6], 500))
    return valid(counts=tuple(counts), withheld=(Withheld("counts", "exp1=1", "small counts"),))


def _reversed() -> tuple[ItemCounts, ...]:
    own = valid().counts[0]
    return (own._replace(categories=own.categories[::-1], counts=own.counts[::-1]), *valid().counts[1:])


def _few() -> Submission:
    """Nothing wrong but that nine are fewer than ten."""
    return valid(n=9, counts=(), moments=None, scores=tuple(s._replace(n=9) for s in valid().scores))


def _past(quarter: str = "2025Q4", revision: int = 0) -> Submission:
    return valid("bank_c", quarter=quarter, revision=revision)


_OVERALL = valid().scores[0]
_M = valid().moments
assert _M is not None
_MEAN, _COV = _M.mean, _M.cov
_O = ordinal().moments

ATTACKS = (
    # What is no file, or no ZIP.
    Attack("folder.zip", lambda p: (p / "inner").mkdir(parents=True)),
    Attack("link.zip", lambda p: p.symlink_to("/etc/passwd")),
    Attack("link_to_valid.zip", lambda p: p.symlink_to("valid_a.zip")),
    Attack("pipe.zip", lambda p: os.mkfifo(p)),
    Attack("device.zip", lambda p: p.symlink_to("/dev/zero")),
    Attack("empty.zip", file(lambda: b"")),
    Attack("text.zip", file(lambda: b"item,category,count\n" * 50)),
    Attack("foreign.exe", file(lambda: b"MZ")),
    Attack("=cmd|calc!A0.zip", file(lambda: b"")),
    Attack("bad\x1b[31m\u202ename.zip", file(lambda: b"")),
    Attack("huge.zip", lambda p: _sparse(p, 3_000_000_000)),
    Attack("truncated.zip", file(lambda: pack(contents())[:-300])),
    Attack("trailing.zip", file(lambda: pack(contents()) + b"garbage")),
    Attack("prepended.zip", file(lambda: b"#!/bin/sh\n" + pack(contents()))),
    Attack("commented.zip", file(lambda: patched(pack(contents()), END, 20, "<H", 5) + b"hello")),
    # Archives that lead out of their folder, or swell.
    Attack("slip.zip", file(lambda: packed_with("../../evil.csv"))),
    Attack("absolute.zip", file(lambda: packed_with("/etc/cron.d/evil"))),
    Attack("backslash.zip", file(lambda: packed_with("..\\evil.csv"))),
    Attack("drive.zip", file(lambda: packed_with("C:evil.csv"))),
    Attack("symlink_inside.zip", file(symlinked)),
    Attack("bomb.zip", file(bomb)),
    Attack("quoted_bomb.zip", file(quoted_bomb)),
    Attack("nested_bomb.zip", file(nested_bomb)),
    Attack("lying_size.zip", file(lying_size)),
    Attack("lying_stored.zip", file(lying_stored)),
    Attack("many_entries.zip", file(lambda: zipped({f"{k}.csv": b"" for k in range(5_000)}))),
    Attack("many_claimed.zip", file(lambda: patched(pack(contents()), END, 10, "<H", 0xFFFF))),
    Attack("doubled_entry.zip", file(doubled)),
    Attack("encrypted.zip", file(lambda: patched(pack(contents()), CENTRAL, 8, "<H", 1, which=1))),
    Attack("deflated.zip", file(lambda: zipped(contents()))),
    Attack("bzip2.zip", file(lambda: zipped(contents(), zipfile.ZIP_BZIP2))),
    Attack("lzma.zip", file(lambda: zipped(contents(), zipfile.ZIP_LZMA))),
    Attack("another_writer.zip", file(lambda: zipped(contents(), zipfile.ZIP_STORED))),
    Attack("another_order.zip", file(lambda: pack(dict(reversed(contents().items()))))),
    Attack("wrong_crc.zip", file(lambda: _wrong_crc())),
    Attack("extra_file.zip", file(lambda: packed_with("readme.txt"))),
    # Signatures.
    Attack("unsigned.zip", file(unsigned)),
    Attack("untrusted_key.zip", package(key=key_of("mallory"))),
    Attack("other_institution.zip", package(key=key_of("bank_b"))),
    Attack(
        "signature_of_other.zip",
        file(lambda: pack({**contents(valid(revision=7)), SIGNATURE: contents()[SIGNATURE]})),
    ),
    Attack("signature_json.zip", file(lambda: pack({**contents(), SIGNATURE: b"[" * 900}))),
    Attack("signature_spaced.zip", file(lambda: pack({**contents(), SIGNATURE: contents()[SIGNATURE] + b"\n"}))),
    Attack("table_changed.zip", file(lambda: swapped("moments.csv", "exp1,", "exp2,"))),
    Attack("table_missing.zip", file(lambda: without("waiting.csv"))),
    Attack("table_more.zip", file(lambda: pack(_sorted({**contents(), "thresholds.csv": b"item,threshold\n"})))),
    # Descriptors.
    Attack("deep_json.zip", package(descriptor=_deep)),
    Attack("large_json.zip", package(descriptor=lambda t: t + b" " * 100_000)),
    Attack("duplicate_key.zip", package(descriptor=_duplicate_key)),
    Attack("nan_json.zip", package(descriptor=edited(f'"n": {N}', '"n": NaN'))),
    Attack("infinite_json.zip", package(descriptor=edited(f'"n": {N}', '"n": -Infinity'))),
    Attack("huge_integer.zip", package(descriptor=edited(f'"n": {N}', '"n": ' + "9" * 5_000))),
    Attack("large_exponent.zip", package(descriptor=edited(f'"n": {N}', '"n": 1e400'))),
    Attack("not_utf8.zip", package(descriptor=lambda t: t.replace(b"bank_a", b"bank\xff\xfe", 1))),
    Attack("bom.zip", package(descriptor=lambda t: b"\xef\xbb\xbf" + t)),
    Attack("nul.zip", package(descriptor=lambda t: t.replace(b"bank_a", b"bank_a\0", 1))),
    Attack("no_json.zip", package(descriptor=lambda t: b"import os\n")),
    Attack("list_json.zip", package(descriptor=lambda t: b"[1, 2]\n")),
    Attack("unknown_key.zip", package(descriptor=edited('"simulated": true', '"simulated": true,\n  "admin": true'))),
    Attack("other_profile.zip", package(descriptor=edited('"data-package"', '"http://evil.example/profile.json"'))),
    Attack("remote_table.zip", package(descriptor=edited('"path": "counts.csv"', '"path": "http://evil.example/"'))),
    Attack("text_for_number.zip", package(facts={"n": "40"})),
    Attack("true_for_number.zip", package(facts={"revision": True})),
    Attack("negative_n.zip", package(facts={"n": -5})),
    Attack("formula_institution.zip", package(facts={"institution": "=HYPERLINK(1)"})),
    Attack("long_institution.zip", package(facts={"institution": "a" * 5_000})),
    Attack("wrong_schema.zip", package(facts={"schema": "sqmodel.submission/2"})),
    Attack("wrong_instrument.zip", package(submission=valid(instrument=Identity("other", "1", "0" * 64)))),
    Attack("wrong_digest.zip", package(submission=valid(instrument=Identity("lending_service", "9.9", "0" * 64)))),
    Attack("wrong_standard.zip", package(submission=valid(standard=Identity("lending_standard", "1", "f" * 64)))),
    Attack("no_standard.zip", package(submission=valid(standard=None))),
    Attack("no_standard_few.zip", package(submission=valid(standard=None, waiting=()))),
    Attack("old_key.zip", package(submission=valid("bank_c"), key=key_of("bank_c_before"))),
    Attack("early_key.zip", package(submission=valid("bank_c", quarter="2024Q4"), key=key_of("bank_c_before"))),
    # Who holds a stolen key chooses a quarter for which it was valid, and a revision above all others.
    Attack("stolen_key.zip", package(submission=valid("bank_c"), key=key_of("bank_c_stolen"))),
    Attack("stolen_key_past.zip", package(submission=_past(), key=key_of("bank_c_stolen"))),
    Attack("stolen_key_correction.zip", package(submission=_past("2026Q2", 999), key=key_of("bank_c_stolen"))),
    Attack("stolen_key_rewrites.zip", package(submission=_past("2026Q2", 2), key=key_of("bank_c_stolen"))),
    Attack("no_quarter.zip", package(facts={"quarter": "2026Q5"})),
    Attack("future.zip", package(submission=valid(quarter="2026Q4"))),
    Attack("ancient.zip", package(submission=valid(quarter="2023Q2"))),
    Attack("replay.zip", package(submission=valid("bank_c", quarter="2026Q2", revision=1), key=key_of("bank_c"))),
    Attack("rewritten.zip", package(submission=valid("bank_c", quarter="2026Q1", revision=2), key=key_of("bank_c"))),
    # Tables.
    Attack("formula_code.zip", package(tables=changed("counts.csv", "exp1,1,", "=1+1,1,"))),
    Attack("formula_quoted.zip", package(tables=changed("context.csv", "size,large", 'size,"=cmd|calc"'))),
    Attack("formula_number.zip", package(tables=changed("scores.csv", "overall,40", "overall,=40"))),
    Attack("nan_number.zip", package(tables=changed("moments.csv", "exp1,", "exp1,nan\nexp9,"))),
    Attack("infinite_number.zip", package(tables=changed("indicators.csv", "31.25", "1e999"))),
    Attack("thousands.zip", package(tables=changed("indicators.csv", "1000.0", "1 000.0"))),
    Attack("homoglyph.zip", package(tables=changed("moments.csv", "exp1", "\u0435xp1"))),
    Attack("bidi.zip", package(tables=changed("context.csv", "large", "lar\u202ege"))),
    Attack("fullwidth.zip", package(tables=changed("counts.csv", "exp1,1,", "exp1,\uff11,"))),
    Attack("long_field.zip", package(tables=changed("context.csv", "large", "a" * 100_000))),
    Attack("long_code.zip", package(tables=changed("withheld.csv", "size=micro", "a" * 70_000))),
    Attack("many_rows.zip", package(tables=_many_rows)),
    Attack("crlf.zip", package(tables=changed("context.csv", "\n", "\r\n", 99))),
    Attack("other_columns.zip", package(tables=changed("context.csv", "variable,value", "value,variable"))),
    Attack("no_line_feed.zip", package(tables=lambda t: t.update({"context.csv": t["context.csv"][:-1]}))),
    # Numbers that no quarter can have.
    Attack("not_definite.zip", package(tables=_cov_not_definite)),
    Attack("asymmetric.zip", package(tables=changed("covariances.csv", "eff1,exp1", "exp1,eff1"))),
    Attack("counts_do_not_add.zip", package(tables=changed("counts.csv", "exp1,1,", "exp1,1,1"))),
    Attack("negative_count.zip", package(tables=changed("counts.csv", "exp1,1,", "exp1,1,-"))),
    Attack("mean_outside.zip", package(submission=_moments(mean=_replaced(_MEAN, 0, 7.5)))),
    Attack("mean_not_counts.zip", package(submission=_moments(mean=_replaced(_MEAN, 1, _MEAN[1] + 0.025)))),
    Attack("variance_too_large.zip", package(submission=_moments(cov=_replaced(_COV, (2, 2), 9.9)))),
    Attack("negative_variance.zip", package(submission=_moments(cov=_replaced(_COV, (2, 2), -1.0)))),
    Attack("fractional.zip", package(submission=_moments(cov=_replaced(_COV, (0, 1), _COV[0, 1] + 1e-3)))),
    Attack("too_few.zip", package(submission=valid(n=5))),
    Attack("no_moments.zip", package(facts={"complete": None})),
    Attack(
        "item_unknown.zip",
        package(
            tables=lambda t: [
                changed(p, "exp1", "zzz1", 99)(t) for p in ("counts.csv", "moments.csv", "covariances.csv")
            ]
        ),
    ),
    Attack("item_twice.zip", package(tables=changed("counts.csv", "eff1", "exp1", 99))),
    Attack("category_twice.zip", package(tables=changed("counts.csv", "exp1,2,", "exp1,1,"))),
    Attack("category_outside.zip", package(tables=changed("counts.csv", "exp1,7,", "exp1,10,"))),
    Attack("score_outside.zip", package(tables=changed("scores.csv", "EXP,40,", "EXP,40,9"))),
    Attack(
        "se_negative.zip",
        package(submission=valid(scores=(_OVERALL._replace(se=-1.0), *valid().scores[1:]))),
    ),
    Attack(
        "overall_outside.zip",
        package(submission=valid(scores=(_OVERALL._replace(estimate=99.0), *valid().scores[1:]))),
    ),
    Attack("overall_not_first.zip", package(tables=changed("scores.csv", "overall", "XXX"))),
    Attack(
        "dimension_unknown.zip",
        package(tables=lambda t: [changed(p, "EFF", "ZZZ", 99)(t) for p in ("scores.csv", "score_covariances.csv")]),
    ),
    Attack("score_variance.zip", package(submission=valid(score_cov=_replaced(valid().score_cov, (1, 1), 99.0)))),
    Attack("share_above_one.zip", package(tables=_shares)),
    Attack(
        "estimate_not_events.zip",
        package(tables=changed("indicators.csv", "1000.0,12.0,0.012", "1000.0,12.0,0.001")),
    ),
    Attack("no_trials.zip", package(tables=changed("indicators.csv", "share,200.0,150.0", "share,0.0,0.0"))),
    Attack("kind_unknown.zip", package(tables=changed("indicators.csv", ",mean,", ",median,"))),
    Attack("events_of_mean.zip", package(tables=changed("indicators.csv", "mean,200.0,,", "mean,200.0,5.0,"))),
    Attack(
        "indicator_twice.zip",
        package(
            tables=changed(
                "indicators.csv", "review_hours,mean,200.0,,31.25,1.5\n", "review_hours,mean,200.0,,31.25,1.5\n" * 2
            )
        ),
    ),
    Attack(
        "waiting_rises.zip",
        package(tables=changed("waiting.csv", "approval,4.0,200,0.512", "approval,4.0,200,0.9")),
    ),
    Attack(
        "waiting_above_one.zip",
        package(tables=changed("waiting.csv", "approval,1.0,200,0.8", "approval,1.0,200,1.8")),
    ),
    Attack("waiting_off_grid.zip", package(tables=changed("waiting.csv", "approval,4.0", "approval,3.0"))),
    Attack("context_above_one.zip", package(tables=changed("context.csv", "small,0.5", "small,0.95"))),
    Attack("context_twice.zip", package(tables=changed("context.csv", "size,small", "size,large"))),
    Attack("withheld_but_sent.zip", package(tables=changed("withheld.csv", "size=micro", "size=large"))),
    Attack("silently_withheld.zip", package(tables=lambda t: t.update({"counts.csv": _blank(t["counts.csv"])}))),
    Attack("thresholds_fall.zip", package(submission=_ordinal(thresholds=_O.thresholds[::-1].copy()))),
    Attack("correlation_above_one.zip", package(submission=_ordinal(cov=_replaced(_O.cov, (1, 0), 1.5)))),
    Attack("acov_not_definite.zip", package(submission=_ordinal(acov=_replaced(_O.acov, (1, 0), 9.0)))),
    Attack(
        "acov_short.zip",
        package(
            submission=valid(ordinal=ordinal()),
            tables=lambda t: t.update({"polychoric_covariances.csv": b"covariance\n1.0\n"}),
        ),
    ),
    Attack("ordinal_other_n.zip", package(submission=_ordinal(n=39.0))),
    Attack("ordinal_without_tables.zip", package(facts={"ordinal": N})),
    Attack("tables_without_ordinal.zip", package(submission=_ordinal(), facts={"ordinal": None})),
    Attack("thresholds_interleaved.zip", package(submission=_ordinal(), tables=_interleaved)),
    Attack("thresholds_too_many.zip", package(submission=valid(ordinal=_nine_categories()))),
    Attack("counts_of_others.zip", package(submission=valid(moments=None, counts=_recount(0, 0, 3)))),
    Attack("counts_above_n.zip", package(submission=valid(moments=None, counts=_recount(0, 0, 900)[:1]))),
    Attack("withheld_above_n.zip", package(submission=_withheld_above())),
    Attack("counts_missing.zip", package(submission=valid(counts=valid().counts[:3]))),
    Attack("scale_falling.zip", package(submission=valid(moments=None, counts=_reversed()))),
    Attack("se_too_large.zip", package(submission=valid(scores=(_OVERALL._replace(se=51.0), *valid().scores[1:])))),
    Attack("score_of_more.zip", package(tables=changed("scores.csv", "overall,40", "overall,41"))),
    Attack("few_respondents.zip", package(submission=_few())),
    Attack("negative_events.zip", package(tables=changed("indicators.csv", "12.0,0.012", "-12.0,-0.012"))),
    Attack("negative_error.zip", package(tables=changed("indicators.csv", "31.25,1.5", "31.25,-1.5"))),
    Attack("negative_share.zip", package(tables=changed("context.csv", "small,0.5", "small,-0.5"))),
    Attack("unclosed_json.zip", package(descriptor=lambda t: b'{"' + b'\\"' * 49_000)),
    Attack("many_unknown_keys.zip", package(facts={f"k{k}": 0 for k in range(5_000)})),
    Attack("many_resources.zip", package(descriptor=edited('"resources": [', '"resources": [' + "1," * 40_000))),
    Attack("many_problems.zip", package(tables=changed("waiting.csv", "0.01", "-0.01", 99))),
    Attack("waiting_of_none.zip", package(tables=changed("waiting.csv", "approval,1.0,200", "approval,1.0,0"))),
    Attack("waiting_error.zip", package(tables=changed("waiting.csv", "0.8,0.01", "0.8,-0.01"))),
)


def _blank(text: bytes) -> bytes:
    lines = text.split(b"\n")
    lines[1] = b",".join([*lines[1].split(b",")[:2], b""])
    return b"\n".join(lines)


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as out:
        out.truncate(size)


def _sorted(files: Texts) -> Texts:
    return {n: files[n] for n in MOST_BYTES if n in files}


def _wrong_crc() -> bytes:
    """The content is another, the headers agree with each other."""
    content = pack(contents())
    return content.replace(b"withheld.csvtable,cell,rule\ncontext", b"withheld.csvtable,cell,rule\ncontexs")


def make_corpus(folder: Path) -> None:
    for attack in ATTACKS:
        attack.make(folder / attack.name)


def receipts() -> dict[str, str]:
    """The whole receipt of each attack by the name that it is shown with."""
    digests = {"{instrument}": load_instrument("lending_service").digest[:12],
               "{standard}": load_standard("lending_standard").digest[:12]}  # fmt: skip
    text = RECEIPTS.read_text(encoding="utf-8")
    for place, digest in digests.items():
        text = text.replace(place, digest)
    found = dict(line.split(" -> ", 1) for line in text.splitlines())
    assert set(found) == {shown_name(a.name) for a in ATTACKS}
    return found
