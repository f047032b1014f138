"""How a vLLM engine is asked for scores, with a made-up engine."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from langchain_tts.engines import vllm_plugin
from langchain_tts.rewards import ModelLoadError
from langchain_tts.rewards import vllm as module
from langchain_tts.rewards.reader import ClassHead, Head, LabelHead, Reading, ValueHead
from langchain_tts.rewards.vllm import VLLMReader
from tests.unit_tests.tiny_prms import save_prm

Rows = Callable[[list[int]], tuple[torch.Tensor, int]]


class Params:
    """What vLLM's parameters are, as far as they matter here."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def clone(self) -> Params:
        return Params(**self.values)


class Engine:
    """Answers each prompt with rows that a test makes."""

    def __init__(self, rows: Rows, columns: int) -> None:
        self.llm = self
        self.prompts: list[list[int]] = []
        self.columns = columns
        self.rows = rows
        self.closed = False
        self.arguments: dict[str, Any] = {}
        self.tokens = SimpleNamespace(source="somewhere")
        self.num_parameters = 7
        self.context_window = 100

    def run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(asyncio.run(work))
        except ValueError as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        self.closed = True

    async def encode(
        self, ids: list[int], params: Params, _: str
    ) -> AsyncIterator[Any]:
        assert params.values["use_activation"] is False
        assert params.values["skip_reading_prefix_cache"] is False
        self.prompts.append(ids)
        rows, cached = self.rows(ids)
        if ids == [0, 1]:
            rows, cached = torch.zeros(2, self.columns), 0
        yield SimpleNamespace(
            outputs=SimpleNamespace(data=rows), num_cached_tokens=cached
        )


def by_position(cached: int) -> Rows:
    """Row i of a prompt is [i]; the first ones came from a cache."""

    def rows(ids: list[int]) -> tuple[torch.Tensor, int]:
        start = min(cached, len(ids) - 1)
        return torch.arange(start, len(ids))[:, None].float(), start

    return rows


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.fixture
def made() -> list[Engine]:
    return []


@pytest.fixture
def start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: list[Engine]
) -> Callable[..., tuple[VLLMReader, Engine]]:
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(PoolingParams=Params))
    inputs = SimpleNamespace(tokens_input=lambda ids: ids)
    monkeypatch.setitem(sys.modules, "vllm.inputs", inputs)

    def reader(
        rows: Rows, head: Head | None = None, columns: int = 1, **options: Any
    ) -> tuple[VLLMReader, Engine]:
        head = head or ValueHead()
        family = "skywork" if isinstance(head, ValueHead) else "qwen2.5-math"
        folder = save_prm(tmp_path / family, family)
        engine = Engine(rows, columns)
        made.append(engine)

        def opened(_: Path, **arguments: Any) -> Engine:
            engine.arguments = arguments
            return engine

        monkeypatch.setattr(module, "open_engine", opened)
        monkeypatch.setattr(module, "check_registered", lambda: None)
        return VLLMReader(folder, lambda _: head, **options), engine

    return reader


def test_ends_that_a_cache_had_are_asked_for_by_themselves(start: Any) -> None:
    reader, engine = start(by_position(cached=3))
    ids = [5, 6, 7, 8, 9, 10]
    [read] = reader.read([Reading(ids, [1, 2, 3, 5])]).result()
    assert read.scores == pytest.approx([sigmoid(x) for x in (1, 2, 3, 5)])
    assert engine.prompts[1:] == [ids, ids[:2], ids[:3]]
    # 6 - 3, and one row each of the two shorter prompts.
    assert (read.computed, read.cached) == (3 + 1 + 1, 3 + 1 + 2)


