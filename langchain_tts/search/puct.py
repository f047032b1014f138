"""PUCT: where the next simulation of a Monte Carlo tree search goes.

Visits and values are not stored: they follow from the tree and from where the earlier
simulations ended.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from langchain_tts.search.siblings import distinct, usable
from langchain_tts.search.state import Candidate, path
from langchain_tts.search.ties import logprob_key, score_key


class Simulated(NamedTuple):
    """What came of the simulations that the tree allows so far."""

    expand: int | None
    """The step that the last one has come to; None if there is nothing to do."""
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
    tree: Sequence[Candidate], visited: Sequence[int], node: int | None, rules: Rules
) -> Simulated:
    """Run simulations until one comes to a step, for which it needs new children.

    Args:
        tree: The search tree.
        visited: Where the simulations so far ended.
        node: Where the first of them is: it has its new children already. None: at the
            question.
        rules: How to search.
    """
    ended: list[int] = []
    while len(visited) + len(ended) < rules.simulations:
        known = Known(tree, [*visited, *ended], rules)
        child = known.best_child(node)
        if child is not None and not known.ends(child):
            return Simulated(child, ended)
        end = node if child is None else child
        if end is None:
            break
        ended.append(end)
        node = None
    return Simulated(None, ended)


@dataclass(frozen=True)
class Known:
    """A tree with what the simulations so far found out about it.

    Args:
        tree: The search tree.
        visited: Where the simulations ended.
        rules: How it is searched.
    """

    tree: Sequence[Candidate]
    visited: Sequence[int]
    rules: Rules

    @cached_property
    def children(self) -> dict[int | None, dict[int, float]]:
        """For each expanded node its distinct usable children, and their priors.

        The prior is the child's share of all samples there.
        """
        samples = Counter(candidate["parent"] for candidate in self.tree)
        found: dict[int | None, dict[int, float]] = {parent: {} for parent in samples}
        for first, equal in distinct(self.tree).items():
            if usable(self.tree, first):
                parent = self.tree[first]["parent"]
                found[parent][first] = len(equal) / samples[parent]
        return found

    @cached_property
    def totals(self) -> dict[int | None, tuple[int, float]]:
        """Visits of each visited node (None: the question), and the sum of values.

        An answer is worth its score. Where a simulation ended at a step, it is worth
        the step's mean value before, which it leaves as it is, or nothing.
        """
        found: dict[int | None, tuple[int, float]] = {}
        for end in self.visited:
            visits, total = found.get(end, (0, 0.0))
            value = total / visits if visits else 0.0
            if self.tree[end]["status"] == "finished":
                value = self.tree[end]["score"] or 0.0
            for node in [None, *(step["id"] for step in path(self.tree, end))]:
                visits, total = found.get(node, (0, 0.0))
                found[node] = (visits + 1, total + value)
        return found

    @cached_property
    def closed(self) -> set[int]:
        """Answers and last steps that were visited: no simulation goes there again."""
        return {node for node in self.visited if self.ends(node)}

    def ends(self, node: int) -> bool:
        """Whether nothing may follow a node: an answer, or the last step allowed."""
        candidate = self.tree[node]
        deepest = candidate["depth"] >= self.rules.deepest
        return candidate["status"] == "finished" or deepest

    def best_child(self, node: int | None) -> int | None:
        """The child that a simulation goes to; None if all are closed."""
        children = self.children.get(node, {})
        return min(children.keys() - self.closed, key=self._order, default=None)

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
        logprob = self.tree[node]["logprob"]
        return -score_key(self.puct(node)), -logprob_key(logprob), node
