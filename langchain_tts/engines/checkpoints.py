"""Checkpoints on the disk: where they are and how large, without loading them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.tokens import explain, quietly

_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"


def local_folder(source: str | Path) -> Path:
    """The folder of a model; nothing is downloaded.

    Args:
        source: A folder in Hugging Face format, or the name of a model that is in the
            local Hugging Face cache.

    Raises:
        ModelLoadError: If there is neither.
    """
    folder = Path(source).expanduser()
    if not folder.exists():
        try:
            folder = Path(snapshot_download(str(source), local_files_only=True))
        except Exception as error:  # noqa: BLE001 (it raises many kinds for one thing)
            raise ModelLoadError(explain(str(source), error)) from None
    if not (folder / "config.json").is_file():
        msg = f"no model in {folder}: it has no config.json"
        raise ModelLoadError(msg)
    return folder.resolve()


def count_parameters(folder: Path) -> int:
    """Count a model's parameters without loading its weights.

    Plain weights are counted in the headers of their files. Where weights are packed
    (quantized) or in another format, the parameters of the architecture are counted.

    Args:
        folder: In Hugging Face format.

    Raises:
        ModelLoadError: If the files are damaged, or tell neither.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        files = _weight_files(folder)
        if files and "quantization_config" not in config:
            return sum(map(count_in_file, files))
        return _count_in_architecture(folder)
    except Exception as error:  # noqa: BLE001 (damaged files raise anything)
        raise ModelLoadError(explain(str(folder), error)) from None


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files that belong to the model; some folders have others too."""
    index = folder / _INDEX
    if index.is_file():
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return [folder / name for name in sorted(set(places.values()))]
    whole = folder / _WHOLE
    return [whole] if whole.is_file() else []


def count_in_file(file: Path) -> int:
    """Numbers in the tensors of a safetensors file, from its header."""
    with safe_open(file, framework="pt") as tensors:
        names = tensors.keys()
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)


def _count_in_architecture(folder: Path) -> int:
    with quietly(), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_config(config)
    return int(model.num_parameters())
