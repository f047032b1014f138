from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_tts.evaluation.costs import costs_at
from langchain_tts.evaluation.records import FinalRecord, SearchRecord

if TYPE_CHECKING:
    from langchain_tts.budget import Spent

SPENT: Spent = {
    "samples": 4,
    "prompt_tokens": 10,
    "generated_tokens": 30,
    # A policy of one parameter: 2 x (10 + 30).
    "policy_flops": 80.0,
    "prm_calls": 1,
    "prm_flops": 500.0,
}


def _record(tokens: dict[int, int], *, samples: int | None = 4) -> SearchRecord:
    finals = [
        FinalRecord(
            sample=sample,
            text="",
            answer=None,
            right=False,
            status="finished",
            step_scores=[],
            logprob=0.0,
            tokens=count,
        )
        for sample, count in tokens.items()
    ]
    return SearchRecord(
        id="a",
        question="",
        gold="",
        level=None,
        strategy="best_of_n",
        budget=4,
        seed=0,
        answers=[],
        finals=finals,
        samples=samples,
        spent=SPENT,
        seconds=0.0,
        stop_reason="finished",
        degradations=[],
        error=None,
    )


@pytest.mark.parametrize(("samples", "size"), [(4, 4), (1, 16), (None, 4)])
def test_a_search_costs_what_it_spent(samples: int | None, size: int) -> None:
    assert costs_at(_record({}, samples=samples), size) == {
        "samples": 4,
        "generated_tokens": 30,
        "policy_flops": 80.0,
        "prm_flops": 500.0,
    }


def test_the_first_samples_cost_their_tokens_and_the_prompt_once() -> None:
    record = _record({0: 5, 1: 6, 2: 9, 3: 10})
    assert costs_at(record, 2) == {
        "samples": 2,
        "generated_tokens": 11,
        "policy_flops": pytest.approx(2 * (10 + 11)),
        "prm_flops": None,
    }


def test_tokens_of_lost_samples_are_spread_evenly() -> None:
    # Sample 1 was lost, with 8 of the 30 tokens.
    record = _record({0: 4, 2: 8, 3: 10})
    assert costs_at(record, 2)["generated_tokens"] == 4 + 8 / 2


def test_a_verifier_that_was_not_asked_costs_nothing() -> None:
    record = _record({0: 5, 1: 6, 2: 9, 3: 10})
    record["spent"] = {**SPENT, "prm_calls": 0}
    assert costs_at(record, 1)["prm_flops"] == 0.0
