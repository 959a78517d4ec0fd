"""Work in a pool of processes: results in order, the first error, and an end at once when it is interrupted."""

from __future__ import annotations

import json
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


THREADS = """
from sqmodel import compute

def threads(_):
    import numpy, scipy.linalg, threadpoolctl

    return [own["num_threads"] for own in threadpoolctl.threadpool_info()]

if __name__ == "__main__":
    with compute.on(2):
        print(compute.map(threads, range(2)))
"""


def test_a_process_has_one_thread_of_linear_algebra_whenever_it_is_loaded(tmp_path: Path) -> None:
    """The libraries are loaded by the function, after the process began; with more threads they wait for each other."""
    (tmp_path / "threads.py").write_text(THREADS, encoding="utf-8")
    plenty = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")} | {"OPENBLAS_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "threads.py"], cwd=tmp_path, env=plenty, capture_output=True, text=True,
                          check=True)  # fmt: skip
    found = json.loads(done.stdout)
    assert len(found) == 2
    assert all(own and set(own) == {1} for own in found)


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
