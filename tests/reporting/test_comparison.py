"""diff: two quarters side by side, and the numbers that were restated since."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from sqmodel.reporting.kernels.launchers import Launcher
from tests.reporting.projects import call

pytestmark = pytest.mark.xdist_group("publisher")


def index_of(quarter: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(Path(f"reports/{quarter}/desk/results.json").read_text("utf-8"))["index"]
    return found


def test_two_quarters_side_by_side(released: Path) -> None:
    result = call("diff", "2026Q2", "2026Q3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "               2026Q2  2026Q3  change  interval\n"
        "desk  overall    46.8    46.6    -0.3  [-3.3, +3.2]  within noise\n"
        "      SPEED      34.0    34.5    +0.5  [-4.5, +5.5]  within noise\n"
        "      CARE       54.7    53.3    -1.4  [-6.3, +3.5]  within noise\n"
        "      SKILL      51.8    51.9    +0.1  [-5.1, +5.3]  within noise\n"
    )


def test_a_past_number_that_is_another_now_is_told_with_its_reason(warm: Launcher, released: Path) -> None:
    path = Path("params/data/desk.csv")
    frame = pd.read_csv(path)
    past = frame.index[frame["quarter"] == "2026Q2"]
    # Everybody of the second quarter was more content by a point than the file had said.
    items = [f"q{i}" for i in range(1, 10)]
    frame.loc[past, items] = (frame.loc[past, items] + 1).clip(upper=7)
    frame.to_csv(path, index=False)
    before = index_of("2026Q2")
    result = call("run", "-q", "2026Q2..2026Q3")
    assert result.exit_code == 0, result.output
    after = index_of("2026Q2")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    (row,) = json.loads(Path("reports/restatements.json").read_text(encoding="utf-8"))
    names = ("value", "low", "high", "n")
    assert row == {
        "name": "2026Q2/desk",
        "before": {k: before[k] for k in names},
        "after": {k: after[k] for k in names},
        "reasons": ["input params/data/desk.csv changed"],
        "date": today,
    }
    told = f"{before['value']:.1f} → {after['value']:.1f}"
    assert f"{told} ({today}): input params/data/desk.csv changed" in Path("reports/index.html").read_text("utf-8")
    result = call("diff", "2026Q2", "2026Q3")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[-1] == f"restated  desk 2026Q2: {told} on {today}: input params/data/desk.csv changed"
    assert lines[1].endswith("  down")
    assert call("run", "-q", "2026Q2..2026Q3").stdout.endswith("2 of 2 published, all unchanged\nreports/index.html\n")
    assert json.loads(Path("reports/restatements.json").read_text(encoding="utf-8")) == [row]


def test_a_past_quarter_that_was_not_run_again_is_told_from_the_later_report(warm: Launcher, released: Path) -> None:
    path = Path("params/data/desk.csv")
    frame = pd.read_csv(path)
    frame.loc[frame["quarter"] == "2026Q2", "q1"] = 7
    frame.to_csv(path, index=False)
    assert call("run").exit_code == 0
    lines = call("diff", "2026Q2", "2026Q3").stdout.splitlines()
    (told,) = [line for line in lines if line.startswith("restated")]
    value = index_of("2026Q2")["value"]
    assert told.startswith(f"restated  desk 2026Q2: {value:.1f} → ")
    assert told.endswith(" in the report of 2026Q3: input params/data/desk.csv changed")


def test_a_line_in_one_quarter_alone(released: Path) -> None:
    folder = Path("reports/2026Q3/other")
    shutil.copytree("reports/2026Q3/desk", folder)
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    (folder / "results.json").write_text(json.dumps(record | {"business_line": "other"}), encoding="utf-8")
    assert call("diff", "2026Q2", "2026Q3").stdout.splitlines()[-1] == "only in 2026Q3: other"


@pytest.mark.parametrize(
    ("quarters", "message"),
    [
        (("2026Q3", "2026Q2"), "expected the earlier quarter first, found 2026Q3 and 2026Q2\n"),
        (("2026Q3", "2026Q3"), "expected the earlier quarter first, found 2026Q3 and 2026Q3\n"),
        (("2025Q3", "2026Q3"), "reports/2025Q3: expected published reports, found none\n"),
    ],
)
def test_quarters_that_cannot_be_compared(released: Path, quarters: tuple[str, str], message: str) -> None:
    result = call("diff", *quarters)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)


def test_a_record_that_cannot_be_read(released: Path) -> None:
    path = Path("reports/2026Q2/desk/results.json")
    path.write_text("{", encoding="utf-8")
    result = call("diff", "2026Q2", "2026Q3")
    assert (result.exit_code, result.stderr) == (
        2,
        f"{path}: expected a record of results, found: Expecting property name enclosed in double quotes: line 1 "
        "column 2 (char 1); publish the report again\n",
    )
