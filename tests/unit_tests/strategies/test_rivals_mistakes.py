r"""Mistakes that were found in other systems, and the test that shows each is not here.

Those without a test elsewhere have one below, run on every strategy they can occur in.

| mistake | test |
|---|---|
| a natural end is not recognised, the answer goes on | here |
| answers cut by a token limit count as finished | `test_properties`, `test_vote` |
| `\boxed` in the middle of a solution ends it | here |
| one failed sample of eight cancels the others | here, `test_sampling` |
| an error's text becomes a candidate and votes | here |
| cancelled tasks leak permits, the third hangs | here, `test_transformers` |
| each duplicate of a beam is scored | `test_beam_search`, `test_properties` |
| the whole prefix is scored again at every step | here |
| N identical prompts are sent N times | here, `test_sampling` |
| prefixes are made again from text, and drift | here |
| a stale `k` expands more beams than there are places | here, `test_beam_search` |
| a dead beam becomes a final answer | here |
| scores of 0.0 where the number of steps does not match | here |
| votes over strings; ties broken by chance | `test_vote` |
| `a+b` read as `+b`; all that was wrong in graders | `test_answers` |
| `asyncio.run` inside a running loop | here |
| state of the module that mixes searches | here |
| a resumed evaluation averages only the new problems | no matter of a search |
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from langchain_tts.budget import Budget
from langchain_tts.policies.base import Generation, GenerationRequest, Sample
from langchain_tts.rewards.base import ScoreRequest, Scores
from langchain_tts.search.state import SearchResult
from langchain_tts.strategies import STRATEGIES
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve, solve
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Prefix,
    TreePolicy,
    TreePrm,
    decode,
    hash_score,
    random_language,
)
from tests.unit_tests.strategies.searching import search, texts

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
STEPPED = [name for name, entry in STRATEGIES.items() if entry.verifier == "steps"]
SCORED = [name for name, entry in STRATEGIES.items() if entry.verifier != "none"]


@every_strategy
def test_an_answer_that_ends_by_itself_is_not_continued(strategy: str) -> None:
    # No marker and no stop string: only the finish reason tells.
    def language(_prefix: Prefix) -> list[Continuation]:
        return [
            Continuation("so we go on", 0.5),
            Continuation("and that is all", 0.5, ends=True),
        ]

    policy = TreePolicy(language)
    result = search(strategy, policy, TreePrm(), budget=8, max_rounds=5)
    for call in policy.calls:
        for request in call:
            assert "and that is all" not in decode(request["prefix"])
    for candidate in result["tree"]:
        above = texts(result["tree"], candidate["id"])[:-1]
        assert "and that is all" not in above
        assert (candidate["text"] == "and that is all") == (
            candidate["finish_reason"] == "stop"
        )


@every_strategy
def test_an_answer_in_the_middle_of_a_solution_does_not_end_it(strategy: str) -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) < 2:
            return [Continuation(rf"Is it \boxed{{{len(prefix)}}}? No.", 1.0)]
        return [Continuation(r"It is \boxed{42}.", 1.0, ends=True)]

    result = search(strategy, TreePolicy(language), TreePrm(), budget=4)
    assert result["answer"] == "42"
    assert {len(texts(result["tree"], c["id"])) for c in result["candidates"]} == {3}
    assert [row["answer"] for row in result["votes"]] == ["42"]


@pytest.mark.parametrize("strategy", STEPPED)
def test_one_lost_sample_of_eight_leaves_the_other_seven(strategy: str) -> None:
    steady = search(strategy, TreePolicy(random_language(4)), TreePrm(), beam_width=8)
    lost = next(c for c in steady["tree"] if c["parent"] is None)
    policy = TreePolicy(random_language(4), broken=lambda seed: seed == lost["seed"])
    result = search(strategy, policy, TreePrm(), beam_width=8)
    first = [c for c in result["tree"] if c["parent"] is None]
    assert [c["status"] == "failed" for c in first] == [True] + [False] * (
        len(first) - 1
    )
    assert len(first) == sum(c["parent"] is None for c in steady["tree"])
    assert result["answer"] is not None
    assert result["degradations"][0].startswith(f"1 of {len(first)} samples failed")


@every_strategy
def test_an_errors_text_is_never_a_candidate(strategy: str) -> None:
    error = OSError(r"the answer is \boxed{13}")
    policy = TreePolicy(random_language(2), errors=[error] * 3)
    with pytest.raises(PolicyFailedError, match="OSError: the answer is"):
        search(strategy, policy, TreePrm(), budget=4)
    # The same, when there are answers already.
    budget = Budget(samples=4, tokens=200)
    policy = TreePolicy(random_language(2), errors=[None, *[error] * 30])
    try:
        result = search(strategy, policy, TreePrm(), budget=budget)
    except PolicyFailedError:
        return
    assert all("13" not in candidate["text"] for candidate in result["tree"])
    assert all(row["answer"] != "13" for row in result["votes"])


class HangingPolicy(TreePolicy):
    """Answers nothing for as long as it is told to hang."""

    def __init__(self) -> None:
        super().__init__(random_language(2))
        self.hanging = True
        self.asked = asyncio.Event()
        self.waiting: list[Future[list[Generation]]] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        future = super().submit(requests)
        if self.hanging:
            future = Future()
            self.waiting.append(future)
            self.asked.set()
        return future


@every_strategy
async def test_cancelled_searches_leave_nothing_that_later_ones_wait_for(
    strategy: str,
) -> None:
    policy = HangingPolicy()
    context = SearchContext(
        policy=policy, prm=TreePrm(), budget=Budget(8), lockstep=False
    )
    for _ in range(3):
        task = asyncio.create_task(
            asolve(QUESTION, strategy=strategy, context=context, seed=1)
        )
        await policy.asked.wait()
        policy.asked.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert all(future.cancelled() for future in policy.waiting)
    policy.hanging = False
    after = asolve(QUESTION, strategy=strategy, context=context, seed=1)
    result = await asyncio.wait_for(after, timeout=10)
    assert result["candidates"]


@pytest.mark.parametrize("strategy", SCORED)
def test_a_verifier_is_asked_for_no_step_twice(strategy: str) -> None:
    # Six steps, one way: T steps must cost T scores, not T (T + 1) / 2.
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 5:
            return [Continuation(r"\boxed{9}", 1.0, ends=True)]
        return [Continuation(f"step {len(prefix)}", 1.0)]

    prm = TreePrm()
    result = search(strategy, TreePolicy(language), prm, budget=4)
    assert result["answer"] == "9"
    assert sum(request["new"] for call in prm.calls for request in call) <= 6
    assert len(prm.scored) == len(set(prm.scored)) <= 6


@every_strategy
def test_one_prompt_is_one_request_for_all_of_its_samples(strategy: str) -> None:
    policy = TreePolicy(random_language(7))
    search(strategy, policy, TreePrm(), budget=16)
    for call in policy.calls:
        prompts = [(str(r["messages"]), tuple(r["prefix"])) for r in call]
        assert len(prompts) == len(set(prompts))
        assert all(request["n"] == len(request["seeds"]) for request in call)


SALT = 1000
"""Above all characters: a salted token is another token with the same text."""


class SaltingPolicy(TreePolicy):
    """Spells equal texts with different tokens, a sample as its seed says."""

    def __init__(self) -> None:
        super().__init__(random_language(3, branching=2))
        self.written: set[tuple[int, ...]] = {()}
        self.spelled: set[tuple[int, ...]] = set()

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        for request in requests:
            assert tuple(request["prefix"]) in self.written
        plain = [
            GenerationRequest(**{**r, "prefix": [t % SALT for t in r["prefix"]]})
            for r in requests
        ]
        future = super().submit(plain)
        for request, generation in zip(requests, future.result(), strict=True):
            for seed, sample in zip(
                request["seeds"], generation["samples"], strict=True
            ):
                self._salt(sample, SALT * (seed % 5), request["prefix"])
        return future

    def _salt(self, sample: Sample, salt: int, prefix: list[int]) -> None:
        before = tuple(prefix)
        for step in sample["steps"]:
            step["token_ids"] = [token + salt for token in step["token_ids"]]
            self.spelled.add(tuple(step["token_ids"]))
            before += tuple(step["token_ids"])
            self.written.add(before)


@every_strategy
def test_the_tokens_that_were_written_go_on_never_a_reading_of_their_text(
    strategy: str,
) -> None:
    policy, prm = SaltingPolicy(), TreePrm()
    result = search(strategy, policy, prm, budget=12)
    assert result["candidates"]
    for call in prm.calls:
        for request in call:
            assert {tuple(ids) for ids in request["token_ids"]} <= policy.spelled


@pytest.mark.parametrize("n", [5, 8, 16])
@pytest.mark.parametrize("strategy", STEPPED)
def test_no_more_steps_are_proposed_than_there_are_places(
    strategy: str, n: int
) -> None:
    for seed in range(5):
        policy = TreePolicy(random_language(seed, depth=6))
        result = search(strategy, policy, TreePrm(), budget=n, seed=seed)
        tree = result["tree"]
        rollouts = {c["seed"] for c in tree if c["status"] == "rollout"}
        final = 0
        born = {c["seed"]: c for c in tree}
        for call in policy.calls:
            asked = [s for r in call for s in r["seeds"] if s not in rollouts]
            assert len(asked) <= n - (0 if side_by_side(strategy) else final)
            final += sum(born[s]["status"] == "finished" for s in asked)
        assert final <= n


def side_by_side(strategy: str) -> bool:
    """Whether calls of one search run at once, so that their order tells nothing."""
    return strategy == "dvts"


class DeadEndPolicy(TreePolicy):
    """Gives nothing usable after a step that begins with `dead`."""

    def _sample(self, request: GenerationRequest, seed: int) -> Sample:
        sample = super()._sample(request, seed)
        steps = [*decode(request["prefix"]), *[s["text"] for s in sample["steps"]]]
        if any(text.startswith("dead") for text in steps[:-1]):
            return Sample(steps=[], finish_reason="failed")
        return sample


@every_strategy
def test_a_dead_beam_is_no_answer(strategy: str) -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if len(prefix) == 2:
            return [Continuation(r"\boxed{7}", 1.0, ends=True)]
        return [
            Continuation(f"{kind} {i}", 0.2 if kind == "alive" else 0.05)
            for kind in ("alive", "dead")
            for i in range(4)
        ]

    prm = TreePrm(lambda prefix: 0.5 + 0.5 * hash_score(prefix))
    result = search(strategy, DeadEndPolicy(language), prm, budget=16, seed=1)
    assert result["answer"] == "7"
    for final in result["candidates"]:
        if final["status"] == "finished":
            assert final["answer"] == "7"
            assert "dead" not in final["text"]
    voters = Counter(c["status"] for c in result["tree"])["finished"]
    assert sum(row["count"] for row in result["votes"]) == voters


def test_a_dead_end_does_not_end_a_search_that_has_other_ways() -> None:
    def language(prefix: Prefix) -> list[Continuation]:
        if prefix:
            return [Continuation(r"\boxed{7}", 1.0, ends=True)]
        return [Continuation("dead", 0.5), Continuation("alive", 0.5)]

    # The verifier likes what leads nowhere much more.
    prm = TreePrm(lambda prefix: 0.9 if prefix[0] == "dead" else 0.1)
    for strategy in ("best_first", "levin", "mcts"):
        result = search(strategy, DeadEndPolicy(language), prm, budget=8)
        assert result["answer"] == "7"
        assert "samples failed and were dropped" in result["degradations"][0]


class MiscountingPrm(TreePrm):
    """Leaves out the last score of every trajectory, and one of the answers."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.whole = whole

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        future = super().submit(requests)
        if self.whole:
            future.result().pop()
        else:
            for answer in future.result():
                answer["scores"].pop()
        return future


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("strategy", SCORED)
def test_scores_that_do_not_match_the_steps_are_a_lost_verifier_not_zeros(
    strategy: str, whole: bool
) -> None:
    policy, prm = TreePolicy(random_language(5)), MiscountingPrm(whole=whole)
    result = search(strategy, policy, prm, budget=8)
    assert result["vote"] == "majority"
    assert any("the verifier was lost" in line for line in result["degradations"])
    assert {c["score"] for c in result["tree"]} <= {None}


@every_strategy
async def test_a_search_may_be_made_blocking_inside_a_running_loop(
    strategy: str,
) -> None:
    context = SearchContext(
        policy=TreePolicy(random_language(1)), prm=TreePrm(), budget=Budget(6)
    )
    inside = solve(QUESTION, strategy=strategy, context=context, seed=3)
    beside = await asolve(QUESTION, strategy=strategy, context=context, seed=3)
    assert inside["tree"] == beside["tree"]


def test_searches_of_all_strategies_at_once_do_not_see_each_other() -> None:
    jobs = [(strategy, seed) for strategy in STRATEGIES for seed in range(3)]

    def run(job: tuple[str, int]) -> SearchResult:
        strategy, seed = job
        policy = TreePolicy(random_language(seed))
        return search(strategy, policy, TreePrm(), budget=4 + seed, seed=seed)

    alone = [run(job) for job in jobs]
    with ThreadPoolExecutor(max_workers=8) as threads:
        together = list(threads.map(run, jobs))
    for here, there in zip(alone, together, strict=True):
        assert here["tree"] == there["tree"]
        assert here["answer"] == there["answer"]
        assert here["degradations"] == there["degradations"]
