"""What a name with options says of a server."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_tts.rewards import served


def test_only_options_of_the_connection_reach_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[dict[str, Any]] = []
    monkeypatch.setattr(
        served, "ServerPool", lambda _urls, **given: opened.append(given)
    )
    answer = served.Served("name", "root", None)
    monkeypatch.setattr(served, "ask_served", lambda _pool, _model: answer)
    options = {"style": "thinkprm", "critiques": 4, "model": "name", "retries": 0}
    assert served.served_source(["http://127.0.0.1:9/v1"], options) == "root"
    assert opened == [{"retries": 0}]
