"""A policy that runs on an OpenAI-compatible server, or on several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langchain_tts.engines.checkpoints import count_parameters, local_folder
from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.server import ServerError, ServerPool, ServerRefusedError
from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.policies._outputs import Run, seed_runs
from langchain_tts.policies._requests import check_seeds
from langchain_tts.policies.base import (
    STEP_DELIMITER,
    Generation,
    GenerationRequest,
    Policy,
    Sample,
    Step,
)
from langchain_tts.policies.families import FAMILIES, Family, find_family
from langchain_tts.policies.server_by_text import ByText
from langchain_tts.policies.server_by_tokens import ByTokens
from langchain_tts.policies.server_requests import Batch
from langchain_tts.policies.server_tokens import (
    LocalTokens,
    RemoteTokens,
    ServerTokens,
)
from langchain_tts.policies.server_turns import ByTurns

if TYPE_CHECKING:
    from pydantic import SecretStr

    from langchain_tts.engines.loops import Network
    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import Message

T = TypeVar("T")
Outcome = Batch | ServerError


class ServerPolicy(Policy):
    """Samples from servers of the same model, such as `vllm serve` starts.

    Prompts are token ids: those of the chat, then those that were generated so far, so
    a server's prefix cache finds them. Siblings are one request with `n` samples; the
    i-th has the request's seed + i. All samplers but the temperature are switched off.
    At a deadline the connection is closed, which ends the generation; the tokens that
    came until then are returned as cut (up to 16 of each sample may be lost).

    A server that does not take or return token ids is used by text, if it continues the
    last message of a chat (`continue_final_message`); see `server_by_text.ByText` for
    what that loses. Which of both it can do is found out here, once.

    A turn comes from the chat endpoint, by the server's own parser of tool calls; see
    `server_turns.ByTurns`. vLLM needs `--enable-auto-tool-choice` and
    `--tool-call-parser` for that, and keeps arguments of tools to their schemas only
    where tools are `strict` (or with `--tool-strict-level parameter`). Answers by a
    schema need no flags.

    The tokenizer is read from local files where there are any: those of `tokenizer`, or
    of the model that the server says it runs. Otherwise the server is asked
    (`/tokenize`), which takes longer.

    `prompt_tokens` are those that the first of the siblings computed. Servers tell how
    much was cached if they are started with `--enable-prompt-tokens-details`; of those
    that do not, nothing counts as cached.

    Args:
        urls: Base addresses, e.g. `http://127.0.0.1:8000/v1`.
        name: What the user asked for; the addresses if None.
        model: The model's name there; the only one if None.
        tokenizer: A folder in Hugging Face format, or a model in the local cache.
        family: A name in `families.FAMILIES`; what the tokenizer tells if None (`none`
            if the tokenizer is not here).
        num_parameters: Of the model, for budgets in FLOPs. If None, they are counted
            in its files, and are 0 where these are not here: FLOPs count nothing then,
            and no limit on them can be kept.
        api_key: See `engines.server.ServerPool`, as for all that follow.
        api_key_env: The environment variable that holds the key, where none is given.
        timeout: Seconds without a byte of answer after which a try has failed.
        connect_timeout: Seconds to open a connection.
        retries: Further tries of a failed request.
        concurrency: Requests that each server is sent at once.
        on: The network that carries it; the process's if None.

    Raises:
        ModelLoadError: If its tokenizer can neither be read nor asked for, or if a
            server cannot continue what it wrote.
        ServerError: If no server answers.
        ServerRefusedError: If a server refuses to.
        ValueError: If a name or an address is wrong.
    """

    takes_turns = True
    reads_prompt_once = False

    def __init__(
        self,
        urls: Sequence[str],
        *,
        name: str | None = None,
        model: str | None = None,
        tokenizer: str | Path | None = None,
        family: str | None = None,
        num_parameters: int | None = None,
        api_key: SecretStr | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        retries: int = 4,
        concurrency: int = 256,
        on: Network | None = None,
    ) -> None:
        """Ask the servers what they run and what they can do."""
        self._pool = ServerPool(
            urls,
            api_key=api_key,
            api_key_env=api_key_env,
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            concurrency=concurrency,
            on=on,
        )
        self.name = self._pool.name if name is None else name
        served = self._wait(self._find_model(model))
        self.model: str = served["id"]
        source = served.get("root") if tokenizer is None else tokenizer
        self._tokens, window = self._open_tokens(source, required=tokenizer is not None)
        self.context_window = int(served.get("max_model_len") or window)
        self.counts_locally = self._tokens.local
        self.num_parameters = (
            _parameters(served.get("root"))
            if num_parameters is None
            else num_parameters
        )
        self.family = self._find_family(family)
        self.max_tokens = self.family.max_tokens
        self.follows_prompts = self.family.system_prompt is not None
        self._way = self._wait(self._find_way())
        self._turns = ByTurns(self._pool, self.model, self._tokens, self.context_window)

    @property
    def by_tokens(self) -> bool:
        """Whether it sends and gets token ids; otherwise text."""
        return isinstance(self._way, ByTokens)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered chat prompt."""
        return len(self._tokens.chat_ids(self.family.messages(messages)))

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Start a batch of requests.

        Cancelling the future closes their connections, so that the server stops.

        Raises:
            ValueError: If a request has not one seed a sample.
        """
        for request in requests:
            check_seeds(request)
        return self._pool.run(self._generate_all(requests))

    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        """Read a step that somebody else wrote, as if it had been generated.

        Raises:
            PromptTooLongError: If it does not fit the context window.
            ServerError: If no server answers.
            ServerRefusedError: If the server takes no token ids.
        """
        ids = self._tokens.encode(text if ends else text + STEP_DELIMITER)
        if ends:
            ids = ids + self._tokens.end
        chat = self.family.messages(messages)
        logprob = self._wait(self._way.logprob(chat, prefix, ids))
        return Step(text=text, token_ids=ids, logprob=logprob)

    async def _generate_all(
        self, requests: Sequence[GenerationRequest]
    ) -> list[Generation]:
        """All requests at once; the servers batch them with everybody else's."""
        plans = [
            (self._with_prompt(request), run)
            for request in requests
            for run in seed_runs(request["seeds"], greedy=request["temperature"] == 0)
        ]
        outcomes = await _gather([self._write(request, run) for request, run in plans])
        parts = iter(zip((run for _, run in plans), outcomes, strict=True))
        return [_generation(request, parts) for request in requests]

    async def _write(self, request: GenerationRequest, run: Run) -> Batch:
        deadline = request["deadline"]
        if deadline is not None and time.monotonic() >= deadline:
            cut = [Sample(steps=[], finish_reason="length") for _ in range(run.n)]
            return Batch(cut, 0, 0, 0)
        way = self._turns if "turn" in request else self._way
        return await way.write(request, run.seed, run.n)

    def _with_prompt(self, request: GenerationRequest) -> GenerationRequest:
        messages = self.family.messages(request["messages"], request.get("turn"))
        return {**request, "messages": messages}

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._pool.run(work).result()

    async def _find_model(self, name: str | None) -> dict[str, Any]:
        """What the servers tell of the model.

        Raises:
            ServerRefusedError: If they do not serve it, or serve several.
        """
        models = await self._pool.models()
        names = [str(model["id"]) for model in models]
        if name is None and len(models) == 1:
            return models[0]
        if name in names:
            return models[names.index(name)]
        wanted = "serves several models" if name is None else f"has no model {name!r}"
        msg = (
            f"{self._pool.name} {wanted}; it serves {', '.join(sorted(names))}: name "
            "one by the option model=NAME"
        )
        raise ServerRefusedError(msg, status=404)

    def _open_tokens(
        self, source: str | Path | None, *, required: bool
    ) -> tuple[ServerTokens, int]:
        """The tokenizer and the context window that it knows of.

        Raises:
            ModelLoadError: If there is neither one here nor one that can be asked for.
        """
        if source:
            try:
                tokens, window = load_tokenizer(source)
                return LocalTokens(tokens), window
            except ModelLoadError:
                if required:
                    raise
        asked = self._pool.request("/tokenize", {"model": self.model, "prompt": "1"})
        try:
            answer = self._wait(asked)
        except ServerRefusedError:
            msg = (
                f"{self._pool.name} has no /tokenize, and the tokenizer of "
                f"{self.model!r} is not here; name a folder or a model in the local "
                "Hugging Face cache by the option tokenizer=NAME"
            )
            raise ModelLoadError(msg) from None
        return RemoteTokens(self._pool, self.model), int(answer["max_model_len"])

    def _find_family(self, name: str | None) -> Family:
        known = self._tokens.known if isinstance(self._tokens, LocalTokens) else None
        if known is None and name is None:
            return FAMILIES["none"]
        # A family that is named is not looked for in the tokenizer.
        return find_family(cast("ModelTokenizer", known), name)

    async def _find_way(self) -> ByTokens | ByText:
        """How the servers can be used.

        Raises:
            ModelLoadError: If they cannot.
        """
        parts = (self._pool, self.model, self._tokens, self.context_window)
        for way in (ByTokens(*parts), ByText(*parts)):
            if await way.works():
                return way
        msg = (
            f"{self._pool.name} neither takes token ids (/v1/completions with "
            "return_token_ids) nor continues a message (/v1/chat/completions with "
            "continue_final_message); run the model with vLLM, or use a LangChain chat "
            "model, e.g. ChatOpenAI(base_url=...), with a strategy that needs whole "
            "answers only: 'best_of_n', 'revision', 'majority_vote' or 'greedy'"
        )
        raise ModelLoadError(msg)


