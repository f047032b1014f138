"""Levin tree search: what its cost prefers. Its oracle is in test_best_first."""

from __future__ import annotations

from tests.unit_tests.fakes import (
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.strategies.searching import search

SCORES = {("a",): 0.5, ("b",): 0.4, ("a", "c"): 0.9, ("b", "c"): 0.1}


def expanded(strategy: str) -> list[str]:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 2:
            return [Continuation(r"\boxed{1}", 1.0, ends=True)]
        if prefix:
            return [Continuation("c", 1.0)]
        return [Continuation("a", 0.5), Continuation("b", 0.5)]

    policy = TreePolicy(language)
    prm = TreePrm(lambda prefix: SCORES.get(prefix, 0.9))
    search(strategy, policy, prm, budget=32, beam_width=16, seed=1)
    return ["".join(map(chr, r["prefix"])) for call in policy.calls for r in call]


def test_a_longer_path_must_be_worth_its_length() -> None:
    # After "a" (1 / 0.5 = 2) there are "a", "c" (2 / 0.45 = 4.4) and "b" (1 / 0.4 =
    # 2.5), where plain best-first search sees 0.9 against 0.4. There are two steps of
    # each depth: "a", "c" for the second time is 2 x 4.4 against 50 for "b", "c", and
    # 0.9 / 2 against 0.4 for "b".
    assert expanded("levin") == ["", "a\n", "b\n", "a\nc\n", "a\nc\n"]
    assert expanded("best_first") == ["", "a\n", "a\nc\n", "a\nc\n"]


def test_scores_of_zero_are_very_expensive_but_no_error() -> None:
    policy = TreePolicy(random_language(2, depth=5, branching=4))
    result = search("levin", policy, TreePrm(lambda _prefix: 0.0), budget=16)
    assert result["answer"] is not None
    assert result["stop_reason"] == "finished"
