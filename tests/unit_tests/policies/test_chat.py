"""LangChain chat models as policies."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.globals import set_llm_cache
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from langchain_tts import TTSChatModel
from langchain_tts.budget import Budget
from langchain_tts.engines.chat import MAX_CALLS
from langchain_tts.policies import resolve_policy
from langchain_tts.policies.base import Sample
from langchain_tts.policies.chat import ChatModelError, ChatModelPolicy
from langchain_tts.rewards.implicit import ImplicitPRM, ModelMismatchError
from langchain_tts.search.state import FinishReason
from langchain_tts.strategies import _tries
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._setting import WholeAnswersError
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.chat_models import Answer, ScriptedChat, said
from tests.unit_tests.fakes import QUESTION, TreePrm
from tests.unit_tests.tiny_models import request, save_model


def boxed(seed: int) -> str:
    return rf"First {seed}.{chr(10) * 2}So \boxed{{{seed % 3}}}"


def by_seed(_messages: Any, settings: dict[str, Any]) -> Answer:
    told = {"model_name": "scripted"}
    return said(boxed(settings["seed"]), usage=(10, 4, 7), response_metadata=told)


def scripted(answer: Any, **settings: Any) -> ScriptedChat:
    if isinstance(answer, AIMessage | Exception):
        return ScriptedChat(script=lambda _m, _s: answer, **settings)
    return ScriptedChat(script=answer, **settings)


def texts(sample: Sample) -> list[str]:
    return [step["text"] for step in sample["steps"]]


def nothing(reason: FinishReason) -> Sample:
    return Sample(steps=[], finish_reason=reason)


def one_sample(answer: Answer) -> Sample:
    policy = ChatModelPolicy(scripted(answer))
    return policy.invoke([request(seeds=[0])])[0]["samples"][0]


def test_each_seed_is_a_call_with_the_settings_of_the_request() -> None:
    model = scripted(by_seed)
    wanted = request("6*7", seeds=[3, 2**40 + 5], temperature=0.5, max_tokens=9)
    [generation] = ChatModelPolicy(model).invoke([wanted])
    assert [texts(s) for s in generation["samples"]] == [
        ["First 3.", r"So \boxed{0}"],
        ["First 5.", r"So \boxed{2}"],
    ]
    assert [s["finish_reason"] for s in generation["samples"]] == ["stop", "stop"]
    assert sorted(settings["seed"] for _, settings in model.record.calls) == [3, 5]
    for messages, settings in model.record.calls:
        assert settings["temperature"] == 0.5
        assert settings["max_tokens"] == 9
        assert [m.content for m in messages] == ["6*7"]
    assert generation["prompt_tokens"] == 2 * 6
    assert generation["cached_tokens"] == 2 * 4
    assert generation["generated_tokens"] == 2 * 7
    step = generation["samples"][0]["steps"][0]
    assert (step["token_ids"], step["logprob"]) == ([], 0.0)


def test_only_settings_that_the_class_knows_are_sent() -> None:
    class Ollama(ScriptedChat):
        max_tokens: None = None
        seed: None = None
        num_predict: int | None = None
        random_seed: int | None = None

    class Bare(FakeListChatModel):
        pass

    sent = ChatModelPolicy(Ollama(script=by_seed))._fields
    assert sent["temperature"] == "temperature"
    assert ChatModelPolicy(Bare(responses=["1"]))._fields == {}
    model = scripted(said("1"))
    policy = ChatModelPolicy(model, settings=("max_tokens",))
    policy.invoke([request(seeds=[0])])
    assert model.record.calls[0][1] == {"max_tokens": 40}
    with pytest.raises(ValueError, match="unknown setting 'top_p'"):
        ChatModelPolicy(model, settings=("top_p",))


def test_roles_become_langchains() -> None:
    model = scripted(said("1"))
    ChatModelPolicy(model).invoke(
        [
            request(
                messages=[
                    {"role": "system", "content": "a"},
                    {"role": "user", "content": "b"},
                    {"role": "assistant", "content": "c"},
                    {"role": "tool", "content": "d"},
                ],
                seeds=[0],
            )
        ]
    )
    got = [(type(m), m.content) for m in model.record.calls[0][0]]
    assert got == [
        (SystemMessage, "a"),
        (HumanMessage, "b"),
        (AIMessage, "c"),
        (HumanMessage, "The result of a tool:\nd"),
    ]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stopReason": "max_tokens"}, "length"),
        ({"done_reason": "length"}, "length"),
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"incomplete_details": None}, "stop"),
        ({"finish_reason": "something new"}, "stop"),
        ({}, "stop"),
    ],
)
def test_why_an_answer_ended(metadata: dict[str, Any], reason: str) -> None:
    sample = one_sample(said("1\n\n\n\n2", response_metadata=metadata))
    assert sample["finish_reason"] == reason
    assert texts(sample) == ["1", "2"]


def test_only_text_blocks_are_the_answer() -> None:
    blocks = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "7"},
    ]
    assert texts(one_sample(said(blocks))) == ["It is 7"]


TOOL = {"name": "f", "args": {}, "id": "1", "type": "tool_call"}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (said("no", response_metadata={"finish_reason": "content_filter"}), "refused"),
        (said("no", response_metadata={"stop_reason": "refusal"}), "refused"),
        (said("", additional_kwargs={"refusal": "I cannot"}), "refused"),
        (said([{"type": "refusal", "refusal": "I cannot"}]), "refused"),
        (said("x", tool_calls=[TOOL]), "called a tool"),
        (said("  "), "without any text"),
    ],
)
def test_what_is_no_answer_is_a_failed_sample_with_a_reason(
    message: AIMessage, problem: str
) -> None:
    policy = ChatModelPolicy(scripted(message))
    [generation] = policy.invoke([request(seeds=[0, 1])])
    assert generation["samples"] == [nothing("failed")] * 2
    assert problem in generation["problem"]


def test_an_answer_cut_before_its_first_word_has_no_steps() -> None:
    cut = said("", response_metadata={"finish_reason": "length"}, usage=(3, 0, 9))
    assert one_sample(cut) == nothing("length")


def test_a_model_that_reports_nothing_is_charged_a_token_a_byte() -> None:
    wanted = request("12+34=", seeds=[0])
    for settings, new in ((("max_tokens",), 3), ((), 5)):
        policy = ChatModelPolicy(scripted(said("\u00fcber")), settings=settings)
        [generation] = policy.invoke([{**wanted, "max_tokens": 3}])
        assert generation["generated_tokens"] == new
        assert generation["prompt_tokens"] == 16 + 6
        assert generation["cached_tokens"] == 0
    counting = scripted(said("1"), custom_get_token_ids=lambda text: [0] * len(text))
    messages = request("\u00fc")["messages"]
    assert ChatModelPolicy(counting).count_prompt_tokens(messages) == 17
    assert ChatModelPolicy(scripted(said("1"))).count_prompt_tokens(messages) == 18


def test_a_call_that_raises_loses_one_sample() -> None:
    def script(_messages: Any, settings: dict[str, Any]) -> Answer:
        if settings["seed"] == 1:
            return TimeoutError("slow line")
        return said("7", usage=(2, 0, 1))

    policy = ChatModelPolicy(scripted(script))
    [generation] = policy.invoke([request(seeds=[0, 1, 2])])
    ends = [sample["finish_reason"] for sample in generation["samples"]]
    assert ends == ["stop", "failed", "stop"]
    assert generation["problem"] == "TimeoutError: slow line"
    assert generation["generated_tokens"] == 2
    with pytest.raises(ChatModelError, match="TimeoutError: slow line"):
        policy.invoke([request(seeds=[1])])


def test_calls_that_are_not_done_at_the_deadline_are_ended() -> None:
    model = scripted(said("7"), seconds=30)
    started = time.monotonic()
    wanted = request(seeds=[0, 1], deadline=started + 0.1)
    [generation] = ChatModelPolicy(model).invoke([wanted])
    assert time.monotonic() - started < 5
    assert generation["samples"] == [nothing("length")] * 2
    assert "problem" not in generation
    assert (model.record.cancelled, model.record.running) == (2, 0)


def wait_for(done: Any) -> None:
    end = time.monotonic() + 5
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_cancelling_ends_the_calls() -> None:
    model = scripted(said("7"), seconds=30)
    future = ChatModelPolicy(model).submit([request(seeds=[0, 1, 2])])
    wait_for(lambda: model.record.running == 3)
    future.cancel()
    wait_for(lambda: model.record.cancelled == 3)


async def test_cancelling_an_async_call_ends_the_calls() -> None:
    model = scripted(said("7"), seconds=30)
    policy = ChatModelPolicy(model)
    task = asyncio.create_task(policy.ainvoke([request(seeds=[0, 1, 2])]))
    await asyncio.sleep(0.05)
    assert model.record.running == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.record.cancelled == 3
    with pytest.raises(TimeoutError):
        await policy.ainvoke([request(seeds=[0])], seconds=0.01)
    assert model.record.cancelled == 4


async def test_calls_run_side_by_side_up_to_a_bound() -> None:
    model = scripted(said("7"), seconds=0.01)
    policy = ChatModelPolicy(model)
    seeds = [*range(MAX_CALLS + 20)]
    await asyncio.gather(*(policy.ainvoke([request(seeds=seeds)]) for _ in range(2)))
    assert model.record.most == MAX_CALLS
    assert len(model.record.calls) == 2 * len(seeds)


async def test_async_calls_stay_on_the_callers_loop_and_others_leave_it_alone() -> None:
    model = scripted(said("7"))
    policy = ChatModelPolicy(model)
    await policy.ainvoke([request(seeds=[0, 1])])
    here = asyncio.get_running_loop()
    assert model.record.loops == [here, here]
    policy.invoke([request(seeds=[0])])
    assert model.record.loops[-1] is not here


async def test_models_without_async_code_run_in_threads() -> None:
    together = threading.Barrier(20, timeout=20)

    class Blocking(FakeListChatModel):
        def _call(self, *args: Any, **kwargs: Any) -> str:
            together.wait()
            return "7"

    policy = ChatModelPolicy(Blocking(responses=["1"]))
    wanted = request(seeds=[*range(20)])
    for [generation] in (policy.invoke([wanted]), await policy.ainvoke([wanted])):
        assert [texts(sample) for sample in generation["samples"]] == [["7"]] * 20


def test_a_model_that_is_set_to_stream_does_not() -> None:
    class Streaming(ScriptedChat):
        streaming: bool = False

    model = Streaming(script=by_seed, streaming=True, callbacks=[Starts()])
    [generation] = ChatModelPolicy(model).invoke([request(seeds=[0])])
    assert generation["samples"][0]["finish_reason"] == "stop"


def test_langchains_fake_model_streams_nothing() -> None:
    model = GenericFakeChatModel(messages=iter(["5 \n \n6", AIMessage("7")]))
    policy = ChatModelPolicy(model)
    [generation] = policy.invoke([request(seeds=[0, 1])])
    found = sorted(texts(sample) for sample in generation["samples"])
    assert found == [["5", "6"], ["7"]]


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    found = InMemoryCache()
    set_llm_cache(found)
    yield found
    set_llm_cache(None)


def test_langchains_response_cache_does_not_make_all_samples_one(
    cache: InMemoryCache,
) -> None:
    class Counting(ScriptedChat):
        def _get_llm_string(self, stop: Any = None, **kwargs: Any) -> str:
            return "always the same"

    numbers = iter(range(10))
    model = Counting(script=lambda _m, _s: said(f"{next(numbers)}"), cache=True)
    [generation] = ChatModelPolicy(model).invoke([request(seeds=[0, 1, 2])])
    assert {texts(s)[0] for s in generation["samples"]} == {"0", "1", "2"}
    assert not cache._cache
    assert model.cache is True


def test_it_continues_nothing() -> None:
    policy = ChatModelPolicy(scripted(said("7")))
    for wrong in (request(seeds=[0], by_step=True), request(seeds=[0], prefix=[4])):
        with pytest.raises(ValueError, match="writes whole answers"):
            policy.submit([wrong])
    with pytest.raises(ValueError, match="as many seeds"):
        policy.submit([{**request(seeds=[0]), "n": 2}])
    step = policy.read_step(request()["messages"], [], "1+1=2", ends=False)
    assert step == {"text": "1+1=2", "token_ids": [], "logprob": 0.0}


def test_the_policy_of_a_model_is_one_object_and_does_not_keep_it_alive() -> None:
    model, equal = scripted(said("7")), scripted(said("7"))
    policy = resolve_policy(model)
    assert resolve_policy(model) is policy
    assert resolve_policy(equal) is not policy
    assert policy.name == "scripted"
    assert resolve_policy(FakeListChatModel(responses=["1"])).name == (
        "FakeListChatModel"
    )
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({}, 8192),
        ({"max_tokens": 100}, 100),
        ({"profile": {"max_output_tokens": 4096}}, 4096),
        ({"profile": {"reasoning_output": True}}, 32_768),
        ({"profile": {"reasoning_output": True, "max_output_tokens": 9000}}, 9000),
    ],
)
def test_an_answer_may_be_as_long_as_the_model_allows(
    settings: dict[str, Any], limit: int
) -> None:
    assert ChatModelPolicy(scripted(said("7"), **settings)).max_tokens == limit


# In a search.


def tts(policy: Any, **settings: Any) -> TTSChatModel:
    values = {"strategy": "majority_vote", "prm": None, "budget": 4, "seed": 1}
    return TTSChatModel(policy=policy, **{**values, **settings})


class Starts(AsyncCallbackHandler, _StreamingCallbackHandler[Any]):
    """Counts chat model runs; makes models stream that can be made to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.kinds: list[str] = []

    async def on_chat_model_start(self, serialized: Any, *args: Any, **kw: Any) -> None:
        self.seen.append(kw.get("name") or serialized["name"])

    async def on_llm_start(self, serialized: Any, *args: Any, **kw: Any) -> None:
        self.kinds.append("llm")

    def tap_output_aiter(self, run_id: Any, output: Any) -> Any:
        return output

    def tap_output_iter(self, run_id: Any, output: Any) -> Any:
        return output


