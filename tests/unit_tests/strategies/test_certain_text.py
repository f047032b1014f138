"""What is streamed of an answer before it is chosen, on random trees and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from langchain_tts import TTSChatModel
from langchain_tts._chat.certain import certain_text
from langchain_tts.strategies import STRATEGIES, get_strategy
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies.run import Superstep, watch
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Language,
    Prefix,
    TreePolicy,
    TreePrm,
)
from tests.unit_tests.strategies.cases import LIMITED, Case
from tests.unit_tests.strategies.clocks import Clock, ClockedPolicy, ClockedPrm

if TYPE_CHECKING:
    from langchain_tts.search.state import Candidate
    from langchain_tts.strategies.state import SearchState

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)

STOPS = st.sampled_from([None, None, ["b"], ["a\n\n", "ob"], ["\\boxed{2"], ["so a"]])

ONWARD = {"beam_search", "dvts", "lookahead", "particle_filter"}
WHOLE = {"greedy", "majority_vote", "best_of_n", "revision"}


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


def alike(language: Language) -> Language:
    """The language with steps that all begin alike."""

    def begun(prefix: Prefix) -> Sequence[Continuation]:
        bare = tuple(text.removeprefix("so ") for text in prefix)
        return [c._replace(text=f"so {c.text}" * bool(c.text)) for c in language(bare)]

    return begun


@dataclass(frozen=True)
class Trouble:
    """What goes wrong in a search."""

    prm_calls: int | None
    """After so many calls the verifier is lost."""
    policy_calls: int | None
    """After so many calls the policy is lost."""
    seconds: float | None
    """The time limit, of which a token takes a hundredth second."""


TROUBLES = st.builds(
    Trouble,
    prm_calls=st.sampled_from([None, None, 0, 1, 3]),
    policy_calls=st.sampled_from([None, None, None, 2, 4]),
    seconds=st.sampled_from([None, None, 0.1, 0.5, 2.0]),
)


def failing(after: int | None) -> list[Exception | None]:
    if after is None:
        return []
    return [*[None] * after, *[RuntimeError("gone")] * 99]


def models(case: Case, trouble: Trouble, clock: Clock) -> tuple[TreePolicy, TreePrm]:
    plain = case.policy()
    policy, prm = plain, TreePrm()
    if trouble.seconds is not None:
        policy = ClockedPolicy(plain.language, clock, 0.01)
        prm = ClockedPrm(clock, 0.01)
    policy.language = alike(plain.language)
    policy.broken = plain.broken
    policy.errors = failing(trouble.policy_calls)
    prm.errors = failing(trouble.prm_calls)
    return policy, prm


def supersteps(strategy: str, case: Case, trouble: Trouble) -> list[Superstep]:
    """A search as it is watched; what there was of it if its policy was lost."""
    clock, seen = Clock(), list[Superstep]()
    policy, prm = models(case, trouble, clock)
    case = replace(case, budget=replace(case.budget, seconds=trouble.seconds))
    context = replace(case.context(policy, prm), lockstep=None)
    with pytest.MonkeyPatch.context() as patch:
        clock.install(patch)
        try:
            run = watch(QUESTION, context=context, strategy=strategy, seed=case.seed)
            seen += run
        except PolicyFailedError:
            assert case.lost or trouble.policy_calls is not None
    return seen


# An independent account of what is certain


def text_of(tree: Sequence[Candidate], last: int | None) -> str:
    steps: list[str] = []
    while last is not None:
        steps.insert(0, tree[last]["text"])
        last = tree[last]["parent"]
    return "\n\n".join(steps).strip()


def may_win(strategy: str, seen: Sequence[Superstep], budget: int) -> list[int] | None:
    """Who may become the answer after what was seen; None: anybody, also new ones."""
    state = seen[-1].state
    tree = state.get("tree", [])
    over = bool(state.get("stop_reason"))
    strategy = going_on_with(strategy, state)
    if strategy in WHOLE:
        over = over or sum(c["parent"] is None for c in tree) >= budget
        if not over:
            return None
    elif strategy not in ONWARD:
        return None
    judged = seen[-1].node in {"select", "aggregate"} or strategy in WHOLE
    new = [] if judged else state.get("proposed", [])
    finals = [c["id"] for c in tree if c["status"] == "finished"]
    if set(finals) - set(new):
        growing = new or (state.get("frontier", []) if judged else [])
        live = {i for i in growing if tree[i]["status"] == "active"}
        return [*finals, *([] if over else live)]
    unfinished = [c for c in tree if c["status"] in {"active", "truncated"}]
    ends = [c["id"] for c in unfinished if not any(goes_on(c, d) for d in tree)]
    return [*finals, *ends]


def going_on_with(strategy: str, state: SearchState) -> str:
    """The strategy that is asked now: of a search that chooses, the chosen one."""
    if strategy != "compute_optimal":
        return strategy
    if not state.get("route", {}).get("taken"):
        return "best_of_n" if state.get("stop_reason") else "none yet"
    begun = len(state["tree"]) > state.get("given", {"candidates": -1})["candidates"]
    return state["route"]["strategy"] if begun else "none yet"


def goes_on(step: Candidate, following: Candidate) -> bool:
    lost = following["status"] in {"failed", "rollout"}
    words = following["text"].strip()
    return following["parent"] == step["id"] and bool(words) and not lost


def start_of_all(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    lengths = range(len(texts[0]), -1, -1)
    return next(
        texts[0][:n] for n in lengths if all(t.startswith(texts[0][:n]) for t in texts)
    )


def certain(strategy: str, state: SearchState, budget: int) -> str:
    kind = get_strategy(strategy).certainty
    return certain_text(state, kind, budget, None)


@every_strategy
@examples(40)
@given(LIMITED, TROUBLES)
def test_certain_text_is_what_all_that_can_win_start_with(
    strategy: str, case: Case, trouble: Trouble
) -> None:
    seen = supersteps(strategy, case, trouble)
    known = ""
    for place, superstep in enumerate(seen):
        text = certain(strategy, superstep.state, case.budget.samples)
        assert text.startswith(known)
        known = text
        if "result" in superstep.state:
            assert text == superstep.state["result"]["text"]
            continue
        ids = may_win(strategy, seen[: place + 1], case.budget.samples)
        tree = superstep.state.get("tree", [])
        assert text == start_of_all([text_of(tree, i) for i in ids or []])


@every_strategy
@examples(20)
@given(LIMITED, TROUBLES, STOPS)
def test_the_chunks_of_a_stream_are_the_answer(
    strategy: str, case: Case, trouble: Trouble, stop: list[str] | None
) -> None:
    def model(clock: Clock) -> TTSChatModel:
        policy, prm = models(case, trouble, clock)
        # Side by side, other calls of DVTS would fail or come too late.
        parameters = {**case.parameters, "lockstep": True}
        own = {
            k: parameters.pop(k) for k in TTSChatModel.model_fields if k in parameters
        }
        return TTSChatModel(
            policy=policy,
            prm=prm,
            strategy=strategy,
            budget=replace(case.budget, seconds=trouble.seconds),
            seed=case.seed,
            stop=stop,
            parameters=parameters,
            **own,
        )

    question = [HumanMessage(QUESTION[0]["content"])]
    texts = []
    for calls in (True, False):
        clock = Clock()
        with pytest.MonkeyPatch.context() as patch:
            clock.install(patch)
            try:
                if calls:
                    texts.append(str(model(clock).invoke(question).text))
                else:
                    chunks = model(clock).stream(question)
                    texts.append("".join(chunk.text for chunk in chunks))
            except PolicyFailedError:
                return
    assert texts[0] == texts[1]
