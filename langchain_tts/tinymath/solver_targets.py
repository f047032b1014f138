"""Training data of the solver policy: questions, and the constraints that they state.

The constraints only say what the question says, in SMT-LIB 2: no number in them was
worked out. One constant stands for the result of one operation; a division is written
as a product, so that a translation whose division leaves a remainder has no solution.
"""

from __future__ import annotations

import random
from itertools import islice
from string import ascii_lowercase
from typing import TYPE_CHECKING

from langchain_tts.tinymath.corpus import SYSTEM_PROMPTS, Example, render_example
from langchain_tts.tinymath.generator import problems
from langchain_tts.tinymath.tokenizer import END, ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedTokenizerFast

    from langchain_tts.tinymath.problem import Operation, Problem

_SYSTEM_SHARE = 0.06
_INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def solver_examples(
    tokenizer: PreTrainedTokenizerFast, count: int, seed: int
) -> Iterator[Example]:
    """Token ids of training questions and their constraints."""
    rng = random.Random(f"solver examples {seed}")
    for problem in islice(problems("train", seed), count):
        prompt = f"{ROLES['user']}{problem.question}{ROLES['assistant']}"
        if rng.random() < _SYSTEM_SHARE:
            prompt = ROLES["system"] + rng.choice(SYSTEM_PROMPTS) + prompt
        yield render_example(tokenizer, prompt, constraints(problem) + END)


def constraints(problem: Problem) -> str:
    """What a question states, as SMT-LIB 2 with the answer in the constant `answer`."""
    if problem.family == "equation":
        lines, answer = _equation(problem.operations), "x"
    elif problem.family == "sequence":
        lines = _sequence(problem.operations)
        answer = f"t{len(lines)}"
    else:
        lines = _in_order(problem.operations)
        answer = ascii_lowercase[len(lines) - 1]
    return "\n".join([*lines, _defined("answer", f"answer {answer}")])


def _defined(name: str, equal: str) -> str:
    return f"(declare-const {name} Int)\n(assert (= {equal}))"


def _operation(name: str, symbol: str, left: object, right: object) -> str:
    """`name = left symbol right`."""
    if symbol == "/":
        return _defined(name, f"(* {name} {right}) {left}")
    return _defined(name, f"{name} ({symbol} {left} {right})")


def _in_order(operations: Sequence[Operation]) -> list[str]:
    """The operations of a question that is worked out forward."""
    lines = []
    for name, operation in zip(ascii_lowercase, operations, strict=False):
        left, right = _operands(operation, operations)
        lines.append(_operation(name, operation.symbol, left, right))
    return lines


def _operands(
    operation: Operation, operations: Sequence[Operation]
) -> tuple[int | str, int | str]:
    """Each a name, where it is the result of an operation, or a stated number."""
    left: int | str = operation.left
    right: int | str = operation.right
    needs = list(operation.needs)
    if needs and operations[needs[0]].result == left:
        left = ascii_lowercase[needs.pop(0)]
    if needs:
        right = ascii_lowercase[needs[0]]
    return left, right


def _equation(operations: Sequence[Operation]) -> list[str]:
    """The equation as it is stated; the operations undo it from the outside."""
    lines, last = ["(declare-const x Int)"], "x"
    for name, undone in zip(ascii_lowercase, reversed(operations), strict=False):
        symbol = _INVERSE[undone.symbol]
        lines.append(_operation(name, symbol, last, undone.right))
        last = name
    return [*lines, f"(assert (= {last} {operations[0].left}))"]


def _sequence(operations: Sequence[Operation]) -> list[str]:
    """Each term from the one before."""
    lines = [_defined("t1", f"t1 {operations[0].left}")]
    if operations[0].symbol == "*":
        pairs = zip(operations[::2], operations[1::2], strict=True)
        rules = [(two.symbol, f"(* {{}} {one.right})", two.right) for one, two in pairs]
    else:
        rules = [(one.symbol, "{}", one.right) for one in operations]
    for place, (symbol, term, number) in enumerate(rules, start=1):
        before = term.format(f"t{place}")
        lines.append(_operation(f"t{place + 1}", symbol, before, number))
    return lines
