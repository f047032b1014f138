"""PUCT: where the next simulation of a Monte Carlo tree search goes.

Visits and values are not stored: they follow from the tree and from where the earlier
simulations ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from langchain_tts.search.siblings import distinct, usable
from langchain_tts.search.state import Candidate, path


class Simulated(NamedTuple):
    """What came of the simulations that the tree allows so far."""

    expand: int | None
    """The step that the last one has to expand; None if there is nothing to do."""
    ended: list[int]
    """Where simulations ended, in their order."""


class Rules(NamedTuple):
    """How a tree is searched."""

    simulations: int
    """How many there are in all."""
    exploration: float
    """Weight of what was visited little."""
    deepest: int
    """Steps that an answer may have."""


def simulate(
    tree: Sequence[Candidate], visited: Sequence[int], rules: Rules
) -> Simulated:
    """Run simulations until one needs children that the tree does not have.

    Args:
        tree: The search tree.
        visited: Where the simulations so far ended.
        rules: How to search.
    """
    ended: list[int] = []
    while len(visited) + len(ended) < rules.simulations:
        known = Known(tree, [*visited, *ended], rules)
        if known.exhausted:
            break
        leaf = known.descend()
        if not known.ends(leaf):
            return Simulated(leaf, ended)
        ended.append(leaf)
    return Simulated(None, ended)


@dataclass(frozen=True)
class Known:
    """A tree with what the simulations so far found out about it.

    Args:
        tree: The search tree.
        visited: Where the simulations ended. They do not end there again.
        rules: How it is searched.
    """

    tree: Sequence[Candidate]
    visited: Sequence[int]
    rules: Rules

    @cached_property
    def children(self) -> dict[int | None, dict[int, float]]:
        """For each expanded node its distinct usable children, and their priors.

        The prior is the child's share of the samples. A child that a simulation went to
        stays one, although it turned out to have no room for another step.
        """
        known = set(self.visited)
        samples: dict[int | None, int] = {}
        for candidate in self.tree:
            parent = candidate["parent"]
            samples[parent] = samples.get(parent, 0) + 1
        found: dict[int | None, dict[int, float]] = {parent: {} for parent in samples}
        for first, equal in distinct(self.tree).items():
            if first in known or usable(self.tree, first):
                parent = self.tree[first]["parent"]
                found[parent][first] = len(equal) / samples[parent]
        return found

    @cached_property
    def totals(self) -> dict[int | None, tuple[int, float]]:
        """Visits of each visited node (None: the question), and the sum of values."""
        found: dict[int | None, tuple[int, float]] = {}
        for end in self.visited:
            value = self._value(end)
            for node in [None, *(step["id"] for step in path(self.tree, end))]:
                visits, total = found.get(node, (0, 0.0))
                found[node] = (visits + 1, total + value)
        return found

    @cached_property
    def closed(self) -> set[int]:
        """The nodes below which there is nothing left to visit."""
        closed = set(self.visited)
        for candidate in reversed(self.tree):
            children = self.children.get(candidate["id"])
            if children and closed.issuperset(children):
                closed.add(candidate["id"])
        return closed

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to visit at all."""
        return self.closed.issuperset(self.children.get(None, {}))

    def ends(self, node: int) -> bool:
        """Whether a simulation ends at a node: an answer, or no step is possible."""
        return (
            self.tree[node]["status"] == "finished"
            or self.tree[node]["depth"] >= self.rules.deepest
            or node in self.children
        )

    def descend(self) -> int:
        """Follow the best children from the question to where there are none."""
        node: int | None = None
        while children := self.children.get(node):
            node = min((c for c in children if c not in self.closed), key=self._order)
        if node is None:
            msg = "there is nothing left to visit; ask `exhausted` first"
            raise ValueError(msg)
        return node

    def puct(self, node: int) -> float:
        """Mean value, plus more where little was visited for its prior.

        Before the first visit the verifier's score stands for the mean value.
        """
        parent = self.tree[node]["parent"]
        parent_visits, _ = self.totals.get(parent, (0, 0.0))
        visits, total = self.totals.get(node, (0, 0.0))
        mean = total / visits if visits else self.tree[node]["score"] or 0.0
        prior = self.children[parent][node]
        unexplored = prior * math.sqrt(parent_visits) / (1 + visits)
        return mean + self.rules.exploration * unexplored

    def _order(self, node: int) -> tuple[float, float, int]:
        return -self.puct(node), -self.tree[node]["logprob"], node

    def _value(self, end: int) -> float:
        """What a simulation is worth: the score of its answer, 0 without one."""
        if self.tree[end]["status"] != "finished":
            return 0.0
        return self.tree[end]["score"] or 0.0
