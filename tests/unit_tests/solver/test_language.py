"""The solver's language: what is accepted, what is refused, and how it is written."""

from __future__ import annotations

import pytest

from langchain_tts.solver import ConstraintError, read_script
from langchain_tts.solver.expressions import MAX_DEPTH

DECLARED = "(declare-const answer Int)"


def nested(depth: int) -> str:
    return f"{DECLARED}(assert (= answer {'(+ 1 ' * depth}1{')' * depth}))"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (
            "(declare-const answer Int)(assert (= (* answer 9) 45))",
            "(declare-const answer Int)\n(assert (= (* answer 9) 45))",
        ),
        (
            " ; a note )\n( declare-fun\tanswer ( )  Real ) (assert(<= 0 answer 1.5))",
            "(declare-const answer Real)\n(assert (<= 0 answer 1.5))",
        ),
        (
            """(define-fun x () Int (+ 1 2)) (declare-const answer Bool)
            (assert (=> (> x 1) (not answer)))(check-sat)(get-value (answer))""",
            """(declare-const x Int)
(declare-const answer Bool)
(assert (= x (+ 1 2)))
(assert (=> (> x 1) (not answer)))""",
        ),
        (
            f"(set-logic LIA){DECLARED}(assert (= answer (ite true (- 3) (mod 7 4))))",
            f"{DECLARED}\n(assert (= answer (ite true (- 3) (mod 7 4))))",
        ),
    ],
)
def test_constraints_are_read_and_written_in_one_spelling(
    text: str, canonical: str
) -> None:
    script = read_script(text)
    assert str(script) == canonical
    assert str(read_script(canonical)) == canonical


def test_the_deepest_and_no_deeper_term_is_read() -> None:
    fits = MAX_DEPTH - 3  # inside of assert, =, and its own list
    assert read_script(nested(fits)).assertions
    with pytest.raises(ConstraintError, match="more than 50 deep"):
        read_script(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no constant 'answer' is declared; declared are: none"),
        ("(declare-const x Int)", "declared are: x"),
        ("The answer is 42.", "The is not of the language"),
        ("(set-option :print-success true)", "character ':' is not of the language"),
        ('(include "/etc/passwd")', "character '\"' is not of the language"),
        ("(include etc)", r"\(include etc\) is not of the language"),
        ("(eval answer)", "not of the language"),
        ("(push 1)", "the commands are declare-const"),
        ("(reset)", "not of the language"),
        ("(declare-sort S 0)", "not of the language"),
        ("(declare-const |a b| Int)", r"character '\|'"),
        ("(declare-const antwört Int)", "character 'ö'"),
        ("(declare-const аnswer Int)", "is not of the language"),  # noqa: RUF001
        ("(declare-const answer Int\x00)", "is not of the language"),
        ("(declare-const answer String)", "it is Int, Real or Bool"),
        ("(declare-const answer (_ BitVec 8))", "it is Int, Real or Bool"),
        ("(declare-const 9answer Int)", "cannot be a name"),
        ("(declare-const and Int)", "cannot be a name"),
        ("(declare-const __import__('os') Int)", r"character \"'\""),
        ("(declare-fun answer (Int) Int)", "has arguments"),
        (f"{DECLARED}{DECLARED}", "declared twice"),
        ("(define-fun answer () Int (+ answer 1))", "neither a number nor a declared"),
        (f"{DECLARED}(assert (= answer y))", "'y' is neither"),
        (f"{DECLARED}(assert answer)", "is a number; assert a relation"),
        (f"{DECLARED}(assert)", "not of the language"),
        (f"{DECLARED}(assert (= answer true))", "= cannot take Int, Bool"),
        (f"{DECLARED}(assert (and answer true))", "and cannot take Int, Bool"),
        (f"{DECLARED}(assert (= answer (mod 7.5 2)))", "mod cannot take Real, Int"),
        (f"{DECLARED}(assert (= answer))", "1 arguments"),
        (f"{DECLARED}(assert (not true true))", "2 arguments"),
        (f"{DECLARED}(assert (ite true 1 2))", "is a number"),
        (f"{DECLARED}(assert (= answer (ite 1 2 3)))", "ite takes a Bool"),
        (f"{DECLARED}(assert (= answer (f 1)))", "'f' is no operator"),
        (f"{DECLARED}(assert (= answer ()))", "does not begin with an operator"),
        (f"{DECLARED}(assert (forall ((x Int)) (= x answer)))", "'forall' is no"),
        (f"{DECLARED}(assert (let ((x 1)) (= x answer)))", "'let' is no operator"),
        (f"{DECLARED}(assert (= answer #x10))", "character '#'"),
        (f"{DECLARED}(assert (= answer 1e9))", "'1e9' is neither"),
        (f"{DECLARED}(assert (= answer {'9' * 41}))", "more than 40 digits"),
        (f"{DECLARED})", "without its '\\('"),
        (f"{DECLARED}(assert (= answer 4)", "1 '\\(' without a '\\)'"),
        ("(" * 100_000, "100000 characters"),
        ("(" * 19_000, "more than 5000|19000 words"),
        ("".join(f"(declare-const a{i} Int)" for i in range(201)), "more than 200"),
    ],
)
def test_what_is_not_of_the_language_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConstraintError, match=said):
        read_script(text)


def test_an_error_stays_short_whatever_was_written() -> None:
    with pytest.raises(ConstraintError) as raised:
        read_script(f"({'reset ' * 900})")
    assert len(str(raised.value)) < 200
