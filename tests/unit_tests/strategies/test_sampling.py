"""Greedy decoding, majority vote and best-of-N: whole answers."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from langchain_tts.answers import answer_classes
from langchain_tts.budget import Budget
from langchain_tts.search.state import Score, SearchResult, Vote
from langchain_tts.search.vote import nested_votes
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies._setting import MissingVerifierError
from tests.unit_tests.fakes import (
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    hash_score,
    random_language,
)
from tests.unit_tests.strategies.searching import search, texts


def test_greedy_takes_the_most_likely_step_each_time() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 2:
            return [
                Continuation(r"\boxed{1}", 0.4, ends=True),
                Continuation(r"\boxed{2}", 0.6, ends=True),
            ]
        return [Continuation("a", 0.51), Continuation("b", 0.49)]

    policy = TreePolicy(language)
    result = search("greedy", policy, TreePrm(), budget=64)
    assert result["text"] == "a\n\na\n\n\\boxed{2}"
    assert result["answer"] == "2"
    assert [[(r["n"], r["temperature"]) for r in c] for c in policy.calls] == [[(1, 0)]]
    assert result["spent"].get("prm_calls", 0) == 0
    assert result["spent"]["samples"] == 1


def test_n_samples_are_one_request() -> None:
    policy = TreePolicy(random_language(3))
    search("majority_vote", policy, budget=12)
    assert [[r["n"] for r in call] for call in policy.calls] == [[12]]


@pytest.mark.parametrize("seed", range(8))
def test_majority_counts_the_answers(seed: int) -> None:
    policy = TreePolicy(random_language(seed))
    result = search("majority_vote", policy, budget=15, seed=seed)
    answers = [c["answer"] for c in sorted(result["candidates"], key=lambda c: c["id"])]
    assert len(answers) == 15
    most = max(answers.count(answer) for answer in answers)
    first = next(answer for answer in answers if answers.count(answer) == most)
    assert result["answer"] == first
    assert result["vote"] == "majority"


@pytest.mark.parametrize("seed", range(8))
def test_the_first_n_samples_of_a_run_are_the_run_at_n(seed: int) -> None:
    def run(n: int) -> list[str]:
        policy = TreePolicy(random_language(seed))
        result = search("best_of_n", policy, TreePrm(), budget=n, seed=seed)
        ordered = sorted(result["candidates"], key=lambda c: c["id"])
        return [candidate["text"] for candidate in ordered]

    whole = run(16)
    assert [run(n) for n in (1, 5, 15)] == [whole[:n] for n in (1, 5, 15)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("vote", ["max", "vote", "majority"])
def test_nested_tables_are_the_answers_of_smaller_runs(seed: int, vote: str) -> None:
    def run(n: int, strategy: str = "best_of_n") -> SearchResult:
        policy = TreePolicy(random_language(seed), broken=lambda s: s % 7 == 0)
        return search(
            strategy, policy, TreePrm(), budget=n, seed=seed, score="min", vote=vote
        )

    large = run(12)
    finals = large["candidates"]
    classes = answer_classes([f["answer"] for f in finals])
    tables = nested_votes(large["tree"], finals, classes, range(2, 13))
    strategy = "majority_vote" if vote == "majority" else "best_of_n"
    for n, table in tables.items():
        [answer] = [
            row["answer"]
            for row in table
            if row["vote"] == vote and row["score"] in {"min", None}
        ]
        assert answer == run(n, strategy)["answer"]


@pytest.mark.parametrize("seed", range(10))
def test_one_run_has_the_answers_of_every_score_and_vote(seed: int) -> None:
    def run(score: Score, vote: Vote) -> SearchResult:
        policy = TreePolicy(random_language(seed))
        return search(
            "best_of_n", policy, TreePrm(), budget=12, seed=seed, score=score, vote=vote
        )

    table = run("last", "max")["table"]
    majority, *scored = table
    assert (majority["score"], majority["vote"]) == (None, "majority")
    plain = search(
        "majority_vote", TreePolicy(random_language(seed)), budget=12, seed=seed
    )
    assert majority["answer"] == plain["answer"]
    ways = [(row["score"], row["vote"]) for row in scored]
    assert ways == list(product(get_args(Score), ["max", "vote"]))
    for row in scored:
        assert row["score"] is not None
        alone = run(row["score"], row["vote"])
        assert (row["answer"], row["id"]) == (
            alone["answer"],
            alone["candidates"][0]["id"],
        )
        assert alone["table"] == table


def test_scores_and_votes_do_not_all_agree() -> None:
    # So that the test above is about something.
    policy = TreePolicy(random_language(1))
    table = search("best_of_n", policy, TreePrm(), budget=12, seed=1)["table"]
    assert len({row["id"] for row in table}) >= 3
    assert len({row["answer"] for row in table}) >= 2


def test_every_prefix_of_every_answer_is_scored_once() -> None:
    policy, prm = TreePolicy(random_language(5)), TreePrm()
    result = search("best_of_n", policy, prm, budget=32)
    assert len(prm.calls) == 1
    assert len(prm.scored) == len(set(prm.scored))
    for candidate in result["candidates"]:
        steps = texts(result["tree"], candidate["id"])
        prefixes = [steps[: i + 1] for i in range(len(steps))]
        assert candidate["step_scores"] == [hash_score(p) for p in prefixes]


def test_the_chosen_candidate_comes_first_then_the_best() -> None:
    result = search("best_of_n", TreePolicy(random_language(2)), TreePrm(), budget=16)
    first, *others = result["candidates"]
    assert (first["text"], first["answer"]) == (result["text"], result["answer"])
    scores = [candidate["score"] or 0.0 for candidate in others]
    assert scores == sorted(scores, reverse=True)


def test_one_failed_sample_of_eight_leaves_seven() -> None:
    lost = sample_seed(7, 3)
    policy = TreePolicy(random_language(2), broken=lambda seed: seed == lost)
    result = search("majority_vote", policy, budget=8, max_retries=2)
    assert len(result["candidates"]) == 7
    assert sum(row["count"] for row in result["votes"]) == 7
    assert result["degradations"] == [
        "1 of 8 samples failed and were dropped: the engine returned no usable sample"
    ]
    # Only the lost one is tried again, twice.
    assert [call[0]["seeds"] for call in policy.calls[1:]] == [[lost], [lost]]
    assert [c["status"] for c in result["tree"] if not c["text"]] == ["failed"]


def test_a_failed_call_is_tried_again_and_changes_nothing() -> None:
    flaky = TreePolicy(random_language(2), errors=[OSError("gone"), OSError("gone")])
    result = search("majority_vote", flaky, max_retries=2)
    steady = search("majority_vote", TreePolicy(random_language(2)))
    assert result["tree"] == steady["tree"]
    assert result["degradations"] == []
    assert len(flaky.calls) == 3


def test_an_engine_that_stays_broken_is_one_clear_error() -> None:
    policy = TreePolicy(random_language(2), errors=[OSError("engine is gone")] * 3)
    with pytest.raises(PolicyFailedError, match="all 8 samples: OSError: engine is"):
        search("majority_vote", policy)


def test_a_wrong_request_is_not_tried_again() -> None:
    policy = TreePolicy(random_language(2), errors=[ValueError("no such adapter")])
    with pytest.raises(ValueError, match="no such adapter"):
        search("majority_vote", policy)
    assert len(policy.calls) == 1


def test_samples_that_fail_after_others_answered_end_the_search_with_these() -> None:
    # Too few tokens for all at once: the first call answers, the second breaks.
    policy = TreePolicy(random_language(2), errors=[None, *[OSError("gone")] * 3])
    result = search("majority_vote", policy, budget=Budget(samples=4, tokens=300))
    assert result["answer"] is not None
    assert result["degradations"] == [
        "3 of 3 samples failed and were dropped: OSError: gone"
    ]


def test_a_lost_verifier_leaves_a_majority_vote() -> None:
    prm = TreePrm(errors=[RuntimeError("CUDA error")] * 3)
    result = search("best_of_n", TreePolicy(random_language(4)), prm, budget=9)
    plain = search("majority_vote", TreePolicy(random_language(4)), budget=9)
    assert result["answer"] == plain["answer"]
    assert result["vote"] == "majority"
    assert result["degradations"] == [
        "the verifier was lost, decided by majority: RuntimeError: CUDA error"
    ]


def test_best_of_n_without_a_verifier_must_be_a_majority_vote() -> None:
    policy = TreePolicy(random_language(4))
    with pytest.raises(MissingVerifierError, match="prm='tinymath'"):
        search("best_of_n", policy, None)
    plain = search("best_of_n", policy, None, vote="majority")
    assert plain["answer"] == search("majority_vote", policy)["answer"]


def test_cut_answers_never_vote_even_with_a_box_in_them() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        return [
            Continuation(r"\boxed{1} and so on and on and on and on", 0.8, ends=True),
            Continuation(r"\boxed{2}", 0.2, ends=True),
        ]

    for strategy in ("majority_vote", "best_of_n"):
        policy = TreePolicy(language)
        result = search(strategy, policy, TreePrm(), budget=32, max_tokens=20)
        assert result["answer"] == "2"
        assert [row["answer"] for row in result["votes"]] == ["2"]
        cut = [c for c in result["candidates"] if c["status"] == "truncated"]
        assert len(cut) > len(result["candidates"]) / 2
        assert result["spent"]["samples"] == 32


def test_equal_values_written_differently_vote_together() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        spellings = [r"\boxed{0.5}", r"\boxed{\frac{1}{2}}", r"\boxed{1/2}"]
        return [
            *(Continuation(text, 0.2, ends=True) for text in spellings),
            Continuation(r"\boxed{3}", 0.4, ends=True),
        ]

    result = search("majority_vote", TreePolicy(language), budget=64)
    assert len(result["votes"]) == 2
    assert result["votes"][0]["count"] > 32
