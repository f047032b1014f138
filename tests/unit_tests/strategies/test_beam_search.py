"""Beam search, against a search written differently and against the paper's cases."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from langchain_tts.search.state import SearchResult
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies._setting import MissingVerifierError
from tests.unit_tests.fakes import (
    Continuation,
    Language,
    Prefix,
    TreePolicy,
    TreePrm,
    draw,
    hash_score,
    random_language,
)
from tests.unit_tests.strategies.searching import children, search, statuses, texts


@dataclass
class Oracle:
    """Beam search on paths of text, as one loop over the paper's steps."""

    language: Language
    n: int
    m: int
    seed: int
    rounds: int = 40
    born: int = 0
    final: list[Prefix] = field(default_factory=list)

    def run(self) -> list[Prefix]:
        beams: list[tuple[int, Prefix]] = [(self.seed, ())]
        for _ in range(self.rounds):
            open_places = self.n - len(self.final)
            proposals = []
            for place, (drawn, prefix) in enumerate(beams):
                # The first `open_places mod beams` beams get the odd ones.
                children_here = len(range(place, open_places, len(beams)))
                for i in range(children_here):
                    seed = sample_seed(drawn, i)
                    rng = random.Random(seed)
                    step, end = draw(self.language(prefix), rng, 999, 0.8)
                    path = (*prefix, step["text"])
                    proposals.append((seed, path, end, step["logprob"]))
                    self.born += 1
            self.final += [path for _, path, end, _ in proposals if end == "stop"]
            going = [p for p in proposals if p[2] == "step"]
            going.sort(key=lambda p: p[3], reverse=True)
            going.sort(key=lambda p: hash_score(p[1]), reverse=True)
            open_places = self.n - len(self.final)
            width = 1 if open_places < self.m else open_places // self.m
            beams = [(p[0], p[1]) for p in going[:width]]
            if not beams or not open_places:
                break
        return self.final


def finals(result: SearchResult) -> list[Prefix]:
    ends = sorted(c["id"] for c in result["candidates"])
    return [texts(result["tree"], i) for i in ends]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (3, 4), (4, 4), (8, 2), (10, 4), (16, 4), (7, 3), (5, 1)]
)
def test_finds_what_a_brute_force_beam_search_finds(n: int, m: int, seed: int) -> None:
    language = random_language(seed, depth=5)
    policy = TreePolicy(language)
    result = search("beam_search", policy, TreePrm(), budget=n, beam_width=m, seed=seed)
    oracle = Oracle(language, n, m, seed)
    assert finals(result) == oracle.run()
    assert len(result["tree"]) == oracle.born
    assert result["stop_reason"] == "finished"


def steps_then_answer(depth: int) -> Language:
    """`depth - 1` steps with two ways each, then the answer 42."""

    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == depth - 1:
            return [Continuation(r"\boxed{42}", 1.0, ends=True)]
        return [Continuation("left", 0.5), Continuation("right", 0.5)]

    return language


def test_every_round_proposes_n_steps_from_n_over_m_beams() -> None:
    policy = TreePolicy(steps_then_answer(4))
    result = search("beam_search", policy, TreePrm(), budget=16, beam_width=4)
    assert [sum(r["n"] for r in call) for call in policy.calls] == [16, 16, 16, 16]
    counts = children(result["tree"])
    assert counts[None] == 16
    assert sorted(n for p, n in counts.items() if p is not None) == [4] * 12
    assert statuses(result["tree"]) == {"pruned": 36, "active": 12, "finished": 16}
    assert result["spent"]["samples"] == len(result["candidates"]) == 16
    assert result["answer"] == "42"


def test_final_candidates_free_their_share_for_no_more_than_n_in_all() -> None:
    # Half of the first steps are answers; only the others go on.
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) < 3:
            return [
                Continuation("on", 0.5),
                Continuation(r"\boxed{1}", 0.5, ends=True),
            ]
        return [Continuation(r"\boxed{2}", 1.0, ends=True)]

    policy = TreePolicy(language)
    result = search("beam_search", policy, TreePrm(), budget=16, beam_width=4)
    done = 0
    for call in policy.calls:
        asked = sum(request["n"] for request in call)
        assert asked == 16 - done
        depth = call[0]["prefix"].count(10) + 1
        done += sum(
            c["depth"] == depth and c["status"] == "finished" for c in result["tree"]
        )
    assert done == 16


def test_finished_candidates_are_never_expanded_nor_pruned() -> None:
    for seed in range(20):
        policy = TreePolicy(random_language(seed))
        tree = search("beam_search", policy, TreePrm(), seed=seed)["tree"]
        parents = {tree[c["parent"]]["status"] for c in tree if c["parent"] is not None}
        assert parents <= {"active"}
        ended = {c["status"] for c in tree if c["finish_reason"] == "stop"}
        assert ended == {"finished"}


def test_identical_beams_are_one_request_and_one_score() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        ends = len(prefix) == 2
        return [Continuation(r"\boxed{1}" if ends else "same", 1.0, ends)]

    policy, prm = TreePolicy(language), TreePrm()
    result = search("beam_search", policy, prm, budget=16, beam_width=4)
    assert [[r["n"] for r in call] for call in policy.calls] == [[16]] * 3
    assert (
        len({seed for call in policy.calls for r in call for seed in r["seeds"]}) == 48
    )
    assert prm.scored == [
        ("same",),
        ("same", "same"),
        ("same", "same", r"\boxed{1}"),
    ]
    # Counted as the paper counts them: sixteen samples, sixteen votes.
    assert result["votes"][0]["count"] == 16
    assert all(c["score"] is not None for c in result["tree"])


