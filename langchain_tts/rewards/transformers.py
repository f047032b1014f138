"""PRMs that run in this process with transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.engines.extend import Extension
from langchain_tts.engines.loading import load
from langchain_tts.rewards.reader import Head, LabelHead, Read, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from langchain_tts.engines.tokens import ModelTokenizer


class TransformersReader:
    """Reads with a model in this process; only new tokens are computed.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        head: How a hidden state becomes a score, given the model's tokenizer.

    Raises:
        ModelLoadError: If the files are missing or damaged.
    """

    def __init__(
        self, source: str | Path, head: Callable[[ModelTokenizer], Head]
    ) -> None:
        """Load the model, or share the one that this process has loaded."""
        model = load(source)
        self.tokens = model.tokens
        self.num_parameters = model.num_parameters
        self.context_window = model.context_window
        self._engine = model.engine
        labels = head(model.tokens)
        if not isinstance(labels, LabelHead):
            raise NotImplementedError
        self._labels = [labels.good, labels.bad]

    def read(self, readings: Sequence[Reading]) -> Future[list[Read]]:
        """Start scoring."""
        inputs = [Extension(r.ids, r.ends, columns=self._labels) for r in readings]
        return self._engine.extend(inputs, lambda done: [_read(one) for one in done])


def _read(done: Extension) -> Read:
    """P(good) at each position."""
    scores = done.result.softmax(dim=-1)[:, 0].tolist()
    return Read(scores, done.computed, done.cached)
