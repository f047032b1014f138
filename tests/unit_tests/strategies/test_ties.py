"""Scores that differ in their last digits: every search is the same one."""

from __future__ import annotations

import pytest

from langchain_tts.search.state import SearchResult
from langchain_tts.strategies import _outcome
from langchain_tts.strategies.state import SearchState
from tests.unit_tests.fakes import (
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)
from tests.unit_tests.search.test_select import candidate
from tests.unit_tests.search.test_vote import final
from tests.unit_tests.strategies.searching import search

NOISE = 1e-7

STRATEGIES = [
    "best_of_n",
    "beam_search",
    "dvts",
    "particle_filter",
    "mcts",
    "best_first",
    "levin",
]


def even(prefix: Prefix) -> list[Continuation]:
    """Continuations that are all as likely, so that nothing but order is left."""
    found = random_language(3, depth=3, branching=3)(prefix)
    return [one._replace(probability=1 / 3) for one in found]


def noisy(strategy: str, noise: float) -> SearchResult:
    """A search whose steps are all scored 0.5 but for the last digits."""

    def score(prefix: Prefix) -> float:
        odd = sum(map(ord, "".join(prefix))) % 2
        return 0.5 + (noise if odd else -noise)

    return search(strategy, TreePolicy(even), TreePrm(score), budget=8, beam_width=2)


def _found(result: SearchResult) -> list[object]:
    steps = [(c["parent"], c["text"], c["status"]) for c in result["tree"]]
    return [result["answer"], [one["id"] for one in result["candidates"]], steps]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("noise", [NOISE, -NOISE])
def test_a_search_does_not_depend_on_last_digits(strategy: str, noise: float) -> None:
    assert _found(noisy(strategy, noise)) == _found(noisy(strategy, 0.0))


@pytest.mark.parametrize("noise", [NOISE, 0.0, -NOISE])
def test_an_answer_that_scores_what_is_asked_for_ends_the_search(noise: float) -> None:
    state: SearchState = {"chosen": {}}
    found = [final(0, "7", [0.92414 + noise])]
    assert _outcome.good_enough(state, found, 0.92414)["stop_reason"] == "scored"
    assert _outcome.good_enough(state, found, 0.92416) == {}


@pytest.mark.parametrize("noise", [NOISE, 0.0, -NOISE])
def test_of_equally_promising_unfinished_texts_the_longest_is_told(
    noise: float,
) -> None:
    tree = [candidate(0, text="short"), candidate(1, text="longer", score=0.5 + noise)]
    assert _outcome._partial(tree) == "longer"
