"""Data sets of questions with one right answer each."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TINYMATH = "tinymath"

HUB = "hf"
"""Before the name of a data set that Hugging Face's `datasets` loads."""

FILES = {"math500": "math500.jsonl", "aime24": "aime24.jsonl"}
"""Benchmarks that are read from `$LANGCHAIN_TTS_DATA`: they are not shipped."""

DATA_FOLDER = "LANGCHAIN_TTS_DATA"


class DatasetError(ValueError):
    """A data set that cannot be read."""


@dataclass(frozen=True)
class Question:
    """One question of a data set.

    Args:
        text: What is asked.
        answer: The right answer.
        level: Difficulty from 1 (easy) to 5; None where the data set has none.
    """

    text: str
    answer: str
    level: int | None = None


def load_dataset(
    name: str, *, split: str = "test", limit: int | None = None
) -> list[Question]:
    r"""Load questions.

    Args:
        name: `tinymath`, a name in `FILES`, `hf:NAME?option=value` for a data set in a
            format of Hugging Face (`hub.load`), or the path of a JSONL file whose
            objects have `problem` (or `question`), `answer` and perhaps `level`.
        split: Of tinymath: `calibration` or `test`.
        limit: At most so many questions, spread evenly over the levels.

    Returns:
        The questions in a fixed order.

    Raises:
        DatasetError: If there is no such data set, or it is broken or empty.
    """
    if limit is not None and limit < 1:
        msg = f"limit is {limit}; give a whole number above 0"
        raise DatasetError(msg)
    if name == TINYMATH:
        questions = _tinymath(split)
    elif name.startswith(f"{HUB}:"):
        from langchain_tts.evaluation import hub

        questions = hub.load(name)
    else:
        questions = _read(_locate(name))
    return questions if limit is None else _spread(questions, limit)


def dataset_label(name: str, split: str) -> str:
    """What a data set is called in a report: with its split where it has several."""
    return f"{name}/{split}" if name == TINYMATH else name


def question_of(text: object, answer: object, level: object, where: str) -> Question:
    """Make a question of what a data set says.

    Args:
        text: What is asked.
        answer: The right answer. Of a solution as in GSM8K, what follows its `####`.
        level: A whole number, `Level 3` as in MATH, or None.
        where: The place in the data set, for an error.

    Raises:
        DatasetError: If something is missing or no level.
    """
    if text is None or answer is None:
        msg = f"{where} is not a question: it has no text or no answer"
        raise DatasetError(msg)
    try:
        number = None if level is None else int(str(level).removeprefix("Level "))
    except ValueError:
        msg = f"{where} is not a question: its level is {level!r}, not a whole number"
        raise DatasetError(msg) from None
    return Question(str(text), str(answer).rpartition("####")[2].strip(), number)


def _tinymath(split: str) -> list[Question]:
    from langchain_tts.tinymath.generator import SIZES, load_split

    if split not in SIZES:
        msg = f"unknown split {split!r} of tinymath; give one of {', '.join(SIZES)}"
        raise DatasetError(msg)
    return [Question(p.question, p.answer, p.level) for p in load_split(split)]


def _locate(name: str) -> Path:
    if name in FILES:
        folder = os.environ.get(DATA_FOLDER)
        if folder is None:
            msg = (
                f"{name} is not shipped: set {DATA_FOLDER} to the folder that holds "
                f"{FILES[name]}, or give the path of a JSONL file"
            )
            raise DatasetError(msg)
        path = Path(folder) / FILES[name]
    else:
        path = Path(name)
    if path.is_file():
        return path
    if name in FILES or path.suffix:
        msg = f"there is no file {path}; give the path of a JSONL file"
    else:
        names = ", ".join([TINYMATH, *FILES])
        msg = (
            f"unknown data set {name!r}; give one of {names}, a JSONL file, or "
            f"{HUB}:NAME for one in a format of Hugging Face"
        )
    raise DatasetError(msg)


def _read(path: Path) -> list[Question]:
    questions = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                questions.append(_parse(line, f"{path} line {number}"))
    if not questions:
        msg = f"{path} holds no questions"
        raise DatasetError(msg)
    return questions


def _parse(line: str, where: str) -> Question:
    try:
        record = json.loads(line)
        text = record["problem"] if "problem" in record else record["question"]
        answer, level = record["answer"], record.get("level")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = (
            f"{where} is not a question ({type(error).__name__}: {error}); expected "
            "a JSON object with problem, answer and perhaps a whole number as level"
        )
        raise DatasetError(msg) from error
    return question_of(text, answer, level, where)


def _spread(questions: Sequence[Question], limit: int) -> list[Question]:
    """The first questions of every level in turn, so that all levels are there."""
    levels: dict[int | None, list[Question]] = defaultdict(list)
    for question in questions:
        levels[question.level].append(question)
    ordered = sorted(levels, key=lambda level: level or 0)
    turns = zip_longest(*(levels[level] for level in ordered))
    return [q for turn in turns for q in turn if q is not None][:limit]
