from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from langchain_tts.evaluation.datasets import (
    DatasetError,
    Question,
    dataset_label,
    load_dataset,
)

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def _file(folder: Path, records: list[object], name: str = "set.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, records)) + "\n")
    return str(path)


def test_a_jsonl_file_is_read_in_order(tmp_path: Path) -> None:
    records: list[object] = [
        {"problem": "1+1?", "answer": "2", "level": 1, "subject": "sums"},
        {"question": "2+2?", "answer": 4},
    ]
    assert load_dataset(_file(tmp_path, records)) == [
        Question("1+1?", "2", 1),
        Question("2+2?", "4", None),
    ]


def test_a_benchmark_is_read_from_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(tmp_path, [{"problem": "p", "answer": "a"}], "math500.jsonl")
    monkeypatch.setenv("LANGCHAIN_TTS_DATA", str(tmp_path))
    assert load_dataset("math500") == [Question("p", "a")]


def test_a_benchmark_without_the_data_folder_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LANGCHAIN_TTS_DATA", raising=False)
    with pytest.raises(DatasetError, match="set LANGCHAIN_TTS_DATA"):
        load_dataset("aime24")


def test_a_limit_is_spread_evenly_over_the_levels(tmp_path: Path) -> None:
    levels = [1] * 10 + [2] * 10 + [3]
    records: list[object] = [
        {"problem": str(i), "answer": "0", "level": level}
        for i, level in enumerate(levels)
    ]
    chosen = load_dataset(_file(tmp_path, records), limit=5)
    assert [(q.text, q.level) for q in chosen] == [
        ("0", 1),
        ("10", 2),
        ("20", 3),
        ("1", 1),
        ("11", 2),
    ]


def test_tinymath_has_all_levels_and_a_right_answer_each() -> None:
    questions = load_dataset("tinymath", split="test", limit=10)
    assert sorted(q.level for q in questions if q.level) == [
        1,
        1,
        2,
        2,
        3,
        3,
        4,
        4,
        5,
        5,
    ]
    assert all(q.answer.isdigit() for q in questions)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gsm9k", "unknown data set 'gsm9k'; give one of tinymath, math500, aime24"),
        ("nowhere/set.jsonl", "there is no file nowhere/set.jsonl"),
    ],
)
def test_a_data_set_that_is_not_there(name: str, expected: str) -> None:
    with pytest.raises(DatasetError, match=expected):
        load_dataset(name)


@pytest.mark.parametrize(
    "record",
    [
        {"problem": "p"},
        ["p", "a"],
        {"problem": "p", "answer": None},
        {"problem": "p", "answer": 1, "level": "x"},
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, record: object) -> None:
    good = {"problem": "p", "answer": "a"}
    with pytest.raises(DatasetError, match=r"set\.jsonl line 2 is not a question"):
        load_dataset(_file(tmp_path, [good, record]))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no questions"):
        load_dataset(_file(tmp_path, []))


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(DatasetError, match="limit is 0"):
        load_dataset("tinymath", limit=0)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DatasetError, match="unknown split 'dev' of tinymath"):
        load_dataset("tinymath", split="dev")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("so 2+2=4\n#### 4", "4"), ("#### 1,000", "1,000"), ("# 4", "# 4")],
)
def test_the_answer_of_a_solution_follows_its_mark(
    tmp_path: Path, answer: str, expected: str
) -> None:
    path = _file(tmp_path, [{"question": "q", "answer": answer}])
    assert load_dataset(path) == [Question("q", expected)]


def test_a_level_may_be_written_as_in_math(tmp_path: Path) -> None:
    path = _file(tmp_path, [{"problem": "p", "answer": "a", "level": "Level 4"}])
    assert load_dataset(path) == [Question("p", "a", 4)]


@pytest.mark.parametrize(
    ("name", "count", "levels"),
    [("math500", 500, {1, 2, 3, 4, 5}), ("aime24", 30, {None})],
)
def test_the_benchmarks_are_whole(
    name: str, count: int, levels: set[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.environ.get("LANGCHAIN_TTS_DATA", SHARED))
    if not (folder / f"{name}.jsonl").exists():
        pytest.skip(f"{name} is not in LANGCHAIN_TTS_DATA")
    monkeypatch.setenv("LANGCHAIN_TTS_DATA", str(folder))
    questions = load_dataset(name)
    assert len({question.text for question in questions}) == count
    assert {question.level for question in questions} == levels
    assert all(question.answer for question in questions)


def test_a_data_set_with_splits_is_called_by_its_split() -> None:
    assert dataset_label("tinymath", "calibration") == "tinymath/calibration"
    assert dataset_label("set.jsonl", "test") == "set.jsonl"
