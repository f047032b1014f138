"""What holds for every strategy, on random trees, parameters, seeds and budgets.

Costs and calls are counted by the models that served them, never read off the ledger.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tts.budget import Budget
from langchain_tts.search.state import (
    Candidate,
    FinalCandidate,
    Status,
    Vote,
)
from langchain_tts.search.vote import all_votes, decide
from langchain_tts.strategies import STRATEGIES
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies.state import SearchState, result_of
from tests.unit_tests.fakes import TreePolicy, TreePrm, decode, random_language
from tests.unit_tests.strategies.cases import (
    FREE,
    LIMITED,
    ROOM,
    Case,
    beginning,
    compiled,
    search,
    without_time,
)
from tests.unit_tests.strategies.clocks import Clock, ClockedPolicy, ClockedPrm
from tests.unit_tests.strategies.searching import texts


def examples(count: int) -> settings:
    """So many, and the same ones each time: a failure can be repeated."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


# Budgets


def whole_answers(policy: TreePolicy) -> int:
    """How many answers the policy was asked to write to their ends."""
    asked = [r for call in policy.calls for r in call if not r["by_step"]]
    return len({seed for request in asked for seed in request["seeds"]})


@every_strategy
@examples(60)
@given(LIMITED)
def test_no_limit_is_passed_and_the_ledger_tells_what_was_served(
    strategy: str, case: Case
) -> None:
    policy, prm = case.policy(), TreePrm()
    result = search(strategy, case, policy, prm)
    generated = sum(len(s["token_ids"]) for x in policy.served for s in x["steps"])
    policy_flops = 2 * 100 * (generated + policy.prompt_tokens)
    prm_flops = 2 * 50 * prm.tokens
    limits = case.budget
    assert generated <= (limits.tokens or math.inf)
    assert policy_flops + prm_flops <= (limits.flops or math.inf)
    assert whole_answers(policy) <= limits.samples
    if result is None:
        return
    assert sum(c["status"] == "finished" for c in result["tree"]) <= limits.samples
    spent: dict[str, float] = {"samples": 0, **result["spent"]}  # type: ignore[dict-item]
    assert spent.pop("samples") <= limits.samples
    assert spent.pop("seconds") == result["seconds"]
    served = {
        "policy_calls": len(policy.calls),
        "prompt_tokens": policy.prompt_tokens,
        "generated_tokens": generated,
        "policy_flops": policy_flops,
        "prm_calls": len(prm.calls),
        "prm_tokens": prm.tokens,
        "prm_flops": prm_flops,
    }
    assert {name: spent.get(name, 0) for name in served} == served


@every_strategy
@examples(15)
@given(FREE, st.floats(0.01, 100.0), st.floats(0.01, 1.0))
def test_the_time_limit_holds_on_a_clock_that_the_models_turn(
    strategy: str, case: Case, seconds: float, token_seconds: float
) -> None:
    clock = Clock()
    budget = replace(case.budget, seconds=seconds)
    # Side by side, the calls of DVTS share the time, which this clock cannot show.
    case = replace(
        case, budget=budget, parameters={**case.parameters, "lockstep": True}
    )
    language = random_language(case.language_seed, depth=case.depth)
    policy = ClockedPolicy(language, clock, token_seconds)
    # A tenth of the time is kept for a call of the verifier.
    prm = ClockedPrm(clock, 0.099 * seconds)
    with pytest.MonkeyPatch.context() as patch:
        clock.install(patch)
        started = clock.now
        result = search(strategy, case, policy, prm)
        passed = clock.now - started
    assert result is not None
    assert passed <= seconds * (1 + 1e-9)
    assert result["seconds"] == pytest.approx(passed)
    assert result["answer"] is not None or result["stop_reason"] != "finished"


@every_strategy
@pytest.mark.parametrize("seconds", [1e-9, 1e-4, 2e-3, 1e-2])
def test_no_time_limit_is_too_small_to_end_a_search_in_order(
    strategy: str, seconds: float
) -> None:
    budget = Budget(samples=8, seconds=seconds)
    case = Case(3, budget, language_seed=1, depth=5, empty=0, lost=0)
    policy = case.policy()
    result = search(strategy, case, policy, TreePrm())
    assert result is not None
    if seconds < 1e-6:
        # A first call is made: nothing has been spent before it.
        assert (result["answer"], result["stop_reason"]) == (None, "seconds")
        assert len(policy.calls) == 1


# The tree


def is_rollout(candidate: Candidate) -> bool:
    return candidate["status"] == "rollout"


def check_shape(tree: Sequence[Candidate]) -> None:
    """Ids are positions, parents come first, depths count the steps."""
    for place, candidate in enumerate(tree):
        assert candidate["id"] == place
        parent = candidate["parent"]
        if parent is None:
            assert candidate["depth"] == 1
        else:
            assert 0 <= parent < place
            assert candidate["depth"] == tree[parent]["depth"] + 1


def check_parents(tree: Sequence[Candidate]) -> None:
    """Nothing follows what has ended; only what was looked ahead follows the rest."""
    for candidate in tree:
        if candidate["parent"] is None:
            continue
        above = tree[candidate["parent"]]["status"]
        if is_rollout(candidate):
            # Later, when it was to be continued, the step may have had no room left.
            assert above in {"active", "pruned", "rollout", "truncated"}
        else:
            assert above == "active"


