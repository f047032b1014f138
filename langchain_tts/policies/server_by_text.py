"""Text in, text out: chat completions whose last message is continued."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from langchain_tts.engines.replies import ServerError, ServerRefusedError
from langchain_tts.policies._outputs import next_seed
from langchain_tts.policies._requests import room_for
from langchain_tts.policies.base import STEP_DELIMITER, Sample, Step
from langchain_tts.policies.server_messages import openai_messages
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

    from langchain_tts.policies.base import GenerationRequest
    from langchain_tts.search.state import FinishReason, Message

_PATH = "/v1/chat/completions"
_NOT_FOUND = 404
_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}


class ByText(ServerWay):
    """Continues the text of what was generated, for servers that take no token ids.

    What this loses: a prefix is tokenized again, and may be cut into other tokens than
    those that were sampled; a chat template that trims messages loses the delimiter at
    the end of a prefix; token ids are those of the text, not those that were sampled.
    Log-probabilities are the server's, of the tokens that were sampled.
    """

    async def works(self) -> bool:
        """Whether the servers continue a message, and tell log-probabilities.

        Some servers ignore what they do not know: if the prompt is as long with
        `continue_final_message` as without it, the message was not continued.
        """
        body = {
            "model": self.model,
            "messages": [
                {"role": "user", "content": "1"},
                {"role": "assistant", "content": "1"},
            ],
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": True,
        }
        try:
            plain = await self.pool.request(_PATH, body)
            continued = await self.pool.request(_PATH, body | _CONTINUE)
        except ServerRefusedError:
            return False
        lengths = [(one.get("usage") or {}) for one in (plain, continued)]
        counts = [length.get("prompt_tokens") for length in lengths]
        told = (continued.get("choices") or [{}])[0].get("logprobs")
        return counts[0] != counts[1] and bool(told)

    async def write(self, request: GenerationRequest, seed: int, n: int) -> Batch:
        """Sample n continuations with consecutive seeds.

        Raises:
            PromptTooLongError: If the prompt leaves no room for a new token.
            ServerError: If no server answers.
        """
        spoken, batch = await self._speak(request, seed, n)
        samples = []
        for place, one in enumerate(spoken):
            if one.finish_reason == "step" and not one.text.strip():
                sample, more = await self._after_blank(request, seed + place)
                batch = batch.plus(more)
            else:
                parts = [one.text] if request["by_step"] else split_text(one.text)
                sample = await self._sample(one, parts, one.finish_reason)
            samples.append(sample)
        return Batch(samples, batch.computed, batch.cached, batch.generated)

    async def logprob(
        self,
        messages: Sequence[Message],  # noqa: ARG002 (nothing can be computed)
        prefix: Sequence[int],  # noqa: ARG002
        ids: Sequence[int],  # noqa: ARG002
    ) -> float:
        """There is no way to ask for it.

        Raises:
            ServerRefusedError: In any case.
        """
        msg = (
            f"{self.pool.name} takes no token ids, so that it cannot read a step that "
            "somebody else wrote; use a vLLM server"
        )
        raise ServerRefusedError(msg, status=_NOT_FOUND)

    async def _speak(
        self, request: GenerationRequest, seed: int, n: int
    ) -> tuple[list[Spoken], Batch]:
        """Send one request."""
        tokens = self.tokens
        prefix = await tokens.call(tokens.decode, request["prefix"])
        prompt = len(await tokens.call(tokens.chat_ids, request["messages"]))
        prompt += len(request["prefix"])
        room = room_for(prompt, self.window, self.model)
        body = {
            **sampling(request, seed, n, min(request["max_tokens"], room)),
            **streaming(request),
            "model": self.model,
            "messages": _messages(request["messages"], prefix),
            "logprobs": True,
            **(_CONTINUE if prefix else {}),
        }
        events, complete = await self.pool.events(
            _PATH,
            body,
            deadline=request["deadline"],
            affinity=affinity(request),
            load=n,
        )
        spoken = read_chat(events, n, cut=not complete)
        generated = sum(len(one.logprobs) for one in spoken)
        return spoken, Batch([], *read_usage(events, prompt), generated)

    async def _after_blank(
        self, request: GenerationRequest, seed: int
    ) -> tuple[Sample, Batch]:
        """Write on past a delimiter that no text stands before: it ends no step.

        A template that trims messages makes this happen at each step: the model then
        writes the delimiter that it was not shown.
        """
        whole: GenerationRequest = {**request, "by_step": False}
        (one,), batch = await self._speak(whole, next_seed(seed, 1), 1)
        parts = split_text(one.text)
        why: FinishReason = "step" if len(parts) > 1 else one.finish_reason
        return await self._sample(one, parts[:1], why), batch

    async def _sample(
        self, spoken: Spoken, parts: Sequence[str], why: FinishReason
    ) -> Sample:
        """A sample whose token ids are those of its text."""
        if why == "failed":
            return Sample(steps=[], finish_reason=why)
        steps: list[Step] = []
        for part, logprob in zip(parts, spoken.share(parts), strict=True):
            ids = await self.tokens.call(self.tokens.encode, part) if part else []
            steps.append(Step(text=part.strip("\n"), token_ids=ids, logprob=logprob))
        if why == "stop" and steps:
            steps[-1]["token_ids"] = steps[-1]["token_ids"] + self.tokens.end
        return Sample(
            steps=[step for step in steps if step["token_ids"]], finish_reason=why
        )


@dataclass
class Spoken:
    """What a server wrote for one seed, as far as it came."""

    text: str = ""
    sizes: list[int] = field(default_factory=list)
    """Bytes of each token's text."""
    logprobs: list[float] = field(default_factory=list)
    finish: str | None = None
    stopped_by: str | int | None = None
    cut: bool = False
    """Whether reading was ended by the deadline."""

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended; failed if the log-probabilities are not those of the text."""
        whole = sum(self.sizes) >= len(self.text.encode())
        if not whole or not all(map(math.isfinite, self.logprobs)):
            return "failed"
        return reason(self.finish, self.stopped_by, cut=self.cut)

    def share(self, parts: Sequence[str]) -> list[float]:
        """Log-probabilities of the parts of the text.

        A token belongs to the part that it begins in; what comes after the text, such
        as the end of the answer, belongs to the last one.
        """
        ends = list(accumulate(len(part.encode()) for part in parts))
        sums = [0.0] * len(parts)
        place, start = 0, 0
        for size, logprob in zip(self.sizes, self.logprobs, strict=True):
            while place < len(parts) - 1 and start >= ends[place]:
                place += 1
            sums[place] += logprob
            start += size
        return sums


def read_chat(
    events: Iterable[dict[str, Any]], n: int, *, cut: bool = False
) -> list[Spoken]:
    """Put the parts of n samples together.

    Raises:
        ServerError: If they are not what the endpoint is to return.
    """
    samples = [Spoken(cut=cut) for _ in range(n)]
    try:
        for event in events:
            for choice in event.get("choices") or ():
                _extend(samples[choice["index"]], choice)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        msg = f"a server returned a chat completion that cannot be read ({error!r})"
        raise ServerError(msg) from None
    return samples


def _extend(spoken: Spoken, choice: dict[str, Any]) -> None:
    spoken.text += (choice.get("delta") or {}).get("content") or ""
    for token in (choice.get("logprobs") or {}).get("content") or ():
        raw = token.get("bytes")
        spoken.sizes.append(len(token["token"].encode()) if raw is None else len(raw))
        spoken.logprobs.append(float(token["logprob"]))
    spoken.finish = choice.get("finish_reason") or spoken.finish
    if choice.get("stop_reason") is not None:
        spoken.stopped_by = choice["stop_reason"]


def split_text(text: str) -> list[str]:
    """Cut an answer into steps, each with its delimiter.

    Blank text before a step belongs to it; that after the last one to the last one.
    """
    parts: list[str] = []
    start = 0
    while text[start:].strip():
        blank = len(text[start:]) - len(text[start:].lstrip())
        found = text.find(STEP_DELIMITER, start + blank)
        stop = len(text) if found < 0 else found + len(STEP_DELIMITER)
        parts.append(text[start:stop])
        start = stop
    if parts:
        parts[-1] += text[start:]
    elif text:
        parts.append(text)
    return parts


def _messages(messages: Sequence[Message], prefix: str) -> list[dict[str, Any]]:
    plain = openai_messages(messages)
    return [*plain, {"role": "assistant", "content": prefix}] if prefix else plain
