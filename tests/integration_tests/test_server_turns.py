"""Turns of a real vLLM server: its own parser, its grammars, and our searches."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage
from transformers import AutoModelForCausalLM

from langchain_tts import TTSChatModel
from langchain_tts._chat.tools import with_tools
from langchain_tts.engines.server import ServerPool, ServerRefusedError
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.policies.server_tokens import RemoteTokens
from langchain_tts.search.state import Message
from langchain_tts.search.turns import Turn, read_turn
from tests.integration_tests.servers import wait_until_busy, wait_until_idle
from tests.integration_tests.tool_model import (
    JOKE,
    assistant,
    call,
    calling,
    offering,
    result,
    user,
)
from tests.unit_tests.tiny_models import request
from tests.unit_tests.tiny_tools import rule, tool

MAGIC = user("What is the value of magic_function(3)? Use the tool.")
UNHEARD = user("Zzz, 7 of 9!")
"""Nothing that the model was taught an answer to."""
HISTORY = offering(
    "my_adder_tool",
    user("What is 1 + 2"),
    assistant("", {**call("my_adder_tool", a=1, b=2), "id": "abc"}),
    {**result('{"result": 3}'), "tool_call_id": "abc"},
)
POINT = {
    "type": "object",
    "properties": {"x": {"enum": [1, 2]}, "side": {"enum": ["left", "right"]}},
    "required": ["x", "side"],
    "additionalProperties": False,
}
FITS = Draft202012Validator(POINT).is_valid
HOT = {"temperature": 1.2, "max_tokens": 200}
LONG = {"type": "array", "items": {"enum": [0, 1]}, "minItems": 150}
"""An answer by this schema has more than 300 tokens."""


@pytest.fixture(scope="module")
def policy(tool_server: str) -> ServerPolicy:
    return ServerPolicy([tool_server])


def turns(messages: list[Message], *seeds: int, **options: Any) -> Any:
    values = {"max_tokens": 120, "temperature": 0.7, "turn": rule(), **options}
    return request(messages=messages, seeds=list(seeds), **values)


def generate(policy: ServerPolicy, asked: Any) -> Any:
    (generation,) = policy.submit([asked]).result(60)
    return generation


def texts(policy: ServerPolicy, asked: Any) -> list[str]:
    """The texts of samples that were all finished."""
    samples = generate(policy, asked)["samples"]
    assert [sample["finish_reason"] for sample in samples] == ["stop"] * len(samples)
    return [step["text"] for sample in samples for step in sample["steps"]]


def read(policy: ServerPolicy, asked: Any) -> list[Turn]:
    return [read_turn(text) for text in texts(policy, asked)]


def finished(policy: ServerPolicy, asked: Any) -> list[str]:
    """The texts of those samples, most of them, that found an end."""
    samples = generate(policy, asked)["samples"]
    ended = [sample for sample in samples if sample["finish_reason"] == "stop"]
    assert len(ended) > len(samples) / 2
    return [step["text"] for sample in ended for step in sample["steps"]]


def strict(*names: str) -> list[dict[str, Any]]:
    """Tools whose arguments vLLM keeps to their schema."""
    tools = [tool(name) for name in names]
    for one in tools:
        one["function"] |= {"strict": True, "parameters": POINT}
    return tools


@pytest.mark.parametrize(
    "messages",
    [
        offering("magic_function get_weather", MAGIC),
        HISTORY,
        [Message(role="system", content="Be brief."), UNHEARD],
    ],
)
def test_the_prompt_is_the_one_that_we_count(
    policy: ServerPolicy, tool_server: str, messages: list[Message]
) -> None:
    count = policy.count_prompt_tokens(messages)
    generation = generate(policy, turns(messages, 1, max_tokens=1))
    assert generation["prompt_tokens"] + generation["cached_tokens"] == count
    remote = RemoteTokens(ServerPool([tool_server]), "tool-model")
    assert len(remote.chat_ids(messages)) == count


@pytest.mark.parametrize("timed", [False, True])
def test_calls_that_the_server_found_are_turns_in_hermes_form(
    policy: ServerPolicy, timed: bool
) -> None:
    deadline = time.monotonic() + 60 if timed else None
    asked = turns(offering("magic_function", MAGIC), 1, 2, 3, deadline=deadline)
    assert texts(policy, asked) == [calling("magic_function", input=3)] * 3


def test_token_ids_and_log_probabilities_are_the_models(
    policy: ServerPolicy, tool_model: Path
) -> None:
    messages = offering("magic_function", MAGIC)
    model = AutoModelForCausalLM.from_pretrained(tool_model, dtype="float32")
    prompt = policy._tokens.chat_ids(messages)
    generation = generate(policy, turns(messages, *range(4), temperature=1.3))
    for sample in generation["samples"]:
        (step,) = sample["steps"]
        ids = torch.tensor([[*prompt, *step["token_ids"]]])
        with torch.inference_mode():
            logits = model(ids).logits[0, len(prompt) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(1, ids[:, len(prompt) :].T)
        assert step["logprob"] == pytest.approx(float(chosen.sum()), abs=1e-3)
    counts = [len(sample["steps"][0]["token_ids"]) for sample in generation["samples"]]
    assert generation["generated_tokens"] == sum(counts)


@pytest.mark.parametrize(
    ("choice", "known"), [("any", {"zig", "zag"}), ("zag", {"zag"})]
)
def test_a_turn_that_must_be_a_call_is_one_whatever_was_asked(
    policy: ServerPolicy, choice: str, known: set[str]
) -> None:
    messages = with_tools([UNHEARD], strict("zig", "zag"))
    asked = turns(messages, *range(8), turn=rule(choice), **HOT)
    for turn in map(read_turn, finished(policy, asked)):
        assert turn.calls
        assert not turn.invalid
        assert {made["name"] for made in turn.calls} <= known
        for made in turn.calls:
            assert FITS(made["arguments"])


def test_parallel_calls_are_made_only_where_they_may_be(policy: ServerPolicy) -> None:
    messages = offering("left right", user("Go both ways."))
    for parallel, names in ((True, ["left", "right"]), (False, ["left"])):
        (turn,) = read(policy, turns(messages, 1, turn=rule(parallel=parallel)))
        assert [made["name"] for made in turn.calls] == names


@pytest.mark.parametrize("choice", ["none", "auto"])
def test_an_answer_fits_its_schema_whatever_was_asked(
    policy: ServerPolicy, choice: str
) -> None:
    tools = strict("zig") if choice == "auto" else []
    turn = rule(choice, schema=POINT)
    asked = turns(with_tools([UNHEARD], tools), *range(8), turn=turn, **HOT)
    for text in finished(policy, asked):
        said = read_turn(text)
        found = [made["arguments"] for made in said.calls] or [json.loads(text)]
        assert all(map(FITS, found))
        assert not said.invalid
        assert tools or not said.calls


def test_a_schema_that_cannot_be_kept_is_explained(policy: ServerPolicy) -> None:
    schema = {"type": "nonsense"}
    with pytest.raises(ServerRefusedError, match="cannot keep the answer to this"):
        generate(policy, turns([UNHEARD], 1, turn=rule("none", schema=schema)))


def test_the_result_of_a_tool_is_answered(policy: ServerPolicy) -> None:
    assert texts(policy, turns(HISTORY, 1, 2)) == ["It is 3."] * 2


def test_a_turn_that_is_cut_says_so(policy: ServerPolicy) -> None:
    asked = turns(offering("magic_function", MAGIC), 1, 2, max_tokens=5)
    samples = generate(policy, asked)["samples"]
    assert [sample["finish_reason"] for sample in samples] == ["length"] * 2
    assert [len(sample["steps"][0]["token_ids"]) for sample in samples] == [5, 5]


def test_servers_of_one_model_share_the_turns(
    policy: ServerPolicy, tool_server: str
) -> None:
    twins = ServerPolicy([tool_server, tool_server.replace("127.0.0.1", "localhost")])
    for question in (MAGIC, UNHEARD, user("Hello!")):
        asked = turns(offering("magic_function", question), 1, 2, temperature=1.3)
        assert generate(twins, asked)["samples"] == generate(policy, asked)["samples"]


def endless(**options: Any) -> Any:
    turn = rule("none", schema=LONG)
    return turns([UNHEARD], *range(256), turn=turn, max_tokens=400, **options)


async def test_a_deadline_cuts_turns_and_stops_the_server(
    policy: ServerPolicy, tool_server: str
) -> None:
    deadline = time.monotonic() + 4
    generation = await asyncio.to_thread(generate, policy, endless(deadline=deadline))
    assert time.monotonic() - deadline < 10
    reasons = [sample["finish_reason"] for sample in generation["samples"]]
    assert reasons == ["length"] * 256
    assert 0 < generation["generated_tokens"] < 256 * 300
    await wait_until_idle(tool_server, 10)


async def test_cancelling_turns_reaches_the_server(
    policy: ServerPolicy, tool_server: str
) -> None:
    future = policy.submit([endless()])
    await wait_until_busy(tool_server, future)
    future.cancel()
    await wait_until_idle(tool_server, 10)


def chat_model(url: str, **options: Any) -> TTSChatModel:
    values = {"prm": None, "strategy": "majority_vote", "budget": 5, "seed": 1}
    return TTSChatModel(policy=url, **{**values, **options})


def test_a_search_votes_on_the_calls_of_a_server(tool_server: str) -> None:
    model = chat_model(tool_server, temperature=1.3, max_tokens=60)
    magic = tool("magic_function", "input")
    magic["function"]["parameters"]["properties"]["input"] = {"type": "integer"}
    message = model.bind_tools([magic]).invoke(str(MAGIC["content"]))
    assert isinstance(message, AIMessage)
    (made,) = message.tool_calls
    assert (made["name"], made["args"]) == ("magic_function", {"input": 3})
    told = message.response_metadata["tts"]
    assert told["strategy"] == "majority_vote"
    assert 1 < max(row["count"] for row in told["votes"]) <= 5
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 5 * 10


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_is_kept_to_its_schema(tool_server: str, method: Any) -> None:
    model = chat_model(tool_server, temperature=0.7, max_tokens=60)
    text = {"type": "string"}
    schema = {
        "title": "Joke",
        "type": "object",
        "properties": {"setup": text, "punchline": text},
        "required": ["setup", "punchline"],
        "additionalProperties": False,
    }
    answers: Any = model.with_structured_output(schema, method=method)
    assert answers.invoke("Tell me a joke about cats.") == JOKE
