"""A policy that reads a conversation and its tools as a competent model would."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from langchain_tts.policies.base import (
    Generation,
    GenerationRequest,
    Policy,
    Sample,
    Step,
)
from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import TurnRule, tools_of, write_turn

_QUOTED = re.compile(r"'([^']+)'")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_WORD = re.compile(r"[a-z0-9]+")

Script = Callable[[GenerationRequest, int], str]
"""The turn of a request and a seed."""


class ScriptedPolicy(Policy):
    """Calls the tool that a question is about, and reports what a tool said.

    Two of three samples are right. Of the others, some call a tool with a number that
    is too large, and some write a call that is no JSON: no two of them agree.

    Args:
        script: Says something else instead.
        name: As a real policy's.
    """

    takes_turns = True

    def __init__(
        self, script: Script | None = None, name: str | None = "scripted"
    ) -> None:
        self.script = script or _competent
        self.name = name
        self.num_parameters = 1000
        self.context_window = 100_000
        self.requests: list[GenerationRequest] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        self.requests += requests
        future: Future[list[Generation]] = Future()
        try:
            future.set_result([self._generation(request) for request in requests])
        except Exception as error:  # noqa: BLE001 (as an engine's thread does)
            future.set_exception(error)
        return future

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum(1 + len(message["content"].split()) for message in messages)

    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        return _step(text)

    def _generation(self, request: GenerationRequest) -> Generation:
        samples = [
            Sample(steps=[_step(self.script(request, seed))], finish_reason="stop")
            for seed in request["seeds"]
        ]
        prompt = self.count_prompt_tokens(request["messages"])
        return Generation(samples=samples, prompt_tokens=prompt, cached_tokens=0)


def _step(text: str) -> Step:
    return Step(text=text, token_ids=[7] * len(text.split()), logprob=-1.0)


def _competent(request: GenerationRequest, seed: int) -> str:
    wrong = seed % 3 == 0
    error = 1 + seed % 1009 if wrong else 0
    rule = request.get("turn")
    tool = None if rule is None else _chosen(request["messages"], rule)
    question = _question(request["messages"])
    if tool is not None:
        if wrong and seed % 2:
            return f'<tool_call>\n{{"name": "{tool["name"]}", {seed}\n</tool_call>'
        arguments = _filled(tool["parameters"], question, error)
        return write_turn("", [ToolCall(name=tool["name"], arguments=arguments)])
    if rule is not None and rule["schema"] is not None:
        return json.dumps(_filled(rule["schema"], question, error))
    last = request["messages"][-1]
    if last["role"] == "tool":
        return f"The tool says: {last['content']}" + (f" ({error})" if wrong else "")
    return f"You said: {question}"


def _question(messages: Sequence[Message]) -> str:
    said = [message["content"] for message in messages if message["role"] == "user"]
    return said[-1]


def _chosen(messages: Sequence[Message], rule: TurnRule) -> dict[str, Any] | None:
    """The function that a competent model would call now."""
    functions: dict[str, dict[str, Any]] = {
        tool["function"]["name"]: tool["function"] for tool in tools_of(messages)
    }
    if rule["choice"] in functions:
        return functions[rule["choice"]]
    if rule["choice"] == "none" or not functions:
        return None
    # What was called for this question need not be called again.
    last = max(i for i, message in enumerate(messages) if message["role"] == "user")
    made = {c["name"] for m in messages[last:] for c in m.get("tool_calls", ())}
    functions = {n: one for n, one in functions.items() if n not in made} or functions
    asked = set(_WORD.findall(_question(messages).lower()))
    fits = {name: len(asked & set(_WORD.findall(name.lower()))) for name in functions}
    best = max(functions, key=lambda name: fits[name])
    if rule["choice"] == "any":
        return functions[best]
    answered = messages[-1]["role"] == "tool"
    return functions[best] if fits[best] and not answered else None


def _filled(schema: dict[str, Any], question: str, error: int) -> dict[str, Any]:
    """An object of a schema with values out of the question.

    Args:
        schema: Of the object; without properties it is what the question asks for.
        question: What the user said last.
        error: What is added to numbers, and said with texts.
    """
    numbers = iter(_NUMBER.findall(question) * 9)
    quoted = _QUOTED.findall(question)
    properties = schema.get("properties")
    if properties is None:
        properties = {name: {"type": "string"} for name in quoted}
    text = quoted[0] if quoted else question

    def value(of: dict[str, Any]) -> Any:
        if "enum" in of:
            return of["enum"][0]
        kind = of.get("type", "string")
        if kind in {"integer", "number"}:
            number = float(next(numbers, 0)) + error
            return int(number) if kind == "integer" else number
        if kind == "boolean":
            return True
        if kind == "array":
            return [value(of.get("items", {}))]
        if kind == "object":
            return _filled(of, question, error)
        return f"{text} ({error})" if error else text

    return {name: value(of) for name, of in properties.items()}
