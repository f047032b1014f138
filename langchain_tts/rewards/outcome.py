"""Outcome reward models: sequence classifiers that judge a whole answer."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AutoModelForSequenceClassification

from langchain_tts.engines.errors import ModelLoadError, PromptTooLongError
from langchain_tts.engines.loading import load_part
from langchain_tts.engines.tokens import explain, load_tokenizer, quietly
from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.rewards.base import RewardModel, Scores
from langchain_tts.rewards.formats.config import CLASSIFIER
from langchain_tts.rewards.memory import Memory
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from langchain_tts.rewards.base import ScoreRequest

_BATCH_TOKENS = 8192
_NO_TOKEN = -1
_PADDING = 1.25
"""Answers share a forward pass while it has at most this many times their tokens."""


class _Input(NamedTuple):
    """What is read for one request."""

    ids: tuple[int, ...]
    dropped: int


@dataclass(eq=False)
class _Job:
    """Requests that one caller waits for."""

    requests: Sequence[ScoreRequest]
    future: Future[list[Scores]]


class OutcomeModel(RewardModel):
    """Scores an answer as a whole; every step of it gets the answer's score.

    It reads the conversation and the answer as a chat, by the model's own template. A
    model with one output is a reward: its sigmoid is the score. Of two classes the
    second is "right": its softmax is. Each distinct answer is read once; answers of all
    callers share batches of similar length, on a thread of the model's own.

    Where an answer does not fit the model's window, its oldest steps are left out.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        name: What the user asked for; the folder if None.

    Raises:
        ModelLoadError: If the files are missing or damaged, or if the model is no
            sequence classifier of one or two outputs with a chat template.
    """

    scores_steps = False

    def __init__(self, source: str | Path, *, name: str | None = None) -> None:
        """Load the model and start its thread."""
        self.name = str(source) if name is None else name
        # Its tokenizer is used by its thread alone, so it needs no lock.
        self._tokens, self._window = load_tokenizer(source)
        architectures = self._tokens.architectures
        if not any(one.endswith(CLASSIFIER) for one in architectures):
            msg = (
                f"the model in {source} is no sequence classifier: its config.json "
                f"names {architectures}, none of which ends with {CLASSIFIER!r}"
            )
            raise ModelLoadError(msg)
        if self._tokens.tokenizer.chat_template is None:
            msg = (
                f"reward model {source} has no chat template, so it cannot be known "
                "how it reads a question and an answer; add a chat_template to its "
                "tokenizer"
            )
            raise ModelLoadError(msg)
        try:
            with quietly():
                self._model: Any = load_part(
                    self._tokens.source, AutoModelForSequenceClassification
                )
        except Exception as error:  # noqa: BLE001 (damaged files raise anything)
            raise ModelLoadError(explain(self._tokens.source, error)) from None
        self._outputs = int(self._model.config.num_labels)
        if self._outputs not in {1, 2}:
            msg = (
                f"reward model {source} has {self._outputs} classes; a reward has one "
                "output, or two classes: wrong and right"
            )
            raise ModelLoadError(msg)
        self.num_parameters = int(self._model.num_parameters())
        config = self._model.config.get_text_config()
        self._spread = _PADDING
        if config.pad_token_id is None:
            # It scores the last token that is no padding, and refuses batches where it
            # cannot tell. Answers of one length have no padding: these share batches.
            config.pad_token_id = _NO_TOKEN
            self._spread = 1.0
        self._known: Memory[float] = Memory()
        self._waiting: list[_Job] = []
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="langchain-tts-outcome")

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Start scoring.

        The future fails with `PromptTooLongError` if a question and a single step do
        not fit.
        """
        job = _Job(requests, Future())
        with self._lock:
            self._waiting.append(job)
        self._thread.submit(self._work)
        return job.future

    def _work(self) -> None:
        """Score all that is waiting, in one go."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        jobs = [job for job in waiting if job.future.set_running_or_notify_cancel()]
        ready: list[tuple[_Job, list[_Input]]] = []
        for job in jobs:
            try:
                ready.append((job, [self._input(request) for request in job.requests]))
            except Exception as error:  # noqa: BLE001 (belongs to the caller)
                job.future.set_exception(error)
        try:
            scores, unpaid = self._score(
                one.ids for _, inputs in ready for one in inputs
            )
        except Exception as error:  # noqa: BLE001 (belongs to the callers)
            for job, _ in ready:
                job.future.set_exception(error)
            return
        for job, inputs in ready:
            answers = []
            for request, read in zip(job.requests, inputs, strict=True):
                new = read.ids in unpaid
                unpaid.discard(read.ids)
                answers.append(_answer(request, read, scores[read.ids], new=new))
            job.future.set_result(answers)

    def _input(self, request: ScoreRequest) -> _Input:
        """The chat, with as many of the answer's newest steps as fit.

        Raises:
            PromptTooLongError: If not even one does.
        """
        for dropped in range(max(1, len(request["steps"]))):
            ids = self._ids(request, request["steps"][dropped:])
            if len(ids) <= self._window:
                return _Input(ids, dropped)
        msg = (
            f"the question and one step have {len(ids)} tokens, but verifier "
            f"{self.name!r} reads at most {self._window}; shorten them, or use a "
            "verifier with a longer context window"
        )
        raise PromptTooLongError(msg)

    def _ids(self, request: ScoreRequest, steps: Sequence[str]) -> tuple[int, ...]:
        answer = Message(role="assistant", content=STEP_DELIMITER.join(steps))
        chat = [
            {"role": one["role"], "content": self._tokens.spelled_out(one["content"])}
            for one in (*request["messages"], answer)
        ]
        return tuple(
            self._tokens.tokenizer.apply_chat_template(
                chat,
                tokenize=True,
                return_dict=False,
                tokenizer_kwargs={"verbose": False},
            )
        )

    def _score(
        self, inputs: Iterable[tuple[int, ...]]
    ) -> tuple[dict[tuple[int, ...], float], set[tuple[int, ...]]]:
        """Scores of inputs, and which of them were not known before."""
        known = {ids: self._known.get(ids) for ids in inputs}
        scores = {ids: score for ids, score in known.items() if score is not None}
        new = known.keys() - scores.keys()
        for batch in _batches(new, self._spread):
            for ids, score in zip(batch, self._forward(batch), strict=True):
                scores[ids] = score
                self._known.put(ids, score)
        return scores, set(new)

    @torch.inference_mode()
    def _forward(self, batch: Sequence[tuple[int, ...]]) -> list[float]:
        """One forward pass."""
        width = max(map(len, batch))
        padding = self._model.config.get_text_config().pad_token_id
        rows = [[*ids, *[padding] * (width - len(ids))] for ids in batch]
        mask = [[1] * len(ids) + [0] * (width - len(ids)) for ids in batch]
        device = self._model.device
        logits = self._model(
            input_ids=torch.tensor(rows, device=device),
            attention_mask=torch.tensor(mask, device=device),
        ).logits.float()
        if self._outputs == 1:
            return [float(score) for score in logits[:, 0].sigmoid()]
        return [float(score) for score in logits.softmax(dim=-1)[:, 1]]


def _answer(request: ScoreRequest, read: _Input, score: float, *, new: bool) -> Scores:
    """The answer to one request; the first to ask for an input pays for it."""
    computed = len(read.ids) if new else 0
    return Scores(
        scores=[score] * request["new"],
        computed_tokens=computed,
        cached_tokens=len(read.ids) - computed,
        dropped_steps=read.dropped,
    )


def _batches(
    inputs: Iterable[tuple[int, ...]], spread: float
) -> Iterator[list[tuple[int, ...]]]:
    """Cut inputs into batches that have at most `spread` times their tokens."""
    batch: list[tuple[int, ...]] = []
    tokens = 0
    for ids in sorted(inputs, key=len):
        padded = (len(batch) + 1) * len(ids)
        if batch and padded > min(_BATCH_TOKENS, spread * (tokens + len(ids))):
            yield batch
            batch, tokens = [], 0
        batch.append(ids)
        tokens += len(ids)
    if batch:
        yield batch
