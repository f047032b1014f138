"""A model's tokenizer with its chat template: text to token ids and back."""

from __future__ import annotations

import contextlib
import copy
import re
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig
from transformers.utils import logging

from langchain_tts.engines.errors import ModelLoadError, NoToolsError
from langchain_tts.engines.steps import StepRule
from langchain_tts.engines.templates import template_arguments

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
_PROBE = "1 + 2 = 3\n\n4 - 1 = 3"
"""Every tokenizer that can be used here writes this without loss."""
_CALL_TAGS = ("<tool_call>", "</tool_call>")
"""They mark tool calls also where a tokenizer calls them special tokens."""
_ROOMY = 2
"""An embedding with so many times the tokenizer's tokens was made for another one."""


class ModelTokenizer:
    """Reads and writes the tokens of one model, from any thread.

    Args:
        source: Where the tokenizer comes from, for errors.
        tokenizer: A fast tokenizer.
        eos_ids: Tokens that end an answer.
        vocabulary: Token ids that the model has an embedding for.
        model_type: What transformers calls the model's base.
        architectures: What the model's configuration calls the whole.
    """

    def __init__(
        self,
        source: str,
        tokenizer: PreTrainedTokenizerBase,
        eos_ids: frozenset[int],
        *,
        vocabulary: int,
        model_type: str,
        architectures: tuple[str, ...],
    ) -> None:
        """Look through the vocabulary once."""
        self.source = source
        self.tokenizer = tokenizer
        self.eos_ids = eos_ids
        self.vocabulary = vocabulary
        self.model_type = model_type
        self.architectures = architectures
        self.rule = StepRule(tokenizer)
        # Asked for anew, a large vocabulary is copied: a tenth of a second.
        self._ids_of_tokens: dict[str, int] = tokenizer.get_vocab()
        self._chats: OrderedDict[str, list[int]] = OrderedDict()
        # A fast tokenizer is one object in Rust that must not be borrowed twice.
        self._lock = threading.Lock()
        self._encode = lru_cache(maxsize=_CACHED_TEXTS)(self._encode_once)
        self._special = _special_texts(tokenizer)
        tags = {self._ids_of_tokens.get(tag) for tag in _CALL_TAGS}
        self._unspoken = frozenset(tokenizer.all_special_ids) - tags

    def check(self) -> None:
        """Make sure that this is the tokenizer of the model it lies beside.

        Raises:
            ModelLoadError: If it has other tokens than the model, or loses characters.
        """
        own, rows = int(self.tokenizer.vocab_size), self.vocabulary
        if own > rows or _ROOMY * len(self.tokenizer) < rows:
            msg = (
                f"the tokenizer in {self.source} is not the model's: it has {own} "
                f"tokens, the model has embeddings for {rows}; copy the tokenizer's "
                "files from where the model comes from"
            )
            raise ModelLoadError(msg)
        with self._lock:
            read = self.tokenizer.decode(
                self.tokenizer.encode(_PROBE, add_special_tokens=False),
                clean_up_tokenization_spaces=False,
            )
        if read != _PROBE:
            msg = (
                f"the tokenizer in {self.source} loses characters: {_PROBE!r} comes "
                f"back as {read!r}; its files may be of another kind than config.json "
                "and tokenizer_config.json say"
            )
            raise ModelLoadError(msg)

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the assistant's answer begins.

        Raises:
            ModelLoadError: If the model has no chat template.
        """
        chat, tools = template_arguments(messages)
        key = repr((chat, tools))
        with self._lock:
            if key in self._chats:
                self._chats.move_to_end(key)
                return self._chats[key]
            self._require_chat_template(tools)
            ids: list[int] = self.tokenizer.apply_chat_template(
                chat,
                tools=tools,
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

    def chat_text(self, messages: Sequence[Message]) -> str:
        """A chat as the model's template writes it, up to where its answer begins.

        Raises:
            ModelLoadError: If the model has no chat template.
        """
        chat, tools = template_arguments(messages)
        with self._lock:
            self._require_chat_template(tools)
            text: str = self.tokenizer.apply_chat_template(
                chat, tools=tools, add_generation_prompt=True, tokenize=False
            )
            return text

    def spelled_out(self, text: str) -> str:
        """A text whose special tokens are letters: each gets a space after its first.

        What users and policies write must not end a turn or mark a step.
        """
        return self._special.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)

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
        number = self._ids_of_tokens.get(token)
        if number is None:
            msg = f"the tokenizer in {self.source} has no token {token!r}"
            raise ModelLoadError(msg)
        return self._embedded(token, int(number))

    def single_id(self, text: str) -> int:
        """The id of the one token that a text becomes where it follows another text.

        Raises:
            ModelLoadError: If it becomes several, or none that the model knows.
        """
        ids = self.continuation_ids("0", text)
        if len(ids) != 1 or ids[0] == self.tokenizer.unk_token_id:
            pieces = self.tokenizer.convert_ids_to_tokens(ids)
            msg = (
                f"{text!r} is not one token of the tokenizer in {self.source}, but "
                f"{len(ids)}: {pieces}"
            )
            raise ModelLoadError(msg)
        return self._embedded(text, ids[0])

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, for models that have one."""
        token: int | None = self.tokenizer.bos_token_id
        return token

    @property
    def beginning_ids(self) -> list[int]:
        """What this tokenizer puts before every text: often a token, often nothing."""
        with self._lock:
            ids = self.tokenizer.encode("")
        return [token for token in ids if token not in self.eos_ids]

    def _require_chat_template(self, tools: list[dict[str, Any]] | None) -> None:
        template = self.tokenizer.chat_template
        if template is None:
            msg = (
                f"model {self.source} has no chat template; use a chat model, or "
                "add a chat_template to its tokenizer"
            )
            raise ModelLoadError(msg)
        # A model may have several templates, one of them for tools.
        if tools and "tools" not in str(template):
            msg = (
                f"model {self.source} cannot call tools: its chat template does not "
                "show them; use a model that was trained for it"
            )
            raise NoToolsError(msg)

    def _embedded(self, token: str, number: int) -> int:
        if number >= self.vocabulary:
            msg = (
                f"token {token!r} has id {number} in the tokenizer in {self.source}, "
                f"but the model has embeddings for {self.vocabulary} tokens only"
            )
            raise ModelLoadError(msg)
        return number

    def _encode_once(self, text: str) -> tuple[int, ...]:
        with self._lock:
            return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def text(self, ids: Sequence[int]) -> str:
        """What token ids spell, special tokens included."""
        with self._lock:
            spelled: str = self.tokenizer.decode(
                list(ids), clean_up_tokenization_spaces=False
            )
            return spelled

    def copied(self) -> PreTrainedTokenizerBase:
        """A tokenizer of the same model that shares nothing with this one."""
        with self._lock:
            return copy.deepcopy(self.tokenizer)

    def step_texts(self, steps: list[list[int]]) -> list[str]:
        """Texts of steps, without delimiters and special tokens."""
        with self._lock:
            return self.rule.texts(steps)

    def turn_texts(self, turns: list[list[int]]) -> list[str]:
        """Texts of whole turns, without special tokens but those that mark calls."""
        kept = [
            [token for token in ids if token not in self._unspoken] for ids in turns
        ]
        with self._lock:
            texts = self.tokenizer.batch_decode(
                kept, clean_up_tokenization_spaces=False
            )
        return [text.strip("\n") for text in texts]


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
            # Neither may run code from the folder, nor ask whether it may.
            safely: dict[str, Any] = {
                "local_files_only": True,
                "trust_remote_code": False,
            }
            tokenizer = AutoTokenizer.from_pretrained(source, **safely)
            config = AutoConfig.from_pretrained(source, **safely)
            generation = None
            with contextlib.suppress(OSError):
                generation = GenerationConfig.from_pretrained(
                    source, local_files_only=True
                )
        eos_ids = _eos_ids(config, generation, tokenizer)
        tokens = ModelTokenizer(
            source,
            tokenizer,
            eos_ids,
            vocabulary=int(config.get_text_config().vocab_size),
            model_type=str(config.model_type),
            architectures=tuple(config.architectures or ()),
        )
        return tokens, _context_window(config)
    except Exception as error:  # noqa: BLE001 (damaged files raise anything)
        raise ModelLoadError(explain(source, error)) from None


def _special_texts(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Finds what the tokenizer reads as one token wherever it stands."""
    texts = [text for text in tokenizer.get_added_vocab() if len(text.strip()) > 1]
    longest_first = sorted(texts, key=len, reverse=True)
    # An empty choice would match everywhere.
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


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
