"""Reason, calculate, or state the problem and leave it to a solver.

The embedded policy makes mistakes in its arithmetic. Two relatives of it do none: one
calls a calculator, the other writes constraints that Z3 solves. It was measured that
the last one is right most often, so `tool_route` takes it where it finds an answer.
With `route="compare"` it does not use that, tries all three alike, and goes on with the
one that found the leading answer most often:

    pip install "langchain-tts[solver]"
    python -m examples.tool_route
"""

from __future__ import annotations

from itertools import product

from langchain_tts import TTSChatModel
from langchain_tts.solver import solve_constraints

EQUATION = "Solve for x: (x+12)*6=126"
PUMP = (
    "A pump moves 32 liters an hour for 7 hours, then 4 liters an hour for 5 hours. "
    "Then 14 liters are lost. How many liters are left?"
)
SEQUENCE = (
    "A sequence starts at 9 and each next term is 31 more than the one before. "
    "What is term 5?"
)
BY_HAND = """
(declare-const apples Int)
(declare-const answer Int)
(assert (= (* 3 apples) (+ apples 14)))
(assert (= answer apples))
"""


def main() -> int:
    """Answer some questions, and tell how."""
    measured = TTSChatModel(strategy="tool_route", budget=8, seed=0)
    compared = measured.model_copy(update={"parameters": {"route": "compare"}})
    for question, model in product((EQUATION, PUMP, SEQUENCE), (measured, compared)):
        message = model.invoke(question)
        search = message.response_metadata["tts"]
        route = search["route"]
        print(f"{question}\n{message.text}")
        print(
            f"-> {route['route']}, because {route['why']}; samples {route['samples']}"
        )
        print(f"   {search['spent']['generated_tokens']} tokens\n")
    print("By hand:", solve_constraints(BY_HAND))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
