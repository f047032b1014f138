from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from langchain_tts.evaluation.ray_pool import room


def cluster(*nodes: dict[str, float]) -> Any:
    """A stand-in for the module: nodes that are alive, and one that is not."""
    dead = {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 99.0}}
    alive = [{"Alive": True, "Resources": node} for node in nodes]
    return cast("Any", SimpleNamespace(nodes=lambda: [*alive, dead]))


@pytest.mark.parametrize(
    ("gpus", "workers"), [(0, 12), (1, 5), (0.5, 10), (2, 2), (3, 1), (5, 0)]
)
def test_a_worker_needs_a_cpu_and_its_gpus_on_one_node(
    gpus: float, workers: int
) -> None:
    nodes = cluster({"CPU": 8.0, "GPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}, {"memory": 1.0})
    assert room(nodes, gpus) == workers


def test_a_cpu_is_the_limit_where_there_are_more_gpus() -> None:
    assert room(cluster({"CPU": 2.0, "GPU": 8.0}), 1) == 2
