"""Load a model and its tokenizer from local files, once a process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from transformers import AutoModelForCausalLM

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.tokens import explain, load_tokenizer, quietly
from langchain_tts.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LoadedModel:
    """A model with its tokenizer and its engine.

    Args:
        source: A folder or a model name, see `load`.

    Raises:
        ModelLoadError: See `load`.
    """

    def __init__(self, source: str) -> None:
        """Read the files and start the engine."""
        self.source = source
        self.tokens, self.context_window = load_tokenizer(source)
        try:
            with quietly():
                model = _load_weights(source)
            self.engine = TransformersEngine(
                model, self.tokens.rule, self.tokens.eos_ids
            )
        except Exception as error:  # noqa: BLE001 (damaged files raise anything)
            raise ModelLoadError(explain(source, error)) from None
        self.num_parameters = int(model.num_parameters())


_loaded: dict[str, LoadedModel] = {}
_loading = threading.Lock()


def load(source: str | Path) -> LoadedModel:
    """Load a model, or return the one that this process has already loaded.

    Args:
        source: A folder in Hugging Face format, or the name of a model that is in the
            local Hugging Face cache. Nothing is downloaded.

    Raises:
        ModelLoadError: If the files are missing or damaged, or if the model cannot be
            served.
    """
    folder = Path(source).expanduser()
    key = str(folder.resolve()) if folder.exists() else str(source)
    with _loading:
        if key not in _loaded:
            _loaded[key] = LoadedModel(key)
        return _loaded[key]


def _load_weights(source: str) -> PreTrainedModel:
    on_gpu = torch.cuda.is_available()
    model, report = AutoModelForCausalLM.from_pretrained(
        source,
        local_files_only=True,
        dtype="auto" if on_gpu else torch.float32,
        output_loading_info=True,
    )
    # transformers fills what a checkpoint lacks with random numbers.
    lacking = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
    if lacking:
        msg = f"the weights lack {len(lacking)} tensors, for example {lacking[0]}"
        raise ModelLoadError(msg)
    return cast("PreTrainedModel", model.to("cuda" if on_gpu else "cpu").eval())
