"""The nodes that all strategies share: propose, score, select, aggregate.

A strategy says only which candidates get how many children (its plan) and which of
the proposed ones are kept (its choice); both are pure functions of the state.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from langchain_tts.budget import Spent
from langchain_tts.search.select import Selection
from langchain_tts.search.state import change
from langchain_tts.strategies._admission import Expansion, within
from langchain_tts.strategies._calls import (
    Node,
    Phase,
    Steps,
    Work,
    node,
)
from langchain_tts.strategies._given import own_finals, own_samples
from langchain_tts.strategies._outcome import (
    PRM_LOST,
    conclude,
    finals_of,
    good_enough,
    lost_verifier,
)
from langchain_tts.strategies._proposal import Proposal, describe
from langchain_tts.strategies._registry import VerifierUse
from langchain_tts.strategies._scoring import Scoring
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._tries import generate, verify
from langchain_tts.strategies.state import SearchState

Plan = Callable[[SearchState, Setting], list[Expansion]]
"""Which candidates get how many children, best first."""

Choose = Callable[[SearchState, Setting], Selection]
"""Which of the proposed candidates are expanded next."""

Price = Callable[[Setting], int]
"""How many samples of the budget a final candidate stands for."""


Rounds = Callable[[Setting], int]
"""How many rounds there may be."""


def one_sample(_setting: Setting) -> int:
    """Every final candidate is one of N."""
    return 1


def one_a_step(setting: Setting) -> int:
    """Every round makes all answers longer by one step."""
    return setting.context.max_rounds


def propose(plan: Plan, *, verifier: VerifierUse) -> Node:
    """Make the node that samples next steps: one batched policy call for all parents.

    Args:
        plan: Which candidates get how many children.
        verifier: What the strategy uses a verifier for.
    """
    return node(proposing(plan, by_step=True), verifier, "propose")


def proposing(
    plan: Plan,
    *,
    by_step: bool,
    temperature: float | None = None,
    first_place: int | None = None,
) -> Callable[[SearchState, Setting], Steps]:
    """The logic of sampling, for a whole tree or for a subtree (`Proposal`).

    Args:
        plan: Which candidates get how many children.
        by_step: One step a sample (True), or the whole rest of the answer.
        temperature: Of sampling; None takes the context's.
        first_place: As in `Proposal`.
    """

    def phase(state: SearchState, setting: Setting) -> Steps:
        wanted = plan(state, setting)
        if by_step:
            taken = max(own_samples(state), len(own_finals(state)))
            wanted = within(wanted, setting.budget.samples - taken)
        proposal = Proposal(
            state,
            setting,
            wanted,
            by_step=by_step,
            temperature=(
                setting.context.temperature if temperature is None else temperature
            ),
            first_place=first_place,
        )
        if not proposal.fitted.expansions:
            return proposal.refused()
        requests = proposal.requests()
        generated = yield from generate(requests, setting, proposal.spent)
        return proposal.absorb(generated)

    return phase


def score(verifier: VerifierUse, scores: type[Scoring] = Scoring) -> Node:
    """Make the node that scores what has no score: one batched verifier call.

    A verifier that fails twice is lost: the search goes on without it, records that,
    and decides by majority.

    Args:
        verifier: What the strategy uses a verifier for.
        scores: What is read to score a candidate.
    """
    return node(partial(scoring, scores=scores), verifier, "score")


def scoring(
    state: SearchState, setting: Setting, scores: type[Scoring] = Scoring
) -> Steps:
    """The logic of `score`."""
    if setting.prm is None or lost_verifier(state):
        return {}
    unscored = scores(state["messages"], state.get("tree", []))
    requests = unscored.requests()
    if not requests:
        return {"tree": unscored.scored([])}
    spent = state.get("spent", Spent())
    if setting.ledger(spent).exhausted() == "seconds":
        return {"stop_reason": "seconds"}
    outcome = yield from verify(requests, setting.prm, setting, spent)
    if outcome.scores is None:
        loss = f"{PRM_LOST}, decided by majority: {describe(outcome.problem)}"
        return {"degradations": [loss], "spent": outcome.spent}
    cut = sum(answer["dropped_steps"] > 0 for answer in outcome.scores)
    note = f"the verifier could not read the first steps of {cut} candidates"
    return {
        "tree": unscored.scored(outcome.scores),
        "spent": outcome.spent,
        "degradations": [note] if cut else [],
    }


def select(
    choose: Choose,
    verifier: VerifierUse,
    price: Price = one_sample,
    rounds: Rounds = one_a_step,
) -> Node:
    """Make the node that keeps some of the proposed candidates and prunes the rest.

    Args:
        choose: Which candidates are kept.
        verifier: What the strategy uses a verifier for.
        price: How many samples of the budget a final candidate stands for.
        rounds: How many rounds there may be.
    """
    return node(selecting(choose, price, rounds), verifier, "select")


def selecting(
    choose: Choose, price: Price = one_sample, rounds: Rounds = one_a_step
) -> Phase:
    """The logic of `select`."""

    def phase(state: SearchState, setting: Setting) -> SearchState:
        if state.get("stop_reason") and not state.get("proposed"):
            # The budget refused the round: its beams stay as they are.
            return {}
        tree = state.get("tree", [])
        selection = choose(state, setting)
        turn = state.get("round", 0) + 1
        pruned = set(selection.pruned)
        final = [
            i
            for i in state.get("proposed", [])
            if tree[i]["status"] == "finished" and i not in pruned
        ]
        update: SearchState = {
            "frontier": selection.kept,
            "tree": [change(i, status="pruned") for i in selection.pruned],
            "round": turn,
            "spent": Spent(samples=len(final) * price(setting)),
        }
        update |= cast("SearchState", selection.memory)
        if selection.kept and turn >= rounds(setting):
            update["stop_reason"] = state.get("stop_reason") or "rounds"
        return update | _good(state, final, setting)

    return phase


def _good(state: SearchState, final: list[int], setting: Setting) -> SearchState:
    """End a search with an answer that is good enough."""
    stop_score = setting.context.stop_score
    if stop_score is None:
        return {}
    finals = finals_of(state["tree"], final, setting.context.score)
    return good_enough(state, finals, stop_score)


def aggregate(strategy: str, verifier: VerifierUse) -> Node:
    """Make the node that votes and puts the result together.

    Where the strategy is part of another search, that one votes.
    """

    def phase(state: SearchState, setting: Setting) -> SearchState | Steps:
        if state.get("route", {}).get("by", strategy) != strategy:
            return {}
        return vote(state, setting)

    def vote(state: SearchState, setting: Setting) -> Steps:
        # Comparing answers may take a computer algebra system's time.
        result, notes = yield Work(partial(conclude, strategy, state, setting))
        return {
            "result": result,
            "degradations": notes,
            "stop_reason": result["stop_reason"],
        }

    made = node(phase, verifier, "aggregate")
    made.votes = True
    return made
