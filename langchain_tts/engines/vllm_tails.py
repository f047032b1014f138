"""A prefix cache that ends at any token, for vLLM; imported by vLLM only.

vLLM's own cache holds whole blocks, so each extension of a prefix computes what lies
behind the prefix's last full block once more: half a block on average (15 tokens on a
CPU), which is as much as a short step has. Here that tail is copied when a prompt has
been computed, and copied into the new block of a prompt that extends it.

vLLM offers this as "KV connectors", which load keys and values from elsewhere; for
this one, elsewhere is a buffer beside vLLM's cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorMetadata,
)
from vllm.v1.kv_cache_interface import FullAttentionSpec

from langchain_tts.engines.tails import TailIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_BYTES = 256 * 2**20
"""Of the buffer, in each process that holds a part of the model."""
_MOST = 4096


@dataclass
class TailCopies(KVConnectorMetadata):  # type: ignore[misc]  # vLLM is `Any`
    """What is to be copied around one forward pass.

    Args:
        loads: Slots and the blocks that they are copied into, before it.
        saves: Blocks and the slots that they are copied into, after it.
    """

    loads: list[tuple[int, int]] = field(default_factory=list)
    saves: list[tuple[int, int]] = field(default_factory=list)


class TailConnector(KVConnectorBase_V1):  # type: ignore[misc]  # vLLM is `Any`
    """Keeps the tails of prompts.

    One half of its methods is called where vLLM schedules, the other where the model
    is; vLLM makes one object for each.
    """

    def __init__(self, vllm_config: Any, role: Any, kv_cache_config: Any) -> None:
        """Divide the buffer into slots of one block each."""
        super().__init__(
            vllm_config=vllm_config, role=role, kv_cache_config=kv_cache_config
        )
        groups = kv_cache_config.kv_cache_groups
        spec = groups[0].kv_cache_spec
        # Where a block's content depends on more than the tokens before, keep off.
        self._serves = (
            len(groups) == 1
            and isinstance(spec, FullAttentionSpec)
            and vllm_config.cache_config.enable_prefix_caching
        )
        self._blocks = kv_cache_config.num_blocks
        self._block = spec.block_size
        bytes_of_block = spec.page_size_bytes * len(groups[0].layer_names)
        self._slots = max(1, min(_MOST, _BYTES // bytes_of_block))
        self._index = TailIndex(self._slots)
        self._matches: dict[str, tuple[int, int]] = {}
        self._requests: dict[str, Any] = {}
        self._loads: list[tuple[int, int]] = []
        self._layers: list[tuple[Tensor, Tensor]] = []

    # Where vLLM schedules.

    def get_num_new_matched_tokens(
        self, request: Any, num_computed_tokens: int
    ) -> tuple[int, bool]:
        """How many tokens can be loaded behind those that vLLM's cache has."""
        if not self._can_serve(request) or request.skip_reading_prefix_cache:
            return 0, False
        # The last token is computed in any case: its output is what is asked for.
        stop = min(num_computed_tokens + self._block, request.num_tokens - 1)
        match = self._index.find(
            self._key(request, num_computed_tokens),
            request.all_token_ids[num_computed_tokens:stop],
        )
        if match is None:
            return 0, False
        place = num_computed_tokens // self._block
        self._matches[request.request_id] = (match.slot, place)
        return match.tokens, False

    def update_state_after_alloc(
        self, request: Any, blocks: Any, num_external_tokens: int
    ) -> None:
        """Note a request that runs now, and what is to be loaded for it."""
        if self._can_serve(request):
            self._requests[request.request_id] = request
        match = self._matches.pop(request.request_id, None)
        if match is not None and num_external_tokens:
            slot, place = match
            self._index.use(slot)
            self._loads.append((slot, blocks.get_block_ids()[0][place]))

    def build_connector_meta(self, scheduler_output: Any) -> TailCopies:
        """All copies around the next forward pass."""
        copies = TailCopies(loads=self._loads)
        self._loads = []
        for name, count in scheduler_output.num_scheduled_tokens.items():
            request = self._requests.get(name)
            if (
                request is None
                or request.num_computed_tokens + count < request.num_prompt_tokens
            ):
                continue
            del self._requests[name]
            length = request.num_prompt_tokens
            full = length - length % self._block
            if full == length:
                continue
            slot = self._index.add(
                self._key(request, full), request.all_token_ids[full:length]
            )
            if slot is not None:
                state = scheduler_output.kv_connector_block_state
                block = state.resolve_block_ids(name)[0][full // self._block]
                copies.saves.append((block, slot))
        return copies

    def request_finished(
        self,
        request: Any,
        block_ids: list[int],  # noqa: ARG002 (vLLM may free them)
    ) -> tuple[bool, None]:
        """Forget a request that has ended, or that never ran."""
        self._requests.pop(request.request_id, None)
        self._matches.pop(request.request_id, None)
        return False, None

    def reset_cache(self) -> bool:
        """Forget all tails."""
        self._index.clear()
        return True

    def _can_serve(self, request: Any) -> bool:
        """Whether nothing but tokens (and earlier blocks) tells what a tail holds."""
        return bool(
            self._serves
            and not request.mm_features
            and request.prompt_embeds is None
            and request.lora_request is None
            and request.cache_salt is None
        )

    def _key(self, request: Any, tokens: int) -> Any:
        """Stands for the full blocks that a request begins with."""
        return request.block_hashes[tokens // self._block - 1] if tokens else None

    # Where the model is.

    def register_kv_caches(self, kv_caches: dict[str, Tensor]) -> None:
        """Make the buffer: for each layer's cache, slots of the same shape."""
        for name, cache in kv_caches.items():
            if self._serves and cache.shape[0] != self._blocks:
                msg = (
                    f"the cache of layer {name} is not made of vLLM's blocks "
                    f"({cache.shape[0]} instead of {self._blocks}); switch the exact "
                    "cache off (exact_cache=false)"
                )
                raise ValueError(msg)
            slots = cache.new_empty((self._slots, *cache.shape[1:]))
            self._layers.append((cache, slots))

    def start_load_kv(
        self,
        forward_context: Any,  # noqa: ARG002 (copies need none)
        **_: Any,
    ) -> None:
        """Copy tails into blocks, before the forward pass."""
        loads = self._get_connector_metadata().loads
        for cache, slots in self._layers:
            _copy(slots, cache, loads)

    def wait_for_save(self) -> None:
        """Copy tails out of blocks, after the forward pass."""
        saves = self._get_connector_metadata().saves
        for cache, slots in self._layers:
            _copy(cache, slots, saves)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """All layers were loaded before."""

    def save_kv_layer(
        self, layer_name: str, kv_layer: Any, attn_metadata: Any, **_: Any
    ) -> None:
        """All layers are saved at the end."""


def _copy(source: Tensor, target: Tensor, places: Sequence[tuple[int, int]]) -> None:
    if places:
        rows = torch.tensor(places, device=source.device)
        target[rows[:, 1]] = source[rows[:, 0]]
