"""One forward pass of any causal language model over a `SlotCache`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from langchain_tts.engines.kv_cache import KVShape, SlotCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from langchain_tts.engines.heads import HeadedModel

_ATTENTION = "langchain_tts"
_MORE = ("position_bias", "s_aux", "softcap")
"""What some models add to attention."""
_PROBE = 4
_TOLERANCE = 0.02
"""Of a probability: far above rounding in bfloat16, far below a wrong mask."""


class UnsupportedModelError(ValueError):
    """A model whose cache or attention this engine cannot serve."""


def grouped_attention(
    _module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention that never repeats shared key heads.

    The queries that share a key head are laid out as more positions of that head, where
    transformers' own function would copy the whole cache once a group.

    Raises:
        UnsupportedModelError: If the model's attention is more than a scaled product.
    """
    more = sorted(name for name in _MORE if kwargs.get(name) is not None)
    if more:
        msg = f"this engine does not compute attention with {', '.join(more)}"
        raise UnsupportedModelError(msg)
    rows, heads, length, size = query.shape
    groups = heads // key.shape[1]
    if groups > 1:
        query = query.reshape(rows, key.shape[1], groups * length, size)
        if attention_mask is not None and length > 1:
            attention_mask = attention_mask.repeat(1, 1, groups, 1)
    if length == 1 and query.device.type == "cpu":
        # One query a row is bound by memory: two plain products beat the fused kernel.
        scores = torch.matmul(query, key.transpose(-1, -2))
        scores = scores * (size**-0.5 if scaling is None else scaling)
        if attention_mask is not None:
            scores = scores + attention_mask
        output = torch.matmul(scores.softmax(dim=-1), value)
    else:
        output = scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, scale=scaling
        )
    output = output.reshape(rows, heads, length, size)
    return output.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, grouped_attention)


class ForwardPass:
    """A model, made to run rows at different positions in one batch.

    Only the outputs that are asked for are computed: a hook gathers hidden states in
    front of the output layer, whatever that is (a vocabulary, a value head, classes)
    and whatever the architecture does after it.

    Args:
        model: A causal model in evaluation mode.

    Raises:
        UnsupportedModelError: If the model's cache is not keys and values of one shape,
            or if a check shows that its results here differ from a plain forward pass.
    """

    def __init__(self, model: PreTrainedModel | HeadedModel) -> None:
        """Measure the model's cache, take over its attention and check the result."""
        self._model = model
        self._select: Tensor | None = None
        head = model.get_output_embeddings()
        if head is None:
            msg = f"{type(model).__name__} has no output layer: not a language model"
            raise UnsupportedModelError(msg)
        self._last_position = model.config.max_position_embeddings - 1
        with torch.inference_mode():
            self._tokens = torch.arange(_PROBE, device=model.device)[None]
            plain = model(self._tokens, use_cache=True)
            self.shape = _kv_shape(plain.past_key_values)
            self.outputs = int(plain.logits.shape[-1])
            head.register_forward_pre_hook(self._gather)
            model.set_attn_implementation(_ATTENTION)
            self._check(plain.logits)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.shape.device

    def __call__(
        self,
        cache: SlotCache,
        tokens: Tensor,
        positions: Tensor,
        length: int,
        select: Tensor | None = None,
    ) -> Tensor:
        """Compute logits, float32.

        Padding tokens sit after a row's last token: causality hides them.

        Args:
            cache: Holds what precedes the tokens and receives their keys and values.
            tokens: (rows, new tokens).
            positions: (rows, new tokens).
            length: Positions that any row reads, i.e. the highest position + 1.
            select: Indices into the flattened tokens whose logits are wanted; None
                for all.

        Returns:
            (selected, outputs); there are as many outputs as tokens in the vocabulary,
            or as the model's head has.
        """
        cache.aim(positions, length)
        reach = torch.arange(length, device=positions.device)
        visible = reach <= positions[:, None, :, None]
        mask = torch.zeros(visible.shape, dtype=self.shape.dtype, device=self.device)
        mask.masked_fill_(~visible, float("-inf"))
        self._select = select
        logits = self._model(
            input_ids=tokens,
            attention_mask=mask,
            # Padding may lie outside the window, where some models have no embedding.
            position_ids=positions.clamp(max=self._last_position),
            past_key_values=cache,
            use_cache=True,
        ).logits
        flat: Tensor = logits.reshape(-1, logits.shape[-1]).float()
        return flat

    def _gather(
        self, _module: torch.nn.Module, arguments: tuple[Tensor]
    ) -> tuple[Tensor] | None:
        if self._select is None:
            return None
        hidden = arguments[0]
        return (hidden.reshape(-1, hidden.shape[-1])[self._select][None],)

    def _check(self, plain: Tensor) -> None:
        """Compare with the plain pass, in two parts as the engine would run it."""
        cache = SlotCache(self.shape)
        cache.reserve(1, _PROBE)
        half = _PROBE // 2
        places = torch.arange(_PROBE, device=self.device)[None]
        self(cache, self._tokens[:, :half], places[:, :half], half)
        own = self(cache, self._tokens[:, half:], places[:, half:], _PROBE)
        expected = _probabilities(plain[0, half:].float())
        worst = float((_probabilities(own) - expected).abs().max())
        if not worst < _TOLERANCE:
            msg = (
                f"{type(self._model).__name__} is not supported by this engine: its "
                f"probabilities differ from a plain forward pass by {worst:.2g}"
            )
            raise UnsupportedModelError(msg)


def _probabilities(logits: Tensor) -> Tensor:
    """One output is a logit by itself; several are alternatives."""
    return logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(dim=-1)


def _kv_shape(cache: Any) -> KVShape:
    """Read off a cache what the model keeps for each token."""
    layers = list(getattr(cache, "layers", []))
    tensors: list[Any] = [
        tensor
        for layer in layers
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None))
    ]
    shapes = {None if tensor is None else tuple(tensor.shape) for tensor in tensors}
    if len(shapes) != 1 or None in shapes:
        msg = (
            "this engine serves models that keep keys and values of one shape in all "
            f"layers; this model keeps {sorted(map(str, shapes)) or 'none'}"
        )
        raise UnsupportedModelError(msg)
    keys: Tensor = tensors[0]
    return KVShape(
        layers=len(layers),
        heads=keys.shape[1],
        head_size=keys.shape[3],
        dtype=keys.dtype,
        device=keys.device,
    )
