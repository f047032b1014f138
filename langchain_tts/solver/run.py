"""Asking Z3 in another process, under limits on time and memory.

A thread cannot be stopped, so a limit that holds in every thread needs a process. One
is kept warm (importing Z3 takes a third of a second), a second one is started when two
threads ask at once, and one that passed a limit is replaced. They speak JSON lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from langchain_tts.solver.expressions import ConstraintError
from langchain_tts.solver.language import ANSWER, Script, read_script

Kind = Literal[
    "unique",
    "unsat",
    "ambiguous",
    "unknown",
    "timeout",
    "memory",
    "syntax",
]
"""`unique`: the answer has one value. `unsat`: nothing fulfills the constraints.
`ambiguous`: the answer may have several values. `unknown`: Z3 cannot tell, or the value
is no fraction. `timeout`, `memory`: a limit was passed. `syntax`: not in the solver's
language."""

_CHILD = Path(__file__).with_name("_child.py")
_PROCESSES = 2
_OVERTIME = 1.5
"""Share of its time after which a process is killed that its own alarm did not end."""


class MissingSolverError(ImportError):
    """Z3 is not installed."""


@dataclass(frozen=True)
class Limits:
    """What one problem may use.

    Args:
        seconds: Wall-clock seconds.
        megabytes: Memory beyond what Z3 needs to start.
    """

    seconds: float = 2.0
    megabytes: int = 512

    def __post_init__(self) -> None:
        """Refuse limits that nothing can be solved in."""
        if self.seconds <= 0 or self.megabytes <= 0:
            msg = f"{self} are no limits; give positive numbers"
            raise ValueError(msg)


@dataclass(frozen=True)
class Verdict:
    """What the solver found.

    Args:
        kind: Whether there is one answer, or why there is none.
        value: The one value as a whole number, a fraction `3/7`, `true` or `false`.
        detail: Why there is none, in one line.
    """

    kind: Kind
    value: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        """The verdict in one line."""
        return self.value if self.value is not None else f"{self.kind}: {self.detail}"


def has_solver() -> bool:
    """Whether Z3 is installed."""
    return find_spec("z3") is not None


def solve_constraints(
    constraints: str | Script, *, answer: str = ANSWER, limits: Limits | None = None
) -> Verdict:
    """Find the one value of the answer that constraints allow.

    It works in any thread and takes at most a little longer than its limit; in async
    code, call it through `asyncio.to_thread`.

    Args:
        constraints: In the solver's language (`solver.language`).
        answer: The constant that is asked for.
        limits: On time and memory; None: two seconds and 512 MiB.

    Returns:
        The value, or why there is none. What is not in the language is a verdict
        (`syntax`) too: a model wrote it.

    Raises:
        MissingSolverError: If Z3 is not installed.
        RuntimeError: If it is, but does not start.
    """
    if not has_solver():
        msg = 'Z3 is not installed; run: pip install "langchain-tts[solver]"'
        raise MissingSolverError(msg)
    try:
        script = (
            read_script(constraints, answer)
            if isinstance(constraints, str)
            else constraints
        )
    except ConstraintError as error:
        return Verdict("syntax", detail=str(error))
    limits = limits or Limits()
    request = {
        "constants": script.constants,
        "assertions": [term.plain() for term in script.assertions],
        "answer": answer,
        "seconds": limits.seconds,
    }
    return _pool(os.getpid(), limits.megabytes).ask(request)


class _Process:
    """One running solver."""

    def __init__(self, megabytes: int) -> None:
        # -P: the package's folder must not shadow top-level modules.
        self._popen = subprocess.Popen(  # noqa: S603 (our own file)
            [sys.executable, "-P", str(_CHILD), str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.close = weakref.finalize(self, _close, self._popen)
        if self._reply() is None:
            self.close()
            msg = (
                "the process that runs Z3 did not start; check that "
                f"`{sys.executable} -c 'import z3'` works"
            )
            raise RuntimeError(msg)

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, request: dict[str, Any]) -> Verdict | None:
        """Solve; None if the process ended instead."""
        watch = threading.Timer(_OVERTIME * request["seconds"], self._popen.kill)
        watch.daemon = True
        watch.start()
        try:
            self._popen.stdin.write(f"{json.dumps(request)}\n")  # type: ignore[union-attr]
            self._popen.stdin.flush()  # type: ignore[union-attr]
            reply = self._reply()
        except BrokenPipeError:
            return None
        finally:
            watch.cancel()
        return None if reply is None else Verdict(**reply)

    def ended(self) -> Verdict:
        """Why it ended in the middle of a problem."""
        self.close()
        late = (-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL)
        if self._popen.returncode in late:
            return Verdict("timeout", detail="it took too long")
        detail = f"the solver ended ({self._popen.returncode}), most likely for memory"
        return Verdict("memory", detail=detail)

    def _reply(self) -> dict[str, Any] | None:
        line = self._popen.stdout.readline()  # type: ignore[union-attr]
        return json.loads(line) if line else None


def _close(popen: subprocess.Popen[str]) -> None:
    """End a process: its input closes, or its limit passes."""
    with contextlib.suppress(BrokenPipeError):
        popen.stdin.close()  # type: ignore[union-attr]
    popen.wait()
    popen.stdout.close()  # type: ignore[union-attr]


class _Pool:
    def __init__(self, megabytes: int) -> None:
        self._megabytes = megabytes
        self._free = threading.Semaphore(_PROCESSES)
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()

    def ask(self, request: dict[str, Any]) -> Verdict:
        with self._free:
            process = self._take()
            verdict = process.ask(request)
            if verdict is None:
                return process.ended()
            if verdict.kind == "memory":
                # What it holds is not given back to the system.
                process.close()
            else:
                self._idle.put(process)
            return verdict

    def _take(self) -> _Process:
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            return _Process(self._megabytes)
        return process if process.is_alive() else _Process(self._megabytes)


@lru_cache(maxsize=4)
def _pool(_pid: int, megabytes: int) -> _Pool:
    """Return the pool of this process: a forked child must not share its parent's."""
    return _Pool(megabytes)
