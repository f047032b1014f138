"""The real server of `langgraph dev`, offline: steps, edits and forks by the SDK."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import BadRequestError
from langgraph_sdk.schema import Checkpoint, ThreadState

from langchain_tts import Budget, Message, SearchContext, solve
from langchain_tts.strategies._catalog import BUILT_IN
from tests.integration_tests.comparing import rounded

_ROOT = Path(__file__).parents[2]
_LOG = "server.log"
_START_SECONDS = 180
"""A cold start on a busy machine; two seconds are usual."""

QUESTION: list[Message] = [{"role": "user", "content": "What is 12*7+5?"}]
FORM: Any = {"policy": "tinymath", "budget": {"samples": 6}, "beam_width": 2}
"""A context as a form sends it; the same as `CONTEXT`."""
CONTEXT = SearchContext(budget=Budget(6), beam_width=2)
SEED = 3


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncLangGraphClient]:
    """A client of a server that has all graphs of this checkout."""
    folder = tmp_path_factory.mktemp("server")
    with _server(folder) as url:
        # No key, even where the environment has one.
        client = get_sync_client(url=url, api_key=None)
        yield client
        client.close()
    # What the server raises where a node holds up its event loop.
    assert "BlockingError" not in (folder / _LOG).read_text()


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Run `langgraph dev` in a folder, which gets its log and what it keeps."""
    port = _free_port()
    # What is not on this machine is behind a proxy that does not exist.
    nowhere = dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://[::1]:9"
    )
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("LANGSMITH_")},
        **nowhere,
        **{name.lower(): value for name, value in nowhere.items()},
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "HF_HUB_OFFLINE": "1",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGSMITH_TRACING": "false",
    }
    command = [
        *(str(Path(sys.executable).parent / "langgraph"), "dev"),
        *("--config", str(_ROOT / "langgraph.json")),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--no-browser", "--no-reload"),
    ]
    log = folder / _LOG
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, log)
        yield url
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(f"{url}/ok", timeout=5) as answer:
                if json.load(answer)["ok"]:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text()[-5000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(timeout=15)
        except ProcessLookupError:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            continue


def _assistants(client: SyncLangGraphClient) -> dict[str, dict[str, Any]]:
    found = cast("list[dict[str, Any]]", client.assistants.search(limit=100))
    return {assistant["graph_id"]: assistant for assistant in found}


def _run(
    client: SyncLangGraphClient,
    thread: str,
    start: Any = None,
    *,
    checkpoint: Checkpoint | None = None,
    step: bool = False,
) -> ThreadState:
    """Go on with a thread, by one node or to the end; returns its state then."""
    client.runs.wait(
        thread,
        "beam_search",
        input=start,
        context=FORM,
        checkpoint=checkpoint,
        interrupt_before="*" if step else None,
    )
    return client.threads.get_state(thread)


def _values(state: ThreadState) -> dict[str, Any]:
    return cast("dict[str, Any]", state["values"])


def _children(tree: list[dict[str, Any]], candidate: int) -> list[int]:
    return [c["id"] for c in tree if c["parent"] == candidate]


def test_every_strategy_is_an_assistant_with_its_summary(
    client: SyncLangGraphClient,
) -> None:
    assistants = _assistants(client)
    summaries = {name: entry["description"] for name, entry in assistants.items()}
    assert summaries == {strategy.name: strategy.summary for strategy in BUILT_IN}


def test_the_server_draws_a_form_of_every_strategy(client: SyncLangGraphClient) -> None:
    for assistant in _assistants(client).values():
        schemas = client.assistants.get_schemas(assistant["assistant_id"])
        form = cast("dict[str, Any]", schemas["context_schema"])["properties"]
        assert form["budget"]["default"]["samples"] == 16
        assert form["policy"]["default"] == "tinymath"
        assert all(field["description"] for field in form.values())
        question = cast("dict[str, Any]", schemas["input_schema"])["properties"]
        assert set(question) == {"messages", "seed"}
        drawn = client.assistants.get_graph(assistant["assistant_id"])
        assert {"propose", "aggregate"} <= {node["id"] for node in drawn["nodes"]}


@pytest.mark.parametrize("strategy", BUILT_IN, ids=lambda strategy: strategy.name)
def test_a_strategy_runs_with_the_embedded_models_as_it_stands(
    client: SyncLangGraphClient, strategy: Any
) -> None:
    question: Any = {"messages": QUESTION, "seed": SEED}
    state = client.runs.wait(None, strategy.name, input=question)
    alone = solve(QUESTION, strategy=strategy.name, context=SearchContext(), seed=SEED)
    result = cast("dict[str, Any]", state)["result"]
    assert result["answer"] == alone["answer"]
    assert len(result["candidates"]) == len(alone["candidates"])


def test_a_search_is_stepped_edited_forked_and_finished_twice(
    client: SyncLangGraphClient,
) -> None:
    thread = client.threads.create()["thread_id"]
    state = _run(client, thread, {"messages": QUESTION, "seed": SEED}, step=True)
    seen = [state, *(_run(client, thread, step=True) for _ in range(5))]
    nodes = ["propose", "score", "select"]
    assert [state["next"] for state in seen] == [[name] for name in nodes * 2]

    # Before the second selection: every proposed step has been scored.
    before = seen[-1]
    tree = _values(before)["tree"]
    proposed = _values(before)["proposed"]
    assert proposed == list(range(6, 12))
    assert all(tree[i]["score"] is not None for i in proposed)
    active = [i for i in proposed if tree[i]["status"] == "active"]
    worst = min(active, key=lambda i: tree[i]["score"])
    assert tree[worst]["score"] < max(tree[i]["score"] for i in active)

    # What the verifier thought the worst becomes the best, and is continued.
    client.threads.update_state(
        thread, {"tree": [{"id": worst, "score": 1.0}]}, as_node="score"
    )
    edited = client.threads.get_state(thread)
    assert edited["next"] == ["select"]
    assert _values(edited)["tree"][worst] == {**tree[worst], "score": 1.0}
    changed = _run(client, thread)
    assert changed["next"] == []
    assert _values(changed)["tree"][worst]["status"] == "active"
    assert _children(_values(changed)["tree"], worst)

    # From the state before the change: the search goes on as if there were none.
    unchanged = _run(client, thread, checkpoint=before["checkpoint"])
    assert unchanged["next"] == []
    assert _values(unchanged)["tree"][worst]["status"] == "pruned"
    assert _values(unchanged)["tree"][worst]["score"] == tree[worst]["score"]
    assert not _children(_values(unchanged)["tree"], worst)
    alone = solve(QUESTION, context=CONTEXT, seed=SEED)
    # In another process batches are cut otherwise, which rounds sums otherwise.
    assert _values(unchanged)["tree"] == rounded(alone["tree"])
    assert _values(unchanged)["result"]["answer"] == alone["answer"]
    assert _values(changed)["result"]["candidates"] != alone["candidates"]
    assert _values(changed)["result"]["answer"] is not None

    # Both branches and all that was before them stay as they were.
    history = {
        state["checkpoint"]["checkpoint_id"]: state["values"]
        for state in client.threads.get_history(thread, limit=100)
    }
    for state in (*seen, edited, changed, unchanged):
        assert history[state["checkpoint"]["checkpoint_id"]] == state["values"]


def test_an_impossible_change_is_refused_with_its_reason(
    client: SyncLangGraphClient,
) -> None:
    thread = client.threads.create()["thread_id"]
    _run(client, thread, {"messages": QUESTION, "seed": SEED}, step=True)
    with pytest.raises(BadRequestError, match="candidate id 7 leaves a gap"):
        client.threads.update_state(
            thread, {"tree": [{"id": 7, "score": 1.0}]}, as_node="score"
        )
