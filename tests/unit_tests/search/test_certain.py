from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from langchain_tts.search.certain import (
    before_stop,
    common_start,
    contenders,
    leaves,
)
from langchain_tts.search.state import Candidate

if TYPE_CHECKING:
    from langchain_tts.search.state import Status


def tree(*steps: tuple[int | None, str, Status]) -> list[Candidate]:
    return [
        Candidate(
            id=place,
            parent=parent,
            depth=1,
            seed=place,
            text=text,
            token_ids=[],
            logprob=0.0,
            score=None,
            status=status,
            finish_reason="step",
        )
        for place, (parent, text, status) in enumerate(steps)
    ]


def test_before_the_first_round_nothing_can_be_the_answer() -> None:
    assert contenders([], None, []) == []


def test_first_steps_can_all_become_the_answer_but_lost_ones() -> None:
    grown = tree((None, "a", "active"), (None, "", "failed"), (None, "b", "truncated"))
    assert contenders(grown, None, [0, 1, 2]) == [0, 2]


def test_what_was_pruned_cannot() -> None:
    grown = tree((None, "a", "active"), (None, "b", "pruned"))
    assert contenders(grown, [0], [0, 1]) == [0]


def test_what_was_cut_cannot_once_an_answer_is_final() -> None:
    grown = tree(
        (None, "a", "active"), (None, "b", "truncated"), (None, "c", "finished")
    )
    assert contenders(grown, [0], [0, 1, 2]) == [2, 0]


def test_an_answer_that_may_be_pruned_rules_out_nothing() -> None:
    grown = tree(
        (None, "a", "active"), (None, "b", "truncated"), (None, "c", "finished")
    )
    assert contenders(grown, None, [0, 1, 2]) == [2, 0, 1]


def test_an_earlier_answer_is_final_while_the_next_round_is_judged() -> None:
    grown = tree(
        (None, "a", "active"),
        (None, "b", "truncated"),
        (None, "c", "finished"),
        (0, "d", "active"),
        (0, "e", "truncated"),
        (0, "f", "finished"),
    )
    assert contenders(grown, [0], [3, 4, 5]) == [2, 5, 3]


def test_a_step_whose_next_steps_were_all_lost_is_only_a_last_resort() -> None:
    steps: list[tuple[int | None, str, Status]] = [
        (None, "a", "active"),
        (None, "b", "active"),
        (0, "", "failed"),
        (1, "c", "active"),
    ]
    assert contenders(tree(*steps), [3], [2, 3]) == [0, 3]
    steps.append((1, "d", "finished"))
    assert contenders(tree(*steps), [3], [2, 3, 4]) == [4, 3]


def test_when_the_search_has_stopped_only_answers_can_win() -> None:
    grown = tree((None, "a", "active"), (None, "c", "finished"))
    assert contenders(grown, [0], [0, 1], stopped=True) == [1]
    assert contenders(tree((None, "a", "active")), [0], [], stopped=True) == [0]


def test_leaves_are_what_nothing_with_text_continues() -> None:
    grown = tree(
        (None, "a", "active"),
        (0, "", "pruned"),
        (None, "b", "active"),
        (2, "c", "rollout"),
        (None, "d", "active"),
        (4, "e", "pruned"),
        (None, "f", "finished"),
    )
    assert leaves(grown) == [0, 2]


@pytest.mark.parametrize(
    ("texts", "start"),
    [
        ([], ""),
        (["abc"], "abc"),
        (["abc", "abd", "abcd"], "ab"),
        (["b", "a"], ""),
        (["a", ""], ""),
        (["x\n\ny", "x\n\ny"], "x\n\ny"),
        (["x\n\ny", "x\nz"], "x\n"),
    ],
)
def test_the_common_start(texts: list[str], start: str) -> None:
    assert common_start(texts) == start


@pytest.mark.parametrize(
    ("text", "stop", "done", "going_on"),
    [
        ("abc", None, "abc", "abc"),
        ("abc", [], "abc", "abc"),
        ("abc", [""], "abc", "abc"),
        ("abc", ["b"], "a", "a"),
        ("abc", ["cd"], "abc", "ab"),
        ("aab", ["aabc", "b"], "aa", ""),
        ("abab", ["ababc", "abx"], "abab", ""),
        ("xaa", ["aaa"], "xaa", "x"),
        ("abc", ["c", "a"], "", ""),
    ],
)
def test_text_before_a_stop_sequence(
    text: str, stop: list[str] | None, done: str, going_on: str
) -> None:
    assert before_stop(text, stop) == done
    assert before_stop(text, stop, more=True) == going_on


def test_what_is_not_held_back_stays_whatever_follows_and_no_more_is_held() -> None:
    words = ["".join(w) for n in range(5) for w in itertools.product("ab", repeat=n)]
    for first, second in [("ab", "ba"), ("aab", "b"), ("aba", "abb"), ("a", "bab")]:
        stop = [first, second]
        for text in words:
            possible = [before_stop(text + more, stop) for more in words]
            sure = before_stop(text, stop, more=True)
            assert sure == common_start([before_stop(text, stop), *possible])
