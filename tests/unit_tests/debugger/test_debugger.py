"""`SearchDebugger`: going on and back, editing, forking."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_tts.budget import Budget
from langchain_tts.debugger import DebuggerError, SearchDebugger
from langchain_tts.search.state import SearchResult, path
from langchain_tts.strategies import STRATEGIES
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies.run import solve
from tests.unit_tests.debugger.conftest import Start, context
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)


def timeless(result: SearchResult) -> dict[str, Any]:
    """A result without what depends on the clock or on how calls were put together."""
    return {k: v for k, v in result.items() if k not in {"seconds", "spent"}}


def until(debugger: SearchDebugger, node: str, turn: int = 0) -> None:
    """Step until `node` is next, in a round not before `turn`."""
    while debugger.next != node or debugger.state.get("round", 0) < turn:
        assert debugger.step() is not None


def ids(debugger: SearchDebugger, status: str) -> list[int]:
    return [c["id"] for c in debugger.tree if c["status"] == status]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stepping_to_the_end_is_the_search_itself(strategy: str, start: Start) -> None:
    debugger = start(strategy)
    nodes = []
    while (node := debugger.step()) is not None:
        nodes.append(node)
    assert debugger.next is None
    assert debugger.step() is None
    found = debugger.result
    assert found is not None
    plain = solve(QUESTION, strategy=strategy, context=context(), seed=7)
    assert timeless(found) == timeless(plain)
    if strategy != "dvts":  # Its subtrees are not searched in lockstep by `solve`.
        costs = [{**r["spent"], "seconds": 0} for r in (found, plain)]
        assert costs[0] == costs[1]
    assert [point.did for point in debugger.history] == ["start", *nodes]
    assert nodes[0] == "propose"
    assert nodes[-1] == "aggregate"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_going_back_and_on_again_finds_the_same(strategy: str, start: Start) -> None:
    debugger = start(strategy)
    first = debugger.run()
    history = debugger.history
    for point in history[:: 1 + len(history) // 6]:
        debugger.back(point.number)
        assert len(debugger.history) == point.number + 1
        assert debugger.result is None or point.did == "aggregate"
        assert timeless(debugger.run()) == timeless(first)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_score_can_be_changed_everywhere_and_the_next_node_stays_next(
    strategy: str, start: Start
) -> None:
    debugger = start(strategy)
    debugger.step()
    while debugger.next is not None:
        node, spent = debugger.next, debugger.spent
        debugger.rescore(0, 0.25)
        assert debugger.tree[0]["score"] == 0.25
        assert (debugger.next, debugger.spent) == (node, spent)
        debugger.step()
    debugger.rescore(0, 0.75)
    assert debugger.result is None
    assert debugger.session.here.next == "aggregate"
    again = debugger.run()
    assert again["tree"][0]["score"] == 0.75


def test_going_back_runs_nothing_and_costs_nothing(start: Start) -> None:
    policy = TreePolicy(random_language(3))
    debugger = start(policy=policy)
    until(debugger, "propose", 2)
    calls, spent = len(policy.calls), debugger.spent
    point = debugger.back()
    assert (point.did, debugger.next) == ("score", "select")
    debugger.step()
    assert (debugger.next, len(policy.calls)) == ("propose", calls)
    assert debugger.spent["generated_tokens"] == spent["generated_tokens"]
    debugger.back(0)
    assert (debugger.tree, debugger.spent) == ([], {})
    for wrong in (None, -1, 99):
        with pytest.raises(DebuggerError, match="the points are 0 to 0"):
            debugger.back(wrong)


def test_a_score_that_is_changed_before_select_decides_who_is_kept(
    start: Start,
) -> None:
    debugger = start(beam_width=4)
    until(debugger, "select")
    worst = min(ids(debugger, "active"), key=lambda i: debugger.tree[i]["score"] or 0)
    debugger.rescore(worst, 1.0)
    debugger.step()
    assert debugger.state["frontier"][0] == worst


def test_a_kept_candidate_is_continued_in_the_next_round(start: Start) -> None:
    debugger = start()
    until(debugger, "propose", 1)
    kept = ids(debugger, "pruned")[-1]
    debugger.keep(kept)
    assert debugger.next == "propose"
    assert debugger.state["frontier"][-1] == kept
    debugger.step()
    assert kept in {c["parent"] for c in debugger.tree}


def test_a_pruned_candidate_is_not_continued(start: Start) -> None:
    debugger = start()
    until(debugger, "propose", 1)
    gone, stays = debugger.state["frontier"]
    debugger.prune(gone)
    result = debugger.run()
    parents = {c["parent"] for c in result["tree"]}
    assert gone not in parents
    assert stays in parents


@pytest.mark.parametrize(
    "strategy", ["beam_search", "dvts", "particle_filter", "lookahead"]
)
def test_a_search_of_which_all_was_pruned_ends_with_what_it_has(
    strategy: str, start: Start
) -> None:
    debugger = start(strategy)
    until(debugger, "propose", 1)
    for i in list(dict.fromkeys(debugger.state["frontier"])):
        debugger.prune(i)
    size = len(debugger.tree)
    result = debugger.run()
    assert len(result["tree"]) == size


@pytest.mark.parametrize("strategy", ["best_first", "levin", "mcts"])
def test_a_tree_search_goes_elsewhere_when_its_step_is_pruned(
    strategy: str, start: Start
) -> None:
    debugger = start(strategy)
    until(debugger, "propose", 1)
    [gone] = debugger.state["frontier"]
    spent = debugger.spent
    debugger.prune(gone)
    assert (debugger.next, debugger.spent) == ("select", spent)
    debugger.step()
    [other] = debugger.state["frontier"]
    assert other != gone
    assert debugger.spent.get("samples", 0) == spent.get("samples", 0)


def test_an_answer_that_is_pruned_at_the_end_no_longer_votes(start: Start) -> None:
    debugger = start("best_of_n")
    before = debugger.run()
    winner = before["candidates"][0]["id"]
    debugger.prune(winner)
    assert debugger.next == "aggregate"
    after = debugger.run()
    assert winner not in {c["id"] for c in after["candidates"]}
    assert after["candidates"][0]["id"] == before["candidates"][1]["id"]
    assert after["degradations"] == []
    debugger.keep(winner)
    assert timeless(debugger.run()) == timeless(before)


def test_an_edit_at_the_end_can_be_taken_back(start: Start) -> None:
    debugger = start()
    before = debugger.run()
    debugger.prune(before["candidates"][0]["id"])
    debugger.back()
    assert debugger.result == before
    assert debugger.history[-1].did == "aggregate"


def test_a_step_that_is_kept_at_the_end_makes_the_search_go_on(start: Start) -> None:
    # One beam, whose place is free: the other first step was cut by hand.
    debugger = start(budget=2, beam_width=2)
    debugger.run()
    final, *_ = ids(debugger, "finished")
    pruned, *_ = ids(debugger, "pruned")
    debugger.prune(final)
    debugger.keep(pruned)
    assert debugger.next == "propose"
    debugger.run()


def language(prefix: Prefix) -> list[Continuation]:
    """Two steps, then an answer that tells what the first step was."""
    if len(prefix) == 2:
        return [Continuation(rf"\boxed{{{len(prefix[0])}}}", 1.0, ends=True)]
    return [Continuation("a", 0.5), Continuation("bb", 0.5)]


def test_a_rewritten_step_is_what_the_policy_goes_on_from(start: Start) -> None:
    policy, prm = TreePolicy(language), TreePrm()
    debugger = start(budget=4, beam_width=4, policy=policy, prm=prm)
    until(debugger, "propose", 1)
    [beam] = debugger.state["frontier"]
    spent = debugger.spent
    debugger.rewrite(beam, "seven ch")
    step = debugger.tree[beam]
    assert step["text"] == "seven ch"
    assert step["token_ids"] == [*map(ord, "seven ch"), 10]
    # Known to the fake language is "a" and "bb" only.
    assert step["logprob"] == pytest.approx(-6.9078, abs=1e-3)
    assert step["score"] == prm.score(("seven ch",))
    question = len(QUESTION[0]["content"])
    before: dict[str, Any] = {**spent}
    after: dict[str, Any] = {**debugger.spent}
    read = ("policy_calls", "prompt_tokens", "prm_calls", "prm_tokens")
    assert {key: after[key] - before[key] for key in read} == {
        "policy_calls": 1,
        "prompt_tokens": question + 9,
        "prm_calls": 1,
        "prm_tokens": question + 9,
    }
    flops = debugger.spent["policy_flops"] - spent["policy_flops"]
    assert flops == 2 * 100 * (question + 9)
    result = debugger.run()
    assert result["answer"] == "8"
    assert prm.scored.count(("seven ch",)) == 1


def test_a_rewritten_answer_votes_as_it_stands(start: Start) -> None:
    debugger = start(budget=4, policy=TreePolicy(language), vote="majority")
    before = debugger.run()
    assert before["answer"] in {"1", "2"}
    for final in before["candidates"]:
        debugger.rewrite(final["id"], r"\boxed{11}")
    assert debugger.next == "aggregate"
    after = debugger.run()
    assert after["answer"] == "11"
    assert all(final["score"] is not None for final in after["candidates"])


@pytest.mark.parametrize("strategy", ["beam_search", "best_of_n", "lookahead"])
def test_a_step_that_is_rewritten_before_score_is_scored_by_that(
    strategy: str, start: Start
) -> None:
    prm = TreePrm()
    debugger = start(strategy, prm=prm)
    until(debugger, "score")
    last = debugger.tree[-1]["id"]
    while debugger.tree[last]["status"] == "rollout":
        last = debugger.tree[last]["parent"] or 0
    calls = len(prm.calls)
    debugger.rewrite(last, "by hand")
    assert (debugger.tree[last]["score"], len(prm.calls)) == (None, calls)
    until(debugger, "score")
    debugger.step()
    assert debugger.tree[last]["score"] is not None


def test_what_was_continued_from_a_rewritten_step_is_pruned(start: Start) -> None:
    debugger = start()
    until(debugger, "propose", 2)
    parent = debugger.tree[debugger.state["frontier"][0]]["parent"]
    assert parent is not None
    debugger.rewrite(parent, "anew")
    below = [c for c in debugger.tree if c["parent"] == parent]
    assert {c["status"] for c in below} == {"pruned"}
    assert parent in debugger.state["frontier"]
    debugger.step()
    fresh = [c for c in debugger.tree[len(below) :] if c["parent"] == parent]
    assert any(c["status"] != "pruned" for c in fresh)
    assert path(debugger.tree, fresh[-1]["id"])[-2]["text"] == "anew"


def test_a_step_without_text_or_with_two_steps_is_refused(start: Start) -> None:
    debugger = start()
    debugger.step()
    for text, why in ((" \n\n ", "is empty"), ("a\n\nb", "has an empty line")):
        with pytest.raises(DebuggerError, match=why):
            debugger.rewrite(0, text)


def test_a_step_by_hand_does_not_pass_a_ceiling(start: Start) -> None:
    # A first step of 3 characters: (14 + 4) x 2 x 150 = 5400 for each.
    debugger = start(budget=Budget(1, flops=7000), policy=TreePolicy(language))
    debugger.step()
    with pytest.raises(DebuggerError, match=r"FLOPs, but .* are left of the budget"):
        debugger.rewrite(0, "abc")
    short = start(policy=TreePolicy(language, context_window=40))
    short.step()
    with pytest.raises(DebuggerError, match="the policy reads at most 40"):
        short.rewrite(0, "x" * 30)


def test_branches_go_their_own_ways(start: Start) -> None:
    debugger = start()
    until(debugger, "propose", 1)
    gone = debugger.state["frontier"][0]
    debugger.fork("other")
    assert (debugger.branches(), debugger.branch) == (["main", "other"], "other")
    debugger.prune(gone)
    other = debugger.run()
    debugger.switch("main")
    assert debugger.next == "propose"
    assert debugger.tree[gone]["status"] == "active"
    plain = solve(QUESTION, context=context(), seed=7)
    assert timeless(debugger.run()) == timeless(plain)
    debugger.switch("other")
    assert debugger.result == other


def test_branches_may_take_turns(start: Start) -> None:
    debugger = start()
    until(debugger, "score")
    debugger.fork("other")
    results = {}
    for _ in range(40):
        for branch in ("main", "other"):
            debugger.switch(branch)
            debugger.step()
            results[branch] = debugger.result
    assert results["main"] is not None
    assert results["other"] is not None
    assert timeless(results["main"]) == timeless(results["other"])


def test_a_comparison_tells_where_branches_parted_and_what_came_of_them(
    start: Start,
) -> None:
    debugger = start()
    until(debugger, "propose", 1)
    gone = debugger.state["frontier"][0]
    debugger.fork("other")
    debugger.prune(gone)
    pruned = debugger.run()
    debugger.switch("main")
    found = debugger.compare("main", "other")
    assert (found.parted.did, found.parted.number, found.parted.round) == (
        "select",
        3,
        1,
    )
    assert (found.a.next, found.a.answer) == ("propose", None)
    assert (found.b.next, found.b.answer) == (None, pruned["answer"])
    assert found.b.votes == pruned["votes"]
    assert found.tree.only_a == []
    assert found.tree.only_b == list(range(8, len(pruned["tree"])))
    changed = {change.a: dict(change.fields) for change in found.tree.changed}
    assert changed[gone] == {"status": ("active", "pruned")}
    text = str(found)
    assert text.startswith("parted after select (point 3, round 1)\n")
    assert f"status of #{gone}" in text


def test_names_of_branches_are_checked(start: Start) -> None:
    debugger = start()
    for name, why in (("main", "there is one already"), (" ", "it is empty")):
        with pytest.raises(DebuggerError, match=why):
            debugger.fork(name)
    for call in (debugger.switch, debugger.summary):
        with pytest.raises(DebuggerError, match="no branch 'x'; the branches are main"):
            call("x")


def test_a_step_that_fails_can_be_tried_again(start: Start) -> None:
    broken = [RuntimeError("engine down")] * 3
    policy = TreePolicy(random_language(3, depth=5), errors=broken)
    debugger = start(policy=policy)
    with pytest.raises(PolicyFailedError, match="engine down"):
        debugger.step()
    assert (debugger.next, debugger.tree) == ("propose", [])
    plain = solve(QUESTION, context=context(), seed=7)
    assert timeless(debugger.run()) == timeless(plain)


async def test_it_runs_inside_a_running_loop(start: Start) -> None:
    assert start().run()["answer"] is not None


def test_a_seed_is_drawn_once() -> None:
    with SearchDebugger(QUESTION, context=context()) as debugger:
        first = debugger.run()
        debugger.back(0)
        assert timeless(debugger.run()) == timeless(first)
        assert first["seed"] == debugger.setup.seed


def test_it_tells_where_it_stands(start: Start) -> None:
    debugger = start(name="mine")
    assert repr(debugger) == (
        "<SearchDebugger 'mine': beam_search, branch 'main', 0 candidates, "
        "next propose>"
    )
