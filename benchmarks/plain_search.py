"""Beam search as people write it today, to measure against.

As in Hugging Face's search-and-learn (`sal/search/beam_search.py`) and the many loops
like it: a list of beams that are texts. In each round all of them are rendered and
tokenized again and sent to the engine, every copy of a beam by itself. When all have
their next step, a plain forward pass of transformers reads all of them from their
beginnings, in padded batches; then the best are kept. Written to be as fast as such a
loop can be: texts are tokenized in one go, the engine's prefix cache is on, there are
no gradients and no keys and values that nobody uses.

The rules are those of `langchain_tts.strategies.beam_search`, and so is the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.raw_engine import run_all, sampled
from langchain_tts.engines.vllm import VLLMEngine
from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.search.state import Message
from langchain_tts.tinymath.tokenizer import END, STEP_TAG

MAX_ROUNDS = 40
_MAX_STEP_TOKENS = 512
_BATCH = 16


@dataclass(frozen=True)
class Beam:
    """A solution so far."""

    text: str = ""
    done: bool = False
    tokens: int = 0
    """Of its newest step."""

    @property
    def steps(self) -> list[str]:
        """Without delimiters."""
        return self.text.removesuffix(STEP_DELIMITER).split(STEP_DELIMITER)


Continue = Callable[[list[Message], Sequence[Beam]], list[Beam]]
"""Writes a next step for each beam."""
Score = Callable[[list[Message], Sequence[Beam]], list[float]]
"""Judges each beam by its newest step."""


def search(
    messages: list[Message],
    continued: Continue,
    scored: Score,
    *,
    samples: int,
    width: int,
) -> list[list[Beam]]:
    """Search, and tell all beams of each round.

    Args:
        messages: The question.
        continued: The policy.
        scored: The verifier.
        samples: N.
        width: M.
    """
    rounds: list[list[Beam]] = []
    beams = [Beam()] * samples
    while beams and len(rounds) < MAX_ROUNDS:
        beams = continued(messages, beams)
        rounds.append(beams)
        scores = scored(messages, beams)
        order = sorted(range(len(beams)), key=scores.__getitem__, reverse=True)
        alive = [beams[i] for i in order if not beams[i].done]
        places = len(alive)
        kept = alive[: max(1, places // width)]
        beams = [kept[i % len(kept)] for i in range(places)]
    return rounds


class PlainPolicy:
    """Sends every beam's whole text to vLLM.

    Args:
        engine: Runs the policy.
    """

    def __init__(self, engine: VLLMEngine) -> None:
        self._engine = engine
        self.tokenizer = engine.tokens.tokenizer

    def __call__(self, messages: list[Message], beams: Sequence[Beam]) -> list[Beam]:
        """Write a next step for each."""
        prompt = _prompt(self.tokenizer, messages)
        ids = _encode(self.tokenizer, [prompt + beam.text for beam in beams])
        answers = run_all(
            self._engine,
            [
                sampled(
                    one,
                    max_tokens=_MAX_STEP_TOKENS,
                    stop=[STEP_DELIMITER],
                    include_stop_str_in_output=True,
                    detokenize=True,
                )
                for one in ids
            ],
        )
        return [
            _next(beam, answer.outputs[0])
            for beam, answer in zip(beams, answers, strict=True)
        ]


def _next(beam: Beam, output: Any) -> Beam:
    return replace(
        beam,
        text=beam.text + output.text,
        done=output.stop_reason != STEP_DELIMITER,
        tokens=len(output.token_ids),
    )


class PlainPrm:
    """Reads every beam from its beginning with transformers.

    Args:
        folder: The verifier.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        ).eval()
        known = self.tokenizer.get_vocab()
        self._labels = [known["+"], known["-"]]
        self._tag = known[STEP_TAG]
        self.tokens = 0
        """That it has read, padding not counted."""

    def __call__(self, messages: list[Message], beams: Sequence[Beam]) -> list[float]:
        """The probability of `+` after each beam's newest step."""
        prompt = _prompt(self.tokenizer, messages)
        ids = _encode(self.tokenizer, [prompt + tagged(beam) for beam in beams])
        return [scores[-1] for scores in self.read(ids)]

    def read(self, rows: Sequence[list[int]]) -> list[list[float]]:
        """The probability of `+` after each tag in each row of token ids."""
        parts = (rows[first : first + _BATCH] for first in range(0, len(rows), _BATCH))
        return [scores for part in parts for scores in self._read_batch(part)]

    @torch.inference_mode()
    def _read_batch(self, rows: Sequence[list[int]]) -> list[list[float]]:
        self.tokens += sum(map(len, rows))
        batch = self.tokenizer.pad(
            {"input_ids": list(rows)}, padding_side="right", return_tensors="pt"
        )
        logits = self._model(**batch, use_cache=False).logits[:, :, self._labels]
        good = logits.softmax(dim=-1)[:, :, 0]
        tags = batch["input_ids"] == self._tag
        return [row[marked].tolist() for row, marked in zip(good, tags, strict=True)]


def tagged(beam: Beam) -> str:
    """A beam as a verifier with a tag after each step reads it."""
    text = beam.text.replace(STEP_DELIMITER, STEP_DELIMITER + STEP_TAG)
    return text + END + STEP_TAG if beam.done else text


def _prompt(tokenizer: Any, messages: list[Message]) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
    )


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return list(tokenizer(texts, add_special_tokens=False)["input_ids"])
