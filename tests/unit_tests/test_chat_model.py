from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableConfig,
    RunnableLambda,
)
from langchain_core.tracers import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from langchain_tts import Budget, TTSChatModel
from tests.unit_tests.counting import CountingPolicy, KnowingPrm, counting_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.tracers.schemas import Run

QUESTION = "What is 6*7?"
SOLUTION = "step 1\n\nstep 2\n\nAnswer: \\boxed{42}"


class Recorder(BaseTracer):
    """Keeps every run, with its kind and its parent."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _start_trace(self, run: Run) -> None:
        super()._start_trace(run)
        self.runs.append(run)

    def _persist_run(self, run: Run) -> None:
        """Runs are kept when they start."""

    def kinds(self, kind: str) -> list[Run]:
        return [run for run in self.runs if run.run_type == kind]

    def ancestors(self, run: Run) -> list[Run]:
        by_id = {other.id: other for other in self.runs}
        found = []
        while run.parent_run_id is not None:
            run = by_id[run.parent_run_id]
            found.append(run)
        return found


class ChatModelStarts(BaseCallbackHandler):
    """Counts the chat model runs that an application would see."""

    def __init__(self) -> None:
        self.starts = 0

    def on_chat_model_start(self, *_args: Any, **_kwargs: Any) -> None:
        self.starts += 1


def _search(message: object) -> dict[str, Any]:
    assert isinstance(message, AIMessage)
    search: dict[str, Any] = message.response_metadata["tts"]
    return search


def test_the_answer_is_the_winning_trajectory() -> None:
    message = counting_model().invoke(QUESTION)
    assert message.text == SOLUTION
    assert message.response_metadata["model_name"] == "counting"


def test_metadata_reports_the_search_without_its_tree() -> None:
    search = _search(counting_model(strategy="best_of_n").invoke(QUESTION))
    assert search["answer"] == "42"
    assert search["strategy"] == "best_of_n"
    assert search["budget"] == {
        "samples": 8,
        "tokens": None,
        "flops": None,
        "seconds": None,
    }
    assert search["spent"]["samples"] == 8
    assert search["stop_reason"] == "finished"
    assert search["seed"] == 1
    assert sum(row["count"] for row in search["votes"]) == 8
    assert search["degradations"] == []
    assert search["seconds"] >= 0
    assert "tree" not in search
    json.dumps(search)


def test_usage_counts_every_policy_token_of_the_search() -> None:
    message = counting_model(strategy="best_of_n").invoke(QUESTION)
    # 8 answers of 3 steps of 2 tokens; 3 words of prompt, read once for all samples.
    assert message.usage_metadata == {
        "input_tokens": 3,
        "output_tokens": 48,
        "total_tokens": 51,
        "input_token_details": {"cache_read": 0},
    }


def test_generate_gives_all_candidates_best_first() -> None:
    model = counting_model(strategy="best_of_n", vote="max")
    generations = model.generate([[HumanMessage(QUESTION)]]).generations[0]
    assert len(generations) == 8
    scores = [(g.generation_info or {})["score"] for g in generations]
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], scores[-1]) == (0.9, 0.1)
    assert generations[0].text == SOLUTION
    messages = [g.message for g in generations if isinstance(g, ChatGeneration)]
    usages = [m.usage_metadata for m in messages if isinstance(m, AIMessage)]
    assert [usage is not None for usage in usages] == [True] + [False] * 7


async def test_async_gives_the_same_message() -> None:
    model = counting_model()
    first, second = model.invoke(QUESTION), await model.ainvoke(QUESTION)
    assert first.text == second.text
    assert first.usage_metadata == second.usage_metadata


async def test_sync_calls_work_inside_a_running_loop() -> None:
    assert counting_model().invoke(QUESTION).text == SOLUTION


def test_batch_and_threads() -> None:
    model = counting_model()
    messages = model.batch([QUESTION] * 5)
    assert [message.text for message in messages] == [SOLUTION] * 5
    with ThreadPoolExecutor(4) as pool:
        texts = [m.text for m in pool.map(model.invoke, [QUESTION] * 8)]
    assert texts == [SOLUTION] * 8


async def test_many_async_calls_at_once() -> None:
    messages = await asyncio.gather(
        *(counting_model().ainvoke(QUESTION) for _ in range(10))
    )
    assert {message.text for message in messages} == {SOLUTION}


def test_a_stream_has_the_text_in_pieces_and_one_chunk_with_usage() -> None:
    chunks = list(counting_model().stream(QUESTION))
    assert "".join(chunk.text for chunk in chunks) == SOLUTION
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert chunks[-1].chunk_position == "last"
    merged: AIMessageChunk = chunks[0]
    for chunk in chunks[1:]:
        merged += chunk
    assert _search(merged)["strategy"] == "beam_search"
    assert merged.response_metadata["model_name"] == "counting"


async def test_an_async_stream_is_the_same() -> None:
    chunks = [chunk async for chunk in counting_model().astream(QUESTION)]
    assert "".join(chunk.text for chunk in chunks) == SOLUTION


@pytest.mark.parametrize("budget", [4, "4", {"samples": 4}, Budget(4)])
def test_budgets_in_any_form(budget: Any) -> None:
    search = _search(
        counting_model(budget=budget, strategy="best_of_n").invoke(QUESTION)
    )
    assert search["spent"]["samples"] == 4


def test_search_parameters_can_be_set_for_one_call() -> None:
    model = counting_model(strategy="best_of_n")
    search = _search(model.invoke(QUESTION, budget=2, seed=5, vote="majority"))
    assert search["budget"]["samples"] == 2
    assert (search["seed"], search["vote"]) == (5, "majority")
    search = _search(model.bind(strategy="majority_vote", prm=None).invoke(QUESTION))
    assert search["strategy"] == "majority_vote"
    assert _search(model.invoke(QUESTION))["budget"]["samples"] == 8


def test_another_model_can_be_set_for_one_call() -> None:
    other = CountingPolicy(steps=1, name="short")
    message = counting_model().invoke(QUESTION, model=other)
    assert message.text == r"Answer: \boxed{42}"
    assert message.response_metadata["model_name"] == "short"


def test_configurable_fields() -> None:
    model = counting_model(strategy="best_of_n").configurable_fields(
        budget=ConfigurableField(id="budget")
    )
    message = model.with_config(configurable={"budget": 2}).invoke(QUESTION)
    assert _search(message)["spent"]["samples"] == 2


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("budget", 0, "give a whole number above 0"),
        ("budget", -1, "give a whole number above 0"),
        ("budget", "many", "budget is 'many'"),
        ("budget", {"beams": 3}, "unknown budget limit 'beams'"),
        ("strategy", "guess", "beam_search"),
        ("beam_width", 0, "greater than 0"),
        ("temperature", -0.1, "give a number of at least 0"),
        ("temperature", float("nan"), "give a number of at least 0"),
        ("score", "mean", "'min', 'last', 'avg' or 'prod'"),
        ("vote", "best", "'majority', 'max' or 'vote'"),
        ("max_tokens", 0, "greater than 0"),
    ],
)
def test_bad_parameters_are_refused_at_once(
    field: str, value: object, expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        counting_model(**{field: value})
    with pytest.raises(ValueError, match=expected):
        counting_model().invoke(QUESTION, **{field: value})  # type: ignore[arg-type]


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="num_beams"):
        counting_model(num_beams=4)
    with pytest.raises(ValueError, match=r"unknown argument 'num_beams'.*beam_width"):
        counting_model().invoke(QUESTION, num_beams=4)


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        counting_model().invoke("  ")


def test_the_text_ends_before_a_stop_sequence() -> None:
    assert counting_model(stop=["step 2"]).invoke(QUESTION).text == "step 1\n\n"
    assert counting_model(stop=["step 2"]).invoke(QUESTION, stop=["1"]).text == "step "


def test_the_policy_gets_the_whole_conversation() -> None:
    policy = CountingPolicy()
    history = [SystemMessage("Count."), HumanMessage("Hi"), HumanMessage(QUESTION)]
    counting_model(policy=policy).invoke(history)
    assert policy.requests[0]["messages"] == [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": f"Hi\n\n{QUESTION}"},
    ]


def test_one_seed_gives_one_answer() -> None:
    texts = {counting_model(seed=3).invoke(QUESTION).text for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"budget": 4},
        {"budget": {"samples": 8, "tokens": 50}},
        {"strategy": "majority_vote"},
        {"prm": None},
        {"prm": KnowingPrm("other")},
        {"policy": CountingPolicy(name="other")},
        {"policy": CountingPolicy(name=None)},
        {"beam_width": 2},
        {"temperature": 0.3},
        {"max_tokens": 50},
        {"max_step_tokens": 50},
        {"max_rounds": 7},
        {"seed": 2},
        {"score": "prod"},
        {"vote": "majority"},
        {"stop": ["x"]},
    ],
)
def test_whatever_changes_an_answer_has_its_own_place_in_a_cache(
    change: dict[str, Any],
) -> None:
    assert counting_model()._get_llm_string() == counting_model()._get_llm_string()
    assert (
        counting_model(**change)._get_llm_string() != counting_model()._get_llm_string()
    )


def test_models_without_a_name_never_share_a_cache_entry() -> None:
    first, second = CountingPolicy(name=None), CountingPolicy(name=None)
    one, other = counting_model(policy=first), counting_model(policy=second)
    assert one._get_llm_string() != other._get_llm_string()


def test_a_cache_answers_the_same_call_and_no_other() -> None:
    policy = CountingPolicy()
    model = counting_model(policy=policy, strategy="best_of_n", cache=InMemoryCache())
    first = model.invoke(QUESTION)
    asked = len(policy.requests)
    assert model.invoke(QUESTION).text == first.text
    assert len(policy.requests) == asked
    assert _search(model.invoke(QUESTION, budget=2))["budget"]["samples"] == 2


def _graph(
    model: TTSChatModel, memory: InMemorySaver | None = None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """An application's own graph."""

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("answer", answer)
    graph = graph.add_edge(START, "answer").add_edge("answer", END)
    return graph.compile(memory)


