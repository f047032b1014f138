"""Cascades: who is asked, who answers, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from langchain_tts.budget import Budget
from langchain_tts.policies.base import Generation, GenerationRequest, Step
from langchain_tts.rewards.base import ScoreRequest, Scores
from langchain_tts.search.state import SearchResult, path
from langchain_tts.search.turns import TurnRule
from langchain_tts.strategies import get_strategy
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._setting import WholeTurnsError
from langchain_tts.strategies._stages import at_stage, policies, sizes
from langchain_tts.strategies.context import SearchContext, SearchContextError
from langchain_tts.strategies.run import asolve, solve
from tests.unit_tests.counting import STEP_END, CountingPolicy, KnowingPrm
from tests.unit_tests.fakes import QUESTION, TreePolicy, TreePrm, random_language
from tests.unit_tests.strategies.cases import without_time

PROMPT = 5
"""Words of the question, which are its tokens."""


class Saying(CountingPolicy):
    """Says the given answers in turn; each has 3 steps of 2 tokens.

    Args:
        name: As a real policy's.
        answers: Of the samples of a call, in order.
        size: Its parameters.
        broken: Whether every call raises.
    """

    def __init__(
        self,
        name: str,
        answers: Sequence[str],
        *,
        size: int = 1000,
        broken: bool = False,
    ) -> None:
        super().__init__(name=name)
        self.answers = answers
        self.num_parameters = size
        self.broken = broken

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        if self.broken:
            future: Future[list[Generation]] = Future()
            future.set_exception(RuntimeError("no power"))
            self.requests += requests
            return future
        return super().submit(requests)

    def _step(self, place: int, seed: int) -> Step:
        if place + 1 < self.steps:
            return super()._step(place, seed)
        number = self.requests[-1]["seeds"].index(seed)
        answer = self.answers[number % len(self.answers)]
        text = rf"Answer: \boxed{{{answer}}}"
        return Step(text=text, token_ids=[5, STEP_END], logprob=-0.5)


class Judging(KnowingPrm):
    """Scores 0.5, and the right answer 0.95."""

    def _scores(self, request: ScoreRequest) -> Scores:
        texts = request["steps"][-request["new"] :]
        scores = [0.95 if "{42}" in text else 0.5 for text in texts]
        return Scores(**{**super()._scores(request), "scores": scores})


SURE, UNSURE = ["42"], ["1", "2", "3", "4"]
"""What is scored 0.95, and what is scored 0.5."""


def small(answers: Sequence[str] = UNSURE, **options: Any) -> Saying:
    return Saying("small", answers, **options)


def large(answers: Sequence[str] = SURE, **options: Any) -> Saying:
    return Saying("large", answers, **{"size": 5000, **options})


def context_of(*models: Saying, budget: Any = 8, **parameters: Any) -> SearchContext:
    first, *larger = models
    return SearchContext(
        policy=first,
        cascade=tuple(larger),
        budget=Budget.parse(budget),
        **{"prm": Judging(), **parameters},
    )


def ask(*models: Saying, **parameters: Any) -> SearchResult:
    context = context_of(*models, **parameters)
    return solve(QUESTION, strategy="cascade", context=context, seed=7)


# Who is asked


def test_a_policy_that_is_sure_answers_and_no_larger_one_is_asked() -> None:
    first, second = small(SURE), large()
    result = ask(first, second)
    assert result["answer"] == "42"
    assert second.requests == []
    assert [request["n"] for request in first.requests] == [4]
    assert result["route"] == {
        "policies": ["small"],
        "confidences": [0.95],
        "deferred": [False],
        "answered_by": "small",
    }
    assert (result["stop_reason"], result["degradations"]) == ("finished", [])


def test_a_policy_that_is_unsure_passes_the_question_on() -> None:
    result = ask(small(UNSURE), large(SURE))
    assert result["answer"] == "42"
    assert result["route"] == {
        "policies": ["small", "large"],
        "confidences": [0.5, 0.95],
        "deferred": [True, False],
        "answered_by": "large",
    }
    assert result["degradations"] == []


@pytest.mark.parametrize(
    ("enough", "asked"), [(0.49, 1), (0.5, 1), (0.5 + 1e-7, 1), (0.51, 2)]
)
def test_below_the_threshold_and_only_there_a_question_is_deferred(
    enough: float, asked: int
) -> None:
    result = ask(small(), large(), defer_below=enough)
    assert len(result["route"]["policies"]) == asked


def test_the_middle_one_of_three_may_answer() -> None:
    last = Saying("huge", ["9"])
    result = ask(small(), large(SURE), last, budget=9)
    assert result["route"]["answered_by"] == "large"
    assert last.requests == []


def test_without_a_verifier_the_vote_share_is_the_confidence() -> None:
    first = small(["7", "7", "7", "8"])
    result = ask(first, large(), prm=None, vote="majority", defer_below=0.75)
    assert result["route"]["confidences"] == [0.75]
    assert result["answer"] == "7"


def test_only_the_answers_of_the_policy_that_answers_vote() -> None:
    # By a vote of all, 41 would win with 4 to 3.
    result = ask(
        small(["41", "41", "40", "39"]),
        large(["42", "42", "42", "41"]),
        vote="majority",
    )
    assert [(row["answer"], row["count"]) for row in result["votes"]] == [
        ("42", 3),
        ("41", 1),
    ]
    assert len(result["candidates"]) == 4
    ends = [c["status"] for c in result["tree"] if c["finish_reason"] == "stop"]
    assert ends == ["pruned"] * 4 + ["finished"] * 4


# What is shared over the policies


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (8, [3, 3, 2]), (16, [6, 5, 5])],
)
def test_n_is_shared_evenly_over_the_policies(
    samples: int, expected: list[int]
) -> None:
    context = context_of(small(), large(), large(), budget=samples)
    assert sizes(context) == expected


def test_a_policy_for_which_no_sample_is_left_is_not_asked_and_that_is_said() -> None:
    second = large()
    result = ask(small(), second, budget=1, defer_below=1.0)
    assert second.requests == []
    assert result["degradations"] == [
        "'small' was unsure, and no samples were left for 'large'"
    ]


def test_each_stage_is_the_best_of_n_of_its_policy() -> None:
    models = [TreePolicy(random_language(seed)) for seed in (1, 2, 3)]
    context = SearchContext(
        policy=models[0],
        prm=TreePrm(),
        cascade=(models[1], models[2]),
        budget=Budget(14),
        defer_below=1.0,
    )
    result = solve(QUESTION, strategy="cascade", context=context, seed=7)
    seen = 0
    for model, size in zip(models, [5, 5, 4], strict=True):
        alone = solve(
            QUESTION,
            strategy="best_of_n",
            context=replace(context, policy=model, budget=Budget(size)),
            seed=7,
        )["tree"]
        stage = result["tree"][seen : seen + len(alone)]
        for mine, theirs in zip(stage, alone, strict=True):
            for name in ("text", "seed", "score", "logprob", "depth", "token_ids"):
                assert mine[name] == theirs[name]
        seen += len(alone)
    assert seen == len(result["tree"])


def test_no_policy_reads_what_another_one_wrote() -> None:
    models = (small(), large(UNSURE), Saying("huge", UNSURE))
    ask(*models, budget=12)
    for model in models:
        assert [request["prefix"] for request in model.requests] == [[]]
        assert [request["messages"] for request in model.requests] == [QUESTION]


def test_equal_texts_of_two_policies_are_scored_for_each() -> None:
    prm = TreePrm()
    twin = TreePolicy(random_language(1))
    context = SearchContext(
        policy=TreePolicy(random_language(1)),
        cascade=(twin,),
        prm=prm,
        budget=Budget(8),
        defer_below=1.0,
    )
    solve(QUESTION, strategy="cascade", context=context, seed=7)
    half = len(prm.scored) // 2
    assert prm.scored[:half] == prm.scored[half:]


# Ceilings


def test_every_policy_is_charged_at_its_own_size() -> None:
    result = ask(small(UNSURE), large(SURE))
    # 4 samples of 6 tokens each, and the question once.
    tokens = PROMPT + 4 * 6
    assert result["spent"]["policy_flops"] == 2 * 1000 * tokens + 2 * 5000 * tokens
    assert result["spent"]["samples"] == 8
    # Two steps in common, and 4 answers; then 2 steps and 1 answer; 2 tokens each.
    assert result["spent"]["prm_tokens"] == 2 * 6 + 2 * 3
    assert result["spent"]["prm_flops"] == 2 * 500 * 18


def test_a_limit_on_flops_holds_over_all_policies() -> None:
    # Four small samples and their scores cost 58,000 and 12,000. That leaves 5 tokens
    # of 2 * (5000 + 500) each, which the question would take up.
    second = large(SURE)
    limit = Budget(samples=8, flops=132_000)
    result = ask(small(), second, budget=limit, max_tokens=6)
    assert result["spent"]["policy_flops"] + result["spent"]["prm_flops"] == 70_000
    assert result["route"]["answered_by"] == "small"
    assert result["stop_reason"] == "flops"
    assert second.requests == []
    [note] = result["degradations"]
    assert note == (
        "'large' was to answer and did not: flops are used up; "
        "a smaller policy answered"
    )


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    limits=st.builds(
        Budget,
        samples=st.integers(1, 12),
        tokens=st.none() | st.integers(1, 400),
        flops=st.none() | st.floats(3, 6).map(lambda exponent: 10**exponent),
    ),
    lost=st.sampled_from([0, 0, 3, 7]),
    enough=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 99),
)
def test_no_limit_is_passed_whoever_is_asked(
    limits: Budget, lost: int, enough: float, seed: int
) -> None:
    models = [
        TreePolicy(
            random_language(seed + i),
            broken=lambda one: lost > 0 and one % lost == 0,
        )
        for i in range(3)
    ]
    context = SearchContext(
        policy=models[0],
        cascade=(models[1], models[2]),
        prm=TreePrm(),
        budget=limits,
        defer_below=enough,
        max_tokens=60,
    )
    try:
        result = solve(QUESTION, strategy="cascade", context=context, seed=seed)
    except PolicyFailedError:
        assert lost
        return
    served = [sample for model in models for sample in model.served]
    roots = [c for c in result["tree"] if c["parent"] is None]
    assert len(roots) <= limits.samples
    written = sum(len(s["token_ids"]) for one in served for s in one["steps"])
    assert written == result["spent"].get("generated_tokens", 0)
    assert limits.tokens is None or written <= limits.tokens
    spent = result["spent"]
    used = spent.get("policy_flops", 0.0) + spent.get("prm_flops", 0.0)
    assert limits.flops is None or used <= limits.flops
    finals = {final["id"] for final in result["candidates"]}
    owners = {path(result["tree"], i)[0]["id"] for i in finals}
    assert owners <= {c["id"] for c in roots}
    route = result["route"]
    assert route["deferred"] == [True] * (len(route["policies"]) - 1) + [False]


# What may be lost


def test_where_the_larger_policy_is_lost_the_smaller_ones_answer_stands() -> None:
    result = ask(small(["41", "43", "44", "45"]), large(broken=True))
    assert result["route"]["answered_by"] == "small"
    assert result["route"]["confidences"] == [0.5, None]
    assert result["answer"] in {"41", "43", "44", "45"}
    assert len(result["candidates"]) == 4
    assert result["stop_reason"] == "policy"
    assert result["degradations"] == [
        "4 of 4 samples failed and were dropped: RuntimeError: no power",
        "'large' was to answer and did not; a smaller policy answered",
    ]


def test_where_the_smaller_policy_is_lost_the_larger_one_answers() -> None:
    result = ask(small(broken=True), large(SURE))
    assert (result["answer"], result["route"]["answered_by"]) == ("42", "large")
    assert (result["stop_reason"], len(result["degradations"])) == ("finished", 1)


def test_where_all_policies_are_lost_that_is_an_error() -> None:
    with pytest.raises(PolicyFailedError, match="no power"):
        ask(small(broken=True), large(broken=True))


def test_a_question_too_long_for_the_larger_policy_is_answered_by_the_smaller() -> None:
    second = large()
    second.context_window = PROMPT
    result = ask(small(), second)
    assert result["route"]["answered_by"] == "small"
    assert "reads at most 5" in result["degradations"][0]


def test_a_policy_alone_is_best_of_n_and_says_what_to_give() -> None:
    result = ask(small())
    assert len(result["candidates"]) == 8
    [note] = result["degradations"]
    assert note == "no policy is larger than 'small': name some as `cascade`"


def test_what_is_wrong_with_a_larger_policy_is_told_before_the_first_sample() -> None:
    first = small(SURE)
    context = replace(context_of(first), cascade=("no-such-model",))
    with pytest.raises(ValueError, match="no-such-model"):
        solve(QUESTION, strategy="cascade", context=context, seed=7)
    assert first.requests == []


def test_a_limit_on_flops_needs_the_size_of_every_policy() -> None:
    first = small(SURE)
    with pytest.raises(ValueError, match="parameters of 'large' are not known"):
        ask(first, large(size=0), budget=Budget(8, flops=1e9))
    assert first.requests == []


# Forms


async def test_sync_and_async_are_one_search() -> None:
    context = context_of(small(), large())
    whole = solve(QUESTION, strategy="cascade", context=context, seed=7)
    other = await asolve(QUESTION, strategy="cascade", context=context, seed=7)
    assert without_time(whole) == without_time(other)


@pytest.mark.parametrize("node", ["propose", "score", "judge"])
def test_a_search_goes_on_from_a_checkpoint_at_any_stage(node: str) -> None:
    saver = InMemorySaver()
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 99}
    begin: Any = {"messages": QUESTION, "seed": 7}
    for stop in range(4):
        # Another graph and other models, as another process has them.
        context = context_of(small(), large(UNSURE), Saying("huge", SURE), budget=9)
        graph = get_strategy("cascade").build().compile(checkpointer=saver)
        graph.invoke(begin, thread, context=context, interrupt_after=[node])
        json.dumps(graph.get_state(thread).values)
        begin = None
        assert bool(graph.get_state(thread).next) == (stop < 3)
    end = graph.get_state(thread).values
    whole = ask(small(), large(UNSURE), Saying("huge", SURE), budget=9)
    assert end["tree"] == whole["tree"]
    assert end["result"]["route"] == whole["route"]
    assert end["result"]["answer"] == whole["answer"] == "42"


def test_steps_that_were_added_by_hand_to_an_earlier_policy_stay_there() -> None:
    graph = get_strategy("cascade").build().compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    context = context_of(small(), large())
    begin: Any = {"messages": QUESTION, "seed": 7}
    graph.invoke(begin, thread, context=context, interrupt_after=["judge"])
    tree = graph.get_state(thread).values["tree"]
    mine = {**tree[2], "id": len(tree), "parent": 2, "depth": 4, "text": "by hand"}
    graph.update_state(thread, {"tree": [mine]}, as_node="judge")
    end = graph.invoke(None, thread, context=context)
    assert end["result"]["route"]["answered_by"] == "large"
    assert end["result"]["answer"] == "42"
    assert len(end["result"]["candidates"]) == 4


def test_the_embedded_policies_know_the_larger_ones() -> None:
    assert policies(SearchContext()) == ("tinymath", "tinymath-large")
    assert policies(SearchContext(policy="tinymath-small")) == (
        "tinymath-small",
        "tinymath",
        "tinymath-large",
    )
    assert policies(SearchContext(policy="tinymath-large")) == ("tinymath-large",)
    assert policies(SearchContext(cascade=())) == ("tinymath",)


def test_a_key_is_given_to_the_first_policy_only() -> None:
    context = SearchContext(
        policy="http://a/v1", cascade=("http://b/v1",), api_key=SecretStr("x")
    )
    assert at_stage(context, 0).api_key is not None
    assert at_stage(context, 1).policy == "http://b/v1"
    assert at_stage(context, 1).api_key is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cascade": "tinymath-large"}, "give a list of policies"),
        ({"defer_below": 1.5}, "give a number: 0 to 1"),
        ({"defer_below": 0.5, "cascade_file": "c.json"}, "give one"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(SearchContextError, match=message):
        SearchContext(**parameters)


def test_turns_with_tools_are_not_sampled_by_a_cascade() -> None:
    first = small()
    first.takes_turns = True
    rule = TurnRule(choice="auto", parallel=True, schema=None, vote="whole", ignored=[])
    with pytest.raises(WholeTurnsError, match="cannot search for tool calls"):
        ask(first, large(), turn=rule)
    assert first.requests == []
