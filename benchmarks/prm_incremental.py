"""What a verifier computes when it scores new steps only, against reading all again.

The trees are those of a beam search: in each round N new steps, M after each of the
beams that are left, made of random words. The minimum is what cannot be avoided: every
token of the tree once, and the question's. Reading all again is what a program does
that hands whole solutions to a model each round: padded batches of a plain forward pass
with transformers, prompts that may not read the prefix cache with vLLM.

vLLM's own cache holds whole blocks, so the end of a beam, half a block in the mean, is
computed again with each of its M steps. The library's exact cache keeps that end too;
`--blocks` measures blocks of given sizes without it.

In the table: tokens computed, then seconds.

    python -m benchmarks.prm_incremental
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
from benchmarks.plain_search import PlainPrm
from benchmarks.random_models import DELIMITER, SIZES, save_prm
from benchmarks.raw_engine import (
    Raw,
    forget,
    head_rows,
    labels_after,
    open_prm,
    read_ids,
    run_all,
)
from langchain_tts.engines.tokens import ModelTokenizer, load_tokenizer
from langchain_tts.engines.vllm import VLLMEngine
from langchain_tts.rewards.base import RewardModel, ScoreRequest
from langchain_tts.rewards.formats import QwenMathFormat, StepFormat, TagFormat
from langchain_tts.search.state import Message

_HEAD = (
    "verifier",
    "steps",
    "minimum",
    "new only",
    "x minimum",
    "all again",
    "x minimum",
    "new only, s",
    "all again, s",
    "times as fast",
)

Rounds = list[list[ScoreRequest]]


class Cost(NamedTuple):
    """What scoring a tree cost."""

    minimum: int
    """Tokens."""
    tokens: int
    """That were computed, padding not counted."""
    seconds: float


class Shape(NamedTuple):
    """A tree's shape."""

    samples: int
    """N, new steps a round."""
    width: int
    """M, new steps after a beam."""
    step_tokens: int
    """Of a step, in the mean."""


