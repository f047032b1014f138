"""How a chat model that searches is called: with settings, and as one run."""

# Pydantic reads the annotations of the class at run time: no `__future__` import.
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import (
    ensure_config,
    get_config_list,
    var_child_runnable_config,
)

from langchain_tts._chat.callbacks import RunManager, aeach_in, each_in, stream_context
from langchain_tts._chat.tools import TURN_KEYS

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import _ChatModelBinding

_AT_ONCE = 64
"""Searches of one `batch` that run at the same time, unless it says otherwise."""


class ConfiguredChatModel(BaseChatModel):
    """A chat model that takes settings of a call from `config["configurable"]`.

    What its streams run is part of their run, as with `invoke`.

    LangChain shows a chat model nothing of a config but callbacks, tags and metadata.
    Here each setting is an argument of the call as well, so whatever reads those (the
    cache, the tracing) knows of it. Arguments of the call itself come first. Keys that
    are no settings are somebody else's.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    """The fields that are settings of a call."""

    aliases: ClassVar[Mapping[str, str]] = {}
    """Other names of settings in a call. In a config they are somebody else's."""

    def with_settings(self, changes: Mapping[str, Any]) -> Self:
        """This model with other settings, checked.

        Raises:
            ValueError: If one is unknown, or cannot be used.
        """
        changes = {self.aliases.get(name, name): changes[name] for name in changes}
        unknown = sorted(changes.keys() - set(self.settings))
        if unknown:
            msg = (
                f"unknown argument {unknown[0]!r} for a call of {type(self).__name__}; "
                f"it takes stop, {', '.join(TURN_KEYS)} and {', '.join(self.settings)}"
            )
            raise ValueError(msg)
        if not changes:
            return self
        present = {name: self.__dict__[name] for name in self.model_fields_set}
        if "policy" in changes:
            # It describes the other one.
            present.pop("profile", None)
        return type(self).model_validate({**present, **changes})

    def _settings(
        self, config: RunnableConfig | None, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The arguments of a call with what the config and its surroundings set."""
        around = var_child_runnable_config.get() or RunnableConfig()
        configurable = {
            **around.get("configurable", {}),
            **ensure_config(config).get("configurable", {}),
        }
        return {**self._own(configurable), **arguments}

    def _own(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in self.settings if name in values}

    # A binding hands `bind_tools` (as an agent calls it) to the model that it binds,
    # without what it bound. So that model gets the settings as well.

    def bind(self, **kwargs: Any) -> "_ChatModelBinding":
        """Bind arguments of calls; see the base class."""
        changes = {self.aliases.get(name, name): kwargs[name] for name in kwargs}
        bound = self.with_settings(self._own(changes))
        return super(ConfiguredChatModel, bound).bind(**kwargs)

    def with_config(
        self, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind a config; see the base class."""
        configurable = {**(config or {}), **kwargs}.get("configurable") or {}
        bound = self.with_settings(self._own(configurable))
        return super(ConfiguredChatModel, bound).with_config(config, **kwargs)

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer; see the base class."""
        kwargs = self._settings(config, kwargs)
        return super().invoke(input, config, stop=stop, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer without blocking the event loop; see the base class."""
        kwargs = self._settings(config, kwargs)
        return await super().ainvoke(input, config, stop=stop, **kwargs)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer several inputs at the same time; see the base class.

        The base takes as many threads as the machine has cores, and four. But these
        threads wait for the engine, whose batches are the larger the more of them do.
        `max_concurrency` sets another number.
        """
        threads = min(len(inputs), _AT_ONCE)
        configs = [
            {**one, "max_concurrency": one.get("max_concurrency") or threads}
            for one in get_config_list(config, len(inputs))
        ]
        return super().batch(
            inputs,
            cast("list[RunnableConfig]", configs),
            return_exceptions=return_exceptions,
            **kwargs,
        )

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Search, and yield the answer's text as soon as it is certain."""
        kwargs = self._settings(config, kwargs)
        config, context = stream_context(config, CallbackManager)
        chunks = super().stream(input, config, stop=stop, **kwargs)
        running = each_in(context, cast("Generator[AIMessageChunk]", chunks))
        with closing(running):
            yield from running

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Search, and yield the answer's text as soon as it is certain."""
        kwargs = self._settings(config, kwargs)
        config, context = stream_context(config, AsyncCallbackManager)
        chunks = super().astream(input, config, stop=stop, **kwargs)
        running = aeach_in(context, cast("AsyncGenerator[AIMessageChunk]", chunks))
        async with aclosing(running):
            async for chunk in running:
                yield chunk

    def stream_events(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answer in events; see the base class."""
        return super().stream_events(input, config, **self._settings(config, kwargs))

    def astream_events(
        self,
        input: LanguageModelInput,  # noqa: A002 (the base's name)
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answer in events without blocking the event loop; see the base class."""
        return super().astream_events(input, config, **self._settings(config, kwargs))

    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: RunManager | None = None,
        **kwargs: Any,
    ) -> bool:
        # LangChain calls `_stream` without the run that the search belongs under. So
        # where there is one, `_generate` gives handlers the chunks itself.
        streams = super()._should_stream(async_api=async_api, **kwargs)
        return streams and run_manager is None

    def _is_heard(self, run_manager: RunManager, kwargs: Mapping[str, Any]) -> bool:
        """Whether handlers take chunks of the answer."""
        wanted = super()._should_stream(
            async_api=False, run_manager=run_manager, **kwargs
        )
        # Of chunks in that form LangChain makes content blocks, in `stream` alone.
        return wanted and self.output_version != "v1"
