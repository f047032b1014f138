"""The training loop that all embedded models share: resumable, CPU or GPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from langchain_tts.tinymath.corpus import Batch, Rows, batches

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

_SAVE_SECONDS = 60


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        tokens: Tokens to train on in all, padding included.
        rows: Rows a batch.
        matrix_rate: Peak learning rate of Muon, which trains the weight matrices.
        other_rate: Peak learning rate of AdamW, which trains embeddings and norms.
        warmup: Share of the steps in which the rates rise.
        decay: Share of the steps, at the end, in which the rates fall to zero.
    """

    tokens: int
    rows: int = 16
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    warmup: float = 0.02
    decay: float = 0.6

    def factor(self, step: int, steps: int) -> float:
        """Learning rate at a step, as a share of its peak."""
        rising = (step + 1) / max(1.0, self.warmup * steps)
        falling = (steps - step) / max(1.0, self.decay * steps)
        return min(1.0, rising, falling)


def fit(
    module: torch.nn.Module,
    loss: Loss,
    rows: Rows,
    schedule: Schedule,
    checkpoint: Path,
    *,
    seed: int = 0,
) -> float:
    """Train `module`, continuing from `checkpoint` if it exists.

    Args:
        module: Holds the parameters; on the device where it shall be trained.
        loss: `loss(ids, labels, mask)` of a batch, a scalar.
        rows: The training data.
        schedule: How long and how fast.
        checkpoint: File of the training state, written every minute.
        seed: Of the data order.

    Returns:
        Minutes of training, those before a resume included.
    """
    device = next(module.parameters()).device
    steps = schedule.tokens // (schedule.rows * rows.ids.shape[1])
    matrices, others = _parameter_groups(module)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=schedule.matrix_rate, weight_decay=0.0),
        torch.optim.AdamW(
            others, lr=schedule.other_rate, betas=(0.9, 0.98), weight_decay=0.0
        ),
    ]
    first, seconds = _resume(checkpoint, module, optimizers, device)
    started = last_saved = time.monotonic()
    average = 0.0
    with _progress() as bar:
        task = bar.add_task(checkpoint.stem, total=steps, completed=first, loss="")
        stream = batches(rows, schedule.rows, seed, skip=first)
        for step in range(first, steps):
            value = _train_step(
                loss, next(stream), module, optimizers, schedule.factor(step, steps)
            )
            average = value if step == first else 0.98 * average + 0.02 * value
            bar.update(task, advance=1, loss=f"loss {average:.4f}")
            now = time.monotonic()
            if now - last_saved > _SAVE_SECONDS or step + 1 == steps:
                spent = seconds + now - started
                _save(checkpoint, module, optimizers, step + 1, spent)
                last_saved = now
    return (seconds + time.monotonic() - started) / 60


def _parameter_groups(
    module: torch.nn.Module,
) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """Muon's matrices (inside the layers), and all other parameters."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in module.named_parameters():
        inside = ".layers." in name and parameter.ndim == 2  # noqa: PLR2004
        (matrices if inside else others).append(parameter)
    return matrices, others


def _train_step(
    loss: Loss,
    batch: Batch,
    module: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    factor: float,
) -> float:
    device = next(module.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=_has_bfloat16(device)):
        value = loss(*(t.to(device) for t in (batch.ids, batch.labels, batch.mask)))
    torch.autograd.backward(value)
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("peak", group["lr"])
        optimizer.step()
        optimizer.zero_grad()
    return value.item()


def _has_bfloat16(device: torch.device) -> bool:
    return device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001


def _save(
    path: Path,
    module: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    step: int,
    seconds: float,
) -> None:
    part = path.with_suffix(".part")
    torch.save(
        {
            "module": module.state_dict(),
            "optimizers": [o.state_dict() for o in optimizers],
            "step": step,
            "seconds": seconds,
        },
        part,
    )
    part.replace(path)


def _resume(
    path: Path,
    module: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    device: torch.device,
) -> tuple[int, float]:
    """Load a checkpoint; returns the steps and seconds that it holds."""
    if not path.exists():
        return 0, 0.0
    saved = torch.load(path, map_location=device, weights_only=True)
    module.load_state_dict(saved["module"])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return saved["step"], saved["seconds"]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
