from __future__ import annotations

from typing import cast

import pytest

from langchain_tts.search.calibration import (
    Calibration,
    bin_of,
    calibrated_budget,
    choose,
)

EDGES = [0.8, 0.4]


def _calibration() -> Calibration:
    cells = {n: [{"bin": b, "of": n} for b in (1, 2, 3)] for n in ("4", "16", "64")}
    edges = {"4": [0.9, 0.5], "16": EDGES, "64": [0.2, 0.1]}
    return cast("Calibration", {"cells": cells, "edges": edges})


@pytest.mark.parametrize(
    ("chance", "bin_"),
    [(1.0, 1), (0.8, 1), (0.799, 2), (0.4, 2), (0.39, 3), (0.0, 3)],
)
def test_an_edge_belongs_to_the_easier_bin(chance: float, bin_: int) -> None:
    assert bin_of(chance, EDGES) == bin_


def test_without_edges_there_is_one_bin() -> None:
    assert bin_of(0.3, []) == 1


@pytest.mark.parametrize(
    ("samples", "size"),
    [(1, "4"), (4, "4"), (15, "4"), (16, "16"), (63, "16"), (64, "64"), (900, "64")],
)
def test_a_budget_uses_the_next_smaller_calibrated_one(samples: int, size: str) -> None:
    assert calibrated_budget(_calibration(), samples) == size


def test_the_choice_is_that_of_the_bin_by_the_edges_of_the_budget() -> None:
    assert choose(_calibration(), 0.6, 20) == {"bin": 2, "of": "16"}
    assert choose(_calibration(), 0.6, 5) == {"bin": 2, "of": "4"}
    assert choose(_calibration(), 0.45, 5) == {"bin": 3, "of": "4"}
    assert choose(_calibration(), 0.6, 64) == {"bin": 1, "of": "64"}
