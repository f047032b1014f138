"""Votes over turns that are settled before all turns are sampled."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from langchain_tts.search.settle import settled
from langchain_tts.strategies._turns import Turns
from tests.unit_tests.search.turn_cases import (
    BROKEN,
    ONE,
    OSLO,
    ROME,
    TWO,
    finals_of,
    voted,
)
from tests.unit_tests.turn_models import asked, call, calls, rule

MIXED = [ONE, TWO, call("add", x=1, y=2), ROME, calls(ONE, ROME), "a", "b", BROKEN[0]]
PLACES = [
    call("find", city=city, **unit)
    for city in ("Rome", "Oslo", "Bari")
    for unit in ({}, {"unit": "C"}, {"unit": "F"})
]


@pytest.mark.parametrize(
    ("count", "pool", "least"),
    [
        ("whole", MIXED, 30),
        ("by_name", MIXED, 30),
        ("by_field", MIXED, 30),
        ("by_field", PLACES, 30),
        ("by_field", [*PLACES, ONE, calls(ROME, ROME)], 30),
    ],
)
def test_no_turns_to_come_change_a_vote_that_is_certainly_settled(
    count: Any, pool: list[str], least: int
) -> None:
    rng = random.Random(3)
    turn = rule(vote=count)
    certain = 0
    for _ in range(120):
        some = rng.sample(pool, rng.randint(1, 4))
        texts = [rng.choice(some) for _ in range(rng.randint(1, 7))]
        left = rng.randint(0, 2)
        turns = Turns.of(finals_of(texts), asked(), turn)
        if any(settled(level, left) != "certain" for level in turns.tallies()):
            continue
        certain += 1
        now = turns.decide("majority")
        for more in itertools.product(pool, repeat=left):
            later = voted([*texts, *more], turn=turn)
            assert (later.winner, later.text) == (now.winner, now.text)
    assert certain > least


def test_by_field_nothing_is_certain_while_fields_and_wholes_disagree() -> None:
    rome = call("find", city="Rome", unit="C")
    others = [call("find", city=c, unit="F") for c in ("Oslo", "Oslo", "Bari", "Bari")]
    turns = [rome, rome, rome, *others]
    # As a whole Rome wins with C, by its fields with F.
    found = voted(turns, turn=rule(vote="by_field"))
    assert found.text == call("find", city="Rome", unit="F")
    voters = Turns.of(finals_of(turns), asked(), rule(vote="by_field"))
    assert voters.tallies() == [[]]
    # Fields that are not settled keep a settled whole open.
    turns = [rome, rome, call("find", city="Rome", unit="F")]
    voters = Turns.of(finals_of(turns), asked(), rule(vote="by_field"))
    assert voters.tallies() == [[3], [2, 1], [3], [2, 1]]


@pytest.mark.parametrize("count", ["whole", "by_name"])
def test_a_vote_is_settled_as_soon_as_no_turns_to_come_could_change_it(
    count: Any,
) -> None:
    pool = [ONE, TWO, ROME, OSLO, "a", "b", BROKEN[1]]
    rng = random.Random(4)
    turn = rule(vote=count)
    open_ones = 0
    for _ in range(60):
        texts = [rng.choice(pool) for _ in range(rng.randint(1, 5))]
        left = rng.randint(1, 2)
        turns = Turns.of(finals_of(texts), asked(), turn)
        winner = turns.decide("majority").winner
        if all(settled(level, left) for level in turns.tallies()):
            continue
        open_ones += 1
        later = {
            voted([*texts, *more], turn=turn).winner
            for more in itertools.product(
                [*pool, call("find", city="?"), "c"], repeat=left
            )
        }
        assert later != {winner}
    assert open_ones > 20


def test_invalid_turns_settle_nothing() -> None:
    turns = Turns.of(finals_of([BROKEN[0]] * 9), asked(), rule())
    assert [settled(level, 0) for level in turns.tallies()] == [None, None]
