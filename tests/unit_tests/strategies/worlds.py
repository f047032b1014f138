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
    prior: float = 0.0
    """The share of its siblings that are the same step."""
    children: list[Node] | None = None
    visits: int = 0
    total: float = 0.0
    closed: bool = False

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
        """Propose children and keep the distinct ones that can be gone to."""
        node.children = []
        room = min(self.step_tokens, self.tokens - node.tokens)
        if room <= 0:
            return
        asked = min(self.m, self.n - len(self.finals))
        kept: dict[tuple[str, str], Node] = {}
        for i in range(asked):
            child = self._sample(node, sample_seed(node.seed, i), room)
            if child is None:
                continue
            key = (child.prefix[-1], child.end)
            kept.setdefault(key, child)
            kept[key].prior += 1 / asked
        node.children = [
            child
            for (text, end), child in kept.items()
            if end == "stop" or (end == "step" and text)
        ]

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
