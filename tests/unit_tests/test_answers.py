"""Answers: extraction, equality, classes and grading, on traps and on two data sets."""

import itertools
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from langchain_tts import answers
from langchain_tts._answers_process import equal_expressions
from langchain_tts.answers import (
    answer_classes,
    answers_equal,
    extract_answer,
    grade,
)

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("LANGCHAIN_TTS_DATA", ROOT.parent / "shared" / "data"))

BOMB = "10^{10^{10}}"


def rows(name: str) -> list[dict[str, Any]]:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not in LANGCHAIN_TTS_DATA")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture
def no_sympy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(a: str, b: str, _timeout: float) -> bool:
        msg = f"sympy was asked to compare {a!r} and {b!r}"
        raise AssertionError(msg)

    monkeypatch.setattr(answers, "_same_expression", refuse)


# Extraction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"First \boxed{5}. Then, after a check, \boxed{6}.", "6"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"$\fbox{7}$", "7"),
        (r"so $\boxed 5$ it is", "5"),
        (r"\boxed {12}", "12"),
        (r"\boxed{x=\boxed{5}}", "5"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{1,2\right\}}", r"\left\{1,2\right\}"),
        (r"\boxed{\binom{1}{2} \\{2}}", r"\binom{1}{2} \\{2}"),
        (r"a stray } and \boxed{ 5 }", "5"),
        (r"\boxed{5} or rather \boxed{\frac{1}{2}", "5"),
        (r"The answer is 4. \boxed{5} The answer is 6.", "5"),
        ("Answer: 5", "5"),
        ("**Answer:** 5", "5"),
        ("**Answer**: 5", "5"),
        ("Answer:\n\n12", "12"),
        ("The answer is 3.5. I hope it is correct.", "3.5"),
        (r"The final answer is $\frac{1}{2}$, since $x > 0$.", r"\frac{1}{2}"),
        ("The answer is 5, because 7 > 3.", "5"),
        ("Answer: 4? No. Final answer: 5", "5"),
    ],
)
def test_the_final_answer_is_extracted(text: str, expected: str) -> None:
    assert extract_answer(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Adding 3 and 4 gives 7, and then 17",
        r"\boxed{}",
        r"\boxed{5}, or better \boxed{ }",
        r"\boxed{\frac{1}{2}",
        r"So the answer is \boxed{\frac{1",
        r"\boxedfoo{5}",
        "The answer is",
        "Answer:",
    ],
)
def test_a_solution_without_a_final_answer_has_none(text: str) -> None:
    assert extract_answer(text) is None


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 50_000,
        "{" * 300_000,
        r"\boxed{a" + "}" * 300_000,
        "the answer is " * 30_000,
        "final" + " " * 300_000,
        "answer" + " " * 300_000,
    ],
    ids=["boxes", "opened", "closed", "phrases", "final", "answer"],
)
def test_extraction_takes_linear_time(text: str) -> None:
    start = time.perf_counter()
    extract_answer(text)
    assert time.perf_counter() - start < 2


# Equality

