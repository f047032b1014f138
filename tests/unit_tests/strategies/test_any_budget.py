"""Every N with every M, for the strategies that do not divide one by the other."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from langchain_tts.budget import Budget
from tests.unit_tests.fakes import TreePolicy, TreePrm
from tests.unit_tests.strategies.searching import search
from tests.unit_tests.strategies.worlds import rough_language

STRATEGIES = ("particle_filter", "mcts", "levin", "best_first")


@pytest.mark.parametrize("n", range(1, 21))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_n_and_m_ever_give_more_than_n_answers(strategy: str, n: int) -> None:
    for m in range(1, 6):
        policy = TreePolicy(rough_language(10 * n + m))
        result = search(
            strategy,
            policy,
            TreePrm(),
            budget=n,
            seed=n,
            beam_width=m,
            max_rounds=6,
            max_step_tokens=14,
        )
        final = [c for c in result["candidates"] if c["status"] == "finished"]
        assert result["spent"].get("samples", 0) == len(final) <= n
        assert max(c["depth"] for c in result["tree"]) <= 6
        assert all(sum(r["n"] for r in call) <= n for call in policy.calls)
        depths = Counter(c["depth"] for c in result["tree"])
        assert max(depths.values()) <= n


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_tokens_are_never_more_than_the_budget(strategy: str, seed: int) -> None:
    rng = random.Random(seed)
    budget = Budget(samples=rng.randint(1, 20), tokens=rng.randint(1, 400))
    policy = TreePolicy(rough_language(seed))
    result = search(
        strategy, policy, TreePrm(), budget=budget, beam_width=rng.randint(1, 5)
    )
    assert result["spent"]["generated_tokens"] <= (budget.tokens or 0)
    assert result["stop_reason"] != "finished" or result["candidates"]
