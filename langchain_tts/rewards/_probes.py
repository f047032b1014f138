"""How vLLM's endpoints are asked for the scores of prompts, and what they answer."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from langchain_tts.engines.replies import ServerError
from langchain_tts.rewards.logistic import logistic
from langchain_tts.rewards.reader import Head, LabelHead, Reading, ValueHead

if TYPE_CHECKING:
    from collections.abc import Sequence

Prompt = tuple[int, ...]


class UnusableAnswerError(ServerError):
    """An answer that does not hold what was asked for."""


class Probe(Protocol):
    """One way to have prompts scored."""

    path: str
    """The endpoint, from the server's root."""
    needs: str
    """What a server must be to answer there."""
    spare: int
    """Positions that must be left free after a prompt."""

    def prompts(self, reading: Reading) -> list[Prompt]:
        """What is asked for a reading."""

    def body(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """The request, without the model's name."""

    def scores(
        self, answer: dict[str, Any], prompts: Sequence[Prompt]
    ) -> list[list[float]]:
        """For each prompt the scores at its last positions, at least at the last one.

        Raises:
            UnusableAnswerError: If the answer does not hold them.
        """


def probe_for(head: Head) -> Probe:
    """How a head is asked."""
    if isinstance(head, LabelHead):
        return _Labels(head)
    return _Rows(columns=1 if isinstance(head, ValueHead) else 2)


class _Labels:
    """Generates one token after each prompt, for the two labels' probabilities."""

    path = "/v1/completions"
    needs = "a server that generates text (vLLM's default), of a PRM that says + or -"
    spare = 1

    def __init__(self, head: LabelHead) -> None:
        self._head = head

    def prompts(self, reading: Reading) -> list[Prompt]:
        """One for each position: the server's cache has what they have in common."""
        return [tuple(reading.ids[: end + 1]) for end in reading.ends]

    def body(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        return {
            "prompt": [list(prompt) for prompt in prompts],
            "max_tokens": 1,
            "temperature": 0.0,
            # A model's generation_config.json must not change what is predicted.
            "repetition_penalty": 1.0,
            "logprobs": 0,
            "logprob_token_ids": [self._head.good, self._head.bad],
            # Several tokens may have one text.
            "return_tokens_as_token_ids": True,
        }

    def scores(
        self, answer: dict[str, Any], prompts: Sequence[Prompt]
    ) -> list[list[float]]:
        choices = _in_order(answer, "choices", len(prompts))
        return [[self._score(choice)] for choice in choices]

    def _score(self, choice: dict[str, Any]) -> float:
        """P(good): the softmax over the two labels."""
        try:
            [told] = choice["logprobs"]["top_logprobs"]
            good, bad = (
                float(told[f"token_id:{label}"])
                for label in (self._head.good, self._head.bad)
            )
        except (KeyError, TypeError, ValueError):
            msg = (
                "the server did not tell the probabilities of the labels (tokens "
                f"{self._head.good} and {self._head.bad}); vLLM 0.32 does"
            )
            raise UnusableAnswerError(msg) from None
        return logistic(good - bad)


class _Rows:
    """Has the head's outputs at all tokens returned."""

    path = "/pooling"
    needs = (
        "a server of a PRM with a head of its own, started with --runner pooling "
        '--pooler-config \'{"tok_pooling_type": "ALL"}\''
    )
    spare = 0

    def __init__(self, columns: int) -> None:
        self._columns = columns

    def prompts(self, reading: Reading) -> list[Prompt]:
        """The whole: all positions are told."""
        return [tuple(reading.ids)]

    def body(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        return {
            "input": [list(prompt) for prompt in prompts],
            "task": "token_classify",
            # Logits, so that the formula is ours, and the same for all backends.
            "use_activation": False,
            "encoding_format": "base64",
            "embed_dtype": "float32",
            "endianness": "little",
        }

    def scores(
        self, answer: dict[str, Any], prompts: Sequence[Prompt]
    ) -> list[list[float]]:
        items = _in_order(answer, "data", len(prompts))
        pairs = zip(items, prompts, strict=True)
        return [self._of(item.get("data"), len(prompt)) for item, prompt in pairs]

    def _of(self, data: object, tokens: int) -> list[float]:
        """P(right) at the last positions; a cache has the others' rows, not we."""
        try:
            raw = base64.b64decode(data, validate=True)  # type: ignore[arg-type]
            rows = np.frombuffer(raw, "<f4").astype(float).reshape(-1, self._columns)
        except (TypeError, ValueError, binascii.Error):
            rows = np.empty((0, self._columns))
        if not 0 < len(rows) <= tokens or not np.isfinite(rows).all():
            msg = (
                f"the server did not return {self._columns} numbers for each token of "
                "a prompt; is its model a PRM of this format?"
            )
            raise UnusableAnswerError(msg)
        margin = rows[:, 0] if self._columns == 1 else rows[:, 1] - rows[:, 0]
        scores: list[float] = ((1 + np.tanh(margin / 2)) / 2).tolist()
        return scores


def _in_order(answer: dict[str, Any], field: str, wanted: int) -> list[dict[str, Any]]:
    """The answers to `wanted` prompts, in their order."""
    items = answer.get(field)
    try:
        found = {item["index"]: item for item in items}  # type: ignore[union-attr]
    except (TypeError, KeyError):
        found = {}
    if len(items or ()) != wanted or set(found) != set(range(wanted)):
        msg = f"the server was asked for {wanted} scores and answered otherwise"
        raise UnusableAnswerError(msg)
    return [found[place] for place in range(wanted)]
