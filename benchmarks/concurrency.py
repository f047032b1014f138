"""Many searches at once in one process: how much of what the engines can do is used.

At each level so many beam searches run at once, each with a question of its own, and
whenever one ends another begins. What the engines can do is what they make of the same
requests when nothing holds them up: those of the widest level, in the order in which
they came, sent to vLLM with nothing around it by many independent streams, each of
which sends its next request when it has its last answer. Policy and verifier share the
machine, so both are fed at once, as in the searches.

    python -m benchmarks.concurrency
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import count
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
from benchmarks.random_models import SIZES, save_policy, save_prm
from benchmarks.raw_engine import (
    forget,
    in_streams,
    labels_after,
    open_policy,
    open_prm,
    read_ids,
    steps_of,
)
from benchmarks.recorded import RecordedPolicy, RecordedPrm
from langchain_tts.budget import Budget
from langchain_tts.rewards.formats import TagFormat
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve

ANSWER_AT = 150
"""Tokens around which answers come: about 5 steps, so that many searches fit in the
time."""
SATURATED = 0
"""The level at which no search is in the way."""
_ROUNDS = 3
"""Searches that follow each other at one place, where there are few places."""
_MANY = 32
_HEAD = (
    "searches at once",
    "searches",
    "seconds",
    "searches/s",
    "generated tokens/s",
    "of the engine's",
)


class Load(NamedTuple):
    """What went through the engines."""

    searches: int
    generated: int
    """Tokens."""
    seconds: float

    @property
    def rate(self) -> float:
        """Generated tokens a second."""
        return self.generated / self.seconds


class Bench:
    """The models in their engines.

    Args:
        folder: Where the models are written.
        model: Their size.
        samples: N.
        width: M.
        streams: Requests at once where there are no searches.
    """

    def __init__(
        self, folder: Path, model: str, samples: int, width: int, streams: int
    ) -> None:
        policy = save_policy(folder / "policy", SIZES[model], answer_at=ANSWER_AT)
        prm = save_prm(folder / "prm", SIZES[model])
        self._samples, self._width, self._streams = samples, width, streams
        self._policy = open_policy(policy)
        self._policy_engine = self._policy.engine
        self._prm, self._prm_engine = open_prm(prm, TagFormat())
        self._numbers = count()

    def measure(self, levels: Sequence[int]) -> dict[int, Load]:
        """Search at each level, then send what the last one has sent again."""
        found = {}
        for level in levels:
            policy, prm = RecordedPolicy(self._policy), RecordedPrm(self._prm)
            found[level] = self._search(level, policy, prm)
        widest = found[levels[-1]]
        found[SATURATED] = self._saturate(policy, prm, widest)
        return found

    def _search(self, level: int, policy: RecordedPolicy, prm: RecordedPrm) -> Load:
        """Searches, so many at once."""
        forget(self._policy_engine, self._prm_engine)
        total = searches_at(level)
        context = SearchContext(
            policy=policy,
            prm=prm,
            budget=Budget(self._samples),
            beam_width=self._width,
            temperature=1.0,
        )
        left = iter([next(self._numbers) for _ in range(total)])

        async def worker() -> int:
            generated = 0
            for number in left:
                result = await asolve(question(number), context=context, seed=number)
                generated += result["spent"]["generated_tokens"]
            return generated

        async def together() -> int:
            return sum(await asyncio.gather(*(worker() for _ in range(level))))

        start = time.perf_counter()
        generated = asyncio.run(together())
        return Load(total, generated, time.perf_counter() - start)

    def _saturate(self, policy: RecordedPolicy, prm: RecordedPrm, widest: Load) -> Load:
        """The same requests from independent streams."""
        forget(self._policy_engine, self._prm_engine)
        tokens, written = self._prm_engine.tokens, TagFormat()
        steps = [
            raw
            for call in policy.calls
            for request in call
            for raw in steps_of(request, self._policy_engine)
        ]
        scores = [
            labels_after(read_ids(request, written, tokens), tokens)
            for call in prm.calls
            for request in call
        ]
        start = time.perf_counter()
        work = [
            engine.run(in_streams(engine, requests, self._streams))
            for engine, requests in (
                (self._policy_engine, steps),
                (self._prm_engine, scores),
            )
        ]
        generated = work[0].result()
        work[1].result()
        return Load(widest.searches, generated, time.perf_counter() - start)


def searches_at(level: int) -> int:
    """How many searches are measured: several at each place, if there are few."""
    return level * _ROUNDS if level <= _MANY else level


def rows(found: Mapping[int, Sequence[Load]]) -> list[list[str]]:
    """A line for each level."""
    engine = [load.rate for load in found[SATURATED]]
    return [
        [
            str(level) if level != SATURATED else "the engines alone",
            str(loads[0].searches),
            f"{middle(load.seconds for load in loads):.1f}",
            f"{middle(load.searches / load.seconds for load in loads):.2f}",
            f"{middle(load.rate for load in loads):,.0f}",
            f"{ratio([load.rate for load in loads], engine):.2f}",
        ]
        for level, loads in found.items()
    ]


def main() -> None:
    """Measure, and show a table."""
    parser = options(__doc__, model="3M", repetitions=2)
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--samples", type=int, default=16, help="N (%(default)s)")
    parser.add_argument("--width", type=int, default=4, help="M (%(default)s)")
    parser.add_argument(
        "--streams",
        type=int,
        default=256,
        help="requests at once to each engine without searches (%(default)s)",
    )
    asked = read(parser, levels=[1, 4])
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            Path(folder), asked.model, asked.samples, asked.width, asked.streams
        )
        bench.measure([2])
        each = [bench.measure(asked.levels) for _ in range(asked.repetitions)]
    found = {level: [loads[level] for loads in each] for level in each[0]}
    title = (
        f"Beam searches at once, N = {asked.samples}, M = {asked.width}, policy and "
        f"verifier of {asked.model} parameters in vLLM, median of {asked.repetitions}"
    )
    show("concurrency", title, _HEAD, rows(found), asked.markdown)


if __name__ == "__main__":
    main()