def test_only_the_last_row_counts_where_rows_are_missing_or_twice_there(
    start: Any,
) -> None:
    def rows(ids: list[int]) -> tuple[torch.Tensor, int]:
        good, cached = by_position(0)(ids)
        # vLLM began a long prompt, put it off, and began it again.
        return (torch.cat([good[:2], good]) if len(ids) > 3 else good), cached

    reader, engine = start(rows)
    [read] = reader.read([Reading([5, 6, 7, 8], [1, 3])]).result()
    assert read.scores == pytest.approx([sigmoid(1), sigmoid(3)])
    assert engine.prompts[1:] == [[5, 6, 7, 8], [5, 6]]


def test_equal_readings_are_asked_for_once(start: Any) -> None:
    reader, engine = start(by_position(cached=1), exact_cache=False)
    one, two = Reading([5, 6, 7], [2]), Reading([5, 6, 8], [2])
    reads = reader.read([one, two, one]).result()
    assert engine.prompts[1:] == [[5, 6, 7], [5, 6, 8]]
    assert [(r.computed, r.cached) for r in reads] == [(2, 1), (2, 1), (0, 3)]
    assert reads[2].scores == reads[0].scores


def test_an_exact_cache_reads_a_new_question_before_its_first_steps(start: Any) -> None:
    reader, engine = start(by_position(cached=1), exact_cache=True)
    one, two = Reading([5, 6, 7], [2]), Reading([5, 6, 8], [2])
    reads = reader.read([one, two]).result()
    assert engine.prompts[1:] == [[5, 6], [5, 6, 7], [5, 6, 8]]
    # The question's one token behind the cached one is charged to the first.
    assert [(r.computed, r.cached) for r in reads] == [(2 + 1, 1), (2, 1)]
    assert [r.scores for r in reads] == [[pytest.approx(sigmoid(2))]] * 2
    reader.read([one, two]).result()
    assert engine.prompts[4:] == [[5, 6, 7], [5, 6, 8]]


def test_two_classes_are_a_softmax(start: Any) -> None:
    def rows(ids: list[int]) -> tuple[torch.Tensor, int]:
        return torch.tensor([[0.0, 0.0], [1.0, 3.0]])[-len(ids) :], 0

    reader, engine = start(rows, ClassHead(), columns=2)
    [read] = reader.read([Reading([5, 6], [0, 1])]).result()
    assert read.scores == pytest.approx([0.5, sigmoid(2)])
    assert engine.arguments["runner"] == "pooling"
    assert engine.arguments["pooler_config"] == {"tok_pooling_type": "ALL"}


def test_a_head_with_other_outputs_is_refused_and_its_engine_ends(
    start: Any, made: list[Engine]
) -> None:
    with pytest.raises(ModelLoadError, match="has 3 outputs, not 1"):
        start(by_position(0), columns=3)
    assert [engine.closed for engine in made] == [True]


def test_a_value_head_names_its_architecture_and_keeps_other_overrides(
    start: Any,
) -> None:
    _, engine = start(by_position(0), hf_overrides={"rope_theta": 5.0})
    assert engine.arguments["hf_overrides"] == {
        "rope_theta": 5.0,
        "architectures": ["Qwen2ForPrmModel"],
    }


@pytest.mark.parametrize("exact", [True, False])
def test_the_exact_cache_can_be_chosen(start: Any, exact: bool) -> None:
    _, engine = start(by_position(0), exact_cache=exact)
    assert ("kv_transfer_config" in engine.arguments) is exact


def test_wrong_files_are_refused_before_an_engine_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_engine", None)
    value = save_prm(tmp_path / "value", "skywork")
    monkeypatch.setattr(vllm_plugin, "NAME", "not-installed")
    with pytest.raises(ModelLoadError, match="install it once more"):
        VLLMReader(value, lambda _: ValueHead())
    causal = save_prm(tmp_path / "causal", "rlhflow")
    with pytest.raises(ModelLoadError, match="no class head"):
        VLLMReader(causal, lambda _: ClassHead())
    with pytest.raises(ModelLoadError, match="no value head"):
        VLLMReader(causal, lambda _: ValueHead())
    with pytest.raises(ModelLoadError, match="label token 9999 is none of"):
        VLLMReader(causal, lambda _: LabelHead(1, 9999))
