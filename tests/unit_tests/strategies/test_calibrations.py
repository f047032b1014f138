from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tts.search.calibration import VERSION, Calibration, bin_of
from langchain_tts.strategies.calibrations import (
    CalibrationError,
    load_calibration,
    read_calibration,
)
from langchain_tts.strategies.parameters import parse_strategy
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

if TYPE_CHECKING:
    from pathlib import Path


def _policy(name: str = "small") -> CountingPolicy:
    return CountingPolicy(name=name)


def _judge(name: str = "judge") -> KnowingPrm:
    prm = KnowingPrm()
    prm.name = name
    return prm


def _written(path: Path, **changed: object) -> Path:
    content: dict[str, Any] = dict.fromkeys(Calibration.__required_keys__, 0)
    content |= {"version": VERSION, "policy": "small", "prm": "judge", **changed}
    file = path / "calibration.json"
    file.write_text(json.dumps(content))
    return file


def test_a_file_of_the_pair_is_read(tmp_path: Path) -> None:
    found = load_calibration(_written(tmp_path), _policy(), _judge())
    assert found is not None
    assert (found["policy"], found["prm"]) == ("small", "judge")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"policy": "large"}, "policy 'large' with verifier 'judge'"),
        ({"prm": "other"}, "policy 'small' with verifier 'other'"),
        ({"prm": None}, "policy 'small' with no verifier"),
    ],
)
def test_a_file_of_another_pair_is_refused_and_the_command_is_said(
    changed: dict[str, str | None], named: str, tmp_path: Path
) -> None:
    with pytest.raises(CalibrationError) as raised:
        load_calibration(_written(tmp_path, **changed), _policy(), _judge())
    text = str(raised.value)
    assert f"is for {named}, not for policy 'small' with verifier 'judge'" in text
    assert "langchain-tts calibrate --policy 'small' --prm 'judge'" in text


def test_without_a_verifier_the_command_says_none(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="--policy 'small' --prm 'none'"):
        load_calibration(_written(tmp_path), _policy(), None)


def test_names_of_one_verifier_are_one(tmp_path: Path) -> None:
    judge = _judge("tinymath-implicit")
    file = _written(tmp_path, prm="tinymath")
    assert load_calibration(file, _policy(), judge) is not None


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"version 0, this package reads \d"):
        load_calibration(_written(tmp_path, version=0), _policy(), _judge())


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', "{}", "null"])
def test_what_is_no_calibration_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(text)
    with pytest.raises(CalibrationError, match="is no calibration"):
        read_calibration(file)


def test_a_file_that_lacks_something_is_refused(tmp_path: Path) -> None:
    file = _written(tmp_path)
    content = json.loads(file.read_text())
    del content["cells"]
    file.write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match="it lacks cells"):
        read_calibration(file)


def test_a_missing_file_is_refused_and_the_command_is_said(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"there is no .* langchain-tts calib"):
        load_calibration(tmp_path / "none.json", _policy(), _judge())


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    file = _written(tmp_path, questions=1)
    assert read_calibration(file)["questions"] == 1
    _written(tmp_path, questions=2)
    os.utime(file, ns=(1, 1))
    assert read_calibration(file)["questions"] == 2


def test_unknown_models_have_no_shipped_calibration() -> None:
    assert load_calibration(None, _policy(), _judge()) is None


def test_the_embedded_models_have_one() -> None:
    found = load_calibration(None, _policy("tinymath"), _judge("tinymath"))
    assert found is not None
    assert found["dataset"].startswith("tinymath")
    assert found["questions"] >= 500
    for n, cells in found["cells"].items():
        edges = found["edges"][n]
        assert edges == sorted(set(edges), reverse=True)
        assert bin_of(0.0, edges) == len(cells)
        assert found["samples"][n] <= int(n)
        for cell in cells:
            parse_strategy(cell["choice"]["strategy"])
            assert cell["interval"][0] <= cell["accuracy"] <= cell["interval"][1]
