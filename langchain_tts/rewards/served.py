"""What a server of a PRM says of its model, and where the model's files are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_tts.engines.checkpoints import count_parameters, local_folder
from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.replies import ServerRefusedError
from langchain_tts.engines.server import ServerPool
from langchain_tts.engines.tokens import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_tts.engines.tokens import ModelTokenizer

_TEXT = "What is 1+2? 3\n\nStep 1: 3"

_CONNECTION = ("api_key_env", "timeout", "connect_timeout", "retries", "concurrency")
"""Options of `ServerPool`; the others are the reader's or the verifier's own."""


@dataclass(frozen=True)
class Served:
    """A model that a server runs.

    Args:
        model: Its name there.
        root: The folder or the name that the server loaded it from.
        window: Tokens that fit; None: the server does not tell.
    """

    model: str
    root: str
    window: int | None


@dataclass(frozen=True)
class LocalFiles:
    """What this process reads of a model that a server runs: all but its weights.

    Args:
        tokens: The tokenizer.
        num_parameters: For FLOPs.
        window: Tokens that fit.
    """

    tokens: ModelTokenizer
    num_parameters: int
    window: int


def ask_served(pool: ServerPool, model: str | None) -> Served:
    """Ask a server what it serves.

    Args:
        pool: The servers.
        model: The model's name there; None: the only one.

    Raises:
        ModelLoadError: If it does not serve that model, or several.
        ServerError: If no server answers.
        ServerRefusedError: If a server refuses to tell.
    """
    cards = {str(card["id"]): card for card in pool.run(pool.models()).result()}
    if model is None and len(cards) == 1:
        [model] = cards
    if model not in cards:
        wanted = "no single model" if model is None else f"no model {model!r}"
        known = ", ".join(sorted(cards)) or "nothing"
        msg = f"{pool.name} serves {wanted}, but {known}; name one by ?model=NAME"
        raise ModelLoadError(msg)
    card = cards[model]
    return Served(model, str(card.get("root") or model), card.get("max_model_len"))


def served_source(urls: Sequence[str], options: Mapping[str, Any]) -> str:
    """Where the files of a served model are, if this machine has them.

    Args:
        urls: Addresses of the servers.
        options: Those of the verifier's name.

    Raises:
        ModelLoadError: If the server does not serve the model that is asked for.
        ServerError: If no server answers.
        ServerRefusedError: If a server refuses to tell.
    """
    if source := options.get("tokenizer"):
        return str(source)
    connection = {name: options[name] for name in _CONNECTION if name in options}
    return ask_served(ServerPool(urls, **connection), options.get("model")).root


def read_files(
    served: Served, tokenizer: str | None, num_parameters: int | None
) -> LocalFiles:
    """Read the tokenizer and the size of a served model from this machine's disk.

    Args:
        served: The model.
        tokenizer: A folder, or a model in the local Hugging Face cache, that has its
            tokenizer and its config.json; None: what the server loaded.
        num_parameters: How many it has; None: they are counted.

    Raises:
        ModelLoadError: If the files are not on this machine.
    """
    try:
        folder = local_folder(tokenizer or served.root)
        tokens, window = load_tokenizer(folder)
        number = num_parameters or count_parameters(folder)
    except ModelLoadError as error:
        msg = (
            f"the server runs {served.root!r}, whose tokenizer is needed on this "
            f"machine: {error}; name a folder or a cached model that has it by the "
            "option tokenizer=FOLDER_OR_MODEL"
        )
        raise ModelLoadError(msg) from None
    return LocalFiles(tokens, number, min(window, served.window or window))


def check_tokenizer(pool: ServerPool, served: Served, tokens: ModelTokenizer) -> None:
    """Make sure that the server's model has the tokenizer that was read here.

    Raises:
        ModelLoadError: If it has another one.
        ServerError: If no server answers.
    """
    body = {"model": served.model, "prompt": _TEXT, "add_special_tokens": False}
    try:
        answer = pool.run(pool.request("/tokenize", body)).result()
    except ServerRefusedError:
        # Not all that looks like vLLM tells; prompts are token ids in any case.
        return
    theirs, ours = answer.get("tokens"), tokens.encode(_TEXT)
    if theirs != ours:
        msg = (
            f"the tokenizer in {tokens.source} is not that of {served.model!r} on "
            f"{pool.name}: {_TEXT!r} is {ours} here and {theirs} there"
        )
        raise ModelLoadError(msg)
