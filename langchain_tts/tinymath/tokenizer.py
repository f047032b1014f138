"""The embedded models' tokenizer: byte-level BPE in which every digit is one token.

Any input is representable: the alphabet holds all 256 bytes.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    trainers,
)
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

TOOL_TOKENS = (
    "<tools>",
    "</tools>",
    "<tool_call>",
    "</tool_call>",
    '\n{"name": "',
    "calculator",
    '", "arguments":',
    ' {"',
    "expression",
    '": "',
    '"}}\n',
)
"""What keeps a call short. Not special: decoding keeps them, and any other tool's name
and arguments are written in the old tokens."""

SOLVER_TOKENS = (
    "(declare-const ",
    " Int)\n(assert (= ",
    " Int)\n",
    "(assert (= ",
    " (+ ",
    " (- ",
    " (* ",
    "(* ",
    "))\n",
    ")))\n",
    "answer",
)
"""What keeps constraints short; not special either."""

TOOL_TEMPLATE = (
    "{% set system = messages and messages[0]['role'] == 'system' %}"
    "{% if tools %}"
    "{{ '<|system|><tools>' }}"
    "{% for tool in tools %}"
    "{% set f = tool['function'] or tool %}"
    "{{ '' if loop.first else '\n' }}"
    "{{ f['name'] + '(' "
    "+ ((f['parameters'] or {})['properties'] or {}) | list | join(', ') + ')' }}"
    "{% endfor %}"
    "{{ '</tools>' }}"
    "{% if system and messages[0]['content'] %}{{ '\n' }}{% endif %}"
    "{% endif %}"
    "{% for m in messages %}"
    "{% if not (tools and system and loop.first) %}"
    "{{ '<|' + m['role'] + '|>' }}"
    "{% endif %}"
    "{{ m['content'] or '' }}"
    "{% for call in m['tool_calls'] or [] %}"
    "{% set f = call['function'] or call %}"
    "{{ '\n' if m['content'] or not loop.first else '' }}"
    "{{ '<tool_call>\n{\"name\": ' + f['name'] | tojson + ', \"arguments\": ' }}"
    "{{ f['arguments'] if f['arguments'] is string else f['arguments'] | tojson }}"
    "{{ '}\n</tool_call>' }}"
    "{% endfor %}"
    "{% if m['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Today's template; tools as `<tools>name(parameter, ...)</tools>` in the system's
place, calls as Hermes models write them."""

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


def tool_tokenizer(base: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Add the tokens and the template of the tool models to a tokenizer."""
    base.add_tokens(
        [AddedToken(text, normalized=False, special=False) for text in TOOL_TOKENS]
    )
    base.chat_template = TOOL_TEMPLATE
    return base


def solver_tokenizer(base: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Add the tokens of the solver policy to a tokenizer; its template stays."""
    base.add_tokens(
        [AddedToken(text, normalized=False, special=False) for text in SOLVER_TOKENS]
    )
    return base


def save_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Train the tokenizer and write it in Hugging Face format."""
    tokenizer = train_tokenizer()
    tokenizer.save_pretrained(folder)
    return tokenizer
