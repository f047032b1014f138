"""The chat model as one part of LangChain's chains."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import (
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from langchain_tts import TTSChatModel
from langchain_tts.policies.base import Generation, GenerationRequest
from langchain_tts.strategies._calls import PolicyFailedError
from tests.unit_tests.counting import CountingPolicy, KnowingPrm
from tests.unit_tests.scripted import ScriptedPolicy

QUESTION = {"question": "6*7"}
SOLUTION = "step 1\n\nstep 2\n\nAnswer: \\boxed{42}"
PROMPT = ChatPromptTemplate.from_template("What is {question}?")
AT_ONCE = 16


class Failing(CountingPolicy):
    """Fails so many times before it answers."""

    def __init__(self, times: int) -> None:
        super().__init__(name="failing")
        self.times = times
        self.calls = 0

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        self.calls += 1
        if self.calls <= self.times:
            future: Future[list[Generation]] = Future()
            future.set_exception(RuntimeError("out of memory"))
            return future
        return super().submit(requests)


class Gathering(CountingPolicy):
    """An engine that starts a batch when so many callers wait, or none came in time."""

    def __init__(self, callers: int, seconds: float = 5.0) -> None:
        super().__init__()
        self.callers = callers
        self.seconds = seconds
        self.batches: list[int] = []
        self._lock = threading.Lock()
        self._waiting: list[tuple[Sequence[GenerationRequest], Future[Any]]] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        future: Future[list[Generation]] = Future()
        with self._lock:
            self._waiting.append((requests, future))
            full = len(self._waiting) == self.callers
            first = len(self._waiting) == 1
        if full:
            self._serve()
        elif first:
            late = threading.Timer(self.seconds, self._serve)
            late.daemon = True
            late.start()
        return future

    def _serve(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, []
        if taken:
            self.batches.append(len(taken))
        for requests, future in taken:
            if future.set_running_or_notify_cancel():
                future.set_result(super().submit(requests).result())


def _model(**changes: Any) -> TTSChatModel:
    settings: dict[str, Any] = {
        "policy": CountingPolicy(),
        "prm": KnowingPrm(),
        "strategy": "best_of_n",
        "budget": 8,
        "seed": 1,
    }
    return TTSChatModel(**{**settings, **changes})


def _saying(text: str) -> TTSChatModel:
    policy = ScriptedPolicy(lambda _request, _seed: text)
    return _model(policy=policy, strategy="majority_vote", prm=None)


def _tts(message: object) -> dict[str, Any]:
    assert isinstance(message, AIMessage)
    search: dict[str, Any] = message.response_metadata["tts"]
    return search


def _sync(runnable: Runnable[Any, Any], value: Any) -> Any:
    return runnable.invoke(value)


def _async(runnable: Runnable[Any, Any], value: Any) -> Any:
    return asyncio.run(runnable.ainvoke(value))


def _streamed(runnable: Runnable[Any, Any], value: Any) -> Any:
    return list(runnable.stream(value))[-1]


class Answer(BaseModel):
    number: int


PARSERS: dict[str, tuple[Any, str, Any]] = {
    "text": (StrOutputParser(), "It is 42.", "It is 42."),
    "json": (JsonOutputParser(), '{"number": 42}', {"number": 42}),
    "fenced": (JsonOutputParser(), '```json\n{"number": 42}\n```', {"number": 42}),
    "pydantic": (
        PydanticOutputParser(pydantic_object=Answer),
        '{"number": 42}',
        Answer(number=42),
    ),
}


@pytest.mark.parametrize("call", [_sync, _async])
@pytest.mark.parametrize("kind", PARSERS)
def test_a_prompt_the_model_and_a_parser(
    kind: str, call: Callable[[Runnable[Any, Any], Any], Any]
) -> None:
    parser, text, parsed = PARSERS[kind]
    assert call(PROMPT | _saying(text) | parser, QUESTION) == parsed


@pytest.mark.parametrize("kind", ["json", "pydantic"])
def test_a_parser_at_the_end_of_a_stream(kind: str) -> None:
    parser, text, parsed = PARSERS[kind]
    assert _streamed(PROMPT | _saying(text) | parser, QUESTION) == parsed


def test_a_chain_streams_the_answer_and_nothing_else() -> None:
    chain = PROMPT | _model(strategy="beam_search") | StrOutputParser()
    assert "".join(chain.stream(QUESTION)) == SOLUTION


def test_two_models_side_by_side_and_what_they_were_asked() -> None:
    both = RunnableParallel(
        search=PROMPT | _model(strategy="beam_search") | _tts,
        vote=PROMPT | _model(strategy="majority_vote", prm=None, budget=4) | _tts,
        asked=RunnablePassthrough(),
    )
    found = both.invoke(QUESTION)
    assert found["asked"] == QUESTION
    assert found["search"]["strategy"] == "beam_search"
    assert found["vote"]["strategy"] == "majority_vote"
    assert found["vote"]["spent"]["samples"] == 4


@pytest.mark.parametrize("call", [_sync, _async])
def test_a_fallback_takes_over_where_the_policy_is_lost(
    call: Callable[[Runnable[Any, Any], Any], Any],
) -> None:
    lost = _model(policy=Failing(1000), max_retries=0)
    with pytest.raises(PolicyFailedError, match="out of memory"):
        lost.invoke("What is 6*7?")
    chain = PROMPT | lost.with_fallbacks([_model()])
    assert call(chain, QUESTION).text == SOLUTION


def test_a_fallback_may_be_for_some_errors_only() -> None:
    lost = _model(policy=Failing(1000), max_retries=0)
    safe = lost.with_fallbacks([_model()], exceptions_to_handle=(KeyError,))
    with pytest.raises(PolicyFailedError):
        safe.invoke("What is 6*7?")


def test_a_retry_asks_again_after_the_search_gave_up() -> None:
    policy = Failing(1)
    retried = _model(policy=policy, max_retries=0).with_retry(
        retry_if_exception_type=(PolicyFailedError,),
        wait_exponential_jitter=False,
        stop_after_attempt=2,
    )
    assert retried.invoke("What is 6*7?").text == SOLUTION
    assert policy.calls == 2


def test_alternatives_are_chosen_when_the_chain_runs() -> None:
    model = _model(budget=2).configurable_alternatives(
        ConfigurableField(id="thinking"),
        default_key="little",
        much=_model(budget=16),
        none=_model(strategy="greedy"),
    )
    chain = PROMPT | model | _tts

    def samples(thinking: str) -> float:
        config: Any = {"configurable": {"thinking": thinking}}
        spent: float = chain.invoke(QUESTION, config)["spent"]["samples"]
        return spent

    assert [samples(way) for way in ("little", "much", "none")] == [2, 16, 1]


def test_declared_fields_are_set_when_the_chain_runs() -> None:
    policy = CountingPolicy()
    model = _model(policy=policy).configurable_fields(
        budget=ConfigurableField(id="n"), temperature=ConfigurableField(id="heat")
    )
    config: Any = {"configurable": {"n": 3, "heat": 0.1}}
    assert (PROMPT | model | _tts).invoke(QUESTION, config)["spent"]["samples"] == 3
    assert policy.requests[0]["temperature"] == 0.1


@pytest.mark.parametrize("call", [_sync, _async])
def test_budget_and_strategy_of_a_chains_configuration(
    call: Callable[[Runnable[Any, Any], Any], Any],
) -> None:
    chain = PROMPT | _model() | _tts
    chosen = chain.with_config(configurable={"budget": 4, "strategy": "dvts"})
    search = call(chosen, QUESTION)
    assert (search["strategy"], search["budget"]["samples"]) == ("dvts", 4)
    assert call(chain, QUESTION)["strategy"] == "best_of_n"


def test_what_is_bound_goes_before_the_configuration() -> None:
    chain = PROMPT | _model().bind(budget=2) | _tts
    search = chain.invoke(QUESTION, {"configurable": {"budget": 4}})
    assert search["budget"]["samples"] == 2


def _questions() -> list[dict[str, Any]]:
    return [{"question": f"{number}*7"} for number in range(AT_ONCE)]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("strategy", ["best_of_n", "beam_search"])
def test_a_batch_of_sixteen_shares_each_batch_of_the_engine(
    strategy: str, *, asynchronous: bool
) -> None:
    policy = Gathering(AT_ONCE)
    chain = PROMPT | _model(policy=policy, strategy=strategy) | StrOutputParser()
    if asynchronous:
        texts = asyncio.run(chain.abatch(_questions()))
    else:
        texts = chain.batch(_questions())
    assert texts == [SOLUTION] * AT_ONCE
    # Three steps: a beam search asks three times, where best-of-N asks once.
    rounds = 3 if strategy == "beam_search" else 1
    assert policy.batches == [AT_ONCE] * rounds


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_limit_of_what_runs_at_once_is_kept(*, asynchronous: bool) -> None:
    policy = Gathering(4)
    chain = PROMPT | _model(policy=policy) | StrOutputParser()
    config: Any = {"max_concurrency": 4}
    if asynchronous:
        texts = asyncio.run(chain.abatch(_questions(), config))
    else:
        texts = chain.batch(_questions(), config)
    assert texts == [SOLUTION] * AT_ONCE
    assert policy.batches == [4] * 4


def test_a_batch_keeps_its_order_and_its_errors() -> None:
    texts = ["What is 6*7?", " ", "What is 1*7?"]
    answers: list[Any] = [*_model().batch([*texts], return_exceptions=True)]
    assert [type(answer) for answer in answers[::2]] == [AIMessage, AIMessage]
    assert isinstance(answers[1], ValueError)
    assert "empty" in str(answers[1])


def test_answers_of_a_batch_come_as_they_are_ready() -> None:
    found = dict(_model().batch_as_completed(["What is 6*7?"] * 3))
    assert sorted(found) == [0, 1, 2]


def test_a_question_in_parts() -> None:
    def parts(text: str) -> list[dict[str, str]]:
        return [{"question": part} for part in text.split(",")]

    def total(messages: list[AIMessage]) -> int:
        return sum(int(_tts(message)["answer"]) for message in messages)

    chain = RunnableLambda(parts) | (PROMPT | _model()).map() | total
    assert chain.invoke("6*7,6*7,6*7") == 3 * 42


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
@pytest.mark.filterwarnings("ignore:The class `InMemoryChatMessageHistory` was")
def test_a_conversation_with_a_history() -> None:
    policy = CountingPolicy()
    histories: dict[str, InMemoryChatMessageHistory] = {}

    def history(session_id: str) -> InMemoryChatMessageHistory:
        return histories.setdefault(session_id, InMemoryChatMessageHistory())

    prompt = ChatPromptTemplate.from_messages(
        [("system", "Count."), MessagesPlaceholder("past"), ("human", "{question}")]
    )
    chain = RunnableWithMessageHistory(
        prompt | _model(policy=policy),
        history,
        input_messages_key="question",
        history_messages_key="past",
    )
    config: Any = {"configurable": {"session_id": "1"}}
    chain.invoke({"question": "6*7?"}, config)
    chain.invoke({"question": "And 7*6?"}, config)
    assert policy.requests[-1]["messages"] == [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "6*7?"},
        {"role": "assistant", "content": SOLUTION},
        {"role": "user", "content": "And 7*6?"},
    ]
    assert len(histories["1"].messages) == 4


def test_a_cache_keeps_apart_what_may_have_another_answer() -> None:
    policy = CountingPolicy()
    model = _model(policy=policy, cache=InMemoryCache())
    chain = PROMPT | model
    ways: list[Runnable[Any, AIMessage]] = [
        chain,
        PROMPT | model.bind(budget=4),
        PROMPT | model.bind(strategy="majority_vote"),
        PROMPT | model.bind(stop=["step 2"]),
        PROMPT | model.bind(seed=2),
    ]
    first = [way.invoke(QUESTION) for way in ways]
    assert len(policy.requests) == len(ways)
    again = [way.invoke(QUESTION) for way in ways]
    assert len(policy.requests) == len(ways)
    assert [m.text for m in again] == [m.text for m in first]
    assert again[1].response_metadata == first[1].response_metadata
    assert [m.text for m in again][3] == "step 1\n\n"


@pytest.mark.parametrize("way", ["configurable", "tools"])
def test_a_cache_keeps_apart_configurations_and_tools(way: str) -> None:
    policy = ScriptedPolicy()
    model = _model(policy=policy, prm=None, strategy="greedy", cache=InMemoryCache())
    model.invoke("Hello")
    if way == "tools":
        parameters = {"type": "object", "properties": {}}
        tool = {"name": "look", "description": "Looks.", "parameters": parameters}
        model.bind_tools([tool]).invoke("Hello")
    else:
        model.with_config(configurable={"temperature": 0.1}).invoke("Hello")
    assert len(policy.requests) == 2


def test_the_step_limit_of_an_outer_graph_does_not_end_a_search() -> None:
    model = _model(policy=CountingPolicy(steps=30), strategy="beam_search")
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda s: {"messages": [model.invoke(s["messages"])]})
    graph.add_edge(START, "answer").add_edge("answer", END)
    asked: Any = {"messages": [HumanMessage("What is 6*7?")]}
    state = graph.compile().invoke(asked, {"recursion_limit": 3})
    assert _tts(state["messages"][-1])["stop_reason"] == "finished"


def test_a_chain_can_be_drawn_and_has_schemas() -> None:
    chain = PROMPT | _model() | StrOutputParser()
    names = [node.name for node in chain.get_graph().nodes.values()]
    assert "TTSChatModel" in names
    assert chain.get_input_jsonschema()["properties"].keys() == {"question"}
    assert chain.get_output_jsonschema()["type"] == "string"
    assert "AIMessage" in str(_model().get_output_jsonschema())


def test_fields_are_added_to_an_input_and_picked_from_an_output() -> None:
    chain = RunnablePassthrough.assign(
        answer=PROMPT | _model() | StrOutputParser()
    ).assign(length=lambda found: len(found["answer"]))
    assert chain.invoke(QUESTION) == {
        **QUESTION,
        "answer": SOLUTION,
        "length": len(SOLUTION),
    }
    assert chain.pick("length").invoke(QUESTION) == len(SOLUTION)


def test_a_lambda_that_returns_the_model_runs_it() -> None:
    def route(found: dict[str, Any]) -> Runnable[Any, Any]:
        budget = 16 if "*" in found["question"] else 1
        return PROMPT | _model().bind(budget=budget) | _tts

    router = RunnableLambda(route)
    assert router.invoke(QUESTION)["spent"]["samples"] == 16
    assert router.invoke({"question": "6+7"})["spent"]["samples"] == 1
