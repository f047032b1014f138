"""What a turn is constrained to, asked of xgrammar's own matcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langchain_tts.engines.tokens import ModelTokenizer
from langchain_tts.policies.turns_constrained import SchemaError, structural_tag
from langchain_tts.policies.turns_forms import Format, HermesForm, Tools
from langchain_tts.search.state import ToolCall
from langchain_tts.search.turns import TurnRule, write_turn
from tests.unit_tests.tiny_models import question
from tests.unit_tests.tiny_tools import chat, rule, tool

xgrammar = pytest.importorskip("xgrammar")

END = 256
CALCULATOR = tool()
CLOCK = tool("clock", "zone")
CLOCK["function"]["parameters"]["properties"]["zone"] = {"enum": ["UTC", "CET"]}
SUM = ToolCall(name="calculator", arguments={"expression": "1+2"})
TIME = ToolCall(name="clock", arguments={"zone": "UTC"})
ONE = write_turn("", [SUM])
OTHER = write_turn("", [TIME])
BOTH = write_turn("", [SUM, TIME])
WRONG = write_turn("", [ToolCall(name="clock", arguments={"zone": "Mars"})])
UNKNOWN = write_turn("", [ToolCall(name="rm", arguments={})])
TEXT = "It is noon."
ANSWER = '{"n": 3}'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"$ref": "#/$defs/count"}},
    "required": ["n"],
    "$defs": {"count": {"type": "integer"}},
}
SPREAD = '{\n  "n":   3\n}'
TOO_FAR = '{"n":' + "\n" * 99 + "3}"
ALL = [
    ONE,
    OTHER,
    BOTH,
    WRONG,
    UNKNOWN,
    TEXT,
    ANSWER,
    SPREAD,
    TOO_FAR,
    f"Well.\n{ONE}",
]


@pytest.fixture(scope="module")
def compiler() -> Any:
    """Of a vocabulary that is the bytes."""
    vocabulary = [*(bytes([byte]) for byte in range(END)), b"<end>"]
    info = xgrammar.TokenizerInfo(vocabulary, stop_token_ids=[END])
    return xgrammar.GrammarCompiler(info)


@pytest.fixture(scope="module")
def allowed(compiler: Any) -> Callable[..., list[str]]:
    def allowed(turn: TurnRule, *tools: dict[str, Any]) -> list[str]:
        """Those of all texts that a turn may be."""
        messages = chat("2?", *tools) if tools else question()
        tag = structural_tag(turn, messages, HermesForm())
        assert tag is not None
        grammar = compiler.compile_structural_tag(tag)

        def fits(text: str) -> bool:
            matcher = xgrammar.GrammarMatcher(grammar)
            return bool(matcher.accept_string(text) and matcher.accept_token(END))

        return [text for text in ALL if fits(text)]

    return allowed


def test_any_tool_is_called_at_least_once(allowed: Callable[..., list[str]]) -> None:
    assert allowed(rule("any"), CALCULATOR, CLOCK) == [ONE, OTHER, BOTH]


def test_calls_that_are_not_parallel_are_one(
    allowed: Callable[..., list[str]],
) -> None:
    assert allowed(rule("any", parallel=False), CALCULATOR, CLOCK) == [ONE, OTHER]


def test_a_tool_that_is_named_is_called_once(
    allowed: Callable[..., list[str]],
) -> None:
    assert allowed(rule("clock"), CALCULATOR, CLOCK) == [OTHER]
    assert allowed(rule("clock", schema=SCHEMA), CALCULATOR, CLOCK) == [OTHER]


def test_an_answer_fits_its_schema(allowed: Callable[..., list[str]]) -> None:
    assert allowed(rule(schema=SCHEMA)) == [ANSWER, SPREAD]
    assert allowed(rule("none", schema=SCHEMA), CALCULATOR) == [ANSWER, SPREAD]


def test_with_tools_a_turn_is_an_answer_that_fits_or_calls(
    allowed: Callable[..., list[str]],
) -> None:
    turn = rule(schema=SCHEMA)
    assert allowed(turn, CALCULATOR, CLOCK) == [ONE, OTHER, BOTH, ANSWER, SPREAD]
    turn = rule(schema=SCHEMA, parallel=False)
    assert allowed(turn, CALCULATOR, CLOCK) == [ONE, OTHER, ANSWER, SPREAD]


def test_strict_tools_are_called_as_their_schemas_say(
    allowed: Callable[..., list[str]],
) -> None:
    strict = {**CLOCK, "function": {**CLOCK["function"], "strict": True}}
    both = [ONE, OTHER, BOTH, TEXT, ANSWER, SPREAD, TOO_FAR, f"Well.\n{ONE}"]
    assert allowed(rule(), CALCULATOR, strict) == both
    both.remove(BOTH)
    assert allowed(rule(parallel=False), CALCULATOR, strict) == both


def test_a_turn_that_may_be_anything_is_not_constrained() -> None:
    for turn, messages in [
        (rule(), chat()),
        (rule("none"), chat()),
        (rule(), question()),
    ]:
        assert structural_tag(turn, messages, HermesForm()) is None


def test_a_tool_without_parameters_takes_an_object(
    allowed: Callable[..., list[str]],
) -> None:
    bare = {"type": "function", "function": {"name": "rm"}}
    assert allowed(rule("any"), bare) == [UNKNOWN]


class UnknownForm:
    """The form of a model whose grammar nobody knows."""

    def check(self) -> None:
        pass

    def format(self, tools: Tools, *, forced: bool, parallel: bool) -> Format | None:
        assert tools
        assert forced
        assert not parallel or len(tools) == 1
        return None

    def texts(
        self, tokens: ModelTokenizer, turns: list[list[int]], tools: Tools
    ) -> list[str]:
        raise NotImplementedError


@pytest.mark.parametrize("turn", [rule("any"), rule("clock"), rule(schema=SCHEMA)])
def test_calls_of_a_form_without_grammar_are_not_constrained(turn: TurnRule) -> None:
    messages = chat("2?", CLOCK)
    assert structural_tag(turn, messages, UnknownForm()) is None


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "nonsense"}, 'Unsupported type "nonsense"'),
        ({"type": "string", "pattern": "("}, "parenthesis is not closed"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "Cannot find field"),
        # Found only when it is compiled.
        ({"type": "string", "pattern": "^[0-9]{400}$"}, "Check failed"),
    ],
)
def test_a_schema_that_is_none_is_a_clear_error(
    schema: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SchemaError, match="cannot constrain a turn") as caught:
        structural_tag(rule(schema=schema), question(), HermesForm())
    assert reason in str(caught.value)
    assert "/project/" not in str(caught.value)


def test_a_tool_that_is_not_there_cannot_be_called() -> None:
    with pytest.raises(ValueError, match=r"'clock' is to be called.*calculator"):
        structural_tag(rule("clock"), chat(), HermesForm())
    with pytest.raises(ValueError, match="the tools are: none"):
        structural_tag(rule("any"), question(), HermesForm())
