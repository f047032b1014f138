"""Solving: exact values, refusals by their kind, and limits that hold."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_tts.solver import (
    Limits,
    MissingSolverError,
    read_script,
    run,
    solve_constraints,
)

FERMAT = (
    "(declare-const answer Int)(declare-const x Int)(declare-const y Int)"
    "(assert (= answer (+ x y)))(declare-const z Int)"
    "(assert (> x 2))(assert (> y 2))(assert (> z 2))"
    "(assert (= (+ (* x x x x x) (* y y y y y)) (* z z z z z)))"
)
SQUARES = (
    f"(declare-const a0 Int)(assert (= a0 {'9' * 34}))"
    + "".join(
        f"(declare-const a{i} Int)(assert (= a{i} (* a{i - 1} a{i - 1})))"
        for i in range(1, 40)
    )
    + "(declare-const answer Int)(assert (= answer (mod a39 7)))"
)


@pytest.mark.parametrize(
    ("sort", "facts", "value"),
    [
        ("Int", "(= (* answer 9) 45)", "5"),
        ("Int", "(= answer (- 7 12))", "-5"),
        ("Real", "(= (* answer 9) 46)", "46/9"),
        ("Real", "(= answer (/ 7 (- 2)))", "-7/2"),
        ("Real", "(= answer 0.1)", "1/10"),
        ("Real", "(= (* 3 answer) (+ 0.1 0.2))", "1/10"),
        ("Int", "(= answer (/ 6 4 1))", None),
        ("Int", "(= answer (div (- 7) 2))", "-4"),
        ("Int", "(= answer (mod (- 7) 2))", "1"),
        ("Int", "(= answer (abs (- 7)))", "7"),
        ("Int", "(= answer (- 20 5 3))", "12"),
        ("Int", "(and (< 2 answer 6) (distinct answer 3 4))", "5"),
        ("Int", "(= answer (ite (or false (xor true false)) 1 2))", "1"),
        ("Bool", "(=> true true answer)", "true"),
        ("Bool", "(not (=> answer false true))", None),
        ("Int", f"(= answer (* {10**30} {10**30}))", str(10**60)),
    ],
)
def test_values_are_exact(sort: str, facts: str, value: str | None) -> None:
    verdict = solve_constraints(f"(declare-const answer {sort})(assert {facts})")
    assert verdict.value == value
    assert verdict.kind == ("unsat" if value is None else "unique")


@pytest.mark.parametrize(
    ("constraints", "kind", "detail"),
    [
        ("(assert (= (* answer 9) 46))", "unsat", "contradict"),
        ("(assert (= (* answer answer) 49))", "ambiguous", "7 or -7|-7 or 7"),
        ("", "ambiguous", "it may be"),
        ("(assert (> answer 0)", "syntax", "cut off"),
    ],
)
def test_what_has_no_single_answer_says_why(
    constraints: str, kind: str, detail: str
) -> None:
    verdict = solve_constraints(f"(declare-const answer Int){constraints}")
    assert (verdict.kind, verdict.value) == (kind, None)
    assert re.search(detail, verdict.detail)


def test_a_root_is_no_fraction() -> None:
    verdict = solve_constraints(
        "(declare-const answer Real)(assert (= (* answer answer) 2))"
        "(assert (> answer 0))"
    )
    assert verdict.kind == "unknown"
    assert "no fraction" in verdict.detail


def test_another_constant_can_be_the_answer() -> None:
    text = "(declare-const x Int)(assert (= (+ x 1) 3))"
    assert solve_constraints(text, answer="x").value == "2"
    assert solve_constraints(read_script(text, "x"), answer="x").value == "2"


@pytest.mark.parametrize("hard", [FERMAT, SQUARES], ids=["search", "arithmetic"])
def test_a_problem_that_takes_too_long_is_ended(hard: str) -> None:
    started = time.monotonic()
    verdict = solve_constraints(hard, limits=Limits(seconds=0.5))
    assert verdict.kind == "timeout"
    # The rest is for starting a process on a slow machine.
    assert time.monotonic() - started < 6
    again = "(declare-const answer Int)(assert (= answer 3))"
    assert solve_constraints(again).value == "3"


@pytest.mark.parametrize("hard", [FERMAT, SQUARES], ids=["search", "arithmetic"])
def test_a_problem_that_needs_too_much_memory_is_ended(hard: str) -> None:
    verdict = solve_constraints(hard, limits=Limits(seconds=10, megabytes=2))
    assert verdict.kind == "memory"


def test_limits_hold_in_threads_and_beside_a_running_loop() -> None:
    easy = "(declare-const answer Int)(assert (= answer {}))"
    with ThreadPoolExecutor(6) as threads:
        slow = threads.submit(solve_constraints, FERMAT, limits=Limits(0.5))
        found = list(threads.map(solve_constraints, map(easy.format, range(20))))
        assert slow.result().kind == "timeout"
    assert [one.value for one in found] == [str(number) for number in range(20)]

    async def aside() -> str | None:
        return (await asyncio.to_thread(solve_constraints, easy.format(8))).value

    assert asyncio.run(aside()) == "8"


def test_a_killed_process_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = run._Pool(64)
    monkeypatch.setattr(run, "_pool", lambda *_: pool)
    text = "(declare-const answer Int)(assert (= answer 3))"
    assert solve_constraints(text).value == "3"
    process = pool._idle.get_nowait()
    pool._idle.put(process)
    process._popen.kill()
    process._popen.wait()
    assert solve_constraints(text).value == "3"


def test_limits_are_positive() -> None:
    with pytest.raises(ValueError, match="give positive numbers"):
        Limits(seconds=0)


def test_without_z3_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "has_solver", lambda: False)
    with pytest.raises(MissingSolverError, match=r'"langchain-tts\[solver\]"'):
        solve_constraints("(declare-const answer Int)")


def test_this_process_never_loads_z3() -> None:
    code = (
        "import sys; from langchain_tts.solver import solve_constraints;"
        "text = '(declare-const answer Int)(assert (= answer 3))';"
        "print(solve_constraints(text), 'z3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "False"]
