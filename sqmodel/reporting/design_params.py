"""Params of a design study: tree and data of an index, the choices made, and what else could have been chosen."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sqmodel.definitions import Text
from sqmodel.errors import ParamsError, Problem
from sqmodel.index.alternatives import Alternatives, Levels, Scaling
from sqmodel.index.branch_weights import TreeMethod
from sqmodel.index.composite import Arrangement, Imputation
from sqmodel.index.samples import Statistic
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.aggregation import Aggregation
from sqmodel.numerics.indicators import Normalisation
from sqmodel.reporting.params import plain, read_params
from sqmodel.reporting.sources import found_path, is_path, is_url

SHORT = r"^[a-z][a-z0-9_]*$"
REMEDY = "correct the params of this design study; nothing was run"


def _is_file(value: str) -> str:
    # The address of a database may hold a password, so it is not repeated.
    if is_url(value):
        raise ValueError("expected a file, found the address of a database")
    return value


def _one_of(known: Iterable[str]) -> BeforeValidator:
    """Among names, in a message that lists them."""
    names = tuple(known)

    def check(value: Any) -> Any:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}, found {value!r}")
        return value

    return BeforeValidator(check)


def _alone(value: Any) -> Any:
    """A name by itself, or with a scale."""
    return {"method": value} if isinstance(value, str) else value


def _steps(value: Any) -> Any:
    if value != "none" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"expected 0 or more steps of winsorising, or none, found {value!r}")
    return value


def _shares(value: Any) -> Any:
    """One share for all levels as a list of one."""
    given = value if isinstance(value, list) else [value]
    if not given or any(isinstance(v, bool) or not isinstance(v, int | float) for v in given):
        raise ValueError(f"expected a share, or a list of one a level, found {value!r}")
    return given


def _ends(value: list[float]) -> list[float]:
    if len(value) != 2:
        raise ValueError(f"expected two numbers, found {len(value)}")
    return value


def _levels(value: Any) -> Any:
    """One method for all levels as a list of one."""
    return [value] if isinstance(value, str) else value


File = Annotated[str, AfterValidator(_is_file)]
Imputing = Annotated[Imputation, _one_of(get_args(Imputation))]
Normalising = Annotated[Normalisation, _one_of(get_args(Normalisation))]
Aggregating = Annotated[list[Annotated[Aggregation, _one_of(get_args(Aggregation))]], BeforeValidator(_levels)]
Weighting = Annotated[TreeMethod, _one_of(get_args(TreeMethod))]
Steps = Annotated[int | Literal["none"], BeforeValidator(_steps)]
Shares = Annotated[list[float], BeforeValidator(_shares)]
Scale = Annotated[list[float], AfterValidator(_ends)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SampleParams(_Part):
    """What some indicators were estimated from: rows of respondents or cases, or published standard errors."""

    name: str = Field(pattern=SHORT, description="short name; the factor's name in tables")
    rows: File = Field(default="", description="file with a row a respondent or a case")
    errors: File = Field(default="", description="file with a row a unit: standard errors of the columns")
    unit: str = Field(default="", description="column that names the unit; as in the data by default")
    columns: list[str] = Field(min_length=1, description="columns of the tree that it gives")
    statistic: Annotated[Statistic, _one_of(get_args(Statistic))] = "mean"
    weight: str = Field(default="", description="column of sample weights of a mean")
    title_zh: str = ""
    title_en: str = ""

    @property
    def title(self) -> Text:
        """What it is called."""
        given = self.title_zh or self.title_en
        return Text(zh=self.title_zh, en=self.title_en) if given else Text(en=self.name.replace("_", " "))


class ScaledParams(_Part):
    """A normalisation and its scale; none: the method's own."""

    method: Normalising
    scale: Scale | None = None


class AlternativesParams(_Part):
    """What else could have been chosen."""

    impute: list[Imputing] = Field(default_factory=list)
    treat: list[Steps] = Field(default_factory=list)
    normalise: list[Annotated[ScaledParams, BeforeValidator(_alone)]] = Field(default_factory=list)
    aggregate: list[Aggregating] = Field(default_factory=list)
    weights: list[Weighting] = Field(default_factory=list)
    noise: Shares = Field(default_factory=lambda: [0.0])
    drop: list[str] = Field(default_factory=list)


