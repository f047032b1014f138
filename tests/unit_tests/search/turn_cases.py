"""Turns to vote on, and a vote that compares every pair of them."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from langchain_tts.search.state import FinalCandidate, ToolCall, Vote, VoteRow
from langchain_tts.search.turns import TurnRule, write_turn
from langchain_tts.search.vote import Decision
from langchain_tts.strategies._turns import Turns
from tests.unit_tests.search.test_json_text import same
from tests.unit_tests.turn_models import TOOLS, asked, call, calls, raw, rule

VOTES: list[Vote] = ["majority", "max", "vote"]


def finals_of(
    texts: Sequence[str], scores: Sequence[float | None] | None = None
) -> list[FinalCandidate]:
    return [
        FinalCandidate(
            id=place,
            text=text,
            answer=None,
            step_scores=[] if score is None else [score],
            score=score,
            logprob=-1.0,
            status="finished",
        )
        for place, (text, score) in enumerate(
            zip(texts, scores or [None] * len(texts), strict=True)
        )
    ]


def voted(
    texts: Sequence[str],
    scores: Sequence[float | None] | None = None,
    vote: Vote = "majority",
    turn: TurnRule | None = None,
    tools: Sequence[dict[str, Any]] = TOOLS,
) -> Decision:
    finals = finals_of(texts, scores)
    return Turns.of(finals, asked(tools), turn or rule()).decide(vote)


def counts(rows: Sequence[VoteRow]) -> list[tuple[str, int]]:
    return [(row["answer"], row["count"]) for row in rows]


ONE, TWO = call("add", x=1), call("add", x=2)
ROME, OSLO = call("find", city="Rome"), call("find", city="Oslo")
BROKEN = [raw("{"), call("subtract", x=1), call("add"), ""]


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "why": {"type": "string"},
    },
    "required": ["name", "age"],
}

Made = list[ToolCall] | str | None
"""Calls, a text, or nothing that can be used."""


def equal(a: Made, b: Made) -> bool:
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return a == b
    return len(a) == len(b) and any(
        all(
            x["name"] == y["name"] and same(x["arguments"], y["arguments"])
            for x, y in zip(a, order, strict=True)
        )
        for order in itertools.permutations(b)
    )


def oracle(
    made: Sequence[Made], scores: Sequence[float], vote: Vote, names: bool
) -> list[int]:
    """The places of the winning class, the winner first."""

    def most(
        places: list[int], alike: Callable[[int, int], bool], vote: Vote
    ) -> list[int]:
        groups = [[q for q in places if alike(p, q)] for p in places]

        def rank(group: list[int]) -> tuple[float, float, int]:
            own = [scores[p] for p in group]
            weight = {"majority": len(own), "max": max(own), "vote": math.fsum(own)}
            best = min(group, key=lambda p: (-scores[p], p))
            return -weight[vote], -scores[best], best

        return min(groups, key=rank)

    def named(place: int) -> list[str]:
        turn = made[place]
        return sorted(c["name"] for c in turn) if isinstance(turn, list) else []

    left = [place for place, turn in enumerate(made) if turn is not None]
    if not left:
        return []
    kinds = [isinstance(turn, str) for turn in made]
    left = most(left, lambda p, q: kinds[p] == kinds[q], "majority")
    if names:
        left = most(left, lambda p, q: named(p) == named(q), vote)
    left = most(left, lambda p, q: equal(made[p], made[q]), vote)
    return sorted(left, key=lambda p: (-scores[p], p))


ARGUMENTS = st.fixed_dictionaries(
    {"x": st.sampled_from([1, 1.0, True, "1", [1, 2], [2, 1], [{"a": 1, "b": 2.0}]])},
    optional={"y": st.sampled_from([0, -0.0, 0.5])},
)
SOME_CALLS = st.lists(
    st.one_of(
        ARGUMENTS.map(lambda a: ToolCall(name="add", arguments=a)),
        st.sampled_from(["Rome", "Rōma"]).map(
            lambda c: ToolCall(name="find", arguments={"city": c})
        ),
    ),
    min_size=1,
    max_size=3,
)
MADE = (
    st.none() | SOME_CALLS | SOME_CALLS | st.sampled_from(["Hello", "Hello.", "Héllo"])
)


class Sampled(NamedTuple):
    text: str
    made: Made


def write(made: Made, rng: random.Random) -> Sampled:
    """Write a turn in one of its ways."""
    if made is None:
        return Sampled(rng.choice(BROKEN), None)
    if isinstance(made, str):
        return Sampled(made, made)

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = rng.sample(sorted(value), len(value))
            return {key: shuffled(value[key]) for key in keys}
        return [*map(shuffled, value)] if isinstance(value, list) else value

    order = rng.sample(made, len(made))
    content = rng.choice(["", "", "I call."])
    written = [
        ToolCall(name=one["name"], arguments=shuffled(one["arguments"]))
        for one in order
    ]
    if rng.random() < 0.5:
        return Sampled(write_turn(content, written), made)
    escaped = [raw(json.dumps({**one}, indent=1)) for one in written]
    return Sampled(calls(*escaped, content=content), made)


TURNS = st.builds(
    lambda made, seed: [
        write(one, random.Random(seed + k)) for k, one in enumerate(made)
    ],
    st.lists(MADE, min_size=1, max_size=8),
    st.integers(0, 10**6),
)
# Sums of eighths are exact, so that equal ones are equal to every way of counting.
SCORES = st.lists(
    st.sampled_from([0.0, 0.125, 0.25, 0.375, 0.875]), min_size=8, max_size=8
)
