"""Names and folders of models, and what is wrong with them."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langchain_tts.policies import UnknownModelError, resolve_policy
from langchain_tts.rewards import ModelLoadError, resolve_prm
from langchain_tts.rewards.implicit import ImplicitPRM
from langchain_tts.rewards.step_prm import StepPRM
from tests.unit_tests.tiny_models import question, save_model

IMPLICIT = {"format": "implicit", "scale": 2.0, "offset": 1.0, "reference": "policy"}


def test_the_configuration_decides_the_kind(tmp_path: Path) -> None:
    save_model(tmp_path / "policy", seed=3)
    implicit = save_model(tmp_path / "tag", seed=3, prm=IMPLICIT)
    tag = save_model(
        tmp_path / "implicit", prm={"format": "tinymath-tag", "tag": "<tag>"}
    )
    prm = resolve_prm(f"transformers:{implicit}")
    assert isinstance(prm, ImplicitPRM)
    assert isinstance(resolve_prm(f"transformers:{tag}"), StepPRM)
    # Verifier and policy are the same model here: the ratio is 0, the score the offset.
    scores = prm.as_tool().invoke({"question": "1+1=", "steps": ["2", "3"]})
    assert scores == pytest.approx([1 / (1 + math.exp(-1.0))] * 2, abs=1e-5)


def test_what_runs_in_this_process_only_is_not_looked_for_elsewhere(
    tmp_path: Path,
) -> None:
    folder = save_model(tmp_path, prm=IMPLICIT)
    for name in (f"vllm:{folder}", f"transformers:{folder}?dtype=float32"):
        with pytest.raises(ModelLoadError, match="'implicit' run in this process"):
            resolve_prm(name)


def test_a_model_is_loaded_once_a_process(tmp_path: Path) -> None:
    folder = save_model(tmp_path, prm=IMPLICIT)
    name = f"transformers:{folder}"
    policy, prm = resolve_policy(name), resolve_prm(name)
    assert resolve_policy(name) is policy
    assert resolve_policy(policy) is policy
    assert resolve_prm(prm) is prm
    assert policy.name == name
    assert policy.model is prm.model  # type: ignore[attr-defined,union-attr]
    assert resolve_prm(None) is None
    assert policy.count_prompt_tokens(question("1+1=")) == 6


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownModelError, match="tinymath, tinymath-small"):
        resolve_policy("gpt-5")
    with pytest.raises(UnknownModelError, match="tinymath, tinymath-implicit"):
        resolve_prm("transformers:")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "nothing tells the format .*: one of math-shepherd, rlhflow"),
        ({"format": "qwen"}, "asks for format 'qwen'; the formats are math-shepherd"),
        ({"scale": 1}, "cannot read"),
        ({"format": "implicit", "scale": 1.0}, '"scale" and "offset"'),
        ({"format": "tinymath-tag", "colour": "red"}, "settings .*colour"),
        ({"format": "tinymath-tag", "tag": "<none>"}, "has no token '<none>'"),
    ],
)
def test_unusable_verifier_folders_are_one_clear_line(
    tmp_path: Path, config: dict[str, Any] | None, reason: str
) -> None:
    folder = save_model(tmp_path, prm=config)
    with pytest.raises(ModelLoadError, match=reason) as caught:
        resolve_prm(f"transformers:{folder}")
    assert "\n" not in str(caught.value)


def test_importing_the_packages_loads_no_engine() -> None:
    code = (
        "import sys, langchain_tts.policies, langchain_tts.rewards;"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "False"]