@every_strategy
@examples(60)
@given(LIMITED)
def test_trees_are_well_formed_and_candidates_have_one_fate(
    strategy: str, case: Case
) -> None:
    policy, prm = case.policy(), TreePrm()
    result = search(strategy, case, policy, prm)
    if result is None:
        return
    tree = result["tree"]
    check_shape(tree)
    check_parents(tree)
    assert max((c["depth"] for c in tree if not is_rollout(c)), default=0) <= (
        case.parameters["max_rounds"] if stepwise(policy) else math.inf
    )
    fates = {c["status"] for c in tree if c["finish_reason"] == "stop"}
    competing = case.parameters["ending"] == "N/M" and "ending" in (
        STRATEGIES[strategy].parameters
    )
    assert fates <= {"finished", "rollout"} | ({"pruned"} if competing else set())
    finals = {final["id"]: final["status"] for final in result["candidates"]}
    ended = {
        c["id"]: c["status"] for c in tree if c["status"] in {"finished", "truncated"}
    }
    assert finals == ended
    assert sum(row["count"] for row in result["votes"]) == sum(
        final["answer"] is not None for final in result["candidates"]
    )
    for final in result["candidates"]:
        assert final["status"] == "finished" or final["answer"] is None


def stepwise(policy: TreePolicy) -> bool:
    """Whether every request was for one step."""
    return all(request["by_step"] for call in policy.calls for request in call)


@every_strategy
@examples(30)
@given(FREE)
def test_empty_steps_are_never_continued_step_by_step(
    strategy: str, case: Case
) -> None:
    policy = replace(case, empty=3).policy()
    search(strategy, case, policy, TreePrm())
    for call in policy.calls:
        for request in call:
            if request["by_step"] and request["prefix"]:
                assert decode(request["prefix"])[-1].strip()


@every_strategy
@examples(30)
@given(LIMITED)
def test_each_distinct_prefix_is_scored_at_most_once(strategy: str, case: Case) -> None:
    policy, prm = case.policy(), TreePrm()
    result = search(strategy, case, policy, prm)
    assert len(prm.scored) == len(set(prm.scored))
    if result is not None:
        written = {texts(result["tree"], c["id"]) for c in result["tree"]}
        spelled = {tuple(text for text in steps if text.strip()) for steps in written}
        assert set(prm.scored) <= spelled


# Repeating


@every_strategy
@examples(30)
@given(LIMITED)
def test_one_seed_gives_one_tree_sync_and_async(strategy: str, case: Case) -> None:
    first = search(strategy, case, case.policy(), TreePrm())
    context = case.context(case.policy(), TreePrm())
    call = compiled(strategy).ainvoke(beginning(case), ROOM, context=context)
    try:
        later = result_of(cast("SearchState", asyncio.run(call)))
    except PolicyFailedError:
        assert first is None
        return
    assert first is not None
    assert without_time(later) == without_time(first)


@every_strategy
@examples(8)
@given(LIMITED)
def test_a_search_resumed_at_every_superstep_is_the_undisturbed_search(
    strategy: str, case: Case
) -> None:
    case = replace(case, parameters={**case.parameters, "lockstep": True})
    policy, prm = case.policy(), TreePrm()
    undisturbed = search(strategy, case, policy, prm)
    if undisturbed is None:
        return
    saver = InMemorySaver()
    thread: Any = {**ROOM, "configurable": {"thread_id": "1"}}
    resumed_policy, resumed_prm = case.policy(), TreePrm()
    state = beginning(case)
    waiting: tuple[str, ...] = ("something",)
    while waiting:
        # Nothing of the process that was interrupted is left but what it saved.
        graph = compiled(strategy, checkpointer=saver, interrupt_before="*")
        context = case.context(resumed_policy, resumed_prm)
        graph.invoke(state, thread, context=context)
        state = None
        waiting = graph.get_state(thread).next
    resumed = result_of(cast("SearchState", graph.get_state(thread).values))
    assert without_time(resumed) == without_time(undisturbed)
    assert [[r["seeds"] for r in call] for call in resumed_policy.calls] == [
        [r["seeds"] for r in call] for call in policy.calls
    ]
    assert resumed_prm.scored == prm.scored


# The vote


@st.composite
def ballots(draw: Callable[..., Any]) -> tuple[list[FinalCandidate], list[int | None]]:
    """Trajectories with few answers and few scores, so that ties are frequent."""
    finals, classes = [], []
    for place in range(draw(st.integers(0, 9))):
        scores = draw(st.lists(st.sampled_from([0.1, 0.5, 0.5, 0.9]), max_size=3))
        answer = draw(st.sampled_from([None, 0, 1, 2]))
        status: Status = draw(st.sampled_from(["finished", "finished", "truncated"]))
        classes.append(answer)
        finals.append(
            FinalCandidate(
                id=3 * place,
                text="",
                answer=None if answer is None else str(answer),
                step_scores=scores,
                score=scores[-1] if scores else None,
                logprob=-1.0,
                status=status,
            )
        )
    return finals, classes


@examples(300)
@given(
    ballots(),
    st.randoms(use_true_random=False),
    st.sampled_from(["majority", "max", "vote"]),
)
def test_a_vote_does_not_depend_on_the_order_of_the_candidates(
    found: tuple[list[FinalCandidate], list[int | None]], random: Any, vote: Vote
) -> None:
    finals, classes = found
    order = list(range(len(finals)))
    random.shuffle(order)
    mixed = [finals[place] for place in order]
    mixed_classes = [classes[place] for place in order]
    here, there = decide(finals, classes, vote), decide(mixed, mixed_classes, vote)
    assert here.rows == there.rows
    assert all_votes(finals, classes) == all_votes(mixed, mixed_classes)
    if here.winner is None:
        assert there.winner is None
    else:
        assert there.winner is not None
        assert mixed[there.winner]["id"] == finals[here.winner]["id"]
