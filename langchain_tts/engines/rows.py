"""What the running batch keeps for each row, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor


@dataclass(slots=True)
class Rows:
    """One entry a row; the first rows are in use."""

    token: Tensor
    """The newest token: the next forward pass's input."""
    position: Tensor
    """Where that token is in its sequence."""
    start: Tensor
    """Position of the first generated token."""
    stop: Tensor
    """The position that no new token reaches."""
    key: Tensor
    """Random key, from the sample's seed."""
    temperature: Tensor
    by_step: Tensor
    ids: Tensor
    """(rows, length): generated tokens."""
    logprobs: Tensor
    """(rows, length): their log-probabilities."""

    @classmethod
    def zeros(cls, rows: int, length: int, device: torch.device) -> Self:
        """Room for `rows` rows that generate up to `length` tokens."""

        def whole(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.long, device=device)

        return cls(
            token=whole(rows),
            position=whole(rows),
            start=whole(rows),
            stop=whole(rows),
            key=whole(rows),
            temperature=torch.zeros(rows, device=device),
            by_step=torch.zeros(rows, dtype=torch.bool, device=device),
            ids=whole(rows, length),
            logprobs=torch.zeros(rows, length, device=device),
        )

    def copy_from(self, other: Rows, rows: int) -> None:
        """Take over the first rows of a smaller record."""
        for entry in fields(self):
            new, old = getattr(self, entry.name), getattr(other, entry.name)[:rows]
            new[:rows][tuple(slice(size) for size in old.shape)] = old

    def move(self, sources: Tensor, targets: Tensor) -> None:
        """Copy rows to other rows."""
        for entry in fields(self):
            values = getattr(self, entry.name)
            values[targets] = values[sources]
