"""What goes on when a future is done, and waiting for it, or for many."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

T = TypeVar("T")
U = TypeVar("U")


def then(first: Future[T], convert: Callable[[T], U]) -> Future[U]:
    """The future of a converted result; cancelling it cancels the first one.

    Args:
        first: What is waited for.
        convert: Makes the result, on the thread that finishes `first`.
    """
    second: Future[U] = Future()

    def finish(done: Future[T]) -> None:
        if done.cancelled():
            second.cancel()
        if not second.set_running_or_notify_cancel():
            return
        try:
            second.set_result(convert(done.result()))
        except BaseException as error:  # noqa: BLE001 (belongs to the caller)
            second.set_exception(error)

    def drop(done: Future[U]) -> None:
        if done.cancelled():
            first.cancel()

    second.add_done_callback(drop)
    first.add_done_callback(finish)
    return second


def result(future: Future[T], seconds: float | None = None) -> T:
    """Wait for a result; whoever gives up waiting cancels the work.

    Args:
        future: What is waited for.
        seconds: How long at most; None: as long as it takes.

    Raises:
        TimeoutError: If it takes longer.
    """
    try:
        return future.result(seconds)
    except BaseException:
        # Also where somebody presses Ctrl-C. A future that has failed is left alone.
        future.cancel()
        raise


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all at once; where one fails or this is cancelled, the others are cancelled.

    Args:
        works: Started in their order.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
