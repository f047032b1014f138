from __future__ import annotations

import math

import pytest

from langchain_tts.search.levin import levin_cost
from langchain_tts.search.state import Candidate
from tests.unit_tests.search.test_select import candidate

TREE: list[Candidate] = [
    {**candidate(0, score=0.5), "depth": 1},
    {**candidate(1, score=0.11), "depth": 1},
    {**candidate(2, 0, score=0.4), "depth": 2},
    {**candidate(3, 0, text=" ", score=0.5, status="finished"), "depth": 2},
    {**candidate(4, 2, score=0.0), "depth": 3},
    {**candidate(5, 2, score=None), "depth": 3},
]


@pytest.mark.parametrize(
    ("node", "cost"),
    [
        (0, 1 / 0.5),
        (1, 1 / 0.11),
        (2, 2 / (0.5 * 0.4)),
        # An empty last step is no other prefix.
        (3, 2 / 0.5),
        (4, 3 / (0.5 * 0.4 * 1e-9)),
        (5, 3 / (0.5 * 0.4)),
    ],
)
def test_the_cost_is_depth_over_the_product_of_scores(node: int, cost: float) -> None:
    assert levin_cost(TREE, node) == pytest.approx(math.log(cost))
