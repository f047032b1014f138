"""PRMs that score a step by reading the solution up to its end."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.engines.futures import then
from langchain_tts.rewards.base import RewardModel, Scores
from langchain_tts.rewards.reader import Read, Reading
from langchain_tts.rewards.window import spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_tts.rewards.base import ScoreRequest
    from langchain_tts.rewards.formats import StepFormat
    from langchain_tts.rewards.reader import Reader


class _Plan(NamedTuple):
    """The inputs that answer one request."""

    readings: list[Reading]
    dropped: int


class StepPRM(RewardModel):
    """A format, which says what the model was trained to see, and a reader to run it.

    Steps whose token ids spell another text in the verifier's tokenizer are written
    with the verifier's own tokens, so any policy can be verified.

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
        # A tag that the tokenizer lacks shows now, not in the middle of a search.
        step_format.step_ids(reader.tokens, "", None, 1)

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
        tokens = self._reader.tokens
        question = self._format.question_ids(tokens, request["messages"])
        steps = self._steps(request)
        readings = []
        dropped = 0
        window = self._reader.context_window
        for span in spans(len(question), [*map(len, steps)], request["new"], window):
            ids = list(question)
            ends = []
            for step in steps[span.first : span.last]:
                ids += step
                ends.append(len(ids) - 1)
            readings.append(Reading(ids, ends[-span.new :]))
            dropped = span.first
        return _Plan(readings, dropped)

    def _steps(self, request: ScoreRequest) -> list[list[int]]:
        """Each step's token ids, as the format writes it."""
        tokens = self._reader.tokens
        texts, given = request["steps"], request["token_ids"]
        read = tokens.step_texts(given)
        alike = [a == b for a, b in zip(read, texts, strict=False)]
        alike += [False] * (len(texts) - len(alike))
        return [
            self._format.step_ids(tokens, text, given[i] if alike[i] else None, i + 1)
            for i, text in enumerate(texts)
        ]


def _scores(plan: _Plan, left: Iterator[Read]) -> Scores:
    """The scores of one request's new steps."""
    reads = [next(left) for _ in plan.readings]
    return Scores(
        scores=[score for read in reads for score in read.scores],
        computed_tokens=sum(read.computed for read in reads),
        cached_tokens=sum(read.cached for read in reads),
        dropped_steps=plan.dropped,
    )
