"""Random PRM checkpoints of the five families, laid out like the published ones.

The architectures, the names of the weights, the marker tokens and the structure of the
chat templates are real; sizes and weights are not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast

from tests.unit_tests.tiny_models import KINDS

KI = "\u043a\u0438"
PSA_TAG = " \n\n\n\n\n"

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2's tokenizer cuts a text into words (Llama 3's differs in numbers only)."""
MERGES = [
    # " +", " -", runs of line breaks, and the two Cyrillic letters of a tag.
    *[("\u0120", sign) for sign in "+-"],
    ("\u010a", "\u010a"),
    ("\u010a\u010a", "\u010a\u010a"),
    ("\u010a\u010a\u010a\u010a", "\u010a"),
    ("\u0120", "\u010a\u010a\u010a\u010a\u010a"),
    # Words, to have some of more than one letter.
    ("S", "t"),
    ("e", "p"),
    ("St", "ep"),
    ("\u0120", "Step"),
]

LLAMA_TEMPLATE = (
    "{{- bos_token }}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system_message = messages[0]['content'] | trim %}"
    "{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}"
    "{{- 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' }}"
    "{{- system_message + '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{- message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{%- endif %}"
)
QWEN_TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else %}"
    "{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role != 'system' or not loop.first %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)

QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LLAMA_SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
FAMILIES = ("math-shepherd", "rlhflow", "skywork", "qwen2.5-math", "math-psa")


def save_prm(
    folder: Path,
    family: str,
    *,
    seed: int = 0,
    window: int = 512,
    describe: bool | None = None,
    **settings: Any,
) -> Path:
    """Write a random checkpoint of a family.

    Args:
        folder: Where; it is made if it is missing.
        family: One of `FAMILIES`.
        seed: Of the weights.
        window: Positions of the model.
        describe: Whether to write `prm_config.json`; None: where config.json does not
            tell the family.
        settings: Changes of the model's configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size, special = _SAVE_TOKENIZER[family](folder)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    _SAVE_WEIGHTS[family](
        folder,
        {
            "vocab_size": size,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": window,
            "tie_word_embeddings": False,
            "initializer_range": 0.25,
            "sliding_window": None,
            **special,
            **settings,
        },
    )
    torch.random.set_rng_state(state)
    told = family in ("skywork", "qwen2.5-math")
    if describe if describe is not None else not told:
        (folder / "prm_config.json").write_text(json.dumps({"format": family}))
    return folder


def _byte_level(words: str) -> Tokenizer:
    """All 256 bytes and a few longer tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *("".join(pair) for pair in MERGES)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    inner = Tokenizer(models.BPE(vocabulary, MERGES))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    return inner


def _with_beginning(inner: Tokenizer, token: str) -> None:
    inner.post_processor = processors.TemplateProcessing(
        single=f"{token}:0 $A:0",
        pair=f"{token}:0 $A:0 {token}:1 $B:1",
        special_tokens=[(token, inner.token_to_id(token))],
    )


