"""DVTS, against each subtree searched alone."""

from __future__ import annotations

import random

import pytest

from langchain_tts.strategies._proposal import sample_seed
from tests.unit_tests.fakes import (
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    draw,
    hash_score,
    random_language,
)
from tests.unit_tests.strategies.searching import children, search, texts


def oracle(seed: int, n: int, m: int) -> tuple[list[Prefix], int]:
    """Round by round over the subtrees, each with its own list of proposals."""
    language = random_language(seed, depth=5)
    count = n // m or 1
    sizes = [n // count + (i < n % count) for i in range(count)]
    subtrees: list[tuple[int, Prefix, int]] = [(seed, (), k) for k in sizes]
    finals: list[Prefix] = []
    born = 0
    while subtrees:
        going: list[tuple[int, Prefix, int]] = []
        for place, (drawn, prefix, width) in enumerate(subtrees):
            offset = 0 if prefix else sum(sizes[:place])
            best: tuple[float, float, int, Prefix, int] | None = None
            answers = []
            for i in range(width):
                child = sample_seed(drawn, offset + i)
                rng = random.Random(child)
                step, end = draw(language(prefix), rng, 999, 0.8)
                path = (*prefix, step["text"])
                merit = (hash_score(path), step["logprob"], -born, path, child)
                best = merit if best is None else max(best, merit)
                if end == "stop":
                    answers.append(path)
                born += 1
            finals += answers
            if best is not None and best[3] not in answers:
                going.append((best[4], best[3], width - len(answers)))
        subtrees = going
    return finals, born


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (3, 4), (4, 4), (8, 2), (10, 4), (16, 4), (7, 3), (4, 1)]
)
def test_finds_what_separate_greedy_searches_find(n: int, m: int, seed: int) -> None:
    policy = TreePolicy(random_language(seed, depth=5))
    result = search("dvts", policy, TreePrm(), budget=n, beam_width=m, seed=seed)
    ends = sorted(c["id"] for c in result["candidates"])
    found = [texts(result["tree"], i) for i in ends]
    assert (found, len(result["tree"])) == oracle(seed, n, m)
    assert len(found) <= n


def test_a_good_subtree_never_takes_places_from_another() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 3:
            return [Continuation(rf"\boxed{{{prefix[0]}}}", 1.0, ends=True)]
        return [Continuation(str(i), 0.25) for i in range(4)]

    policy, prm = TreePolicy(language), TreePrm()
    result = search("dvts", policy, prm, budget=16, beam_width=4)
    counts = children(result["tree"])
    assert counts.pop(None) == 16
    assert list(counts.values()) == [4] * 12
    survivors = {texts(result["tree"], c["id"])[0] for c in result["candidates"]}
    beam = search("beam_search", TreePolicy(language), TreePrm(), budget=16)
    kept = {texts(beam["tree"], c["id"])[0] for c in beam["candidates"]}
    assert len(survivors) >= len(kept)
    assert len(result["candidates"]) == 16
    assert [sum(r["n"] for r in call) for call in policy.calls] == [16] * 4
