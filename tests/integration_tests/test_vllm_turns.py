"""Turns of the vLLM policy on a real vLLM, with a model that never learned to call.

That what it says is valid all the same shows that generation is constrained.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from transformers import AutoModelForCausalLM

from langchain_tts.engines.tokens import ModelTokenizer
from langchain_tts.policies import resolve_policy
from langchain_tts.policies.base import Generation, GenerationRequest, Sample, Step
from langchain_tts.policies.turns_forms import ParsedForm
from langchain_tts.policies.vllm import VLLMPolicy
from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import Turn, read_turn, write_turn
from langchain_tts.tinymath import WEIGHTS
from tests.unit_tests.tiny_models import question
from tests.unit_tests.tiny_models import request as tiny_request
from tests.unit_tests.tiny_tools import chat, rule, tool

pytest.importorskip("vllm")

OPTIONS: dict[str, Any] = {"max_model_len": 512, "enforce_eager": True}
PYTHON_TAG = "<|python_tag|>"
TEMPLATE = (
    "{% for t in tools or [] %}{{ t.function.name + ' ' }}{% endfor %}"
    "{% for m in messages %}{{ '<|user|>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SEEDS = list(range(16))
SHORT = {"type": "string", "pattern": "^[0-9]{1,3}[+*-][0-9]{1,3}$"}
CALCULATOR = tool()
CALCULATOR["function"]["parameters"]["properties"]["expression"] = SHORT
CLOCK = tool("clock", "zone")
CLOCK["function"]["parameters"]["properties"]["zone"] = {"enum": ["UTC", "CET"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "unit": {"enum": ["km", "m"]},
        "kind": {"$ref": "#/$defs/kind"},
    },
    "required": ["unit", "kind"],
    "additionalProperties": False,
    "$defs": {
        "kind": {
            "type": "object",
            "properties": {"long": {"type": "boolean"}},
            "additionalProperties": False,
        }
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded policy, whose template shows tools; with Llama's mark of a call."""
    folder = tmp_path_factory.mktemp("tools") / "policy"
    shutil.copytree(WEIGHTS / "policy", folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace("<|step|>", PYTHON_TAG))
    return folder


@pytest.fixture(scope="module")
def policy(folder: Path) -> Iterator[VLLMPolicy]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        policy = VLLMPolicy(folder, **OPTIONS)
        yield policy
        policy.engine.close()


@pytest.fixture(scope="module")
def tokens(policy: VLLMPolicy) -> ModelTokenizer:
    return policy.engine.tokens


def request(**changes: Any) -> GenerationRequest:
    values = {
        "messages": chat("12+34=", CALCULATOR, CLOCK),
        "turn": rule(),
        "max_tokens": 300,
        "seeds": SEEDS,
        **changes,
    }
    return tiny_request(**values)


def only_step(sample: Sample) -> Step:
    [step] = sample["steps"]
    return step


def texts(generation: Generation) -> list[str]:
    return [only_step(sample)["text"] for sample in generation["samples"]]


def ended_turns(generation: Generation) -> list[Turn]:
    """The turns that were not cut, which are most."""
    found = [
        read_turn(only_step(sample)["text"])
        for sample in generation["samples"]
        if sample["finish_reason"] == "stop"
    ]
    assert len(found) > len(generation["samples"]) // 2
    return found


def check_calls(turn: Turn) -> None:
    """The turn is calls and nothing else, and all of them fit."""
    schemas = {
        one["function"]["name"]: one["function"]["parameters"]
        for one in (CALCULATOR, CLOCK)
    }
    assert turn.content == ""
    assert turn.invalid == []
    for call in turn.calls:
        jsonschema.validate(call["arguments"], schemas[call["name"]])


def test_the_model_does_not_call_by_itself(policy: VLLMPolicy) -> None:
    [done] = policy.invoke([request()])
    assert not any(read_turn(text).calls for text in texts(done))


def test_a_turn_that_may_be_anything_is_one_step_of_the_plain_model(
    policy: VLLMPolicy, tokens: ModelTokenizer, folder: Path
) -> None:
    [done] = policy.invoke([request()])
    assert any("\n\n" in text for text in texts(done))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = tokens.chat_ids(request()["messages"])
    assert tokens.text(prompt) == "calculator clock <|user|>12+34=<|assistant|>"
    for sample in done["samples"][:4]:
        step = only_step(sample)
        ended = step["token_ids"][-1] in tokens.eos_ids
        assert sample["finish_reason"] == ("stop" if ended else "length")
        with torch.inference_mode():
            logits = plain(torch.tensor([prompt + step["token_ids"]])).logits[0]
        rows = logits.double().log_softmax(dim=-1)[len(prompt) - 1 : -1]
        expected = sum(
            float(row[token])
            for row, token in zip(rows, step["token_ids"], strict=True)
        )
        assert step["logprob"] == pytest.approx(expected, abs=2e-3)


