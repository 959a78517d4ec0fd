"""Keys of a register's members: one or several, each with its quarters; all that is wrong with them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sqmodel.benchmark.member_keys import MemberKey
from sqmodel.benchmark.profile import ProfileError, Register, load_register
from sqmodel.reporting.register_file import enter

A, B, C, D = ("abcd"[k] * 64 for k in range(4))
REGISTER = f"""\
name: association
title: {{zh: 协会, en: Association}}
members:
  - {{code: bank_a, title: Bank A, key: "{A}"}}
  - code: bank_b
    title: Bank B
    keys:
      - {{key: "{B}", from: 2026Q1, until: 2026Q4}}
      - {{key: "{C}", from: 2026Q3, revoked: true}}
"""


def load(folder: Path, text: str) -> Register:
    path = folder / "register.yaml"
    path.write_text(text, encoding="utf-8")
    return load_register(path)


def test_a_member_has_one_key_or_several_with_their_quarters(tmp_path: Path) -> None:
    found = load(tmp_path, REGISTER)
    assert found.members[0].all_keys == (MemberKey(key=A),)
    assert found.members[1].all_keys == (
        MemberKey(key=B, begin="2026Q1", until="2026Q4"), MemberKey(key=C, begin="2026Q3", revoked=True)
    )  # fmt: skip
    assert {k: h.institution for k, h in found.holders.items()} == {A: "bank_a", B: "bank_b", C: "bank_b"}
    again = yaml.safe_dump(found.model_dump(mode="json"), allow_unicode=True)
    assert load(tmp_path, again) == found


@pytest.mark.parametrize(
    ("begin", "until", "valid"),
    [("", "", "2025Q4 2026Q1 2026Q3 2027Q1"), ("2026Q1", "", "2026Q1 2026Q3 2027Q1"),
     ("", "2026Q1", "2025Q4 2026Q1"), ("2026Q1", "2026Q3", "2026Q1 2026Q3"), ("2026Q3", "2026Q3", "2026Q3")],
)  # fmt: skip
def test_a_key_signs_its_first_and_its_last_quarter(begin: str, until: str, valid: str, tmp_path: Path) -> None:
    span = ", ".join(f"{k}: {v}" for k, v in (("from", begin), ("until", until)) if v)
    text = REGISTER.replace("from: 2026Q1, until: 2026Q4", span).replace(", }", "}")
    holder = load(tmp_path, text).holders[B]
    quarters = ["2025Q4", "2026Q1", "2026Q3", "2027Q1"]
    assert " ".join(q for q in quarters if not holder.invalid(q)) == valid


def test_all_that_is_wrong_with_keys_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "register.yaml"
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, f"""\
name: association
title: Association
members:
  - {{code: good, title: G, key: "{"e" * 64}"}}
  - {{code: both, title: B, key: "{A}", keys: [{{key: "{B}"}}]}}
  - {{code: none, title: N}}
  - {{code: span, title: S, keys: [{{key: "{C}", from: 2026Q3, until: 2026Q1}}]}}
  - {{code: form, title: F, keys: [{{key: "{D}", from: 2026, until: 2026Q5}}, {{key: short}}, {{key: "{A}", since: 2026Q1}}]}}
""")  # noqa: E501  # fmt: skip
    assert str(caught.value) == (
        f"{path}: 7 problems\n"
        "  - members.1: expected either `key` or `keys`, found both of both\n"
        "  - members.2: expected either `key` or `keys`, found neither of none\n"
        "  - members.3.keys.0: expected `from` no later than `until`, found 2026Q3 and 2026Q1\n"
        "  - members.4.keys.0.from: Input should be a valid string, found 2026\n"
        "  - members.4.keys.0.until: expected a quarter such as 2026Q3, found '2026Q5'\n"
        "  - members.4.keys.1.key: String should match pattern '^[0-9a-f]{64}$', found 'short'\n"
        "  - members.4.keys.2.since: unknown key\n"
        "  What to do: correct the register file"
    )
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, REGISTER.replace(C, A))
    assert str(caught.value) == (
        f"{path}: 1 problem\n  - members: expected every key once, found {A} 2 times\n"
        "  What to do: correct the register file"
    )


def test_institutions_are_entered_beside_those_with_several_keys(tmp_path: Path) -> None:
    load(tmp_path, REGISTER)
    enter({"bank_d": D}, tmp_path / "register.yaml")
    text = (tmp_path / "register.yaml").read_text(encoding="utf-8")
    assert text == f'{REGISTER}  - {{code: bank_d, title: {{zh: bank_d, en: bank_d}}, key: "{D}"}}\n'
    assert load_register(tmp_path / "register.yaml").holders[D].institution == "bank_d"
