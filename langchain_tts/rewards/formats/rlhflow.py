"""The format of RLHFlow's PRMs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.formats.base import ANYTHING, StepFormat, question_text
from langchain_tts.rewards.reader import LabelHead
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer

_GOOD, _BAD = "+", "-"
_USER, _ASSISTANT, _LATER = "first-user-turn", "assistant-turn", "second-user-turn"
"""Stand in a chat for what is written there, to find what the template writes around
it."""


class _Turns(NamedTuple):
    """What a chat template writes around turns of users and assistants."""

    opening: list[int]
    """Before the first user's text."""
    ask: list[int]
    """From the end of a user's text to where the assistant's begins."""
    go_on: list[int]
    """From the end of an assistant's text to where the user's begins."""


@dataclass(frozen=True)
class RLHFlowFormat(StepFormat):
    """A chat: the user writes a step in each turn, the assistant answers `+` each time.

    The question and the first step share one turn. The score is read where the
    assistant's answer begins: the label is what is predicted there. So a step's piece
    ends with the assistant's header, and the next one begins with the `+` and the end
    of that turn.

    The turns are written with the checkpoint's own chat template, as RLHFlow's
    evaluation does. That of Llama 3.1 begins with a system turn of two dates
    (`Cutting Knowledge Date: December 2023`, `Today Date: 26 Jul 2024`) although there
    is no system message. The training (axolotl, `conversation: llama3`) had none; the
    published results come from the template.

    Source: RLHFlow/RLHF-Reward-Modeling (`math-rm/prm_evaluate.py`), of
    `RLHFlow/Llama3.1-8B-PRM-Mistral-Data` and `-Deepseek-Data`.
    """

    model_types: ClassVar[tuple[str, ...]] = ("llama",)

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The beginning of the first user's turn, which is left open."""
        question = question_text(tokens, messages)
        return [*_turns(tokens).opening, *tokens.encode(question)]

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,  # noqa: ARG002 (a turn's end takes the delimiter's place)
        number: int,  # noqa: ARG002 (these steps are not numbered)
        *,
        leads: bool,
    ) -> list[int]:
        """The step, up to where the assistant judges it."""
        turns = _turns(tokens)
        text = tokens.spelled_out(text.strip())
        if leads:
            return [*tokens.continuation_ids(ANYTHING, f" {text}"), *turns.ask]
        answered = [self.head(tokens).good, *turns.go_on]
        return [*answered, *tokens.encode(text), *turns.ask]

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        """The two answers, as they are written at the beginning of a turn."""
        return LabelHead(tokens.single_id(_GOOD), tokens.single_id(_BAD))


@lru_cache(maxsize=16)
def _turns(tokens: ModelTokenizer) -> _Turns:
    """Take a model's chat template apart.

    Raises:
        ModelLoadError: If it does not write users' and assistants' turns alike wherever
            they stand.
    """
    text = tokens.chat_text(
        [
            Message(role="user", content=_USER),
            Message(role="assistant", content=_ASSISTANT),
            Message(role="user", content=_LATER),
        ]
    )
    opening, first, rest = text.partition(_USER)
    ask, second, rest = rest.partition(_ASSISTANT)
    go_on, third, last = rest.partition(_LATER)
    if not (first and second and third and ask == last):
        msg = (
            f"the chat template of {tokens.source} is not one of alternating user and "
            f"assistant turns, as format 'rlhflow' needs: it writes {text!r}"
        )
        raise ModelLoadError(msg)
    return _Turns(*(tokens.encode(part) for part in (opening, ask, go_on)))
