r"""Models with random weights, made on the spot: as slow as real ones, good for timing.

The embedded models are so small that an engine spends its time on everything but them.
These have millions of parameters, the embedded models' tokenizer, and nothing learned.
On a CPU a token for each of 64 samples takes them tens of milliseconds, as it takes a
model of billions on a GPU.

The policy is nevertheless made to write in steps. A few places of its hidden state are
kept out of the reach of its random layers, and its last layer reads nothing else:

- One place each for the 24 phases of a text, set by the embedding of its last token.
  A step is 20 words from 20 small lists, then words of the last list until the
  delimiter comes, which it does with probability 1/6 after each: 21 tokens at least,
  26 in the mean, hardly ever more than 60. After the delimiter comes another step or
  the answer, a step such as `Answer: \boxed{7}` with which the text ends.
- One place for the length of the text: the first head of the first layer looks at all
  tokens alike, and only the question's first token shows it a 1, so it sees 1/length.
  The odds of the answer rise with it from next to nothing to nearly certain around
  `answer_at` tokens.

All words begin with a space and are whole tokens, so text and token ids say the same.
The verifiers' weights are random throughout: their scores mean nothing, but depend on
every token.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForTokenClassification,
)

from langchain_tts.rewards.formats import CONFIG
from langchain_tts.tinymath import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

ANSWER_AT = 290
"""Tokens, the question's included, around which the policy answers: 10 steps or more.
"""
WINDOW = 4096
DELIMITER = "\u010a\u010a"
"""The token that ends a step, as a byte-level vocabulary writes it."""
_BOX, _END = "Answer:\u0120\\boxed{", "<|end|>"
_QWEN_TAG = "<extra_0>"
_WORDY = 20
"""Phases in which a word is written."""
_LEAVE = 1 / 6
"""Probability of the delimiter after a word of the last list."""
_STEEP = 40.0
"""How fast the odds of the answer rise with the length."""
_NEVER = -40.0
"""The logit of what must not follow."""
_ONE, _MARK, _COUNT, _FIRST_PHASE = 0, 1, 2, 3
"""Places of the hidden state: a constant, the first token's mark, 1/length, phases."""
_COUNTED = 30.0
"""What is kept at its place is this divided by the length."""


@dataclass(frozen=True)
class Size:
    """The shape of a model."""

    hidden: int
    layers: int
    heads: int

    def settings(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """The shape as a configuration of Llama or Qwen2."""
        return {
            "vocab_size": len(tokenizer),
            "hidden_size": self.hidden,
            "intermediate_size": 3 * self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads // 2,
            "max_position_embeddings": WINDOW,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }


SIZES = {
    "0.5M": Size(hidden=128, layers=2, heads=2),
    "3M": Size(hidden=192, layers=6, heads=6),
    "8M": Size(hidden=256, layers=10, heads=4),
    "30M": Size(hidden=512, layers=9, heads=8),
    "100M": Size(hidden=768, layers=13, heads=12),
}
"""Shapes by their numbers of parameters."""
SMALLEST = "0.5M"


def save_policy(
    folder: Path, size: Size, *, answer_at: int = ANSWER_AT, seed: int = 0
) -> Path:
    """Write a policy whose answers have steps.

    Args:
        folder: Where to.
        size: Its shape.
        answer_at: Tokens of question and answer around which the answer comes.
        seed: Of the random weights.
    """
    tokenizer = _save_tokenizer(folder)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**size.settings(tokenizer)))
    with torch.inference_mode():
        _guide(model.eval(), tokenizer, answer_at)
    model.save_pretrained(folder)
    return folder


def save_prm(
    folder: Path,
    size: Size,
    *,
    head: Literal["labels", "classes"] = "labels",
    seed: int = 1,
) -> Path:
    """Write a verifier that reads a tag after each step.

    Args:
        folder: Where to.
        size: Its shape.
        head: `labels`: a causal language model, which predicts `+` or `-` after the
            tag. `classes`: a Qwen2 with a two-class head, as Qwen2.5-Math-PRM, whose
            input it is given.
        seed: Of the random weights.
    """
    tokenizer = _save_tokenizer(folder)
    torch.manual_seed(seed)
    if head == "labels":
        model = LlamaForCausalLM(LlamaConfig(**size.settings(tokenizer)))
        model.save_pretrained(folder)
        written = "tinymath-tag"
    else:
        tokenizer.add_special_tokens({"extra_special_tokens": [_QWEN_TAG]})
        tokenizer.save_pretrained(folder)
        _save_classifier(folder, size.settings(tokenizer))
        written = "qwen2.5-math"
    (folder / CONFIG).write_text(json.dumps({"format": written}))
    return folder