def test_each_distinct_prefix_is_scored_exactly_once() -> None:
    for seed in range(20):
        policy, prm = TreePolicy(random_language(seed)), TreePrm()
        tree = search("beam_search", policy, prm, budget=32, seed=seed)["tree"]
        assert len(prm.scored) == len(set(prm.scored))
        assert set(prm.scored) == {texts(tree, c["id"]) for c in tree}
        for candidate in tree:
            assert candidate["score"] == hash_score(texts(tree, candidate["id"]))


def test_ties_in_score_go_to_the_more_likely_step() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if prefix:
            return [Continuation(rf"\boxed{{{prefix[0]}}}", 1.0, ends=True)]
        return [Continuation("1", 0.3), Continuation("2", 0.7)]

    policy, prm = TreePolicy(language), TreePrm(lambda _prefix: 0.5)
    result = search("beam_search", policy, prm, budget=8, beam_width=8)
    assert {c["answer"] for c in result["candidates"]} == {"2"}


def test_empty_steps_are_dead_and_never_become_beams() -> None:
    # An empty step would keep the score of what is before it.
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 2:
            return [Continuation(r"\boxed{5}", 1.0, ends=True)]
        return [Continuation("", 0.5), Continuation("work", 0.5)]

    policy = TreePolicy(language)
    prm = TreePrm(lambda prefix: 0.9 / len(prefix))
    result = search("beam_search", policy, prm, budget=16, beam_width=4)
    used = {texts(result["tree"], c["id"])[:2] for c in result["candidates"]}
    assert used == {("work", "work")}
    assert ("",) not in prm.scored


def test_an_answer_that_ends_with_an_empty_step_is_final_and_scored_once() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if not prefix:
            return [Continuation(r"\boxed{5}", 1.0)]
        return [Continuation("", 1.0, ends=True)]

    prm = TreePrm(lambda _prefix: 0.25)
    result = search("beam_search", TreePolicy(language), prm, budget=4)
    assert prm.scored == [(r"\boxed{5}",)]
    assert result["answer"] == "5"
    assert result["text"] == r"\boxed{5}"
    assert result["candidates"][0]["step_scores"] == [0.25]


def test_cut_steps_are_neither_expanded_nor_final_and_give_their_place_back() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 1:
            return [Continuation(r"\boxed{5}", 1.0, ends=True)]
        return [Continuation("short", 0.5), Continuation(r"\boxed{6} " * 9, 0.5)]

    policy = TreePolicy(language)
    result = search("beam_search", policy, TreePrm(), budget=8, max_step_tokens=20)
    assert sum(r["n"] for r in policy.calls[1]) == 8
    assert result["answer"] == "5"
    assert [row["answer"] for row in result["votes"]] == ["5"]
    cut = [c for c in result["candidates"] if c["status"] == "truncated"]
    assert cut
    assert all(c["answer"] is None for c in cut)
    assert result["spent"]["samples"] == 8


def test_when_every_step_is_cut_there_is_no_answer_but_a_text() -> None:
    def language(_prefix: Prefix) -> list[Continuation]:
        return [Continuation(r"a very long step \boxed{7}", 1.0)]

    result = search("beam_search", TreePolicy(language), TreePrm(), max_step_tokens=12)
    assert result["answer"] is None
    assert result["text"] == "a very long"
    assert result["stop_reason"] == "length"
    assert {c["status"] for c in result["candidates"]} == {"truncated"}


def test_the_round_limit_ends_a_search_that_does_not_answer() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        return [Continuation(f"step {len(prefix)}", 1.0)]

    policy = TreePolicy(language)
    result = search("beam_search", policy, TreePrm(), budget=4)
    assert len(policy.calls) == 40
    assert result["stop_reason"] == "rounds"
    assert result["answer"] is None
    assert result["text"].startswith("step 0\n\nstep 1")


def test_an_answer_longer_than_the_context_window_is_cut() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        return [Continuation(f"step {len(prefix)}", 1.0)]

    # The question has 14 tokens and a step 7: four steps fit into 14 + 30.
    policy = TreePolicy(language, context_window=44)
    result = search("beam_search", policy, TreePrm(), budget=4)
    for call in policy.calls:
        for request in call:
            assert 14 + len(request["prefix"]) + request["max_tokens"] <= 44
    assert result["stop_reason"] == "length"
    assert max(c["depth"] for c in result["tree"]) == 5


def test_without_a_verifier_the_error_names_what_to_use() -> None:
    with pytest.raises(MissingVerifierError, match="majority_vote"):
        search("beam_search", TreePolicy(random_language(1)), None)


def test_a_lost_verifier_leaves_a_majority_vote_and_a_record() -> None:
    broken = [None, *[RuntimeError("out of memory")] * 2]
    policy, prm = TreePolicy(steps_then_answer(4)), TreePrm(errors=broken)
    result = search("beam_search", policy, prm, budget=8)
    assert result["answer"] == "42"
    assert result["vote"] == "majority"
    assert len(prm.calls) == 3
    assert result["degradations"] == [
        "the verifier was lost, decided by majority: RuntimeError: out of memory"
    ]


def test_a_verifier_that_recovers_is_not_lost() -> None:
    prm = TreePrm(errors=[RuntimeError("once"), RuntimeError("twice")])
    policy = TreePolicy(steps_then_answer(3))
    result = search("beam_search", policy, prm, budget=8, max_retries=2)
    assert result["vote"] == "max"
    assert result["degradations"] == []


@pytest.mark.parametrize("bad", [float("nan"), 1.5, -0.1])
def test_scores_that_are_no_probabilities_are_a_lost_verifier(bad: float) -> None:
    prm = TreePrm(lambda _prefix: bad)
    result = search("beam_search", TreePolicy(steps_then_answer(3)), prm, budget=8)
    assert result["vote"] == "majority"
    assert "one score in [0, 1] for each new step" in result["degradations"][0]
