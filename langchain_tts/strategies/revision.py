"""Revision: chains of answers, each written with the latest ones before it in view.

Snell et al. 2024 (section 6).

1. Share N over max(1, sqrt(N / ratio)) chains, rounded and at most N, where the ratio
   (`sequential_to_parallel`) is that of a chain's length to the number of chains; where
   N is not divisible the first chains get one answer more.
2. Sample the next answer of every chain. The policy reads the question and the chain's
   latest 4 answers, each followed by a request to revise it: the words that a policy
   was trained with, or an instruction for any other (`Policy.revise_prompt`). Answers
   that were cut or lost are not shown. Where the context window has no room for another
   answer the oldest ones are left out.
3. Go on with 2 until every chain has its length.
4. Score every step of every answer with the verifier, once.
5. Choose. A revision may turn a right answer into a wrong one, so the last answer is
   not simply taken. With a verifier the vote is held inside each chain, and again among
   the best trajectories with the winning answers of the chains (`search.vote.decide`).
   Without one, or with `vote="majority"`, all answers of all chains are counted.

    START -> propose -> propose ... -> score -> aggregate -> END

Cost: N samples, in as many calls as a chain is long. The verifier reads each distinct
prefix of them once.
"""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START

from langchain_tts.budget import Budget
from langchain_tts.search.revise import chain_lengths
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._calls import Steps, node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._revisions import Revisions
from langchain_tts.strategies._setting import (
    Setting,
    refuse_turns,
    runtime_context,
)
from langchain_tts.strategies._tries import generate
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of revision."""
    graph = state_machine()
    graph.add_node("propose", node(_propose, "votes", "propose"))
    graph.add_node("score", _nodes.score("votes"))
    graph.add_node("aggregate", _nodes.aggregate("revision", "votes"))
    graph.add_edge(START, "propose")
    graph.add_conditional_edges(
        "propose", _next, {"propose": "propose", "done": "score"}
    )
    graph.add_edge("score", "aggregate")
    graph.add_edge("aggregate", END)
    return graph


def _lengths(context: SearchContext) -> list[int]:
    samples = Budget.parse(context.budget).samples
    return chain_lengths(samples, context.sequential_to_parallel)


def _propose(state: SearchState, setting: Setting) -> Steps:
    refuse_turns(setting.context)
    revisions = Revisions.of(state, setting, _lengths(setting.context))
    if not revisions.fitted.expansions:
        return revisions.refused()
    requests = revisions.requests()
    generated = yield from generate(requests, setting, revisions.spent)
    return revisions.absorb(generated)


def _next(state: SearchState) -> Literal["propose", "done"]:
    complete = [len(answers) for answers in state.get("chains", [])]
    done = state.get("stop_reason") or complete == _lengths(runtime_context(state))
    return "done" if done else "propose"
