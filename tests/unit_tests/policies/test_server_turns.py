"""Turns of a server that has no model; bodies are as OpenAI's API describes them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_tts.engines import server
from langchain_tts.engines.errors import NoToolsError, PromptTooLongError
from langchain_tts.engines.server import ServerError, ServerRefusedError
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.search.turns import read_turn
from tests.unit_tests.policies.fake_server import (
    END,
    TOOLS_TOKENS,
    FakeServer,
    request,
    tokens,
)
from tests.unit_tests.tiny_tools import chat, rule, save_tool_model, tool

Make = Callable[..., FakeServer]

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
}
ASKED = {"messages", "return_token_ids"}
"""Only a body that asks for turns has both."""
HERMES = (
    '<tool_call>\n{"name": "calculator", "arguments": {"expression": "12*7"}}\n'
    "</tool_call>"
)
WEATHER = '<tool_call>\n{"name": "weather", "arguments": {"city": "é"}}\n</tool_call>'


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(server, "_FIRST_WAIT", 0.0)
    made: list[FakeServer] = []

    def build(*choices: dict[str, Any], **options: Any) -> FakeServer:
        fake = FakeServer(**{"root": None, **options})
        fake.fault = lambda body: (
            answer(*choices) if choices and body.keys() >= ASKED else None
        )
        made.append(fake)
        return made[-1]

    yield build
    for fake in made:
        fake.network.close()


def turns(*seeds: int, **options: Any) -> Any:
    values = {"by_step": False, "messages": chat("12*7="), "turn": rule(), **options}
    return request(*seeds, **values)


def call(arguments: str, name: str = "calculator", **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function, **more}


def choice(
    *calls: dict[str, Any],
    content: str | None = None,
    reason: str | None = "tool_calls",
    index: int = 0,
    kind: str = "message",
    ids: list[int] | None = None,
) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "tool_calls": list(calls)}
    told = [{"token": "x", "logprob": -0.5, "bytes": [120]} for _ in ids or ()]
    return {
        "index": index,
        kind: message,
        "finish_reason": reason,
        "logprobs": {"content": told} if told else None,
        "token_ids": ids,
    }


def answer(*choices: dict[str, Any]) -> httpx.Response:
    usage = {
        "prompt_tokens": 40,
        "completion_tokens": 17,
        "total_tokens": 57,
        "prompt_tokens_details": {"cached_tokens": 32},
    }
    return httpx.Response(200, json={"choices": choices, "usage": usage})


def generate(policy: ServerPolicy, *requests: Any) -> Any:
    return policy.submit(requests).result(10)


def one(policy: ServerPolicy, **options: Any) -> Any:
    """The only sample of a request."""
    (generation,) = generate(policy, turns(5, **options))
    (sample,) = generation["samples"]
    return sample


def text_of(sample: Any) -> str:
    (step,) = sample["steps"]
    return str(step["text"])


def test_a_turn_is_a_chat_completion_with_tools(make: Make) -> None:
    fake = make(choice(call('{"expression": "12*7"}')), choice(content="84", index=1))
    generate(fake.policy(), turns(4, 5, max_tokens=60, temperature=0.7))
    assert fake.bodies == [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "12*7="}],
            "tools": [tool()],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "n": 2,
            "seed": 4,
            "temperature": 0.7,
            "max_tokens": 60,
            "logprobs": True,
            "return_token_ids": True,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
        }
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("auto", "auto"),
        ("any", "required"),
        ("none", "none"),
        (
            "calculator",
            {"type": "function", "function": {"name": "calculator"}},
        ),
    ],
)
def test_the_choice_is_sent_in_openais_words(
    make: Make, ours: str, theirs: object
) -> None:
    fake = make(choice(content="1"))
    generate(fake.policy(), turns(1, turn=rule(ours, parallel=False)))
    assert fake.bodies[0]["tool_choice"] == theirs
    assert fake.bodies[0]["parallel_tool_calls"] is False


def test_a_schema_is_a_response_format(make: Make) -> None:
    fake = make(choice(content='{"x": 1}', reason="stop"))
    plain = request(1)["messages"]
    turn = rule("none", schema=SCHEMA)
    sample = one(fake.policy(), messages=plain, turn=turn)
    assert text_of(sample) == '{"x": 1}'
    (body,) = fake.bodies
    assert body["response_format"] == FORMAT
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


def test_a_turn_may_be_a_call_or_fit_the_schema_only_if_tools_are_strict(
    make: Make,
) -> None:
    fake = make(choice(content='{"x": 1}'))
    loose = tool("loose")
    loose["function"]["strict"] = False
    messages = chat("12*7=", tool(), loose)
    policy = fake.policy()
    generate(policy, turns(1, messages=messages, turn=rule(schema=SCHEMA)))
    (body,) = fake.bodies
    strict = [one["function"]["strict"] for one in body["tools"]]
    assert (strict, body["response_format"]) == ([True, False], FORMAT)
    assert "strict" not in messages[0]["tools"][0]["function"]
    # What has to be a call is no answer by a schema.
    generate(policy, turns(1, turn=rule("any", schema=SCHEMA)))
    assert "response_format" not in fake.bodies[1]
    assert fake.bodies[1]["tools"] == [tool()]


HISTORY: Any = [
    {"role": "system", "content": "Be brief.", "tools": [tool()]},
    {"role": "user", "content": "12*7="},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"name": "calculator", "arguments": {"expression": "é"}, "id": "a1"},
            {"name": "calculator", "arguments": {}},
        ],
    },
    {"role": "tool", "content": "84", "tool_call_id": "a1"},
]
SENT_HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "12*7="},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "a1",
                "type": "function",
                "function": {
                    "name": "calculator",
                    "arguments": '{"expression": "é"}',
                },
            },
            {
                # Sampled just now; servers want one.
                "id": "call_2_1",
                "type": "function",
                "function": {"name": "calculator", "arguments": "{}"},
            },
        ],
    },
    {"role": "tool", "content": "84", "tool_call_id": "a1"},
]


def test_a_history_keeps_calls_and_results_apart(make: Make) -> None:
    fake = make(choice(content="84"))
    generate(fake.policy(), turns(1, messages=HISTORY))
    assert fake.bodies[0]["messages"] == SENT_HISTORY


def test_a_remote_tokenizer_is_shown_the_tools_and_asked_once(make: Make) -> None:
    policy = (fake := make()).policy()
    fake.tokenized.clear()
    assert policy.count_prompt_tokens(HISTORY) == TOOLS_TOKENS
    assert policy.count_prompt_tokens(HISTORY) == TOOLS_TOKENS
    assert fake.tokenized == [
        {
            "model": "tiny",
            "messages": SENT_HISTORY,
            "tools": [tool()],
            "add_generation_prompt": True,
        }
    ]
    other = [{**HISTORY[0], "tools": [tool("other")]}, *HISTORY[1:]]
    policy.count_prompt_tokens(other)
    assert len(fake.tokenized) == 2


def test_text_is_continued_after_calls_of_tools_too(make: Make) -> None:
    fake = make(returns_ids=False)
    policy = fake.policy()
    assert not policy.by_tokens
    generate(policy, request(1, prefix="12", messages=HISTORY))
    assert fake.bodies[0]["messages"] == [
        *SENT_HISTORY,
        {"role": "assistant", "content": "12"},
    ]


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (choice(content="It is 84.", reason="stop"), "It is 84."),
        (choice(content="a\n\nb\n", reason="stop"), "a\n\nb"),
        (choice(call('{"expression": "12*7"}')), HERMES),
        (
            choice(call('{"expression":"12*7"}'), content="I see.\n"),
            f"I see.\n{HERMES}",
        ),
        (
            choice(call('{"expression": "12*7"}'), call('{"city": "é"}', "weather")),
            f"{HERMES}\n{WEATHER}",
        ),
        (
            choice(call("", "now")),
            '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
        ),
    ],
)
def test_what_the_server_parsed_is_written_in_hermes_form(
    make: Make, told: dict[str, Any], text: str
) -> None:
    sample = one(make(told).policy())
    assert text_of(sample) == text
    assert sample["finish_reason"] == "stop"


@pytest.mark.parametrize("arguments", ['{"expression": ', "[1]", '"12*7"'])
def test_arguments_that_are_no_object_make_an_invalid_call(
    make: Make, arguments: str
) -> None:
    sample = one(make(choice(call(arguments), call("{}", "now"))).policy())
    turn = read_turn(text_of(sample))
    assert turn.calls == [{"name": "now", "arguments": {}}]
    (invalid,) = turn.invalid
    assert invalid.text == f'{{"name": "calculator", "arguments": {arguments}}}'


@pytest.mark.parametrize(
    ("told", "ours"),
    [
        ("tool_calls", "stop"),
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "failed"),
        (None, "failed"),
    ],
)
def test_why_a_turn_ended(make: Make, told: str | None, ours: str) -> None:
    made = choice(call("{}"), reason=told, ids=[30, 31])
    sample = one(make(made).policy())
    assert sample["finish_reason"] == ours
    assert len(sample["steps"]) == (ours != "failed")


def test_a_turn_that_was_cut_behind_a_call_is_cut(make: Make, tmp_path: Path) -> None:
    # Its server says `tool_calls`, because there is one.
    root = str(save_tool_model(tmp_path))
    for ids, ours in (([30, 31, 32], "length"), ([30, 31, END], "stop")):
        policy = make(choice(call("{}"), ids=ids), root=root).policy()
        assert one(policy, max_tokens=3)["finish_reason"] == ours
        assert one(policy, max_tokens=4)["finish_reason"] == "stop"


def test_token_ids_and_log_probability_are_those_that_were_sampled(
    make: Make,
) -> None:
    fake = make(
        choice(call('{"expression": "12*7"}'), ids=[30, 31, 32, END]),
        choice(content="84", index=1, ids=[33, END], reason="stop"),
    )
    (generation,) = generate(fake.policy(), turns(1, 2))
    first, second = (sample["steps"][0] for sample in generation["samples"])
    assert (first["token_ids"], first["logprob"]) == ([30, 31, 32, END], -2.0)
    assert (second["token_ids"], second["logprob"]) == ([33, END], -1.0)
    counts = ("prompt_tokens", "cached_tokens", "generated_tokens")
    assert [generation[count] for count in counts] == [8, 32, 17]


def test_a_server_that_tells_no_tokens_is_taken_by_its_text(
    make: Make, tmp_path: Path
) -> None:
    fake = make(
        choice(content="12", reason="stop"), root=str(save_tool_model(tmp_path))
    )
    policy = fake.policy()
    (step,) = one(policy)["steps"]
    assert step["token_ids"] == [*policy._tokens.encode("12"), END]
    assert step["logprob"] == 0.0


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_an_empty_turn_has_no_step(make: Make, reason: str) -> None:
    sample = one(make(choice(content="", reason=reason)).policy())
    assert sample == {"steps": [], "finish_reason": reason}


def test_a_turn_that_the_server_left_out_has_failed(make: Make) -> None:
    fake = make(choice(content="84", index=1, reason="stop"))
    (generation,) = generate(fake.policy(), turns(1, 2))
    first, second = generation["samples"]
    assert first == {"steps": [], "finish_reason": "failed"}
    assert text_of(second) == "84"


@pytest.mark.parametrize(
    "told",
    [
        {"index": 7, "message": {"content": "1"}},
        {"index": 0, "message": {"tool_calls": [{"id": "no function"}]}},
        {"index": 0, "message": {"content": ["1"]}},
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error(
    make: Make, told: dict[str, Any]
) -> None:
    with pytest.raises(ServerError, match="cannot be read"):
        generate(make(told).policy(), turns(1))


def test_a_prompt_without_room_for_a_turn_is_an_error(make: Make) -> None:
    policy = make(choice(content="1"), window=TOOLS_TOKENS).policy()
    with pytest.raises(PromptTooLongError, match="9 tokens and leaves no room"):
        generate(policy, turns(1))


def streamed(*events: Any, stalls: bool = False) -> Callable[[Any], httpx.Response]:
    async def lines() -> AsyncIterator[bytes]:
        for event in events:
            yield f"data: {json.dumps(event)}\n\n".encode()
        if stalls:
            await asyncio.sleep(60)
        yield b"data: [DONE]\n\n"

    return lambda _body: httpx.Response(200, content=lines())


def part(arguments: str, index: int, name: str | None = None) -> dict[str, Any]:
    """As OpenAI's API streams a call: the name comes with the first part only."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"index": index, "function": function}


