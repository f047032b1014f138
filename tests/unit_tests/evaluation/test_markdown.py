from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_tts._markdown import DocumentError
from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.markdown import (
    check_document,
    markdown,
    write_document,
)
from langchain_tts.evaluation.sweep import Report, sweep
from langchain_tts.strategies.context import SearchContext
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = [
    Question("What is 6*7?", "42", 1),
    Question("What is 7*6?", "42", 1),
    Question("What is 40+1?", "41", 2),
]


@pytest.fixture(scope="module")
def report() -> Report:
    return sweep(
        QUESTIONS,
        strategies=["greedy", "best_of_n", "beam_search"],
        budgets=[4, 16],
        context=SearchContext(policy=CountingPolicy(), prm=KnowingPrm()),
    )


def _markdown(report: Report) -> str:
    return markdown(
        report, title="sums", command="langchain-tts eval", score="last", vote="max"
    )


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_a_row_for_each_strategy_and_budget(report: Report) -> None:
    head, rule, *rows = _rows(_markdown(report))
    assert head == [
        "strategy",
        "N",
        "answer by",
        "all",
        "level 1",
        "level 2",
        "pass@N",
        "samples",
        "tokens",
    ]
    assert set(rule) == {"---"}
    assert [row[:3] for row in rows] == [
        ["`greedy`", "4", "majority"],
        ["`best_of_n`", "4", "last-max"],
        ["`best_of_n`", "16", "last-max"],
        ["`beam_search`", "4", "last-max"],
        ["`beam_search`", "16", "last-max"],
    ]
    # The verifier prefers 42, which is wrong at level 2. An answer has 3 steps of 2
    # tokens, and 16 samples hold both answers.
    assert rows[2][3:] == [
        "66.7 ± 27.2",
        "100.0 ± 0.0",
        "0.0 ± 0.0",
        "100.0 ± 0.0",
        "16.0",
        "96",
    ]


def test_what_was_not_measured_is_a_dash(report: Report) -> None:
    _, _, _, small, _, beam, _ = _rows(_markdown(report))
    # Four samples of 3 steps of 2 tokens, read off sixteen.
    assert small[-2:] == ["4.0", "24"]
    assert beam[-3] == "–"
    assert beam[-2] == "4.0"


def test_the_text_tells_the_command_the_questions_the_seed_and_the_losses(
    report: Report,
) -> None:
    assert "```bash\nlangchain-tts eval\n```" in _markdown(report)
    caption = "sums: 3 questions, seed 0, accuracy in % ± one standard error."
    assert caption in _markdown(report)
    failure = {"strategy": "dvts", "budget": 4, "question": "?", "error": "OSError: x"}
    text = _markdown({**report, "failures": [failure]})  # type: ignore[list-item]
    assert text.endswith(
        "dvts, N = 4: 1 of 3 searches failed and count as wrong; the first: OSError: x"
    )


def test_a_new_file_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "new.md"
    check_document(path)
    write_document(path, "first")
    assert path.read_text() == "<!-- eval: begin -->\n\nfirst\n\n<!-- eval: end -->\n"
    check_document(path)
    write_document(path, "second")
    assert path.read_text() == "<!-- eval: begin -->\n\nsecond\n\n<!-- eval: end -->\n"


def test_only_the_marked_part_of_a_document_changes(tmp_path: Path) -> None:
    path = tmp_path / "known.md"
    path.write_text(
        "# Title\n\n<!-- eval: begin -->\nold\n<!-- eval: end -->\n\nmore ±\n",
        encoding="utf-8",
    )
    write_document(path, "new ±")
    expected = (
        "# Title\n\n<!-- eval: begin -->\n\nnew ±\n\n<!-- eval: end -->\n\nmore ±\n"
    )
    assert path.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    "content",
    ["no marks", "<!-- eval: begin -->", "<!-- eval: end --><!-- eval: begin -->"],
)
def test_a_document_without_marks_is_refused_and_left_alone(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "plain.md"
    path.write_text(content)
    for refused in (check_document, lambda path: write_document(path, "new")):
        with pytest.raises(DocumentError, match="has no part between"):
            refused(path)
    assert path.read_text() == content


def test_a_missing_folder_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="there is no folder"):
        check_document(tmp_path / "none" / "table.md")
