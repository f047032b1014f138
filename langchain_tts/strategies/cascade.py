"""Cascade: policies of growing size, each asked only where those before it are unsure.

The idea of Online Cascade Learning (Nie et al. 2024, arXiv 2402.04513), with thresholds
that stay as they are while it serves: what is learned there online is chosen here
beforehand, on questions with known answers (`langchain-tts calibrate-cascade`).

1. Share N evenly over the policies, the first ones get one sample more. So N is what a
   question costs at most, and a policy for which nothing is left is never asked.
2. Sample whole answers of the first policy, and score their steps: a best-of-N of its
   own, with the same samples and scores.
3. How sure is it of the answer that it would give? Its confidence is the best
   trajectory score with that answer. Without a verifier it is the share of its samples
   that give it; a file of thresholds may ask for either, or for the mean of both.
4. At or above its threshold (`defer_below`) that is the answer. Below it repeat from 2
   with the next policy, up to the last.
5. Vote among the answers of the last policy that gave any. A larger policy was asked
   because the answers of those before it were not trusted, so these are pruned, and do
   not vote with it: as soon as it has an answer, and not before. Where it is lost, or
   the budget has no room for it, the answer of the policy before it stands.

    START -> propose -> score -> judge -> propose ... -> aggregate -> END

`propose` runs again before `score` only where a ceiling on tokens or FLOPs did not let
all samples of a policy run in one call.

Cost: at most N samples, each at its own policy's size; a question that the first of S
policies answers costs N / S samples of the smallest one. The verifier reads each
distinct prefix of a policy once. An implicit verifier compares with the policy's own
log-probabilities, so the same text of two policies is read and scored twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START

from langchain_tts.answers import answer_classes
from langchain_tts.budget import Budget
from langchain_tts.search.cascade import Asked, Trust, confidence
from langchain_tts.search.select import finished, roots
from langchain_tts.search.state import Candidate, Outcome, change, path
from langchain_tts.search.ties import reaches
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._calls import Node, Phase, Steps, Work, node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._outcome import (
    POLICY_LOST,
    conclude,
    final_candidates,
    lost_verifier,
)
from langchain_tts.strategies._proposal import QuestionError
from langchain_tts.strategies._sampling import missing, plan
from langchain_tts.strategies._setting import (
    Setting,
    bind,
    refuse_turns,
    runtime_context,
)
from langchain_tts.strategies._stages import (
    alone,
    at_stage,
    is_last,
    joined,
    named,
    own,
    policies,
    sizes,
    stage_of,
    stage_size,
)
from langchain_tts.strategies._thresholds import check_rule, rule_of
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of a cascade."""
    graph = state_machine()
    graph.add_node("propose", _prepared(node(_propose, "votes", "propose")))
    score = partial(_of_stage, _nodes.scoring)
    graph.add_node("score", node(score, "votes", "score"))
    graph.add_node("judge", node(_judge, "votes", "judge"))
    graph.add_node("aggregate", node(_aggregate, "votes", "aggregate"))
    graph.add_edge(START, "propose")
    graph.add_conditional_edges(
        "propose", _sampled, {"propose": "propose", "done": "score"}
    )
    graph.add_edge("score", "judge")
    graph.add_conditional_edges(
        "judge", _judged, {"defer": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)
    return graph


def _prepared(propose: Node) -> Node:
    """Load all models before the first sample: what is wrong with one is told then."""

    def prepare(state: SearchState) -> None:
        context = runtime_context(state)
        refuse_turns(context)
        if state.get("tree"):
            return
        check_rule(context)
        for stage in range(len(sizes(context))):
            bind(at_stage(context, stage), "votes")

    def run(state: SearchState, config: RunnableConfig) -> SearchState:
        prepare(state)
        return propose.invoke(state, config)

    async def arun(state: SearchState, config: RunnableConfig) -> SearchState:
        await asyncio.to_thread(prepare, state)
        return await propose.ainvoke(state, config)

    return Node(run, arun, "propose")


def _of_stage(phase: Phase, state: SearchState, setting: Setting) -> Steps:
    """A phase of best-of-N, for the policy that is asked now alone."""
    samples = stage_size(state, setting.context)
    part = replace(setting, budget=replace(setting.budget, samples=samples))
    update = phase(alone(state), part)
    if isinstance(update, Generator):
        update = yield from update
    return joined(state, update)


def _propose(state: SearchState, setting: Setting) -> Steps:
    """Sample; a policy may be lost without an error while another one can answer."""
    answered = bool(finished(state.get("tree", [])))
    spare = answered or not is_last(state, setting.context)
    phase = _nodes.proposing(plan, by_step=False, first_place=0 if spare else None)
    try:
        update = yield from _of_stage(phase, state, setting)
    except QuestionError as error:
        if not answered:
            raise
        return {"degradations": [str(error)], "stop_reason": POLICY_LOST}
    if not is_last(state, setting.context) and update.get("stop_reason") == POLICY_LOST:
        del update["stop_reason"]
    return update


def _sampled(state: SearchState) -> Literal["propose", "done"]:
    """Whether the policy has given all its samples, or something ended the search."""
    samples = stage_size(state, runtime_context(state))
    if state.get("stop_reason") or not missing(alone(state), Budget(samples)):
        return "done"
    return "propose"


def _judge(state: SearchState, setting: Setting) -> Steps:
    """Tell how sure the policy is, and whether the next one is to be asked."""
    # A file is read, and comparing answers may take a computer algebra system's time.
    rule = yield Work(partial(rule_of, setting.context))
    sure = yield Work(partial(_confidence, state, setting, rule.trust))
    stage = stage_of(state)
    enough = rule.defer_below[stage : stage + 1]
    unsure = sure is None or not all(reaches(sure, one) for one in enough)
    ended = is_last(state, setting.context) or bool(state.get("stop_reason"))
    before = [one for one in state.get("stages", []) if one["deferred"]]
    asked = Asked(
        policy=named(setting.policy),
        confidence=sure,
        deferred=unsure and not ended,
        candidates=len(state.get("tree", [])),
    )
    update: SearchState = {"stages": [*before, asked]}
    if _replaces(state, asked):
        update["tree"] = _given_up(state)
    if not asked["deferred"]:
        notes = _notes(state, setting, asked, unsure=unsure)
        update["degradations"] = [*rule.notes, *notes]
    return update


def _confidence(state: SearchState, setting: Setting, trust: Trust) -> float | None:
    tree = alone(state).get("tree", [])
    lost = setting.prm is None or lost_verifier(state)
    vote = "majority" if lost else setting.context.vote
    finals = final_candidates(tree, setting.context.score)
    classes = answer_classes([final["answer"] for final in finals])
    return confidence(finals, classes, len(roots(tree)), vote, trust)


def _replaces(state: SearchState, asked: Asked) -> bool:
    """Whether a policy's answers take the place of those before them."""
    if asked["confidence"] is not None:
        return True
    known = [one["confidence"] for one in state.get("stages", []) if one["deferred"]]
    written = finished(alone(state).get("tree", []))
    return bool(written) and not any(sure is not None for sure in known)


def _given_up(state: SearchState) -> list[Candidate]:
    """What the policies before have written, as it is not trusted."""
    present = set(own(state))
    return [
        change(candidate["id"], status="pruned")
        for candidate in state.get("tree", [])
        if candidate["id"] not in present
        and candidate["status"] in {"finished", "truncated"}
    ]


def _notes(
    state: SearchState, setting: Setting, asked: Asked, *, unsure: bool
) -> list[str]:
    """What a user should know about where a cascade ended."""
    known = policies(setting.context)
    if len(known) == 1:
        return [f"no policy is larger than {asked['policy']!r}: name some as `cascade`"]
    stage, name = stage_of(state), repr(asked["policy"])
    limit = state.get("stop_reason")
    if stage and not _replaces(state, asked):
        why = f": {limit} are used up" if limit and limit != POLICY_LOST else ""
        return [f"{name} was to answer and did not{why}; a smaller policy answered"]
    if unsure and stage + 1 < len(known):
        larger = repr(named(known[stage + 1]))
        return [
            f"{name} was unsure, and no {limit or 'samples'} were left for {larger}"
        ]
    return []


def _judged(state: SearchState) -> Literal["defer", "done"]:
    """Whether the next policy is asked."""
    stages = state.get("stages", [])
    return "defer" if stages and stages[-1]["deferred"] else "done"


def _aggregate(state: SearchState, setting: Setting) -> Steps:
    """Vote, and tell who was asked."""
    # Comparing answers may take a computer algebra system's time.
    result, notes = yield Work(partial(conclude, "cascade", state, setting))
    result["route"] = _route(state, result)
    return {
        "result": result,
        "degradations": notes,
        "stop_reason": result["stop_reason"],
    }


def _route(state: SearchState, result: Outcome) -> dict[str, Any]:
    """Which policies were asked, how sure they were, and who gave the answer."""
    stages = state.get("stages", [])
    answered: str | None = None
    for final in result["candidates"][:1]:
        first = path(state["tree"], final["id"])[0]["id"]
        # An answer that was written by hand afterwards is the last policy's.
        owners = [one for one in stages if first < one["candidates"]] or stages[-1:]
        if final["status"] == "finished":
            answered = next((one["policy"] for one in owners), None)
    return {
        "policies": [one["policy"] for one in stages],
        "confidences": [one["confidence"] for one in stages],
        "deferred": [one["deferred"] for one in stages],
        "answered_by": answered,
    }
