from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from langchain_tts.evaluation.datasets import DatasetError, Question, load_dataset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Hub, and a cache of its own."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "sums"
    path.mkdir()
    rows = [
        {"problem": "1+1?", "answer": "2", "level": "Level 1", "solution": r"\dots"},
        {"problem": "2+2?", "answer": "4", "level": "Level 3", "solution": "#### 4"},
    ]
    (path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "train.jsonl").write_text(json.dumps(rows[0]) + "\n")
    return path


def test_a_folder_is_read_with_its_usual_columns(folder: Path) -> None:
    assert load_dataset(f"hf:{folder}") == [
        Question("1+1?", "2", 1),
        Question("2+2?", "4", 3),
    ]
    assert load_dataset(f"hf:{folder}?split=train") == [Question("1+1?", "2", 1)]
    assert load_dataset(f"hf:{folder}?split=test[1:]") == [Question("2+2?", "4", 3)]


def test_columns_can_be_chosen(folder: Path) -> None:
    chosen = f"hf:{folder}?question=level&answer=solution&level="
    assert load_dataset(chosen) == [
        Question("Level 1", r"\dots", None),
        Question("Level 3", "4", None),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("?answer=gold", "has no column 'gold' but problem, answer, level, solution"),
        ("?level=solution", "row 0 is not a question: its level is"),
        ("?columns=3", "with the options split, config, revision"),
        ("?split=dev", "cannot load hf:.*dev"),
    ],
)
def test_what_a_data_set_does_not_have_is_said(
    folder: Path, options: str, said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        load_dataset(f"hf:{folder}{options}")


def test_a_data_set_of_the_hub_is_not_fetched_offline() -> None:
    with pytest.raises(DatasetError, match=r"cannot load hf:openai/gsm8k\?config=main"):
        load_dataset("hf:openai/gsm8k?config=main")


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot load hf:.*nothing"):
        load_dataset(f"hf:{tmp_path}/nothing")


def test_code_that_comes_with_a_data_set_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.mkdir()
    ran = tmp_path / "ran"
    (path / "script.py").write_text(f"open({str(ran)!r}, 'w')\n")
    with pytest.raises(DatasetError, match="cannot load hf:"):
        load_dataset(f"hf:{path}")
    assert not ran.exists()


def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DatasetError, match=r'pip install "langchain-tts\[datasets\]"'):
        load_dataset("hf:openai/gsm8k")
