"""What every policy checks of a request before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.engines.errors import PromptTooLongError

if TYPE_CHECKING:
    from langchain_tts.policies.base import GenerationRequest


def check_seeds(request: GenerationRequest) -> None:
    """Make sure that each sample has a seed.

    Raises:
        ValueError: If there are more seeds than samples, or fewer.
    """
    if len(request["seeds"]) != request["n"]:
        msg = f"{request['n']} samples need as many seeds, not {request['seeds']}"
        raise ValueError(msg)


def room_for(prompt: int, window: int, policy: str | None) -> int:
    """New tokens that fit after a prompt.

    Args:
        prompt: Tokens of the prompt.
        window: Tokens of the context window.
        policy: Its name, for the error.

    Raises:
        PromptTooLongError: If none does.
    """
    if prompt >= window:
        msg = (
            f"the prompt has {prompt} tokens and leaves no room in the {window} tokens "
            f"of policy {policy!r}; shorten the question, or use a policy with a "
            "longer context window"
        )
        raise PromptTooLongError(msg)
    return window - prompt
