"""Math-Shepherd's format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.formats.base import StepFormat, question_text
from langchain_tts.rewards.reader import LabelHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import Message

_HEADER = re.compile(r"#*\s*(?=Step \d+\s*:)")


@dataclass(frozen=True)
class MathShepherdFormat(StepFormat):
    """`{question} Step 1: {step 1} KI`, and for each further step a new line.

    KI is the pair of Cyrillic letters of `tag`, one token after a space. It predicts
    one of the tokens ` +` and ` -`.

    Steps were single lines that began with `Step k:` when the model was trained. So
    line breaks in a step are made spaces and the header is added where it is missing;
    one that the policy wrote stays (without the `##` of Llama 3's style). Where a text
    holds the tag, a space is put between its letters.

    Source: Wang et al. 2024 (arXiv 2312.08935) and the model card of
    `peiyi9979/math-shepherd-mistral-7b-prm`, whose tag is token 12902 and whose labels
    are 648 and 387. Hugging Face's search-and-learn writes steps without headers,
    separated by empty lines, after a system prompt; that is not what the model was
    trained on.

    Args:
        tag: The text after a step, without the space before it.
        good: The label of a right step, without the space before it.
        bad: The label of a wrong step.
    """

    model_types: ClassVar[tuple[str, ...]] = ("mistral",)
    tag: str = "\u043a\u0438"
    good: str = "+"
    bad: str = "-"

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The question as it is, without chat roles."""
        beginning = tokens.beginning_ids
        if not beginning:
            msg = (
                f"the tokenizer in {tokens.source} puts no token before a text, as "
                "Math-Shepherd's does: it is of another model"
            )
            raise ModelLoadError(msg)
        text = self._without_tag(question_text(tokens, messages))
        return [*beginning, *tokens.encode(text)]

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,  # noqa: ARG002 (this format rewrites the text)
        number: int,
        *,
        leads: bool,
    ) -> list[int]:
        """The step with its number and tag."""
        text = self._without_tag(tokens.spelled_out(" ".join(text.split())))
        header = _HEADER.match(text)
        text = text[header.end() :] if header else f"Step {number}: {text}"
        separator = " " if leads else "\n"
        return [
            *tokens.continuation_ids(f" {self.tag}", separator + text),
            tokens.single_id(f" {self.tag}"),
        ]

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        """The two label tokens, as they are written after a space."""
        return LabelHead(
            tokens.single_id(f" {self.good}"), tokens.single_id(f" {self.bad}")
        )

    def _without_tag(self, text: str) -> str:
        return text.replace(self.tag, " ".join(self.tag))
