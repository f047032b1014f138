"""Whether a model and a format fit: found out at load, before any score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.reader import ClassHead, Head, LabelHead, ValueHead
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.rewards.formats.base import StepFormat

_QUESTION = "1 + 2 ="
_STEPS = ("1 + 2 = 3", "4 - 1 = 3")
_HEADS: dict[str, type[Head]] = {
    "Qwen2ForProcessRewardModel": ClassHead,
    "Qwen2ForPrmModel": ValueHead,
}
"""Architectures whose scores come from a head of their own."""
_NO_LANGUAGE_MODEL = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForRewardModel",
)


def self_test(step_format: StepFormat, tokens: ModelTokenizer) -> Head:
    """Check all that can be checked without the weights.

    The model is of the type that the format was made for; the tokenizer is the model's;
    the markers are single tokens that the model knows;
    the head is of the kind that the model has; and a small input, written the way the
    format writes it, can be read back. That the checkpoint holds the head is checked by
    the backend that loads it.

    Args:
        step_format: What the verifier is said to be trained to see.
        tokens: The verifier's tokenizer.

    Returns:
        The format's head.

    Raises:
        ModelLoadError: If model and format do not fit.
    """
    _check_base(tokens, step_format)
    tokens.check()
    head = step_format.head(tokens)
    _check_head(tokens, head)
    question = [Message(role="user", content=_QUESTION)]
    _check_piece(tokens, step_format.question_ids(tokens, question), _QUESTION)
    for number, step in enumerate(_STEPS, start=1):
        ids = step_format.step_ids(tokens, step, None, number, leads=number == 1)
        _check_piece(tokens, ids, step)
    return head


def _check_base(tokens: ModelTokenizer, step_format: StepFormat) -> None:
    types = step_format.model_types
    if types and tokens.model_type not in types:
        name = type(step_format).__name__
        msg = (
            f"the model in {tokens.source} is of type {tokens.model_type!r}, but "
            f"{name} is the format of {' and '.join(map(repr, types))}; for a model of "
            f"your own that was trained with it, register a subclass of {name} with "
            "another model_types (register_format)"
        )
        raise ModelLoadError(msg)


def _check_head(tokens: ModelTokenizer, head: Head) -> None:
    for name in tokens.architectures:
        own = _HEADS.get(name)
        wrong = own is not None and not isinstance(head, own)
        if wrong or (isinstance(head, LabelHead) and name.endswith(_NO_LANGUAGE_MODEL)):
            msg = (
                f"the model in {tokens.source} is a {name}, but the format reads its "
                f"scores with a {type(head).__name__}: it is not the model's format"
            )
            raise ModelLoadError(msg)
    if isinstance(head, LabelHead) and head.good == head.bad:
        msg = f"both labels are token {head.good} of the tokenizer in {tokens.source}"
        raise ModelLoadError(msg)


def _check_piece(tokens: ModelTokenizer, ids: list[int], text: str) -> None:
    """A piece must hold its text, in tokens that the model knows."""
    read = tokens.tokenizer.decode(ids)
    if not ids or max(ids) >= tokens.vocabulary or _letters(text) not in _letters(read):
        msg = (
            f"the tokenizer in {tokens.source} does not write {text!r} as the format "
            f"needs: it comes back as {read!r} (token ids {ids}, the model knows "
            f"{tokens.vocabulary})"
        )
        raise ModelLoadError(msg)


def _letters(text: str) -> str:
    return "".join(text.split())
