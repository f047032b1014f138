from __future__ import annotations

import pytest

from langchain_tts.search.lookahead import (
    affordable,
    judged_at,
    open_rollouts,
    place_count,
)
from langchain_tts.search.select import first_of_equals
from langchain_tts.search.state import Candidate, FinishReason, Status


def candidate(
    candidate_id: int,
    parent: int | None,
    text: str,
    *,
    depth: int = 1,
    status: Status = "active",
    reason: FinishReason = "step",
) -> Candidate:
    return Candidate(
        id=candidate_id,
        parent=parent,
        depth=depth,
        seed=0,
        text=text,
        token_ids=[1],
        logprob=-1.0,
        score=None,
        status=status,
        finish_reason=reason,
    )


def rollout(
    candidate_id: int,
    parent: int,
    text: str,
    *,
    depth: int = 2,
    reason: FinishReason = "step",
) -> Candidate:
    return candidate(
        candidate_id, parent, text, depth=depth, status="rollout", reason=reason
    )


@pytest.mark.parametrize(
    ("samples", "wanted", "steps", "places"),
    [
        (16, 0, 0, 16),
        (16, 1, 1, 8),
        (16, 2, 2, 5),
        (16, 15, 15, 1),
        (16, 40, 15, 1),
        (2, 3, 1, 1),
        (1, 3, 0, 1),
    ],
)
def test_proposals_and_rollouts_share_the_budget(
    samples: int, wanted: int, steps: int, places: int
) -> None:
    assert affordable(samples, wanted) == steps
    assert place_count(samples, wanted) == places
    assert places * (steps + 1) <= samples


PROPOSED = [
    candidate(0, None, "a"),
    candidate(1, None, "b"),
    candidate(2, None, "a"),
    candidate(3, None, "c", status="finished", reason="stop"),
    candidate(4, None, "  "),
    candidate(5, None, "d", status="truncated", reason="length"),
    candidate(6, None, "c"),
]


def test_a_rollout_starts_at_each_distinct_step_that_can_go_on() -> None:
    # `c` ended its answer in one sample and not in the other.
    assert open_rollouts(PROPOSED, range(7), 1, 40) == [0, 1, 6]
    assert open_rollouts(PROPOSED, range(7), 0, 40) == []
    assert open_rollouts(PROPOSED, [1, 2], 1, 40) == [1, 2]


def test_a_rollout_goes_on_until_it_is_long_enough_or_at_an_end() -> None:
    tree = [
        *PROPOSED,
        rollout(7, 0, "x"),
        rollout(8, 1, "answer", reason="stop"),
        rollout(9, 6, "y"),
    ]
    assert open_rollouts(tree, range(7), 1, 40) == []
    assert open_rollouts(tree, range(7), 2, 40) == [7, 9]
    assert open_rollouts(tree, range(7), 2, 2) == []  # an answer has two steps
    tree += [
        rollout(10, 7, "cut", depth=3, reason="length"),
        rollout(11, 9, "", depth=3),
    ]
    assert open_rollouts(tree, range(7), 9, 40) == []


def test_a_step_is_judged_at_the_last_whole_step_of_its_rollout() -> None:
    tree = [
        *PROPOSED,
        rollout(7, 0, "x"),
        rollout(8, 1, "", reason="failed"),
        rollout(9, 6, "y"),
        rollout(10, 7, "half", depth=3, reason="length"),
        rollout(11, 9, "answer", depth=3, reason="stop"),
    ]
    # 0 and 2 are equal; 1 lost its rollout; the finished 3 is not followed like 6.
    assert judged_at(tree, first_of_equals(tree)) == [
        *(7, 1, 7, 3, 4, 5, 11),
        *(7, 8, 9, 10, 11),
    ]


def test_later_steps_have_rollouts_of_their_own_though_they_were_foreseen() -> None:
    tree = [
        candidate(0, None, "a"),
        rollout(1, 0, "b"),
        candidate(2, 0, "b", depth=2),
        candidate(3, 0, "e", depth=2),
    ]
    assert open_rollouts(tree, [2, 3], 1, 40) == [2, 3]
    tree += [rollout(4, 2, "c", depth=3), rollout(5, 3, "f", depth=3)]
    assert judged_at(tree, first_of_equals(tree)) == [1, 1, 4, 5, 4, 5]
