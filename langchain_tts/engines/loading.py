"""Load a model and its tokenizer from local files, once a process."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.steps import StepRule
from langchain_tts.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from langchain_tts.search.state import Message

_LOCAL_ATTENTION = {
    "sliding_attention": "sliding_window",
    "chunked_attention": "attention_chunk_size",
}
"""Layer types that do not see the whole context, and the setting of their reach."""
_CACHED_CHATS = 4096
_CACHED_TEXTS = 65_536


class LoadedModel:
    """A model with its tokenizer and its engine.

    Args:
        source: A folder or a model name, see `load`.

    Raises:
        ModelLoadError: See `load`.
    """

    def __init__(self, source: str) -> None:
        """Read the files and start the engine."""
        self.source = source
        try:
            with _quiet():
                self.tokenizer = AutoTokenizer.from_pretrained(
                    source, local_files_only=True
                )
                model = _load_weights(source)
            self.rule = StepRule(self.tokenizer)
            self.eos_ids = _eos_ids(model, self.tokenizer)
            self.engine = TransformersEngine(model, self.rule, self.eos_ids)
        except Exception as error:  # noqa: BLE001 (damaged files raise anything)
            raise ModelLoadError(_explain(source, error)) from None
        self.num_parameters = int(model.num_parameters())
        self.context_window = _context_window(model)
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


_loaded: dict[str, LoadedModel] = {}
_loading = threading.Lock()


def load(source: str | Path) -> LoadedModel:
    """Load a model, or return the one that this process has already loaded.

    Args:
        source: A folder in Hugging Face format, or the name of a model that is in the
            local Hugging Face cache. Nothing is downloaded.

    Raises:
        ModelLoadError: If the files are missing or damaged, or if the model cannot be
            served.
    """
    folder = Path(source).expanduser()
    key = str(folder.resolve()) if folder.exists() else str(source)
    with _loading:
        if key not in _loaded:
            _loaded[key] = LoadedModel(key)
        return _loaded[key]


def _load_weights(source: str) -> PreTrainedModel:
    on_gpu = torch.cuda.is_available()
    model, report = AutoModelForCausalLM.from_pretrained(
        source,
        local_files_only=True,
        dtype="auto" if on_gpu else torch.float32,
        output_loading_info=True,
    )
    # transformers fills what a checkpoint lacks with random numbers.
    lacking = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
    if lacking:
        msg = f"the weights lack {len(lacking)} tensors, for example {lacking[0]}"
        raise ModelLoadError(msg)
    return cast("PreTrainedModel", model.to("cuda" if on_gpu else "cpu").eval())


def _eos_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
    """All tokens that end an answer, wherever the checkpoint names them."""
    ids: set[int | None] = set()
    for entry in (
        getattr(model.generation_config, "eos_token_id", None),
        model.config.eos_token_id,
        tokenizer.eos_token_id,
    ):
        ids.update(entry if isinstance(entry, list) else [entry])
    return frozenset(token for token in ids if token is not None)


def _context_window(model: PreTrainedModel) -> int:
    """Tokens that fit, kept below where a sliding attention window would begin to act.

    The engine's mask is causal only, which is exact while the window covers all.
    """
    config = model.config
    limits = [int(config.max_position_embeddings)]
    acting = getattr(config, "layer_types", None) or _LOCAL_ATTENTION
    for layer_type, setting in _LOCAL_ATTENTION.items():
        size = getattr(config, setting, None)
        if size and layer_type in acting:
            limits.append(int(size))
    return min(limits)


def _explain(source: str, error: Exception) -> str:
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
def _quiet() -> Iterator[None]:
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
