"""What the solver policy learns: constraints whose solution is the right answer."""

from __future__ import annotations

import re
from itertools import islice

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from langchain_tts.solver import read_script, solve_constraints
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.corpus import IGNORED
from langchain_tts.tinymath.families import FAMILIES
from langchain_tts.tinymath.generator import problems
from langchain_tts.tinymath.problem import Operation, Problem
from langchain_tts.tinymath.solver_targets import constraints, solver_examples
from langchain_tts.tinymath.tokenizer import END, WINDOW, solver_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return solver_tokenizer(AutoTokenizer.from_pretrained(WEIGHTS / "policy"))


def test_the_constraints_of_problems_solve_to_their_answers() -> None:
    seen = set()
    for problem in islice(problems("train", 9), 120):
        verdict = solve_constraints(constraints(problem))
        assert verdict.value == problem.answer, problem
        seen.add(problem.family)
    assert seen == set(FAMILIES)


def test_no_number_was_worked_out() -> None:
    for problem in islice(problems("train", 3), 500):
        written = re.sub(r"[a-z]+\d*", "", constraints(problem))
        stated = set(re.findall(r"\d+", problem.question))
        # A percentage is a share of 100.
        assert set(re.findall(r"\d+", written)) <= {*stated, "100"}, problem


def test_an_equation_is_stated_not_undone() -> None:
    undone = (Operation("-", 20, 4, 16, ()), Operation("/", 16, 2, 8, (0,)))
    problem = Problem("Solve for x: x*2+4=20", "equation", 1, undone)
    assert constraints(problem) == (
        "(declare-const x Int)\n"
        "(declare-const a Int)\n(assert (= a (* x 2)))\n"
        "(declare-const b Int)\n(assert (= b (+ a 4)))\n"
        "(assert (= b 20))\n"
        "(declare-const answer Int)\n(assert (= answer x))"
    )


def test_a_wrong_division_has_no_solution() -> None:
    work = (Operation("/", 20, 4, 5, ()),)
    text = constraints(Problem("What is 20/4?", "expression", 1, work))
    assert solve_constraints(text).value == "5"
    assert solve_constraints(text.replace("20", "21")).kind == "unsat"


def test_examples_are_what_a_policy_reads_and_writes(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    for example, problem in zip(
        solver_examples(tokenizer, 100, 4), problems("train", 4), strict=False
    ):
        learned = [label for label in example.labels if label != IGNORED]
        text = tokenizer.decode(learned)
        assert text == constraints(problem) + END
        assert problem.question in tokenizer.decode(example.ids)
        assert read_script(text.removesuffix(END)).assertions
        assert len(example.ids) < WINDOW // 2
