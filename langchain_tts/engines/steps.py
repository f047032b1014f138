"""Where a step ends, in token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.policies.base import STEP_DELIMITER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase


class StepRule:
    """Tells from token ids whether a step has ended.

    Most tokens cannot complete the delimiter, which is known from the vocabulary; only
    after the others is text decoded, and only the few tokens that can hold the
    delimiter. A step has text: blank tokens before it belong to it, blank tokens
    after the last step belong to that step.

    Args:
        tokenizer: The policy's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Look through the vocabulary once."""
        self._tokenizer = tokenizer
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        special = set(tokenizer.all_special_ids)
        size = len(STEP_DELIMITER)
        endings = tuple(STEP_DELIMITER[start:] for start in range(1, size))
        self._whole: set[int] = set()
        self.may_end: set[int] = set()
        # Tokens whose text contains or completes the delimiter.
        self._blank = special.copy()
        for token, text in enumerate(texts):
            if token in special:
                continue
            if STEP_DELIMITER in text:
                self._whole.add(token)
            if STEP_DELIMITER in text or text.startswith(endings):
                self.may_end.add(token)
            if not text.strip():
                self._blank.add(token)

    def ends_step(self, ids: Sequence[int]) -> bool:
        """Whether the last of a step's token ids completes the step."""
        if not ids or ids[-1] not in self.may_end or self._is_blank(ids):
            return False
        if ids[-1] in self._whole:
            return True
        tail = ids[-len(STEP_DELIMITER) :]
        return STEP_DELIMITER in self._tokenizer.decode(list(tail))

    def split(self, ids: list[int]) -> list[list[int]]:
        """Cut a whole answer's ids into steps, each with its delimiter."""
        steps: list[list[int]] = []
        start = 0
        for stop, token in enumerate(ids, start=1):
            if token in self.may_end and self.ends_step(ids[start:stop]):
                steps.append(ids[start:stop])
                start = stop
        rest = ids[start:]
        if rest and steps and self._is_blank(rest):
            steps[-1].extend(rest)
        elif rest:
            steps.append(rest)
        return steps

    def texts(self, steps: list[list[int]]) -> list[str]:
        """Texts of steps, without delimiters and special tokens."""
        if not steps:
            return []
        texts = self._tokenizer.batch_decode(steps, skip_special_tokens=True)
        return [text.strip("\n") for text in texts]

    def _is_blank(self, ids: Sequence[int]) -> bool:
        return all(token in self._blank for token in ids)
