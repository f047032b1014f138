"""docs/real_runs.md: its commands are ones, and its sums are right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from langchain_tts._cli_context import search_context
from langchain_tts._names import parse_name
from langchain_tts.cli import _parser
from langchain_tts.rewards.formats import read_config
from langchain_tts.rewards.formats.registry import known_formats
from langchain_tts.strategies.parameters import parse_strategy

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "real_runs.md").read_text(encoding="utf-8")
REAL_MODELS = (ROOT / "examples" / "real_models.md").read_text(encoding="utf-8")


def _lines(page: str, word: str) -> list[list[str]]:
    """The commands of a page's shell blocks that have a word."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line) for code in blocks for line in code.splitlines()]
    return [line[line.index(word) + 1 :] for line in lines if word in line]


COMMANDS = _lines(PAGE, "langchain-tts")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[-1])
def test_every_command_is_one(words: list[str]) -> None:
    arguments = _parser().parse_args(words)
    assert re.fullmatch(r"\d+(,\d+)*", arguments.budgets)
    for text in arguments.strategies.split(","):
        name, parameters = parse_strategy(text)
        assert name in {
            *("greedy", "majority_vote", "best_of_n", "beam_search", "dvts"),
        }
        assert parameters in ({}, {"beam_width": 4}, {"beam_width": 8})
    assert search_context(arguments, budget=4).policy == arguments.policy
    for model in (arguments.policy, arguments.prm):
        if model != "none":
            assert parse_name(model).backend in {"vllm", "http"}


def test_there_are_commands_for_every_way_and_each_has_a_run_of_its_own() -> None:
    assert len(COMMANDS) == 13
    places = [words[words.index("--out") + 1] for words in COMMANDS]
    assert len(set(places)) == len(places)


def test_every_verifier_is_one_whose_format_is_known() -> None:
    named = {words[words.index("--prm") + 1] for words in COMMANDS}
    in_process = {parse_name(one).source for one in named if one.startswith("vllm:")}
    assert len(in_process) == 3
    for source in in_process:
        assert read_config(source)["format"] in known_formats()


def test_engine_options_and_servers_flags_are_those_of_the_page_that_vllm_checks() -> (
    None
):
    flags = {w for line in _lines(PAGE, "serve") for w in line if w.startswith("--")}
    known = {
        w for line in _lines(REAL_MODELS, "serve") for w in line if w.startswith("--")
    }
    assert flags
    assert flags <= known
    options: set[str] = set()
    for words in COMMANDS:
        for option in ("--policy", "--prm"):
            options |= parse_name(words[words.index(option) + 1]).options.keys()
    assert options == {
        *("gpu_memory_utilization", "max_model_len"),
        *("num_parameters", "concurrency"),
    }


def test_two_models_on_one_gpu_leave_room_for_each_other() -> None:
    for words in COMMANDS:
        shares = [
            float(parse_name(model).options.get("gpu_memory_utilization", 0))
            for model in (words[words.index(o) + 1] for o in ("--policy", "--prm"))
            if model != "none"
        ]
        assert sum(shares) <= 0.9


def test_the_costs_follow_from_the_formula() -> None:
    samples = 1 + 256 + 2 * (4 + 16 + 64 + 256)
    assert f"= {samples}." in PAGE
    rows = re.findall(
        r"^\| ([\d.]+) B \| ([\d.]+) B \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| "
        r"([\d.]+) \|$",
        PAGE,
        re.MULTILINE,
    )
    assert len(rows) == 6
    for row in rows:
        policy, prm, questions, millions, by_policy, by_prm, hours = map(float, row)
        tokens = questions * samples * 600
        assert millions == pytest.approx(tokens / 1e6, abs=0.5)
        assert by_policy == pytest.approx(2e9 * policy * tokens / 1e17, abs=0.06)
        assert by_prm == pytest.approx(2e9 * prm * tokens / 1e17, abs=0.06)
        flops = 2e9 * (policy + prm) * tokens
        assert hours == pytest.approx(flops / 1e14 / 3600, abs=0.06)
