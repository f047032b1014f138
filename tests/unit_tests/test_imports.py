from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_tts

ENGINES = {"torch", "transformers", "vllm"}
EXTRAS = {"datasets", "matplotlib", "ray", "z3"}


def _loaded(code: str) -> set[str]:
    code += "; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_no_engine_and_no_graph() -> None:
    heavy = ENGINES | EXTRAS | {"langgraph", "langchain_core"}
    assert not heavy & _loaded("import langchain_tts")


def test_importing_the_chat_model_loads_no_engine() -> None:
    assert not (ENGINES | EXTRAS) & _loaded("from langchain_tts import TTSChatModel")


def test_making_a_chat_model_loads_no_engine() -> None:
    code = "from langchain_tts import TTSChatModel; TTSChatModel()"
    assert not (ENGINES | EXTRAS) & _loaded(code)


def test_the_command_lines_help_loads_no_engine_and_no_graph() -> None:
    code = (
        "import contextlib; from langchain_tts.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "pass"
    )
    assert not (ENGINES | EXTRAS | {"langgraph", "rich"}) & _loaded(code)


@pytest.mark.parametrize("name", langchain_tts.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(langchain_tts, name) is not None
    assert name in dir(langchain_tts)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = langchain_tts.Nothing
