"""Training data of the tool models: conversations that solve problems by tool calls.

In each turn the assistant calls the calculator for every operation whose inputs are
known, one operation a call; when all are done it answers.
"""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import tools_of, write_turn
from langchain_tts.tinymath.calculator import CALCULATOR, calculate
from langchain_tts.tinymath.corpus import IGNORED, SYSTEM_PROMPTS, Example
from langchain_tts.tinymath.generator import make_problem, problems, split_of
from langchain_tts.tinymath.tokenizer import END, ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from typing import Any

    from transformers import PreTrainedTokenizerFast

    from langchain_tts.tinymath.problem import Operation, Problem

_TEXT_SHARE = 0.12
"""Of worked solutions without tools."""
_SYSTEM_SHARE = 0.15
_HISTORY_SHARE = 0.05
_OTHER_TOOLS_SHARE = 0.1
_MISTAKE_SHARE = 0.08
"""Of conversations in which one call fails and is then made again."""

_OTHER_TOOLS = (
    ("search", ("query",)),
    ("get_weather", ("city",)),
    ("get_time", ()),
    ("send_email", ("to", "subject", "body")),
)
_FAILURES = (
    "Error: timeout",
    "Error: the tool is busy",
    "Error: invalid input\n Please fix your mistakes.",
)


class ToolChat(NamedTuple):
    """A conversation, and which of its assistant's turns are not to be learned."""

    messages: list[Message]
    mistakes: frozenset[int] = frozenset()


def tool_examples(
    tokenizer: PreTrainedTokenizerFast, count: int, seed: int
) -> Iterator[Example]:
    """Token ids of conversations about training problems."""
    rng = random.Random(f"tool examples {seed}")
    for problem in islice(problems("train", seed), count):
        yield example(tokenizer, make_chat(rng, problem))


def make_chat(rng: random.Random, problem: Problem) -> ToolChat:
    """One conversation in which a problem is solved, with or without tools."""
    messages = _opening(rng)
    with_tools = bool(tools_of(messages))
    mistakes: set[int] = set()
    if rng.random() < _HISTORY_SHARE:
        earlier = _easy_problem(rng)
        messages += solve(earlier) if with_tools else _explain(earlier)
    if not with_tools:
        messages += _explain(problem)
    elif rng.random() < _MISTAKE_SHARE:
        start = len(messages)
        turn = rng.randint(1, len(layers(problem.operations)))
        messages += solve(problem, failing=turn, rng=rng)
        mistakes.add(start + _turn_starts(messages[start:])[turn - 1])
    else:
        messages += solve(problem)
    return ToolChat(messages, frozenset(mistakes))


def _opening(rng: random.Random) -> list[Message]:
    """A system message or none; without tools there are none in it."""
    text = rng.choice(SYSTEM_PROMPTS) if rng.random() < _SYSTEM_SHARE else ""
    if rng.random() < _TEXT_SHARE:
        return [Message(role="system", content=text)] if text else []
    tools = [CALCULATOR]
    if rng.random() < _OTHER_TOOLS_SHARE:
        others = rng.sample(_OTHER_TOOLS, rng.randint(1, 2))
        tools += [_function(name, names) for name, names in others]
        rng.shuffle(tools)
    return [Message(role="system", content=text, tools=tools)]


def _function(name: str, parameters: tuple[str, ...]) -> dict[str, Any]:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def _easy_problem(rng: random.Random) -> Problem:
    while True:
        problem = make_problem(rng, rng.randint(1, 2))
        if split_of(problem.question) == "train":
            return problem


def _explain(problem: Problem) -> list[Message]:
    return [
        Message(role="user", content=problem.question),
        Message(role="assistant", content=problem.solution),
    ]


def layers(operations: tuple[Operation, ...]) -> list[list[int]]:
    """Indices of the operations, those that can be done at the same time together."""
    depth: list[int] = []
    for operation in operations:
        depth.append(1 + max((depth[need] for need in operation.needs), default=0))
    return [
        [i for i, own in enumerate(depth) if own == layer]
        for layer in range(1, max(depth) + 1)
    ]


