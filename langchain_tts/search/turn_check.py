"""Which turns can be used: calls of known tools with fitting arguments, by the rule."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from langchain_tts.search.json_text import read_json
from langchain_tts.search.schema_fit import SchemaFit
from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import InvalidCall, Turn, TurnRule, read_turn

_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\s*```", re.DOTALL | re.IGNORECASE)


class CheckedTurn(NamedTuple):
    """A turn, and whether it can be used."""

    turn: Turn
    text: str
    """As it is given to whoever asked: JSON without a Markdown fence around it."""
    value: Any
    """Of a turn without calls, by a schema: its JSON, read."""
    misfits: list[InvalidCall]
    """Its calls that cannot be made, and why: those that cannot be read, too."""
    breach: str | None
    """How it breaks the rule, whatever its calls are."""
    problem: str | None
    """Why it cannot be used, in plain words; None: it can."""


class TurnCheck:
    """Tells turns that can be used from those that cannot.

    A tool with a broken schema takes any arguments, an answer by a broken schema may be
    any JSON, and `notes` say so: what another application would have accepted does not
    end a search.

    Args:
        tools: The tools that are offered, in OpenAI's format.
        rule: What the turn may be.
    """

    def __init__(self, tools: Sequence[dict[str, Any]], rule: TurnRule) -> None:
        """Read the schemas."""
        self.rule = rule
        functions = [tool["function"] for tool in tools]
        self._tools = {
            one["name"]: SchemaFit(one.get("parameters") or {}, "argument")
            for one in functions
        }
        schema = rule["schema"]
        self._schema = None if schema is None else SchemaFit(schema, "field")
        self.notes = [
            f"arguments of tool {name!r} were not checked, its schema is broken: "
            f"{fit.flaw}"
            for name, fit in self._tools.items()
            if fit.flaw
        ]
        if self._schema is not None and self._schema.flaw:
            self.notes.append(
                "answers were not checked by their schema, which is broken: "
                f"{self._schema.flaw}"
            )

    def read(self, text: str) -> CheckedTurn:
        """Read and check the text of a turn."""
        return self.check(read_turn(text), text)

    def check(self, turn: Turn, text: str) -> CheckedTurn:
        """Check a turn.

        Args:
            turn: The turn.
            text: How it is written.
        """
        misfits = [*turn.invalid, *filter(None, map(self._misfit, turn.calls))]
        breach = self._breach(turn)
        problems = [*filter(None, [breach]), *(misfit.error for misfit in misfits)]
        value = None
        if self._schema is not None and not (turn.calls or turn.invalid):
            text = _unfenced(turn.content)
            turn = turn._replace(content=text)
            try:
                value = read_json(text)
            except ValueError as error:
                problems.append(f"the answer is no JSON: {error}")
            else:
                problems += filter(None, [self._schema.misfit(value)])
        problem = "; ".join(problems) or None
        return CheckedTurn(turn, text, value, misfits, breach, problem)

    def _misfit(self, call: ToolCall) -> InvalidCall | None:
        """The call, if it cannot be made."""
        name = call["name"]
        if name not in self._tools:
            known = ", ".join(map(repr, self._tools)) or "none"
            wrong: str | None = f"there is no tool {name!r}; the tools are: {known}"
        else:
            wrong = self._tools[name].misfit(call["arguments"])
            wrong = wrong and f"tool {name!r}: {wrong}"
        if wrong is None:
            return None
        return InvalidCall(json.dumps(call, ensure_ascii=False), wrong)

    def _breach(self, turn: Turn) -> str | None:
        """How a turn breaks the rule."""
        choice, calls = self.rule["choice"], len(turn.calls) + len(turn.invalid)
        if choice == "none" and calls:
            return "it calls a tool, but none may be called"
        if choice == "any" and not calls:
            return "it calls no tool, but one has to be called"
        if choice not in {"auto", "any", "none"} and (
            not calls or any(call["name"] != choice for call in turn.calls)
        ):
            return f"it has to call tool {choice!r}, and no other"
        if calls > 1 and not self.rule["parallel"]:
            return f"it makes {calls} calls, but one at most may be made"
        return None if calls or turn.content else "it is empty"


def _unfenced(text: str) -> str:
    """A text without the Markdown fence that some models put around JSON."""
    fenced = _FENCE.fullmatch(text)
    return text if fenced is None else fenced[1].strip()


def turn_check(tools: Sequence[dict[str, Any]], rule: TurnRule) -> TurnCheck:
    """The check for tools and a rule; made once for equal ones."""
    return _made(json.dumps([list(tools), rule]))


@lru_cache(maxsize=64)
def _made(described: str) -> TurnCheck:
    tools, rule = json.loads(described)
    return TurnCheck(tools, rule)
