from __future__ import annotations

import pytest

from langchain_tts.cli import main


def solved(*options: str) -> int:
    return main(["solve", "What is 1+1?", "--quiet", "--budget", "2", *options])


def test_a_parameter_of_the_search_is_set_by_name() -> None:
    assert solved("--set", "beam_width=2", "--set", "temperature=0.5") == 0
    assert solved("--set", "max_tokens=64", "--set", "lockstep=true") == 0


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("beam_width=wide", "beam_width is 'wide'; give a whole number"),
        ("temperature=warm", "temperature is 'warm'; give a number"),
        ("lockstep=maybe", "lockstep is 'maybe'; it is true or false"),
        ("vote=loud", "vote is 'loud'; it is one of majority, max, vote"),
        ("lookahead=-1", "lookahead is -1; give a whole number of at least 0"),
        ("width=4", "unknown parameter 'width=4'; give NAME=VALUE with one of"),
        ("beam_width", "beam_width is ''; give a whole number"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line(
    pair: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert solved("--set", pair) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
