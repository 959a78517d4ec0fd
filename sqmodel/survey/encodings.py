"""Encodings: which of the encodings used for Chinese, Korean and English text a file is written in."""

from __future__ import annotations

import codecs

from sqmodel.errors import ResponsesError

# The characters that make up about half of everyday text and of questionnaires in each language.
COMMON_HAN = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然"
    "家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把"
    "机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果"
    "加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活"
    "贷款办理客户满意非常服务申请材料审批额度利率银行经营评价期望重要企业额快慢清楚告知号序答卷交提所用间男女省市区"
)
COMMON_HANGUL = frozenset(
    "이다는의가을에니고하지사를은로한습기도리어나시아자서대해그있일인수과들스정보여전제부상주만부조라원구안장공비무"
    "게면선용성았었것할거없합생소신적위년와동내말경세실현우저문관으당요국선결물행민체음외분방연계점회업때입모중은행대출"
    "고객만족매우그렇다않보통서비스신청서류심사금리한도직원설명지점처리속도신뢰응답번호성별남여지역"
)


def decode(raw: bytes, source: str, encoding: str | None = None) -> tuple[str, str]:
    """Text of a file and the encoding it was read in.

    UTF-8 and UTF-16 are recognised by their byte order mark or by decoding without fault. GB18030 and cp949
    accept most of each other's texts: see `_chinese_or_korean`.

    Parameters
    ----------
    raw : bytes
        Content of the file.
    source : str
        Name of the file in the error.
    encoding : str, optional
        Use this one.

    Raises
    ------
    ResponsesError
        No encoding fits, or the one asked for does not.
    """
    if encoding is not None:
        return _forced(raw, source, encoding), encoding
    found = _utf(raw) or _chinese_or_korean(raw)
    if found is None or "\0" in found[0]:
        raise ResponsesError(
            source,
            ["expected text in UTF-8, UTF-16, GB18030 or cp949, found bytes that fit none of them"],
            "save the file as CSV UTF-8, or name its encoding in the column map (encoding: ...)",
        )
    return found


def _forced(raw: bytes, source: str, encoding: str) -> str:
    try:
        text = raw.decode(encoding)
    except LookupError as error:
        raise ResponsesError(source, [f"expected a known encoding, found {encoding!r}"]) from error
    except UnicodeDecodeError as error:
        found = f"expected text in {encoding} as the column map says, found other bytes at byte {error.start}"
        raise ResponsesError(source, [found], "correct `encoding` in the column map or leave it out") from error
    return text.removeprefix("\ufeff")


def _attempt(raw: bytes, encoding: str) -> str | None:
    """The text, or None where these bytes are not of this encoding."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _utf(raw: bytes) -> tuple[str, str] | None:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        names = ["utf-16"]
    elif raw.startswith(codecs.BOM_UTF8):
        names = ["utf-8-sig"]
    elif b"\0" in raw[:1000]:
        # Without mark, digits and commas of UTF-16 have a zero byte: on odd places in little endian.
        names = ["utf-16-le" if raw[1:1000:2].count(0) > raw[:1000:2].count(0) else "utf-16-be"]
    else:
        names = ["utf-8"]
    return next(((text, name) for name in names if (text := _attempt(raw, name)) is not None), None)


def _chinese_or_korean(raw: bytes) -> tuple[str, str] | None:
    """GB18030 or cp949 by decoding, and by plausible characters where both decode.

    Korean read as GB18030 gives Han characters, Chinese read as cp949 a mixture of Hangul and Hanja. The text
    is Korean where nine in ten of its letters are Hangul and everyday syllables outnumber everyday Han.
    """
    chinese, korean = _attempt(raw, "gb18030"), _attempt(raw, "cp949")
    if korean is None:
        return None if chinese is None else (chinese, "gb18030")
    if chinese is None:
        return korean, "cp949"
    letters = [c for c in korean if c.isalpha() and not c.isascii()]
    hangul = sum("가" <= c <= "힣" for c in letters) >= 0.9 * len(letters)
    common_korean = sum(c in COMMON_HANGUL for c in korean)
    common_chinese = sum(c in COMMON_HAN for c in chinese)
    return (korean, "cp949") if hangul and common_korean > common_chinese else (chinese, "gb18030")
