"""What a search cost at its budget, and at the smaller ones that are nested in it."""

from __future__ import annotations

from typing_extensions import TypedDict

from langchain_tts.evaluation.records import SearchRecord


class Costs(TypedDict):
    """Of one search, or the means of several."""

    samples: float
    generated_tokens: float
    policy_flops: float
    prm_flops: float | None
    """None at a smaller budget: which of the steps that the verifier read belong to the
    first samples only is not recorded."""


def costs_at(record: SearchRecord, size: int) -> Costs:
    """Tell what a search at `size` costs.

    The first n samples of a search with nested budgets are the search at n: what they
    generated is known, and the policy reads the prompt once, however many samples it
    then takes. Tokens of samples that were lost are spread evenly over all samples.

    Args:
        record: The search at `size`, or a larger one in which it is nested.
        size: A budget N of the record's answers.
    """
    spent = record["spent"]
    samples, generated = record["samples"], spent.get("generated_tokens", 0)
    if samples is None or samples <= size:
        return Costs(
            samples=spent.get("samples", 0),
            generated_tokens=generated,
            policy_flops=spent.get("policy_flops", 0.0),
            prm_flops=spent.get("prm_flops", 0.0),
        )
    lost = generated - sum(final["tokens"] for final in record["finals"])
    first = sum(final["tokens"] for final in record["finals"] if final["sample"] < size)
    tokens = first + lost * size / samples
    prompt = spent.get("prompt_tokens", 0)
    share = (prompt + tokens) / max(1, prompt + generated)
    return Costs(
        samples=size,
        generated_tokens=tokens,
        policy_flops=spent.get("policy_flops", 0.0) * share,
        prm_flops=None if spent.get("prm_calls", 0) else 0.0,
    )
