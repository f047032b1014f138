"""What prompts share is read once before them."""

from __future__ import annotations

from langchain_tts.rewards.roots import Roots


def test_a_question_is_to_be_read_before_its_first_steps_only() -> None:
    roots = Roots()
    assert roots.unread([[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3]]) == [1, 2, 3]
    assert roots.unread([[1, 2, 3, 4, 6], [1, 2, 3, 4, 7]]) == []
    assert roots.unread([[1, 2, 9], [1, 2, 8]]) == [1, 2]


def test_one_prompt_and_prompts_without_anything_in_common_are_read_at_once() -> None:
    roots = Roots()
    assert roots.unread([[1, 2, 3]]) == []
    assert roots.unread([[1, 2], [2, 1]]) == []
    assert roots.unread([]) == []


def test_the_question_that_was_not_seen_for_longest_is_forgotten() -> None:
    roots = Roots()
    assert roots.unread([[0, 1, 2], [0, 1, 3]]) == [0, 1]
    assert roots.unread([[1, 1, 2], [1, 1, 3]]) == [1, 1]
    for question in range(2, 1025):
        assert roots.unread([[question, 1, 2], [question, 1, 3]]) == [question, 1]
        assert roots.unread([[0, 1, 2], [0, 1, 3]]) == []
    assert roots.unread([[1, 1, 2], [1, 1, 3]]) == [1, 1]