def event(*parts: dict[str, Any], place: int = 0, **more: Any) -> dict[str, Any]:
    values = {"reason": None, "ids": [30, 31], **more}
    return {"choices": [choice(*parts, index=place, kind="delta", **values)]}


def test_under_a_deadline_a_turn_is_streamed_and_put_together(make: Make) -> None:
    fake = make()
    policy = fake.policy()
    fake.fault = streamed(
        event(content="I "),
        event(part("", 0, "calculator"), content="see."),
        event(part('{"expression": "12', 0)),
        event(part('*7"}', 0), part("{}", 1, "now")),
        event(reason="tool_calls", ids=[END]),
        {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 9}},
    )
    (generation,) = generate(policy, turns(1, deadline=time.monotonic() + 30))
    (sample,) = generation["samples"]
    now = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    assert text_of(sample) == f"I see.\n{HERMES}\n{now}"
    assert sample["steps"][0]["token_ids"] == [30, 31] * 4 + [END]
    assert sample["steps"][0]["logprob"] == -4.5
    assert (generation["prompt_tokens"], generation["generated_tokens"]) == (20, 9)
    (body,) = fake.bodies
    assert (body["stream"], body["stream_interval"]) == (True, 16)
    assert body["stream_options"] == {"include_usage": True}


def test_at_the_deadline_turns_that_are_finished_are_kept(make: Make) -> None:
    fake = make()
    policy = fake.policy()
    fake.fault = streamed(
        event(content="84", place=1, reason="stop"),
        event(part('{"expr', 0, "calculator"), place=0),
        stalls=True,
    )
    (generation,) = generate(policy, turns(1, 2, 3, deadline=time.monotonic() + 0.5))
    cut, whole, nothing = generation["samples"]
    assert (text_of(whole), whole["finish_reason"]) == ("84", "stop")
    assert cut["finish_reason"] == "length"
    assert read_turn(text_of(cut)).calls == []
    assert nothing == {"steps": [], "finish_reason": "length"}
    assert generation["generated_tokens"] == 4


