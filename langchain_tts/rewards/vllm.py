"""PRMs in a vLLM engine of this process: the part that is new is what is computed.

vLLM's prefix cache keeps whole blocks of tokens, so the part of a prefix behind its
last full block (half a block on average) is computed again with each step, unless the
cache is an exact one (`engines/vllm_tails.py`).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from transformers import AutoConfig

from langchain_tts.engines.checkpoints import local_folder
from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.futures import together
from langchain_tts.engines.heads import load_head
from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.engines.vllm import open_engine
from langchain_tts.engines.vllm_plugin import (
    VALUE_MODEL,
    VALUE_MODEL_TYPE,
    check_registered,
)
from langchain_tts.engines.vllm_requests import complete
from langchain_tts.rewards.logistic import logistic
from langchain_tts.rewards.reader import Head, LabelHead, Read, Reading, ValueHead
from langchain_tts.rewards.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from vllm.v1.engine.async_llm import AsyncLLM

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.engines.vllm import VLLMEngine

_POOLING: dict[str, Any] = {
    # Its default for Qwen2.5-Math-PRM (STEP) turns the prefix cache off.
    "pooler_config": {"tok_pooling_type": "ALL"},
}
_EXACT: dict[str, Any] = {
    "kv_transfer_config": {
        "kv_connector": "TailConnector",
        "kv_connector_module_path": "langchain_tts.engines.vllm_tails",
        "kv_role": "kv_both",
    }
}
_numbers = count()


class _Prefix(NamedTuple):
    """What vLLM gave for one prompt."""

    scores: list[float]
    """Of the prompt's last positions; at least that of the last one."""
    computed: int
    cached: int


class _Scorer(Protocol):
    """How vLLM is asked for the scores of a prompt."""

    async def __call__(self, llm: AsyncLLM, ids: list[int]) -> _Prefix:
        """Score a prompt.

        Raises:
            ModelLoadError: If the model has not the head that is expected.
        """


class VLLMReader:
    """Reads with a vLLM engine of this process.

    A PRM that is a language model shares its engine with a policy of the same folder
    and the same arguments, if its cache is not an exact one.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        head: How a hidden state becomes a score, given the model's tokenizer.
        exact_cache: Whether a prefix is cached to its last token. None: on a CPU, whose
            blocks are large; it is not measured on a GPU.
        **engine_args: See `langchain_tts.engines.vllm.open_engine`.

    Raises:
        MissingExtraError: If vLLM is not installed.
        ModelLoadError: If the files are missing or damaged, if vLLM cannot serve the
            model, or if the model has not the head.
        ValueError: If vLLM has no such argument.
    """

    def __init__(
        self,
        source: str | Path,
        head: Callable[[ModelTokenizer], Head],
        *,
        exact_cache: bool | None = None,
        **engine_args: Any,
    ) -> None:
        """Start the engine, or share the one that runs, and try the head."""
        folder = local_folder(source)
        tokens, _ = load_tokenizer(folder)
        self._head = head(tokens)
        # What is wrong with the files shows before the engine takes its minute.
        _check(folder, tokens, self._head)
        if exact_cache is None:
            exact_cache = not torch.accelerator.is_available()
        self._roots = Roots() if exact_cache else None
        if exact_cache:
            engine_args = {**_EXACT, **engine_args}
        self.engine = _open(folder, self._head, engine_args)
        self._score = _scorer(self._head)
        self.tokens = self.engine.tokens
        self.num_parameters = self.engine.num_parameters
        self.context_window = self.engine.context_window
        if isinstance(self._head, LabelHead):
            # The token that is generated needs a place, though nobody reads it.
            self.context_window -= 1
        self._try()

    def read(self, readings: Sequence[Reading]) -> Future[list[Read]]:
        """Start scoring; cancelling the future aborts what vLLM has not done."""
        return self.engine.run(self._read_all(readings))

    def _try(self) -> None:
        """Find out with two tokens whether vLLM answers as it should.

        That all weights of the model were in the checkpoint is vLLM's own check.
        """
        try:
            self.read([Reading([0, 1], [1])]).result()
        except ValueError as error:
            if not isinstance(self._head, LabelHead):
                # A language model may be somebody's policy; a head is nobody's.
                self.engine.close()
            msg = (
                f"vLLM does not answer for the model in {self.tokens.source} as its "
                f"format needs ({type(self._head).__name__}): {error}; check the "
                "engine's arguments"
            )
            raise ModelLoadError(msg) from None

    async def _read_all(self, readings: Sequence[Reading]) -> list[Read]:
        """Answer readings; equal ones are computed once."""
        keys = [(tuple(reading.ids), tuple(reading.ends)) for reading in readings]
        distinct = dict(zip(keys, readings, strict=True))
        before = await self._read_root(distinct.values())
        reads = await together(map(self._read, distinct.values()))
        left = dict(zip(distinct, reads, strict=True))
        answers = []
        for key in keys:
            read = answer = left[key]
            left[key] = Read(read.scores, 0, read.computed + read.cached)
            answers.append(replace(answer, computed=answer.computed + before))
            before = 0
        return answers

    async def _read_root(self, readings: Iterable[Reading]) -> int:
        """Read a new question before all that begins with it; tokens computed."""
        prompts = [reading.ids for reading in readings]
        root = [] if self._roots is None else self._roots.unread(prompts)
        return (await self._score(self.engine.llm, root)).computed if root else 0

    async def _read(self, reading: Reading) -> Read:
        """Score the whole, then what its answer does not cover, each end by itself."""
        ids, ends = reading.ids, reading.ends
        whole = await self._score(self.engine.llm, ids)
        first = len(ids) - len(whole.scores)
        early = [end for end in ends if end < first]
        parts = await together(
            self._score(self.engine.llm, ids[: end + 1]) for end in early
        )
        scores = [part.scores[-1] for part in parts]
        scores += [whole.scores[end - first] for end in ends if end >= first]
        return Read(
            scores,
            computed=whole.computed + sum(part.computed for part in parts),
            cached=whole.cached + sum(part.cached for part in parts),
        )


