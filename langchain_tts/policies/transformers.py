"""A policy that runs a Hugging Face model in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.engines.decode import Prompt, TokenSample
from langchain_tts.engines.errors import PromptTooLongError
from langchain_tts.engines.extend import Extension
from langchain_tts.engines.loading import LoadedModel, load
from langchain_tts.policies._requests import check_seeds, room_for
from langchain_tts.policies.base import (
    STEP_DELIMITER,
    Generation,
    GenerationRequest,
    Policy,
    Step,
)
from langchain_tts.policies.families import find_family
from langchain_tts.policies.turns import opening, read_requests
from langchain_tts.policies.turns_forms import HermesForm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from langchain_tts.search.state import Message
    from langchain_tts.search.turns import TurnRule


class _Draft(NamedTuple):
    """A request on its way through the engine."""

    request: GenerationRequest
    prompt: Prompt
    begun: list[int]
    """The last tokens of the prompt, where they begin the turn."""
    reading: Extension
    """Reads the log-probabilities of these."""

    @property
    def computed(self) -> int:
        """Tokens that were computed of what the request brought."""
        if not self.begun:
            return self.prompt.computed
        # Its last token was never an input of the reading.
        return self.reading.computed - (len(self.begun) - 1)

    @property
    def cached(self) -> int:
        """Tokens that were cached of what the request brought."""
        return self.reading.cached if self.begun else self.prompt.cached

    @property
    def samples(self) -> list[TokenSample]:
        """What was generated, with what was begun."""
        if not self.begun:
            return self.prompt.samples
        logprobs = self.reading.result.tolist()
        return [
            TokenSample(
                self.begun + sample.ids,
                logprobs + sample.logprobs,
                sample.finish_reason,
            )
            if sample.ids
            else sample
            for sample in self.prompt.samples
        ]


class TransformersPolicy(Policy):
    """Samples from a local model with continuous batching and prefix reuse.

    The end-of-answer token is the last of the last step's `token_ids` and counts in its
    `logprob`: it was sampled, it was paid for, and that an answer ends too early is
    something a verifier can see. A sample is cut with `length` at the request's
    `max_tokens`, at the context window or at the deadline; one that is cut before its
    first token has no steps.

    A turn is one step. No grammar constrains it: its calls and its answer may turn out
    invalid, and then win no vote. But where a call is asked for (`any`, or a tool's
    name) and the model writes calls as Hermes models do, each turn is begun with the
    first tokens of a call. They belong to the turn's `token_ids` and `max_tokens`, and
    `logprob` counts them as the model reads them, so that a verifier may do the same.

    A family's system prompt is not added where a turn is asked for;
    `count_prompt_tokens`, which does not know that, may count it.

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

    takes_turns = True

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
        self.follows_prompts = self.family.system_prompt is not None

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered chat prompt."""
        return len(self._chat_ids(messages))

    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Start a batch of requests.

        Raises:
            PromptTooLongError: If a prompt leaves no room for a new token.
            ValueError: If a request has not one seed a sample.
        """
        drafts = [self._draft(request) for request in requests]
        engine = self.model.engine
        begun = [draft.reading for draft in drafts if draft.begun]
        # It is done first; the prompts then find its keys and values.
        read = engine.extend(begun, lambda _done: None) if begun else None
        return engine.generate(
            [draft.prompt for draft in drafts],
            lambda _done: self._generations(drafts, read),
        )

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

    def _chat_ids(
        self, messages: Sequence[Message], turn: TurnRule | None = None
    ) -> list[int]:
        return self.model.tokens.chat_ids(self.family.messages(messages, turn))

    def _draft(self, request: GenerationRequest) -> _Draft:
        """The token ids of a request, fitted into the context window."""
        check_seeds(request)
        turn = request.get("turn")
        ids = self._chat_ids(request["messages"], turn) + request["prefix"]
        room = room_for(len(ids), self.context_window, self.name)
        limit = min(request["max_tokens"], room)
        begun = [] if turn is None else opening(turn, self.model.tokens)
        if len(begun) >= limit:
            # Cut in any case.
            begun = []
        prompt = Prompt(
            ids=ids + begun,
            seeds=request["seeds"],
            by_step=request["by_step"],
            max_tokens=limit - len(begun),
            temperature=request["temperature"],
            deadline=request["deadline"],
        )
        return _Draft(request, prompt, begun, Extension.logprobs(prompt.ids, len(ids)))

    def _generations(
        self, drafts: Sequence[_Draft], read: Future[None] | None
    ) -> list[Generation]:
        """Results for callers, decoded in one go."""
        if read is not None:
            # Done, or failed: then its error is theirs.
            read.result()
        samples = read_requests(
            self.model.tokens,
            HermesForm(),
            [(draft.request, draft.samples) for draft in drafts],
        )
        return [
            Generation(
                samples=some,
                prompt_tokens=draft.computed,
                cached_tokens=draft.cached,
            )
            for draft, some in zip(drafts, samples, strict=True)
        ]
