"""What keeps a turn to its tools and its schema: structural tags for vLLM's xgrammar.

- A call is asked for (`any`, or a tool's name): calls and nothing else, with arguments
  that fit their tools' schemas; one alone where it is named or calls are not parallel.
- There is a schema: an answer is JSON that fits it. Where the model may also call
  tools, a turn is either such an answer or calls.
- Else a turn is any text. Its calls are constrained if a tool is `strict`.

A few keywords of JSON schemas (`multipleOf`, `uniqueItems`, ...) constrain nothing
here, and in strings of a limited length xgrammar lets control characters pass, which
JSON forbids: the vote checks what was written.
"""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from langchain_tts.policies.turns_forms import json_format
from langchain_tts.search.turns import tools_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.policies.turns_forms import CallForm, Format, Tools
    from langchain_tts.search.state import Message
    from langchain_tts.search.turns import TurnRule

_PLACE = re.compile(r"^\[[\d:]+\] \S+?: ")
"""Where in xgrammar's sources an error was raised."""
_BYTES = 256
_CACHE_BYTES = 16 * 2**20


class SchemaError(ValueError):
    """A schema that generation cannot be constrained to."""


def structural_tag(
    turn: TurnRule, messages: Sequence[Message], form: CallForm
) -> str | None:
    """The structural tag that a turn is generated under, as JSON.

    Args:
        turn: What the turn may be.
        messages: The conversation, with its tools.
        form: How the model writes calls.

    Returns:
        None where any text will do.

    Raises:
        SchemaError: If a schema cannot be kept to.
        ValueError: If a tool is to be called that is not offered.
    """
    found = _format(turn, tools_of(messages), form)
    if found is None:
        return None
    tag = json.dumps({"type": "structural_tag", "format": found})
    _check(tag)
    return tag


def _format(turn: TurnRule, tools: Tools, form: CallForm) -> Format | None:
    choice = turn["choice"]
    if choice not in {"auto", "none"}:
        called = [tool for tool in tools if choice in {"any", _name(tool)}]
        if not called:
            names = ", ".join(map(_name, tools)) or "none"
            msg = f"tool {choice!r} is to be called, but the tools are: {names}"
            raise ValueError(msg)
        alone = choice != "any" or not turn["parallel"]
        return form.format(called, forced=True, parallel=not alone)
    offered = tools if choice == "auto" else []
    schema = turn["schema"]
    if schema is not None:
        return _answer_or_calls(schema, offered, form, parallel=turn["parallel"])
    if any(tool["function"].get("strict") for tool in offered):
        return form.format(offered, forced=False, parallel=turn["parallel"])
    return None


def _answer_or_calls(
    schema: dict[str, Any], tools: Tools, form: CallForm, *, parallel: bool
) -> Format | None:
    answer = json_format(schema)
    if not tools:
        return answer
    calls = form.format(tools, forced=True, parallel=parallel)
    # Without a grammar of calls, an answer's would forbid them.
    return None if calls is None else {"type": "or", "elements": [answer, calls]}


def _name(tool: dict[str, Any]) -> str:
    return str(tool["function"]["name"])


@lru_cache(maxsize=256)
def _check(tag: str) -> None:
    """Find what xgrammar refuses, which vLLM would not say.

    Raises:
        SchemaError: If it refuses it.
    """
    try:
        # It looks at most things only here, and hardly at the tokens.
        _compiler().compile_structural_tag(tag)
    except Exception as error:
        reason = _PLACE.sub("", str(error).strip())
        msg = (
            "vLLM cannot constrain a turn to the JSON schema of its answer or of a "
            f"tool's arguments: {reason}; correct the schema or make it simpler"
        )
        raise SchemaError(msg) from error


@cache
def _compiler() -> Any:
    """A compiler of grammars for texts in bytes."""
    import xgrammar

    vocabulary = [*(bytes([byte]) for byte in range(_BYTES)), b"<end>"]
    info = xgrammar.TokenizerInfo(vocabulary, stop_token_ids=[_BYTES])
    # With its cache it refuses a few grammars more, as vLLM's does.
    return xgrammar.GrammarCompiler(
        info, max_threads=1, cache_enabled=True, cache_limit_bytes=_CACHE_BYTES
    )
