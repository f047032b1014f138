"""Choosing between reasoning, a calculator and a solver for one question.

No way to solve is the best for every model and every question (TATA, Xu et al. 2025,
arXiv 2502.12022). Here each open route is tried once, and agreement decides: the route
whose answer most routes found is taken for the rest of the budget. Routes fail in
different ways, so an answer that two of them share is hardly ever wrong. Without any
agreement the order of `ORDER` decides: what a solver or a calculator worked out has no
mistakes in its arithmetic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from typing_extensions import TypedDict

Route = Literal["solve", "calculate", "reason"]
RouteChoice = Literal["auto", "solve", "calculate", "reason"]

ORDER: tuple[Route, ...] = ("solve", "calculate", "reason")
"""The routes, the one that is preferred first."""


class Routed(TypedDict):
    """Which route each sample took, and which was chosen."""

    open: list[Route]
    """The routes that are tried, in the order of `ORDER`."""
    samples: list[Route]
    """The route of each sample, in the order of the tree's first steps."""
    route: Route | None
    """The one that takes the rest of the budget; None: not chosen yet."""
    why: str
    verdicts: list[str]
    """What the solver said of each set of constraints."""


class Trial(NamedTuple):
    """A first sample of a route."""

    route: Route
    answer: int | None
    """The class of equal answers that its answer belongs to; None: no answer."""


def tried(routed: Routed, left: int) -> list[tuple[Route, int]]:
    """How many samples each route gets next.

    Args:
        routed: What was sampled and chosen.
        left: Samples that the budget has left.

    Returns:
        One sample of each open route, as far as the budget goes, where none was chosen
        yet, and half of the budget where only one is open; else the rest for the chosen
        one.
    """
    if left <= 0:
        return []
    if routed["route"] is not None:
        return [(routed["route"], left)]
    if len(routed["open"]) == 1:
        return [(routed["open"][0], (left + 1) // 2)]
    return [(route, 1) for route in routed["open"][:left]]


def choose(trials: Sequence[Trial]) -> tuple[Route, str]:
    """The route for the rest of the budget, and why.

    Args:
        trials: The first samples, in the order of `ORDER`.
    """
    found = Counter(one.answer for one in trials if one.answer is not None)
    if not found:
        return "reason", "no route that was tried found an answer"
    # No answer counts as 0; among equals the first is taken.
    best = max(trials, key=lambda one: 0 if one.answer is None else found[one.answer])
    agreeing = {one.route: 0 for one in trials if one.answer == best.answer}
    if len(agreeing) > 1:
        return best.route, f"{' and '.join(agreeing)} found the same answer"
    if len({one.route for one in trials}) == 1:
        return best.route, "it found an answer"
    return best.route, "no two routes agree; it is the first with an answer"


def refusals(verdicts: Sequence[str]) -> Mapping[str, int]:
    """How often the solver gave no answer, by its reason."""
    return Counter(kind for kind in verdicts if kind != "unique")