def test_calls_that_are_asked_for_are_valid(policy: VLLMPolicy) -> None:
    [done] = policy.invoke([request(turn=rule("any"), temperature=2.0)])
    turns = ended_turns(done)
    for turn in turns:
        assert turn.calls
        check_calls(turn)
    names = {call["name"] for turn in turns for call in turn.calls}
    assert names == {"calculator", "clock"}


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_one_call_is_made_where_they_are_not_parallel(
    policy: VLLMPolicy, temperature: float
) -> None:
    turn = rule("any", parallel=False)
    [done] = policy.invoke([request(turn=turn, temperature=temperature)])
    for sample in done["samples"]:
        assert sample["finish_reason"] == "stop"
        read = read_turn(only_step(sample)["text"])
        assert len(read.calls) == 1
        check_calls(read)


def test_the_tool_that_is_named_is_called(policy: VLLMPolicy) -> None:
    [done] = policy.invoke([request(turn=rule("clock"))])
    for sample in done["samples"]:
        assert sample["finish_reason"] == "stop"
        read = read_turn(only_step(sample)["text"])
        assert [call["name"] for call in read.calls] == ["clock"]
        check_calls(read)


def test_an_answer_fits_its_schema(policy: VLLMPolicy) -> None:
    wanted = request(messages=question(), turn=rule(schema=SCHEMA))
    [done] = policy.invoke([wanted])
    for sample in done["samples"]:
        assert sample["finish_reason"] == "stop"
        jsonschema.validate(json.loads(only_step(sample)["text"]), SCHEMA)


def test_with_tools_and_a_schema_a_turn_is_either(policy: VLLMPolicy) -> None:
    seeds = list(range(64))
    wanted = request(turn=rule(schema=SCHEMA), seeds=seeds, temperature=2.0)
    [done] = policy.invoke([wanted])
    answers = 0
    turns = ended_turns(done)
    for turn in turns:
        if turn.calls:
            check_calls(turn)
        else:
            answers += 1
            jsonschema.validate(json.loads(turn.content), SCHEMA)
    assert 0 < answers < len(turns)


def test_a_turn_depends_on_its_seed_and_not_on_its_batch(policy: VLLMPolicy) -> None:
    turn = rule("any", parallel=False)
    wanted = request(turn=turn)
    [together] = policy.invoke([wanted])
    others = [request(turn=rule(schema=SCHEMA), seeds=[90 + i]) for i in range(8)]
    *_, again = policy.invoke([*others, wanted])
    alone = [policy.invoke([request(turn=turn, seeds=[s])])[0] for s in SEEDS[:4]]
    assert texts(again) == texts(together)
    assert [texts(one)[0] for one in alone] == texts(together)[:4]
    assert len(set(texts(together))) > 1


def test_a_deadline_cuts_a_turn(policy: VLLMPolicy) -> None:
    endless = tool()
    endless["function"]["parameters"]["properties"]["expression"] = {
        "type": "string",
        "minLength": 400,
    }
    messages = chat("12+34=", endless)
    wanted = request(messages=messages, turn=rule("any"), max_tokens=450)
    policy.invoke([{**wanted, "max_tokens": 1}])
    started = time.monotonic()
    [cut] = policy.invoke([{**wanted, "deadline": started + 0.4}])
    assert time.monotonic() - started < 10
    [whole] = policy.invoke([wanted])
    for sample, other in zip(cut["samples"], whole["samples"], strict=True):
        assert sample["finish_reason"] == "length"
        some, every = only_step(sample), only_step(other)
        assert every["token_ids"][: len(some["token_ids"])] == some["token_ids"]
        assert len(some["token_ids"]) < len(every["token_ids"])
        assert read_turn(some["text"]).calls == []


def test_a_schema_that_is_none_is_an_error_and_the_engine_lives_on(
    policy: VLLMPolicy,
) -> None:
    wrong = rule(schema={"type": "object", "properties": {"a": {"type": "colour"}}})
    with pytest.raises(ValueError, match='Unsupported type "colour"'):
        policy.invoke([request(turn=wrong)])
    [done] = policy.invoke([request(turn=rule("clock"), seeds=[1])])
    assert read_turn(texts(done)[0]).calls


def test_a_cancelled_turn_frees_the_engine(policy: VLLMPolicy) -> None:
    future = policy.submit([request(turn=rule("any"))] * 8)
    time.sleep(0.1)
    assert future.cancel()
    until = time.monotonic() + 10
    while policy.engine.llm.get_num_unfinished_requests():
        assert time.monotonic() < until
        time.sleep(0.01)


