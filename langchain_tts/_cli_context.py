"""Command-line options that make up the context of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from langchain_tts.strategies.parameters import parse_parameters

    return SearchContext(
        policy=arguments.policy,
        prm=None if arguments.prm == "none" else arguments.prm,
        budget=Budget.parse(budget),
        **parse_parameters(arguments.set),
    )


def whole_number(text: str, option: str) -> int:
    """A whole number above 0 from an option's text.

    Raises:
        UsageError: If it is none.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        msg = f"{option} has {text.strip()!r}; give whole numbers above 0, e.g. 16"
        raise UsageError(msg)
    return number


def add_sizes(command: argparse.ArgumentParser, budgets: str) -> None:
    """Add the options that say how much is measured."""
    command.add_argument(
        "--budgets",
        default=budgets,
        help="values of N, separated by commas (%(default)s)",
    )
    command.add_argument(
        "--limit", help="use K questions, spread over the levels", metavar="K"
    )


def sizes(arguments: argparse.Namespace) -> tuple[list[int], int | None]:
    """The budgets and the number of questions that `add_sizes` asks for.

    Raises:
        UsageError: If one is no whole number above 0.
    """
    budgets = [whole_number(n, "--budgets") for n in arguments.budgets.split(",")]
    if arguments.limit is None:
        return budgets, None
    return budgets, whole_number(arguments.limit, "--limit")
