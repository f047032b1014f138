"""Process reward models (PRMs): the verifiers that score steps, one file a kind."""

from __future__ import annotations

import threading
from pathlib import Path

from langchain_tts.engines.errors import (
    ModelLoadError,
    PromptTooLongError,
    UnknownModelError,
)
from langchain_tts.rewards.base import RewardModel
from langchain_tts.rewards.formats import CONFIG, causal_format, read_config
from langchain_tts.tinymath import WEIGHTS

__all__ = [
    "ModelLoadError",
    "PromptTooLongError",
    "RewardModel",
    "UnknownModelError",
    "resolve_prm",
]

_EMBEDDED = {
    "tinymath": "verifier",
    "tinymath-implicit": "verifier",
    "tinymath-tag": "tag-prm",
    "tinymath-weak": "weak-prm",
}
_TRANSFORMERS = "transformers:"

_resolved: dict[str, RewardModel] = {}
_lock = threading.Lock()


def resolve_prm(name: str | RewardModel | None) -> RewardModel | None:
    """Find a verifier by its name; each is loaded once a process.

    Args:
        name: `tinymath` (the default embedded verifier), `tinymath-implicit`,
            `tinymath-tag`, `tinymath-weak`, or `transformers:` and a folder in Hugging
            Face format with a `prm_config.json`. A verifier is returned as it is, and
            None stays None: search without a verifier.

    Raises:
        UnknownModelError: If there is no verifier of that name.
        ModelLoadError: If its files are missing or damaged.
    """
    if name is None or isinstance(name, RewardModel):
        return name
    with _lock:
        if name not in _resolved:
            _resolved[name] = _load(name, _folder(name))
        return _resolved[name]


def _folder(name: str) -> Path:
    if name in _EMBEDDED:
        return WEIGHTS / _EMBEDDED[name]
    if name.startswith(_TRANSFORMERS) and name != _TRANSFORMERS:
        return Path(name.removeprefix(_TRANSFORMERS)).expanduser()
    known = ", ".join([*_EMBEDDED, f"{_TRANSFORMERS}FOLDER"])
    msg = f"unknown verifier {name!r}; the verifiers are {known}"
    raise UnknownModelError(msg)


def _load(name: str, folder: Path) -> RewardModel:
    """Read the folder's configuration and load the kind of verifier it names.

    Models are imported here and not before: torch takes seconds to import.
    """
    config = read_config(folder)
    if config["format"] != "implicit":
        from langchain_tts.rewards.causal import CausalPRM

        return CausalPRM(folder, causal_format(config), name=name)
    from langchain_tts.rewards.implicit import ImplicitPRM

    try:
        scale, offset = float(config["scale"]), float(config["offset"])
    except (KeyError, TypeError, ValueError):
        msg = f'{folder / CONFIG} must give the numbers "scale" and "offset"'
        raise ModelLoadError(msg) from None
    reference = config.get("reference")
    return ImplicitPRM(
        folder,
        scale=scale,
        offset=offset,
        # The policy it was calibrated with lies beside it.
        reference=folder.parent / reference if reference else None,
        name=name,
    )
