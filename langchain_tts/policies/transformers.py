"""A policy that runs a Hugging Face model in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.engines.decode import Prompt
from langchain_tts.engines.errors import PromptTooLongError
from langchain_tts.engines.extend import Extension
from langchain_tts.engines.loading import LoadedModel, load
from langchain_tts.policies._outputs import read_samples
from langchain_tts.policies._requests import check_seeds, room_for
from langchain_tts.policies.base import (
    STEP_DELIMITER,
    Generation,
    GenerationRequest,
    Policy,
    Step,
)
from langchain_tts.policies.families import find_family

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from langchain_tts.search.state import Message


class TransformersPolicy(Policy):
    """Samples from a local model with continuous batching and prefix reuse.

    The end-of-answer token is the last of the last step's `token_ids` and counts in its
    `logprob`: it was sampled, it was paid for, and that an answer ends too early is
    something a verifier can see. A sample is cut with `length` at the request's
    `max_tokens`, at the context window or at the deadline; one that is cut before its
    first token has no steps.

    Samples depend on their seed and not on their batch up to the rounding of floating
    point sums, which differs by about 1e-6 with the shape of a batch.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        name: What the user asked for; the folder if None.
        family: A name in `families.FAMILIES`; the model's own if None.

    Raises:
        ModelLoadError: If the files are missing or damaged.
        ValueError: If there is no such family.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        family: str | None = None,
    ) -> None:
        """Load the model, or share the one that this process has loaded."""
        self.model: LoadedModel = load(source)
        self.family = find_family(self.model.tokens, family)
        self.name = str(source) if name is None else name
        self.num_parameters = self.model.num_parameters
        self.context_window = self.model.context_window
        self.max_tokens = self.family.max_tokens

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered chat prompt."""
        return len(self._chat_ids(messages))

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Start a batch of requests.

        Raises:
            PromptTooLongError: If a prompt leaves no room for a new token.
            ValueError: If a request has not one seed a sample.
        """
        prompts = [self._prompt(request) for request in requests]
        return self.model.engine.generate(prompts, self._generations)

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
        """
        ids = self.model.tokens.encode(text if ends else text + STEP_DELIMITER)
        if ends:
            ids.append(self.model.tokens.tokenizer.eos_token_id)
        before = [*self._chat_ids(messages), *prefix]
        if len(before) + len(ids) > self.context_window:
            msg = (
                f"the step ends {len(before) + len(ids)} tokens after the beginning, "
                f"but policy {self.name!r} reads at most {self.context_window}; "
                "write a shorter step"
            )
            raise PromptTooLongError(msg)
        reading = Extension.logprobs([*before, *ids], len(before))
        done = self.model.engine.extend([reading], lambda _done: reading.result)
        return Step(text=text, token_ids=ids, logprob=float(done.result().sum()))

    def _chat_ids(self, messages: Sequence[Message]) -> list[int]:
        return self.model.tokens.chat_ids(self.family.messages(messages))

    def _prompt(self, request: GenerationRequest) -> Prompt:
        """The token ids of a request, fitted into the context window."""
        check_seeds(request)
        ids = self._chat_ids(request["messages"]) + request["prefix"]
        room = room_for(len(ids), self.context_window, self.name)
        return Prompt(
            ids=ids,
            seeds=request["seeds"],
            by_step=request["by_step"],
            max_tokens=min(request["max_tokens"], room),
            temperature=request["temperature"],
            deadline=request["deadline"],
        )

    def _generations(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """Results for callers, decoded in one go."""
        samples = read_samples(
            self.model.tokens, [(prompt.by_step, prompt.samples) for prompt in prompts]
        )
        return [
            Generation(
                samples=some,
                prompt_tokens=prompt.computed,
                cached_tokens=prompt.cached,
            )
            for prompt, some in zip(prompts, samples, strict=True)
        ]