def _save(
    folder: Path, inner: Tokenizer, template: str | None, named: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": text for name, text in named.items()},
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return len(tokenizer), ids


def _save_qwen(
    folder: Path, extra: Sequence[str] = (), bos: str | None = None
) -> tuple[int, dict[str, Any]]:
    inner = _byte_level(WORDS)
    inner.add_special_tokens([*QWEN_SPECIAL, *extra])
    named = {"eos": "<|im_end|>", "pad": "<|endoftext|>"}
    if bos is not None:
        named["bos"] = bos
    return _save(folder, inner, QWEN_TEMPLATE, named)


def _save_llama(folder: Path) -> tuple[int, dict[str, Any]]:
    inner = _byte_level(WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|"))
    inner.add_special_tokens(LLAMA_SPECIAL)
    _with_beginning(inner, "<|begin_of_text|>")
    return _save(
        folder,
        inner,
        LLAMA_TEMPLATE,
        {
            "bos": "<|begin_of_text|>",
            "eos": "<|eot_id|>",
            "pad": "<|end_of_text|>",
        },
    )


def _save_mistral(folder: Path) -> tuple[int, dict[str, Any]]:
    """Spaces are written as a low line, as SentencePiece does."""
    space = "\u2581"
    letters = [chr(i) for i in range(33, 127)]
    merges = [*[(space, sign) for sign in "+-"], (KI[0], KI[1]), (space, KI)]
    tokens = [
        *("<unk>", "<s>", "</s>"),
        *(f"<0x{i:02X}>" for i in range(256)),
        *(space, *letters, *KI),
        *("".join(pair) for pair in merges),
    ]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    inner = Tokenizer(
        models.BPE(
            vocabulary, merges, unk_token=tokens[0], fuse_unk=True, byte_fallback=True
        )
    )
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend(space), normalizers.Replace(" ", space)]
    )
    inner.decoder = decoders.Sequence(
        [
            decoders.Replace(space, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    inner.add_special_tokens([AddedToken(t, normalized=False) for t in tokens[:3]])
    _with_beginning(inner, "<s>")
    return _save(
        folder,
        inner,
        None,
        {"bos": "<s>", "eos": "</s>", "pad": "</s>", "unk": "<unk>"},
    )


def _save_causal(kind: str) -> Any:
    def save(folder: Path, settings: dict[str, Any]) -> None:
        config_class, model_class = KINDS[kind]
        if kind == "llama":
            settings.pop("sliding_window")
        model_class(config_class(**settings)).save_pretrained(folder)

    return save


def _save_headed(
    folder: Path, settings: dict[str, Any], architecture: str, *, lm_head: bool
) -> dict[str, torch.Tensor]:
    """Write a Qwen2 configuration; returns weights that a head is to be added to."""
    config_class, model_class = KINDS["qwen2"]
    config = config_class(**settings)
    weights = {
        name: tensor.contiguous()
        for name, tensor in model_class(config).state_dict().items()
        if lm_head or not name.startswith("lm_head.")
    }
    config.architectures = [architecture]
    # As published: classes that only code from the checkpoint's folder would give.
    config.auto_map = {
        "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
        "AutoModel": f"modeling_qwen2_rm.{architecture}",
    }
    config.save_pretrained(folder)
    return weights


def _save_value(folder: Path, settings: dict[str, Any]) -> None:
    head = settings.pop("head", "v_head.summary")
    weights = _save_headed(folder, settings, "Qwen2ForPrmModel", lm_head=True)
    weights[f"{head}.weight"] = torch.randn(1, settings["hidden_size"]) / 4
    weights[f"{head}.bias"] = torch.randn(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _save_classes(folder: Path, settings: dict[str, Any]) -> None:
    architecture = "Qwen2ForProcessRewardModel"
    weights = _save_headed(folder, settings, architecture, lm_head=False)
    size = settings["hidden_size"]
    weights["score.0.weight"] = torch.randn(size, size) / 8
    weights["score.0.bias"] = torch.randn(size)
    weights["score.2.weight"] = torch.randn(2, size) / 4
    weights["score.2.bias"] = torch.randn(2)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


_SAVE_TOKENIZER: dict[str, Any] = {
    "math-shepherd": _save_mistral,
    "rlhflow": _save_llama,
    "skywork": lambda folder: _save_qwen(folder, bos="<|endoftext|>"),
    "qwen2.5-math": lambda folder: _save_qwen(folder, ["<extra_0>"]),
    "math-psa": _save_qwen,
}
_SAVE_WEIGHTS: dict[str, Any] = {
    "math-shepherd": _save_causal("mistral"),
    "rlhflow": _save_causal("llama"),
    "skywork": _save_value,
    "qwen2.5-math": _save_classes,
    "math-psa": _save_causal("qwen2"),
}
