"""What a step that was written by hand costs: the policy reads it, the verifier too."""

from __future__ import annotations

from typing import cast

from langgraph.graph import END, START, StateGraph

from langchain_tts.budget import Spent
from langchain_tts.debugger._edits import chosen
from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.policies.base import STEP_DELIMITER, Step
from langchain_tts.search.state import change, path
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._registry import VerifierUse
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchState


def read(
    state: SearchState, candidate_id: int, text: str, setting: Setting, *, ends: bool
) -> tuple[Step, Spent]:
    """Let the policy read a step in the place of a candidate's.

    Returns:
        The step, and what reading it costs: all tokens before it and its own, since
        whether they are cached cannot be told.

    Raises:
        DebuggerError: If the step is empty or two steps, or if reading and scoring it
            would exceed the budget.
    """
    parts = [part for part in text.split(STEP_DELIMITER) if part.strip()]
    if len(parts) != 1:
        wrong = "is empty" if not parts else "has an empty line, where a step ends"
        msg = f"the step {wrong}; write the text of one step"
        raise DebuggerError(msg)
    parent = chosen(state, candidate_id)["parent"]
    steps = [] if parent is None else path(state["tree"], parent)
    prefix = [token for step in steps for token in step["token_ids"]]
    policy = setting.policy
    step = policy.read_step(state["messages"], prefix, parts[0], ends=ends)
    tokens = policy.count_prompt_tokens(state["messages"]) + len(prefix)
    tokens += len(step["token_ids"])
    _check(tokens, state, setting)
    flops = 2.0 * policy.num_parameters * tokens
    return step, Spent(policy_calls=1, prompt_tokens=tokens, policy_flops=flops)


def _check(tokens: int, state: SearchState, setting: Setting) -> None:
    """Refuse what would exceed a ceiling.

    Raises:
        DebuggerError: If it would.
    """
    if tokens > setting.policy.context_window:
        msg = (
            f"with this step the answer has {tokens} tokens, but the policy reads at "
            f"most {setting.policy.context_window}; write a shorter step"
        )
        raise DebuggerError(msg)
    ledger = setting.ledger(state.get("spent", {}))
    cost = 2.0 * (ledger.policy_parameters + ledger.prm_parameters) * tokens
    limit = ledger.budget.flops
    if limit is not None and ledger.flops + cost > limit:
        msg = (
            f"reading and scoring the step takes {cost:.3g} FLOPs, but "
            f"{limit - ledger.flops:.3g} are left of the budget; give a larger one"
        )
        raise DebuggerError(msg)


def scored(
    state: SearchState, candidate_id: int, verifier: VerifierUse, setting: Setting
) -> SearchState:
    """Score a candidate that has no score, by the node that scores in every strategy.

    Returns:
        The update of the search; an empty one where there is nothing to score.
    """
    candidate = state["tree"][candidate_id]
    live = candidate["status"] in {"active", "finished"}
    if candidate["score"] is not None or not live or verifier == "none":
        return {}
    steps = path(state["tree"], candidate_id)
    alone: SearchState = {
        **state,
        "tree": [
            {**step, "id": place, "parent": place - 1 if place else None}
            for place, step in enumerate(steps)
        ],
    }
    update = _score(alone, verifier, setting.context)
    records = [
        change(steps[record["id"]]["id"], score=record["score"])
        for record in update.get("tree", [])
    ]
    return {**update, "tree": records}


def _score(
    state: SearchState, verifier: VerifierUse, context: SearchContext
) -> SearchState:
    graph = StateGraph(SearchState, SearchContext)
    graph.add_node("score", _nodes.score(verifier))
    graph.add_edge(START, "score")
    graph.add_edge("score", END)
    compiled = graph.compile(checkpointer=False)
    updates = compiled.stream(state, context=context, stream_mode="updates")
    return cast("SearchState", next(iter(updates))["score"])
