"""How far beam search is from what its engines could do at best.

The floor knows the future: it generates as many tokens as the search did, from the
same question, as N samples of equal length in one batch that nobody interrupts, and
then has the verifier read N texts with as many tokens as the search's tree, once, all
in one call. So both generate and read behind equally long texts; what the floor cannot
have is a choice. The raw calls lie between the two: the very calls of the search, one
after another, sent to vLLM with nothing around it, so they have the search's barriers
and its small batches, but none of its code.

    python -m benchmarks.engine_limit
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import (
    middle,
    options,
    question,
    ratio,
    read,
    show,
)
from benchmarks.prm_incremental import distinct_tokens
from benchmarks.random_models import SIZES, save_policy, save_prm
from benchmarks.raw_engine import (
    exactly,
    forget,
    labels_after,
    open_policy,
    open_prm,
    read_ids,
    run_all,
    steps_of,
)
from benchmarks.recorded import RecordedPolicy, RecordedPrm
from langchain_tts.budget import Budget
from langchain_tts.rewards.formats import TagFormat
from langchain_tts.search.state import SearchResult
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve

_WARM_UP = 8
"""Samples of the search that comes before all measurements."""
_HEAD = ("part", "search, s", "raw calls, s", "floor, s", "search / floor", "why")


class Seconds(NamedTuple):
    """What a part of the search took, in three ways."""

    search: float
    raw: float
    floor: float


class Limit(NamedTuple):
    """One search, the raw calls of its models, and their floor."""

    policy: Seconds
    prm: Seconds
    search: float
    """Seconds of the whole search."""
    samples: int
    rounds: int
    generated: int
    """Tokens."""
    longest: int
    """Tokens of each round's longest step, added up: as often the batch advanced."""
    prompt_tokens: int
    """Tokens of prompts that the policy computed."""
    prm_tokens: int
    """Tokens that the verifier computed."""
    distinct: int
    """Tokens that it could not have done without."""

    @property
    def rest(self) -> float:
        """Seconds in which no model was working."""
        return self.search - self.policy.search - self.prm.search

    @property
    def floor(self) -> float:
        """Seconds of both floors."""
        return self.policy.floor + self.prm.floor


class Bench:
    """The models in their engines.

    Args:
        folder: Where the models are written.
        model: Their size.
        width: M.
    """

    def __init__(self, folder: Path, model: str, width: int) -> None:
        policy = save_policy(folder / "policy", SIZES[model])
        prm = save_prm(folder / "prm", SIZES[model])
        self._width = width
        self._policy = open_policy(policy)
        self._policy_engine = self._policy.engine
        self._prm, self._prm_engine = open_prm(prm, TagFormat())

    def measure(self, samples: int, number: int) -> Limit:
        """Search, send the same calls again, and run the floor.

        Args:
            samples: N.
            number: Of the repetition: each has a question of its own.
        """
        forget(self._policy_engine, self._prm_engine)
        policy, prm = RecordedPolicy(self._policy), RecordedPrm(self._prm)
        context = SearchContext(
            policy=policy,
            prm=prm,
            budget=Budget(samples),
            beam_width=self._width,
            temperature=1.0,
        )
        start = time.perf_counter()
        result = solve(question(number), context=context, seed=number)
        search = time.perf_counter() - start
        forget(self._policy_engine, self._prm_engine)
        spent = result["spent"]
        generated = spent["generated_tokens"]
        readings = self._readings(prm)
        distinct = distinct_tokens(ids for call in readings for ids in call)
        return Limit(
            policy=Seconds(
                policy.watch.total.wall,
                self._raw_policy(policy),
                self._policy_floor(number, samples, generated),
            ),
            prm=Seconds(
                prm.watch.total.wall,
                self._raw_prm(readings),
                self._prm_floor(number, samples, distinct),
            ),
            search=search,
            samples=samples,
            rounds=len(policy.calls),
            generated=generated,
            longest=sum(longest_steps(result)),
            prompt_tokens=spent["prompt_tokens"],
            prm_tokens=spent["prm_tokens"],
            distinct=distinct,
        )

    def _readings(self, prm: RecordedPrm) -> list[list[list[int]]]:
        """The token ids that the verifier read in each call."""
        tokens, written = self._prm_engine.tokens, TagFormat()
        return [
            [read_ids(request, written, tokens) for request in call]
            for call in prm.calls
        ]

    def _raw_policy(self, policy: RecordedPolicy) -> float:
        engine = self._policy_engine
        calls = [
            [raw for request in call for raw in steps_of(request, engine)]
            for call in policy.calls
        ]
        return _seconds(lambda: [run_all(engine, call) for call in calls])

    def _policy_floor(self, number: int, samples: int, generated: int) -> float:
        engine = self._policy_engine
        forget(engine)
        ids = engine.tokens.chat_ids(question(number))
        batch = [exactly(ids, tokens) for tokens in shares(generated, samples)]
        return _seconds(lambda: run_all(engine, batch))

    def _raw_prm(self, readings: list[list[list[int]]]) -> float:
        engine = self._prm_engine
        calls = [
            [labels_after(ids, engine.tokens) for ids in call] for call in readings
        ]
        return _seconds(lambda: [run_all(engine, call) for call in calls])

    def _prm_floor(self, number: int, samples: int, distinct: int) -> float:
        engine = self._prm_engine
        forget(engine)
        ids = engine.tokens.chat_ids(question(number))
        draw = random.Random(number)
        vocabulary = range(len(engine.tokens.tokenizer))
        batch = [
            labels_after([*ids, *draw.choices(vocabulary, k=tokens)], engine.tokens)
            for tokens in shares(distinct - len(ids), samples)
        ]
        return _seconds(lambda: run_all(engine, batch))


