from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_tts


def _loaded(code: str) -> set[str]:
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_no_engine_and_no_graph() -> None:
    heavy = {"torch", "transformers", "vllm", "langgraph", "langchain_core"}
    assert not heavy & _loaded("import langchain_tts")


def test_importing_the_chat_model_loads_no_engine() -> None:
    heavy = {"torch", "transformers", "vllm"}
    assert not heavy & _loaded("from langchain_tts import TTSChatModel")


def test_making_a_chat_model_loads_no_engine() -> None:
    code = "from langchain_tts import TTSChatModel; TTSChatModel()"
    assert not {"torch", "transformers", "vllm"} & _loaded(code)


def test_the_command_lines_help_loads_no_engine_and_no_graph() -> None:
    code = (
        "import contextlib; from langchain_tts.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "pass"
    )
    assert not {"torch", "transformers", "langgraph", "rich"} & _loaded(code)


@pytest.mark.parametrize("name", langchain_tts.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(langchain_tts, name) is not None
    assert name in dir(langchain_tts)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = langchain_tts.Nothing
