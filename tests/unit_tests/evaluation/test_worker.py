from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from pydantic import SecretStr

from langchain_tts.budget import Budget
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.local import LocalEngine
from langchain_tts.evaluation.plans import Job, plans
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.evaluation.worker import (
    Setup,
    Worker,
    WorkerError,
    job_data,
    parse_context,
    parse_job,
    setup_of,
)
from langchain_tts.strategies.context import SearchContext
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

CONTEXT = SearchContext(
    policy="tinymath-small",
    prm=None,
    budget=Budget(samples=8, tokens=900),
    temperature=0.5,
)
JOB = Job(
    plans(["beam_search?beam_width=2"], [4], SearchContext())[0],
    Question("What is 6*7?", "42", 1),
    seed=3,
)


def test_a_context_is_plain_data_and_back() -> None:
    setup = setup_of(CONTEXT)
    assert json.loads(json.dumps(setup["context"])) == {
        "policy": "tinymath-small",
        "prm": None,
        "budget": {"samples": 8, "tokens": 900, "flops": None, "seconds": None},
        "temperature": 0.5,
    }
    assert parse_context(setup["context"]) == CONTEXT
    assert parse_context(setup_of(SearchContext())["context"]) == SearchContext()


def test_a_job_is_plain_data_and_back() -> None:
    data = job_data(JOB)
    assert json.loads(json.dumps(data))["plan"]["strategy"] == "beam_search"
    assert parse_job(data) == JOB


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (replace(CONTEXT, policy=CountingPolicy()), "policy is an object .* name it"),
        (replace(CONTEXT, prm=KnowingPrm()), "prm is an object of type KnowingPrm"),
        (replace(CONTEXT, api_key=SecretStr("k")), "api_key is not sent"),
    ],
)
def test_what_cannot_travel_is_refused(context: SearchContext, message: str) -> None:
    with pytest.raises(WorkerError, match=message):
        setup_of(context)


async def test_a_worker_of_another_version_is_refused() -> None:
    with pytest.raises(WorkerError, match="same version on all nodes"):
        await Worker().load(Setup(version="0.0.0.other", context={}))


async def test_a_worker_tells_what_it_loaded() -> None:
    models = await Worker().load(setup_of(CONTEXT))
    assert models["policy"] == "tinymath-small"
    assert models["prm"] is None
    assert models["policy_parameters"] > 0


async def test_a_worker_finds_what_the_local_engine_finds() -> None:
    context = SearchContext(policy="tinymath-small")
    worker = Worker()
    await worker.load(setup_of(context))
    there = await worker.search(job_data(JOB))
    here: list[SearchRecord] = []
    await asyncio.to_thread(LocalEngine().run, [JOB], context, here.append)
    (record,) = here
    assert record["error"] is None
    assert there["strategy"] == "beam_search?beam_width=2"
    for key in ("id", "seed", "budget", "answers", "samples", "stop_reason"):
        assert there[key] == record[key]
    texts = [[final["text"] for final in one["finals"]] for one in (there, record)]
    assert texts[0] == texts[1]
