"""Training data: chats as token ids, packed into rows of one fixed length."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from langchain_tts.tinymath.generator import make_problem, problems
from langchain_tts.tinymath.tokenizer import END, ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

    from langchain_tts.tinymath.problem import Problem

IGNORED = -100
"""Label of a token that no loss is taken on."""

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a patient maths tutor. Think step by step.",
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "Solve the problem.",
    "Answer in English.",
)
_SYSTEM_SHARE = 0.06
_HISTORY_SHARE = 0.04


@dataclass(frozen=True)
class Example:
    """Token ids of one chat, and for each token its label (or `IGNORED`)."""

    ids: list[int]
    labels: list[int]


def render_example(
    tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str
) -> Example:
    """A chat whose loss is on `answer` alone."""
    before = tokenizer.encode(prompt)
    after = tokenizer.encode(answer)
    return Example(before + after, [IGNORED] * len(before) + after)


def policy_examples(
    tokenizer: PreTrainedTokenizerFast, count: int, seed: int
) -> Iterator[Example]:
    """Worked solutions, a few of them after a system prompt or an earlier turn."""
    rng = random.Random(f"policy examples {seed}")
    for problem in islice(problems("train", seed), count):
        prompt = question_prompt(problem.question)
        draw = rng.random()
        if draw < _SYSTEM_SHARE:
            prompt = ROLES["system"] + rng.choice(SYSTEM_PROMPTS) + prompt
        elif draw < _SYSTEM_SHARE + _HISTORY_SHARE:
            prompt = _turn(make_problem(rng, rng.randint(1, 2))) + prompt
        yield render_example(tokenizer, prompt, problem.solution + END)


def question_prompt(question: str) -> str:
    """The chat template's rendering of one question, ready for the answer."""
    return f"{ROLES['user']}{question}{ROLES['assistant']}"


def _turn(problem: Problem) -> str:
    return question_prompt(problem.question) + problem.solution + END


@dataclass(frozen=True)
class Rows:
    """Packed rows: `ids`, `labels` and `documents`, each of shape (rows, length).

    `documents` numbers the chats of a row from 1; 0 is padding. Tokens attend within
    their own document.
    """

    ids: np.ndarray
    labels: np.ndarray
    documents: np.ndarray

    def save(self, path: Path) -> None:
        """Write the rows to one file."""
        part = path.with_suffix(".part.npz")
        np.savez(part, ids=self.ids, labels=self.labels, documents=self.documents)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Rows:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(arrays["ids"], arrays["labels"], arrays["documents"])


_OPEN_ROWS = 32


def pack(examples: Iterable[Example], length: int) -> Rows:
    """Fill rows with whole examples, best fit; longer examples are left out."""
    full: list[list[Example]] = []
    rows: list[list[Example]] = []
    room: list[int] = []
    for example in examples:
        size = len(example.ids)
        if size > length:
            continue
        fitting = [i for i, free in enumerate(room) if free >= size]
        if fitting:
            best = min(fitting, key=room.__getitem__)
        else:
            if len(rows) == _OPEN_ROWS:
                fullest = min(range(len(rows)), key=room.__getitem__)
                full.append(rows.pop(fullest))
                room.pop(fullest)
            rows.append([])
            room.append(length)
            best = len(rows) - 1
        rows[best].append(example)
        room[best] -= size
    return _to_arrays(full + rows, length)


def _to_arrays(rows: list[list[Example]], length: int) -> Rows:
    ids = np.zeros((len(rows), length), np.uint16)
    labels = np.full((len(rows), length), IGNORED, np.int16)
    documents = np.zeros((len(rows), length), np.uint8)
    for row, examples in enumerate(rows):
        start = 0
        for number, example in enumerate(examples, 1):
            end = start + len(example.ids)
            ids[row, start:end] = example.ids
            labels[row, start:end] = example.labels
            documents[row, start:end] = number
            start = end
    return Rows(ids, labels, documents)


@dataclass(frozen=True)
class Batch:
    """Tensors of one training step; shapes (rows, length), mask (rows, 1, L, L)."""

    ids: torch.Tensor
    labels: torch.Tensor
    mask: torch.Tensor


def batches(rows: Rows, size: int, seed: int, skip: int = 0) -> Iterator[Batch]:
    """Shuffled batches without end, a new order each epoch.

    Args:
        rows: The packed data.
        size: Rows a batch.
        seed: Of the order.
        skip: Batches to leave out at the start (for resuming).
    """
    per_epoch = len(rows.ids) // size
    causal = torch.ones(rows.ids.shape[1], rows.ids.shape[1], dtype=torch.bool).tril()
    number = skip
    while True:
        epoch, position = divmod(number, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(len(rows.ids))
        for start in range(position * size, per_epoch * size, size):
            chosen = order[start : start + size]
            documents = torch.from_numpy(rows.documents[chosen])
            same = documents[:, :, None] == documents[:, None, :]
            yield Batch(
                torch.from_numpy(rows.ids[chosen].astype(np.int64)),
                torch.from_numpy(rows.labels[chosen].astype(np.int64)),
                (same & causal)[:, None],
            )
            number += 1
