from __future__ import annotations

import random
from typing import Any, get_args

import pytest

from langchain_tts.search.state import Candidate, FinalCandidate, Score, Status, Vote
from langchain_tts.search.vote import (
    Decision,
    all_votes,
    decide,
    nested_votes,
    trajectory_score,
)


def final(
    candidate_id: int,
    answer: str | None,
    step_scores: list[float],
    status: Status = "finished",
) -> FinalCandidate:
    return FinalCandidate(
        id=candidate_id,
        text=f"... {answer}",
        answer=answer,
        step_scores=step_scores,
        score=trajectory_score(step_scores, "last"),
        logprob=-1.0,
        status=status,
    )


def classes(finals: list[FinalCandidate]) -> list[int | None]:
    """Classes by hand: `0.5` and `1/2` are equal, all else is what it says."""
    names = {"1/2": "0.5"}
    spelled = [None if f["answer"] is None else f["answer"] for f in finals]
    merged = [None if s is None else names.get(s, s) for s in spelled]
    order = list(dict.fromkeys(m for m in merged if m is not None))
    return [None if m is None else order.index(m) for m in merged]


# Scores of trajectories         min   last  avg        prod
#   0: A  [0.9, 0.5]             0.5   0.5   0.7        0.45
#   1: B  [0.2, 0.8]             0.2   0.8   0.5        0.16
#   2: C  [0.6, 0.6, 0.6]        0.6   0.6   0.6        0.216
#   3: B  [0.3, 0.3]             0.3   0.3   0.3        0.09
#   4: D  [0.4, 0.75]            0.4   0.75  0.575      0.3
#   5: D  [0.1, 0.7]             0.1   0.7   0.4        0.07
#   6: B  [0.01, 0.01]           0.01  0.01  0.01       0.0001
# Sums over answers              min:  A .5, B .51, C .6, D .5      -> C
#                                last: A .5, B 1.11, C .6, D 1.45   -> D
#                                avg:  A .7, B .81, C .6, D .975    -> D
#                                prod: A .45, B .2501, C .216, D .37 -> A
TRAJECTORIES = [
    final(10, "A", [0.9, 0.5]),
    final(11, "B", [0.2, 0.8]),
    final(12, "C", [0.6, 0.6, 0.6]),
    final(13, "B", [0.3, 0.3]),
    final(14, "D", [0.4, 0.75]),
    final(15, "D", [0.1, 0.7]),
    final(16, "B", [0.01, 0.01]),
]
WINNERS = {
    (None, "majority"): ("B", 11),
    ("min", "max"): ("C", 12),
    ("min", "vote"): ("C", 12),
    ("last", "max"): ("B", 11),
    ("last", "vote"): ("D", 14),
    ("avg", "max"): ("A", 10),
    ("avg", "vote"): ("D", 14),
    ("prod", "max"): ("A", 10),
    ("prod", "vote"): ("A", 10),
}


def winners(finals: list[FinalCandidate]) -> dict[Any, Any]:
    table = all_votes(finals, classes(finals))
    return {(row["score"], row["vote"]): (row["answer"], row["id"]) for row in table}


@pytest.mark.parametrize(
    ("score", "value"), [("min", 0.2), ("last", 0.8), ("avg", 0.5), ("prod", 0.08)]
)
def test_trajectory_scores(score: Score, value: float) -> None:
    assert trajectory_score([0.2, 0.5, 0.8], score) == pytest.approx(value)
    assert trajectory_score([], score) is None


def test_all_nine_combinations_as_worked_out_by_hand() -> None:
    assert winners(TRAJECTORIES) == WINNERS


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_the_trajectories_does_not_matter(seed: int) -> None:
    shuffled = random.Random(seed).sample(TRAJECTORIES, len(TRAJECTORIES))
    assert winners(shuffled) == WINNERS


@pytest.mark.parametrize("seed", range(10))
def test_summed_scores_do_not_depend_on_the_order(seed: int) -> None:
    rng = random.Random(seed)
    finals = [final(i, rng.choice("AB"), [rng.random()]) for i in range(50)]
    shuffled = rng.sample(finals, len(finals))
    rows = decide(finals, classes(finals), "vote").rows
    assert decide(shuffled, classes(shuffled), "vote").rows == rows


