"""Data sets in Hugging Face's formats, loaded by its package `datasets`.

`hf:NAME?split=test&question=problem&answer=answer&level=level`, where NAME is a data
set of the Hub or a folder, e.g. `hf:openai/gsm8k?config=main`. Code that comes with a
data set is never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_tts._names import parse_name
from langchain_tts.evaluation.datasets import DatasetError, Question, question_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = {
    "split": "test",
    "config": None,
    "revision": None,
    "question": None,
    "answer": "answer",
    "level": None,
}
"""What can be said of a data set, and what holds where it is not."""


def load(name: str) -> list[Question]:
    """Load a data set.

    Args:
        name: `hf:NAME`, with options: `split` (test), `config` and `revision` as the
            Hub calls them, and the columns `question` (problem or question), `answer`
            (answer) and `level` (level, if there is one; empty for none).

    Raises:
        DatasetError: If it cannot be loaded, or has no such column.
    """
    parsed = parse_name(name)
    unknown = parsed.options.keys() - _OPTIONS.keys()
    if unknown or not parsed.source:
        msg = (
            f"cannot read {name!r}; write hf:NAME?option=value&option=value with the "
            f"options {', '.join(_OPTIONS)}"
        )
        raise DatasetError(msg)
    given = {key: str(value) for key, value in parsed.options.items()}
    options = {**_OPTIONS, **given}
    found = _fetched(name, parsed.source, options)
    text, answer, level = _columns(name, found.column_names, options)
    used = [column for column in (text, answer, level) if column]
    questions = [
        question_of(
            row[text],
            row[answer],
            row[level] if level else None,
            f"{name} row {number}",
        )
        for number, row in enumerate(found.select_columns(used))
    ]
    if not questions:
        msg = f"{name} holds no questions"
        raise DatasetError(msg)
    return questions


def _fetched(name: str, source: str, options: Mapping[str, str | None]) -> Any:
    try:
        import datasets
    except ImportError as error:
        msg = (
            f"{name} is loaded by the package datasets, which is not installed: "
            'pip install "langchain-tts[datasets]"'
        )
        raise DatasetError(msg) from error
    try:
        return datasets.load_dataset(
            source,
            name=options["config"],
            split=options["split"],
            revision=options["revision"],
        )
    except Exception as error:
        # Of many types, from missing folders to refused connections.
        msg = f"cannot load {name}: {type(error).__name__}: {error}"
        raise DatasetError(msg) from error


def _columns(
    name: str, columns: list[str], options: Mapping[str, str | None]
) -> tuple[str, str, str | None]:
    """The columns of the question, the answer and the level."""
    usual = "problem" if "problem" in columns else "question"
    text, answer = options["question"] or usual, options["answer"] or "answer"
    level = options["level"]
    if level is None:
        level = "level" if "level" in columns else ""
    for column in filter(None, (text, answer, level)):
        if column not in columns:
            msg = (
                f"{name} has no column {column!r} but {', '.join(columns)}; say which "
                "to use, e.g. ?question=problem&answer=solution&level="
            )
            raise DatasetError(msg)
    return text, answer, level or None
