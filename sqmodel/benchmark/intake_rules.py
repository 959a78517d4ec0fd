"""Rules of intake: which of the files that are in order count, judged by time, by kind, and one against the other."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqmodel.benchmark.descriptor import QUARTER
from sqmodel.benchmark.ledger import Known, Ledger
from sqmodel.benchmark.member_keys import Holder
from sqmodel.benchmark.package import Received
from sqmodel.errors import InputError

OLDEST = 12
"""Quarters that a submission may lie back."""


class IntakeError(InputError):
    """The folder of submissions cannot be read at all."""


@dataclass(frozen=True)
class Read:
    """A file that was looked at: what it holds, or why it is refused and whose key signed it all the same."""

    name: str
    received: Received | None = None
    reason: str = ""
    signer: str = ""


def number(quarter: str) -> int:
    """Quarters since the year 0, to count how far two lie apart.

    Raises
    ------
    IntakeError
        It is no quarter.
    """
    if not re.fullmatch(QUARTER, quarter, re.ASCII) or quarter.endswith("\n"):
        raise IntakeError("quarter", [f"expected a quarter such as 2026Q3, found {quarter!r}"])
    return int(quarter[:4]) * 4 + int(quarter[5]) - 1


def of_time(own: Read, quarter: str, ledger: Ledger, holders: Mapping[str, Holder]) -> Read:
    """Refuse what comes from the future, from long ago, again in an older form, or anew by a revoked key."""
    if own.received is None:
        return own
    found = own.received.submission
    apart = number(quarter) - number(found.quarter)
    before = ledger.get((found.institution, found.quarter))
    holder, reason = holders[own.received.key], ""
    # The quarter is the signer's own word: a revoked key could always choose one that suits it.
    if holder.key.revoked and before != Known(found.revision, own.received.digest):
        reason = f"{holder.revoked(found.quarter)}."
    elif apart < 0:
        reason = f"Expected a quarter up to {quarter}, found {found.quarter}."
    elif apart > OLDEST:
        reason = f"Expected a quarter at most {OLDEST} before {quarter}, found {found.quarter}."
    elif before and found.revision < before.revision:
        reason = (f"Expected revision {before.revision} or later of {found.quarter}, which was accepted before, found "
                  f"revision {found.revision}: an old submission was sent again.")  # fmt: skip
    elif before and found.revision == before.revision and own.received.digest != before.digest:
        reason = (f"Expected revision {found.revision} of {found.quarter} as it was accepted before, found another "
                  "content; a correction needs a higher revision.")  # fmt: skip
    return replace(own, reason=reason)


def of_one_kind(found: Sequence[Read]) -> list[Read]:
    """Refuse what is simulated where anything that counts is not: also of another quarter, for changes compare both."""
    counted = [own.received.submission for own in found if own.received is not None and not own.reason]
    if all(s.simulated for s in counted):
        return list(found)
    reason = ("Expected answers of real clients, as in other submissions that count, found simulated ones. Send what "
              "was really collected; trials belong in a folder of their own.")  # fmt: skip
    return [replace(own, reason=reason) if own.received is not None and own.received.submission.simulated
            and not own.reason else own for own in found]  # fmt: skip


def one_each(found: Sequence[Read]) -> list[Read]:
    """Let one file of each institution and quarter count: the latest revision, if it is one and the same."""
    groups: dict[tuple[str, str], list[Read]] = defaultdict(list)
    for own in found:
        if own.received is not None and not own.reason:
            groups[own.received.submission.institution, own.received.submission.quarter].append(own)
    reasons = {name: reason for group in groups.values() for name, reason in _beaten(group).items()}
    return [replace(own, reason=reasons.get(own.name, own.reason)) for own in found]


def _beaten(group: Sequence[Read]) -> dict[str, str]:
    """Why files of the same institution and quarter do not count; in the order of their names."""
    revisions: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for own in group:
        assert own.received is not None
        revisions[own.received.submission.revision].append((own.name, own.received.digest))
    reasons: dict[str, str] = {}
    latest = max(revisions)
    for revision, files in revisions.items():
        first = shown_name(files[0][0])
        doubtful = len({digest for _, digest in files}) > 1
        for name, _ in files:
            others = ", ".join(shown_name(n) for n, _ in files if n != name)
            if doubtful:
                reasons[name] = (f"Expected one content of revision {revision}, found another in {others}: it is not "
                                 "known which counts.")  # fmt: skip
            elif revision < latest:
                reasons[name] = f"Replaced by revision {latest} in {shown_name(revisions[latest][0][0])}."
            elif name != files[0][0]:
                reasons[name] = f"Expected every submission once, found the same as in {first}."
    return reasons


def shown_name(name: str) -> str:
    """A file's name as a receipt may show it: no character that does something, and no formula of a spreadsheet."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text
