"""The format of Skywork-o1-Open-PRM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.formats.base import StepFormat, question_text
from langchain_tts.rewards.reader import ValueHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import Message

_LINE_BREAKS = re.compile(r"\s*\n\s*")


@dataclass(frozen=True)
class SkyworkFormat(StepFormat):
    """Beginning token, question and a line break; then steps, each ended by one.

    A line break is what marks a step, so those inside of a step are made spaces. The
    tokens of a step are those of its text alone, as in the published code.

    Source: SkyworkAI/skywork-o1-prm-inference (`prepare_input`), of
    `Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B` and `-7B`. That code also scores the
    empty step behind a last line break; here blank steps are never scored.
    """

    model_types: ClassVar[tuple[str, ...]] = ("qwen2",)

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The question as it is, without chat roles."""
        if tokens.bos_id is None:
            msg = (
                f"the tokenizer in {tokens.source} has no beginning token, as "
                "Skywork's has: it is of another model"
            )
            raise ModelLoadError(msg)
        text = question_text(tokens, messages)
        return [tokens.bos_id, *tokens.encode(f"{text}\n")]

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,  # noqa: ARG002 (this format rewrites the text)
        number: int,  # noqa: ARG002 (these steps are not numbered)
        *,
        leads: bool,  # noqa: ARG002 (all steps are written alike)
    ) -> list[int]:
        """The step and a line break."""
        line = tokens.spelled_out(_LINE_BREAKS.sub(" ", text.strip()))
        return [*tokens.encode(line), tokens.single_id("\n")]

    def head(self, tokens: ModelTokenizer) -> ValueHead:
        """One number."""
        tokens.single_id("\n")
        return ValueHead()
