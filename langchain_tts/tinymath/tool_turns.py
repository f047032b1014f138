"""On-policy turns of the tool policy, each labelled exactly.

Every turn follows right turns alone. It is right if it makes progress: its calls carry
out operations that are still to be done and whose inputs are known, whichever of them
and in whatever order, or it gives the answer after the last of them.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.policies.base import GenerationRequest
from langchain_tts.search.state import Message
from langchain_tts.search.turns import TurnRule, read_turn
from langchain_tts.tinymath.calculator import CALCULATOR, calculate
from langchain_tts.tinymath.problem import STATED_ANSWER
from langchain_tts.tinymath.rollouts import TEMPERATURE, Rollout, whole_answers
from langchain_tts.tinymath.tool_chats import calling, layers, ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_tts.policies.base import Policy, Sample
    from langchain_tts.search.state import ToolCall
    from langchain_tts.tinymath.problem import Operation, Problem

_GROUP = 128
"""Turns in one call of the policy."""

ANY_TURN = TurnRule(choice="auto", parallel=True, schema=None, vote="whole", ignored=[])


class Position(NamedTuple):
    """Where a turn is to be made: what was said, and which operations are done."""

    problem: Problem
    messages: list[Message]
    done: frozenset[int]


def opening(question: str) -> list[Message]:
    """A question to an assistant that has the calculator."""
    return [
        Message(role="system", content="", tools=[CALCULATOR]),
        Message(role="user", content=question),
    ]


def positions(problem: Problem) -> Iterator[Position]:
    """All positions on the way that training shows."""
    messages, done = opening(problem.question), frozenset[int]()
    yield Position(problem, messages, done)
    for turn, layer in enumerate(layers(problem.operations)):
        expressions = [problem.operations[i].expression for i in layer]
        made = calling([(e, calculate(e)) for e in expressions], turn)
        messages, done = [*messages, *made], done.union(layer)
        yield Position(problem, messages, done)


def right_turn(position: Position, text: str) -> bool:
    """Whether a turn makes progress towards the right answer."""
    turn = read_turn(text)
    operations = position.problem.operations
    if turn.invalid:
        return False
    if not turn.calls:
        stated = STATED_ANSWER.fullmatch(turn.content)
        complete = len(position.done) == len(operations)
        return complete and stated is not None and stated[1] == position.problem.answer
    possible = [operations[i] for i in ready(operations, position.done)]
    return all(_take(possible, call) for call in turn.calls)


def _take(possible: list[Operation], call: ToolCall) -> bool:
    """Take the operation that a call carries out from those that may be done."""
    if call["name"] != "calculator" or set(call["arguments"]) != {"expression"}:
        return False
    for operation in possible:
        if call["arguments"]["expression"] in operation.expressions:
            possible.remove(operation)
            return True
    return False


def roll_out_turns(
    policy: Policy,
    problems: Iterable[Problem],
    n: int,
    temperature: float = TEMPERATURE,
) -> Iterator[tuple[list[Message], list[Rollout]]]:
    """Sample `n` turns at every position of every problem."""
    stream = (place for problem in problems for place in positions(problem))
    while group := list(islice(stream, _GROUP)):
        requests = [
            GenerationRequest(
                **whole_answers(place.messages, range(n), temperature), turn=ANY_TURN
            )
            for place in group
        ]
        answers = policy.submit(requests).result()
        for place, answer in zip(group, answers, strict=True):
            yield (
                place.messages,
                [_rollout(place, sample) for sample in answer["samples"]],
            )


def _rollout(position: Position, sample: Sample) -> Rollout:
    complete = sample["finish_reason"] == "stop"
    texts = [step["text"] for step in sample["steps"]]
    right = complete and right_turn(position, "".join(texts))
    return Rollout(
        steps=texts,
        token_ids=[step["token_ids"] for step in sample["steps"]],
        logprobs=[step["logprob"] for step in sample["steps"]],
        complete=complete,
        first_wrong=None if right else 0,
    )
