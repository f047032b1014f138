"""Generative PRMs by name: which backend writes and reads, and the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tts._names import SERVER
from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.critiques import CRITIQUE_FORMATS
from langchain_tts.rewards.generative import GenerativePRM

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.policies.base import Policy
    from langchain_tts.rewards.reader import Head, Reader

SETTINGS = ("style", "critiques", "max_tokens", "temperature")
"""What a name or `prm_config.json` may say; see `GenerativePRM`."""


def open_generative(
    backend: str,
    source: str,
    config: dict[str, Any],
    options: dict[str, Any],
    *,
    name: str,
    reader: Callable[[Callable[[ModelTokenizer], Head]], Reader],
) -> GenerativePRM:
    """Open a model as a generative PRM.

    Args:
        backend: `transformers`, `vllm` or `http`.
        source: A folder, a model, or addresses with commas between them.
        config: What `prm_config.json` says.
        options: What the name says. Settings are taken out of it; the others are the
            engine's.
        name: What the user asked for.
        reader: Opens the reader, given how to find its head.

    Raises:
        ModelLoadError: If a setting is unknown, or the model cannot be opened.
    """
    settings = {key: value for key, value in config.items() if key != "format"}
    for setting in SETTINGS:
        if setting in options:
            settings[setting] = options.pop(setting)
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        msg = f"format 'generative' has no setting {unknown[0]!r}, only {SETTINGS}"
        raise ModelLoadError(msg)
    style = settings.pop("style", "plain")
    if style not in CRITIQUE_FORMATS:
        known = ", ".join(CRITIQUE_FORMATS)
        msg = f"format 'generative' has no style {style!r}; the styles are {known}"
        raise ModelLoadError(msg)
    critique_format = CRITIQUE_FORMATS[style]()
    opened = reader(critique_format.head)
    try:
        return GenerativePRM(
            _writer(backend, source, options),
            opened,
            critique_format,
            name=name,
            **settings,
        )
    except ValueError as error:
        raise ModelLoadError(str(error)) from None


def _writer(backend: str, source: str, options: dict[str, Any]) -> Policy:
    """The same model as the reader's, without a system prompt of its own."""
    if backend == "transformers":
        from langchain_tts.policies.transformers import TransformersPolicy

        return TransformersPolicy(source, family="none")
    if backend == SERVER:
        from langchain_tts.policies.server import ServerPolicy

        return ServerPolicy(source.split(","), family="none", **options)
    from langchain_tts.policies.vllm import VLLMPolicy

    return VLLMPolicy(source, family="none", **options)
