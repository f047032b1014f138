"""What policies and verifiers have in common: they answer batches of requests."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig

from langchain_tts.engines.futures import result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Batched(Runnable[list[Request], list[Answer]]):
    """A backend implements `submit`; sync, async and traced calls come from here."""

    run_type: ClassVar[str]
    """What a call is in a trace."""

    @abstractmethod
    def submit(self, requests: Sequence[Request]) -> Future[list[Answer]]:
        """Start a batch; requests of all callers share the engine's batches."""

    async def asubmit(self, requests: Sequence[Request]) -> list[Answer]:
        """`submit` for callers on an event loop; cancelling it cancels the batch."""
        return await asyncio.wrap_future(self.submit(requests))

    def invoke(
        self,
        input: list[Request],  # noqa: A002 (the name is Runnable's)
        config: RunnableConfig | None = None,
        *,
        seconds: float | None = None,
        **_kwargs: Any,
    ) -> list[Answer]:
        """Answer all requests in one batch.

        Args:
            input: The requests.
            config: LangChain's, for tracing.
            seconds: After which the call is given up and cancelled; None: never.

        Raises:
            TimeoutError: If it was given up.
        """
        return self._call_with_config(
            lambda requests: result(self.submit(requests), seconds),
            input,
            config,
            run_type=self.run_type,
        )

    async def ainvoke(
        self,
        input: list[Request],  # noqa: A002 (the name is Runnable's)
        config: RunnableConfig | None = None,
        *,
        seconds: float | None = None,
        **_kwargs: Any,
    ) -> list[Answer]:
        """Answer all requests in one batch, without blocking the loop."""

        async def answer(requests: list[Request]) -> list[Answer]:
            async with asyncio.timeout(seconds):
                return await self.asubmit(requests)

        return await self._acall_with_config(
            answer, input, config, run_type=self.run_type
        )