EQUAL = [
    [r"\frac{1}{2}", r"\tfrac12", "0.5", "1/2", r"\dfrac 12", ".5", r"$\frac{2}{4}$"],
    [r"864 \mbox{ inches}^2", "864", "864 square inches", r"864\text{ in}^2"],
    [r"5.4 \text{ cents}", "5.4", "5.4 cents"],
    [r"10\text{ cm}", "10", "10 cm", r"10~\mathrm{cm}"],
    [r"\frac{270}7\text{ degrees}", r"\frac{270}{7}"],
    [r"\text{east}", "east", "East", r"\textbf{east}", r"\mathrm{east}"],
    ["x=5", "5", "x = 2+3 = 5", r"\boldsymbol{5}", "(5)"],
    ["f(x)=x^2", "x^2", "x^{2}"],
    ["1,000", "1000", "1{,}000", r"1,\!000", "1 000", "1000.0", "10^3"],
    [r"11,\! 111,\! 111,\! 100", "11111111100"],
    [r"\$18.90", "18.90", "18.9", "$18.90", r"\$18.90."],
    [r"90^\circ", "90", r"90^{\circ}", "90 degrees", "90°"],
    ["073", "73", "+73"],
    [r"\text{(C)}", "C", "(C)", r"\textbf{(C)}", "C."],
    [r"50\%", "50", "50%", "50 percent"],
    ["(1,2)", r"\left( 1, 2 \right)", r"(1.0,\frac{4}{2})"],
    [r"\{1,2\}", r"\{2,1\}", "2,1", r"1 \text{ and } 2", "x=2 or x=1"],
    [r"\{1\pm\sqrt{5},-2\}", r"-2, 1-\sqrt5, 1+\sqrt5"],
    [r"1 \pm \sqrt{19}", r"1-\sqrt{19}, 1+\sqrt{19}", r"x=1\pm\sqrt{19}"],
    [r"x \in [-2,7]", "[-2,7]", r"-2 \le x \le 7", r"7 \geq x \geq -2"],
    ["(3,4]", r"3 < x \leq 4", r"x \in (3, 4]"],
    [r"(2,\infty)", "x>2", "2<x"],
    [r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)"],
    [r"3\sqrt{13}", r"\sqrt{117}", r"3\sqrt13", "3*sqrt(13)", "3√13"],
    [r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt3}3"],
    [r"\sqrt{3+2\sqrt2}", r"1+\sqrt2"],
    [r"\frac{20000}{\pi}", r"20000/\pi", "20000/π"],
    ["6 - 5i", "-5i+6", r"6-5\mathrm{i}"],
    ["(1+i)^2", "2i"],
    ["p - q", "-q+p", "-(q-p)"],
    ["(a+5)(b+2)", "ab+2a+5b+10"],
    [r"\cot x", r"\frac{\cos x}{\sin x}", r"\cot(x)"],
    ["y = 2x + 3", "2x+3", "y=3+2x"],
    ["y = 2x + 3", "2x-y+3=0"],
    ["5x - 7y + 11z + 4 = 0", "14y - 10x - 22z - 8 = 0"],
    ["2x+2y<6", "x+y<3", "3>x+y"],
    ["52_8", "52_{8}", r"52_{\text{8}}"],
    [r"1\frac{4}{5}", r"\frac95", "1.8", "1 4/5"],
    [r"-\frac{24}{25}", r"\frac{-24}{25}", "-24/25", "-0.96", "−0.96"],
    [".0000672", r"6.72 \times 10^{-5}"],
    [
        r"\begin{pmatrix} -1/3 \\ 2 \end{pmatrix}",
        r"\begin{bmatrix}-\frac13\\2\end{bmatrix}",
    ],
    [r"\log_2 8", r"\binom32", "3"],
]

