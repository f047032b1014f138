"""Policies: the language models that propose steps, one file a backend."""

from __future__ import annotations

import threading

from langchain_tts.engines.errors import (
    ModelLoadError,
    PromptTooLongError,
    UnknownModelError,
)
from langchain_tts.policies.base import Policy
from langchain_tts.tinymath import REVISE, WEIGHTS

__all__ = [
    "ModelLoadError",
    "Policy",
    "PromptTooLongError",
    "UnknownModelError",
    "resolve_policy",
]

_REVISER = "tinymath-reviser"
_EMBEDDED = {
    "tinymath": "policy",
    "tinymath-small": "policy-small",
    "tinymath-large": "policy-large",
    _REVISER: "reviser",
}
_TRANSFORMERS = "transformers:"

_resolved: dict[str, Policy] = {}
_lock = threading.Lock()


def resolve_policy(name: str | Policy) -> Policy:
    """Find a policy by its name; each is loaded once a process.

    Args:
        name: `tinymath`, `tinymath-small`, `tinymath-large`, `tinymath-reviser`, or
            `transformers:` and a folder in Hugging Face format (or a model in the local
            Hugging Face cache). A policy is returned as it is.

    Raises:
        UnknownModelError: If there is no policy of that name.
        ModelLoadError: If its files are missing or damaged.
    """
    if isinstance(name, Policy):
        return name
    with _lock:
        if name not in _resolved:
            _resolved[name] = _load(name)
        return _resolved[name]


def _load(name: str) -> Policy:
    if name in _EMBEDDED:
        source = str(WEIGHTS / _EMBEDDED[name])
    elif name.startswith(_TRANSFORMERS) and name != _TRANSFORMERS:
        source = name.removeprefix(_TRANSFORMERS)
    else:
        known = ", ".join([*_EMBEDDED, f"{_TRANSFORMERS}FOLDER"])
        msg = f"unknown policy {name!r}; the policies are {known}"
        raise UnknownModelError(msg)
    # Not before a model is wanted: torch takes seconds to import.
    from langchain_tts.policies.transformers import TransformersPolicy

    policy = TransformersPolicy(source, name=name)
    if name == _REVISER:
        policy.revise_prompt = REVISE
    return policy
