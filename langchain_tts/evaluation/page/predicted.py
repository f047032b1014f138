"""Predicted difficulty against the oracle, with a calibration's predictor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_tts.evaluation.difficulty import (
    pass_at_1,
    prediction_of,
    quantile_edges,
    rank_correlation,
)
from langchain_tts.evaluation.page.errors import PageError
from langchain_tts.evaluation.page.study import Setting
from langchain_tts.search.calibration import Calibration, Predictor, bin_of


@dataclass(frozen=True)
class Predicted:
    """Predictions for the questions of a run.

    Args:
        policy: Of the run.
        predictor: What the calibration predicts from.
        samples: How many first samples were read.
        questions: How many questions.
        counts: Questions by predicted bin (row) and oracle bin (column).
        correlation: Spearman's rank correlation of prediction and pass@1.
        same: The share of questions in the same bin by both.
        seen: Whether the calibration was made on these very questions.
    """

    policy: str
    predictor: Predictor
    samples: int
    questions: int
    counts: list[list[int]]
    correlation: float
    same: float
    seen: bool


def predicted(settings: Sequence[Setting], calibration: Calibration) -> Predicted:
    """Predict the difficulty of a run's questions as a search would.

    The prediction reads as many first samples as at the calibration's largest N that
    has any, and is cut by its edges.

    Args:
        settings: The runs.
        calibration: One that predicts difficulty at some N.

    Raises:
        PageError: If no run is of the calibration's models, or if that one has no
            independent samples.
    """
    pair = calibration["policy"], calibration["prm"]
    setting = next(
        (s for s in settings if (s.manifest["policy"], s.manifest["prm"]) == pair), None
    )
    if setting is None or setting.samples is None:
        msg = (
            f"the calibration is for policy {pair[0]!r} with verifier {pair[1]!r}; "
            "give a run of these models that has best_of_n"
        )
        raise PageError(msg)
    records = setting.samples.records
    budget = max((n for n, size in calibration["samples"].items() if size), key=int)
    size, cuts = calibration["samples"][budget], calibration["edges"][budget]
    oracle = [pass_at_1(record) for record in records]
    chances = [prediction_of(r, calibration["predictor"], size) for r in records]
    edges = quantile_edges(oracle)
    pairs = Counter(
        (bin_of(chance, cuts), bin_of(truth, edges))
        for chance, truth in zip(chances, oracle, strict=True)
    )
    rows, columns = len(cuts) + 1, len(edges) + 1
    return Predicted(
        policy=pair[0],
        predictor=calibration["predictor"],
        samples=size,
        questions=len(records),
        counts=[
            [pairs[row, column] for column in range(1, columns + 1)]
            for row in range(1, rows + 1)
        ],
        correlation=rank_correlation(chances, oracle),
        same=sum(n for (row, col), n in pairs.items() if row == col) / len(records),
        seen=calibration["fingerprint"] == setting.manifest["fingerprint"],
    )
