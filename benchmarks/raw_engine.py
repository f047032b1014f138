"""vLLM with nothing around it: what the engine itself makes of given requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.random_models import DELIMITER
from langchain_tts.engines.tokens import ModelTokenizer
from langchain_tts.engines.vllm import VLLMEngine
from langchain_tts.policies.base import GenerationRequest
from langchain_tts.policies.vllm import VLLMPolicy
from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.rewards.formats import StepFormat
from langchain_tts.rewards.step_prm import StepPRM
from langchain_tts.rewards.vllm import VLLMReader

_ARGUMENTS: dict[str, Any] = {
    # Compiling the model would take longer than the measurement.
    "enforce_eager": True,
    "max_num_seqs": 256,
}
_numbers = count()


class Raw(NamedTuple):
    """One request as the engine sees it."""

    ids: list[int]
    """Of the prompt."""
    params: Any
    """vLLM's `SamplingParams` or `PoolingParams`."""


def open_policy(folder: Path) -> VLLMPolicy:
    """A policy in vLLM."""
    _prepare()
    return VLLMPolicy(folder, **_ARGUMENTS)


def open_prm(
    folder: Path, written: StepFormat, **options: Any
) -> tuple[StepPRM, VLLMEngine]:
    """A verifier in vLLM, and its engine.

    Args:
        folder: The model.
        written: Its format.
        **options: Of `VLLMReader`, beside those of all benchmarks.
    """
    _prepare()
    reader = VLLMReader(folder, written.head, **{**_ARGUMENTS, **options})
    return StepPRM(reader, written, name=str(folder)), reader.engine


def _prepare() -> None:
    # GiB for keys and values: this process has several engines.
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


def sampled(ids: list[int], **settings: Any) -> Raw:
    """Sample after a prompt.

    Args:
        ids: Of the prompt.
        **settings: Of vLLM's `SamplingParams`.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    settings = {"detokenize": False, "temperature": 1.0, **settings}
    return Raw(
        ids, SamplingParams(output_kind=RequestOutputKind.FINAL_ONLY, **settings)
    )


def exactly(ids: list[int], tokens: int) -> Raw:
    """Sample a number of tokens, whatever they are."""
    return sampled(ids, max_tokens=tokens, ignore_eos=True)


def steps_of(request: GenerationRequest, engine: VLLMEngine) -> list[Raw]:
    """What a search asks its policy for: next steps, which will be the same tokens."""
    ids = engine.tokens.chat_ids(request["messages"]) + request["prefix"]
    room = min(request["max_tokens"], engine.context_window - len(ids))
    delimiter = engine.tokens.token_id(DELIMITER)
    return [
        sampled(
            ids,
            seed=seed,
            temperature=request["temperature"],
            max_tokens=room,
            stop_token_ids=[delimiter],
        )
        for seed in request["seeds"]
    ]


def labels_after(ids: list[int], tokens: ModelTokenizer, **settings: Any) -> Raw:
    """The probabilities of the two labels after a prompt.

    Args:
        ids: Of the prompt.
        tokens: The verifier's tokenizer.
        **settings: More of `SamplingParams`.
    """
    labels = [tokens.token_id("+"), tokens.token_id("-")]
    return sampled(
        ids, max_tokens=1, temperature=0, logprob_token_ids=labels, **settings
    )


def head_rows(ids: list[int]) -> Raw:
    """What a classification head says at every token, all of them computed again."""
    from vllm import PoolingParams

    params = PoolingParams(
        task="token_classify", use_activation=False, skip_reading_prefix_cache=True
    )
    return Raw(ids, params)


def read_ids(
    request: ScoreRequest, written: StepFormat, tokens: ModelTokenizer
) -> list[int]:
    """What a verifier reads to score the last step.

    Args:
        request: The steps.
        written: The format that the verifier was trained with.
        tokens: Its tokenizer.
    """
    ids = list(written.question_ids(tokens, request["messages"]))
    steps = zip(request["steps"], request["token_ids"], strict=True)
    for number, (text, own) in enumerate(steps, start=1):
        ids += written.step_ids(tokens, text, own, number, leads=number == 1)
    return ids


def run_all(engine: VLLMEngine, requests: Sequence[Raw]) -> list[Any]:
    """Send all requests at once, and wait for all of vLLM's answers."""

    async def together() -> list[Any]:
        return await asyncio.gather(*(_answer(engine, raw) for raw in requests))

    return engine.run(together()).result()


async def in_streams(engine: VLLMEngine, requests: Sequence[Raw], streams: int) -> int:
    """Send requests in order, each stream its next one when it has its last answer.

    Returns:
        How many tokens were generated.
    """
    left = iter(requests)

    async def stream() -> int:
        answers = [await _answer(engine, raw) for raw in left]
        return sum(len(one.outputs[0].token_ids) for one in answers)

    return sum(await asyncio.gather(*(stream() for _ in range(streams))))


def forget(*engines: VLLMEngine) -> None:
    """Empty the prefix caches, so that no measurement profits from an earlier one.

    Raises:
        RuntimeError: If an engine is working.
    """
    for engine in engines:
        if not engine.run(_forget(engine)).result():
            msg = "the engine still works, and does not empty its cache"
            raise RuntimeError(msg)


async def _forget(engine: VLLMEngine) -> bool:
    llm = engine.llm
    exact = llm.vllm_config.kv_transfer_config is not None
    return bool(await llm.reset_prefix_cache(reset_connector=exact))


async def _answer(engine: VLLMEngine, raw: Raw) -> Any:
    from vllm import SamplingParams
    from vllm.inputs.engine import tokens_input

    generates = isinstance(raw.params, SamplingParams)
    ask: Any = engine.llm.generate if generates else engine.llm.encode
    final = None
    async for answer in ask(tokens_input(raw.ids), raw.params, f"raw-{next(_numbers)}"):
        final = answer
    return final
