"""Single requests to a vLLM engine, to be made on its loop."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.engine.output_processor import RequestState

T = TypeVar("T")

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Completion:
    """What vLLM answered.

    Args:
        output: Its answer, with one output a sample.
        cached: Prompt tokens that came from the prefix cache, of all samples.
        computed: Prompt tokens that were computed, of all samples: each sample computes
            what follows the last full block of the cache.
        cut: Whether it was aborted at its deadline; an output that was not finished
            then has the finish reason `abort`.
    """

    output: RequestOutput
    cached: int
    computed: int
    cut: bool

    @property
    def outputs(self) -> list[CompletionOutput]:
        """One a sample."""
        outputs: list[CompletionOutput] = self.output.outputs
        return outputs


async def complete(
    llm: AsyncLLM,
    ids: list[int],
    params: SamplingParams,
    *,
    deadline: float | None = None,
    lora: LoRARequest | None = None,
) -> Completion:
    """Make one request; cancelling this aborts it.

    Args:
        llm: On whose loop this runs.
        ids: The prompt.
        params: With `output_kind` `FINAL_ONLY`.
        deadline: `time.monotonic()` after which it is aborted.
        lora: An adapter.
    """
    from vllm.inputs import tokens_input

    name = f"tts-{next(_numbers)}"
    cut: list[asyncio.Task[None]] = []
    timer = None
    try:
        # What `llm.generate` does, but the parts of a request can be looked at.
        queue = await llm.add_request(
            name, tokens_input(ids), params, lora_request=lora
        )
        states = _states(llm, name)
        if deadline is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(
                deadline - time.monotonic(),
                lambda: cut.append(loop.create_task(llm.abort(name))),
            )
        output = await queue.get()
    except BaseException:
        if not llm.errored:
            await llm.abort(name)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    # One that was aborted before its turn has computed nothing.
    read = [state.num_cached_tokens for state in states if not state.is_prefilling]
    cached = sum(read)
    return Completion(output, cached, len(read) * len(ids) - cached, bool(cut))


def _states(llm: AsyncLLM, name: str) -> list[RequestState]:
    """What vLLM notes of each sample of a request that has just begun.

    Its answer says how much of the prompt was cached for one of the samples only.
    """
    known = llm.output_processor
    return [known.request_states[one] for one in known.external_req_ids.get(name, ())]