async def test_a_caller_sees_one_chat_model_run_and_the_usage_once() -> None:
    model = tts(scripted(by_seed))
    for is_async in (True, False):
        starts, usage = Starts(), UsageMetadataCallbackHandler()
        config: Any = {"callbacks": [starts, usage] if is_async else [usage]}
        with get_usage_metadata_callback() as around:
            if is_async:
                message = await model.ainvoke("6*7?", config)
                assert starts.seen == ["TTSChatModel"]
            else:
                message = model.invoke("6*7?", config)
        for counted in (usage, around):
            assert counted.usage_metadata["scripted"]["output_tokens"] == 4 * 7
            assert list(counted.usage_metadata) == ["scripted"]
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_tokens"] == 4 * 7
        spent = message.response_metadata["tts"]["spent"]
        assert (spent["prompt_tokens"], spent["cached_tokens"]) == (24, 16)
        assert spent["samples"] == 4


async def test_sync_search_inside_a_running_loop() -> None:
    assert tts(scripted(by_seed)).invoke("6*7?").content


def test_every_strategy_of_whole_answers_takes_one() -> None:
    model = scripted(by_seed)
    greedy = tts(model, strategy="greedy").invoke("6*7?")
    assert str(greedy.content).startswith("First")
    assert [s["temperature"] for _, s in model.record.calls] == [0.0]
    revised = tts(
        model,
        strategy="revision",
        vote="majority",
        parameters={"sequential_to_parallel": 4.0},
    ).invoke("6*7?")
    assert revised.response_metadata["tts"]["spent"]["samples"] == 4
    shown = [[m.type for m in messages] for messages, _ in model.record.calls]
    assert ["human", "ai", "human"] in shown


