"""The program that compares two expressions with sympy, in a process of its own.

`langchain_tts._answers_process` starts this file and writes one JSON request per
line; each reply is one line, `true` or `false`. A request carries its time limit,
which the kernel enforces: the alarm's default action ends the process, in the middle
of C code too, so that no comparison can outlive its limit, not even when the parent
is gone.
"""

import contextlib
import json
import logging
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse
from sympy import (
    Eq,
    Expr,
    Float,
    I,
    Rational,
    Symbol,
    false,
    nan,
    simplify,
    true,
    zoo,
)
from sympy.core.relational import Relational, StrictGreaterThan, StrictLessThan

_MEMORY_LIMIT = 4 * 2**30  # bytes

# math-verify would remove units such as "m" and "o"; the answers have none left.
_CONFIG = LatexExtractionConfig(
    normalization_config=NormalizationConfig(malformed_operators=True, boxed="none"),
    boxed_match_priority=-1,
)


@lru_cache(maxsize=1024)
def _expression(latex: str) -> Any:
    """Return the sympy object of `latex` with exact numbers; None if unreadable."""
    found = parse(
        f"${latex}$",
        [_CONFIG],
        fallback_mode="no_fallback",
        parsing_timeout=None,  # it would use SIGALRM, which is ours
    )
    if not found:
        return None
    exact = {number: Rational(str(number)) for number in found[0].atoms(Float)}
    for symbol in found[0].atoms(Symbol):
        exact[symbol] = I if symbol.name == "i" else Symbol(symbol.name, real=True)
    expression = found[0].xreplace(exact).doit()
    return None if expression.has(nan, zoo, true, false) else expression


def _differ_at_a_point(left: Any, right: Any) -> bool:
    """Tell cheaply that two expressions differ, by their values at one point."""
    difference = left - right
    symbols = sorted(difference.free_symbols, key=str)
    point = {s: Rational(1009 + 31 * k, 613) for k, s in enumerate(symbols)}
    value = difference.subs(point).evalf(30, maxn=200)
    return bool(value.is_comparable and abs(value) > 1e-12)  # noqa: PLR2004


def _same_relation(left: Any, right: Any) -> bool:
    """Compare equations and inequalities: is one a multiple of the other."""
    if isinstance(left, Eq) and isinstance(right, Eq):
        ratio = simplify((left.lhs - left.rhs) / (right.lhs - right.rhs))
        return bool(ratio.is_number and ratio.is_nonzero)
    strict = (StrictGreaterThan, StrictLessThan)
    if isinstance(left, strict) != isinstance(right, strict):
        return False
    ratio = simplify((left.gts - left.lts) / (right.gts - right.lts))
    return bool(ratio.is_number and ratio.is_positive)


def _equal(a: str, b: str) -> bool:
    left, right = _expression(a), _expression(b)
    if left is None or right is None:
        return False
    if left == right:
        return True
    if isinstance(left, Relational) and isinstance(right, Relational):
        return _same_relation(left, right)
    if not (isinstance(left, Expr) and isinstance(right, Expr)):
        return False
    return not _differ_at_a_point(left, right) and bool(left.equals(right))


def main() -> None:
    """Answer requests until standard input closes."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    with contextlib.suppress(ValueError, OSError):  # macOS refuses this limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    logging.disable()
    replies, sys.stdout = sys.stdout, sys.stderr  # the parser's runtime may print
    # The first comparison is slow, so it is no request's: it tells that all is ready.
    print(json.dumps(_equal("x+1", "1+x")), file=replies, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, request["timeout"])
        try:
            equal = _equal(request["a"], request["b"])
        except Exception:  # noqa: BLE001 - sympy raises almost anything
            equal = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(equal), file=replies, flush=True)


if __name__ == "__main__":
    main()
