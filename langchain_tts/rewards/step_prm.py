"""PRMs that score a step by reading the solution up to its end."""

from __future__ import annotations

from bisect import bisect_right
from concurrent.futures import Future
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_tts.engines.futures import then
from langchain_tts.rewards.base import RewardModel, Scores
from langchain_tts.rewards.formats.self_test import self_test
from langchain_tts.rewards.reader import Read, Reading
from langchain_tts.rewards.window import check_new, spans
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_tts.rewards.base import ScoreRequest
    from langchain_tts.rewards.formats import StepFormat
    from langchain_tts.rewards.reader import Reader

_WRITTEN_STEPS = 65_536
_WRITTEN_QUESTIONS = 1024
_NOTHING_SAID = 0.0


class _Step(NamedTuple):
    """A step that has text."""

    text: str
    ids: tuple[int, ...] | None
    """The policy's, if they are to be kept."""
    number: int
    """Counted from 1."""


class _Plan(NamedTuple):
    """The inputs that answer one request."""

    readings: list[Reading]
    places: list[int | None]
    """Where among the scores that of each new step is; None: nothing was said yet."""
    dropped: int


class StepPRM(RewardModel):
    """A format, which says what the model was trained to see, and a reader to run it.

    Steps are written with the verifier's own tokens, so any policy can be verified. A
    format that keeps the policy's token ids does so where they spell the step's text in
    the verifier's tokenizer.

    A blank step adds nothing to judge and is never read: it has the score of the step
    before it, and 0 where there is none.

    Args:
        reader: The model.
        step_format: What it was trained to see.
        name: What the user asked for.

    Raises:
        ModelLoadError: If the model does not fit the format.
    """

    def __init__(self, reader: Reader, step_format: StepFormat, *, name: str) -> None:
        """Check that model and format fit."""
        self.name = name
        self.num_parameters = reader.num_parameters
        self._reader = reader
        self._format = step_format
        self_test(step_format, reader.tokens)
        self._write = lru_cache(maxsize=_WRITTEN_STEPS)(self._write_once)
        self._ask = lru_cache(maxsize=_WRITTEN_QUESTIONS)(self._ask_once)

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Start scoring.

        Raises:
            PromptTooLongError: If a question and a single step do not fit.
            ValueError: If more new steps are asked for than there are.
        """
        plans = [self._plan(request) for request in requests]
        reading = self._reader.read([part for plan in plans for part in plan.readings])

        def scores(reads: list[Read]) -> list[Scores]:
            left = iter(reads)
            return [_scores(plan, left) for plan in plans]

        return then(reading, scores)

    def _plan(self, request: ScoreRequest) -> _Plan:
        texts, new = request["steps"], request["new"]
        check_new(new, len(texts))
        # Where the steps that have text end, and how many of them each new step sees.
        ends = [end for end, text in enumerate(texts, start=1) if text.strip()]
        new_ends = range(len(texts) - new + 1, len(texts) + 1)
        seen = [bisect_right(ends, end) for end in new_ends]
        oldest = next(filter(None, seen), None)
        if oldest is None:
            return _Plan([], [None] * new, 0)
        readings, dropped = self._readings(request, len(ends) - oldest + 1)
        return _Plan(
            readings, [count - oldest if count else None for count in seen], dropped
        )

    def _readings(self, request: ScoreRequest, new: int) -> tuple[list[Reading], int]:
        """Inputs that score the last steps that have text, and what they leave out."""
        question = self._ask(
            *((message["role"], message["content"]) for message in request["messages"])
        )
        steps = self._steps(request)
        leading = [self._write(step, leads=True) for step in steps]
        following = [self._write(step, leads=False) for step in steps]
        readings = []
        dropped = 0
        for span in spans(
            len(question),
            [*map(len, following)],
            new,
            self._reader.context_window,
            leading=[*map(len, leading)],
        ):
            ids = [*question, *leading[span.first]]
            ends = [len(ids) - 1]
            for step in following[span.first + 1 : span.last]:
                ids += step
                ends.append(len(ids) - 1)
            readings.append(Reading(ids, ends[-span.new :]))
            dropped = span.first
        return readings, dropped

    def _steps(self, request: ScoreRequest) -> list[_Step]:
        """The steps that have text."""
        texts = request["steps"]
        kept: list[tuple[int, ...] | None] = [None] * len(texts)
        if self._format.keeps_ids:
            given = request["token_ids"]
            read = self._reader.tokens.step_texts(given)
            for place, (own, text) in enumerate(zip(read, texts, strict=False)):
                if own == text:
                    kept[place] = tuple(given[place])
        said = [(text, kept[i]) for i, text in enumerate(texts) if text.strip()]
        return [_Step(text, ids, i) for i, (text, ids) in enumerate(said, start=1)]

    def _write_once(self, step: _Step, *, leads: bool) -> tuple[int, ...]:
        """A step's token ids, as the format writes it."""
        ids = None if step.ids is None else list(step.ids)
        tokens = self._reader.tokens
        return tuple(
            self._format.step_ids(tokens, step.text, ids, step.number, leads=leads)
        )

    def _ask_once(self, *turns: tuple[Any, str]) -> tuple[int, ...]:
        """A question's token ids, as the format writes it."""
        messages = [Message(role=role, content=content) for role, content in turns]
        return tuple(self._format.question_ids(self._reader.tokens, messages))


def _scores(plan: _Plan, left: Iterator[Read]) -> Scores:
    """The scores of one request's new steps."""
    reads = [next(left) for _ in plan.readings]
    scores = [score for read in reads for score in read.scores]
    return Scores(
        scores=[
            _NOTHING_SAID if place is None else scores[place] for place in plan.places
        ],
        computed_tokens=sum(read.computed for read in reads),
        cached_tokens=sum(read.cached for read in reads),
        dropped_steps=plan.dropped,
    )
