"""Params of a benchmark's page, and the file it is made of: what one reader may see of the comparison, and no more."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sqmodel.benchmark.comparison import Benchmark
from sqmodel.benchmark.profile import Profile
from sqmodel.definitions import Text, explain
from sqmodel.errors import ParamsError, Problem, RunError
from sqmodel.index.tree import IndexTree
from sqmodel.reporting.params import plain, read_params
from sqmodel.reporting.sources import found_path
from sqmodel.result import decode, encode

QUARTER = r"^\d{4}Q[1-4]$"
SCHEMA = "sqmodel.benchmark.version/1"
DISTRIBUTION = ["scope", "peers", "level", "value", "institutions"]
WITHHELD = ["table", "cell", "rule"]
REMEDY = "make the pages with `sqmodel benchmark`, which writes these params itself"


class BenchmarkParams(BaseModel):
    """The parameters of ``notebooks/benchmark.ipynb``.

    Parameters
    ----------
    quarter : str
    results : str
        File of what the page's reader may see, written by `sqmodel benchmark`.
    institution : str
        Code of the institution whose confidential report this is; empty for the public report.
    title_zh, title_en : str
        Name of the benchmark; the profile's by default.
    organisation_zh, organisation_en : str
        Name of the association; the register's by default.
    page_language : {"zh", "en"}
    simulated : bool
        The submissions were made up. A file that says so makes the page say so whatever stands here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    quarter: str = Field(pattern=QUARTER)
    results: str = Field(min_length=1)
    institution: str = ""
    title_zh: str = ""
    title_en: str = ""
    organisation_zh: str = ""
    organisation_en: str = ""
    page_language: Literal["zh", "en"] = "zh"
    simulated: bool = False

    def __repr__(self) -> str:
        return f"<BenchmarkParams {self.quarter}: {self.institution or 'public'}>"

    __str__ = __repr__

    @property
    def public(self) -> bool:
        """Whether this is the public report."""
        return not self.institution

    @property
    def version(self) -> Version:
        """All that the reader may see: the comparison, with profile, tree and names; read once a process."""
        return read_version(self)

    @property
    def title(self) -> Text:
        """What the benchmark is called."""
        return _given(self.title_zh, self.title_en) or self.version.profile.title

    @property
    def organisation(self) -> Text:
        """What the association is called."""
        return _given(self.organisation_zh, self.organisation_en) or self.version.labels.association


@dataclass(frozen=True)
class Labels:
    """What codes are called, of those only that the reader may see.

    Parameters
    ----------
    association : Text
    institutions : dict of str to Text
        By their codes in the reader's version, which are blind ones where the profile publishes no names.
    peers : dict of str to Text
        Peer groups.
    stages : dict of str to Text
        Stages of the process, of the survival tables.
    """

    association: Text
    institutions: dict[str, Text] = field(default_factory=dict)
    peers: dict[str, Text] = field(default_factory=dict)
    stages: dict[str, Text] = field(default_factory=dict)

    def institution(self, code: str) -> Text:
        """Name of an institution; the code itself where the reader knows no more."""
        return self.institutions.get(code) or Text(zh=code, en=code)

    def peer_group(self, code: str) -> Text:
        """Name of a peer group; the code itself where it has none."""
        return self.peers.get(code) or Text(zh=code or "–", en=code or "–")

    def stage(self, code: str) -> Text:
        """Name of a stage; the code in words where it has none."""
        return self.stages.get(code) or Text(en=code.replace("_", " "))


@dataclass(frozen=True)
class Version:
    """The benchmark as one reader may see it.

    Parameters
    ----------
    reader : str
        Code of an institution; empty for the public.
    benchmark : Benchmark
    profile : Profile
        The rules; they are public.
    tree : IndexTree
        What the composite is made of; `tree.node(code).label` names composite, branches and indicators.
    labels : Labels
    own_code : str
        The reader's code in the public report, where that has blind codes.
    distribution : DataFrame
        Of an institution's version: scope, peers (empty for all), level, value, institutions: quantiles of the scores,
        only where enough institutions lie on both sides.
    withheld : DataFrame
        Of an institution's version: what it withheld itself: table, cell, rule.
    """

    reader: str
    benchmark: Benchmark
    profile: Profile
    tree: IndexTree
    labels: Labels
    own_code: str = ""
    distribution: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=DISTRIBUTION))
    withheld: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=WITHHELD))

    def encode(self) -> bytes:
        """The file's bytes: unrounded, the same for the same content."""
        content = {
            "schema": SCHEMA,
            "reader": self.reader,
            "own_code": self.own_code,
            "labels": {
                "association": self.labels.association.model_dump(),
                "institutions": {k: v.model_dump() for k, v in self.labels.institutions.items()},
                "peers": {k: v.model_dump() for k, v in self.labels.peers.items()},
                "stages": {k: v.model_dump() for k, v in self.labels.stages.items()},
            },
            "profile": self.profile.model_dump(mode="json"),
            "tree": self.tree.model_dump(mode="json"),
            "distribution": encode(self.distribution),
            "withheld": encode(self.withheld),
            "benchmark": self.benchmark.to_json(),
        }
        return (json.dumps(content, ensure_ascii=False, sort_keys=True) + "\n").encode()