TURNS = [
    ("", [ToolCall(name="calculator", arguments={"expression": "12*7"})]),
    ("I look.\n\nTwice.", [ToolCall(name="clock", arguments={"zone": "日本 🙂"})]),
    (
        "",
        [
            ToolCall(name="a", arguments={}),
            ToolCall(name="b", arguments={"x": [1, {"y": None}], "z": "\n\"'}{<b>"}),
        ],
    ),
    ("No call.", []),
]


@pytest.mark.parametrize(("content", "calls"), TURNS)
def test_vllms_own_parser_reads_what_we_write_and_we_what_it_reads(
    tokens: ModelTokenizer, content: str, calls: list[ToolCall]
) -> None:
    text = write_turn(content, calls)
    form = ParsedForm("hermes", tokens)
    form.check()
    ids = [*tokens.encode(text), tokens.tokenizer.eos_token_id]
    assert form.texts(tokens, [ids], [CALCULATOR]) == [text]
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.tool_parsers import ToolParserManager

    parser = ToolParserManager.get_tool_parser("hermes")(tokens.tokenizer)
    theirs = parser.extract_tool_calls(text, ChatCompletionRequest(messages=[]))
    assert (theirs.content or "").strip() == content
    assert [
        ToolCall(name=one.function.name, arguments=json.loads(one.function.arguments))
        for one in theirs.tool_calls
    ] == calls
    assert read_turn(text) == Turn(content, calls, [])


def test_vllms_own_parser_reads_what_was_generated(
    policy: VLLMPolicy, tokens: ModelTokenizer
) -> None:
    [done] = policy.invoke([request(turn=rule("any", parallel=False))])
    ids = [only_step(sample)["token_ids"] for sample in done["samples"]]
    theirs = ParsedForm("hermes", tokens).texts(tokens, ids, [CALCULATOR, CLOCK])
    ours = [read_turn(text) for text in texts(done)]
    assert [read_turn(text) for text in theirs] == ours


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            f'{PYTHON_TAG}{{"name": "clock", "parameters": {{"zone": "UTC"}}}}<|end|>',
            write_turn("", [ToolCall(name="clock", arguments={"zone": "UTC"})]),
        ),
        ("It is noon.<|end|>", "It is noon."),
        (f'{PYTHON_TAG}{{"name": "clock", "para', '{"name": "clock", "para'),
        (
            '{"name": "clock", "parameters": "UTC"}',
            '<tool_call>\n{"name": "clock", "arguments": "UTC"}\n</tool_call>',
        ),
        (
            '{"name": ["clock"], "parameters": {}}',
            '{"name": ["clock"], "parameters": {}}',
        ),
    ],
)
def test_calls_of_another_form_become_hermes_text(
    tokens: ModelTokenizer, written: str, expected: str
) -> None:
    form = ParsedForm("llama3_json", tokens)
    assert form.texts(tokens, [tokens.encode(written)], [CLOCK]) == [expected]


def test_a_parser_that_fails_makes_an_invalid_call(
    tokens: ModelTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = ParsedForm("llama3_json", tokens)
    form.check()

    def fail(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr(form._parser, "extract_tool_calls", fail)
    [text] = form.texts(tokens, [tokens.encode("[clock(")], [CLOCK])
    read = read_turn(text)
    assert read.calls == []
    assert [one.text for one in read.invalid] == ["[clock("]


@pytest.mark.parametrize("option", ["tool_call_parser=llama3_json", "family=llama-3"])
def test_a_form_of_vllms_is_forced_and_read(
    policy: VLLMPolicy, folder: Path, option: str
) -> None:
    options = "&".join(f"{key}={json.dumps(value)}" for key, value in OPTIONS.items())
    named = resolve_policy(f"vllm:{folder}?{options}&{option}")
    assert isinstance(named, VLLMPolicy)
    assert named.engine is policy.engine
    [done] = named.invoke([request(turn=rule("any", parallel=False))])
    for sample in done["samples"]:
        step = only_step(sample)
        assert sample["finish_reason"] == "stop"
        sampled = policy.engine.tokens.text(step["token_ids"])
        assert sampled.startswith('{"name": ')
        read = read_turn(step["text"])
        assert len(read.calls) == 1
        check_calls(read)


def test_a_parser_that_cannot_be_used_is_a_clear_error(
    policy: VLLMPolicy, folder: Path
) -> None:
    with pytest.raises(ValueError, match=r"no tool parser 'lama'; it has .*hermes"):
        VLLMPolicy(folder, tool_call_parser="lama", **OPTIONS)
    with pytest.raises(ValueError, match="'mistral' is not for the model"):
        VLLMPolicy(folder, tool_call_parser="mistral", **OPTIONS)
    assert policy.invoke([request(seeds=[1])])
