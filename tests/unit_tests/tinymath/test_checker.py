"""The checker finds the first wrong step, whatever the order of the right ones."""

from __future__ import annotations

import pytest

from langchain_tts.tinymath.checker import first_wrong_step
from langchain_tts.tinymath.problem import Problem, Quantity, Working


@pytest.fixture
def problem() -> Problem:
    """(2+3)*(9-5): two operations that may come in either order, then a third."""
    work = Working()
    left = work.apply("+", Quantity(2), 3)
    right = work.apply("-", Quantity(9), 5)
    work.apply("*", left, right)
    return Problem("(2+3)*(9-5)", "expression", 2, tuple(work.operations))


ANSWER = r"Answer: \boxed{20}"


@pytest.mark.parametrize(
    "steps",
    [
        ["2+3=5", "9-5=4", "5*4=20", ANSWER],
        ["9-5=4", "2+3=5", "5*4=20", ANSWER],
        ["3+2=5", "9-5=4", "4*5=20", ANSWER],
        ["2+3=5"],
        [],
    ],
)
def test_any_valid_order_is_right(problem: Problem, steps: list[str]) -> None:
    assert first_wrong_step(problem, steps) is None


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [
        (["2+3=6", "9-5=4", "6*4=24", r"Answer: \boxed{24}"], 0),
        (["2+3=5", "9-5=3", "5*3=15"], 1),
        (["5*4=20", ANSWER], 0),  # its inputs are not known yet
        (["2+3=5", "5*4=20"], 1),
        (["2+3=5", "5-9=4"], 1),  # only + and * may be swapped
        (["2+3=5", "2+3=5"], 1),  # done already
        (["2+3=5", "9-5=4", "5*4=20", r"Answer: \boxed{21}"], 3),
        (["2+3=5", "9-5=4", ANSWER], 2),  # the answer before its working
        (["2+3=5", "9-5=4", "5*4=20", ANSWER, "2+3=5"], 4),
        (["nonsense"], 0),
        (["2+3=5", ""], 1),
    ],
)
def test_the_first_wrong_step_is_found(
    problem: Problem, steps: list[str], wrong: int
) -> None:
    assert first_wrong_step(problem, steps) == wrong


def test_an_operation_with_a_negative_or_broken_result_cannot_be_made() -> None:
    work = Working()
    with pytest.raises(ValueError, match="3-5"):
        work.apply("-", Quantity(3), 5)
    with pytest.raises(ValueError, match="7/2"):
        work.apply("/", Quantity(7), 2)
