"""Random checkpoints, small enough to be made by the test that needs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from langchain_tts.policies.base import GenerationRequest
from langchain_tts.search.state import Message

SPECIAL = ["<pad>", "<end>", "<user>", "<assistant>", "<tag>"]
NEWLINE, SPACE = "\u010a", "\u0120"  # as byte-level vocabularies write them
LETTERS = [*"abcdefgh0123456789+-=", SPACE, NEWLINE]
TEMPLATE = (
    "{% for m in messages %}{{ '<user>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
KINDS: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}


def save_tokenizer(folder: Path, *, merged: bool, letters: list[str]) -> int:
    """Write a byte-level tokenizer; `merged`: the delimiter is one token."""
    tokens = [*SPECIAL, *letters] + [2 * NEWLINE] * merged
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [(NEWLINE, NEWLINE)] * merged
    inner = Tokenizer(models.BPE(vocabulary, merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        extra_special_tokens=["<user>", "<assistant>", "<tag>"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return len(tokens)


def save_model(
    folder: Path,
    kind: str = "llama",
    *,
    seed: int = 0,
    merged: bool = True,
    window: int = 256,
    letters: list[str] | None = None,
    prm: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Write a random checkpoint of an architecture, with grouped key heads."""
    size = save_tokenizer(folder, merged=merged, letters=letters or LETTERS)
    config_class, model_class = KINDS[kind]
    config = config_class(
        **{
            "vocab_size": size,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": window,
            "tie_word_embeddings": True,
            "initializer_range": 0.4,
            "bos_token_id": None,
            "eos_token_id": 1,
            "pad_token_id": 0,
            **settings,
        }
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model_class(config).save_pretrained(folder)
    torch.random.set_rng_state(state)
    if prm is not None:
        (folder / "prm_config.json").write_text(json.dumps(prm))
    return folder


def question(text: str = "12+34=") -> list[Message]:
    return [Message(role="user", content=text)]


def request(text: str = "12+34=", **changes: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "messages": question(text),
        "prefix": [],
        "n": 1,
        "seeds": [0],
        "by_step": False,
        "max_tokens": 40,
        "temperature": 1.0,
        "deadline": None,
        **changes,
    }
    if "seeds" in changes:
        values["n"] = len(changes["seeds"])
    return cast("GenerationRequest", values)
