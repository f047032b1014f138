"""The forms in which models write tool calls; a turn's text always has Hermes' form.

Hermes' form (also that of Qwen2.5 and Qwen3) is read here. For the others, vLLM has
parsers; what they read is written again as Hermes text.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import InvalidCall, write_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer

HERMES = "hermes"
"""The form that needs no parser of vLLM's."""

Format = dict[str, Any]
"""What a text must look like: a format of xgrammar's structural tags."""
Tools = list[dict[str, Any]]
"""Functions in OpenAI's format."""

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_OBJECT = {"type": "object"}
_MOST_SPACES = 16
"""In a row. Left alone, a model may fill an answer with line breaks."""


def json_format(schema: dict[str, Any]) -> Format:
    """JSON that fits a schema."""
    return {
        "type": "json_schema",
        "json_schema": schema,
        "max_whitespace_cnt": _MOST_SPACES,
    }


class CallForm(Protocol):
    """How a model writes calls."""

    def check(self) -> None:
        """Make sure that it can be read.

        Raises:
            ValueError: If it cannot.
        """

    def format(self, tools: Tools, *, forced: bool, parallel: bool) -> Format | None:
        """What a turn with calls of some tools must look like.

        Args:
            tools: Those that may be called. Not empty.
            forced: True: calls and nothing else, one at least. False: any text, in
                which calls are valid.
            parallel: Whether there may be several calls.

        Returns:
            None where that is not known.
        """

    def texts(
        self, tokens: ModelTokenizer, turns: list[list[int]], tools: Tools
    ) -> list[str]:
        """Read turns as Hermes text.

        Args:
            tokens: The model's tokenizer.
            turns: Token ids of each.
            tools: Those that were offered.
        """


class HermesForm:
    """JSON objects between tags."""

    def check(self) -> None:
        """It can always be read."""

    def format(self, tools: Tools, *, forced: bool, parallel: bool) -> Format:
        """See `CallForm`."""
        calls = {"tags": [*map(_tag, tools)], "stop_after_first": not parallel}
        if not forced:
            return {"type": "triggered_tags", "triggers": [_OPEN], **calls}
        # As chat templates write the calls of earlier turns.
        return {
            "type": "tags_with_separator",
            "separator": "\n",
            "at_least_one": True,
            **calls,
        }

    def texts(
        self,
        tokens: ModelTokenizer,
        turns: list[list[int]],
        tools: Tools,  # noqa: ARG002 (calls are known by their tags)
    ) -> list[str]:
        """See `CallForm`."""
        return tokens.turn_texts(turns)


def _tag(tool: dict[str, Any]) -> Format:
    function = tool["function"]
    return {
        "type": "tag",
        "begin": f'{_OPEN}\n{{"name": {json.dumps(function["name"])}, "arguments": ',
        "content": json_format(function.get("parameters") or _OBJECT),
        "end": f"}}\n{_CLOSE}",
    }


class ParsedForm:
    """A form that a tool parser of vLLM's reads.

    Where vLLM knows no grammar of the form, calls are not constrained.

    Args:
        name: The parser's name in vLLM (`--tool-call-parser`).
        tokens: The model's tokenizer.
    """

    def __init__(self, name: str, tokens: ModelTokenizer) -> None:
        """Load nothing yet."""
        self._name = name
        self._tokens = tokens

    def check(self) -> None:
        """Find the parser and try it.

        Raises:
            ValueError: If vLLM has no such parser, or it cannot read this model's
                tokens.
        """
        parser = self._parser
        try:
            parser(self._tokenizer)
        except Exception as error:
            msg = (
                f"tool parser {self._name!r} is not for the model in "
                f"{self._tokens.source}: {error}; name the parser of the form in which "
                "the model writes calls"
            )
            raise ValueError(msg) from error

    @cached_property
    def _parser(self) -> Any:
        from vllm.tool_parsers import ToolParserManager

        try:
            return ToolParserManager.get_tool_parser(self._name)
        except KeyError:
            known = ", ".join(ToolParserManager.list_registered())
            msg = f"vLLM has no tool parser {self._name!r}; it has {known}"
            raise ValueError(msg) from None

    @cached_property
    def _tokenizer(self) -> Any:
        """A copy that no other thread uses, and that knows its vocabulary at once."""
        from vllm.tokenizers.hf import get_cached_tokenizer

        return get_cached_tokenizer(self._tokens.copied())

    def format(self, tools: Tools, *, forced: bool, parallel: bool) -> Format | None:
        """See `CallForm`."""
        from vllm.tool_parsers import structural_tag_registry as registry
        from vllm.tool_parsers.tool_strict_level import ToolStrictLevel

        model = self._parser.structural_tag_model
        if model not in registry.SUPPORTED_STRUCTURAL_TAG_MODELS:
            return None
        tag = registry.get_model_structural_tag(
            model,
            _as_vllm(tools),
            "required" if forced else "auto",
            reasoning=False,
            strict_level=ToolStrictLevel.PARAMETER,
        )
        if not parallel:
            registry.limit_to_single_tool_call(tag)
        found: Format = tag.model_dump(mode="json")["format"]
        return found

    def texts(
        self, tokens: ModelTokenizer, turns: list[list[int]], tools: Tools
    ) -> list[str]:
        """See `CallForm`; a turn that the parser fails on is an invalid call."""
        plain = tokens.turn_texts(turns)
        if not tools:
            return plain
        return [
            self._text(tokens, ids, tools, text)
            for ids, text in zip(turns, plain, strict=True)
        ]

    def _text(
        self, tokens: ModelTokenizer, ids: Sequence[int], tools: Tools, plain: str
    ) -> str:
        from vllm.entrypoints.openai.chat_completion.protocol import (
            ChatCompletionRequest,
        )

        # Special tokens may mark calls.
        written = tokens.text([token for token in ids if token not in tokens.eos_ids])
        offered = _as_vllm(tools)
        request = ChatCompletionRequest(messages=[], tools=offered)
        try:
            parser = self._parser(self._tokenizer, offered)
            read = parser.extract_tool_calls(written, request)
        except Exception as error:  # noqa: BLE001 (whatever a model may have written)
            return write_turn("", [InvalidCall(plain, str(error))])
        if not read.tools_called:
            return plain
        return write_turn(
            (read.content or "").strip(),
            [
                _call(one.function.name, one.function.arguments)
                for one in read.tool_calls
            ],
        )


def form_of(name: str, tokens: ModelTokenizer) -> CallForm:
    """The form with a name: `hermes`, or that of a tool parser of vLLM's."""
    return HermesForm() if name == HERMES else ParsedForm(name, tokens)


def _as_vllm(tools: Tools) -> list[Any]:
    from vllm.entrypoints.openai.chat_completion.protocol import (
        ChatCompletionToolsParam,
    )

    return [ChatCompletionToolsParam.model_validate(tool) for tool in tools]


def _call(name: str, arguments: str) -> ToolCall | InvalidCall:
    try:
        values = json.loads(arguments)
    except ValueError:
        values = arguments
    if isinstance(values, dict):
        return ToolCall(name=name, arguments=values)
    return InvalidCall(
        json.dumps({"name": name, "arguments": values}, ensure_ascii=False),
        "its arguments are no JSON object",
    )
