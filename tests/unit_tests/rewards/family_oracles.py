"""The published formulas: whole inputs, plain forward passes, heads by hand.

Nothing here comes from the package. Inputs are tokenized as a whole, as the published
code does, and the marked positions are looked for afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

KI = "\u043a\u0438"


class Input(NamedTuple):
    """What the model sees, up to the last position that is scored."""

    ids: list[int]
    ends: list[int]


def whole_input(
    family: str, folder: Path, asked: str, steps: list[str], first: int = 1
) -> Input:
    """The input of a trajectory; `first` is the number of its first step."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids, ends = _INPUTS[family](tokenizer, asked, steps, first)
    assert len(ends) == len(steps)
    return Input(ids[: ends[-1] + 1], ends)


def plain_scores(family: str, folder: Path, given: Input) -> list[float]:
    """A score at each end, from one plain forward pass over the whole input."""
    tokens = torch.tensor([given.ids])
    with torch.inference_mode():
        scores = _SCORES[family](folder, tokens)
    return [float(scores[end]) for end in given.ends]


def _marked(ids: list[int], marker: int) -> list[int]:
    return [place for place, token in enumerate(ids) if token == marker]


def _math_shepherd(
    tokenizer: Any, asked: str, steps: list[str], first: int
) -> tuple[list[int], list[int]]:
    lines = [f"Step {k}: {step} {KI}" for k, step in enumerate(steps, start=first)]
    ids = tokenizer(asked + " " + "\n".join(lines)).input_ids
    return ids, _marked(ids, tokenizer.encode(KI)[-1])


def _rlhflow(
    tokenizer: Any, asked: str, steps: list[str], _first: int
) -> tuple[list[int], list[int]]:
    chat: list[dict[str, str]] = []
    ends = []
    ids: list[int] = []
    for step in steps:
        content = step if chat else f"{asked} {step}"
        chat += [
            {"role": "user", "content": content},
            {"role": "assistant", "content": "+"},
        ]
        ids = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False)
        ends.append(len(ids) - 3)
    return ids, ends


def _skywork(
    tokenizer: Any, asked: str, steps: list[str], _first: int
) -> tuple[list[int], list[int]]:
    ids = tokenizer.encode(tokenizer.bos_token + asked + "\n")
    ends = []
    for step in steps:
        ids += [*tokenizer.encode(step), tokenizer.encode("\n")[-1]]
        ends.append(len(ids) - 1)
    return ids, ends


def _qwen_math(
    tokenizer: Any, asked: str, steps: list[str], _first: int
) -> tuple[list[int], list[int]]:
    system = r"Please reason step by step, and put your final answer within \boxed{}."
    text = tokenizer.apply_chat_template(
        [
            {"role": "system", "content": system},
            {"role": "user", "content": asked},
            {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
        ],
        tokenize=False,
        add_generation_prompt=False,
    )
    ids = tokenizer.encode(text)
    return ids, _marked(ids, tokenizer.encode("<extra_0>")[0])


def _math_psa(
    tokenizer: Any, asked: str, steps: list[str], _first: int
) -> tuple[list[int], list[int]]:
    answer = " ".join(f"{step} \n\n\n\n\n" for step in steps)
    ids = tokenizer.encode(f"{asked} {answer}")
    return ids, _marked(ids, tokenizer.encode(" \n\n\n\n\n")[-1])


def _labels(folder: Path, tokens: torch.Tensor, good: int, bad: int) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    logits: torch.Tensor = model(tokens).logits[0]
    return logits[:, [good, bad]].softmax(dim=-1)[:, 0]


def _after_space(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    good, bad = tokenizer.encode(" + -")[-2:]
    return _labels(folder, tokens, good, bad)


def _at_once(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    good, bad = (tokenizer.encode(label)[-1] for label in "+-")
    return _labels(folder, tokens, good, bad)


def _hidden(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    base = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    hidden: torch.Tensor = base(tokens).last_hidden_state[0]
    return hidden


def _value(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    weights = load_file(folder / "model.safetensors")
    value = _hidden(folder, tokens) @ weights["v_head.summary.weight"][0]
    return 1 / (1 + torch.exp(-(value + weights["v_head.summary.bias"])))


def _classes(folder: Path, tokens: torch.Tensor) -> torch.Tensor:
    w = load_file(folder / "model.safetensors")
    inner = _hidden(folder, tokens) @ w["score.0.weight"].T + w["score.0.bias"]
    logits = inner.clamp(min=0) @ w["score.2.weight"].T + w["score.2.bias"]
    return logits.softmax(dim=-1)[:, 1]


_INPUTS: dict[str, Any] = {
    "math-shepherd": _math_shepherd,
    "rlhflow": _rlhflow,
    "skywork": _skywork,
    "qwen2.5-math": _qwen_math,
    "math-psa": _math_psa,
}
_SCORES: dict[str, Any] = {
    "math-shepherd": _after_space,
    "rlhflow": _at_once,
    "skywork": _value,
    "qwen2.5-math": _classes,
    "math-psa": _after_space,
}
