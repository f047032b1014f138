"""The format of Qwen2.5-Math-PRM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from langchain_tts.rewards.formats.base import StepFormat, question_text
from langchain_tts.rewards.reader import ClassHead
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer

_SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
_MARKER = "<extra_0>"


@dataclass(frozen=True)
class QwenMathFormat(StepFormat):
    """A chat whose assistant writes the steps, with `<extra_0>` after each of them.

    The system message is always the one that the model was trained with, whatever the
    policy's is.

    Source: Zhang et al. 2025 (arXiv 2501.07301) and the model cards of
    `Qwen/Qwen2.5-Math-PRM-7B` and `-72B`, whose marker is token 151651. The code there
    picks the probabilities that are not 0, which shifts all later steps when one
    underflows; here a score is read at the position of its marker.
    """

    model_types: ClassVar[tuple[str, ...]] = ("qwen2",)

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The chat up to the assistant's turn."""
        question = question_text(tokens, messages)
        return tokens.chat_ids(
            [
                Message(role="system", content=_SYSTEM),
                Message(role="user", content=question),
            ]
        )

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,  # noqa: ARG002 (the marker takes the delimiter's place)
        number: int,  # noqa: ARG002 (these steps are not numbered)
        *,
        leads: bool,  # noqa: ARG002 (all steps are written alike)
    ) -> list[int]:
        """The step and the marker."""
        written = tokens.encode(tokens.spelled_out(text.strip()))
        return [*written, tokens.token_id(_MARKER)]

    def head(self, tokens: ModelTokenizer) -> ClassHead:
        """Two classes."""
        tokens.token_id(_MARKER)
        return ClassHead()
