"""Votes over turns, against a vote that compares every pair of turns."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tts.search.state import Vote
from tests.unit_tests.search.test_json_text import same
from tests.unit_tests.search.turn_cases import (
    MADE,
    PERSON,
    SCORES,
    TURNS,
    VOTES,
    Made,
    Sampled,
    counts,
    oracle,
    voted,
    write,
)
from tests.unit_tests.turn_models import rule


@settings(deadline=None)
@given(TURNS, SCORES, st.sampled_from(VOTES), st.booleans())
def test_the_winner_is_that_of_the_vote_that_compares_all_pairs(
    turns: list[Sampled], scores: list[float], vote: Vote, by_name: bool
) -> None:
    scores = scores[: len(turns)]
    turn = rule(vote="by_name" if by_name else "whole")
    found = voted([one.text for one in turns], scores, vote, turn)
    expected = oracle([one.made for one in turns], scores, vote, by_name)
    assert found.winner == (expected[0] if expected else None)
    if expected:
        assert found.rows[0]["count"] == len(expected)
    valid = sum(one.made is not None for one in turns)
    assert sum(row["count"] for row in found.rows) == valid


@settings(deadline=None)
@given(
    st.lists(MADE, min_size=1, max_size=6),
    st.permutations(range(6)),
    st.sampled_from(VOTES),
    st.sampled_from(["whole", "by_name", "by_field"]),
    st.integers(0, 10**6),
)
def test_neither_order_nor_spelling_changes_the_winner_of_distinct_scores(
    made: list[Made], order: list[int], vote: Vote, count: Any, seed: int
) -> None:
    rng = random.Random(seed)
    turn = rule(vote=count)
    scores = [0.11, 0.23, 0.37, 0.59, 0.71, 0.89][: len(made)]
    order = [place for place in order if place < len(made)]
    first = [write(one, rng).text for one in made]
    again = [write(made[place], rng).text for place in order]
    a = voted(first, scores, vote, turn)
    b = voted(again, [scores[place] for place in order], vote, turn)
    assert a.winner == (None if b.winner is None else order[b.winner])
    assert a.answer == b.answer
    assert sorted(counts(a.rows)) == sorted(counts(b.rows))


PEOPLE = st.fixed_dictionaries(
    {"name": st.sampled_from(["Ada", "Bob"]), "age": st.sampled_from([1, 1.0, 2, 3])},
    optional={"why": st.sampled_from(["x", "y"])},
)


@settings(deadline=None)
@given(
    st.lists(PEOPLE, min_size=1, max_size=7),
    SCORES,
    st.sampled_from(VOTES),
)
def test_by_field_each_field_of_the_result_is_that_of_its_own_vote(
    people: list[dict[str, Any]], scores: list[float], vote: Vote
) -> None:
    scores = scores[: len(people)]
    texts = [json.dumps(person) for person in people]
    turn = rule(schema=PERSON, vote="by_field")
    found = voted(texts, scores, vote, turn)
    assert found.winner is not None
    result = json.loads(found.text or texts[found.winner])
    for name in ("name", "age", "why"):
        values: list[Made] = [json.dumps(p.get(name, "-")) for p in people]
        values = [v if v != "1.0" else "1" for v in values]
        best, *_ = oracle(values, scores, vote, names=False)
        assert same(result.get(name), people[best].get(name))
    assert (found.text is None) == any(same(result, person) for person in people)
