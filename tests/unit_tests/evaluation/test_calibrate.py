from __future__ import annotations

import json
import random
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from langchain_tts.evaluation.calibrate import (
    RunTooSmallError,
    best_prediction,
    calibrate,
)
from langchain_tts.evaluation.calibration_table import report
from langchain_tts.search.calibration import Prediction, choose
from tests.unit_tests.evaluation.searches import record, run, sampled

if TYPE_CHECKING:
    from langchain_tts.evaluation.arms import ScoreVote
    from langchain_tts.evaluation.records import SearchRecord
    from langchain_tts.search.calibration import Calibration

LAST: ScoreVote = ("last", "max")


def _searches(questions: int = 150) -> list[SearchRecord]:
    """Easy questions that want best-of-N, and hard ones that want a beam search."""
    rng = random.Random(0)
    found = []
    for place in range(questions):
        easy = place % 2 == 0
        chance = 0.9 if easy else 0.2
        marks = [rng.random() < chance for _ in range(16)]
        finals = sampled([0.9 if mark else 0.1 for mark in marks], marks)
        right = rng.random() < (0.95 if easy else 0.2)
        ways = {(n, LAST): right for n in (4, 16)}
        found.append(record(str(place), "best_of_n", ways, finals, budget=16))
        for n in (4, 16):
            right = rng.random() < (0.6 if easy else 0.7)
            name = "beam_search?beam_width=2"
            found.append(record(str(place), name, {(n, LAST): right}, budget=n))
    return sorted(found, key=lambda one: one["strategy"] != "best_of_n")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return calibrate(run(_searches(), (4, 16)))


def test_easy_and_hard_questions_get_the_strategy_that_they_want(
    calibration: Calibration,
) -> None:
    assert choose(calibration, 0.95, 16)["choice"]["strategy"] == "best_of_n"
    hard = choose(calibration, 0.05, 16)["choice"]
    assert hard == {
        "strategy": "beam_search?beam_width=2",
        "score": "last",
        "vote": "max",
    }


def test_the_gain_is_paired_and_has_an_interval(calibration: Calibration) -> None:
    # Chosen by bin 82.5 %, one for all 65 % or less.
    summary = calibration["summary"]["16"]
    low, high = summary["gain_over_fixed"]["interval"]
    assert 0 < low < summary["gain_over_fixed"]["difference"] < high
    gap = summary["routed"]["accuracy"] - summary["fixed"]["accuracy"]
    assert summary["gain_over_fixed"]["difference"] == pytest.approx(gap)
    gap = summary["routed"]["accuracy"] - summary["baseline"]["accuracy"]
    assert summary["gain_over_baseline"]["difference"] == pytest.approx(gap)
    assert summary["baseline"]["choice"]["strategy"] == "best_of_n"


def test_cells_hold_all_questions_and_what_each_half_chose(
    calibration: Calibration,
) -> None:
    for n in ("4", "16"):
        cells = calibration["cells"][n]
        assert sum(cell["n"] for cell in cells) == 150
        assert [cell["bin"] for cell in cells] == list(range(1, len(cells) + 1))
        assert len(calibration["edges"][n]) == len(cells) - 1
        routed = calibration["summary"][n]["routed"]
        right = sum(cell["accuracy"] * cell["n"] for cell in cells)
        assert routed["accuracy"] == pytest.approx(right / 150)
        for cell in cells:
            halves = [fold["n"] for fold in cell["folds"]]
            assert abs(halves[0] - halves[1]) <= 1
            by_half = sum(fold["accuracy"] * fold["n"] for fold in cell["folds"])
            assert cell["accuracy"] == pytest.approx(by_half / cell["n"])
            assert set(cell["arms"]) == {"best_of_n", "beam_search?beam_width=2"}


def test_the_first_samples_are_a_quarter_of_the_budget_at_most(
    calibration: Calibration,
) -> None:
    assert calibration["samples"]["4"] == 1
    assert 1 <= calibration["samples"]["16"] <= 4


