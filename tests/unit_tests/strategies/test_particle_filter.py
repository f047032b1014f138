"""The particle filter, against one on particles with plain weights."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest

from langchain_tts.budget import Budget
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.particle_filter import _weights
from langchain_tts.strategies.run import stream_search
from langchain_tts.strategies.state import SearchState
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Language,
    Prefix,
    TreePolicy,
    TreePrm,
    draw,
    random_language,
)
from tests.unit_tests.strategies.searching import search, statuses, texts
from tests.unit_tests.strategies.worlds import rough_language, score_of


@dataclass(frozen=True)
class Particle:
    prefix: Prefix
    seed: int
    weight: float = 1.0
    logprob: float = 0.0
    place: int = 0


class Filter(NamedTuple):
    language: Language
    n: int
    seed: int
    below: float
    annealing: float = 1.0
    rounds: int = 40
    step_tokens: int = 999

    def run(self) -> tuple[list[Prefix], list[Prefix]]:
        """All steps in the order in which they were proposed, and the answers."""
        born: list[Prefix] = []
        finals: list[Prefix] = []
        population = [Particle((), self.seed)] * self.n
        for turn in range(1, self.rounds + 1):
            going = []
            for particle, seed in offspring(population):
                rng = random.Random(seed)
                step, end = draw(
                    self.language(particle.prefix), rng, self.step_tokens, 0.8
                )
                prefix = (*particle.prefix, step["text"])
                if end == "stop":
                    finals.append(prefix)
                elif end == "step" and step["text"]:
                    weight = particle.weight * max(score_of(prefix) or 0.0, 1e-9)
                    going.append(
                        Particle(prefix, seed, weight, step["logprob"], len(born))
                    )
                born.append(prefix)
            population = self.resampled(going, self.n - len(finals), turn)
            if not population:
                break
        return born, finals

    def resampled(
        self, going: list[Particle], places: int, turn: int
    ) -> list[Particle]:
        going = sorted(
            going,
            key=lambda p: (-p.weight, -(score_of(p.prefix) or 0), -p.logprob, p.place),
        )
        if not going:
            return []
        largest = going[0].weight
        even = [p.weight / largest for p in going]
        if sum(even) ** 2 / sum(w * w for w in even) >= self.below * places:
            return going
        tau = 1 + (self.annealing - 1) / turn
        flat = [w ** (1 / tau) for w in even]
        chances = [w / sum(flat) for w in flat]
        position = random.Random(sample_seed(self.seed, -turn)).random()
        drawn: list[Particle] = []
        upper = 0.0
        for particle, weight, chance in zip(going, even, chances, strict=True):
            upper += chance * places
            while position < upper and len(drawn) < places:
                drawn.append(replace(particle, weight=weight / chance))
                position += 1
        return drawn


def offspring(population: list[Particle]) -> list[tuple[Particle, int]]:
    """Each particle with the seed of its next step; copies have one each."""
    seeds: Counter[int] = Counter()
    found = []
    for particle in population:
        found.append((particle, sample_seed(particle.seed, seeds[particle.seed])))
        seeds[particle.seed] += 1
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [1, 2, 5, 16, 33])
@pytest.mark.parametrize(
    ("below", "annealing"), [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (0.5, 3.0), (1.0, 2.0)]
)
def test_finds_what_a_filter_with_plain_weights_finds(
    n: int, below: float, annealing: float, seed: int
) -> None:
    language = random_language(seed, depth=6, branching=4)
    born, finals = Filter(language, n, seed, below, annealing).run()
    result = search(
        "particle_filter",
        TreePolicy(language),
        TreePrm(),
        budget=n,
        seed=seed,
        resample_below=below,
        annealing=annealing,
    )
    tree = result["tree"]
    assert [texts(tree, i) for i in range(len(tree))] == born
    ends = sorted(c["id"] for c in result["candidates"])
    assert [texts(tree, i) for i in ends] == finals
    assert result["spent"]["samples"] == len(finals) <= n


@pytest.mark.parametrize("seed", range(40))
def test_also_where_steps_are_cut_or_empty_and_there_are_few_rounds(seed: int) -> None:
    language = rough_language(seed)
    born, finals = Filter(language, 16, seed, 0.6, 2.0, rounds=4, step_tokens=14).run()
    result = search(
        "particle_filter",
        TreePolicy(language),
        TreePrm(),
        budget=16,
        seed=seed,
        resample_below=0.6,
        annealing=2.0,
        max_rounds=4,
        max_step_tokens=14,
    )
    tree = result["tree"]
    assert [texts(tree, i) for i in range(len(tree))] == born
    done = [c["id"] for c in tree if c["status"] == "finished"]
    assert [texts(tree, i) for i in done] == finals


def steps_then_answer(prefix: Prefix) -> list[Continuation]:
    """Three steps, good or bad, then an answer."""
    if len(prefix) == 3:
        good = prefix.count("good")
        return [Continuation(rf"\boxed{{{good}}}", 1.0, ends=True)]
    return [Continuation("good", 0.5), Continuation("bad", 0.5)]


def likes_good_steps(prefix: Prefix) -> float:
    return 0.01 if prefix[-1] == "bad" else 0.9


def test_likely_steps_take_the_places_of_unlikely_ones() -> None:
    policy, prm = TreePolicy(steps_then_answer), TreePrm(likes_good_steps)
    result = search("particle_filter", policy, prm, budget=32)
    assert [sum(r["n"] for r in call) for call in policy.calls] == [32] * 4
    counts = {row["answer"]: row["count"] for row in result["votes"]}
    assert counts["3"] >= 30
    assert statuses(result["tree"])["pruned"] > 20


def test_without_resampling_it_is_plain_sampling_step_by_step() -> None:
    policy, prm = TreePolicy(steps_then_answer), TreePrm(likes_good_steps)
    result = search("particle_filter", policy, prm, budget=64, resample_below=0.0)
    assert set(statuses(result["tree"])) == {"active", "finished"}
    assert {c["depth"] for c in result["tree"] if c["status"] == "finished"} == {4}
    # A binomial distribution: 1/8, 3/8, 3/8 and 1/8 of 64.
    counts = {row["answer"]: row["count"] for row in result["votes"]}
    assert 15 <= counts["1"] <= 34
    assert 15 <= counts["2"] <= 34


def test_annealing_keeps_more_of_the_variety() -> None:
    kept = {}
    for annealing in (1.0, 8.0):
        policy, prm = TreePolicy(steps_then_answer), TreePrm(likes_good_steps)
        search("particle_filter", policy, prm, budget=32, annealing=annealing)
        bad = [r["n"] for r in policy.calls[1] if r["prefix"][0] == ord("b")]
        kept[annealing] = sum(bad)
    # A weight of 0.01 to 0.9 is drawn as 0.57 to 1 at the temperature 8.
    assert kept[1.0] <= 1
    assert kept[8.0] >= 4


def test_copies_of_a_particle_are_one_request_and_one_score() -> None:
    # One first step is right, and it is drawn for all eight places.
    def language(prefix: Prefix) -> list[Continuation]:
        if prefix:
            return [Continuation(rf"\boxed{{{prefix[0]}}}", 1.0, ends=True)]
        return [Continuation(str(i), 0.125) for i in range(8)]

    policy = TreePolicy(language)
    first = search(
        "particle_filter", TreePolicy(language), TreePrm(), budget=8, seed=4
    )["tree"][0]["text"]
    prm = TreePrm(lambda prefix: 1.0 if prefix[0] == first else 0.0)
    result = search("particle_filter", policy, prm, budget=8, seed=4)
    assert [r["n"] for r in policy.calls[1]] == [8]
    assert prm.scored.count((first, rf"\boxed{{{first}}}")) == 1
    assert {c["answer"] for c in result["candidates"]} == {first}


def test_every_particle_of_the_frontier_has_its_weight() -> None:
    context = SearchContext(
        policy=TreePolicy(steps_then_answer),
        prm=TreePrm(likes_good_steps),
        budget=Budget(8),
        resample_below=0.0,
    )
    snapshots = stream_search(
        QUESTION, strategy="particle_filter", context=context, seed=1
    )
    selected = {s["round"]: s for s in snapshots if s.get("frontier")}
    assert selected.keys() == {1, 2, 3}
    for state in selected.values():
        weights = [
            math.prod(likes_good_steps((text,)) for text in texts(state["tree"], i))
            for i in state["frontier"]
        ]
        assert [math.exp(log) for log in state["weights"]] == pytest.approx(weights)
        assert weights == sorted(weights, reverse=True)


def test_a_frontier_that_was_changed_without_its_weights_is_an_error() -> None:
    state: SearchState = {"tree": [], "frontier": [3, 4], "weights": [0.0]}
    with pytest.raises(ValueError, match="2 particles, but there are 1 weights"):
        _weights(state)


def test_a_tight_token_limit_loses_particles_but_no_weights() -> None:
    policy = TreePolicy(random_language(9, depth=6, branching=4))
    for tokens in range(20, 300, 20):
        result = search(
            "particle_filter",
            policy,
            TreePrm(),
            budget=Budget(samples=16, tokens=tokens),
            resample_below=1.0,
        )
        assert result["spent"]["generated_tokens"] <= tokens


def test_a_lost_verifier_leaves_plain_sampling_and_a_majority_vote() -> None:
    prm = TreePrm(errors=[None, *[RuntimeError("out of memory")] * 3])
    policy = TreePolicy(steps_then_answer)
    result = search("particle_filter", policy, prm, budget=16)
    assert result["vote"] == "majority"
    assert sum(row["count"] for row in result["votes"]) == 16
    assert len(result["degradations"]) == 1
