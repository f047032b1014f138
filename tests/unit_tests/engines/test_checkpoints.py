"""Where a checkpoint is and how large, told from its files alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from langchain_tts.engines.checkpoints import (
    count_in_file,
    count_parameters,
    local_folder,
)
from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.loading import load
from tests.unit_tests.tiny_models import save_model


def split(folder: Path) -> None:
    """Write the weights as two files with an index."""
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    places: dict[str, str] = {}
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        part = {key: tensors[key] for key in sorted(tensors)[number - 1 :: 2]}
        save_file(part, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(part, name)
    whole.unlink()
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def set_config(folder: Path, **settings: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_without_loading_them(
    tied: bool, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, tie_word_embeddings=tied)
    expected = load(folder).num_parameters
    assert count_parameters(folder) == expected
    # Some folders hold the same weights in another form too.
    save_file({"x": torch.zeros(7)}, folder / "consolidated.safetensors")
    assert count_parameters(folder) == expected
    split(folder)
    assert count_parameters(folder) == expected


def test_packed_or_other_weights_are_counted_by_their_architecture(
    tmp_path: Path,
) -> None:
    folder = save_model(tmp_path)
    expected = count_parameters(folder)
    tensors = load_file(folder / "model.safetensors")
    packed = {name: value[..., ::4].contiguous() for name, value in tensors.items()}
    save_file(packed, folder / "model.safetensors")
    assert count_parameters(folder) < expected
    set_config(folder, quantization_config={"quant_method": "awq", "bits": 4})
    assert count_parameters(folder) == expected
    (folder / "model.safetensors").unlink()
    assert count_parameters(folder) == expected


def test_numbers_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(()), "c": torch.zeros(5)}, file)
    assert count_in_file(file) == 6 + 1 + 5


def test_a_folder_is_found_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_model(tmp_path / "model")
    assert local_folder(folder) == folder
    monkeypatch.chdir(tmp_path)
    assert local_folder("model") == folder
    with pytest.raises(ModelLoadError, match="no such folder, and no model of that"):
        local_folder("nobody/no-such-model")
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        local_folder(tmp_path)


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelLoadError, match="incomplete or damaged"):
        count_parameters(folder)
