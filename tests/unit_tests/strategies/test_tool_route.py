"""The tool route with scripted policies: what is asked, run, charged and counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langchain_tts.budget import Budget
from langchain_tts.policies.base import GenerationRequest
from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.search.state import Message, SearchResult, ToolCall
from langchain_tts.search.turns import tools_of, write_turn
from langchain_tts.strategies import _tool_routes
from langchain_tts.strategies._tool_chats import constraints_in
from langchain_tts.strategies.context import SearchContext, SearchContextError
from langchain_tts.strategies.run import asolve, solve, watch
from tests.unit_tests.counting import CountingPolicy
from tests.unit_tests.fakes import QUESTION
from tests.unit_tests.scripted import ScriptedPolicy
from tests.unit_tests.tiny_tools import save_tool_model

Script = Callable[[GenerationRequest, int], str]

RIGHT = "(declare-const answer Int)(assert (= answer (* 6 7)))"
TWO = "(declare-const answer Int)(assert (= (* answer answer) 4))"


def calls(*expressions: str) -> str:
    made = [
        ToolCall(name="calculator", arguments={"expression": one})
        for one in expressions
    ]
    return write_turn("", made)


def calculating(request: GenerationRequest, _seed: int) -> str:
    """Two turns of calls, then the last result."""
    said = [one["content"] for one in request["messages"] if one["role"] == "tool"]
    if not said:
        return calls("6*7", "2-1")
    return calls(f"{said[0]}-0") if len(said) == 2 else rf"It is \boxed{{{said[-1]}}}"


def reasoning(_request: GenerationRequest, seed: int) -> str:
    return rf"I guess \boxed{{{seed % 1000}}}"


def saying(text: str) -> Script:
    return lambda _request, _seed: text


def solving(_request: GenerationRequest, _seed: int) -> str:
    return RIGHT


def models(
    reason: Script = reasoning,
    calculate: Script | None = calculating,
    constraints: Script | None = solving,
) -> dict[str, Any]:
    found = {"policy": ScriptedPolicy(reason, "words")}
    if calculate is not None:
        found["tool_policy"] = ScriptedPolicy(calculate, "tools")
        found["tool_policy"].num_parameters = 10
    if constraints is not None:
        found["solver_policy"] = ScriptedPolicy(constraints, "solver")
        found["solver_policy"].num_parameters = 100
    return found


def search(
    policies: dict[str, Any],
    budget: Budget | int = 8,
    messages: list[Message] = QUESTION,
    **parameters: Any,
) -> SearchResult:
    context = SearchContext(
        **policies,
        prm=None,
        budget=Budget.parse(budget),
        **parameters,
    )
    return solve(messages, strategy="tool_route", context=context, seed=3)


def embedded(
    monkeypatch: pytest.MonkeyPatch, name: str, **scripts: Script
) -> dict[str, ScriptedPolicy]:
    """A policy that is known by its name, and those of its tools."""
    policies = models(**scripts)
    policies["policy"].name = name
    tools = {
        "calculate": policies.pop("tool_policy"),
        "solve": policies.pop("solver_policy"),
    }
    monkeypatch.setattr(_tool_routes, "_EMBEDDED_TOOLS", tools)
    return policies


def test_each_route_gets_a_share_and_agreement_takes_the_rest() -> None:
    result = search(models())
    assert result["answer"] == "42"
    assert result["route"] == {
        "route": "solve",
        "why": "solve and calculate found the same answer",
        "open": ["solve", "calculate", "reason"],
        "samples": {"solve": 4, "calculate": 2, "reason": 2},
        "verdicts": {"unique": 4},
    }
    assert [row["count"] for row in result["votes"]] == [6, 1, 1]
    assert result["degradations"] == []


def test_the_best_route_of_an_embedded_policy_takes_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = search(embedded(monkeypatch, "tinymath"))
    assert result["answer"] == "42"
    assert result["route"] == {
        "route": "solve",
        "why": "it was measured to be the best open one, and found an answer",
        "open": ["solve", "calculate", "reason"],
        "samples": {"solve": 8},
        "verdicts": {"unique": 8},
    }


@pytest.mark.parametrize(
    ("name", "second"), [("tinymath", "calculate"), ("tinymath-large", "reason")]
)
def test_the_next_best_route_comes_where_the_best_finds_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, second: str
) -> None:
    policies = embedded(monkeypatch, name, constraints=saying(TWO))
    route = search(policies)["route"]
    assert route["route"] == second
    assert route["why"] == "no route that was measured to be better found an answer"
    assert route["samples"] == {"solve": 4, second: 4}
    assert route["verdicts"] == {"ambiguous": 4}


def test_ranked_routes_that_find_nothing_share_by_halves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mute = saying("No idea.")
    scripts = {"reason": mute, "calculate": mute, "constraints": mute}
    result = search(embedded(monkeypatch, "tinymath", **scripts))
    assert result["answer"] is None
    assert result["route"]["route"] == "reason"
    assert result["route"]["samples"] == {"solve": 4, "calculate": 2, "reason": 2}


def test_what_was_measured_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = embedded(monkeypatch, "tinymath")
    route = search(policies, route="compare")["route"]
    assert route["samples"] == {"solve": 4, "calculate": 2, "reason": 2}
    assert route["why"] == "solve and calculate found the same answer"


def test_a_route_whose_policy_cannot_read_the_question_is_left_out() -> None:
    policies = models()
    policies["solver_policy"].context_window = 1
    result = search(policies)
    assert result["route"]["open"] == ["calculate", "reason"]
    assert result["route"]["samples"] == {"calculate": 6, "reason": 2}
    assert result["degradations"][0].startswith("the route 'solve' is not tried: the")
    alone = search(policies, route="solve")
    assert alone["route"]["samples"] == {"reason": 8}
    assert alone["degradations"][1].startswith("chain of thought instead of 'solve': ")


def test_constraints_and_the_solvers_answer_are_the_steps_of_a_candidate() -> None:
    result = search(models(), route="solve", budget=1)
    constraints, verdict = result["tree"]
    assert (constraints["text"], constraints["status"]) == (RIGHT, "active")
    assert (verdict["text"], verdict["status"]) == (r"Answer: \boxed{42}", "finished")
    assert (verdict["parent"], verdict["token_ids"]) == (0, [])
    assert result["text"] == RIGHT + "\n\n" + r"Answer: \boxed{42}"


def test_a_calculation_is_a_conversation_with_the_tool() -> None:
    policies = models()
    result = search(policies, route="calculate", budget=1)
    assert result["answer"] == "42"
    assert [step["text"] for step in result["tree"]] == [
        calls("6*7", "2-1"),
        "<tool_response>42</tool_response>\n<tool_response>1</tool_response>",
        calls("42-0"),
        "<tool_response>42</tool_response>",
        r"It is \boxed{42}",
    ]
    first, _, last = (one["messages"] for one in policies["tool_policy"].requests)
    assert [tool["function"]["name"] for tool in tools_of(first)] == ["calculator"]
    assert first[0]["content"].startswith("Solve the problem step by step. Call")
    assert [message["role"] for message in last] == [
        *("system", "user"),
        *("assistant", "tool", "tool"),
        *("assistant", "tool"),
    ]
    made = [call.get("id") for m in last for call in m.get("tool_calls", [])]
    assert made == [m["tool_call_id"] for m in last if m["role"] == "tool"]
    assert len(set(made)) == 3


def test_only_what_a_policy_wrote_is_charged_at_its_own_size() -> None:
    policies = models()
    result = search(policies, budget=5)
    generated = Counter[str]()
    for name, one in policies.items():
        for request in one.requests:
            for seed in request["seeds"]:
                generated[name] += len(one.script(request, seed).split())
    spent = result["spent"]
    assert spent["generated_tokens"] == generated.total()
    assert spent["samples"] == 5
    assert spent["policy_calls"] == 1 + 3 + 1 + 1
    prompts = {
        name: sum(one.count_prompt_tokens(r["messages"]) for r in one.requests)
        for name, one in policies.items()
    }
    assert spent["prompt_tokens"] == sum(prompts.values())
    sizes = {"policy": 1000, "tool_policy": 10, "solver_policy": 100}
    assert spent["policy_flops"] == sum(
        2 * size * (generated[name] + prompts[name]) for name, size in sizes.items()
    )


def test_without_any_answer_chain_of_thought_gets_the_rest_and_says_so() -> None:
    result = search(models(saying(r"\boxed{5}"), None, saying(TWO)), route="solve")
    assert result["answer"] == "5"
    assert result["route"]["samples"] == {"solve": 4, "reason": 4}
    assert result["degradations"] == [
        "chain of thought instead of 'solve': no route that was tried found an answer",
        "4 of 4 sets of constraints gave no answer and did not vote: ambiguous 4",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("No idea.", "syntax"),
        (rf"{TWO} \boxed{{7}}", "syntax"),
        (TWO, "ambiguous"),
        ("(declare-const answer Int)(assert (< 1 answer 2))", "unsat"),
    ],
)
def test_constraints_without_one_answer_do_not_vote(text: str, kind: str) -> None:
    result = search(models(saying(r"\boxed{5}"), None, saying(text)), budget=2)
    assert result["route"]["verdicts"] == {kind: 1}
    assert [(row["answer"], row["count"]) for row in result["votes"]] == [("5", 1)]
    last = next(c for c in result["tree"] if c["status"] == "failed")
    assert last["text"].startswith(f"The solver found no answer: {kind}")


def test_a_broken_call_ends_its_sample_and_a_wrong_one_is_answered() -> None:
    def script(request: GenerationRequest, seed: int) -> str:
        last = request["messages"][-1]
        if last["role"] != "tool":
            broken = '<tool_call>\n{"name": "calculator", 1\n</tool_call>'
            return broken if seed % 2 else write_turn("", [wrong])
        return rf"The tool said {last['content']}: \boxed{{1}}"

    wrong = ToolCall(name="search", arguments={"query": "6*7"})
    result = search(models(calculate=script, constraints=None), 9, route="calculate")
    ends = Counter(c["status"] for c in result["tree"])
    assert ends["failed"]
    told = [c["text"] for c in result["candidates"]]
    assert any("there is no tool 'search'" in text for text in told)
    assert result["answer"] is not None


def test_a_calculation_that_never_ends_is_cut() -> None:
    endless = models(calculate=lambda *_: calls("1+1"), constraints=None)
    result = search(endless, 1, route="calculate", max_rounds=3)
    assert [c["status"] for c in result["candidates"]] == ["truncated"]
    assert len(endless["tool_policy"].requests) == 3
    assert result["answer"] is None


@pytest.mark.parametrize("tokens", [1, 5, 12, 40])
def test_the_limit_on_tokens_is_one_for_all_routes(tokens: int) -> None:
    class Obedient(ScriptedPolicy):
        def _generation(self, request: GenerationRequest) -> Any:
            generation = super()._generation(request)
            for sample in generation["samples"]:
                [step] = sample["steps"]
                if len(step["token_ids"]) > request["max_tokens"]:
                    del step["token_ids"][request["max_tokens"] :]
                    sample["finish_reason"] = "length"
            return generation

    scripts = models()
    policies: dict[str, Any] = {k: Obedient(p.script) for k, p in scripts.items()}
    result = search(policies, Budget(samples=8, tokens=tokens))
    assert result["spent"].get("generated_tokens", 0) <= tokens
    assert result["stop_reason"] == "tokens" or result["answer"]


def test_a_policy_that_only_reasons_reasons() -> None:
    policy = CountingPolicy()
    context = SearchContext(policy=policy, prm=None, budget=Budget(8))
    result = solve(QUESTION, strategy="tool_route", context=context, seed=3)
    assert result["route"]["open"] == ["reason"]
    assert result["route"]["samples"] == {"reason": 8}
    assert len(policy.requests) == 1
    assert result["degradations"] == []


def test_a_route_that_nobody_can_take_is_not_tried() -> None:
    result = search(models(calculate=None, constraints=None), route="solve")
    assert result["route"]["samples"] == {"reason": 8}
    [note] = result["degradations"]
    assert note == (
        "the route 'solve' is not open, policy 'words' is no model that is known to "
        "follow a prompt; name one with solver_policy"
    )


def test_without_z3_the_solver_route_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tool_routes, "has_solver", lambda: False)
    result = search(models())
    assert result["route"]["open"] == ["calculate", "reason"]
    assert result["degradations"] == [_tool_routes.SOLVER_OFF]


def test_a_tool_policy_must_call_tools() -> None:
    policies: dict[str, Any] = {"policy": CountingPolicy()}
    policies["tool_policy"] = CountingPolicy(name="mute")
    with pytest.raises(SearchContextError, match="'mute' cannot call tools"):
        search(policies)


def test_an_instruct_model_is_asked_by_prompts_after_the_users_own() -> None:
    def script(request: GenerationRequest, seed: int) -> str:
        system = request["messages"][0]["content"]
        if "SMT" in system:
            return f"Here:\n```smt\n{RIGHT}\n```\nThat is all."
        return calculating(request, seed) if "turn" in request else r"\boxed{1}"

    policy = ScriptedPolicy(script)
    policy.follows_prompts = True
    messages = [Message(role="system", content="Be brief."), *QUESTION]
    result = search({"policy": policy}, 4, messages)
    assert result["answer"] == "42"
    systems = [request["messages"][0]["content"] for request in policy.requests]
    assert all(text.startswith("Be brief.") for text in systems)
    assert systems.count("Be brief.") == 1
    assert sum("declare-const" in text for text in systems) == 2


def test_constraints_are_the_last_block_of_an_answer() -> None:
    assert constraints_in("(a)") == "(a)"
    assert constraints_in("x\n```smt2\n(a)\n```\n```\n(b)\n```\ny") == "(b)\n"


def test_a_tool_policy_that_is_lost_leaves_the_other_routes() -> None:
    def lost(_request: GenerationRequest, _seed: int) -> str:
        raise OSError("gone")  # noqa: EM101

    result = search(models(calculate=lost), max_retries=0)
    assert result["answer"] == "42"
    assert result["stop_reason"] == "finished"
    assert "OSError: gone" in result["degradations"][0]


def test_async_and_watched_searches_are_the_same() -> None:
    def timeless(result: Any) -> Any:
        return {
            **result,
            "seconds": 0,
            "spent": {**result["spent"], "seconds": 0},
            "tree": None,
        }

    def context() -> SearchContext:
        return SearchContext(**models(), prm=None, budget=Budget(8))

    whole = search(models(), 8)
    later = asyncio.run(
        asolve(QUESTION, strategy="tool_route", context=context(), seed=3)
    )
    *steps, last = watch(QUESTION, strategy="tool_route", context=context(), seed=3)
    assert timeless(later) == timeless(whole)
    assert timeless(last.state["result"]) == timeless(whole)
    nodes = [step.node for step in steps]
    assert nodes == [
        *("", "propose", "calculate", "calculate", "solve", "choose"),
        *("propose", "calculate", "solve", "choose"),
    ]
    assert later["tree"] == last.state["tree"] == whole["tree"]


def test_an_unknown_route_is_refused() -> None:
    with pytest.raises(SearchContextError, match="route is 'guess'; it is one of auto"):
        search(models(), route="guess")


def test_a_random_checkpoint_of_an_instruct_family_takes_all_routes(
    tmp_path: Path,
) -> None:
    policy = TransformersPolicy(str(save_tool_model(tmp_path)), family="qwen2.5")
    assert policy.follows_prompts
    policy.solve_prompt = "Write SMT-LIB."
    policy.calculate_prompt = ""
    context = SearchContext(
        policy=policy, prm=None, budget=Budget(4), max_tokens=12, max_rounds=2
    )
    result = solve(QUESTION, strategy="tool_route", context=context, seed=3)
    assert result["route"]["open"] == ["solve", "calculate", "reason"]
    assert result["spent"]["samples"] == 4
