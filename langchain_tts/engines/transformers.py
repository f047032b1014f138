"""Continuous batching around a Hugging Face model, on a thread of its own.

All callers of a process share the batch: requests join it between two tokens and leave
it when they are done, so concurrent searches cost one forward pass, not one each.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from langchain_tts.engines.decode import Prompt, RunningBatch
from langchain_tts.engines.extend import Extender, Extension
from langchain_tts.engines.forward import ForwardPass
from langchain_tts.engines.prefix_store import PrefixStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from transformers import PreTrainedModel

    from langchain_tts.engines.heads import HeadedModel
    from langchain_tts.engines.steps import StepRule

T = TypeVar("T")

MAX_ROWS = 512
ROW_BYTES = 4 * 2**30
STORE_BYTES = 2**30


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    """Work that one caller waits for."""

    parts: Sequence[T]
    convert: Callable[[Sequence[T]], Any]
    future: Future[Any]

    def finish(self) -> None:
        """Hand over the result, unless the caller no longer wants it."""
        if self.future.set_running_or_notify_cancel():
            try:
                self.future.set_result(self.convert(self.parts))
            except Exception as error:  # noqa: BLE001 (belongs to the caller)
                self.future.set_exception(error)

    def fail(self, error: Exception) -> None:
        """Hand over an error."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class TransformersEngine:
    """A model that serves generation and scoring to all threads of a process.

    Args:
        model: A causal model in evaluation mode.
        rule: Where a step ends.
        eos_ids: Tokens that end an answer.
        max_rows: Sequences that are generated at the same time, at most.
        row_bytes: Bytes of keys and values they may hold.
        store_bytes: Bytes of keys and values kept of prefixes that may be continued.

    Raises:
        UnsupportedModelError: If the model's cache is not plain keys and values.
    """

    def __init__(
        self,
        model: PreTrainedModel | HeadedModel,
        rule: StepRule,
        eos_ids: Iterable[int],
        *,
        max_rows: int = MAX_ROWS,
        row_bytes: int = ROW_BYTES,
        store_bytes: int = STORE_BYTES,
    ) -> None:
        """Check the model and start the thread."""
        forward = ForwardPass(model)
        self._store = PrefixStore(store_bytes)
        self._extender = Extender(forward, self._store)
        self._batch = RunningBatch(
            forward,
            self._store,
            rule,
            eos_ids,
            max_rows=max_rows,
            max_bytes=row_bytes,
        )
        self._inbox: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._waiting: deque[Prompt] = deque()
        self._generations: list[_Job[Prompt]] = []
        self._extensions: list[_Job[Extension]] = []
        self._cancelled = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="langchain-tts-engine", daemon=True
        )
        self._thread.start()
        # A daemon thread that is stopped inside torch takes the process with it.
        atexit.register(self.close)

    def generate(
        self, prompts: Sequence[Prompt], convert: Callable[[Sequence[Prompt]], T]
    ) -> Future[T]:
        """Continue prompts.

        Args:
            prompts: Not empty, each with at least one token id.
            convert: Makes the result from the finished prompts, on the engine's thread.

        Returns:
            Cancelling it frees the rows.
        """
        return self._submit(_Job(prompts, convert, Future()))

    def extend(
        self,
        extensions: Sequence[Extension],
        convert: Callable[[Sequence[Extension]], T],
    ) -> Future[T]:
        """Compute predictions at positions of given token ids.

        Args:
            extensions: What is wanted.
            convert: Makes the result from the finished extensions, on the engine's
                thread.
        """
        return self._submit(_Job(extensions, convert, Future()))

    def close(self) -> None:
        """End the thread; what waits is cancelled."""
        atexit.unregister(self.close)
        self._inbox.put(None)
        self._thread.join()

    def _submit(self, job: _Job[Any]) -> Future[Any]:
        if not self._thread.is_alive():
            msg = "this engine is closed; load the model again"
            raise RuntimeError(msg)
        job.future.add_done_callback(self._note_cancellation)
        self._inbox.put(job)
        return job.future

    def _note_cancellation(self, future: Future[Any]) -> None:
        if future.cancelled():
            self._cancelled.set()

    def _serve(self) -> None:
        """Run until closed; an error fails the work it belongs to, not the thread."""
        with torch.inference_mode():
            while self._receive():
                self._drop_cancelled()
                self._extend_all()
                self._advance()
        left: list[_Job[Any]] = [*self._generations, *self._extensions]
        for job in left:
            job.future.cancel()

    def _receive(self) -> bool:
        """Take in new work, waiting for it where there is none; False to end."""
        idle = not (self._waiting or self._extensions or len(self._batch))
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._inbox.get(block=idle)
                if job is None:
                    return False
                idle = False
                if job.parts and isinstance(job.parts[0], Prompt):
                    self._generations.append(job)
                    self._waiting.extend(job.parts)
                else:
                    self._extensions.append(job)
        return True

    def _drop_cancelled(self) -> None:
        if not self._cancelled.is_set():
            return
        self._cancelled.clear()
        gone = [job for job in self._generations if job.future.cancelled()]
        self._forget(gone)

    def _forget(self, jobs: list[_Job[Prompt]]) -> None:
        """Free all that some generations hold."""
        prompts = {id(prompt) for job in jobs for prompt in job.parts}
        self._batch.drop(lambda prompt: id(prompt) in prompts)
        self._waiting = deque(p for p in self._waiting if id(p) not in prompts)
        self._generations = [job for job in self._generations if job not in jobs]

    def _extend_all(self) -> None:
        """Compute all waiting extensions in one go."""
        jobs = [job for job in self._extensions if not job.future.cancelled()]
        self._extensions = []
        parts = [part for job in jobs for part in job.parts]
        try:
            self._extender.run(parts)
        except Exception as error:  # noqa: BLE001 (belongs to the callers)
            self._recover()
            for job in jobs:
                job.fail(error)
        else:
            for job in jobs:
                job.finish()
        self._store.evict()

    def _advance(self) -> None:
        """Let waiting prompts join, then compute one token of every row."""
        try:
            self._admit()
            self._batch.step()
        except Exception as error:  # noqa: BLE001 (belongs to the callers)
            failed = self._generations
            self._forget(failed)
            self._recover()
            for job in failed:
                job.fail(error)
        self._store.evict()
        for job in self._generations:
            if not any(prompt.unfinished for prompt in job.parts):
                job.finish()
        self._generations = [job for job in self._generations if not job.future.done()]

    def _admit(self) -> None:
        """Fill free rows with waiting prompts, first come, first served."""
        admitted: list[tuple[Prompt, int]] = []
        taken = 0
        while self._waiting:
            prompt = self._waiting[0]
            left = len(prompt.seeds) - prompt.admitted
            overdue = (
                prompt.deadline is not None and prompt.deadline <= time.monotonic()
            )
            if overdue or prompt.max_tokens < 1:
                prompt.unfinished -= left
                self._waiting.popleft()
                continue
            count = min(left, self._batch.room(prompt) - taken)
            if left and count < 1:
                break
            self._waiting.popleft()
            if left:
                admitted.append((prompt, count))
                taken += count
            if count < left:
                self._waiting.appendleft(prompt)
                break
        if admitted:
            self._prefill(admitted)

    def _prefill(self, admitted: list[tuple[Prompt, int]]) -> None:
        """Compute prompts, each distinct prefix once, and give their rows a start."""
        parts = [Extension(prompt.ids, [len(prompt.ids) - 1]) for prompt, _ in admitted]
        self._extender.run(parts)
        for part, (prompt, _) in zip(parts, admitted, strict=True):
            prompt.computed += part.computed
            prompt.cached += part.cached
        self._batch.admit(admitted, torch.cat([part.result for part in parts]))

    def _recover(self) -> None:
        """Forget what an interrupted pass may have left half written."""
        self._store.clear()