def shares(total: int, parts: int) -> list[int]:
    """A number in parts of about equal size."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def longest_steps(result: SearchResult) -> list[int]:
    """Tokens of the longest step of each round."""
    longest: dict[int, int] = {}
    for step in result["tree"]:
        longest[step["depth"]] = max(
            longest.get(step["depth"], 0), len(step["token_ids"])
        )
    return list(longest.values())


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rows(found: Sequence[Limit]) -> list[list[str]]:
    """A line for each part of a search."""
    first = found[0]
    batch = middle(one.generated / one.longest for one in found)
    advances = middle(one.longest for one in found)
    at_best = middle(one.generated / one.samples for one in found)
    again = middle(one.prompt_tokens for one in found)
    waste = ratio([one.prm_tokens for one in found], [one.distinct for one in found])
    pause = middle(1e3 * one.rest / one.rounds for one in found)
    return [
        _row(
            "policy",
            [one.policy for one in found],
            f"{advances:,.0f} times a token for {batch:.0f} samples in the mean, floor "
            f"{at_best:,.0f} times for {first.samples}; {again:,.0f} prompt tokens",
        ),
        _row(
            "verifier",
            [one.prm for one in found],
            f"{waste:.2f} times the tokens of the floor, in "
            f"{middle(one.rounds for one in found):.0f} calls",
        ),
        [
            "Python and LangGraph",
            f"{middle(one.rest for one in found):.2f}",
            "–",
            "–",
            "–",
            f"{pause:.1f} ms a round",
        ],
        _row(
            "whole search",
            [
                Seconds(one.search, one.policy.raw + one.prm.raw, one.floor)
                for one in found
            ],
            f"{middle(one.generated for one in found):,.0f} tokens generated",
        ),
    ]


def _row(part: str, seconds: Sequence[Seconds], why: str) -> list[str]:
    floor = [one.floor for one in seconds]
    return [
        part,
        f"{middle(one.search for one in seconds):.2f}",
        f"{middle(one.raw for one in seconds):.2f}",
        f"{middle(floor):.2f}",
        f"{ratio([one.search for one in seconds], floor):.2f}",
        why,
    ]


def main() -> None:
    """Measure, and show a table."""
    parser = options(__doc__, model="8M", repetitions=3)
    parser.add_argument("--samples", type=int, default=64, help="N (%(default)s)")
    parser.add_argument("--width", type=int, default=4, help="M (%(default)s)")
    asked = read(parser)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), asked.model, asked.width)
        bench.measure(_WARM_UP, -1)
        found = [
            bench.measure(asked.samples, number) for number in range(asked.repetitions)
        ]
    title = (
        f"Beam search, N = {asked.samples}, M = {asked.width}, policy and verifier of "
        f"{asked.model} parameters in vLLM, median of {asked.repetitions}"
    )
    show("engine_limit", title, _HEAD, rows(found), asked.markdown)


if __name__ == "__main__":
    main()