def ready(operations: Sequence[Operation], done: AbstractSet[int]) -> list[int]:
    """Indices of the operations that are still to be done and whose inputs are known.

    Args:
        operations: All of a problem.
        done: Indices of those that are done.
    """
    return [
        i
        for i, operation in enumerate(operations)
        if i not in done and done >= set(operation.needs)
    ]


def solve(
    problem: Problem, *, failing: int | None = None, rng: random.Random | None = None
) -> list[Message]:
    """The messages from a question to its answer.

    Args:
        problem: With its operations.
        failing: The turn, counted from 1, in which one call fails.
        rng: Draws how it fails.
    """
    messages = [Message(role="user", content=problem.question)]
    done: set[int] = set()
    turn = 0
    while len(done) < len(problem.operations):
        turn += 1
        possible = ready(problem.operations, done)
        calls = {i: _call(problem.operations[i]) for i in possible}
        done.update(possible)
        if turn == failing and rng is not None:
            bad = rng.choice(possible)
            calls[bad] = _failing_call(rng, problem.operations[bad])
            done.remove(bad)
        messages += calling(list(calls.values()), turn)
    answer = rf"Answer: \boxed{{{problem.answer}}}"
    return [*messages, Message(role="assistant", content=answer)]


def _call(operation: Operation) -> tuple[str, str]:
    """An expression, and what the calculator says."""
    return operation.expression, calculate(operation.expression)


def _failing_call(rng: random.Random, operation: Operation) -> tuple[str, str]:
    """An expression, and that it failed."""
    expression = operation.expression
    if rng.random() < 0.5:  # noqa: PLR2004
        return expression, rng.choice(_FAILURES)
    left, symbol, right = operation.left, operation.symbol, operation.right
    bad = rng.choice(
        (
            f"{left}{symbol}",
            f"{left}{symbol}{rng.choice('*/')}{right}",
            f"({expression}",
            f"{expression}=",
            f"{left}{symbol}x",
        )
    )
    return bad, calculate(bad)


def calling(calls: Sequence[tuple[str, str]], turn: int) -> list[Message]:
    """One turn that calls the calculator, and the tool's messages.

    Args:
        calls: Expressions and results.
        turn: Makes the calls' ids differ from those of other turns.
    """
    ids = [f"call_{turn}_{number}" for number in range(len(calls))]
    made = [
        ToolCall(name="calculator", arguments={"expression": expression}, id=name)
        for name, (expression, _) in zip(ids, calls, strict=True)
    ]
    return [
        Message(role="assistant", content="", tool_calls=made),
        *(
            Message(role="tool", content=result, tool_call_id=name)
            for name, (_, result) in zip(ids, calls, strict=True)
        ),
    ]


def _turn_starts(messages: list[Message]) -> list[int]:
    return [i for i, message in enumerate(messages) if message["role"] == "assistant"]


def example(tokenizer: PreTrainedTokenizerFast, chat: ToolChat) -> Example:
    """Token ids of a conversation; the loss is on the assistant's turns."""
    ids: list[int] = []
    labels: list[int] = []
    for text, learned in segments(chat):
        piece = tokenizer.encode(text)
        ids += piece
        labels += piece if learned else [IGNORED] * len(piece)
    return Example(ids, labels)


def segments(chat: ToolChat) -> list[tuple[str, bool]]:
    """A conversation as the chat template writes it, and which parts are learned."""
    written: list[tuple[str, bool]] = []
    for index, message in enumerate(chat.messages):
        role, content = message["role"], message["content"]
        if role == "assistant":
            turn = write_turn(content, message.get("tool_calls", []))
            written += [(ROLES[role], False), (turn + END, index not in chat.mistakes)]
        else:
            written.append((ROLES[role] + _tools_block(message) + content, False))
    return written


def _tools_block(message: Message) -> str:
    if "tools" not in message:
        return ""
    shown = [
        f"{f['name']}({', '.join(f['parameters']['properties'])})"
        for f in (tool["function"] for tool in message["tools"])
    ]
    gap = "\n" if message["content"] else ""
    return "<tools>" + "\n".join(shown) + "</tools>" + gap
