"""A solver for constraints that a language model wrote: SMT-LIB 2 in, one value out.

What is written is read by a parser of our own that knows a small language, checked,
and built again as terms of Z3 (the extra `solver`) in a process with limits on time and
memory. Nothing that a model wrote is ever run or passed on as text.
"""

from langchain_tts.solver.expressions import ConstraintError
from langchain_tts.solver.language import ANSWER, Script, read_script
from langchain_tts.solver.run import (
    Limits,
    MissingSolverError,
    Verdict,
    has_solver,
    solve_constraints,
)

__all__ = [
    "ANSWER",
    "ConstraintError",
    "Limits",
    "MissingSolverError",
    "Script",
    "Verdict",
    "has_solver",
    "read_script",
    "solve_constraints",
]