DIFFERENT = [
    ("28801", "28800"),
    ("12345678901234567890", "12345678901234567891"),
    ("2", "200"),
    ("0.02", r"2\%"),
    ("0.5", "50"),
    ("0.5", r"50\%"),
    ("0.333333", r"\frac13"),
    (r"\sqrt2", "1.414213562373095"),
    (r"\pi", "3.141592653589793"),
    (r"10^{-20}\pi", r"10^{-21}\pi"),
    ("0.333333x", r"\frac{x}{3}"),
    ("a+b", "+b"),
    (r"\text{east}", ""),
    (r"\text{east}", r"\text{}"),
    (r"\text{east}", "west"),
    (r"\text{east}", "seat"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", r"\{1,2\}"),
    ("(1,2)", "[1,2]"),
    ("(3,4]", "(3,4)"),
    ("100,200", "(100,200)"),
    ("1,2", "1,2,3"),
    ("1,2,2", "1,1,2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
    ("52_8", "52"),
    ("52_8", "42"),
    ("x=5", "y=5"),
    ("x>2", r"x \ge 2"),
    ("x>2", "x<2"),
    ("x+y<3", "x+y>3"),
    ("x+y<3", r"x+y \le 3"),
    ("y=2x+3", "y=2x+4"),
    ("x^2+y^2=-1", "x^2+y^2=-2"),
    (r"\text{(C)}", r"\text{(D)}"),
    ("6-5i", "6+5i"),
    ("-5", "5"),
    ("3:4", "4:3"),
    (r"6:30 \text{ AM}", r"6:30 \text{ PM}"),
    (r"1\frac45", r"\frac45"),
    (r"\sqrt{x^2}", "x"),
    (r"\infty", r"-\infty"),
    (r"\frac10", r"\frac20"),
    ("2.5.3", "7.5"),
    ("5 5", "10"),
    ("5m", "5"),
    ("", ""),
]


PAIRS = [pair for group in EQUAL for pair in itertools.combinations(group, 2)]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_spellings_of_one_answer_are_equal(a: str, b: str) -> None:
    assert answers_equal(a, b)
    assert answers_equal(b, a)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_answers_are_not_equal(a: str, b: str) -> None:
    assert not answers_equal(a, b)
    assert not answers_equal(b, a)


def test_equality_is_reflexive_and_symmetric_on_random_pairs() -> None:
    spellings = [*itertools.chain(*EQUAL), *itertools.chain(*DIFFERENT)]
    spellings = [s for s in spellings if s not in {"", r"\text{}"}]
    assert all(answers_equal(s, s) for s in spellings)
    rng = random.Random(0)
    for _ in range(400):
        a, b = rng.sample(spellings, 2)
        assert answers_equal(a, b) == answers_equal(b, a), (a, b)


@pytest.mark.usefixtures("no_sympy")
def test_numbers_agree_with_exact_fractions_and_need_no_sympy() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        a, b = (Fraction(rng.randint(-12, 12), rng.randint(1, 6)) for _ in "ab")
        latex = rf"\frac{{{b.numerator}}}{{{b.denominator}}}"
        assert answers_equal(str(a), latex) == (a == b)


@pytest.mark.usefixtures("no_sympy")
@pytest.mark.parametrize(("a", "b"), [("(1,2]", "(0,2]"), ("east", "west"), ("5", "6")])
def test_cheap_refusals_need_no_sympy(a: str, b: str) -> None:
    assert not answers_equal(a, b)


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_a_time_limit_must_be_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match=f"got {timeout}"):
        answers_equal("x", "y", timeout=timeout)


# Time limits, threads and processes


def test_a_hanging_comparison_ends_and_the_next_one_works() -> None:
    assert equal_expressions("x+1", "1+x", timeout=30)  # a process is running
    start = time.perf_counter()
    assert not answers_equal(BOMB, f"{BOMB}+1", timeout=0.5)
    assert time.perf_counter() - start < 2
    assert equal_expressions("x+1", "1+x", timeout=30)


def test_comparisons_work_in_threads_side_by_side_with_hanging_ones() -> None:
    cases = [(f"x+{k}", f"{k}+x", True) for k in range(1, 20)]
    cases += [(f"x+{k}", f"{k + 1}+x", False) for k in range(1, 20)]
    cases += [(BOMB, f"{BOMB}+{k}", False) for k in range(2, 4)]
    random.Random(0).shuffle(cases)
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda c: answers_equal(c[0], c[1], timeout=1), cases)
        assert list(found) == [expected for _, _, expected in cases]


def test_a_comparison_outlives_the_thread_that_started_its_process() -> None:
    found: list[bool] = []
    for k in range(3):
        thread = threading.Thread(
            target=lambda k=k: found.append(answers_equal(f"y+{k + 1}", f"{k + 1}+y"))
        )
        thread.start()
        thread.join()
    assert found == [True, True, True]


