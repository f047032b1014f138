"""Tails of prefixes: found by what stands before them, forgotten when unused."""

from __future__ import annotations

from langchain_tts.engines.tails import Match, TailIndex


def test_the_tail_with_most_in_common_is_found() -> None:
    index = TailIndex(4)
    assert index.add("a", [1, 2, 3]) == 0
    assert index.add("a", [1, 2, 4, 5]) == 1
    assert index.add("b", [1, 2, 4, 5]) == 2
    assert index.find("a", [1, 2, 4, 5, 6]) == Match(tokens=4, slot=1)
    assert index.find("a", [1, 2, 3, 9]) == Match(tokens=3, slot=0)
    assert index.find("b", [1, 7]) == Match(tokens=1, slot=2)


def test_nothing_is_found_where_nothing_is_alike() -> None:
    index = TailIndex(4)
    index.add(None, [1, 2])
    assert index.find(None, [2, 1]) is None
    assert index.find(None, []) is None
    assert index.find("a", [1, 2]) is None


def test_a_tail_is_kept_once() -> None:
    index = TailIndex(4)
    assert index.add("a", [1]) == 0
    assert index.add("a", [1]) is None
    assert index.add("a", [1, 2]) == 1


def test_the_tail_that_was_not_used_for_longest_makes_room() -> None:
    index = TailIndex(2)
    index.add("a", [1])
    index.add("b", [2])
    index.use(0)
    assert index.add("c", [3]) == 1
    assert index.find("b", [2]) is None
    assert index.find("a", [1]) == Match(1, 0)
    # To be asked for again is to be used.
    index.add("a", [1])
    assert index.add("d", [4]) == 1
    assert index.find("c", [3]) is None


def test_all_is_forgotten_at_once() -> None:
    index = TailIndex(2)
    index.add("a", [1])
    index.clear()
    assert index.find("a", [1]) is None
    assert index.add("b", [2]) == 0