def test_a_prm_scores_each_paragraph_of_each_answer() -> None:
    def script(_messages: Any, settings: dict[str, Any]) -> Answer:
        right = settings["seed"] % 2 == 0
        return said(rf"Think.{chr(10) * 2}\boxed{{{'42' if right else '41'}}}")

    prm = TreePrm(lambda prefix: 0.9 if "42" in prefix[-1] else 0.2)
    result = solve(
        QUESTION,
        strategy="best_of_n",
        context=SearchContext(policy=scripted(script), prm=prm, budget=Budget(6)),
        seed=1,
    )
    assert result["answer"] == "42"
    assert {c["answer"] for c in result["candidates"]} == {"41", "42"}
    best = result["candidates"][0]
    assert best["step_scores"] == [0.2, 0.9]
    assert {c["depth"] for c in result["tree"]} == {1, 2}


@pytest.mark.parametrize("strategy", ["beam_search", "dvts", "mcts", "best_first"])
def test_a_search_by_steps_is_refused_with_the_alternatives(strategy: str) -> None:
    model = scripted(by_seed)
    with pytest.raises(WholeAnswersError, match="'best_of_n', 'revision', 'majority"):
        tts(model, strategy=strategy, prm=TreePrm()).invoke("6*7?")
    assert not model.record.calls


