"""Models whose output layer is not a vocabulary: value heads and class heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from langchain_tts.engines.checkpoints import local_folder
from langchain_tts.engines.errors import ModelLoadError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

OutputLayer = Literal["vocabulary", "value", "classes"]
"""What a model computes from a hidden state: logits of the next token, one number, or
logits of classes."""

_VALUE_HEADS = ("v_head.summary", "v_head")
"""As TRL writes it (Skywork-o1 does, too), and a plain layer."""
_CLASSES = 2


class HeadedModel(nn.Module):
    """A model without vocabulary: what its head makes of the last hidden states.

    It can be run wherever a language model can, with `head` in the place of the layer
    that makes logits.

    Args:
        base: Gives hidden states.
        head: Reads them.
    """

    def __init__(self, base: PreTrainedModel, head: nn.Module) -> None:
        """Join them."""
        super().__init__()
        self.base = base
        self.head = head

    @property
    def config(self) -> Any:
        """The base model's."""
        return self.base.config

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.base.device
        return device

    def get_output_embeddings(self) -> nn.Module:
        """The output layer, as transformers calls it."""
        return self.head

    def set_attn_implementation(self, name: str) -> None:
        """Choose the attention function."""
        self.base.set_attn_implementation(name)

    def num_parameters(self) -> int:
        """Base and head."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, input_ids: Tensor, **inputs: Any) -> CausalLMOutputWithPast:
        """Compute the head's output at every position."""
        outputs = self.base(input_ids=input_ids, **inputs)
        return CausalLMOutputWithPast(
            logits=self.head(outputs.last_hidden_state),
            past_key_values=outputs.past_key_values,
        )


class Head(nn.Module):
    """Layers over hidden states, in float32 whatever the base model's precision.

    Args:
        layers: One or more.
    """

    def __init__(self, *layers: nn.Module) -> None:
        """Keep them in order."""
        super().__init__()
        self.layers = nn.Sequential(*layers).float()

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., hidden size) to (..., outputs)."""
        outputs: Tensor = self.layers(hidden.float())
        return outputs


def load_head(
    source: str, layer: Literal["value", "classes"], hidden_size: int
) -> Head:
    """Read a head from a checkpoint's safetensors files.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        layer: A value head is `Linear(hidden, 1)`, called `v_head`; a class head is
            `score.0`, ReLU, `score.2`, with two outputs (Qwen2.5-Math-PRM's).
        hidden_size: Of the base model.

    Raises:
        ModelLoadError: If the checkpoint has no such head, or one of another shape.
    """
    folder = local_folder(source)
    if layer == "value":
        for name in _VALUE_HEADS:
            tensors = _read(folder, f"{name}.weight", f"{name}.bias")
            if f"{name}.weight" in tensors:
                return Head(_linear(folder, tensors, name, (1, hidden_size)))
        wanted = " or ".join(f"{name}.weight" for name in _VALUE_HEADS)
        raise ModelLoadError(_lacking(folder, "value head", wanted))
    names = ("score.0", "score.2")
    tensors = _read(folder, *(f"{n}.{part}" for n in names for part in _PARTS))
    inner = tensors.get("score.0.weight")
    if inner is None or "score.2.weight" not in tensors:
        raise ModelLoadError(
            _lacking(folder, "class head", "score.0.weight and score.2.weight")
        )
    return Head(
        _linear(folder, tensors, names[0], (len(inner), hidden_size)),
        nn.ReLU(),
        _linear(folder, tensors, names[1], (_CLASSES, len(inner))),
    )


_PARTS = ("weight", "bias")


def _read(folder: Path, *names: str) -> dict[str, Tensor]:
    """Those of some tensors that the files hold."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in set(names) & set(tensors.keys()):
                found[name] = tensors.get_tensor(name)
    return found


def _linear(
    folder: Path, tensors: dict[str, Tensor], name: str, shape: tuple[int, int]
) -> nn.Linear:
    weight, bias = (tensors.get(f"{name}.{part}") for part in _PARTS)
    if weight is None or weight.shape != shape:
        found = None if weight is None else tuple(weight.shape)
        msg = f"{name}.weight in {folder} has shape {found} instead of {shape}"
        raise ModelLoadError(msg)
    linear = nn.Linear(shape[1], shape[0], bias=bias is not None)
    linear.load_state_dict(
        {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    )
    return linear


def _lacking(folder: Path, kind: str, wanted: str) -> str:
    return (
        f"the checkpoint has no {kind}: no safetensors file in {folder} holds {wanted}"
    )
