"""Searches for whole turns: calls of tools, and answers by a schema."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tts.budget import Budget
from langchain_tts.engines.errors import NoToolsError
from langchain_tts.search.state import FinalCandidate, SearchResult, Vote
from langchain_tts.strategies import STRATEGIES, get_strategy
from langchain_tts.strategies._proposal import QuestionError
from langchain_tts.strategies._setting import WholeTurnsError
from langchain_tts.strategies._turns import Turns
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve, solve
from tests.unit_tests.fakes import TreePolicy, TreePrm, random_language
from tests.unit_tests.search.turn_cases import MADE, VOTES, write
from tests.unit_tests.turn_models import (
    TOOLS,
    TurnPolicy,
    TurnPrm,
    asked,
    call,
    calls,
    raw,
    rule,
    tool,
)

ROOT = Path(__file__).parents[3]
ONE, TWO, ROME = call("add", x=1), call("add", x=2), call("find", city="Rome")
BROKEN = raw('{"name": "add", "argum')


def context_of(
    *turns: Any,
    prm: Any = None,
    budget: Budget | int | None = None,
    turn: Any = None,
    **parameters: Any,
) -> SearchContext:
    return SearchContext(
        policy=TurnPolicy(*turns),
        prm=prm,
        budget=Budget.parse(budget or len(turns)),
        turn=turn or rule(),
        **{"vote": "majority" if prm is None else "max", **parameters},
    )


def search(
    strategy: str, *turns: Any, tools: Any = TOOLS, **parameters: Any
) -> SearchResult:
    context = context_of(*turns, **parameters)
    return solve(asked(tools), strategy=strategy, context=context, seed=5)


def test_the_most_frequent_call_wins() -> None:
    same = calls(
        raw('{"arguments": {"y": 0, "x": 2.0}, "name": "add"}'), content="I add."
    )
    result = search("majority_vote", ONE, call("add", x=2, y=0), same, "Hello")
    assert result["text"] == call("add", x=2, y=0)
    assert result["answer"] == '[{"name": "add", "arguments": {"x": 2, "y": 0}}]'
    assert [(row["answer"], row["count"]) for row in result["votes"]] == [
        (result["answer"], 2),
        ('[{"name": "add", "arguments": {"x": 1}}]', 1),
        ("Hello", 1),
    ]
    assert result["candidates"][0]["text"] == result["text"]
    assert {c["text"] for c in result["candidates"]} == {
        ONE,
        call("add", x=2, y=0),
        same,
        "Hello",
    }
    assert result["stop_reason"] == "finished"
    assert result["degradations"] == []
    assert [step["text"] for step in result["tree"]][2] == same


def test_greedy_takes_the_turn_that_it_gets() -> None:
    result = search("greedy", ONE)
    assert (result["text"], result["stop_reason"]) == (ONE, "finished")
    assert len(result["candidates"]) == 1


def test_a_verifier_that_reads_turns_chooses() -> None:
    prm = TurnPrm({ONE: 0.3, TWO: 0.8, ROME: 0.5})
    result = search("best_of_n", ONE, ONE, TWO, ROME, prm=prm)
    assert result["text"] == TWO
    assert sorted(prm.read) == sorted([ONE, TWO, ROME])
    assert result["vote"] == "max"
    assert [c["score"] for c in result["candidates"]] == [0.8, 0.5, 0.3, 0.3]
    chosen = {(row["score"], row["vote"]): row["answer"] for row in result["table"]}
    assert chosen[(None, "majority")] == '[{"name": "add", "arguments": {"x": 1}}]'
    assert chosen[("last", "max")] == result["answer"]
    assert result["degradations"] == []


def test_a_verifier_that_reads_no_turns_is_not_asked() -> None:
    prm = TreePrm()
    result = search("best_of_n", TWO, ONE, ONE, prm=prm)
    assert prm.calls == []
    assert result["text"] == ONE
    assert result["vote"] == "majority"
    assert result["degradations"] == [
        "verifier 'tree-prm' reads no tool calls: decided by majority"
    ]
    assert result["spent"].get("prm_flops", 0) == 0
    asked_for = search("best_of_n", TWO, ONE, ONE, prm=prm, vote="majority")
    assert asked_for["degradations"] == []


def test_an_invalid_turn_does_not_win_however_frequent_and_good() -> None:
    prm = TurnPrm(lambda text: 0.1 if text == ONE else 0.9)
    invalid = call("add", y=1)
    for vote in VOTES:
        result = search("best_of_n", *[invalid] * 3, ONE, BROKEN, prm=prm, vote=vote)
        assert result["text"] == ONE
        assert [row["count"] for row in result["votes"]] == [1]
        assert [c["answer"] is None for c in result["candidates"]] == [
            *[False],
            *[True] * 4,
        ]
        assert {row["answer"] for row in result["table"]} == {result["answer"]}
        [note] = result["degradations"]
        assert note == (
            "4 of 5 turns are invalid and did not vote, for example: "
            "tool 'add': argument 'x' is missing"
        )


def test_without_a_valid_turn_the_best_one_is_given_as_it_is() -> None:
    worse = call("subtract", x=1)
    prm = TurnPrm({BROKEN: 0.5, worse: 0.4})
    result = search("best_of_n", worse, BROKEN, worse, prm=prm)
    assert result["text"] == BROKEN
    assert result["answer"] is None
    assert result["votes"] == []
    [note] = result["degradations"]
    assert note == (
        "no valid turn (of 3), the best one is given as it is; what is wrong, for "
        "example: there is no tool 'subtract'; the tools are: 'add', 'find'"
    )
    alone = search("greedy", BROKEN)
    assert alone["text"] == BROKEN
    assert "no valid turn (of 1), the best" in alone["degradations"][0]


def test_cut_and_lost_turns_never_vote() -> None:
    result = search("majority_vote", (ONE, "length"), (ONE, "length"), None, TWO)
    assert result["text"] == TWO
    assert [c["status"] for c in result["candidates"]] == [
        "finished",
        "truncated",
        "truncated",
    ]
    [note] = result["degradations"]
    assert note.startswith("1 of 4 samples failed")
    cut = search("majority_vote", (ONE, "length"), (BROKEN, "length"))
    assert (cut["answer"], cut["votes"], cut["stop_reason"]) == (None, [], "length")
    assert cut["text"] in {ONE, BROKEN}


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def test_an_answer_by_a_schema_may_be_composed_of_several() -> None:
    answers = [
        '{"name": "Ada", "age": 35}',
        '{"name": "Ida", "age": 36}',
        '```json\n{"name": "Ada", "age": 37}\n```',
        '{"name": "Eve", "age": 36}',
    ]
    by_field = rule(schema=PERSON, vote="by_field")
    result = search("majority_vote", *answers, turn=by_field, tools=[])
    assert json.loads(result["text"]) == {"name": "Ada", "age": 36}
    assert result["answer"] == '{"age": 36, "name": "Ada"}'
    assert result["text"] not in {c["text"] for c in result["candidates"]}
    assert '{"name": "Ada", "age": 37}' in {c["text"] for c in result["candidates"]}
    most = [row["answer"] for row in result["votes"] if row["count"] == 2]
    assert most == ['name: "Ada"', "age: 36"]
    [note] = result["degradations"]
    assert note.startswith("the turn is composed of several candidates")
    assert result["table"][0]["answer"] == result["answer"]


def test_a_fence_around_json_is_taken_off() -> None:
    fenced = '```json\n{"name": "Ada", "age": 36}\n```'
    result = search("greedy", fenced, turn=rule(schema=PERSON), tools=[])
    assert result["text"] == '{"name": "Ada", "age": 36}'
    assert result["tree"][0]["text"] == fenced


@pytest.mark.parametrize(
    ("turns", "taken", "winner"),
    [
        # Three of five cannot be overtaken.
        ([ONE] * 5, 3, ONE),
        # Invalid turns neither settle the vote nor win it. The last turn could only
        # draw level with the first valid one.
        ([BROKEN, BROKEN, BROKEN, ONE, TWO], 4, ONE),
        # Two calls of five are certain only when the third text does not come.
        ([ONE, "a", ONE, "b", ONE], 5, ONE),
        # Three texts make the kind certain, but not which of them.
        (["a", "b", "c", ONE, "b"], 5, "b"),
    ],
)
def test_a_vote_is_ended_when_all_its_levels_are_certain(
    turns: list[str], taken: int, winner: str
) -> None:
    result = search("majority_vote", *turns, early_stop="certain")
    assert result["spent"]["samples"] == taken
    assert result["text"] == winner
    whole = search("majority_vote", *turns)
    assert whole["text"] == winner


def test_as_many_turns_are_sampled_at_once_as_could_settle_all_levels() -> None:
    context = context_of("a", "b", "c", "d", "a", "a", ONE, ONE, early_stop="certain")
    result = solve(asked(), strategy="majority_vote", context=context, seed=5)
    policy = cast("TurnPolicy", context.policy)
    # Four texts settle the kind; of the next four turns two could settle which text.
    assert [request["n"] for [request] in policy.calls] == [4, 2]
    assert (result["text"], result["stop_reason"]) == ("a", "certain")


def test_a_vote_is_ended_when_it_is_confident_of_all_its_levels() -> None:
    result = search("majority_vote", ONE, budget=64, early_stop="confident")
    assert result["stop_reason"] == "confident"
    assert result["spent"]["samples"] == 4
    assert result["text"] == ONE


@settings(deadline=None)
@given(
    made=st.lists(MADE, min_size=1, max_size=7),
    count=st.sampled_from(["whole", "by_name", "by_field"]),
    vote=st.sampled_from(VOTES),
    rng=st.randoms(use_true_random=False),
)
def test_a_search_decides_as_the_pure_functions_do(
    made: list[Any], count: Any, vote: Vote, rng: Any
) -> None:
    turns = [write(one, rng).text for one in made]
    turn = rule(vote=count, ignored=["y"])
    scores = {text: rng.choice([0.1, 0.5, 0.9]) for text in turns}
    prm = TurnPrm(scores)
    result = search("best_of_n", *turns, prm=prm, vote=vote, turn=turn)
    finals = [
        FinalCandidate(
            id=place,
            text=text.strip(),
            answer=None,
            # An empty turn is not read.
            step_scores=[scores[text]] if text else [],
            score=scores[text] if text else None,
            logprob=-1.0,
            status="finished",
        )
        for place, text in enumerate(turns)
    ]
    voters = Turns.of(finals, asked(), turn)
    decision = voters.decide(vote)
    assert result["votes"] == decision.rows
    assert result["table"] == voters.table()
    assert result["degradations"] == list(decision.notes)
    if decision.winner is None:
        assert result["answer"] is None
        assert result["text"] in {turn.strip() for turn in turns}
    else:
        chosen = voters.finals[decision.winner]
        assert result["text"] == (decision.text or chosen["text"])
        assert result["answer"] == (decision.answer or chosen["answer"])
        assert result["candidates"][0]["id"] == decision.winner


@pytest.mark.parametrize(
    "strategy", [name for name, one in STRATEGIES.items() if not one.turns]
)
def test_a_strategy_that_searches_steps_refuses_turns(strategy: str) -> None:
    context = context_of(ONE, prm=TurnPrm({}))
    with pytest.raises(
        WholeTurnsError, match="that can are 'greedy', 'majority_vote', 'best_of_n'"
    ):
        solve(asked(), strategy=strategy, context=context)


def test_a_policy_that_takes_no_turns_is_refused() -> None:
    policy = TreePolicy(random_language(1))
    context = SearchContext(policy=policy, prm=None, vote="majority", turn=rule())
    with pytest.raises(NoToolsError, match="'tree' can neither call tools nor"):
        solve(asked(), strategy="majority_vote", context=context)


def test_a_tool_may_have_nothing_to_say() -> None:
    history: list[Any] = [
        *asked(),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"name": "add", "arguments": {"x": 1}, "id": "1"}],
        },
        {"role": "tool", "content": "", "tool_call_id": "1"},
    ]
    context = context_of("Done.")
    assert solve(history, strategy="greedy", context=context)["text"] == "Done."
    with pytest.raises(QuestionError):
        solve([{"role": "user", "content": " "}], strategy="greedy", context=context)


HARD = [
    raw('{"name": "add", "arguments": {"x": ' + "[" * 10_000),
    raw('{"name": "add", "arguments": {"x": ' + "[" * 5000 + "]" * 5000 + "}}"),
    raw(json.dumps({"name": "add", "arguments": {"x": [*range(20_000)]}})),
    raw('{"name": "add", "arguments": {"x": NaN}}'),
    raw('{"name": "add", "arguments": {"x": 1e400}}'),
    raw('{"name": "add", "arguments": {"x": "\\ud800"}}'),
    raw('{"name": "add", "arguments": {"x": "\\u0000 Ωmega 😀"}}'),
    raw('{"name": "add", "arguments": {"x": 1, "x": 2}}'),
    raw('{"name": "' + "é" * 500 + '", "arguments": {}}'),
    "<tool_call>" * 1000,
]


@pytest.mark.parametrize("count", ["whole", "by_name", "by_field"])
async def test_what_models_may_write_ends_no_search(count: Any) -> None:
    context = context_of(*HARD, turn=rule(vote=count))
    result = await asolve(asked(), strategy="majority_vote", context=context, seed=1)
    json.dumps(result).encode()
    assert result["answer"] is not None
    valid = [c["answer"] for c in result["candidates"] if c["answer"] is not None]
    assert len(valid) == 3
    assert '[{"name": "add", "arguments": {"x": 2}}]' in valid
    assert len(result["degradations"][0]) < 200


def test_searches_share_a_check_in_many_threads() -> None:
    found = []

    def run() -> None:
        found.append(search("majority_vote", ONE, TWO, TWO)["text"])

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [TWO] * 8


def test_sync_and_async_searches_are_the_same() -> None:
    context = context_of(ONE, TWO, BROKEN, "a", TWO, early_stop="certain")
    again = context_of(ONE, TWO, BROKEN, "a", TWO, early_stop="certain")
    one = solve(asked(), strategy="majority_vote", context=context, seed=1)
    two = asyncio.run(asolve(asked(), strategy="majority_vote", context=again, seed=1))
    assert one["votes"] == two["votes"]
    assert one["text"] == two["text"] == TWO


SAVED = """
import warnings
from langgraph.checkpoint.memory import InMemorySaver
from langchain_tts.strategies import get_strategy
from tests.unit_tests.strategies.test_turns import BROKEN, ONE, ROME, TWO, context_of
from tests.unit_tests.turn_models import TurnPrm, asked

