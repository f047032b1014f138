from __future__ import annotations

import pytest

from langchain_tts.strategies import _tries


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tries of a failed call, without the time between them."""
    monkeypatch.setattr(_tries, "RETRY_WAITS", (0.0, 0.0))
