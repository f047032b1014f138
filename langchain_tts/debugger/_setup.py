"""What a saved session needs besides its checkpoints: the question and the context."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from langchain_tts.budget import Budget
from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.rewards.base import RewardModel
from langchain_tts.search.state import Message
from langchain_tts.strategies.context import AnyPolicy, SearchContext

_OBJECT = "object"
_PLAIN = [
    field.name
    for field in fields(SearchContext)
    if field.name not in {"policy", "prm", "budget"}
]


@dataclass(frozen=True)
class Setup:
    """What a session was started with.

    Args:
        messages: The conversation; the last message is the question.
        strategy: Name of the strategy.
        seed: Of the search.
        context: Models, budget and parameters.
    """

    messages: Sequence[Message]
    strategy: str
    seed: int
    context: SearchContext

    @property
    def question(self) -> str:
        """The last message."""
        return self.messages[-1]["content"] if self.messages else ""

    def to_json(self) -> str:
        """The setup as JSON, models by name; one given as an object keeps only that."""
        context = asdict(replace(self.context, policy="", prm=None))
        context |= {
            "policy": _reference(self.context.policy),
            "prm": _reference(self.context.prm),
            "budget": Budget.parse(self.context.budget).to_dict(),
        }
        return json.dumps(
            {
                "messages": list(self.messages),
                "strategy": self.strategy,
                "seed": self.seed,
                "context": context,
            }
        )


def read_setup(
    text: str,
    name: str,
    *,
    policy: AnyPolicy | None = None,
    prm: RewardModel | str | None = None,
) -> Setup:
    """Read a saved setup.

    Args:
        text: The JSON.
        name: Of the session.
        policy: The policy in place of the saved one; None takes that.
        prm: The verifier in place of the saved one; None takes that.

    Raises:
        DebuggerError: If a model was given as an object and is not given again.
    """
    saved = json.loads(text)
    context = saved["context"]
    return Setup(
        messages=saved["messages"],
        strategy=saved["strategy"],
        seed=saved["seed"],
        context=SearchContext(
            policy=policy or _named(context["policy"], name, "policy"),
            prm=prm or _named(context["prm"], name, "prm"),
            budget=Budget(**context["budget"]),
            **{key: context[key] for key in _PLAIN if key in context},
        ),
    )


def _reference(
    model: AnyPolicy | RewardModel | None,
) -> Mapping[str, Any] | str | None:
    if model is None or isinstance(model, str):
        return model
    return {_OBJECT: getattr(model, "name", None) or type(model).__name__}


def _named(reference: Any, session: str, kind: str) -> Any:
    if not isinstance(reference, Mapping):
        return reference
    msg = (
        f"session {session!r} was started with a {kind} that is an object "
        f"({reference[_OBJECT]!r}), which cannot be saved; give it again: "
        f"SearchDebugger.open({session!r}, file, {kind}=...)"
    )
    raise DebuggerError(msg)
