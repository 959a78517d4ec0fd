"""Result: the frozen value that every analysis returns, with one line to print and JSON to keep."""

from __future__ import annotations

import dataclasses
import html
import importlib
import math
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its interval: never one without the other.

    Parameters
    ----------
    value, low, high : float
        The estimate and the bounds of its interval; NaN where it could not be computed.
    se : float
        Standard error on the scale of `value`; NaN where the method gives bounds only.
    n : int
        Cases it rests on.
    level : float
        Confidence level of the interval.
    method : str
        Name of the interval's method.
    """

    value: float
    low: float
    high: float
    se: float = math.nan
    n: int = 0
    level: float = 0.95
    method: str = ""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return bool(self.low > 0 or self.high < 0)


class Result:
    """Base of all results: frozen dataclasses whose frames are unrounded and labelled.

    A subclass is a frozen dataclass; it gives `_headline()`, the text inside its one-line repr.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def _headline(self) -> str:
        return ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._headline()}>"

    def tables(self) -> dict[str, pd.DataFrame]:
        """All frames of the result by field name."""
        pairs = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: value for name, value in pairs if isinstance(value, pd.DataFrame)}

    def summary(self, digits: int = 3) -> str:
        """The repr and every table, rounded for reading only."""
        parts = [repr(self)]
        parts += [f"\n{name}\n{table.round(digits).to_string()}" for name, table in self.tables().items()]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [f"<p><code>{html.escape(repr(self))}</code></p>"]
        for name, table in self.tables().items():
            caption = html.escape(name.replace("_", " "))
            body = table.round(3).to_html(border=0, classes="sq", na_rep="", escape=True)
            parts.append(f"<details open><summary>{caption}</summary>{body}</details>")
        return "".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain values only (unrounded; NaN is null): what `from_json` reads back."""
        encoded = encode(self)
        assert isinstance(encoded, dict)
        return encoded

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The result that `to_json` wrote.

        Raises
        ------
        TypeError
            The value holds another kind of result.
        """
        result = decode(value)
        if not isinstance(result, cls):
            raise TypeError(f"expected a {cls.__name__}, found a {type(result).__name__}")
        return result


def encode(value: Any) -> Any:
    """Turn a result, frame, array or scalar into plain JSON values, tagged so that `decode` can undo it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, pd.DataFrame):
        return {
            "@": "frame",
            "index_name": value.index.name,
            "index": [encode(v) for v in value.index],
            "columns": [str(c) for c in value.columns],
            "data": [[encode(v) for v in row] for row in value.itertuples(index=False)],
        }
    if isinstance(value, pd.Series):
        return {"@": "series", "name": value.name, "index": [encode(v) for v in value.index],
                "data": [encode(v) for v in value]}  # fmt: skip
    if isinstance(value, np.ndarray):
        return {"@": "array", "data": [encode(v) for v in value.ravel().tolist()], "shape": list(value.shape)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = f"{type(value).__module__}:{type(value).__qualname__}"
        return {"@": kind, **{f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}}
    if isinstance(value, dict):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [encode(v) for v in value]
    if value is pd.NA or value is pd.NaT:
        return None
    raise TypeError(f"cannot encode a {type(value).__name__}")


def decode(value: Any) -> Any:
    """Undo `encode`; lists come back as tuples, null in a frame or array as NaN."""
    if isinstance(value, list):
        return tuple(decode(v) for v in value)
    if not isinstance(value, dict):
        return value
    tag = value.get("@")
    if tag is None:
        return {k: decode(v) for k, v in value.items()}
    if tag == "frame":
        columns = list(zip(*value["data"], strict=True)) or [()] * len(value["columns"])
        index = pd.Index(value["index"], name=value["index_name"])
        return pd.DataFrame(dict(zip(value["columns"], map(_column, columns), strict=True)), index=index)
    if tag == "series":
        return pd.Series(_column(value["data"]), index=value["index"], name=value["name"])
    if tag == "array":
        return np.array(_column(value["data"])).reshape(value["shape"])
    return _decode_dataclass(tag, value)


def _decode_dataclass(tag: str, value: dict[str, Any]) -> Any:
    module, _, name = tag.partition(":")
    if module.partition(".")[0] != "sqmodel":
        raise TypeError(f"expected a result of sqmodel, found {tag!r}")
    kind = getattr(importlib.import_module(module), name)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    numeric = {k for k, f in fields.items() if f.type in ("float", float)}
    found = {k: decode(v) for k, v in value.items() if k != "@"}
    return kind(**{k: math.nan if v is None and k in numeric else v for k, v in found.items()})


def _column(values: Any) -> list[Any]:
    """Null becomes NaN where the rest of the column is numeric, and stays None in text."""
    column = list(values)
    numeric = all(v is None or isinstance(v, int | float) for v in column)
    return [math.nan if v is None and numeric else v for v in column]
