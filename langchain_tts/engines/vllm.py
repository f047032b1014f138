"""A vLLM engine in this process, shared by all who use the same model.

vLLM runs a model in processes of its own. It *spawns* them: they import the program
that started them once more, so a script must start its work below
`if __name__ == "__main__":` (a notebook need not).
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import json
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_tts.engines.checkpoints import count_parameters, local_folder
from langchain_tts.engines.errors import EngineDiedError, ModelLoadError
from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.engines.vllm_setup import (
    Runner,
    arguments,
    check_installed,
    check_not_importing,
    guard_advice,
    reraise,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from vllm.v1.engine.async_llm import AsyncLLM

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 20.0


class VLLMEngine:
    """One vLLM engine, served by an event loop on a thread of its own.

    Threads, running event loops and concurrent searches may all use it at once: their
    requests join one running batch. An engine whose processes died fails the work it
    had with `EngineDiedError` and starts again with the next work.

    Args:
        source: See `open_engine`.
        runner: See `open_engine`.
        engine_args: See `open_engine`.

    Attributes:
        tokens: The model's tokenizer.
        context_window: Prompt and new tokens that fit together.
        num_parameters: Of the model, whatever the precision of its weights.
        llm: vLLM's own engine. To be used only inside `run`.

    Raises:
        ModelLoadError: See `open_engine`.
        ValueError: See `open_engine`.
    """

    llm: AsyncLLM

    def __init__(
        self, source: str, runner: Runner, engine_args: dict[str, Any]
    ) -> None:
        """Read the tokenizer and start vLLM."""
        self._folder = local_folder(source)
        self.tokens, _ = load_tokenizer(self._folder)
        self.num_parameters = count_parameters(self._folder)
        self._arguments = arguments(str(self._folder), runner, engine_args)
        self._source = source
        self._closed = False
        self._starting: asyncio.Task[None] | None = None
        self._changing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="langchain-tts-vllm", daemon=True
        )
        self._thread.start()
        try:
            self.run(_nothing()).result()
        except BaseException:
            self.close()
            raise
        self.context_window = int(self.llm.model_config.max_model_len)

    @property
    def closed(self) -> bool:
        """Whether it has ended for good."""
        return self._closed

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Do work on the engine's loop.

        Args:
            work: What uses `llm`; it starts when the engine is ready.

        Returns:
            Cancelling it cancels the work, which aborts its requests.

        Raises:
            RuntimeError: If the engine is closed.
        """
        with self._changing:
            if not self._closed:
                guarded = self._guard(work)
                future = asyncio.run_coroutine_threadsafe(guarded, self._loop)
                future.add_done_callback(partial(self._discard, work))
                return future
        work.close()
        msg = f"the vLLM engine of {self._source} is closed; open it again"
        raise RuntimeError(msg)

    def close(self) -> None:
        """End the engine and its processes; what waits is cancelled."""
        with self._changing:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        ending = asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop)
        ending.result()
        llm = getattr(self, "llm", None)
        if llm is not None:
            _shut_down(llm)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _discard(self, work: Coroutine[Any, Any, T], future: Future[T]) -> None:
        """Forget work that was cancelled before it began."""

        def close() -> None:
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()

        if future.cancelled():
            self._loop.call_soon_threadsafe(close)

    async def _guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Work with a living engine, or an error that says that it died."""
        try:
            await self._start()
        except BaseException:
            work.close()
            raise
        llm = self.llm
        try:
            return await work
        except Exception as error:
            if not llm.errored:
                reraise(error)
            msg = (
                f"the vLLM engine of {self._source} died in the middle of its work; "
                "it starts again with the next call (set VLLM_LOGGING_LEVEL=INFO to "
                "see why it died)"
            )
            raise EngineDiedError(msg) from error

    async def _start(self) -> None:
        """Start vLLM where it is not running."""
        starting = self._starting
        if starting is None or (starting.done() and self._is_dead):
            starting = self._starting = self._loop.create_task(self._restart())
        # Whoever is cancelled meanwhile does not stop it for the others.
        await asyncio.shield(starting)

    @property
    def _is_dead(self) -> bool:
        llm = getattr(self, "llm", None)
        return llm is None or bool(llm.errored)

    async def _restart(self) -> None:
        """Start vLLM after it has died, or for the first time."""
        if hasattr(self, "llm"):
            await self._aside(_shut_down, self.llm)
        _logger.info(
            "starting a vLLM engine for %s; this takes a minute or more", self._source
        )
        self.llm = await self._aside(self._open)
        # It then begins each request without a pause, in which none can be aborted.
        await self.llm.get_supported_tasks()
        # Last registered is first called: before vLLM ends its processes itself.
        atexit.unregister(self.close)
        atexit.register(self.close)

    async def _aside(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what takes long off the loop, whose other work can then be cancelled."""
        # A thread that is gone afterwards: nothing is left for the end of the program.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return await self._loop.run_in_executor(thread, function, *arguments)

    def _open(self) -> AsyncLLM:
        from vllm.v1.engine.async_llm import AsyncLLM

        try:
            return AsyncLLM.from_engine_args(self._arguments)
        except Exception as error:
            reason = str(error).strip() or type(error).__name__
            msg = (
                f"vLLM cannot serve the model in {self._source}: {reason}. More may "
                "stand above; VLLM_LOGGING_LEVEL=INFO shows all of vLLM's log."
                f"{guard_advice()}"
            )
            raise ModelLoadError(msg) from error


