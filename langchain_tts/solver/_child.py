"""The program that asks Z3, in a process of its own.

`langchain_tts.solver.run` starts this file and writes one JSON request per line; each
reply is one JSON line. The terms come as nested lists that were checked before, and are
built with Z3's functions. The kernel enforces the limits: the alarm ends the process in
the middle of C code too, and memory is refused beyond the limit.
"""

import contextlib
import ctypes
import json
import math
import operator
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import reduce
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import z3  # type: ignore[import-untyped]

Function = Callable[..., Any]
Reply = dict[str, str]

_MEGABYTE = 2**20


def _chain(relation: Function) -> Function:
    """`a < b < c` as the relations of neighbors."""
    return lambda *values: z3.And([relation(a, b) for a, b in pairwise(values)])


def _folded(function: Function) -> Function:
    return lambda *values: reduce(function, values)


def _minus(*values: Any) -> Any:
    return -values[0] if len(values) == 1 else reduce(operator.sub, values)


def _implies(*values: Any) -> Any:
    *before, last = values
    return reduce(lambda right, left: z3.Implies(left, right), before[::-1], last)


_BUILD = {
    "+": _folded(operator.add),
    "-": _minus,
    "*": _folded(operator.mul),
    "/": lambda *values: reduce(operator.truediv, map(_real, values)),
    "div": operator.truediv,  # of integers, Z3's is the whole quotient
    "mod": operator.mod,
    "abs": lambda value: z3.If(value >= 0, value, -value),
    "=": _chain(operator.eq),
    "distinct": lambda *values: z3.And([a != b for a, b in combinations(values, 2)]),
    "<": _chain(operator.lt),
    "<=": _chain(operator.le),
    ">": _chain(operator.gt),
    ">=": _chain(operator.ge),
    "not": z3.Not,
    "and": lambda *values: z3.And(list(values)),
    "or": lambda *values: z3.Or(list(values)),
    "xor": _folded(z3.Xor),
    "=>": _implies,
    "ite": z3.If,
}
_MAKE = {"Int": z3.Int, "Real": z3.Real, "Bool": z3.Bool}


def _real(value: Any) -> Any:
    return z3.ToReal(value) if z3.is_int(value) else value


def _build(term: list[Any], constants: dict[str, Any], context: z3.Context) -> Any:
    """A term of Z3's from `[head, sort, *arguments]`."""
    head, sort, *arguments = term
    if arguments:
        return _BUILD[head](*(_build(one, constants, context) for one in arguments))
    if head in constants:
        return constants[head]
    if sort == "Bool":
        return z3.BoolVal(head == "true", context)
    return z3.IntVal(head, context) if sort == "Int" else z3.RealVal(head, context)


def _value(value: Any) -> str | None:
    """The exact value as text; None if it is no fraction."""
    if z3.is_int_value(value):
        return str(value.as_long())
    if z3.is_rational_value(value):
        return str(value.as_fraction())
    if z3.is_true(value) or z3.is_false(value):
        return str(value).lower()
    return None


def _unsure(solver: z3.Solver) -> Reply:
    reason = solver.reason_unknown()
    if "memory" in reason:
        return {"kind": "memory", "detail": reason}
    if reason in ("timeout", "canceled"):
        return {"kind": "timeout", "detail": reason}
    return {"kind": "unknown", "detail": reason}


def _check(solver: z3.Solver, until: float) -> Any:
    left = until - time.monotonic()
    solver.set("timeout", max(1, int(1000 * left)))
    return solver.check()


def _answer(request: dict[str, Any]) -> Reply:
    """The reply to a request: the one value of the answer, or why there is none."""
    until = time.monotonic() + request["seconds"]
    context = z3.Context()
    constants = {n: _MAKE[s](n, context) for n, s in request["constants"].items()}
    solver = z3.Solver(ctx=context)
    for term in request["assertions"]:
        solver.add(_build(term, constants, context))
    found = _check(solver, until)
    if found == z3.unsat:
        return {"kind": "unsat", "detail": "the constraints contradict each other"}
    if found != z3.sat:
        return _unsure(solver)
    answer = constants[request["answer"]]
    value = solver.model().eval(answer, model_completion=True)
    text = _value(value)
    if text is None:
        return {"kind": "unknown", "detail": "the value is no fraction"}
    solver.add(answer != value)
    other = _check(solver, until)
    if other == z3.unsat:
        return {"kind": "unique", "value": text}
    if other != z3.sat:
        return _unsure(solver)
    second = _value(solver.model().eval(answer, model_completion=True))
    detail = f"it may be {text} or {second or 'another number'}"
    return {"kind": "ambiguous", "detail": detail}


def _limit_memory(megabytes: int) -> None:
    """Allow so much more than the process has now; Z3 stops before the kernel does."""
    z3.set_param("memory_max_size", megabytes)
    with contextlib.suppress(ValueError, OSError):  # no such file or limit on macOS
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        now = pages * resource.getpagesize()
        limit = now + 2 * megabytes * _MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _limit_time(seconds: float) -> None:
    """The alarm counts seconds, the other limit those of the processor.

    Z3 is told to stop by itself; a fifth later it is ended.
    """
    seconds *= 1.2
    signal.setitimer(signal.ITIMER_REAL, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def main() -> None:
    """Answer requests until standard input closes."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies, sys.stdout = sys.stdout, sys.stderr
    _limit_memory(int(sys.argv[1]))
    print(json.dumps({"kind": "ready"}), file=replies, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        _limit_time(request["seconds"])
        try:
            reply = _answer(request)
        except (z3.Z3Exception, MemoryError, ctypes.ArgumentError) as error:
            kind = (
                "memory" if "memory" in f"{error}{type(error)}".lower() else "unknown"
            )
            reply = {"kind": kind, "detail": str(error)[:200]}
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
