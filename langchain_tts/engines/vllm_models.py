"""Models that vLLM does not have; imported by vLLM only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from vllm.model_executor.layers.pooler.tokwise import pooler_for_token_classify
from vllm.model_executor.models.interfaces_base import default_pooling_type
from vllm.model_executor.models.qwen2 import Qwen2Model
from vllm.model_executor.models.utils import AutoWeightsLoader, maybe_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from vllm.config import VllmConfig

_HEAD = "v_head.summary."


@default_pooling_type(tok_pooling_type="ALL")
class Qwen2ForPrmModel(nn.Module):
    """Qwen2 with a value head: one number a token, a linear function of its state.

    Skywork-o1-Open-PRM; the head's weights are `v_head.summary.*` (TRL's value head) or
    `v_head.*`.
    """

    is_pooling_model = True
    hf_to_vllm_mapper = Qwen2Model.hf_to_vllm_mapper
    packed_modules_mapping = {  # noqa: RUF012 (vLLM reads it from the class)
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        """Build the layers, without weights."""
        super().__init__()
        model_config = vllm_config.model_config
        self.config = model_config.hf_config
        self.model = Qwen2Model(
            vllm_config=vllm_config, prefix=maybe_prefix(prefix, "model")
        )
        self.head_dtype = model_config.head_dtype
        self.v_head = nn.Linear(self.config.hidden_size, 1, dtype=self.head_dtype)
        self.pooler = pooler_for_token_classify(model_config.pooler_config)

    def embed_input_ids(self, input_ids: torch.Tensor) -> Any:
        """Embeddings of (tokens,) ids."""
        return self.model.embed_input_ids(input_ids)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> Any:
        """The value of each token: (tokens, 1), no sigmoid yet."""
        states = self.model(input_ids, positions, intermediate_tensors, inputs_embeds)
        return self.v_head(states.to(self.head_dtype))

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load a checkpoint; vLLM checks that nothing is missing."""
        named = (
            (f"v_head.{name[len(_HEAD) :]}" if name.startswith(_HEAD) else name, tensor)
            for name, tensor in weights
        )
        # What a value model does not use: the head that predicts tokens.
        loader = AutoWeightsLoader(self, ignore_unexpected_prefixes=["lm_head."])
        loaded: set[str] = loader.load_weights(named)
        return loaded
