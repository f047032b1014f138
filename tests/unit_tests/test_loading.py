from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_tts._loading import Loading


class Engine:
    """Takes until it is let go, and fails the first time."""

    def __init__(self) -> None:
        self.starts = 0
        self.begun = threading.Event()
        self.go = threading.Event()

    def load(self) -> str:
        self.starts += 1
        self.begun.set()
        self.go.wait(10)
        if self.starts == 1:
            msg = "no memory"
            raise MemoryError(msg)
        return "model"


def test_who_waits_for_a_load_that_fails_gets_its_error() -> None:
    loading, engine, loaded = Loading(), Engine(), dict[str, str]()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(loading.get, loaded, "m", engine.load)
        engine.begun.wait(10)
        waiting = [threads.submit(loading.get, loaded, "m", engine.load) for _ in "123"]
        # They have to wait at the lock before it fails.
        time.sleep(0.3)
        engine.go.set()
        for one in (first, *waiting):
            with pytest.raises(MemoryError, match="no memory"):
                one.result()
    assert engine.starts == 1
    assert loading.get(loaded, "m", engine.load) == "model"
    assert loading.get(loaded, "m", engine.load) == "model"
    assert engine.starts == 2


def test_one_failure_is_nothing_to_another_model() -> None:
    loading, loaded = Loading(), dict[str, int]()
    with pytest.raises(ZeroDivisionError):
        loading.get(loaded, "a", lambda: 1 // 0)
    assert loading.get(loaded, "b", lambda: 7) == 7
