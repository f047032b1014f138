"""The verifier protocol: a process reward model (PRM) scores prefixes of a solution."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypedDict

from langchain_core.runnables import Runnable, RunnableConfig

from langchain_tts.engines.futures import aresult, result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from langchain_core.tools import StructuredTool

    from langchain_tts.search.state import Message


class ScoreRequest(TypedDict):
    """Score the last `new` steps of one trajectory, each as a prefix ending there."""

    messages: list[Message]
    steps: list[str]
    """Texts of all steps so far."""
    token_ids: list[list[int]]
    """The policy's token ids of each step."""
    logprobs: list[float]
    """The policy's log-probability of each step (the implicit PRM's reference)."""
    new: int
    """How many of the last steps are to be scored."""


class Scores(TypedDict):
    """The answer to one `ScoreRequest`."""

    scores: list[float]
    """`new` scores in [0, 1]."""
    computed_tokens: int
    cached_tokens: int
    dropped_steps: int
    """Oldest steps that did not fit the model's window (0: none)."""


class RewardModel(Runnable[list[ScoreRequest], list[Scores]]):
    """A verifier. A backend implements `submit`; it is traced as a `tool` run."""

    name: str | None
    num_parameters: int
    """For FLOPs: 2 x parameters x tokens."""
    scores_steps: bool = True
    """False: it judges finished answers only, and cannot steer a search by its steps.
    Then all steps of an answer get the answer's score."""

    @abstractmethod
    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Start scoring; requests of all callers share the engine's batches."""

    def as_tool(self) -> StructuredTool:  # type: ignore[override]  # no options needed
        """A LangChain tool that scores the steps of a solution."""
        from langchain_tts.rewards.tool import scoring_tool

        return scoring_tool(self)

    def invoke(
        self,
        input: list[ScoreRequest],  # noqa: A002 (the name is Runnable's)
        config: RunnableConfig | None = None,
        *,
        seconds: float | None = None,
        **_kwargs: Any,
    ) -> list[Scores]:
        """Score all requests in one batch.

        Args:
            input: The requests.
            config: LangChain's, for tracing.
            seconds: After which the call is given up and cancelled; None: never.

        Raises:
            TimeoutError: If it was given up.
        """
        return self._call_with_config(
            lambda requests: result(self.submit(requests), seconds),
            input,
            config,
            run_type="tool",
        )

    async def ainvoke(
        self,
        input: list[ScoreRequest],  # noqa: A002 (the name is Runnable's)
        config: RunnableConfig | None = None,
        *,
        seconds: float | None = None,
        **_kwargs: Any,
    ) -> list[Scores]:
        """Score all requests in one batch, without blocking the loop."""

        async def score(requests: list[ScoreRequest]) -> list[Scores]:
            return await aresult(self.submit(requests), seconds)

        return await self._acall_with_config(score, input, config, run_type="tool")
