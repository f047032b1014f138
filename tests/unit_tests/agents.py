"""What the tests of agents have in common: a policy with a script, and tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException, tool

from langchain_tts import TTSChatModel
from langchain_tts.policies.base import GenerationRequest
from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import write_turn
from tests.unit_tests.scripted import ScriptedPolicy

QUESTION = "What is 6*7?"
ASK: Any = {"messages": [{"role": "user", "content": QUESTION}]}

Turns = Callable[[Sequence[Message], int], str]
"""The turn of a conversation and the place of the sample among its siblings."""


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


@tool
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@tool
def divide(a: int, b: int) -> float:
    """Divide two numbers."""
    if b == 0:
        msg = "division by zero"
        raise ToolException(msg)
    return a / b


divide.handle_tool_error = True
TOOLS: list[BaseTool] = [multiply, add, divide]


def calling(name: str, **arguments: Any) -> str:
    """A turn that calls one tool."""
    return write_turn("", [ToolCall(name=name, arguments=arguments)])


def results(messages: Sequence[Message]) -> list[str]:
    """What tools said since the user spoke last."""
    said: list[str] = []
    for message in messages:
        if message["role"] == "user":
            said = []
        elif message["role"] == "tool":
            said.append(message["content"])
    return said


def multiplies(messages: Sequence[Message], _place: int = 0) -> str:
    """Asks the tool, then answers."""
    said = results(messages)
    return f"It is {said[-1]}." if said else calling("multiply", a=6, b=7)


def mostly(right: Turns, wrong: str) -> Turns:
    """The first of three samples is another."""
    return lambda messages, place: wrong if place % 3 == 0 else right(messages, place)


def policy(turns: Turns) -> ScriptedPolicy:
    """A policy that takes these turns."""

    def script(request: GenerationRequest, seed: int) -> str:
        return turns(request["messages"], request["seeds"].index(seed))

    return ScriptedPolicy(script)


def model(turns: Turns | ScriptedPolicy = multiplies, **changes: Any) -> TTSChatModel:
    """A model that votes over eight turns."""
    settings: dict[str, Any] = {
        "policy": turns if isinstance(turns, ScriptedPolicy) else policy(turns),
        "prm": None,
        "strategy": "majority_vote",
        "budget": 8,
        "seed": 1,
    }
    return TTSChatModel(**{**settings, **changes})


def agent_with(*arguments: Any, **options: Any) -> Any:
    """An agent whose calls are not checked for their many types."""
    return create_agent(*arguments, **options)


def kinds(messages: Sequence[BaseMessage]) -> list[str]:
    """The kinds of messages, in order."""
    return [message.type for message in messages]


def tts(message: BaseMessage) -> dict[str, Any]:
    """What the search of a message did."""
    assert isinstance(message, AIMessage)
    search: dict[str, Any] = message.response_metadata["tts"]
    return search


def tool_messages(messages: Sequence[BaseMessage]) -> list[ToolMessage]:
    """Those of tools."""
    return [message for message in messages if isinstance(message, ToolMessage)]
