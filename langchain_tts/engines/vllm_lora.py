"""Adapters in PEFT format, as vLLM takes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from langchain_tts.engines.errors import ModelLoadError

if TYPE_CHECKING:
    from pathlib import Path

    from vllm.lora.request import LoRARequest

WEIGHTS_FILE = "adapter_model.safetensors"
"""Where PEFT saves an adapter's weights."""

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Those that vLLM knows."""

_adapters: dict[str, int] = {}


def find_rank(adapter: Path) -> int:
    """The rank that vLLM must be ready for.

    Args:
        adapter: The adapter's folder.

    Raises:
        ModelLoadError: If it is none, or its rank is too large.
    """
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
        rank = int(settings["r"])
        if not (adapter / WEIGHTS_FILE).is_file():
            raise FileNotFoundError(WEIGHTS_FILE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = (
            f"no LoRA adapter in {adapter}: give the path of a folder with "
            f"adapter_config.json and {WEIGHTS_FILE}, as PEFT saves them ({error})"
        )
        raise ModelLoadError(msg) from None
    larger = [known for known in _RANKS if known >= rank]
    if not larger:
        msg = f"the LoRA adapter in {adapter} has rank {rank}; vLLM reads up to 512"
        raise ModelLoadError(msg)
    return larger[0]


def lora_request(adapter: Path) -> LoRARequest:
    """What vLLM is told of an adapter with each request."""
    from vllm.lora.request import LoRARequest

    # Each adapter of a process needs a number of its own.
    number = _adapters.setdefault(str(adapter), len(_adapters) + 1)
    return LoRARequest(adapter.name, number, str(adapter))
