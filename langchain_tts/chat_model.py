"""`TTSChatModel`: a LangChain chat model whose answer is searched for."""

# Pydantic reads the annotations of the fields at run time: no `__future__` import.
import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Self

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.callbacks.manager import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import (
    AfterValidator,
    AliasChoices,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from langchain_tts._callbacks import RunManager, stream_context
from langchain_tts._messages import to_messages
from langchain_tts._search_call import (
    SearchCall,
    asearch,
    astream_answer,
    search,
    stream_answer,
)
from langchain_tts.budget import Budget
from langchain_tts.policies import resolve_policy
from langchain_tts.rewards.base import RewardModel
from langchain_tts.search.state import Score, Vote
from langchain_tts.strategies.context import AnyPolicy, SearchContext

SEARCH_FIELDS = (
    "policy",
    "prm",
    "strategy",
    "budget",
    "beam_width",
    "max_rounds",
    "max_step_tokens",
    "max_tokens",
    "temperature",
    "seed",
    "score",
    "vote",
    "parameters",
)
"""What changes an answer; each can be set for one call."""

_PROCESS = uuid.uuid4().hex


def _finite_temperature(value: float) -> float:
    if math.isfinite(value) and value >= 0:
        return value
    msg = f"temperature is {value!r}; give a number of at least 0, e.g. 0.8"
    raise ValueError(msg)


class TTSChatModel(BaseChatModel):
    """A chat model that searches for its answer inside a compute budget.

    A policy proposes steps, a process reward model (PRM) scores them, and a strategy
    decides what to continue. Without arguments it uses the models that ship with the
    package, beam search and a budget of 16 candidates.

    Every search parameter can be given per call, e.g. `model.invoke(q, budget=64)` or
    `model.bind(budget=64)`.

    Example:
        ```python
        from langchain_tts import TTSChatModel

        model = TTSChatModel(budget=16)
        message = model.invoke("What is 12*7+5?")
        message.response_metadata["tts"]["spent"]
        ```
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    policy: AnyPolicy = Field(
        default=SearchContext.policy,
        validation_alias=AliasChoices("policy", "model"),
    )
    """The language model that proposes: a name (`tinymath`), a policy object, or a
    LangChain chat model for strategies of whole answers (`best_of_n`, ...)."""

    prm: str | RewardModel | None = SearchContext.prm
    """The verifier that scores steps: a name, an object, or None for none."""

    strategy: str = "beam_search"
    """How the answer is searched for; `langchain-tts strategies` lists the names."""

    budget: int | str | dict[str, Any] | Budget = Field(default_factory=Budget)
    """N (candidates), or several limits: `Budget(samples=16, tokens=4000)`."""

    beam_width: PositiveInt = SearchContext.beam_width
    """M: how many next steps each kept candidate gets."""

    max_rounds: PositiveInt = SearchContext.max_rounds
    """Rounds of step search at most."""

    max_step_tokens: PositiveInt = SearchContext.max_step_tokens
    """New tokens that one step may have."""

    max_tokens: PositiveInt | None = SearchContext.max_tokens
    """New tokens that one whole answer may have; None: what the policy needs."""

    temperature: Annotated[float, AfterValidator(_finite_temperature)] = (
        SearchContext.temperature
    )
    """Of sampling."""

    seed: int | None = None
    """Makes the search repeatable; None draws one (reported in the answer)."""

    score: Score = SearchContext.score
    """How step scores become the score of a trajectory."""

    vote: Vote = SearchContext.vote
    """How trajectories become an answer."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """What only some strategies read, e.g. `{"lookahead": 2}`: see `SearchContext`."""

    stop: list[str] | None = None
    """The text of the answer ends before the first of these (the search does not)."""

    streaming: bool = False
    """Answer `invoke` through the streaming path, as LangChain's models do."""

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_budget(cls, value: object) -> Budget:
        return Budget.parse(value)

    @field_validator("strategy")
    @classmethod
    def _check_strategy(cls, value: str) -> str:
        from langchain_tts.strategies import get_strategy

        get_strategy(value)
        return value

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        own = sorted(set(self.parameters) & set(type(self).model_fields))
        unknown = sorted(set(self.parameters) - {f.name for f in fields(SearchContext)})
        if own or unknown:
            problem = (
                f"{own[0]!r} is an argument of its own"
                if own
                else f"there is no parameter {unknown[0]!r}"
            )
            msg = f"parameters: {problem}; see langchain_tts.SearchContext"
            raise ValueError(msg)
        self.search_context()
        return self

    @property
    def model_name(self) -> str:
        """The name of the policy."""
        return _model_name(self.policy)

    @property
    def _llm_type(self) -> str:
        return "tts-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Everything that changes an answer: LangChain's caches key on it."""
        params: dict[str, Any] = {name: getattr(self, name) for name in SEARCH_FIELDS}
        params["policy"] = _identity(self.policy)
        params["prm"] = None if self.prm is None else _identity(self.prm)
        params["budget"] = Budget.parse(self.budget).to_dict()
        # Not `stop`: LangChain puts the call's own there, even where it has none.
        params["default_stop"] = self.stop
        params["model_name"] = self.model_name
        return params

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        policy = kwargs.get("model", kwargs.get("policy", self.policy))
        params = LangSmithParams(
            ls_provider="langchain_tts",
            ls_model_name=_model_name(policy),
            ls_model_type="chat",
            ls_temperature=kwargs.get("temperature", self.temperature),
        )
        max_tokens = kwargs.get("max_tokens", self.max_tokens)
        if max_tokens is not None:
            params["ls_max_tokens"] = max_tokens
        stop = stop if stop is not None else self.stop
        if stop:
            params["ls_stop"] = stop
        return params

    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: RunManager | None = None,  # noqa: ARG002 (the base's signature)
        **kwargs: Any,
    ) -> bool:
        # The answer comes in one piece, so an attached streaming handler gains nothing
        # from the streaming path, and `invoke` would lose the nested runs: LangChain
        # calls `_stream` without a run manager.
        return super()._should_stream(async_api=async_api, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Search, then yield the answer; the search nests under the model's run."""
        config, context = stream_context(config, CallbackManager)
        chunks = super().stream(input, config, stop=stop, **kwargs)
        while (chunk := context.run(next, chunks, None)) is not None:
            yield chunk

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Search, then yield the answer; the search nests under the model's run."""
        config, context = stream_context(config, AsyncCallbackManager)
        chunks = super().astream(input, config, stop=stop, **kwargs)

        async def following() -> AIMessageChunk | None:
            return await anext(chunks, None)

        while True:
            chunk = await asyncio.create_task(following(), context=context)
            if chunk is None:
                return
            yield chunk

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return search(self._call(messages, stop, kwargs), run_manager)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await asearch(self._call(messages, stop, kwargs), run_manager)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from stream_answer(self._call(messages, stop, kwargs), run_manager)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        async for chunk in astream_answer(call, run_manager):
            yield chunk

    def _call(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        overrides: Mapping[str, Any],
    ) -> SearchCall:
        """What one call searches for."""
        model = self._for_call(overrides)
        return SearchCall(
            messages=to_messages(messages),
            strategy=model.strategy,
            context=model.search_context(),
            seed=model.seed,
            model_name=model.model_name,
            stop=stop if stop is not None else self.stop,
        )

    def _for_call(self, overrides: Mapping[str, Any]) -> Self:
        """This model with the search parameters of one call, validated."""
        changes = {key: value for key, value in overrides.items() if key != "stream"}
        if "model" in changes:
            changes["policy"] = changes.pop("model")
        unknown = sorted(set(changes) - set(SEARCH_FIELDS))
        if unknown:
            msg = (
                f"unknown argument {unknown[0]!r} for a call of TTSChatModel; "
                f"it takes stop and {', '.join(SEARCH_FIELDS)}"
            )
            raise ValueError(msg)
        if not changes:
            return self
        present = {name: self.__dict__[name] for name in type(self).model_fields}
        return type(self).model_validate({**present, **changes})

    def search_context(self) -> SearchContext:
        """What this model's searches run with, e.g. to run a strategy's graph."""
        return SearchContext(
            policy=self.policy,
            prm=self.prm,
            budget=Budget.parse(self.budget),
            beam_width=self.beam_width,
            max_rounds=self.max_rounds,
            max_step_tokens=self.max_step_tokens,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            score=self.score,
            vote=self.vote,
            **self.parameters,
        )


def _model_name(model: object) -> str:
    if isinstance(model, str):
        return model
    if isinstance(model, BaseChatModel):
        model = resolve_policy(model)
    return getattr(model, "name", None) or type(model).__name__


def _identity(model: AnyPolicy | RewardModel) -> str:
    """What tells two models apart in a cache key.

    A name identifies a model; an object without one is known in this process only. A
    model that is more than its name says so itself.
    """
    if isinstance(model, str):
        return model
    if isinstance(model, BaseChatModel):
        model = resolve_policy(model)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if identity := getattr(model, "identity", None):
        return f"{kind}:{identity}"
    return f"{kind}:{model.name or f'{_PROCESS}:{id(model)}'}:{model.num_parameters}"
