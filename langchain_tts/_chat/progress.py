"""Telling who listens how a search goes on: LangChain's handlers, and outer graphs.

A callback handler gets custom events, and so does `astream_events`. A LangGraph graph
that the model is called in gets them in its `stream_mode="custom"`, with or without
`subgraphs=True`: the search's own graph is not what is written to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    BaseCallbackManager,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

if TYPE_CHECKING:
    from langchain_tts.budget import Budget
    from langchain_tts.strategies.run import Superstep

EVENT = "tts_progress"
"""Name of the custom events, and `type` of what is written to an outer graph."""

_DEAF = (BaseCallbackHandler.on_custom_event, AsyncCallbackHandler.on_custom_event)


@dataclass(frozen=True)
class Audience:
    """Who listens to a search.

    Args:
        config: The callbacks of the run that searches; None where none of its handlers
            takes custom events.
        write: The stream writer of a graph around it; None where nobody reads it.
        run_id: Of the run that searches.
    """

    config: RunnableConfig | None
    write: Callable[[Any], None] | None
    run_id: str | None

    def tell(self, report: dict[str, Any]) -> None:
        """Tell everybody."""
        if self.config is not None:
            dispatch_custom_event(EVENT, report, config=self.config)
        if self.write is not None:
            self.write(report)

    async def atell(self, report: dict[str, Any]) -> None:
        """Tell everybody, handlers with async methods among them."""
        if self.config is not None:
            await adispatch_custom_event(EVENT, report, config=self.config)
        if self.write is not None:
            self.write(report)


def audience() -> Audience | None:
    """Who listens to what runs in this context; None: nobody does."""
    callbacks = ensure_config().get("callbacks")
    config, run_id = None, None
    if isinstance(callbacks, BaseCallbackManager) and callbacks.parent_run_id:
        run_id = str(callbacks.parent_run_id)
        if any(map(_takes_custom_events, callbacks.handlers)):
            config = RunnableConfig(callbacks=callbacks)
    write = _writer()
    if config is None and write is None:
        return None
    return Audience(config, write, run_id)


def _takes_custom_events(handler: BaseCallbackHandler) -> bool:
    deaf = type(handler).on_custom_event in _DEAF
    return not deaf and not handler.ignore_custom_event


def _writer() -> Callable[[Any], None] | None:
    """The stream writer of the graph that this runs in, where it leads anywhere."""
    from langgraph.runtime import Runtime, get_runtime

    try:
        runtime: Runtime[Any] | None = get_runtime()
    except RuntimeError:
        return None
    if runtime is None or _does_nothing(runtime.stream_writer):
        return None
    return runtime.stream_writer


def _does_nothing(function: Callable[..., Any]) -> bool:
    """Whether a function names nothing that it could do something with.

    A graph that nobody streams custom data from has an empty function as its writer,
    which LangGraph does not let be told apart otherwise.
    """
    code = getattr(function, "__code__", None)
    return code is not None and not code.co_names and not code.co_freevars


def report(
    superstep: Superstep,
    *,
    strategy: str,
    budget: Budget,
    certain: str,
    run_id: str | None,
) -> dict[str, Any]:
    """What is told of a superstep: plain JSON.

    Args:
        superstep: What was done.
        strategy: Name of the strategy.
        budget: Its limits.
        certain: What the answer is sure to start with so far.
        run_id: Of the chat model's run: several may report at once.
    """
    state = superstep.state
    tree = state.get("tree", [])
    return {
        "type": EVENT,
        "run_id": run_id,
        "strategy": strategy,
        "node": superstep.node,
        "round": state.get("round", 0),
        "candidates": [
            {
                "id": candidate["id"],
                "parent": candidate["parent"],
                "text": candidate["text"],
                "score": candidate["score"],
                "status": candidate["status"],
            }
            for candidate in map(tree.__getitem__, superstep.changed)
        ],
        "certain": certain,
        "spent": dict(state.get("spent", {})),
        "budget": budget.to_dict(),
        "stop_reason": state.get("stop_reason"),
        **({"route": state["route"]} if "route" in state else {}),
    }
