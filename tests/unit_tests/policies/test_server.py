"""The policy on a server, with a server that has no model."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from langchain_tts.engines import server
from langchain_tts.engines.errors import ModelLoadError, PromptTooLongError
from langchain_tts.engines.server import ServerError, ServerRefusedError
from langchain_tts.policies import resolve_policy
from langchain_tts.policies._outputs import next_seed
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.policies.server_tokens import PieceRule
from tests.unit_tests.policies.fake_server import (
    END,
    FOLDER,
    LOGPROB,
    FakeServer,
    decode,
    request,
    tokens,
)

Make = Callable[..., FakeServer]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(server, "_FIRST_WAIT", 0.0)
    made: list[FakeServer] = []

    def build(*args: Any, **options: Any) -> FakeServer:
        made.append(FakeServer(*args, **options))
        return made[-1]

    yield build
    for fake in made:
        fake.network.close()


def generate(policy: ServerPolicy, *requests: Any) -> Any:
    return policy.submit(requests).result(10)


def by_seed(_before: str, seed: int) -> str:
    return f"{seed}+1={seed + 1}\n\nAnswer: {seed + 1}"


def test_what_the_server_says_of_itself_is_used(make: Make) -> None:
    policy = make(window=512).policy(name="mine")
    assert (policy.name, policy.model, policy.context_window) == ("mine", "tiny", 512)
    # What its model card says: 115,008 parameters.
    assert policy.num_parameters == 115_008
    assert policy.by_tokens
    assert policy.counts_locally
    assert policy.count_prompt_tokens(request(1)["messages"]) == len(
        tokens.chat_ids(request(1)["messages"])
    )


def test_siblings_are_one_request_for_one_step_each(make: Make) -> None:
    fake = make(by_seed)
    (generation,) = generate(fake.policy(), request(4, 5, 6))
    texts = [sample["steps"][0]["text"] for sample in generation["samples"]]
    assert texts == ["4+1=5", "5+1=6", "6+1=7"]
    for sample, text in zip(generation["samples"], texts, strict=True):
        (step,) = sample["steps"]
        assert sample["finish_reason"] == "step"
        assert decode(step["token_ids"]) == f"{text}\n\n"
        assert step["logprob"] == pytest.approx(LOGPROB * len(step["token_ids"]))
    (body,) = fake.bodies
    assert body["prompt"] == tokens.chat_ids(request(4)["messages"])
    assert (body["n"], body["seed"], body["stop"]) == (3, 4, ["\n\n"])


def test_no_sampler_but_the_temperature_is_on(make: Make) -> None:
    fake = make()
    generate(fake.policy(), request(1, temperature=0.7))
    (body,) = fake.bodies
    assert body["temperature"] == 0.7
    neutral = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    assert body.items() >= neutral.items()


def test_a_prefix_is_sent_as_the_ids_that_were_generated(make: Make) -> None:
    fake = make()
    # Not how the tokenizer would write "12": it is sent as it was sampled.
    prefix = [23, 24, 263]
    generate(fake.policy(), request(1) | {"prefix": prefix})
    assert fake.bodies[0]["prompt"][-3:] == prefix


def test_seeds_with_gaps_are_a_request_a_run_and_keep_their_order(
    make: Make,
) -> None:
    fake = make(by_seed)
    (generation,) = generate(fake.policy(), request(7, 8, 3, 20, 21))
    runs = sorted((body["seed"], body["n"]) for body in fake.bodies)
    assert runs == [(3, 1), (7, 2), (20, 2)]
    texts = [sample["steps"][0]["text"] for sample in generation["samples"]]
    assert texts == ["7+1=8", "8+1=9", "3+1=4", "20+1=21", "21+1=22"]


def test_greedy_samples_are_asked_for_one_by_one(make: Make) -> None:
    fake = make()
    generate(fake.policy(), request(1, 2, temperature=0.0))
    assert [body["n"] for body in fake.bodies] == [1, 1]


@pytest.mark.parametrize("root", [FOLDER, None, "not/here"])
def test_a_whole_answer_is_cut_into_steps(make: Make, root: str | None) -> None:
    fake = make(by_seed, root=root)
    policy = fake.policy()
    assert policy.counts_locally is (root == FOLDER)
    (generation,) = generate(policy, request(5, by_step=False))
    (sample,) = generation["samples"]
    assert sample["finish_reason"] == "stop"
    assert [step["text"] for step in sample["steps"]] == ["5+1=6", "Answer: 6"]
    ids = [step["token_ids"] for step in sample["steps"]]
    assert decode(ids[0]) == "5+1=6\n\n"
    assert ids[1] == [*tokens.encode("Answer: 6"), END]
    for step in sample["steps"]:
        assert step["logprob"] == pytest.approx(LOGPROB * len(step["token_ids"]))
    assert generation["generated_tokens"] == len(ids[0]) + len(ids[1])
    assert "stop" not in fake.bodies[0]


def test_the_last_step_of_an_answer_ends_with_its_end_token(make: Make) -> None:
    fake = make(lambda _before, _seed: "Answer: 2")
    (generation,) = generate(fake.policy(), request(1))
    (sample,) = generation["samples"]
    assert sample["finish_reason"] == "stop"
    assert sample["steps"][0]["text"] == "Answer: 2"
    assert sample["steps"][0]["token_ids"][-1] == END


@pytest.mark.parametrize("local", [True, False])
def test_a_delimiter_without_text_before_it_ends_no_step(
    make: Make, local: bool
) -> None:
    def answer(before: str, seed: int) -> str:
        return f"{seed}\n\n" if before.endswith("\n\n") else "\n\n"

    fake = make(answer, **({} if local else {"root": None}))
    (generation,) = generate(fake.policy(), request(8))
    (step,) = generation["samples"][0]["steps"]
    blank = tokens.encode("\n\n")
    # It goes on with another seed: with its own it would draw the same numbers again.
    seed = next_seed(8, len(blank))
    assert step["text"] == str(seed)
    assert step["token_ids"] == [*blank, *tokens.encode(f"{seed}\n\n")]
    assert step["logprob"] == pytest.approx(LOGPROB * len(step["token_ids"]))
    assert fake.bodies[1]["max_tokens"] == 100 - len(blank)


def test_blank_steps_alone_end_at_the_limit(make: Make) -> None:
    fake = make(lambda _before, _seed: "\n\n")
    (generation,) = generate(fake.policy(), request(8, max_tokens=3))
    (sample,) = generation["samples"]
    assert sample["finish_reason"] == "length"
    assert decode(sample["steps"][0]["token_ids"]) == "\n\n" * 3


def test_an_answer_is_cut_at_the_context_window(make: Make) -> None:
    fake = make(lambda _before, _seed: "1" * 50, window=40)
    policy = fake.policy()
    room = 40 - policy.count_prompt_tokens(request(1)["messages"])
    (generation,) = generate(policy, request(1))
    assert fake.bodies[0]["max_tokens"] == room
    (sample,) = generation["samples"]
    assert sample["finish_reason"] == "length"
    assert len(sample["steps"][0]["token_ids"]) == room


def test_a_prompt_without_room_for_an_answer_is_an_error(make: Make) -> None:
    policy = make(window=20).policy()
    with pytest.raises(PromptTooLongError, match="leaves no room in the 20 tokens"):
        generate(policy, request(1, prefix="1" * 20))


def test_a_request_needs_a_seed_a_sample(make: Make) -> None:
    policy = make().policy()
    with pytest.raises(ValueError, match="2 samples need as many seeds"):
        generate(policy, request(1) | {"n": 2})


def test_the_cache_is_what_the_server_says(make: Make) -> None:
    fake = make()
    policy = fake.policy()
    prompt = policy.count_prompt_tokens(request(1)["messages"])
    fake.cached = 8
    (generation,) = generate(policy, request(1, 2))
    assert generation["cached_tokens"] == 8
    assert generation["prompt_tokens"] == prompt - 8


def test_a_request_that_fails_does_not_take_the_others_with_it(make: Make) -> None:
    fake = make(by_seed)
    fake.fault = lambda body: httpx.Response(500) if body.get("seed") == 50 else None
    first, second = generate(fake.policy(), request(1, 2), request(50, 51))
    assert [sample["finish_reason"] for sample in first["samples"]] == ["step"] * 2
    assert second["samples"] == [{"steps": [], "finish_reason": "failed"}] * 2
    assert "answered 500" in second["problem"]
    assert "problem" not in first


def test_if_all_requests_fail_the_call_fails(make: Make) -> None:
    fake = make()
    policy = fake.policy(retries=1)
    fake.fault = lambda _body: httpx.Response(503)
    with pytest.raises(ServerError, match="answered 503"):
        generate(policy, request(1), request(2))


def test_what_a_model_that_overflows_wrote_has_failed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = make(by_seed)
    policy = fake.policy()
    choice = fake._choice

    def overflow(*args: Any) -> dict[str, Any]:
        told = choice(*args)
        if told["index"] == 1:
            told["logprobs"]["token_logprobs"][2] = None
        return told

    monkeypatch.setattr(fake, "_choice", overflow)
    (generation,) = generate(policy, request(1, 2))
    reasons = [sample["finish_reason"] for sample in generation["samples"]]
    assert reasons == ["step", "failed"]
    assert generation["samples"][1]["steps"] == []


def test_after_the_deadline_nothing_is_sent(make: Make) -> None:
    fake = make()
    policy = fake.policy()
    (generation,) = generate(policy, request(1, 2, deadline=time.monotonic() - 1))
    assert generation["samples"] == [{"steps": [], "finish_reason": "length"}] * 2
    assert generation["prompt_tokens"] == generation["generated_tokens"] == 0
    assert fake.bodies == []


def test_one_of_several_models_must_be_named(make: Make) -> None:
    fake = make()
    fake.models = ["tiny", "other"]
    with pytest.raises(ServerRefusedError, match="serves other, tiny: name one"):
        fake.policy()
    with pytest.raises(ServerRefusedError, match="has no model 'third'"):
        fake.policy(model="third")
    assert fake.policy(model="other").model == "other"


def test_the_tokenizer_may_be_named(make: Make) -> None:
    fake = make(tokenizes=False, root="http://elsewhere")
    with pytest.raises(ModelLoadError, match="option tokenizer=NAME"):
        fake.policy()
    from langchain_tts.tinymath import WEIGHTS

    assert fake.policy(tokenizer=WEIGHTS / "policy").counts_locally
    with pytest.raises(ModelLoadError, match="nowhere"):
        fake.policy(tokenizer="/nowhere")


def test_parameters_are_unknown_where_the_weights_are_elsewhere(make: Make) -> None:
    assert make(root=None).policy().num_parameters == 0
    assert make(root=None).policy(num_parameters=7).num_parameters == 7


def test_a_family_has_its_system_prompt(make: Make) -> None:
    policy = make(root=None).policy(family="qwen2.5")
    plain = make(root=None).policy()
    asked = [
        {"role": "system", "content": policy.family.system_prompt},
        *request(1)["messages"],
    ]
    assert policy.count_prompt_tokens(request(1)["messages"]) == len(
        tokens.chat_ids(asked)
    )
    assert plain.family.name == "none"
    with pytest.raises(ValueError, match="unknown family 'x'"):
        make(root=None).policy(family="x")


def test_a_server_that_cannot_continue_at_all_names_the_alternatives(
    make: Make,
) -> None:
    with pytest.raises(
        ModelLoadError, match=r"vLLM, or use a LangChain chat .* 'best_"
    ):
        make(returns_ids=False, continues=False).policy()


def test_steps_end_where_a_local_tokenizer_says_that_they_end() -> None:
    draw = random.Random(0)
    rule = PieceRule()
    vocabulary = [i for i in range(512) if i not in tokens.tokenizer.all_special_ids]
    rule.pieces = {i: decode([i]) for i in vocabulary}
    lines = [i for i in vocabulary if "\n" in decode([i])]
    for _ in range(300):
        pool = [*lines * 20, *vocabulary]
        ids = [draw.choice(pool) for _ in range(draw.randrange(12))]
        assert rule.split(ids) == tokens.rule.split(ids)
        assert rule.ends_step(ids) == tokens.rule.ends_step(ids)


def test_policies_with_different_keys_share_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = make()
    monkeypatch.setattr(server, "network", lambda: fake.network)
    monkeypatch.setattr("langchain_tts.policies._resolved", {})
    url, keys = "http://fake/v1", [SecretStr("a"), SecretStr("a"), SecretStr("b"), None]
    first, same, other, without = (resolve_policy(url, api_key=key) for key in keys)
    assert first is same
    assert len({id(policy) for policy in (first, other, without)}) == 3
    assert {policy.name for policy in (first, other, without)} == {url}
    with pytest.raises(ValueError, match="'tinymath' takes no api_key"):
        resolve_policy("tinymath", api_key=SecretStr("a"))
