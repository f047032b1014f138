"""What vLLM loads at its start: models of ours that it can serve.

vLLM calls `register` in each of its processes, because the package's metadata names it
(entry point group `vllm.general_plugins`). So a server has them, too.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from langchain_tts.engines.errors import ModelLoadError

GROUP, NAME = "vllm.general_plugins", "langchain_tts"
"""Where vLLM finds `register`: an entry point in the package's metadata."""
VALUE_MODEL = "Qwen2ForPrmModel"
"""The architecture in the configurations of Skywork-o1-Open-PRM."""
VALUE_MODEL_TYPE = "qwen2"


def check_registered() -> None:
    """Make sure that vLLM's processes will find the models.

    Raises:
        ModelLoadError: If the package's metadata is older than its code.
    """
    if NAME not in entry_points(group=GROUP).names:
        msg = (
            f"vLLM cannot be given {VALUE_MODEL}: the metadata of the installed "
            f"langchain-tts names no plugin of vLLM's ({GROUP}); install it once more, "
            "e.g. `pip install --no-deps -e .` in a checkout"
        )
        raise ModelLoadError(msg)


def register() -> None:
    """Tell vLLM where to find the models; they are imported when they are used."""
    from vllm import ModelRegistry

    if VALUE_MODEL not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(
            VALUE_MODEL, f"langchain_tts.engines.vllm_models:{VALUE_MODEL}"
        )