def test_where_a_prediction_is_good_for_nothing_none_is_made() -> None:
    rng = random.Random(0)
    records = []
    for place in range(100):
        marks = [rng.random() < 0.4 for _ in range(16)]
        # Scores that say nothing settle no answer.
        finals = sampled([0.5] * 16, marks)
        ways = {(n, LAST): marks[0] for n in (4, 16)}
        records.append(record(str(place), "best_of_n", ways, finals, budget=16))
    for n in (4, 16):
        records += [
            record(str(place), "dvts", {(n, LAST): place % 5 > 0}, budget=n)
            for place in range(100)
        ]
    found = calibrate(run(records, (4, 16)))
    assert found["stop_score"] is None
    assert found["samples"] == {"4": 0, "16": 0}
    assert found["edges"] == {"4": [], "16": []}
    for cells in found["cells"].values():
        [cell] = cells
        assert (cell["choice"]["strategy"], cell["n"]) == ("dvts", 100)
        assert cell["accuracy"] == 0.8
    console = Console(file=StringIO(), width=120)
    console.print(report(found))
    assert isinstance(console.file, StringIO)
    assert "80.0" in console.file.getvalue()


def test_an_answer_is_settled_by_a_score_that_only_right_ones_have(
    calibration: Calibration,
) -> None:
    assert calibration["stop_score"] == 0.9
    assert calibration["stop"]["trust"][0]["precision"] == 1.0


def test_the_file_names_its_models_and_its_data(calibration: Calibration) -> None:
    assert (calibration["policy"], calibration["prm"]) == ("a", "b")
    assert (calibration["policy_parameters"], calibration["prm_parameters"]) == (1, 2)
    assert (calibration["dataset"], calibration["questions"]) == ("made up", 150)
    assert json.loads(json.dumps(calibration))["cells"].keys() == {"4", "16"}


def test_a_calibration_is_repeatable(calibration: Calibration) -> None:
    assert calibrate(run(_searches(), (4, 16))) == calibration


def test_the_table_tells_choices_gains_and_the_prediction(
    calibration: Calibration,
) -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(report(calibration))
    text = console.export_text()
    assert "beam_search?beam_width=2" in text
    assert "N = 16: chosen by bin" in text
    assert "settles an answer" in text
    assert "rank correlation" in text


def test_a_strategy_that_always_failed_is_left_out() -> None:
    searches = _searches(20)
    lost = [
        record(str(i), "dvts", {}, budget=n, error="lost")
        for i in range(20)
        for n in (4, 16)
    ]
    found = calibrate(run([*searches, *lost], (4, 16)))
    assert "dvts" not in found["cells"]["4"][0]["arms"]


def test_a_run_without_independent_samples_is_refused() -> None:
    searches = [one for one in _searches(4) if one["strategy"] != "best_of_n"]
    with pytest.raises(RunTooSmallError, match="best_of_n, majority_vote"):
        calibrate(run(searches, (4, 16)))


def test_one_question_cannot_be_halved() -> None:
    searches = [one for one in _searches(4) if one["id"] == "1"]
    with pytest.raises(RunTooSmallError, match="at least 2 questions, but there are 1"):
        calibrate(run(searches, (4, 16)))


def _prediction(predictor: str, samples: int, quality: float) -> Prediction:
    return Prediction(
        predictor=predictor,  # type: ignore[typeddict-item]
        samples=samples,
        rank_correlation=quality,
        interval=(0, 1),
        brier=0,
        confusion=[],
    )


def test_more_first_samples_are_taken_only_where_they_predict_better() -> None:
    measured = [
        _prediction("score", n, quality)
        for n, quality in [(1, 0.6), (2, 0.7), (4, 0.71), (8, 0.8)]
    ]
    found = best_prediction(measured, [4, 8, 16, 64])
    # 4 adds too little to 2, and 8 is more than a quarter of 16.
    assert found == ("score", {"4": 1, "8": 2, "16": 2, "64": 8})


def test_the_best_predictor_at_the_budgets_is_used() -> None:
    measured = [
        _prediction("score", 1, 0.6),
        _prediction("score", 2, 0.7),
        _prediction("both", 1, 0.5),
        _prediction("both", 2, 0.9),
    ]
    assert best_prediction(measured, [4])[0] == "score"
    assert best_prediction(measured, [4, 8])[0] == "both"
