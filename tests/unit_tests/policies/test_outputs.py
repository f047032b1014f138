"""Reading what vLLM answers: reasons, seeds and steps, by hand."""

from __future__ import annotations

import math

import pytest

from langchain_tts.engines.tokens import ModelTokenizer, load_tokenizer
from langchain_tts.policies._outputs import (
    Run,
    Written,
    finish_reason,
    is_blank_step,
    joined,
    next_seed,
    read_samples,
    seed_runs,
    written,
)
from langchain_tts.policies.base import Sample, Step
from tests.unit_tests.tiny_models import save_model

END = 1


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> ModelTokenizer:
    return load_tokenizer(save_model(tmp_path_factory.mktemp("llama")))[0]


@pytest.mark.parametrize(
    ("reason", "stop", "expected"),
    [
        ("stop", "\n\n", "step"),
        ("stop", None, "stop"),
        ("stop", END, "stop"),
        ("length", None, "length"),
        ("abort", None, "failed"),
        ("error", None, "failed"),
        (None, None, "failed"),
    ],
)
def test_the_finish_reason_decides(
    reason: str | None, stop: str | int | None, expected: str
) -> None:
    assert finish_reason(reason, stop) == expected


@pytest.mark.parametrize(
    ("seeds", "runs"),
    [
        ([], []),
        ([5], [Run(5, 1)]),
        ([5, 6, 7], [Run(5, 3)]),
        ([5, 6, 8, 9, 3], [Run(5, 2), Run(8, 2), Run(3, 1)]),
        ([7, 6, 5], [Run(7, 1), Run(6, 1), Run(5, 1)]),
        ([5, 5], [Run(5, 1), Run(5, 1)]),
        ([2**63 - 1, 0, 1], [Run(2**63 - 1, 1), Run(0, 2)]),
    ],
)
def test_consecutive_seeds_are_one_request(seeds: list[int], runs: list[Run]) -> None:
    assert seed_runs(seeds) == runs
    assert [run.seed + i for run in runs for i in range(run.n)] == seeds


def test_greedy_samples_are_a_request_each() -> None:
    assert seed_runs([5, 6], greedy=True) == [Run(5, 1), Run(6, 1)]


def test_going_on_has_seeds_of_its_own() -> None:
    seeds = {next_seed(seed, tokens) for seed in range(100) for tokens in range(10)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert next_seed(3, 1) == next_seed(3, 1)


def test_what_failed_has_no_tokens() -> None:
    assert written([4, 5], [-1.0, -2.0], "step") == Written([4, 5], [-1, -2], "step")
    failed = Written([], [], "failed")
    assert written([4, 5], [-1.0, -2.0], "failed") == failed
    assert written([4, 5], [-1.0, math.nan], "stop") == failed
    assert written([4, 5], [-1.0, -math.inf], "stop") == failed
    assert written([4, 5], [-1.0], "stop") == failed
    assert written([], [], "length") == Written([], [], "length")


def test_a_sample_that_went_on() -> None:
    first = Written([4], [-1.0], "step")
    assert joined(first, Written([5], [-2.0], "stop")) == Written(
        [4, 5], [-1.0, -2.0], "stop"
    )
    assert joined(first, Written([], [], "length")) == Written([4], [-1.0], "length")
    assert joined(first, Written([], [], "failed")) == Written([], [], "failed")


def test_a_step_without_text_is_blank(tokens: ModelTokenizer) -> None:
    def blank(text: str, reason: str = "step") -> bool:
        new = tokens.encode(text)
        sample = Written(new, [0.0] * len(new), finish_reason(reason, "\n\n"))
        return is_blank_step(tokens.rule, sample)

    assert blank("\n\n", "stop")
    assert blank(" \n \n\n", "stop")
    assert not blank("1\n\n", "stop")
    assert not blank("\n\n", "length")


def test_steps_have_texts_ids_and_summed_logprobs(tokens: ModelTokenizer) -> None:
    one, two = tokens.encode("1+2\n\n"), [*tokens.encode("=3"), END]
    answer = one + two
    logprobs = [-float(2**i) for i in range(len(answer))]
    cut = len(one)
    step = Step(text="1+2", token_ids=one, logprob=sum(logprobs[:cut]))
    rest = Step(text="=3", token_ids=two, logprob=sum(logprobs[cut:]))
    whole = Written(answer, logprobs, "stop")
    first = Written(one, logprobs[:cut], "step")
    nothing = Written([], [], "length")
    assert read_samples(tokens, [(False, [whole, nothing]), (True, [first])]) == [
        [
            Sample(steps=[step, rest], finish_reason="stop"),
            Sample(steps=[], finish_reason="length"),
        ],
        [Sample(steps=[step], finish_reason="step")],
    ]


def test_a_step_is_not_cut_again(tokens: ModelTokenizer) -> None:
    """Blank tokens before it belong to it, the delimiter among them."""
    new = tokens.encode("\n\n1+2\n\n")
    [[sample]] = read_samples(
        tokens, [(True, [Written(new, [-1.0] * len(new), "step")])]
    )
    [step] = sample["steps"]
    assert step["token_ids"] == new
    assert step["text"] == "1+2"


def test_nothing_is_nothing(tokens: ModelTokenizer) -> None:
    assert read_samples(tokens, []) == []
    assert read_samples(tokens, [(True, [])]) == [[]]