def grow(number: int, steps: int, shape: Shape, tokens: ModelTokenizer) -> Rounds:
    """A tree as beam search grows it, as what it asks its verifier in each round.

    Args:
        number: Of the repetition: each tree has words of its own.
        steps: Rounds.
        shape: The tree's.
        tokens: The verifier's tokenizer.
    """
    draw = random.Random(f"{number} {steps}")
    messages = question(draw.randrange(90))
    known = tokens.tokenizer.get_vocab()
    words = [
        known[word] for word in known if word[0] == "\u0120" and word[1:].isalpha()
    ]
    least, most = shape.step_tokens * 2 // 3, shape.step_tokens * 4 // 3

    def step() -> list[int]:
        length = draw.randint(least, most)
        return [*draw.choices(words, k=length - 1), known[DELIMITER]]

    beams: list[list[list[int]]] = [[]]
    rounds = []
    for _ in range(steps):
        each = shape.samples // len(beams)
        children = [[*beam, step()] for beam in beams for _ in range(each)]
        rounds.append([_asked(messages, child, tokens) for child in children])
        beams = draw.sample(children, max(1, shape.samples // shape.width))
    return rounds


def _asked(
    messages: list[Message], steps: list[list[int]], tokens: ModelTokenizer
) -> ScoreRequest:
    return ScoreRequest(
        messages=messages,
        steps=tokens.step_texts(steps),
        token_ids=steps,
        logprobs=[0.0] * len(steps),
        new=1,
    )


def distinct_tokens(readings: Iterable[Sequence[int]]) -> int:
    """Tokens that must be computed once each: those of a tree with these paths."""
    places: dict[tuple[int, int], int] = {}
    for ids in readings:
        place = 0
        for token in ids:
            place = places.setdefault((place, token), len(places) + 1)
    return len(places)


class Bench:
    """One verifier, and two ways to score with it.

    Args:
        prm: The verifier.
        tokens: Its tokenizer.
        written: Its format.
        read_again: Reads prompts from their beginnings; how many tokens it computed.
        engines: What has a cache to be emptied.
    """

    def __init__(
        self,
        prm: RewardModel,
        tokens: ModelTokenizer,
        written: StepFormat,
        read_again: Callable[[list[list[int]]], int],
        *engines: VLLMEngine,
    ) -> None:
        self._prm = prm
        self._tokens = tokens
        self._written = written
        self._read_again = read_again
        self._engines = engines

    def incremental(self, steps: int, shape: Shape, number: int) -> Cost:
        """Score each round's new steps as a search does."""

        def score(requests: list[ScoreRequest], _ids: list[list[int]]) -> int:
            answers = self._prm.invoke(requests)
            return sum(answer["computed_tokens"] for answer in answers)

        return self._measured(score, steps, shape, number)

    def again(self, steps: int, shape: Shape, number: int) -> Cost:
        """Read whole solutions in each round."""
        return self._measured(
            lambda _requests, ids: self._read_again(ids), steps, shape, number
        )

    def _measured(
        self,
        score: Callable[[list[ScoreRequest], list[list[int]]], int],
        steps: int,
        shape: Shape,
        number: int,
    ) -> Cost:
        rounds = grow(number, steps, shape, self._tokens)
        readings = [
            [read_ids(request, self._written, self._tokens) for request in requests]
            for requests in rounds
        ]
        forget(*self._engines)
        start = time.perf_counter()
        computed = sum(map(score, rounds, readings))
        return Cost(
            minimum=distinct_tokens(ids for each in readings for ids in each),
            tokens=computed,
            seconds=time.perf_counter() - start,
        )


def with_transformers(folder: Path) -> Bench:
    """A causal verifier that transformers runs."""
    plain = PlainPrm(folder)

    def read_again(readings: list[list[int]]) -> int:
        plain.read(readings)
        return sum(map(len, readings))

    tokens, _ = load_tokenizer(folder)
    return Bench(verifier(f"transformers:{folder}"), tokens, TagFormat(), read_again)


def with_vllm(folder: Path, *, classes: bool = False, **options: Any) -> Bench:
    """A verifier that vLLM runs.

    Args:
        folder: The model.
        classes: Whether it has a classification head.
        **options: Of `VLLMReader`.
    """
    written = QwenMathFormat() if classes else TagFormat()
    prm, engine = open_prm(folder, written, **options)
    ask: Callable[[list[int]], Raw] = head_rows
    if not classes:
        ask = partial(
            labels_after, tokens=engine.tokens, skip_reading_prefix_cache=True
        )

    def read_again(readings: list[list[int]]) -> int:
        answers = run_all(engine, [ask(ids) for ids in readings])
        cached = sum(answer.num_cached_tokens or 0 for answer in answers)
        return sum(map(len, readings)) - cached

    return Bench(prm, engine.tokens, written, read_again, engine)


def rows(found: Mapping[tuple[str, int, str], Sequence[Cost]]) -> list[list[str]]:
    """A line for each verifier and number of steps."""
    lines = []
    for name, steps in dict.fromkeys((name, steps) for name, steps, _ in found):
        new, again = found[name, steps, "incremental"], found[name, steps, "again"]
        minimum = [cost.minimum for cost in new]
        lines.append(
            [
                name,
                str(steps),
                f"{middle(minimum):,.0f}",
                f"{middle(cost.tokens for cost in new):,.0f}",
                f"{ratio([cost.tokens for cost in new], minimum):.2f}",
                f"{middle(cost.tokens for cost in again):,.0f}",
                f"{ratio([cost.tokens for cost in again], minimum):.2f}",
                f"{middle(cost.seconds for cost in new):.2f}",
                f"{middle(cost.seconds for cost in again):.2f}",
                f"{_times_as_fast(new, again):.1f}",
            ]
        )
    return lines


def _times_as_fast(new: Sequence[Cost], again: Sequence[Cost]) -> float:
    return ratio([cost.seconds for cost in again], [cost.seconds for cost in new])


def main() -> None:
    """Measure, and show a table."""
    parser = options(__doc__, model="3M", repetitions=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--blocks", type=int, nargs="+", default=[32])
    parser.add_argument("--samples", type=int, default=8, help="N (%(default)s)")
    parser.add_argument("--width", type=int, default=4, help="M (%(default)s)")
    parser.add_argument(
        "--step-tokens", type=int, default=30, help="in the mean (%(default)s)"
    )
    asked = read(parser, steps=[5, 10])
    shape = Shape(asked.samples, asked.width, asked.step_tokens)
    with tempfile.TemporaryDirectory() as folder:
        benches = _benches(Path(folder), asked.model, asked.blocks)
        ways: dict[tuple[str, int, str], Callable[[int], Cost]] = {}
        for steps in asked.steps:
            for name, bench in benches.items():
                bench.incremental(1, shape, -1)
                bench.again(1, shape, -1)
                ways[name, steps, "incremental"] = partial(
                    bench.incremental, steps, shape
                )
                ways[name, steps, "again"] = partial(bench.again, steps, shape)
        found = interleaved(ways, asked.repetitions)
    title = (
        f"Scoring the steps of a beam search, N = {shape.samples}, M = {shape.width}, "
        f"steps of {shape.step_tokens} tokens, a verifier of {asked.model} parameters, "
        f"median of {asked.repetitions}"
    )
    show("prm_incremental", title, _HEAD, rows(found), asked.markdown)


def _benches(folder: Path, model: str, blocks: Sequence[int]) -> dict[str, Bench]:
    causal = save_prm(folder / "causal", SIZES[model])
    classes = save_prm(folder / "classes", SIZES[model], head="classes")
    benches = {
        "transformers": with_transformers(causal),
        "vLLM, labels": with_vllm(causal, exact_cache=True),
        "vLLM, classes": with_vllm(classes, classes=True, exact_cache=True),
    }
    for block in blocks:
        benches[f"vLLM, labels, blocks of {block}"] = with_vllm(
            causal, exact_cache=False, block_size=block
        )
    return benches


if __name__ == "__main__":
    main()
