"""Beam search here against the loop that people write today (`plain_search.py`).

The same policy in the same vLLM engine, the same verifier, the same N, M and rules.
Two searches stand between the two, to see what the gain comes from: the loop with a
verifier of the library, which computes new tokens only, run by transformers and by
vLLM. What is left from the last of them to the library's own search is one request for
all children of a beam instead of one each, token ids instead of texts, and LangGraph.

    python -m benchmarks.plain_loop
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from benchmarks.graph_overhead import Watch, WatchedPolicy, WatchedPrm
from benchmarks.measuring import (
    interleaved,
    middle,
    options,
    question,
    ratio,
    read,
    show,
    verifier,
)
from benchmarks.plain_search import Beam, PlainPolicy, PlainPrm, search
from benchmarks.random_models import SIZES, save_policy, save_prm
from benchmarks.raw_engine import forget, open_policy, open_prm
from langchain_tts.budget import Budget
from langchain_tts.rewards.base import RewardModel, ScoreRequest
from langchain_tts.rewards.formats import TagFormat
from langchain_tts.search.state import Message
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve

P = ParamSpec("P")
T = TypeVar("T")

PLAIN, OURS = "plain loop", "langchain_tts"
_WARM_UP = 4
"""Samples of the searches that come before all measurements."""
_HEAD = (
    "search",
    "seconds",
    "policy, s",
    "verifier, s",
    "rounds",
    "generated tokens",
    "verifier's tokens",
    "ms a token",
    "times as fast",
)


class Run(NamedTuple):
    """What one search cost."""

    seconds: float
    policy_seconds: float
    prm_seconds: float
    rounds: int
    generated: int
    """Tokens."""
    prm_tokens: int
    """Tokens that the verifier computed, padding not counted."""


class Bench:
    """The models, and the ways to search with them.

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
        self._loop_prms: dict[str, PlainPrm | IncrementalPrm] = {
            PLAIN: PlainPrm(prm),
            "loop, incremental verifier": IncrementalPrm(
                verifier(f"transformers:{prm}")
            ),
            "loop, incremental verifier in vLLM": IncrementalPrm(self._prm),
        }

    def ways(self, samples: int) -> dict[str, Callable[[int], Run]]:
        """What is compared: the loop, the loop with better parts, the library.

        Args:
            samples: N.
        """
        ways: dict[str, Callable[[int], Run]] = {
            name: partial(self._loop, samples, prm)
            for name, prm in self._loop_prms.items()
        }
        return {**ways, OURS: partial(self._ours, samples)}

    def _loop(self, samples: int, prm: PlainPrm | IncrementalPrm, number: int) -> Run:
        """Search with the loop."""
        forget(self._policy_engine, self._prm_engine)
        policy_clock, prm_clock = Clock(), Clock()
        before = prm.tokens
        start = time.perf_counter()
        rounds = search(
            question(number),
            policy_clock.timed(PlainPolicy(self._policy_engine)),
            prm_clock.timed(prm),
            samples=samples,
            width=self._width,
        )
        return Run(
            seconds=time.perf_counter() - start,
            policy_seconds=policy_clock.seconds,
            prm_seconds=prm_clock.seconds,
            rounds=len(rounds),
            generated=sum(beam.tokens for beams in rounds for beam in beams),
            prm_tokens=prm.tokens - before,
        )

    def _ours(self, samples: int, number: int) -> Run:
        """Search with the library."""
        forget(self._policy_engine, self._prm_engine)
        policy_watch, prm_watch = Watch(), Watch()
        context = SearchContext(
            policy=WatchedPolicy(self._policy, policy_watch),
            prm=WatchedPrm(self._prm, prm_watch),
            budget=Budget(samples),
            beam_width=self._width,
            temperature=1.0,
        )
        start = time.perf_counter()
        result = solve(question(number), context=context, seed=number)
        seconds = time.perf_counter() - start
        return Run(
            seconds=seconds,
            policy_seconds=policy_watch.total.wall,
            prm_seconds=prm_watch.total.wall,
            rounds=max(step["depth"] for step in result["tree"]),
            generated=result["spent"]["generated_tokens"],
            prm_tokens=result["spent"]["prm_tokens"],
        )


class Clock:
    """Adds up the seconds of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, with its seconds added up."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            start = time.perf_counter()
            result = function(*args, **kwargs)
            self.seconds += time.perf_counter() - start
            return result

        return call


class IncrementalPrm:
    """A verifier of the library in the plain loop: it computes new tokens only.

    Args:
        prm: The verifier.
    """

    def __init__(self, prm: RewardModel) -> None:
        self._prm = prm
        self.tokens = 0
        """That it has computed."""

    def __call__(self, messages: list[Message], beams: Sequence[Beam]) -> list[float]:
        """The score of each beam's newest step."""
        answers = self._prm.invoke([_asked(messages, beam) for beam in beams])
        self.tokens += sum(answer["computed_tokens"] for answer in answers)
        return [answer["scores"][-1] for answer in answers]


def _asked(messages: list[Message], beam: Beam) -> ScoreRequest:
    """The newest step of a beam, known as text only."""
    return ScoreRequest(
        messages=messages,
        steps=beam.steps,
        token_ids=[],
        logprobs=[0.0] * len(beam.steps),
        new=1,
    )


def rows(found: Mapping[str, Sequence[Run]]) -> list[list[str]]:
    """A line for each way to search."""
    plain = [run.seconds for run in found[PLAIN]]
    return [
        [
            name,
            f"{middle(run.seconds for run in runs):.1f}",
            f"{middle(run.policy_seconds for run in runs):.1f}",
            f"{middle(run.prm_seconds for run in runs):.1f}",
            f"{middle(run.rounds for run in runs):.0f}",
            f"{middle(run.generated for run in runs):,.0f}",
            f"{middle(run.prm_tokens for run in runs):,.0f}",
            f"{middle(1e3 * run.seconds / run.generated for run in runs):.2f}",
            f"{ratio(plain, [run.seconds for run in runs]):.2f}",
        ]
        for name, runs in found.items()
    ]


def main() -> None:
    """Measure, and show a table."""
    parser = options(__doc__, model="8M", repetitions=3)
    parser.add_argument("--samples", type=int, default=64, help="N (%(default)s)")
    parser.add_argument("--width", type=int, default=4, help="M (%(default)s)")
    asked = read(parser)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), asked.model, asked.width)
        for warm_up in bench.ways(_WARM_UP).values():
            warm_up(-1)
        found = interleaved(bench.ways(asked.samples), asked.repetitions)
    title = (
        f"Beam search, N = {asked.samples}, M = {asked.width}, policy and verifier of "
        f"{asked.model} parameters, median of {asked.repetitions}"
    )
    show("plain_loop", title, _HEAD, rows(found), asked.markdown)


if __name__ == "__main__":
    main()
