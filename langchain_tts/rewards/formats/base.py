"""What a format of a PRM's input is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.rewards.reader import Head
    from langchain_tts.search.state import Message

ANYTHING = "0"
"""Some tokenizers write the beginning of a text differently from its middle: pieces are
encoded as what follows this."""


class StepFormat(ABC):
    """Pieces of a PRM's input.

    The question's piece and those of the steps are put one after the other. A score is
    read at the last token of each step's piece, and must not depend on what follows.
    """

    keeps_ids: ClassVar[bool] = False
    """Whether a step is read in the policy's own token ids where they spell its text.
    Otherwise it is always written in the verifier's."""

    model_types: ClassVar[tuple[str, ...]] = ()
    """What transformers calls the models that were trained with it; empty: any. Others
    are refused: many a tokenizer has the markers of many a format."""

    @abstractmethod
    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """Token ids before the first step.

        Raises:
            ModelLoadError: If the tokenizer lacks what the format needs.
        """

    @abstractmethod
    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,
        number: int,
        *,
        leads: bool,
    ) -> list[int]:
        """Token ids of one step.

        Args:
            tokens: The verifier's tokenizer.
            text: The step without its delimiter; never blank.
            ids: The step as the policy wrote it, if the format keeps ids and the
                verifier reads them alike.
            number: Of the step in the trajectory, counted from 1.
            leads: Whether it comes right after the question: it is the first step, or
                those before it did not fit the model's window.

        Raises:
            ModelLoadError: If the tokenizer lacks what the format needs.
        """

    @abstractmethod
    def head(self, tokens: ModelTokenizer) -> Head:
        """How the hidden state at a step's last token becomes its score.

        Raises:
            ModelLoadError: If the tokenizer lacks what the format needs.
        """


def question_text(tokens: ModelTokenizer, messages: Sequence[Message]) -> str:
    """A conversation as the single question that verifiers are trained on.

    System messages tell the policy how to write and are left out. Earlier turns stand
    before the question, without roles: it may not be understood without them.
    """
    turns = [m["content"] for m in messages if m["role"] != "system"]
    return tokens.spelled_out("\n\n".join(turns)).strip()
