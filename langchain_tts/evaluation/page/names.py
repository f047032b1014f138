"""Strategies' names for people, and the way each of them answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from langchain_tts.search.state import Score, Vote
from langchain_tts.strategies.context import SearchContext

_NAMES = {
    "greedy": "greedy",
    "majority_vote": "majority vote",
    "best_of_n": "best-of-N",
    "beam_search": "beam search",
    "dvts": "DVTS",
    "lookahead": "lookahead",
    "mcts": "MCTS",
    "levin": "Levin",
    "best_first": "best-first",
    "particle_filter": "particle filter",
    "revision": "revision",
    "compute_optimal": "compute-optimal",
    "cascade": "cascade",
}

_SHORT = {"beam_width": "M", "lookahead": "k"}

_DEFAULTS = {
    field.name: str(field.default)
    for field in fields(SearchContext)
    if isinstance(field.default, (int, float, str, bool))
}


def split_label(label: str) -> tuple[str, dict[str, str]]:
    """A strategy's name and its parameters as text."""
    name, _, options = label.partition("?")
    pairs = (option.partition("=") for option in options.split("&") if option)
    return name, {key: value for key, _, value in pairs}


def family(label: str) -> str:
    """What a strategy is called whatever its parameters."""
    name = split_label(label)[0]
    return _NAMES.get(name, name)


def variant(label: str) -> str:
    """The parameters of a strategy for people: `M = 4`; empty if it has none."""
    return ", ".join(
        f"seq : par {ratio(value)}"
        if key == "sequential_to_parallel"
        else f"{_SHORT.get(key, key)} = {value}"
        for key, value in split_label(label)[1].items()
    )


def title(label: str) -> str:
    """A strategy with its parameters for people: `beam search (M = 4)`."""
    own = variant(label)
    return f"{family(label)} ({own})" if own else family(label)


def ratio(value: str) -> str:
    """A sequential:parallel ratio as it is written: `1:4` for 0.25."""
    number = float(value)
    return f"1:{1 / number:g}" if number < 1 else f"{number:g}:1"


def way_name(score: Score | None, vote: Vote) -> str:
    """A combination of score and vote: `majority`, `last-max`."""
    return vote if score is None else f"{score}-{vote}"


def usual(labels: Sequence[str]) -> str:
    """The variant of a strategy that stands for it.

    The one with the fewest parameters off their defaults; among equals the middle one.
    """
    off = {
        label: sum(_DEFAULTS.get(k) != v for k, v in split_label(label)[1].items())
        for label in labels
    }
    least = [label for label in labels if off[label] == min(off.values())]
    return least[(len(least) - 1) // 2]


def chosen_way(
    label: str,
    parameters: Mapping[str, Any],
    ways: Sequence[tuple[Score | None, Vote]],
) -> tuple[Score | None, Vote]:
    """The way of answering that a search was told to use.

    Args:
        label: The strategy; its own parameters come first.
        parameters: Of the run; defaults stand for what they lack.
        ways: Those that were recorded; majority where there is no other.
    """
    own = {**parameters, **split_label(label)[1]}
    wanted = own.get("score", SearchContext.score), own.get("vote", SearchContext.vote)
    found = [way for way in ways if way == wanted]
    return found[0] if found else next(way for way in ways if way[1] == "majority")
