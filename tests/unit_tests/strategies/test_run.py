"""Running searches: sync, async and streamed; seeds; wrong input; drawings."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tts.budget import Budget
from langchain_tts.search.state import Message, Outcome
from langchain_tts.strategies import (
    STRATEGIES,
    UnknownStrategyError,
    get_strategy,
)
from langchain_tts.strategies._proposal import QuestionError, sample_seed
from langchain_tts.strategies.context import SearchContext, SearchContextError
from langchain_tts.strategies.run import asolve, solve, stream_search
from tests.unit_tests.fakes import QUESTION, TreePolicy, TreePrm, random_language


def context(n: int = 10, language_seed: int = 1, **parameters: Any) -> SearchContext:
    return SearchContext(
        policy=TreePolicy(random_language(language_seed)),
        prm=TreePrm(),
        budget=Budget(n),
        **parameters,
    )


def without_time(result: Outcome) -> dict[str, Any]:
    """All that two runs of one search have in common, but for the tree.

    The fakes have no cache, so subtrees side by side each read the question.
    """
    varying = {"seconds"}
    if result["strategy"] == "dvts":
        varying |= {"policy_calls", "prm_calls", "prompt_tokens", "policy_flops"}
        varying |= {"prm_cached_tokens"}
    spent = {k: v for k, v in result["spent"].items() if k not in varying}
    whole: dict[str, Any] = {**result, "spent": spent, "seconds": None}
    whole.pop("tree", None)
    return whole


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_async_streamed_and_sync_searches_are_the_same(strategy: str) -> None:
    result = solve(QUESTION, strategy=strategy, context=context(), seed=5)
    later = asyncio.run(asolve(QUESTION, strategy=strategy, context=context(), seed=5))
    *_, last = stream_search(QUESTION, strategy=strategy, context=context(), seed=5)
    assert without_time(later) == without_time(result)
    assert later["tree"] == result["tree"]
    assert without_time(last["result"]) == without_time(result)
    assert last["tree"] == result["tree"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_tree(strategy: str) -> None:
    first = solve(QUESTION, strategy=strategy, context=context(), seed=1)
    again = solve(QUESTION, strategy=strategy, context=context(), seed=1)
    assert first["tree"] == again["tree"]


def test_another_seed_gives_another_tree() -> None:
    first = solve(QUESTION, context=context(), seed=1)
    other = solve(QUESTION, context=context(), seed=2)
    assert first["tree"] != other["tree"]


def test_a_search_without_a_seed_tells_the_one_it_drew() -> None:
    drawn = solve(QUESTION, context=context())
    again = solve(QUESTION, context=context(), seed=drawn["seed"])
    assert drawn["tree"] == again["tree"]
    assert solve(QUESTION, context=context())["seed"] != drawn["seed"]


def test_sample_seeds_are_fixed_for_good() -> None:
    assert sample_seed(0, 0) == 300471914551172981
    assert sample_seed(sample_seed(7, 12), 3) == 6343073815998197922
    # Siblings follow one another, as engines number the samples of one request.
    assert [sample_seed(5, i) - sample_seed(5, 0) for i in range(3)] == [0, 1, 2]
    many = {sample_seed(seed, place) for seed in range(27) for place in range(27)}
    assert len(many) == 729
    assert max(many) < 2**63


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_state_and_result_are_plain_json(strategy: str) -> None:
    for snapshot in stream_search(
        QUESTION, strategy=strategy, context=context(), seed=5
    ):
        assert json.loads(json.dumps(snapshot)) == snapshot


async def test_a_search_works_inside_a_running_loop_and_beside_others() -> None:
    inside = solve(QUESTION, context=context(), seed=3)
    together = await asyncio.gather(
        *(asolve(QUESTION, context=context(), seed=seed) for seed in range(8))
    )
    assert together[3]["tree"] == inside["tree"]
    for seed, result in enumerate(together):
        assert result["seed"] == seed


def test_a_chains_recursion_limit_does_not_end_a_search() -> None:
    def ask(_: str) -> Outcome:
        deep = SearchContext(
            policy=TreePolicy(random_language(8, depth=30, branching=8)),
            prm=TreePrm(),
            budget=Budget(8),
        )
        return solve(QUESTION, context=deep, seed=1, config={"recursion_limit": 5})

    assert RunnableLambda(ask).invoke("?")["stop_reason"] == "finished"


@pytest.mark.parametrize("messages", [[], [{"role": "user", "content": " \n"}]])
def test_an_empty_question_is_refused(messages: list[Message]) -> None:
    with pytest.raises(QuestionError, match="the question is empty"):
        solve(messages, context=context())


def test_a_question_longer_than_the_window_is_refused_with_both_sizes() -> None:
    long: list[Message] = [{"role": "user", "content": "x" * 100_000}]
    with pytest.raises(QuestionError, match=r"100000 tokens.*at most 10000"):
        solve(long, context=context())


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownStrategyError, match=r"'beem'.*beam_search"):
        solve(QUESTION, strategy="beem", context=context())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_width", 0),
        ("max_rounds", -1),
        ("max_tokens", 1.5),
        ("temperature", float("nan")),
        ("score", "mean"),
        ("vote", "best"),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, value: object) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(SearchContextError, match=f"{name} is"):
        SearchContext(**wrong)


def test_a_graph_takes_its_context_from_a_form() -> None:
    form: Any = {
        "policy": TreePolicy(random_language(1)),
        "prm": TreePrm(),
        "budget": {"samples": 10},
    }
    graph = get_strategy("beam_search").build().compile()
    state = graph.invoke({"messages": QUESTION, "seed": 5}, context=form)
    assert state["tree"] == solve(QUESTION, context=context(), seed=5)["tree"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_drawn(strategy: str) -> None:
    drawn = get_strategy(strategy).build().compile().get_graph().draw_mermaid()
    assert "propose" in drawn
    assert "aggregate --> __end__" in drawn
    by_step = get_strategy(strategy).verifier == "steps"
    assert ("score --> select" in drawn) == by_step


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_says_what_it_does_and_what_n_means(strategy: str) -> None:
    entry = STRATEGIES[strategy]
    assert entry.name == strategy
    assert entry.summary
    assert all(vars(entry.budget).values())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_that_is_stepped_through_is_the_same_search(strategy: str) -> None:
    graph = (
        get_strategy(strategy)
        .build()
        .compile(checkpointer=InMemorySaver(), interrupt_before="*")
    )
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 200}
    setting = context()
    state: Any = {"messages": QUESTION, "seed": 5}
    for _ in range(200):
        graph.invoke(state, thread, context=setting)
        state = None
        if not graph.get_state(thread).next:
            break
    stepped = graph.get_state(thread).values
    whole = solve(QUESTION, strategy=strategy, context=context(), seed=5)
    assert without_time(stepped["result"]) == without_time(whole)
    assert stepped["tree"] == whole["tree"]


def test_the_registry_loads_neither_langgraph_nor_an_engine() -> None:
    code = (
        "import sys, langchain_tts.strategies as s; s.get_strategy('dvts');"
        "print([m for m in ('langgraph', 'torch', 'transformers') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("samples", [4, 24])
def test_a_state_that_is_edited_outside_of_a_run_goes_on(
    strategy: str, samples: int
) -> None:
    # As LangGraph's server edits it: the context is not known then.
    setting = SearchContext(
        policy=TreePolicy(random_language(3)), prm=TreePrm(), budget=Budget(samples)
    )
    graph = get_strategy(strategy).build().compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 999}
    start: Any = {"messages": QUESTION, "seed": 5}
    graph.invoke(start, thread, context=setting, interrupt_after=["propose"])
    graph.update_state(thread, {"degradations": ["seen"]}, as_node="propose")
    graph.invoke(None, thread, context=setting)
    whole = solve(QUESTION, strategy=strategy, context=setting, seed=5)
    end = graph.get_state(thread).values
    assert end["tree"] == whole["tree"]
    assert end["result"]["answer"] == whole["answer"]
    assert end["result"]["degradations"] == ["seen", *whole["degradations"]]
