"""Parameters of a search as text: `beam_width=8`, and `beam_search?beam_width=8`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from langchain_tts.strategies import get_strategy
from langchain_tts.strategies.context import SearchContext, SearchContextError

_TRUTH = {"true": True, "false": False}


def _kind(hint: Any) -> type | None:
    """The type of a parameter that text can give; None if it cannot."""
    if get_origin(hint) is Literal:
        return str
    given = [one for one in (get_args(hint) or (hint,)) if one is not NoneType]
    if [get_origin(one) for one in given] == [tuple]:
        return tuple
    return given[0] if given in ([bool], [int], [float], [str]) else None


_KINDS: dict[str, type] = {
    name: kind
    for name, hint in get_type_hints(SearchContext).items()
    if (kind := _kind(hint)) is not None
}


def parse_parameters(pairs: Iterable[str]) -> dict[str, Any]:
    """`NAME=VALUE`s as arguments of a context, each of its own type.

    Raises:
        SearchContextError: If a name is unknown, or a value has another type.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in _KINDS:
            msg = (
                f"unknown parameter {pair!r}; give NAME=VALUE with one of the names "
                f"{', '.join(_KINDS)}"
            )
            raise SearchContextError(msg)
        found[name] = _value(name, text, _KINDS[name])
    return found


def parse_strategy(text: str) -> tuple[str, dict[str, Any]]:
    """A strategy's name and its parameters, e.g. of `beam_search?beam_width=8`.

    Several parameters are joined by `&`: `lookahead?lookahead=2&beam_width=2`.

    Raises:
        UnknownStrategyError: If there is no such strategy.
        SearchContextError: If a parameter is unknown or cannot be used.
    """
    name, _, options = text.strip().partition("?")
    get_strategy(name)
    parameters = parse_parameters(filter(None, options.split("&")))
    SearchContext(**parameters)
    return name, parameters


def strategy_text(name: str, parameters: Mapping[str, Any]) -> str:
    """What `parse_strategy` reads, the parameters in alphabetical order."""
    options = "&".join(f"{key}={_text(parameters[key])}" for key in sorted(parameters))
    return f"{name}?{options}" if options else name


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _value(name: str, text: str, kind: type) -> object:
    if kind is tuple:
        return tuple(filter(None, (part.strip() for part in text.split(","))))
    if kind is bool:
        if text.lower() not in _TRUTH:
            msg = f"{name} is {text!r}; it is true or false"
            raise SearchContextError(msg)
        return _TRUTH[text.lower()]
    try:
        return kind(text)
    except ValueError:
        wanted = "whole number, e.g. 4" if kind is int else "number, e.g. 0.8"
        msg = f"{name} is {text!r}; give a {wanted}"
        raise SearchContextError(msg) from None
