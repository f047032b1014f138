"""The key-value memory of a running batch: one slot a row, written in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import Cache

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENGTH_STEP = 64


@dataclass(frozen=True)
class KVShape:
    """What a model keeps for each token."""

    layers: int
    heads: int
    head_size: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of one token: keys and values of all layers."""
        return 2 * self.layers * self.heads * self.head_size * self.dtype.itemsize


class SlotCache(Cache):  # type: ignore[misc]  # transformers is not typed
    """A transformers cache whose rows are at different positions.

    Every new key and value is written at its row's own position, and attention reads a
    view of the memory, so nothing is copied when the batch moves on by one token. What
    a row may not see (what follows its position) is the attention mask's business.
    """

    def __init__(self, shape: KVShape) -> None:
        """Start empty; `reserve` makes room."""
        super().__init__(layers=[])
        self.shape = shape
        self.rows = 0
        self.length = 0
        # Zeros, never uninitialised memory: a masked NaN would still spoil the sum.
        self._data = self._zeros()
        self._targets = torch.empty(0, dtype=torch.long, device=shape.device)
        self._seen = (0, 0)

    def _zeros(self) -> Tensor:
        shape = self.shape
        return torch.zeros(
            shape.layers,
            2,
            self.rows,
            shape.heads,
            self.length,
            shape.head_size,
            dtype=shape.dtype,
            device=shape.device,
        )

    def reserve(self, rows: int, length: int, keep: int = 0) -> None:
        """Make room for rows of `length` tokens, keeping the first `keep` rows."""
        if rows <= self.rows and length <= self.length:
            return
        rows = max(rows, keep)
        if length > self.length:
            self.length = -(-length // _LENGTH_STEP) * _LENGTH_STEP
            self.rows = rows
        else:
            self.rows = max(rows, self.rows * 5 // 4)
        old = self._data
        self._data = self._zeros()
        if keep:
            self._data[:, :, :keep, :, : old.shape[4]] = old[:, :, :keep]

    def release(self) -> None:
        """Give all memory back."""
        self.rows = self.length = 0
        self._data = self._zeros()

    def aim(self, positions: Tensor, length: int) -> None:
        """Say where the next forward pass writes, and how far it reads.

        Args:
            positions: (rows, new tokens), the position of each new token in its row.
            length: How many positions of every row attention reads.
        """
        rows, heads = positions.shape[0], self.shape.heads
        slots = torch.arange(rows * heads, device=positions.device)
        slots = slots.view(rows, heads, 1) * self.length
        self._targets = (slots + positions[:, None, :]).view(-1)
        self._seen = (rows, length)

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *_args: Any,
        **_kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Write one layer's new keys and values; return views of all that is seen."""
        rows, length = self._seen
        size = self.shape.head_size
        keys, values = self._data[layer_idx]
        keys.view(-1, size).index_copy_(0, self._targets, key_states.reshape(-1, size))
        values.view(-1, size).index_copy_(
            0, self._targets, value_states.reshape(-1, size)
        )
        return keys[:rows, :, :length], values[:rows, :, :length]

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 (Cache's name)
        """How far attention reads; rows differ in what is theirs."""
        return self._seen[1]

    def place(self, first: int, last: int, start: int, segment: Tensor) -> None:
        """Copy a stored segment to rows `first` to `last` (excluded) from `start` on.

        Args:
            first: First row.
            last: Row after the last one.
            start: Position of the segment's first token.
            segment: (layers, 2, heads, tokens, head size).
        """
        stop = start + segment.shape[3]
        self._data[:, :, first:last, :, start:stop] = segment[:, :, None]

    def read(self, row: int, start: int, stop: int) -> Tensor:
        """A copy of a row's positions: (layers, 2, heads, stop - start, head size)."""
        return self._data[:, :, row, :, start:stop].clone()

    def move(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Copy the first `length` positions of rows to other rows."""
        device = self.shape.device
        source = torch.tensor(sources, device=device)
        target = torch.tensor(targets, device=device)
        used = self._data[:, :, :, :, :length]
        used[:, :, target] = used[:, :, source]
