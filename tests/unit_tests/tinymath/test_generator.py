"""Problems: worked solutions are right, splits are disjoint and fixed."""

from __future__ import annotations

import random
import re
from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest

from langchain_tts.tinymath.checker import first_wrong_step
from langchain_tts.tinymath.families import FAMILIES
from langchain_tts.tinymath.generator import (
    LEVELS,
    Split,
    load_split,
    make_problem,
    problems,
    split_of,
)
from langchain_tts.tinymath.problem import Problem

HELD_OUT: tuple[Split, Split] = ("test", "calibration")


@pytest.fixture(scope="module")
def sample() -> list[Problem]:
    return list(islice(problems("train", seed=7), 3000))


def test_every_step_of_a_worked_solution_is_true_arithmetic(
    sample: list[Problem],
) -> None:
    for problem in sample:
        for step in problem.steps[:-1]:
            left, symbol, right, _, result = re.split(r"([-+*/=])", step)
            a, b = Fraction(left), Fraction(right)
            value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[symbol]
            assert value == int(result)


def test_expressions_agree_with_python(sample: list[Problem]) -> None:
    checked = 0
    for problem in sample:
        if problem.family != "expression":
            continue
        text = "".join(c for c in problem.question if c in "0123456789+-*/()")
        # The text is the generator's own: digits, operators and brackets.
        assert eval(text) == int(problem.answer)  # noqa: S307
        checked += 1
    assert checked > 300


def test_equations_hold_at_the_answer(sample: list[Problem]) -> None:
    checked = 0
    for problem in sample:
        if problem.family != "equation":
            continue
        found = re.search(r"([x\d+\-*/()]*x[x\d+\-*/()]*)=(\d+)", problem.question)
        assert found
        left, right = found.groups()
        left = left.replace("x", f"Fraction({problem.answer})")
        assert eval(left, {"Fraction": Fraction}) == int(right)  # noqa: S307
        checked += 1
    assert checked > 200


def test_the_checker_accepts_every_worked_solution(sample: list[Problem]) -> None:
    assert all(first_wrong_step(p, p.steps) is None for p in sample)


def test_levels_have_their_number_of_operations(sample: list[Problem]) -> None:
    for problem in sample:
        assert len(problem.operations) in LEVELS[problem.level][0]


def test_there_are_at_least_six_families_at_every_level(sample: list[Problem]) -> None:
    seen = Counter((p.level, p.family) for p in sample)
    for level in LEVELS:
        assert sum((level, family) in seen for family in FAMILIES) >= 6


def test_the_same_seed_gives_the_same_problems() -> None:
    first = list(islice(problems("train", seed=3), 50))
    assert first == list(islice(problems("train", seed=3), 50))
    assert first != list(islice(problems("train", seed=4), 50))


def test_fixed_splits_are_large_disjoint_and_without_repeats() -> None:
    test, calibration = load_split("test"), load_split("calibration")
    for split in (test, calibration):
        per_level = Counter(p.level for p in split)
        assert min(per_level.values()) >= 100
        assert len({p.question for p in split}) == len(split)
    assert not {p.question for p in test} & {p.question for p in calibration}


def test_a_training_problem_is_never_a_held_out_one(sample: list[Problem]) -> None:
    held_out = {
        "".join(p.question.split()).lower()
        for split in HELD_OUT
        for p in load_split(split)
    }
    assert not held_out & {"".join(p.question.split()).lower() for p in sample}


def test_spacing_and_case_do_not_move_a_question_to_another_split() -> None:
    rng = random.Random(0)
    for _ in range(200):
        question = make_problem(rng, 3).question
        assert split_of(question) == split_of(f" {question.upper()}  ")


def test_an_unknown_split_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match="train, calibration, test"):
        next(problems("dev"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="calibration, test"):
        load_split("train")
