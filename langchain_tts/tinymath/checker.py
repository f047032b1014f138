"""The exact checker: which step of a solution is the first wrong one?

The worked solution's operations form a graph; a step is right if it carries out an
operation that is still to be done and whose inputs are known. So any valid order of
the steps counts as right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_tts.tinymath.problem import STATED_ANSWER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.tinymath.problem import Operation, Problem

_OPERATION = re.compile(r"(\d+)([-+*/])(\d+)=(\d+)")


def first_wrong_step(problem: Problem, steps: Sequence[str]) -> int | None:
    """Find the first wrong step of a solution.

    Args:
        problem: The problem that the steps are meant to solve.
        steps: The solution's steps, without delimiters. A solution that stops early
            is judged by the steps that it has.

    Returns:
        The index of the first wrong step, or None if every step is right. Steps after
        the final answer are wrong, and so is the answer of an unfinished working.
    """
    pending = dict(enumerate(problem.operations))
    answered = False
    for index, step in enumerate(steps):
        if answered:
            return index
        written = _OPERATION.fullmatch(step.strip())
        if written:
            done = _find(pending, written)
            if done is None:
                return index
            del pending[done]
            continue
        stated = STATED_ANSWER.fullmatch(step.strip())
        if stated is None or pending or stated[1] != problem.answer:
            return index
        answered = True
    return None


def _find(pending: dict[int, Operation], written: re.Match[str]) -> int | None:
    """The pending operation that the written step carries out."""
    symbol = written[2]
    numbers = (int(written[1]), int(written[3]))
    for index, operation in pending.items():
        if operation.symbol != symbol or operation.result != int(written[4]):
            continue
        if any(need in pending for need in operation.needs):
            continue
        expected = (operation.left, operation.right)
        swapped = symbol in "+*" and numbers == expected[::-1]
        if numbers == expected or swapped:
            return index
    return None
