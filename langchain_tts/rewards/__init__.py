"""Verifiers: process reward models (PRMs) and others that score, one file a kind."""

from __future__ import annotations

from dataclasses import astuple
from functools import partial
from typing import TYPE_CHECKING

from langchain_tts._loading import Loading
from langchain_tts._names import SERVER, parse_name
from langchain_tts.engines.errors import (
    ModelLoadError,
    PromptTooLongError,
    UnknownModelError,
)
from langchain_tts.rewards.base import RewardModel
from langchain_tts.rewards.formats import (
    StepFormat,
    read_config,
    register_format,
    self_test,
    step_format,
)
from langchain_tts.rewards.formats.registry import OTHER_KINDS
from langchain_tts.rewards.reader import ClassHead, LabelHead, ValueHead
from langchain_tts.tinymath import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.rewards.reader import Head, Reader

__all__ = [
    "ClassHead",
    "LabelHead",
    "ModelLoadError",
    "PromptTooLongError",
    "RewardModel",
    "StepFormat",
    "UnknownModelError",
    "ValueHead",
    "register_format",
    "resolve_prm",
]

_EMBEDDED = {
    "tinymath": "verifier",
    "tinymath-implicit": "verifier",
    "tinymath-tag": "tag-prm",
    "tinymath-medium": "policy-large",
    "tinymath-weak": "weak-prm",
    "tinymath-tools": "tool-verifier",
}
_BACKENDS = {
    "transformers": "a model in this process, e.g. transformers:FOLDER",
    "vllm": "a vLLM engine in this process, e.g. vllm:FOLDER_OR_MODEL",
    SERVER: "a vLLM server, e.g. http://127.0.0.1:8000/v1",
}

_resolved: dict[str, RewardModel] = {}
_loading = Loading()


def resolve_prm(name: str | RewardModel | None) -> RewardModel | None:
    """Find a verifier by its name; each is loaded once a process.

    Args:
        name: One of
            - `tinymath` (the default embedded verifier), `tinymath-implicit`,
              `tinymath-tag`, `tinymath-medium`, `tinymath-weak`, and `tinymath-tools`
              for turns of the policy of that name;
            - `transformers:` or `vllm:` and a folder in Hugging Face format (or a model
              in the local Hugging Face cache), or the address of a vLLM server. Its
              format (`math-shepherd`, `rlhflow`, `skywork`, `qwen2.5-math`, `math-psa`,
              `tinymath-tag`, `outcome`, `generative`, `implicit`, or one from
              `register_format`) is told by the option
              `format`, e.g. `vllm:FOLDER?format=math-shepherd`, else by the model's
              `prm_config.json`, its name if it is a published one, or its architecture;
            - a verifier, which is returned as it is;
            - None, which stays None: search without a verifier.

    Raises:
        UnknownModelError: If there is no verifier of that name.
        ModelLoadError: If its files are missing or damaged, or not what its format
            needs.
    """
    if name is None or isinstance(name, RewardModel):
        return name
    return _loading.get(_resolved, name, lambda: _load(name))


def name_of(prm: RewardModel) -> str | None:
    """The name that a verifier was found by; None if it was made in another way."""
    return next((name for name, known in list(_resolved.items()) if known is prm), None)


def _load(name: str) -> RewardModel:
    """Open the kind of verifier that the model's configuration names."""
    backend, source, options = astuple(parse_name(name))
    if name in _EMBEDDED:
        backend, source = "transformers", str(WEIGHTS / _EMBEDDED[name])
    if backend not in _BACKENDS or not source:
        known = "; ".join([", ".join(_EMBEDDED), *_BACKENDS.values()])
        msg = f"unknown verifier {name!r}; the verifiers are {known}"
        raise UnknownModelError(msg)
    config = read_config(
        _described(backend, source, options), options.pop("format", None)
    )
    if config["format"] == "generative":
        from langchain_tts.rewards.generative_models import open_generative

        return open_generative(
            backend,
            source,
            config,
            options,
            name=name,
            reader=lambda head: _reader(backend, source, head, options),
        )
    if config["format"] in OTHER_KINDS:
        if backend != "transformers" or options:
            msg = (
                f"verifiers of format {config['format']!r} run in this process without "
                f"options, so {name!r} cannot be opened; use transformers:{source}"
            )
            raise ModelLoadError(msg)
        return _other_kind(source, config, name)
    from langchain_tts.rewards.step_prm import StepPRM

    written = step_format(config)
    # Tested before any weights are loaded, which may take minutes.
    head = partial(self_test, written)
    return StepPRM(_reader(backend, source, head, options), written, name=name)


def _other_kind(source: str, config: dict[str, Any], name: str) -> RewardModel:
    """Open a verifier that is no step format; one branch a kind."""
    if config["format"] == "implicit":
        from langchain_tts.rewards.implicit import ImplicitPRM

        return ImplicitPRM.from_config(source, config, name=name)
    from langchain_tts.rewards.outcome import OutcomeModel

    return OutcomeModel(source, name=name)


def _described(backend: str, source: str, options: dict[str, Any]) -> str:
    """Whose files describe a model: its own, or for a server what it has loaded."""
    if backend != SERVER:
        return source
    from langchain_tts.rewards.served import served_source

    return served_source(source.split(","), options)


def _reader(
    backend: str,
    source: str,
    head: Callable[[ModelTokenizer], Head],
    options: dict[str, Any],
) -> Reader:
    # Engines are imported by who needs them: torch takes seconds, vLLM many.
    if backend == "transformers":
        from langchain_tts.rewards.transformers import TransformersReader

        return TransformersReader(source, head, **options)
    if backend == "vllm":
        from langchain_tts.rewards.vllm import VLLMReader

        return VLLMReader(source, head, **options)
    from langchain_tts.rewards.server import ServerReader

    return ServerReader(source.split(","), head, **options)
