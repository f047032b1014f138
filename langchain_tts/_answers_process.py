"""A small pool of processes that compare expressions under a time limit.

A thread cannot be stopped and `SIGALRM` reaches only the main thread, so a limit that
holds in every thread needs a process. Processes start when first needed, are reused,
and are replaced after one has passed its limit. They are plain subprocesses that speak
JSON lines: nothing is pickled, and the caller's `__main__` is not imported again.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import weakref
from functools import lru_cache
from pathlib import Path

_CHILD = Path(__file__).with_name("_answers_child.py")
_PROCESSES = 2


class _Process:
    """One running comparison process."""

    def __init__(self) -> None:
        # -P: the package's folder must not shadow top-level modules.
        self._popen = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-P", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.close = weakref.finalize(self, _close, self._popen)
        if self._reply() is not True:
            self.close()
            msg = (
                "the process that compares answers did not start; check that "
                f"`{sys.executable} -c 'import math_verify'` works"
            )
            raise RuntimeError(msg)

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def equal(self, a: str, b: str, timeout: float) -> bool | None:
        """Compare; None if the process ended instead, by its limit or otherwise."""
        request = json.dumps({"a": a, "b": b, "timeout": timeout})
        try:
            self._popen.stdin.write(f"{request}\n")  # type: ignore[union-attr]
            self._popen.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            return None
        return self._reply()

    def _reply(self) -> bool | None:
        line = self._popen.stdout.readline()  # type: ignore[union-attr]
        return bool(json.loads(line)) if line else None


def _close(popen: "subprocess.Popen[str]") -> None:
    """End a process: its input closes, or its limit passes."""
    with contextlib.suppress(BrokenPipeError):
        popen.stdin.close()  # type: ignore[union-attr]
    popen.wait()
    popen.stdout.close()  # type: ignore[union-attr]


class _Pool:
    def __init__(self) -> None:
        self._free = threading.Semaphore(_PROCESSES)
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()

    def equal(self, a: str, b: str, timeout: float) -> bool:
        with self._free:
            process = self._take()
            equal = process.equal(a, b, timeout)
            if equal is None:
                process.close()
                return False
            self._idle.put(process)
            return equal

    def _take(self) -> _Process:
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            return _Process()
        return process if process.is_alive() else _Process()


@lru_cache(maxsize=1)
def _pool(_pid: int) -> _Pool:
    """Return the pool of this process: a forked child must not share its parent's."""
    return _Pool()


def equal_expressions(a: str, b: str, timeout: float) -> bool:
    """Tell whether two LaTeX expressions are proved equal within a time limit.

    Args:
        a: An expression, without dollar signs.
        b: Another one.
        timeout: Seconds that the comparison may take, once its process runs.

    Returns:
        True if they are equal; False if they differ, cannot be read, or the time is up.

    Raises:
        RuntimeError: If the comparison process cannot be started.
    """
    return _pool(os.getpid()).equal(a, b, timeout)