def test_a_limit_on_tokens_is_kept_and_used() -> None:
    def script(_messages: Any, settings: dict[str, Any]) -> Answer:
        new = min(settings["max_tokens"], 20)
        reason = {"finish_reason": "stop" if new == 20 else "length"}
        return said(r"\boxed{1}", usage=(5, 0, new), response_metadata=reason)

    for limit in (10, 100, 1000):
        result = solve(
            QUESTION,
            strategy="majority_vote",
            context=SearchContext(
                policy=scripted(script),
                prm=None,
                budget=Budget(samples=8, tokens=limit),
                max_tokens=200,
            ),
            seed=1,
        )
        spent = result["spent"]["generated_tokens"]
        assert spent == min(limit, 8 * 20)
        assert result["spent"]["samples"] <= 8


def test_an_error_is_told_and_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tries, "FIRST_WAIT", 0.01)
    broken = scripted(PermissionError("401 no such key"))
    with pytest.raises(PolicyFailedError, match="PermissionError: 401 no such key"):
        tts(broken).invoke("6*7?")
    refusing = scripted(said("I cannot", additional_kwargs={"refusal": "I cannot"}))
    with pytest.raises(PolicyFailedError, match="refused to answer"):
        tts(refusing).invoke("6*7?")

    def script(_messages: Any, settings: dict[str, Any]) -> Answer:
        if settings["seed"] % 4 == 0:
            return ValueError("garbage")
        return by_seed(_messages, settings)

    message = tts(scripted(script), budget=8).invoke("6*7?")
    told = message.response_metadata["tts"]
    assert told["degradations"] == [
        "2 of 8 samples failed and were dropped: ChatModelError: ValueError: garbage"
    ]
    assert all("garbage" not in row["answer"] for row in told["votes"])


def test_its_answers_are_no_news_to_an_implicit_prm_without_a_reference(
    tmp_path: Any,
) -> None:
    folder = save_model(tmp_path)
    prm = ImplicitPRM(folder, scale=1.0, offset=0.0)
    model = scripted(said("12+34=46"))
    with pytest.raises(ModelMismatchError, match="does not bring"):
        tts(model, strategy="best_of_n", prm=prm).invoke("12+34=")


def test_what_tells_models_apart_in_a_cache() -> None:
    first, second = scripted(by_seed), scripted(by_seed)
    assert tts(first).model_name == "scripted"
    keys = [tts(model)._identifying_params["policy"] for model in (first, second)]
    assert keys[0] != keys[1]
    assert tts(first)._identifying_params["policy"] == keys[0]

    class Saved(FakeListChatModel):
        temperature: float = 0.0

        @classmethod
        def is_lc_serializable(cls) -> bool:
            return True

    def key(**settings: Any) -> str:
        model = Saved(responses=["1"], **settings)
        return str(tts(model)._identifying_params["policy"])

    assert key(temperature=1.0) == key(temperature=1.0) != key(temperature=0.5)
    assert tts("tinymath")._identifying_params["policy"] == "tinymath"
