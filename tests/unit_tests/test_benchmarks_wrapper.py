"""The benchmark of the chat model's own cost, on the smallest scale."""

from __future__ import annotations

import pytest

from benchmarks.wrapper import measure


@pytest.mark.parametrize("asynchronous", [False, True])
def test_both_ways_are_measured_and_told_apart(*, asynchronous: bool) -> None:
    seconds = measure("best_of_n", 64, asynchronous=asynchronous, repetitions=3)
    assert 0 < seconds.langchain < seconds.chat_model
    # 64 candidates become 64 generations, whatever else the machine does.
    assert seconds.cpu > 0
