from __future__ import annotations

import pytest

from langchain_tts.strategies import _tries


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time between the tries of a failed call."""
    monkeypatch.setattr(_tries, "FIRST_WAIT", 0.0)