def _parameters(root: str | None) -> int:
    """Parameters of a model, if its files are here."""
    try:
        return count_parameters(local_folder(root)) if root else 0
    except ModelLoadError:
        return 0


async def _gather(calls: Sequence[Coroutine[Any, Any, Batch]]) -> list[Outcome]:
    """All at once; one that no server answered does not end the others.

    Raises:
        ServerError: If no server answered any of them.
        ValueError: If one of them is wrong.
    """
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, ServerError):
            raise outcome
    lost = [outcome for outcome in outcomes if isinstance(outcome, ServerError)]
    if lost and len(lost) == len(outcomes):
        raise lost[0]
    return cast("list[Outcome]", outcomes)


def _generation(
    request: GenerationRequest, parts: Iterator[tuple[Run, Outcome]]
) -> Generation:
    """The answer to a request, of as many parts as it has samples."""
    generation = Generation(samples=[], prompt_tokens=0, cached_tokens=0)
    generated = 0
    while len(generation["samples"]) < request["n"]:
        run, outcome = next(parts)
        if isinstance(outcome, ServerError):
            failed = [Sample(steps=[], finish_reason="failed") for _ in range(run.n)]
            generation["samples"] += failed
            generation["problem"] = str(outcome)
            continue
        generation["samples"] += outcome.samples
        generation["prompt_tokens"] += outcome.computed
        generation["cached_tokens"] += outcome.cached
        generated += outcome.generated
    generation["generated_tokens"] = generated
    return generation