def test_a_script_needs_no_main_guard_and_a_fork_gets_its_own_processes() -> None:
    script = """
        import os
        from langchain_tts.answers import answers_equal
        assert answers_equal("x+1", "1+x")
        if (child := os.fork()) == 0:
            os._exit(0 if answers_equal("x+2", "2+x") else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert answers_equal("x+3", "3+x")
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "answer",
    [
        "9" * 100_000,
        "x+" * 50_000,
        "((" * 190,
        "(1," * 130 + "1" + ")" * 130,
        r"\frac{" * 60,
        "-" * 399,
        "2^{" * 60 + "2" + "}" * 60,
        "9999999!",
        r"\sum_{k=1}^{10000000}\frac{1}{k}",
    ],
    ids=lambda answer: answer[:12],
)
def test_no_answer_takes_longer_than_the_limit(answer: str) -> None:
    assert equal_expressions("x+1", "1+x", timeout=30)  # a process is running
    start = time.perf_counter()
    assert not answers_equal(answer, "5z", timeout=0.5)
    assert time.perf_counter() - start < 2


# Classes


def test_classes_are_numbered_by_first_occurrence() -> None:
    found = answer_classes(
        ["1/2", None, "x=3", "0.5", "", r"\frac12", "3", "4", r"\{3\}"]
    )
    assert found == [0, None, 1, 0, None, 0, 1, 2, 1]


def test_classes_follow_mathematics() -> None:
    roots = [r"3\sqrt{13}", r"\sqrt{117}", r"2\sqrt{13}", "3*sqrt(13)", r"\sqrt{52}"]
    assert answer_classes(roots) == [0, 0, 1, 0, 1]


def test_each_spelling_is_compared_once_with_each_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    def same(a: str, b: str, _timeout: float) -> bool:
        asked.append((a, b))
        return False

    monkeypatch.setattr(answers, "_same_expression", same)
    votes = ["x+1", "x + 1", "x+2", "$x+1$", "x+2", "7", "x+3"] * 30
    assert answer_classes(votes) == [0, 0, 1, 0, 1, 2, 3] * 30
    assert len(asked) == len(set(asked)) == 6


def test_no_answers_have_no_classes() -> None:
    assert answer_classes([]) == []
    assert answer_classes([None, "  "]) == [None, None]


# Grading


def test_no_answer_is_wrong() -> None:
    assert not grade(None, "5")
    assert not grade("", "5")
    assert not grade("", r"\text{east}")


def test_math500_solutions_are_graded_right_and_their_neighbours_wrong() -> None:
    problems = rows("math500.jsonl")
    golds = [problem["answer"] for problem in problems]
    start = time.perf_counter()
    for problem in problems:
        answer = extract_answer(problem["solution"])
        assert grade(answer, problem["answer"]), (answer, problem["answer"])
    shifted = [*golds[1:], golds[0]]
    accepted = [pair for pair in zip(golds, shifted, strict=True) if grade(*pair)]
    assert accepted == [("5", "x=5"), ("7", "7"), ("3", "3")]
    assert time.perf_counter() - start < 20
    assert len(problems) == 500


def test_math500_golds_are_equal_only_where_their_values_are() -> None:
    golds = list(dict.fromkeys(row["answer"] for row in rows("math500.jsonl")))
    rng = random.Random(0)
    for _ in range(300):
        a, b = rng.sample(golds, 2)
        assert answers_equal(a, b) == answers_equal(b, a), (a, b)


def test_aime_answers_are_exact_integers() -> None:
    golds = [row["answer"] for row in rows("aime24.jsonl")]
    assert len(golds) == 30
    for gold in golds:
        n = int(gold)
        for right in (
            gold,
            f"{n:03d}",
            rf"\text{{{n}}}",
            f"{n}.",
            f"{n}.0",
            f"x={n}",
        ):
            assert grade(right, gold)
        for wrong in (n + 1, n - 1, n * 100, n / 100, f"{n}.5", -n, f"{n}{n}", f"{n}x"):
            assert not grade(str(wrong), gold)