def load_benchmark_params(source: str | Path | Mapping[str, Any]) -> BenchmarkParams:
    """Check the parameters of a benchmark's page.

    Parameters
    ----------
    source : path or mapping
        A YAML file; or the notebook's namespace (``vars()``) right after its parameters cell.

    Raises
    ------
    ParamsError
        All unknown keys, missing keys and wrong values in one message.

    Examples
    --------
    >>> load_benchmark_params({"quarter": "2026Q3", "results": "public.json"})
    <BenchmarkParams 2026Q3: public>
    """
    if isinstance(source, Mapping):
        name, content, problems = "parameters", plain(source), list[Problem | str]()
    else:
        name, (content, problems) = str(source), read_params(Path(source))
    problems += [_unknown(key) for key in content if key not in BenchmarkParams.model_fields]
    try:
        params = BenchmarkParams.model_validate({k: v for k, v in content.items() if k in BenchmarkParams.model_fields})
    except ValidationError as error:
        problems += [_explained(dict(found)) for found in error.errors()]
    if problems:
        raise ParamsError(name, problems, REMEDY)
    return params


def read_benchmark(params: BenchmarkParams) -> Benchmark:
    """The comparison as the page's reader may see it.

    Raises
    ------
    RunError
        The file is missing, no version of a benchmark, of another quarter, or meant for another reader.
    """
    return read_version(params).benchmark


def read_version(params: BenchmarkParams) -> Version:
    """The comparison with its profile, tree and names, as the page's reader may see them.

    Raises
    ------
    RunError
        The file is missing, no version of a benchmark, of another quarter, or meant for another reader.
    """
    path = found_path(params.results)
    found = _read(str(path), path.stat().st_mtime_ns if path.is_file() else 0)
    if found.reader != params.institution:
        wanted = params.institution or "the public"
        raise RunError(f"{params.results}: expected the version for {wanted}, found the one for "
                       f"{found.reader or 'the public'}; {REMEDY}")  # fmt: skip
    if found.benchmark.quarter != params.quarter:
        raise RunError(f"{params.results}: expected the benchmark of {params.quarter}, found the one of "
                       f"{found.benchmark.quarter}; {REMEDY}")  # fmt: skip
    return found


@functools.lru_cache(maxsize=1)
def _read(path: str, changed: int) -> Version:
    """The version in a file; kept until the file is another."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        labels = content["labels"]
        return Version(
            reader=content["reader"], own_code=content["own_code"],
            benchmark=Benchmark.from_json(content["benchmark"]),
            profile=Profile.model_validate(content["profile"]), tree=IndexTree.model_validate(content["tree"]),
            labels=Labels(
                Text(**labels["association"]), _texts(labels["institutions"]), _texts(labels["peers"]),
                _texts(labels["stages"]),
            ),
            distribution=decode(content["distribution"]), withheld=decode(content["withheld"]),
        )  # fmt: skip
    except FileNotFoundError:
        raise RunError(f"{path}: expected a version of a benchmark, found no file; {REMEDY}") from None
    except ValidationError as error:
        cause = "; ".join(explain(error))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        cause = f"{type(error).__name__}: {error}"
    raise RunError(f"{path}: expected a version of a benchmark ({SCHEMA}), found {cause}; {REMEDY}")


def _texts(found: Mapping[str, Mapping[str, str]]) -> dict[str, Text]:
    return {code: Text(**text) for code, text in found.items()}


def _given(zh: str, en: str) -> Text | None:
    return Text(zh=zh, en=en) if zh or en else None


def _unknown(key: str, known: Iterable[str] = tuple(BenchmarkParams.model_fields)) -> str:
    near = difflib.get_close_matches(str(key), list(known), 1, cutoff=0.5)
    return f"unknown key {str(key)!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _explained(found: dict[str, Any]) -> str:
    """One of pydantic's errors as a problem."""
    key = ".".join(str(p) for p in found["loc"])
    if found["type"] == "missing":
        return f"{key}: expected a value, found none"
    message = str(found["msg"])
    if key == "quarter":
        message = "expected a year and a quarter such as 2026Q3"
    return f"{key}: {message[0].lower() + message[1:]}, found {found['input']!r}"
