"""The vLLM policy on a real vLLM, with the embedded policy's weights."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_tts.budget import Budget
from langchain_tts.chat_model import TTSChatModel
from langchain_tts.engines.errors import EngineDiedError
from langchain_tts.policies import ModelLoadError, PromptTooLongError, resolve_policy
from langchain_tts.policies.base import Generation, GenerationRequest, Sample
from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.policies.vllm import VLLMPolicy
from langchain_tts.rewards import resolve_prm
from langchain_tts.search.state import Message, SearchResult
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import asolve, solve
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.generator import load_split
from tests.integration_tests.comparing import rounded
from tests.unit_tests.tiny_models import request as tiny_request

FOLDER = WEIGHTS / "policy"
BLOCK = 32
WINDOW = 512
RANK = 8
OPTIONS: dict[str, Any] = {
    "max_model_len": WINDOW,
    "enforce_eager": True,
    "enable_lora": True,
    "max_lora_rank": RANK,
}
QUESTION = "What is (12+7)*3-8?"
LONG = "What is " + "+".join(str(number) for number in range(10, 40)) + "?"
TEXTS = [
    "What is (12+7)*3-8?",
    "12+7=19\n\n19*3=57\n\nAnswer: \\boxed{57}",
    "héé\n\n\n日本 \t 🙂 x",
    "<|user|>Hi<|assistant|>3-2=1\n\n<|step|>+<|end|>",
]

pytest.importorskip("vllm")


@pytest.fixture(scope="module")
def policy() -> Iterator[VLLMPolicy]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        policy = VLLMPolicy(FOLDER, **OPTIONS)
        yield policy
        policy.engine.close()


@pytest.fixture(scope="module")
def ours() -> TransformersPolicy:
    return TransformersPolicy(FOLDER)


@pytest.fixture(scope="module")
def plain() -> Any:
    """The same weights in a plain forward pass, as the oracle."""
    return AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()


def request(text: str = QUESTION, **changes: Any) -> GenerationRequest:
    return tiny_request(text, **{"max_tokens": 200, **changes})


def ids(sample: Sample) -> list[int]:
    return [token for step in sample["steps"] for token in step["token_ids"]]


def all_ids(generation: Generation) -> list[list[int]]:
    return [ids(sample) for sample in generation["samples"]]


def plain_logprobs(model: Any, prompt: list[int], new: list[int]) -> list[float]:
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + new])).logits[0].double()
    rows = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
    return [float(row[token]) for row, token in zip(rows, new, strict=True)]


def prompt_ids(policy: VLLMPolicy, text: str = QUESTION) -> list[int]:
    return policy.engine.tokens.chat_ids([Message(role="user", content=text)])


def unfinished(policy: VLLMPolicy) -> int:
    return int(policy.engine.llm.get_num_unfinished_requests())


def wait_until_idle(policy: VLLMPolicy) -> None:
    until = time.monotonic() + 10
    while unfinished(policy) and time.monotonic() < until:
        time.sleep(0.01)
    assert unfinished(policy) == 0


def endless(policy: VLLMPolicy) -> Future[list[Generation]]:
    """Work that takes seconds: whole answers at a temperature that rambles."""
    seeds = list(range(1000, 1016))
    wanted = request(LONG, seeds=seeds, temperature=2.0, max_tokens=400)
    return policy.submit([wanted] * 16)


@pytest.mark.parametrize("text", TEXTS)
def test_vllm_and_transformers_read_the_same_tokens(
    policy: VLLMPolicy, text: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    theirs = policy.engine.llm.get_tokenizer()
    assert theirs.encode(text) == tokenizer.encode(text)
    assert theirs.decode(tokenizer.encode(text)) == text
    chat = [{"role": "user", "content": text}]
    assert (
        theirs.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
        == tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    )


def test_what_the_engine_says_of_the_model(
    policy: VLLMPolicy, ours: TransformersPolicy
) -> None:
    assert policy.num_parameters == ours.num_parameters
    assert policy.context_window == WINDOW
    assert policy.name == str(FOLDER)
    question = [Message(role="user", content=QUESTION)]
    assert policy.count_prompt_tokens(question) == ours.count_prompt_tokens(question)


def test_vllm_gives_the_same_greedy_answers_as_our_engine(
    policy: VLLMPolicy, ours: TransformersPolicy
) -> None:
    questions = [problem.question for problem in load_split("calibration")[:20]]
    requests = [request(text, temperature=0.0) for text in questions]
    pairs = list(zip(policy.invoke(requests), ours.invoke(requests), strict=True))
    # Two kernels round differently: where two tokens are as likely, they may part.
    same = [
        (theirs, mine) for theirs, mine in pairs if all_ids(theirs) == all_ids(mine)
    ]
    assert len(same) >= len(questions) - 1
    for theirs, mine in same:
        [sample], [expected] = theirs["samples"], mine["samples"]
        assert sample["finish_reason"] == expected["finish_reason"]
        for step, other in zip(sample["steps"], expected["steps"], strict=True):
            assert step["text"] == other["text"]
            assert step["logprob"] == pytest.approx(other["logprob"], abs=1e-3)


@pytest.mark.parametrize("by_step", [True, False])
def test_logprobs_are_those_of_a_plain_forward_pass_at_temperature_1(
    policy: VLLMPolicy, plain: Any, by_step: bool
) -> None:
    wanted = request(seeds=[1, 2, 3, 4], temperature=0.5, by_step=by_step)
    [generation] = policy.invoke([wanted])
    for sample in generation["samples"]:
        before = prompt_ids(policy)
        for step in sample["steps"]:
            expected = sum(plain_logprobs(plain, before, step["token_ids"]))
            assert step["logprob"] == pytest.approx(expected, abs=1e-3)
            before = before + step["token_ids"]


def test_step_by_step_is_one_long_greedy_generation(policy: VLLMPolicy) -> None:
    [whole] = policy.invoke([request(temperature=0.0)])
    prefix: list[int] = []
    texts = []
    for _ in range(20):
        [part] = policy.invoke([request(temperature=0.0, by_step=True, prefix=prefix)])
        [sample] = part["samples"]
        [step] = sample["steps"]
        prefix += step["token_ids"]
        texts.append(step["text"])
        decoded = policy.engine.tokens.tokenizer.decode(step["token_ids"])
        if sample["finish_reason"] == "stop":
            assert step["token_ids"][-1] in policy.engine.tokens.eos_ids
            break
        assert sample["finish_reason"] == "step"
        assert decoded == step["text"] + "\n\n"
    assert [prefix] == all_ids(whole)
    assert texts == [step["text"] for step in whole["samples"][0]["steps"]]
    assert whole["samples"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("by_step", [True, False])
def test_a_sample_is_cut_at_its_token_limit(policy: VLLMPolicy, by_step: bool) -> None:
    [done] = policy.invoke([request(seeds=[1, 2], max_tokens=2, by_step=by_step)])
    assert [sample["finish_reason"] for sample in done["samples"]] == ["length"] * 2
    assert [len(new) for new in all_ids(done)] == [2, 2]


def test_a_sample_is_cut_at_the_context_window(policy: VLLMPolicy) -> None:
    room = 6
    full = prompt_ids(policy)
    filler = policy.engine.tokens.encode("1+")
    prefix = (filler * WINDOW)[: WINDOW - room - len(full)]
    [done] = policy.invoke([request(prefix=prefix, temperature=0.0)])
    assert [len(new) for new in all_ids(done)] == [room]
    assert done["samples"][0]["finish_reason"] == "length"
    with pytest.raises(PromptTooLongError, match=f"{WINDOW} tokens"):
        policy.submit([request(prefix=prefix + filler * room)])


def test_a_step_has_text_and_takes_in_the_blank_tokens_before_it(
    policy: VLLMPolicy, ours: TransformersPolicy
) -> None:
    """A prefix that lacks its delimiter: the model writes that first."""
    [whole] = policy.invoke([request(temperature=0.0)])
    *prefix, delimiter = whole["samples"][0]["steps"][0]["token_ids"]
    second = whole["samples"][0]["steps"][1]
    wanted = request(temperature=0.0, by_step=True, prefix=prefix)
    [generation], [expected] = policy.invoke([wanted]), ours.invoke([wanted])
    [sample] = generation["samples"]
    assert all_ids(generation) == all_ids(expected)
    assert all_ids(generation) == [[delimiter, *second["token_ids"]]]
    assert sample["steps"][0]["text"] == second["text"]
    assert sample["finish_reason"] == "step"
    tokens = len(prompt_ids(policy)) + len(prefix)
    seen = generation["prompt_tokens"] + generation["cached_tokens"]
    assert seen == tokens + (tokens + 1)


def test_blank_steps_are_repeatable_and_keep_to_the_token_limit(
    policy: VLLMPolicy,
) -> None:
    [whole] = policy.invoke([request(temperature=0.0)])
    prefix = whole["samples"][0]["steps"][0]["token_ids"][:-1]
    wanted = request(by_step=True, prefix=prefix, seeds=[7, 8, 9, 10])
    assert (
        policy.invoke([wanted])[0]["samples"] == policy.invoke([wanted])[0]["samples"]
    )
    short = request(by_step=True, prefix=prefix, seeds=[7, 8, 9, 10], max_tokens=1)
    [cut] = policy.invoke([short])
    assert [len(new) for new in all_ids(cut)] == [1] * 4
    assert {sample["finish_reason"] for sample in cut["samples"]} == {"length"}


def test_a_sample_depends_on_its_seed_and_not_on_its_batch(policy: VLLMPolicy) -> None:
    seeds = list(range(100, 108))
    [together] = policy.invoke([request(seeds=seeds)])
    alone = [all_ids(policy.invoke([request(seeds=[seed])])[0])[0] for seed in seeds]
    assert all_ids(together) == alone
    assert len({tuple(new) for new in alone}) > 4
    # A retry leaves gaps, merged parents mix: still each seed gives its sample.
    [mixed] = policy.invoke([request(seeds=[103, 104, 107, 100])])
    assert all_ids(mixed) == [alone[3], alone[4], alone[7], alone[0]]
    # Other requests run at the same time.
    others = [request(LONG, seeds=[k, k + 1], by_step=k % 2 == 0) for k in range(20)]
    *_, busy = policy.invoke([*others, request(seeds=seeds)])
    assert all_ids(busy) == alone


def test_the_largest_seed_is_a_seed(policy: VLLMPolicy) -> None:
    seeds = [2**63 - 2, 2**63 - 1, 0]
    [done] = policy.invoke([request(seeds=seeds)])
    [last] = policy.invoke([request(seeds=[2**63 - 1])])
    assert all_ids(done)[1] == all_ids(last)[0]


def test_greedy_siblings_are_equal(policy: VLLMPolicy) -> None:
    [done] = policy.invoke([request(seeds=[5, 6, 7], temperature=0.0)])
    assert len({tuple(new) for new in all_ids(done)}) == 1
    assert len(done["samples"]) == 3


def test_prompt_tokens_are_those_that_vllm_computes(policy: VLLMPolicy) -> None:
    """Whole blocks of a prefix are found; the rest is computed for each sibling."""
    text = LONG.replace("10+", "11+")
    size = len(prompt_ids(policy, text))
    found = (size - 1) // BLOCK * BLOCK
    assert found >= 2 * BLOCK
    wanted = request(text, seeds=[1, 2, 3], by_step=True)
    [first] = policy.invoke([wanted])
    assert first["cached_tokens"] == 2 * found
    assert first["prompt_tokens"] == 3 * size - 2 * found
    [again] = policy.invoke([wanted])
    assert again["cached_tokens"] == 3 * found
    assert again["prompt_tokens"] == 3 * (size - found)


def test_a_child_finds_the_blocks_that_its_parent_generated(policy: VLLMPolicy) -> None:
    text = LONG.replace("10+", "12+")
    size = len(prompt_ids(policy, text))
    [parent] = policy.invoke([request(text, temperature=1.5, max_tokens=80)])
    [prefix] = all_ids(parent)
    total = size + len(prefix)
    # The newest token was never computed, and at least one token always is.
    assert total // BLOCK > size // BLOCK
    [child] = policy.invoke([request(text, prefix=prefix, max_tokens=1)])
    assert child["cached_tokens"] == (total - 1) // BLOCK * BLOCK


def test_a_cancelled_call_frees_the_engine(policy: VLLMPolicy) -> None:
    future = endless(policy)
    time.sleep(0.2)
    assert unfinished(policy) > 0
    assert future.cancel()
    wait_until_idle(policy)
    with pytest.raises(CancelledError):
        future.result()


def test_a_call_may_be_cancelled_before_it_began(policy: VLLMPolicy) -> None:
    for _ in range(50):
        endless(policy).cancel()
    wait_until_idle(policy)
    assert policy.invoke([request()])[0]["samples"]


def test_a_deadline_cuts_samples_with_what_they_have(policy: VLLMPolicy) -> None:
    started = time.monotonic()
    seeds = list(range(8))
    wanted = request(
        LONG, seeds=seeds, temperature=2.0, max_tokens=400, deadline=started + 0.3
    )
    [cut] = policy.invoke([wanted])
    assert time.monotonic() - started < 10
    reasons = [sample["finish_reason"] for sample in cut["samples"]]
    assert "length" in reasons
    assert set(reasons) <= {"length", "stop"}
    whole = policy.invoke([{**wanted, "deadline": None}])[0]
    for sample, new, all_new in zip(
        cut["samples"], all_ids(cut), all_ids(whole), strict=True
    ):
        assert 0 < len(new) <= len(all_new)
        assert new == all_new[: len(new)]
        assert sample["steps"]
    wait_until_idle(policy)


def test_an_overdue_request_generates_nothing(policy: VLLMPolicy) -> None:
    [done] = policy.invoke([request(seeds=[1, 2], deadline=time.monotonic() - 1)])
    assert done["samples"] == [Sample(steps=[], finish_reason="length")] * 2
    assert done["prompt_tokens"] == done["cached_tokens"] == 0


def test_threads_share_one_engine(policy: VLLMPolicy) -> None:
    requests = [request(seeds=[seed]) for seed in range(200, 216)]
    expected = [policy.invoke([one])[0]["samples"] for one in requests]
    with ThreadPoolExecutor(max_workers=16) as threads:
        done = list(threads.map(lambda one: policy.invoke([one])[0], requests))
    assert [all_ids(one) for one in done] == [
        [ids(sample) for sample in samples] for samples in expected
    ]


async def test_calls_from_a_running_loop(policy: VLLMPolicy) -> None:
    requests = [request(seeds=[seed]) for seed in range(200, 208)]
    blocking = [policy.invoke([one])[0] for one in requests]
    done = await asyncio.gather(*(policy.ainvoke([one]) for one in requests))
    assert [all_ids(one) for [one] in done] == [all_ids(one) for one in blocking]


async def test_a_cancelled_task_frees_the_engine(policy: VLLMPolicy) -> None:
    wanted = request(LONG, seeds=list(range(64)), temperature=2.0, max_tokens=400)
    task = asyncio.ensure_future(policy.ainvoke([wanted] * 4))
    await asyncio.sleep(0.2)
    assert unfinished(policy) > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    wait_until_idle(policy)


@pytest.mark.parametrize("ends", [True, False])
def test_a_step_of_somebody_else_is_read_as_if_generated(
    policy: VLLMPolicy, ours: TransformersPolicy, ends: bool
) -> None:
    messages = [Message(role="user", content=QUESTION)]
    first = ours.read_step(messages, [], "12+7=19", ends=False)
    step = policy.read_step(messages, first["token_ids"], "19*3=57", ends=ends)
    expected = ours.read_step(messages, first["token_ids"], "19*3=57", ends=ends)
    assert step["token_ids"] == expected["token_ids"]
    assert step["text"] == "19*3=57"
    assert step["logprob"] == pytest.approx(expected["logprob"], abs=1e-3)
    with pytest.raises(PromptTooLongError, match="shorter step"):
        policy.read_step(messages, [], "1+" * WINDOW, ends=False)


def test_what_vllm_would_not_take_is_a_clear_error(policy: VLLMPolicy) -> None:
    with pytest.raises(ValueError, match="as many seeds"):
        policy.submit([{**request(), "n": 2}])
    with pytest.raises(ValueError, match="temperature"):
        policy.invoke([request(temperature=3.0)])
    with pytest.raises(ValueError, match="no engine argument max_modell_len"):
        VLLMPolicy(FOLDER, max_modell_len=100)
    with pytest.raises(ModelLoadError, match=r"adapter_config\.json"):
        VLLMPolicy(FOLDER, lora=FOLDER)


def search(policy: VLLMPolicy, budget: Budget) -> SearchContext:
    return SearchContext(policy=policy, prm=resolve_prm("tinymath"), budget=budget)


MESSAGES = [Message(role="user", content="What is (14+38)*2-17?")]


def check_within(result: SearchResult, budget: Budget) -> None:
    spent = result["spent"]
    assert spent["generated_tokens"] <= (budget.tokens or 0)
    assert spent["policy_flops"] + spent["prm_flops"] <= (budget.flops or 0)
    assert result["answer"]


async def test_a_search_is_repeatable_and_keeps_to_its_budget(
    policy: VLLMPolicy,
) -> None:
    budget = Budget(samples=16, tokens=2000, flops=2e9)
    context = search(policy, budget)
    first = solve(MESSAGES, context=context, strategy="beam_search", seed=11)
    check_within(first, budget)
    again = await asolve(MESSAGES, context=context, strategy="beam_search", seed=11)
    assert again["tree"] == rounded(first["tree"])
    others = [
        asolve(MESSAGES, context=context, strategy="beam_search", seed=seed)
        for seed in (11, 12, 13, 11)
    ]
    same, *_, last = await asyncio.gather(*others)
    assert same["tree"] == rounded(first["tree"])
    assert last["tree"] == rounded(first["tree"])


def test_a_vllm_policy_by_its_name_in_a_chat_model(policy: VLLMPolicy) -> None:
    options = "&".join(f"{key}={json.dumps(value)}" for key, value in OPTIONS.items())
    name = f"vllm:{FOLDER}?{options}"
    named = resolve_policy(name)
    assert isinstance(named, VLLMPolicy)
    assert named.engine is policy.engine
    assert named.name == name
    [whole] = named.invoke([request("What is 3+4?", temperature=0.0)])
    answer = TTSChatModel(policy=name, strategy="greedy").invoke("What is 3+4?")
    texts = [step["text"] for step in whole["samples"][0]["steps"]]
    assert answer.content == "\n\n".join(texts)


def save_adapter(folder: Path, model: Any) -> Path:
    """A random adapter in PEFT format on two projections of every layer."""
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, module in model.named_modules():
        if name.endswith(("q_proj", "v_proj")):
            out, width = module.weight.shape
            a = torch.randn(RANK, width, generator=generator) * 0.2
            b = torch.randn(out, RANK, generator=generator) * 0.2
            tensors[f"base_model.model.{name}.lora_A.weight"] = a
            tensors[f"base_model.model.{name}.lora_B.weight"] = b
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def merged(model: Any, adapter: Path) -> Any:
    """The oracle: W + alpha / r * B A, written into the weights."""
    from safetensors.torch import load_file

    tensors = load_file(adapter / "adapter_model.safetensors")
    for name, module in model.named_modules():
        key = f"base_model.model.{name}.lora_"
        if f"{key}A.weight" in tensors:
            added = 2.0 * tensors[f"{key}B.weight"] @ tensors[f"{key}A.weight"]
            module.weight.data += added
    return model


def test_an_adapter_changes_the_model_as_its_weights_say(
    policy: VLLMPolicy, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    adapter = save_adapter(tmp_path / "adapter", model)
    tuned = VLLMPolicy(FOLDER, lora=adapter, **OPTIONS)
    assert tuned.engine is policy.engine
    oracle = merged(model, adapter)
    [own], [base] = tuned.invoke([request()]), policy.invoke([request()])
    assert all_ids(own) != all_ids(base)
    prompt = prompt_ids(policy)
    for generation in (own, tuned.invoke([request(by_step=True, seeds=[3])])[0]):
        for sample in generation["samples"]:
            expected = sum(plain_logprobs(oracle, prompt, ids(sample)))
            found = sum(step["logprob"] for step in sample["steps"])
            assert found == pytest.approx(expected, abs=2e-3)
    pairs = sum(2 * RANK * size for size in (64, 64) * 2)
    assert tuned.num_parameters == policy.num_parameters + pairs


def test_an_engine_that_dies_says_so_and_starts_again(policy: VLLMPolicy) -> None:
    """Last: it costs a start."""
    [before] = policy.invoke([request(seeds=[3])])
    future = endless(policy)
    time.sleep(0.1)
    manager = policy.engine.llm.engine_core.resources.engine_manager
    os.kill(manager.processes[0].pid, signal.SIGKILL)
    with pytest.raises(EngineDiedError, match="died in the middle"):
        future.result(timeout=30)
    [after] = policy.invoke([request(seeds=[3])])
    assert all_ids(after) == all_ids(before)
    policy.engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        policy.submit([request()])
