"""The trained solver policy: what it writes, and whether it is right."""

from __future__ import annotations

import pytest

from langchain_tts import resolve_policy
from langchain_tts.policies.base import GenerationRequest, Policy
from langchain_tts.search.state import Message
from langchain_tts.solver import read_script, solve_constraints
from langchain_tts.tinymath.generator import load_split
from langchain_tts.tinymath.rollouts import whole_answers

FLOOR = 0.65
"""Of 50 held-out questions translated right; well below what is measured."""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return resolve_policy("tinymath-solver")


def translated(policy: Policy, questions: list[str]) -> list[str]:
    generations = policy.invoke(
        [
            GenerationRequest(
                **whole_answers([Message(role="user", content=one)], range(1), 0.0)
            )
            for one in questions
        ]
    )
    return [one["samples"][0]["steps"][0]["text"] for one in generations]


def test_it_is_asked_without_a_prompt(policy: Policy) -> None:
    assert (policy.solve_prompt, policy.name) == ("", "tinymath-solver")


def test_it_states_an_equation_as_it_stands(policy: Policy) -> None:
    [text] = translated(policy, ["Solve for x: (x+12)*6=126"])
    assert str(read_script(text)).replace("\n", "") == (
        "(declare-const x Int)(declare-const a Int)(declare-const b Int)"
        "(declare-const answer Int)(assert (= a (+ x 12)))(assert (= b (* a 6)))"
        "(assert (= b 126))(assert (= answer x))"
    )


def test_most_held_out_questions_are_translated_right(policy: Policy) -> None:
    problems = load_split("test")[:50]
    texts = translated(policy, [problem.question for problem in problems])
    values = [solve_constraints(text).value for text in texts]
    right = sum(v == p.answer for v, p in zip(values, problems, strict=True))
    assert right / len(problems) >= FLOOR
