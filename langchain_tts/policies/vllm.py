"""A policy that runs on vLLM in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_tts.engines.checkpoints import count_in_file
from langchain_tts.engines.errors import PromptTooLongError
from langchain_tts.engines.futures import together
from langchain_tts.engines.vllm import open_engine
from langchain_tts.engines.vllm_lora import WEIGHTS_FILE, find_rank, lora_request
from langchain_tts.engines.vllm_requests import complete
from langchain_tts.policies._outputs import (
    Run,
    Written,
    finish_reason,
    is_blank_step,
    joined,
    next_seed,
    seed_runs,
    written,
)
from langchain_tts.policies._requests import check_seeds, room_for
from langchain_tts.policies.base import (
    STEP_DELIMITER,
    Generation,
    GenerationRequest,
    Policy,
    Step,
)
from langchain_tts.policies.families import find_family
from langchain_tts.policies.turns import read_requests
from langchain_tts.policies.turns_constrained import structural_tag
from langchain_tts.policies.turns_forms import form_of

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest
    from vllm.outputs import CompletionOutput
    from vllm.sampling_params import SamplingParams

    from langchain_tts.search.state import Message
    from langchain_tts.search.turns import TurnRule


@dataclass(frozen=True, slots=True)
class _Call:
    """A request's token ids and limits."""

    request: GenerationRequest
    ids: list[int]
    max_tokens: int
    tag: str | None
    """What a turn is constrained to: a structural tag; None: nothing."""

    @property
    def deadline(self) -> float | None:
        """When it is aborted."""
        return self.request["deadline"]

    @property
    def overdue(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline <= time.monotonic()


@dataclass(frozen=True, slots=True)
class _Part:
    """What a run of seeds gave."""

    samples: list[Written]
    computed: int = 0
    cached: int = 0


class VLLMPolicy(Policy):
    """Samples from a vLLM engine that all searches of this process share.

    Prompts are token ids: those of the chat, then those that were generated so far, so
    vLLM's prefix cache finds them. Siblings are one request with `n` samples; the i-th
    has the request's seed + i, and what it becomes depends on its seed and not on its
    batch, up to the rounding of floating point sums. (vLLM draws its numbers in another
    way than the transformers backend: the same seed gives another sample there.)

    A turn is one step, and generated under a grammar of its calls or its schema (see
    `turns_constrained`), so what comes to its end fits them, whatever the model is.
    `logprob` is then that of its tokens among those that the grammar allowed; it says
    less than the model's own to a verifier that compares with it. A family's system
    prompt is not added where a turn is asked for; `count_prompt_tokens`, which does not
    know that, may count it.

    Why a sample ended is read from vLLM's finish reason. At a deadline its requests are
    aborted, and what they had generated is returned as cut.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        name: What the user asked for; the source if None.
        lora: A folder with an adapter in PEFT format, put on the model's weights.
        family: A name in `families.FAMILIES`; the model's own if None.
        tool_call_parser: What reads the model's tool calls: `hermes`, or the name of
            another tool parser of vLLM's, e.g. `llama3_json`; the family's if None.
        **engine_args: See `engines.vllm.open_engine`.

    Raises:
        MissingExtraError: If vLLM is not installed.
        ModelLoadError: If files are missing or damaged, or vLLM cannot serve them.
        ValueError: If vLLM has no such argument or parser, or there is no such family.
    """

    takes_turns = True
    reads_prompt_once = False

    def __init__(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        lora: str | Path | None = None,
        family: str | None = None,
        tool_call_parser: str | None = None,
        **engine_args: Any,
    ) -> None:
        """Start an engine, or share the one that this process has."""
        self._lora: LoRARequest | None = None
        adapter = None if lora is None else Path(lora).expanduser().resolve()
        if adapter is not None:
            rank = find_rank(adapter)
            engine_args = {"enable_lora": True, "max_lora_rank": rank, **engine_args}
        self.engine = open_engine(source, **engine_args)
        self.family = find_family(self.engine.tokens, family)
        self._form = form_of(
            tool_call_parser or self.family.tool_call_parser, self.engine.tokens
        )
        if tool_call_parser is not None:
            self._form.check()
        self.name = str(source) if name is None else name
        self.num_parameters = self.engine.num_parameters
        self.context_window = self.engine.context_window
        self.max_tokens = self.family.max_tokens
        self.follows_prompts = self.family.system_prompt is not None
        if adapter is not None:
            self.num_parameters += count_in_file(adapter / WEIGHTS_FILE)
            self._lora = lora_request(adapter)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered chat prompt."""
        return len(self._chat_ids(messages))

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Start a batch of requests.

        Prompt tokens are counted as vLLM computes them: each sibling computes what
        follows the last full block of the prefix cache.

        Raises:
            PromptTooLongError: If a prompt leaves no room for a new token.
            SchemaError: If a turn cannot be constrained to a schema.
            ValueError: If a request has not one seed a sample.
        """
        calls = [self._call(request) for request in requests]
        return self.engine.run(self._generate_all(calls))

    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        """Read a step that somebody else wrote, as if it had been generated.

        It costs a pass over the whole prompt and one token: vLLM does not use its
        prefix cache where the log-probabilities of a prompt are asked for.

        Raises:
            PromptTooLongError: If it does not fit the context window.
        """
        tokens = self.engine.tokens
        ids = tokens.encode(text if ends else text + STEP_DELIMITER)
        if ends:
            ids.append(tokens.tokenizer.eos_token_id)
        before = [*self._chat_ids(messages), *prefix]
        # One place is for the token that vLLM insists on generating.
        if len(before) + len(ids) >= self.context_window:
            msg = (
                f"the step ends {len(before) + len(ids)} tokens after the beginning, "
                f"but policy {self.name!r} reads less than {self.context_window}; "
                "write a shorter step"
            )
            raise PromptTooLongError(msg)
        logprob = self.engine.run(self._logprob(before, ids)).result()
        return Step(text=text, token_ids=ids, logprob=logprob)

    def _chat_ids(
        self, messages: Sequence[Message], turn: TurnRule | None = None
    ) -> list[int]:
        return self.engine.tokens.chat_ids(self.family.messages(messages, turn))

    def _call(self, request: GenerationRequest) -> _Call:
        """The token ids of a request, fitted into the context window."""
        check_seeds(request)
        turn = request.get("turn")
        ids = self._chat_ids(request["messages"], turn) + request["prefix"]
        room = room_for(len(ids), self.context_window, self.name)
        return _Call(
            request,
            ids,
            min(request["max_tokens"], room),
            None
            if turn is None
            else structural_tag(turn, request["messages"], self._form),
        )

    async def _generate_all(self, calls: list[_Call]) -> list[Generation]:
        """All requests at once; vLLM batches them with everybody else's."""
        runs = [
            (number, run)
            for number, call in enumerate(calls)
            for run in seed_runs(
                call.request["seeds"], greedy=call.request["temperature"] == 0
            )
        ]
        done = await together(self._sample(calls[number], run) for number, run in runs)
        parts: list[list[_Part]] = [[] for _ in calls]
        for (number, _), part in zip(runs, done, strict=True):
            parts[number].append(part)
        samples = read_requests(
            self.engine.tokens,
            self._form,
            [
                (call.request, [sample for part in its for sample in part.samples])
                for call, its in zip(calls, parts, strict=True)
            ],
        )
        return [
            Generation(
                samples=some,
                prompt_tokens=sum(part.computed for part in its),
                cached_tokens=sum(part.cached for part in its),
            )
            for some, its in zip(samples, parts, strict=True)
        ]

    async def _sample(self, call: _Call, run: Run) -> _Part:
        """The samples of consecutive seeds: one request."""
        if call.overdue or call.max_tokens < 1:
            return _Part([Written([], [], "length")] * run.n)
        done = await complete(
            self.engine.llm,
            call.ids,
            self._params(call, run),
            deadline=call.deadline,
            lora=self._lora,
        )
        samples = [_read(output, cut=done.cut) for output in done.outputs]
        part = _Part(samples, done.computed, done.cached)
        rule = self.engine.tokens.rule
        if not any(is_blank_step(rule, sample) for sample in samples):
            return part
        return await self._go_on(call, run, part)

    async def _go_on(self, call: _Call, run: Run, part: _Part) -> _Part:
        """Continue the samples that have no text yet, each by a request of its own."""
        rule = self.engine.tokens.rule
        samples, more = list(part.samples), []
        for place, sample in enumerate(samples):
            if is_blank_step(rule, sample):
                size = len(sample.ids)
                rest = replace(
                    call,
                    ids=call.ids + sample.ids,
                    max_tokens=call.max_tokens - size,
                )
                seed = next_seed(run.seed + place, size)
                more.append((place, self._sample(rest, Run(seed, 1))))
        done = await together(work for _, work in more)
        for (place, _), rest_part in zip(more, done, strict=True):
            samples[place] = joined(samples[place], rest_part.samples[0])
        return _Part(
            samples,
            part.computed + sum(one.computed for one in done),
            part.cached + sum(one.cached for one in done),
        )

    def _params(self, call: _Call, run: Run) -> SamplingParams:
        from vllm.sampling_params import (
            RequestOutputKind,
            SamplingParams,
            StructuredOutputsParams,
        )

        by_step = call.request["by_step"]
        return SamplingParams(
            n=run.n,
            seed=run.seed,
            temperature=call.request["temperature"],
            max_tokens=call.max_tokens,
            stop=[STEP_DELIMITER] if by_step else None,
            stop_token_ids=sorted(self.engine.tokens.eos_ids),
            include_stop_str_in_output=True,
            # A delimiter with a special token inside is none.
            skip_special_tokens=False,
            detokenize=by_step,
            logprobs=0,
            flat_logprobs=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_clone=True,
            structured_outputs=None
            if call.tag is None
            else StructuredOutputsParams(structural_tag=call.tag),
        )

    async def _logprob(self, before: list[int], ids: list[int]) -> float:
        """The log-probability of tokens after others."""
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            prompt_logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        done = await complete(self.engine.llm, before + ids, params, lora=self._lora)
        return float(sum(done.output.prompt_logprobs.logprobs[-len(ids) :]))


def _read(output: CompletionOutput, *, cut: bool) -> Written:
    """One sample of vLLM's; what the deadline aborted was cut."""
    reason = output.finish_reason
    if reason == "abort" and cut:
        reason = "length"
    return written(
        output.token_ids,
        output.logprobs.logprobs,
        finish_reason(reason, output.stop_reason),
    )