class _LabelScorer:
    """Has a language model generate one token, for the two labels' probabilities."""

    def __init__(self, head: LabelHead) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._head = head
        self._params = SamplingParams(
            max_tokens=1,
            temperature=0,
            logprob_token_ids=[head.good, head.bad],
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def __call__(self, llm: AsyncLLM, ids: list[int]) -> _Prefix:
        """P(good) after the prompt's last token."""
        answer = await complete(llm, ids, self._params)
        logprobs = answer.outputs[0].logprobs[0]
        margin = logprobs[self._head.good].logprob - logprobs[self._head.bad].logprob
        return _Prefix([logistic(margin)], answer.computed, answer.cached)


class _HeadScorer:
    """Has a model with a head of its own give the rows that it computes."""

    def __init__(self, columns: int) -> None:
        from vllm import PoolingParams

        self._columns = columns
        self._params = PoolingParams(
            task="token_classify",
            # Logits, so that the formula is ours, and the same for all backends.
            use_activation=False,
            # Rows of cached tokens are not returned. Nobody needs them here.
            skip_reading_prefix_cache=False,
        )

    async def __call__(self, llm: AsyncLLM, ids: list[int]) -> _Prefix:
        """P(good) at all positions that were computed."""
        answer = await self._encode(llm, ids)
        rows = answer.outputs.data.float()
        if rows.shape[-1] != self._columns:
            msg = f"its head has {rows.shape[-1]} outputs, not {self._columns}"
            raise ModelLoadError(msg)
        if self._columns == 1:
            scores = rows.sigmoid()[:, 0].tolist()
        else:
            scores = rows.softmax(dim=-1)[:, 1].tolist()
        cached = int(answer.num_cached_tokens)
        if len(scores) != len(ids) - cached:
            # Some rows are missing or twice there: vLLM had put the request off. What
            # is sure then is the last one.
            scores = scores[-1:]
        return _Prefix(scores, computed=len(ids) - cached, cached=cached)

    async def _encode(self, llm: AsyncLLM, ids: list[int]) -> Any:
        """Make one request; cancelling this aborts it."""
        from vllm.inputs import tokens_input

        answers = llm.encode(
            tokens_input(ids), self._params.clone(), f"prm-{next(_numbers)}"
        )
        # There is one answer; going on to the end lets vLLM finish the request.
        return [answer async for answer in answers][-1]


def _scorer(head: Head) -> _Scorer:
    if isinstance(head, LabelHead):
        return _LabelScorer(head)
    return _HeadScorer(columns=1 if isinstance(head, ValueHead) else 2)


def _check(folder: Path, tokens: ModelTokenizer, head: Head) -> None:
    """Look into the files for what the head needs."""
    if isinstance(head, LabelHead):
        for label in (head.good, head.bad):
            if not 0 <= label < tokens.vocabulary:
                msg = (
                    f"label token {label} is none of the {tokens.vocabulary} tokens "
                    f"of the model in {folder}"
                )
                raise ModelLoadError(msg)
        return
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    load_head(
        str(folder),
        "value" if isinstance(head, ValueHead) else "classes",
        config.hidden_size,
    )
    if isinstance(head, ValueHead) and tokens.model_type != VALUE_MODEL_TYPE:
        msg = (
            f"on vLLM, value heads are read of {VALUE_MODEL_TYPE} models only, and the "
            f"model in {folder} is of type {tokens.model_type!r}; name it with "
            "'transformers:' instead of 'vllm:'"
        )
        raise ModelLoadError(msg)


def _open(folder: Path, head: Head, engine_args: dict[str, Any]) -> VLLMEngine:
    """The engine that serves a head."""
    if isinstance(head, LabelHead):
        return open_engine(folder, **engine_args)
    if isinstance(head, ValueHead):
        check_registered()
        # Some checkpoints name the language model that they were made from.
        overrides = {
            **engine_args.get("hf_overrides", {}),
            "architectures": [VALUE_MODEL],
        }
        engine_args = {**engine_args, "hf_overrides": overrides}
    return open_engine(folder, runner="pooling", **{**_POOLING, **engine_args})
