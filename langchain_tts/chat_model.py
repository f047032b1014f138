"""`TTSChatModel`: a LangChain chat model whose answer is searched for."""

# Pydantic reads the annotations of the fields at run time: no `__future__` import.
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Annotated, Any, ClassVar, Self

from langchain_core.callbacks.manager import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import ModelProfile
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils import secret_from_env
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)

from langchain_tts._chat.configured import ConfiguredChatModel
from langchain_tts._chat.identity import (
    identity,
    langsmith_params,
    model_name,
    portable,
    with_models,
)
from langchain_tts._chat.messages import to_messages
from langchain_tts._chat.profile import profile_of
from langchain_tts._chat.search_call import (
    SearchCall,
    asearch,
    asearch_aloud,
    astream_answer,
    search,
    search_aloud,
    stream_answer,
)
from langchain_tts._chat.structured import Method, structured_output
from langchain_tts._chat.tools import (
    ADDED_BY_LANGCHAIN,
    TURN_KEYS,
    ToolLike,
    TurnKeywords,
    openai_tools,
    read_choice,
    with_tools,
)
from langchain_tts._chat.turn_models import for_turns
from langchain_tts.budget import Budget
from langchain_tts.rewards.base import RewardModel
from langchain_tts.search.state import Score, Vote
from langchain_tts.search.turns import TurnVote
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
    "turn_vote",
    "ignored_arguments",
    "parameters",
    "timeout",
    "max_retries",
    "reasoning",
)
"""What changes an answer; each can be set for one call."""


def _finite(value: float) -> float:
    if math.isfinite(value) and value >= 0:
        return value
    msg = f"it is {value!r}; give a number of at least 0, e.g. 0.8"
    raise ValueError(msg)


