"""Real vLLM servers for tests: one process group each, gone when the test is over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

_STARTING = 240.0
_ENDING = 20.0
"""Seconds."""
_SHOWN = 4000
_MODULE = "vllm.entrypoints.openai.api_server"
_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    model: Path, *arguments: str, port: int | None = None, name: str | None = None
) -> Iterator[str]:
    """Run a vLLM server (`running`), of which only the base address is needed."""
    with running(model, *arguments, port=port, name=name) as server:
        yield server.url


class Running(NamedTuple):
    """A server."""

    url: str
    """The base address, ending in `/v1`."""
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it and all that it started, without a warning."""
        os.killpg(self.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    model: Path, *arguments: str, port: int | None = None, name: str | None = None
) -> Iterator[Running]:
    """Run a vLLM server.

    Args:
        model: The folder of the model.
        arguments: Further arguments of vLLM's server.
        port: Where to listen; any free port if None.
        name: What the server calls the model; the folder if None.

    Raises:
        RuntimeError: If it does not start, with the end of its log.
    """
    port = port or free_port()
    command = [
        *(sys.executable, "-m", _MODULE, "--model", str(model)),
        *("--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"),
        *("--enforce-eager", "--enable-prompt-tokens-details"),
        # On a CPU, vLLM 0.32 dies of a seeded request that is read in two parts.
        "--no-enable-chunked-prefill",
        *(["--served-model-name", name] if name else []),
        *arguments,
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_SETTINGS},
            # A group of its own: the engine core is a child of the server.
            start_new_session=True,
        )
        try:
            _wait_until_healthy(process, port, log)
            yield Running(f"http://127.0.0.1:{port}/v1", process)
        finally:
            stop(process)


def working_on(url: str) -> float:
    """Requests that a server is working on."""
    asked = httpx.get(f"{url.removesuffix('/v1')}/metrics", timeout=30)
    lines = asked.text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(("vllm:num_requests_running{", "vllm:num_requests_waiting{"))
    )


async def wait_until_busy(url: str, future: Future[Any], seconds: float = 20) -> None:
    """Wait until a server works on what a future stands for."""
    until = time.monotonic() + seconds
    while not working_on(url):
        assert time.monotonic() < until
        assert not future.done(), future.result()
        await asyncio.sleep(0.05)


async def wait_until_idle(url: str, seconds: float) -> None:
    """Wait until a server has nothing to do."""
    until = time.monotonic() + seconds
    while working_on(url):
        assert time.monotonic() < until, "the server goes on generating"
        await asyncio.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for how, patience in ((signal.SIGTERM, _ENDING), (signal.SIGKILL, _ENDING)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _wait_until_healthy(
    process: subprocess.Popen[bytes], port: int, log: BinaryIO
) -> None:
    until = time.monotonic() + _STARTING
    problem = f"the server did not answer within {_STARTING:.0f} s"
    while time.monotonic() < until:
        if process.poll() is not None:
            problem = f"the server ended with status {process.returncode}"
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success:
                return
        time.sleep(0.5)
    log.seek(max(0, log.tell() - _SHOWN))
    msg = f"{problem}; its log ends: {log.read().decode(errors='replace')}"
    raise RuntimeError(msg)
