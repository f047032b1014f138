"""Names of models: `backend:source?option=value&...`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

_SCHEMES = ("http://", "https://")

SERVER = "http"
"""The backend of a name that is an address."""


class ModelNameError(ValueError):
    """A model name with options that cannot be read."""


@dataclass(frozen=True)
class ModelName:
    """A name in parts.

    Args:
        backend: `transformers`, `vllm`, `http`, or the name of an embedded model.
        source: A folder, a model, or addresses separated by commas.
        options: What the backend is to be opened with.
    """

    backend: str
    source: str
    options: dict[str, Any]


def parse_name(name: str) -> ModelName:
    """Take a name apart.

    Option values are JSON where they can be read as JSON, and texts otherwise:
    `vllm:MODEL?dtype=float32&max_model_len=4096&enforce_eager=true`.

    Raises:
        ModelNameError: If the options are not `name=value` pairs.
    """
    rest, _, query = name.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        msg = (
            f"cannot read the options of model {name!r}; write them as "
            "'?option=value&option=value' after the name"
        )
        raise ModelNameError(msg) from None
    options = {key: _value(text) for key, text in pairs}
    if rest.startswith(_SCHEMES):
        return ModelName(SERVER, rest, options)
    backend, _, source = rest.partition(":")
    return ModelName(backend, source, options)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
