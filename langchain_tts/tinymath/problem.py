"""A maths problem as a graph of operations, with its worked solution."""

from __future__ import annotations

import re
from dataclasses import dataclass

from langchain_tts.policies.base import STEP_DELIMITER

SYMBOLS = "+-*/"
STATED_ANSWER = re.compile(r"Answer: \\boxed\{(\d+)\}")
"""The last step of a solution."""


@dataclass(frozen=True)
class Operation:
    """One step of arithmetic, `left symbol right = result`, all positive integers."""

    symbol: str
    left: int
    right: int
    result: int
    needs: tuple[int, ...]
    """Indices of the operations whose results are `left` or `right`."""

    @property
    def expression(self) -> str:
        """What is to be worked out."""
        return f"{self.left}{self.symbol}{self.right}"

    @property
    def expressions(self) -> set[str]:
        """All ways to write it: sums and products may be turned around."""
        turned = f"{self.right}{self.symbol}{self.left}"
        return {self.expression, turned} if self.symbol in "+*" else {self.expression}

    def __str__(self) -> str:
        """The step as a solution writes it."""
        return f"{self.expression}={self.result}"


@dataclass(frozen=True)
class Problem:
    """A question, and the operations that answer it in one valid order."""

    question: str
    family: str
    level: int
    """1 (easy) to 5 (hard)."""
    operations: tuple[Operation, ...]

    @property
    def answer(self) -> str:
        """The final answer."""
        return str(self.operations[-1].result)

    @property
    def steps(self) -> list[str]:
        """The worked solution, one operation a step, the answer last."""
        return [*map(str, self.operations), rf"Answer: \boxed{{{self.answer}}}"]

    @property
    def solution(self) -> str:
        """The worked solution as one text."""
        return STEP_DELIMITER.join(self.steps)


@dataclass(frozen=True)
class Quantity:
    """A number, and the operation it came from (None: the question states it)."""

    value: int
    source: int | None = None


class Working:
    """Collects operations while a problem is made up."""

    def __init__(self) -> None:
        """Start with no operation."""
        self.operations: list[Operation] = []

    def apply(self, symbol: str, left: Quantity, right: Quantity | int) -> Quantity:
        """Record one operation and return its result.

        Raises:
            ValueError: If the result is no positive integer.
        """
        if isinstance(right, int):
            right = Quantity(right)
        result = compute(symbol, left.value, right.value)
        if result is None or result < 1:
            msg = f"{left.value}{symbol}{right.value} is no positive integer"
            raise ValueError(msg)
        needs = tuple(q.source for q in (left, right) if q.source is not None)
        self.operations.append(
            Operation(symbol, left.value, right.value, result, needs)
        )
        return Quantity(result, len(self.operations) - 1)


def compute(symbol: str, left: int, right: int) -> int | None:
    """The exact result of `left symbol right`; None if it is no integer."""
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right
    if symbol == "*":
        return left * right
    if right == 0 or left % right:
        return None
    return left // right
