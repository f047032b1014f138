"""Policies: the language models that propose steps, one file a backend."""

from __future__ import annotations

from dataclasses import astuple

from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import SecretStr

from langchain_tts._loading import Loading
from langchain_tts._names import SERVER, parse_name
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
    "tinymath-tools": "tool-policy",
    "tinymath-solver": "solver-policy",
}
_BACKENDS = {
    "transformers": "a model in this process, e.g. transformers:FOLDER",
    "vllm": "a vLLM engine in this process, e.g. vllm:FOLDER_OR_MODEL",
    SERVER: "a server, e.g. http://127.0.0.1:8000/v1",
}

_resolved: dict[str | tuple[str, SecretStr], Policy] = {}
_loading = Loading()


def resolve_policy(
    name: str | Policy | BaseChatModel, *, api_key: SecretStr | None = None
) -> Policy:
    """Find a policy by its name; each is loaded once a process.

    Args:
        name: One of
            - `tinymath`, `tinymath-small`, `tinymath-large`, `tinymath-reviser`,
              `tinymath-tools`, which can call a calculator, and `tinymath-solver`,
              which writes constraints for a solver;
            - `transformers:` or `vllm:` and a folder in Hugging Face format (or a model
              in the local Hugging Face cache), with options after a question mark, e.g.
              `vllm:FOLDER?dtype=float32&max_model_len=4096`;
            - the address of an OpenAI-compatible server, or several with commas;
            - a LangChain chat model, for strategies that need whole answers only;
            - a policy, which is returned as it is.
        api_key: The key of a server that is named by its address; without one it is
            read from the environment. Callers with different keys share no policy.

    Raises:
        UnknownModelError: If there is no policy of that name.
        ModelLoadError: If its files are missing or damaged.
        ValueError: If a key is given for what is no server's address.
    """
    if api_key is not None and not is_server(name):
        shown = repr(name) if isinstance(name, str) else f"of {type(name).__name__}"
        msg = (
            f"policy {shown} takes no api_key: one is given with the address of a "
            "server, and a chat model is set up with its own"
        )
        raise ValueError(msg)
    if isinstance(name, Policy):
        return name
    if isinstance(name, BaseChatModel):
        from langchain_tts.policies.chat import policy_of

        return policy_of(name)
    key = name if api_key is None else (name, api_key)
    return _loading.get(_resolved, key, lambda: _load(name, api_key))


def name_of(policy: Policy) -> str | None:
    """The name that a policy was found by; None if it was made in another way."""
    for key, known in list(_resolved.items()):
        if known is policy:
            return key if isinstance(key, str) else key[0]
    return None


def source_of(name: str) -> str | None:
    """The folder or model of a policy that runs in this process."""
    if name in _EMBEDDED:
        return str(WEIGHTS / _EMBEDDED[name])
    return None if is_server(name) else parse_name(name).source


def is_server(name: object) -> bool:
    """Whether a policy is named by the address of a server."""
    return isinstance(name, str) and parse_name(name).backend == SERVER


def _load(name: str, api_key: SecretStr | None) -> Policy:
    # Engines are imported by who needs them: torch takes seconds, vLLM many.
    backend, source, options = astuple(parse_name(name))
    if name in _EMBEDDED or (backend == "transformers" and source):
        from langchain_tts.policies.transformers import TransformersPolicy

        folder = str(WEIGHTS / _EMBEDDED[name]) if name in _EMBEDDED else source
        policy = TransformersPolicy(folder, name=name, **options)
        if name in _EMBEDDED:
            policy.solve_prompt = policy.calculate_prompt = ""
        if name == _REVISER:
            policy.revise_prompt = REVISE
        return policy
    if backend == "vllm" and source:
        from langchain_tts.policies.vllm import VLLMPolicy

        return VLLMPolicy(source, name=name, **options)
    if backend == SERVER:
        from langchain_tts.policies.server import ServerPolicy

        urls = source.split(",")
        return ServerPolicy(urls, name=name, api_key=api_key, **options)
    known = "; ".join([", ".join(_EMBEDDED), *_BACKENDS.values()])
    msg = f"unknown policy {name!r}; the policies are {known}"
    raise UnknownModelError(msg)
