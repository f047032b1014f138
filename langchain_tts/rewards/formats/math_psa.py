"""The format of OpenR's Math-psa."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from langchain_tts.rewards.formats.base import ANYTHING, StepFormat, question_text
from langchain_tts.rewards.reader import LabelHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import Message

_TAG = " \n\n\n\n\n"
_MANY_LINE_BREAKS = re.compile(r"(?:[^\S\n]*\n){5,}")


@dataclass(frozen=True)
class MathPsaFormat(StepFormat):
    r"""`{question} {step 1} \n\n\n\n\n {step 2} \n\n\n\n\n`: no chat, no headers.

    The tag, a space and five line breaks, is one token. It predicts one of the tokens
    ` +` and ` -`. So many line breaks in a text, of which a tag could be made, become
    one empty line.

    Source: OpenR (Wang et al. 2024, arXiv 2410.09671), `prm/code/test_qwen.py` and
    `prm/infer_fns.py`, of `openreasoner/Math-psa` (Qwen2.5-Math-7B): the tag is token
    76325, the labels are 488 and 481. The steps of the training data begin with
    `Step k:` in one of its three parts only, so none is added. OpenR's search joins
    steps with `\n\n\n\n\n ` (the space behind), of which its tokenizer makes the
    tag only where a step happens to end with a space.
    """

    model_types: ClassVar[tuple[str, ...]] = ("qwen2",)

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The question as it is, without chat roles."""
        return [
            *tokens.beginning_ids,
            *tokens.encode(_without_tag(question_text(tokens, messages))),
        ]

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,  # noqa: ARG002 (the tag takes the delimiter's place)
        number: int,  # noqa: ARG002 (these steps are not numbered)
        *,
        leads: bool,  # noqa: ARG002 (all steps are written alike)
    ) -> list[int]:
        """The step and the tag."""
        text = _without_tag(tokens.spelled_out(text.strip()))
        return [
            *tokens.continuation_ids(ANYTHING, f" {text}"),
            tokens.single_id(_TAG),
        ]

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        """The two label tokens, as they are written after a space."""
        return LabelHead(tokens.single_id(" +"), tokens.single_id(" -"))


def _without_tag(text: str) -> str:
    return _MANY_LINE_BREAKS.sub("\n\n", text)