def _invoke(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    runnable.invoke(value, config)


def _ainvoke(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    asyncio.run(runnable.ainvoke(value, config))


def _stream(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    for _ in runnable.stream(value, config):
        pass


def _astream(runnable: Runnable[Any, Any], value: Any, config: Any) -> None:
    async def consume() -> None:
        async for _ in runnable.astream(value, config):
            pass

    asyncio.run(consume())


@pytest.mark.parametrize("call", [_invoke, _ainvoke, _stream, _astream])
@pytest.mark.parametrize("place", ["alone", "chain", "lambda", "graph"])
def test_policy_and_prm_calls_are_nested_under_the_chat_model_run(
    call: Callable[[Runnable[Any, Any], Any, Any], None], place: str
) -> None:
    model = counting_model()
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    places: dict[str, Runnable[Any, Any]] = {
        "alone": model,
        "chain": prompt | model | StrOutputParser(),
        "lambda": RunnableLambda(model.invoke),
        "graph": _graph(model),
    }
    runnable = places[place]
    recorder = Recorder()
    value = {
        "chain": {"question": QUESTION},
        "graph": {"messages": [HumanMessage(QUESTION)]},
    }.get(place, QUESTION)
    call(runnable, value, {"callbacks": [recorder], "tags": ["mine"]})

    chat = [run for run in recorder.kinds("llm") if run.name == "TTSChatModel"]
    assert len(chat) == 1
    policy_calls = [run for run in recorder.kinds("llm") if run is not chat[0]]
    prm_calls = recorder.kinds("tool")
    assert len(policy_calls) == 3
    assert len(prm_calls) == 3
    for run in policy_calls + prm_calls:
        assert chat[0] in recorder.ancestors(run)
        assert "mine" in (run.tags or [])
    outside = {"alone": 0, "graph": 2}.get(place, 1)
    assert len(recorder.ancestors(chat[0])) == outside


def test_an_applications_callbacks_see_one_chat_model_run() -> None:
    counter = ChatModelStarts()
    counting_model().invoke(QUESTION, {"callbacks": [counter]})
    assert counter.starts == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_search_longer_than_a_chains_recursion_limit(*, asynchronous: bool) -> None:
    # A chain puts LangChain's limit of 25 into the config of what it calls.
    model = counting_model(policy=CountingPolicy(steps=40))
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | model | StrOutputParser()
    value = {"question": QUESTION}
    text = asyncio.run(chain.ainvoke(value)) if asynchronous else chain.invoke(value)
    assert text.count("\n\n") == 39
    assert text.endswith(r"Answer: \boxed{42}")


def test_streaming_handlers_do_not_cost_the_nesting() -> None:
    async def events() -> list[Any]:
        return [event async for event in counting_model().astream_events(QUESTION)]

    kinds = {event["event"] for event in asyncio.run(events())}
    assert {"on_chat_model_start", "on_chat_model_end"} <= kinds


def test_langsmith_parameters_name_the_policy() -> None:
    params = counting_model(temperature=0.5, max_tokens=99, stop=["x"])._get_ls_params()
    assert params == {
        "ls_provider": "langchain_tts",
        "ls_model_name": "counting",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 99,
        "ls_stop": ["x"],
    }


def test_an_outer_graph_streams_the_answer_and_no_discarded_candidate() -> None:
    graph = _graph(counting_model())
    value = {"messages": [HumanMessage(QUESTION)]}
    parts: Iterator[Any] = graph.stream(value, stream_mode="messages")
    messages = [message for message, _ in parts]
    assert "".join(message.text for message in messages) == SOLUTION
    assert len({message.id for message in messages}) == 1


def test_an_outer_graphs_checkpoints_hold_no_search() -> None:
    memory = InMemorySaver()
    graph = _graph(counting_model(), memory)
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": [HumanMessage(QUESTION)]}, config)
    spaces = {
        saved.config["configurable"]["checkpoint_ns"] for saved in memory.list(None)
    }
    assert spaces == {""}


def test_parameters_of_one_strategy_reach_the_search_and_the_cache_key() -> None:
    model = TTSChatModel(
        policy=CountingPolicy(), prm=KnowingPrm(), parameters={"ending": "N/M"}
    )
    assert model.search_context().ending == "N/M"
    assert len(model.generate([[HumanMessage("6*7?")]]).generations[0]) == 4
    whole = model.generate([[HumanMessage("6*7?")]], parameters={})
    assert len(whole.generations[0]) == 16
    assert model._identifying_params["parameters"] == {"ending": "N/M"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"wings": 2}, "there is no parameter 'wings'"),
        ({"beam_width": 2}, "'beam_width' is an argument of its own"),
        ({"lookahead": -1}, "lookahead is -1"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TTSChatModel(parameters=parameters)