def _save_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The embedded models' tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(WEIGHTS / "policy" / file, folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _save_classifier(folder: Path, settings: dict[str, Any]) -> None:
    """A Qwen2 whose head is two linear layers, under the names that it is read by."""
    config = Qwen2Config(**settings, num_labels=2)
    Qwen2ForTokenClassification(config).save_pretrained(folder)
    file = folder / "model.safetensors"
    hidden = config.hidden_size
    tensors = {
        name: tensor
        for name, tensor in load_file(file).items()
        if name.startswith("model.")
    }
    for place, rows in ((0, hidden), (2, 2)):
        tensors[f"score.{place}.weight"] = torch.randn(rows, hidden) / hidden**0.5
        tensors[f"score.{place}.bias"] = torch.zeros(rows)
    save_file(tensors, file, metadata={"format": "pt"})
    path = folder / "config.json"
    written = json.loads(path.read_text())
    written["architectures"] = ["Qwen2ForProcessRewardModel"]
    path.write_text(json.dumps(written))


def _phases(tokenizer: PreTrainedTokenizerBase) -> tuple[Tensor, Tensor]:
    """The phase that each token is in, and what may follow on each phase.

    Returns:
        (vocabulary,) phases, and (phases, vocabulary) logits before the length counts.
    """
    known = tokenizer.get_vocab()
    ids = range(len(tokenizer))
    words = [i for i in ids if re.fullmatch(r" [A-Za-z]+", tokenizer.decode([i]))]
    digits = [known[digit] for digit in "0123456789"]
    each = len(words) // _WORDY
    lists = [words[each * i : each * (i + 1)] for i in range(_WORDY)]
    start, box, digit, close = range(_WORDY, _WORDY + 4)
    # The prompt's end, like a step's, is the beginning of a step.
    phase = torch.full((len(known),), start)
    for place, tokens in (*enumerate(lists), (box, [known[_BOX]]), (digit, digits)):
        phase[tokens] = place
    phase[known["}"]] = close
    follow = torch.full((_WORDY + 4, len(known)), _NEVER)
    for place, tokens in enumerate([*lists[1:], lists[-1]]):
        follow[place, tokens] = 0.0
    odds = _LEAVE / (1 - _LEAVE) * each
    follow[_WORDY - 1, known[DELIMITER]] = torch.tensor(odds).log()
    follow[start, lists[0]] = 0.0
    follow[box, digits] = 0.0
    follow[digit, known["}"]] = 0.0
    follow[close, known[_END]] = 0.0
    return phase, follow


def _guide(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, answer_at: int
) -> None:
    """Let the model know phase and length, and speak by nothing else."""
    phase, follow = _phases(tokenizer)
    places = slice(0, _FIRST_PHASE + len(follow))
    first = tokenizer.convert_tokens_to_ids("<|user|>")
    table = model.model.embed_tokens.weight
    table.normal_(std=0.1)
    table[:, places] = 0.0
    table[:, _ONE] = 1.0
    table[first, _MARK] = 1.0
    table[torch.arange(len(table)), _FIRST_PHASE + phase] = 1.0
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[places] = 0.0
        layer.mlp.down_proj.weight[places] = 0.0
    attention = model.model.layers[0].self_attn
    attention.q_proj.weight[: attention.head_dim] = 0.0
    attention.v_proj.weight[0] = 0.0
    attention.v_proj.weight[0, _MARK] = 1.0
    shown = table[first] / table[first].square().mean().sqrt()
    attention.o_proj.weight[_COUNT, 0] = _COUNTED / shown[_MARK]
    # How large a 1 is after the last normalization, for a text of that length.
    text = torch.randint(len(table), (8, answer_at))
    text[text == first] = 0
    text[:, 0] = first
    unit = model.model(text).last_hidden_state[:, -1, _ONE].mean()
    head = model.lm_head.weight
    head.zero_()
    head[:, _FIRST_PHASE : places.stop] = follow.T / unit
    # After a step's end: 0 at `answer_at`, 1.1 of it is 3.6; elsewhere never.
    box = tokenizer.convert_tokens_to_ids(_BOX)
    start = _FIRST_PHASE + int(phase[first])
    head[box, start] = _STEEP / unit
    head[box, _COUNT] = -_STEEP * answer_at / _COUNTED / unit
