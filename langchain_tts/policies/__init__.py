"""Policies: the language models that propose steps, one file a backend."""

from __future__ import annotations

import threading
from dataclasses import astuple

from langchain_core.language_models.chat_models import BaseChatModel

from langchain_tts._names import SERVER, parse_name
from langchain_tts.engines.errors import (
    ModelLoadError,
    PromptTooLongError,
    UnknownModelError,
)
from langchain_tts.engines.replies import opening
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
_BACKENDS = {
    "transformers": "a model in this process, e.g. transformers:FOLDER",
    "vllm": "a vLLM engine in this process, e.g. vllm:FOLDER_OR_MODEL",
    SERVER: "a server, e.g. http://127.0.0.1:8000/v1",
}

_resolved: dict[str, Policy] = {}
_lock = threading.Lock()


def resolve_policy(name: str | Policy | BaseChatModel) -> Policy:
    """Find a policy by its name; each is loaded once a process.

    Args:
        name: One of
            - `tinymath`, `tinymath-small`, `tinymath-large`, `tinymath-reviser`;
            - `transformers:` or `vllm:` and a folder in Hugging Face format (or a model
              in the local Hugging Face cache), with options after a question mark, e.g.
              `vllm:FOLDER?dtype=float32&max_model_len=4096`;
            - the address of an OpenAI-compatible server, or several with commas;
            - a LangChain chat model, for strategies that need whole answers only;
            - a policy, which is returned as it is.

    Raises:
        UnknownModelError: If there is no policy of that name.
        ModelLoadError: If its files are missing or damaged.
    """
    if isinstance(name, Policy):
        return name
    if isinstance(name, BaseChatModel):
        from langchain_tts.policies.chat import policy_of

        return policy_of(name)
    with _lock:
        if name not in _resolved:
            with opening():
                _resolved[name] = _load(name)
        return _resolved[name]


def _load(name: str) -> Policy:
    # Engines are imported by who needs them: torch takes seconds, vLLM many.
    backend, source, options = astuple(parse_name(name))
    if name in _EMBEDDED or (backend == "transformers" and source):
        from langchain_tts.policies.transformers import TransformersPolicy

        folder = str(WEIGHTS / _EMBEDDED[name]) if name in _EMBEDDED else source
        policy = TransformersPolicy(folder, name=name, **options)
        if name == _REVISER:
            policy.revise_prompt = REVISE
        return policy
    if backend == "vllm" and source:
        from langchain_tts.policies.vllm import VLLMPolicy

        return VLLMPolicy(source, name=name, **options)
    if backend == SERVER:
        from langchain_tts.policies.server import ServerPolicy

        return ServerPolicy(source.split(","), name=name, **options)
    known = "; ".join([", ".join(_EMBEDDED), *_BACKENDS.values()])
    msg = f"unknown policy {name!r}; the policies are {known}"
    raise UnknownModelError(msg)
