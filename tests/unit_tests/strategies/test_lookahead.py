"""Lookahead search, against a brute force on paths of text and worked examples."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest

from langchain_tts._branches import fold
from langchain_tts.budget import Budget
from langchain_tts.search.state import Candidate, SearchResult
from langchain_tts.strategies._outcome import _partial
from langchain_tts.strategies._proposal import sample_seed
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
from tests.unit_tests.strategies.searching import search, texts


@dataclass
class Oracle:
    """Lookahead search on paths of text."""

    language: Language
    n: int
    m: int
    k: int
    seed: int
    ending: str
    rounds: int = 40
    born: int = 0
    read: set[Prefix] = field(default_factory=set)
    """What the verifier is asked about."""
    followed: set[Prefix] = field(default_factory=set)
    """The steps of all rollouts."""

    def lead(self, path: Prefix) -> Prefix:
        """Where the most likely steps lead from `path`."""
        for _ in range(self.k):
            if len(path) == self.rounds:
                break
            likely = max(self.language(path), key=lambda c: c.probability)
            path = (*path, likely.text)
            self.followed.add(path)
            if likely.ends:
                break
        return path

    def run(self) -> list[Prefix]:
        self.k = min(self.k, self.n - 1)
        places = self.n // (1 + self.k)
        most = places // self.m or 1
        shares = [len(range(i, places, most)) for i in range(most)]
        final: list[Prefix] = []
        beams: list[tuple[int, Prefix]] = [(self.seed, ())]
        for _ in range(self.rounds):
            room = places - len(final) if self.ending == "N" else sum(shares)
            proposals = []
            for place, (drawn, prefix) in enumerate(beams):
                for i in range(len(range(place, room, len(beams)))):
                    seed = sample_seed(drawn, i)
                    rng = random.Random(seed)
                    step, end = draw(self.language(prefix), rng, 999, 0.8)
                    path = (*prefix, step["text"])
                    lead = path if end == "stop" else self.lead(path)
                    self.read.add(lead)
                    merit = (hash_score(lead), step["logprob"], -self.born)
                    proposals.append((merit, path, end == "stop", seed))
                    self.born += 1
            if self.ending == "N":
                final += [path for _, path, ends, _ in proposals if ends]
                left = places - len(final)
                going = [p for p in proposals if not p[2]] if left else []
                best = sorted(going, reverse=True)[: max(1, left // self.m)]
            else:
                ranked = sorted(proposals, reverse=True)[: len(shares)]
                won = sorted(-p[0][2] for p in ranked if p[2])
                order = {-p[0][2]: p[1] for p in ranked}
                final += [order[born] for born in won]
                shares = shares[len(won) :]
                best = [p for p in ranked if not p[2]]
            beams = [(seed, path) for _, path, _, seed in best]
            if not beams:
                break
        return final


def finals(result: SearchResult) -> list[Prefix]:
    ends = sorted(c["id"] for c in result["candidates"])
    return [texts(result["tree"], i) for i in ends]


def rollouts(tree: list[Candidate]) -> list[Candidate]:
    return [c for c in tree if c["status"] == "rollout"]


@pytest.mark.parametrize("ending", ["N", "N/M"])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("n", "m", "k"),
    [
        (1, 4, 3),
        (2, 1, 1),
        (3, 2, 4),
        (8, 2, 1),
        (16, 4, 1),
        (16, 2, 2),
        (21, 3, 1),
        (20, 2, 3),
        (12, 4, 2),
        (9, 2, 0),
    ],
)
def test_finds_what_a_brute_force_lookahead_finds(
    n: int, m: int, k: int, seed: int, ending: str
) -> None:
    language = random_language(seed, depth=5)
    policy, prm = TreePolicy(language), TreePrm()
    result = search(
        "lookahead",
        policy,
        prm,
        budget=n,
        beam_width=m,
        lookahead=k,
        seed=seed,
        ending=ending,
    )
    oracle = Oracle(language, n, m, k, seed, ending)
    tree = result["tree"]
    assert finals(result) == oracle.run()
    assert sum(c["status"] != "rollout" for c in tree) == oracle.born
    assert {texts(tree, c["id"]) for c in rollouts(tree)} == oracle.followed
    # The verifier reads the end of each distinct rollout once, and nothing else.
    assert set(prm.scored) == oracle.read
    assert len(prm.scored) == len(set(prm.scored))


@pytest.mark.parametrize("ending", ["N", "N/M"])
@pytest.mark.parametrize("seed", range(25))
def test_without_a_step_ahead_it_is_beam_search(seed: int, ending: str) -> None:
    rng = random.Random(seed)
    budget = Budget(rng.randint(1, 20), tokens=rng.choice([None, 300]))
    width = rng.randint(1, 5)

    def run(strategy: str, **parameters: Any) -> tuple[dict[str, Any], object]:
        policy = TreePolicy(random_language(seed), broken=lambda s: s % 13 == 0)
        prm = TreePrm()
        result: Any = search(
            strategy,
            policy,
            prm,
            budget=budget,
            seed=seed,
            beam_width=width,
            ending=ending,
            **parameters,
        )
        spent = {k: v for k, v in result["spent"].items() if k != "seconds"}
        same = {**result, "strategy": "", "spent": spent, "seconds": 0}
        return same, (policy.calls, prm.calls)

    assert run("lookahead", lookahead=0) == run("beam_search")


TRAP: dict[Prefix, float] = {
    ("a",): 0.9,
    ("a", "x"): 0.8,
    ("a", "x", r"\boxed{1}"): 0.1,
    ("b",): 0.5,
    ("b", "x"): 0.6,
    ("b", "x", r"\boxed{2}"): 0.7,
}
"""A step that looks good and leads nowhere, and one that looks poor and is right."""


def trap(prefix: Prefix) -> list[Continuation]:
    if not prefix:
        return [Continuation("a", 0.5), Continuation("b", 0.5)]
    if len(prefix) == 1:
        return [Continuation("x", 1.0)]
    number = {"a": 1, "b": 2}[prefix[0]]
    return [Continuation(rf"\boxed{{{number}}}", 1.0, ends=True)]


def kept_first_step(k: int) -> tuple[str, list[float | None]]:
    prm = TreePrm(TRAP.__getitem__)
    result = search(
        "lookahead",
        TreePolicy(trap),
        prm,
        budget=8 * (k + 1),
        lookahead=k,
        beam_width=8,
    )
    tree = result["tree"]
    first = {c["text"]: c for c in tree if c["parent"] is None}
    return result["text"][0], [first["a"]["score"], first["b"]["score"]]


def test_a_step_has_the_score_of_where_it_leads() -> None:
    assert kept_first_step(0) == ("a", [0.9, 0.5])
    assert kept_first_step(1) == ("a", [0.8, 0.6])
    assert kept_first_step(2) == ("b", [0.1, 0.7])
    # The answer ends after two more steps: there is nothing further to look at.
    assert kept_first_step(3) == ("b", [0.1, 0.7])


def test_all_rollouts_of_a_round_advance_in_one_call_at_temperature_0() -> None:
    policy, prm = TreePolicy(trap), TreePrm()
    result = search("lookahead", policy, prm, budget=16, lookahead=1, beam_width=8)
    asked = [
        [(r["n"], r["temperature"], r["by_step"]) for r in call]
        for call in policy.calls
    ]
    assert asked == [
        [(8, 0.8, True)],
        [(1, 0.0, True), (1, 0.0, True)],  # one for `a`, one for `b`
        [(8, 0.8, True)],  # one beam, `x`
        [(1, 0.0, True)],
        [(8, 0.8, True)],  # the answer: nothing to follow
    ]
    # The answer was the end of a rollout: it has been read.
    [first, *_] = texts(result["tree"], result["candidates"][0]["id"])
    answer = (first, "x", trap((first, "x"))[0].text)
    assert [len(call) for call in prm.calls] == [2, 1]
    assert prm.scored[2] == answer
    assert all(r["seeds"] for call in policy.calls for r in call)
    assert len(rollouts(result["tree"])) == 3


def test_rollouts_hang_under_what_they_judge_and_are_nothing_else() -> None:
    for seed in range(10):
        policy = TreePolicy(random_language(seed, depth=6))
        result = search(
            "lookahead", policy, TreePrm(), budget=24, lookahead=2, seed=seed
        )
        tree = result["tree"]
        looked = {c["id"] for c in rollouts(tree)}
        assert looked
        for candidate in tree:
            parent = candidate["parent"]
            if candidate["id"] in looked:
                assert parent is not None
                assert tree[parent]["finish_reason"] == "step"
                if parent in looked:
                    # k = 2: the second step of a rollout, under the first.
                    assert tree[parent]["parent"] not in looked
            else:
                assert parent not in looked
        assert not looked & {c["id"] for c in result["candidates"]}
        answers = sum(c["status"] == "finished" for c in tree)
        assert sum(row["count"] for row in result["votes"]) == answers


@pytest.mark.parametrize("k", range(5))
def test_any_n_and_m_keep_the_budget(k: int) -> None:
    for n in range(1, 21):
        for m in range(1, 6):
            policy = TreePolicy(random_language(n * m, depth=3))
            result = search(
                "lookahead",
                policy,
                TreePrm(),
                budget=n,
                beam_width=m,
                lookahead=k,
                ending=["N", "N/M"][(n + m) % 2],
                seed=n,
            )
            steps = min(k, n - 1)
            price, answers = steps + 1, len(result["candidates"])
            if (n + m) % 2:
                places = n // price
                price *= places // max(1, places // m)
            assert result["answer"] is not None
            assert result["spent"]["samples"] == price * answers <= n
            # Every call that samples is followed by calls that look ahead.
            sampled = [c for c in policy.calls if c[0]["temperature"]]
            most = max(sum(r["n"] for r in call) for call in sampled)
            assert most * (steps + 1) <= n
            assert len(policy.calls) <= len(sampled) * (steps + 1)


@pytest.mark.parametrize("seed", range(40))
def test_rollouts_keep_every_ceiling(seed: int) -> None:
    rng = random.Random(seed)
    budget = Budget(
        samples=rng.randint(2, 24),
        tokens=rng.choice([None, rng.randint(1, 900)]),
        flops=rng.choice([None, rng.uniform(1e3, 5e5)]),
    )
    policy = TreePolicy(random_language(seed, depth=rng.randint(2, 6)))
    result = search(
        "lookahead",
        policy,
        TreePrm(),
        budget=budget,
        seed=seed,
        lookahead=rng.randint(1, 4),
        beam_width=rng.randint(1, 4),
        max_step_tokens=rng.choice([4, 2048]),
    )
    spent = result["spent"]
    generated = sum(len(s["token_ids"]) for x in policy.served for s in x["steps"])
    assert spent.get("generated_tokens", 0) == generated
    assert generated <= (budget.tokens or generated)
    flops = spent.get("policy_flops", 0) + spent.get("prm_flops", 0)
    assert flops <= (budget.flops or flops)
    # The limit never takes the verifier's part: all that can have a score has one.
    going = [c for c in result["tree"] if c["status"] in {"active", "finished"}]
    assert all(c["score"] is not None for c in going)


def five_steps(prefix: Prefix) -> list[Continuation]:
    """Five steps of 20 tokens, then the answer: 110 tokens in all."""
    if len(prefix) == 5:
        return [Continuation(r"\boxed{9}", 1.0, ends=True)]
    return [Continuation("nineteen characters", 1.0)]


def test_a_ceiling_leaves_out_rollouts_before_it_narrows_the_search() -> None:
    policy = TreePolicy(five_steps)
    limited = Budget(samples=16, tokens=400)
    result = search("lookahead", policy, TreePrm(), budget=limited, lookahead=1)
    # Round 1: 3 x 20 tokens (a first step is taken to need 128), and a rollout of 20.
    # Round 2: 8 x 20. Of the 160 left a round of 8 steps may need 8 x 40 = 320.
    sizes = [(sum(r["n"] for r in c), c[0]["temperature"]) for c in policy.calls]
    assert sizes[:3] == [(3, 0.8), (1, 0.0), (8, 0.8)]
    assert all(temperature for _, temperature in sizes[3:])
    assert result["answer"] == "9"
    left_out = [d for d in result["degradations"] if "ahead" in d]
    assert left_out == [
        "from round 2 on, the limit on tokens left no room for looking ahead"
    ]
    # The steps of round 2 are judged as they are.
    second = [c for c in result["tree"] if c["depth"] == 2 and c["status"] == "active"]
    score = hash_score(("nineteen characters",) * 2)
    assert {c["score"] for c in second} == {score}


def test_a_rollout_that_is_cut_counts_up_to_its_last_whole_step() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 3:
            return [Continuation(r"\boxed{3}", 1.0, ends=True)]
        if len(prefix) == 2:
            # The most likely step is too long, another one is not.
            return [Continuation("long " * 9, 0.6), Continuation("short", 0.4)]
        return [Continuation("on", 1.0)]

    policy, prm = TreePolicy(language), TreePrm()
    result = search(
        "lookahead", policy, prm, budget=32, lookahead=3, max_step_tokens=20
    )
    [first, *_] = result["tree"]
    assert first["score"] == hash_score(("on", "on"))
    cut = [c for c in rollouts(result["tree"]) if c["finish_reason"] == "length"]
    assert [c["text"] for c in cut] == ["long long long long "] * 2
    assert all(c["score"] is None for c in cut)
    assert not any(text.startswith("long") for path in prm.scored for text in path)
    assert result["answer"] == "3"


def test_a_rollout_ends_where_the_context_window_does() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        return [Continuation(f"step {len(prefix)}", 1.0)]

    # The question has 14 tokens and a step 7: four steps fit into 14 + 30, and the
    # fifth is cut after two tokens.
    policy = TreePolicy(language, context_window=44)
    prm = TreePrm()
    result = search("lookahead", policy, prm, budget=12, lookahead=2)
    for call in policy.calls:
        for request in call:
            assert 14 + len(request["prefix"]) + request["max_tokens"] <= 44
    assert result["stop_reason"] == "length"
    assert max(map(len, prm.scored)) == 4
    assert result["degradations"] == []


def test_no_rollout_is_deeper_than_an_answer_may_be() -> None:
    policy = TreePolicy(lambda prefix: [Continuation(f"step {len(prefix)}", 1.0)])
    result = search(
        "lookahead", policy, TreePrm(), budget=12, lookahead=3, max_rounds=4
    )
    assert max(c["depth"] for c in result["tree"]) == 4
    assert result["stop_reason"] == "rounds"


def test_an_answer_is_scored_as_it_is_even_if_its_last_step_is_empty() -> None:
    # Step `b` is judged by the text that it most likely leads to, but what was sampled
    # is an answer that ends with `b`.
    def language(prefix: Prefix) -> list[Continuation]:
        if not prefix:
            return [Continuation(r"\boxed{5}", 1.0)]
        return [
            Continuation("so it is", 0.6, ends=True),
            Continuation("", 0.4, ends=True),
        ]

    scores = {(r"\boxed{5}",): 0.25, (r"\boxed{5}", "so it is"): 0.75}
    prm = TreePrm(scores.__getitem__)
    result = search("lookahead", TreePolicy(language), prm, budget=16, lookahead=1)
    assert result["tree"][0]["score"] == 0.75
    found = {c["text"]: c["step_scores"] for c in result["candidates"]}
    assert found == {
        "\\boxed{5}\n\nso it is": [0.75, 0.75],
        "\\boxed{5}": [0.25],
    }
    assert sorted(prm.scored) == sorted(scores)


def test_an_empty_step_ends_a_rollout() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if not prefix:
            return [Continuation("work", 1.0)]
        return [Continuation("", 0.6), Continuation(r"\boxed{4}", 0.4, ends=True)]

    policy, prm = TreePolicy(language), TreePrm()
    result = search("lookahead", policy, prm, budget=16, lookahead=3)
    assert result["tree"][0]["score"] == hash_score(("work",))
    assert len(rollouts(result["tree"])) == 1
    assert prm.scored == [("work",), ("work", r"\boxed{4}")]


def test_rollouts_that_are_lost_leave_the_steps_as_they_are() -> None:
    lost = [None, *[OSError("gone")] * 3]
    policy = TreePolicy(five_steps, errors=lost)
    result = search("lookahead", policy, TreePrm(), budget=8, lookahead=1)
    assert result["answer"] == "9"
    assert result["degradations"] == ["1 of 1 rollouts failed: OSError: gone"]
    assert result["tree"][0]["score"] == hash_score(("nineteen characters",))
    # The next round looks ahead again.
    assert [c["finish_reason"] for c in rollouts(result["tree"])][:2] == [
        "failed",
        "step",
    ]


def test_without_its_verifier_the_search_looks_ahead_no_more() -> None:
    policy = TreePolicy(five_steps)
    prm = TreePrm(errors=[RuntimeError("out of memory")] * 3)
    result = search("lookahead", policy, prm, budget=8, lookahead=1)
    temperatures = [call[0]["temperature"] for call in policy.calls]
    assert temperatures == [0.8, 0.0, 0.8, 0.8, 0.8, 0.8, 0.8]
    assert (result["answer"], result["vote"]) == ("9", "majority")


def test_a_step_that_was_only_looked_ahead_from_is_shown_as_what_it_is() -> None:
    result = search("lookahead", TreePolicy(trap), TreePrm(), budget=2, beam_width=1)
    tree = result["tree"]
    assert [c["status"] for c in tree[:2]] == ["active", "rollout"]
    root, left_out = fold(tree[:2], None, max_lines=50)
    [step] = root.children.values()
    assert (step.end, step.alive, step.children) == ("active", True, {})
    assert left_out == 0
    tree[0]["status"] = "pruned"
    root, _ = fold(tree[:2], None, max_lines=50)
    [step] = root.children.values()
    assert (step.end, step.alive) == ("pruned", False)


def test_a_search_that_is_stopped_tells_the_steps_it_has_without_rollouts() -> None:
    result = search("lookahead", TreePolicy(trap), TreePrm(), budget=2, beam_width=1)
    tree = result["tree"][:2]
    assert tree[1]["status"] == "rollout"
    assert _partial(tree) == tree[0]["text"]


def test_all_steps_of_a_round_are_followed_or_none() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 3:
            return [Continuation(r"\boxed{1}", 1.0, ends=True)]
        return [Continuation(letter * 9, 0.25) for letter in "abcd"]

    seen = set()
    for tokens in range(20, 600, 7):
        policy = TreePolicy(language)
        limited = Budget(samples=16, tokens=tokens)
        tree = search("lookahead", policy, TreePrm(), budget=limited)["tree"]
        for depth in (1, 2, 3):
            steps = {texts(tree, c["id"]) for c in tree if c["depth"] == depth}
            steps -= {texts(tree, c["id"]) for c in rollouts(tree)}
            followed = {
                texts(tree, c["id"])[:-1]
                for c in rollouts(tree)
                if c["depth"] == depth + 1 and c["token_ids"]
            }
            if len(steps) > 1:
                assert not followed or steps <= followed
                seen.add(bool(followed))
    assert seen == {True, False}


def test_rollouts_leave_the_verifier_its_share_of_the_flops() -> None:
    # Most samples are answers of 127 tokens (128 are admitted), which the verifier has
    # still to read when the others are followed; and its reading is what costs most.
    # Twelve first steps are admitted with 12 x (14 + 128) x 2 x 1100 = 3.75M FLOPs.
    def language(prefix: Prefix) -> list[Continuation]:
        if prefix:
            return [Continuation("w" * 126, 1.0, ends=len(prefix) > 3)]
        answers = [
            Continuation(rf"{'w' * 113} {i} \boxed{{1}}", 0.01, ends=True)
            for i in range(10, 90)
        ]
        return [*answers, Continuation("on", 0.1)]

    followed = 0
    limits = [1e6, 2e6, 3e6, 3.75e6, 3.8e6, 3.9e6, 4.2e6, 5e6, 7e6]
    for flops, seed in product(limits, range(12)):
        policy, prm = TreePolicy(language), TreePrm()
        prm.num_parameters = 1000
        result = search(
            "lookahead",
            policy,
            prm,
            budget=Budget(48, flops=flops),
            lookahead=3,
            seed=seed,
        )
        spent = result["spent"]
        used = spent.get("policy_flops", 0) + spent.get("prm_flops", 0)
        assert used <= flops
        going = [c for c in result["tree"] if c["status"] in {"active", "finished"}]
        assert all(c["score"] is not None for c in going)
        followed += any(c["token_ids"] for c in rollouts(result["tree"]))
    assert followed
