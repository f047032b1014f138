"""How causal PRMs were trained to see a solution: one class a format.

Inputs are built from token ids, piece by piece, so that the ids of a prefix are a
prefix of the ids of its extension, and only the newest piece is ever computed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.rewards.reader import Head, LabelHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import Message

CONFIG = "prm_config.json"
"""Beside a verifier's weights: says how it is to be read."""

_NUMBERED = re.compile(r"Step \d+\s*:")


class StepFormat(Protocol):
    """Pieces of a causal PRM's input."""

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """Token ids before the first step."""

    def step_ids(
        self, tokens: ModelTokenizer, text: str, ids: list[int] | None, number: int
    ) -> list[int]:
        """Token ids of one step; the score is predicted after the last of them.

        Args:
            tokens: The verifier's tokenizer.
            text: The step without its delimiter.
            ids: The step as the policy wrote it, if the verifier reads it alike.
            number: Of the step in the trajectory, counted from 1.
        """

    def head(self, tokens: ModelTokenizer) -> Head:
        """How the hidden state at a step's last token becomes its score."""


@dataclass(frozen=True)
class TagFormat:
    """Chat prompt, then each step as the policy wrote it, followed by a tag token.

    That includes the step's delimiter, and the end-of-answer token of the last step. A
    step that is known as text alone is written with a delimiter.

    Args:
        tag: The token after a step.
        good: The token that is predicted after a right step.
        bad: The token that is predicted after a wrong step.
    """

    tag: str = "<|step|>"
    good: str = "+"
    bad: str = "-"

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The rendered chat prompt."""
        return tokens.chat_ids(messages)

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,
        number: int,  # noqa: ARG002 (these steps are not numbered)
    ) -> list[int]:
        """The step and the tag."""
        if ids is None:
            ids = tokens.encode(text + STEP_DELIMITER)
        return [*ids, tokens.token_id(self.tag)]

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        """The two label tokens."""
        return LabelHead(tokens.token_id(self.good), tokens.token_id(self.bad))


@dataclass(frozen=True)
class MathShepherdFormat:
    """`{question} Step 1: {step 1} KI` and for each further step a new line.

    Wang et al. 2024 (arXiv 2312.08935). KI is the Cyrillic pair of letters of `tag`.

    Args:
        tag: The text after a step.
        labels: Text of the two label tokens, the right step's first.
    """

    tag: str = "\u043a\u0438"
    labels: str = "+ -"

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        """The question as it is, without chat roles."""
        text = "\n".join(message["content"] for message in messages)
        return [*tokens.beginning_ids, *tokens.encode(text)]

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,  # noqa: ARG002 (this format rewrites the text)
        number: int,
    ) -> list[int]:
        """The step with its number and tag."""
        # Line breaks inside a step would look like the beginning of another one.
        text = " ".join(text.split())
        if not _NUMBERED.match(text):
            text = f"Step {number}: {text}"
        separator = " " if number == 1 else "\n"
        return tokens.continuation_ids(f" {self.tag}", f"{separator}{text} {self.tag}")

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        """The two label tokens, as they are written after a space."""
        good, bad = tokens.encode(self.labels)[-2:]
        return LabelHead(good, bad)


_FORMATS: dict[str, type[TagFormat | MathShepherdFormat]] = {
    "tinymath-tag": TagFormat,
    "math-shepherd": MathShepherdFormat,
}


def read_config(source: str, named: str | None = None) -> dict[str, Any]:
    """Read how a verifier is to be used.

    Args:
        source: A folder in Hugging Face format.
        named: A format that the caller names; it needs no configuration then.

    Raises:
        ModelLoadError: If there is no usable configuration.
    """
    known = "implicit, " + ", ".join(_FORMATS)
    path = Path(source).expanduser() / CONFIG
    config: dict[str, Any] = {}
    try:
        if named is None or path.exists():
            config = dict(json.loads(path.read_text(encoding="utf-8")))
        name = config["format"] if named is None else named
    except FileNotFoundError:
        msg = (
            f"{source} is not a verifier: it has no {CONFIG}; add one that says "
            f'{{"format": ...}}, with one of {known}'
        )
        raise ModelLoadError(msg) from None
    except (ValueError, KeyError, TypeError):
        msg = f'cannot read {path}: expected JSON such as {{"format": "implicit"}}'
        raise ModelLoadError(msg) from None
    if name != "implicit" and name not in _FORMATS:
        msg = f"{path} asks for format {name!r}; the formats are {known}"
        raise ModelLoadError(msg)
    return {**config, "format": name}


def step_format(config: dict[str, Any]) -> StepFormat:
    """The format that a configuration names, with its settings.

    Raises:
        ModelLoadError: If a setting is unknown.
    """
    settings = {key: value for key, value in config.items() if key != "format"}
    try:
        return _FORMATS[config["format"]](**settings)
    except TypeError as error:
        msg = f"{CONFIG} of format {config['format']!r} has a wrong setting: {error}"
        raise ModelLoadError(msg) from None
