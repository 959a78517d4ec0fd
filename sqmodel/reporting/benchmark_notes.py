"""What the comparison noted on the way, in both languages: the program writes its notes in English sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_parts import label_of
from sqmodel.reporting.words import known_as, quarter, say

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage

NOTES = {
    "note_mix_untold": r"(?P<mix>.+) is not adjusted for: (?P<told>\d+) of (?P<count>\d+) institutions tell its shares",
    "note_mix_few": r"(?P<mix>.+) is not adjusted for: (?P<count>\d+) institutions are too few for (?P<terms>\d+) "
                    "terms",
    "note_mix_determined": r"(?P<mix>.+) is not adjusted for: other shares determine it",
    "note_logit": r"(?P<code>\w+): (?P<cause>.+); small institutions are drawn to the others on the logit instead",
    "note_kind": r"(?P<code>\w+): (?P<count>\d+) institutions submit another kind than \w+ and are left out",
    "note_waiting": "waiting: institutions that do not tell every hour of a stage are left out of its pooled table",
    "note_goalpost": r"(?P<code>\w+) is at or beyond a goalpost in (?P<count>\d+) institutions: its errors there are "
                     "rather too large",
    "note_changes": r"changes are not told of (?P<count>\d+) institutions: their questionnaire or their indicators are "
                    r"not those of (?P<before>\w+)",
    "note_independent": "operational indicators are taken as independent of the clients' answers and of each other",
    "note_not_ranked": "nobody is ranked: answers do not mean the same in the institutions; means are of scores as "
                       "they are",
    "note_rules": "scores and ranks are after floors and deductions; branches are before them",
    "note_unseen": r"(?P<count>\d+) institutions are ranked whose answers the gate could not look at",
    "note_no_interval": "bias has no interval: items vary so much that the means by those that do not vary have no "
                        "solution",
    "note_no_ordinal": "the model of ordered answers has a solution in no institution",
    "note_left_out": "(?P<name>.+) was left out",
}  # fmt: skip
"""The sentences by their texts; a note that is none of them stays as it is, said to be in the program's words."""


def note_words(page: BenchmarkPage, note: str) -> Text:
    """A note in both languages."""
    for key, sentence in NOTES.items():
        if match := re.fullmatch(sentence, note):
            return say(key, **{name: _named(page, name, value) for name, value in match.groupdict().items()})
    return say("note_other", note=note)


def _named(page: BenchmarkPage, name: str, value: str) -> Text | str:
    if name == "code":
        return label_of(page, value)
    if name == "mix":
        return known_as("bench_mix", value)
    if name == "name" and value == "another":
        return say("note_another")
    return quarter(value) if name == "before" and re.fullmatch(r"\d{4}Q[1-4]", value) else value
