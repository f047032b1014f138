"""Command-line options that make up the context of a search."""

from __future__ import annotations

from dataclasses import fields
from types import NoneType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from langchain_tts.strategies.context import SearchContext


class UsageError(ValueError):
    """A command line that cannot be understood."""


def add_context(command: argparse.ArgumentParser) -> None:
    """Add the options that say what a search runs with."""
    command.add_argument(
        "--policy", default="tinymath", help="the model that proposes (%(default)s)"
    )
    command.add_argument(
        "--prm",
        default="tinymath",
        help="the verifier that scores steps, or `none` (%(default)s)",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the search, e.g. beam_width=8 or lookahead=2; repeatable",
    )


def search_context(arguments: argparse.Namespace, budget: object) -> SearchContext:
    """The context that the options of `add_context` ask for.

    Raises:
        SearchContextError: If a parameter is unknown or cannot be used.
        BudgetError: If the budget cannot be used.
    """
    from langchain_tts.budget import Budget
    from langchain_tts.strategies.context import SearchContext

    return SearchContext(
        policy=arguments.policy,
        prm=None if arguments.prm == "none" else arguments.prm,
        budget=Budget.parse(budget),
        **_parameters(arguments.set),
    )


def _parameters(pairs: list[str]) -> dict[str, Any]:
    """`NAME=VALUE`s as arguments of a context, each of the type of its default."""
    from langchain_tts.strategies.context import SearchContext, SearchContextError

    defaults = {
        field.name: field.default
        for field in fields(SearchContext)
        if isinstance(field.default, (int, float, str, NoneType))
        and field.name not in {"policy", "prm"}
    }
    found: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in defaults:
            msg = (
                f"--set has {pair!r}; give NAME=VALUE with one of the names "
                f"{', '.join(defaults)}"
            )
            raise SearchContextError(msg)
        found[name] = _value(name, text, defaults[name])
    return found


def _value(name: str, text: str, default: object) -> object:
    from langchain_tts.strategies.context import SearchContextError

    if default is None:
        kinds = {"true": True, "false": False}
        if text.lower() not in kinds:
            msg = f"{name} is {text!r}; it is true or false"
            raise SearchContextError(msg)
        return kinds[text.lower()]
    if isinstance(default, str):
        return text
    try:
        return int(text) if isinstance(default, int) else float(text)
    except ValueError:
        kind = "whole number" if isinstance(default, int) else "number"
        msg = f"{name} is {text!r}; give a {kind}, e.g. {default}"
        raise SearchContextError(msg) from None
