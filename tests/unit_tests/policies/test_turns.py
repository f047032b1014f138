"""Turns of the transformers policy against plain forward passes of the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from langchain_tts.engines.errors import NoToolsError
from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.policies._outputs import Written
from langchain_tts.policies.base import Sample, Step
from langchain_tts.policies.families import FAMILIES
from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.policies.turns import opening, read_requests
from langchain_tts.policies.turns_forms import HermesForm
from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import write_turn
from tests.unit_tests.tiny_models import question, request, save_model
from tests.unit_tests.tiny_tools import (
    TOOLS_TEMPLATE,
    chat,
    rule,
    save_tool_model,
    tool,
    turn_request,
)

END = 1
ANY = '<tool_call>\n{"name": "'
NAMED = '<tool_call>\n{"name": "calculator", "arguments":'
SEEDS = list(range(8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tool_model(tmp_path_factory.mktemp("tools"))


@pytest.fixture(scope="module")
def policy(folder: Path) -> TransformersPolicy:
    return TransformersPolicy(folder)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    """The same weights in transformers' own attention, as the oracle."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def only_step(sample: Sample) -> Step:
    [step] = sample["steps"]
    return step


def plain_logprob(model: Any, prompt: list[int], new: list[int]) -> float:
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + new])).logits[0].double()
    rows = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
    return sum(float(row[token]) for row, token in zip(rows, new, strict=True))


def plain_greedy(model: Any, prompt: list[int], tokens: int) -> list[int]:
    written: list[int] = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=tokens,
        do_sample=False,
    )[0, len(prompt) :].tolist()
    return written


def test_tools_calls_and_results_reach_the_template(
    policy: TransformersPolicy,
) -> None:
    call = ToolCall(name="calculator", arguments={"expression": "1+2"}, id="a")
    messages = [
        *chat("1+2=", tool(), tool("clock", "zone")),
        Message(role="assistant", content="", tool_calls=[call]),
        Message(role="tool", content="3", tool_call_id="a"),
    ]
    assert policy.model.tokens.chat_text(messages) == (
        "<tag>calculator clock <user>1+2="
        '<user><tool_call>{"name": "calculator", "arguments": {"expression": "1+2"}}'
        "</tool_call><user>3<assistant>"
    )


def test_a_turn_is_one_step_with_its_blank_lines(
    policy: TransformersPolicy, plain: Any
) -> None:
    prompt = policy.model.tokens.chat_ids(chat())
    [done] = policy.invoke([turn_request(seeds=list(range(200)), temperature=1.3)])
    texts = []
    for sample in done["samples"]:
        step = only_step(sample)
        ended = step["token_ids"][-1] == END
        assert sample["finish_reason"] == ("stop" if ended else "length")
        assert ended or len(step["token_ids"]) == 40
        texts.append(step["text"])
    assert any("\n\n" in text for text in texts)
    assert {sample["finish_reason"] for sample in done["samples"]} == {"stop", "length"}
    for sample in done["samples"][:8]:
        step = only_step(sample)
        expected = plain_logprob(plain, prompt, step["token_ids"])
        assert step["logprob"] == pytest.approx(expected, abs=1e-3)


def test_turns_and_steps_share_a_batch(policy: TransformersPolicy, plain: Any) -> None:
    wanted = [
        request("1+1=", seeds=[1], by_step=True),
        turn_request("2+2=", seeds=SEEDS),
        request("1+1=", seeds=[2]),
        turn_request("2+2=", temperature=0.0),
    ]
    together = policy.invoke(wanted)
    for one, alone in zip(wanted, together, strict=True):
        [again] = policy.invoke([one])
        for sample, other in zip(again["samples"], alone["samples"], strict=True):
            steps, others = sample["steps"], other["steps"]
            assert [s["token_ids"] for s in steps] == [s["token_ids"] for s in others]
            assert [s["text"] for s in steps] == [s["text"] for s in others]
    prompt = policy.model.tokens.chat_ids(chat("2+2="))
    greedy = only_step(together[3]["samples"][0])["token_ids"]
    assert greedy == plain_greedy(plain, prompt, 40)


@pytest.mark.parametrize(("choice", "text"), [("any", ANY), ("calculator", NAMED)])
def test_a_call_that_is_asked_for_is_begun(
    policy: TransformersPolicy, plain: Any, choice: str, text: str
) -> None:
    prompt = policy.model.tokens.chat_ids(chat("3+3="))
    begun = policy.model.tokens.encode(text)
    assert policy.model.tokens.text(begun) == text
    limit = len(begun) + 20
    wanted = turn_request("3+3=", turn=rule(choice), max_tokens=limit, seeds=SEEDS)
    greedy = turn_request("3+3=", turn=rule(choice), max_tokens=limit, temperature=0.0)
    [done, best] = policy.invoke([wanted, greedy])
    for sample in done["samples"]:
        step = only_step(sample)
        assert step["text"].startswith(text)
        assert step["token_ids"][: len(begun)] == begun
        assert (len(step["token_ids"]) == limit) or sample["finish_reason"] == "stop"
        expected = plain_logprob(plain, prompt, step["token_ids"])
        assert step["logprob"] == pytest.approx(expected, abs=1e-3)
    assert len({tuple(only_step(s)["token_ids"]) for s in done["samples"]}) > 4
    rest = only_step(best["samples"][0])["token_ids"][len(begun) :]
    assert rest == plain_greedy(plain, prompt + begun, 20)
    for generation in (done, best):
        read = generation["prompt_tokens"] + generation["cached_tokens"]
        assert read == len(prompt)


