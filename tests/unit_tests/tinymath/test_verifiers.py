"""The embedded verifiers, against exact labels of the default policy's steps."""

from __future__ import annotations

from langchain_tts.policies import resolve_policy
from langchain_tts.rewards import resolve_prm
from langchain_tts.tinymath.gates import discrimination
from langchain_tts.tinymath.generator import load_split
from langchain_tts.tinymath.rollouts import roll_out


def test_verifiers_tell_right_from_wrong_steps_as_well_as_their_names_say() -> None:
    # Of these the policy gets some steps right and some wrong.
    problems = [problem for problem in load_split("test") if problem.level == 3][:16]
    rolled = list(roll_out(resolve_policy("tinymath"), problems, 8))
    found = {
        name: discrimination(resolve_prm(name), rolled)[0]
        for name in ("tinymath", "tinymath-medium", "tinymath-weak")
    }
    assert found["tinymath"] > 0.9
    assert found["tinymath-medium"] > 0.85
    assert found["tinymath-weak"] < 0.75