def test_equal_answers_vote_together_however_they_are_written() -> None:
    finals = [final(0, "2", [0.6]), final(1, "0.5", [0.4]), final(2, "1/2", [0.5])]
    decision = decide(finals, classes(finals), "vote")
    assert decision.winner == 2
    assert decision.rows == [
        {"answer": "1/2", "count": 2, "weight": 0.9},
        {"answer": "2", "count": 1, "weight": 0.6},
    ]


@pytest.mark.parametrize("vote", ["majority", "max", "vote"])
def test_ties_go_to_the_better_score_then_to_the_earlier_sample(vote: Vote) -> None:
    tied = [final(3, "A", [0.5]), final(1, "B", [0.5])]
    assert decide(tied, classes(tied), vote).winner == 1
    if vote == "majority":
        better = [final(1, "A", [0.4]), final(3, "B", [0.6])]
        assert decide(better, classes(better), vote).winner == 1


def test_cut_failed_and_empty_answers_never_vote() -> None:
    finals = [
        final(0, "A", [0.9], status="truncated"),
        final(1, "A", [0.9], status="failed"),
        final(2, None, [0.9]),
        final(3, "B", [0.1]),
    ]
    for vote in get_args(Vote):
        decision = decide(finals, classes(finals), vote)
        assert decision.winner == 3
        assert [row["answer"] for row in decision.rows] == ["B"]


def test_nobody_votes() -> None:
    finals = [final(0, None, [0.9])]
    assert decide(finals, [None], "vote") == Decision(None, [])
    assert {row["answer"] for row in all_votes([], [])} == {None}


def test_smaller_budgets_see_the_first_samples_only() -> None:
    # Five samples of two steps each; the third failed, so it left no trajectory.
    def step(candidate_id: int, parent: int | None, status: Status) -> Candidate:
        return Candidate(
            id=candidate_id,
            parent=parent,
            depth=1 if parent is None else 2,
            seed=0,
            text="s",
            token_ids=[1],
            logprob=-1.0,
            score=None,
            status=status,
            finish_reason="step",
        )

    tree = [
        *(step(0, None, "active"), step(1, 0, "finished")),
        *(step(2, None, "active"), step(3, 2, "finished")),
        step(4, None, "failed"),
        *(step(5, None, "active"), step(6, 5, "finished")),
        *(step(7, None, "active"), step(8, 7, "finished")),
    ]
    finals = [
        final(8, "A", [0.9]),  # best first, as in a result
        final(1, "A", [0.8]),
        final(3, "B", [0.7]),
        final(6, "B", [0.6]),
    ]
    tables = nested_votes(tree, finals, classes(finals), [1, 2, 3, 4, 5])
    majority = {n: table[0]["answer"] for n, table in tables.items()}
    assert majority == {1: "A", 2: "A", 3: "A", 4: "B", 5: "A"}
    by_sum = {
        n: next(
            row["answer"]
            for row in table
            if (row["score"], row["vote"]) == ("last", "vote")
        )
        for n, table in tables.items()
    }
    assert by_sum == {1: "A", 2: "A", 3: "A", 4: "B", 5: "A"}


