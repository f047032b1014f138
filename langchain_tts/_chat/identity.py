"""What a chat model's policy and verifier are called, in traces, caches and pickles."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.language_models import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel

from langchain_tts.policies import Policy, resolve_policy
from langchain_tts.policies import name_of as policy_name_of
from langchain_tts.rewards import RewardModel
from langchain_tts.rewards import name_of as prm_name_of
from langchain_tts.strategies.context import AnyPolicy

_PROCESS = uuid.uuid4().hex


class UnnamedModelError(TypeError):
    """A loaded model where a name is needed."""


def model_name(model: object) -> str:
    """The name of a policy, however it was given."""
    if isinstance(model, str):
        return model
    if isinstance(model, BaseChatModel):
        model = resolve_policy(model)
    return getattr(model, "name", None) or type(model).__name__


def identity(model: AnyPolicy | RewardModel) -> str:
    """What tells two models apart in a cache key.

    A name identifies a model; an object without one is known in this process only. A
    model that is more than its name says so itself.
    """
    if isinstance(model, str):
        return model
    if isinstance(model, BaseChatModel):
        model = resolve_policy(model)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if own := getattr(model, "identity", None):
        return f"{kind}:{own}"
    return f"{kind}:{model.name or f'{_PROCESS}:{id(model)}'}:{model.num_parameters}"


def portable(model: Any) -> Any:
    """A policy or a verifier in a form that another process can read.

    Args:
        model: A name, None, a chat model (which is its own affair), or a loaded model.

    Returns:
        The same; a loaded model's name, if it was loaded by that name.

    Raises:
        UnnamedModelError: If a loaded model was made in another way.
    """
    if model is None or isinstance(model, (str, BaseChatModel)):
        return model
    name = policy_name_of(model) if isinstance(model, Policy) else prm_name_of(model)
    if name is not None:
        return name
    msg = (
        f"{type(model).__name__} {model.name!r} is a loaded model, which no other "
        "process can be given; set up the chat model with a name, e.g. "
        "policy='vllm:MODEL', prm='tinymath'"
    )
    raise UnnamedModelError(msg)


def with_models(
    parameters: Mapping[str, Any], name: Callable[[Any], Any]
) -> dict[str, Any]:
    """Parameters of a search with the policies of a cascade under other names."""
    if not parameters.get("cascade"):
        return dict(parameters)
    return {**parameters, "cascade": [name(one) for one in parameters["cascade"]]}


def langsmith_params(
    model: Mapping[str, Any], stop: list[str] | None, call: Mapping[str, Any]
) -> LangSmithParams:
    """What LangSmith is told of a call.

    Args:
        model: The fields of the chat model.
        stop: Of the call.
        call: The call's own settings.
    """
    values = {**model, **call}
    params = LangSmithParams(
        ls_provider="langchain_tts",
        ls_model_name=model_name(call.get("model", values["policy"])),
        ls_model_type="chat",
        ls_temperature=values["temperature"],
    )
    if values["max_tokens"] is not None:
        params["ls_max_tokens"] = values["max_tokens"]
    if stop := stop if stop is not None else model["stop"]:
        params["ls_stop"] = stop
    return params