def refused(status: int, message: str) -> Callable[[Any], httpx.Response]:
    error = {"message": message, "type": "BadRequestError", "code": status}
    return lambda _body: httpx.Response(status, json={"error": error})


@pytest.mark.parametrize(
    "said",
    [
        '"auto" tool choice requires --enable-auto-tool-choice to be set',
        "this model does not support tools",
    ],
)
def test_a_server_that_calls_no_tools_is_told_how_it_would(
    make: Make, said: str
) -> None:
    fake = make()
    policy = fake.policy()
    fake.fault = refused(400, said)
    with pytest.raises(NoToolsError) as caught:
        generate(policy, turns(1))
    for words in (said[:30], "--enable-auto-tool-choice and --tool-call-parser NAME"):
        assert words in str(caught.value)
    assert len(fake.bodies) == 1


def test_a_model_whose_template_shows_no_tools_says_so_before_it_is_asked(
    make: Make,
) -> None:
    fake = make(root=FakeServer().root)
    with pytest.raises(NoToolsError, match="template does not show them"):
        generate(fake.policy(), turns(1))
    assert fake.bodies == []


def test_a_schema_that_is_refused_is_explained(make: Make) -> None:
    fake = make()
    policy = fake.policy()
    messages = request(1)["messages"]
    asked = turns(1, messages=messages, turn=rule("none", schema=SCHEMA))
    fake.fault = refused(400, "Grammar error: unsupported keyword")
    with pytest.raises(ServerRefusedError, match="unsupported keyword; the server can"):
        generate(policy, asked)
    fake.fault = refused(400, "temperature must be positive")
    with pytest.raises(ServerRefusedError, match=r"positive$"):
        generate(policy, asked)


def test_turns_are_tried_again_like_all_requests(make: Make) -> None:
    fake = make()
    policy = fake.policy()
    told = [httpx.Response(503), answer(choice(content="84", reason="stop"))]
    fake.fault = lambda _body: told.pop(0)
    assert text_of(one(policy)) == "84"
    assert len(fake.bodies) == 2


def test_a_turn_gets_no_system_prompt_of_the_models_family(make: Make) -> None:
    fake = make(choice(content="1"))
    plain = request(1)["messages"]
    policy = fake.policy(family="qwen2.5")
    generate(policy, turns(1, messages=plain, turn=rule("none", schema=SCHEMA)))
    assert fake.bodies[0]["messages"] == plain


def test_the_remote_tokenizer_reads_a_turn_that_came_without_tokens(
    make: Make,
) -> None:
    sample = one(make(choice(content="12", reason="stop")).policy())
    assert sample["steps"][0]["token_ids"] == tokens.encode("12")
