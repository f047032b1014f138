"""Seeded problems and the fixed splits.

A question's split is a hash of its text: whatever the seed, a training problem never
is a calibration or test problem.
"""

from __future__ import annotations

import hashlib
import random
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Literal, get_args

from langchain_tts.tinymath.families import FAMILIES, Infeasible
from langchain_tts.tinymath.problem import Problem, Working

if TYPE_CHECKING:
    from collections.abc import Iterator

Split = Literal["train", "calibration", "test"]

LEVELS: dict[int, tuple[range, int]] = {
    1: (range(1, 3), 99),
    2: (range(3, 4), 250),
    3: (range(4, 6), 600),
    4: (range(6, 8), 1000),
    5: (range(8, 11), 1500),
}
"""Level: number of operations, and the largest value that a result may have."""

SIZES: dict[Split, int] = {"calibration": 100, "test": 200}
"""Problems a level in the fixed splits."""

_HELD_OUT = 2
"""Percent of all questions in each held-out split."""


def split_of(question: str) -> Split:
    """The split that a question belongs to, from its letters and digits alone."""
    text = "".join(question.split()).lower()
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100
    if bucket < _HELD_OUT:
        return "test"
    return "calibration" if bucket < 2 * _HELD_OUT else "train"


def make_problem(rng: random.Random, level: int) -> Problem:
    """Draw one problem of a level."""
    counts, cap = LEVELS[level]
    names = list(FAMILIES)
    weights = [share for _, share in FAMILIES.values()]
    while True:
        name = rng.choices(names, weights)[0]
        work = Working()
        try:
            question = FAMILIES[name][0](rng, rng.choice(counts), cap, work)
        except (Infeasible, ValueError):
            continue
        return Problem(question, name, level, tuple(work.operations))


def problems(split: Split, seed: int = 0) -> Iterator[Problem]:
    """Distinct problems of a split without end, the levels in turn.

    Args:
        split: `train`, `calibration` or `test`.
        seed: Seed of the stream.

    Raises:
        ValueError: If there is no such split.
    """
    if split not in get_args(Split):
        msg = f"unknown split {split!r}; the splits are {', '.join(get_args(Split))}"
        raise ValueError(msg)
    rng = random.Random(f"tinymath {split} {seed}")
    seen: set[str] = set()
    while True:
        for level in LEVELS:
            problem = make_problem(rng, level)
            while split_of(problem.question) != split or problem.question in seen:
                problem = make_problem(rng, level)
            # Easy training questions are few: only held-out ones must be distinct.
            if split != "train":
                seen.add(problem.question)
            yield problem


@cache
def load_split(split: Split) -> tuple[Problem, ...]:
    """The fixed problems of `calibration` or `test`, the levels in turn.

    Raises:
        ValueError: If the split has no fixed size (`train` is a stream).
    """
    if split not in SIZES:
        msg = f"split {split!r} is not fixed; choose from {', '.join(SIZES)}"
        raise ValueError(msg)
    return tuple(islice(problems(split), SIZES[split] * len(LEVELS)))
