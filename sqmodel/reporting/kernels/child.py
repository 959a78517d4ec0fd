"""What a prepared process does to become the kernel of one report.

The process has loaded the libraries and nothing else: it was forked from the server for this report, or was started
ahead of time where there is no fork. It serves one report and ends.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import signal
import sys
from dataclasses import dataclass

LIBRARIES = (
    "numpy",
    "scipy.stats",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "pandas",
    "sqlalchemy",
    "pyarrow",
    "yaml",
    "pydantic",
    "matplotlib.figure",
    "pingouin",
    "factor_analyzer",
    "seaborn",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib_inline.backend_inline",
    "matplotlib.backends.backend_svg",
    "sqmodel.survey.readers",
    "sqmodel.survey.screening",
    "sqmodel.measurement.alignment",
    "sqmodel.measurement.comparability",
    "sqmodel.measurement.cutoffs",
    "sqmodel.measurement.exploratory",
    "sqmodel.measurement.items",
    "sqmodel.measurement.planning",
    "sqmodel.measurement.reliability",
    "sqmodel.measurement.validity",
    "sqmodel.reporting.page",
    "sqmodel.reporting.tables",
    "sqmodel.reporting.validation",
    "sqmodel.reporting.charts.scree",
)
OPTIONAL = ("duckdb", "statsmodels.duration.survfunc", "statsmodels.duration.hazard_regression", "chinese_calendar")
"""Libraries that an extra brings."""


@dataclass(frozen=True)
class Order:
    """What the kernel of one report needs to know; JSON between processes.

    Parameters
    ----------
    connection_file : str
        Written by the kernel's manager; says on which sockets to talk and with which key.
    cwd : str
        Working folder.
    env : dict
        The whole environment of the kernel.
    log : str
        File that standard output and error are appended to; empty for none.
    parent : int
        Process that the kernel must not outlive.
    """

    connection_file: str
    cwd: str
    env: dict[str, str]
    log: str = ""
    parent: int = 0


def load_libraries() -> None:
    """Import what notebooks import, so that no report pays for it."""
    # Whoever draws chooses the backend later, in a kernel of its own; here no pyplot figure may come to be.
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in OPTIONAL:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    from sqmodel.reporting.words import LANGUAGES, texts

    for language in LANGUAGES:
        texts(language)


def become_kernel(order: Order) -> None:
    """Turn this process into an IPython kernel and serve until it is shut down."""
    _redirect(order.log)
    os.environ.clear()
    os.environ.update(order.env)
    if order.parent:
        os.environ["JPY_PARENT_PID"] = str(order.parent)
    os.chdir(order.cwd)
    sys.argv = ["ipykernel_launcher", "-f", order.connection_file]
    # As in any `python -m` kernel: modules beside the notebook can be imported.
    sys.path[0:1] = [""]
    _forget_randomness()
    _plain_signals()
    from ipykernel.kernelapp import IPKernelApp

    # Without the flag a pyplot that was loaded before the shell would drop every picture without a word.
    known = ["-f", order.connection_file, "--matplotlib=inline", f"--IPKernelApp.parent_handle={order.parent}"]
    IPKernelApp.launch_instance(argv=known)


def _redirect(log: str) -> None:
    """Standard input from nowhere; what libraries print past Python goes to the log."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if log else nowhere
    os.dup2(target, 1)
    os.dup2(target, 2)
    for opened in {nowhere, target} - {0, 1, 2}:
        os.close(opened)


def _forget_randomness() -> None:
    """No two kernels may draw the same numbers because they come from the same process."""
    random.seed()
    import numpy as np

    np.random.seed()  # noqa: NPY002 - the global generator is what a fork would share


def _plain_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