warnings.simplefilter("error")
for name in ("greedy", "majority_vote", "best_of_n"):
    prm = None if name != "best_of_n" else TurnPrm(lambda text: len(text) / 1000)
    context = context_of(BROKEN, ONE, ROME, TWO, ROME, prm=prm, early_stop="certain")
    saver = InMemorySaver()
    thread = {"configurable": {"thread_id": name}}
    state = {"messages": asked(), "seed": 5}
    while True:
        graph = get_strategy(name).build().compile(
            checkpointer=saver, interrupt_before="*"
        )
        graph.invoke(state, thread, context=context, durability="sync")
        state = None
        saved = graph.get_state(thread)
        if not saved.next:
            print(name, saved.values["result"]["text"] in {ROME, BROKEN})
            break
"""


def test_searches_for_turns_are_saved_and_resumed_strictly_and_without_a_warning() -> (
    None
):
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", SAVED],
        cwd=ROOT,
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.stdout.split() == [
        word
        for name in ("greedy", "majority_vote", "best_of_n")
        for word in (name, "True")
    ]


def test_the_saved_state_is_plain_json() -> None:
    context = context_of(BROKEN, ONE, ONE)
    graph = get_strategy("majority_vote").build().compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke(cast("Any", {"messages": asked(), "seed": 5}), thread, context=context)
    values = graph.get_state(thread).values
    assert json.loads(json.dumps(values)) == values


def test_a_broken_schema_of_a_tool_ends_no_search() -> None:
    odd = tool("odd")
    odd["function"]["parameters"] = {"$ref": "https://example.org/schema.json"}
    result = search("majority_vote", call("odd", a=1), "Hello", BROKEN, tools=[odd])
    assert result["text"] == call("odd", a=1)
    unchecked, invalid = result["degradations"]
    assert unchecked.startswith("arguments of tool 'odd' were not checked")
    assert invalid.startswith("1 of 3 turns are invalid")
