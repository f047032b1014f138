"""Families are known by the tokens of a model, whatever it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from langchain_tts.engines.tokens import ModelTokenizer, load_tokenizer
from langchain_tts.policies.families import FAMILIES, Family, find_family
from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.search.state import Message
from langchain_tts.tinymath import WEIGHTS
from tests.unit_tests.tiny_models import save_model

# The structure of the real templates, without their tools.
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'"
    " + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are Qwen.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '<｜User｜>' + m['content'] }}{% else %}{{ m['content'] }}{% endif %}"  # noqa: RUF001
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<｜Assistant｜><think>\n' }}{% endif %}"  # noqa: RUF001
)
LLAMA_3_TOKENS = [
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
QWEN_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>"]
R1_TOKENS = ["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>"]  # noqa: RUF001
QUESTION = [Message(role="user", content="1+1?")]


def tokenizer(
    special: list[str], template: str | None, model_type: str = "llama"
) -> ModelTokenizer:
    """A byte-level tokenizer with a model's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    inner.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=special[0],
        eos_token=special[-1],
        extra_special_tokens=special,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = template
    return ModelTokenizer(
        "models/gpt",
        fast,
        frozenset({fast.eos_token_id}),
        vocabulary=len(fast),
        model_type=model_type,
        architectures=(),
    )


@pytest.mark.parametrize(
    ("special", "template", "model_type", "name"),
    [
        (LLAMA_3_TOKENS, LLAMA_3, "llama", "llama-3"),
        (QWEN_TOKENS, CHATML, "qwen2", "qwen2.5"),
        (R1_TOKENS, R1, "qwen2", "r1"),
        # Distilled models keep the vocabulary of the model that they were.
        ([*LLAMA_3_TOKENS, *R1_TOKENS], R1, "llama", "r1"),
        ([*QWEN_TOKENS, *R1_TOKENS], R1, "qwen2", "r1"),
        # Qwen3 thinks by itself; Qwen2 and others write ChatML too.
        ([*QWEN_TOKENS, "<think>"], CHATML, "qwen2", "none"),
        (QWEN_TOKENS[:3], CHATML, "qwen2", "none"),
        (QWEN_TOKENS, CHATML, "llama", "none"),
        # A base model has the tokens, but no chat.
        (LLAMA_3_TOKENS, None, "llama", "none"),
        (LLAMA_3_TOKENS, CHATML, "llama", "none"),
        (LLAMA_3_TOKENS, LLAMA_3, "mllama", "none"),
        (["<s>"], CHATML, "llama", "none"),
    ],
)
def test_the_model_tells_its_family(
    special: list[str], template: str | None, model_type: str, name: str
) -> None:
    assert find_family(tokenizer(special, template, model_type)) is FAMILIES[name]


@pytest.mark.parametrize("weights", ["policy", "policy-large", "reviser"])
def test_the_embedded_models_are_of_no_family(weights: str) -> None:
    tokens, _ = load_tokenizer(WEIGHTS / weights)
    assert find_family(tokens).name == "none"


def test_a_family_can_be_named() -> None:
    tokens = tokenizer(LLAMA_3_TOKENS, LLAMA_3)
    assert find_family(tokens, "none").system_prompt is None
    assert find_family(tokens, "r1").max_tokens == 32_768
    with pytest.raises(ValueError, match=r"'gpt'.*llama-3, qwen2\.5, r1, none"):
        find_family(tokens, "gpt")


def test_what_the_families_ask_for() -> None:
    llama, qwen, r1 = FAMILIES["llama-3"], FAMILIES["qwen2.5"], FAMILIES["r1"]
    assert llama.system_prompt is not None
    assert "## Step 1: [Concise description]\n[Brief" in llama.system_prompt
    assert "$\\boxed{answer}$. I hope it is correct." in llama.system_prompt
    assert qwen.system_prompt == (
        "Please reason step by step, and put your final answer within \\boxed{}."
    )
    assert r1.system_prompt is None
    assert (llama.max_tokens, qwen.max_tokens, r1.max_tokens) == (8192, 8192, 32_768)


def test_a_system_prompt_is_put_in_front_once() -> None:
    family = Family("mine", "Be brief.")
    mine = Message(role="system", content="Be brief.")
    theirs = Message(role="system", content="Be long.")
    assert family.messages(QUESTION) == [mine, *QUESTION]
    assert family.messages([theirs, *QUESTION]) == [theirs, *QUESTION]
    assert Family("none").messages(QUESTION) == QUESTION


def prompt(special: list[str], template: str, model_type: str) -> str:
    tokens = tokenizer(special, template, model_type)
    ids = tokens.chat_ids(find_family(tokens).messages(QUESTION))
    assert ids[0] in tokens.tokenizer.all_special_ids
    return str(tokens.tokenizer.decode(ids))


def test_the_prompts_of_the_families() -> None:
    assert prompt(LLAMA_3_TOKENS, LLAMA_3, "llama") == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        f"{FAMILIES['llama-3'].system_prompt}<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert prompt(QWEN_TOKENS, CHATML, "qwen2") == (
        "<|im_start|>system\n"
        "Please reason step by step, and put your final answer within \\boxed{}."
        "<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompt(R1_TOKENS, R1, "qwen2") == (
        "<｜begin▁of▁sentence｜><｜User｜>1+1?<｜Assistant｜><think>\n"  # noqa: RUF001
    )


def test_a_policy_asks_with_its_familys_prompt(tmp_path: Path) -> None:
    folder = save_model(
        tmp_path, letters=[*map(chr, range(33, 127)), "\u010a", "\u0120"]
    )
    plain = TransformersPolicy(folder)
    asking = TransformersPolicy(folder, family="qwen2.5")
    system: Any = FAMILIES["qwen2.5"].messages(QUESTION)
    assert plain.family.name == "none"
    assert asking.count_prompt_tokens(QUESTION) == plain.count_prompt_tokens(system)
    assert asking.count_prompt_tokens(QUESTION) > plain.count_prompt_tokens(QUESTION)
    assert TransformersPolicy(folder, family="r1").max_tokens == 32_768
