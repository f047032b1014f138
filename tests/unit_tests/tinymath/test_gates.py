"""The gates are computed from rows as they are defined; the card shows them."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest

from langchain_tts.evaluation.estimates import accuracy
from langchain_tts.evaluation.rows import Row
from langchain_tts.search.state import Vote
from langchain_tts.tinymath import WEIGHTS, card
from langchain_tts.tinymath.gates import Gate, Measured, judge


def row(
    strategy: str, budget: int, vote: Vote, right: dict[int, int], each: int = 100
) -> Row:
    """A row with `right[level]` of `each` questions answered right at each level."""
    cells = {
        str(level): accuracy(i < count for i in range(each))
        for level, count in right.items()
    }
    total = accuracy(i < sum(right.values()) for i in range(each * len(right)))
    return Row(
        strategy=strategy,
        budget=budget,
        score=None if vote == "majority" else "last",
        vote=vote,
        by_level=cells,
        pass_at_k=None,
        samples=float(budget),
        generated_tokens=1e3,
        policy_flops=2e6,
        prm_flops=1e6,
        **total,
    )


def levels(*right: int) -> dict[int, int]:
    return dict(enumerate(right, 1))


@pytest.fixture
def measured() -> Measured:
    default = [
        row("greedy", 1, "majority", levels(80, 60, 30, 20, 10)),  # 200 of 500
        row("majority_vote", 16, "majority", levels(80, 60, 30, 20, 10)),
        row("majority_vote", 64, "majority", levels(80, 60, 30, 20, 10)),
        row("best_of_n", 4, "max", levels(85, 60, 40, 25, 15)),  # 225
        row("best_of_n", 16, "max", levels(90, 65, 50, 35, 20)),  # 260
        row("best_of_n", 64, "max", levels(95, 70, 60, 40, 20)),  # 285
        row("best_of_n", 64, "vote", levels(95, 70, 60, 38, 20)),  # 283
        row("beam_search", 16, "max", levels(95, 75, 65, 50, 35)),
        row("beam_search", 64, "max", levels(95, 80, 70, 60, 45)),  # 350
        row("beam_search", 64, "vote", levels(95, 80, 70, 55, 40)),
        row("dvts", 16, "max", levels(95, 70, 60, 45, 35)),
        row("dvts", 64, "max", levels(95, 75, 65, 50, 40)),  # 325
        row("dvts", 64, "vote", levels(95, 75, 65, 50, 35)),
    ]
    return Measured(
        rows={
            "tinymath": default,
            "tinymath-small": [row("greedy", 1, "majority", levels(9, 5, 1, 0, 0))],
            "tinymath-large": [
                row("greedy", 1, "majority", levels(95, 80, 70, 50, 35))
            ],
        },
        auc={"tinymath-implicit": (0.97, 0.01)},
        parameters={
            "tinymath": 100,
            "tinymath-large": 900,
            "tinymath-small": 10,
            "verifier": 500,
        },
        revision=[accuracy([True, False]), accuracy([True, True])],
    )


def test_each_gate_is_worked_out_by_hand(measured: Measured) -> None:
    values = {gate.name: gate.value for gate in judge(measured)}
    assert values == pytest.approx(
        {
            "G0": 0.97,
            "G1": (260 - 200) / 500,
            "G2": (283 - 200) / 500,
            "G3": (285 - 260) / 500,  # the smaller of the two rises
            "G4": (60 + 45) / 200 - (40 + 20) / 200,
            "G5a": (350 - 330) / 500,
            "G5b": (330 - 200) / 500,
            "G5c": 9.0,
            "G5d": 900 / 600,
        }
    )


def test_a_difference_has_the_error_of_both_sides(measured: Measured) -> None:
    gate = next(gate for gate in judge(measured) if gate.name == "G1")
    left, right = 260 / 500, 200 / 500
    variance = (left * (1 - left) + right * (1 - right)) / 500
    assert gate.stderr == pytest.approx(math.sqrt(variance))


def test_a_gate_passes_at_its_bound_and_not_under_it() -> None:
    assert Gate("G", "", 0.05, 0.01, 0.05).passed
    assert not Gate("G", "", 0.0499, 0.01, 0.05).passed


def test_the_card_fills_the_marked_part_and_nothing_else(
    measured: Measured, tmp_path: Path
) -> None:
    document = tmp_path / "card.md"
    document.write_text(
        "before\n<!-- tinymath-figures: begin -->\nSTALE\n"
        "<!-- tinymath-figures: end -->\nafter\n"
    )
    gates = [vars(gate) for gate in judge(measured)]
    card.fill(document, card.parts({**measured, "gates": gates}))
    text = document.read_text()
    assert text.startswith("before\n<!--")
    assert text.endswith("-->\nafter\n")
    assert "STALE" not in text
    assert "| accuracy, % | 50.0 ± 35.4 | 100.0 ± 0.0 |" in text
    assert "| tinymath | beam_search (last-max) | 64 | 70.0 ± 2.0 |" in text


def test_a_document_without_a_marked_part_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "card.md"
    document.write_text("nothing marked")
    with pytest.raises(ValueError, match="has no part between"):
        card.fill(document, {"figures": "text"})


def test_the_shipped_weights_match_their_checksums_and_their_size_limit() -> None:
    lines = card.CHECKSUMS.read_text().splitlines()
    assert len(lines) >= 7
    for line in lines:
        digest, name = line.split("  ")
        content = (WEIGHTS / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    total = sum(f.stat().st_size for f in WEIGHTS.rglob("*") if f.is_file())
    assert total <= 25_000_000


def test_every_shipped_model_has_its_training_record() -> None:
    for folder in WEIGHTS.iterdir():
        if folder.is_dir():
            record = json.loads((folder / "training.json").read_text())
            assert record["model"] == folder.name
            assert {"parameters", "seed", "tokens", "minutes"} <= record.keys()
