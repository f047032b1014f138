"""Token ids in, token ids out: vLLM's completions endpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from langchain_tts.engines.replies import ServerError, ServerRefusedError
from langchain_tts.policies._outputs import (
    Written,
    is_blank_step,
    joined,
    next_seed,
    read_samples,
    written,
)
from langchain_tts.policies._requests import room_for
from langchain_tts.policies.server_requests import (
    Batch,
    ServerWay,
    affinity,
    read_usage,
    reason,
    sampling,
    streaming,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_tts.engines.steps import StepRule
    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.policies.base import GenerationRequest
    from langchain_tts.search.state import Message

_PATH = "/v1/completions"


class ByTokens(ServerWay):
    """Continues token ids exactly as they were generated."""

    async def works(self) -> bool:
        """Whether the servers take token ids and return them."""
        body = {
            "model": self.model,
            "prompt": await self.tokens.call(self.tokens.encode, "1"),
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": 0,
            "return_token_ids": True,
        }
        try:
            answer = await self.pool.request(_PATH, body)
        except ServerRefusedError:
            return False
        try:
            (parts,) = read_completion([answer], 1)
        except ServerError:
            return False
        return len(parts.ids) == 1

    async def write(self, request: GenerationRequest, seed: int, n: int) -> Batch:
        """Sample n continuations with consecutive seeds.

        Raises:
            PromptTooLongError: If the prompt leaves no room for a new token.
            ServerError: If no server answers.
        """
        parts, batch = await self._write(request, seed, n)
        samples: list[Written] = []
        for place, part in enumerate(parts):
            sample = part
            while is_blank_step(cast("StepRule", self.tokens.rule), sample):
                sample, more = await self._after_blank(request, sample, seed + place)
                batch = batch.plus(more)
            samples.append(sample)
        (read,) = await self.tokens.call(
            read_samples,
            cast("ModelTokenizer", self.tokens),
            [(request["by_step"], samples)],
        )
        return Batch(read, batch.computed, batch.cached, batch.generated)

    async def logprob(
        self, messages: Sequence[Message], prefix: Sequence[int], ids: Sequence[int]
    ) -> float:
        """Log-probability of token ids after a conversation and a prefix.

        Raises:
            PromptTooLongError: If they do not fit.
            ServerError: If no server answers.
        """
        chat = await self.tokens.call(self.tokens.chat_ids, messages)
        before = [*chat, *prefix]
        prompt = [*before, *ids]
        # The endpoint generates a token, wanted or not.
        room_for(len(prompt), self.window, self.model)
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
        }
        answer = await self.pool.request(_PATH, body)
        try:
            told = answer["choices"][0]["prompt_logprobs"][len(before) :]
            return math.fsum(
                entry[str(token)]["logprob"]
                for token, entry in zip(ids, told, strict=True)
            )
        except (KeyError, IndexError, TypeError, ValueError):
            msg = f"{self.pool.name} did not return the prompt's log-probabilities"
            raise ServerError(msg) from None

    async def _write(
        self, request: GenerationRequest, seed: int, n: int
    ) -> tuple[list[Written], Batch]:
        """Send one request."""
        chat = await self.tokens.call(self.tokens.chat_ids, request["messages"])
        prompt = chat + request["prefix"]
        room = room_for(len(prompt), self.window, self.model)
        body = {
            **sampling(request, seed, n, min(request["max_tokens"], room)),
            **streaming(request),
            "model": self.model,
            "prompt": prompt,
            "return_token_ids": True,
            "logprobs": 0,
        }
        events, complete = await self.pool.events(
            _PATH,
            body,
            deadline=request["deadline"],
            affinity=affinity(request),
            load=n,
        )
        parts = read_completion(events, n)
        for one in parts:
            self.tokens.learn(one.ids, one.pieces, ended=one.ended)
        generated = sum(len(one.ids) for one in parts)
        batch = Batch([], *read_usage(events, len(prompt)), generated)
        return [one.written(cut=not complete) for one in parts], batch

    async def _after_blank(
        self, request: GenerationRequest, blank: Written, seed: int
    ) -> tuple[Written, Batch]:
        """Go on after a delimiter that no text stands before: it ends no step."""
        left = request["max_tokens"] - len(blank.ids)
        if left < 1:
            return Written(blank.ids, blank.logprobs, "length"), Batch([], 0, 0, 0)
        rest: GenerationRequest = {
            **request,
            "prefix": [*request["prefix"], *blank.ids],
            "max_tokens": left,
        }
        seed = next_seed(seed, len(blank.ids))
        (more,), batch = await self._write(rest, seed, 1)
        return joined(blank, more), batch


@dataclass
class Parts:
    """What a server sent for one seed, as far as it came."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    """The text of each id by itself."""
    finish: str | None = None
    stopped_by: str | int | None = None

    @property
    def ended(self) -> bool:
        """Whether the last id ends the answer."""
        return self.finish == "stop" and not isinstance(self.stopped_by, str)

    def add(self, choice: dict[str, Any]) -> None:
        """Append what an event holds."""
        told = choice.get("logprobs") or {}
        ids = choice.get("token_ids") or []
        logprobs = told.get("token_logprobs") or []
        pieces = told.get("tokens") or []
        if not len(ids) == len(logprobs) == len(pieces):
            msg = "ids, log-probabilities and texts of tokens do not match"
            raise ValueError(msg)
        self.ids += ids
        self.pieces += pieces
        # JSON has no NaN: where a model overflows there is null.
        self.logprobs += (math.nan if one is None else float(one) for one in logprobs)
        self.finish = choice.get("finish_reason") or self.finish
        if choice.get("stop_reason") is not None:
            self.stopped_by = choice["stop_reason"]

    def written(self, *, cut: bool) -> Written:
        """The sample."""
        why = reason(self.finish, self.stopped_by, cut=cut)
        return written(self.ids, self.logprobs, why)


def read_completion(events: Iterable[dict[str, Any]], n: int) -> list[Parts]:
    """Put the parts of n samples together.

    Raises:
        ServerError: If they are not what the endpoint is to return.
    """
    samples = [Parts() for _ in range(n)]
    try:
        for event in events:
            for choice in event.get("choices") or ():
                samples[choice["index"]].add(choice)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        msg = f"a server returned completions that cannot be read ({error!r})"
        raise ServerError(msg) from None
    return samples
