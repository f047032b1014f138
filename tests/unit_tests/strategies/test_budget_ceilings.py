"""Properties over random trees and random mixes of limits."""

from __future__ import annotations

import random
import time

import pytest

from langchain_tts.budget import Budget
from langchain_tts.strategies import STRATEGIES
from tests.unit_tests.fakes import (
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.strategies.searching import search

STEPPED = ("beam_search", "dvts")


def random_budget(rng: random.Random) -> Budget:
    return Budget(
        samples=rng.randint(1, 24),
        tokens=rng.choice([None, rng.randint(1, 600)]),
        flops=rng.choice([None, rng.uniform(1e3, 3e5)]),
    )


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_limit_is_ever_passed_and_the_ledger_adds_up(
    strategy: str, seed: int
) -> None:
    rng = random.Random(seed)
    budget = random_budget(rng)
    language = random_language(seed, depth=rng.randint(1, 6))
    policy = TreePolicy(language, broken=lambda s: s % 11 == 0 and s % 2 == seed % 2)
    prm = TreePrm()
    try:
        result = search(
            strategy,
            policy,
            prm,
            budget=budget,
            seed=seed,
            beam_width=rng.randint(1, 6),
            max_step_tokens=rng.choice([3, 2048]),
        )
    except ValueError as error:
        assert "failed on all" in str(error)  # noqa: PT017 (rare, and rightly so)
        return
    spent = result["spent"]
    generated = sum(len(s["token_ids"]) for x in policy.served for s in x["steps"])
    assert spent.get("generated_tokens", 0) == generated
    assert spent.get("prompt_tokens", 0) == policy.prompt_tokens
    assert spent.get("prm_tokens", 0) == prm.tokens
    assert spent.get("policy_calls", 0) == len(policy.calls)
    assert spent.get("prm_calls", 0) == len(prm.calls)
    policy_flops = 2 * 100 * (generated + policy.prompt_tokens)
    assert spent.get("policy_flops", 0) == pytest.approx(policy_flops)
    assert spent.get("prm_flops", 0) == pytest.approx(2 * 50 * prm.tokens)
    assert spent.get("samples", 0) <= budget.samples
    assert generated <= (budget.tokens or generated)
    flops = spent.get("policy_flops", 0) + spent.get("prm_flops", 0)
    assert flops <= (budget.flops or flops)
    assert (result["answer"] is not None) or result["stop_reason"] != "finished"


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_trees_are_well_formed(strategy: str, seed: int) -> None:
    # The single sample of greedy decoding must not be lost.
    lost = 2**63 if strategy == "greedy" else 13
    policy = TreePolicy(random_language(seed), broken=lambda s: s % lost == 0)
    result = search(strategy, policy, TreePrm(), budget=8 + seed, seed=seed)
    tree = result["tree"]
    parents = {c["parent"] for c in tree if c["status"] != "rollout"}
    for place, candidate in enumerate(tree):
        assert candidate["id"] == place
        parent = candidate["parent"]
        depth = 0 if parent is None else tree[parent]["depth"]
        assert parent is None or parent < place
        assert candidate["depth"] == depth + 1
        if candidate["status"] != "active":
            assert place not in parents
    finals = {c["id"] for c in result["candidates"]}
    ended = {c["id"] for c in tree if c["status"] in {"finished", "truncated"}}
    assert finals == ended
    voters = sum(row["count"] for row in result["votes"])
    assert voters == sum(c["status"] == "finished" for c in tree)


def long_answers(prefix: Prefix) -> list[Continuation]:
    """Five steps of 20 tokens, then the answer: 110 tokens in all."""
    if len(prefix) == 5:
        return [Continuation(r"\boxed{9}", 1.0, ends=True)]
    return [Continuation("nineteen characters", 1.0)]


@pytest.mark.parametrize("strategy", ["majority_vote", "best_of_n"])
def test_a_tight_token_limit_gives_fewer_answers_not_cut_ones(strategy: str) -> None:
    policy = TreePolicy(long_answers)
    result = search(strategy, policy, TreePrm(), budget=Budget(samples=16, tokens=1000))
    assert result["answer"] == "9"
    assert result["spent"]["generated_tokens"] <= 1000
    assert result["votes"][0]["count"] >= 7
    assert result["stop_reason"] == "tokens"


def test_samples_do_not_depend_on_how_many_calls_a_limit_makes_of_them() -> None:
    free, tight = (TreePolicy(random_language(3)) for _ in range(2))
    whole = search("majority_vote", free, budget=12)
    limited = search("majority_vote", tight, budget=Budget(samples=12, tokens=600))
    assert len(tight.calls) > 1
    assert limited["tree"] == whole["tree"]


@pytest.mark.parametrize("strategy", STEPPED)
def test_a_step_search_that_runs_out_of_tokens_says_so(strategy: str) -> None:
    policy = TreePolicy(long_answers)
    limited = Budget(samples=16, tokens=90)
    result = search(strategy, policy, TreePrm(), budget=limited)
    assert result["stop_reason"] == "tokens"
    assert result["answer"] is None
    assert result["text"].startswith("nineteen characters")
    assert result["spent"]["generated_tokens"] <= 90


@pytest.mark.parametrize("strategy", STEPPED)
def test_a_step_search_that_is_narrowed_by_a_limit_says_so(strategy: str) -> None:
    policy = TreePolicy(long_answers)
    limited = Budget(samples=16, tokens=400)
    result = search(strategy, policy, TreePrm(), budget=limited)
    assert result["answer"] == "9"
    assert len(result["candidates"]) < 16
    assert result["degradations"] == [
        "from round 1 on, the limit on tokens left room for fewer proposals"
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_too_few_flops_for_any_token_is_no_answer_and_no_call(strategy: str) -> None:
    policy = TreePolicy(long_answers)
    result = search(strategy, policy, TreePrm(), budget=Budget(samples=4, flops=10.0))
    assert policy.calls == []
    assert (result["answer"], result["text"]) == (None, "")
    assert result["stop_reason"] == "flops"


@pytest.mark.parametrize("strategy", STEPPED)
def test_the_time_limit_ends_the_search_with_what_it_has(strategy: str) -> None:
    policy = TreePolicy(long_answers, call_seconds=0.05)
    started = time.monotonic()
    result = search(strategy, policy, TreePrm(), budget=Budget(samples=4, seconds=0.12))
    assert time.monotonic() - started < 3
    assert result["stop_reason"] == "seconds"
    assert len(policy.calls) <= 3
    assert result["text"].startswith("nineteen characters")
    assert result["seconds"] >= 0.05 * len(policy.calls)


def test_answers_that_came_before_the_time_limit_still_vote() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 2:
            return [Continuation(r"\boxed{3}", 1.0, ends=True)]
        return [
            Continuation("on", 0.5),
            Continuation(r"\boxed{4}", 0.5, ends=True),
        ]

    policy = TreePolicy(language, call_seconds=0.06)
    result = search(
        "beam_search", policy, TreePrm(), budget=Budget(samples=16, seconds=0.1)
    )
    assert result["stop_reason"] == "seconds"
    assert result["answer"] == "4"
