"""Load a model and its tokenizer from local files, once a process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AutoModel, AutoModelForCausalLM

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.heads import HeadedModel, OutputLayer, load_head
from langchain_tts.engines.tokens import explain, load_tokenizer, quietly
from langchain_tts.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LoadedModel:
    """A model with its tokenizer and its engine.

    Args:
        source: A folder or a model name, see `load`.
        layer: What it computes, see `load`.

    Raises:
        ModelLoadError: See `load`.
    """

    def __init__(self, source: str, layer: OutputLayer) -> None:
        """Read the files and start the engine."""
        self.source = source
        self.tokens, self.context_window = load_tokenizer(source)
        try:
            with quietly():
                model = _load_weights(source, layer)
            self.engine = TransformersEngine(
                model, self.tokens.rule, self.tokens.eos_ids
            )
        except Exception as error:  # noqa: BLE001 (damaged files raise anything)
            raise ModelLoadError(explain(source, error)) from None
        self.num_parameters = int(model.num_parameters())


_loaded: dict[tuple[str, OutputLayer], LoadedModel] = {}
_loading = threading.Lock()


def load(source: str | Path, layer: OutputLayer = "vocabulary") -> LoadedModel:
    """Load a model, or return the one that this process has already loaded.

    A language model that is opened as a policy and as a verifier is one model.

    Args:
        source: A folder in Hugging Face format, or the name of a model that is in the
            local Hugging Face cache. Nothing is downloaded, and no code is run that
            comes with the model: what stands under a head is loaded by its type.
        layer: Whether it is a language model, or has a head in the place of the
            vocabulary.

    Raises:
        ModelLoadError: If the files are missing or damaged, or if the model cannot be
            served.
    """
    folder = Path(source).expanduser()
    where = str(folder.resolve()) if folder.exists() else str(source)
    key = (where, layer)
    with _loading:
        if key not in _loaded:
            _loaded[key] = LoadedModel(where, layer)
        return _loaded[key]


def _load_weights(source: str, layer: OutputLayer) -> PreTrainedModel | HeadedModel:
    """Read a model to where it is to be run."""
    if layer == "vocabulary":
        return load_part(source, AutoModelForCausalLM)
    base = load_part(source, AutoModel)
    head = load_head(source, layer, int(base.config.get_text_config().hidden_size))
    return HeadedModel(base, head.to(base.device)).eval()


def load_part(source: str, kind: Any) -> PreTrainedModel:
    """Load one of transformers' models to where it is to be run.

    Args:
        source: A folder, or a model in the local cache.
        kind: One of transformers' `AutoModel` classes.

    Raises:
        ModelLoadError: If the checkpoint lacks some of the weights.
    """
    on_gpu = torch.cuda.is_available()
    model, report = kind.from_pretrained(
        source,
        local_files_only=True,
        trust_remote_code=False,
        dtype="auto" if on_gpu else torch.float32,
        output_loading_info=True,
        # Its own error would not say which.
        ignore_mismatched_sizes=True,
    )
    # transformers fills what a checkpoint lacks with random numbers.
    lacking = sorted(map(str, report["missing_keys"]))
    lacking += [
        f"{key} of shape {tuple(own)}" for key, _, own in report["mismatched_keys"]
    ]
    if lacking:
        msg = f"the weights lack {len(lacking)} tensors, for example {lacking[0]}"
        raise ModelLoadError(msg)
    return cast("PreTrainedModel", model.to("cuda" if on_gpu else "cpu").eval())
