"""A new project: params to fill in, the notebooks, the questionnaire, and a place for the answers."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

from sqmodel.errors import InputError
from sqmodel.reporting.keys import find_notebook

PARAMS = """\
# One business line. Run `sqmodel check` after every change; it says what is wrong and runs nothing.
business_line: project_finance      # short name: the page's folder
quarter: 2026Q3
instrument: instrument.yaml         # the questionnaire; edit the copy in this folder
responses: params/data/project_finance.csv   # CSV, Excel, Parquet or a database URL; {quarter} may stand in it
weighting: equal                    # or allocation, regression, given, shapley, ...: the README lists all
minimum_n: 10                       # smaller client groups are withheld
seed: 1
# Records of what was done for clients; each adds a section to the page. Their columns are told in the README.
# events: params/data/events.csv            # steps of every case: also XES, Parquet or a database URL
# complaints: params/data/complaints.csv
# exposures: params/data/exposures.csv      # loans with their risk grade; and the warnings about them
# alerts: params/data/alerts.csv
# advisers: params/data/advisers.csv        # who handled which case
# tests: params/data/tests.csv              # advisers' tests of knowledge, training and inspections
# training: params/data/training.csv
# inspections: params/data/inspections.csv
"""

DESIGN = """\
# A design study of an index over several units: `sqmodel design params/branches.design.yaml`. `sqmodel demo` writes an
# example of its data; the README lists all keys.
name: branches                      # short name: the page's folder
tree: lending_index                 # a shipped tree, or the path of a YAML file
data: params/data/branches.csv      # a row a unit; columns that a sample gives need not be there
unit: branch
impute: median                      # of missing values
normalise: goalposts
weighting: given                    # or equal, entropy, critic, component, loadings, judged
samples:                            # what the indicators were estimated from
  - name: respondents
    rows: params/data/branches.respondents.csv
    columns: [experience, efficiency, feedback, competence]
  - {name: cases, rows: params/data/branches.cases.csv, columns: [repeated, handovers, review_hours, within_limit]}
  - {name: alerts, rows: params/data/branches.alerts.csv, columns: [warning_precision]}
  - {name: advisers, rows: params/data/branches.advisers.csv, columns: [test_share, trained]}
  - {name: complaints, errors: params/data/branches.errors.csv, columns: [complaints]}   # standard errors
alternatives:                       # what else could have been chosen
  weights: [equal]
  normalise: [min_max]
evaluations: 65536
seed: 1
"""

README = """\
# {name}

1. Put the answers in `params/data/` and name the file in `params/project_finance.yaml`.
2. `sqmodel check` tells what is wrong with params or data, all at once.
3. `sqmodel run` publishes to `reports/`; open `reports/index.html`.
4. For an index over branches or institutions: `params/branches.design.yaml` and `sqmodel design`.
"""

NOTEBOOKS = (
    "business_line.ipynb",
    "validation.ipynb",
    "index_design.ipynb",
    "benchmark.ipynb",
    "monitor.ipynb",
    "tutorial.ipynb",
)


def new_project(directory: Path) -> list[Path]:
    """Write a project's files.

    Parameters
    ----------
    directory : Path
        Must not exist, or be empty: nothing is ever overwritten.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        The folder holds something.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(str(directory), ["expected a new or an empty folder, found files"], "choose another folder")
    for folder in ("params/data", "notebooks", "reports"):
        (directory / folder).mkdir(parents=True)
    shipped = Path(str(files("sqmodel")))
    instrument = directory / "instrument.yaml"
    shutil.copyfile(shipped / "instruments" / "lending_service.yaml", instrument)
    made = [instrument]
    for name in NOTEBOOKS:
        made.append(directory / "notebooks" / name)
        shutil.copyfile(find_notebook(shipped.parent, name), made[-1])
    for path, content in (
        ("params/project_finance.yaml", PARAMS),
        ("params/branches.design.yaml", DESIGN),
        ("README.md", README.format(name=directory.name)),
    ):
        made.append(directory / path)
        made[-1].write_text(content, encoding="utf-8")
    return made