# Two chains of answers. Scores, and what the votes make of them by hand:
#   chain 0: A .9, B .5, B .6     sums A .9, B 1.1     -> B, best .6 (id 2)
#   chain 1: A .2, C .3           sums A .2, C .3      -> C (id 4)
#   chain 2: C .4, C .25, A .5    sums C .65, A .5     -> C, best .4 (id 5)
#   across the chains: B .6, C .3 + .4 = .7            -> C, best .4 (id 5)
#   flat: A .9 + .2 + .5 = 1.6, B 1.1, C .95           -> A (id 0)
CHAINED = [
    final(0, "A", [0.9]),
    final(1, "B", [0.5]),
    final(2, "B", [0.6]),
    final(3, "A", [0.2]),
    final(4, "C", [0.3]),
    final(5, "C", [0.4]),
    final(6, "C", [0.25]),
    final(7, "A", [0.5]),
]
CHAINS = [0, 0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("seed", range(10))
def test_chains_vote_inside_and_then_among_each_other(seed: int) -> None:
    order = random.Random(seed).sample(range(8), 8)
    finals, chains = [CHAINED[i] for i in order], [CHAINS[i] for i in order]
    flat = decide(finals, classes(finals), "vote")
    assert finals[flat.winner or 0]["id"] == 0
    chained = decide(finals, classes(finals), "vote", chains)
    assert finals[chained.winner or 0]["id"] == 5
    assert [(r["answer"], r["count"]) for r in chained.rows] == [
        ("C", 3),
        ("B", 2),
        ("A", 3),
    ]
    weights = [row["weight"] for row in chained.rows]
    assert weights == pytest.approx([0.7, 0.6, 0.0])


def test_a_majority_counts_all_answers_of_all_chains() -> None:
    # A and C have three each, and A was sampled first with the better score.
    flat = decide(CHAINED, classes(CHAINED), "majority")
    assert decide(CHAINED, classes(CHAINED), "majority", CHAINS) == flat
    assert [row["count"] for row in flat.rows] == [3, 3, 2]


def test_the_best_trajectory_of_all_chains_is_the_best_of_the_chains_best() -> None:
    assert decide(CHAINED, classes(CHAINED), "max", CHAINS).winner == 0


def test_the_table_holds_the_votes_of_chains() -> None:
    def answer(chains: list[int] | None) -> dict[tuple[str | None, str], str | None]:
        table = all_votes(CHAINED, classes(CHAINED), chains)
        return {(row["score"], row["vote"]): row["answer"] for row in table}

    flat, chained = answer(None), answer(CHAINS)
    changed = {key for key in flat if flat[key] != chained[key]}
    # One step each: all four scores are the same.
    assert changed == {(score, "vote") for score in get_args(Score)}
    assert {chained[key] for key in changed} == {"C"}


@pytest.mark.parametrize("vote", ["majority", "max", "vote"])
@pytest.mark.parametrize("seed", range(10))
def test_one_chain_and_chains_of_one_answer_decide_as_without_chains(
    vote: Vote, seed: int
) -> None:
    rng = random.Random(seed)
    finals = [final(i, rng.choice("ABC"), [rng.randint(0, 4) / 4]) for i in range(9)]
    flat = decide(finals, classes(finals), vote)
    assert decide(finals, classes(finals), vote, range(9)) == flat
    together = decide(finals, classes(finals), vote, [0] * 9)
    assert together.winner == flat.winner


def test_ties_among_chains_go_to_the_better_score_then_to_the_earlier_sample() -> None:
    tied = [final(4, "A", [0.5]), final(2, "B", [0.5])]
    assert decide(tied, classes(tied), "vote", [0, 1]).winner == 1
    # A .25 + .25 and B .5: the sums are equal, the best trajectory is B's.
    better = [final(0, "A", [0.25]), final(1, "A", [0.25]), final(2, "B", [0.5])]
    assert decide(better, classes(better), "vote", [0, 1, 2]).winner == 2


def test_a_chain_without_an_answer_has_no_vote() -> None:
    finals = [
        final(0, "A", [0.9], status="truncated"),
        final(1, None, [0.9]),
        final(2, "B", [0.1]),
    ]
    decision = decide(finals, classes(finals), "vote", [0, 1, 2])
    assert decision.winner == 2
    assert [row["answer"] for row in decision.rows] == ["B"]
    assert decide(finals[:2], [0, None], "vote", [0, 1]) == Decision(None, [])


@pytest.mark.parametrize("noise", [1e-7, 0.0, -1e-7])
@pytest.mark.parametrize("vote", ["max", "vote"])
def test_scores_that_differ_in_their_last_digits_are_a_tie(
    vote: Vote, noise: float
) -> None:
    tied = [final(3, "A", [0.5 + noise]), final(1, "B", [0.5])]
    assert decide(tied, classes(tied), vote).winner == 1
    # Of one answer the trajectory that was sampled first stands for it.
    same = [final(3, "A", [0.5 + noise]), final(1, "A", [0.5])]
    assert decide(same, classes(same), vote).winner == 1
    # Of equal sums the one with the best score wins: here 0.6.
    sums = [
        final(0, "A", [0.3]),
        final(1, "A", [0.6]),
        final(2, "B", [0.4]),
        final(3, "B", [0.5 + noise]),
    ]
    assert decide(sums, classes(sums), vote).winner == 1
    # All digits of a weight are told.
    assert decide(tied, classes(tied), "max").rows[1]["weight"] == 0.5 + noise


def test_small_products_of_scores_are_told_apart() -> None:
    finals = [final(0, "A", [0.1] * 8), final(1, "B", [0.1] * 7 + [0.11])]
    product = {
        (row["score"], row["vote"]): row["answer"]
        for row in (all_votes(finals, classes(finals)))
    }
    assert product["prod", "max"] == product["prod", "vote"] == "B"
