"""Work in a pool of processes: results in order, the first error, and an end at once when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sqmodel import compute

ASLEEP = """
import time
from sqmodel import compute

def work(path):
    open(path, "w").close()
    time.sleep(60)

if __name__ == "__main__":
    try:
        with compute.on(2):
            compute.map(work, [{folder!r} + "/" + str(k) for k in range(40)])
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_results_come_in_order_and_the_first_error_is_raised() -> None:
    with compute.on(2):
        assert compute.map(abs, range(-50, 0)) == list(range(50, 0, -1))
        with pytest.raises(ValueError, match=r"invalid literal for int\(\) with base 10: 'a'"):
            compute.map(int, ["1", "a", "b", *map(str, range(40))])


@pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes")
def test_ctrl_c_in_a_terminal_ends_the_pool_at_once_and_in_silence(tmp_path: Path) -> None:
    """A terminal sends the signal to every process of the group, not to the first alone."""
    script = tmp_path / "script.py"
    marks = tmp_path / "marks"
    marks.mkdir()
    script.write_text(ASLEEP.format(folder=str(marks)), encoding="utf-8")
    run = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           start_new_session=True)  # fmt: skip
    until = time.monotonic() + 60
    while len(list(marks.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)
    begun = time.monotonic()
    assert run.communicate(timeout=60) == ("interrupted\n", "")
    assert time.monotonic() - begun < 20
    assert len(list(marks.iterdir())) == 2
