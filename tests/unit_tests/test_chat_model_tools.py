"""`TTSChatModel` with tools and schemas, on a scripted policy."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_tts import TTSChatModel
from langchain_tts._chat.structured import ResponseFormatError
from langchain_tts._chat.tools import ToolError
from langchain_tts.engines.errors import NoToolsError
from langchain_tts.policies.base import GenerationRequest
from langchain_tts.rewards.base import ScoreRequest, Scores
from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import InvalidCall, write_turn
from tests.unit_tests.counting import CountingPolicy, KnowingPrm
from tests.unit_tests.scripted import ScriptedPolicy

QUESTION = "Please add 3 and 4."


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def get_weather(location: str) -> str:
    """Tell the weather."""
    return f"It is sunny in {location}."


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


class SumDict(TypedDict):
    """A sum."""

    a: int
    b: int


class TurnPrm(KnowingPrm):
    """Likes turns that say so."""

    scores_turns = True

    def __init__(self, liked: str) -> None:
        super().__init__()
        self.liked = liked

    def _scores(self, request: ScoreRequest) -> Scores:
        scores = super()._scores(request)
        liked = self.liked in request["steps"][-1]
        return {**scores, "scores": [0.9 if liked else 0.2] * request["new"]}


def _model(policy: Any = None, **changes: Any) -> TTSChatModel:
    settings: dict[str, Any] = {
        "policy": policy or ScriptedPolicy(),
        "prm": None,
        "strategy": "majority_vote",
        "budget": 6,
        "seed": 1,
    }
    return TTSChatModel(**{**settings, **changes})


def _saying(*turns: str) -> ScriptedPolicy:
    """A policy whose samples are these, in turn."""

    def script(request: GenerationRequest, seed: int) -> str:
        return turns[(seed - min(request["seeds"])) % len(turns)]

    return ScriptedPolicy(script)


def _turn(content: str = "", **arguments: Any) -> str:
    return write_turn(content, [ToolCall(name="add", arguments=arguments)])


def _calls(message: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


def _search(message: Any) -> dict[str, Any]:
    search: dict[str, Any] = message.response_metadata["tts"]
    return search


def _request(policy: ScriptedPolicy) -> GenerationRequest:
    return policy.requests[-1]


def test_the_calls_that_most_samples_make_are_made() -> None:
    policy = ScriptedPolicy()
    message = _model(policy).bind_tools([add]).invoke(QUESTION)
    assert message.content == ""
    assert _calls(message) == [("add", {"a": 3, "b": 4})]
    # Seeds 0 and 3 of every six are wrong: one calls with other numbers, and the other
    # writes no JSON.
    assert [row["count"] for row in _search(message)["votes"]] == [4, 1]
    assert "1 of 6 turns are invalid" in _search(message)["degradations"][0]
    request = _request(policy)
    assert request["by_step"] is False
    assert request["prefix"] == []
    assert request["turn"]["choice"] == "auto"


def test_a_text_is_an_answer_where_no_tool_is_needed() -> None:
    message = _model().bind_tools([add]).invoke("Hello")
    assert message.content == "You said: Hello"
    assert message.tool_calls == []


def test_tools_join_the_conversations_own_system_message() -> None:
    policy = ScriptedPolicy()
    messages = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    _model(policy).bind_tools([add]).invoke(messages)
    system, user = _request(policy)["messages"]
    assert (system["role"], system["content"]) == ("system", "Be brief.")
    assert system["tools"][0]["function"]["name"] == "add"
    assert user == {"role": "user", "content": QUESTION}


@pytest.mark.parametrize(
    ("choice", "read"),
    [("any", "any"), (True, "any"), ("get_weather", "get_weather"), ("auto", "auto")],
)
def test_a_choice_is_the_policys_rule(choice: Any, read: str) -> None:
    policy = ScriptedPolicy()
    bound = _model(policy).bind_tools([add, get_weather], tool_choice=choice)
    message = bound.invoke(QUESTION)
    assert _request(policy)["turn"]["choice"] == read
    wanted = "get_weather" if choice == "get_weather" else "add"
    assert [call["name"] for call in message.tool_calls] == [wanted]


def test_no_tools_may_be_wanted_for_one_call() -> None:
    policy = ScriptedPolicy()
    bound = _model(policy).bind_tools([add])
    message = bound.invoke(QUESTION, tool_choice="none")
    assert message.tool_calls == []
    request = _request(policy)
    assert "turn" not in request
    assert "tools" not in request["messages"][0]


def test_one_call_a_turn_may_be_wanted() -> None:
    policy = ScriptedPolicy()
    _model(policy).bind_tools([add], parallel_tool_calls=False).invoke(QUESTION)
    assert _request(policy)["turn"]["parallel"] is False


def test_unknown_tools_are_refused_when_they_are_bound_and_when_they_are_called() -> (
    None
):
    model = _model()
    with pytest.raises(ToolError, match="the name of a tool: add"):
        model.bind_tools([add], tool_choice="sub")
    with pytest.raises(ToolError, match="the name of a tool: add"):
        model.bind_tools([add]).invoke(QUESTION, tool_choice="sub")
    with pytest.raises(ResponseFormatError, match="give a JSON schema"):
        model.invoke(QUESTION, response_format=3)
    with pytest.raises(ValueError, match=r"unknown argument 'top_p'.*tools.*budget"):
        model.bind_tools([add], top_p=0.9).invoke(QUESTION)


def test_tools_may_be_given_for_one_call() -> None:
    message = _model().invoke(QUESTION, tools=[add], tool_choice="any", budget=1)
    assert _calls(message)
    assert _search(message)["budget"]["samples"] == 1


def test_tools_leave_the_rest_of_a_call_as_it_was() -> None:
    policy = ScriptedPolicy()
    bound = _model(policy).bind_tools([add], temperature=0.3, budget=3)
    message = bound.invoke(QUESTION, max_tokens=50)
    request = _request(policy)
    assert (request["n"], request["temperature"]) == (3, 0.3)
    assert request["max_tokens"] == 50
    assert _search(message)["seed"] == 1


@pytest.mark.parametrize(
    ("prm", "instead"), [(None, "majority_vote"), (TurnPrm("3"), "best_of_n")]
)
def test_a_search_by_steps_gives_way_to_one_of_whole_turns(
    prm: Any, instead: str
) -> None:
    message = _model(prm=prm, strategy="beam_search").bind_tools([add]).invoke(QUESTION)
    assert _calls(message) == [("add", {"a": 3, "b": 4})]
    search = _search(message)
    assert search["strategy"] == instead
    assert search["degradations"][0] == (
        "strategy 'beam_search' knows no tool calls or "
        f"schemas, so {instead!r} was used"
    )


@pytest.mark.parametrize("strategy", ["greedy", "majority_vote", "best_of_n"])
def test_strategies_of_whole_answers_stay(strategy: str) -> None:
    model = _model(prm=TurnPrm("3"), strategy=strategy)
    search = _search(model.bind_tools([add]).invoke(QUESTION))
    assert search["strategy"] == strategy
    assert not any("knows no tool calls" in line for line in search["degradations"])


def test_a_verifier_that_judges_turns_decides() -> None:
    policy = _saying(_turn(a=1, b=1), _turn(a=1, b=1), _turn(a=3, b=4))
    model = _model(policy, prm=TurnPrm('"b": 4'), strategy="best_of_n")
    assert _calls(model.bind_tools([add]).invoke(QUESTION)) == [
        ("add", {"a": 3, "b": 4})
    ]


def test_a_policy_without_turns_cannot_be_given_tools() -> None:
    with pytest.raises(NoToolsError, match="'counting' can neither call tools"):
        _model(CountingPolicy()).bind_tools([add]).invoke(QUESTION)


def test_ignored_arguments_do_not_count() -> None:
    turns = [_turn(a=3, b=1), _turn(a=3, b=2), _turn(a=5, b=5), _turn(a=5, b=5)]
    policy = _saying(*turns, _turn(a=3, b=3))
    whole = _model(policy, budget=5).bind_tools([add])
    assert _calls(whole.invoke(QUESTION)) == [("add", {"a": 5, "b": 5})]
    some = _model(policy, budget=5, ignored_arguments=["b"]).bind_tools([add])
    assert _calls(some.invoke(QUESTION))[0][1]["a"] == 3
    again = whole.invoke(QUESTION, ignored_arguments=["add.b"])
    assert _calls(again)[0][1]["a"] == 3


def test_the_way_of_voting_reaches_the_search() -> None:
    policy = ScriptedPolicy()
    bound = _model(policy, turn_vote="by_name").bind_tools([add])
    bound.invoke(QUESTION)
    assert _request(policy)["turn"]["vote"] == "by_name"
    bound.invoke(QUESTION, turn_vote="by_field")
    assert _request(policy)["turn"]["vote"] == "by_field"
    with pytest.raises(ValueError, match="'whole', 'by_name' or 'by_field'"):
        _model(turn_vote="by_argument")


def test_where_no_call_fits_the_tool_itself_may_say_so() -> None:
    policy = _saying(_turn("Hm.", a="three"))
    message = _model(policy).bind_tools([add]).invoke(QUESTION)
    assert _calls(message) == [("add", {"a": "three"})]
    assert message.invalid_tool_calls == []
    assert "no valid turn" in _search(message)["degradations"][0]


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_a_winner_with_a_call_that_cannot_be_read_makes_none() -> None:
    calls: list[ToolCall | InvalidCall] = [
        ToolCall(name="add", arguments={"a": 3, "b": 4}),
        InvalidCall('{"name": "add", "arg', "cut"),
    ]
    policy = _saying(write_turn("Hm.", calls))
    message = _model(policy).bind_tools([add]).invoke(QUESTION)
    assert message.tool_calls == []
    assert message.content == "Hm."
    readable, unreadable = message.invalid_tool_calls
    assert (readable["name"], readable["args"]) == ("add", '{"a": 3, "b": 4}')
    assert unreadable["args"] == '{"name": "add", "arg'
    assert "no JSON" in str(unreadable["error"])
    bound = _model(policy).bind_tools([add])
    chunks = list(bound.stream(QUESTION))
    events = cast("Any", bound.stream_events(QUESTION, version="v3"))
    for streamed in (sum(chunks[1:], start=chunks[0]), events.output):
        assert streamed.tool_calls == []
        told = [str(invalid["args"]) for invalid in streamed.invalid_tool_calls]
        assert all(text.startswith("invalid (the call is no JSON") for text in told)


def test_further_generations_are_turns_with_ids_of_their_own() -> None:
    policy = _saying(_turn(a=3, b=4), _turn(a=3, b=4), "I cannot add.")
    model = _model(policy, budget=3)
    (generations,) = model.generate([[HumanMessage(QUESTION)]], tools=[add]).generations
    messages = [g.message for g in generations if isinstance(g, ChatGeneration)]
    calls = [m.tool_calls for m in messages if isinstance(m, AIMessage)]
    assert [len(made) for made in calls] == [1, 1, 0]
    assert len({made[0]["id"] for made in calls[:2]}) == 2
    assert messages[2].content == "I cannot add."


def test_a_stream_gives_the_same_calls() -> None:
    chunks = list(_model().bind_tools([add]).stream(QUESTION))
    merged = sum(chunks[1:], start=chunks[0])
    assert isinstance(merged, AIMessageChunk)
    assert _calls(merged) == [("add", {"a": 3, "b": 4})]
    assert merged.chunk_position == "last"
    assert merged.usage_metadata is not None
    assert _search(merged)["strategy"] == "majority_vote"


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_text_and_calls_stay_apart_in_a_stream(version: str) -> None:
    calls = [ToolCall(name="add", arguments={"a": 1, "b": b}) for b in (2, 3)]
    policy = _saying(write_turn("I add.", calls))
    chunks = list(_model(policy, output_version=version).stream(QUESTION, tools=[add]))
    merged = sum(chunks[1:], start=chunks[0])
    assert merged.text == "I add."
    assert _calls(merged) == [("add", call["arguments"]) for call in calls]
    kinds = [block["type"] for block in merged.content_blocks]
    assert kinds == ["text", "tool_call", "tool_call"]


async def test_an_async_stream_gives_the_same_calls() -> None:
    chunks = [chunk async for chunk in _model().bind_tools([add]).astream(QUESTION)]
    assert _calls(sum(chunks[1:], start=chunks[0])) == [("add", {"a": 3, "b": 4})]


def test_a_conversation_with_tools_reaches_the_policy_as_it_was() -> None:
    policy = ScriptedPolicy()
    bound = _model(policy).bind_tools([add])
    called = bound.invoke(QUESTION)
    made = called.tool_calls[0]
    history = [HumanMessage(QUESTION), called]
    answer = bound.invoke([*history, ToolMessage("7", tool_call_id=made["id"])])
    assert answer.content == "The tool says: 7"
    assert _request(policy)["messages"][1:] == [
        {"role": "user", "content": QUESTION},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"name": "add", "arguments": {"a": 3, "b": 4}, "id": made["id"]}
            ],
        },
        {"role": "tool", "content": "7", "tool_call_id": made["id"]},
    ]


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("", ""),
        ([{"type": "text", "text": "seven"}, " or so"], "seven or so"),
        (
            [{"type": "json", "json": {"sum": 7}}],
            '{"type": "json", "json": {"sum": 7}}',
        ),
    ],
)
def test_tool_results_in_blocks(content: Any, read: str) -> None:
    policy = ScriptedPolicy()
    call = {"name": "add", "args": {"a": 3, "b": 4}, "id": "1"}
    history = [
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[call]),
        ToolMessage(content, tool_call_id="1", status="error"),
    ]
    message = _model(policy).bind_tools([add]).invoke(history)
    assert message.content == f"The tool says: {read}".strip()
    assert _request(policy)["messages"][-1]["content"] == read


def test_the_embedded_model_is_one_that_knows_tools() -> None:
    call = TTSChatModel()._call([HumanMessage(QUESTION)], None, {"tools": [add]})
    assert (call.context.policy, call.context.prm) == (
        "tinymath-tools",
        "tinymath-tools",
    )
    assert call.model_name == "tinymath-tools"
    plain = TTSChatModel()._call([HumanMessage(QUESTION)], None, {})
    assert (plain.context.policy, plain.model_name) == ("tinymath", "tinymath")
    # What was called before can be read by this model only.
    history = [
        HumanMessage("x"),
        AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}]),
        ToolMessage("7", tool_call_id="1"),
    ]
    later = TTSChatModel()._call(history, None, {"tools": [add], "tool_choice": "none"})
    assert (later.model_name, later.strategy) == ("tinymath-tools", "beam_search")
    own = KnowingPrm()
    model = TTSChatModel(prm=own)
    assert model._call([HumanMessage("x")], None, {"tools": [add]}).context.prm is own
    model = TTSChatModel(policy="tinymath-small", prm="tinymath")
    call = model._call([HumanMessage("x")], None, {"tools": [add]})
    assert (call.context.policy, call.context.prm) == ("tinymath-small", "tinymath")


METHODS = ["function_calling", "json_schema"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("strict", [None, True])
def test_structured_output_is_an_object_of_the_class(method: Any, strict: Any) -> None:
    model = _model().with_structured_output(Sum, method=method, strict=strict)
    assert model.invoke(QUESTION) == Sum(a=3, b=4)
    assert asyncio.run(model.ainvoke(QUESTION)) == Sum(a=3, b=4)
    assert list(model.stream(QUESTION))[-1] == Sum(a=3, b=4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [SumDict, Sum.model_json_schema()])
def test_structured_output_of_a_schema_is_a_dictionary(
    method: Any, schema: Any
) -> None:
    model = _model().with_structured_output(schema, method=method)
    assert model.invoke(QUESTION) == {"a": 3, "b": 4}


def test_a_schema_reaches_the_policy_as_its_rule() -> None:
    policy = ScriptedPolicy()
    model = _model(policy).with_structured_output(
        Sum, method="json_schema", strict=True
    )
    model.invoke(QUESTION)
    rule = _request(policy)["turn"]
    assert rule["choice"] == "none"
    assert rule["schema"] is not None
    assert rule["schema"]["additionalProperties"] is False
    assert "tools" not in _request(policy)["messages"][0]


def test_any_json_may_be_wanted() -> None:
    policy = ScriptedPolicy()
    model = _model(policy).with_structured_output(Sum, method="json_mode")
    with pytest.raises(ValueError, match="Field required"):
        model.invoke(QUESTION)
    assert _request(policy)["turn"]["schema"] == {"type": "object"}


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ResponseFormatError, match="method is 'xml'; it is one of"):
        _model().with_structured_output(Sum, method="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_the_message_can_be_had_beside_what_was_read_in_it(method: Any) -> None:
    model = _model().with_structured_output(Sum, method=method, include_raw=True)
    found: Any = model.invoke(QUESTION)
    assert found["parsed"] == Sum(a=3, b=4)
    assert found["parsing_error"] is None
    assert _search(found["raw"])["strategy"] == "majority_vote"

    broken = _model(_saying("no")).with_structured_output(
        Sum, method="json_schema", include_raw=True
    )
    found = broken.invoke(QUESTION)
    assert found["parsed"] is None
    assert found["raw"].content == "no"
    assert isinstance(found["parsing_error"], Exception)


def test_structured_output_takes_settings_of_the_search() -> None:
    policy = ScriptedPolicy()
    model = _model(policy).with_structured_output(
        Sum, method="json_schema", turn_vote="by_field", budget=2
    )
    model.invoke(QUESTION)
    request = _request(policy)
    assert (request["n"], request["turn"]["vote"]) == (2, "by_field")


def test_tools_and_a_schema_may_be_given_together() -> None:
    policy = ScriptedPolicy()
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "Sum", "schema": Sum.model_json_schema()},
    }
    bound = _model(policy).bind_tools([add], response_format=schema)
    assert _calls(bound.invoke(QUESTION)) == [("add", {"a": 3, "b": 4})]
    answer = bound.invoke("Say 5 and 6.")
    assert json.loads(str(answer.content)) == {"a": 5, "b": 6}
    alone = _model(policy).bind_tools([], response_format=schema)
    assert json.loads(str(alone.invoke(QUESTION).content)) == {"a": 3, "b": 4}


class _Starts(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tags: list[Any] = []
        self.options: list[Any] = []

    def on_chat_model_start(self, *_args: Any, **kwargs: Any) -> None:
        self.tags.append(kwargs["tags"])
        self.options.append(kwargs["invocation_params"])


def test_callbacks_see_the_tools_of_one_run() -> None:
    starts = _Starts()
    config: Any = {"callbacks": [starts], "tags": ["mine"]}
    _model().bind_tools([add]).invoke(QUESTION, config)
    assert starts.tags == [["mine"]]
    assert starts.options[0]["tools"][0]["function"]["name"] == "add"


def test_a_rate_limiter_is_asked_once_an_answer() -> None:
    class Counting(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return True

    limiter = Counting()
    bound = _model(rate_limiter=limiter).bind_tools([add])
    bound.invoke(QUESTION)
    assert limiter.asked == 1
    list(bound.stream(QUESTION))
    assert limiter.asked == 2


def test_many_calls_at_once_do_not_mix() -> None:
    bound = _model().bind_tools([add])
    pairs = [(a, b) for a in range(8) for b in range(3)]
    questions = [f"Please add {a} and {b}." for a, b in pairs]
    with ThreadPoolExecutor(8) as pool:
        messages = list(pool.map(bound.invoke, questions))
    assert [_calls(m) for m in messages] == [
        [("add", {"a": a, "b": b})] for a, b in pairs
    ]
    messages = bound.batch(list(questions))
    assert [_calls(m) for m in messages] == [
        [("add", {"a": a, "b": b})] for a, b in pairs
    ]


async def test_tools_inside_a_running_loop() -> None:
    bound = _model().bind_tools([add])
    assert _calls(bound.invoke(QUESTION)) == _calls(await bound.ainvoke(QUESTION))
