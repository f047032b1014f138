"""Command-line options that say where the searches of a sweep run."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from langchain_tts._cli_context import UsageError

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from langchain_tts.evaluation.local import Engine


def add_engine(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    command.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="run searches in this process, or in workers on Ray (%(default)s)",
    )
    command.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="ray: how many processes (as many as there is room for)",
    )
    command.add_argument(
        "--worker-gpus",
        type=float,
        metavar="G",
        help="ray: GPUs of each worker, e.g. 1 or 0.5 (0)",
    )


def engine(arguments: argparse.Namespace) -> AbstractContextManager[Engine]:
    """The engine that the options ask for.

    Raises:
        UsageError: If they do not fit together.
    """
    from langchain_tts.evaluation.local import LocalEngine

    workers, gpus = arguments.workers, arguments.worker_gpus
    if arguments.engine == "local":
        if workers is not None or gpus is not None:
            msg = "--workers and --worker-gpus are of workers on Ray; add --engine ray"
            raise UsageError(msg)
        return nullcontext(LocalEngine())
    from langchain_tts.evaluation.ray_engine import RayEngine

    if workers is not None and workers < 1:
        msg = f"--workers is {workers}; give a whole number above 0, e.g. 2"
        raise UsageError(msg)
    if gpus is not None and not gpus >= 0:
        msg = f"--worker-gpus is {gpus}; give a number of at least 0, e.g. 1 or 0.5"
        raise UsageError(msg)
    return RayEngine(workers, gpus or 0.0)
