"""Choosing between reasoning, a calculator and a solver for one question.

No way to solve is the best for every model and every question (TATA, Xu et al. 2025,
arXiv 2502.12022). Where a model's aptitude was measured, its best route is taken, and
the next one only where that finds no answer. Where it was not, every open route gets an
equal share of N, and agreement decides: an order that was only guessed, or one try of
each route, is too little to give up the others by. Routes fail in different ways, so
the answer that most samples of all routes found is seldom wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from typing_extensions import TypedDict

Route = Literal["solve", "calculate", "reason"]
RouteChoice = Literal["auto", "compare", "solve", "calculate", "reason"]

ORDER: tuple[Route, ...] = ("solve", "calculate", "reason")
"""The routes, the one that is preferred among equals first: what a solver or a
calculator worked out has no mistakes in its arithmetic."""


class Routed(TypedDict):
    """Which route each sample took, and which was chosen."""

    open: list[Route]
    """The routes that are tried, in this order."""
    ranked: bool
    """Whether the first of them is known to be the best, and the others come after it
    only where it fails. Else all are tried alike."""
    samples: list[Route]
    """The route of each sample, in the order of the tree's first steps."""
    route: Route | None
    """The one that takes the rest of the budget; None: not chosen yet."""
    why: str
    verdicts: list[str]
    """What the solver said of each set of constraints."""


class Trial(NamedTuple):
    """A sample of a route before one was chosen."""

    route: Route
    answer: int | None
    """The class of equal answers that its answer belongs to; None: no answer."""


def tried(routed: Routed, left: int) -> list[tuple[Route, int]]:
    """How many samples each route gets next.

    Args:
        routed: What was sampled and chosen.
        left: Samples that the budget has left.

    Returns:
        All that is left for the route that was chosen. Before that: half of it for the
        first ranked route that was not tried, or an equal share for each open one, at
        least one sample as far as the budget goes.
    """
    if left <= 0:
        return []
    if routed["route"] is not None:
        return [(routed["route"], left)]
    if routed["ranked"]:
        return [(route, (left + 1) // 2) for route in _untried(routed)[:1]]
    share = max(1, left // len(routed["open"]))
    return [(route, share) for route in routed["open"][:left]]


def choose(routed: Routed, trials: Sequence[Trial]) -> tuple[Route | None, str]:
    """The route for the rest of the budget, and why.

    Args:
        routed: What was sampled.
        trials: The samples, in their order.

    Returns:
        The route that found the leading answer most often, the first of equals. None
        where there is no answer, and a ranked route that was not tried.
    """
    found = Counter(one.answer for one in trials if one.answer is not None)
    if not found:
        if routed["ranked"] and _untried(routed):
            return None, ""
        return "reason", "no route that was tried found an answer"
    leader, count = found.most_common(1)[0]
    finders = Counter(one.route for one in trials if one.answer == leader)
    route = finders.most_common(1)[0][0]
    if routed["ranked"]:
        return route, _why_ranked(routed["open"], route)
    if len({one.route for one in trials}) == 1:
        return route, "it found an answer"
    return route, _why_agreed(list(finders), count)


def _untried(routed: Routed) -> list[Route]:
    return [route for route in routed["open"] if route not in routed["samples"]]


def _why_ranked(routes: Sequence[Route], route: Route) -> str:
    if len(routes) == 1:
        return "it found an answer"
    if route == routes[0]:
        return "it was measured to be the best open one, and found an answer"
    return "no route that was measured to be better found an answer"


def _why_agreed(finders: Sequence[Route], count: int) -> str:
    if len(finders) > 1:
        return f"{' and '.join(finders)} found the same answer"
    if count > 1:
        return "it alone found the answer with the most votes"
    return "no two answers agree; it is the first with one"


def refusals(verdicts: Sequence[str]) -> Mapping[str, int]:
    """How often the solver gave no answer, by its reason."""
    return Counter(kind for kind in verdicts if kind != "unique")
