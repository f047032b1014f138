r"""Conversations of the routes: what each route's policy is asked.

In the tree a turn with calls is one step, and what the tools said is the next one. That
step has no tokens: nobody generated it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_tts.policies.base import Policy
from langchain_tts.search.state import Candidate, Message, ToolCall
from langchain_tts.search.tool_route import Route
from langchain_tts.search.turns import Turn, TurnRule, call_id, read_turn
from langchain_tts.tinymath.calculator import CALCULATOR, calculate

CALLS = TurnRule(choice="auto", parallel=True, schema=None, vote="whole", ignored=[])
"""What a turn of the calculator's route may be: calls, or text with the answer."""

_RESPONSE = "<tool_response>{}</tool_response>"
_BLOCK = re.compile(r"```[A-Za-z0-9_-]*[ \t]*\n(.*?)```", re.DOTALL)


def question(
    messages: Sequence[Message], route: Route, policy: Policy
) -> list[Message]:
    """The conversation in which a route's policy is asked."""
    if route == "reason":
        return list(messages)
    if route == "solve":
        return _with_system(messages, policy.solve_prompt)
    first, *others = _with_system(messages, policy.calculate_prompt, needed=True)
    return [{**first, "tools": [CALCULATOR]}, *others]


def _with_system(
    messages: Sequence[Message], prompt: str, *, needed: bool = False
) -> list[Message]:
    """The conversation with a prompt after what its system message says."""
    own = messages[:1] if messages and messages[0]["role"] == "system" else []
    if not prompt and (own or not needed):
        return list(messages)
    text = "\n\n".join(filter(None, [*(one["content"] for one in own), prompt]))
    return [Message(role="system", content=text), *messages[len(own) :]]


def continued(asked: Sequence[Message], steps: Sequence[Candidate]) -> list[Message]:
    """The conversation after some turns with calls, and what the tools said."""
    messages = list(asked)
    # Every second step is what the tools said, which the calls tell as well.
    for step in steps[::2]:
        turn, place = read_turn(step["text"]), len(messages)
        named = [
            ToolCall(**{**call, "id": call_id(call, place, number)})
            for number, call in enumerate(turn.calls)
        ]
        messages += [
            Message(role="assistant", content=turn.content, tool_calls=named),
            *(
                Message(role="tool", content=_result(call), tool_call_id=call["id"])
                for call in named
            ),
        ]
    return messages


def responses(turn: Turn) -> str:
    """What the tools say to a turn's calls, as one text."""
    return "\n".join(_RESPONSE.format(_result(call)) for call in turn.calls)


def _result(call: ToolCall) -> str:
    """What a tool says: its result, or what was wrong with the call."""
    name = CALCULATOR["function"]["name"]
    if call["name"] != name:
        return f"Error: there is no tool {call['name']!r}; the tool is {name}"
    expression = call["arguments"].get("expression")
    if not isinstance(expression, str):
        return 'Error: give the argument "expression", e.g. {"expression": "12*7"}'
    return calculate(expression)


def constraints_in(text: str) -> str:
    """The constraints of an answer: its last block of code, or all of it."""
    blocks = _BLOCK.findall(text)
    return blocks[-1] if blocks else text
