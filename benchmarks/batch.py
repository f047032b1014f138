"""What `batch` gains: 16 questions at once against one after another.

Searches that run at the same time share the engine's batches. Every question is asked
once, so that no cache knows it, and what is compared is generated tokens a second. The
two ways are measured in turn.

    python -m benchmarks.batch
    python -m benchmarks.batch --vllm
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from langchain_core.messages import AIMessage

from benchmarks.measuring import interleaved, middle, ratio, show
from langchain_tts import TTSChatModel
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.generator import load_split

AT_ONCE = 16
SETTINGS = (("greedy", 1), ("majority_vote", 4), ("best_of_n", 4), ("beam_search", 16))
# Two engines share the memory.
VLLM_OPTIONS = "dtype=float32&enforce_eager=true&gpu_memory_utilization=0.1"
VLLM_POLICY = f"vllm:{WEIGHTS / 'policy'}?{VLLM_OPTIONS}"
VLLM_PRM = f"vllm:{WEIGHTS / 'tag-prm'}?{VLLM_OPTIONS}"
HEAD = (
    *("engine", "strategy", "N", "one at a time, tokens/s", "batch, tokens/s"),
    *("abatch, tokens/s", "batch, times as fast", "abatch, times as fast"),
)

Way = Callable[[TTSChatModel, list[str]], Sequence[AIMessage]]


class Setting(NamedTuple):
    """What one row of the table is measured with."""

    engine: str
    policy: str
    prm: str
    strategy: str
    samples: int


def _one_at_a_time(model: TTSChatModel, questions: list[str]) -> Sequence[AIMessage]:
    return [model.invoke(question) for question in questions]


def _batch(model: TTSChatModel, questions: list[str]) -> Sequence[AIMessage]:
    return model.batch([*questions])


def _abatch(model: TTSChatModel, questions: list[str]) -> Sequence[AIMessage]:
    return asyncio.run(model.abatch([*questions]))


WAYS: dict[str, Way] = {
    "one at a time": _one_at_a_time,
    "batch": _batch,
    "abatch": _abatch,
}


def throughputs(
    setting: Setting, questions: Iterator[str], repetitions: int
) -> dict[str, list[float]]:
    """Generated tokens a second of each way, in each repetition."""
    model = TTSChatModel(
        policy=setting.policy,
        prm=setting.prm,
        strategy=setting.strategy,
        budget=setting.samples,
        seed=1,
    )

    def measured(way: Way) -> float:
        asked = [next(questions) for _ in range(AT_ONCE)]
        started = time.perf_counter()
        answers = way(model, asked)
        seconds = time.perf_counter() - started
        return sum(map(_generated, answers)) / seconds

    _batch(model, [next(questions) for _ in range(AT_ONCE)])
    ways = {name: lambda _, way=way: measured(way) for name, way in WAYS.items()}
    return interleaved(ways, repetitions)


def _generated(answer: AIMessage) -> int:
    return answer.usage_metadata["output_tokens"] if answer.usage_metadata else 0


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=5, help="(%(default)s)")
    parser.add_argument(
        "--vllm", action="store_true", help="the same weights in vLLM as well"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    engines = [("transformers", "tinymath", "tinymath-tag")]
    if options.vllm:
        engines.append(("vLLM", VLLM_POLICY, VLLM_PRM))
    rows = []
    for engine in engines:
        for strategy, samples in SETTINGS:
            questions = (problem.question for problem in load_split("test"))
            setting = Setting(*engine, strategy, samples)
            rows.append(_row(setting, questions, options.repetitions))
    title = f"{AT_ONCE} questions, median of {options.repetitions}"
    show("batch", title, HEAD, rows, options.markdown)


def _row(setting: Setting, questions: Iterator[str], repetitions: int) -> list[str]:
    found = throughputs(setting, questions, repetitions)
    base = found["one at a time"]
    return [
        setting.engine,
        setting.strategy,
        str(setting.samples),
        *(f"{middle(found[way]):,.0f}" for way in WAYS),
        *(f"{ratio(found[way], base):.1f}" for way in ("batch", "abatch")),
    ]


# vLLM spawns processes, which import this file again: they must not start the work.
if __name__ == "__main__":
    main()
