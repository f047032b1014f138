"""Where the settings of a call of `TTSChatModel` may come from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from langchain_tts import Budget, TTSChatModel
from langchain_tts.policies.base import GenerationRequest
from langchain_tts.strategies import _tries
from langchain_tts.strategies._calls import PolicyFailedError
from tests.unit_tests.counting import CountingPolicy, KnowingPrm
from tests.unit_tests.scripted import ScriptedPolicy

QUESTION = "What is 6*7?"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def _model(**changes: Any) -> TTSChatModel:
    settings: dict[str, Any] = {
        "policy": CountingPolicy(),
        "prm": KnowingPrm(),
        "strategy": "best_of_n",
        "budget": 8,
    }
    return TTSChatModel(**{**settings, **changes})


def _samples(message: Any) -> int:
    samples: int = message.response_metadata["tts"]["budget"]["samples"]
    return samples


def _config(**configurable: Any) -> RunnableConfig:
    return RunnableConfig(configurable=configurable)


async def _ainvoke(model: Runnable[Any, Any], config: RunnableConfig | None) -> Any:
    return await model.ainvoke(QUESTION, config)


def _last(chunks: Any) -> Any:
    return next(chunk for chunk in chunks if chunk.response_metadata.get("tts"))


WAYS = {
    "invoke": lambda m, c: m.invoke(QUESTION, c),
    "ainvoke": lambda m, c: asyncio.run(_ainvoke(m, c)),
    "batch": lambda m, c: m.batch([QUESTION, QUESTION], c)[1],
    "stream": lambda m, c: _last(m.stream(QUESTION, c)),
    "astream": lambda m, c: asyncio.run(_astream(m, c)),
    "events": lambda m, c: m.stream_events(QUESTION, c, version="v3").output,
    "aevents": lambda m, c: asyncio.run(_aevents(m, c)),
}


async def _astream(model: Any, config: Any) -> Any:
    return _last([chunk async for chunk in model.astream(QUESTION, config)])


async def _aevents(model: Any, config: Any) -> Any:
    return await (await model.astream_events(QUESTION, config, version="v3")).output


@pytest.mark.filterwarnings("ignore:.*is in beta")
@pytest.mark.parametrize("way", WAYS)
def test_settings_in_a_config_hold_for_every_way_of_calling(way: str) -> None:
    call: Any = WAYS[way]
    model = _model()
    config = _config(budget=2, strategy="majority_vote", thread_id="1", other=3)
    message = call(model, config)
    assert _samples(message) == 2
    assert message.response_metadata["tts"]["strategy"] == "majority_vote"
    assert _samples(call(model.with_config(configurable={"budget": 3}), None)) == 3
    assert _samples(call(model.bind(budget=4), None)) == 4
    assert _samples(call(model, None)) == 8


def test_what_is_nearer_to_the_call_comes_first() -> None:
    model = _model().with_config(configurable={"budget": 2})
    assert _samples(model.invoke(QUESTION, _config(budget=3))) == 3
    assert _samples(model.invoke(QUESTION, _config(budget=3), budget=4)) == 4
    assert _samples(model.bind(budget=5).invoke(QUESTION)) == 5


def test_a_chains_config_reaches_the_model() -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    model = _model()
    chain = prompt | model
    value = {"question": QUESTION}
    assert _samples(chain.invoke(value, _config(budget=2))) == 2
    assert _samples(chain.with_config(configurable={"budget": 3}).invoke(value)) == 3
    near = prompt | model.with_config(configurable={"budget": 3})
    assert _samples(near.invoke(value)) == 3
    inside = RunnableLambda(model.invoke)
    assert _samples(inside.invoke(QUESTION, _config(budget=2))) == 2
    text = (chain | StrOutputParser()).invoke(value, _config(max_rounds=3))
    assert "boxed{42}" in text


def test_one_config_for_each_question_of_a_batch() -> None:
    messages = _model().batch([QUESTION] * 2, [_config(budget=2), _config(budget=3)])
    assert [_samples(message) for message in messages] == [2, 3]


def _last_ai(state: Any) -> AIMessage:
    message = state["messages"][-1]
    assert isinstance(message, AIMessage)
    return message


def test_an_agents_config_reaches_the_model() -> None:
    policy = ScriptedPolicy()
    model = _model(policy=policy, prm=None, strategy="majority_vote")
    agent: Any = create_agent(model, [add], checkpointer=InMemorySaver())
    value = {"messages": [HumanMessage("Please add 3 and 4.")]}
    config = _config(budget=5, thread_id="a")
    state = agent.invoke(value, config)
    assert _last_ai(state).content == "The tool says: 7"
    assert [request["n"] for request in policy.requests] == [5, 5]
    # The thread remembers the conversation, not the budget.
    agent.invoke(value, _config(thread_id="a"))
    assert policy.requests[-1]["n"] == 8


@pytest.mark.parametrize("bound", ["config", "arguments", "model"])
def test_an_agent_keeps_what_its_model_was_bound_to(bound: str) -> None:
    policy = ScriptedPolicy()
    model = _model(policy="tinymath", prm=None, strategy="majority_vote")
    bind: dict[str, Callable[[], Any]] = {
        "config": lambda: model.with_config(
            configurable={"budget": 3, "policy": policy}
        ),
        "arguments": lambda: model.bind(budget=3, policy=policy),
        "model": lambda: model.bind(budget=3, model=policy),
    }
    agent: Any = create_agent(bind[bound](), [add])
    agent.invoke({"messages": [HumanMessage("Please add 3 and 4.")]})
    assert [request["n"] for request in policy.requests] == [3, 3]


def test_another_applications_model_key_is_left_alone() -> None:
    message = _model().invoke(QUESTION, _config(model="gpt-5", budget=2))
    assert message.response_metadata["model_name"] == "counting"
    other = CountingPolicy(name="other")
    message = _model().invoke(QUESTION, _config(policy=other))
    assert message.response_metadata["model_name"] == "other"


def test_wrong_settings_in_a_config_are_refused() -> None:
    with pytest.raises(ValueError, match="budget is 'many'"):
        _model().invoke(QUESTION, _config(budget="many"))
    with pytest.raises(ValueError, match="unknown strategy 'guess'"):
        _model().with_config(configurable={"strategy": "guess"})


def test_a_cache_tells_configs_apart() -> None:
    policy = CountingPolicy()
    model = _model(policy=policy, cache=InMemoryCache())
    assert _samples(model.invoke(QUESTION)) == 8
    assert _samples(model.invoke(QUESTION, _config(budget=2))) == 2
    asked = len(policy.requests)
    assert _samples(model.invoke(QUESTION, _config(budget=2))) == 2
    assert len(policy.requests) == asked


def test_a_bound_model_streams_as_the_model_does() -> None:
    # A field that was set to its default is not the same as one that was not set.
    assert "streaming" not in _model().with_settings({"budget": 2}).model_fields_set


def test_a_model_of_another_policy_has_that_ones_profile() -> None:
    model = TTSChatModel()
    assert model.with_settings({"policy": "vllm:x"}).profile != model.profile
    assert model.with_settings({"budget": 2}).profile == model.profile


class SlowPolicy(CountingPolicy):
    """Takes its time for each step, up to the deadline."""

    def _generation(self, request: GenerationRequest) -> Any:
        deadline = request["deadline"]
        left = 9.0 if deadline is None else deadline - time.monotonic()
        time.sleep(max(0.0, min(0.15, left)))
        return super()._generation(request)


def test_a_timeout_ends_the_search_with_what_it_has() -> None:
    model = _model(policy=SlowPolicy(steps=40), strategy="beam_search", timeout=0.5)
    started = time.monotonic()
    search = model.invoke(QUESTION).response_metadata["tts"]
    assert time.monotonic() - started < 5
    assert search["stop_reason"] == "seconds"
    assert search["budget"]["seconds"] == 0.5


@pytest.mark.parametrize(
    ("timeout", "seconds", "limit"),
    [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)],
)
def test_the_smaller_limit_of_time_holds(
    timeout: float | None, seconds: float | None, limit: float | None
) -> None:
    model = _model(timeout=timeout, budget=Budget(8, seconds=seconds))
    assert model.search_context().budget == Budget(8, seconds=limit)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"timeout|seconds"):
        _model(timeout=timeout)


def test_failed_calls_are_tried_as_often_as_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_tries, "FIRST_WAIT", 0.0)

    class Gone(CountingPolicy):
        def submit(self, requests: Any) -> Any:
            self.requests += requests
            msg = "gone"
            raise OSError(msg)

    for retries in (0, 3):
        policy = Gone()
        with pytest.raises(PolicyFailedError, match="gone"):
            _model(policy=policy, max_retries=retries).invoke(QUESTION)
        assert len(policy.requests) == 1 + retries
    with pytest.raises(ValueError, match="max_retries"):
        _model(max_retries=-1)


SECRET = "open sesame"  # noqa: S105 (nobody's)


def test_a_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(api_key=SECRET)
    key = model.search_context().api_key
    assert isinstance(key, SecretStr)
    assert key.get_secret_value() == SECRET
    for shown in (
        repr(model),
        str(model),
        model._get_llm_string(),
        str(model.asdict()),
    ):
        assert SECRET not in shown
    assert SECRET not in repr(model.search_context())
    monkeypatch.setenv("LANGCHAIN_TTS_API_KEY", SECRET)
    assert _model().api_key == key


def test_a_key_goes_to_the_server_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from langchain_tts import policies

    given: list[Any] = []

    def load(name: str, api_key: Any) -> CountingPolicy:
        given.append((name, api_key))
        return CountingPolicy()

    monkeypatch.setattr(policies, "_load", load)
    monkeypatch.setattr(policies, "_resolved", {})
    for name in ("http://127.0.0.1:9/v1", "tinymath"):
        _model(policy=name, api_key=SECRET).invoke(QUESTION)
    assert given == [
        ("http://127.0.0.1:9/v1", SecretStr(SECRET)),
        ("tinymath", None),
    ]
