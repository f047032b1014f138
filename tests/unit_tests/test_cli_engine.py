from __future__ import annotations

import sys

import pytest

from langchain_tts.cli import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "2"], "of workers on Ray; add --engine ray"),
        (["--worker-gpus", "1"], "of workers on Ray; add --engine ray"),
        (["--engine", "ray", "--workers", "0"], "--workers is 0; give a whole number"),
        (["--engine", "ray", "--worker-gpus", "-1"], "--worker-gpus is -1.0; give"),
        (["--engine", "ray", "--worker-gpus", "nan"], "--worker-gpus is nan; give"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--limit", "1", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_ray_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert main(["eval", "--limit", "1", "--engine", "ray"]) == 2
    error = capsys.readouterr().err
    assert (
        'needs ray, which is not installed; run: pip install "langchain-tts[ray]"'
        in error
    )
    assert error.count("\n") == 1
