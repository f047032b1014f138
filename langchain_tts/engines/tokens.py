"""A model's tokenizer with its chat template: text to token ids and back."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig
from transformers.utils import logging

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.steps import StepRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from langchain_tts.search.state import Message

_LOCAL_ATTENTION = {
    "sliding_attention": "sliding_window",
    "chunked_attention": "attention_chunk_size",
}
"""Layer types that do not see the whole context, and the setting of their reach."""
_CACHED_CHATS = 4096
_CACHED_TEXTS = 65_536


class ModelTokenizer:
    """Reads and writes the tokens of one model, from any thread.

    Args:
        source: Where the tokenizer comes from, for errors.
        tokenizer: A fast tokenizer.
        eos_ids: Tokens that end an answer.
    """

    def __init__(
        self,
        source: str,
        tokenizer: PreTrainedTokenizerBase,
        eos_ids: frozenset[int],
    ) -> None:
        """Look through the vocabulary once."""
        self.source = source
        self.tokenizer = tokenizer
        self.eos_ids = eos_ids
        self.rule = StepRule(tokenizer)
        self._chats: OrderedDict[tuple[tuple[str, str], ...], list[int]] = OrderedDict()
        # A fast tokenizer is one object in Rust that must not be borrowed twice.
        self._lock = threading.Lock()
        self._encode = lru_cache(maxsize=_CACHED_TEXTS)(self._encode_once)

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the assistant's answer begins.

        Raises:
            ModelLoadError: If the model has no chat template.
        """
        key = tuple((message["role"], message["content"]) for message in messages)
        with self._lock:
            if key in self._chats:
                self._chats.move_to_end(key)
                return self._chats[key]
            if self.tokenizer.chat_template is None:
                msg = (
                    f"model {self.source} has no chat template; use a chat model, or "
                    "add a chat_template to its tokenizer"
                )
                raise ModelLoadError(msg)
            ids: list[int] = self.tokenizer.apply_chat_template(
                list(messages),
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                # Whether it fits is ours to say, in an error.
                tokenizer_kwargs={"verbose": False},
            )
            self._chats[key] = ids
            if len(self._chats) > _CACHED_CHATS:
                self._chats.popitem(last=False)
            return ids

    def encode(self, text: str) -> list[int]:
        """Token ids of a text alone, without special tokens around it."""
        return list(self._encode(text))

    def continuation_ids(self, before: str, text: str) -> list[int]:
        """Token ids of a text that follows another one.

        Some tokenizers write a text's beginning differently from its middle, so the
        text is encoded with what stands before it.
        """
        both, first = self._encode(before + text), self._encode(before)
        if both[: len(first)] == first:
            return list(both[len(first) :])
        return self.encode(text)

    def token_id(self, token: str) -> int:
        """The id of a token of the vocabulary.

        Raises:
            ModelLoadError: If there is no such token.
        """
        number = self.tokenizer.get_vocab().get(token)
        if number is None:
            msg = f"the tokenizer in {self.source} has no token {token!r}"
            raise ModelLoadError(msg)
        return int(number)

    @property
    def beginning_ids(self) -> list[int]:
        """What this tokenizer puts before every text: often a token, often nothing."""
        with self._lock:
            ids = self.tokenizer.encode("")
        return [token for token in ids if token not in self.eos_ids]

    def _encode_once(self, text: str) -> tuple[int, ...]:
        with self._lock:
            return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def step_texts(self, steps: list[list[int]]) -> list[str]:
        """Texts of steps, without delimiters and special tokens."""
        with self._lock:
            return self.rule.texts(steps)


def load_tokenizer(source: str | Path) -> tuple[ModelTokenizer, int]:
    """Read a model's tokenizer without its weights.

    Args:
        source: A folder in Hugging Face format, or the name of a model that is in the
            local Hugging Face cache. Nothing is downloaded.

    Returns:
        The tokenizer, and how many tokens fit into the model's context window.

    Raises:
        ModelLoadError: If the files are missing or damaged.
    """
    source = str(Path(source).expanduser()) if Path(source).exists() else str(source)
    try:
        with quietly():
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
            config = AutoConfig.from_pretrained(source, local_files_only=True)
            generation = None
            with contextlib.suppress(OSError):
                generation = GenerationConfig.from_pretrained(
                    source, local_files_only=True
                )
        eos_ids = _eos_ids(config, generation, tokenizer)
        tokens = ModelTokenizer(source, tokenizer, eos_ids)
        return tokens, _context_window(config)
    except Exception as error:  # noqa: BLE001 (damaged files raise anything)
        raise ModelLoadError(explain(source, error)) from None


def _eos_ids(
    config: Any, generation_config: Any, tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
    """All tokens that end an answer, wherever the checkpoint names them."""
    ids: set[int | None] = set()
    for entry in (
        getattr(generation_config, "eos_token_id", None),
        config.eos_token_id,
        tokenizer.eos_token_id,
    ):
        ids.update(entry if isinstance(entry, list) else [entry])
    return frozenset(token for token in ids if token is not None)


def _context_window(config: Any) -> int:
    """Tokens that fit, kept below where a sliding attention window would begin to act.

    The engine's mask is causal only, which is exact while the window covers all.
    """
    limits = [int(config.max_position_embeddings)]
    acting = getattr(config, "layer_types", None) or _LOCAL_ATTENTION
    for layer_type, setting in _LOCAL_ATTENTION.items():
        size = getattr(config, setting, None)
        if size and layer_type in acting:
            limits.append(int(size))
    return min(limits)


def explain(source: str, error: Exception) -> str:
    """One line: what is wrong with the files and what to do."""
    if not Path(source).exists():
        return (
            f"no model at {source}: no such folder, and no model of that name in the "
            "local Hugging Face cache; give the path of a folder with config.json, "
            "tokenizer.json and model.safetensors"
        )
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"cannot load the model in {source}: {reason} "
        "(the files may be incomplete or damaged; copy or save the model again)"
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Load without transformers' progress bars and reports."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