class TTSChatModel(ConfiguredChatModel):
    """A chat model that searches for its answer inside a compute budget.

    A policy proposes steps, a process reward model (PRM) scores them, and a strategy
    decides what to continue. Without arguments it uses the models that ship with the
    package, beam search and a budget of 16 candidates.

    Every search parameter can be given per call: `model.invoke(q, budget=64)`,
    `model.bind(budget=64)`, or `model.with_config(configurable={"budget": 64})`, which
    may also be the config of a chain or an agent around the model.

    Example:
        ```python
        from langchain_tts import TTSChatModel

        model = TTSChatModel(budget=16)
        message = model.invoke("What is 12*7+5?")
        message.response_metadata["tts"]["spent"]
        ```
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    settings: ClassVar[tuple[str, ...]] = SEARCH_FIELDS
    aliases: ClassVar[Mapping[str, str]] = {"model": "policy"}

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

    temperature: Annotated[float, AfterValidator(_finite)] = SearchContext.temperature
    """Of sampling."""

    seed: int | None = None
    """Makes the search repeatable; None draws one (reported in the answer)."""

    score: Score = SearchContext.score
    """How step scores become the score of a trajectory."""

    vote: Vote = SearchContext.vote
    """How trajectories become an answer."""

    turn_vote: TurnVote = "whole"
    """How turns with tool calls, or answers by a schema, are counted."""

    ignored_arguments: list[str] = Field(default_factory=list)
    """Arguments (or fields) that do not count when turns are compared: `argument`, or
    `tool.argument` for one tool only."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """What only some strategies read, e.g. `{"lookahead": 2}`: see `SearchContext`."""

    stop: list[str] | None = None
    """The text of the answer ends before the first of these (the search does not)."""

    timeout: PositiveFloat | None = None
    """Seconds for one answer: the search then ends with the best that it has. It is a
    limit like `Budget(seconds=...)`; the smaller one holds."""

    max_retries: NonNegativeInt = SearchContext.max_retries
    """Further tries of a call of the policy or the verifier that failed."""

    api_key: SecretStr | None = Field(
        default_factory=secret_from_env("LANGCHAIN_TTS_API_KEY", default=None),
        repr=False,
    )
    """For the server that `policy` names; else it is the environment's."""

    reasoning: bool = False
    """Give the winning steps as a reasoning block, and only the final answer as text
    (where there is one to be found in the last step)."""

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
        known = {field.name for field in fields(SearchContext)} - {"turn"}
        unknown = sorted(set(self.parameters) - known)
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
        return model_name(self.policy)

    @property
    def _llm_type(self) -> str:
        return "tts-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """Everything that changes an answer: LangChain's caches key on it."""
        params: dict[str, Any] = {name: getattr(self, name) for name in SEARCH_FIELDS}
        params["policy"] = identity(self.policy)
        params["prm"] = None if self.prm is None else identity(self.prm)
        params["parameters"] = with_models(self.parameters, identity)
        params["budget"] = Budget.parse(self.budget).to_dict()
        # Not `stop`: LangChain puts the call's own there, even where it has none.
        params["default_stop"] = self.stop
        params["model_name"] = self.model_name
        return params

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        return langsmith_params({**dict(self), "stop": self.stop}, stop, kwargs)

    def _resolve_model_profile(self) -> ModelProfile:
        return profile_of(self.policy)

    def __getstate__(self) -> dict[Any, Any]:
        """What a pickle holds: names of models, and no key."""
        state = super().__getstate__()
        values = {**state["__dict__"], "api_key": None}
        for name in ("policy", "prm"):
            values[name] = portable(values[name])
        values["parameters"] = with_models(values["parameters"], portable)
        return {**state, "__dict__": values}

    def bind_tools(
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model.

        The candidates are then whole turns, and turns are voted on: see
        `docs/langchain.md`.

        Args:
            tools: Functions, tools, pydantic classes, TypedDicts or schemas.
            tool_choice: `auto` (None, False), `any` (`required`, True), `none`, or the
                name of the tool to call.
            parallel_tool_calls: False: one call a turn at most.
            strict: True: a call with arguments that its tool does not name is invalid.
            **kwargs: Search parameters, `stop`, or `response_format`.

        Raises:
            ToolError: If a tool is no function, or a choice names none of them.
        """
        converted = openai_tools(tools, strict=strict)
        read_choice(tool_choice, converted)
        said = {"tool_choice": tool_choice, "parallel_tool_calls": parallel_tool_calls}
        kwargs |= {key: value for key, value in said.items() if value is not None}
        return self.bind(tools=converted, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Answer in the form of a schema.

        Args:
            schema: A pydantic class, a TypedDict, a JSON schema or an OpenAI function.
            method: `function_calling`: by a call of a tool with this schema.
                `json_schema`: as JSON, which vLLM keeps to the schema while it writes.
                `json_mode`: as any JSON; the prompt has to say which.
            include_raw: Give `{"raw", "parsed", "parsing_error"}`.
            strict: True: what the schema does not name is wrong.
            **kwargs: Search parameters, e.g. `turn_vote="by_field"`.
        """
        return structured_output(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            settings=kwargs,
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        if run_manager is not None and self._is_heard(run_manager, kwargs):
            return search_aloud(call, run_manager)
        return search(call, run_manager)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        if run_manager is not None and self._is_heard(run_manager, kwargs):
            return await asearch_aloud(call, run_manager)
        return await asearch(call, run_manager)

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
        changes = {k: v for k, v in overrides.items() if k not in ADDED_BY_LANGCHAIN}
        wanted = TurnKeywords(**{k: changes.pop(k) for k in TURN_KEYS if k in changes})
        model = self.with_settings(changes)
        tools, turn = wanted.read(model.turn_vote, model.ignored_arguments)
        conversation = with_tools(to_messages(messages), tools)
        context = replace(model.search_context(), turn=turn)
        strategy, context, notes = for_turns(model.strategy, context, conversation)
        return SearchCall(
            messages=conversation,
            strategy=strategy,
            context=context,
            seed=model.seed,
            model_name=model_name(context.policy),
            stop=stop if stop is not None else self.stop,
            degradations=notes,
            reasoning=model.reasoning,
        )

    def search_context(self) -> SearchContext:
        """What this model's searches run with, e.g. to run a strategy's graph."""
        return SearchContext(
            policy=self.policy,
            prm=self.prm,
            budget=Budget.parse(self.budget).within(self.timeout),
            beam_width=self.beam_width,
            max_rounds=self.max_rounds,
            max_step_tokens=self.max_step_tokens,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            score=self.score,
            vote=self.vote,
            max_retries=self.max_retries,
            api_key=self.api_key,
            **self.parameters,
        )
