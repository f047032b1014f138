"""Models and formats that do not fit are errors at load, never wrong numbers."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from langchain_tts.rewards import ModelLoadError, resolve_prm
from tests.unit_tests.tiny_models import LETTERS, SPACE, save_model
from tests.unit_tests.tiny_prms import FAMILIES, save_prm


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace tensors (`__` for a dot), or take them away."""
    weights = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        weights.pop(name.replace("__", "."))
        if tensor is not None:
            weights[name.replace("__", ".")] = tensor
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def refused(folder: Path, options: str = "") -> str:
    with pytest.raises(ModelLoadError) as caught:
        resolve_prm(f"transformers:{folder}{options}")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("wrong")
    return {family: save_prm(parent / family, family) for family in FAMILIES}


@pytest.mark.parametrize(("family", "other"), [*permutations(FAMILIES, 2)])
def test_no_family_can_be_read_in_the_format_of_another(
    family: str, other: str, folders: dict[str, Path]
) -> None:
    message = refused(folders[family], f"?format={other}")
    assert str(folders[family]) in message


@pytest.mark.parametrize("family", FAMILIES)
def test_a_policy_is_no_verifier(family: str, tmp_path: Path) -> None:
    kind = {"math-shepherd": "mistral", "rlhflow": "llama"}.get(family, "qwen2")
    letters = [*LETTERS, *"irstunvwxyzS?.<>|_#"]
    folder = save_model(tmp_path, kind, letters=letters)
    message = refused(folder, f"?format={family}")
    if family == "rlhflow":
        # Its template writes no assistant turns.
        assert "alternating" in message


@pytest.mark.parametrize(
    ("family", "changes", "reason"),
    [
        ("skywork", {"v_head__summary__weight": None}, "no value head"),
        (
            "skywork",
            {"v_head__summary__weight": torch.ones(1, 63)},
            r"v_head.summary.weight in .* has shape \(1, 63\) instead of \(1, 64\)",
        ),
        ("qwen2.5-math", {"score__2__weight": None}, "no class head"),
        (
            "qwen2.5-math",
            {"score__2__weight": torch.ones(3, 64)},
            r"has shape \(3, 64\) instead of \(2, 64\)",
        ),
        ("qwen2.5-math", {"model__norm__weight": None}, "lack 1 tensors"),
        (
            "skywork",
            {"model__norm__weight": torch.ones(63)},
            r"norm.weight of shape \(64,\)",
        ),
        ("rlhflow", {"lm_head__weight": None}, "lack 1 tensors.*lm_head.weight"),
    ],
)
def test_a_checkpoint_without_what_the_format_needs_is_refused(
    tmp_path: Path, family: str, changes: dict[str, Any], reason: str
) -> None:
    folder = save_prm(tmp_path, family)
    change_weights(folder, **changes)
    with pytest.raises(ModelLoadError, match=reason):
        resolve_prm(f"transformers:{folder}")


@pytest.mark.parametrize("rows", [200, 900])
def test_the_tokenizer_of_another_model_is_refused(tmp_path: Path, rows: int) -> None:
    folder = save_prm(tmp_path, "math-psa", vocab_size=rows, pad_token_id=None)
    assert (
        f"not the model's: it has 266 tokens, the model has embeddings for {rows}"
        in (refused(folder))
    )


def test_a_marker_that_the_model_has_no_embedding_for_is_refused(
    tmp_path: Path,
) -> None:
    # As when a token was added to a tokenizer, and the model was not made larger.
    folder = save_prm(tmp_path, "qwen2.5-math", vocab_size=269, pad_token_id=None)
    assert "'<extra_0>' has id 269" in refused(folder)


def test_a_tokenizer_that_loses_characters_is_refused(tmp_path: Path) -> None:
    letters = [letter for letter in LETTERS if letter != SPACE]
    prm = {"format": "tinymath-tag", "tag": "<tag>"}
    folder = save_model(tmp_path, "qwen2", letters=letters, prm=prm)
    assert "loses characters" in refused(folder)


def test_labels_and_markers_must_be_single_tokens(tmp_path: Path) -> None:
    folder = save_prm(tmp_path, "math-shepherd")
    for settings, reason in (
        ({"tag": "\u0436\u0436"}, "is not one token"),
        ({"good": "ab"}, "' ab' is not one token"),
        ({"bad": "+"}, "both labels are token"),
    ):
        described = {"format": "math-shepherd", **settings}
        (folder / "prm_config.json").write_text(json.dumps(described))
        assert reason in refused(folder, "?")


def test_a_classifier_is_not_read_as_a_language_model(tmp_path: Path) -> None:
    folder = save_prm(tmp_path, "rlhflow")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "is a LlamaForSequenceClassification, but the format reads" in (
        refused(folder)
    )
