"""The tool models' conversations, replayed with exact arithmetic and read back."""

from __future__ import annotations

import random
import re
from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from langchain_tts.engines.templates import template_arguments
from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import read_turn, tools_of
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.calculator import CALCULATOR, calculate
from langchain_tts.tinymath.corpus import IGNORED
from langchain_tts.tinymath.generator import load_split, problems, split_of
from langchain_tts.tinymath.problem import Problem
from langchain_tts.tinymath.tokenizer import END, WINDOW, tool_tokenizer
from langchain_tts.tinymath.tool_chats import ToolChat, example, make_chat, segments

CASES = 600


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return tool_tokenizer(AutoTokenizer.from_pretrained(WEIGHTS / "policy"))


@pytest.fixture(scope="module")
def chats() -> list[tuple[Problem, ToolChat]]:
    rng = random.Random(5)
    return [(p, make_chat(rng, p)) for p in islice(problems("train", 7), CASES)]


def exact(expression: str) -> Fraction:
    """One operation, worked out without the calculator."""
    found = re.fullmatch(r"(\d+)([-+*/])(\d+)", expression)
    assert found, expression
    left, right = Fraction(found[1]), Fraction(found[3])
    return {
        "+": left + right,
        "-": left - right,
        "*": left * right,
        "/": left / right if right else Fraction(0),
    }[found[2]]


def exchanges(messages: list[Message]) -> list[list[Message]]:
    """A conversation cut into questions with all that follows them."""
    starts = [i for i, m in enumerate(messages) if m["role"] == "user"]
    ends = [*starts[1:], len(messages)]
    return [messages[start:end] for start, end in zip(starts, ends, strict=True)]


def replay(exchange: list[Message]) -> tuple[list[str], int]:
    """Work all calls out anew; what worked, and how many calls failed."""
    results: dict[str, str] = {
        m["tool_call_id"]: m["content"] for m in exchange if m["role"] == "tool"
    }
    done, failed = [], 0
    # What may be used: the numbers of the question, and earlier results.
    known = set(re.findall(r"\d+", exchange[0]["content"])) | {"100"}
    for message in exchange:
        calls = message.get("tool_calls", [])
        for call in calls:
            result = results.pop(call["id"])
            if result.startswith("Error:"):
                failed += 1
                continue
            expression = call["arguments"]["expression"]
            assert set(re.findall(r"\d+", expression)) <= known
            assert Fraction(result) == exact(expression)
            done.append(f"{expression}={result}")
        known |= {m["content"] for m in exchange if m["role"] == "tool"}
    assert not results
    return done, failed


def test_every_call_is_right_and_leads_to_the_problems_answer(
    chats: list[tuple[Problem, ToolChat]],
) -> None:
    kinds: Counter[str] = Counter()
    for problem, chat in chats:
        *earlier, last = exchanges(chat.messages)
        kinds["earlier"] += len(earlier)
        assert last[0]["content"] == problem.question
        if not tools_of(chat.messages):
            kinds["text"] += 1
            assert last[1:] == [Message(role="assistant", content=problem.solution)]
            continue
        done, failed = replay(last)
        assert sorted(done) == sorted(map(str, problem.operations))
        answer = rf"Answer: \boxed{{{problem.answer}}}"
        assert last[-1] == Message(role="assistant", content=answer)
        assert failed == len(chat.mistakes)
        kinds["failed"] += failed
        kinds["parallel"] += any(len(m.get("tool_calls", [])) > 1 for m in last)
        kinds["others"] += len(tools_of(chat.messages)) > 1
    assert all(kinds[kind] > CASES / 60 for kind in ("text", "failed", "parallel"))
    assert kinds["others"] > CASES / 60
    assert 0 < kinds["earlier"] < CASES / 10


def test_a_call_that_failed_is_not_learned_but_all_other_turns_are(
    tokenizer: PreTrainedTokenizerFast, chats: list[tuple[Problem, ToolChat]]
) -> None:
    for _, chat in chats[:200]:
        turns = [
            part.split(END)[0]
            for part in tokenizer.decode(example(tokenizer, chat).ids).split(
                "<|assistant|>"
            )[1:]
        ]
        indices = [i for i, m in enumerate(chat.messages) if m["role"] == "assistant"]
        expected = [
            turn + END
            for i, turn in zip(indices, turns, strict=True)
            if i not in chat.mistakes
        ]
        learned = [
            label for label in example(tokenizer, chat).labels if label != IGNORED
        ]
        assert tokenizer.decode(learned) == "".join(expected)


def test_the_chat_template_writes_what_is_trained_on(
    tokenizer: PreTrainedTokenizerFast, chats: list[tuple[Problem, ToolChat]]
) -> None:
    for _, chat in chats:
        written, tools = template_arguments(chat.messages)
        text = tokenizer.apply_chat_template(written, tools=tools, tokenize=False)
        assert text == "".join(part for part, _ in segments(chat))
        ids = example(tokenizer, chat).ids
        assert tokenizer.encode(text) == ids
        assert len(ids) <= WINDOW


