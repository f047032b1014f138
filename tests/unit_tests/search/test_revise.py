from __future__ import annotations

import random

import pytest

from langchain_tts.search.revise import chain_lengths, conversation, latest_that_fit
from langchain_tts.search.state import Message

QUESTION = [Message(role="user", content="What is 6 * 7?")]


@pytest.mark.parametrize(
    ("samples", "ratio", "lengths"),
    [
        # Snell et al. 2024: N = 16 from 1:16 to 16:1.
        (16, 1 / 16, [1] * 16),
        (16, 1 / 4, [2] * 8),
        (16, 1, [4] * 4),
        (16, 4, [8] * 2),
        (16, 16, [16]),
        # N = 64, the ends.
        (64, 1 / 64, [1] * 64),
        (64, 64, [64]),
        # Not divisible: sqrt(10) is about 3 chains, the first has one more.
        (10, 1, [4, 3, 3]),
        (7, 2, [4, 3]),
        # Ratios beyond what N allows.
        (4, 1e-300, [1] * 4),
        (4, 1e300, [4]),
        (1, 1, [1]),
    ],
)
def test_a_budget_is_dealt_to_chains(
    samples: int, ratio: float, lengths: list[int]
) -> None:
    assert chain_lengths(samples, ratio) == lengths


@pytest.mark.parametrize("seed", range(50))
def test_chains_always_use_the_whole_budget(seed: int) -> None:
    rng = random.Random(seed)
    samples, ratio = rng.randint(1, 300), 10 ** rng.uniform(-3, 3)
    lengths = chain_lengths(samples, ratio)
    assert sum(lengths) == samples
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


def test_the_first_answer_sees_the_question_alone() -> None:
    assert conversation(QUESTION, [], "again") == QUESTION


def test_a_revision_sees_the_latest_four_answers_in_their_order() -> None:
    chat = conversation(QUESTION, list("abcdef"), "again")
    assert [(m["role"], m["content"]) for m in chat] == [
        ("user", "What is 6 * 7?"),
        *(pair for a in "cdef" for pair in (("assistant", a), ("user", "again"))),
    ]
    assert len(QUESTION) == 1


@pytest.mark.parametrize(
    ("room", "shown"), [(99, "cdef"), (4, "cdef"), (3, "def"), (1, "f"), (0, "")]
)
def test_the_oldest_answers_make_room(room: int, shown: str) -> None:
    found = latest_that_fit(list("abcdef"), lambda answers: len(answers) <= room)
    assert found == list(shown)
