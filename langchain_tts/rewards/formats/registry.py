"""The formats by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.formats.base import StepFormat
from langchain_tts.rewards.formats.math_psa import MathPsaFormat
from langchain_tts.rewards.formats.math_shepherd import MathShepherdFormat
from langchain_tts.rewards.formats.qwen_math import QwenMathFormat
from langchain_tts.rewards.formats.rlhflow import RLHFlowFormat
from langchain_tts.rewards.formats.skywork import SkyworkFormat
from langchain_tts.rewards.formats.tag import TagFormat

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER_KINDS = ("implicit", "outcome", "generative")
"""Verifiers that are no step formats, but are named in the same place."""

_formats: dict[str, Callable[..., StepFormat]] = {
    "math-shepherd": MathShepherdFormat,
    "rlhflow": RLHFlowFormat,
    "skywork": SkyworkFormat,
    "qwen2.5-math": QwenMathFormat,
    "math-psa": MathPsaFormat,
    "tinymath-tag": TagFormat,
}


def register_format(name: str, kind: type[StepFormat]) -> None:
    """Make a format of your own known, for `format=` and `prm_config.json`.

    Args:
        name: What it is to be called.
        kind: A subclass of `StepFormat`. It is made without arguments, or with those
            that stand beside `"format"` in `prm_config.json`.

    Raises:
        TypeError: If it is not a subclass of `StepFormat`.
        ValueError: If the name stands for something else already.
    """
    given: object = kind
    if not (isinstance(given, type) and issubclass(given, StepFormat)):
        msg = f"a format is a subclass of StepFormat, not {kind!r}"
        raise TypeError(msg)
    if name in OTHER_KINDS or _formats.get(name, kind) is not kind:
        msg = f"format {name!r} exists already; choose another name"
        raise ValueError(msg)
    _formats[name] = kind


def known_formats() -> list[str]:
    """All names that a configuration may use."""
    return [*_formats, *OTHER_KINDS]


def step_format(config: dict[str, Any]) -> StepFormat:
    """The format that a configuration names, with its settings.

    Args:
        config: From `read_config`.

    Raises:
        ModelLoadError: If a setting is unknown.
    """
    settings = {key: value for key, value in config.items() if key != "format"}
    try:
        return _formats[config["format"]](**settings)
    except TypeError as error:
        msg = (
            f"format {config['format']!r} cannot be made with the settings "
            f"{settings}: {error}"
        )
        raise ModelLoadError(msg) from None