def test_the_turns_are_read_as_they_were_meant(
    chats: list[tuple[Problem, ToolChat]],
) -> None:
    for _, chat in chats:
        turns = [part for part, _ in segments(chat) if part.endswith(END)]
        said = [m for m in chat.messages if m["role"] == "assistant"]
        for turn, message in zip(turns, said, strict=True):
            read = read_turn(turn.removesuffix(END))
            assert read.content == message["content"]
            assert read.calls == [
                ToolCall(name=call["name"], arguments=call["arguments"])
                for call in message.get("tool_calls", [])
            ]


def test_no_question_in_a_conversation_is_held_out() -> None:
    rng = random.Random(1)
    problem = next(problems("train"))
    held_out = {p.question for p in (*load_split("test"), *load_split("calibration"))}
    asked = [
        message["content"]
        for _ in range(800)
        for message in make_chat(rng, problem).messages
        if message["role"] == "user"
    ]
    assert len(set(asked)) > 20
    assert not held_out.intersection(asked)
    assert {split_of(question) for question in asked} == {"train"}


CHAT = [
    {"role": "user", "content": "What is 2*3?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "a",
                "type": "function",
                "function": {"name": "calculator", "arguments": {"expression": "2*3"}},
            },
            {
                "id": "b",
                "type": "function",
                "function": {"name": "now", "arguments": {}},
            },
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "6"},
    {"role": "tool", "tool_call_id": "b", "content": "noon"},
]
CALLED = (
    '<tool_call>\n{"name": "calculator", "arguments": {"expression": "2*3"}}\n'
    "</tool_call>\n"
    '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
)


def test_the_template_takes_openais_messages(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    tools = [CALCULATOR, {"type": "function", "function": {"name": "now"}}]
    text = tokenizer.apply_chat_template(
        CHAT, tools=tools, tokenize=False, add_generation_prompt=True
    )
    assert text == (
        "<|system|><tools>calculator(expression)\nnow()</tools>"
        f"<|user|>What is 2*3?<|assistant|>{CALLED}<|end|>"
        "<|tool|>6<|tool|>noon<|assistant|>"
    )


def test_a_system_prompt_stands_behind_the_tools(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    chat = [{"role": "system", "content": "Be brief."}, CHAT[0]]
    settings = {"tokenize": False, "add_generation_prompt": True}
    both = tokenizer.apply_chat_template(chat, tools=[CALCULATOR], **settings)
    assert both == (
        "<|system|><tools>calculator(expression)</tools>\nBe brief."
        "<|user|>What is 2*3?<|assistant|>"
    )
    without = tokenizer.apply_chat_template(chat, **settings)
    assert without == "<|system|>Be brief.<|user|>What is 2*3?<|assistant|>"


def test_a_chat_without_tools_is_written_as_by_the_other_models(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    chat = [
        {"role": "system", "content": "Solve the problem."},
        {"role": "user", "content": "1+1"},
        {"role": "assistant", "content": "1+1=2"},
        {"role": "user", "content": "2+2"},
    ]
    other = AutoTokenizer.from_pretrained(WEIGHTS / "policy")
    settings = {"tokenize": True, "return_dict": False, "add_generation_prompt": True}
    assert tokenizer.apply_chat_template(chat, **settings) == other.apply_chat_template(
        chat, **settings
    )


def test_decoding_keeps_the_marks_of_a_call_and_a_call_is_short(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    ids = tokenizer.encode(CALLED + END)
    assert tokenizer.decode(ids, skip_special_tokens=True) == CALLED
    call = CALLED.partition("</tool_call>")[0] + "</tool_call>"
    # The marks, the name and the argument's name, five of JSON, and `2*3`.
    assert len(tokenizer.encode(call)) == 2 + 2 + 5 + 3


@pytest.mark.parametrize(
    "text", ["calculators", '{"a": {"b": 1}}', "<tool_call", "expressionless\n\nöß 🙂"]
)
def test_any_text_survives_the_tokenizer(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_beginning_of_a_call_is_written_in_the_same_tokens(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    whole = tokenizer.encode(CALLED)
    for begun in (
        '<tool_call>\n{"name": "',
        '<tool_call>\n{"name": "calculator", "arguments":',
    ):
        ids = tokenizer.encode(begun)
        assert whole[: len(ids)] == ids


def test_failures_are_what_the_calculator_says(
    chats: list[tuple[Problem, ToolChat]],
) -> None:
    unreadable = 0
    for _, chat in chats:
        for index in chat.mistakes:
            calls = chat.messages[index]["tool_calls"]
            results = chat.messages[index + 1 : index + 1 + len(calls)]
            for call, result in zip(calls, results, strict=True):
                said = calculate(call["arguments"]["expression"])
                if said.startswith("Error:"):
                    unreadable += 1
                    assert result["content"] == said
    assert unreadable > 3
