"""The verifier protocol: a process reward model (PRM) scores prefixes of a solution."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from langchain_tts.engines.batched import Batched

if TYPE_CHECKING:
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


class RewardModel(Batched[ScoreRequest, Scores]):
    """A verifier, traced as a `tool` run."""

    run_type = "tool"

    name: str | None
    num_parameters: int
    """For FLOPs: 2 x parameters x tokens."""
    scores_steps: bool = True
    """False: it judges finished answers only, and cannot steer a search by its steps.
    Then all steps of an answer get the answer's score."""
    scores_turns: bool = False
    """Whether it can judge turns with tool calls, and reads the tools, the calls and
    their results in `messages`."""

    def as_tool(self) -> StructuredTool:  # type: ignore[override]  # no options needed
        """A LangChain tool that scores the steps of a solution."""
        from langchain_tts.rewards.tool import scoring_tool

        return scoring_tool(self)
