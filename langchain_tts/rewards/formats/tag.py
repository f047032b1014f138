"""The format of the embedded tag PRMs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.rewards.formats.base import StepFormat
from langchain_tts.rewards.reader import LabelHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import Message


@dataclass(frozen=True)
class TagFormat(StepFormat):
    """Chat prompt, then each step as the policy wrote it, followed by a tag token.

    That includes the step's delimiter, and the end-of-answer token of the last step. A
    step that is known as text alone is written with a delimiter. The conversation is
    written as the policy sees it. Tags that a policy writes itself are left out.

    Args:
        tag: The token after a step.
        good: The token that is predicted after a right step.
        bad: The token that is predicted after a wrong step.
    """

    keeps_ids: ClassVar[bool] = True
    tag: str = "<|step|>"
    good: str = "+"
    bad: str = "-"

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The rendered chat prompt."""
        return tokens.chat_ids(messages)

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,
        number: int,  # noqa: ARG002 (these steps are not numbered)
        *,
        leads: bool,  # noqa: ARG002 (all steps are written alike)
    ) -> list[int]:
        """The step and the tag."""
        tag = tokens.token_id(self.tag)
        if ids is None:
            ids = tokens.encode(tokens.spelled_out(text) + STEP_DELIMITER)
        return [*(token for token in ids if token != tag), tag]

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        """The two label tokens."""
        return LabelHead(tokens.token_id(self.good), tokens.token_id(self.bad))
