"""PRMs that are causal language models: P(right) against P(wrong) after each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.engines.extend import Extension
from langchain_tts.engines.loading import LoadedModel, load
from langchain_tts.rewards.base import RewardModel, Scores
from langchain_tts.rewards.tool import scoring_tool
from langchain_tts.rewards.window import spans

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from langchain_core.tools import StructuredTool

    from langchain_tts.rewards.base import ScoreRequest
    from langchain_tts.rewards.formats import StepFormat


class _Plan(NamedTuple):
    """The inputs that answer one request."""

    inputs: list[Extension]
    dropped: int


class CausalPRM(RewardModel):
    """Scores a step by the softmax over two label tokens' logits at its last position.

    Math-Shepherd's form (Wang et al. 2024, arXiv 2312.08935). Steps whose token ids
    spell another text in the verifier's tokenizer are written with the verifier's own
    tokens, so any policy can be verified.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        step_format: What the model was trained to see.
        name: What the user asked for; the folder if None.

    Raises:
        ModelLoadError: If the files are missing or damaged, or lack a label token.
    """

    def __init__(
        self, source: str | Path, step_format: StepFormat, *, name: str | None = None
    ) -> None:
        """Load the model, or share the one that this process has loaded."""
        self.model: LoadedModel = load(source)
        self.name = str(source) if name is None else name
        self.num_parameters = self.model.num_parameters
        self._format = step_format
        self._labels = list(step_format.label_ids(self.model))
        # A tag that the tokenizer lacks shows now, not in the middle of a search.
        step_format.step_ids(self.model, "", None, 1)

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Start scoring.

        Raises:
            PromptTooLongError: If a question and a single step do not fit.
            ValueError: If more new steps are asked for than there are.
        """
        plans = [self._plan(request) for request in requests]
        inputs = [part for plan in plans for part in plan.inputs]
        return self.model.engine.extend(
            inputs, lambda _done: [_scores(plan) for plan in plans]
        )

    def as_tool(self) -> StructuredTool:  # type: ignore[override]  # no options needed
        """A LangChain tool that scores the steps of a solution."""
        return scoring_tool(self)

    def _plan(self, request: ScoreRequest) -> _Plan:
        question = self._format.question_ids(self.model, request["messages"])
        steps = self._steps(request)
        inputs = []
        dropped = 0
        window = self.model.context_window
        for span in spans(len(question), [*map(len, steps)], request["new"], window):
            ids = list(question)
            ends = []
            for step in steps[span.first : span.last]:
                ids += step
                ends.append(len(ids) - 1)
            inputs.append(Extension(ids, ends[-span.new :], columns=self._labels))
            dropped = span.first
        return _Plan(inputs, dropped)

    def _steps(self, request: ScoreRequest) -> list[list[int]]:
        """Each step's token ids, the tag's included."""
        texts, given = request["steps"], request["token_ids"]
        read = self.model.step_texts(given)
        alike = [a == b for a, b in zip(read, texts, strict=False)]
        alike += [False] * (len(texts) - len(alike))
        return [
            self._format.step_ids(
                self.model, text, given[i] if alike[i] else None, i + 1
            )
            for i, text in enumerate(texts)
        ]


def _scores(plan: _Plan) -> Scores:
    """P(right) of each new step."""
    return Scores(
        scores=[
            float(right)
            for part in plan.inputs
            for right in part.result.softmax(dim=-1)[:, 0].tolist()
        ],
        computed_tokens=sum(part.computed for part in plan.inputs),
        cached_tokens=sum(part.cached for part in plan.inputs),
        dropped_steps=plan.dropped,
    )
