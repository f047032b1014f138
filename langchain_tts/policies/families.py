r"""Families of models: the system prompt that their steps come from, and their length.

A family is known by the model's own tokenizer and configuration, or named with the
option `family=`. The chat template is the tokenizer's own.

- `llama-3` (instruct): the prompt of Meta's evaluations, which makes `## Step k` steps;
  search-and-learn and compute-optimal-tts use it (Beeching et al. 2024, Liu et al.
  2025).
- `qwen2.5`, also Qwen2.5-Math: the prompt that the Math models were trained with (Yang
  et al. 2024).
- `r1` (distilled from DeepSeek-R1): no system prompt and long answers, as its model
  card asks.
- `none`: all others.

The prompts ask for worked-out answers, so where a turn is asked for (a tool call, or an
answer by a schema) none is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_tts.policies.base import Policy
from langchain_tts.policies.turns_forms import HERMES
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.turns import TurnRule

_LLAMA_3 = r"""Solve the following math problem efficiently and clearly:

- For simple problems (2 steps or fewer):
Provide a concise solution with minimal explanation.

- For complex problems (3 steps or more):
Use this step-by-step format:

## Step 1: [Concise description]
[Brief explanation and calculations]

## Step 2: [Concise description]
[Brief explanation and calculations]

...

Regardless of the approach, always conclude with:

Therefore, the final answer is: $\boxed{answer}$. I hope it is correct.

Where [answer] is just the final number or expression that solves the problem."""
_QWEN = r"Please reason step by step, and put your final answer within \boxed{}."
_LONG = 32_768


@dataclass(frozen=True)
class Family:
    """What models of one kind have in common.

    Args:
        name: What `family=` calls it.
        system_prompt: Put before a conversation that has none of its own.
        max_tokens: New tokens that an answer may need.
        tool_call_parser: What reads their tool calls: `hermes`, or the name of another
            tool parser of vLLM's.
    """

    name: str
    system_prompt: str | None = None
    max_tokens: int = Policy.max_tokens
    tool_call_parser: str = HERMES

    def messages(
        self, messages: Sequence[Message], turn: TurnRule | None = None
    ) -> list[Message]:
        """A conversation with the system prompt, unless it has one or needs none.

        Args:
            messages: The conversation. Tools come in a system message.
            turn: What is asked for, where it is a turn.
        """
        has_one = any(message["role"] == "system" for message in messages)
        if self.system_prompt is None or has_one or turn is not None:
            return list(messages)
        return [Message(role="system", content=self.system_prompt), *messages]


FAMILIES = {
    family.name: family
    for family in (
        Family("llama-3", _LLAMA_3, tool_call_parser="llama3_json"),
        Family("qwen2.5", _QWEN),
        Family("r1", max_tokens=_LONG),
        Family("none"),
    )
}
"""All families by their names."""


@dataclass(frozen=True)
class _Signs:
    """What a model of a family has, and a model of no other family.

    Args:
        tokens: In its vocabulary.
        no_tokens: Not in it.
        in_template: A text in its chat template.
        model_type: Of its configuration; None: any.
    """

    tokens: frozenset[str]
    no_tokens: frozenset[str] = frozenset()
    in_template: str = ""
    model_type: str | None = None

    def fit(self, tokens: ModelTokenizer) -> bool:
        """Whether a model shows them all."""
        vocabulary = set(tokens.tokenizer.get_vocab())
        return (
            self.tokens <= vocabulary
            and not self.no_tokens & vocabulary
            and self.in_template in str(tokens.tokenizer.chat_template)
            and self.model_type in (None, tokens.model_type)
        )


_SIGNS = {
    # First: distilled Llama and Qwen models keep the vocabulary that they had.
    "r1": _Signs(frozenset({"<｜User｜>", "<｜Assistant｜>"})),  # noqa: RUF001
    "llama-3": _Signs(
        frozenset({"<|start_header_id|>"}),
        in_template="<|start_header_id|>",
        model_type="llama",
    ),
    # Tool calls came with Qwen2.5, thoughts after it.
    "qwen2.5": _Signs(
        frozenset({"<|im_start|>", "<tool_call>"}),
        frozenset({"<think>"}),
        in_template="<|im_start|>",
        model_type="qwen2",
    ),
}


def find_family(tokens: ModelTokenizer, name: str | None = None) -> Family:
    """The family of a model.

    Args:
        tokens: The model's tokenizer.
        name: A name in `FAMILIES`. None: the one whose tokens, chat template and
            architecture the model has.

    Raises:
        ValueError: If there is no family of that name.
    """
    if name is not None:
        if name not in FAMILIES:
            msg = f"unknown family {name!r}; the families are {', '.join(FAMILIES)}"
            raise ValueError(msg)
        return FAMILIES[name]
    found = (key for key, signs in _SIGNS.items() if signs.fit(tokens))
    return FAMILIES[next(found, "none")]
