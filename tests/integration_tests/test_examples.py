"""The examples and the pages with code, run as a reader would."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from langchain_tts import TTSChatModel, get_strategy
from langchain_tts._names import ModelName, parse_name
from langchain_tts.engines.server import ServerPool
from langchain_tts.policies.families import FAMILIES
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.policies.vllm import VLLMPolicy
from langchain_tts.rewards.formats import read_config
from langchain_tts.rewards.formats.registry import known_formats
from langchain_tts.rewards.server import ServerReader
from langchain_tts.rewards.vllm import VLLMReader

ROOT = Path(__file__).parents[2]
REAL_MODELS = (ROOT / "examples" / "real_models.md").read_text(encoding="utf-8")
LANGCHAIN = (ROOT / "docs" / "langchain.md").read_text(encoding="utf-8")


def _printed(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_answers_right_by_searching() -> None:
    plain, searched = _printed("quickstart").split("With a search:")
    assert r"Answer: \boxed{454}" in plain
    assert r"Answer: \boxed{404}" in searched
    assert "The answer alone: 404" in searched
    assert "Spent: 16 candidates" in searched


def test_lcel_chain_runs_four_chains() -> None:
    printed = _printed("lcel_chain")
    assert r"Answer: \boxed{89}" in printed
    assert "{'greedy': '454', 'vote': '454', 'search': '404'}" in printed
    assert re.search(r"1\d of 16 right", printed)
    assert "48+19 = 67 (all but certain)" in printed
    assert "(20+63)*4+65+85-78 = 404 (searched)" in printed


def test_structured_output_gives_objects() -> None:
    printed = _printed("structured_output")
    assert "Calculation(expression='12*7')  What is 12*7+5?" in printed
    assert "so it is Calculation(expression='48-19')" in printed
    sums = re.findall(r"^ +(\d+)\*(\d+) = (\d+)$", printed, re.MULTILINE)
    assert len(sums) == 3
    assert all(int(a) * int(b) == int(c) for a, b, c in sums)


def test_budgets_are_kept_and_told() -> None:
    printed = _printed("budgets")
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in printed.splitlines()
        if line.startswith("│")
    ]
    table = {row[0]: row[1:] for row in rows}
    assert table["as it is"][:3] == ["beam_search", "404 *", "16"]
    assert table['strategy="greedy"'][:3] == ["greedy", "454", "1"]
    assert table["budget=4"][2] == "4"
    assert int(table["tokens=300"][3]) <= 300
    assert int(table["flops=3e8"][4].replace(",", "")) <= 300
    assert "best_of_n {'samples': 4" in printed


def test_the_tool_route_states_problems_for_a_solver() -> None:
    printed = _printed("tool_route")
    assert "-> solve, because it was measured to be the best open one" in printed
    assert "-> solve, because solve and calculate found the same answer" in printed
    assert r"Answer: \boxed{230}" in printed
    assert "By hand: 7" in printed


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "code", _blocks(LANGCHAIN, "python"), ids=lambda code: code.splitlines()[0]
)
def test_the_page_for_langchain_users_runs(
    code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code, "docs/langchain.md", "exec"), {"__name__": "page"})  # noqa: S102
    assert capsys.readouterr().out


def test_the_page_names_every_setting_of_a_call() -> None:
    named = LANGCHAIN.partition("They may be ")[2].partition(";")[0]
    assert set(re.findall(r"`(\w+)`", named)) == set(TTSChatModel.settings)


def _models() -> list[TTSChatModel]:
    """All models that the page makes; none of them is loaded."""
    found: list[TTSChatModel] = []
    for code in _blocks(REAL_MODELS, "python"):
        names: dict[str, Any] = {}
        exec(compile(code, "examples/real_models.md", "exec"), names)  # noqa: S102
        found += [one for one in names.values() if isinstance(one, TTSChatModel)]
    return found


def _options(*functions: Callable[..., Any]) -> set[str]:
    parameters = [inspect.signature(one).parameters.values() for one in functions]
    return {
        one.name for some in parameters for one in some if one.kind is one.KEYWORD_ONLY
    }


def _engine_options() -> set[str]:
    from vllm.engine.arg_utils import AsyncEngineArgs

    return {field.name for field in fields(AsyncEngineArgs)} - {"model", "runner"}


def _check(name: ModelName, known: set[str]) -> None:
    assert set(name.options) <= known, name
    assert name.source


def test_every_policy_of_the_page_on_real_models_could_be_opened() -> None:
    models = _models()
    assert len(models) == 8
    known = {
        "vllm": _options(VLLMPolicy) | _engine_options(),
        "http": _options(ServerPolicy),
    }
    for model in models:
        assert isinstance(model.policy, str)
        name = parse_name(model.policy)
        _check(name, known[name.backend])
        parser = name.options.get("tool_call_parser", "hermes")
        assert parser in {family.tool_call_parser for family in FAMILIES.values()}
        verifier = get_strategy(model.strategy).verifier
        assert model.prm is not None or verifier == "none"


def _verifiers() -> list[str]:
    named = [model.prm for model in _models() if isinstance(model.prm, str)]
    in_table = re.findall(r"^\| [^|]+ \| `(vllm:[^`]+)` \|", REAL_MODELS, re.MULTILINE)
    assert len(in_table) == 8
    return [*named, *in_table]


def test_every_verifier_of_the_page_could_be_opened() -> None:
    known = {
        "vllm": _options(VLLMReader) | _engine_options() | {"format"},
        "http": _options(ServerReader, ServerPool) | {"format"},
    }
    for verifier in _verifiers():
        name = parse_name(verifier)
        _check(name, known[name.backend])
        if "format" in name.options:
            assert name.options["format"] in known_formats()
        elif name.backend == "vllm":
            assert read_config(name.source)["format"] in known_formats()


def test_the_formats_of_the_table_are_those_that_the_names_tell() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| `(vllm:[^`]+)` \| `([^`]+)` \|", REAL_MODELS, re.MULTILINE
    )
    for name, named in rows:
        assert read_config(parse_name(name).source)["format"] == named


def _commands() -> list[list[str]]:
    lines = [
        line for code in _blocks(REAL_MODELS, "bash") for line in code.splitlines()
    ]
    words = [shlex.split(line) for line in lines]
    return [line[line.index("serve") + 1 :] for line in words if "serve" in line]


def test_every_server_of_the_page_has_flags_that_vllm_knows() -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())
    commands = _commands()
    assert len(commands) == 13
    for command in commands:
        read = parser.parse_args(command)
        assert read.model_tag == command[0]
        assert read.port in range(8000, 8004)


def test_every_json_of_the_commands_is_one() -> None:
    texts = [word for line in _commands() for word in line if word.startswith("{")]
    assert texts
    assert all(isinstance(json.loads(text), dict) for text in texts)


def test_the_memory_of_the_table_follows_from_the_parameters() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| ([\d.]+) B \| ([\d.]+) \| (\d+) \| ([\d.]+) \|$",
        REAL_MODELS,
        re.MULTILINE,
    )
    assert len(rows) == 8
    for billions, weights, cache, search in rows:
        # Two bytes a parameter; 64 candidates of 1,000 tokens.
        assert 2e9 * float(billions) / 2**30 == pytest.approx(float(weights), abs=0.08)
        assert 64_000 * int(cache) / 2**20 == pytest.approx(float(search), abs=0.06)