_engines: dict[str, VLLMEngine] = {}
_opening = threading.Lock()


def open_engine(
    source: str | Path, *, runner: Runner = "generate", **engine_args: Any
) -> VLLMEngine:
    """Start a vLLM engine, or return the one this process has for the same arguments.

    Starting takes up to a minute (more for large models). Nothing is downloaded and
    vLLM reports nothing to its makers. Its log is silent but for errors; set the
    environment variable VLLM_LOGGING_LEVEL to see it.

    An engine takes most of a device's memory for its cache: where a policy and a PRM
    share one, give each a part with `gpu_memory_utilization` (also on a CPU), or its
    size with `kv_cache_memory_bytes`.

    Args:
        source: A folder in Hugging Face format, or the name of a model that is in the
            local Hugging Face cache.
        runner: `generate` for a language model, `pooling` for a classification head.
        **engine_args: Arguments of vLLM's `AsyncEngineArgs`, e.g. `max_model_len` or
            `tensor_parallel_size`. What differs from vLLM's defaults: prefix caching
            is on; its statistics and progress bars are off; on a CPU, `dtype` is
            `float32` (on some processors its bfloat16 attention crashes), a block of
            its cache holds 32 tokens, not 128, so that more of a prefix is found, and
            prompts are not computed in parts.

    Raises:
        MissingExtraError: If vLLM is not installed.
        ModelLoadError: If the model is not there, or vLLM cannot serve it.
        ValueError: If vLLM has no such argument.
        RuntimeError: If the program has no `if __name__ == "__main__":` guard.
    """
    check_installed()
    check_not_importing()
    folder = str(local_folder(source))
    key = json.dumps([folder, runner, engine_args], sort_keys=True, default=repr)
    with _opening:
        engine = _engines.get(key)
        if engine is None or engine.closed:
            engine = _engines[key] = VLLMEngine(str(source), runner, engine_args)
        return engine


async def _cancel_all() -> None:
    """Cancel all other work of this loop."""
    this = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not this]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _shut_down(llm: AsyncLLM) -> None:
    """End the processes of an engine, and close what it leaves open."""
    # Cut short, they leave shared memory behind.
    llm.shutdown(_CLOSE_SECONDS)
    llm.engine_core.resources.ctx.destroy(linger=0)


async def _nothing() -> None:
    """Work that is done as soon as the engine runs."""
