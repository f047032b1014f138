"""Whole turns from a server: its chat endpoint, whose own parser finds tool calls."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_tts.engines.errors import NoToolsError
from langchain_tts.engines.replies import ServerError, ServerRefusedError
from langchain_tts.policies._requests import room_for
from langchain_tts.policies.base import Sample, Step
from langchain_tts.policies.server_messages import openai_messages
from langchain_tts.policies.server_requests import (
    Batch,
    ServerWay,
    affinity,
    read_usage,
    reason,
    sampling,
    streaming,
)
from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import InvalidCall, broken_call, tools_of, write_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_tts.policies.base import GenerationRequest
    from langchain_tts.search.state import FinishReason
    from langchain_tts.search.turns import TurnRule

_PATH = "/v1/chat/completions"
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SCHEMA_WORDS = ("response_format", "schema", "structured", "grammar")
"""One of them is in what a server says of a schema that it cannot keep to."""


class ByTurns(ServerWay):
    """Samples turns: text, tool calls that the server has parsed, or both.

    The calls are written as Hermes models write them, whatever the model wrote; one
    with arguments that are no JSON object is written as it came, and is invalid.

    An answer is not streamed, so that the server parses each turn as a whole. Under a
    deadline it is, so that turns that were finished in time are not lost; calls that
    cannot be parsed may then be missing.

    Token ids are those that were sampled, where the server tells them
    (`return_token_ids` of vLLM), else those of the text. Log-probabilities are the
    server's, of the tokens that were sampled, and 0 where it tells none. Where a turn
    has to fit a grammar, vLLM's are among the tokens that the grammar allows.
    """

    async def write(self, request: GenerationRequest, seed: int, n: int) -> Batch:
        """Sample n turns with consecutive seeds.

        Raises:
            NoToolsError: If the model or its server cannot call tools.
            PromptTooLongError: If the prompt leaves no room for a new token.
            ServerError: If no server answers.
            ServerRefusedError: If the server refuses it, e.g. a schema.
        """
        tokens = self.tokens
        prompt = len(await tokens.call(tokens.chat_ids, request["messages"]))
        room = room_for(prompt, self.window, self.model)
        limit = min(request["max_tokens"], room)
        body = {
            **sampling(request, seed, n, limit),
            "model": self.model,
            "messages": openai_messages(request["messages"]),
            "logprobs": True,
            "return_token_ids": True,
            **rule_fields(request["turn"], tools_of(request["messages"])),
        }
        try:
            answers, complete = await self._ask(body, request, n)
        except ServerRefusedError as error:
            _explain(error, body)
        turns = read_turns(answers, n)
        samples = [
            await self._sample(turn, turn.why(limit, tokens.end, cut=not complete))
            for turn in turns
        ]
        told = max((_generated(answer) for answer in answers), default=0)
        generated = told or sum(turn.tokens for turn in turns)
        return Batch(samples, *read_usage(answers, prompt), generated)

    async def _ask(
        self, body: dict[str, Any], request: GenerationRequest, n: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """What the server sent, and whether that is all."""
        home = affinity(request)
        if request["deadline"] is None:
            answer = await self.pool.request(_PATH, body, affinity=home, load=n)
            return [answer], True
        return await self.pool.events(
            _PATH,
            body | streaming(request),
            deadline=request["deadline"],
            affinity=home,
            load=n,
        )

    async def _sample(self, turn: ServedTurn, why: FinishReason) -> Sample:
        """A sample of one step; one that was cut before its first token has none."""
        text = "" if why == "failed" else turn.text
        if why == "failed" or not (text or turn.ids):
            return Sample(steps=[], finish_reason=why)
        ids = turn.ids
        if not ids:
            ids = await self.tokens.call(self.tokens.encode, text)
            ids = ids + self.tokens.end if why == "stop" else ids
        step = Step(text=text, token_ids=ids, logprob=math.fsum(turn.logprobs))
        return Sample(steps=[step], finish_reason=why)


def rule_fields(turn: TurnRule, tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The part of a body that says what a turn may be.

    Where a turn may be a call or an answer by a schema, vLLM lets it be a call only if
    the tools are strict, that is, if it keeps their arguments to their schemas too.

    Args:
        turn: The rule.
        tools: The tools that the conversation offers.
    """
    choice, schema = turn["choice"], turn["schema"]
    fields: dict[str, Any] = {}
    if tools:
        either = choice == "auto" and schema is not None
        named = {"type": "function", "function": {"name": choice}}
        fields = {
            "tools": [_strict(tool) for tool in tools] if either else tools,
            "tool_choice": _CHOICES.get(choice, named),
            "parallel_tool_calls": turn["parallel"],
        }
    if schema is not None and (not tools or choice in {"auto", "none"}):
        written = {"name": "answer", "schema": schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": written}
    return fields


def _strict(tool: dict[str, Any]) -> dict[str, Any]:
    return {**tool, "function": {"strict": True, **tool["function"]}}


@dataclass
class ServedTurn:
    """What a server sent of one turn, as far as it came."""

    content: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)
    """Name and arguments of each."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str | None = None

    def add(self, choice: dict[str, Any]) -> None:
        """Append what an answer, or a part of one, holds."""
        said = choice.get("delta") or choice.get("message") or {}
        self.content += said.get("content") or ""
        for place, part in enumerate(said.get("tool_calls") or ()):
            # Only parts of a stream are numbered.
            index = part.get("index", place)
            while len(self.calls) <= index:
                self.calls.append({"name": "", "arguments": ""})
            for key, text in self.calls[index].items():
                self.calls[index][key] = text + (part["function"].get(key) or "")
        self.ids += choice.get("token_ids") or []
        told = (choice.get("logprobs") or {}).get("content") or ()
        self.logprobs += (float(token["logprob"]) for token in told)
        self.finish = choice.get("finish_reason") or self.finish

    @property
    def text(self) -> str:
        """The turn in Hermes form."""
        return write_turn(self.content.strip(), [_call(**call) for call in self.calls])

    @property
    def tokens(self) -> int:
        """How many there are, as far as is known."""
        return max(len(self.ids), len(self.logprobs))

    def why(self, limit: int, end: Sequence[int], *, cut: bool) -> FinishReason:
        """Why it ended.

        Args:
            limit: How many tokens it could have.
            end: The token that ends an answer, where it is known.
            cut: Whether reading was ended by the deadline.
        """
        if not all(map(math.isfinite, self.logprobs)):
            return "failed"
        if self.finish not in {"tool_calls", "function_call"}:
            return reason(self.finish, None, cut=cut)
        # A server says so also of a turn that was cut behind its first call.
        full = len(self.ids) >= limit and self.ids[-1] not in end
        return "length" if end and full else "stop"


def _call(name: str, arguments: str) -> ToolCall | InvalidCall:
    """A call whose arguments came as text; a call without any has an empty one."""
    try:
        read = json.loads(arguments or "{}")
    except ValueError:
        read = None
    if isinstance(read, dict):
        return ToolCall(name=name, arguments=read)
    return broken_call(name, arguments, 'its "arguments" are no JSON object')


def read_turns(answers: Iterable[dict[str, Any]], n: int) -> list[ServedTurn]:
    """Put the parts of n turns together.

    Args:
        answers: One answer, or the events of a stream.
        n: How many turns were asked for.

    Raises:
        ServerError: If they are not what the endpoint is to return.
    """
    turns = [ServedTurn() for _ in range(n)]
    try:
        for answer in answers:
            for choice in answer.get("choices") or ():
                turns[choice["index"]].add(choice)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        msg = f"a server returned a chat completion that cannot be read ({error!r})"
        raise ServerError(msg) from None
    return turns


def _generated(answer: dict[str, Any]) -> int:
    return (answer.get("usage") or {}).get("completion_tokens") or 0


def _explain(error: ServerRefusedError, body: dict[str, Any]) -> NoReturn:
    """Say what to do about a refusal.

    Raises:
        NoToolsError: If tools are the reason.
        ServerRefusedError: Otherwise.
    """
    said = str(error)
    if "tools" in body and "tool" in said.lower():
        msg = (
            f"{said}; tools need a model whose chat template shows them, and a vLLM "
            "server that is started with --enable-auto-tool-choice and "
            "--tool-call-parser NAME (the parser of the model's family, e.g. hermes)"
        )
        raise NoToolsError(msg) from None
    if "response_format" in body and any(w in said.lower() for w in _SCHEMA_WORDS):
        said += (
            "; the server cannot keep the answer to this schema: simplify it, or use "
            "a server with structured outputs, such as vLLM"
        )
    raise ServerRefusedError(said, status=error.status) from None
