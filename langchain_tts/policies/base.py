"""The policy protocol: what a language model must offer to be searched with."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NotRequired, TypedDict

from langchain_tts.engines.batched import Batched
from langchain_tts.policies.route_prompts import CALCULATE, SOLVE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from langchain_tts.search.state import FinishReason, Message
    from langchain_tts.search.turns import TurnRule

STEP_DELIMITER = "\n\n"
"""Text that ends a step (Snell et al. 2024; Liu et al. 2025)."""


class GenerationRequest(TypedDict):
    """Continue one prefix `n` times. Siblings are one request, never n."""

    messages: list[Message]
    prefix: list[int]
    """Token ids that the policy generated so far after `messages` (may be empty)."""
    n: int
    seeds: list[int]
    """One seed a sample: a sample depends on its seed, never on its batch. Those of
    siblings follow one another."""
    by_step: bool
    """True: stop after one step. False: generate to the end of the answer."""
    max_tokens: int
    temperature: float
    deadline: float | None
    """`time.monotonic()` after which samples are cut (`length`); None: no limit."""
    turn: NotRequired[TurnRule]
    """What the answers may be: each sample is then a whole turn in one step
    (`search.turns`), and `by_step` is False. The tools are in `messages`."""


class Step(TypedDict):
    """One generated step."""

    text: str
    """Without the delimiter."""
    token_ids: list[int]
    """With the delimiter."""
    logprob: float
    """Of `token_ids` at temperature 1."""


class Sample(TypedDict):
    """One continuation: one step (`by_step`) or all steps up to the end."""

    steps: list[Step]
    finish_reason: FinishReason


class Generation(TypedDict):
    """The answer to one `GenerationRequest`."""

    samples: list[Sample]
    """`n` samples, in the order of `seeds`."""
    prompt_tokens: int
    """Prompt and prefix tokens computed for this request."""
    cached_tokens: int
    """Prompt and prefix tokens taken from the cache."""
    generated_tokens: NotRequired[int]
    """All tokens generated for this request, where they are more than the samples'."""
    problem: NotRequired[str]
    """What went wrong with its failed samples, where that is known."""


class Policy(Batched[GenerationRequest, Generation]):
    """A language model that proposes steps.

    It is traced as an `llm` run and is not a chat model, so that an application's own
    callbacks see one chat model run a search, not hundreds.
    """

    run_type = "llm"

    name: str | None
    """What the user asked for, e.g. `tinymath`."""
    num_parameters: int
    """For FLOPs: 2 x parameters x tokens."""
    context_window: int
    """Prompt and new tokens that fit together."""
    by_step: bool = True
    """False: it writes whole answers only, and no strategy can search its steps."""
    takes_turns: bool = False
    """Whether a request may have a `turn`: tool calls, and answers by a schema."""
    reads_prompt_once: bool = True
    """False: siblings each compute what the cache lacks of their prompt."""
    counts_locally: bool = True
    """False: counting tokens asks a server, which is kept off event loops."""
    max_tokens: int = 8192
    """New tokens that an answer of this model may need, where a search sets no limit
    (Liu et al. 2025)."""
    revise_prompt: str = (
        "Your solution above may be wrong. Check every step of it. Then write a "
        "complete, corrected solution from the beginning, in the same form, with the "
        "final answer at the end."
    )
    """What asks for another answer after an earlier one. A policy that was trained to
    revise has the words it was trained with."""
    follows_prompts: bool = False
    """Whether it is known to be an instruct model, which does what a system prompt
    asks."""
    solve_prompt: str = SOLVE
    """System prompt that asks for constraints; empty where it was trained to write
    them."""
    calculate_prompt: str = CALCULATE
    """System prompt that asks for calls of a calculator, likewise."""

    @abstractmethod
    def submit(self, requests: Sequence[GenerationRequest]) -> Future[list[Generation]]:
        """Start a batch of requests; requests of all callers share one engine batch.

        Cancelling the future frees what the engine holds for it.
        """

    @abstractmethod
    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered chat prompt."""

    @abstractmethod
    def read_step(
        self,
        messages: Sequence[Message],
        prefix: Sequence[int],
        text: str,
        *,
        ends: bool,
    ) -> Step:
        """Read a step that somebody else wrote, as if it had been generated.

        Args:
            messages: The conversation.
            prefix: Token ids of the steps before it.
            text: The step, without the delimiter.
            ends: Whether the answer is complete with it.

        Returns:
            The step with the ids of its tokens, the delimiter's or the end's included,
            and their log-probability.
        """