class DesignStudy(_Part):
    """A design study: the keys of its params file, which are the parameters of ``notebooks/index_design.ipynb``."""

    name: str = Field(pattern=SHORT, description="short name; the page's folder")
    title_zh: str = ""
    title_en: str = ""
    tree: str = Field(min_length=1, description="a shipped tree, or the path of a YAML file")
    data: File = Field(min_length=1, description="file with a row a unit")
    unit: str = Field(min_length=1, description="column that names the units")
    groups: str = Field(default="", description="column of the groups whose mean or median is imputed")
    impute: Imputing = "none"
    present: float = Field(default=0.0, ge=0, le=1)
    treat: bool = True
    winsorised: int = Field(default=5, ge=0)
    normalise: Normalising = "min_max"
    scale: Annotated[list[float], AfterValidator(lambda v: _ends(v) if v else v)] = Field(
        default_factory=list, description="empty: the normalisation's own"
    )
    aggregate: Aggregating = Field(default=["arithmetic"])
    weighting: Weighting = "given"
    judgements: File = ""
    samples: list[SampleParams] = Field(default_factory=list)
    alternatives: AlternativesParams = Field(default_factory=AlternativesParams)
    accept: str = Field(default="", description="why a tree that does not hold together is used all the same")
    draws: int = Field(default=2000, ge=200, le=100_000)
    evaluations: int = Field(default=2**15, ge=0, le=2**24)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    seed: int = Field(default=1, ge=0)
    simulated: bool = False
    page_language: Literal["zh", "en"] = "zh"

    def __repr__(self) -> str:
        return f"<DesignStudy {self.name}: {self.tree}>"

    __str__ = __repr__

    @property
    def title(self) -> Text:
        """What the index is called, for readers."""
        given = self.title_zh or self.title_en
        return Text(zh=self.title_zh, en=self.title_en) if given else Text(en=self.name.replace("_", " ").capitalize())

    @property
    def arrangement(self) -> Arrangement:
        """The choices that are made."""
        return Arrangement(
            impute=self.impute, present=self.present, treat=self.treat, winsorised=self.winsorised,
            normalise=self.normalise, scale=_pair(self.scale), aggregate=_method(self.aggregate),
        )  # fmt: skip

    def other_choices(self, trees: Mapping[str, IndexTree]) -> Alternatives:
        """What else could have been chosen, the trees by the name of their weights."""
        own = self.alternatives
        scalings: tuple[Scaling, ...] = tuple((s.method, _pair(s.scale or [])) for s in own.normalise)
        noise = tuple(own.noise)
        return Alternatives(
            impute=tuple(own.impute), treat=tuple(None if t == "none" else t for t in own.treat), normalise=scalings,
            aggregate=tuple(_method(a) for a in own.aggregate), trees=trees,
            noise=noise[0] if len(noise) == 1 else noise, drop=tuple(own.drop),
        )  # fmt: skip

    @property
    def files(self) -> dict[str, Path]:
        """Input files by their names in the params."""
        given = [self.data, self.judgements, *(s.rows or s.errors for s in self.samples)]
        given += [self.tree] if is_path(self.tree) else []
        return {name: found_path(name) for name in dict.fromkeys(given) if name}

    def digests(self) -> dict[str, str]:
        """Sha256 of every input file by its name in the params; of an absolute path its end."""
        named = {n if not Path(n).is_absolute() else "/".join(Path(n).parts[-2:]): p for n, p in self.files.items()}
        return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in named.items()}


def _pair(scale: list[float]) -> tuple[float, float] | None:
    return (float(scale[0]), float(scale[1])) if scale else None


def _method(levels: list[Aggregation]) -> Levels:
    return levels[0] if len(levels) == 1 else tuple(levels)


