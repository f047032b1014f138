"""What a search would cost on its own, whatever was searched before it.

The searches of a run share the engines' caches: one that comes later finds questions
and steps there that an earlier one has computed, so what a record says was computed
depends on the order of the run. Here each search pays for the question once, for every
token that its policy generates, and, where it asks a verifier, for reading all of that
once. The library reads a prefix that several candidates share only once, so the
verifier's part is the most that it can cost.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from langchain_tts.engines.tokens import ModelTokenizer, load_tokenizer
from langchain_tts.evaluation.exchange import inference_flops
from langchain_tts.evaluation.records import FinalRecord, SearchRecord
from langchain_tts.search.state import Message
from langchain_tts.tinymath import WEIGHTS


class Tokens(NamedTuple):
    """What both models compute in a search."""

    policy: int
    prm: int


def tokens_at(record: SearchRecord, n: int) -> Tokens:
    """Tokens that a search at N computes.

    Args:
        record: The search, or a larger one whose first n samples are the search.
        n: N.
    """
    spent = record["spent"]
    question = question_tokens(record["question"])
    if record["samples"] is None or record["samples"] <= n:
        generated = spent.get("generated_tokens", 0)
    else:
        generated = sum(final["tokens"] for final in first_finals(record, n))
    # Of a revision the earlier answers are computed too.
    prompt = max(question, spent.get("prompt_tokens", 0))
    read = question + generated if spent.get("prm_calls", 0) else 0
    return Tokens(prompt + generated, read)


def flops_at(
    record: SearchRecord, n: int, policy: int, prm: int
) -> tuple[float, float]:
    """FLOPs of the policy and of the verifier in a search at N.

    Args:
        record: As for `tokens_at`.
        n: N.
        policy: Parameters of the policy.
        prm: Parameters of the verifier.
    """
    tokens = tokens_at(record, n)
    return inference_flops(policy, tokens.policy), inference_flops(prm, tokens.prm)


def first_finals(record: SearchRecord, n: int) -> list[FinalRecord]:
    """The final candidates that the first n samples of a search gave."""
    return [final for final in record["finals"] if final["sample"] < n]


@cache
def question_tokens(question: str) -> int:
    """Tokens of a question as the embedded models read it."""
    return len(_tokenizer().chat_ids([Message(role="user", content=question)]))


@cache
def _tokenizer() -> ModelTokenizer:
    return load_tokenizer(WEIGHTS / "policy")[0]
