"""Which format a verifier has: what the user says, else what its own files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.formats.registry import known_formats

CONFIG = "prm_config.json"
"""Beside a verifier's weights: says how it is to be read."""

_MODELS = {
    "peiyi9979/math-shepherd-mistral-7b-prm": "math-shepherd",
    "RLHFlow/Llama3.1-8B-PRM-Mistral-Data": "rlhflow",
    "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": "rlhflow",
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B": "skywork",
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B": "skywork",
    "Qwen/Qwen2.5-Math-PRM-7B": "qwen2.5-math",
    "Qwen/Qwen2.5-Math-PRM-72B": "qwen2.5-math",
    "openreasoner/Math-psa": "math-psa",
}
"""Published models by their whole names. A path that merely looks like one says nothing
about what lies there."""
_ARCHITECTURES = {
    "Qwen2ForProcessRewardModel": "qwen2.5-math",
    "Qwen2ForPrmModel": "skywork",
}
"""Architectures that only one family has."""
CLASSIFIER = "ForSequenceClassification"
"""How the architectures of outcome models end."""


def read_config(source: str, named: str | None = None) -> dict[str, Any]:
    """Find out how a verifier is to be used.

    Args:
        source: A folder in Hugging Face format, or the name of a model.
        named: A format that the caller names. It counts before what `prm_config.json`
            says, that before the model's name, and that before its architecture.

    Returns:
        `"format"`, and the settings that stand beside it in `prm_config.json`.

    Raises:
        ModelLoadError: If nothing tells the format, or if there is no such format.
    """
    described = _read(source, CONFIG)
    if described is not None and named is None and "format" not in described:
        msg = f'cannot read {CONFIG} of {source}: it must name a "format"'
        raise ModelLoadError(msg)
    config = described or {}
    name = named or config.get("format") or _MODELS.get(source) or _told(source)
    known = ", ".join(known_formats())
    if name is None:
        msg = (
            f"nothing tells the format of verifier {source}: it has no {CONFIG}, is no "
            "published model by its name, and has no architecture of a verifier; name "
            f'its format with the option "format" or in {CONFIG}: one of {known}'
        )
        raise ModelLoadError(msg)
    if name not in known_formats():
        msg = f"verifier {source} asks for format {name!r}; the formats are {known}"
        raise ModelLoadError(msg)
    return {**config, "format": name}


def _told(source: str) -> str | None:
    """The format that the model's architecture has, if it is one of a verifier."""
    config = _read(source, "config.json") or {}
    for architecture in config.get("architectures") or []:
        if architecture in _ARCHITECTURES:
            return _ARCHITECTURES[architecture]
        if architecture.endswith(CLASSIFIER):
            return "outcome"
    return None


def _read(source: str, file: str) -> dict[str, Any] | None:
    """A JSON file of a model, None if it is not there."""
    path = _find(source, file)
    if path is None:
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        msg = f"cannot read {path}: expected a JSON object"
        raise ModelLoadError(msg) from None


def _find(source: str, file: str) -> Path | None:
    """Where a model's file is: in its folder, or in the local Hugging Face cache."""
    folder = Path(source).expanduser()
    if folder.exists():
        return folder / file if (folder / file).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(source, file)
    except ValueError:
        # Not even the form of a model's name: an address, a path that does not exist.
        return None
    return Path(cached) if isinstance(cached, str) else None