def test_a_turn_that_somebody_wrote_is_read_as_if_generated(
    policy: TransformersPolicy, plain: Any
) -> None:
    text = write_turn("I see.\n\nSo:", [ToolCall(name="calculator", arguments={})])
    step = policy.read_step(chat(), [], text, ends=True)
    assert step["text"] == text
    assert step["token_ids"] == [*policy.model.tokens.encode(text), END]
    prompt = policy.model.tokens.chat_ids(chat())
    expected = plain_logprob(plain, prompt, step["token_ids"])
    assert step["logprob"] == pytest.approx(expected, abs=1e-3)


def test_a_turn_too_short_for_a_call_is_cut_as_it_comes(
    policy: TransformersPolicy,
) -> None:
    wanted = turn_request("3+3=", turn=rule("any"), max_tokens=5, temperature=0.0)
    [done] = policy.invoke([wanted])
    [sample] = done["samples"]
    assert sample["finish_reason"] == "length"
    assert len(only_step(sample)["token_ids"]) == 5
    [none] = policy.invoke([turn_request(turn=rule("any"), deadline=0.0)])
    assert none["samples"] == [Sample(steps=[], finish_reason="length")]


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_nothing_is_begun_where_a_text_will_do(
    policy: TransformersPolicy, choice: str
) -> None:
    assert opening(rule(choice), policy.model.tokens) == []


@pytest.mark.parametrize(
    "template",
    [
        TOOLS_TEMPLATE.replace("tool_call>", "python_call>"),
        TOOLS_TEMPLATE.replace('{"name": "', "<function="),
    ],
)
def test_nothing_is_begun_where_calls_have_another_form(
    tmp_path: Path, template: str
) -> None:
    tokens, _ = load_tokenizer(save_tool_model(tmp_path, template=template))
    assert opening(rule("any"), tokens) == []


def test_the_text_keeps_the_marks_of_calls_though_they_are_special_tokens(
    tmp_path: Path,
) -> None:
    folder = save_tool_model(tmp_path, vocab_size=300)
    tokens, _ = load_tokenizer(folder)
    tokens.tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<user>", "<tool_call>", "</tool_call>"]}
    )
    tokens.tokenizer.save_pretrained(folder)
    tokens, _ = load_tokenizer(folder)
    ids = tokens.encode('<user>a\n\n<tool_call>{"name": "b"}</tool_call>\n<end>')
    assert tokens.token_id("<tool_call>") in ids
    assert set(tokens.tokenizer.all_special_ids) & set(ids) > {END}
    written = Written(ids, [-0.5] * len(ids), "stop")
    [[sample]] = read_requests(tokens, HermesForm(), [(turn_request(), [written])])
    [step] = sample["steps"]
    assert step["text"] == 'a\n\n<tool_call>{"name": "b"}</tool_call>'
    assert step["token_ids"] == ids
    assert step["logprob"] == pytest.approx(-0.5 * len(ids))


def test_a_model_without_tools_says_so(tmp_path: Path) -> None:
    policy = TransformersPolicy(save_model(tmp_path))
    with pytest.raises(NoToolsError, match="cannot call tools"):
        policy.submit([turn_request()])


def test_a_turn_gets_no_system_prompt_of_its_family(folder: Path) -> None:
    policy = TransformersPolicy(folder, family="qwen2.5")
    tokens = policy.model.tokens
    extra = len(tokens.encode("<user>" + (FAMILIES["qwen2.5"].system_prompt or "")))
    asked = {
        "answer": request(max_tokens=1),
        "schema": turn_request(
            messages=question(), turn=rule(schema={"type": "object"}), max_tokens=1
        ),
        "tools": turn_request(max_tokens=1),
    }
    read = {
        name: one["prompt_tokens"] + one["cached_tokens"]
        for name, one in zip(asked, policy.invoke([*asked.values()]), strict=True)
    }
    assert read["schema"] == len(tokens.chat_ids(question()))
    assert read["answer"] == read["schema"] + extra
    assert read["tools"] == len(tokens.chat_ids(chat()))
    # Tools are in the conversation, a schema is not.
    assert policy.count_prompt_tokens(chat()) == read["tools"]
    assert policy.count_prompt_tokens(question()) == read["answer"]
