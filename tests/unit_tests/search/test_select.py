from __future__ import annotations

import random

import pytest

from langchain_tts.search.select import (
    Selection,
    beam_count,
    first_of_equals,
    keep_best,
    keep_best_of_subtrees,
    rank,
    share,
    subtrees,
    take_away,
)
from langchain_tts.search.state import Candidate, Status


def candidate(
    candidate_id: int,
    parent: int | None = None,
    *,
    text: str = "step",
    score: float | None = 0.5,
    logprob: float = -1.0,
    status: Status = "active",
) -> Candidate:
    return Candidate(
        id=candidate_id,
        parent=parent,
        depth=1,
        seed=0,
        text=text,
        token_ids=[1],
        logprob=logprob,
        score=score,
        status=status,
        finish_reason="stop" if status == "finished" else "step",
    )


@pytest.mark.parametrize(
    ("places", "width", "beams"),
    [(16, 4, 4), (10, 4, 2), (3, 4, 1), (1, 1, 1), (7, 1, 7)],
)
def test_beams_are_n_over_m_and_at_least_one(
    places: int, width: int, beams: int
) -> None:
    assert beam_count(places, width) == beams


@pytest.mark.parametrize(
    ("total", "parts", "shares"),
    [
        (16, 4, [4, 4, 4, 4]),
        (10, 4, [3, 3, 2, 2]),
        (2, 3, [1, 1, 0]),
        (0, 2, [0, 0]),
        (5, 0, []),
    ],
)
def test_shares_are_even_and_use_everything(
    total: int, parts: int, shares: list[int]
) -> None:
    assert share(total, parts) == shares


def test_taking_away_starts_with_the_largest_and_the_last_among_equals() -> None:
    assert take_away([4, 4, 2], 9) == [4, 3, 2]
    assert take_away([4, 4, 2], 5) == [2, 2, 1]
    assert take_away([4, 4, 2], 1) == [1, 0, 0]


def test_rank_is_by_score_then_log_probability_then_order() -> None:
    tree = [
        candidate(0, score=0.5, logprob=-2.0),
        candidate(1, score=0.9, logprob=-9.0),
        candidate(2, score=0.5, logprob=-1.0),
        candidate(3, score=0.5, logprob=-1.0),
        candidate(4, score=None, logprob=0.0),
        candidate(5, score=0.0, logprob=-3.0),
    ]
    assert rank(tree, [5, 4, 3, 2, 1, 0]) == [1, 2, 3, 0, 5, 4]


def test_rank_does_not_look_at_what_a_batch_does_to_the_last_digits() -> None:
    tree = [
        candidate(0, score=0.5000001, logprob=-1.000004),
        candidate(1, score=0.5000002, logprob=-1.0),
        candidate(2, score=0.5001, logprob=-9.0),
    ]
    assert rank(tree, [2, 1, 0]) == [2, 0, 1]


def test_only_active_steps_with_a_text_become_beams() -> None:
    tree = [
        candidate(0, score=0.9, status="finished"),
        candidate(1, score=0.8, status="truncated"),
        candidate(2, score=0.7, text="  "),
        candidate(3, score=0.6),
        candidate(4, score=0.5),
        candidate(5, score=None, status="failed"),
    ]
    assert keep_best(tree, range(6), places=4, width=4) == Selection([3], [2, 4])


def test_without_places_everything_active_is_pruned() -> None:
    tree = [candidate(0, status="finished"), candidate(1)]
    assert keep_best(tree, [0, 1], places=0, width=4) == Selection([], [1])


def test_duplicates_compete_as_separate_samples() -> None:
    tree = [candidate(0, text="a"), candidate(1, text="a"), candidate(2, score=0.4)]
    assert keep_best(tree, range(3), places=4, width=2).kept == [0, 1]


def test_first_steps_are_dealt_to_subtrees_in_order_and_children_follow() -> None:
    tree = [candidate(i) for i in range(5)]
    tree += [candidate(5, 4), candidate(6, 0), candidate(7, 5)]
    assert subtrees(tree, 2) == [0, 0, 0, 1, 1, 1, 0, 1]


def test_a_subtree_keeps_its_best_step_and_ends_with_a_best_answer() -> None:
    tree = [
        candidate(0, score=0.1),
        candidate(1, score=0.2),
        candidate(2, score=0.9, status="finished"),
        candidate(3, score=0.8),
        candidate(4, score=0.3, status="finished"),
        candidate(5, score=0.4),
        candidate(6, status="failed", score=None),
        candidate(7, status="truncated", score=None),
    ]
    owner = [0, 0, 1, 1, 2, 2, 3, 3]
    selection = keep_best_of_subtrees(tree, range(8), owner)
    assert selection == Selection([1, 5], [0, 3])


def test_equal_texts_after_equal_texts_are_one_prefix() -> None:
    tree = [
        candidate(0, text="a"),
        candidate(1, text="a"),
        candidate(2, text="b"),
        candidate(3, 0, text="x"),
        candidate(4, 1, text="x"),
        candidate(5, 2, text="x"),
        candidate(6, 4, text=""),
        candidate(7, 6, text="y"),
        candidate(8, 3, text="y"),
    ]
    assert first_of_equals(tree) == [0, 0, 2, 3, 3, 5, 3, 7, 7]


@pytest.mark.parametrize("seed", range(20))
def test_equal_prefixes_match_a_comparison_of_whole_paths(seed: int) -> None:
    rng = random.Random(seed)
    tree: list[Candidate] = []
    paths: list[tuple[str, ...]] = []
    for i in range(60):
        parent = rng.choice([None, *range(i)])
        text = rng.choice("ab")
        tree.append(candidate(i, parent, text=text))
        paths.append((*(() if parent is None else paths[parent]), text))
    assert first_of_equals(tree) == [paths.index(p) for p in paths]