def load_design(source: str | Path | Mapping[str, Any]) -> DesignStudy:
    """Check the params of a design study, or the parameters of its notebook.

    Parameters
    ----------
    source : path or mapping
        A YAML file; or the notebook's namespace (``vars()``) right after its parameters cell.

    Raises
    ------
    ParamsError
        All unknown keys (with the nearest known name), missing keys, wrong values and contradictions in one message.

    Examples
    --------
    >>> load_design({"name": "demo", "tree": "lending_index", "data": "a.csv", "unit": "branch"})
    <DesignStudy demo: lending_index>
    """
    if isinstance(source, Mapping):
        name, content, problems = "parameters", plain(source), list[Problem | str]()
    else:
        name, (content, problems) = str(source), read_params(Path(source))
    known, strange = _known(content, DesignStudy, "")
    problems += [*strange, *_contradictions(known)]
    try:
        study = DesignStudy.model_validate(known)
    except ValidationError as error:
        problems += [_explained(dict(found)) for found in error.errors()]
    if problems:
        raise ParamsError(name, problems, REMEDY)
    return study


PARTS: dict[str, type[BaseModel]] = {"samples": SampleParams, "alternatives": AlternativesParams}


def _known(content: Mapping[str, Any], model: type[BaseModel], place: str) -> tuple[dict[str, Any], list[str]]:
    """What of a mapping a model knows, also inside its parts; a problem for every other key."""
    kept: dict[str, Any] = {}
    problems = []
    for key, value in content.items():
        if key not in model.model_fields:
            near = difflib.get_close_matches(str(key), model.model_fields, 1, cutoff=0.5)
            hint = f"; did you mean {place + near[0]!r}?" if near else ""
            problems.append(f"unknown key {place + str(key)!r}{hint}")
            continue
        part = PARTS.get(str(key)) if model is DesignStudy else None
        kept[key] = value
        if part is not None and isinstance(value, Mapping):
            kept[key], found = _known(value, part, f"{key}.")
            problems += found
        elif part is not None and isinstance(value, list):
            pairs = [
                _known(v, part, f"{key}.{k}.") if isinstance(v, Mapping) else (v, list[str]())
                for k, v in enumerate(value, start=1)
            ]
            kept[key] = [v for v, _ in pairs]
            problems += [p for _, found in pairs for p in found]
    return kept, problems


def _contradictions(content: Mapping[str, Any]) -> Iterator[str]:
    """What does not go together, whatever else is wrong."""
    others = content.get("alternatives")
    weights = others.get("weights") if isinstance(others, Mapping) else None
    wanted = [content.get("weighting"), *(weights if isinstance(weights, list) else [])]
    judged = bool(content.get("judgements"))
    if "judged" in wanted and not judged:
        yield "judgements: expected a file of comparisons for weights that are judged, found none"
    if judged and "judged" not in wanted:
        yield "weighting: expected 'judged', here or among the alternatives, where there are judgements, found neither"
    samples = [s for s in content.get("samples") or [] if isinstance(s, Mapping)]
    names = Counter(str(s.get("name")) for s in samples)
    yield from (f"samples: expected every name once, found {n!r} {k} times" for n, k in names.items() if k > 1)
    for sample in samples:
        name = sample.get("name")
        if bool(sample.get("rows")) == bool(sample.get("errors")):
            given = "both" if sample.get("rows") else "neither"
            yield f"samples: expected either `rows` or `errors` of {name!r}, found {given}"
        if sample.get("errors") and (sample.get("weight") or sample.get("statistic", "mean") != "mean"):
            yield f"samples: expected `statistic` and `weight` of rows only, found them of the errors of {name!r}"


def _explained(found: dict[str, Any]) -> str:
    """One of pydantic's errors as a problem; parts of a list are counted from 1."""
    key = ".".join(str(p + 1) if isinstance(p, int) else p for p in found["loc"])
    if found["type"] == "missing":
        return f"{key}: expected a value, found none"
    message = str(found["msg"])
    if found["type"] == "value_error":
        return f"{key}: {message.removeprefix('Value error, ')}"
    if found["type"] == "string_pattern_mismatch":
        message = "expected lower-case letters, digits and underscores"
    if found["type"] == "too_short":
        return f"{key}: expected at least one, found none"
    return f"{key}: {message[0].lower() + message[1:]}, found {found['input']!r}"
