"""YAML read fast: libyaml where it is there, and PyYAML's own reader for what it says of mistakes."""

from __future__ import annotations

from typing import Any

import yaml


def read_yaml(text: str) -> Any:
    """Plain values of a YAML text.

    Raises
    ------
    yaml.YAMLError
        With line, column and the text around the mistake.
    """
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return yaml.safe_load(text)
