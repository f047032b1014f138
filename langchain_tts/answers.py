r"""Final answers: taken out of a solution, compared as mathematics, classed, graded.

An answer is read once into a small form: a tuple, interval, set, union or matrix of
parts, or a leaf, which is a number, words or an expression. Forms are compared part by
part and numbers as exact fractions, in microseconds; only two different expressions,
such as `3\sqrt{13}` and `\sqrt{117}`, reach sympy through math-verify, in another
process and under a time limit. Nothing is compared with a tolerance.

The conventions of the MATH data set hold: units and degree, percent and currency signs
are dropped (`50\%` is `50`, and is not `0.5`), a list without brackets is a set, `x=5`
may be written `5`, and a number in another base (`52_8`) is only itself.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from langchain_tts._answers_form import Form, read
from langchain_tts._answers_process import equal_expressions

_TIMEOUT = 2.0
_BOX = (
    r"\\(?:boxed|fbox)(?![A-Za-z])\s*"
    r"(?:(?P<open>\{)|(?P<bare>[-+]?[\d.][\d.,/]*|[A-Za-z]\b))"
)
_BOX_TOKEN = re.compile(rf"{_BOX}|\\.|[{{}}]", re.DOTALL)
_PHRASE = re.compile(
    r"(?:final\s+)?answer(?:\*\*)?\s*(?:\bis\b\s*:?|[:=])(?:\s*\*\*)?\s*"
    r"(?:\$(?P<math>[^$\n]+)\$|(?P<plain>[^\n]*?)"
    r"(?:\.(?=\s|$)|,?\s+(?:because|since)\b|\n|$))",
    re.IGNORECASE,
)


def extract_answer(text: str) -> str | None:
    r"""Return the final answer that a solution states.

    This is the content of the last balanced `\boxed{...}` (or `\fbox{...}`, or
    `\boxed 5`); in a text without any box, what follows the last "answer is" or
    "answer:". A solution that was cut off states none: its last number is no answer.

    Args:
        text: A solution, any length; the time is linear in it.

    Returns:
        The answer as written, without surrounding white space; None if there is none or
        if the last box is empty.
    """
    last_start, answer, has_box = -1, "", False
    open_braces: list[tuple[int, bool]] = []  # where the content starts; is it a box
    for match in _BOX_TOKEN.finditer(text):
        has_box = has_box or match["open"] is not None or match["bare"] is not None
        if match["bare"]:
            last_start, answer = match.end(), match["bare"].rstrip(".,;:")
        elif match[0][-1] == "{" and match[0] != r"\{":
            open_braces.append((match.end(), match["open"] is not None))
        elif match[0] == "}" and open_braces:
            start, is_box = open_braces.pop()
            if is_box and start > last_start:
                last_start, answer = start, text[start : match.start()]
    if not has_box and (phrases := list(_PHRASE.finditer(text))):
        answer = phrases[-1]["math"] or phrases[-1]["plain"].strip("*")
    return answer.strip() or None


def answers_equal(a: str, b: str, *, timeout: float = _TIMEOUT) -> bool:
    """Tell whether two answers are mathematically equal.

    Works in any thread. Where sympy must decide, the first call waits for a process to
    start (about a second) and each call blocks for up to `timeout` per pair of
    expressions: in async code, call it through `asyncio.to_thread`.

    Args:
        a: An answer in LaTeX or plain text.
        b: Another one; the order does not matter.
        timeout: Seconds that one comparison of two expressions may take.

    Returns:
        True if they are equal. False if they differ, if either is empty, or if equality
        is not proved in time.

    Raises:
        ValueError: If `timeout` is not positive.
        RuntimeError: If sympy is needed and its process cannot be started.
    """
    if timeout <= 0:
        msg = f"timeout must be a positive number of seconds, got {timeout!r}"
        raise ValueError(msg)
    return _equal(read(a), read(b), timeout)


def answer_classes(answers: Sequence[str | None]) -> list[int | None]:
    """Group answers into classes of mathematically equal ones.

    An answer joins the first class whose first member it equals, so each distinct
    spelling is compared at most once with each class.

    Args:
        answers: Answers; None or empty where a sample has none.

    Returns:
        For each answer the index of its class, numbered in order of first occurrence;
        None for no answer.
    """
    first_members: list[Form] = []
    class_of: dict[Form, int] = {}
    classes: list[int | None] = []
    for answer in answers:
        form = read(answer or "")
        if not form.text:
            classes.append(None)
            continue
        if form not in class_of:
            new = len(first_members)
            equal = (_equal(form, first, _TIMEOUT) for first in first_members)
            class_of[form] = next(
                (k for k, is_equal in enumerate(equal) if is_equal), new
            )
            if class_of[form] == new:
                first_members.append(form)
        classes.append(class_of[form])
    return classes


def grade(answer: str | None, gold: str) -> bool:
    """Tell whether an answer is right.

    Args:
        answer: The answer of a solution, None if it has none.
        gold: The reference answer.

    Returns:
        True if they are equal, see `answers_equal`; False for no answer.
    """
    return answer is not None and answers_equal(answer, gold)


def _equal(a: Form, b: Form, timeout: float) -> bool:
    if not (a.text and b.text):
        return False
    if (a.name != b.name) and ((a.name and b.name) or "=" in a.text + b.text):
        a, b = a.relation(), b.relation()
    elif a.text == b.text:
        return True
    if {a.kind, b.kind} in ({"expression"}, {"expression", "number"}):
        return _same_expression(*sorted((a.text, b.text)), timeout)
    if a.kind != b.kind or len(a.parts) != len(b.parts) or not a.parts:
        return False
    if a.kind in {"set", "union"}:
        return _same_elements(a.parts, list(b.parts), timeout)
    return all(_equal(x, y, timeout) for x, y in zip(a.parts, b.parts, strict=True))


def _same_elements(left: Sequence[Form], right: list[Form], timeout: float) -> bool:
    for x in left:
        k = next((k for k, y in enumerate(right) if _equal(x, y, timeout)), None)
        if k is None:
            return False
        del right[k]
    return True


@lru_cache(maxsize=8192)
def _same_expression(a: str, b: str, timeout: float) -> bool:
    return equal_expressions(a, b, timeout)
