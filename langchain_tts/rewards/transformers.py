"""PRMs that run in this process with transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.engines.extend import Extension
from langchain_tts.engines.loading import load
from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.rewards.reader import ClassHead, Head, LabelHead, Read, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from torch import Tensor

    from langchain_tts.engines.heads import OutputLayer
    from langchain_tts.engines.tokens import ModelTokenizer


class TransformersReader:
    """Reads with a model in this process; only new tokens are computed.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        head: How a hidden state becomes a score, given the model's tokenizer.

    Raises:
        ModelLoadError: If the files are missing or damaged, or if the checkpoint does
            not hold the head.
    """

    def __init__(
        self, source: str | Path, head: Callable[[ModelTokenizer], Head]
    ) -> None:
        """Load the model, or share the one that this process has loaded."""
        self._head = head(load_tokenizer(source)[0])
        model = load(source, _layer(self._head))
        self.tokens = model.tokens
        self.num_parameters = model.num_parameters
        self.context_window = model.context_window
        self._engine = model.engine

    def read(self, readings: Sequence[Reading]) -> Future[list[Read]]:
        """Start scoring."""
        head = self._head
        columns = [head.good, head.bad] if isinstance(head, LabelHead) else None
        inputs = [Extension(r.ids, r.ends, columns=columns) for r in readings]
        return self._engine.extend(
            inputs,
            lambda done: [
                Read(_scores(head, one.result), one.computed, one.cached)
                for one in done
            ],
        )


def _layer(head: Head) -> OutputLayer:
    """What the model must compute for a head."""
    if isinstance(head, LabelHead):
        return "vocabulary"
    return "classes" if isinstance(head, ClassHead) else "value"


def _scores(head: Head, outputs: Tensor) -> list[float]:
    """A probability for each of (positions, outputs) logits."""
    if isinstance(head, LabelHead):
        scores = outputs.softmax(dim=-1)[:, 0]
    elif isinstance(head, ClassHead):
        scores = outputs.softmax(dim=-1)[:, 1]
    else:
        scores = outputs[:, 0].sigmoid()
    return [float(score) for score in scores.tolist()]
