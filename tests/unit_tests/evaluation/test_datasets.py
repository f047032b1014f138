from __future__ import annotations

import json
from pathlib import Path

import pytest

from langchain_tts.evaluation.datasets import DatasetError, Question, load_dataset


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
    [{"problem": "p"}, ["p", "a"], {"problem": "p", "answer": 1, "level": "x"}],
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
