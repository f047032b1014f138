"""A process that searches for another one: what it is sent, and what it does.

Only plain data travels: names of models, never models. A `Worker` is an actor of Ray,
but knows nothing of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, fields, replace
from typing import Any

from typing_extensions import TypedDict

from langchain_tts._version import __version__
from langchain_tts.budget import Budget
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.local import Models, models_of, resolved, search_job
from langchain_tts.evaluation.plans import Job, Plan
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.strategies.context import SearchContext

_PLAIN = (str, int, float, type(None))


class WorkerError(ValueError):
    """A worker that cannot do what it is asked for, or a context it cannot be sent."""


class Setup(TypedDict):
    """What a worker is sent before its first job."""

    version: str
    """Of this package: other versions may search in other ways."""
    context: dict[str, Any]


class JobData(TypedDict):
    """A job as plain data."""

    plan: dict[str, Any]
    question: dict[str, Any]
    seed: int


class Worker:
    """Owns a policy and a verifier, and searches with them; many searches at once."""

    def __init__(self) -> None:
        self._context = SearchContext()

    async def load(self, setup: Setup) -> Models:
        """Load the models that a context names.

        Raises:
            WorkerError: If this process runs another version of the package.
            ValueError: If there is no such model.
        """
        if setup["version"] != __version__:
            msg = (
                f"a worker has langchain-tts {__version__}, not {setup['version']}; "
                "install the same version on all nodes"
            )
            raise WorkerError(msg)
        context = parse_context(setup["context"])
        self._context = await asyncio.to_thread(resolved, context)
        return models_of(self._context)

    async def search(self, job: JobData) -> SearchRecord:
        """Run one job."""
        return await search_job(parse_job(job), self._context)


def setup_of(context: SearchContext) -> Setup:
    """A context as plain data.

    Raises:
        WorkerError: If a field of it is none, e.g. a model that was given as an object.
    """
    default = SearchContext()
    data = {
        field.name: getattr(context, field.name)
        for field in fields(SearchContext)
        if getattr(context, field.name) != getattr(default, field.name)
    }
    for model in ("policy", "prm"):
        if not _is_plain(data.get(model)):
            msg = (
                f"{model} is an object of type {type(data[model]).__name__}, which "
                "cannot be sent to workers; name it, e.g. 'tinymath', 'vllm:MODEL', or "
                "the address of a server"
            )
            raise WorkerError(msg)
    if "api_key" in data:
        msg = (
            "api_key is not sent to workers; set the variable that the server's option "
            "api_key_env names (OPENAI_API_KEY) on every node"
        )
        raise WorkerError(msg)
    if "budget" in data:
        data["budget"] = data["budget"].to_dict()
    for name, value in data.items():
        if not _is_plain(value):
            msg = f"{name} is {value!r}, which is no plain data to send to workers"
            raise WorkerError(msg)
    return Setup(version=__version__, context=data)


def parse_context(data: dict[str, Any]) -> SearchContext:
    """The context that `setup_of` made plain data of."""
    context = SearchContext(**{k: v for k, v in data.items() if k != "budget"})
    return replace(context, budget=Budget.parse(data.get("budget", context.budget)))


def job_data(job: Job) -> JobData:
    """A job as plain data."""
    return JobData(plan=asdict(job.plan), question=asdict(job.question), seed=job.seed)


def parse_job(data: JobData) -> Job:
    """The job that `job_data` made plain data of."""
    return Job(Plan(**data["plan"]), Question(**data["question"]), data["seed"])


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
