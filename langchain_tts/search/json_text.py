"""JSON text that a model wrote: read strictly, and written in one form."""

from __future__ import annotations

import json
import math
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn

DEEPEST = 64
"""Lists and objects that may be inside one another. More would exhaust the stack of
whoever reads them."""

_MOST_DIGITS = 400
"""Of a whole number. No decimal one has more."""

_SHOWN = 20
"""Characters of a wrong number that an error quotes."""


def read_json(text: str) -> Any:
    """Read a JSON text that anybody else can read too.

    Of a key that occurs twice the last value counts, as everywhere.

    Raises:
        ValueError: If it is none. NaN, infinite numbers and halves of a character are
            not, and neither is what has more than `DEEPEST` levels.
    """
    try:
        value = json.loads(
            text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise _too_deep() from None
    if _deeper_than(value, DEEPEST):
        raise _too_deep()
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        msg = "it has half of a character (a surrogate without the other one)"
        raise ValueError(msg) from None
    return value


def canonical(value: Any, ignored: AbstractSet[str] = frozenset()) -> str:
    """Write a JSON value so that equal values have equal texts.

    The order of keys does not count, and `1.0` is `1`; `true` and `"1"` are not.

    Args:
        value: The value.
        ignored: Keys that are left out, at any depth.
    """
    return json.dumps(_plain(value, ignored), sort_keys=True, ensure_ascii=False)


def _plain(value: Any, ignored: AbstractSet[str]) -> Any:
    match value:
        case dict():
            return {k: _plain(v, ignored) for k, v in value.items() if k not in ignored}
        case list():
            return [_plain(item, ignored) for item in value]
        case float() if value.is_integer():
            return int(value)
    return value


def _no_number(text: str) -> NoReturn:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    msg = f"{shown} is no number, or too large"
    raise ValueError(msg)


def _whole(text: str) -> int:
    return int(text) if len(text) <= _MOST_DIGITS else _no_number(text)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [part for whole in layer for part in _parts(whole)]
        if not layer:
            return False
    return any(isinstance(part, dict | list) for part in layer)


def _parts(value: Any) -> list[Any]:
    """What is directly inside a list or an object."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _too_deep() -> ValueError:
    return ValueError(f"it has more than {DEEPEST} levels of lists and objects")
