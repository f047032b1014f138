"""The outcome of a search: final candidates, the vote over them, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_tts.answers import extract_answer
from langchain_tts.budget import Spent
from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.search.certain import leaves
from langchain_tts.search.select import finished
from langchain_tts.search.settle import SETTLED
from langchain_tts.search.state import (
    Candidate,
    FinalCandidate,
    Outcome,
    Score,
    Vote,
    path,
)
from langchain_tts.search.ties import reaches, score_key
from langchain_tts.search.vote import Decision, trajectory_score
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._given import given
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._texts import Texts
from langchain_tts.strategies.state import SearchState

if TYPE_CHECKING:
    from langchain_tts.strategies._turns import Turns

PRM_LOST = "the verifier was lost"
"""How the record of a lost verifier begins; it is not called again."""


POLICY_LOST = "policy"
"""Why a search stopped whose policy was lost; it is not called again either."""


def lost_verifier(state: SearchState) -> bool:
    """Whether the verifier failed for good in this search."""
    return any(line.startswith(PRM_LOST) for line in state.get("degradations", []))


def final_candidates(tree: Sequence[Candidate], score: Score) -> list[FinalCandidate]:
    """The complete and the cut trajectories, in the order in which they were sampled.

    A cut trajectory has no answer, so it cannot vote.
    """
    ended = [c["id"] for c in tree if c["status"] in {"finished", "truncated"}]
    return finals_of(tree, ended, score)


def _final(
    tree: Sequence[Candidate], candidate_id: int, score: Score
) -> FinalCandidate:
    steps = path(tree, candidate_id)
    text = whole_text(steps)
    scores = _prefix_scores(steps)
    known = [value for value in scores if value is not None]
    complete = known if len(known) == len(scores) else []
    status = tree[candidate_id]["status"]
    return FinalCandidate(
        id=candidate_id,
        text=text,
        answer=extract_answer(text) if status == "finished" else None,
        step_scores=complete,
        score=trajectory_score(complete, score),
        logprob=sum(step["logprob"] for step in steps),
        status=status,
    )


def _prefix_scores(steps: Sequence[Candidate]) -> list[float | None]:
    """The scores of the distinct prefixes.

    An empty step is the same prefix as the one before it. Its score counts: lookahead
    judges a step by where it leads, but an answer as it is.
    """
    scores: list[float | None] = []
    for step in steps:
        if step["text"].strip():
            scores.append(step["score"])
        elif scores and step["score"] is not None:
            scores[-1] = step["score"]
    return scores


def good_enough(
    state: SearchState, finals: Sequence[FinalCandidate], stop_score: float | None
) -> SearchState:
    """The update that ends a search with an answer whose last step is scored so high.

    Args:
        state: The state of the search.
        finals: Answers that it has found.
        stop_score: What is good enough; None: nothing is.

    Returns:
        An empty update where none of them is.
    """
    best = max(
        (
            one["step_scores"][-1]
            for one in finals
            if one["answer"] and one["step_scores"]
        ),
        default=-1.0,
    )
    if stop_score is None or not reaches(best, stop_score):
        return {}
    # The answer that ends the search is its answer.
    chosen = {**state.get("chosen", {}), "score": "last", "vote": "max"}
    return {"stop_reason": "scored", "chosen": chosen}


def finals_of(
    tree: Sequence[Candidate], ids: Sequence[int], score: Score
) -> list[FinalCandidate]:
    """The trajectories that end in some candidates."""
    return [_final(tree, candidate_id, score) for candidate_id in ids]


def whole_text(steps: Sequence[Candidate]) -> str:
    """The text of a trajectory."""
    return STEP_DELIMITER.join(step["text"] for step in steps).strip()


def conclude(
    strategy: str, state: SearchState, setting: Setting
) -> tuple[Outcome, list[str]]:
    """Vote, and put together what a search found.

    Returns:
        The outcome, and what to add to the record of degradations.

    Raises:
        PolicyFailedError: If the policy was lost before there was any answer.
    """
    tree = state.get("tree", [])
    if state.get("stop_reason") == POLICY_LOST and not finished(tree):
        raise PolicyFailedError(_no_answer(state, setting))
    of = voters(state, setting)
    vote, notes = _usable_vote(state, of.finals, setting)
    decision = of.decide(vote)
    notes += decision.notes
    spent = state.get("spent", Spent())
    ranked = _best_first(of.finals, decision, turns=setting.context.turn is not None)
    best = ranked[0] if ranked and ranked[0]["status"] == "finished" else None
    spent_of = given(state)["samples"]
    budget = replace(setting.budget, samples=setting.budget.samples + spent_of)
    result = Outcome(
        answer=None if best is None else decision.answer or best["answer"],
        text=_partial(tree) if best is None else decision.text or best["text"],
        strategy=strategy,
        budget=budget.to_dict(),
        spent=spent,
        seconds=spent.get("seconds", 0.0),
        stop_reason=_stop_reason(state, setting),
        seed=state["seed"],
        score=setting.context.score,
        vote=vote,
        candidates=ranked,
        votes=decision.rows,
        table=of.table(),
        degradations=[*state.get("degradations", []), *notes],
    )
    if "route" in state:
        left = budget.samples - spent.get("samples", 0)
        saved = max(0, left) if result["stop_reason"] in SETTLED else 0
        result["route"] = {**state["route"], "saved": {"samples": saved}}
    return result, notes


def tallies(state: SearchState, setting: Setting) -> list[list[int]]:
    """What a majority vote has to settle: it is settled when all of these are."""
    return voters(state, setting).tallies()


def voters(state: SearchState, setting: Setting) -> Texts | Turns:
    """The final candidates, with what is needed to vote over them."""
    finals = final_candidates(state.get("tree", []), setting.context.score)
    rule = setting.context.turn
    if rule is None:
        chains = _chains(state, finals)
        if chains is not None:
            finals = [
                {**final, "chain": chain}
                for final, chain in zip(finals, chains, strict=True)
            ]
        return Texts(finals, chains)
    # JSON schemas are not read where there are none.
    from langchain_tts.strategies._turns import Turns

    return Turns.of(finals, state["messages"], rule)


def _no_answer(state: SearchState, setting: Setting) -> str:
    happened = "; ".join(state.get("degradations", []))
    return (
        f"policy {setting.policy.name!r} failed before there was an answer: "
        f"{happened}; check that the model runs, then ask again"
    )


def _chains(state: SearchState, finals: Sequence[FinalCandidate]) -> list[int] | None:
    """The chain of each final candidate, where answers revise one another."""
    if "chains" not in state:
        return None
    tree = state["tree"]
    # By first steps: an answer that was ended earlier by hand is still of its chain.
    owners = {
        path(tree, last)[0]["id"]: chain
        for chain, answers in enumerate(state["chains"])
        for last in answers
    }
    return [owners[path(tree, final["id"])[0]["id"]] for final in finals]


def _usable_vote(
    state: SearchState, finals: Sequence[FinalCandidate], setting: Setting
) -> tuple[Vote, list[str]]:
    """The vote that was asked for, or majority where scores are missing."""
    vote = setting.context.vote
    if setting.unasked is not None and vote != "majority":
        note = f"verifier {setting.unasked!r} reads no tool calls: decided by majority"
        return "majority", [note]
    if setting.prm is None or vote == "majority":
        return "majority", []
    if lost_verifier(state):
        return "majority", []
    voters = [final for final in finals if final["answer"] is not None]
    unscored = sum(final["score"] is None for final in voters)
    if not unscored:
        return vote, []
    note = (
        f"{unscored} of {len(voters)} answers were not scored in time: "
        f"decided by majority instead of {vote!r}"
    )
    return "majority", [note]


def _best_first(
    finals: Sequence[FinalCandidate], decision: Decision, *, turns: bool
) -> list[FinalCandidate]:
    """The chosen candidate, the other complete ones by score, then the cut ones.

    Turns that cannot be used come after those that can.
    """
    chosen = None if decision.winner is None else finals[decision.winner]["id"]
    return sorted(
        finals,
        key=lambda final: (
            final["id"] != chosen,
            final["status"] != "finished",
            turns and final["answer"] is None,
            final["score"] is None,
            -score_key(final["score"] or 0.0),
            final["id"],
        ),
    )


def _partial(tree: Sequence[Candidate]) -> str:
    """The text of the most promising unfinished trajectory: best score, longest."""

    def promise(leaf: int) -> tuple[float, int, int]:
        steps = path(tree, leaf)
        scores = [step["score"] for step in steps if step["score"] is not None]
        score = score_key(scores[-1]) if scores else -1.0
        return (score, len(whole_text(steps)), -leaf)

    best = max(leaves(tree), key=promise, default=None)
    return "" if best is None else whole_text(path(tree, best))


def _stop_reason(state: SearchState, setting: Setting) -> str:
    """`finished`, or the limit that ended the search."""
    if reason := state.get("stop_reason"):
        return reason
    if finished(state.get("tree", [])):
        return "finished"
    return setting.ledger(state.get("spent", {})).exhausted() or "length"
