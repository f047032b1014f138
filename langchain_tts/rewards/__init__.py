"""Verifiers: process reward models (PRMs) and others that score, one file a kind."""

from __future__ import annotations

import threading
from dataclasses import astuple
from typing import TYPE_CHECKING

from langchain_tts._names import SERVER, parse_name
from langchain_tts.engines.errors import (
    ModelLoadError,
    PromptTooLongError,
    UnknownModelError,
)
from langchain_tts.rewards.base import RewardModel
from langchain_tts.rewards.formats import read_config, step_format
from langchain_tts.tinymath import WEIGHTS

if TYPE_CHECKING:
    from typing import Any

    from langchain_tts.rewards.formats import StepFormat
    from langchain_tts.rewards.reader import Reader

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
_BACKENDS = {
    "transformers": "a model in this process, e.g. transformers:FOLDER",
    "vllm": "a vLLM engine in this process, e.g. vllm:FOLDER_OR_MODEL",
    SERVER: "a vLLM server, e.g. http://127.0.0.1:8000/v1",
}

_resolved: dict[str, RewardModel] = {}
_lock = threading.Lock()


def resolve_prm(name: str | RewardModel | None) -> RewardModel | None:
    """Find a verifier by its name; each is loaded once a process.

    Args:
        name: One of
            - `tinymath` (the default embedded verifier), `tinymath-implicit`,
              `tinymath-tag`, `tinymath-weak`;
            - `transformers:` or `vllm:` and a folder in Hugging Face format (or a model
              in the local Hugging Face cache), or the address of a vLLM server; the
              model's configuration tells its format, or the option `format` does, e.g.
              `vllm:FOLDER?format=math-shepherd`;
            - a verifier, which is returned as it is;
            - None, which stays None: search without a verifier.

    Raises:
        UnknownModelError: If there is no verifier of that name.
        ModelLoadError: If its files are missing or damaged, or not what its format
            needs.
    """
    if name is None or isinstance(name, RewardModel):
        return name
    with _lock:
        if name not in _resolved:
            _resolved[name] = _load(name)
        return _resolved[name]


def _load(name: str) -> RewardModel:
    """Open the kind of verifier that the model's configuration names."""
    backend, source, options = astuple(parse_name(name))
    if name in _EMBEDDED:
        backend, source = "transformers", str(WEIGHTS / _EMBEDDED[name])
    if backend not in _BACKENDS or not source:
        known = "; ".join([", ".join(_EMBEDDED), *_BACKENDS.values()])
        msg = f"unknown verifier {name!r}; the verifiers are {known}"
        raise UnknownModelError(msg)
    config = read_config(source, options.pop("format", None))
    if config["format"] == "implicit":
        from langchain_tts.rewards.implicit import ImplicitPRM

        return ImplicitPRM.from_config(source, config, name=name)
    from langchain_tts.rewards.step_prm import StepPRM

    written = step_format(config)
    return StepPRM(_reader(backend, source, written, options), written, name=name)


def _reader(
    backend: str, source: str, written: StepFormat, options: dict[str, Any]
) -> Reader:
    # Engines are imported by who needs them: torch takes seconds, vLLM many.
    if backend == "transformers":
        from langchain_tts.rewards.transformers import TransformersReader

        return TransformersReader(source, written.head, **options)
    if backend == "vllm":
        from langchain_tts.rewards.vllm import VLLMReader

        return VLLMReader(source, written.head, **options)
    from langchain_tts.rewards.server import ServerReader

    return ServerReader(source.split(","), written.head, **options)
