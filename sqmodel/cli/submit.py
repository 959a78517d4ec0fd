"""Commands by which an institution takes part in a benchmark: submit, submission show, keys new."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from sqmodel.cli import tools
from sqmodel.errors import SqmodelError


@click.command()
@click.argument("params", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--quarter", "-q", required=True, help="Such as 2026Q3.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path),
              help="A .zip, or a folder that gets CODE-QUARTER-rREVISION.zip.")  # fmt: skip
@click.option("--key", required=True, type=click.Path(path_type=Path, exists=True),
              help="Private key, or the folder of the keys CODE.key.")  # fmt: skip
@click.option("--profile", default="lending_association", show_default=True,
              help="The association's rules: a shipped profile, or a YAML file.")  # fmt: skip
@click.option(
    "--institution", default="", help="Code in the association's register, in place of the one in the params."
)
@click.option("--revision", default=0, type=click.IntRange(0, 999), help="Counts up where a quarter is corrected.")
@click.option("--earlier", multiple=True, type=click.Path(path_type=Path),
              help="A file that was sent before: nothing may follow from both. May be repeated.")  # fmt: skip
def submit(
    params: tuple[Path, ...], quarter: str, output: Path, key: Path, profile: str, institution: str, revision: int,
    earlier: tuple[Path, ...],
) -> None:  # fmt: skip
    """Make the file that an institution sends to its association from PARAMS: statistics only, signed.

    What would tell of a few respondents is withheld; `sqmodel submission show` prints all that is in the file. All
    files are written, or none.
    """
    from sqmodel.benchmark.profile import load_profile
    from sqmodel.reporting.submission_text import withheld_lines
    from sqmodel.reporting.submit import plan_submissions, submit

    try:
        rules = load_profile(profile)
        orders = plan_submissions(params, quarter=quarter, profile=rules, institution=institution, key=key,
                                  output=output, revision=revision)  # fmt: skip
        sent = submit(orders, profile=rules, revision=revision, earlier=earlier,
                      report=lambda text: click.echo(text, err=True))  # fmt: skip
    except SqmodelError as error:
        tools.stop(error)
    for each in sent:
        click.echo(f"{each.path}: {each.submission!r}")
        for line in withheld_lines(each.submission):
            click.echo(f"  {line}")
        click.echo(f"  sha256 {each.digest}")


@click.group()
def submission() -> None:
    """What is in a file that an institution sends."""


@submission.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same for machines, every number.")
@click.option("--all", "every", is_flag=True, help="Every number with all its digits, as it is in the file.")
@click.option("--csv", "folder", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Write the tables and their description to FOLDER, byte for byte as in the file.")  # fmt: skip
def show(file: Path, as_json: bool, every: bool, folder: Path | None) -> None:
    """Print what leaves the house in FILE: each table, what is withheld, and whose signature it bears.

    All counts are as in the file, estimates are rounded, and covariances of polychorics are summed up in a line, unless
    --all is given.
    """
    from sqmodel.benchmark.package import read_package
    from sqmodel.reporting.submission_text import submission_json, submission_text, write_tables

    try:
        received = read_package(file, None)
        text = (
            json.dumps(submission_json(received), ensure_ascii=False, indent=1)
            if as_json
            else submission_text(received, width=shutil.get_terminal_size((100, 24)).columns, every=every)
        )
        tables = write_tables(received, folder) if folder else []
    except SqmodelError as error:
        tools.stop(error)
    click.echo(text)
    for path in tables:
        click.echo(str(path), err=True)


@click.group()
def keys() -> None:
    """Keys with which submissions are signed."""


@keys.command()
@click.argument("codes", nargs=-1, required=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("keys"), show_default=True,
              help="Gets CODE.key, which stays in the house, and CODE.pub.")  # fmt: skip
@click.option("--register", type=click.Path(path_type=Path),
              help="The association's register: the institutions are entered, it is begun if need be.")  # fmt: skip
def new(codes: tuple[str, ...], folder: Path, register: Path | None) -> None:
    """Make the keys of the institutions CODES, and print the lines of the association's register."""
    from sqmodel.benchmark.signing import new_keys
    from sqmodel.reporting.register_file import check_codes, enter, entry

    try:
        check_codes(codes, folder, register)
        pairs = {code: new_keys(code, folder) for code in codes}
        if register:
            enter({code: pair.public for code, pair in pairs.items()}, register)
    except SqmodelError as error:
        tools.stop(error)
    for code, pair in pairs.items():
        click.echo(f"{pair.private_path}, {pair.public_path}")
        click.echo(entry(code, pair.public))
    if register:
        click.echo(f"entered in {register}")
    sys.exit(tools.ALL_WELL)
