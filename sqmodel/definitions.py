"""Definitions: questionnaires, processes and standards written as YAML, checked against a pydantic model."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from sqmodel.errors import InputError
from sqmodel.yaml_text import read_yaml

Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    """A part of a definition: it does not change, and knows no other keys than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"expected a time zone such as Asia/Shanghai, found {value!r}") from None
    return value


TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""The name of a time zone."""


class Text(Frozen):
    """A text in Chinese, English or both; where one is missing the other stands in."""

    zh: str = ""
    en: str = ""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return {"en": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _some(self) -> Text:
        if not (self.zh or self.en):
            raise ValueError("expected a text in zh or en, found neither")
        return self

    def __getitem__(self, language: str) -> str:
        return (self.zh or self.en) if language == "zh" else (self.en or self.zh)


def load_definition(
    source: str | Path, model: type[Model], *, folder: str, kind: str, error: type[InputError]
) -> Model:
    """Read a definition.

    Parameters
    ----------
    source : str or Path
        Name of a definition shipped with sqmodel, or the path of a YAML file.
    model : type
        What it must be.
    folder : str
        Where the shipped ones are, inside the package.
    kind : str
        What it is called in messages, such as "instrument".
    error : type of InputError

    Raises
    ------
    InputError
        Of the kind given: the file is missing, is no YAML, or contradicts itself; all problems in one message.
    """
    try:
        text = _locate(source, folder, kind, error).read_text(encoding="utf-8")
    except UnicodeDecodeError as found:
        raise error(str(source), [f"expected YAML in UTF-8, found: {one_line(found)}"]) from found
    result: Model = _parse(str(source), text, model, kind, error)  # type: ignore[arg-type]
    return result


@functools.lru_cache(maxsize=32)
def _parse(source: str, text: str, model: type[Any], kind: str, error: type[InputError]) -> Any:
    """The definition of a text; it is frozen, so that one copy serves all who ask again."""
    try:
        content = read_yaml(text)
    except yaml.YAMLError as found:
        raise error(source, [f"expected YAML in UTF-8, found: {one_line(found)}"]) from found
    if not isinstance(content, dict):
        raise error(source, [f"expected a mapping at the top, found {type(content).__name__}"])
    try:
        return model.model_validate(content)
    except ValidationError as found:
        raise error(source, explain(found), f"correct the {kind} file") from None


def _locate(source: str | Path, folder: str, kind: str, error: type[InputError]) -> Path:
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.exists():
        if not path.is_file():
            raise error(str(source), ["expected a file, found nothing at this path"])
        return path
    shipped = Path(str(files("sqmodel"))) / folder
    candidate = shipped / f"{source}.yaml"
    if not candidate.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.yaml")))
        raise error(str(source), [f"expected a path or a shipped {kind} ({names}), found neither"])
    return candidate


def one_line(error: Exception) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())


def explain(error: ValidationError) -> list[str]:
    """pydantic's findings in the house's words: place, expectation, finding."""
    problems: list[str] = []
    for found in error.errors():
        place = ".".join(str(p) for p in found["loc"])
        message = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden":
            message = "unknown key"
        elif found["type"] == "missing":
            message = "missing key"
        elif found["type"] != "value_error":
            message = f"{message}, found {found['input']!r}"
        problems += [f"{place}: {line}" if place else line for line in message.split("\n")]
    return problems
