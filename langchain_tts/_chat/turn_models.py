"""What a call with tools, or with a schema, is answered by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_tts.search.state import Message
from langchain_tts.strategies._registry import get_strategy
from langchain_tts.strategies.context import SearchContext

EMBEDDED, EMBEDDED_TOOLS = "tinymath", "tinymath-tools"
"""The embedded models, and those of them that have learned to call tools."""


def for_turns(
    strategy: str, context: SearchContext, messages: Sequence[Message]
) -> tuple[str, SearchContext, list[str]]:
    """The strategy and the models of a search.

    A strategy that searches steps knows no turns, so another one takes its place where
    the answer is one. Where a conversation is about tools, the embedded models come in
    a form that knows them.

    Returns:
        The strategy, the context, and what was changed that a user should know.
    """
    if context.policy == EMBEDDED and (context.turn or _knows_tools(messages)):
        prm = EMBEDDED_TOOLS if context.prm == EMBEDDED else context.prm
        context = replace(context, policy=EMBEDDED_TOOLS, prm=prm)
    if context.turn is None or get_strategy(strategy).turns:
        return strategy, context, []
    instead = "majority_vote" if context.prm is None else "best_of_n"
    note = (
        f"strategy {strategy!r} knows no tool calls or schemas, so {instead!r} was used"
    )
    return instead, context, [note]


def _knows_tools(messages: Sequence[Message]) -> bool:
    return any("tool_calls" in one or one["role"] == "tool" for one in messages)
