"""Which turns are right, on a problem that is small enough to see it."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from langchain_tts.policies.base import Generation, GenerationRequest, Sample, Step
from langchain_tts.search.turns import write_turn
from langchain_tts.tinymath.problem import Problem, Quantity, Working
from langchain_tts.tinymath.tool_chats import layers
from langchain_tts.tinymath.tool_turns import (
    Position,
    positions,
    right_turn,
    roll_out_turns,
)


@pytest.fixture
def problem() -> Problem:
    """(3*4+10/5)-7: two operations at once, then two one after the other."""
    work = Working()
    left = work.apply("*", Quantity(3), 4)
    right = work.apply("/", Quantity(10), 5)
    work.apply("-", work.apply("+", left, right), 7)
    return Problem("What is 3*4+10/5-7?", "expression", 3, tuple(work.operations))


def calls(*expressions: str, name: str = "calculator") -> str:
    return write_turn(
        "", [{"name": name, "arguments": {"expression": e}} for e in expressions]
    )


def test_operations_that_can_be_done_together_are_one_layer(problem: Problem) -> None:
    assert layers(problem.operations) == [[0, 1], [2], [3]]


def test_the_positions_hold_what_was_called_and_what_came_of_it(
    problem: Problem,
) -> None:
    places = list(positions(problem))
    assert [sorted(p.done) for p in places] == [[], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    said = [(m["role"], m["content"]) for m in places[-1].messages]
    assert said == [
        ("system", ""),
        ("user", "What is 3*4+10/5-7?"),
        ("assistant", ""),
        ("tool", "12"),
        ("tool", "2"),
        ("assistant", ""),
        ("tool", "14"),
        ("assistant", ""),
        ("tool", "7"),
    ]
    assert places[1].messages == places[-1].messages[:5]


@pytest.mark.parametrize(
    ("place", "text", "right"),
    [
        (0, calls("3*4", "10/5"), True),
        (0, calls("10/5", "4*3"), True),
        (0, calls("3*4"), True),
        (0, calls("3*4", "3*4"), False),
        (0, calls("5/10"), False),
        (0, calls("3*4", "10/5", "12+2"), False),
        (0, calls("3*4", "10/6"), False),
        (0, calls("3 * 4"), False),
        (0, calls("3*4", name="calc"), False),
        (0, calls("3*4") + '\n<tool_call>\n{"name": "calc', False),
        (0, r"Answer: \boxed{7}", False),
        (0, "", False),
        (1, calls("12+2"), True),
        (1, calls("2+12"), True),
        (1, calls("3*4"), False),
        (3, r"Answer: \boxed{7}", True),
        (3, r"Answer: \boxed{8}", False),
        (3, calls("14-7"), False),
    ],
)
def test_a_turn_is_right_if_it_makes_progress(
    problem: Problem, place: int, text: str, *, right: bool
) -> None:
    assert right_turn(list(positions(problem))[place], text) is right


class Repeating:
    """Answers any request with the first call, once whole and once cut."""

    def submit(self, requests: list[GenerationRequest]) -> Future[list[Generation]]:
        step = Step(text=calls("3*4"), token_ids=[5, 1], logprob=-0.5)
        samples = [
            Sample(steps=[step], finish_reason="stop"),
            Sample(steps=[step], finish_reason="length"),
        ]
        done: Future[list[Generation]] = Future()
        done.set_result(
            [
                Generation(samples=samples, prompt_tokens=0, cached_tokens=0)
                for request in requests
                if request["turn"]["choice"] == "auto"
            ]
        )
        return done


def test_samples_are_labelled_at_every_position(problem: Problem) -> None:
    rolled = list(roll_out_turns(Repeating(), [problem], 2))  # type: ignore[arg-type]
    assert [len(messages) for messages, _ in rolled] == [2, 5, 7, 9]
    assert [[r.first_wrong for r in some] for _, some in rolled] == [
        [None, 0],
        [0, 0],
        [0, 0],
        [0, 0],
    ]
    assert rolled[0][1][0].token_ids == [[5, 1]]
    assert isinstance(next(positions(problem)), Position)
