"""The embedded models' tokenizer: byte-level BPE in which every digit is one token.

Any input is representable: the alphabet holds all 256 bytes.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from langchain_tts.tinymath.generator import problems

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY_SIZE = 512
WINDOW = 1024
"""Positions that the embedded models have."""

PAD, END = "<|pad|>", "<|end|>"
STEP_TAG = "<|step|>"
ROLES = {role: f"<|{role}|>" for role in ("system", "user", "assistant", "tool")}
SPECIAL_TOKENS = (PAD, END, *ROLES.values(), STEP_TAG)

CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|' + m['role'] + '|>' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

_PIECES = Regex(
    r"\n\n|Answer: \\boxed\{|\\boxed\{|[0-9]|[-+*/=(){}]| ?[A-Za-z]+| |[^A-Za-z0-9 ]"
)


def train_tokenizer(samples: int = 20_000) -> PreTrainedTokenizerFast:
    """Train the tokenizer on generated problems (seconds)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    texts = (
        text
        for problem in islice(problems("train"), samples)
        for text in (problem.question, problem.solution)
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[*ROLES.values(), STEP_TAG],
        model_max_length=WINDOW,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Train the tokenizer and write it in Hugging Face format."""
    tokenizer = train_tokenizer()
    tokenizer.save_pretrained(folder)
    return tokenizer
