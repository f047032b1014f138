"""Trees of node objects for the oracles of tree searches, drawn as the fakes draw."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from langchain_tts.strategies._proposal import sample_seed
from tests.unit_tests.fakes import (
    Continuation,
    Language,
    Prefix,
    draw,
    hash_score,
    random_language,
)

TEMPERATURE = 0.8


@dataclass(eq=False)
class Node:
    """A step with what a search may remember of it."""

    prefix: Prefix
    seed: int
    place: int
    """When it was proposed."""
    end: str
    tokens: int
    logprob: float
    score: float | None
    count: int = 0
    """How many of its siblings are the same step."""
    sampled: int = 0
    """How many samples were taken after it."""
    kinds: dict[tuple[str, str], Node] = field(default_factory=dict)
    """The distinct ones of them."""
    visits: int = 0
    total: float = 0.0
    closed: bool = False

    @property
    def children(self) -> list[Node]:
        """The distinct ones that can be gone to."""
        return [
            child
            for child in self.kinds.values()
            if child.end == "stop" or (child.end == "step" and child.prefix[-1])
        ]

    @property
    def depth(self) -> int:
        return len(self.prefix)


@dataclass
class World:
    """A language, and all that was proposed in it so far."""

    language: Language
    n: int
    m: int
    rounds: int = 40
    step_tokens: int = 999
    tokens: int = 999
    broken: Callable[[int], bool] = lambda _seed: False
    born: list[Prefix] = field(default_factory=list)
    finals: list[Prefix] = field(default_factory=list)

    def root(self, seed: int) -> Node:
        return Node((), seed, -1, "step", 0, 0.0, 0.0)

    def expand(self, node: Node) -> None:
        """Sample children: N first steps, later M more."""
        room = min(self.step_tokens, self.tokens - node.tokens)
        if room <= 0:
            node.end = "length"
            return
        wanted = self.m if node.depth else self.n
        for _ in range(min(wanted, self.n - len(self.finals))):
            child = self._sample(node, sample_seed(node.seed, node.sampled), room)
            node.sampled += 1
            if child is not None:
                first = node.kinds.setdefault((child.prefix[-1], child.end), child)
                first.count += 1

    def _sample(self, node: Node, seed: int, room: int) -> Node | None:
        place = len(self.born)
        if self.broken(seed):
            self.born.append((*node.prefix, ""))
            return None
        rng = random.Random(seed)
        step, end = draw(self.language(node.prefix), rng, room, TEMPERATURE)
        prefix = (*node.prefix, step["text"])
        self.born.append(prefix)
        if end == "stop":
            self.finals.append(prefix)
        return Node(
            prefix,
            seed,
            place,
            end,
            node.tokens + len(step["token_ids"]),
            step["logprob"],
            score_of(prefix),
        )


def score_of(prefix: Prefix) -> float | None:
    """The verifier's score; empty steps are not read."""
    steps = tuple(text for text in prefix if text)
    return hash_score(steps) if steps else None


def rough_language(seed: int) -> Language:
    """A random language in which steps may be empty, and answers end with nothing."""
    plain = random_language(seed, depth=5, branching=4)

    def language(prefix: Prefix) -> list[Continuation]:
        return [
            *(c._replace(probability=0.8 * c.probability) for c in plain(prefix)),
            Continuation("", 0.15),
            Continuation("", 0.05, ends=True),
        ]

    return language
