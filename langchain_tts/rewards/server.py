"""PRMs on vLLM servers.

A PRM that is a language model is asked over the completions endpoint for one token
after each marker, and for the probabilities of its two labels. The server's prefix
cache has all but the newest step.

A PRM with a head of its own is asked over the pooling endpoint for the head's outputs
at all tokens. vLLM 0.32 reads no prefix cache for these, and cannot be told to over
HTTP, so such a server computes every prefix again: the scores are right, but a long
trajectory costs more than with the backend `vllm:` in this process, which can.

Prompts of one call go in few requests: 64 together took a third to a half of the time
that 64 requests took, and more than 16 together gained little.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.futures import together
from langchain_tts.engines.replies import ServerRefusedError
from langchain_tts.engines.server import ServerPool
from langchain_tts.rewards._probes import UnusableAnswerError, probe_for
from langchain_tts.rewards._server_memory import ServerMemory, block_size
from langchain_tts.rewards.reader import Head, Read, Reading
from langchain_tts.rewards.served import ask_served, check_tokenizer, read_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.rewards._probes import Prompt

_TOGETHER = 64
"""Prompts of one request."""
_GROUPS = 4
"""Groups of trajectories for each of several servers, so that all get about as many."""
_PROBE_TOKENS = 512
_UNAUTHORIZED = (401, 403)


class _Prefix(NamedTuple):
    """What a server gave for one prompt."""

    scores: list[float]
    """At its last positions."""
    cached: int


class ServerReader:
    """Reads with vLLM servers, all of the same model.

    A trajectory goes on with the server that has read its beginning.

    Args:
        urls: Base addresses, e.g. `http://127.0.0.1:8000/v1`.
        head: How a hidden state becomes a score, given the model's tokenizer.
        model: The model's name there; None: the only one that is served.
        tokenizer: A folder, or a model in the local Hugging Face cache, that has the
            model's tokenizer and config.json; None: what the server loaded, if this
            machine has that.
        num_parameters: Of the model, for FLOPs; None: they are counted.
        **connection: See `ServerPool`.

    Raises:
        ModelLoadError: If the server's model has not the head, or if its tokenizer is
            not on this machine.
        ServerError: If no server answers.
        ServerRefusedError: If a server refuses, e.g. for want of a key.
    """

    def __init__(
        self,
        urls: Sequence[str],
        head: Callable[[ModelTokenizer], Head],
        *,
        model: str | None = None,
        tokenizer: str | None = None,
        num_parameters: int | None = None,
        **connection: Any,
    ) -> None:
        """Ask what is served, and try it."""
        self._pool = ServerPool(urls, **connection)
        self._groups = _GROUPS * len(urls) if len(urls) > 1 else 1
        served = ask_served(self._pool, model)
        files = read_files(served, tokenizer, num_parameters)
        check_tokenizer(self._pool, served, files.tokens)
        self._model = served.model
        self.tokens = files.tokens
        self.num_parameters = files.num_parameters
        self._probe = probe_for(head(files.tokens))
        self.context_window = files.window - self._probe.spare
        self._memory = ServerMemory()
        self._try()

    def read(self, readings: Sequence[Reading]) -> Future[list[Read]]:
        """Start scoring; cancelling the future closes the requests' connections.

        What came from a server's cache is counted if the server says that it has one
        (`--enable-prompt-tokens-details`). vLLM tells it for the last prompt of a
        request only: for the others it is what was read before, in whole blocks.
        """
        return self._pool.run(self._read_all(list(readings)))

    def _try(self) -> None:
        """Find out whether the server has the head, and how it caches.

        Raises:
            ModelLoadError: If it has not.
        """
        prompt = tuple([0, 1] * (min(self.context_window, _PROBE_TOKENS) // 2))
        try:
            self._pool.run(self._send([prompt[:2]])).result()
            for _ in range(2):
                [again] = self._pool.run(self._send([prompt])).result()
        except (ServerRefusedError, UnusableAnswerError) as error:
            if isinstance(error, ServerRefusedError) and error.status in _UNAUTHORIZED:
                raise
            msg = (
                f"{self._pool.name} serves {self._model!r}, which cannot be read as "
                f"its format asks: {error}; the format needs {self._probe.needs}"
            )
            raise ModelLoadError(msg) from None
        self._memory = ServerMemory(block_size(len(prompt), again.cached))

    async def _read_all(self, readings: Sequence[Reading]) -> list[Read]:
        """Answer readings; what they have in common is asked once."""
        found = await self._ask(
            prompt for reading in readings for prompt in self._probe.prompts(reading)
        )
        # Rows that a server took from its cache it does not return.
        found |= await self._ask(
            tuple(reading.ids[: end + 1])
            for reading in readings
            for end in reading.ends
            if _score(found, reading, end) is None
        )
        paid: set[Prompt] = set()
        return [_answer(found, reading, paid) for reading in readings]

    async def _ask(self, prompts: Iterable[Prompt]) -> dict[Prompt, _Prefix]:
        """Have prompts scored, each once, in few requests."""
        groups: dict[int, list[tuple[Prompt, int]]] = defaultdict(list)
        for prompt in dict.fromkeys(prompts):
            met = self._memory.meet(prompt)
            groups[met.trajectory % self._groups].append((prompt, met.cached))
        requests = [
            self._request(group, part)
            for group, pairs in groups.items()
            for part in _parts(pairs)
        ]
        try:
            return {
                prompt: prefix
                for answers in await together(requests)
                for prompt, prefix in answers.items()
            }
        except BaseException:
            self._memory.forget_blocks()
            raise

    async def _request(
        self, group: int, pairs: Sequence[tuple[Prompt, int]]
    ) -> dict[Prompt, _Prefix]:
        """One request; `pairs` are prompts and what should be cached of them."""
        prompts = [prompt for prompt, _ in pairs]
        affinity = None if self._groups == 1 else f"{self._model} {group}"
        answers = await self._send(prompts, affinity)
        expected = [cached for _, cached in pairs]
        if answers[-1].cached < expected[-1]:
            self._memory.forget_blocks()
            expected = [0] * len(pairs)
        cached = [*expected[:-1], answers[-1].cached]
        return {
            prompt: answer._replace(cached=tokens)
            for prompt, answer, tokens in zip(prompts, answers, cached, strict=True)
        }

    async def _send(
        self, prompts: Sequence[Prompt], affinity: str | None = None
    ) -> list[_Prefix]:
        body = {"model": self._model, **self._probe.body(prompts)}
        answer = await self._pool.request(
            self._probe.path, body, affinity=affinity, load=len(prompts)
        )
        details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
        cached = int(details.get("cached_tokens") or 0)
        scores = self._probe.scores(answer, prompts)
        return [_Prefix(values, cached) for values in scores]


def _score(
    found: dict[Prompt, _Prefix], reading: Reading, end: int
) -> tuple[float, Prompt] | None:
    """The score at one position, and the prompt that gave it, if one did."""
    part = tuple(reading.ids[: end + 1])
    if part in found:
        return found[part].scores[-1], part
    whole = tuple(reading.ids)
    if whole not in found:
        return None
    row = end - len(whole) + len(found[whole].scores)
    return (found[whole].scores[row], whole) if row >= 0 else None


def _answer(found: dict[Prompt, _Prefix], reading: Reading, paid: set[Prompt]) -> Read:
    """The answer to a reading; what was paid for before it is not counted again."""
    read = [_score(found, reading, end) for end in reading.ends]
    scores = [pair[0] for pair in read if pair]
    prompts = {pair[1] for pair in read if pair}
    new = prompts - paid
    paid |= new
    computed = sum(len(prompt) - found[prompt].cached for prompt in new)
    return Read(scores, computed, sum(map(len, prompts)) - computed)


def _parts(
    pairs: Sequence[tuple[Prompt, int]],
) -> Iterator[list[tuple[Prompt, int]]]:
    left = iter(pairs)
    while part := list(islice(left, _TOGETHER)):
        yield part
