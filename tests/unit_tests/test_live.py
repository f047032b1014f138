from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from langchain_tts._branches import fold
from langchain_tts._live import plain, save_svg, show
from langchain_tts._picture import Frame, render
from langchain_tts.budget import Budget
from langchain_tts.search.state import (
    Candidate,
    FinalCandidate,
    Outcome,
    SearchResult,
    Status,
    path,
)
from langchain_tts.strategies.state import SearchState

FRAME = Frame("What is (12+7)*3?", "beam_search", Budget(6, tokens=400))


def _step(
    candidate_id: int,
    parent: int | None,
    text: str,
    score: float | None,
    status: Status,
) -> Candidate:
    return Candidate(
        id=candidate_id,
        parent=parent,
        seed=0,
        depth=1 if parent is None else 2,
        text=text,
        token_ids=[1],
        logprob=-1.0,
        score=score,
        status=status,
        finish_reason="step",
    )


TREE = [
    _step(0, None, "12+7=19", 0.9, "active"),
    _step(1, None, "12+7=19", 0.9, "pruned"),
    _step(2, None, "12+7=18", 0.1, "pruned"),
    _step(3, 0, r"Answer: \boxed{57}", 0.8, "finished"),
    _step(4, 0, r"Answer: \boxed{57}", 0.8, "finished"),
    _step(5, 0, r"Answer: \boxed{56}", 0.2, "finished"),
]


def _final(candidate_id: int, answer: str) -> FinalCandidate:
    steps = path(TREE, candidate_id)
    return FinalCandidate(
        id=candidate_id,
        text="\n\n".join(step["text"] for step in steps),
        answer=answer,
        step_scores=[step["score"] or 0.0 for step in steps],
        score=steps[-1]["score"],
        logprob=-2.0,
        status="finished",
    )


RESULT = SearchResult(
    answer="57",
    text="12+7=19\n\nAnswer: \\boxed{57}",
    strategy="beam_search",
    budget=Budget(6, tokens=400).to_dict(),
    spent={"samples": 3, "generated_tokens": 60},
    seconds=1.25,
    stop_reason="finished",
    seed=7,
    score="last",
    vote="vote",
    candidates=[_final(3, "57"), _final(4, "57"), _final(5, "56")],
    votes=[
        {"answer": "57", "count": 2, "weight": 1.6},
        {"answer": "56", "count": 1, "weight": 0.2},
    ],
    table=[],
    tree=TREE,
    degradations=[],
)
FIRST = SearchState(tree=[], spent={}, round=0)
MIDDLE = SearchState(
    tree=TREE[:3],
    frontier=[0],
    round=1,
    spent={"samples": 3, "generated_tokens": 30},
)
OUTCOME = cast("Outcome", {k: v for k, v in RESULT.items() if k != "tree"})
LAST = SearchState(tree=TREE, seed=7, round=2, spent=RESULT["spent"], result=OUTCOME)


def _drawn(snapshot: SearchState, *, width: int = 90, max_lines: int = 28) -> list[str]:
    console = Console(file=StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(render(snapshot, FRAME, max_lines=max_lines))
    return capture.get().splitlines()


def _line(lines: list[str], text: str) -> str:
    return next(line for line in lines if text in line)


def test_equal_steps_are_one_branch_with_their_number_and_best_score() -> None:
    root, left_out = fold(TREE, None, max_lines=10)
    assert left_out == 0
    assert list(root.children) == ["12+7=19", "12+7=18"]
    first = root.children["12+7=19"]
    assert (first.count, first.score, first.alive) == (2, 0.9, True)
    assert [(b.text, b.count) for b in first.ordered()] == [
        (r"Answer: \boxed{57}", 2),
        (r"Answer: \boxed{56}", 1),
    ]


def test_what_does_not_fit_is_left_out_from_the_least_interesting_on() -> None:
    root, left_out = fold(TREE, RESULT, max_lines=2)
    assert left_out == 2
    shown = root.ordered()
    assert [branch.text for branch in shown] == ["12+7=19"]
    assert [branch.text for branch in shown[0].ordered()] == [r"Answer: \boxed{57}"]
    assert shown[0].hidden() == 1


def test_the_picture_shows_steps_scores_fates_votes_budget_and_answer() -> None:
    lines = _drawn(LAST)
    assert "beam_search · N 6 · tokens 400" in lines[0]
    assert "What is (12+7)*3?" in lines[2]
    assert {"0.90", "×2"} <= set(_line(lines, "12+7=19").split())
    assert "pruned" in _line(lines, "12+7=18")
    assert "★ chosen" in _line(lines, r"\boxed{57}")
    assert "✔ finished" in _line(lines, r"\boxed{56}")
    vote = _line(lines, "1.60").split()
    assert vote[vote.index("57") + 2] == "1.60"
    assert "3 of 6" in _line(lines, "samples")
    assert "60 of 400" in _line(lines, "tokens  ")
    assert "57" in _line(lines, "answer  ")
    assert "seed 7 · round 2 · 1.2 s" in lines[-1]


def test_a_running_search_has_no_answer_yet() -> None:
    text = "\n".join(_drawn(MIDDLE))
    assert "thinking" in text
    assert "answer" not in text


def test_the_first_picture_stands_before_any_step() -> None:
    assert "first step" in "\n".join(_drawn(FIRST))


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = SearchState(tree=[_step(0, None, "x " * 400, 0.5, "pruned")])
    for snapshot in (FIRST, MIDDLE, LAST, long):
        assert {len(line) for line in _drawn(snapshot, width=width)} == {width}


def test_control_characters_of_a_policy_never_reach_the_terminal() -> None:
    nasty = SearchState(tree=[_step(0, None, "1\x1b[2J+\x07 1", 0.5, "active")])
    assert "1\ufffd[2J+\ufffd 1" in "\n".join(_drawn(nasty))


def test_degradations_and_a_spent_budget_are_said() -> None:
    result = RESULT.copy()
    result["stop_reason"] = "tokens"
    snapshot = LAST.copy()
    snapshot.update({"result": result, "degradations": ["the PRM was lost"]})
    lines = _drawn(snapshot)
    assert _line(lines, "! the PRM was lost")
    assert "stopped by tokens" in lines[-1]


def test_plain_line() -> None:
    assert plain(MIDDLE) == (
        "round 1, 3 steps, 1 live, 0 finished, 2 pruned, 30 tokens, best score 0.90"
    )


def test_without_a_terminal_there_are_plain_lines_and_the_result() -> None:
    console = Console(file=StringIO(), width=80, force_terminal=False)
    with console.capture() as capture:
        result = show([FIRST, MIDDLE, LAST], FRAME, console)
    assert result == RESULT
    lines = capture.get().splitlines()
    assert lines[0] == "beam_search, N 6 · tokens 400"
    assert lines[1] == plain(MIDDLE)
    assert lines[2] == plain(LAST)
    assert "\x1b" not in capture.get()


def test_on_a_terminal_the_last_picture_stays() -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True)
    with console.capture() as capture:
        assert show([FIRST, LAST], FRAME, console) == RESULT
    assert "★ chosen" in capture.get()


def test_a_search_without_a_result_is_an_error() -> None:
    with pytest.raises(ValueError, match="ended without a result"):
        show([MIDDLE], FRAME, Console(file=StringIO()))


def test_a_saved_picture_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "search.svg"
    save_svg(RESULT, FRAME, path)
    svg = path.read_text()
    assert "chosen" in svg
    assert "url(http" not in svg
    assert "@font-face" not in svg
